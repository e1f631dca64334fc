/*
 * What a comparison means: whether its quantifier, operator and value fit its field, and the test
 * that comes of it. Each operator has a function that judges it.
 */
#include "policy/grammar.h"
#include "policy/parse.h"

enum { SCORE_SUM_MAX = 1000000 };

/* --- what fits --- */

static bool is_text(enum fact_type type)
{
	return type == TYPE_DOMAIN || type == TYPE_MAIL || type == TYPE_TEXT;
}

static bool is_ordered(const struct fact *fact)
{
	return fact->type == TYPE_NUMBER || fact->type == TYPE_SIZE ||
	       (fact->type == TYPE_CHOICE && fact->flags & FACT_ORDERED);
}

static bool op_fits(const struct fact *fact, enum operator op)
{
	switch (op) {
	case OP_TRUE:
		return fact->type == TYPE_BOOL;
	case OP_EQUAL:
	case OP_NOT_EQUAL:
	case OP_IS_NONE:
	case OP_IS_NOT_NONE:
		return true;
	case OP_LESS:
	case OP_LESS_EQUAL:
	case OP_GREATER:
	case OP_GREATER_EQUAL:
		return is_ordered(fact);
	case OP_IN:
		return fact->type != TYPE_BOOL;
	case OP_UNDER:
		return fact->type == TYPE_DOMAIN;
	case OP_CONTAINS:
	case OP_MATCHES:
		break;
	}
	return is_text(fact->type);
}

const char *operators_of(const struct fact *fact)
{
	if (fact == &verdict_facts[0]) /* score */
		return "== != < <= > >=";
	if (fact->type == TYPE_BOOL)
		return "none: it stands alone, or with == yes, == no";
	if (fact->type == TYPE_DOMAIN)
		return "== != in under contains ~";
	if (is_text(fact->type))
		return "== != in contains ~";
	return is_ordered(fact) ? "== != < <= > >= in" : "== != in";
}

static const char *ops_help(struct parser *p, const struct fact *fact)
{
	if (fact->type == TYPE_BOOL)
		return "it stands alone, or with == yes, == no";
	return HELP(p, "operators for it are %s", operators_of(fact));
}

static const char *type_with_article(enum fact_type type)
{
	if (type == TYPE_BOOL)
		return "either yes or no";
	if (type == TYPE_IP)
		return "an address";
	if (type == TYPE_MAIL)
		return "a mail address";
	return type == TYPE_DOMAIN   ? "a domain"
	       : type == TYPE_CHOICE ? "one word of a few"
	       : type == TYPE_TEXT   ? "a text"
	       : type == TYPE_SIZE   ? "a size"
				     : "a number";
}

/* A comparison that would be right, for a fact that stands alone. */
static const char *example(struct parser *p, const struct field *field)
{
	const char *q = field->many ? "any " : "";

	if (field->is_rate)
		return HELP(p, "%s%s > 100/1h", q, field->name);
	switch (field->fact->type) {
	case TYPE_CHOICE:
		return HELP(p, "%s%s == %s", q, field->name, field->fact->choices[0].word);
	case TYPE_NUMBER:
		return HELP(p, "%s%s > 5", q, field->name);
	case TYPE_SIZE:
		return HELP(p, "%s%s > 25MB", q, field->name);
	case TYPE_IP:
		return HELP(p, "%s%s in 192.0.2.0/24", q, field->name);
	case TYPE_DOMAIN:
		return HELP(p, "%s%s under \"example.com\"", q, field->name);
	case TYPE_MAIL:
		return HELP(p, "%s%s == \"user@example.com\"", q, field->name);
	case TYPE_BOOL:
		return HELP(p, "%s%s", q, field->name);
	case TYPE_TEXT:
	case TYPE_COUNT:
		break;
	}
	return HELP(p, "%s%s contains \"text\"", q, field->name);
}

/* The comparison without a quantifier, as written, for a help. */
static const char *without_quantifier(struct parser *p, const struct comparison *c)
{
	struct span value = c->value.is_set ? SPAN("{ ... }") : c->value.at.text;

	if (c->op == OP_TRUE)
		return c->field.name;
	if (!c->value.n)
		return HELP(p, "%s %s", c->field.name, c->op_name);
	return HELP(p, "%s %s %.*s", c->field.name, c->op_name, SPAN_ARGS(value));
}

static bool quantifier_fits(struct parser *p, const struct comparison *c)
{
	bool given = c->quantifier != QUANTIFIER_ONE;
	bool none = c->op == OP_IS_NONE || c->op == OP_IS_NOT_NONE;

	if (given && none)
		return parser_mistake(p, &c->quantifier_at,
			HELP(p, "write `%s`: whether there are values at all",
				without_quantifier(p, c)),
			"`%.*s` asks for values, `none` for no value",
			SPAN_ARGS(c->quantifier_at.text));
	if (given && !c->field.many)
		return parser_mistake(p, &c->quantifier_at,
			HELP(p, "write `%s%s`", c->quantifier == QUANTIFIER_NO ? "not " : "",
				without_quantifier(p, c)),
			"`%s` has one value: `%.*s` is for facts with many", c->field.name,
			SPAN_ARGS(c->quantifier_at.text));
	if (given || !c->field.many || none || c->field.fact->flags & (FACT_FIRST | FACT_ANY))
		return true;
	return parser_mistake(p, &c->at,
		HELP(p, "write `any %s`, or all or no in place of any", without_quantifier(p, c)),
		"`%s` has many values: which of them is meant?", c->field.name);
}

static bool operator_fits(struct parser *p, const struct comparison *c)
{
	const struct fact *fact = c->field.fact;
	const char *domain =
		fact->type == TYPE_MAIL && c->op == OP_UNDER ? field_domain(p, fact) : NULL;

	if (op_fits(fact, c->op))
		return true;
	if (c->op == OP_TRUE)
		return parser_mistake(p, &c->field.at,
			HELP(p, "for example: %s", example(p, &c->field)),
			"`%s` is %s, and not compared with anything", c->field.name,
			type_with_article(fact->type));
	return parser_mistake(p, &c->op_at,
		domain ? HELP(p, "write %s under \"example.com\"", domain) : ops_help(p, fact),
		"`%s` is %s: `%s` is not for it", c->field.name, type_with_article(fact->type),
		c->op_name);
}

/* == and the like take one value, and no list. */
static bool value_is_single(struct parser *p, const struct comparison *c)
{
	bool list = !c->value.is_set && c->value.at.kind == TOKEN_LIST;
	const char *name = c->field.name;

	if (!c->value.is_set && !list)
		return true;
	return parser_mistake(p, &c->value.at,
		list ? HELP(p, "write %s in %.*s", name, SPAN_ARGS(c->value.at.text))
		     : HELP(p, "write %s in { ... }", name),
		"`%s` compares with one value, not with a %s", c->op_name, list ? "list" : "set");
}

/* --- operators --- */

static void lower(struct parser *p, struct span *text)
{
	char *copy = arena_string(p->arena, *text);

	for (size_t i = 0; i < text->len; i++)
		copy[i] = ascii_lower(copy[i]);
	text->at = copy;
}

static bool read_datum(
	struct parser *p, const struct comparison *c, const struct token *at, union fact_datum *out)
{
	if (!value_datum(p, c->field.fact, c->field.name, at, out))
		return false;
	if (is_text(c->field.fact->type))
		lower(p, &out->text);
	return true;
}

static bool judge_single(struct parser *p, const struct comparison *c, struct test *test)
{
	if (!value_is_single(p, c) || !read_datum(p, c, &c->value.at, &test->datum))
		return false;
	test->operand = OPERAND_DATUM;
	return test->verdict != VERDICT_SCORE ||
	       value_score(p, &c->value.at, SCORE_SUM_MAX, &test->score);
}

/* A set of numbers, choices or texts, each read on its own. */
static bool judge_data(struct parser *p, const struct comparison *c, struct test *test)
{
	union fact_datum *data = arena_alloc(p->arena, (c->value.n + 1) * sizeof(*data));
	bool ok = true;

	for (size_t i = 0; i < c->value.n && !p->stopped; i++)
		ok = read_datum(p, c, &c->value.items[i], &data[i]) && ok;
	test->operand = OPERAND_DATA;
	test->data = data;
	test->n = c->value.n;
	return ok;
}

static bool judge_ranges(struct parser *p, const struct comparison *c, struct test *test)
{
	struct ip_range *ranges = arena_alloc(p->arena, (c->value.n + 1) * sizeof(*ranges));
	bool ok = true;

	for (size_t i = 0; i < c->value.n && !p->stopped; i++)
		ok = value_range(p, c->field.name, &c->value.items[i], &ranges[i]) && ok;
	test->operand = OPERAND_RANGES;
	test->ranges = ranges;
	test->n = c->value.n;
	return ok;
}

/* A set that becomes a nameless list. */
static bool judge_literal_list(
	struct parser *p, const struct comparison *c, enum list_type type, struct test *test)
{
	struct rule_list *list = arena_alloc(p->arena, sizeof(*list));

	list->name = NULL;
	list->place = parser_place(p, &c->value.at);
	list->type = type;
	list->origin = LIST_LITERAL;
	list->used = true;
	list->content = value_list(p, type, &c->value);
	test->operand = OPERAND_LIST;
	test->list = list;
	return list->content != NULL;
}

static bool judge_addresses(struct parser *p, const struct comparison *c, struct test *test)
{
	const struct token *at = &c->value.at;
	bool only_networks = true;

	if (!c->value.is_set && (at->kind == TOKEN_ADDRESS || at->kind == TOKEN_CIDR)) {
		test->operand = OPERAND_CIDR;
		test->cidr = at->network;
		return true;
	}
	for (size_t i = 0; i < c->value.n; i++)
		only_networks = only_networks && (c->value.items[i].kind == TOKEN_ADDRESS ||
							 c->value.items[i].kind == TOKEN_CIDR);
	return only_networks ? judge_literal_list(p, c, LIST_CIDR, test) : judge_ranges(p, c, test);
}

static bool judge_listed(
	struct parser *p, const struct comparison *c, struct rule_list *list, struct test *test)
{
	if (c->quantifier == QUANTIFIER_ALL)
		return parser_mistake(p, &c->quantifier_at, "write any or no",
			"`all` can't be asked of a dnsbl: @%s answers what is listed", list->name);
	test->slot = slot_listed(p, &c->field, &c->value.at, list);
	test->operand = OPERAND_LISTED;
	return test->slot != NULL;
}

/* in @LIST, under @LIST */
static bool judge_named_list(struct parser *p, const struct comparison *c, struct test *test)
{
	struct declared_list *declared = list_named(p, &c->value.at, c->field.fact);
	struct rule_list *list;

	if (!declared || declared->unknown)
		return false;
	list = declared->list;
	if (!list_fits(p, &c->value.at, &c->field, list))
		return false;
	test->operand = OPERAND_LIST;
	test->list = list;
	if (list->origin == LIST_DNSBL && c->op == OP_IN)
		return judge_listed(p, c, list, test);
	if (c->op == OP_UNDER && (list->origin == LIST_DNSBL || list->type != LIST_DOMAIN))
		return parser_mistake(p, &c->value.at, HELP(p, "write in @%s", list->name),
			"`under` needs domains that are known here; @%s is %s", list->name,
			list->origin == LIST_DNSBL
				? "a dnsbl"
				: HELP(p, "of type %s", list_type_name(list->type)));
	return true;
}

static enum list_type list_type_for(enum fact_type type)
{
	return type == TYPE_DOMAIN ? LIST_DOMAIN : type == TYPE_MAIL ? LIST_MAIL : LIST_TEXT;
}

static bool judge_in(struct parser *p, const struct comparison *c, struct test *test)
{
	enum fact_type type = c->field.fact->type;

	if (test->verdict == VERDICT_SCORE)
		return parser_mistake(p, &c->op_at, ops_help(p, c->field.fact),
			"`score` is not looked up in a set");
	if (!c->value.is_set && c->value.at.kind == TOKEN_LIST)
		return judge_named_list(p, c, test);
	if (type == TYPE_IP)
		return judge_addresses(p, c, test);
	if (!c->value.is_set)
		return parser_mistake(p, &c->value.at,
			HELP(p, "write %s == %.*s, or in { %.*s }", c->field.name,
				SPAN_ARGS(c->value.at.text), SPAN_ARGS(c->value.at.text)),
			"`in` needs a set or a list");
	return is_text(type) ? judge_literal_list(p, c, list_type_for(type), test)
			     : judge_data(p, c, test);
}

static bool judge_under(struct parser *p, const struct comparison *c, struct test *test)
{
	if (c->value.is_set)
		return judge_literal_list(p, c, LIST_DOMAIN, test);
	if (c->value.at.kind == TOKEN_LIST)
		return judge_named_list(p, c, test);
	return judge_single(p, c, test);
}

static bool judge_contains(struct parser *p, const struct comparison *c, struct test *test)
{
	struct fact plain = {"contains", TYPE_TEXT, STAGE_CONNECT, 0, NULL, NULL};
	struct comparison texts = *c;
	bool ok;

	/* What a domain contains need not be a domain. */
	texts.field.fact = &plain;
	if (!c->value.is_set && c->value.at.kind == TOKEN_LIST)
		return parser_mistake(p, &c->value.at,
			HELP(p, "write in %.*s for whole values", SPAN_ARGS(c->value.at.text)),
			"`contains` needs a text or a set of texts, not a list");
	for (size_t i = 0; c->field.fact->type == TYPE_DOMAIN && i < c->value.n; i++)
		if (fact_text_is_wide(TYPE_DOMAIN, c->value.items[i].text))
			parser_warning(p, &c->value.items[i], NULL,
				"domains are known in ASCII (xn--...): none contains this");
	ok = judge_data(p, &texts, test);
	for (size_t i = 0; ok && i < test->n; i++)
		if (test->data[i].text.len == 0)
			ok = parser_mistake(
				p, &c->value.items[i], NULL, "every text contains the empty one");
	if (!c->value.is_set && ok) {
		test->operand = OPERAND_DATUM;
		test->datum = test->data[0];
		test->n = 0;
	}
	return ok;
}

static void free_pattern(void *context)
{
	struct pattern *pattern = context;

	pattern_free(&pattern);
}

static bool read_pattern(
	struct parser *p, const struct comparison *c, const struct token *at, struct pattern **out)
{
	struct err err;

	if (at->kind != TOKEN_REGEX)
		return parser_mistake(p, at,
			at->kind == TOKEN_STRING ? HELP(p, "for a plain text: %s contains %.*s",
							   c->field.name, SPAN_ARGS(at->text))
						 : NULL,
			"`~` needs a regex, such as /text/");
	*out = pattern_new(span_make(at->text.at + 1, at->text.len - 2), &err);
	if (!*out)
		return parser_mistake(p, at, NULL, "in this regex: %s", err.text);
	arena_on_free(p->arena, free_pattern, *out);
	return true;
}

static bool judge_matches(struct parser *p, const struct comparison *c, struct test *test)
{
	struct pattern **patterns = arena_alloc(p->arena, (c->value.n + 1) * sizeof(*patterns));
	bool ok = true;

	for (size_t i = 0; i < c->value.n && !p->stopped; i++)
		ok = read_pattern(p, c, &c->value.items[i], &patterns[i]) && ok;
	test->operand = OPERAND_PATTERN;
	test->patterns = patterns;
	test->n = c->value.n;
	return ok;
}

/* is none: of a choice that has such a word it is the word. */
static bool judge_none(struct parser *p, const struct comparison *c, struct test *test)
{
	int choice = fact_choice_find(c->field.fact, SPAN("none"));

	if (test->verdict == VERDICT_SCORE)
		return parser_mistake(p, &c->op_at, "write score == 0", "there is always a score");
	if (choice < 0 || c->field.many)
		return true;
	test->op = c->op == OP_IS_NONE ? OP_EQUAL : OP_NOT_EQUAL;
	test->operand = OPERAND_DATUM;
	test->datum.choice = (unsigned)choice;
	return true;
}

/* rate(FIELD) > COUNT/TIME */
static bool judge_rate(struct parser *p, const struct comparison *c, struct test *test)
{
	const struct token *at = c->op == OP_TRUE || !c->value.n ? &c->field.at : &c->value.at;
	bool ordered = c->op >= OP_LESS && c->op <= OP_GREATER_EQUAL;

	if (!ordered || c->value.is_set || c->value.at.kind != TOKEN_RATE)
		return parser_mistake(p, ordered || !c->value.n ? at : &c->op_at,
			HELP(p, "for example: %s", example(p, &c->field)),
			"a rate is compared by > >= < or <= with a count in a time");
	test->operand = OPERAND_DATUM;
	test->datum.number = (double)c->value.at.rate.count;
	test->slot = slot_of(p, &c->field, c->value.at.rate.per_ms);
	return true;
}

static bool judge_operand(struct parser *p, const struct comparison *c, struct test *test)
{
	switch (c->op) {
	case OP_TRUE:
		return true;
	case OP_EQUAL:
	case OP_NOT_EQUAL:
	case OP_LESS:
	case OP_LESS_EQUAL:
	case OP_GREATER:
	case OP_GREATER_EQUAL:
		return judge_single(p, c, test);
	case OP_IN:
		return judge_in(p, c, test);
	case OP_UNDER:
		return judge_under(p, c, test);
	case OP_CONTAINS:
		return judge_contains(p, c, test);
	case OP_MATCHES:
		return judge_matches(p, c, test);
	case OP_IS_NONE:
	case OP_IS_NOT_NONE:
		break;
	}
	return judge_none(p, c, test);
}

bool comparison_judge(struct parser *p, const struct comparison *c, struct test *test)
{
	if (!c->field.fact || !quantifier_fits(p, c))
		return false;
	test->verdict = c->field.verdict;
	test->type = c->field.fact->type;
	test->quantifier = c->quantifier;
	if (c->quantifier == QUANTIFIER_ONE && c->field.many && c->field.fact->flags & FACT_ANY)
		test->quantifier = QUANTIFIER_ANY;
	test->op = c->op;
	if (c->field.is_rate)
		return judge_rate(p, c, test);
	if (!operator_fits(p, c) || !judge_operand(p, c, test))
		return false;
	if (!test->slot && !test->verdict)
		test->slot = slot_of(p, &c->field, 0);
	return true;
}

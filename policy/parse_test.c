/*
 * Tests: test "name" { with @LIST = { }  given FIELD = value  expect action [by ID] }. A value is
 * given to each slot that its field has, and which these are is known when all rules are read.
 */
#include "policy/parse.h"

#define TEST_EXAMPLE "test \"name\" { given spf = fail expect reject }"

/* --- values --- */

static struct rule_test_value *add_value(struct parser *p, const struct token *at)
{
	struct rule_test_value *value = arena_alloc(p->arena, sizeof(*value));

	*p->values_end = value;
	p->values_end = &value->next;
	value->place = parser_place(p, at);
	return value;
}

/* with @LIST = { ... } */
static bool parse_with(struct parser *p)
{
	struct declared_list *declared;
	struct rule_test_value *given;
	struct value value;
	struct token at;

	parser_take(p);
	at = p->token;
	if (!parser_accept_mark(p, TOKEN_LIST))
		return parser_missing(p, "for example: with @forwarders = { 192.0.2.0/24 }",
			"`with` needs a list, such as @forwarders");
	if (!parser_accept_mark(p, TOKEN_ASSIGN))
		return parser_missing(p, "for example: with @forwarders = { 192.0.2.0/24 }",
			"a = is missing behind the list");
	if (p->token.kind != TOKEN_LEFT_BRACE)
		return parser_missing(p, "the list holds this instead, in this test",
			"`with` needs the items in braces");
	if (!parse_value(p, "with", true, &value))
		return false;
	declared = list_named(p, &at, NULL);
	if (!declared || declared->unknown)
		return true;
	given = add_value(p, &at);
	given->list = declared->list;
	given->content = value_list(p, declared->list->type, &value);
	return true;
}

static void note_given(struct parser *p, struct rule_test_value *value, const struct field *field,
	uint64_t window_ms)
{
	struct given *given = arena_alloc(p->scratch, sizeof(*given));

	given->value = value;
	given->key = slot_key(p, field);
	given->window_ms = window_ms;
	*p->givens_end = given;
	p->givens_end = &given->next;
}

static bool given_once(struct parser *p, const struct field *field, uint64_t window_ms)
{
	const char *key = HELP(p, "%s %llu", slot_key(p, field), (unsigned long long)window_ms);
	void **place = names_place(&p->given_names, p->scratch, span_text(key));

	if (*place)
		return parser_mistake(p, &field->at, NULL, "`%s` is given twice", field->name);
	*place = p;
	return true;
}

/* A count, alone or over a time. */
static bool rate_datum(struct parser *p, const struct field *field, const struct token *at,
	union fact_datum *out, uint64_t *window_ms)
{
	if (at->kind == TOKEN_RATE) {
		out->number = (double)at->rate.count;
		*window_ms = at->rate.per_ms;
		return true;
	}
	out->number = at->number;
	return (at->kind == TOKEN_NUMBER && at->whole) ||
	       parser_mistake(p, at, HELP(p, "for example: %s = 101/1h", field->name),
		       "`%s` needs a whole number, or a count in a time", field->name);
}

static bool is_none(const struct field *field, const struct value *value)
{
	return !value->is_set && value->at.kind == TOKEN_WORD &&
	       span_equal(value->at.text, SPAN("none")) &&
	       fact_choice_find(field->fact, SPAN("none")) < 0;
}

static void judge_given(struct parser *p, const struct field *field, const struct value *value)
{
	size_t n = is_none(field, value) ? 0 : value->n;
	union fact_datum *items = arena_alloc(p->arena, (n + 1) * sizeof(*items));
	struct rule_test_value *given;
	uint64_t window_ms = 0;
	bool ok = true;

	if (value->is_set && (!field->many || n > FACT_ITEMS_MAX)) {
		parser_mistake(p, &value->at, NULL,
			field->many ? "`%s` has at most %d values"
				    : "`%s` has one value, not a set",
			field->name, FACT_ITEMS_MAX);
		return;
	}
	for (size_t i = 0; i < n && !p->stopped; i++)
		ok = (field->is_rate ? rate_datum(p, field, &value->items[i], &items[i], &window_ms)
				     : value_datum(p, field->fact, field->name, &value->items[i],
					       &items[i])) &&
		     ok;
	if (!ok || !given_once(p, field, window_ms))
		return;
	given = add_value(p, &field->at);
	given->fact = field->fact;
	given->value = (struct fact_value){FACT_KNOWN, (uint32_t)n, items, NULL};
	note_given(p, given, field, window_ms);
}

/* FIELD = VALUE */
static bool parse_given(struct parser *p)
{
	struct field field;
	struct value value;

	if (!parse_field(p, FIELD_IN_TEST, &field))
		return false;
	if (p->token.kind == TOKEN_EQUAL) {
		parser_mistake(p, &p->token, "write =", "a value is given with one equal sign");
		parser_take(p);
	} else if (!parser_accept_mark(p, TOKEN_ASSIGN)) {
		return parser_missing(p, "for example: given spf = fail", "a = is missing");
	}
	if (!parse_value(p, field.fact ? field.name : "given", true, &value))
		return false;
	if (field.fact && field.verdict)
		parser_mistake(p, &field.at, "give the facts that lead to it",
			"`%s` follows from the rules and can't be given", field.name);
	else if (field.fact)
		judge_given(p, &field, &value);
	return true;
}

static bool parse_all_given(struct parser *p)
{
	parser_take(p);
	do {
		if (!parse_given(p))
			return false;
	} while (parser_accept_mark(p, TOKEN_COMMA));
	return true;
}

/* --- what is expected --- */

static bool parse_by(struct parser *p, struct rule_test *test)
{
	struct token at = p->token;
	struct nearest nearest = nearest_to(at.text);

	test->by = parser_take_id(p, "rule", "expect reject by spam");
	if (!test->by)
		return false;
	if (names_find(&p->rule_names, at.text))
		return true;
	for (size_t i = 0; i < p->rule_names.capacity; i++)
		if (p->rule_names.entries[i].name.at)
			nearest_offer(
				&nearest, arena_string(p->scratch, p->rule_names.entries[i].name));
	parser_mistake(p, &at, parser_suggest(p, nearest.best), "there is no rule `%s`", test->by);
	return true;
}

static bool parse_expect(struct parser *p, struct rule_test *test)
{
	struct action **end = &test->expect;
	bool final = false;

	parser_take(p);
	do {
		struct token at = p->token;

		p->expecting = true;
		*end = parse_action(p);
		p->expecting = false;
		if (!*end)
			return false;
		if (final && action_is_final((*end)->kind))
			parser_mistake(p, &at, NULL, "a message has one final action");
		final = final || action_is_final((*end)->kind);
		end = &(*end)->next;
	} while (parser_accept_mark(p, TOKEN_COMMA));
	return !parser_accept(p, "by") || parse_by(p, test);
}

/* --- the test --- */

static bool parse_parts(struct parser *p, struct rule_test *test, const struct token *opened)
{
	bool ok = true;

	while (ok && !parser_at(p, "expect")) {
		if (parser_at(p, "with"))
			ok = parse_with(p);
		else if (parser_at(p, "given"))
			ok = parse_all_given(p);
		else if (p->token.kind == TOKEN_RIGHT_BRACE || p->token.kind == TOKEN_END ||
			 parser_at_item(p))
			return parser_mistake(p, opened, "write: " TEST_EXAMPLE,
				"the test `%s` expects nothing", test->name);
		else
			return parser_misplaced(p, "write: " TEST_EXAMPLE,
				"with, given or expect is expected here, not `%.*s`",
				SPAN_ARGS(p->token.text));
	}
	return ok && parse_expect(p, test);
}

static bool parse_whole(struct parser *p, struct rule_test *test)
{
	struct token at;

	parser_take(p);
	at = p->token;
	if (!parser_accept_mark(p, TOKEN_STRING))
		return parser_missing(p, "write: " TEST_EXAMPLE, "a test needs a name in quotes");
	test->name = token_value(&at, p->arena);
	test->place = parser_place(p, &at);
	if (!parser_take_open(p, "what a test says") || !parse_parts(p, test, &at))
		return false;
	return parser_accept_mark(p, TOKEN_RIGHT_BRACE) ||
	       parser_missing(p, NULL, "a } is missing: the test ends with what it expects");
}

bool parse_test(struct parser *p)
{
	struct rule_test *test = arena_alloc(p->arena, sizeof(*test));
	unsigned depth = p->depth;

	p->values_end = &test->values;
	p->given_names = (struct names){.count = 0};
	if (!parse_whole(p, test))
		parser_recover(p, depth);
	*p->tests_end = test;
	p->tests_end = &test->next;
	p->rules->n_tests++;
	return true;
}

/* Gives each value its slot; one that several slots share (windows) is repeated. */
static void settle(struct parser *p, const struct given *given)
{
	const struct slot_entry *entry = names_find(&p->slot_families, span_text(given->key));
	struct rule_test_value *value = given->value, *copy;

	for (; entry; entry = entry->same) {
		if (given->window_ms && entry->slot.window_ms != given->window_ms)
			continue;
		if (!value->slot) {
			value->slot = &entry->slot;
			continue;
		}
		copy = arena_alloc(p->arena, sizeof(*copy));
		*copy = *value;
		copy->slot = &entry->slot;
		value->next = copy;
		value = copy;
	}
}

void tests_settle(struct parser *p)
{
	for (const struct given *given = p->givens; given; given = given->next)
		settle(p, given);
}

/*
 * Values: a token, or a set of them in braces, and what they mean for a type of fact.
 */
#include <math.h>

#include "policy/parse.h"

/* --- form --- */

static bool is_reserved(const struct parser *p)
{
	static const char *const words[] = {"and", "or", "then", "when", "unless"};

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (parser_at(p, words[i]))
			return true;
	return false;
}

static bool parse_item(struct parser *p, const char *owner, struct value *out)
{
	struct token *item;

	if (!token_is_value(p->token.kind) || p->token.kind == TOKEN_LIST)
		return parser_misplaced(p,
			p->token.kind == TOKEN_LIST ? "write: ... in @a or ... in { ... }" : NULL,
			p->token.kind == TOKEN_LIST         ? "a set holds no list"
			: p->token.kind == TOKEN_LEFT_BRACE ? "a set holds no other set"
							    : "`%s` needs a value in this set",
			owner);
	if (out->n == SET_ITEMS_MAX)
		return parser_mistake(
			p, &p->token, NULL, "a set has at most %d items", SET_ITEMS_MAX);
	item = parser_append(p->scratch, &out->items, &out->n, sizeof(*item));
	*item = parser_take(p);
	return true;
}

/* { VALUE, VALUE }; a comma at the end is fine. */
static bool parse_set(struct parser *p, const char *owner, struct value *out)
{
	struct token opened = parser_take(p);

	out->is_set = true;
	while (p->token.kind != TOKEN_RIGHT_BRACE) {
		if (p->token.kind == TOKEN_END || parser_at_item(p))
			return parser_mistake(
				p, &opened, "add a } behind the set", "this { is never closed");
		if (!parse_item(p, owner, out))
			return false;
		if (parser_accept_mark(p, TOKEN_COMMA))
			continue;
		if (token_is_value(p->token.kind) && !parser_at_item(p))
			return parser_mistake(p, &p->token, "values of a set stand between commas",
				"a , is missing before this");
		if (p->token.kind != TOKEN_RIGHT_BRACE && p->token.kind != TOKEN_END &&
			!parser_at_item(p))
			return parser_misplaced(
				p, NULL, "`%.*s` has no place in a set", SPAN_ARGS(p->token.text));
	}
	parser_take(p);
	return true;
}

bool parse_value(struct parser *p, const char *owner, bool may_be_empty, struct value *out)
{
	*out = (struct value){.at = p->token};
	if (p->token.kind == TOKEN_LEFT_BRACE) {
		if (!parse_set(p, owner, out))
			return false;
		if (out->n == 0 && !may_be_empty)
			parser_mistake(p, &out->at, NULL, "this set is empty: nothing is in it");
		return true;
	}
	if (!token_is_value(p->token.kind) || is_reserved(p) || parser_at_item(p))
		return parser_missing(p, NULL, "`%s` needs a value", owner);
	parser_take(p);
	out->items = arena_alloc(p->scratch, sizeof(*out->items));
	out->items[0] = out->at;
	out->n = 1;
	return true;
}

/* --- meaning --- */

static const char *known_mistake(struct span word)
{
	static const struct {
		const char *word, *meant;
	} mistakes[] = {
		{"hardfail", "fail"},
		{"failed", "fail"},
		{"invalid", "fail"},
		{"ok", "pass"},
		{"passed", "pass"},
		{"valid", "pass"},
		{"missing", "absent"},
		{"unset", "none"},
		{"null", "none"},
		{"error", "temperror"},
	};

	for (size_t i = 0; i < COUNT_OF(mistakes); i++)
		if (span_equal_nocase(word, span_text(mistakes[i].word)))
			return mistakes[i].meant;
	return NULL;
}

static const char *choice_help(struct parser *p, const struct fact *fact, struct span word)
{
	const char *meant = known_mistake(word);
	struct nearest nearest = nearest_to(word);

	if (meant && fact_choice_find(fact, span_text(meant)) >= 0)
		return parser_suggest(p, meant);
	for (const struct fact_choice *c = fact->choices; c && c->word; c++)
		nearest_offer(&nearest, c->word);
	return parser_suggest(p, nearest.best);
}

/* Whether a token of this kind can be such a value at all. */
static bool kind_fits(enum fact_type type, enum token_kind kind)
{
	bool words = kind == TOKEN_WORD || kind == TOKEN_STRING;

	switch (type) {
	case TYPE_BOOL:
		return kind == TOKEN_WORD;
	case TYPE_NUMBER:
		return kind == TOKEN_NUMBER;
	case TYPE_SIZE:
		return kind == TOKEN_NUMBER || kind == TOKEN_SIZE;
	case TYPE_IP:
		return kind == TOKEN_ADDRESS;
	case TYPE_CHOICE:
		return words || kind == TOKEN_NUMBER;
	case TYPE_DOMAIN:
	case TYPE_MAIL:
	case TYPE_TEXT:
	case TYPE_COUNT:
		break;
	}
	return words;
}

static const char *datum_help(
	struct parser *p, const struct fact *fact, const char *owner, const struct token *at)
{
	bool quoted = at->kind == TOKEN_STRING;
	const char *domain = field_domain(p, fact);

	if (fact->type == TYPE_CHOICE)
		return choice_help(p, fact, span_text(token_value(at, p->scratch)));
	if (kind_fits(fact->type, TOKEN_STRING) && at->kind != TOKEN_WORD && !quoted &&
		at->kind != TOKEN_REGEX && at->kind != TOKEN_LIST)
		return HELP(p, "write it in quotes: \"%.*s\"", SPAN_ARGS(at->text));
	if (at->kind == TOKEN_REGEX)
		return HELP(p, "write %s ~ %.*s", owner, SPAN_ARGS(at->text));
	if (fact->type == TYPE_IP && (at->kind == TOKEN_CIDR || at->kind == TOKEN_RANGE))
		return HELP(p, "write %s in %.*s", owner, SPAN_ARGS(at->text));
	if (fact->type == TYPE_MAIL && domain)
		return HELP(p, "`%s` is its domain", domain);
	if (fact->type == TYPE_DOMAIN && at->text.len > 2 && strchr("*.", at->text.at[1]))
		return HELP(p, "with its subdomains: %s under \"example.com\"", owner);
	if (quoted && !kind_fits(fact->type, TOKEN_STRING))
		return "write it without quotes";
	return NULL;
}

/* A domain as facts have it. */
static bool in_ascii(
	struct parser *p, const struct fact *fact, const struct token *at, union fact_datum *datum)
{
	if (!p->setup->ascii || !kind_fits(fact->type, TOKEN_STRING) ||
		fact_text_ascii(fact->type, p->setup->ascii, &datum->text, p->arena))
		return true;
	return parser_mistake(p, at, NULL, "this domain can't be written in ASCII (xn--...)");
}

bool value_datum(struct parser *p, const struct fact *fact, const char *owner,
	const struct token *at, union fact_datum *out)
{
	struct err why;

	memset(out, 0, sizeof(*out));
	if (at->kind == TOKEN_WORD && span_equal(at->text, SPAN("none")) &&
		fact_choice_find(fact, at->text) < 0)
		return parser_mistake(p, at,
			kind_fits(fact->type, TOKEN_STRING)
				? HELP(p, "write `%s is none`, or \"none\" if it is a text", owner)
				: HELP(p, "write `%s is none`", owner),
			"`none` is no value of `%s`", owner);
	if (kind_fits(fact->type, at->kind)) {
		const char *text = token_value(at, p->scratch);

		if (fact_datum_read(fact, span_text(text), p->arena, out, &why))
			return in_ascii(p, fact, at, out);
	}
	return parser_mistake(p, at, datum_help(p, fact, owner, at), "`%s` needs %s", owner,
		fact_expects(fact, p->scratch));
}

bool value_score(struct parser *p, const struct token *at, unsigned max, int64_t *out)
{
	size_t dot = span_find_char(at->text, '.');

	if (fabs(at->number) > max)
		return parser_mistake(p, at, NULL,
			"`%.*s` is out of range: `score` takes -%u to %u", SPAN_ARGS(at->text), max,
			max);
	if (at->text.len > dot + 4)
		return parser_mistake(p, at, NULL, "a score has at most three decimals");
	*out = llround(at->number * SCORE_UNIT);
	return true;
}

/* The last address of a network. */
static struct ip last_of(const struct cidr *network)
{
	struct ip last = network->ip;
	unsigned bits = last.family == IP_V4 ? 32 : 128;

	for (unsigned i = network->prefix_bits; i < bits; i++)
		last.bytes[i / 8] |= (uint8_t)(0x80 >> i % 8);
	return last;
}

bool value_range(struct parser *p, const char *owner, const struct token *at, struct ip_range *out)
{
	if (at->kind == TOKEN_RANGE) {
		out->first = at->range.first;
		out->last = at->range.last;
		return true;
	}
	if (at->kind != TOKEN_ADDRESS && at->kind != TOKEN_CIDR)
		return parser_mistake(p, at,
			at->kind == TOKEN_STRING ? "addresses stand without quotes" : NULL,
			"`%s` needs addresses, networks or ranges, such as 192.0.2.0/24", owner);
	out->first = at->network.ip;
	out->last = last_of(&at->network);
	return true;
}

/* --- lists --- */

static bool fits_list(enum list_type type, enum token_kind kind)
{
	switch (type) {
	case LIST_CIDR:
		return kind == TOKEN_ADDRESS || kind == TOKEN_CIDR;
	case LIST_IP:
		return kind == TOKEN_ADDRESS;
	case LIST_DOMAIN:
	case LIST_MAIL:
	case LIST_TEXT:
	case LIST_HASH:
		break;
	}
	return kind == TOKEN_WORD || kind == TOKEN_STRING;
}

static const char *list_help(enum list_type type, enum token_kind kind)
{
	if (type == LIST_IP && kind == TOKEN_CIDR)
		return "a list of networks has type cidr";
	if ((type == LIST_IP || type == LIST_CIDR) && kind == TOKEN_STRING)
		return "addresses stand without quotes";
	if (kind == TOKEN_RANGE)
		return "write it as networks, such as 192.0.2.0/28";
	if (type != LIST_IP && type != LIST_CIDR && kind != TOKEN_REGEX)
		return "write it in quotes";
	return NULL;
}

static bool add_item(
	struct parser *p, struct list *list, enum list_type type, const struct token *at)
{
	struct err err;
	const char *text;

	if (!fits_list(type, at->kind))
		return parser_mistake(p, at, list_help(type, at->kind),
			"%s can't be an item of a list of type %s", token_kind_name(at->kind),
			list_type_name(type));
	text = token_value(at, p->scratch);
	switch (list_add(list, span_text(text), SPAN(""), &err)) {
	case LIST_REFUSED:
		return parser_mistake(p, at, NULL, "%s", err.text);
	case LIST_MENDED:
		parser_warning(p, at, NULL, "%s", err.text);
		break;
	case LIST_ADDED:
		break;
	}
	return true;
}

static void free_list(void *context)
{
	struct list *list = context;

	list_free(&list);
}

struct list *value_new_list(struct parser *p, enum list_type type, const struct token *at)
{
	struct list *list;

	if (type == LIST_HASH && !p->setup->digest) {
		parser_mistake(p, at, NULL, "there are no digests here for a list of type hash");
		return NULL;
	}
	list = list_new(type, type == LIST_HASH ? p->setup->digest : NULL, p->setup->ascii);
	arena_on_free(p->arena, free_list, list);
	return list;
}

struct list *value_list(struct parser *p, enum list_type type, const struct value *value)
{
	struct list *list = value_new_list(p, type, &value->at);
	bool ok = true;

	if (!list)
		return NULL;
	for (size_t i = 0; i < value->n && !p->stopped; i++)
		ok = add_item(p, list, type, &value->items[i]) && ok;
	list_seal(list);
	return ok ? list : NULL;
}

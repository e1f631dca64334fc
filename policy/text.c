/*
 * Texts with fields. The walk is over what stands in the file, escapes and all, so that a mistake
 * in a field is shown at the field and not at the text around it.
 */
#include "policy/text.h"

#include "policy/grammar.h"
#include "policy/parse.h"

#define BRACE_HELP "a brace itself is written {{"

/* What only a rule knows. */
static const struct {
	const char *name;
	enum text_field field;
	const char *help;
} own_fields[] = {
	{"score", TEXT_SCORE, "the score, of all rules"},
	{"tags", TEXT_TAGS, "the tags of the rules above"},
	{"list.reason", TEXT_LIST_REASON, "why the item is in the list that matched in this rule"},
	{"list.item", TEXT_LIST_ITEM, "the item of that list, as written there"},
	{"rule", TEXT_RULE, "the name of this rule"},
	{"sid", TEXT_SID, "the id of the session"},
};

const char *text_own_field_name(size_t index, const char **help)
{
	if (index >= COUNT_OF(own_fields))
		return NULL;
	*help = own_fields[index].help;
	return own_fields[index].name;
}

bool text_own_field(struct span name)
{
	for (size_t i = 0; i < COUNT_OF(own_fields); i++)
		if (span_equal(name, span_text(own_fields[i].name)))
			return true;
	return false;
}

/* A text as it is read. */
struct reading {
	struct parser *p;
	struct token whole; /* the TOKEN_STRING */
	struct span source; /* between its quotes */
	size_t at;          /* in source */
	struct text *text;
	struct text_part **end;
};

/* Without escapes. */
static struct span unescaped(struct parser *p, struct span source)
{
	/* token_value looks between the first and the last byte, whatever these are: here the
	 * quotes, or what stands in their place. */
	struct token t = {.kind = TOKEN_STRING, .text = {source.at - 1, source.len + 2}};

	return span_text(token_value(&t, p->arena));
}

static struct text_part *add_part(struct reading *r, enum text_field field)
{
	struct text_part *part = arena_alloc(r->p->arena, sizeof(*part));

	part->field = field;
	*r->end = part;
	r->end = &part->next;
	return part;
}

static void add_literal(struct reading *r, size_t from, size_t to)
{
	if (to > from)
		add_part(r, TEXT_LITERAL)->literal =
			unescaped(r->p, span_make(r->source.at + from, to - from));
}

/* A part of the text as token, for a message. */
static struct token part_token(const struct reading *r, size_t from, size_t to)
{
	struct token t = r->whole;

	t.text = span_make(r->source.at + from, to - from);
	for (size_t i = 0; i <= from;) { /* over the quote too */
		uint32_t code;

		i += lex_char(span_make(r->source.at - 1 + i, r->source.len + 1 - i), &code);
		t.column++;
	}
	return t;
}

/* NAME, NAME("text") or NAME(text) in braces; false: it reads like neither. */
static bool read_name(struct parser *p, struct span inner, struct span *name, const char **text)
{
	struct lexer lexer = lexer_make(inner, LEX_RULES);
	struct token t = lex_next(&lexer);

	*name = t.text;
	*text = NULL;
	if (t.kind != TOKEN_WORD)
		return false;
	t = lex_next(&lexer);
	if (t.kind == TOKEN_END)
		return true;
	if (t.kind != TOKEN_LEFT_PAREN)
		return false;
	t = lex_next(&lexer);
	if (t.kind != TOKEN_STRING && t.kind != TOKEN_WORD)
		return false;
	*text = token_value(&t, p->arena);
	t = lex_next(&lexer);
	return t.kind == TOKEN_RIGHT_PAREN && lex_next(&lexer).kind == TOKEN_END;
}

static bool add_own_field(struct reading *r, struct span name)
{
	for (size_t i = 0; i < COUNT_OF(own_fields); i++) {
		if (!span_equal(name, span_text(own_fields[i].name)))
			continue;
		add_part(r, own_fields[i].field);
		if (r->p->rule && own_fields[i].field == TEXT_SCORE)
			r->p->rule->text_reads_score = true;
		if (r->p->rule && own_fields[i].field == TEXT_TAGS)
			r->p->rule->text_reads_tags = true;
		return true;
	}
	return false;
}

/* The nearest of the rule's own names, where no fact is near. */
static bool told_own(struct reading *r, const struct token *at, struct span name)
{
	struct nearest nearest = nearest_to(name);

	for (size_t i = 0; i < COUNT_OF(own_fields); i++)
		nearest_offer(&nearest, own_fields[i].name);
	if (!nearest.best || fact_nearest(r->p->setup->registry, name))
		return false;
	return !parser_mistake(r->p, at, HELP(r->p, "did you mean `%s`?", nearest.best),
		"`%.*s` is no fact", SPAN_ARGS(name));
}

/* A fact; one with a parameter has it in parentheses. */
static void add_fact(
	struct reading *r, const struct token *at, struct span name, const char *parameter)
{
	struct parser *p = r->p;
	struct field field = {.at = *at};
	struct text_part *part;

	if ((!fact_known(p, name) && told_own(r, at, name)) || !field_find(p, at, name, &field))
		return;
	if (field.fact->flags & FACT_OF_FIELD) {
		parser_mistake(p, at, NULL, "`%s` can't stand in a text", field.name);
		return;
	}
	if (field.fact->flags & FACT_OF_TEXT && !(parameter && *parameter)) {
		parser_mistake(p, at, HELP(p, "write {%s(Name)}", field.name),
			"`%s` doesn't say of what it is", field.name);
		return;
	}
	if (!(field.fact->flags & FACT_OF_TEXT) && parameter) {
		parser_mistake(p, at, NULL, "`%s` takes nothing in parentheses", field.name);
		return;
	}
	if (parameter)
		field.text = parameter;
	part = add_part(r, TEXT_SLOT);
	part->slot = slot_of(p, &field, 0);
	slots_add_text(p, part->slot);
}

/* {FIELD}, from its brace on. */
static void read_field(struct reading *r)
{
	struct span rest = span_from(r->source, r->at);
	size_t close = span_find_char(rest, '}');
	struct token at;
	struct span inner, name;
	const char *parameter;

	if (close == rest.len) {
		at = part_token(r, r->at, r->at + 1);
		parser_mistake(r->p, &at, BRACE_HELP, "this { is never closed");
		r->at = r->source.len;
		return;
	}
	at = part_token(r, r->at, r->at + close + 1);
	inner = unescaped(r->p, span_make(rest.at + 1, close - 1));
	r->at += close + 1;
	if (!read_name(r->p, inner, &name, &parameter))
		parser_mistake(r->p, &at, BRACE_HELP,
			"a fact is expected in these braces, such as {client.ip}");
	else if (parameter || !add_own_field(r, name))
		add_fact(r, &at, name, parameter);
}

static void read_parts(struct reading *r)
{
	size_t from = 0;

	while (r->at < r->source.len) {
		char c = r->source.at[r->at];

		if (c != '{') {
			r->at += c == '\\' ? 2 : 1;
			continue;
		}
		if (r->at + 1 < r->source.len && r->source.at[r->at + 1] == '{') {
			add_literal(r, from, r->at + 1);
			from = r->at += 2;
			continue;
		}
		add_literal(r, from, r->at);
		read_field(r);
		from = r->at;
	}
	add_literal(r, from, r->source.len);
}

static bool has_control(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] < ' ' || text.at[i] == 0x7f)
			return true;
	return false;
}

struct text *parse_text(
	struct parser *p, const struct token *at, const char *owner, size_t max_bytes)
{
	struct reading r = {.p = p, .whole = *at};

	r.source = span_make(at->text.at + 1, at->text.len - 2);
	r.text = arena_alloc(p->arena, sizeof(*r.text));
	r.text->source = unescaped(p, r.source);
	r.end = &r.text->first;
	if (r.text->source.len > max_bytes)
		parser_mistake(
			p, at, NULL, "the text of `%s` has at most %zu bytes", owner, max_bytes);
	else if (has_control(r.text->source))
		parser_mistake(p, at, NULL,
			"the text of `%s` holds a line end or another control character", owner);
	else
		read_parts(&r);
	return r.text;
}

struct text *text_plain(struct parser *p, const char *words)
{
	struct text *text = arena_alloc(p->arena, sizeof(*text));

	text->source = span_text(words);
	text->first = arena_alloc(p->arena, sizeof(*text->first));
	text->first->field = TEXT_LITERAL;
	text->first->literal = text->source;
	return text;
}

struct text *text_before(struct parser *p, const char *words, const struct slot *slot)
{
	struct text *text = text_plain(p, words);

	text->source = span_text(arena_print(p->arena, "%s{%s}", words, slot->fact->name));
	text->first->next = arena_alloc(p->arena, sizeof(*text->first));
	text->first->next->field = TEXT_SLOT;
	text->first->next->slot = slot;
	slots_add_text(p, slot);
	return text;
}

/*
 * Fields: what a name in a rule means, and the slot in which its value will stand. Two rules that
 * read the same thing share a slot, so that it is measured once.
 */
#include "lib/base/fail.h"
#include "policy/parse.h"

#define DOC_HELP "`postern config doc facts` lists all"

/* rate(mail.from, recipients) */
#define BY_RECIPIENT "recipients"

enum { PARAMETER_MAX = 255 }; /* bytes of the name of a header or zone */

/* A fact that was looked up before. */
struct known_fact {
	const struct fact *fact;
	enum verdict_fact verdict;
	size_t source;
};

/* --- names --- */

static enum verdict_fact verdict_find(struct span name)
{
	for (size_t i = 0; verdict_facts[i].name; i++)
		if (span_equal(name, span_text(verdict_facts[i].name)))
			return i == 0 ? VERDICT_SCORE : VERDICT_TAGS;
	return VERDICT_NO;
}

/* NULL: there is none. */
static const struct known_fact *known_fact(struct parser *p, struct span name)
{
	struct known_fact *known = names_find(&p->facts, name);
	struct known_fact found = {.verdict = verdict_find(name)};

	if (known)
		return known;
	if (found.verdict)
		found.fact = &verdict_facts[found.verdict == VERDICT_SCORE ? 0 : 1];
	else
		found.fact = fact_find(p->setup->registry, name, &found.source);
	if (!found.fact)
		return NULL;
	known = arena_alloc(p->scratch, sizeof(*known));
	*known = found;
	*names_place(&p->facts, p->scratch, arena_span(p->scratch, name)) = known;
	return known;
}

bool fact_known(struct parser *p, struct span name)
{
	return known_fact(p, name) != NULL;
}

bool field_find(struct parser *p, const struct token *at, struct span name, struct field *out)
{
	const struct known_fact *known = known_fact(p, name);
	const char *nearest;

	if (!known) {
		nearest = fact_nearest(p->setup->registry, name);
		return parser_mistake(p, at, nearest ? parser_suggest(p, nearest) : DOC_HELP,
			"`%.*s` is no fact", SPAN_ARGS(name));
	}
	out->fact = known->fact;
	out->verdict = known->verdict;
	out->source = known->source;
	out->many = known->fact->flags & FACT_MANY;
	out->name = arena_string(p->scratch, name);
	if (known->fact->flags & FACT_FAMILY)
		out->text = arena_string(p->arena, span_from(name, strlen(known->fact->name)));
	return true;
}

const char *field_domain(struct parser *p, const struct fact *fact)
{
	const char *dot = strrchr(fact->name, '.');
	const char *name = dot ? HELP(p, "%.*s.domain", (int)(dot - fact->name), fact->name) : NULL;

	return name && fact_find(p->setup->registry, span_text(name), NULL) ? name : NULL;
}

static bool is_plain(const struct fact *fact)
{
	return fact->type == TYPE_IP || fact->type == TYPE_DOMAIN || fact->type == TYPE_MAIL ||
	       fact->type == TYPE_TEXT;
}

/* Over (...) behind a name that means nothing or takes nothing. */
static bool skip_parameters(struct parser *p)
{
	struct token opened = parser_take(p);

	while (p->token.kind == TOKEN_COMMA || token_is_value(p->token.kind))
		parser_take(p);
	return parser_accept_mark(p, TOKEN_RIGHT_PAREN) ||
	       parser_mistake(p, &opened, NULL, "this ( is never closed");
}

bool parse_plain_field(struct parser *p, const char *owner, struct field *out)
{
	unsigned functions = FACT_OF_TEXT | FACT_OF_FIELD | FACT_IN_TEXTS;

	*out = (struct field){.at = p->token};
	if (p->token.kind != TOKEN_WORD)
		return parser_missing(
			p, NULL, "%s needs a fact, such as client.ip or mail.from", owner);
	parser_take(p);
	if (p->token.kind == TOKEN_LEFT_PAREN && !skip_parameters(p))
		return false;
	if (!field_find(p, &out->at, out->at.text, out) || !out->fact)
		return true;
	if (!is_plain(out->fact) || out->fact->flags & functions || out->verdict) {
		parser_mistake(p, &out->at, NULL,
			"%s needs a fact that is an address, a domain, a mail address or a text",
			owner);
		out->fact = NULL;
	}
	return true;
}

/* --- parameters --- */

/* How the fact is written with its parameters, as help. */
static const char *form_of(struct parser *p, const struct fact *fact)
{
	bool text = fact->flags & FACT_OF_TEXT, field = fact->flags & FACT_OF_FIELD;

	if (text && field)
		return HELP(p, "write: %s(\"zone.example\", client.ip)", fact->name);
	if (field)
		return HELP(p, "write: %s(mail.from)", fact->name);
	return HELP(p, "write: %s(\"Name\")", fact->name);
}

/* A parameter in quotes; *text is NULL when only its meaning is bad. */
static bool parse_parameter_text(struct parser *p, const struct fact *fact, const char **text)
{
	struct token at = p->token;
	size_t len;

	if (at.kind != TOKEN_STRING)
		return parser_missing(
			p, form_of(p, fact), "`%s` needs a name in quotes", fact->name);
	parser_take(p);
	*text = token_value(&at, p->arena);
	len = strlen(*text);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)(*text)[i] > ' ' && (*text)[i] != 0x7f && len <= PARAMETER_MAX)
			continue;
		parser_mistake(p, &at, NULL,
			"the name that `%s` takes has at most %d bytes and no blanks", fact->name,
			PARAMETER_MAX);
		*text = NULL;
		return true;
	}
	if (len == 0)
		parser_mistake(p, &at, form_of(p, fact), "this name is empty");
	return true;
}

/* A field that a test names is no reason to measure it: it is there for its name and stage only. */
static const struct slot *slot_unread(struct parser *p, const struct field *field)
{
	struct slot *slot = arena_alloc(p->scratch, sizeof(*slot));

	slot->fact = field->fact;
	slot->name = field->name;
	slot->stage = field->fact->stage;
	return slot;
}

static bool parse_parameters(struct parser *p, enum field_use use, struct field *out)
{
	const struct fact *fact = out->fact;
	struct field of = {.fact = NULL};

	parser_take(p); /* ( */
	if (fact->flags & FACT_OF_TEXT && !parse_parameter_text(p, fact, &out->text))
		return false;
	if (fact->flags & FACT_OF_TEXT && fact->flags & FACT_OF_FIELD &&
		!parser_accept_mark(p, TOKEN_COMMA))
		return parser_missing(p, form_of(p, fact), "a , and a fact are missing");
	if (fact->flags & FACT_OF_FIELD && !parse_plain_field(p, HELP(p, "`%s`", fact->name), &of))
		return false;
	if (fact->flags & FACT_COUNTS && parser_accept_mark(p, TOKEN_COMMA)) {
		if (!parser_accept(p, BY_RECIPIENT))
			return parser_missing(p,
				HELP(p, "write: %s(mail.from, recipients)", fact->name),
				"`%s` counts transactions, or recipients", fact->name);
		out->text = BY_RECIPIENT;
	}
	if (!parser_accept_mark(p, TOKEN_RIGHT_PAREN))
		return parser_missing(p, form_of(p, fact), "a ) is missing");
	if ((fact->flags & FACT_OF_TEXT && !out->text) ||
		(fact->flags & FACT_OF_FIELD && !of.fact)) {
		out->fact = NULL;
		return true;
	}
	if (of.fact) {
		out->field = use == FIELD_IN_TEST ? slot_unread(p, &of) : slot_of(p, &of, 0);
		out->many = out->many || of.many;
	}
	return true;
}

static const char *full_name(struct parser *p, const struct field *field)
{
	const char *name = field->fact->name, *of = field->field ? field->field->name : "";
	bool text = field->fact->flags & FACT_OF_TEXT;

	if (text && field->field)
		return HELP(p, "%s(\"%s\", %s)", name, field->text ? field->text : "", of);
	if (text)
		return HELP(p, "%s(\"%s\")", name, field->text ? field->text : "");
	if (field->field && field->text)
		return HELP(p, "%s(%s, %s)", name, of, field->text);
	return field->field ? HELP(p, "%s(%s)", name, of) : field->name;
}

static bool starts_field(const struct parser *p)
{
	static const char *const reserved[] = {"and", "or", "not", "then", "when", "unless"};

	for (size_t i = 0; i < COUNT_OF(reserved); i++)
		if (parser_at(p, reserved[i]))
			return false;
	return p->token.kind == TOKEN_WORD && !parser_at_item(p);
}

bool parse_field(struct parser *p, enum field_use use, struct field *out)
{
	bool is_function;

	*out = (struct field){.at = p->token};
	if (!starts_field(p))
		return parser_missing(
			p, DOC_HELP, "a fact is expected here, such as client.ip or spf");
	parser_take(p);
	if (text_own_field(out->at.text) && !fact_known(p, out->at.text)) {
		parser_mistake(p, &out->at,
			HELP(p, "write {%.*s} in a text", SPAN_ARGS(out->at.text)),
			"`%.*s` stands only in texts", SPAN_ARGS(out->at.text));
		return true;
	}
	if (!field_find(p, &out->at, out->at.text, out))
		return p->token.kind != TOKEN_LEFT_PAREN || skip_parameters(p);
	is_function = out->fact->flags & (FACT_OF_TEXT | FACT_OF_FIELD);
	if (!is_function && p->token.kind == TOKEN_LEFT_PAREN) {
		parser_mistake(p, &p->token, NULL, "`%s` takes nothing in parentheses", out->name);
		out->fact = NULL;
		return skip_parameters(p);
	}
	if (is_function && p->token.kind != TOKEN_LEFT_PAREN) {
		parser_mistake(p, &out->at, form_of(p, out->fact), "`%s` doesn't say of what it is",
			out->name);
		out->fact = NULL;
		return true;
	}
	if (is_function && !parse_parameters(p, use, out))
		return false;
	if (!out->fact)
		return true;
	out->name = full_name(p, out);
	out->is_rate = out->fact->flags & FACT_OF_FIELD && out->fact->type == TYPE_NUMBER;
	if (use == FIELD_IN_WHEN && out->fact->flags & FACT_IN_TEXTS) {
		parser_mistake(p, &out->at, HELP(p, "write {%s} in a text", out->name),
			"`%s` stands only in texts", out->name);
		out->fact = NULL;
	}
	return true;
}

/* --- slots --- */

const char *slot_key(struct parser *p, const struct field *field)
{
	char *key = arena_string(p->scratch, span_text(full_name(p, field)));

	for (char *c = key; *c; c++)
		*c = ascii_lower(*c);
	return key;
}

static enum stage slot_stage(const struct field *field)
{
	enum stage stage = field->fact->stage;

	if (field->fact->flags & FACT_COUNTS && field->text && stage < STAGE_RCPT)
		stage = STAGE_RCPT;
	return field->field && field->field->stage > stage ? field->field->stage : stage;
}

static struct slot_entry *slot_new(struct parser *p, const struct field *field)
{
	struct slot_entry *entry = arena_alloc(p->arena, sizeof(*entry));
	struct slot *slot = &entry->slot, **place;

	slot->fact = field->fact;
	slot->source = field->source;
	slot->text = field->text;
	slot->field = field->field;
	slot->stage = slot_stage(field);
	slot->index = p->rules->n_at[slot->stage]++;
	slot->number = (unsigned)p->rules->n_slots;
	slot->name = arena_string(p->arena, span_text(full_name(p, field)));
	place = parser_append(
		p->arena, &p->rules->slots, &p->rules->n_slots, sizeof(p->rules->slots[0]));
	*place = slot;
	return entry;
}

const struct slot *slot_of(struct parser *p, const struct field *field, uint64_t window_ms)
{
	const char *family = slot_key(p, field);
	const char *key =
		window_ms ? HELP(p, "%s %llu", family, (unsigned long long)window_ms) : family;
	struct slot_entry **place, **first, *entry;

	ENSURE(field->fact && !field->verdict);
	place = (struct slot_entry **)names_place(&p->slots, p->scratch, span_text(key));
	if (*place)
		return &(*place)->slot;
	*place = entry = slot_new(p, field);
	entry->slot.window_ms = window_ms;
	first = (struct slot_entry **)names_place(&p->slot_families, p->scratch, span_text(family));
	entry->same = *first;
	*first = entry;
	return &entry->slot;
}

const struct slot *slot_listed(
	struct parser *p, const struct field *field, const struct token *at, struct rule_list *list)
{
	struct field lookup = {.at = field->at};
	struct slot_entry **place;
	const char *key;

	lookup.fact = fact_find(p->setup->registry, SPAN("dnsbl"), &lookup.source);
	if (!lookup.fact) {
		parser_mistake(p, at, NULL, "lists from a dnsbl can't be looked up here");
		return NULL;
	}
	lookup.field = slot_of(p, field, 0);
	key = HELP(p, "%s in @%s", lookup.field->name, list->name);
	place = (struct slot_entry **)names_place(&p->slots, p->scratch, span_text(key));
	if (*place)
		return &(*place)->slot;
	*place = slot_new(p, &lookup);
	(*place)->slot.list = list;
	(*place)->slot.name = arena_string(p->arena, span_text(key));
	return &(*place)->slot;
}

static void slot_keep(struct parser *p, const struct fact *fact, size_t source)
{
	struct field field = {.fact = fact, .source = source, .name = fact->name};
	size_t before = p->rules->n_slots;
	const struct slot *slot = slot_of(p, &field, 0);

	if (p->rules->n_slots > before)
		p->rules->slots[slot->number]->unread = true;
}

void slots_keep(struct parser *p)
{
	const unsigned parameters = FACT_OF_TEXT | FACT_OF_FIELD | FACT_FAMILY;
	const struct fact_registry *registry = p->setup->registry;

	for (size_t i = 0; p->setup->keeps && i < registry->n_sources; i++)
		for (const struct fact *f = registry->sources[i].facts; f->name; f++)
			if (!(f->flags & (parameters | FACT_ABSENT)) && p->setup->keeps(f))
				slot_keep(p, f, i);
}

/* --- the slots of the rule in hand --- */

static void add_once(
	struct parser *p, struct slot_array *all, unsigned *seen_in, const struct slot *slot)
{
	const struct slot **place;

	if (!p->rule || *seen_in == p->rule->index + 1)
		return;
	*seen_in = p->rule->index + 1;
	place = parser_append(p->scratch, &all->items, &all->n, sizeof(all->items[0]));
	*place = slot;
}

void slots_add_when(struct parser *p, const struct slot *slot)
{
	struct slot_entry *entry =
		CONTAINER_OF(p->rules->slots[slot->number], struct slot_entry, slot);

	add_once(p, &p->when_slots, &entry->in_when, slot);
}

void slots_add_text(struct parser *p, const struct slot *slot)
{
	struct slot_entry *entry =
		CONTAINER_OF(p->rules->slots[slot->number], struct slot_entry, slot);

	add_once(p, &p->text_slots, &entry->in_texts, slot);
}

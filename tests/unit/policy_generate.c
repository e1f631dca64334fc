#include "tests/unit/policy_generate.h"

#include <stdio.h>

#include "lib/base/fail.h"
#include "policy/text.h"

/* --- choices --- */

struct choices choices_of_seed(uint64_t seed)
{
	return (struct choices){.state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15)};
}

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

unsigned choose(struct choices *c, unsigned n)
{
	ENSURE(n > 0);
	if (c->n_bytes) {
		c->n_bytes--;
		return *c->bytes++ % n;
	}
	return c->state ? (unsigned)(next_random(&c->state) % n) : 0;
}

bool choose_often(struct choices *c, unsigned percent)
{
	return choose(c, 100) >= 100 - percent;
}

/* --- the universe --- */

static const struct fact_choice results[] = {
	{"none", NULL}, {"pass", NULL}, {"fail", NULL}, {NULL, NULL}};

static const struct fact facts[SLOTS + 1] = {
	{"c.bool", TYPE_BOOL, STAGE_CONNECT, 0, NULL, ""},
	{"c.choice", TYPE_CHOICE, STAGE_CONNECT, FACT_ORDERED, results, ""},
	{"h.number", TYPE_NUMBER, STAGE_HELO, 0, NULL, ""},
	{"m.text", TYPE_TEXT, STAGE_MAIL, 0, NULL, ""},
	{"r.bool", TYPE_BOOL, STAGE_RCPT, 0, NULL, ""},
	{"r.text", TYPE_TEXT, STAGE_RCPT, 0, NULL, ""},
	{"d.number", TYPE_NUMBER, STAGE_HEADER, 0, NULL, ""},
	{"e.many", TYPE_TEXT, STAGE_MESSAGE, FACT_MANY, NULL, ""},
	{"e.bool", TYPE_BOOL, STAGE_MESSAGE, 0, NULL, ""},
	{.name = NULL},
};

static const struct fact_source source = {"universe", facts};
static const struct fact_registry registry = {&source, 1};

/* The slot that m.text is looked up with, as of NAME(FIELD). */
enum { SLOT_FIELD = 2, SLOT_WITH_FIELD = 3 };

static const union fact_datum yes = {.yes = true}, no = {.yes = false};
static const union fact_datum choice_data[] = {{.choice = 0}, {.choice = 1}, {.choice = 2}};
static const union fact_datum numbers[] = {{.number = 1}, {.number = 2}, {.number = 3}};
static const union fact_datum texts[] = {{.text = {"A", 1}}, {.text = {"b", 1}},
	{.text = {"ab", 2}}, {.text = {"c", 1}}, {.text = {"b", 1}}, {.text = {"C", 1}}};

#define KNOWN(n, items)                                                                            \
	{                                                                                          \
		FACT_KNOWN, (n), (items), NULL                                                     \
	}
#define FAILED                                                                                     \
	{                                                                                          \
		FACT_FAILED, 0, NULL, "on purpose"                                                 \
	}

static const struct states {
	unsigned n;
	struct fact_value values[STATES_MAX];
} states_of_type[TYPE_COUNT] = {
	[TYPE_BOOL] = {4, {KNOWN(1, &no), KNOWN(1, &yes), KNOWN(0, NULL), FAILED}},
	[TYPE_CHOICE] = {5, {KNOWN(1, &choice_data[0]), KNOWN(1, &choice_data[1]),
				    KNOWN(1, &choice_data[2]), KNOWN(0, NULL), FAILED}},
	[TYPE_NUMBER] = {5, {KNOWN(1, &numbers[0]), KNOWN(1, &numbers[1]), KNOWN(1, &numbers[2]),
				    KNOWN(0, NULL), FAILED}},
	[TYPE_TEXT] = {6, {KNOWN(1, &texts[0]), KNOWN(1, &texts[1]), KNOWN(1, &texts[2]),
				  KNOWN(1, &texts[3]), KNOWN(0, NULL), FAILED}},
};
static const struct states many_states = {
	5, {KNOWN(0, NULL), KNOWN(1, &texts[0]), KNOWN(2, &texts[1]), KNOWN(3, &texts[3]), FAILED}};

static const struct states *states_of(unsigned slot)
{
	return facts[slot].flags & FACT_MANY ? &many_states : &states_of_type[facts[slot].type];
}

unsigned slot_states(unsigned slot)
{
	return states_of(slot)->n;
}

enum stage slot_stage(unsigned slot)
{
	return facts[slot].stage;
}

static unsigned index_in_stage(unsigned slot)
{
	unsigned index = 0;

	for (unsigned i = 0; i < slot; i++)
		index += facts[i].stage == facts[slot].stage;
	return index;
}

void world_set(struct world *w, unsigned slot, uint8_t state)
{
	w->state[slot] = state;
	w->values[slot] = state == STATE_PENDING ? (struct fact_value){.state = FACT_PENDING}
						 : states_of(slot)->values[state];
	w->by_stage[facts[slot].stage][index_in_stage(slot)] = w->values[slot];
}

void world_pending(struct world *w)
{
	memset(w, 0, sizeof(*w));
	for (unsigned i = 0; i < SLOTS; i++)
		world_set(w, i, STATE_PENDING);
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		w->subject.at[i] = w->by_stage[i];
}

void world_choose(struct world *w, struct choices *c)
{
	world_pending(w);
	for (unsigned i = 0; i < SLOTS; i++)
		world_set(w, i, (uint8_t)choose(c, slot_states(i)));
}

/* --- what a rule set is made of --- */

const struct generate generate_anything = {.rules_min = 1,
	.rules_max = 12,
	.depth_max = 4,
	.now = true,
	.score = true,
	.tags = true,
	.guarded = 10};

struct making {
	struct choices *c;
	const struct generate *how;
	struct arena *arena;
	struct rules *rules;
	struct rule *rule; /* in hand */
	bool may_read_verdict;
	bool may_read_late; /* facts behind RCPT */
	bool tags_read_score;
	bool used[SLOTS]; /* by conditions so far */
	bool in_when[SLOTS], in_texts[SLOTS];
};

static struct slot **slots_new(struct arena *arena)
{
	struct slot **slots = arena_alloc(arena, SLOTS * sizeof(*slots));

	for (unsigned i = 0; i < SLOTS; i++) {
		slots[i] = arena_alloc(arena, sizeof(*slots[i]));
		*slots[i] = (struct slot){.fact = &facts[i],
			.stage = facts[i].stage,
			.index = index_in_stage(i),
			.number = i,
			.name = facts[i].name};
	}
	slots[SLOT_WITH_FIELD]->field = slots[SLOT_FIELD];
	return slots;
}

/* --- conditions --- */

static struct expr *expr_new(struct making *m, enum expr_kind kind)
{
	struct expr *e = arena_alloc(m->arena, sizeof(*e));

	e->kind = kind;
	return e;
}

static struct expr *test_new(struct making *m, const struct test *test)
{
	struct expr *e = expr_new(m, EXPR_TEST);

	e->test = arena_alloc(m->arena, sizeof(*e->test));
	*e->test = *test;
	return e;
}

static enum quantifier choose_quantifier(struct making *m)
{
	static const enum quantifier all[] = {QUANTIFIER_ANY, QUANTIFIER_ALL, QUANTIFIER_NO};

	return all[choose(m->c, COUNT_OF(all))];
}

static union fact_datum choose_literal(struct making *m, enum fact_type type)
{
	static const union fact_datum literals[] = {{.text = {"a", 1}}, {.text = {"b", 1}},
		{.text = {"ab", 2}}, {.text = {"c", 1}}, {.text = {"d", 1}}, {.text = {"e", 1}}};

	if (type == TYPE_BOOL)
		return choose(m->c, 2) ? yes : no;
	if (type == TYPE_CHOICE)
		return choice_data[choose(m->c, COUNT_OF(choice_data))];
	if (type == TYPE_NUMBER)
		return (union fact_datum){.number = 1 + choose(m->c, m->how->once ? 3 : 5)};
	return literals[choose(m->c, m->how->once ? 4 : 6)];
}

static void choose_set(struct making *m, struct test *t)
{
	union fact_datum *data;

	t->op = OP_IN;
	t->operand = OPERAND_DATA;
	t->n = 1 + choose(m->c, 2);
	t->data = data = arena_alloc(m->arena, t->n * sizeof(*data));
	for (size_t i = 0; i < t->n; i++)
		data[i] = choose_literal(m, t->type);
}

static void ask_for_none(struct making *m, struct test *t)
{
	t->op = choose(m->c, 2) ? OP_IS_NONE : OP_IS_NOT_NONE;
	t->quantifier = QUANTIFIER_ONE;
}

static void choose_operator(struct making *m, struct test *t)
{
	static const enum operator ordered[] = {
		OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL};
	unsigned which = choose(m->c, 8);

	t->operand = OPERAND_DATUM;
	t->datum = choose_literal(m, t->type);
	t->op = which & 1 ? OP_EQUAL : OP_NOT_EQUAL;
	if (which == 0)
		ask_for_none(m, t);
	else if (m->how->once)
		return; /* what follows can hold, or fail to, for every value */
	else if (which == 2 && t->type != TYPE_BOOL)
		choose_set(m, t);
	else if (which == 4 && (t->type == TYPE_NUMBER || t->type == TYPE_CHOICE))
		t->op = ordered[choose(m->c, COUNT_OF(ordered))];
	else if (which == 4 && t->type == TYPE_TEXT)
		t->op = OP_CONTAINS;
	else if (which == 4)
		t->op = OP_TRUE;
}

static struct expr *fact_test(struct making *m, unsigned slot)
{
	struct test t = {.slot = m->rules->slots[slot], .type = facts[slot].type};

	m->used[slot] = m->in_when[slot] = true;
	if (facts[slot].flags & FACT_MANY)
		t.quantifier = choose_quantifier(m);
	choose_operator(m, &t);
	return test_new(m, &t);
}

static struct expr *score_test(struct making *m)
{
	static const enum operator ops[] = {
		OP_GREATER_EQUAL, OP_GREATER, OP_LESS, OP_LESS_EQUAL, OP_EQUAL, OP_NOT_EQUAL};
	struct test t = {.verdict = VERDICT_SCORE,
		.type = TYPE_NUMBER,
		.op = ops[choose(m->c, COUNT_OF(ops))],
		.operand = OPERAND_DATUM,
		.score = ((int)choose(m->c, 12) - 4) * SCORE_UNIT};

	m->rule->reads_score = true;
	return test_new(m, &t);
}

static struct expr *tags_test(struct making *m)
{
	struct test t = {.verdict = VERDICT_TAGS, .type = TYPE_TEXT};

	t.quantifier = choose_quantifier(m);
	t.operand = OPERAND_DATUM;
	t.datum = choose_literal(m, TYPE_TEXT);
	t.op = choose(m->c, 2) ? OP_EQUAL : OP_NOT_EQUAL;
	if (choose(m->c, 5) == 0)
		ask_for_none(m, &t);
	m->rule->reads_tags = true;
	m->rule->reads_score = m->rule->reads_score || m->tags_read_score;
	return test_new(m, &t);
}

static struct expr *choose_test(struct making *m)
{
	unsigned slots = m->may_read_late ? SLOTS : 6, slot = choose(m->c, slots);
	bool changes_score = m->rule->scores;

	if (m->how->score && m->may_read_verdict && !changes_score &&
		choose_often(m->c, m->how->verdicts ? 35 : 12))
		return score_test(m);
	if (m->how->tags && m->may_read_verdict && !(changes_score && m->tags_read_score) &&
		choose_often(m->c, m->how->verdicts ? 30 : 10))
		return tags_test(m);
	for (unsigned i = 0; m->how->once && i < slots; i++)
		if (m->used[slot])
			slot = (slot + 1) % slots;
	if (m->how->once && m->used[slot])
		return expr_new(m, EXPR_TRUE);
	return fact_test(m, slot);
}

static struct expr *choose_expr(struct making *m, unsigned depth)
{
	unsigned which = depth ? choose(m->c, 8) : 0;
	struct expr *e, **end;

	if (which < 4)
		return choose_test(m);
	e = expr_new(m, which == 4 ? EXPR_NOT : which < 7 ? EXPR_AND : EXPR_OR);
	end = &e->first;
	for (unsigned n = e->kind == EXPR_NOT ? 1 : 2 + choose(m->c, 2); n > 0; n--) {
		*end = choose_expr(m, depth - 1);
		end = &(*end)->next;
	}
	return e;
}

/* A literal that the rule needs, and then anything. */
static struct expr *guarded_expr(struct making *m)
{
	struct expr *e = expr_new(m, EXPR_AND);
	unsigned slot = choose(m->c, 4);
	struct test t = {.slot = m->rules->slots[slot],
		.type = facts[slot].type,
		.op = OP_EQUAL,
		.operand = OPERAND_DATUM,
		.datum = choose_literal(m, facts[slot].type)};

	if (choose(m->c, 3) == 0)
		choose_set(m, &t);
	m->used[slot] = m->in_when[slot] = true;
	e->first = test_new(m, &t);
	e->first->next = choose_expr(m, 1);
	return e;
}

/* --- actions --- */

static struct text_part *part_new(struct making *m, enum text_field field)
{
	struct text_part *part = arena_alloc(m->arena, sizeof(*part));

	part->field = field;
	return part;
}

static struct text *choose_text(struct making *m)
{
	struct text *text = arena_alloc(m->arena, sizeof(*text));
	unsigned which = m->how->verdicts ? 2 + choose(m->c, 3) : choose(m->c, 8);
	unsigned slot = choose(m->c, SLOTS);

	text->source = SPAN("text");
	if (which < 3) {
		text->first = part_new(m, TEXT_SLOT);
		text->first->slot = m->rules->slots[slot];
		m->in_texts[slot] = true;
	} else if (which == 3 && m->how->score) {
		text->first = part_new(m, TEXT_SCORE);
		m->rule->text_reads_score = true;
	} else if (which == 4) {
		text->first = part_new(m, TEXT_TAGS);
		m->rule->text_reads_tags = true;
	} else {
		text->first = part_new(m, TEXT_LITERAL);
		text->first->literal = text->source;
	}
	return text;
}

static struct text *choose_tag(struct making *m)
{
	struct text *text = arena_alloc(m->arena, sizeof(*text));

	text->source = choose_literal(m, TYPE_TEXT).text;
	text->first = part_new(m, TEXT_LITERAL);
	text->first->literal = text->source;
	return text;
}

static struct action *action_add(struct making *m, enum action_kind kind)
{
	struct action **end = &m->rule->actions;

	while (*end)
		end = &(*end)->next;
	*end = arena_alloc(m->arena, sizeof(**end));
	(*end)->kind = kind;
	return *end;
}

static void choose_final(struct making *m)
{
	struct action *a = action_add(m, (enum action_kind)choose(m->c, ACTION_DISCARD + 1));

	m->rule->final = a;
	a->now = a->kind == ACTION_REJECT && m->how->now && choose(m->c, 2);
	if (a->kind != ACTION_ACCEPT && a->kind != ACTION_GREYLIST && choose(m->c, 2))
		a->text = choose_text(m);
}

static void choose_accumulating(struct making *m)
{
	static const char *const backends[] = {"one", "two"};

	if (m->how->tags && choose_often(m->c, m->how->verdicts ? 40 : 15))
		action_add(m, ACTION_TAG)->text = choose_tag(m);
	if (choose_often(m->c, 12))
		action_add(m, ACTION_HEADER_ADD)->text = choose_text(m);
	if (choose_often(m->c, 8))
		action_add(m, ACTION_DELAY);
	if (!m->may_read_late)
		action_add(m, ACTION_ROUTE)->name = backends[choose(m->c, 2)];
	if (choose_often(m->c, 8)) {
		unsigned slot = choose(m->c, 6);

		action_add(m, ACTION_ADD)->field = m->rules->slots[slot];
		m->in_texts[slot] = true;
	}
	if (m->rule->scores)
		action_add(m, ACTION_SCORE)->score = ((int)choose(m->c, 11) - 4) * SCORE_UNIT;
}

/* --- rules --- */

static const struct slot **slots_of(struct making *m, const bool *in, unsigned *n)
{
	const struct slot **out = arena_alloc(m->arena, SLOTS * sizeof(*out));

	*n = 0;
	for (unsigned i = 0; i < SLOTS; i++)
		if (in[i])
			out[(*n)++] = m->rules->slots[i];
	return out;
}

static void choose_rule(struct making *m, unsigned index)
{
	struct rule *r = m->rule = arena_alloc(m->arena, sizeof(*r));
	unsigned mode = choose(m->c, 12);
	bool guarded = choose_often(m->c, m->how->guarded);

	memset(m->in_when, 0, sizeof(m->in_when));
	memset(m->in_texts, 0, sizeof(m->in_texts));
	r->name = arena_print(m->arena, "r%u", index);
	r->index = index;
	r->mode = mode == 0 ? RULE_MONITOR : mode == 1 ? RULE_OFF : RULE_ON;
	r->on_error = choose_often(m->c, 20) ? ON_ERROR_DEFER : ON_ERROR_SKIP;
	r->scores = m->how->score && choose_often(m->c, m->how->verdicts ? 60 : 35);
	m->may_read_verdict = m->may_read_late = !choose_often(m->c, 8); /* no: it has a route */
	if (choose_often(m->c, 97))
		r->when = guarded ? guarded_expr(m)
				  : choose_expr(m, choose(m->c, m->how->depth_max + 1));
	if (choose_often(m->c, 55))
		choose_final(m);
	choose_accumulating(m);
	r->slots = slots_of(m, m->in_when, &r->n_slots);
	r->text_slots = slots_of(m, m->in_texts, &r->n_text_slots);
	for (const struct action *a = r->actions; a; a = a->next)
		m->tags_read_score =
			m->tags_read_score || (a->kind == ACTION_TAG && r->reads_score);
	m->rules->items[index] = r;
}

struct rules *generate_rules(struct choices *c, const struct generate *how)
{
	struct arena *arena = arena_new(16 * 1024);
	struct rules *rules = arena_alloc(arena, sizeof(*rules));
	struct making m = {.c = c, .how = how, .arena = arena, .rules = rules};

	rules->arena = arena;
	rules->registry = &registry;
	rules->slots = slots_new(arena);
	rules->n_slots = SLOTS;
	for (unsigned i = 0; i < SLOTS; i++)
		rules->n_at[facts[i].stage]++;
	rules->n = how->rules_min + choose(c, how->rules_max - how->rules_min + 1);
	rules->items = arena_alloc(arena, rules->n * sizeof(*rules->items));
	for (unsigned i = 0; i < rules->n; i++)
		choose_rule(&m, i);
	return rules;
}

/* --- for people --- */

static void datum_print(enum fact_type type, const union fact_datum *d)
{
	if (type == TYPE_TEXT)
		printf("\"%.*s\"", SPAN_ARGS(d->text));
	else if (type == TYPE_CHOICE)
		printf("%s", results[d->choice].word);
	else
		printf("%g", type == TYPE_BOOL ? d->yes : d->number);
}

static void test_print(const struct test *t)
{
	static const char *const ops[] = {"", "==", "!=", "<", "<=", ">", ">=", "in", "under",
		"contains", "~", "is none", "is not none"};
	static const char *const quantifiers[] = {"", "any ", "all ", "no "};

	printf("%s", quantifiers[t->quantifier]);
	if (t->verdict == VERDICT_SCORE) {
		printf("score %s %lld", ops[t->op], (long long)t->score / SCORE_UNIT);
		return;
	}
	printf("%s %s ", t->slot ? t->slot->name : "tags", ops[t->op]);
	if (t->op == OP_IS_NONE || t->op == OP_IS_NOT_NONE || t->op == OP_TRUE)
		return;
	for (size_t i = 0; i < (t->operand == OPERAND_DATA ? t->n : 1); i++) {
		printf("%s", i ? ", " : "");
		datum_print(t->type, t->operand == OPERAND_DATA ? &t->data[i] : &t->datum);
	}
}

static void expr_print(const struct expr *e)
{
	if (e->kind == EXPR_TRUE) {
		printf("true");
		return;
	}
	if (e->kind == EXPR_TEST) {
		test_print(e->test);
		return;
	}
	printf("%s", e->kind == EXPR_NOT ? "not (" : "(");
	for (const struct expr *child = e->first; child; child = child->next) {
		expr_print(child);
		printf("%s", !child->next ? "" : e->kind == EXPR_AND ? " and " : " or ");
	}
	printf(")");
}

static void action_print(const struct action *a)
{
	printf("%s%s", action_name(a->kind), a->now ? " now" : "");
	if (a->kind == ACTION_SCORE)
		printf(" %lld", (long long)a->score / SCORE_UNIT);
	if (a->kind == ACTION_TAG)
		printf(" \"%.*s\"", SPAN_ARGS(a->text->source));
	else if (a->text && a->text->first->field == TEXT_SLOT)
		printf(" \"{%s}\"", a->text->first->slot->name);
	else if (a->text)
		printf(" \"%s\"", a->text->first->field == TEXT_SCORE  ? "{score}"
				  : a->text->first->field == TEXT_TAGS ? "{tags}"
								       : "text");
	if (a->name)
		printf(" %s", a->name);
	if (a->field)
		printf(" %s", a->field->name);
	printf("%s", a->next ? ", " : "");
}

void rules_print(const struct rules *rules)
{
	static const char *const modes[] = {"", " monitor", " off"};

	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = rules->items[i];

		printf("rule %s%s { when ", r->name, modes[r->mode]);
		if (r->when)
			expr_print(r->when);
		printf("%s then ", r->on_error == ON_ERROR_DEFER ? " on error defer" : "");
		for (const struct action *a = r->actions; a; a = a->next)
			action_print(a);
		printf(" }\n");
	}
}

void world_print(const struct world *w)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct fact_value *v = &w->values[i];

		printf("%s = ", facts[i].name);
		if (v->state != FACT_KNOWN)
			printf("%s", v->state == FACT_PENDING ? "pending" : "failed");
		for (uint32_t k = 0; k < v->count; k++)
			datum_print(facts[i].type, &v->items[k]);
		printf("%s", i + 1 < SLOTS ? ", " : "\n");
	}
}

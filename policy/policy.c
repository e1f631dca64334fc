#include "policy/policy.h"

#include <stdlib.h>

#include "lib/base/fail.h"
#include "policy/read.h"
#include "policy/truth.h"

enum { GUARD_WORTH = 8 /* so many rules on one slot before an index of them pays */ };

/* Rules of each slot, while they are gathered. */
struct gathering {
	struct arena *arena; /* borrowed */
	size_t *counts;      /* by slot */
	uint32_t **lists;
};

static uint64_t *set_new(const struct policy *p)
{
	return arena_alloc(p->arena, (p->words ? p->words : 1) * sizeof(uint64_t));
}

/* --- who reads a slot --- */

static void gather_init(struct gathering *g, const struct policy *p, bool texts)
{
	size_t n = p->n_slots ? p->n_slots : 1;

	g->counts = arena_alloc(g->arena, n * sizeof(*g->counts));
	g->lists = arena_alloc(g->arena, n * sizeof(*g->lists));
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *r = policy_rule(p, i);
		unsigned count = texts ? r->n_text_slots : r->n_slots;

		for (unsigned k = 0; k < count; k++)
			g->counts[(texts ? r->text_slots : r->slots)[k]->number]++;
	}
	for (size_t i = 0; i < p->n_slots; i++) {
		g->lists[i] = arena_alloc(p->arena, (g->counts[i] + 1) * sizeof(uint32_t));
		g->counts[i] = 0;
	}
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *r = policy_rule(p, i);
		unsigned count = texts ? r->n_text_slots : r->n_slots;

		for (unsigned k = 0; k < count; k++) {
			unsigned slot = (texts ? r->text_slots : r->slots)[k]->number;

			g->lists[slot][g->counts[slot]++] = (uint32_t)i;
		}
	}
}

static struct rule_group *groups_new(struct policy *p, bool texts)
{
	struct arena *scratch = arena_new(4096);
	struct gathering g = {.arena = scratch};
	struct rule_group *groups =
		arena_alloc(p->arena, (p->n_slots + 1) * sizeof(struct rule_group));

	gather_init(&g, p, texts);
	for (size_t i = 0; i < p->n_slots; i++) {
		groups[i] = (struct rule_group){g.lists[i], g.counts[i], NULL};
		if (g.counts[i] > 2 * p->words) {
			uint64_t *set = set_new(p);

			for (size_t k = 0; k < g.counts[i]; k++)
				bits_add(set, g.lists[i][k]);
			groups[i] = (struct rule_group){NULL, 0, set};
		}
	}
	arena_free(&scratch);
	return groups;
}

/* --- guards --- */

/* Calls found for each test that the whole condition needs to be true and that compares one slot
 * with literals. */
static void each_guard(const struct expr *e, size_t rule,
	void (*found)(void *, const struct test *, size_t rule), void *context)
{
	if (!e)
		return;
	if (e->kind == EXPR_AND) {
		for (const struct expr *child = e->first; child; child = child->next)
			each_guard(child, rule, found, context);
		return;
	}
	if (e->kind != EXPR_TEST || e->test->verdict != VERDICT_NO ||
		e->test->quantifier != QUANTIFIER_ONE)
		return;
	if ((e->test->op == OP_EQUAL && e->test->operand == OPERAND_DATUM) ||
		(e->test->op == OP_IN && e->test->operand == OPERAND_DATA))
		found(context, e->test, rule);
}

struct guarding {
	struct policy *policy;
	struct guard **guards; /* by slot */
	size_t *rooms;
};

static void guard_add(struct guarding *g, const struct test *t, size_t rule,
	const union fact_datum *datum)
{
	unsigned slot = t->slot->number;
	struct guard *guard = g->guards[slot];

	if (guard->n == g->rooms[slot]) {
		g->rooms[slot] = g->rooms[slot] ? 2 * g->rooms[slot] : 16;
		guard->keys = memory_resize(
			guard->keys, g->rooms[slot] * sizeof(struct guard_key));
	}
	guard->keys[guard->n++] =
		(struct guard_key){datum_hash(t->type, datum), (uint32_t)rule};
}

static void on_guard(void *context, const struct test *t, size_t rule)
{
	struct guarding *g = context;
	struct policy *p = g->policy;
	unsigned slot = t->slot->number;

	if (!g->guards[slot]) {
		g->guards[slot] = arena_alloc(p->arena, sizeof(struct guard));
		g->guards[slot]->guarded = set_new(p);
		g->guards[slot]->type = t->type;
	}
	/* One test of a rule is enough; a second on the same slot would let both keys in. */
	if (bits_has(g->guards[slot]->guarded, rule))
		return;
	bits_add(g->guards[slot]->guarded, rule);
	if (t->operand == OPERAND_DATUM)
		guard_add(g, t, rule, &t->datum);
	for (size_t i = 0; t->operand == OPERAND_DATA && i < t->n; i++)
		guard_add(g, t, rule, &t->data[i]);
}

static int by_hash(const void *a, const void *b)
{
	const struct guard_key *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->rule > y->rule) - (x->rule < y->rule);
}

static void guards_new(struct policy *p)
{
	struct guarding g = {.policy = p};
	size_t room = p->n_slots ? p->n_slots : 1;

	g.guards = memory_zeroed(room * sizeof(*g.guards));
	g.rooms = memory_zeroed(room * sizeof(*g.rooms));
	p->guards = arena_alloc(p->arena, room * sizeof(*p->guards));
	for (size_t i = 0; i < p->n_rules; i++)
		if (policy_rule(p, i)->mode != RULE_OFF)
			each_guard(policy_rule(p, i)->when, i, on_guard, &g);
	for (size_t i = 0; i < p->n_slots; i++) {
		struct guard *guard = g.guards[i];

		if (!guard)
			continue;
		if (guard->n >= GUARD_WORTH) {
			qsort(guard->keys, guard->n, sizeof(guard->keys[0]), by_hash);
			p->guards[i] = guard;
			arena_on_free(p->arena, free, guard->keys);
		} else {
			free(guard->keys);
		}
	}
	free(g.guards);
	free(g.rooms);
}

/* --- sets of rules --- */

static void classify_action(struct policy *p, size_t i, const struct action *a)
{
	if (a->kind == ACTION_SCORE) {
		bits_add(p->of[RULES_SCORE], i);
		p->scores[i] += a->score;
	} else if (a->kind == ACTION_ROUTE) {
		bits_add(p->of[RULES_ROUTE], i);
	} else if (!action_is_final(a->kind)) {
		bits_add(p->of[RULES_EFFECT], i);
	}
	if (a->kind == ACTION_TAG)
		bits_add(p->of[RULES_TAG], i);
	if (a->kind == ACTION_REJECT && a->now)
		bits_add(p->of[RULES_NOW], i);
}

static void classify(struct policy *p, size_t i)
{
	const struct rule *r = policy_rule(p, i);

	if (r->mode == RULE_OFF)
		return;
	bits_add(p->of[RULES_LIVE], i);
	if (r->n_slots == 0)
		bits_add(p->of[RULES_FIXED], i);
	if (r->reads_score)
		bits_add(p->of[RULES_READ_SCORE], i);
	if (r->text_reads_score)
		bits_add(p->of[RULES_QUOTE_SCORE], i);
	if (r->reads_tags)
		bits_add(p->of[RULES_READ_TAGS], i);
	if (r->mode == RULE_MONITOR) {
		bits_add(p->of[RULES_MONITOR], i);
		return;
	}
	if (r->final || r->on_error == ON_ERROR_DEFER)
		bits_add(p->of[RULES_FINAL], i);
	for (const struct action *a = r->actions; a; a = a->next)
		classify_action(p, i, a);
	p->score_low += p->scores[i] < 0 ? p->scores[i] : 0;
	p->score_high += p->scores[i] > 0 ? p->scores[i] : 0;
}

struct policy *policy_new(struct rules *rules)
{
	struct arena *arena = arena_new(16 * 1024);
	struct policy *p = arena_alloc(arena, sizeof(*p));

	p->arena = arena;
	p->rules = rules;
	p->n_rules = rules->n;
	p->n_slots = rules->n_slots;
	p->words = bits_words(rules->n);
	for (size_t i = 0; i < RULES_COUNT; i++)
		p->of[i] = set_new(p);
	p->scores = arena_alloc(arena, (rules->n + 1) * sizeof(*p->scores));
	for (size_t i = 0; i < rules->n; i++)
		classify(p, i);
	p->scratch = pattern_scratch_new();
	p->readers = groups_new(p, false);
	p->quoters = groups_new(p, true);
	guards_new(p);
	return p;
}

void policy_free(struct policy **policy)
{
	struct arena *arena;

	if (!*policy)
		return;
	arena = (*policy)->arena;
	pattern_scratch_free(&(*policy)->scratch);
	rules_free(&(*policy)->rules);
	*policy = NULL;
	arena_free(&arena);
}

size_t policy_size(const struct policy *p)
{
	return arena_size(p->arena) + arena_size(p->rules->arena);
}

bool policy_reads(const struct policy *p, struct span fact)
{
	for (size_t i = 0; i < p->n_slots; i++)
		if (span_equal(span_text(p->rules->slots[i]->fact->name), fact))
			return true;
	return false;
}

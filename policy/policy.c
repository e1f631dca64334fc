#include "policy/policy.h"

#include <stdlib.h>
#include <sys/random.h>

#include "lib/base/fail.h"
#include "policy/read.h"
#include "policy/text.h"
#include "policy/truth.h"

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

static void classify_text(struct policy *p, size_t i, const struct text *text)
{
	for (const struct text_part *part = text ? text->first : NULL; part; part = part->next) {
		if (part->field == TEXT_SCORE)
			bits_add(p->of[RULES_QUOTE_SCORE], i);
		if (part->field == TEXT_TAGS)
			bits_add(p->of[RULES_QUOTE_TAGS], i);
		if (part->field == TEXT_LIST_REASON || part->field == TEXT_LIST_ITEM)
			bits_add(p->of[RULES_QUOTE_LIST], i);
	}
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
	if (r->reads_tags)
		bits_add(p->of[RULES_READ_TAGS], i);
	if (r->mode == RULE_MONITOR) {
		bits_add(p->of[RULES_MONITOR], i);
		return;
	}
	if (r->final || r->on_error == ON_ERROR_DEFER)
		bits_add(p->of[RULES_FINAL], i);
	for (const struct action *a = r->actions; a; a = a->next) {
		classify_action(p, i, a);
		classify_text(p, i, a->text);
	}
	p->score_low += p->scores[i] < 0 ? p->scores[i] : 0;
	p->score_high += p->scores[i] > 0 ? p->scores[i] : 0;
}

/* --- tests whose truth is remembered --- */

/* Those that walk over texts or over many values; and those whose list may change between two
 * looks, since what was certain must stay so. */
static bool is_remembered(const struct test *t)
{
	return t->verdict == VERDICT_NO &&
	       (t->op == OP_MATCHES || t->op == OP_CONTAINS || t->quantifier != QUANTIFIER_ONE ||
		       (t->operand == OPERAND_LIST && t->list->origin == LIST_STORE));
}

static void number_memos(struct policy *p, const struct expr *e)
{
	/* Rules made from one `for` share its tests. */
	if (e->kind == EXPR_TEST && e->test->memo == 0 && is_remembered(e->test))
		e->test->memo = (unsigned)p->n_memos++;
	for (const struct expr *child = e->first; child; child = child->next)
		number_memos(p, child);
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
	p->n_memos = 1;
	for (size_t i = 0; i < rules->n; i++)
		if (policy_rule(p, i)->when && policy_rule(p, i)->mode != RULE_OFF)
			number_memos(p, policy_rule(p, i)->when);
	p->scratch = pattern_scratch_new();
	ENSURE(getrandom(p->hash_key, sizeof(p->hash_key), 0) == sizeof(p->hash_key));
	p->readers = groups_new(p, false);
	p->quoters = groups_new(p, true);
	p->guards = guards_new(rules, arena);
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
		if (!p->rules->slots[i]->unread &&
			span_equal(span_text(p->rules->slots[i]->fact->name), fact))
			return true;
	return false;
}

/*
 * Taking in what has become known. A rule's tree is walked only when something that it reads has
 * changed, and not even then where its guard (guard.h) rules it out.
 *
 * The score is kept as an interval that each rule narrows when it leaves SET_MAY. Rules that read
 * it may not change it, so all others are looked at first and one more round is enough.
 */
#include "policy/evaluation.h"

#include "lib/base/fail.h"

/* --- beginning --- */

struct evaluation *evaluation_new(const struct policy *policy, struct arena *arena)
{
	struct evaluation *e = arena_alloc(arena, sizeof(*e));
	size_t words = policy->words ? policy->words : 1;
	uint64_t *memory;

	e->policy = policy;
	e->size_bytes = SET_COUNT * words * sizeof(uint64_t) + policy->n_slots * sizeof(bool) +
			policy->n_memos;
	memory = arena_alloc(arena, e->size_bytes);
	for (size_t i = 0; i < SET_COUNT; i++)
		e->set[i] = memory + i * words;
	e->settled = (bool *)(memory + SET_COUNT * words);
	e->memo = (uint8_t *)(e->settled + policy->n_slots);
	evaluation_restart(e);
	return e;
}

/* A `reject now` waits for nobody above it. What is certain may be on its way to the client
 * already: nothing that comes later changes it. */
static void decide(struct evaluation *e)
{
	const uint64_t *ends = e->set[SET_ENDS], *may_end = e->set[SET_END];
	size_t winner = bits_next(ends, ends, 0, e->policy->n_rules);
	bool now = winner < e->policy->n_rules && rule_does(e, RULES_NOW, winner) &&
		   rule_is_in(e, SET_TRUE, winner);

	if (e->certain)
		return;
	e->winner = winner;
	e->certain = now || bits_next(may_end, may_end, 0, winner) == winner;
}

void evaluation_restart(struct evaluation *e)
{
	const struct policy *p = e->policy;

	memset(e->set[0], 0, e->size_bytes);
	for (size_t i = 0; i < p->words; i++) {
		uint64_t live = p->of[RULES_LIVE][i];

		e->set[SET_OPEN][i] = e->set[SET_MAY][i] = live;
		e->set[SET_END][i] = live & p->of[RULES_FINAL][i];
		e->set[SET_DIRTY][i] = live & (p->of[RULES_FIXED][i] | p->of[RULES_READ_SCORE][i] |
						      p->of[RULES_READ_TAGS][i]);
	}
	e->certain = false;
	decide(e);
	e->low = p->score_low;
	e->high = p->score_high;
}

void evaluation_copy(struct evaluation *to, const struct evaluation *from)
{
	ENSURE(to->policy == from->policy);
	memcpy(to->set[0], from->set[0], from->size_bytes);
	to->winner = from->winner;
	to->certain = from->certain;
	to->low = from->low;
	to->high = from->high;
}

/* --- a rule becomes certain --- */

/* The score without what the rule may still add, and with what it does add. */
static void narrow_score(struct evaluation *e, size_t rule, bool adds)
{
	int64_t score = e->policy->scores[rule];

	e->low += (adds ? score : 0) - (score < 0 ? score : 0);
	e->high += (adds ? score : 0) - (score > 0 ? score : 0);
}

static void mark_tag_readers(struct evaluation *e, size_t above)
{
	for (size_t i = rule_next(e, SET_OPEN, RULES_READ_TAGS, above + 1); i < e->policy->n_rules;
		i = rule_next(e, SET_OPEN, RULES_READ_TAGS, i + 1))
		bits_add(e->set[SET_DIRTY], i);
}

static void leave_may(struct evaluation *e, size_t rule, bool is_true)
{
	bits_drop(e->set[SET_MAY], rule);
	if (is_true)
		bits_add(e->set[SET_TRUE], rule);
	if (rule_does(e, RULES_SCORE, rule))
		narrow_score(e, rule, is_true);
	if (rule_does(e, RULES_TAG, rule))
		mark_tag_readers(e, rule);
}

static void leave_end(struct evaluation *e, size_t rule, bool ends)
{
	bits_drop(e->set[SET_END], rule);
	if (ends)
		bits_add(e->set[SET_ENDS], rule);
}

/* An open rule, by what its condition can still be. */
static void settle(struct evaluation *e, size_t i, truth_set truth)
{
	bool may_end = rule_may_end(policy_rule(e->policy, i), truth);

	if (rule_is_in(e, SET_MAY, i) && (truth == TRUTH_TRUE || !(truth & TRUTH_TRUE)))
		leave_may(e, i, truth == TRUTH_TRUE);
	if (rule_is_in(e, SET_END, i) && (truth_is_certain(truth) || !may_end))
		leave_end(e, i, may_end);
	if (!rule_is_in(e, SET_MAY, i) && !rule_is_in(e, SET_END, i))
		bits_drop(e->set[SET_OPEN], i);
}

/* --- guards --- */

/* Open rules that are false now, all at once. */
static void rule_out(struct evaluation *e, const uint64_t *out)
{
	const uint64_t *scores = e->policy->of[RULES_SCORE], *tags = e->policy->of[RULES_TAG];
	size_t first_tag = bits_next(out, tags, 0, e->policy->n_rules);

	for (size_t i = 0; i < e->policy->words; i++) {
		uint64_t may = out[i] & e->set[SET_MAY][i], scoring = may & scores[i];

		for (; scoring; scoring &= scoring - 1)
			narrow_score(e, i * 64 + (size_t)__builtin_ctzll(scoring), false);
		e->set[SET_MAY][i] &= ~out[i];
		e->set[SET_END][i] &= ~out[i];
		e->set[SET_OPEN][i] &= ~out[i];
	}
	if (first_tag < e->policy->n_rules)
		mark_tag_readers(e, first_tag);
}

static void apply_guard(
	struct evaluation *e, const struct guard *guard, const struct fact_value *value)
{
	uint64_t *out = e->set[SET_SPARE];

	for (size_t i = 0; i < e->policy->words; i++)
		out[i] = guard->guarded[i] & e->set[SET_OPEN][i];
	guard_spare(guard, value, out);
	rule_out(e, out);
}

/* --- a run --- */

static void mark_readers(struct evaluation *e, const struct rule_group *readers)
{
	if (readers->set)
		for (size_t i = 0; i < e->policy->words; i++)
			e->set[SET_DIRTY][i] |= readers->set[i];
	for (size_t i = 0; i < readers->n; i++)
		bits_add(e->set[SET_DIRTY], readers->list[i]);
}

/* Takes in what is known of a slot, once. */
static void take_slot(struct evaluation *e, const struct subject *s, size_t slot)
{
	const struct policy *p = e->policy;
	const struct fact_value *value = subject_value(s, p->rules->slots[slot]);

	if (value->state == FACT_PENDING)
		return;
	e->settled[slot] = true;
	for (const struct guard *guard = p->guards[slot]; guard; guard = guard->next)
		if (guard_applies(guard, value))
			apply_guard(e, guard, value);
	mark_readers(e, &p->readers[slot]);
}

/* Dirty rules in order: those that read the score, or the others. */
static void visit(struct evaluation *e, const struct subject *s, bool read_score)
{
	const struct policy *p = e->policy;

	for (size_t i = 0; i < p->n_rules; i++) {
		i = bits_next(e->set[SET_DIRTY], e->set[SET_OPEN], i, p->n_rules);
		if (i == p->n_rules)
			return;
		if (rule_does(e, RULES_READ_SCORE, i) != read_score)
			continue;
		bits_drop(e->set[SET_DIRTY], i);
		settle(e, i, evaluation_truth(e, s, policy_rule(p, i)));
	}
}

void evaluation_run(struct evaluation *e, const struct subject *s)
{
	const struct policy *p = e->policy;
	int64_t low = e->low, high = e->high;

	for (size_t i = 0; i < p->n_slots; i++)
		if (!e->settled[i])
			take_slot(e, s, i);
	visit(e, s, false);
	if (low != e->low || high != e->high)
		for (size_t i = 0; i < p->words; i++)
			e->set[SET_DIRTY][i] |= p->of[RULES_READ_SCORE][i];
	visit(e, s, true);
	decide(e);
}

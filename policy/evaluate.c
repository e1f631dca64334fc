/*
 * What is kept is three sets of rules: those that may still be true, those that certainly are, and
 * of these the ones that are in error (their `on error` acts). All others are out. Going through a
 * whole rule set is then a matter of words of 64 rules, and a rule's tree is walked only when
 * something that it reads has changed.
 *
 * The score is kept as an interval that each rule narrows when it leaves `may`.
 */
#include "policy/evaluate.h"

#include "lib/base/fail.h"
#include "policy/text.h"

enum sets { SET_MAY, SET_SURE, SET_ERROR, SET_DIRTY, SET_SCRATCH, SET_COUNT };

struct evaluation {
	const struct policy *policy; /* borrowed */
	uint64_t *set[SET_COUNT];    /* of rules */
	bool *settled;               /* by slot: it was known or failed at the last run */
	int64_t low, high;           /* the score */
	struct pattern_scratch *scratch;
	size_t size_bytes; /* of what `set` and `settled` point to */
};

#define NO_RULE SIZE_MAX

/* --- beginning --- */

struct evaluation *evaluation_new(const struct policy *policy, struct arena *arena)
{
	struct evaluation *e = arena_alloc(arena, sizeof(*e));
	size_t words = policy->words ? policy->words : 1;
	uint64_t *memory;

	e->policy = policy;
	e->size_bytes = SET_COUNT * words * sizeof(uint64_t) + policy->n_slots * sizeof(bool);
	memory = arena_alloc(arena, e->size_bytes);
	for (size_t i = 0; i < SET_COUNT; i++)
		e->set[i] = memory + i * words;
	e->settled = (bool *)(memory + SET_COUNT * words);
	e->scratch = policy->scratch;
	evaluation_restart(e);
	return e;
}

void evaluation_restart(struct evaluation *e)
{
	const struct policy *p = e->policy;

	memset(e->set[0], 0, e->size_bytes);
	memcpy(e->set[SET_MAY], p->of[RULES_LIVE], p->words * sizeof(uint64_t));
	for (size_t i = 0; i < p->words; i++)
		e->set[SET_DIRTY][i] = p->of[RULES_LIVE][i] &
				       (p->of[RULES_FIXED][i] | p->of[RULES_READ_SCORE][i] |
					       p->of[RULES_READ_TAGS][i]);
	e->low = p->score_low;
	e->high = p->score_high;
}

void evaluation_copy(struct evaluation *to, const struct evaluation *from)
{
	ENSURE(to->policy == from->policy);
	memcpy(to->set[0], from->set[0], from->size_bytes);
	to->low = from->low;
	to->high = from->high;
}

/* --- what a condition can still be --- */

static truth_set compare_score(const struct evaluation *e, const struct test *t)
{
	int64_t at = t->score, low = e->low, high = e->high;
	truth_set out = 0;

	switch (t->op) {
	case OP_LESS:
		return (truth_set)((low < at ? TRUTH_TRUE : 0) | (high >= at ? TRUTH_FALSE : 0));
	case OP_LESS_EQUAL:
		return (truth_set)((low <= at ? TRUTH_TRUE : 0) | (high > at ? TRUTH_FALSE : 0));
	case OP_GREATER:
		return (truth_set)((high > at ? TRUTH_TRUE : 0) | (low <= at ? TRUTH_FALSE : 0));
	case OP_GREATER_EQUAL:
		return (truth_set)((high >= at ? TRUTH_TRUE : 0) | (low < at ? TRUTH_FALSE : 0));
	case OP_EQUAL:
	case OP_NOT_EQUAL:
		if (low <= at && at <= high)
			out |= TRUTH_TRUE;
		if (low != at || high != at)
			out |= TRUTH_FALSE;
		return t->op == OP_EQUAL ? out : truth_not(out);
	case OP_IS_NONE:
		return TRUTH_FALSE;
	case OP_IS_NOT_NONE:
		return TRUTH_TRUE;
	case OP_TRUE:
	case OP_IN:
	case OP_UNDER:
	case OP_CONTAINS:
	case OP_MATCHES:
		break;
	}
	fail_bug(__FILE__, __LINE__, "a score is compared with a number");
}

/* One tag against the test, as a fact of many values with this one only. */
static bool tag_passes(
	const struct evaluation *e, const struct test *t, const struct action *action, bool *error)
{
	struct test one = *t;
	union fact_datum datum = {.text = action->text->source};
	struct fact_value value = {FACT_KNOWN, 1, &datum, NULL};
	truth_set truth;

	one.quantifier = QUANTIFIER_ANY;
	truth = test_of_value(&one, &value, e->scratch);
	*error = *error || truth == TRUTH_ERROR;
	return truth == TRUTH_TRUE;
}

/* `tags` are those of the rules above `rule`. */
static truth_set tags_truth(const struct evaluation *e, const struct test *t, size_t rule)
{
	bool every = t->quantifier == QUANTIFIER_ALL, error = false;
	bool presence = t->op == OP_IS_NONE || t->op == OP_IS_NOT_NONE;
	truth_set out = every ? TRUTH_TRUE : TRUTH_FALSE;
	const uint64_t *taggers = e->policy->of[RULES_TAG];

	for (size_t i = bits_next(taggers, taggers, 0, rule); i < rule;
		i = bits_next(taggers, taggers, i + 1, rule)) {
		bool may = bits_has(e->set[SET_MAY], i);
		bool sure = bits_has(e->set[SET_SURE], i) && !bits_has(e->set[SET_ERROR], i);

		if (!may && !sure)
			continue;
		for (const struct action *a = policy_rule(e->policy, i)->actions; a; a = a->next) {
			bool passes;
			truth_set one;

			if (a->kind != ACTION_TAG)
				continue;
			passes = presence || tag_passes(e, t, a, &error);
			one = passes ? TRUTH_TRUE : TRUTH_FALSE;
			/* A rule that is not true sets no tag: as if this one made no
			 * difference. */
			if (may)
				one |= every ? TRUTH_TRUE : TRUTH_FALSE;
			out = every ? truth_and(out, one) : truth_or(out, one);
		}
	}
	if (error)
		return TRUTH_ERROR;
	return t->quantifier == QUANTIFIER_NO || t->op == OP_IS_NONE ? truth_not(out) : out;
}

static truth_set test_truth(const struct evaluation *e, const struct subject *s,
	const struct test *t, size_t rule)
{
	const struct fact_value *value;

	if (t->verdict == VERDICT_SCORE)
		return compare_score(e, t);
	if (t->verdict == VERDICT_TAGS)
		return tags_truth(e, t, rule);
	value = subject_value(s, t->slot);
	if (value->state == FACT_PENDING)
		return TRUTH_OPEN;
	if (value->state == FACT_FAILED)
		return TRUTH_ERROR;
	return test_of_value(t, value, e->scratch);
}

static truth_set expr_truth(const struct evaluation *e, const struct subject *s,
	const struct expr *expr, size_t rule)
{
	bool all = expr->kind == EXPR_AND;
	truth_set out = all ? TRUTH_TRUE : TRUTH_FALSE;

	switch (expr->kind) {
	case EXPR_TRUE:
		return TRUTH_TRUE;
	case EXPR_TEST:
		return test_truth(e, s, expr->test, rule);
	case EXPR_NOT:
		return truth_not(expr_truth(e, s, expr->first, rule));
	case EXPR_AND:
	case EXPR_OR:
		break;
	}
	for (const struct expr *child = expr->first; child; child = child->next) {
		truth_set one = expr_truth(e, s, child, rule);

		out = all ? truth_and(out, one) : truth_or(out, one);
		if (out == (all ? TRUTH_FALSE : TRUTH_TRUE))
			break;
	}
	return out;
}

truth_set evaluation_truth(
	const struct evaluation *e, const struct subject *s, const struct rule *rule)
{
	return rule->when ? expr_truth(e, s, rule->when, rule->index) : TRUTH_TRUE;
}

truth_set evaluation_test_truth(const struct evaluation *e, const struct subject *s,
	const struct rule *rule, const struct test *test)
{
	return test_truth(e, s, test, rule->index);
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
	const uint64_t *readers = e->policy->of[RULES_READ_TAGS];

	for (size_t i = bits_next(readers, e->set[SET_MAY], above + 1, e->policy->n_rules);
		i < e->policy->n_rules;
		i = bits_next(readers, e->set[SET_MAY], i + 1, e->policy->n_rules))
		bits_add(e->set[SET_DIRTY], i);
}

static void leave_may(struct evaluation *e, size_t rule, bool adds)
{
	bits_drop(e->set[SET_MAY], rule);
	if (bits_has(e->policy->of[RULES_SCORE], rule))
		narrow_score(e, rule, adds);
	if (bits_has(e->policy->of[RULES_TAG], rule))
		mark_tag_readers(e, rule);
}

static void settle(struct evaluation *e, size_t index, truth_set truth)
{
	const struct rule *rule = policy_rule(e->policy, index);
	bool acts_on_error = rule->on_error == ON_ERROR_DEFER && rule->mode == RULE_ON;

	if (truth == TRUTH_TRUE || (truth == TRUTH_ERROR && acts_on_error)) {
		bits_add(e->set[SET_SURE], index);
		if (truth == TRUTH_ERROR)
			bits_add(e->set[SET_ERROR], index);
		leave_may(e, index, truth == TRUTH_TRUE);
	} else if (!(truth & TRUTH_TRUE) && !(truth & TRUTH_ERROR && acts_on_error)) {
		leave_may(e, index, false);
	}
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

static size_t first_key(const struct guard *guard, uint64_t hash)
{
	size_t low = 0, high = guard->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (guard->keys[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* All guarded rules but those that may hold for the value are out. */
static void apply_guard(
	struct evaluation *e, const struct guard *guard, const struct fact_value *value)
{
	uint64_t *out = e->set[SET_SCRATCH];
	uint64_t hash = value->count ? datum_hash(guard->type, &value->items[0]) : 0;

	for (size_t i = 0; i < e->policy->words; i++)
		out[i] = guard->guarded[i] & e->set[SET_MAY][i];
	for (size_t k = value->count ? first_key(guard, hash) : guard->n;
		k < guard->n && guard->keys[k].hash == hash; k++)
		bits_drop(out, guard->keys[k].rule);
	for (size_t i = 0; i < e->policy->words; i++) {
		uint64_t special = out[i] & (e->policy->of[RULES_SCORE][i] |
						    e->policy->of[RULES_TAG][i]);

		e->set[SET_MAY][i] &= ~(out[i] & ~special);
		for (; special; special &= special - 1)
			leave_may(e, i * 64 + (size_t)__builtin_ctzll(special), false);
	}
}

/* A choice that is none is its word `none`, which has a key of its own: no guard then. */
static bool guard_applies(const struct guard *guard, const struct fact_value *value)
{
	return guard && value->state == FACT_KNOWN &&
	       (value->count == 1 || (value->count == 0 && guard->type != TYPE_CHOICE));
}

/* Dirty rules in order; reads_score: only those that do (true) or don't. */
static void visit(struct evaluation *e, const struct subject *s, bool reads_score)
{
	const struct policy *p = e->policy;

	for (size_t i = 0; i < p->n_rules; i++) {
		i = bits_next(e->set[SET_DIRTY], e->set[SET_MAY], i, p->n_rules);
		if (i == p->n_rules)
			return;
		if (bits_has(p->of[RULES_READ_SCORE], i) != reads_score)
			continue;
		bits_drop(e->set[SET_DIRTY], i);
		settle(e, i, evaluation_truth(e, s, policy_rule(p, i)));
	}
}

void evaluation_run(struct evaluation *e, const struct subject *s)
{
	const struct policy *p = e->policy;
	int64_t low = e->low, high = e->high;

	for (size_t i = 0; i < p->n_slots; i++) {
		const struct fact_value *value;

		if (e->settled[i])
			continue;
		value = subject_value(s, p->rules->slots[i]);
		if (value->state == FACT_PENDING)
			continue;
		e->settled[i] = true;
		if (guard_applies(p->guards[i], value))
			apply_guard(e, p->guards[i], value);
		mark_readers(e, &p->readers[i]);
	}
	visit(e, s, false);
	if (low != e->low || high != e->high)
		for (size_t i = 0; i < p->words; i++)
			e->set[SET_DIRTY][i] |= p->of[RULES_READ_SCORE][i];
	visit(e, s, true);
}

/* --- the outcome --- */

static size_t first_of(const struct evaluation *e, enum sets set, enum rules_that that)
{
	return bits_next(e->set[set], e->policy->of[that], 0, e->policy->n_rules);
}

/* The first rule that certainly acts finally, or the number of rules. */
static size_t first_sure(const struct evaluation *e)
{
	return first_of(e, SET_SURE, RULES_FINAL);
}

static bool is_certain(const struct evaluation *e, size_t sure)
{
	if (sure < e->policy->n_rules && bits_has(e->policy->of[RULES_NOW], sure) &&
		!bits_has(e->set[SET_ERROR], sure))
		return true;
	return first_of(e, SET_MAY, RULES_FINAL) >= sure;
}

struct outcome outcome_of(const struct evaluation *e)
{
	size_t sure = first_sure(e);
	struct outcome out = {.certain = is_certain(e, sure)};

	if (!out.certain || sure == e->policy->n_rules)
		return out;
	out.rule = policy_rule(e->policy, sure);
	out.final = bits_has(e->set[SET_ERROR], sure) ? NULL : out.rule->final;
	return out;
}

enum sternness outcome_sternness(const struct outcome *outcome)
{
	if (!outcome->rule)
		return STERN_ACCEPT;
	if (!outcome->final)
		return STERN_DEFER;
	if (outcome->final->kind == ACTION_REJECT)
		return STERN_REJECT;
	if (outcome->final->kind == ACTION_DISCARD)
		return STERN_DISCARD;
	if (outcome->final->kind == ACTION_DEFER || outcome->final->kind == ACTION_GREYLIST)
		return STERN_DEFER;
	return outcome->final->kind == ACTION_QUARANTINE ? STERN_QUARANTINE : STERN_ACCEPT;
}

static bool goes_on(const struct outcome *outcome)
{
	return outcome_sternness(outcome) <= STERN_QUARANTINE;
}

/* --- what is wanted --- */

/* Which open rules still matter. */
struct relevance {
	const struct evaluation *e;
	size_t sure;   /* rules below this one act no more */
	bool finals;   /* the outcome is open */
	bool effects;  /* the message may go on */
	bool score;
	const struct rule *spoken; /* whose text will be said; NULL: none yet */
};

static bool acts(const struct relevance *r, size_t i)
{
	const struct policy *p = r->e->policy;

	if (bits_has(p->of[RULES_ROUTE], i))
		return true;
	if (i > r->sure)
		return false;
	if (r->finals && bits_has(p->of[RULES_FINAL], i))
		return true;
	return r->effects && (bits_has(p->of[RULES_EFFECT], i) || bits_has(p->of[RULES_MONITOR], i));
}

static bool is_relevant(const struct relevance *r, size_t i)
{
	const struct policy *p = r->e->policy;

	return acts(r, i) ||
	       (r->score && (bits_has(p->of[RULES_SCORE], i) || bits_has(p->of[RULES_TAG], i)));
}

/* Whether the rule's texts will be, or may be, written. */
static bool will_quote(const struct relevance *r, size_t i)
{
	const struct evaluation *e = r->e;

	if (!bits_has(e->set[SET_MAY], i) && !bits_has(e->set[SET_SURE], i))
		return false;
	if (r->spoken && r->spoken->index == i)
		return true;
	return r->effects && i <= r->sure && bits_has(e->policy->of[RULES_EFFECT], i);
}

/* The score matters when a relevant open rule reads it, or a text that will be written. */
static bool needs_score(const struct relevance *r)
{
	const struct policy *p = r->e->policy;

	if (r->e->low == r->e->high)
		return false;
	for (size_t i = first_of(r->e, SET_MAY, RULES_READ_SCORE); i < p->n_rules;
		i = bits_next(r->e->set[SET_MAY], p->of[RULES_READ_SCORE], i + 1, p->n_rules))
		if (acts(r, i))
			return true;
	for (size_t i = bits_next(p->of[RULES_QUOTE_SCORE], p->of[RULES_LIVE], 0, p->n_rules);
		i < p->n_rules;
		i = bits_next(p->of[RULES_QUOTE_SCORE], p->of[RULES_LIVE], i + 1, p->n_rules))
		if (will_quote(r, i))
			return true;
	return false;
}

static struct relevance relevance_of(const struct evaluation *e)
{
	struct outcome outcome = outcome_of(e);
	struct relevance r = {.e = e, .sure = first_sure(e)};

	r.finals = !outcome.certain;
	r.effects = !outcome.certain || goes_on(&outcome);
	r.spoken = outcome.certain ? outcome.rule : NULL;
	if (outcome.certain && outcome.final && outcome.final->now)
		r.sure = outcome.rule->index;
	r.score = needs_score(&r);
	return r;
}

/* Whether an open part of the expression reads the slot. */
static bool open_part_reads(const struct evaluation *e, const struct subject *s,
	const struct expr *expr, size_t rule, const struct slot *slot)
{
	if (expr->kind == EXPR_TEST)
		return expr->test->slot == slot && expr->test->verdict == VERDICT_NO;
	if (truth_is_certain(expr_truth(e, s, expr, rule)))
		return false;
	for (const struct expr *child = expr->first; child; child = child->next)
		if (open_part_reads(e, s, child, rule, slot))
			return true;
	return false;
}

static bool rule_needs(const struct relevance *r, const struct subject *s, size_t i,
	const struct slot *slot)
{
	const struct rule *rule = policy_rule(r->e->policy, i);

	return bits_has(r->e->set[SET_MAY], i) && is_relevant(r, i) && rule->when &&
	       open_part_reads(r->e, s, rule->when, i, slot);
}

/* Calls pass for each rule of a group until it says yes. */
static bool any_of(const struct rule_group *group, size_t n_rules,
	bool (*pass)(const struct relevance *, const struct subject *, size_t, const struct slot *),
	const struct relevance *r, const struct subject *s, const struct slot *slot)
{
	if (group->set)
		for (size_t i = bits_next(group->set, group->set, 0, n_rules); i < n_rules;
			i = bits_next(group->set, group->set, i + 1, n_rules))
			if (pass(r, s, i, slot))
				return true;
	for (size_t k = 0; k < group->n; k++)
		if (pass(r, s, group->list[k], slot))
			return true;
	return false;
}

static bool rule_quotes(const struct relevance *r, const struct subject *s, size_t i,
	const struct slot *slot)
{
	(void)s;
	(void)slot;
	return will_quote(r, i);
}

static bool slot_matters(
	const struct relevance *r, const struct subject *s, const struct slot *slot)
{
	const struct policy *p = r->e->policy;

	return any_of(&p->readers[slot->number], p->n_rules, rule_needs, r, s, slot) ||
	       any_of(&p->quoters[slot->number], p->n_rules, rule_quotes, r, s, slot);
}

static void want(const struct subject *s, const struct slot *slot, bool *wanted)
{
	for (; slot; slot = slot->field)
		if (subject_value(s, slot)->state == FACT_PENDING)
			wanted[slot->number] = true;
}

void evaluation_wants(
	const struct evaluation *e, const struct subject *s, enum stage reached, bool *wanted)
{
	struct relevance r = relevance_of(e);

	memset(wanted, 0, e->policy->n_slots * sizeof(*wanted));
	for (size_t i = 0; i < e->policy->n_slots; i++) {
		const struct slot *slot = e->policy->rules->slots[i];

		if (slot->stage <= reached && !wanted[i] &&
			subject_value(s, slot)->state == FACT_PENDING && slot_matters(&r, s, slot))
			want(s, slot, wanted);
	}
}

bool evaluation_ready(const struct evaluation *e, const struct subject *s)
{
	struct relevance r = relevance_of(e);

	if (r.finals)
		return false;
	for (size_t i = 0; i < e->policy->n_slots; i++) {
		const struct slot *slot = e->policy->rules->slots[i];

		if (subject_value(s, slot)->state == FACT_PENDING && slot_matters(&r, s, slot))
			return false;
	}
	return true;
}

/* --- what is worth waiting for before the message comes --- */

/*
 * What an expression can be made by the facts that can be had now, while those of later stages stay
 * unknown: certainly true, certainly not true.
 */
struct reach {
	bool yes, no;
};

static struct reach reach_of_truth(truth_set t)
{
	return (struct reach){t == TRUTH_TRUE, !(t & TRUTH_TRUE)};
}

/* With the open part of the score at its worst for one side, and what can be had now at its best. */
struct score_reach {
	int64_t low_most;  /* the highest that the lower end can be made */
	int64_t high_least; /* the lowest that the upper end can be made */
};

struct waiting {
	const struct evaluation *e;
	const struct subject *s;
	enum stage reached;
	bool *waits;
	bool some;
	bool score_known;
	struct score_reach score;
};

static struct reach reach_of(struct waiting *w, const struct expr *expr, size_t rule);

static struct reach reach_of_rule(struct waiting *w, size_t i)
{
	const struct rule *rule = policy_rule(w->e->policy, i);

	return rule->when ? reach_of(w, rule->when, i) : (struct reach){true, false};
}

static const struct score_reach *score_reach(struct waiting *w)
{
	const struct policy *p = w->e->policy;

	if (w->score_known)
		return &w->score;
	w->score_known = true;
	w->score = (struct score_reach){w->e->low, w->e->high};
	for (size_t i = first_of(w->e, SET_MAY, RULES_SCORE); i < p->n_rules;
		i = bits_next(w->e->set[SET_MAY], p->of[RULES_SCORE], i + 1, p->n_rules)) {
		struct reach reach = reach_of_rule(w, i);
		int64_t score = p->scores[i];

		if (score > 0) {
			w->score.low_most += reach.yes ? score : 0;
			w->score.high_least -= reach.no ? score : 0;
		} else {
			w->score.low_most -= reach.no ? score : 0;
			w->score.high_least += reach.yes ? score : 0;
		}
	}
	return &w->score;
}

static struct reach reach_of_score(struct waiting *w, const struct test *t)
{
	const struct score_reach *score = score_reach(w);
	int64_t at = t->score;

	if (t->op == OP_GREATER_EQUAL)
		return (struct reach){score->low_most >= at, score->high_least < at};
	if (t->op == OP_GREATER)
		return (struct reach){score->low_most > at, score->high_least <= at};
	if (t->op == OP_LESS)
		return (struct reach){score->high_least < at, score->low_most >= at};
	if (t->op == OP_LESS_EQUAL)
		return (struct reach){score->high_least <= at, score->low_most > at};
	/* Equality may come of any choice; waiting too long does no harm. */
	return (struct reach){true, true};
}

static struct reach reach_of_test(struct waiting *w, const struct expr *expr, size_t rule)
{
	const struct test *t = expr->test;
	truth_set truth = test_truth(w->e, w->s, t, rule);

	if (truth_is_certain(truth))
		return reach_of_truth(truth);
	if (t->verdict == VERDICT_SCORE)
		return reach_of_score(w, t);
	if (t->verdict == VERDICT_TAGS)
		return (struct reach){true, true};
	return t->slot->stage <= w->reached ? (struct reach){true, true} : reach_of_truth(truth);
}

static struct reach reach_of(struct waiting *w, const struct expr *expr, size_t rule)
{
	bool all = expr->kind == EXPR_AND;
	struct reach out = {all, !all};

	switch (expr->kind) {
	case EXPR_TRUE:
		return (struct reach){true, false};
	case EXPR_TEST:
		return reach_of_test(w, expr, rule);
	case EXPR_NOT:
		out = reach_of(w, expr->first, rule);
		/* An error is not true either way. */
		if (truth_is_certain(expr_truth(w->e, w->s, expr, rule)))
			return reach_of_truth(expr_truth(w->e, w->s, expr, rule));
		return (struct reach){out.no, out.yes};
	case EXPR_AND:
	case EXPR_OR:
		break;
	}
	for (const struct expr *child = expr->first; child; child = child->next) {
		struct reach one = reach_of(w, child, rule);

		out.yes = all ? out.yes && one.yes : out.yes || one.yes;
		out.no = all ? out.no || one.no : out.no && one.no;
	}
	return out;
}

static void wait_for_rule(struct waiting *w, size_t i);

/* Through the score, a rule waits for every rule that could still change it. */
static void wait_for_score(struct waiting *w)
{
	const struct policy *p = w->e->policy;

	for (size_t i = first_of(w->e, SET_MAY, RULES_SCORE); i < p->n_rules;
		i = bits_next(w->e->set[SET_MAY], p->of[RULES_SCORE], i + 1, p->n_rules)) {
		struct reach reach = reach_of_rule(w, i);

		if (reach.yes || reach.no)
			wait_for_rule(w, i);
	}
}

static void wait_for_tags(struct waiting *w, size_t above)
{
	const struct policy *p = w->e->policy;

	for (size_t i = first_of(w->e, SET_MAY, RULES_TAG); i < above;
		i = bits_next(w->e->set[SET_MAY], p->of[RULES_TAG], i + 1, p->n_rules))
		wait_for_rule(w, i);
}

static void wait_for_expr(struct waiting *w, const struct expr *expr, size_t rule)
{
	if (truth_is_certain(expr_truth(w->e, w->s, expr, rule)))
		return;
	if (expr->kind != EXPR_TEST) {
		for (const struct expr *child = expr->first; child; child = child->next)
			wait_for_expr(w, child, rule);
		return;
	}
	if (expr->test->verdict == VERDICT_SCORE) {
		wait_for_score(w);
	} else if (expr->test->verdict == VERDICT_TAGS) {
		wait_for_tags(w, rule);
	} else if (expr->test->slot->stage <= w->reached) {
		want(w->s, expr->test->slot, w->waits);
		w->some = true;
	}
}

static void wait_for_rule(struct waiting *w, size_t i)
{
	const struct rule *rule = policy_rule(w->e->policy, i);

	if (rule->when)
		wait_for_expr(w, rule->when, i);
}

/* The rules up to the last that could settle the outcome, none above it being out of reach. */
static void wait_for_outcome(struct waiting *w)
{
	const struct policy *p = w->e->policy;
	size_t sure = first_sure(w->e), end = 0;

	for (size_t i = 0; i <= sure; i++) {
		struct reach reach;

		i = bits_next(w->e->set[SET_MAY], p->of[RULES_FINAL], i, sure);
		if (i >= sure) {
			/* Nothing above it is out of reach: all of that decides. At the very
			 * end, where no rule is, an accept needs no haste. */
			if (sure < p->n_rules)
				end = sure;
			break;
		}
		reach = reach_of_rule(w, i);
		if (!reach.yes && !reach.no)
			break;
		if (reach.yes)
			end = i + 1;
	}
	for (size_t i = first_of(w->e, SET_MAY, RULES_FINAL); i < end;
		i = bits_next(w->e->set[SET_MAY], p->of[RULES_FINAL], i + 1, p->n_rules))
		wait_for_rule(w, i);
	/* `reject now` waits for nobody above it. */
	for (size_t i = bits_next(w->e->set[SET_MAY], p->of[RULES_NOW], end, sure); i < sure;
		i = bits_next(w->e->set[SET_MAY], p->of[RULES_NOW], i + 1, sure))
		if (reach_of_rule(w, i).yes)
			wait_for_rule(w, i);
}

bool evaluation_waits(
	const struct evaluation *e, const struct subject *s, enum stage reached, bool *waits)
{
	const struct policy *p = e->policy;
	struct waiting w = {.e = e, .s = s, .reached = reached, .waits = waits};

	struct outcome outcome = outcome_of(e);
	bool quotes = outcome.certain && !goes_on(&outcome);

	/* Of what is wanted: the recipient's own, and what a certain refusal quotes. */
	evaluation_wants(e, s, reached, waits);
	for (size_t i = 0; i < p->n_slots; i++) {
		waits[i] = waits[i] && (quotes || p->rules->slots[i]->stage == STAGE_RCPT);
		w.some = w.some || waits[i];
	}
	if (!outcome.certain)
		wait_for_outcome(&w);
	for (size_t i = first_of(e, SET_MAY, RULES_ROUTE); i < p->n_rules;
		i = bits_next(e->set[SET_MAY], p->of[RULES_ROUTE], i + 1, p->n_rules))
		wait_for_rule(&w, i);
	return w.some;
}

/* --- what recipients must have in common --- */

static uint64_t fold(uint64_t h, uint64_t more)
{
	h = (h ^ more) * UINT64_C(0xff51afd7ed558ccd);
	return h ^ h >> 32;
}

/* What is left of an expression: open tests by their place, joined as they are. */
static uint64_t residue_of(const struct evaluation *e, const struct subject *s,
	const struct expr *expr, size_t rule)
{
	truth_set truth = expr_truth(e, s, expr, rule);
	uint64_t h = fold(expr->kind, truth);

	if (truth_is_certain(truth))
		return fold(1, truth);
	if (expr->kind == EXPR_TEST)
		return fold(h, (uint64_t)(uintptr_t)expr->test);
	for (const struct expr *child = expr->first; child; child = child->next)
		h = fold(h, residue_of(e, s, child, rule));
	return h;
}

/* What a rule's texts would say of the recipient. */
static uint64_t residue_of_texts(const struct subject *s, const struct rule *rule)
{
	uint64_t h = 2;

	for (unsigned i = 0; i < rule->n_text_slots; i++) {
		const struct slot *slot = rule->text_slots[i];
		const struct fact_value *value = subject_value(s, slot);

		if (slot->stage != STAGE_RCPT)
			continue;
		h = fold(h, slot->number);
		for (uint32_t k = 0; value->state == FACT_KNOWN && k < value->count; k++)
			h = fold(h, datum_hash(slot->fact->type, &value->items[k]));
	}
	return h;
}

uint64_t evaluation_residue(const struct evaluation *e, const struct subject *s)
{
	const struct policy *p = e->policy;
	size_t sure = first_sure(e), end = sure < p->n_rules ? sure + 1 : p->n_rules;
	uint64_t h = fold(fold(3, (uint64_t)e->low), (uint64_t)e->high);
	const char *route = evaluation_route(e);

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *rule = policy_rule(p, i);
		bool may = bits_has(e->set[SET_MAY], i), is_sure = bits_has(e->set[SET_SURE], i);
		bool counts = bits_has(p->of[RULES_SCORE], i) ||
			      (i < end && !bits_has(p->of[RULES_MONITOR], i));

		if (!counts || (!may && !is_sure))
			continue;
		if (is_sure && i >= end)
			continue; /* its score is in the sum */
		h = fold(h, i);
		h = fold(h, may && rule->when ? residue_of(e, s, rule->when, i) : 4);
		h = fold(h, residue_of_texts(s, rule));
	}
	return route ? fold(h, (uint64_t)(uintptr_t)route) : h;
}

/* --- carrying it out --- */

void evaluation_score(const struct evaluation *e, int64_t *low, int64_t *high)
{
	*low = e->low;
	*high = e->high;
}

const char *evaluation_route(const struct evaluation *e)
{
	size_t i = first_of(e, SET_SURE, RULES_ROUTE);

	for (; i < e->policy->n_rules; i = bits_next(e->set[SET_SURE], e->policy->of[RULES_ROUTE],
					       i + 1, e->policy->n_rules)) {
		if (bits_has(e->set[SET_ERROR], i))
			continue;
		for (const struct action *a = policy_rule(e->policy, i)->actions; a; a = a->next)
			if (a->kind == ACTION_ROUTE)
				return a->name;
	}
	return NULL;
}

static bool accumulates(const struct action *a)
{
	return !action_is_final(a->kind) && a->kind != ACTION_SCORE && a->kind != ACTION_ROUTE;
}

bool evaluation_next_effect(
	const struct evaluation *e, struct effect_cursor *cursor, const struct rule **rule)
{
	const struct policy *p = e->policy;
	size_t sure = first_sure(e), end = sure < p->n_rules ? sure + 1 : p->n_rules;
	const struct action *a = cursor->next;

	for (;;) {
		size_t i;

		while (a && !accumulates(a))
			a = a->next;
		if (a) {
			cursor->action = a;
			cursor->next = a->next;
			*rule = policy_rule(p, cursor->rule - 1);
			return true;
		}
		i = bits_next(e->set[SET_SURE], p->of[RULES_EFFECT], cursor->rule, end);
		if (i >= end)
			return false;
		cursor->rule = i + 1;
		a = bits_has(e->set[SET_ERROR], i) ? NULL : policy_rule(p, i)->actions;
	}
}

bool evaluation_next_monitored(
	const struct evaluation *e, size_t *cursor, const struct rule **rule)
{
	size_t end = first_sure(e);
	size_t i = bits_next(e->set[SET_SURE], e->policy->of[RULES_MONITOR], *cursor, end);

	if (i >= end)
		return false;
	*cursor = i + 1;
	*rule = policy_rule(e->policy, i);
	return true;
}

bool evaluation_next_hit(const struct evaluation *e, size_t *cursor, const struct rule **rule)
{
	size_t i = bits_next(
		e->set[SET_SURE], e->policy->of[RULES_LIVE], *cursor, e->policy->n_rules);

	if (i >= e->policy->n_rules)
		return false;
	*cursor = i + 1;
	*rule = policy_rule(e->policy, i);
	return true;
}

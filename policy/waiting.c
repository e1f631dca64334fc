/*
 * What is worth waiting for before the message comes: facts that, with those of later stages still
 * unknown, can settle the outcome or the route.
 *
 * For that each condition is asked what it can come to when all that can be had now is known: a set
 * of truth_sets, since with later facts missing it may be left open in several ways. Facts are
 * taken to be independent of each other, so a fact that stands in several tests may be waited for
 * in vain; so may what `score ==` or `tags` read. Never is one left out that could settle
 * something.
 */
#include "policy/evaluation.h"

typedef uint8_t reach_set; /* bit N: the truth_set N can be come to */

#define REACH(truth)  ((reach_set)(1U << (truth)))
#define REACH_CERTAIN (REACH(TRUTH_FALSE) | REACH(TRUTH_TRUE) | REACH(TRUTH_ERROR))

struct waiting {
	const struct evaluation *e;
	const struct subject *s;
	enum stage reached;
	bool *waits;
	bool some;
	bool score_known;   /* what can be had now can bring: */
	int64_t low_most;   /* its lower end up to here */
	int64_t high_least; /* its upper end down to here */
	bool score_waited;
};

/* --- what a condition can come to --- */

static reach_set reach_and(reach_set a, reach_set b)
{
	reach_set out = 0;

	for (unsigned x = 1; x <= TRUTH_OPEN; x++)
		for (unsigned y = 1; a & REACH(x) && y <= TRUTH_OPEN; y++)
			if (b & REACH(y))
				out |= REACH(truth_and((truth_set)x, (truth_set)y));
	return out;
}

static reach_set reach_not(reach_set a)
{
	reach_set out = 0;

	for (unsigned x = 1; x <= TRUTH_OPEN; x++)
		if (a & REACH(x))
			out |= REACH(truth_not((truth_set)x));
	return out;
}

static reach_set reach_of_rule(struct waiting *w, size_t i);

static bool can_be_true(reach_set reach)
{
	return reach & REACH(TRUTH_TRUE);
}

static bool can_be_out(reach_set reach)
{
	return reach & (REACH(TRUTH_FALSE) | REACH(TRUTH_ERROR) | REACH(TRUTH_FALSE | TRUTH_ERROR));
}

static void find_score_reach(struct waiting *w)
{
	w->low_most = w->e->low;
	w->high_least = w->e->high;
	for_rules (i, w->e, SET_MAY, RULES_SCORE) {
		reach_set reach = reach_of_rule(w, i);
		int64_t score = w->e->policy->scores[i];

		if (score > 0 ? can_be_true(reach) : can_be_out(reach))
			w->low_most += score > 0 ? score : -score;
		if (score > 0 ? can_be_out(reach) : can_be_true(reach))
			w->high_least -= score > 0 ? score : -score;
	}
	w->score_known = true;
}

static reach_set either(bool yes, bool no, truth_set open)
{
	return (reach_set)((yes ? REACH(TRUTH_TRUE) : 0) | (no ? REACH(TRUTH_FALSE) : 0) |
			   REACH(open));
}

static reach_set reach_of_score(struct waiting *w, const struct test *t, truth_set truth)
{
	int64_t at = t->score;

	if (!w->score_known)
		find_score_reach(w);
	if (t->op == OP_GREATER_EQUAL)
		return either(w->low_most >= at, w->high_least < at, truth);
	if (t->op == OP_GREATER)
		return either(w->low_most > at, w->high_least <= at, truth);
	if (t->op == OP_LESS)
		return either(w->high_least < at, w->low_most >= at, truth);
	if (t->op == OP_LESS_EQUAL)
		return either(w->high_least <= at, w->low_most > at, truth);
	return either(true, true, truth); /* == and !=: hangs on how the parts add up */
}

static reach_set reach_of_test(struct waiting *w, const struct test *t, size_t rule)
{
	truth_set truth = condition_test_truth(w->e, w->s, t, rule);

	if (truth_is_certain(truth))
		return REACH(truth);
	if (t->verdict == VERDICT_SCORE)
		return reach_of_score(w, t, truth);
	if (t->verdict == VERDICT_TAGS)
		return (reach_set)(REACH_CERTAIN | REACH(truth));
	return t->slot->stage <= w->reached ? REACH_CERTAIN : REACH(truth);
}

static reach_set reach_of(struct waiting *w, const struct expr *expr, size_t rule)
{
	bool all = expr->kind == EXPR_AND;
	reach_set out = REACH(TRUTH_TRUE);

	switch (expr->kind) {
	case EXPR_TRUE:
		return REACH(TRUTH_TRUE);
	case EXPR_TEST:
		return reach_of_test(w, expr->test, rule);
	case EXPR_NOT:
		return reach_not(reach_of(w, expr->first, rule));
	case EXPR_AND:
	case EXPR_OR:
		break;
	}
	/* a or b: not (not a and not b) */
	for (const struct expr *child = expr->first; child && out != REACH(TRUTH_FALSE);
		child = child->next) {
		reach_set one = reach_of(w, child, rule);

		out = reach_and(out, all ? one : reach_not(one));
	}
	return all ? out : reach_not(out);
}

static reach_set reach_of_rule(struct waiting *w, size_t i)
{
	const struct expr *when = policy_rule(w->e->policy, i)->when;

	return when ? reach_of(w, when, i) : REACH(TRUTH_TRUE);
}

/* --- which tests to wait for --- */

static void wait_for_rule(struct waiting *w, size_t i, truth_set goal);

/* A rule that reads the score waits for all that may change it, if what can be had now decides
 * about them. */
static void wait_for_score(struct waiting *w)
{
	if (w->score_waited)
		return;
	w->score_waited = true;
	for_rules (i, w->e, SET_MAY, RULES_SCORE) {
		reach_set reach = reach_of_rule(w, i);

		if (can_be_true(reach) || can_be_out(reach))
			wait_for_rule(w, i, TRUTH_TRUE);
	}
}

static void wait_for_tags(struct waiting *w, size_t above)
{
	for (size_t i = rule_next(w->e, SET_MAY, RULES_TAG, 0); i < above;
		i = rule_next(w->e, SET_MAY, RULES_TAG, i + 1))
		wait_for_rule(w, i, TRUTH_TRUE);
}

struct wait_for {
	struct waiting *w;
	size_t rule;
};

static bool wait_for_test(const struct test *test, void *context)
{
	struct wait_for *f = context;

	if (test->verdict == VERDICT_SCORE) {
		wait_for_score(f->w);
	} else if (test->verdict == VERDICT_TAGS) {
		wait_for_tags(f->w, f->rule);
	} else if (test->slot->stage <= f->w->reached) {
		slot_mark(f->w->s, test->slot, f->w->waits);
		f->w->some = true;
	}
	return false; /* and all others */
}

static void wait_for_rule(struct waiting *w, size_t i, truth_set goal)
{
	struct wait_for context = {w, i};
	struct open_tests open = {w->e, w->s, i, wait_for_test, &context};

	condition_any_open(&open, goal);
}

/* --- which rules --- */

static bool is_accept(const struct rule *rule)
{
	return rule->final && rule->final->kind == ACTION_ACCEPT;
}

/* Whether the rule can be brought to act finally, and do something else than accept: to be sure of
 * an accept is worth no waiting, the client goes on either way. */
static bool can_end(const struct rule *rule, reach_set reach)
{
	for (unsigned t = TRUTH_FALSE; t <= TRUTH_ERROR; t <<= 1)
		if (reach & REACH(t) && rule_may_end(rule, (truth_set)t) &&
			!(t == TRUTH_TRUE && is_accept(rule)))
			return true;
	return false;
}

static bool can_step_aside(const struct rule *rule, reach_set reach)
{
	for (unsigned t = 1; t <= TRUTH_OPEN; t++)
		if (reach & REACH(t) && !rule_may_end(rule, (truth_set)t))
			return true;
	return false;
}

/* Behind the last rule that can settle the outcome, all above having stepped aside. */
static size_t end_of_candidates(struct waiting *w)
{
	const struct policy *p = w->e->policy;
	const uint64_t *may_end = w->e->set[SET_END];
	size_t winner = w->e->winner, end = 0;

	for (size_t i = bits_next(may_end, may_end, 0, winner); i < winner;
		i = bits_next(may_end, may_end, i + 1, winner)) {
		const struct rule *rule = policy_rule(p, i);
		reach_set reach = reach_of_rule(w, i);

		if (can_end(rule, reach))
			end = i + 1;
		if (!can_step_aside(rule, reach))
			return end;
	}
	if (winner < p->n_rules &&
		!(rule_is_in(w->e, SET_TRUE, winner) && is_accept(policy_rule(p, winner))))
		end = winner;
	return end;
}

static void wait_for_outcome(struct waiting *w)
{
	const struct policy *p = w->e->policy;
	size_t winner = w->e->winner, end = end_of_candidates(w);

	for (size_t i = bits_next(w->e->set[SET_END], w->e->set[SET_END], 0, end); i < end;
		i = bits_next(w->e->set[SET_END], w->e->set[SET_END], i + 1, end))
		wait_for_rule(w, i, rule_goal(policy_rule(p, i)));
	/* `reject now` waits for nobody above it. */
	for (size_t i = rule_next(w->e, SET_MAY, RULES_NOW, end); i < winner;
		i = rule_next(w->e, SET_MAY, RULES_NOW, i + 1))
		if (can_be_true(reach_of_rule(w, i)))
			wait_for_rule(w, i, TRUTH_TRUE);
}

/* Routes of rules above the first that certainly has one. */
static void wait_for_route(struct waiting *w)
{
	size_t end = rule_next(w->e, SET_TRUE, RULES_ROUTE, 0);

	for (size_t i = rule_next(w->e, SET_MAY, RULES_ROUTE, 0); i < end;
		i = rule_next(w->e, SET_MAY, RULES_ROUTE, i + 1))
		wait_for_rule(w, i, TRUTH_TRUE);
}

bool evaluation_waits(
	const struct evaluation *e, const struct subject *s, enum stage reached, bool *waits)
{
	const struct policy *p = e->policy;
	struct waiting w = {.e = e, .s = s, .reached = reached, .waits = waits};
	bool goes_on = evaluation_goes_on(e);

	/* Of what is wanted: the recipient's own, and what a certain refusal quotes. */
	evaluation_wants(e, s, reached, waits);
	for (size_t i = 0; i < p->n_slots; i++) {
		waits[i] = waits[i] && (!goes_on || p->rules->slots[i]->stage == STAGE_RCPT);
		w.some = w.some || waits[i];
	}
	if (!e->certain)
		wait_for_outcome(&w);
	if (goes_on)
		wait_for_route(&w);
	return w.some;
}

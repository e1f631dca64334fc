/*
 * evaluation: what is known of each rule, for the files that share it. Private to
 *
 *     evaluate.c    takes in what has become known
 *     condition.c   what a condition can still be
 *     outcome.c     the outcome, and what goes with it
 *     relevance.c   what is wanted
 *     waiting.c     what is worth waiting for
 *     residue.c     what recipients must have in common
 *
 * Of a rule two things count: whether its condition is true (its actions apply), and whether it
 * acts finally: by a final action when it is true, or by `on error defer` when it is in error. Each
 * is open at first and then certain. What is kept is sets of rules, so that going through a whole
 * rule set is a matter of words of 64 rules.
 *
 *     may be true --> true, or not      SET_MAY --> SET_TRUE, or none
 *     may end     --> ends, or not      SET_END --> SET_ENDS, or none
 */
#ifndef POLICY_EVALUATION_H
#define POLICY_EVALUATION_H

#include "policy/evaluate.h"

enum rule_set {
	SET_OPEN, /* in SET_MAY or SET_END */
	SET_MAY,
	SET_END,
	SET_TRUE,
	SET_ENDS,
	SET_DIRTY, /* something that it reads has changed since it was looked at */
	SET_SPARE, /* holds nothing from one call to the next */
	SET_COUNT
};

struct evaluation {
	const struct policy *policy; /* borrowed */
	uint64_t *set[SET_COUNT];
	bool *settled;     /* by slot: it was known or failed at the last run */
	uint8_t *memo;     /* truth_set by test's memo; 0: not computed yet */
	size_t size_bytes; /* of what the three point to, in one piece */
	/* The rule whose final action wins over all below it, the number of rules while there is
	 * none; and whether those above it leave it that. Of the last run. */
	size_t winner;
	bool certain;
	int64_t low, high; /* the score */
};

static inline bool rule_is_in(const struct evaluation *e, enum rule_set set, size_t rule)
{
	return bits_has(e->set[set], rule);
}

static inline bool rule_does(const struct evaluation *e, enum rules_that that, size_t rule)
{
	return bits_has(e->policy->of[that], rule);
}

/* The first rule at or behind `from` in the set that does that; the number of rules if none. */
static inline size_t rule_next(
	const struct evaluation *e, enum rule_set set, enum rules_that that, size_t from)
{
	return bits_next(e->set[set], e->policy->of[that], from, e->policy->n_rules);
}

/* for_rules(i, e, set, that): each of them in order. The set may lose rules on the way. */
/* NOLINTBEGIN(bugprone-macro-parentheses): i is a name */
#define for_rules(i, e, set, that)                                                                 \
	for (size_t i = rule_next((e), (set), (that), 0); i < (e)->policy->n_rules;                \
		i = rule_next((e), (set), (that), i + 1))
/* NOLINTEND(bugprone-macro-parentheses) */

/* --- of one rule, whatever is known --- */

static inline bool rule_defers(const struct rule *rule)
{
	return rule->on_error == ON_ERROR_DEFER && rule->mode == RULE_ON;
}

/* Whether a rule of RULES_FINAL can still act finally if its condition can be any of these; with
 * one, whether it does. */
static inline bool rule_may_end(const struct rule *rule, truth_set truth)
{
	return (rule->final && truth & TRUTH_TRUE) || (rule_defers(rule) && truth & TRUTH_ERROR);
}

/* What of a condition makes a difference: where nothing comes of an error, not true is all that
 * counts. */
static inline truth_set rule_goal(const struct rule *rule)
{
	return rule_defers(rule) ? TRUTH_OPEN : TRUTH_TRUE;
}

/* --- condition.c --- */

truth_set condition_truth(
	const struct evaluation *e, const struct subject *s, const struct expr *expr, size_t rule);
truth_set condition_test_truth(
	const struct evaluation *e, const struct subject *s, const struct test *test, size_t rule);

/* Whether `pass` says yes to a test of the rule's condition that can still make a difference: it is
 * open, and so is all that it stands in. goal: see rule_goal. */
struct open_tests {
	const struct evaluation *e;
	const struct subject *s;
	size_t rule;
	bool (*pass)(const struct test *test, void *context);
	void *context;
};
bool condition_any_open(const struct open_tests *o, truth_set goal);

/* --- outcome.c --- */

/* Whether the message may still go to the backend or to quarantine. */
bool evaluation_goes_on(const struct evaluation *e);

/* --- relevance.c --- */

/* Marks the slot and the fields that it is looked up with, where they are pending. */
void slot_mark(const struct subject *s, const struct slot *slot, bool *marks);

#endif

/*
 * conjuncts: the tests of a condition that must all hold, and whether they can.
 */
#ifndef POLICY_CONJUNCTS_H
#define POLICY_CONJUNCTS_H

#include "policy/policy.h"

enum { CONJUNCTS_MAX = 64 };

/* Tests that must all hold, or not hold, for the whole condition to be true. */
struct conjuncts {
	struct conjunct {
		const struct test *test;
		bool negated;
		const struct place *place;
	} items[CONJUNCTS_MAX];
	size_t n;
};

/* Adds those of a condition, as many as fit; of NULL, which is always true, none. */
void conjuncts_gather(struct conjuncts *c, const struct expr *when);

/* The first of the tests that the others leave no value for; NULL: none. */
const struct conjunct *conjuncts_contradiction(
	const struct policy *policy, const struct conjuncts *c);

/* Whether no score from low to high passes the test. */
bool conjunct_is_out_of_reach(const struct conjunct *c, int64_t score_low, int64_t score_high);

/* `any tags ...` with no rule above that sets such a tag. */
bool conjunct_is_never_tagged(
	const struct policy *p, const struct rule *rule, const struct conjunct *c);

/* Whether it looks into a list of the file that has no items. */
bool conjunct_list_is_empty(const struct conjunct *c);

#endif

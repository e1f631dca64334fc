/*
 * expect: the tests that stand in rule files. Each is one evaluation in which what is given is
 * known, and every other fact is a failed lookup; but for `greylist`, which is `new` where nothing
 * is said, so that `expect greylist` can be tested.
 */
#ifndef POLICY_EXPECT_H
#define POLICY_EXPECT_H

#include "policy/policy.h"
#include "policy/remark.h"

/* What came of a test. */
struct expect_result {
	const struct rule_test *test;
	const struct rule *rule; /* that decided; NULL: none did, which is an accept */
	bool passed;
};

/* Runs all tests; each that fails is a mistake at its place, with what was expected, what came, by
 * which rule, and which facts rules asked for that were not given. told may be NULL; it gets each
 * result in order. true: all passed. */
bool policy_expect(const struct policy *policy, struct remarks *remarks,
	void (*told)(void *context, const struct expect_result *result), void *context) MUST_CHECK;

#endif

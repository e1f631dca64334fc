/*
 * truth: what an expression can still be, given what is known. Kleene's strong logic (Kleene 1952,
 * section 64) over the values false, true and error, an error being a fact that will never be
 * known; a fact that is still to come may be any of the three. So a truth is a set of values: with
 * one member it is certain.
 */
#ifndef POLICY_TRUTH_H
#define POLICY_TRUTH_H

#include <stdint.h>

#include "policy/rules.h"

enum truth {
	TRUTH_FALSE = 1,
	TRUTH_TRUE = 2,
	TRUTH_ERROR = 4,
	TRUTH_OPEN = TRUTH_FALSE | TRUTH_TRUE | TRUTH_ERROR
};

typedef uint8_t truth_set; /* a union of enum truth */

static inline bool truth_is_certain(truth_set t)
{
	return (t & (t - 1)) == 0;
}

truth_set truth_and(truth_set a, truth_set b);
truth_set truth_or(truth_set a, truth_set b);
truth_set truth_not(truth_set a);

/* Where values are found: for each stage its slots, by index; NULL: all are pending. */
struct subject {
	const struct fact_value *at[STAGE_COUNT];
};

static inline const struct fact_value *subject_value(
	const struct subject *subject, const struct slot *slot)
{
	static const struct fact_value pending = {.state = FACT_PENDING};

	return subject->at[slot->stage] ? &subject->at[slot->stage][slot->index] : &pending;
}

/* One value against a test's operand, the fact's having been found. TRUTH_ERROR: a pattern hit its
 * limits. */
truth_set test_of_value(
	const struct test *test, const struct fact_value *value, struct pattern_scratch *scratch);

/* The hash under which a value that equals another is found (guards); for the types that have one.
 */
uint64_t datum_hash(enum fact_type type, const union fact_datum *datum);

#endif

/*
 * policy_reference: what rules mean, written from the design and from nothing else: slow, plain,
 * and with one loop over the rules for each question. Evaluation is held up against it.
 *
 * Of conditions it knows what policy_generate makes: booleans, numbers, choices and texts.
 */
#ifndef TESTS_UNIT_POLICY_REFERENCE_H
#define TESTS_UNIT_POLICY_REFERENCE_H

#include "policy/truth.h"

enum { REFERENCE_RULES_MAX = 128, REFERENCE_EFFECTS_MAX = 1024 };

/* With all facts known or failed. */
struct reference {
	enum truth truth[REFERENCE_RULES_MAX];
	int64_t score;
	const struct rule *rule;    /* the outcome; NULL: no rule */
	const struct action *final; /* NULL: accept, or on error defer */
	const struct action *effects[REFERENCE_EFFECTS_MAX];
	size_t n_effects;
	const char *route;
};
void reference_all_known(
	const struct rules *rules, const struct subject *subject, struct reference *out);

/* With some facts pending: as far as Kleene logic and an interval for the score tell. */
struct reference_partly {
	truth_set truth[REFERENCE_RULES_MAX];
	int64_t low, high;
	bool certain; /* without what `now` adds */
	const struct rule *rule;
	const struct action *final;
	const struct rule *now; /* a true `reject now` with no certain final action above; NULL */
};
void reference_partly_known(
	const struct rules *rules, const struct subject *subject, struct reference_partly *out);

#endif

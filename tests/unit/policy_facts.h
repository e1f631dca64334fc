/*
 * policy_facts: the facts of the design for tests, with two sources, as if filters had declared
 * them.
 */
#ifndef TESTS_UNIT_POLICY_FACTS_H
#define TESTS_UNIT_POLICY_FACTS_H

#include "policy/facts.h"

extern const struct fact_registry policy_facts;

#endif

/*
 * advise: what can be said about rules that are right, since their author will hardly have meant
 * it. It changes nothing and forbids nothing.
 */
#ifndef POLICY_ADVISE_H
#define POLICY_ADVISE_H

#include "policy/policy.h"
#include "policy/remark.h"

/* Warns, at the places:
 *
 * - of a rule that waits for the message above one that could refuse before
 * - of an `accept` that anybody can have by claiming to be somebody
 * - of a rule that never acts: below one that always decides, or contradicting itself
 * - of lists that nothing reads, or that are empty, and of a dnsbl without answers
 * - of facts that no filter of this version measures, and of what needs the store
 */
void policy_advise(const struct policy *policy, struct remarks *remarks);

#endif

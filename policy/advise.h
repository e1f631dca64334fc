/*
 * advise: what can be said about rules that are right: when each is decided, and what their author
 * will hardly have meant. It changes nothing and forbids nothing.
 */
#ifndef POLICY_ADVISE_H
#define POLICY_ADVISE_H

#include "policy/policy.h"
#include "policy/remark.h"

/* The first stage at which a rule can be known to be true, for each rule of the policy;
 * STAGE_COUNT: never. */
void policy_stages(const struct policy *policy, enum stage *stages);

/* As admins know them: rules see no difference between the header section and the message's end.
 * "never" for STAGE_COUNT. */
const char *policy_stage_name(enum stage stage);

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

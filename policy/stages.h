/*
 * stages: when rules are decided, as far as the stages of the facts that they read tell.
 */
#ifndef POLICY_STAGES_H
#define POLICY_STAGES_H

#include "policy/policy.h"

#define STAGE_NEVER STAGE_COUNT

/* The first stage at which a rule can be known to be true, for each rule of the policy;
 * STAGE_NEVER: it can't. */
void policy_stages(const struct policy *policy, enum stage *stages);

/* The same as if every fact were measured and every list at hand. */
void policy_stages_as_written(const struct policy *policy, enum stage *stages);

/* As admins know them: rules see no difference between the header section and the message's end.
 * "never" for STAGE_NEVER. */
const char *policy_stage_name(enum stage stage);

/* Whether no filter of this version measures it, or what it is asked of. */
bool slot_is_absent(const struct slot *slot);

#endif

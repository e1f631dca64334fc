/* action_text: an action as it would be written in a rule file, for people. */
#ifndef POLICY_ACTION_TEXT_H
#define POLICY_ACTION_TEXT_H

#include "policy/evaluate.h"

/* `reject 550 5.7.1 "Blocked"`, `tag "spam"`, `score 4.5 "zen"`. render NULL: as it was written,
 * without codes that were not; otherwise as it is carried out, with the fields in its text filled
 * in. false: out is full. */
bool action_write(
	const struct action *action, const struct render *render, struct buffer *out) MUST_CHECK;

/* "5m", "90s": in the largest unit that it is a whole number of. */
bool duration_write(uint64_t duration_ms, struct buffer *out) MUST_CHECK;

#endif

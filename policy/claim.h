/*
 * claim: what a condition says of who the sender is. Anybody can write an address, a From or a HELO
 * name; a client's address, SPF, DKIM and the like prove something.
 */
#ifndef POLICY_CLAIM_H
#define POLICY_CLAIM_H

#include "policy/rules.h"

/* Whether the condition rests on what senders say of themselves, and on nothing that proves it. */
bool condition_only_claims(const struct expr *when);

#endif

/*
 * guard: an index over one slot that rules out at once all rules that need it to be something else:
 * `mail.domain == "a.example"`, `client.ip in 192.0.2.0/24`, `helo under "b.example"`, `subject
 * contains "words"`. With ten thousand rules of a kind, a few are left to be looked at.
 *
 * A guard says which rules may hold, never that one does.
 */
#ifndef POLICY_GUARD_H
#define POLICY_GUARD_H

#include "policy/rules.h"

/* What its keys are hashes of. */
enum guard_kind {
	GUARD_EQUAL,   /* values */
	GUARD_UNDER,   /* domains, that of the value or above it */
	GUARD_NETWORK, /* networks that an address lies in, with their length */
	GUARD_CONTAINS /* runs of four bytes in a text */
};

/* Immutable. */
struct guard {
	enum guard_kind kind;
	enum fact_type type;
	struct guard_key {
		uint64_t hash;
		uint32_t rule;
	} * keys; /* sorted */
	size_t n;
	uint64_t *filter;         /* bits of hashes that are among the keys; most others are not */
	uint64_t filter_mask;     /* of a bit's number */
	uint64_t *guarded;        /* the rules */
	size_t longest;           /* GUARD_UNDER: bytes of a domain */
	bool prefixes[129];       /* GUARD_NETWORK: lengths that occur */
	const struct guard *next; /* another of the same slot */
};

/* Guards of all slots, by slot; NULL: none. In the arena, but for keys that are freed with it. */
const struct guard **guards_new(const struct rules *rules, struct arena *arena);

/* Takes those rules out of the set that may hold for the known value. */
void guard_spare(const struct guard *guard, const struct fact_value *value, uint64_t *rules);

/* Whether the others are false then. A choice that is none is its word `none`, which has a key of
 * its own that the value doesn't show. */
bool guard_applies(const struct guard *guard, const struct fact_value *value);

#endif

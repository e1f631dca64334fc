/*
 * dkim_fields: which fields of a header section the signatures of a message can have signed. A
 * signature takes of each name as many as it has that name in h=, from the bottom (RFC 6376 5.4.2);
 * all others can be left out without any difference to it.
 */
#ifndef AUTHN_DKIM_FIELDS_H
#define AUTHN_DKIM_FIELDS_H

#include "authn/dkim_guard.h"

/* A name that some signature signs. */
struct dkim_name {
	struct span name;
	size_t n_signed; /* the most that one signature takes */
	size_t n_there;  /* in the section */
	size_t n_passed; /* while it is walked the second time */
};

struct dkim_names {
	struct dkim_name *items; /* sorted */
	size_t n;
};

/* The names that the open claims sign, in the arena. */
void dkim_names_collect(struct dkim_names *names, const struct dkim_claim *claims, size_t n_claims,
	struct arena *arena);

/* NULL: nobody signs it. */
struct dkim_name *dkim_names_find(const struct dkim_names *names, struct span name);

/* Counts a section's fields; then dkim_names_take says of each, in order, whether it can be signed.
 */
void dkim_names_count(struct dkim_names *names, struct span section);
bool dkim_names_take(struct dkim_names *names, struct span name);

#endif

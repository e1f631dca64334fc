/*
 * spf_record: a record (RFC 7208 12), read against the whole grammar, and what is left of it for
 * one client.
 *
 * Everything is checked, since a mistake anywhere spoils a record (RFC 7208 4.6); kept is only what
 * can be reached: ip4 and ip6 that don't match are gone, and so is all behind a term that matches
 * whatever DNS says, or behind the eleventh that asks DNS, which ends the evaluation. So a record
 * of any length comes down to a dozen terms.
 */
#ifndef AUTHN_SPF_RECORD_H
#define AUTHN_SPF_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/error.h"
#include "lib/base/ip.h"
#include "lib/base/span.h"

enum {
	SPF_LOOKUPS_MAX = 10, /* terms that ask DNS, in a whole evaluation (RFC 7208 4.6.4) */
	SPF_TERMS_MAX = SPF_LOOKUPS_MAX + 2
};

enum spf_term_kind {
	SPF_TERM_ALWAYS, /* all; ip4 or ip6 that match */
	SPF_TERM_A,
	SPF_TERM_MX,
	SPF_TERM_PTR,
	SPF_TERM_EXISTS,
	SPF_TERM_INCLUDE,
	SPF_TERM_REDIRECT,
	SPF_TERM_EXP
};

/* Texts are borrowed from the record. */
struct spf_term {
	enum spf_term_kind kind;
	char qualifier;      /* one of "+-~?" */
	uint8_t prefix_bits; /* a, mx: of the client's family */
	struct span text;    /* as it stands there */
	struct span target;  /* a domain-spec; empty: the domain whose record it is */
};

struct spf_record {
	struct spf_term terms[SPF_TERMS_MAX]; /* in their order */
	size_t n;
	struct spf_term redirect, exp; /* their text is empty: there is none, or it can't be
					  reached */
};

/* Whether a TXT record is one of SPF's at all (RFC 7208 4.5). */
bool spf_record_is_one(struct span text);

/* text is one. false: it is not well-formed; err says why, as it came from outside. */
bool spf_record_read(struct span text, const struct ip *client, struct spf_record *out,
	struct err *err) MUST_CHECK;

#endif

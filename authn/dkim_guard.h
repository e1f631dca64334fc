/*
 * dkim_guard: one DKIM-Signature field (RFC 6376 3.5) judged before the library sees it. What is
 * not within the grammar, or within bounds that the library is known to keep to, is decided here
 * and never reaches it (docs/why/dkim.md).
 */
#ifndef AUTHN_DKIM_GUARD_H
#define AUTHN_DKIM_GUARD_H

#include "authn/dkim_key.h"
#include "lib/authn/result.h"
#include "lib/mail/header.h"

enum {
	DKIM_FIELD_MAX = 32 * 1024, /* bytes of a field; the library's own buffer ends at 64 KB */
	DKIM_LIST_MAX = 4000,       /* bytes of h=; it cuts off what is beyond 4,095 */
	DKIM_NAMES_MAX = 128,       /* in h=; each costs a walk over the fields */
	DKIM_IDENTITY_MAX = 255,    /* bytes of i=; it has room for 256 */
	DKIM_DOMAIN_MAX = 253,
	DKIM_DRIFT_S = 300,           /* how far clocks may differ for x= */
	DKIM_FUTURE_S = 24 * 60 * 60, /* and t=: who signs local time as UTC is honest too */
};

/* What a field claims. */
struct dkim_claim {
	/* code: DKIM_IS_NONE while nothing speaks against it. */
	struct dkim_signature said;
	struct header_field field; /* borrowed */
	struct span own_value;     /* of its b=, blanks around it included */
	bool misread;              /* the library takes this field for another than it is */
	enum dkim_algorithm algorithm;
	bool relaxed_header, relaxed_body; /* c= */
	struct span *names;                /* h=, in the arena */
	size_t n_names;
	uint8_t body_hash[DKIM_HASH_SIZE];
	uint8_t signature[DKIM_SIGNATURE_SIZE_MAX];
	size_t signature_len;
	bool in_subdomain; /* i= is not d= itself */
	bool limited;      /* l= */
	uint64_t limit;
	uint64_t signed_s, expires_s; /* t=, x=; 0 and UINT64_MAX: not said */
};

/* The texts lie in the arena or are static. */
void dkim_claim_read(const struct header_field *field, uint64_t now_s, struct arena *arena,
	struct dkim_claim *out);

/* It is decided. The first word stands. */
void dkim_claim_refuse(struct dkim_claim *claim, enum dkim_code code, const char *problem);

static inline bool dkim_claim_is_open(const struct dkim_claim *claim)
{
	return claim->said.code == DKIM_IS_NONE;
}

/* Whether h= has this name. */
bool dkim_claim_names(const struct dkim_claim *claim, struct span name);

#endif

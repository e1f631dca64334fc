/*
 * dkim_key: the keys that signers publish (RFC 6376 3.6, RFC 8463 4), and signatures verified with
 * them: of DKIM and of ARC, whose
 * keys are the same. libopendkim is never shown a key: docs/why/dkim.md.
 */
#ifndef AUTHN_DKIM_KEY_H
#define AUTHN_DKIM_KEY_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/span.h"

enum dkim_algorithm { DKIM_RSA_SHA256, DKIM_ED25519_SHA256 };

enum {
	DKIM_HASH_SIZE = 32,
	DKIM_KEY_BITS_MIN = 1024, /* of RSA (RFC 8301 3.2) */
	DKIM_KEY_BITS_MAX = 4096,
	DKIM_SIGNATURE_SIZE_MAX = DKIM_KEY_BITS_MAX / 8,
	DKIM_KEY_RECORD_MAX = 4096 /* bytes of a record; 4096 bits take 750 */
};

struct dkim_key {
	EVP_PKEY *pkey; /* owned */
	enum dkim_algorithm algorithm;
	uint32_t bits;
	bool testing;       /* t=y: the signer is still trying it out */
	bool domain_itself; /* t=s: no identity in a subdomain */
};

/* Whether a TXT record is a key at all, and not something else that stands at that name. */
bool dkim_key_is(struct span record);

/* false: there is no key in it that this algorithm can use; *problem (static) says why, and *bits
 * is the size of one that is too small or too large. Flags are set in either case. */
bool dkim_key_read(struct span record, enum dkim_algorithm algorithm, struct dkim_key *out,
	const char **problem) MUST_CHECK;

/* hash: of what was signed. */
bool dkim_key_verifies(const struct dkim_key *key, const uint8_t hash[DKIM_HASH_SIZE],
	struct span signature) MUST_CHECK;

void dkim_key_free(struct dkim_key *key);

#endif

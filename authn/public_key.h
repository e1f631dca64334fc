/*
 * public_key: what a signer publishes (RFC 6376 3.6, RFC 8463), and whether a signature is its. Of
 * RSA both forms are read that are found in DNS: SubjectPublicKeyInfo and, as the text of RFC 6376
 * has it, a bare RSAPublicKey.
 */
#ifndef AUTHN_PUBLIC_KEY_H
#define AUTHN_PUBLIC_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "authn/sha256.h"
#include "lib/base/attributes.h"
#include "lib/base/span.h"

enum {
	PUBLIC_KEY_RECORD_MAX = 4096, /* bytes; a longer one is no key */
	PUBLIC_KEY_BITS_MIN = 1024,   /* of RSA (RFC 8301 3.2) */
	PUBLIC_KEY_BITS_MAX = 4096,
	SIGNATURE_MAX = PUBLIC_KEY_BITS_MAX / 8 /* bytes */
};

enum key_type { KEY_RSA, KEY_ED25519 };

struct signature {
	enum key_type type;
	uint8_t hash[SHA256_SIZE]; /* of what is signed */
	uint8_t bytes[SIGNATURE_MAX];
	size_t len;
};

/* Whether it was made with the key of this record. If not, *problem says why, for people: "the key
 * is revoked" (static). */
bool public_key_verifies(
	struct span record, const struct signature *signature, const char **problem) MUST_CHECK;

#endif

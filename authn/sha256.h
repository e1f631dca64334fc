/*
 * sha256: what DKIM and ARC hash, bytes added piece by piece. Short pieces are gathered first:
 * canonicalised mail comes in words.
 */
#ifndef AUTHN_SHA256_H
#define AUTHN_SHA256_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/span.h"

enum { SHA256_SIZE = 32, SHA256_HELD = 1024 };

struct sha256 {
	EVP_MD_CTX *context; /* owned */
	char held[SHA256_HELD];
	size_t n_held;
	uint64_t len; /* bytes added so far */
};

void sha256_open(struct sha256 *s);
void sha256_add(struct sha256 *s, struct span bytes);

static inline void sha256_add_char(struct sha256 *s, char c)
{
	if (__builtin_expect(s->n_held == SHA256_HELD, 0)) {
		sha256_add(s, span_make(&c, 1));
		return;
	}
	s->held[s->n_held++] = c;
	s->len++;
}

/* The digest of what was added until now; more may follow. */
void sha256_peek(struct sha256 *s, uint8_t out[SHA256_SIZE]);

/* A second one, opened, goes on from where the first is. */
void sha256_fork(struct sha256 *from, struct sha256 *to);

void sha256_close(struct sha256 *s);

#endif

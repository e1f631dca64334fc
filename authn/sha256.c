/*
 * EVP can fail at these calls only for want of memory, which ends a process of ours anyway.
 */
#include "authn/sha256.h"

#include "lib/base/fail.h"

void sha256_open(struct sha256 *s)
{
	s->context = EVP_MD_CTX_new();
	ENSURE(s->context && EVP_DigestInit_ex(s->context, EVP_sha256(), NULL) == 1);
	s->n_held = 0;
	s->len = 0;
}

static void add_held(struct sha256 *s)
{
	ENSURE(EVP_DigestUpdate(s->context, s->held, s->n_held) == 1);
	s->n_held = 0;
}

void sha256_add(struct sha256 *s, struct span bytes)
{
	s->len += bytes.len;
	if (bytes.len <= SHA256_HELD - s->n_held) {
		if (bytes.len)
			memcpy(s->held + s->n_held, bytes.at, bytes.len);
		s->n_held += bytes.len;
		return;
	}
	add_held(s);
	ENSURE(EVP_DigestUpdate(s->context, bytes.at, bytes.len) == 1);
}

void sha256_peek(struct sha256 *s, uint8_t out[SHA256_SIZE])
{
	struct sha256 copy;

	sha256_fork(s, &copy);
	ENSURE(EVP_DigestFinal_ex(copy.context, out, NULL) == 1);
	sha256_close(&copy);
}

void sha256_fork(struct sha256 *from, struct sha256 *to)
{
	add_held(from);
	to->context = EVP_MD_CTX_new();
	ENSURE(to->context && EVP_MD_CTX_copy_ex(to->context, from->context) == 1);
	to->n_held = 0;
	to->len = from->len;
}

void sha256_close(struct sha256 *s)
{
	EVP_MD_CTX_free(s->context);
	s->context = NULL;
}

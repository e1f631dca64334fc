/*
 * dkim_sign: signatures for tests. What is hashed is spelled out by the test, not worked out: the
 * canonical forms stand in it as RFC 6376 3.4 has them.
 */
#ifndef UNIT_DKIM_SIGN_H
#define UNIT_DKIM_SIGN_H

#include "lib/base/arena.h"

enum sign_key { SIGN_RSA_768, SIGN_RSA_1024, SIGN_RSA_2048, SIGN_RSA_4096, SIGN_ED25519 };

struct signing {
	enum sign_key key;
	const char *tags; /* before bh= and b=, without folds: "v=1; a=rsa-sha256; ... h=from; " */
	const char *behind; /* b=; NULL: nothing */
	const char *fields; /* that are signed, canonicalised, each with its CRLF */
	const char *body;   /* canonicalised */
	bool simple;        /* the field's own canonicalisation; else relaxed */
	const char *b;      /* the name and sign of b=; NULL: "b=" */
};

/* "DKIM-Signature: ...\r\n" */
char *sign_field(const struct signing *how, struct arena *arena);

/* "v=DKIM1; k=...; p=..." */
char *sign_record(enum sign_key key, struct arena *arena);

/* As it stands in p=, and as the text of RFC 6376 has it: PKCS #1 without a wrapping. */
char *sign_public(enum sign_key key, bool bare, struct arena *arena);

/* A record whose key has 4104 bits. */
extern const char *const sign_record_too_long;

#endif

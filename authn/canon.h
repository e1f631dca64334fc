/*
 * canon: what of a message is signed (RFC 6376 3.4), hashed as it streams past. "simple" takes it
 * as it stands, "relaxed" sees through blanks, folds and the case of names.
 */
#ifndef AUTHN_CANON_H
#define AUTHN_CANON_H

#include "authn/sha256.h"
#include "lib/mail/header.h"

enum canon { CANON_SIMPLE, CANON_RELAXED };

/* A field without the CRLF at its end (3.4.1, 3.4.2). cut: bytes of it that are passed over, the
 * value of b= (3.7); empty: none. */
void canon_field(
	enum canon canon, const struct header_field *field, struct span cut, struct sha256 *out);

/* A body (3.4.3, 3.4.4), cut anywhere. */
struct canon_body {
	enum canon canon;
	struct sha256 sha256;
	uint64_t n_ends; /* line ends that count when something follows */
	bool carriage;   /* CR was the last byte */
	bool blank;      /* blanks that count when something of the line follows */
	bool line_begun; /* the last line has no end */
};

void canon_body_open(struct canon_body *body, enum canon canon);
void canon_body_add(struct canon_body *body, struct span piece);

/* The end. Its hash, and how many bytes were hashed, for l=. */
uint64_t canon_body_end(struct canon_body *body, uint8_t hash[SHA256_SIZE]);

void canon_body_close(struct canon_body *body);

#endif

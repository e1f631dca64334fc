/*
 * dkim: the signatures of one message (RFC 6376, 8301, 8463) verified while it streams past.
 * libopendkim chooses, canonicalises and hashes what was signed; what a signature claims is judged
 * before the library sees it, and keys and signatures are verified behind it (docs/why/dkim.md).
 *
 *     dkim_check_begin(headers) --> dkim_check_wants (keys) ; dkim_check_body...
 *         --> dkim_check_end(answers)
 *
 * The names are longer than one would like because the library has the short ones.
 */
#ifndef AUTHN_DKIM_H
#define AUTHN_DKIM_H

#include "lib/authn/answer.h"
#include "lib/authn/result.h"
#include "lib/base/error.h"

struct dkim_library; /* of a process */
struct dkim_check;   /* a message */

/* NULL: err says why. */
struct dkim_library *dkim_library_open(struct err *err) MUST_CHECK;
void dkim_library_close(struct dkim_library **library);

/* section: the header section, with or without its empty line; borrowed until dkim_check_free.
 * Results lie in the arena. now_s: for t= and x= (RFC 6376 3.5). */
struct dkim_check *dkim_check_begin(
	struct dkim_library *library, struct span section, uint64_t now_s, struct arena *arena);

/* false: no signature hangs on the body, dkim_check_end may follow at once. */
bool dkim_check_needs_body(const struct dkim_check *check);

/* The keys that the answers lack. */
void dkim_check_wants(
	const struct dkim_check *check, const struct answers *answers, struct wants *wants);

void dkim_check_body(struct dkim_check *check, struct span piece);

/* Once; every key is among the answers. */
void dkim_check_end(
	struct dkim_check *check, const struct answers *answers, struct dkim_result *result);

/* At any time. Sets the pointer to NULL. */
void dkim_check_free(struct dkim_check **check);

#endif

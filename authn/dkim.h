/*
 * dkim: the signatures of one message (RFC 6376, 8301, 8463) verified by libopendkim while it
 * streams past. Signature fields are judged before the library sees them (ABNF, lengths, at most
 * ten); what it would write past its heap on never reaches it (docs/why/dkim.md).
 *
 *     dkim_begin(headers) --> dkim_wants (keys) ; dkim_body... --> dkim_end(answers)
 */
#ifndef AUTHN_DKIM_H
#define AUTHN_DKIM_H

#include "lib/authn/answer.h"
#include "lib/authn/result.h"
#include "lib/base/error.h"

struct dkim_library; /* of a process */
struct dkim;         /* a message */

/* NULL: err says why. */
struct dkim_library *dkim_open(struct err *err) MUST_CHECK;
void dkim_close(struct dkim_library **library);

/* section: the header section, with or without its empty line; borrowed until dkim_free. Results
 * lie in the arena. now_s: for x= (RFC 6376 3.5). */
struct dkim *dkim_begin(
	struct dkim_library *library, struct span section, uint64_t now_s, struct arena *arena);

/* No signature needs the body: dkim_end may follow at once. */
bool dkim_needs_body(const struct dkim *dkim);

/* The keys that the answers lack. */
void dkim_wants(const struct dkim *dkim, const struct answers *answers, struct wants *wants);

void dkim_body(struct dkim *dkim, struct span piece);

/* Once; every key is among the answers. */
void dkim_end(struct dkim *dkim, const struct answers *answers, struct dkim_result *result);

/* At any time. Sets the pointer to NULL. */
void dkim_free(struct dkim **dkim);

#endif

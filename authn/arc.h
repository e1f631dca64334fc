/*
 * arc: the ARC chain of one message (RFC 8617 5.2) validated while it streams past, on OpenSSL's
 * EVP.
 *
 *     arc_begin(headers) --> arc_wants (keys) ; arc_body... --> arc_end(answers)
 */
#ifndef AUTHN_ARC_H
#define AUTHN_ARC_H

#include "lib/authn/answer.h"
#include "lib/authn/result.h"

struct arc; /* a message */

/* section: the header section, with or without its empty line; borrowed until arc_free. Results lie
 * in the arena. */
struct arc *arc_begin(struct span section, uint64_t now_s, struct arena *arena);

/* The outcome does not hang on the body: arc_end may follow at once. */
bool arc_needs_body(const struct arc *arc);

/* The keys that the answers lack. */
void arc_wants(const struct arc *arc, const struct answers *answers, struct wants *wants);

void arc_body(struct arc *arc, struct span piece);

/* Once; every key is among the answers (one that is not counts as if DNS had none to say).
 * `results` is empty where the field is longer than 16 KB. */
void arc_end(struct arc *arc, const struct answers *answers, struct arc_result *result);

/* At any time. Sets the pointer to NULL. */
void arc_free(struct arc **arc);

#endif

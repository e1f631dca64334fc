/*
 * arc_set: the three fields that a sealer adds to a message (RFC 8617 4.1), and their grammar. What
 * does not keep to it is no part of a valid chain.
 */
#ifndef AUTHN_ARC_SET_H
#define AUTHN_ARC_SET_H

#include "authn/canon.h"
#include "authn/dkim_key.h"
#include "authn/sha256.h"
#include "lib/base/arena.h"
#include "lib/mail/header.h"

/* In the order in which a seal covers them (5.1.1). */
enum arc_kind { ARC_RESULTS, ARC_MESSAGE, ARC_SEAL };

enum arc_cv { ARC_CV_NONE, ARC_CV_PASS, ARC_CV_FAIL };

/* What a seal and a message signature share. */
struct arc_signature {
	enum dkim_algorithm algorithm;
	struct span domain; /* d= */
	struct span key;    /* the name in DNS at which its key is; in the arena */
	struct span value;  /* of b=, with all the blanks around it */
	uint64_t expires_s; /* x=; 0: never */
};

struct arc_message {
	const char *problem; /* NULL: what follows is whole; otherwise it can't be valid (static) */
	struct arc_signature signature;
	enum canon headers, body;
	struct span names; /* h= */
	uint8_t body_hash[SHA256_SIZE];
	uint64_t body_len; /* l=; UINT64_MAX: all of it */
};

struct arc_seal {
	struct arc_signature signature;
	enum arc_cv cv;
};

/* Whether it is a field of ARC, and which. */
bool arc_kind_of(const struct header_field *field, enum arc_kind *kind) MUST_CHECK;

/* Bodies of fields; all spans are borrowed from them. false: *problem says why, for people
 * (static). */

/* *payload: what stands behind "i=N;". */
bool arc_results_read(struct span body, unsigned *instance, struct span *payload,
	const char **problem) MUST_CHECK;

/* Only that of the last set has to be valid, so the rest of its grammar is out->problem. */
bool arc_message_read(struct span body, struct arena *arena, unsigned *instance,
	struct arc_message *out, const char **problem) MUST_CHECK;

bool arc_seal_read(struct span body, struct arena *arena, unsigned *instance, struct arc_seal *out,
	const char **problem) MUST_CHECK;

#endif

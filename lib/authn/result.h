/*
 * result: what SPF, DKIM and ARC found out about a message (RFC 7208, 6376, 8617), as it comes back
 * from the process that evaluates them, and what it is asked. All texts are borrowed from the arena
 * they were read into.
 */
#ifndef AUTHN_RESULT_H
#define AUTHN_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/ip.h"
#include "lib/base/span.h"

/* --- SPF --- */

/* In the order of the fact's choices. X(NAME, word) */
#define SPF_CODES(X)                                                                               \
	X(NONE, "none")                                                                            \
	X(NEUTRAL, "neutral")                                                                      \
	X(PASS, "pass")                                                                            \
	X(FAIL, "fail")                                                                            \
	X(SOFTFAIL, "softfail")                                                                    \
	X(TEMPERROR, "temperror")                                                                  \
	X(PERMERROR, "permerror")

enum spf_code {
#define X(name, word) SPF_IS_##name,
	SPF_CODES(X)
#undef X
};

/* One identity against one client (RFC 7208 4.1). */
struct spf_question {
	struct ip client;
	struct span helo;     /* as the client named itself, for macros */
	struct span local;    /* of the sender; empty: "postmaster" */
	struct span domain;   /* whose record is asked: the sender's, or the HELO name */
	struct span receiver; /* this host, for %{r} */
	uint64_t wall_s;      /* for %{t} */
};

struct spf_result {
	enum spf_code code;
	struct span mechanism;   /* which term decided, as its record has it; empty: none */
	struct span problem;     /* of an error, for people: "more than ten lookups" */
	struct span explanation; /* what the domain has to say about a fail (RFC 7208 6.2),
				    printable ASCII; empty: nothing */
};

/* --- DKIM --- */

/* In the order of the fact's choices. */
#define DKIM_CODES(X)                                                                              \
	X(NONE, "none")                                                                            \
	X(PASS, "pass")                                                                            \
	X(FAIL, "fail")                                                                            \
	X(TEMPERROR, "temperror")                                                                  \
	X(PERMERROR, "permerror")                                                                  \
	X(POLICY, "policy")

enum dkim_code {
#define X(name, word) DKIM_IS_##name,
	DKIM_CODES(X)
#undef X
};

enum { DKIM_SIGNATURES_MAX = 10 };

/* One DKIM-Signature field. What it does not say, or not in a form that can be believed, is empty.
 */
struct dkim_signature {
	enum dkim_code code;                    /* never NONE */
	struct span domain, selector, identity; /* d=, s=, i= (or "@" and d=) */
	struct span algorithm;                  /* a=: "rsa-sha256" */
	struct span start;                      /* the first 8 characters of b=, without blanks */
	uint32_t key_bits;                      /* 0: not known */
	bool testing;                           /* the key says t=y */
	struct span problem;                    /* for people; empty: none */
};

struct dkim_result {
	const struct dkim_signature *signatures; /* in the order of the header, from the top */
	size_t n;
	size_t n_more; /* fields that were not looked at, beyond DKIM_SIGNATURES_MAX */
};

/* --- ARC --- */

enum arc_code { ARC_IS_NONE, ARC_IS_PASS, ARC_IS_FAIL };

enum { ARC_SETS_MAX = 50 };

struct arc_result {
	enum arc_code code;
	bool temporary;      /* it fails because DNS did: another time it may pass */
	struct span problem; /* for people; empty: none */
	/* The domains (d=) of the seals, from i=1; only of a chain that passes. */
	const struct span *sealers;
	size_t n_sealers;
	/* The body of the last set's ARC-Authentication-Results behind "i=N;", unfolded; only of a
	 * chain that passes. */
	struct span results;
	uint32_t oldest_pass; /* RFC 8617 5.2: 0: all message signatures pass */
};

/* --- as they travel --- */

enum authn_kind { AUTHN_SPF, AUTHN_DKIM, AUTHN_ARC };

const char *spf_code_name(enum spf_code code);
const char *dkim_code_name(enum dkim_code code);
const char *arc_code_name(enum arc_code code);

struct buffer;

/* Written by one side, read by the other, which believes nothing: false is nonsense. Texts read
 * borrow from `bytes`, arrays lie in the arena. Writing fails when the buffer is full. */
bool spf_question_write(const struct spf_question *question, struct buffer *out) MUST_CHECK;
bool spf_question_read(struct span bytes, struct spf_question *out) MUST_CHECK;
bool spf_result_write(const struct spf_result *result, struct buffer *out) MUST_CHECK;
bool spf_result_read(struct span bytes, struct spf_result *out) MUST_CHECK;
bool dkim_result_write(const struct dkim_result *result, struct buffer *out) MUST_CHECK;
bool dkim_result_read(struct span bytes, struct arena *arena, struct dkim_result *out) MUST_CHECK;
bool arc_result_write(const struct arc_result *result, struct buffer *out) MUST_CHECK;
bool arc_result_read(struct span bytes, struct arena *arena, struct arc_result *out) MUST_CHECK;

#endif

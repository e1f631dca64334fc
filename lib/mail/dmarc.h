/*
 * dmarc: whether the domain in From stands behind a message (RFC 9989). Nothing is asked here: what
 * DNS says is told, and what is still needed comes back as wishes, all of a tree walk at once.
 *
 *     dmarc = dmarc_new(arena, NULL, NULL);
 *     from = dmarc_domain(dmarc, SPAN("news.example.com"));
 *     while (dmarc_find(dmarc, from, &found) == DMARC_OPEN)
 *             while ((wish = dmarc_wish(dmarc)))
 *                     ... dmarc_answer(dmarc, wish->number, DMARC_TEXTS, texts, n);
 *
 * Names of several domains of a message that coincide are asked once. What is known so far may be
 * enough: then it is DMARC_KNOWN whatever else is still to come, or failed.
 */
#ifndef MAIL_DMARC_H
#define MAIL_DMARC_H

#include "lib/base/arena.h"
#include "lib/mail/dmarc_record.h"

enum { DMARC_WALK_MAX = 8 }; /* RFC 9989 4.10: questions for one domain */

struct dmarc;        /* of a message */
struct dmarc_domain; /* one of its domains: in From, of SPF, of a signature */

enum dmarc_knowledge {
	DMARC_KNOWN,
	DMARC_OPEN,   /* what is missing is wished for, or asked already */
	DMARC_UNKNOWN /* for good: DNS had trouble */
};

/* organizational: finds the Organizational Domain of a name (lower case, no dot at the end) by a
 * list of public suffixes instead of by the tree walk: a suffix of the name, or the name itself;
 * policies are then looked for as RFC 7489 6.6.3 does. NULL: by the tree walk. All lies in the
 * arena. */
struct dmarc *dmarc_new(struct arena *arena,
	struct span (*organizational)(void *context, struct span domain), void *context);

/* In ASCII, with or without a dot at its end; the same again is one. NULL: nothing that DNS could
 * know of. */
struct dmarc_domain *dmarc_domain(struct dmarc *dmarc, struct span name);
struct span dmarc_domain_name(const struct dmarc_domain *domain);

/* --- what is to be asked --- */

struct dmarc_wish {
	unsigned number;
	/* TXT of "_dmarc.example.com"; with existence any other type of "example.com": whether
	 * that name is there (RFC 8020). */
	struct span name;
	bool existence;
};

/* The next, each once; NULL: none that was not taken. */
const struct dmarc_wish *dmarc_wish(struct dmarc *dmarc);

enum dmarc_answer {
	DMARC_TEXTS,   /* some */
	DMARC_NO_TEXT, /* the name exists */
	DMARC_NO_NAME,
	DMARC_TROUBLE
};

/* The texts of a TXT answer, each with its strings joined; they are copied as far as needed. The
 * first answer stands. */
void dmarc_answer(struct dmarc *dmarc, unsigned wish, enum dmarc_answer answer,
	const struct span *texts, size_t n);

/* --- what follows --- */

/* The policy for a domain in From (RFC 9989 4.10.1). */
struct dmarc_found {
	const struct dmarc_record *record; /* NULL: DMARC does not apply */
	struct span domain;                /* at which the record is */
	/* What is asked for when DMARC fails; ABSENT without a record. Whether it can be known may
	 * hang on another question (np), so has its own state. */
	enum dmarc_policy policy;
	enum dmarc_knowledge policy_state;
};

enum dmarc_knowledge dmarc_find(
	struct dmarc *dmarc, struct dmarc_domain *from, struct dmarc_found *out);

/* RFC 9989 4.10.2. */
enum dmarc_knowledge dmarc_organization(
	struct dmarc *dmarc, struct dmarc_domain *domain, struct span *out);

/* Whether the other one speaks for the domain in From. */
enum dmarc_knowledge dmarc_aligned(struct dmarc *dmarc, struct dmarc_domain *from,
	struct dmarc_domain *other, bool strict, bool *out);

/* In the order of the fact's choices. X(NAME, word) */
#define DMARC_CODES(X)                                                                             \
	X(NONE, "none")                                                                            \
	X(PASS, "pass")                                                                            \
	X(FAIL, "fail")                                                                            \
	X(TEMPERROR, "temperror")                                                                  \
	X(PERMERROR, "permerror")

enum dmarc_code {
#define X(name, word) DMARC_IS_##name,
	DMARC_CODES(X)
#undef X
};

const char *dmarc_code_name(enum dmarc_code code);

/* Who may have sent the message, by SPF or by a signature. */
struct dmarc_identity {
	struct dmarc_domain *domain; /* NULL, with unsure: nobody knows which */
	bool by_spf;                 /* otherwise by DKIM */
	bool unsure;                 /* it neither passes nor fails: DNS had trouble */
};

struct dmarc_verdict {
	enum dmarc_code code; /* never PERMERROR: that is for more domains than one can see to */
	struct dmarc_found found;
	/* By which of the two an aligned pass is there. Known apart, and later than the code. */
	bool spf, dkim;
	enum dmarc_knowledge spf_state, dkim_state;
};

/* OPEN: the code is not known yet; the alignments may be so even when it is. Never UNKNOWN, which
 * is TEMPERROR. */
enum dmarc_knowledge dmarc_judge(struct dmarc *dmarc, struct dmarc_domain *from,
	const struct dmarc_identity *identities, size_t n, struct dmarc_verdict *out);

#endif

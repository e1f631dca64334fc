/*
 * cohort: recipients of a transaction for which the rules cannot differ any more: what is
 * undecided, the score so far, the edits and the route are equal. One reply speaks for all
 * recipients, so by default (`conflict split`) a transaction has one cohort, and recipients of
 * another are put off with 452 4.5.3. With PRDR each recipient has its own reply, with `conflict
 * strictest` all share the sternest outcome; then there may be several.
 */
#ifndef PROXY_SESSION_COHORT_H
#define PROXY_SESSION_COHORT_H

#include "lib/mail/reply.h"
#include "policy/evaluate.h"
#include "proxy/message/edit.h"
#include "proxy/message/envelope.h"

struct transaction;

enum { COHORTS_MAX = 64 };

struct cohort {
	struct cohort *next;
	uint64_t residue;
	struct evaluation *evaluation; /* NULL: there are no rules */
	struct fact_value *values;     /* of the recipient's slots; in the transaction's arena */
	struct envelope envelope;      /* with its recipients, in order */
	struct recipient **last;
	const char *backend;    /* by `route`; NULL: the default */
	struct outcome outcome; /* certain when judged */
	uint64_t delay_ms;
	struct edits edits;
	struct reply reply;  /* what its recipients are told; text in the arena */
	const char *verdict; /* as in the audit record */
	const char *kept_as; /* quarantine: the message's id */
};

/* Puts a recipient that is welcome into the cohort of its like, which is made if need be. */
struct cohort *cohort_join(
	struct transaction *t, const struct cohort *like, struct recipient *recipient);

/* Whether the transaction may take one more recipient like this. false: *why is its 452. */
bool cohort_fits(
	const struct transaction *t, const struct cohort *like, struct reply *why) MUST_CHECK;

/* All cohorts become one, with the sternest outcome. */
void cohorts_merge(struct transaction *t);

#endif

/*
 * dmarc_row: what a transaction adds to DMARC aggregate reports (RFC 9990): one row for a message
 * whose DMARC was evaluated against a record, and of which something was made. It is put together
 * from facts by their names, so filters know nothing of it; where one of them is not measured there
 * is no row.
 */
#ifndef PROXY_SESSION_DMARC_ROW_H
#define PROXY_SESSION_DMARC_ROW_H

#include "lib/base/attributes.h"
#include "lib/base/ip.h"
#include "lib/store/dmarc_results.h"
#include "policy/evaluate.h"
#include "policy/facts.h"

struct transaction;

/* The facts that are read; ends with NULL. Without the first seven there is no row.
 */
extern const char *const dmarc_row_facts[];

/* What it is made of, apart from the facts. All borrowed. */
struct dmarc_row_source {
	/* The value of a fact by its name; NULL: not measured, or failed. */
	const struct fact_value *(*fact)(
		const void *context, const char *name, const struct fact **fact);
	const void *context;
	struct ip client;
	struct span envelope_from; /* the domain of the reverse-path; empty: the null one */
	enum sternness sternness;  /* what the rules made of the message */
};

/* Texts are borrowed from the facts. false: there is nothing to tell. */
bool dmarc_row_fill(const struct dmarc_row_source *source, struct dmarc_results *out) MUST_CHECK;

/* The transaction is over; verdict: as in the audit record. */
void dmarc_row_tell(const struct transaction *t, const char *verdict);

#endif

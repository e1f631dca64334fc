/*
 * dmarc_results: what became of one message under DMARC, as aggregate reports (RFC 9990) want to
 * know it. The store adds messages that are alike up to one row with a count. Everything in it but
 * the enums and literals comes from outside.
 */
#ifndef STORE_DMARC_RESULTS_H
#define STORE_DMARC_RESULTS_H

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "lib/base/ip.h"
#include "lib/base/span.h"

struct store;

enum {
	DMARC_DOMAIN_MAX = 255,   /* bytes; what is longer is no domain and is left out */
	DMARC_RECORD_MAX = 4096,  /* of a record; a longer one is cut behind a tag */
	DMARC_ROW_MAX = 3 * 1024, /* all rows of a domain fit into an answer */
	DMARC_SIGNATURES_MAX = 10
};

/* RFC 9990 ("disposition"): what was done, as far as DMARC is concerned. */
enum dmarc_disposition {
	DMARC_DONE_NONE,
	DMARC_DONE_PASS, /* nothing: it passes, where the policy is not "none" */
	DMARC_DONE_QUARANTINE,
	DMARC_DONE_REJECT
};

struct dmarc_signature_result {
	struct span domain, selector; /* d=, s= */
	struct span result;           /* RFC 8601 2.7.1: "pass" */
};

struct dmarc_results {
	struct span policy_domain; /* where the record was found */
	struct span record;        /* its text */
	struct ip source;
	enum dmarc_disposition disposition;
	const char *reason; /* RFC 9990: "local_policy"; NULL: as the policy asks */
	bool dkim_aligned, spf_aligned;
	struct span header_from;   /* the domain in From */
	struct span envelope_from; /* of the reverse-path; empty: the null one */
	struct span spf_domain;    /* that SPF was checked for */
	struct span spf_scope;     /* "mfrom" */
	struct span spf_result;    /* RFC 8601 2.7.2: "pass"; empty: not checked */
	/* Those that tell most first: where a row gets too long the last are left out. */
	struct dmarc_signature_result signatures[DMARC_SIGNATURES_MAX];
	size_t n_signatures;
};

/* The row as the store keeps it: a JSON object, always the same for the same. false: out is full,
 * or it is longer than DMARC_ROW_MAX. */
bool dmarc_results_write(const struct dmarc_results *results, struct buffer *out) MUST_CHECK;

/* Tells it to the store. What can't be a row (no policy domain, no From domain) is left out. */
void dmarc_results_tell(struct store *store, const struct dmarc_results *results);

#endif

/*
 * results: what is said above a message of who sent it: Authentication-Results (RFC 8601) and trace
 * fields such as Received-SPF, from the facts that filters mark for that (FACT_AUTHRES,
 * FACT_TRACE). With them go the facts that the audit record names, and those that DMARC reports are
 * made of.
 *
 * `authentication_results always` has them measured of each message that goes on: begun with its
 * first recipient, waited for at its end. With `on_demand` they come along with what rules had
 * measured. Either way no rule's outcome hangs on them, nor does a rule's verdict wait.
 */
#ifndef PROXY_SESSION_RESULTS_H
#define PROXY_SESSION_RESULTS_H

#include "policy/policy.h"
#include "policy/truth.h"

/* Results in the audit record, by the names of their facts; ends with NULL. */
extern const char *const results_recorded[];

/* For rule_setup.keeps: whether a fact is one of these, or of those that consequences.h reads. */
bool results_keep(const struct fact *fact);

/* Whether `authentication_results always` has it measured. */
bool results_measure(const struct fact *fact);

/* The slots of such facts, in the order in which they are written. In the arena. */
const struct slot *const *results_slots(
	const struct policy *policy, struct arena *arena, size_t *n);

struct results {
	const struct slot *const *slots;
	size_t n;
	const struct subject *subject;
	struct span authserv_id;
	bool utf8;   /* the message is SMTPUTF8: what is above ASCII may stand in a field */
	bool always; /* say so too where nothing was measured */
};

/* Adds the trace fields that are known; they go above our Received (RFC 7208 9.1). At most
 * RESULTS_TRACE_MAX bytes: what does not fit is left out whole. */
void results_write_trace(const struct results *r, struct buffer *out);

/* Adds Authentication-Results, below our Received. At most RESULTS_FIELD_MAX bytes, likewise. */
void results_write(const struct results *r, struct buffer *out);

enum { RESULTS_TRACE_MAX = 8 * 1024, RESULTS_FIELD_MAX = 16 * 1024 };

#endif

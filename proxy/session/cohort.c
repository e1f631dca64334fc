#include "proxy/session/cohort.h"

#include <string.h>

#include "lib/base/fail.h"
#include "proxy/session/session.h"
#include "proxy/session/transaction.h"

/* LMTP answers for each recipient after the data, SMTP once for all (RFC 2033 4.2). */
static bool speaks_lmtp(const struct config *config, const char *backend)
{
	return config_backend(config, backend)->protocol == BACKEND_LMTP;
}

static bool same_backend(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* One delivery can serve both: for the rules and for the backend they are the same. */
static bool is_alike(const struct transaction *t, const struct cohort *a, const struct cohort *b)
{
	return a->residue == b->residue && same_backend(a->backend, b->backend) &&
	       !speaks_lmtp(t->session->worker->config, a->backend);
}

bool cohort_fits(const struct transaction *t, const struct cohort *like, struct reply *why)
{
	const struct config *config = t->session->worker->config;
	unsigned n = 0;

	*why = speaks_lmtp(config, like->backend)
		       ? REPLY(452, "4.5.3",
				 "One recipient at a time, send the others in another transaction")
		       : REPLY(452, "4.5.3",
				 "Other rules apply to this one, send it in another transaction");
	for (const struct cohort *c = t->cohorts; c; c = c->next, n++)
		if (is_alike(t, c, like))
			return true;
	if (n == 0)
		return true;
	if (t->prdr)
		return n < COHORTS_MAX;
	/* One delivery, so one backend; the message's edits are the sternest cohort's. */
	return config->conflict == CONFLICT_STRICTEST && n < COHORTS_MAX &&
	       same_backend(t->cohorts->backend, like->backend) &&
	       !speaks_lmtp(config, like->backend);
}

struct cohort *cohort_join(
	struct transaction *t, const struct cohort *like, struct recipient *recipient)
{
	struct cohort **at = &t->cohorts;

	while (*at && !is_alike(t, *at, like))
		at = &(*at)->next;
	if (!*at) {
		struct cohort *made = arena_alloc(t->arena, sizeof(*made));

		*made = *like;
		made->envelope = t->envelope;
		made->envelope.n_recipients = 0;
		made->last = &made->envelope.recipients;
		*at = made;
	}
	*(*at)->last = recipient;
	(*at)->last = &recipient->next;
	(*at)->envelope.n_recipients++;
	t->envelope.n_recipients++;
	return *at;
}

/* Of two that go on alike the one with the higher score is marked the more. */
static bool is_sterner(const struct cohort *a, const struct cohort *b)
{
	enum sternness of_a = outcome_sternness(&a->outcome), of_b = outcome_sternness(&b->outcome);
	int64_t low_a = 0, low_b = 0, high;

	if (of_a != of_b || !a->evaluation)
		return of_a > of_b;
	evaluation_score(a->evaluation, &low_a, &high);
	evaluation_score(b->evaluation, &low_b, &high);
	return low_a > low_b;
}

void cohorts_merge(struct transaction *t)
{
	struct cohort *sternest = t->cohorts;

	for (struct cohort *c = t->cohorts->next; c; c = c->next)
		if (is_sterner(c, sternest))
			sternest = c;
	for (struct cohort *c = t->cohorts; c; c = c->next) {
		if (c->delay_ms > sternest->delay_ms)
			sternest->delay_ms = c->delay_ms;
		if (c == sternest)
			continue;
		for (struct attempt *a = t->attempts; a; a = a->next)
			if (a->cohort == c)
				a->cohort = sternest;
		*sternest->last = c->envelope.recipients;
		sternest->last = c->last;
		sternest->envelope.n_recipients += c->envelope.n_recipients;
	}
	sternest->next = NULL;
	t->cohorts = sternest;
}

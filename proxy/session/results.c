#include "proxy/session/results.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/fail.h"
#include "lib/mail/authres_field.h"
#include "proxy/session/consequences.h"
#include "proxy/session/dmarc_row.h"

enum {
	RESULTS_MAX = 256 /* in one field: ten signatures, and what else filters say */
};

const char *const results_recorded[] = {"spf", "dkim", "dmarc", "arc", NULL};

static bool stands_in(const struct fact *fact, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(fact->name, *names) == 0)
			return true;
	return false;
}

bool results_measure(const struct fact *fact)
{
	if (fact->flags & (FACT_AUTHRES | FACT_TRACE))
		return true;
	return stands_in(fact, results_recorded) || stands_in(fact, dmarc_row_facts);
}

bool results_keep(const struct fact *fact)
{
	return results_measure(fact) || stands_in(fact, consequences_facts);
}

/* As they become known, then as their filters declare them. */
static int slot_compare(const void *a, const void *b)
{
	const struct slot *one = *(const struct slot *const *)a;
	const struct slot *other = *(const struct slot *const *)b;

	if (one->stage != other->stage)
		return one->stage < other->stage ? -1 : 1;
	if (one->source != other->source)
		return one->source < other->source ? -1 : 1;
	return one->fact < other->fact ? -1 : one->fact > other->fact;
}

const struct slot *const *results_slots(const struct policy *policy, struct arena *arena, size_t *n)
{
	const struct slot **slots = arena_alloc(arena, (policy->n_slots + 1) * sizeof(*slots));

	*n = 0;
	for (size_t i = 0; i < policy->n_slots; i++) {
		const struct slot *slot = policy->rules->slots[i];

		if (results_measure(slot->fact) && !(slot->fact->flags & FACT_ABSENT))
			slots[(*n)++] = slot;
	}
	qsort(slots, *n, sizeof(*slots), slot_compare);
	return slots;
}

/* What is known of a fact that goes into a header so; none of others. */
static struct fact_value known_of(const struct results *r, size_t i, enum fact_flags kind)
{
	const struct slot *slot = r->slots[i];
	const struct fact_value *value = subject_value(r->subject, slot);

	if (!(slot->fact->flags & kind) || value->state != FACT_KNOWN)
		return (struct fact_value){.count = 0};
	return *value;
}

void results_write_trace(const struct results *r, struct buffer *out)
{
	struct buffer fields = BUFFER_INIT(RESULTS_TRACE_MAX);

	for (size_t i = 0; i < r->n; i++) {
		struct fact_value value = known_of(r, i, FACT_TRACE);

		for (uint32_t k = 0; k < value.count; k++)
			if (!trace_field_write(value.items[k].text, r->utf8, &fields))
				continue; /* it is none, or one too many */
	}
	ENSURE(buffer_add(out, buffer_span(&fields)));
	buffer_free(&fields);
}

void results_write(const struct results *r, struct buffer *out)
{
	struct buffer field = BUFFER_INIT(RESULTS_FIELD_MAX);
	struct span results[RESULTS_MAX];
	size_t n = 0;

	if (r->n == 0 && !r->always)
		return;
	for (size_t i = 0; i < r->n; i++) {
		struct fact_value value = known_of(r, i, FACT_AUTHRES);

		for (uint32_t k = 0; k < value.count && n < RESULTS_MAX; k++)
			results[n++] = value.items[k].text;
	}
	if (!authres_field_write(r->authserv_id, results, n, r->utf8, &field) && r->always)
		ENSURE(authres_field_write_none(r->authserv_id, &field));
	ENSURE(buffer_add(out, buffer_span(&field)));
	buffer_free(&field);
}

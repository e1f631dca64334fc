#include "lib/net/dns_turns.h"

#include "lib/base/fail.h"

static uint8_t *asking_of(struct dns_turns *turns, uint64_t stranger)
{
	struct span bytes = span_make((const char *)&stranger, sizeof(stranger));

	return &turns->asking[span_hash(bytes, turns->key) % TURNS_BUCKETS];
}

bool turns_take(struct dns_turns *turns, uint64_t stranger)
{
	uint8_t *asking = asking_of(turns, stranger);

	if (turns->n_asking >= TURNS_MAX || *asking >= TURNS_EACH)
		return false;
	turns->n_asking++;
	++*asking;
	return true;
}

void turns_give(struct dns_turns *turns, uint64_t stranger)
{
	uint8_t *asking = asking_of(turns, stranger);

	ENSURE(turns->n_asking > 0 && *asking > 0);
	turns->n_asking--;
	--*asking;
}

void turns_wait(struct dns_turns *turns, struct dns_query *query)
{
	query->next = NULL;
	query->prev = turns->last;
	if (turns->last)
		turns->last->next = query;
	else
		turns->first = query;
	turns->last = query;
	turns->n_waiting++;
}

void turns_leave(struct dns_turns *turns, struct dns_query *query)
{
	if (query->prev)
		query->prev->next = query->next;
	else
		turns->first = query->next;
	if (query->next)
		query->next->prev = query->prev;
	else
		turns->last = query->prev;
	turns->n_waiting--;
}

struct dns_query *turns_next(struct dns_turns *turns)
{
	for (struct dns_query *query = turns->first; query && turns->n_asking < TURNS_MAX;
		query = query->next) {
		if (!turns_take(turns, query->stranger))
			continue;
		turns_leave(turns, query);
		return query;
	}
	return NULL;
}

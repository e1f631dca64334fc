/*
 * asker: questions to a store by number, for one who has no memory for a request of its own: the
 * keeper, which answers admins. The same shape as keeper_store_ask.
 */
#ifndef STORE_ASKER_H
#define STORE_ASKER_H

#include "lib/store/store.h"

struct asker;

struct asker *asker_new(struct store *store /* borrowed */,
	void (*on_answer)(
		void *context, uint32_t id, enum store_outcome outcome, struct span answer),
	void *context);

/* The answer comes from the loop, once; never after asker_free. */
void asker_ask(struct asker *asker, uint32_t id, enum store_kind kind, const struct span *parts,
	size_t n_parts);

/* Sets the pointer to NULL; NULL is fine. */
void asker_free(struct asker **asker);

#endif

/*
 * driver: what a kind of store is to store.c: something that carries requests away and brings
 * answers back. keeper_client.c is one, redis_store.c another.
 */
#ifndef STORE_DRIVER_H
#define STORE_DRIVER_H

#include "lib/store/store.h"

struct store_driver {
	/* The parts as wire.h writes them. false: there is nobody; store_on_gone follows, or has
	 * come. Nothing of store.c's is called within. */
	bool (*send)(void *state, uint32_t id, enum store_kind kind, struct span body);
	void (*close)(void *state); /* frees it; no callback comes any more */
	/* Whether it has an answer to this kind; the store's `other` gets what it has not. NULL: to
	 * all. */
	bool (*knows)(enum store_kind kind);
	/* Where it is, as members of the open object; may be NULL. */
	void (*status)(void *state, struct record *r);
};

struct store *store_open(struct loop *loop, struct log *log, const struct store_driver *driver,
	void *state /* owned */);

/* Gets the kinds that the driver does not know; borrowed until store_close. */
void store_set_other(struct store *store, struct store *other);

/* What it was opened with; a bug when it is another driver's. */
void *store_driver_state(const struct store *store, const struct store_driver *driver);

/* For the driver, from the loop. Ids that nobody waits for (any more) are ignored. */
void store_on_there(struct store *store);
void store_on_gone(struct store *store);
void store_on_answer(
	struct store *store, uint32_t id, enum store_outcome outcome, struct span answer);

#endif

/*
 * redis_store: a store (lib/store/store.h) on Redis. Kinds become scripts (redis_scripts.h) or
 * commands; what has only an embedded form (DMARC results, which each machine reports by itself)
 * fails.
 */
#ifndef STORE_REDIS_STORE_H
#define STORE_REDIS_STORE_H

#include "lib/store/redis_url.h"
#include "lib/store/store.h"

/* It is away until Redis has answered. url is copied. other gets the kinds
 * that Redis has no answer to; borrowed, NULL: they fail. NULL: TLS can't be had, err says why. */
struct store *store_open_redis(struct loop *loop, struct log *log, const struct redis_url *url,
	struct store *other, struct err *err);

/* Where it is, and what is wrong, as members of the open object. */
void store_redis_status(const struct store *store, struct record *r);

/* Whether a kind is answered here, and not by the embedded store only. */
bool store_redis_knows(enum store_kind kind);

#endif

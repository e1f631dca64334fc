/*
 * redis_store: a store (lib/store/store.h) on Redis. Kinds become scripts (redis_scripts.h) or
 * commands. Results of DMARC are the embedded store's in any case.
 */
#ifndef STORE_REDIS_STORE_H
#define STORE_REDIS_STORE_H

#include "lib/store/redis_url.h"
#include "lib/store/store.h"

/* It is away until Redis has answered. url is copied. other gets results of DMARC and changes of
 * lists, since the keeper knows what is protected; borrowed until store_close. Without one (NULL)
 * the former fail, and the latter go to Redis. NULL: TLS can't be had, err says why. */
struct store *store_open_redis(struct loop *loop, struct log *log, const struct redis_url *url,
	struct store *other, struct err *err);

#endif

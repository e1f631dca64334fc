/*
 * redis_item: what stands beside an item of a list in Redis: JSON {"reason", "by", "at",
 * "expires", "item"}, all of it optional, as our scripts write it or an admin with redis-cli. What
 * is no such object is taken as the reason itself: an admin who wrote `HSET ... 192.0.2.1 spam`
 * meant that.
 */
#ifndef STORE_REDIS_ITEM_H
#define STORE_REDIS_ITEM_H

#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/span.h"

struct redis_item {
	struct span reason, item; /* in the arena; item empty: as the field */
	uint32_t expires_s;       /* since 1970; 0: for good */
};

/* Whatever the value is. */
void redis_item_read(struct span value, struct arena *arena, struct redis_item *out);

#endif

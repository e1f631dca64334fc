/*
 * redis_table: the items of a list as they came from Redis, in the order of images
 * (lib/list/image.h): Redis hands a hash out in no order at all. It is a temporary SQLite file
 * without a name, gone with the process, so that ten million items cost a few megabytes of memory.
 *
 *     LOADING --redis_table_sort--> SORTED
 *
 * Of one thread at a time.
 */
#ifndef STORE_REDIS_TABLE_H
#define STORE_REDIS_TABLE_H

#include "lib/base/attributes.h"
#include "lib/list/image.h"

struct redis_table;

/* Empty, LOADING. NULL: err says why. */
struct redis_table *redis_table_new(struct err *err);
void redis_table_free(struct redis_table **table);

/* LOADING: adds it, in any order; of two with one key the later one counts. false: no room. */
bool redis_table_load(struct redis_table *table, enum image_kind kind,
	const struct image_item *item, struct err *err) MUST_CHECK;

/* Takes a while when there are many. */
bool redis_table_sort(struct redis_table *table, struct err *err) MUST_CHECK;

/* SORTED: puts it in, or in place of the one with its key; expires_s IMAGE_GONE takes it out. */
bool redis_table_put(struct redis_table *table, enum image_kind kind, const struct image_item *item,
	struct err *err) MUST_CHECK;

/* As struct shelf_setup has it. */
bool redis_table_walk(struct redis_table *table, enum image_kind kind,
	const struct image_item *from, const struct image_item *until,
	bool (*take)(void *taker, const struct image_item *item), void *taker,
	struct err *err) MUST_CHECK;

/* How far a comparison has come. Zeroed: at the beginning. */
struct redis_table_place {
	enum image_kind kind;
	size_t len;
	char key[IMAGE_KEY_MAX];
	bool done;
};

/* Goes on for at most so many items of both, and says what differs: the item as it is in `to`, or
 * with expires_s IMAGE_GONE. */
bool redis_table_compare(struct redis_table *from, struct redis_table *to,
	struct redis_table_place *place, unsigned at_most,
	void (*differs)(void *context, enum image_kind kind, const struct image_item *item),
	void *context, struct err *err) MUST_CHECK;

uint64_t redis_table_count(const struct redis_table *table);

#endif

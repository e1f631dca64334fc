/*
 * redis_lists: lists that lie in Redis, kept in step here. For the process that makes images of
 * them (lib/list/shelf.h).
 *
 *     UNREAD --scanned, sorted--> FOLLOWING --a gap, a hand, 5 minutes--> SCANNING
 *                                   ^                                        |
 *                                   +-- COMPARING <-- SORTING <--------------+
 *
 * Changes are read from a list's log five times a second; each says what stood before it, so that a
 * gap is seen, and how many items there are, so that one is seen that an admin wrote by hand. Then,
 * and every five minutes anyway, the list is read anew beside the old one and compared with it,
 * while the log is read on.
 *
 * While Redis is away lists stay as they were last known. So they do when it has lost its data: a
 * list and its log are both gone, which no command of ours brings about; from the moment that one
 * of them is there again, what Redis has is what counts.
 *
 * Rejected: XREAD BLOCK, which wants a connection for itself, in a cluster one for each list, and
 * brings nothing to whoever must ask for the number of items all the same.
 */
#ifndef STORE_REDIS_LISTS_H
#define STORE_REDIS_LISTS_H

#include "lib/base/arena.h"
#include "lib/list/image.h"
#include "lib/store/redis_client.h"

enum {
	REDIS_LISTS_POLL_MS = 200,
	REDIS_LISTS_COMPARE_MS = 5 * 60 * 1000,
	REDIS_LISTS_AGAIN_MS = 2000,         /* between the end of a comparison and the next */
	REDIS_LISTS_DIFFERENCES_MAX = 10000, /* more are told as a list that is all anew */
	REDIS_LISTS_SWEEP_S = 3600           /* so long after it has expired an item is deleted */
};

struct redis_lists;

struct redis_lists_setup {
	struct loop *loop;           /* borrowed */
	struct log *log;             /* borrowed */
	const struct redis_url *url; /* copied */
	/* What a field stands for; *out's network, or key and item, in the arena. false: nothing
	 * that such a list can hold. */
	bool (*read)(void *context, const char *list, struct span field, struct arena *arena,
		enum image_kind *kind, struct image_item *out);
	/* It is known, or all anew: walk it. From the loop. */
	void (*on_loaded)(void *context, const char *list);
	/* An item is there, or has other words, or is gone (expires_s IMAGE_GONE). From the loop,
	 * after the first on_loaded. */
	void (*on_change)(void *context, const char *list, enum image_kind kind,
		const struct image_item *item);
	void *context;
};

/* NULL: TLS can't be had, err says why. */
struct redis_lists *redis_lists_open(const struct redis_lists_setup *setup, struct err *err);

/* Nothing is called back any more. The loop must run until its handles are closed (loop_close).
 * Sets the pointer to NULL; NULL is fine. */
void redis_lists_close(struct redis_lists **lists);

/* From now on this list is kept in step; one that is already is fine. */
void redis_lists_follow(struct redis_lists *lists, const char *name);

/* As struct shelf_setup has it. May be called from any thread while the loop is not within
 * redis_lists_close. false also when the list is not known yet. */
bool redis_lists_walk(struct redis_lists *lists, const char *name, enum image_kind kind,
	const struct image_item *from, const struct image_item *until,
	bool (*take)(void *taker, const struct image_item *item), void *taker,
	struct err *err) MUST_CHECK;

/* Reads a list anew now, and compares. */
void redis_lists_compare(struct redis_lists *lists, const char *name);

bool redis_lists_is_known(const struct redis_lists *lists, const char *name);

/* Where Redis is, and each list, as members of the open object. */
void redis_lists_status(struct redis_lists *lists, struct record *r);

#endif

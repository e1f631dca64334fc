/*
 * shelf: a list's images where they are made: in the process that owns the store. It lays them into
 * sealed memfds, knows which part of the list each of them is, and keeps them in step with the
 * store: a change goes into one small image at once; when many have gathered, the parts that they
 * fall into are written anew from the store, one at a time, so that little more memory is needed
 * than the list has.
 *
 *     store --walk--> [part][part][part]   + changes        --put, drop--> whoever looks things up
 *
 * What puts and drops tell, in their order, is always a whole list: new images come before those
 * that they replace are dropped; for a moment an item may be in two, which is no harm (list_view).
 */
#ifndef LIST_SHELF_H
#define LIST_SHELF_H

#include "lib/list/image.h"

enum {
	SHELF_CHANGES_MAX = 4096 /* so many, and their parts are written anew */
};

struct list_shelf;

/* An image: a descriptor of a sealed memfd, and what list_view_put wants to know of it. */
struct shelf_image {
	uint64_t id; /* never used twice */
	bool changes;
	int fd; /* borrowed */
	size_t size;
};

struct shelf_setup {
	/* Hands the items of a kind to `take` in their order (image_compare), from `from` on (NULL:
	 * the first) to before `until` (NULL: the end), as long as it says true. What has expired
	 * may be left out. false: it could not, err says why. */
	bool (*walk)(void *context, enum image_kind kind, const struct image_item *from,
		const struct image_item *until,
		bool (*take)(void *taker, const struct image_item *item), void *taker,
		struct err *err);
	void (*put)(void *context, const struct shelf_image *image);
	void (*drop)(void *context, uint64_t id);
	void *context;
	uint64_t *last_id;               /* borrowed: the ids of all lists are counted there */
	uint32_t items_max, changes_max; /* 0: IMAGE_ITEMS_MAX, SHELF_CHANGES_MAX */
};

/* Empty until shelf_load. */
struct list_shelf *shelf_new(const struct shelf_setup *setup);
void shelf_free(struct list_shelf **shelf); /* nothing is dropped by it */

/* All anew from the store. false: err says why; each kind is as it was or anew. */
bool shelf_load(struct list_shelf *shelf, struct err *err) MUST_CHECK;

/* An item in the store was added or has other words (expires_s IMAGE_GONE: taken off). Nobody is
 * told before shelf_publish. All is copied. */
void shelf_change(struct list_shelf *shelf, enum image_kind kind, const struct image_item *item);

/* Tells of the changes. Where many have gathered, first one of their parts is written anew. false:
 * the store could not be read (err), and the changes stay where they are. */
bool shelf_publish(struct list_shelf *shelf, struct err *err) MUST_CHECK;

/* More parts are to be written anew: call shelf_publish again soon. */
bool shelf_is_behind(const struct list_shelf *shelf);

/* Shows all images, to one who is new. */
void shelf_show(const struct list_shelf *shelf,
	void (*show)(void *context, const struct shelf_image *image), void *context);

size_t shelf_size(const struct list_shelf *shelf); /* bytes of all images */

#endif

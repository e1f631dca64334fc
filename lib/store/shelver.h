/*
 * shelver: the thread that lays lists into images (shelves.h). It reads the store's file for itself
 * (database_list_walk), since a list of millions takes seconds, in which the database's thread goes
 * on to answer. What it is told stands in a queue in the order in which it was committed; so a walk
 * sees at least what came before it in the queue, and what comes behind is applied again, which
 * does no harm.
 */
#ifndef STORE_SHELVER_H
#define STORE_SHELVER_H

#include "lib/base/clock.h"
#include "lib/store/shelves.h"

struct shelver;

/* put, drop, failed: as in shelves_setup, from the thread; images' descriptors stay the shelf's. */
struct shelver_setup {
	int dir;                   /* descriptor of the state folder; borrowed */
	const struct clock *clock; /* borrowed; its offset does not change */
	void (*put)(void *context, struct span list, const struct shelf_image *image);
	void (*drop)(void *context, struct span list, uint64_t id);
	void (*failed)(void *context, struct span list, const char *why);
	void (*all)(void *context); /* all lists that there are have been put; once */
	void *context;
};

struct shelver *shelver_open(const struct shelver_setup *setup);
void shelver_close(struct shelver **shelver); /* nothing is called any more; NULL is fine */

/* From any thread. The file is there: all lists are read. */
void shelver_begin(struct shelver *shelver);

void shelver_change(struct shelver *shelver, struct span list, enum image_kind kind,
	const struct image_item *item);
void shelver_reread(struct shelver *shelver, struct span list);
void shelver_import(struct shelver *shelver, struct span list, bool is_last);

/* Bytes of all images; how many lists have some. */
size_t shelver_size(struct shelver *shelver, size_t *n);

#endif

/*
 * image_write: images from a list's items, which come in their order (image_compare). What is held
 * is one image at a time, however many items there are.
 *
 *     writer = image_writer_new(IMAGE_V4, IMAGE_ITEMS_MAX, take, context);
 *     while (...)
 *             image_write(writer, &item);
 *     image_writer_end(&writer);
 */
#ifndef LIST_IMAGE_WRITE_H
#define LIST_IMAGE_WRITE_H

#include "lib/list/image.h"

enum {
	IMAGE_ITEMS_MAX = 256 * 1024,      /* of an image */
	IMAGE_POOL_MAX = 16 * 1024 * 1024, /* bytes of texts, about */
};

struct image_writer;

/* items_max: of one image; IMAGE_ITEMS_MAX but in tests. take gets each image when it is whole, in
 * order; the one of wide prefixes comes last. The bytes are the writer's, aligned to 8, gone after
 * the call. */
struct image_writer *image_writer_new(enum image_kind kind, uint32_t items_max,
	void (*take)(void *context, struct span bytes), void *context);

/* All is copied. false: it stands before the one before it, or is the same; nothing has changed. */
bool image_write(struct image_writer *writer, const struct image_item *item) MUST_CHECK;

/* The last images are handed over. Without an item there is none. next: what follows in an image
 * that was written before (a part of a list is written anew): what encloses that is wide too; or
 * NULL. */
void image_writer_end(struct image_writer **writer, const struct image_item *next);

#endif

/*
 * image_write: images from a list's items, which come in their order (image_compare). What is held
 * is one image at a time, however many items there are.
 *
 *     writer = image_writer_new(&setup);
 *     while (...)
 *             image_write(writer, &item);
 *     image_writer_end(&writer, NULL);
 */
#ifndef LIST_IMAGE_WRITE_H
#define LIST_IMAGE_WRITE_H

#include "lib/list/image.h"

enum {
	IMAGE_ITEMS_MAX = 256 * 1024,      /* of an image */
	IMAGE_POOL_MAX = 16 * 1024 * 1024, /* bytes of texts, about */
};

struct image_writer;

struct image_writer_setup {
	enum image_kind kind;
	uint32_t items_max; /* of one image; 0: IMAGE_ITEMS_MAX */
	bool wide;          /* what is written is an image of wide prefixes: it is not cut */
	/* Gets each image when it is whole, in order. The bytes are the writer's, aligned to 8,
	 * gone after the call. */
	void (*take)(void *context, struct span bytes);
	/* Before that: a prefix of it that encloses items of the next one too, and so is to stand
	 * in an image of wide ones; what is in the one that take gets is dead. NULL for texts and
	 * for wide ones. */
	void (*hoist)(void *context, const struct image_item *item);
	void *context;
};

struct image_writer *image_writer_new(const struct image_writer_setup *setup);

/* All is copied. false: it stands before the one before it, or is the same; nothing has changed. */
bool image_write(struct image_writer *writer, const struct image_item *item) MUST_CHECK;

/* The last image is handed over. Without an item there is none. next: what follows in an image
 * that was written before (a part of a list is written anew): what encloses that is wide too; or
 * NULL. */
void image_writer_end(struct image_writer **writer, const struct image_item *next);

#endif

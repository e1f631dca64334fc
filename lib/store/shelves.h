/*
 * shelves: the images of all lists where they are made, one shelf (lib/list/shelf.h) for each list:
 * in the keeper (shelver.h), or wherever else one can walk along
 * a list. Changes gather for SHELVES_MS, so that many in a row are told as one; a list that is
 * filled by an import is read once, when the import ends or has been silent for SHELVES_IMPORT_MS.
 */
#ifndef STORE_SHELVES_H
#define STORE_SHELVES_H

#include "lib/list/shelf.h"
#include "lib/store/list_request.h"

enum { SHELVES_MS = 100, SHELVES_IMPORT_MS = 2000, SHELVES_RETRY_MS = 1000 };

struct shelves;

struct shelves_setup {
	/* As shelf_setup has it, of a list by its name. */
	bool (*walk)(void *context, struct span list, enum image_kind kind,
		const struct image_item *from, const struct image_item *until,
		bool (*take)(void *taker, const struct image_item *item), void *taker,
		struct err *err);
	void (*put)(void *context, struct span list, const struct shelf_image *image);
	void (*drop)(void *context, struct span list, uint64_t id);
	/* An image could not be made; what was told last stays, and it is tried again. */
	void (*failed)(void *context, struct span list, const char *why);
	void *context;
};

struct shelves *shelves_new(const struct shelves_setup *setup);
void shelves_free(struct shelves **shelves);

/* Something in a list has changed; it is there, or so much in it has changed that it is read anew.
 * now_ms: by any clock, always the same. */
void shelves_change(struct shelves *shelves, struct span list, enum image_kind kind,
	const struct image_item *item, uint64_t now_ms);
void shelves_reread(struct shelves *shelves, struct span list, uint64_t now_ms);

/* An import goes on: what changes is told when it has ended, or is silent. */
void shelves_import(struct shelves *shelves, struct span list, bool is_last, uint64_t now_ms);

/* Tells what is due. Where a list of millions is behind it does a piece of the work. */
void shelves_run(struct shelves *shelves, uint64_t now_ms);

/* When shelves_run has something to do; UINT64_MAX: nothing. */
uint64_t shelves_due_ms(const struct shelves *shelves);

/* Bytes of all images, and how many lists have some. */
size_t shelves_size(const struct shelves *shelves, size_t *n);

#endif

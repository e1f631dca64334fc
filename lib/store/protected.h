/*
 * protected: what no list may hold: our own addresses, backends, relays, resolvers, which the
 * configuration names, and what an admin protects besides (`postern list protect`). An address that
 * lies in a protected network can't be listed, nor can a network that covers one.
 */
#ifndef STORE_PROTECTED_H
#define STORE_PROTECTED_H

#include "lib/base/attributes.h"
#include "lib/list/image.h"

struct protected_set;

struct protected_set *protected_new(void);
void protected_free(struct protected_set **set);

/* All is copied. why: "backend main", or whatever an admin gave as reason. A text stands for
 * itself. One that is there already is replaced. */
void protected_add(struct protected_set *set, enum image_kind kind, const struct image_item *item,
	struct span why);
void protected_remove(
	struct protected_set *set, enum image_kind kind, const struct image_item *item);

/* The protected item that an item of a list would hit at that time (seconds since 1970), with what
 * protects it as its reason; borrowed. */
bool protected_hit(const struct protected_set *set, enum image_kind kind,
	const struct image_item *item, uint32_t now_s, struct image_item *hit) MUST_CHECK;

/* Walks all; start with a cursor of 0. */
bool protected_next(const struct protected_set *set, size_t *cursor, enum image_kind *kind,
	struct image_item *item) MUST_CHECK;

#endif

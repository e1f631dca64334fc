/*
 * list_entry: from an item as people write it to what lies in an image of a list from the store
 * (lib/list/image.h): its kind and key. Whoever puts items into the store or builds images goes
 * through here, so that a list finds the same whichever way it came.
 */
#ifndef POLICY_LIST_ENTRY_H
#define POLICY_LIST_ENTRY_H

#include "lib/base/arena.h"
#include "policy/list.h"

/* Sets out's network, or its key (in small letters) and item (as written, its domain in ASCII), in
 * the arena; the rest of *out stays. ascii as in list_new. LIST_MENDED: taken as what it must mean,
 * err says what that is. */
enum list_added list_entry_read(enum list_type type, struct span item, domain_ascii *ascii,
	struct arena *arena, enum image_kind *kind, struct image_item *out,
	struct err *err) MUST_CHECK;

/* As people write it, in the arena: "192.0.2.0/24", "*.example.com". */
struct span list_entry_text(
	enum image_kind kind, const struct image_item *item, struct arena *arena);

#endif

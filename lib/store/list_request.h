/*
 * list_request: items of lists as requests carry them and stores keep them. An item's key are bytes
 * that memcmp orders as images stand (lib/list/image.h), so that a database hands a list out in
 * that order by its primary key:
 *
 *     v4      4 bytes of address, 1 of prefix length
 *     v6      16 bytes, 1
 *     text    the key, in small letters
 *
 * LIST_BATCH has many items in one part, each packed: a head, then key, item and reason.
 */
#ifndef STORE_LIST_REQUEST_H
#define STORE_LIST_REQUEST_H

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "lib/list/image.h"

enum {
	LIST_NAME_MAX = 64, /* bytes */
	LIST_BY_MAX = 128,
	LIST_KEY_BYTES_MAX = 17, /* of a network's */
	LIST_BATCH_ITEMS_MAX = 16 * 1024,
	LIST_SHOW_MAX = 10000, /* items of one answer */
	LIST_SEARCH_KEYS_MAX = 512,
	LIST_TOLD_ITEMS_MAX = 20 /* refused ones that an answer names */
};

/* The list of what no other list may hold; it has items of all kinds. */
#define LIST_PROTECTED "protected"

/* Letters, digits, `.`, `_`, `-`; at most LIST_NAME_MAX. */
bool list_name_is_good(struct span name) MUST_CHECK;

/* "v4", "v6", "text". */
const char *list_kind_name(enum image_kind kind);
bool list_kind_parse(struct span name, enum image_kind *kind) MUST_CHECK;

/* The key of an item: in `room`, or the item's own. */
struct span list_key(
	enum image_kind kind, const struct image_item *item, char room[LIST_KEY_BYTES_MAX]);

/* Sets the network, or the key (borrowed); the rest of *out stays. false: it is no key: of another
 * length, with host bits set, with capital letters or control characters. */
bool list_key_read(enum image_kind kind, struct span key, struct image_item *out) MUST_CHECK;

/* "192.0.2.0/24", "192.0.2.1", or the item as written; in `room`, or borrowed from the item. */
struct span list_item_show(
	enum image_kind kind, const struct image_item *item, char room[IP_TEXT_SIZE + 4]);

/* false: out is full, or a text is too long. */
bool list_pack(enum image_kind kind, const struct image_item *item, struct buffer *out) MUST_CHECK;

/* Takes one off the front; borrowed. false: it is none. */
bool list_unpack(struct span *items, enum image_kind *kind, struct image_item *out) MUST_CHECK;

#endif

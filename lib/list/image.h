/*
 * image: items of a list in one block of memory that never changes, with what a lookup needs and
 * nothing else. It holds offsets and no pointers, so that one process writes it into a sealed
 * memfd, and all map the one copy.
 *
 * Addresses stand sorted by their first address, shorter prefixes first, each with the number of
 * the prefix that encloses it: a lookup is one binary search, and from there up. A table by the
 * high bits of the address leaves the search a few steps, since each of them is a miss of the
 * cache. Texts stand in a hash table.
 *
 * A list of millions is several images in the order of their keys (image_write.h), so that a change
 * rewrites one of them only; view.h looks a key up in all of them.
 *
 * Rejected: a trie of nodes. For ten million networks of mixed length it takes two to three times
 * the memory, and its lookups miss the cache as often as the search does. Rejected: intervals that
 * prefixes cut the addresses into (policy's lists from files): what an expired prefix uncovers is
 * lost in them.
 */
#ifndef LIST_IMAGE_H
#define LIST_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/error.h"
#include "lib/base/ip.h"
#include "lib/base/span.h"

enum image_kind { IMAGE_V4, IMAGE_V6, IMAGE_TEXT, IMAGE_KINDS };

enum {
	IMAGE_KEY_MAX = 1024,   /* bytes of a text's key, and of an item as written */
	IMAGE_REASON_MAX = 500, /* bytes */
	IMAGE_FOR_GOOD = 0,     /* expires_s: never */
	IMAGE_GONE = 1          /* expires_s: long ago; in a change: taken off the list */
};

#define IMAGE_NONE UINT32_MAX

struct image_item {
	struct cidr network; /* IMAGE_V4, IMAGE_V6 */
	struct span key;     /* IMAGE_TEXT: what it is found by */
	struct span item;    /* IMAGE_TEXT: as written; written empty: as the key */
	struct span reason;
	uint32_t expires_s; /* seconds since 1970 */
};

/* As it lies in memory. Places are in bytes from the beginning; 0: left out, since all are 0. */
struct image_head {
	uint32_t magic, version;
	uint32_t kind; /* enum image_kind */
	uint32_t n;
	uint32_t size;                  /* of all, in bytes */
	uint32_t wide;                  /* 1: prefixes that enclose some of several images */
	uint32_t firsts, bits, parents; /* addresses */
	uint32_t ranges, n_ranges, range_shift; /* where the addresses of each range begin */
	uint32_t keys, lens, slots;             /* texts */
	uint32_t slot_mask;
	uint32_t reasons, expiries;
	uint32_t pool, pool_size;
	uint8_t hash_key[16];
};

/* An image at hand; all borrowed from the block. */
struct image {
	struct span bytes;
	const struct image_head *head;
	enum image_kind kind;
	uint32_t n;
	const uint32_t *v4;
	const uint8_t (*v6)[16];
	const uint8_t *bits;
	const uint32_t *ranges; /* one more than there are */
	const uint32_t *parents, *reasons, *expiries, *keys, *slots;
	const uint16_t *lens;
	const char *pool;
};

/* The bytes are aligned to 8. false: they are no image, or torn; err says how. Whatever they hold,
 * lookups stay within them. */
bool image_open(struct image *out, struct span bytes, struct err *err) MUST_CHECK;

/* The longest prefix that covers the address, expired or not; IMAGE_NONE: there is none. */
uint32_t image_find_ip(const struct image *image, const struct ip *ip);

/* The next longer prefix around this one. */
uint32_t image_parent(const struct image *image, uint32_t number);

/* Exactly this network; exactly this key. */
uint32_t image_find_network(const struct image *image, const struct cidr *network);
uint32_t image_find_key(const struct image *image, struct span key);

uint8_t image_bits(const struct image *image, uint32_t number);
bool image_is_alive(const struct image *image, uint32_t number, uint32_t now_s);
void image_get(const struct image *image, uint32_t number, struct image_item *out);

/* In the order in which images stand: by first address, then by length; texts by their bytes. */
int image_compare(enum image_kind kind, const struct image_item *a, const struct image_item *b);

#endif

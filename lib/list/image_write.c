/*
 * An image is cut off when it is full. A prefix that encloses items on both sides of the cut would
 * have to stand in both: it is hoisted out, and what stands of it here is dead. There are few: at
 * most one of each length for each cut.
 */
#include "lib/list/image_write.h"

#include <stdlib.h>
#include <sys/random.h>

#include "lib/base/buffer.h"
#include "lib/base/fail.h"
#include "lib/list/image_format.h"

enum {
	DEPTH_MAX = 129,      /* prefixes around one another */
	REASONS_CACHED = 256, /* texts that were written lately: most items share a few */
	FIRST_ROOM = 1024,
	RANGE_ITEMS = 16 /* of a range, on average */
};

/* What gathers for one image. */
struct gathered {
	uint32_t n, room;
	struct ip *firsts; /* owned, as all */
	uint8_t *bits;
	uint32_t *parents, *reasons, *expiries, *keys;
	uint16_t *lens;
	struct buffer pool;
	bool has_parents, has_reasons, has_expiries;
	uint32_t cached[REASONS_CACHED]; /* places in the pool; 0: none */
};

struct image_writer {
	struct image_writer_setup setup;
	struct gathered now;
	uint32_t around[DEPTH_MAX]; /* numbers of those that enclose the last one, and it */
	unsigned depth;
	struct image_item last; /* its texts are in `last_key` */
	struct buffer last_key;
	bool begun;
	uint8_t hash_key[16];
};

/* --- gathering --- */

static const uint8_t cache_key[16]; /* no secret: the admin's own texts */

static void gathered_init(struct gathered *g)
{
	*g = (struct gathered){.pool = BUFFER_INIT(UINT32_MAX / 2)};
}

static void gathered_free(struct gathered *g)
{
	free(g->firsts);
	free(g->bits);
	free(g->parents);
	free(g->reasons);
	free(g->expiries);
	free(g->keys);
	free(g->lens);
	buffer_free(&g->pool);
	gathered_init(g);
}

static void empty(struct gathered *g)
{
	g->n = 0;
	g->has_parents = g->has_reasons = g->has_expiries = false;
	memset(g->cached, 0, sizeof(g->cached));
	buffer_clear(&g->pool);
}

static void make_room(struct gathered *g, enum image_kind kind)
{
	if (g->n < g->room)
		return;
	g->room = g->room ? g->room * 2 : FIRST_ROOM;
	g->reasons = memory_resize(g->reasons, g->room * sizeof(*g->reasons));
	g->expiries = memory_resize(g->expiries, g->room * sizeof(*g->expiries));
	if (kind == IMAGE_TEXT) {
		g->keys = memory_resize(g->keys, g->room * sizeof(*g->keys));
		g->lens = memory_resize(g->lens, 2 * (size_t)g->room * sizeof(*g->lens));
	} else {
		g->firsts = memory_resize(g->firsts, g->room * sizeof(*g->firsts));
		g->bits = memory_resize(g->bits, g->room * sizeof(*g->bits));
		g->parents = memory_resize(g->parents, g->room * sizeof(*g->parents));
	}
}

static uint32_t add_to_pool(struct gathered *g, struct span text)
{
	uint32_t at;

	if (g->pool.len == 0)
		ENSURE(buffer_add_char(&g->pool, '\0')); /* place 0 is none */
	at = (uint32_t)g->pool.len;
	ENSURE(buffer_add(&g->pool, text));
	return at;
}

/* Two bytes of length, then the text. */
static uint32_t keep_reason(struct gathered *g, struct span reason)
{
	uint32_t *cached = &g->cached[span_hash(reason, cache_key) % REASONS_CACHED];
	char len[2];
	uint32_t at;

	reason = span_first(reason, IMAGE_REASON_MAX);
	if (reason.len == 0)
		return 0;
	len[0] = (char)(reason.len & 0xff);
	len[1] = (char)(reason.len >> 8);
	if (*cached && memcmp(g->pool.data + *cached, len, 2) == 0 &&
		memcmp(g->pool.data + *cached + 2, reason.at, reason.len) == 0)
		return *cached;
	at = add_to_pool(g, span_make(len, 2));
	ENSURE(buffer_add(&g->pool, reason));
	*cached = at;
	return at;
}

static void gather(
	struct gathered *g, enum image_kind kind, const struct image_item *item, uint32_t parent)
{
	uint32_t i = g->n;

	make_room(g, kind);
	g->reasons[i] = keep_reason(g, item->reason);
	g->expiries[i] = item->expires_s;
	g->has_reasons |= g->reasons[i] != 0;
	g->has_expiries |= item->expires_s != IMAGE_FOR_GOOD;
	if (kind == IMAGE_TEXT) {
		bool same = item->item.len == 0 || span_equal(item->item, item->key);

		g->keys[i] = add_to_pool(g, item->key);
		g->lens[2 * (size_t)i] = (uint16_t)item->key.len;
		g->lens[2 * (size_t)i + 1] = same ? 0 : (uint16_t)item->item.len;
		if (!same)
			ENSURE(buffer_add(&g->pool, item->item));
	} else {
		g->firsts[i] = item->network.ip;
		g->bits[i] = item->network.prefix_bits;
		g->parents[i] = parent;
		g->has_parents |= parent != IMAGE_NONE;
	}
	g->n++;
}

/* --- laying out --- */

struct layout {
	char *bytes; /* owned */
	struct image_head *head;
	size_t size;
};

static uint32_t place(struct layout *l, size_t size)
{
	size_t at = (l->size + 7) & ~(size_t)7;

	ENSURE(at + size <= UINT32_MAX);
	l->size = at + size;
	return (uint32_t)at;
}

static uint32_t slots_for(uint32_t n)
{
	uint32_t slots = 4;

	while (slots < n + n / 2 + 1)
		slots *= 2;
	return slots;
}

static void choose_ranges(struct image_head *head, const struct gathered *g)
{
	uint64_t span = image_high(&g->firsts[g->n - 1]) - image_high(&g->firsts[0]);

	while (span >> head->range_shift > g->n / RANGE_ITEMS + 1)
		head->range_shift++;
	head->n_ranges = (uint32_t)(span >> head->range_shift) + 1;
}

static void lay_out(struct layout *l, const struct gathered *g, enum image_kind kind)
{
	struct image_head head = {.magic = IMAGE_MAGIC,
		.version = IMAGE_VERSION,
		.kind = kind,
		.n = g->n,
		.pool_size = (uint32_t)g->pool.len};
	size_t words = g->n * sizeof(uint32_t);

	l->size = sizeof(head);
	if (kind == IMAGE_TEXT) {
		head.slot_mask = slots_for(g->n) - 1;
		head.keys = place(l, words);
		head.lens = place(l, words);
		head.slots = place(l, ((size_t)head.slot_mask + 1) * sizeof(uint32_t));
	} else {
		head.firsts = place(l, kind == IMAGE_V4 ? words : 4 * words);
		head.bits = place(l, g->n);
		choose_ranges(&head, g);
		head.ranges = place(l, ((size_t)head.n_ranges + 1) * sizeof(uint32_t));
		head.parents = g->has_parents ? place(l, words) : 0;
	}
	head.reasons = g->has_reasons ? place(l, words) : 0;
	head.expiries = g->has_expiries ? place(l, words) : 0;
	head.pool = place(l, g->pool.len);
	head.size = (uint32_t)l->size;
	l->bytes = memory_zeroed(l->size);
	l->head = (void *)l->bytes;
	*l->head = head;
}

static void copy(struct layout *l, uint32_t at, const void *from, size_t size)
{
	if (at && size)
		memcpy(l->bytes + at, from, size);
}

static void fill_slots(struct layout *l, const struct gathered *g)
{
	uint32_t *slots = (void *)(l->bytes + l->head->slots), mask = l->head->slot_mask;

	memset(slots, 0xff, ((size_t)mask + 1) * sizeof(*slots));
	for (uint32_t i = 0; i < g->n; i++) {
		struct span key = span_make(g->pool.data + g->keys[i], g->lens[2 * (size_t)i]);
		uint32_t at = (uint32_t)span_hash(key, l->head->hash_key) & mask;

		while (slots[at] != IMAGE_NONE)
			at = (at + 1) & mask;
		slots[at] = i;
	}
}

static void fill_firsts(struct layout *l, const struct gathered *g, enum image_kind kind)
{
	uint32_t *v4 = (void *)(l->bytes + l->head->firsts);
	uint8_t(*v6)[16] = (void *)(l->bytes + l->head->firsts);

	for (uint32_t i = 0; i < g->n; i++) {
		if (kind == IMAGE_V4)
			v4[i] = image_v4(&g->firsts[i]);
		else
			memcpy(v6[i], g->firsts[i].bytes, 16);
	}
}

/* Each range begins with the first item that begins in it; the last one ends with the items. */
static void fill_ranges(struct layout *l, const struct gathered *g)
{
	uint32_t *ranges = (void *)(l->bytes + l->head->ranges), item = 0;
	uint64_t first = image_high(&g->firsts[0]);

	for (uint32_t range = 0; range <= l->head->n_ranges; range++) {
		while (item < g->n &&
			(image_high(&g->firsts[item]) - first) >> l->head->range_shift < range)
			item++;
		ranges[range] = item;
	}
}

static void hand_over(struct image_writer *w)
{
	struct gathered *g = &w->now;
	struct layout l = {0};
	size_t words = g->n * sizeof(uint32_t);

	if (g->n == 0)
		return;
	lay_out(&l, g, w->setup.kind);
	l.head->wide = w->setup.wide;
	memcpy(l.head->hash_key, w->hash_key, sizeof(w->hash_key));
	copy(&l, l.head->keys, g->keys, words);
	copy(&l, l.head->lens, g->lens, words);
	copy(&l, l.head->bits, g->bits, g->n);
	copy(&l, l.head->parents, g->parents, words);
	copy(&l, l.head->reasons, g->reasons, words);
	copy(&l, l.head->expiries, g->expiries, words);
	copy(&l, l.head->pool, g->pool.data, g->pool.len);
	if (w->setup.kind == IMAGE_TEXT) {
		fill_slots(&l, g);
	} else {
		fill_firsts(&l, g, w->setup.kind);
		fill_ranges(&l, g);
	}
	w->setup.take(w->setup.context, span_make(l.bytes, l.size));
	free(l.bytes);
	empty(g);
}

/* --- items --- */

struct image_writer *image_writer_new(const struct image_writer_setup *setup)
{
	struct image_writer *w = memory_zeroed(sizeof(*w));

	ENSURE(setup->kind < IMAGE_KINDS && setup->items_max <= IMAGE_ITEMS_MAX);
	w->setup = *setup;
	if (!setup->items_max)
		w->setup.items_max = IMAGE_ITEMS_MAX;
	w->last_key = BUFFER_INIT(IMAGE_KEY_MAX);
	gathered_init(&w->now);
	ENSURE(getrandom(w->hash_key, sizeof(w->hash_key), 0) == sizeof(w->hash_key));
	return w;
}

static struct cidr gathered_network(const struct gathered *g, uint32_t i)
{
	return (struct cidr){.ip = g->firsts[i], .prefix_bits = g->bits[i]};
}

/* Those that don't reach to the item are closed. */
static void close_apart(struct image_writer *w, const struct image_item *item)
{
	while (w->depth) {
		struct cidr network = gathered_network(&w->now, w->around[w->depth - 1]);

		if (cidr_contains(&network, &item->network.ip))
			return;
		w->depth--;
	}
}

static struct span gathered_reason(const struct gathered *g, uint32_t i)
{
	const uint8_t *at = (const void *)(g->pool.data + g->reasons[i]);

	if (g->reasons[i] == 0)
		return SPAN_NONE;
	return span_make(at + 2, (size_t)(at[0] | at[1] << 8));
}

/* The image ends here: those that are still open go on in the next one. */
static void hoist(struct image_writer *w)
{
	for (unsigned i = 0; i < w->depth; i++) {
		uint32_t number = w->around[i];
		struct image_item item = {.network = gathered_network(&w->now, number),
			.reason = gathered_reason(&w->now, number),
			.expires_s = w->now.expiries[number]};

		w->setup.hoist(w->setup.context, &item);
		w->now.expiries[number] = IMAGE_GONE;
		w->now.has_expiries = true;
	}
	w->depth = 0;
}

static bool is_full(const struct image_writer *w)
{
	return w->now.n == w->setup.items_max || w->now.pool.len >= IMAGE_POOL_MAX;
}

static void remember(struct image_writer *w, const struct image_item *item)
{
	w->begun = true;
	w->last = (struct image_item){.network = item->network};
	buffer_clear(&w->last_key);
	ENSURE(buffer_add(&w->last_key, item->key));
	w->last.key = buffer_span(&w->last_key);
}

bool image_write(struct image_writer *w, const struct image_item *item)
{
	ENSURE(item->key.len <= IMAGE_KEY_MAX && item->item.len <= IMAGE_KEY_MAX);
	ENSURE(w->setup.kind == IMAGE_TEXT ||
		item->network.ip.family == (w->setup.kind == IMAGE_V4 ? IP_V4 : IP_V6));
	if (w->begun && image_compare(w->setup.kind, &w->last, item) >= 0)
		return false;
	remember(w, item);
	if (w->setup.kind != IMAGE_TEXT)
		close_apart(w, item);
	if (is_full(w)) {
		hoist(w);
		hand_over(w);
	}
	if (w->setup.kind != IMAGE_TEXT)
		w->around[w->depth] = w->now.n;
	gather(&w->now, w->setup.kind, item, w->depth ? w->around[w->depth - 1] : IMAGE_NONE);
	w->depth += w->setup.kind != IMAGE_TEXT;
	return true;
}

void image_writer_end(struct image_writer **writer, const struct image_item *next)
{
	struct image_writer *w = *writer;

	if (!w)
		return;
	if (next && w->setup.kind != IMAGE_TEXT) {
		close_apart(w, next);
		hoist(w);
	}
	hand_over(w);
	gathered_free(&w->now);
	buffer_free(&w->last_key);
	free(w);
	*writer = NULL;
}

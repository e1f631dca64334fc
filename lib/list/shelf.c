#include "lib/list/shelf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/descriptor.h"
#include "lib/base/fail.h"
#include "lib/list/image_write.h"

/* An item with its texts in one owned block. */
struct kept_item {
	struct image_item item;
	char *texts; /* owned */
};

struct kept_items {
	struct kept_item *items; /* owned */
	size_t n, room;
};

/* An image that was laid into a memfd. */
struct block {
	struct shelf_image image;
	struct kept_item first;
	struct kept_items hoisted; /* of a part: they stand in the image of wide ones */
};

struct blocks {
	struct block *items; /* owned */
	size_t n, room;
};

/* One kind of the list. */
struct shelf_kind {
	struct blocks parts;       /* in order */
	struct block wide;         /* those that the parts hoisted; id 0: none */
	struct kept_items changes; /* in order */
	struct block published;    /* the image of the changes; id 0: none */
	bool dirty;                /* changes that nobody was told of */
};

struct list_shelf {
	struct shelf_setup setup;
	struct shelf_kind kinds[IMAGE_KINDS];
	bool gathering; /* parts are being written anew until no change is left */
};

/* --- items --- */

static struct kept_item keep_item(const struct image_item *item)
{
	struct kept_item kept = {.item = *item};
	char *to = memory_new(item->key.len + item->item.len + item->reason.len + 1);

	kept.texts = to;
	kept.item.key = span_make(
		memcpy(to, item->key.len ? item->key.at : "", item->key.len), item->key.len);
	to += item->key.len;
	kept.item.item = span_make(
		memcpy(to, item->item.len ? item->item.at : "", item->item.len), item->item.len);
	to += item->item.len;
	kept.item.reason =
		span_make(memcpy(to, item->reason.len ? item->reason.at : "", item->reason.len),
			item->reason.len);
	return kept;
}

static void drop_item(struct kept_item *kept)
{
	free(kept->texts);
	*kept = (struct kept_item){.texts = NULL};
}

static void insert_item(struct kept_items *items, size_t at, const struct image_item *item)
{
	if (items->n == items->room) {
		items->room = items->room ? items->room * 2 : 8;
		items->items = memory_resize(items->items, items->room * sizeof(*items->items));
	}
	memmove(&items->items[at + 1], &items->items[at], (items->n - at) * sizeof(*items->items));
	items->items[at] = keep_item(item);
	items->n++;
}

static void remove_items(struct kept_items *items, size_t from, size_t until)
{
	for (size_t i = from; i < until; i++)
		drop_item(&items->items[i]);
	if (until > from)
		memmove(&items->items[from], &items->items[until],
			(items->n - until) * sizeof(*items->items));
	items->n -= until - from;
}

static void free_items(struct kept_items *items)
{
	remove_items(items, 0, items->n);
	free(items->items);
	*items = (struct kept_items){.items = NULL};
}

/* --- memfds --- */

/* Never to be changed again by anybody. -1: no memory, or no descriptor. */
static int seal(struct span bytes)
{
	int fd = memfd_create("postern list", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (descriptor_write(fd, bytes) &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) ==
			0)
		return fd;
	close(fd);
	return -1;
}

/* --- writing --- */

/* What one run of the writer makes. */
struct making {
	struct list_shelf *shelf;
	bool changes;
	struct image_writer *writer;
	struct blocks made;
	struct kept_items hoisted; /* out of the next image */
	bool failed, unsorted;
};

static void blocks_insert(struct blocks *blocks, size_t at, const struct block *block)
{
	if (blocks->n == blocks->room) {
		blocks->room = blocks->room ? blocks->room * 2 : 4;
		blocks->items = memory_resize(blocks->items, blocks->room * sizeof(*blocks->items));
	}
	memmove(&blocks->items[at + 1], &blocks->items[at],
		(blocks->n - at) * sizeof(*blocks->items));
	blocks->items[at] = *block;
	blocks->n++;
}

static void block_close(struct block *block)
{
	close(block->image.fd);
	drop_item(&block->first);
	free_items(&block->hoisted);
}

static void blocks_free(struct blocks *blocks)
{
	for (size_t i = 0; i < blocks->n; i++)
		block_close(&blocks->items[i]);
	free(blocks->items);
	*blocks = (struct blocks){.items = NULL};
}

static void hoist(void *context, const struct image_item *item)
{
	struct making *m = context;

	insert_item(&m->hoisted, m->hoisted.n, item);
}

static void take_image(void *context, struct span bytes)
{
	struct making *m = context;
	struct block block = {
		.image = {.changes = m->changes, .fd = seal(bytes), .size = bytes.len}};
	struct image_item first;
	struct image image;
	struct err err;

	if (block.image.fd < 0) {
		m->failed = true;
		return;
	}
	ENSURE(image_open(&image, bytes, &err));
	image_get(&image, 0, &first);
	block.image.id = ++*m->shelf->setup.last_id;
	block.first = keep_item(&first);
	block.hoisted = m->hoisted;
	m->hoisted = (struct kept_items){.items = NULL};
	blocks_insert(&m->made, m->made.n, &block);
}

static bool take_item(void *context, const struct image_item *item)
{
	struct making *m = context;

	m->unsorted = !image_write(m->writer, item);
	return !m->failed && !m->unsorted;
}

enum purpose { FOR_PARTS, FOR_WIDE, FOR_CHANGES };

static void making_begin(
	struct making *m, struct list_shelf *shelf, enum image_kind kind, enum purpose purpose)
{
	struct image_writer_setup setup = {.kind = kind,
		.items_max = purpose == FOR_PARTS ? shelf->setup.items_max : 0,
		.wide = purpose == FOR_WIDE,
		.take = take_image,
		.hoist = hoist,
		.context = m};

	*m = (struct making){.shelf = shelf, .changes = purpose == FOR_CHANGES};
	m->writer = image_writer_new(&setup);
}

/* The images are in m->made, or there are none and err says why. */
static bool making_end(
	struct making *m, const struct image_item *next, bool walked, struct err *err)
{
	image_writer_end(&m->writer, next);
	free_items(&m->hoisted);
	if (walked && m->failed)
		err_errno(err, "no memory for the images of a list");
	else if (walked && m->unsorted)
		err_set(err, "the store gives a list out of its order");
	if (walked && !m->failed && !m->unsorted)
		return true;
	blocks_free(&m->made);
	return false;
}

/* --- parts --- */

static void put(struct list_shelf *shelf, const struct block *block)
{
	shelf->setup.put(shelf->setup.context, &block->image);
}

static void drop(struct list_shelf *shelf, struct block *block)
{
	shelf->setup.drop(shelf->setup.context, block->image.id);
	block_close(block);
}

/* until: where the part behind it begins; NULL: there is none. */
static bool make_part(struct list_shelf *shelf, enum image_kind kind, const struct image_item *from,
	const struct image_item *until, struct blocks *made, struct err *err)
{
	struct making m;
	bool walked;

	making_begin(&m, shelf, kind, FOR_PARTS);
	walked = shelf->setup.walk(shelf->setup.context, kind, from, until, take_item, &m, err);
	if (!making_end(&m, until, walked, err))
		return false;
	*made = m.made;
	return true;
}

/* --- wide ones and changes: one image of each --- */

/* The one image that was made, or none, is put in its place; *before is what stood there. */
static bool end_one(struct list_shelf *shelf, struct making *m, struct block *place,
	struct block *before, struct err *err)
{
	if (!making_end(m, NULL, true, err))
		return false;
	*before = *place;
	*place = (struct block){.image = {.id = 0}};
	if (m->made.n) {
		*place = m->made.items[0];
		put(shelf, place);
	}
	free(m->made.items);
	return true;
}

static void drop_if_any(struct list_shelf *shelf, struct block *block)
{
	if (block->image.id)
		drop(shelf, block);
}

static bool show_wide(
	struct list_shelf *shelf, enum image_kind kind, struct block *before, struct err *err)
{
	struct shelf_kind *k = &shelf->kinds[kind];
	struct making m;

	making_begin(&m, shelf, kind, FOR_WIDE);
	for (size_t i = 0; i < k->parts.n; i++)
		for (size_t j = 0; j < k->parts.items[i].hoisted.n; j++)
			ENSURE(image_write(m.writer, &k->parts.items[i].hoisted.items[j].item));
	return end_one(shelf, &m, &k->wide, before, err);
}

static void copy_blocks(const struct blocks *from, size_t at, size_t until, struct blocks *to)
{
	for (size_t i = at; i < until; i++)
		blocks_insert(to, to->n, &from->items[i]);
}

/*
 * The parts from one place to another give way to what was made, which is taken over. At each
 * moment all is to be found: what the new parts hoisted is put before them; they come from the last
 * to the first, for an item is looked for in the last part that begins before it; then the old ones
 * go.
 */
static bool replace_parts(struct list_shelf *shelf, enum image_kind kind, size_t at, size_t until,
	struct blocks *made, struct err *err)
{
	struct shelf_kind *k = &shelf->kinds[kind];
	struct blocks before = k->parts, joined = {.items = NULL};
	struct block wide;

	copy_blocks(&before, 0, at, &joined);
	copy_blocks(made, 0, made->n, &joined);
	copy_blocks(&before, until, before.n, &joined);
	k->parts = joined;
	if (!show_wide(shelf, kind, &wide, err)) {
		k->parts = before;
		free(joined.items);
		blocks_free(made);
		return false;
	}
	for (size_t i = made->n; i > 0; i--)
		put(shelf, &made->items[i - 1]);
	for (size_t i = at; i < until; i++)
		drop(shelf, &before.items[i]);
	drop_if_any(shelf, &wide);
	free(before.items);
	free(made->items);
	*made = (struct blocks){.items = NULL};
	return true;
}

/* Where an item stands among the changes, or would. */
static size_t find_change(
	const struct shelf_kind *k, enum image_kind kind, const struct image_item *item)
{
	size_t low = 0, high = k->changes.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (image_compare(kind, &k->changes.items[middle].item, item) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void shelf_change(struct list_shelf *shelf, enum image_kind kind, const struct image_item *item)
{
	struct shelf_kind *k = &shelf->kinds[kind];
	size_t at = find_change(k, kind, item);

	k->dirty = true;
	if (at < k->changes.n && image_compare(kind, &k->changes.items[at].item, item) == 0)
		remove_items(&k->changes, at, at + 1);
	insert_item(&k->changes, at, item);
}

static bool publish_kind(struct list_shelf *shelf, enum image_kind kind, struct err *err)
{
	struct shelf_kind *k = &shelf->kinds[kind];
	struct block before;
	struct making m;

	if (!k->dirty)
		return true;
	making_begin(&m, shelf, kind, FOR_CHANGES);
	for (size_t i = 0; i < k->changes.n && i < IMAGE_ITEMS_MAX; i++)
		ENSURE(image_write(m.writer, &k->changes.items[i].item));
	if (!end_one(shelf, &m, &k->published, &before, err))
		return false;
	drop_if_any(shelf, &before);
	k->dirty = false;
	return true;
}

/* The part that the first change falls into is written anew, and the changes in it are done. */
static bool gather(struct list_shelf *shelf, enum image_kind kind, struct err *err)
{
	struct shelf_kind *k = &shelf->kinds[kind];
	const struct image_item *change = &k->changes.items[0].item, *from, *until;
	size_t at = 0, end, done;
	struct blocks made;

	while (at + 1 < k->parts.n &&
		image_compare(kind, &k->parts.items[at + 1].first.item, change) <= 0)
		at++;
	end = at < k->parts.n ? at + 1 : at;
	from = at ? &k->parts.items[at].first.item : NULL;
	until = end < k->parts.n ? &k->parts.items[end].first.item : NULL;
	if (!make_part(shelf, kind, from, until, &made, err))
		return false;
	done = until ? find_change(k, kind, until) : k->changes.n;
	if (!replace_parts(shelf, kind, at, end, &made, err))
		return false;
	remove_items(&k->changes, 0, done);
	k->dirty = true;
	return true;
}

/* --- all --- */

struct list_shelf *shelf_new(const struct shelf_setup *setup)
{
	struct list_shelf *shelf = memory_zeroed(sizeof(*shelf));

	shelf->setup = *setup;
	if (!setup->items_max)
		shelf->setup.items_max = IMAGE_ITEMS_MAX;
	if (!setup->changes_max)
		shelf->setup.changes_max = SHELF_CHANGES_MAX;
	return shelf;
}

void shelf_free(struct list_shelf **shelf)
{
	if (!*shelf)
		return;
	for (int kind = 0; kind < IMAGE_KINDS; kind++) {
		struct shelf_kind *k = &(*shelf)->kinds[kind];

		blocks_free(&k->parts);
		free_items(&k->changes);
		if (k->wide.image.id)
			block_close(&k->wide);
		if (k->published.image.id)
			block_close(&k->published);
	}
	free(*shelf);
	*shelf = NULL;
}

static bool load_kind(
	struct list_shelf *shelf, enum image_kind kind, struct blocks *made, struct err *err)
{
	struct shelf_kind *k = &shelf->kinds[kind];

	if (!replace_parts(shelf, kind, 0, k->parts.n, made, err))
		return false;
	remove_items(&k->changes, 0, k->changes.n);
	k->dirty = true;
	return publish_kind(shelf, kind, err);
}

bool shelf_load(struct list_shelf *shelf, struct err *err)
{
	struct blocks made[IMAGE_KINDS] = {{NULL, 0, 0}};
	bool ok = true;

	for (int kind = 0; ok && kind < IMAGE_KINDS; kind++)
		ok = make_part(shelf, (enum image_kind)kind, NULL, NULL, &made[kind], err);
	for (int kind = 0; ok && kind < IMAGE_KINDS; kind++)
		ok = load_kind(shelf, (enum image_kind)kind, &made[kind], err);
	for (int kind = 0; kind < IMAGE_KINDS; kind++)
		blocks_free(&made[kind]);
	shelf->gathering &= !ok;
	return ok;
}

static size_t count_changes(const struct list_shelf *shelf)
{
	size_t n = 0;

	for (int kind = 0; kind < IMAGE_KINDS; kind++)
		n += shelf->kinds[kind].changes.n;
	return n;
}

static bool publish_all(struct list_shelf *shelf, struct err *err)
{
	bool ok = true;

	for (int kind = 0; kind < IMAGE_KINDS; kind++)
		ok = publish_kind(shelf, (enum image_kind)kind, err) && ok;
	return ok;
}

static bool gather_some(struct list_shelf *shelf, struct err *err)
{
	for (int kind = 0; kind < IMAGE_KINDS; kind++)
		if (shelf->kinds[kind].changes.n)
			return gather(shelf, (enum image_kind)kind, err);
	return true;
}

/* While a part is replaced, all that differs in it stands among the changes that were told. */
bool shelf_publish(struct list_shelf *shelf, struct err *err)
{
	if (!publish_all(shelf, err))
		return false;
	shelf->gathering |= count_changes(shelf) > shelf->setup.changes_max;
	if (!shelf->gathering)
		return true;
	if (!gather_some(shelf, err) || !publish_all(shelf, err)) {
		shelf->gathering = false; /* the next change tries again */
		return false;
	}
	shelf->gathering = count_changes(shelf) > 0;
	return true;
}

bool shelf_is_behind(const struct list_shelf *shelf)
{
	return shelf->gathering;
}

void shelf_show(const struct list_shelf *shelf,
	void (*show)(void *context, const struct shelf_image *image), void *context)
{
	for (int kind = 0; kind < IMAGE_KINDS; kind++) {
		const struct shelf_kind *k = &shelf->kinds[kind];

		for (size_t i = 0; i < k->parts.n; i++)
			show(context, &k->parts.items[i].image);
		if (k->wide.image.id)
			show(context, &k->wide.image);
		if (k->published.image.id)
			show(context, &k->published.image);
	}
}

size_t shelf_size(const struct list_shelf *shelf)
{
	size_t size = 0;

	for (int kind = 0; kind < IMAGE_KINDS; kind++) {
		const struct shelf_kind *k = &shelf->kinds[kind];

		for (size_t i = 0; i < k->parts.n; i++)
			size += k->parts.items[i].image.size;
		size += k->wide.image.size + k->published.image.size;
	}
	return size;
}

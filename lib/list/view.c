#include "lib/list/view.h"

#include <stdlib.h>

#include "lib/base/fail.h"

struct part {
	uint64_t id;
	bool changes, wide;
	struct image image;
	struct image_item first;
};

/* Of one kind. There are few changes and wide ones; the others are searched. */
struct parts {
	struct part *items; /* owned: changes, then wide ones, then the others by their first key */
	size_t n, room;
	size_t n_changes, n_wide;
};

struct list_view {
	struct parts kinds[IMAGE_KINDS];
	void (*release)(void *context, struct span bytes);
	void *context;
};

struct list_view *list_view_new(void (*release)(void *context, struct span bytes), void *context)
{
	struct list_view *view = memory_zeroed(sizeof(*view));

	view->release = release;
	view->context = context;
	return view;
}

static void release(struct list_view *view, const struct part *part)
{
	if (view->release)
		view->release(view->context, part->image.bytes);
}

void list_view_free(struct list_view **view)
{
	if (!*view)
		return;
	for (int kind = 0; kind < IMAGE_KINDS; kind++) {
		struct parts *parts = &(*view)->kinds[kind];

		for (size_t i = 0; i < parts->n; i++)
			release(*view, &parts->items[i]);
		free(parts->items);
	}
	free(*view);
	*view = NULL;
}

void list_view_swap(struct list_view *a, struct list_view *b)
{
	struct list_view was = *a;

	ENSURE(a->release == b->release && a->context == b->context);
	*a = *b;
	*b = was;
}

/* --- parts --- */

static unsigned rank(const struct part *part)
{
	return part->changes ? 0 : part->wide ? 1 : 2;
}

static bool stands_before(const struct part *a, const struct part *b)
{
	if (rank(a) != rank(b))
		return rank(a) < rank(b);
	return image_compare(a->image.kind, &a->first, &b->first) < 0;
}

static void take_out(struct parts *parts, size_t i)
{
	parts->n_changes -= parts->items[i].changes;
	parts->n_wide -= rank(&parts->items[i]) == 1;
	parts->n--;
	memmove(&parts->items[i], &parts->items[i + 1], (parts->n - i) * sizeof(*parts->items));
}

static void put_in(struct parts *parts, const struct part *part)
{
	size_t i = parts->n;

	if (parts->n == parts->room) {
		parts->room = parts->room ? parts->room * 2 : 4;
		parts->items = memory_resize(parts->items, parts->room * sizeof(*parts->items));
	}
	while (i > 0 && stands_before(part, &parts->items[i - 1]))
		i--;
	memmove(&parts->items[i + 1], &parts->items[i], (parts->n - i) * sizeof(*parts->items));
	parts->items[i] = *part;
	parts->n++;
	parts->n_changes += part->changes;
	parts->n_wide += rank(part) == 1;
}

bool list_view_put(
	struct list_view *view, uint64_t id, bool changes, struct span bytes, struct err *err)
{
	struct part part = {.id = id, .changes = changes};

	if (!image_open(&part.image, bytes, err))
		return false;
	part.wide = part.image.head->wide;
	image_get(&part.image, 0, &part.first);
	list_view_drop(view, id);
	put_in(&view->kinds[part.image.kind], &part);
	return true;
}

void list_view_drop(struct list_view *view, uint64_t id)
{
	for (int kind = 0; kind < IMAGE_KINDS; kind++) {
		struct parts *parts = &view->kinds[kind];

		for (size_t i = 0; i < parts->n; i++) {
			if (parts->items[i].id != id)
				continue;
			release(view, &parts->items[i]);
			take_out(parts, i);
			return;
		}
	}
}

/* The part of the base where a key must stand, if it does; NULL: before all of them. */
static const struct part *part_for(
	const struct parts *parts, enum image_kind kind, const struct image_item *key)
{
	size_t start = parts->n_changes + parts->n_wide, low = start, high = parts->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (image_compare(kind, &parts->items[middle].first, key) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > start ? &parts->items[low - 1] : NULL;
}

/* --- addresses --- */

static bool is_changed(const struct parts *parts, const struct image_item *item)
{
	for (size_t i = 0; i < parts->n_changes; i++)
		if (image_find_network(&parts->items[i].image, &item->network) != IMAGE_NONE)
			return true;
	return false;
}

/* The longest prefix in a part that holds, if it is longer than what was found before. */
static bool find_longer(const struct parts *parts, const struct part *part, const struct ip *ip,
	uint32_t now_s, struct image_item *best, bool found)
{
	uint32_t number = image_find_ip(&part->image, ip);

	for (; number != IMAGE_NONE; number = image_parent(&part->image, number)) {
		struct image_item item;

		if (found && image_bits(&part->image, number) <= best->network.prefix_bits)
			return true;
		if (!image_is_alive(&part->image, number, now_s))
			continue;
		image_get(&part->image, number, &item);
		if (!part->changes && is_changed(parts, &item))
			continue;
		*best = item;
		return true;
	}
	return found;
}

bool list_view_find_ip(
	const struct list_view *view, const struct ip *ip, uint32_t now_s, struct image_item *hit)
{
	enum image_kind kind = ip->family == IP_V4 ? IMAGE_V4 : IMAGE_V6;
	const struct parts *parts = &view->kinds[kind];
	struct image_item best,
		key = {.network = {.ip = *ip, .prefix_bits = kind == IMAGE_V4 ? 32 : 128}};
	const struct part *part = part_for(parts, kind, &key);
	bool found = false;

	for (size_t i = 0; i < parts->n_changes + parts->n_wide; i++)
		found = find_longer(parts, &parts->items[i], ip, now_s, &best, found);
	if (part)
		found = find_longer(parts, part, ip, now_s, &best, found);
	if (found && hit)
		*hit = best;
	return found;
}

/* --- texts --- */

static bool take(const struct image *image, uint32_t number, uint32_t now_s, struct image_item *hit)
{
	if (!image_is_alive(image, number, now_s))
		return false;
	if (hit)
		image_get(image, number, hit);
	return true;
}

bool list_view_find_key(
	const struct list_view *view, struct span key, uint32_t now_s, struct image_item *hit)
{
	const struct parts *parts = &view->kinds[IMAGE_TEXT];
	struct image_item item = {.key = key};
	const struct part *part;
	uint32_t number;

	for (size_t i = 0; i < parts->n_changes; i++) {
		number = image_find_key(&parts->items[i].image, key);
		if (number != IMAGE_NONE)
			return take(&parts->items[i].image, number, now_s, hit);
	}
	part = part_for(parts, IMAGE_TEXT, &item);
	number = part ? image_find_key(&part->image, key) : IMAGE_NONE;
	return number != IMAGE_NONE && take(&part->image, number, now_s, hit);
}

/* --- sums --- */

size_t list_view_count(const struct list_view *view)
{
	size_t n = 0;

	for (int kind = 0; kind < IMAGE_KINDS; kind++)
		for (size_t i = 0; i < view->kinds[kind].n; i++)
			n += view->kinds[kind].items[i].image.n;
	return n;
}

size_t list_view_size(const struct list_view *view)
{
	size_t size = 0;

	for (int kind = 0; kind < IMAGE_KINDS; kind++)
		for (size_t i = 0; i < view->kinds[kind].n; i++)
			size += view->kinds[kind].items[i].image.bytes.len;
	return size;
}

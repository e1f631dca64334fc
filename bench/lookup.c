/*
 * lookup [ITEMS]: nanoseconds of CPU of one lookup of an address in a list of so many networks (ten
 * million) of mixed lengths, as workers see it: images of a shelf, mapped, behind a view. Half of
 * the addresses are listed, and no two that follow lie near each other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "lib/base/error.h"
#include "lib/base/fail.h"
#include "lib/list/shelf.h"
#include "lib/list/view.h"

enum { ITEMS = 10 * 1000 * 1000, LOOKUPS = 2 * 1000 * 1000 };

static size_t n_items = ITEMS;

static uint64_t scatter(uint64_t i)
{
	i = (i ^ i >> 31) * UINT64_C(0x9e3779b97f4a7c15);
	return i ^ i >> 29;
}

static struct ip address(uint32_t number)
{
	return (struct ip){.family = IP_V4,
		.bytes = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
			(uint8_t)number}};
}

/* Evenly over 1.0.0.0 to 125.255.255.255, so that they come in order. */
static bool walk(void *context, enum image_kind kind, const struct image_item *from,
	const struct image_item *until, bool (*take)(void *, const struct image_item *),
	void *taker, struct err *err)
{
	static const uint8_t bits[] = {32, 32, 32, 32, 32, 31, 31, 30};
	const uint64_t step = (UINT64_C(125) << 24) / n_items;

	(void)context;
	(void)err;
	ENSURE(!from && !until);
	for (size_t i = 0; kind == IMAGE_V4 && i < n_items; i++) {
		struct ip ip = address((uint32_t)((1 << 24) + i * step));
		struct image_item item = {.reason = SPAN("bench"),
			.network = cidr_around(&ip, bits[i % COUNT_OF(bits)])};

		if (!take(taker, &item))
			return true;
	}
	return true;
}

static void put(void *context, const struct shelf_image *image)
{
	void *at = mmap(NULL, image->size, PROT_READ, MAP_SHARED, image->fd, 0);
	struct err err;

	ENSURE(at != MAP_FAILED);
	ENSURE(list_view_put(context, image->id, image->changes, span_make(at, image->size), &err));
}

static void drop(void *context, uint64_t id)
{
	list_view_drop(context, id);
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
	struct list_view *view = list_view_new(NULL, NULL);
	uint64_t last_id = 0;
	struct shelf_setup setup = {
		.walk = walk, .put = put, .drop = drop, .context = view, .last_id = &last_id};
	struct list_shelf *shelf;
	struct err err = {{0}};
	size_t found = 0;
	double begun;

	if (argc > 1)
		n_items = strtoul(argv[1], NULL, 10);
	ENSURE(n_items >= 1000 && n_items <= 4 * ITEMS);
	shelf = shelf_new(&setup);
	ENSURE(shelf_load(shelf, &err));
	begun = now_ns();
	for (uint64_t i = 0; i < LOOKUPS; i++) {
		const uint64_t step = (UINT64_C(125) << 24) / n_items;
		uint64_t at = scatter(i);
		uint32_t number = (uint32_t)((1 << 24) + (i % 2 ? at % n_items * step
								: at % (UINT64_C(125) << 24)));
		struct ip ip = address(number);

		found += list_view_find_ip(view, &ip, 1, NULL);
	}
	printf("%.0f ns a lookup, %.1f MB, %zu of %d found\n", (now_ns() - begun) / LOOKUPS,
		(double)shelf_size(shelf) / 1e6, found, LOOKUPS);
	shelf_free(&shelf);
	list_view_free(&view);
	return 0;
}

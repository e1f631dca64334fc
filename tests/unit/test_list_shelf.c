/* The shelf: whatever happens in the store, who looks at its images finds what the store holds; and
 * at no moment in between anything else than before or after. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/list/shelf.h"
#include "lib/list/view.h"

enum { NOW_S = 1000, ITEMS_MAX = 400, SHOWN_MAX = 300 };

/* --- chance, the same each time --- */

static uint64_t chance_state;

static uint32_t chance(uint32_t below)
{
	chance_state = chance_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(chance_state >> 33) % below;
}

/* --- the store, and one who looks --- */

struct table {
	struct image_item items[ITEMS_MAX];
	size_t n;
};

struct stage {
	enum image_kind kind;
	struct table now, before; /* before: when last all had been told */
	struct list_shelf *shelf;
	struct list_view *view;
	uint64_t last_id;
	size_t walks;
	bool broken; /* the store can't be read */
	bool loaded; /* from then on it is whole at every moment */
};

static const char *const reasons[] = {"", "one", "another"};
static char keys[ITEMS_MAX][8];

static struct image_item draw(enum image_kind kind)
{
	struct image_item item = {.reason = span_text(reasons[chance(3)]),
		.expires_s = chance(5) ? 0 : NOW_S - 1 + chance(3)};
	struct ip ip = {.family = kind == IMAGE_V4 ? IP_V4 : IP_V6};

	if (kind == IMAGE_TEXT) {
		item.key = span_text(keys[chance(ITEMS_MAX / 2)]);
		return item;
	}
	ip.bytes[kind == IMAGE_V4 ? 1 : 15] = (uint8_t)chance(8);
	ip.bytes[kind == IMAGE_V4 ? 2 : 14] = (uint8_t)chance(256);
	item.network =
		cidr_around(&ip, (uint8_t)(kind == IMAGE_V4 ? 8 + chance(17) : 104 + chance(25)));
	return item;
}

static size_t find(const struct stage *s, const struct table *t, const struct image_item *item)
{
	size_t i = 0;

	while (i < t->n && image_compare(s->kind, &t->items[i], item) < 0)
		i++;
	return i;
}

static void set(struct stage *s, const struct image_item *item)
{
	struct table *t = &s->now;
	size_t at = find(s, t, item);
	bool there = at < t->n && image_compare(s->kind, &t->items[at], item) == 0;

	if (item->expires_s == IMAGE_GONE) {
		if (there)
			memmove(&t->items[at], &t->items[at + 1],
				(--t->n - at) * sizeof(*t->items));
		return;
	}
	if (!there) {
		assert_true(t->n < ITEMS_MAX);
		memmove(&t->items[at + 1], &t->items[at], (t->n++ - at) * sizeof(*t->items));
	}
	t->items[at] = *item;
}

static bool walk(void *context, enum image_kind kind, const struct image_item *from,
	const struct image_item *until, bool (*take)(void *taker, const struct image_item *item),
	void *taker, struct err *err)
{
	struct stage *s = context;
	size_t i = from && kind == s->kind ? find(s, &s->now, from) : 0;

	s->walks++;
	if (s->broken)
		return err_set(err, "the store is broken");
	for (; kind == s->kind && i < s->now.n; i++) {
		if (until && image_compare(kind, &s->now.items[i], until) >= 0)
			break;
		if (!take(taker, &s->now.items[i]))
			return true;
	}
	return true;
}

static bool fits(const struct stage *s, const struct image_item *item, const struct image_item *key)
{
	return s->kind == IMAGE_TEXT ? span_equal(item->key, key->key)
				     : cidr_contains(&item->network, &key->network.ip);
}

static const struct image_item *look(
	const struct stage *s, const struct table *t, const struct image_item *key)
{
	const struct image_item *best = NULL;

	for (size_t i = 0; i < t->n; i++) {
		const struct image_item *item = &t->items[i];

		if ((item->expires_s && item->expires_s <= NOW_S) || !fits(s, item, key))
			continue;
		if (!best || item->network.prefix_bits >= best->network.prefix_bits)
			best = item;
	}
	return best;
}

static bool is_same(bool found, const struct image_item *hit, const struct image_item *expected)
{
	if (!found || !expected)
		return found == (expected != NULL);
	return hit->network.prefix_bits == expected->network.prefix_bits &&
	       span_equal(hit->reason, expected->reason) && hit->expires_s == expected->expires_s;
}

static void expect_all(const struct stage *s, bool settled, unsigned keys_asked)
{
	if (!s->loaded)
		return;
	for (unsigned i = 0; i < keys_asked; i++) {
		struct image_item key = draw(s->kind), hit;
		bool found = s->kind == IMAGE_TEXT
				     ? list_view_find_key(s->view, key.key, NOW_S, &hit)
				     : list_view_find_ip(s->view, &key.network.ip, NOW_S, &hit);

		if (is_same(found, &hit, look(s, &s->now, &key)))
			continue;
		if (settled || !is_same(found, &hit, look(s, &s->before, &key)))
			fail_msg("found %d, expires %u, should %d; settled %d key %.*s", found,
				found ? hit.expires_s : 0, look(s, &s->now, &key) != NULL, settled,
				SPAN_ARGS(key.key));
	}
}

static void put(void *context, const struct shelf_image *image)
{
	struct stage *s = context;
	void *at = mmap(NULL, image->size, PROT_READ, MAP_SHARED, image->fd, 0);
	struct err err;

	assert_ptr_not_equal(at, MAP_FAILED);
	assert_true(list_view_put(
		s->view, image->id, image->changes, span_make(at, image->size), &err));
	expect_all(s, false, 20);
}

static void drop(void *context, uint64_t id)
{
	struct stage *s = context;

	list_view_drop(s->view, id);
	expect_all(s, false, 20);
}

static void unmap(void *context, struct span bytes)
{
	(void)context;
	assert_int_equal(munmap((void *)bytes.at, bytes.len), 0);
}

static void stage_init(struct stage *s, enum image_kind kind, uint32_t items, uint32_t changes)
{
	struct shelf_setup setup = {.walk = walk,
		.put = put,
		.drop = drop,
		.context = s,
		.last_id = &s->last_id,
		.items_max = items,
		.changes_max = changes};

	for (unsigned i = 0; i < ITEMS_MAX; i++)
		snprintf(keys[i], sizeof(keys[i]), "k%u", i);
	memset(s, 0, sizeof(*s));
	s->kind = kind;
	s->shelf = shelf_new(&setup);
	s->view = list_view_new(unmap, NULL);
}

static void stage_end(struct stage *s)
{
	shelf_free(&s->shelf);
	assert_null(s->shelf);
	list_view_free(&s->view);
}

static void change(struct stage *s)
{
	struct image_item item = chance(3) || s->now.n == 0
					 ? draw(s->kind)
					 : s->now.items[chance((uint32_t)s->now.n)];

	if (s->now.n > ITEMS_MAX / 2 || chance(3) == 0)
		item.expires_s = IMAGE_GONE;
	set(s, &item);
	shelf_change(s->shelf, s->kind, &item);
}

/* --- tests --- */

static void show(void *context, const struct shelf_image *image)
{
	struct list_view *view = context;
	void *at = mmap(NULL, image->size, PROT_READ, MAP_SHARED, image->fd, 0);
	struct err err;

	assert_ptr_not_equal(at, MAP_FAILED);
	assert_true(
		list_view_put(view, image->id, image->changes, span_make(at, image->size), &err));
}

/* Who comes later is shown the same. */
static void expect_shown(struct stage *s)
{
	struct list_view *kept = s->view;

	s->view = list_view_new(unmap, NULL);
	shelf_show(s->shelf, show, s->view);
	assert_int_equal(list_view_size(s->view), shelf_size(s->shelf));
	expect_all(s, true, 50);
	list_view_free(&s->view);
	s->view = kept;
}

static void load(struct stage *s)
{
	struct err err;

	assert_true(shelf_load(s->shelf, &err));
	s->loaded = true;
	s->before = s->now;
	expect_all(s, true, 100);
}

static void publish(struct stage *s)
{
	struct err err;

	do
		assert_true(shelf_publish(s->shelf, &err));
	while (chance(3) && shelf_is_behind(s->shelf));
	expect_all(s, true, 100);
	s->before = s->now;
}

static void play(enum image_kind kind, uint64_t seed)
{
	static struct stage s;

	chance_state = seed;
	stage_init(&s, kind, 1 + chance(12), 1 + chance(12));
	for (unsigned i = chance(200); i > 0; i--) {
		struct image_item item = draw(kind);

		set(&s, &item);
	}
	load(&s);
	for (unsigned round = 0; round < 30; round++) {
		for (unsigned i = chance(6); i > 0; i--)
			change(&s);
		publish(&s);
	}
	expect_shown(&s);
	load(&s);
	stage_end(&s);
}

static void test_ipv4_in_step_with_the_store(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++)
		play(IMAGE_V4, seed);
}

static void test_ipv6_in_step_with_the_store(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++)
		play(IMAGE_V6, seed);
}

static void test_texts_in_step_with_the_store(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++)
		play(IMAGE_TEXT, seed);
}

static void test_a_change_does_not_read_the_store(void **state)
{
	static struct stage s;
	struct image_item item = {.key = SPAN("new"), .reason = SPAN("one")};
	struct err err;
	size_t walks;

	(void)state;
	stage_init(&s, IMAGE_TEXT, 0, 0);
	load(&s);
	walks = s.walks;
	set(&s, &item);
	shelf_change(s.shelf, IMAGE_TEXT, &item);
	assert_false(list_view_find_key(s.view, item.key, NOW_S, NULL));
	assert_true(shelf_publish(s.shelf, &err));
	assert_true(list_view_find_key(s.view, item.key, NOW_S, NULL));
	assert_int_equal(s.walks, walks);
	assert_false(shelf_is_behind(s.shelf));
	stage_end(&s);
}

static void test_a_store_that_fails_loses_nothing(void **state)
{
	static struct stage s;
	struct err err;

	(void)state;
	chance_state = 9;
	stage_init(&s, IMAGE_V4, 8, 4);
	for (unsigned i = 0; i < 60; i++)
		change(&s);
	load(&s);
	s.broken = true;
	assert_false(shelf_load(s.shelf, &err));
	assert_string_equal(err.text, "the store is broken");
	expect_all(&s, true, 200);
	for (unsigned i = 0; i < 10; i++)
		change(&s);
	assert_false(shelf_publish(s.shelf, &err)); /* no part could be written anew */
	expect_all(&s, true, 200);
	s.before = s.now;
	s.broken = false;
	publish(&s);
	stage_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4_in_step_with_the_store),
		cmocka_unit_test(test_ipv6_in_step_with_the_store),
		cmocka_unit_test(test_texts_in_step_with_the_store),
		cmocka_unit_test(test_a_change_does_not_read_the_store),
		cmocka_unit_test(test_a_store_that_fails_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

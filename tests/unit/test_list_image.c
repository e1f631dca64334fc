/* Images of lists and views over them: against a naive scan of all items. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fail.h"
#include "lib/list/image_write.h"
#include "lib/list/view.h"

enum { NOW_S = 1000000, ITEMS = 400, PARTS = 200 };

/* --- chance, the same each time --- */

static uint64_t chance_state;

static uint32_t chance(uint32_t below)
{
	chance_state = chance_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(chance_state >> 33) % below;
}

/* --- what a list holds, as a plain array --- */

struct model {
	enum image_kind kind;
	struct image_item items[ITEMS];
	char texts[ITEMS][3][40]; /* key, item, reason */
	size_t n;
};

static void draw_network(enum image_kind kind, struct cidr *out)
{
	struct ip ip = {.family = kind == IMAGE_V4 ? IP_V4 : IP_V6};
	unsigned first = kind == IMAGE_V4 ? 0 : 13;

	ip.bytes[0] = (uint8_t)(kind == IMAGE_V4 ? 10 : 0x20);
	ip.bytes[first + 1] = (uint8_t)chance(3);
	ip.bytes[first + 2] = (uint8_t)chance(256);
	if (kind == IMAGE_V4)
		ip.bytes[3] = (uint8_t)chance(256);
	*out = cidr_around(&ip, (uint8_t)(kind == IMAGE_V4 ? chance(33) : 100 + chance(29)));
}

static uint32_t draw_expiry(void)
{
	static const uint32_t some[] = {0, 0, IMAGE_GONE, NOW_S - 1, NOW_S, NOW_S + 1, UINT32_MAX};

	return some[chance(sizeof(some) / sizeof(*some))];
}

static void draw_item(struct model *m, struct image_item *item, size_t i)
{
	*item = (struct image_item){.expires_s = draw_expiry()};
	snprintf(m->texts[i][0], 40, "key%u", chance(2000));
	snprintf(m->texts[i][1], 40, "*.%s", m->texts[i][0]);
	snprintf(m->texts[i][2], 40, "reason %u", chance(10));
	if (m->kind == IMAGE_TEXT) {
		item->key = span_text(m->texts[i][0]);
		item->item = chance(2) ? span_text(m->texts[i][1]) : SPAN("");
	} else {
		draw_network(m->kind, &item->network);
	}
	item->reason = chance(4) ? span_text(m->texts[i][2]) : SPAN("");
}

static enum image_kind sorted_kind;

static int by_order(const void *a, const void *b)
{
	return image_compare(sorted_kind, a, b);
}

static void draw_model(struct model *m, enum image_kind kind, size_t n)
{
	m->kind = kind;
	m->n = 0;
	for (size_t i = 0; i < n; i++)
		draw_item(m, &m->items[i], i);
	sorted_kind = kind;
	qsort(m->items, n, sizeof(*m->items), by_order);
	for (size_t i = 0; i < n; i++)
		if (m->n == 0 || image_compare(kind, &m->items[m->n - 1], &m->items[i]))
			m->items[m->n++] = m->items[i];
}

static const struct image_item *same(const struct model *m, const struct image_item *item)
{
	for (size_t i = 0; i < m->n; i++)
		if (image_compare(m->kind, &m->items[i], item) == 0)
			return &m->items[i];
	return NULL;
}

static bool alive(const struct image_item *item)
{
	return item->expires_s == 0 || item->expires_s > NOW_S;
}

static bool fits(enum image_kind kind, const struct image_item *item, const struct image_item *key)
{
	return kind == IMAGE_TEXT ? span_equal(item->key, key->key)
				  : cidr_contains(&item->network, &key->network.ip);
}

static void look(const struct model *m, const struct model *changes, const struct image_item *key,
	const struct image_item **best)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct image_item *item = &m->items[i];

		if (!alive(item) || !fits(m->kind, item, key) || (changes && same(changes, item)))
			continue;
		if (!*best || item->network.prefix_bits > (*best)->network.prefix_bits)
			*best = item;
	}
}

/* --- images --- */

struct made {
	struct list_view *view;
	char *blocks[PARTS];
	size_t n, released;
	uint64_t next_id;
	bool changes;
	struct image_item wide[ITEMS];
	size_t n_wide;
};

static void take(void *context, struct span bytes)
{
	struct made *made = context;
	struct err err;

	assert_true(made->n < PARTS);
	made->blocks[made->n] = memory_new(bytes.len);
	memcpy(made->blocks[made->n], bytes.at, bytes.len);
	bytes.at = made->blocks[made->n++];
	if (!list_view_put(made->view, made->next_id++, made->changes, bytes, &err))
		fail_msg("%s", err.text);
}

static void release(void *context, struct span bytes)
{
	struct made *made = context;

	assert_non_null(bytes.at);
	made->released++;
}

static struct span copy_text(struct span text)
{
	char *copy = memory_new(text.len + 1);

	return span_make(memcpy(copy, text.len ? text.at : "", text.len), text.len);
}

static void hoist(void *context, const struct image_item *item)
{
	struct made *made = context;

	made->wide[made->n_wide] = *item;
	made->wide[made->n_wide++].reason = copy_text(item->reason);
}

static void write_wide(struct made *made, enum image_kind kind)
{
	struct image_writer *writer = image_writer_new(&(struct image_writer_setup){
		.kind = kind, .wide = true, .take = take, .context = made});

	for (size_t i = 0; i < made->n_wide; i++) {
		assert_true(image_write(writer, &made->wide[i]));
		free((char *)made->wide[i].reason.at);
	}
	made->n_wide = 0;
	image_writer_end(&writer, NULL);
}

static void write_all(struct made *made, const struct image_item *items, size_t n,
	enum image_kind kind, uint32_t items_max, const struct image_item *next)
{
	struct image_writer *writer = image_writer_new(&(struct image_writer_setup){.kind = kind,
		.items_max = items_max,
		.take = take,
		.hoist = hoist,
		.context = made});

	for (size_t i = 0; i < n; i++)
		assert_true(image_write(writer, &items[i]));
	image_writer_end(&writer, next);
	assert_null(writer);
	write_wide(made, kind);
}

static void made_free(struct made *made)
{
	list_view_free(&made->view);
	assert_int_equal(made->released, made->n);
	for (size_t i = 0; i < made->n; i++)
		free(made->blocks[i]);
}

static void assert_same_item(const struct image_item *a, const struct image_item *b)
{
	assert_int_equal(a->network.prefix_bits, b->network.prefix_bits);
	assert_true(span_equal(a->reason, b->reason));
	assert_int_equal(a->expires_s, b->expires_s);
	assert_true(span_equal(a->key, b->key));
	assert_true(span_equal(a->item.len ? a->item : a->key, b->item.len ? b->item : b->key));
}

static void assert_found(const struct made *made, const struct model *base,
	const struct model *changes, const struct image_item *key)
{
	const struct image_item *expected = NULL;
	struct image_item hit;
	bool found;

	look(base, changes, key, &expected);
	look(changes, NULL, key, &expected);
	found = base->kind == IMAGE_TEXT
			? list_view_find_key(made->view, key->key, NOW_S, &hit)
			: list_view_find_ip(made->view, &key->network.ip, NOW_S, &hit);
	assert_int_equal(found, expected != NULL);
	if (found)
		assert_same_item(&hit, expected);
}

/* One list of chance in images of chance, some of it changed, and lookups of chance. */
static void play(enum image_kind kind, uint64_t seed)
{
	static struct model base, changes, keys;
	struct made made = {.next_id = 1};

	chance_state = seed;
	made.view = list_view_new(release, &made);
	draw_model(&base, kind, 1 + chance(ITEMS));
	draw_model(&changes, kind, chance(2) ? 1 + chance(20) : 0);
	write_all(&made, base.items, base.n, kind, 3 + chance(40), NULL);
	made.changes = true;
	write_all(&made, changes.items, changes.n, kind, IMAGE_ITEMS_MAX, NULL);
	draw_model(&keys, kind, ITEMS);
	for (size_t i = 0; i < keys.n; i++)
		assert_found(&made, &base, &changes, &keys.items[i]);
	for (size_t i = 0; i < base.n; i++)
		assert_found(&made, &base, &changes, &base.items[i]);
	made_free(&made);
}

static void test_ipv4_as_a_naive_scan(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++)
		play(IMAGE_V4, seed);
}

static void test_ipv6_as_a_naive_scan(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++)
		play(IMAGE_V6, seed);
}

static void test_texts_as_a_naive_scan(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++)
		play(IMAGE_TEXT, seed);
}

/* --- one by one --- */

static struct image_item network(const char *text, const char *reason, uint32_t expires_s)
{
	struct image_item item = {.reason = span_text(reason), .expires_s = expires_s};

	assert_true(cidr_parse(span_text(text), &item.network, NULL));
	return item;
}

static bool finds(const struct list_view *view, const char *ip, struct image_item *hit)
{
	struct ip address;

	assert_true(ip_parse(span_text(ip), &address));
	return list_view_find_ip(view, &address, NOW_S, hit);
}

static void test_an_expired_prefix_uncovers_the_one_around_it(void **state)
{
	struct image_item items[] = {network("10.0.0.0/8", "all", 0),
		network("10.1.0.0/16", "part", NOW_S + 1), network("10.1.2.0/24", "old", NOW_S)};
	struct made made = {.next_id = 1};
	struct image_item hit;

	(void)state;
	made.view = list_view_new(release, &made);
	write_all(&made, items, 3, IMAGE_V4, IMAGE_ITEMS_MAX, NULL);
	assert_true(finds(made.view, "10.1.2.3", &hit));
	assert_true(span_equal(hit.reason, SPAN("part")));
	assert_true(finds(made.view, "10.2.0.0", &hit));
	assert_true(span_equal(hit.reason, SPAN("all")));
	assert_false(finds(made.view, "11.0.0.0", NULL));
	assert_false(finds(made.view, "2001:db8::1", NULL));
	assert_int_equal(list_view_count(made.view), 3);
	made_free(&made);
}

/* The middle one of three parts is written anew with a prefix that encloses the last one too. */
static void test_a_part_that_is_written_anew(void **state)
{
	struct image_item items[] = {network("10.0.0.0/24", "a", 0), network("10.0.2.0/24", "b", 0),
		network("10.0.3.0/24", "c", 0)};
	struct image_item anew[] = {network("10.0.2.0/23", "wide", 0), items[1]};
	struct made made = {.next_id = 1};
	struct image_item hit;

	(void)state;
	made.view = list_view_new(release, &made);
	write_all(&made, items, 3, IMAGE_V4, 1, NULL);
	list_view_drop(made.view, 2);
	assert_int_equal(made.released, 1);
	assert_false(finds(made.view, "10.0.2.1", NULL));
	write_all(&made, anew, 2, IMAGE_V4, IMAGE_ITEMS_MAX, &items[2]);
	assert_true(finds(made.view, "10.0.2.1", &hit));
	assert_true(span_equal(hit.reason, SPAN("b")));
	assert_true(finds(made.view, "10.0.3.1", &hit));
	assert_true(span_equal(hit.reason, SPAN("c")));
	list_view_drop(made.view, 3);
	assert_true(finds(made.view, "10.0.3.1", &hit));
	assert_true(span_equal(hit.reason, SPAN("wide")));
	made_free(&made);
}

static void test_items_out_of_order_are_refused(void **state)
{
	struct image_item small = network("10.0.0.0/8", "", 0),
			  large = network("10.0.0.0/9", "", 0);
	struct made made = {.next_id = 1};
	struct image_writer *writer;

	(void)state;
	made.view = list_view_new(release, &made);
	writer = image_writer_new(&(struct image_writer_setup){
		.kind = IMAGE_V4, .take = take, .hoist = hoist, .context = &made});
	assert_true(image_write(writer, &large));
	assert_false(image_write(writer, &large));
	assert_false(image_write(writer, &small));
	image_writer_end(&writer, NULL);
	assert_int_equal(list_view_count(made.view), 1);
	made_free(&made);
}

static void test_nothing_is_no_image(void **state)
{
	struct made made = {.next_id = 1};
	struct image_writer *writer = image_writer_new(
		&(struct image_writer_setup){.kind = IMAGE_TEXT, .take = take, .context = &made});

	(void)state;
	image_writer_end(&writer, NULL);
	assert_int_equal(made.n, 0);
}

static void collect(void *context, struct span bytes)
{
	struct span *out = context;
	char *copy = memory_new(bytes.len);

	memcpy(copy, bytes.at, bytes.len);
	free((char *)out->at);
	*out = span_make(copy, bytes.len);
}

/* Whatever stands in the block: it is refused, or lookups stay within it (the sanitizers tell). */
static void test_torn_images_are_survived(void **state)
{
	static struct model model;
	struct ip ip;
	struct err err;

	(void)state;
	for (int kind = 0; kind < IMAGE_KINDS; kind++) {
		struct span whole = SPAN_NONE;
		struct image_writer *writer = image_writer_new(&(struct image_writer_setup){
			.kind = (enum image_kind)kind, .take = collect, .context = &whole});

		chance_state = 7;
		draw_model(&model, (enum image_kind)kind, 50);
		for (size_t i = 0; i < model.n; i++)
			assert_true(image_write(writer, &model.items[i]));
		image_writer_end(&writer, NULL);
		for (unsigned round = 0; round < 4000; round++) {
			size_t len = chance(8) ? whole.len : chance((uint32_t)whole.len);
			char *torn = memory_new(len + 1);
			struct image image;
			struct image_item item;

			memcpy(torn, whole.at, len);
			for (unsigned i = chance(4); i < 4 && len; i++)
				torn[chance((uint32_t)len)] = (char)chance(256);
			if (image_open(&image, span_make(torn, len), &err)) {
				uint32_t at;

				ip = model.items[chance((uint32_t)model.n)].network.ip;
				at = kind == IMAGE_TEXT ? image_find_key(&image, model.items[0].key)
							: image_find_ip(&image, &ip);
				if (at != IMAGE_NONE)
					image_get(&image, at, &item);
			}
			free(torn);
		}
		free((char *)whole.at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4_as_a_naive_scan),
		cmocka_unit_test(test_ipv6_as_a_naive_scan),
		cmocka_unit_test(test_texts_as_a_naive_scan),
		cmocka_unit_test(test_an_expired_prefix_uncovers_the_one_around_it),
		cmocka_unit_test(test_a_part_that_is_written_anew),
		cmocka_unit_test(test_items_out_of_order_are_refused),
		cmocka_unit_test(test_nothing_is_no_image),
		cmocka_unit_test(test_torn_images_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Lists from the store find what the same items find in a list from a file. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/list/image_write.h"
#include "lib/net/digest.h"
#include "policy/list_entry.h"

enum { ITEMS_MAX = 32, BLOCKS_MAX = 8 };

static const struct clock wall = {0};

/* The same items twice. */
struct both {
	enum list_type type;
	struct list *file, *live;
	struct list_view *view;
	struct arena *arena;
	char *blocks[BLOCKS_MAX];
	size_t n_blocks;
};

static void take(void *context, struct span bytes)
{
	struct both *b = context;
	struct err err;

	b->blocks[b->n_blocks] = memory_new(bytes.len);
	memcpy(b->blocks[b->n_blocks], bytes.at, bytes.len);
	bytes.at = b->blocks[b->n_blocks++];
	assert_true(list_view_put(b->view, b->n_blocks, false, bytes, &err));
}

static enum image_kind sorted_kind;

static int by_order(const void *a, const void *b)
{
	return image_compare(sorted_kind, a, b);
}

static void write_kind(struct both *b, enum image_kind kind, struct image_item *items, size_t n)
{
	struct image_writer *writer = image_writer_new(
		&(struct image_writer_setup){.kind = kind, .take = take, .context = b});

	sorted_kind = kind;
	qsort(items, n, sizeof(*items), by_order);
	for (size_t i = 0; i < n; i++)
		assert_true(image_write(writer, &items[i]));
	image_writer_end(&writer, NULL);
}

static struct both both_of(enum list_type type, const char *const *items)
{
	list_digest *digest = type == LIST_HASH ? digest_hex : NULL;
	struct image_item kinds[IMAGE_KINDS][ITEMS_MAX] = {0};
	size_t n[IMAGE_KINDS] = {0};
	struct both b = {.type = type, .file = list_new(type, digest, NULL)};
	struct err err;

	b.arena = arena_new(1024);
	b.view = list_view_new(NULL, NULL);
	for (; *items; items++) {
		struct span item = span_text(*items);
		struct image_item entry = {.reason = SPAN("why")};
		enum image_kind kind = IMAGE_KINDS;
		enum list_added added =
			list_entry_read(type, item, NULL, b.arena, &kind, &entry, &err);

		assert_int_equal(list_add(b.file, item, SPAN("why"), &err), added);
		if (added != LIST_REFUSED)
			kinds[kind][n[kind]++] = entry;
	}
	list_seal(b.file);
	for (int kind = 0; kind < IMAGE_KINDS; kind++)
		write_kind(&b, (enum image_kind)kind, kinds[kind], n[kind]);
	b.live = list_new_live(type, digest, b.view, &wall);
	return b;
}

static void both_free(struct both *b)
{
	list_free(&b->file);
	list_free(&b->live);
	list_view_free(&b->view);
	for (size_t i = 0; i < b->n_blocks; i++)
		free(b->blocks[i]);
	arena_free(&b->arena);
}

static bool match(const struct both *b, const struct list *list, struct span value, bool under,
	struct list_hit *hit)
{
	struct ip ip;

	if (b->type == LIST_CIDR || b->type == LIST_IP)
		return ip_parse(value, &ip) && list_match_ip(list, &ip, hit);
	return under ? list_match_under(list, value, hit) : list_match_text(list, value, hit);
}

static size_t expect_same(const struct both *b, const char *value, bool under)
{
	struct list_hit file, live;
	bool in_file = match(b, b->file, span_text(value), under, &file);
	bool in_live = match(b, b->live, span_text(value), under, &live);

	if (in_file != in_live)
		fail_msg("%s is in one of them", value);
	assert_int_equal(match(b, b->live, span_text(value), under, NULL), in_live);
	if (!in_file)
		return 0;
	if (!span_equal(file.item, live.item) || !span_equal(file.reason, live.reason))
		fail_msg("%s: `%.*s`, `%.*s`", value, SPAN_ARGS(file.item), SPAN_ARGS(live.item));
	return 1;
}

/* How many of the values are found. */
static size_t compare(enum list_type type, const char *const *items, const char *const *values)
{
	struct both b = both_of(type, items);
	size_t found = 0;

	for (; *values; values++) {
		found += expect_same(&b, *values, false);
		if (type == LIST_DOMAIN)
			found += expect_same(&b, *values, true);
	}
	both_free(&b);
	return found;
}

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_networks(void **state)
{
	(void)state;
	assert_int_equal(
		compare(LIST_CIDR,
			TEXTS("192.0.2.0/24", "192.0.2.128/25", "10.0.0.0/8", "0.0.0.0/1",
				"2001:db8::/32", "2001:db8::1", "192.0.2.1"),
			TEXTS("192.0.2.1", "192.0.2.2", "192.0.2.200", "10.9.8.7", "200.1.1.1",
				"2001:db8::1", "2001:db8::2", "2001:db9::", "::ffff:192.0.2.1")),
		7);
}

static void test_addresses(void **state)
{
	(void)state;
	assert_int_equal(compare(LIST_IP, TEXTS("192.0.2.1", "192.0.2.0/24", "2001:db8::1"),
				 TEXTS("192.0.2.1", "192.0.2.2", "2001:db8::1")),
		2);
}

static void test_domains(void **state)
{
	(void)state;
	assert_int_equal(
		compare(LIST_DOMAIN,
			TEXTS("example.com", ".example.net", "*.example.org", "Deep.Under.Example.",
				"no domain"),
			TEXTS("example.com", "EXAMPLE.com.", "a.example.com", "example.net",
				"a.b.example.net", "a.example.org", "deep.under.example",
				"x.deep.under.example", "under.example", "")),
		12);
}

static void test_mail_addresses(void **state)
{
	(void)state;
	assert_int_equal(compare(LIST_MAIL,
				 TEXTS("ann@example.com", "<Bob@Example.com>", "@example.net",
					 "*@example.org", "@.example.info", "<>", "postmaster"),
				 TEXTS("Ann@Example.com", "bob@example.com", "c@example.com",
					 "x@example.net", "x@a.example.net", "x@example.org",
					 "x@a.b.example.info", "x@example.info", "", "postmaster")),
		7);
}

static void test_texts_and_hashes(void **state)
{
	(void)state;
	assert_int_equal(
		compare(LIST_TEXT, TEXTS("Buy Now", "exe", ""), TEXTS("buy now", "EXE", "buy", "")),
		2);
	assert_int_equal(compare(LIST_HASH, TEXTS("900150983CD24FB0D6963F7D28E17F72"),
				 TEXTS("abc", "ABC", "abcd")),
		2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_mail_addresses),
		cmocka_unit_test(test_texts_and_hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

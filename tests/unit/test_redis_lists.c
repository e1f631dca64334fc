/*
 * Lists in Redis, kept in step: what is added and taken off by us and by hand, gaps in the log,
 * a Redis that is away, dies, or has lost its data.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/store/redis_item.h"
#include "lib/store/redis_lists.h"
#include "lib/store/redis_table.h"
#include "redis_play.h"

/* One that follows. */
struct follower {
	struct redis_lists *lists;
	unsigned loaded, changes;
	struct buffer items; /* of the last look */
};

struct fixture {
	struct redis_play play;
	struct follower a, b;
	struct redis_url url;
};

static int set_up(void **state)
{
	struct fixture *f = memory_zeroed(sizeof(*f));

	redis_play_open(&f->play);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	redis_lists_close(&f->a.lists);
	redis_lists_close(&f->b.lists);
	buffer_free(&f->a.items);
	buffer_free(&f->b.items);
	redis_play_close(&f->play);
	free(f);
	return 0;
}

/* As a list of networks would, or one of texts. */
static bool read_field(void *context, const char *list, struct span field, struct arena *arena,
	enum image_kind *kind, struct image_item *out)
{
	(void)context;
	if (strncmp(list, "text", 4) == 0) {
		*kind = IMAGE_TEXT;
		out->key = arena_span(arena, field);
		return field.len > 0;
	}
	if (!cidr_parse(field, &out->network, NULL))
		return false;
	*kind = out->network.ip.family == IP_V4 ? IMAGE_V4 : IMAGE_V6;
	return true;
}

static void on_loaded(void *context, const char *list)
{
	struct follower *follower = context;

	(void)list;
	follower->loaded++;
}

static void on_change(
	void *context, const char *list, enum image_kind kind, const struct image_item *item)
{
	struct follower *follower = context;

	(void)list;
	(void)kind;
	(void)item;
	follower->changes++;
}

static void follow(struct fixture *f, struct follower *follower, const char *list)
{
	struct err err = {{0}};
	char text[64];
	size_t offset;

	snprintf(text, sizeof(text), "redis://127.0.0.1:%d", f->play.servers[0].port);
	assert_true(redis_url_read(span_text(text), &f->url, &offset, &err));
	follower->items = BUFFER_INIT(64 * 1024 * 1024);
	follower->lists = redis_lists_open(&(struct redis_lists_setup){.loop = &f->play.loop,
						   .log = &f->play.log,
						   .url = &f->url,
						   .read = read_field,
						   .on_loaded = on_loaded,
						   .on_change = on_change,
						   .context = follower},
		&err);
	assert_non_null(follower->lists);
	redis_lists_follow(follower->lists, list);
}

static bool take(void *taker, const struct image_item *item)
{
	struct buffer *out = taker;
	char text[IP_TEXT_SIZE];

	if (item->network.ip.family != IP_NONE)
		assert_true(buffer_print(out, "%s/%u", ip_format(&item->network.ip, text),
			item->network.prefix_bits));
	else
		assert_true(buffer_add(out, item->key));
	if (item->reason.len)
		assert_true(buffer_print(out, "(%.*s)", SPAN_ARGS(item->reason)));
	if (item->item.len)
		assert_true(buffer_print(out, "[%.*s]", SPAN_ARGS(item->item)));
	return buffer_add_char(out, ' ');
}

/* All items in their order, each with a blank behind it; "?": it is not known. */
static const char *items(struct follower *follower, const char *list)
{
	struct err err = {{0}};

	buffer_clear(&follower->items);
	if (!redis_lists_is_known(follower->lists, list))
		return "?";
	for (int kind = 0; kind < IMAGE_KINDS; kind++)
		assert_true(redis_lists_walk(follower->lists, list, (enum image_kind)kind, NULL,
			NULL, take, &follower->items, &err));
	return buffer_string(&follower->items);
}

#define BECOMES(f, follower, list, expected)                                                       \
	REDIS_PLAY_UNTIL(&(f)->play, strcmp(items((follower), (list)), (expected)) == 0)

static void add(struct fixture *f, const char *item, const char *reason, const char *expires)
{
	assert_int_equal(REDIS_ASK(&f->play, LIST_ADD, "text", "text", "text", item, "", reason,
				 "ann", expires),
		STORE_DONE);
}

static void open_all(struct fixture *f)
{
	redis_play_start(&f->play, NULL);
	redis_play_store(&f->play, "redis://127.0.0.1:%d");
	REDIS_PLAY_UNTIL(&f->play, store_is_there(f->play.store));
}

static void test_follows(void **state)
{
	struct fixture *f = *state;

	open_all(f);
	add(f, "b", "first", "0");
	follow(f, &f->a, "text");
	BECOMES(f, &f->a, "text", "b(first) ");
	assert_int_equal(f->a.loaded, 1);
	add(f, "a", "second", "0");
	add(f, "c", "", "4000000000");
	BECOMES(f, &f->a, "text", "a(second) b(first) c ");
	add(f, "a", "third \"quoted\" \xc3\xa9", "0");
	BECOMES(f, &f->a, "text", "a(third \"quoted\" \xc3\xa9) b(first) c ");
	REDIS_SAYS(&f->play, "{\"deleted\":1}", LIST_DEL, "text", "text", "b");
	BECOMES(f, &f->a, "text", "a(third \"quoted\" \xc3\xa9) c ");
	assert_int_equal(f->a.loaded, 1);
	assert_int_equal(f->a.changes, 4);
}

static void test_two_followers(void **state)
{
	struct fixture *f = *state;

	open_all(f);
	follow(f, &f->a, "text");
	follow(f, &f->b, "text");
	BECOMES(f, &f->a, "text", "");
	BECOMES(f, &f->b, "text", "");
	add(f, "a", "", "0");
	BECOMES(f, &f->a, "text", "a ");
	BECOMES(f, &f->b, "text", "a ");
}

static void test_written_by_hand(void **state)
{
	struct fixture *f = *state;

	open_all(f);
	redis_play_command(&f->play, 0, "HSET postern:list:{net} 192.0.2.0/24 %s 2001:db8::/32 %s",
		"{\"reason\": \"by hand\", \"more\": [1]}", "spam");
	follow(f, &f->a, "net");
	BECOMES(f, &f->a, "net",
		"192.0.2.0/24({\"reason\": \"by hand\", \"more\": [1]}) 2001:db8::/32(spam) ");
	redis_play_command(&f->play, 0, "HSET postern:list:{net} 192.0.2.0/24 %s nonsense x",
		"{\"reason\": \"by hand\", \"expires\": 4000000000}");
	BECOMES(f, &f->a, "net", "192.0.2.0/24(by hand) 2001:db8::/32(spam) ");
	assert_true(redis_play_logged(&f->play, "list_items_unreadable"));
	redis_play_command(&f->play, 0, "HDEL postern:list:{net} 2001:db8::/32");
	BECOMES(f, &f->a, "net", "192.0.2.0/24(by hand) ");
	/* As many as before: only a comparison sees it. */
	redis_play_command(&f->play, 0, "HSET postern:list:{net} 192.0.2.0/24 other");
	redis_lists_compare(f->a.lists, "net");
	BECOMES(f, &f->a, "net", "192.0.2.0/24(other) ");
	assert_int_equal(f->a.loaded, 1);
}

static void test_order(void **state)
{
	struct fixture *f = *state;

	open_all(f);
	redis_play_command(&f->play, 0,
		"HSET postern:list:{net} 192.0.2.1 1 192.0.2.0/24 2 10.0.0.0/8 3 255.0.0.0/9 4 "
		"192.0.2.0/25 5 2001:db8::1 6");
	follow(f, &f->a, "net");
	BECOMES(f, &f->a, "net",
		"10.0.0.0/8(3) 192.0.2.0/24(2) 192.0.2.0/25(5) 192.0.2.1/32(1) 255.0.0.0/9(4) "
		"2001:db8::1/128(6) ");
}

/* The log was cut before it was read. */
static void test_gap(void **state)
{
	struct fixture *f = *state;

	open_all(f);
	add(f, "a", "", "0");
	follow(f, &f->a, "text");
	BECOMES(f, &f->a, "text", "a ");
	redis_play_signal(&f->play, 0, SIGSTOP);
	REDIS_TELL(&f->play, LIST_ADD, "text", "text", "text", "b", "", "", "", "0");
	redis_play_signal(&f->play, 0, SIGCONT);
	redis_play_command(&f->play, 0, "EVAL %s 0",
		"for i = 1, 3 do redis.call('HSET', 'postern:list:{text}', 'hand' .. "
		"i, '') redis.call('XADD', 'postern:list:{text}:log', '*', 'op', "
		"'add') end redis.call('HDEL', 'postern:list:{text}', 'a', 'hand1') "
		"redis.call('XTRIM', 'postern:list:{text}:log', 'MAXLEN', 0)");
	BECOMES(f, &f->a, "text", "b hand2 hand3 ");
}

static void test_away_and_back(void **state)
{
	static const char *const options[] = {
		"--appendonly", "yes", "--appendfsync", "always", NULL};
	struct fixture *f = *state;

	redis_play_start(&f->play, options);
	redis_play_store(&f->play, "redis://127.0.0.1:%d");
	REDIS_PLAY_UNTIL(&f->play, store_is_there(f->play.store));
	add(f, "a", "", "0");
	follow(f, &f->a, "text");
	BECOMES(f, &f->a, "text", "a ");
	redis_play_kill(&f->play, 0);
	REDIS_PLAY_UNTIL(&f->play, !store_is_there(f->play.store));
	assert_string_equal(items(&f->a, "text"), "a ");
	REDIS_TELL(&f->play, LIST_ADD, "text", "text", "text", "b", "", "", "", "0");
	redis_play_restart(&f->play, 0);
	BECOMES(f, &f->a, "text", "a b ");
	assert_int_equal(f->a.loaded, 1);
}

static void test_away_at_start(void **state)
{
	struct fixture *f = *state;

	redis_play_start(&f->play, NULL);
	redis_play_kill(&f->play, 0);
	follow(f, &f->a, "text");
	REDIS_PLAY_UNTIL(&f->play, redis_play_logged(&f->play, "redis_down"));
	assert_string_equal(items(&f->a, "text"), "?");
	redis_play_restart(&f->play, 0);
	BECOMES(f, &f->a, "text", "");
}

static void test_loses_its_data(void **state)
{
	struct fixture *f = *state;

	open_all(f);
	add(f, "a", "", "0");
	add(f, "b", "", "0");
	follow(f, &f->a, "text");
	BECOMES(f, &f->a, "text", "a b ");
	redis_play_command(&f->play, 0, "FLUSHALL");
	REDIS_PLAY_UNTIL(&f->play, redis_play_logged(&f->play, "list_lost"));
	assert_string_equal(items(&f->a, "text"), "a b ");
	redis_play_kill(&f->play, 0);
	redis_play_restart(&f->play, 0);
	REDIS_PLAY_UNTIL(&f->play, store_is_there(f->play.store));
	assert_string_equal(items(&f->a, "text"), "a b ");
	/* From here on what Redis has is what counts. */
	REDIS_TELL(&f->play, LIST_ADD, "text", "text", "text", "c", "", "", "", "0");
	BECOMES(f, &f->a, "text", "c ");
}

static void test_expired_are_swept(void **state)
{
	struct fixture *f = *state;

	open_all(f);
	add(f, "old", "", "1000000000");
	add(f, "new", "", "4000000000");
	follow(f, &f->a, "text");
	BECOMES(f, &f->a, "text", "new ");
	REDIS_PLAY_UNTIL(&f->play,
		strcmp(redis_play_command(&f->play, 0, "HLEN postern:list:{text}"), "1") == 0);
}

/* Many, while some come and go. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	const char *fill = "for i = 1, 30000 do redis.call('HSET', 'postern:list:{text}', "
			   "string.format('%06d', i), 'r' .. i % ARGV[1]) end return 1";
	unsigned count;

	open_all(f);
	redis_play_command(&f->play, 0, "EVAL %s 0 7", fill);
	follow(f, &f->a, "text");
	for (int i = 0; i < 20; i++) {
		char item[16];

		snprintf(item, sizeof(item), "x%d", i);
		add(f, item, "", "0");
	}
	REDIS_PLAY_UNTIL(&f->play, redis_lists_is_known(f->a.lists, "text"));
	REDIS_PLAY_UNTIL(&f->play, strstr(items(&f->a, "text"), " x9 ") != NULL);
	count = 0;
	for (const char *at = items(&f->a, "text"); (at = strchr(at, ' ')); at++)
		count++;
	assert_int_equal(count, 30020);
	/* More differ than are told one by one. */
	redis_play_command(&f->play, 0, "EVAL %s 0 5", fill);
	redis_lists_compare(f->a.lists, "text");
	REDIS_PLAY_UNTIL(&f->play, f->a.loaded == 2);
	assert_non_null(strstr(items(&f->a, "text"), "000006(r1) "));
}

static void test_closed_at_any_time(void **state)
{
	struct fixture *f = *state;

	open_all(f);
	for (int i = 0; i < 300; i++) {
		char item[16];

		snprintf(item, sizeof(item), "%d", i);
		add(f, item, "", "0");
	}
	for (int turns = 0; turns < 120; turns += 3) {
		follow(f, &f->a, "text");
		for (int i = 0; i < turns; i++) {
			loop_turn(&f->play.loop, false);
			usleep(300);
		}
		redis_lists_close(&f->a.lists);
		buffer_free(&f->a.items);
	}
}

/* --- items --- */

static void item_is(const char *value, const char *reason, uint32_t expires_s, const char *item)
{
	struct arena *arena = arena_new(256);
	struct redis_item read;

	redis_item_read(span_text(value), arena, &read);
	assert_true(span_equal(read.reason, span_text(reason)));
	assert_true(span_equal(read.item, span_text(item)));
	assert_int_equal(read.expires_s, expires_s);
	arena_free(&arena);
}

static void test_items(void **state)
{
	(void)state;
	item_is("{}", "", 0, "");
	item_is(" { } ", "", 0, "");
	item_is("", "", 0, "");
	item_is("plain words", "plain words", 0, "");
	item_is("{\"reason\":\"a\\n\\u00e9\\ud83d\\ude00\\/\",\"expires\":17,\"by\":null}",
		"a\n\xc3\xa9\xf0\x9f\x98\x80/", 17, "");
	item_is("{\"expires\":\"18\",\"item\":\"X\",\"at\":1.5e9}", "", 18, "X");
	item_is("{\"expires\":19.9}", "", 19, "");
	item_is("{\"expires\":-1}", "", 0, "");
	item_is("{\"expires\":99999999999}", "", 0, "");
	item_is("{\"reason\":\"\\ud83d\"}", "{\"reason\":\"\\ud83d\"}", 0, "");
	item_is("{\"reason\":\"a\"", "{\"reason\":\"a\"", 0, "");
	item_is("{\"reason\":\"a\"} x", "{\"reason\":\"a\"} x", 0, "");
	item_is("{\"a\":{}}", "{\"a\":{}}", 0, "");
	item_is("{\"\\u0000\":1}", "{\"\\u0000\":1}", 0, "");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_items),
		CASE(test_follows),
		CASE(test_two_followers),
		CASE(test_written_by_hand),
		CASE(test_order),
		CASE(test_gap),
		CASE(test_away_and_back),
		CASE(test_away_at_start),
		CASE(test_loses_its_data),
		CASE(test_expired_are_swept),
		CASE(test_many),
		CASE(test_closed_at_any_time),
	};
#undef CASE

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Lists of the embedded store from end to end: what the store keeps and refuses, how its images
 * reach a worker, and what stays in force when the keeper is gone or sends nonsense.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/json.h"
#include "lib/base/arena.h"
#include "lib/base/fail.h"
#include "lib/net/ipc.h"
#include "lib/store/lists.h"
#include "lib/store/protected.h"
#include "lib/store/wire.h"
#include "store_play.h"

enum { IN_AN_HOUR = 3600 };

struct fixture {
	struct store_play play;
	struct lists *lists;
	struct arena *arena;
	unsigned known;
};

static int set_up(void **state)
{
	struct fixture *f = memory_zeroed(sizeof(*f));

	store_play_open(&f->play);
	f->arena = arena_new(4096);
	f->lists = lists_new(&f->play.log);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	store_play_close(&f->play);
	lists_free(&f->lists);
	arena_free(&f->arena);
	free(f);
	return 0;
}

static void link_worker(struct fixture *f)
{
	if (!f->play.store)
		f->play.store = store_open_keeper(&f->play.loop, &f->play.log);
	store_keeper_lists(f->play.store, f->lists);
	store_play_link(&f->play);
}

static void on_known(void *context)
{
	struct fixture *f = context;

	f->known++;
}

static void both(struct fixture *f)
{
	store_play_keeper(&f->play, NULL);
	link_worker(f);
	lists_on_known(f->lists, on_known, f);
	STORE_PLAY_UNTIL(&f->play, f->known == 1);
}

static uint32_t now_s(const struct fixture *f)
{
	return (uint32_t)(clock_wall_ms(&f->play.loop.clock) / 1000);
}

/* --- asking --- */

static const struct json *ask(
	struct fixture *f, enum store_kind kind, const struct span *parts, size_t n)
{
	unsigned before = f->play.answers;

	keeper_store_ask(f->play.keeper, 9, kind, parts, n);
	STORE_PLAY_UNTIL(&f->play, f->play.answers > before);
	if (f->play.answer_outcome != STORE_DONE)
		return NULL;
	return json_read(f->arena, buffer_span(&f->play.answer));
}

static struct image_item network_of(const char *text, enum image_kind *kind)
{
	struct image_item item = {.expires_s = 0};

	assert_true(cidr_parse(span_text(text), &item.network, NULL));
	*kind = item.network.ip.family == IP_V4 ? IMAGE_V4 : IMAGE_V6;
	return item;
}

static struct span key_of(const char *text, enum image_kind *kind, char room[LIST_KEY_BYTES_MAX])
{
	struct image_item item = network_of(text, kind);

	return list_key(*kind, &item, room);
}

/* By the keeper itself; NULL: it failed. */
static const struct json *add_as(struct fixture *f, const char *list, const char *type,
	const char *network, const char *reason, uint32_t expires_s)
{
	char room[LIST_KEY_BYTES_MAX], expires[16];
	enum image_kind kind;
	struct span key = key_of(network, &kind, room);
	struct span parts[8] = {span_text(list), span_text(type), span_text(list_kind_name(kind)),
		key, SPAN(""), span_text(reason), SPAN("ann")};

	snprintf(expires, sizeof(expires), "%u", expires_s);
	parts[7] = span_text(expires);
	return ask(f, STORE_LIST_ADD, parts, 8);
}

static long long add(struct fixture *f, const char *network, const char *reason, uint32_t expires_s)
{
	return json_number(add_as(f, "blocked", "cidr", network, reason, expires_s), "added");
}

/* By a worker. */
static void tell(struct fixture *f, const char *list, const char *network, const char *reason,
	uint32_t expires_s)
{
	char room[LIST_KEY_BYTES_MAX], expires[16];
	enum image_kind kind;
	struct span key = key_of(network, &kind, room);
	struct span parts[8] = {span_text(list), SPAN("cidr"), span_text(list_kind_name(kind)), key,
		SPAN(""), span_text(reason), SPAN("rule x")};

	snprintf(expires, sizeof(expires), "%u", expires_s);
	parts[7] = span_text(expires);
	store_tell(f->play.store, STORE_LIST_ADD, parts, 8);
}

static long long del(struct fixture *f, const char *network)
{
	char room[LIST_KEY_BYTES_MAX];
	enum image_kind kind;
	struct span key = key_of(network, &kind, room);
	struct span parts[3] = {SPAN("blocked"), span_text(list_kind_name(kind)), key};

	return json_number(ask(f, STORE_LIST_DEL, parts, 3), "deleted");
}

/* --- looking --- */

static const char *reason_of(struct fixture *f, const char *list, const char *address)
{
	static char text[IMAGE_REASON_MAX + 1];
	struct image_item hit;
	struct ip ip;

	assert_true(ip_parse(span_text(address), &ip));
	if (!list_view_find_ip(lists_view(f->lists, span_text(list)), &ip, now_s(f), &hit))
		return NULL;
	snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(hit.reason));
	return text;
}

static bool is_in(struct fixture *f, const char *address, const char *reason)
{
	const char *found = reason_of(f, "blocked", address);

	return reason ? found && strcmp(found, reason) == 0 : !found;
}

#define AWAIT(f, address, reason) STORE_PLAY_UNTIL(&(f)->play, is_in((f), (address), (reason)))

/* --- tests --- */

static void a_change_reaches_a_worker(void **state)
{
	struct fixture *f = *state;

	both(f);
	assert_true(is_in(f, "192.0.2.1", NULL));
	assert_int_equal(add(f, "192.0.2.0/24", "net", 0), 1);
	AWAIT(f, "192.0.2.1", "net");
	assert_int_equal(add(f, "2001:db8::/32", "six", 0), 1);
	AWAIT(f, "2001:db8::1", "six");
	assert_int_equal(add(f, "192.0.2.1", "host", now_s(f) + IN_AN_HOUR), 1);
	AWAIT(f, "192.0.2.1", "host");
	assert_true(is_in(f, "192.0.2.2", "net"));
	f->play.loop.clock.offset_ms += (IN_AN_HOUR + 1) * 1000;
	assert_true(is_in(f, "192.0.2.1", "net"));
	assert_int_equal(del(f, "192.0.2.0/24"), 1);
	AWAIT(f, "192.0.2.1", NULL);
	assert_int_equal(del(f, "192.0.2.0/24"), 0);
}

static void what_is_there_is_told_apart(void **state)
{
	struct fixture *f = *state;
	const struct json *answer;

	both(f);
	assert_int_equal(add(f, "192.0.2.1", "one", 0), 1);
	answer = add_as(f, "blocked", "cidr", "192.0.2.1", "one", 0);
	assert_int_equal(json_number(answer, "same"), 1);
	answer = add_as(f, "blocked", "cidr", "192.0.2.1", "two", now_s(f) + 60);
	assert_int_equal(json_number(answer, "changed"), 1);
	f->play.loop.clock.offset_ms += 61 * 1000;
	assert_int_equal(add(f, "192.0.2.1", "three", 0), 1);
	answer = add_as(f, "blocked", "domain", "192.0.2.2", "", 0);
	assert_non_null(json_get(answer, "refused"));
	assert_int_equal(del(f, "192.0.2.1"), 1);
	answer = add_as(f, "blocked", "ip", "192.0.2.2", "", 0);
	assert_int_equal(json_number(answer, "added"), 1); /* an empty list may become another */
}

static void a_rule_shortens_nothing(void **state)
{
	struct fixture *f = *state;

	both(f);
	add(f, "192.0.2.1", "for good", 0);
	tell(f, "blocked", "192.0.2.1", "a while", now_s(f) + IN_AN_HOUR);
	tell(f, "blocked", "192.0.2.2", "short", now_s(f) + 60);
	tell(f, "blocked", "192.0.2.2", "long", now_s(f) + IN_AN_HOUR);
	tell(f, "blocked", "192.0.2.2", "shorter", now_s(f) + 30);
	AWAIT(f, "192.0.2.2", "long");
	assert_true(is_in(f, "192.0.2.1", "for good"));
}

static void a_worker_may_not_protect(void **state)
{
	struct fixture *f = *state;

	both(f);
	keeper_store_declare(f->play.keeper, SPAN("list blocked cidr\n"));
	tell(f, "protected", "192.0.2.0/24", "", 0);
	tell(f, "invented", "192.0.2.1", "", 0);
	tell(f, "blocked", "192.0.2.1", "yes", 0);
	AWAIT(f, "192.0.2.1", "yes");
	assert_null(reason_of(f, "invented", "192.0.2.1"));
	assert_null(reason_of(f, "protected", "192.0.2.1"));
}

static void what_is_protected_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct json *answer;

	both(f);
	keeper_store_declare(
		f->play.keeper, SPAN("protect 10.0.0.0/8 backend main\nlist blocked cidr\n"));
	assert_int_equal(add(f, "10.1.2.3", "", 0), 0);
	assert_int_equal(add(f, "0.0.0.0/0", "", 0), 0);
	assert_int_equal(add(f, "11.0.0.0/8", "", 0), 1);
	answer = add_as(f, "protected", "text", "192.0.2.7", "office", now_s(f) + 60);
	assert_int_equal(json_number(answer, "added"), 1);
	answer = add_as(f, "blocked", "cidr", "192.0.2.0/24", "", 0);
	assert_int_equal(json_number(answer, "protected"), 1);
	assert_string_equal(json_text(json_get(answer, "told")->first, "why"), "office");
	tell(f, "blocked", "192.0.2.7", "", 0);
	STORE_PLAY_UNTIL(&f->play, store_play_logged(&f->play, "list_protected"));
	/* It holds in the next keeper too, and no longer than it was said. */
	store_play_keeper_end(&f->play);
	store_play_keeper(&f->play, NULL);
	assert_int_equal(add(f, "192.0.2.0/24", "", 0), 0);
	f->play.loop.clock.offset_ms += 61 * 1000;
	assert_int_equal(add(f, "192.0.2.0/24", "", 0), 1);
}

static void the_last_lists_hold(void **state)
{
	struct fixture *f = *state;

	both(f);
	add(f, "192.0.2.1", "one", 0);
	AWAIT(f, "192.0.2.1", "one");
	store_play_keeper_end(&f->play);
	STORE_PLAY_UNTIL(&f->play, !store_is_there(f->play.store));
	assert_true(is_in(f, "192.0.2.1", "one"));
	store_play_keeper(&f->play, NULL);
	assert_int_equal(del(f, "192.0.2.1"), 1);
	assert_int_equal(add(f, "192.0.2.2", "two", 0), 1);
	assert_true(is_in(f, "192.0.2.1", "one"));
	link_worker(f);
	AWAIT(f, "192.0.2.2", "two");
	assert_true(is_in(f, "192.0.2.1", NULL)); /* with the new ones the old ones went */
}

/* --- many --- */

static void pack(struct buffer *items, unsigned i, const char *reason)
{
	struct image_item item = {.reason = span_text(reason)};

	item.network = (struct cidr){
		.ip = {.family = IP_V4,
			.bytes = {20, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}},
		.prefix_bits = 32};
	assert_true(list_pack(IMAGE_V4, &item, items));
}

static const struct json *batch(struct fixture *f, const char *mode, struct span items)
{
	struct span parts[5] = {SPAN("blocked"), SPAN("cidr"), SPAN("ann"), span_text(mode), items};

	return ask(f, STORE_LIST_BATCH, parts, 5);
}

static void an_import_is_shown_at_its_end(void **state)
{
	struct fixture *f = *state;
	struct buffer items = BUFFER_INIT(STORE_BODY_MAX);
	const struct json *answer;

	both(f);
	for (unsigned i = 0; i < 5000; i++)
		pack(&items, i, "a");
	answer = batch(f, "dry", buffer_span(&items));
	assert_int_equal(json_number(answer, "added"), 5000);
	answer = batch(f, "more", buffer_span(&items));
	assert_int_equal(json_number(answer, "added"), 5000);
	buffer_clear(&items);
	pack(&items, 9999, "b");
	assert_true(is_in(f, "20.0.0.7", NULL));
	answer = batch(f, "last", buffer_span(&items));
	assert_int_equal(json_number(answer, "added"), 1);
	AWAIT(f, "20.0.39.15", "b");
	assert_true(is_in(f, "20.0.0.7", "a"));
	assert_true(buffer_add_text(&items, "junk"));
	assert_null(batch(f, "more", buffer_span(&items)));
	buffer_free(&items);
}

/* One that dies within its import. */
static void an_import_that_stops_is_shown_too(void **state)
{
	struct fixture *f = *state;
	struct buffer items = BUFFER_INIT(STORE_BODY_MAX);

	both(f);
	pack(&items, 1, "a");
	assert_non_null(batch(f, "more", buffer_span(&items)));
	AWAIT(f, "20.0.0.1", "a");
	buffer_free(&items);
}

static void a_list_is_shown_in_pages(void **state)
{
	struct fixture *f = *state;
	struct buffer items = BUFFER_INIT(STORE_BODY_MAX);
	struct span parts[3] = {SPAN("blocked"), SPAN(""), SPAN("10")};
	unsigned n = 0, pages = 0;

	both(f);
	for (unsigned i = 0; i < 25; i++)
		pack(&items, i, "a");
	assert_non_null(batch(f, "last", buffer_span(&items)));
	for (const struct json *page, *next = NULL; pages == 0 || next; pages++) {
		page = ask(f, STORE_LIST_SHOW, parts, 3);
		assert_non_null(page);
		for (const struct json *i = json_get(page, "items")->first; i; i = i->next) {
			char wanted[32];

			snprintf(wanted, sizeof(wanted), "20.0.0.%u", n++);
			assert_string_equal(json_text(i, "item"), wanted);
			assert_string_equal(json_text(i, "by"), "ann");
		}
		next = json_get(page, "next");
		if (next)
			parts[1] = span_text(next->text);
	}
	assert_int_equal(n, 25);
	assert_int_equal(pages, 3);
	parts[1] = SPAN("9:zz");
	assert_null(ask(f, STORE_LIST_SHOW, parts, 3));
	buffer_free(&items);
}

static void what_covers_is_found(void **state)
{
	struct fixture *f = *state;
	struct buffer keys = BUFFER_INIT(1024);
	static const char *const networks[] = {"192.0.2.1", "192.0.2.0/24", "192.0.0.0/16"};
	struct span parts[3] = {SPAN(""), SPAN("v4")};
	const struct json *answer;

	both(f);
	keeper_store_declare(f->play.keeper, SPAN("protect 192.0.2.1/32 listen\n"));
	add(f, "192.0.2.0/25", "x", 0);
	add(f, "192.0.0.0/16", "", 0);
	assert_int_equal(
		json_number(add_as(f, "other", "cidr", "192.0.3.0/24", "y", 0), "added"), 1);
	for (size_t i = 0; i < 3; i++) {
		char room[LIST_KEY_BYTES_MAX];
		enum image_kind kind;
		struct span key = key_of(networks[i], &kind, room);
		uint32_t len = (uint32_t)key.len;

		assert_true(buffer_add(&keys, span_make(&len, sizeof(len))));
		assert_true(buffer_add(&keys, key));
	}
	parts[2] = buffer_span(&keys);
	answer = ask(f, STORE_LIST_SEARCH, parts, 3);
	assert_non_null(answer);
	assert_null(json_get(answer, "items")->first); /* both cover what is protected */
	assert_string_equal(json_text(json_get(answer, "protected")->first, "why"), "listen");
	buffer_free(&keys);
}

static void what_has_expired_is_deleted_some_day(void **state)
{
	struct fixture *f = *state;

	both(f);
	add(f, "192.0.2.1", "", now_s(f) + 60);
	add(f, "192.0.2.2", "", 0);
	f->play.loop.clock.offset_ms += 26ull * 3600 * 1000;
	STORE_PLAY_UNTIL(&f->play,
		json_number(json_get(ask(f, STORE_LIST_NAMES, NULL, 0), "lists")->first, "items") ==
			1);
	assert_int_equal(del(f, "192.0.2.1"), 0);
}

/* --- a keeper that lies --- */

static void nobody(void *context, const struct ipc_frame *frame)
{
	(void)context;
	(void)frame;
}

static void ended(void *context)
{
	*(bool *)context = true;
}

static int memfd_of(struct span bytes, bool sealed)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(write(fd, bytes.at, bytes.len), bytes.len);
	if (sealed)
		assert_int_equal(fcntl(fd, F_ADD_SEALS,
					 F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
			0);
	return fd;
}

static void expect_refusal(
	struct fixture *f, const struct store_list_frame *about, struct span bytes, bool sealed)
{
	static const struct ipc_handler handler = {nobody, ended};
	bool gone[1] = {false}; /* `ended` sets it */
	struct ipc *ipc;
	int pair[2], fd = memfd_of(bytes, sealed);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ipc = ipc_open(&f->play.loop, pair[0], &handler, gone);
	if (!f->play.store)
		f->play.store = store_open_keeper(&f->play.loop, &f->play.log);
	store_keeper_lists(f->play.store, f->lists);
	store_link(f->play.store, pair[1]);
	assert_true(ipc_send(ipc, &(struct ipc_frame){.type = STORE_FRAME_LIST_PUT,
					  .payload = span_make(about, sizeof(*about)),
					  .fds = &fd,
					  .n_fds = 1}));
	close(fd);
	STORE_PLAY_UNTIL(&f->play, gone[0]);
	assert_true(store_play_logged(&f->play, "lists_failed"));
	ipc_close(&ipc);
}

static void images_are_not_believed(void **state)
{
	struct fixture *f = *state;
	struct store_list_frame about = {.id = 1, .size = 200, .list = "blocked"};
	char zeros[200] = {0};
	struct span bytes = span_make(zeros, sizeof(zeros));

	expect_refusal(f, &about, bytes, true);  /* no image */
	expect_refusal(f, &about, bytes, false); /* may be changed under us */
	about.size = 4096;
	expect_refusal(f, &about, bytes, true); /* reading it would be SIGBUS */
	about.size = 200;
	strcpy(about.list, "no name");
	expect_refusal(f, &about, bytes, true);
	memset(about.list, 'x', sizeof(about.list));
	expect_refusal(f, &about, bytes, true);
}

/* --- the protected set alone --- */

static void protection_covers_both_ways(void **state)
{
	struct protected_set *set = protected_new();
	struct image_item item, hit, text = {.key = SPAN("example.com")};
	enum image_kind kind;

	(void)state;
	item = network_of("192.0.2.0/24", &kind);
	protected_add(set, kind, &item, SPAN("one"));
	protected_add(set, IMAGE_TEXT, &text, SPAN("two"));
	item = network_of("192.0.2.77", &kind);
	assert_true(protected_hit(set, kind, &item, 1, &hit));
	assert_true(span_equal(hit.reason, SPAN("one")));
	item = network_of("192.0.0.0/16", &kind);
	assert_true(protected_hit(set, kind, &item, 1, &hit));
	item = network_of("192.0.3.0/24", &kind);
	assert_false(protected_hit(set, kind, &item, 1, &hit));
	item = network_of("::/0", &kind);
	assert_false(protected_hit(set, kind, &item, 1, &hit));
	assert_true(protected_hit(set, IMAGE_TEXT, &text, 1, &hit));
	protected_remove(set, IMAGE_TEXT, &text);
	assert_false(protected_hit(set, IMAGE_TEXT, &text, 1, &hit));
	protected_free(&set);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_change_reaches_a_worker),
		TEST(what_is_there_is_told_apart),
		TEST(a_rule_shortens_nothing),
		TEST(a_worker_may_not_protect),
		TEST(what_is_protected_is_refused),
		TEST(the_last_lists_hold),
		TEST(an_import_is_shown_at_its_end),
		TEST(an_import_that_stops_is_shown_too),
		TEST(a_list_is_shown_in_pages),
		TEST(what_covers_is_found),
		TEST(what_has_expired_is_deleted_some_day),
		TEST(images_are_not_believed),
		cmocka_unit_test(protection_covers_both_ways),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

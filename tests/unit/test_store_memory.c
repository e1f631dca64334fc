/*
 * What the store remembers of clients: greylisting, rates, reputation. The cases ask through
 * store_play_request, so that they hold for every kind of store: `ways` lists how one is opened.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/json.h"
#include "lib/base/arena.h"
#include "lib/base/fail.h"
#include "lib/store/grey.h"
#include "lib/store/reputation.h"
#include "store_play.h"

#define MINUTE (60 * 1000ULL)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

#define TRIPLET "192.0.2.0/24 ann@example.com bob@example.net"

/* How a store is opened. */
struct way {
	const char *name;
	void (*open)(struct store_play *play);
};

static void open_embedded(struct store_play *play)
{
	store_play_keeper(play, &(struct database_setup){.memory_rows = 200});
	store_play_link(play);
}

static const struct way ways[] = {{"embedded", open_embedded}};

struct fixture {
	struct store_play play;
	struct arena *arena;
};

static int set_up(void **state)
{
	const struct way *way = *state;
	struct fixture *f = memory_zeroed(sizeof(*f));

	store_play_open(&f->play);
	f->arena = arena_new(4096);
	way->open(&f->play);
	/* The middle of a window of any length that tests use, whatever the time is. */
	store_play_move(
		&f->play, DAY - clock_wall_ms(&f->play.loop.clock) % DAY + DAY); /* midnight, UTC */
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	store_play_close(&f->play);
	arena_free(&f->arena);
	free(f);
	return 0;
}

/* The answer; "failed" when there is none. */
static const char *ask(struct fixture *f, enum store_kind kind, const char *a, const char *b,
	const char *c, const char *d)
{
	const char *const parts[STORE_PLAY_PARTS] = {a, b, c, d};

	if (store_play_request(&f->play, kind, parts) != STORE_DONE)
		return "failed";
	return arena_string(f->arena, buffer_span(&f->play.answer));
}

#define ASK1(f, kind, a)          ask((f), STORE_##kind, (a), NULL, NULL, NULL)
#define ASK2(f, kind, a, b)       ask((f), STORE_##kind, (a), (b), NULL, NULL)
#define ASK3(f, kind, a, b, c)    ask((f), STORE_##kind, (a), (b), (c), NULL)
#define ASK4(f, kind, a, b, c, d) ask((f), STORE_##kind, (a), (b), (c), (d))

static const struct json *asked_json(struct fixture *f, const char *answer)
{
	const struct json *json = json_read(f->arena, span_text(answer));

	assert_non_null(json);
	return json;
}

/* --- greylisting --- */

static struct grey look(struct fixture *f, const char *key)
{
	struct grey grey;

	assert_true(grey_read(span_text(ASK1(f, GREY_LOOK, key)), &grey));
	return grey;
}

static void nobody_is_known_at_first(void **state)
{
	assert_string_equal(ASK1(*state, GREY_LOOK, TRIPLET), "");
}

static void a_try_begins_to_wait(void **state)
{
	struct fixture *f = *state;
	struct grey grey;

	assert_string_equal(ASK2(f, GREY_TRIED, TRIPLET, "86400000"), "");
	store_play_move(&f->play, 3 * MINUTE);
	ASK2(f, GREY_TRIED, TRIPLET, "86400000");
	store_play_move(&f->play, 2 * MINUTE);
	grey = look(f, TRIPLET);
	assert_int_equal(grey.state, GREY_WAITING);
	assert_in_range(grey.age_ms, 5 * MINUTE, 5 * MINUTE + 20000); /* since the first try */
	assert_int_equal(grey.tries, 2);
	assert_int_equal(
		look(f, "192.0.2.0/24 ann@example.com carl@example.net").state, GREY_NEVER);
}

static void a_try_is_forgotten_after_its_window(void **state)
{
	struct fixture *f = *state;

	ASK2(f, GREY_TRIED, TRIPLET, "3600000");
	store_play_move(&f->play, 50 * MINUTE);
	ASK2(f, GREY_TRIED, TRIPLET, "3600000"); /* the window is the first one's */
	store_play_move(&f->play, 11 * MINUTE);
	assert_int_equal(look(f, TRIPLET).state, GREY_NEVER);
	ASK2(f, GREY_TRIED, TRIPLET, "3600000");
	assert_int_equal(look(f, TRIPLET).tries, 1);
}

static void who_passed_is_known_and_stays_so(void **state)
{
	struct fixture *f = *state;
	struct grey grey;

	ASK2(f, GREY_TRIED, TRIPLET, "86400000");
	store_play_move(&f->play, 6 * MINUTE);
	ASK2(f, GREY_PASSED, TRIPLET, "3110400000"); /* 36 days */
	store_play_move(&f->play, 35 * DAY);
	ASK2(f, GREY_TRIED, TRIPLET, "86400000"); /* that changes nothing */
	ASK2(f, GREY_PASSED, TRIPLET, "3110400000");
	store_play_move(&f->play, 35 * DAY);
	grey = look(f, TRIPLET);
	assert_int_equal(grey.state, GREY_KNOWN);
	assert_in_range(grey.age_ms, 70 * DAY, 70 * DAY + 20000); /* since it is known */
	store_play_move(&f->play, 2 * DAY);
	assert_int_equal(look(f, TRIPLET).state, GREY_NEVER);
}

static void admins_allow_and_clear(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(ASK2(f, GREY_ALLOW, TRIPLET, "86400000"), "");
	assert_int_equal(look(f, TRIPLET).state, GREY_KNOWN);
	assert_string_equal(ASK1(f, GREY_CLEAR, TRIPLET), "1");
	assert_string_equal(ASK1(f, GREY_CLEAR, TRIPLET), "0");
	assert_int_equal(look(f, TRIPLET).state, GREY_NEVER);
	ASK2(f, GREY_TRIED, TRIPLET, "3600000");
	store_play_move(&f->play, 2 * HOUR);
	assert_string_equal(ASK1(f, GREY_CLEAR, TRIPLET), "0"); /* it was forgotten already */
}

static void admins_see_what_waits(void **state)
{
	struct fixture *f = *state;
	const struct json *page, *items;
	long long now_s;

	ASK2(f, GREY_TRIED, "a x y", "3600000");
	ASK2(f, GREY_TRIED, "b x \"y\"\xff", "3600000");
	ASK2(f, GREY_ALLOW, "c x y", "7200000");
	ASK2(f, GREY_TRIED, "d x y", "1000");
	store_play_move(&f->play, 2000);
	now_s = (long long)(clock_wall_ms(&f->play.loop.clock) / 1000);
	page = asked_json(f, ASK2(f, GREY_LIST, "", "2"));
	items = json_get(page, "items")->first;
	assert_string_equal(json_text(items, "key"), "a x y");
	assert_string_equal(json_text(items, "state"), "waiting");
	assert_int_equal(json_number(items, "tries"), 1);
	assert_in_range(json_number(items, "until") - now_s, 3580, 3600);
	assert_in_range(now_s - json_number(items, "since"), 0, 20);
	assert_string_equal(json_text(page, "more"), "yes");
	page = asked_json(f, ASK2(f, GREY_LIST, json_text(items->next, "key"), "2"));
	page = asked_json(f, ASK2(f, GREY_LIST, "b x z", "2"));
	items = json_get(page, "items")->first;
	assert_string_equal(json_text(items, "key"), "c x y");
	assert_string_equal(json_text(items, "state"), "known");
	assert_null(items->next);
	assert_string_equal(json_text(page, "more"), "no");
}

static void nonsense_fails(void **state)
{
	struct fixture *f = *state;
	char key[STORE_KEY_MAX + 2];

	memset(key, 'k', sizeof(key));
	key[STORE_KEY_MAX + 1] = '\0';
	assert_string_equal(ASK1(f, GREY_LOOK, ""), "failed");
	assert_string_equal(ASK1(f, GREY_LOOK, key), "failed");
	assert_string_equal(ASK2(f, GREY_TRIED, TRIPLET, "soon"), "failed");
	assert_string_equal(ASK2(f, GREY_PASSED, TRIPLET, "0"), "failed");
	assert_string_equal(ASK2(f, GREY_LIST, "", "-1"), "failed");
	assert_string_equal(ASK2(f, RATE_LOOK, "k", "0"), "failed");
	assert_string_equal(ASK3(f, RATE_CHARGE, "k", "1000", "many"), "failed");
	assert_string_equal(ASK1(f, REP_LOOK, "a\n\nb"), "failed");
	assert_string_equal(ASK1(f, REP_LOOK, "1\n2\n3\n4\n5\n6\n7\n8\n9"), "failed");
	assert_string_equal(ASK4(f, REP_ADD, "k", "nan", "0", "0"), "failed");
	assert_string_equal(ASK4(f, REP_ADD, "k", "1", "-1", "0"), "failed");
	assert_string_equal(ASK4(f, REP_ADD, "k", "1", "1e9", "0"), "failed");
	assert_string_equal(ASK1(f, GREY_LOOK, TRIPLET), ""); /* and all goes on */
}

/* A full greylist forgets those that never came back first. */
static void a_full_table_forgets_the_oldest(void **state)
{
	struct fixture *f = *state;
	unsigned there = 0;
	char key[40];

	ASK2(f, GREY_ALLOW, TRIPLET, "86400000");
	for (int i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "%d a b", i);
		ASK2(f, GREY_TRIED, key, "3600000");
		if (i % 50 == 0)
			store_play_move(&f->play, 1000);
	}
	for (int i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "%d a b", i);
		there += look(f, key).state == GREY_WAITING;
	}
	assert_in_range(there, 190, 199);
	assert_int_equal(look(f, "299 a b").state, GREY_WAITING);
	assert_int_equal(look(f, "0 a b").state, GREY_NEVER);
	assert_int_equal(look(f, TRIPLET).state, GREY_KNOWN);
	assert_true(store_play_logged(&f->play, "store_crowded"));
}

/* --- rates --- */

static double rate(struct fixture *f, const char *key, const char *window)
{
	const char *answer = ASK2(f, RATE_LOOK, key, window);

	assert_in_range(answer[0], '0', '9');
	return atof(answer);
}

static void a_rate_counts_what_is_charged(void **state)
{
	struct fixture *f = *state;

	assert_true(rate(f, "a", "3600000") == 0);
	ASK3(f, RATE_CHARGE, "a", "3600000", "1");
	ASK3(f, RATE_CHARGE, "a", "3600000", "2");
	ASK3(f, RATE_CHARGE, "b", "3600000", "5");
	ASK3(f, RATE_CHARGE, "a", "60000", "7");
	assert_true(rate(f, "a", "3600000") == 3);
	assert_true(rate(f, "b", "3600000") == 5);
	assert_true(rate(f, "a", "60000") == 7);
}

static void a_rate_slides(void **state)
{
	struct fixture *f = *state;

	ASK3(f, RATE_CHARGE, "a", "3600000", "8");
	store_play_move(&f->play, HOUR + 15 * MINUTE); /* a quarter of it has slid out */
	assert_in_range((unsigned)(rate(f, "a", "3600000") * 100), 595, 600);
	ASK3(f, RATE_CHARGE, "a", "3600000", "2");
	assert_in_range((unsigned)(rate(f, "a", "3600000") * 100), 795, 800);
	store_play_move(&f->play, HOUR); /* the 8 are gone */
	assert_in_range((unsigned)(rate(f, "a", "3600000") * 100), 145, 150);
	store_play_move(&f->play, 2 * HOUR);
	assert_true(rate(f, "a", "3600000") == 0);
}

/* --- reputation --- */

static struct reputation counts_of(struct fixture *f, const char *key)
{
	struct span answer = span_text(ASK1(f, REP_LOOK, key));
	struct reputation counts;

	assert_true(reputation_read(&answer, &counts));
	return counts;
}

static void counts_add_up_and_halve(void **state)
{
	struct fixture *f = *state;
	struct reputation counts;
	struct span answer;

	ASK4(f, REP_ADD, "net 192.0.2.0/24", "1", "0", "0");
	ASK4(f, REP_ADD, "net 192.0.2.0/24", "1", "0.25", "1");
	store_play_move(&f->play, 7 * DAY);
	answer = span_text(ASK1(f, REP_LOOK, "net 192.0.2.0/24\nasn 1"));
	assert_true(reputation_read(&answer, &counts));
	assert_in_range((unsigned)(counts.good * 1000), 998, 1000);
	assert_in_range((unsigned)(counts.bad * 1000), 124, 125);
	assert_in_range((unsigned)(counts.traps * 1000), 498, 500);
	assert_true(reputation_read(&answer, &counts));
	assert_true(counts.good == 0 && counts.bad == 0 && counts.traps == 0);
	assert_int_equal(answer.len, 0);
	ASK4(f, REP_ADD, "net 192.0.2.0/24", "1", "0", "0");
	assert_in_range((unsigned)(counts_of(f, "net 192.0.2.0/24").good * 1000), 1998, 2000);
}

static void admins_see_counts_and_reset_them(void **state)
{
	struct fixture *f = *state;
	const struct json *json;

	assert_string_equal(ASK1(f, REP_SHOW, "domain example.com"), "");
	ASK4(f, REP_ADD, "domain example.com", "3", "1", "0");
	store_play_move(&f->play, HOUR);
	json = asked_json(f, ASK1(f, REP_SHOW, "domain example.com"));
	assert_string_equal(json_text(json, "key"), "domain example.com");
	assert_true(atof(json_text(json, "good")) > 2.9 && atof(json_text(json, "good")) <= 3);
	assert_true(json_number(json, "first") > 0);
	assert_int_equal(json_number(json, "first"), json_number(json, "last"));
	assert_string_equal(ASK1(f, REP_RESET, "domain example.com"), "1");
	assert_string_equal(ASK1(f, REP_RESET, "domain example.com"), "0");
	assert_string_equal(ASK1(f, REP_SHOW, "domain example.com"), "");
}

/* --- what is made of it: no store needed --- */

static void little_known_weighs_little(void **state)
{
	const struct reputation none = {0}, one = {1, 0, 0}, many = {990, 0, 0}, trap = {30, 0, 1},
				bad = {0, 90, 0};

	(void)state;
	assert_true(reputation_value(&none, 0) == 0);
	assert_true(reputation_value(&none, -0.5) == -0.5);
	assert_true(reputation_value(&one, 0) > 0 && reputation_value(&one, 0) < 0.1);
	assert_true(reputation_value(&many, 0) > 0.98 && reputation_value(&many, 0) < 1);
	assert_true(reputation_value(&trap, 0) <= 0.4); /* 30 good ones, and one trap */
	assert_true(reputation_value(&bad, 0) == -0.9);
	assert_false(known_good(&none));
	assert_false(known_good(&one));
	assert_true(known_good(&many));
	assert_false(known_good(&trap));
}

static const char *key_of(struct fixture *f, const char *ip, const char *spf, const char *from)
{
	struct buffer out = BUFFER_INIT(STORE_KEY_MAX);
	struct grey_triplet t = {.spf_domain = span_text(spf),
		.from = span_text(from),
		.to = SPAN("Bob@Example.NET")};
	const char *text;

	assert_true(ip_parse(span_text(ip), &t.client));
	assert_true(grey_key_write(&t, &out));
	text = arena_string(f->arena, buffer_span(&out));
	buffer_free(&out);
	return text;
}

static void keys_are_readable(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(key_of(f, "192.0.2.7", NULL, "Ann@example.com"),
		"192.0.2.0/24 ann@example.com bob@example.net");
	assert_string_equal(
		key_of(f, "2001:db8::1:2:3:4", NULL, ""), "2001:db8::/64 <> bob@example.net");
	assert_string_equal(key_of(f, "192.0.2.7", "Example.com", "\"a b%\"@example.com"),
		"example.com \"a%20b%25\"@example.com bob@example.net");
}

static void answers_that_are_none(void **state)
{
	struct reputation counts;
	struct span line;
	struct grey grey;

	(void)state;
	assert_false(grey_read(SPAN("waiting"), &grey));
	assert_false(grey_read(SPAN("waiting x 1"), &grey));
	assert_false(grey_read(SPAN("knows 1"), &grey));
	line = SPAN("1 2\n");
	assert_false(reputation_read(&line, &counts));
	line = SPAN("1 2 x\n");
	assert_false(reputation_read(&line, &counts));
}

/* --- the embedded one alone --- */

/* Once, when it becomes so. */
static void somebody_becomes_known_to_be_good(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 30; i++)
		ASK4(f, REP_ADD, "domain good.example", "1", "0", "0");
	for (int i = 0; i < 30; i++)
		ASK4(f, REP_ADD, "domain bad.example", "1", "0.25", "0");
	STORE_PLAY_UNTIL(&f->play, f->play.n_known_good);
	assert_string_equal(f->play.known_good, "domain good.example");
	assert_int_equal(f->play.n_known_good, 1);
}

/* What is old goes by itself, and rows come back after a roll-back. */
static void old_rows_are_deleted(void **state)
{
	struct fixture *f = *state;
	char key[40];

	for (int i = 0; i < 150; i++) {
		snprintf(key, sizeof(key), "%d a b", i);
		ASK2(f, GREY_TRIED, key, "1000");
		ASK3(f, RATE_CHARGE, key, "1000", "1");
	}
	store_play_move(&f->play, HOUR + MINUTE); /* expiry runs each hour */
	timers_run(&f->play.loop.timers);
	assert_string_equal(ASK1(f, GREY_LOOK, TRIPLET), "");
	/* Were they there still, these would push some out. */
	for (int i = 0; i < 150; i++) {
		snprintf(key, sizeof(key), "%d c d", i);
		ASK2(f, GREY_TRIED, key, "3600000");
	}
	assert_int_equal(look(f, "0 c d").state, GREY_WAITING);
	assert_false(store_play_logged(&f->play, "store_crowded"));
}

#define CASE(function)                                                                             \
	cmocka_unit_test_prestate_setup_teardown(function, set_up, tear_down, (void *)&ways[0])

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nobody_is_known_at_first),
		CASE(a_try_begins_to_wait),
		CASE(a_try_is_forgotten_after_its_window),
		CASE(who_passed_is_known_and_stays_so),
		CASE(admins_allow_and_clear),
		CASE(admins_see_what_waits),
		CASE(nonsense_fails),
		CASE(a_full_table_forgets_the_oldest),
		CASE(a_rate_counts_what_is_charged),
		CASE(a_rate_slides),
		CASE(counts_add_up_and_halve),
		CASE(admins_see_counts_and_reset_them),
		CASE(little_known_weighs_little),
		CASE(keys_are_readable),
		CASE(answers_that_are_none),
		CASE(somebody_becomes_known_to_be_good),
		CASE(old_rows_are_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

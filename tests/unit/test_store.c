/*
 * The store from both ends: a worker's side and the keeper's over a socket pair, with the keeper
 * dying, silent, full, and lied to.
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
#include <sys/socket.h>
#include <unistd.h>

#include "admin/json.h"
#include "lib/base/arena.h"
#include "lib/base/fail.h"
#include "lib/net/ipc.h"
#include "lib/store/wire.h"
#include "store_play.h"

enum { REQUESTS = 200 };

struct asked {
	struct store_request request;
	unsigned done;
	enum store_outcome outcome;
};

struct fixture {
	struct store_play play;
	struct asked asked[REQUESTS];
	int silent; /* the keeper's end when there is no keeper behind it; -1 */
};

static int set_up(void **state)
{
	struct fixture *f = memory_zeroed(sizeof(*f));

	store_play_open(&f->play);
	f->silent = -1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	store_play_close(&f->play);
	if (f->silent >= 0)
		close(f->silent);
	free(f);
	return 0;
}

static void both(struct fixture *f)
{
	store_play_keeper(&f->play, NULL);
	store_play_link(&f->play);
}

/* A keeper that never answers, or what the test makes of it. */
static void silent_keeper(struct fixture *f)
{
	int pair[2];

	if (!f->play.store)
		f->play.store = store_open_keeper(&f->play.loop, &f->play.log);
	if (f->silent >= 0)
		close(f->silent);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->silent = pair[0];
	store_link(f->play.store, pair[1]);
}

static void on_done(struct store_request *request)
{
	struct asked *asked = request->context;

	asked->done++;
	asked->outcome = request->outcome;
	assert_null(request->store);
}

static struct asked *ping(struct fixture *f, size_t i)
{
	struct asked *asked = &f->asked[i];

	asked->request.kind = STORE_PING;
	asked->request.done = on_done;
	asked->request.context = asked;
	store_ask(f->play.store, &asked->request);
	assert_int_equal(asked->request.outcome == STORE_PENDING || asked->done == 0, true);
	return asked;
}

static void tell(struct fixture *f)
{
	struct dmarc_results results = store_play_results();

	dmarc_results_tell(f->play.store, &results);
}

static long long number_of(struct fixture *f, const char *key)
{
	struct arena *arena = arena_new(4096);
	const struct json *answer;
	long long number;

	assert_int_equal(store_play_ask(&f->play, STORE_DMARC_DOMAIN, store_play_today(&f->play),
				 "example.com"),
		STORE_DONE);
	answer = f->play.answer.len ? json_read(arena, buffer_span(&f->play.answer)) : NULL;
	number = json_number(answer, key);
	arena_free(&arena);
	return number;
}

static long long told(struct fixture *f, const char *key)
{
	struct arena *arena = arena_new(4096);
	struct record r;
	long long number;

	record_init(&r, true, 4096);
	store_status(f->play.store, &r);
	number = json_number(json_read(arena, record_finish(&r)), key);
	record_free(&r);
	arena_free(&arena);
	return number;
}

/* --- asking --- */

static void it_answers(void **state)
{
	struct fixture *f = *state;

	both(f);
	for (size_t i = 0; i < REQUESTS; i++)
		assert_int_equal(ping(f, i)->done, 0);
	for (size_t i = 0; i < REQUESTS; i++) {
		STORE_PLAY_UNTIL(&f->play, f->asked[i].done);
		assert_int_equal(f->asked[i].outcome, STORE_DONE);
		assert_int_equal(f->asked[i].done, 1);
	}
	assert_true(store_is_there(f->play.store));
	/* One may be used again. */
	ping(f, 0);
	STORE_PLAY_UNTIL(&f->play, f->asked[0].done == 2);
}

static void without_a_keeper_it_is_away_at_once(void **state)
{
	struct fixture *f = *state;
	struct asked *asked;

	f->play.store = store_open_keeper(&f->play.loop, &f->play.log);
	asked = ping(f, 0);
	assert_int_equal(asked->done, 0); /* from the loop, never within */
	loop_turn(&f->play.loop, false);
	assert_int_equal(asked->done, 1);
	assert_int_equal(asked->outcome, STORE_AWAY);
}

static void a_keeper_that_dies_answers_for_all(void **state)
{
	struct fixture *f = *state;

	silent_keeper(f);
	for (size_t i = 0; i < 10; i++)
		ping(f, i);
	close(f->silent);
	f->silent = -1;
	for (size_t i = 0; i < 10; i++) {
		STORE_PLAY_UNTIL(&f->play, f->asked[i].done);
		assert_int_equal(f->asked[i].outcome, STORE_AWAY);
	}
	assert_false(store_is_there(f->play.store));
	both(f);
	ping(f, 0);
	STORE_PLAY_UNTIL(&f->play, f->asked[0].done == 2);
	assert_int_equal(f->asked[0].outcome, STORE_DONE);
}

static void move(struct fixture *f, uint64_t ms)
{
	f->play.loop.clock.offset_ms += ms;
	timers_run(&f->play.loop.timers);
	loop_turn(&f->play.loop, false);
}

static void a_deadline_is_kept(void **state)
{
	struct fixture *f = *state;
	struct asked *asked;

	silent_keeper(f);
	f->asked[1].request.timeout_ms = 5000;
	asked = ping(f, 0);
	ping(f, 1);
	move(f, STORE_TIMEOUT_MS - 100);
	assert_int_equal(asked->done, 0);
	move(f, 200);
	assert_int_equal(asked->done, 1);
	assert_int_equal(asked->outcome, STORE_AWAY);
	assert_int_equal(f->asked[1].done, 0);
	move(f, 5000);
	assert_int_equal(f->asked[1].done, 1);
}

static void time_out(struct fixture *f, size_t first)
{
	for (size_t i = first; i < first + STORE_BREAKER_TIMEOUTS; i++)
		ping(f, i);
	move(f, STORE_TIMEOUT_MS + 100);
	for (size_t i = first; i < first + STORE_BREAKER_TIMEOUTS; i++)
		assert_int_equal(f->asked[i].outcome, STORE_AWAY);
}

static void a_breaker_stops_asking(void **state)
{
	struct fixture *f = *state;

	silent_keeper(f);
	time_out(f, 0);
	assert_true(store_play_logged(&f->play, "store_silent"));
	assert_false(store_is_there(f->play.store));
	ping(f, 10);
	loop_turn(&f->play.loop, false);
	assert_int_equal(f->asked[10].done, 1); /* without waiting */
	/* Later one is let through, others are not. */
	move(f, STORE_BREAKER_MS + 100);
	ping(f, 11);
	ping(f, 12);
	loop_turn(&f->play.loop, false);
	assert_int_equal(f->asked[11].done, 0);
	assert_int_equal(f->asked[12].done, 1);
	move(f, STORE_TIMEOUT_MS + 100);
	assert_int_equal(f->asked[11].outcome, STORE_AWAY);
	assert_false(store_is_there(f->play.store));
	/* The next try is cancelled: it leads nowhere, and the one after it may try. */
	move(f, STORE_BREAKER_MS + 100);
	ping(f, 13);
	store_cancel(&f->asked[13].request);
	ping(f, 14);
	loop_turn(&f->play.loop, false);
	assert_int_equal(f->asked[14].done, 0);
	store_cancel(&f->asked[14].request);
}

/* Answers what was asked first, as a keeper would. */
static void answer_by_hand(struct fixture *f, uint32_t id, uint32_t outcome, const char *text)
{
	struct {
		uint32_t len, type, id, n_fds, outcome;
	} frame = {(uint32_t)(sizeof(uint32_t) + strlen(text)), STORE_FRAME_ANSWER, id, 0, outcome};

	assert_int_equal(send(f->silent, &frame, sizeof(frame), 0), sizeof(frame));
	assert_int_equal(send(f->silent, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void an_answer_closes_the_breaker(void **state)
{
	struct fixture *f = *state;

	silent_keeper(f);
	time_out(f, 0);
	move(f, STORE_BREAKER_MS + 100);
	ping(f, 10);
	answer_by_hand(f, f->asked[10].request.id, STORE_DONE, "");
	STORE_PLAY_UNTIL(&f->play, f->asked[10].done);
	assert_int_equal(f->asked[10].outcome, STORE_DONE);
	assert_true(store_is_there(f->play.store));
	assert_true(store_play_logged(&f->play, "store_back"));
}

static void deadlines_count_in_a_row(void **state)
{
	struct fixture *f = *state;

	silent_keeper(f);
	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < STORE_BREAKER_TIMEOUTS - 1; i++)
			ping(f, 10 * round + i);
		move(f, STORE_TIMEOUT_MS + 100);
		ping(f, 10 * round + 9);
		answer_by_hand(f, f->asked[10 * round + 9].request.id, STORE_DONE, "");
		STORE_PLAY_UNTIL(&f->play, f->asked[10 * round + 9].done);
	}
	assert_true(store_is_there(f->play.store));
	assert_false(store_play_logged(&f->play, "store_silent"));
}

static void answers_that_nobody_waits_for_are_ignored(void **state)
{
	struct fixture *f = *state;
	uint32_t id;

	silent_keeper(f);
	id = ping(f, 0)->request.id;
	store_cancel(&f->asked[0].request);
	store_cancel(&f->asked[0].request);
	answer_by_hand(f, id, STORE_DONE, "late");
	answer_by_hand(f, 0, STORE_DONE, "");
	answer_by_hand(f, 4711, STORE_DONE, "");
	ping(f, 1);
	answer_by_hand(f, f->asked[1].request.id, STORE_FAILED, "");
	STORE_PLAY_UNTIL(&f->play, f->asked[1].done);
	assert_int_equal(f->asked[1].outcome, STORE_FAILED);
	assert_int_equal(f->asked[0].done, 0);
}

static void nonsense_of_the_keeper_ends_the_link(void **state)
{
	struct fixture *f = *state;

	silent_keeper(f);
	ping(f, 0);
	answer_by_hand(f, f->asked[0].request.id, 99, "");
	STORE_PLAY_UNTIL(&f->play, f->asked[0].done);
	assert_int_equal(f->asked[0].outcome, STORE_AWAY);
	assert_false(store_is_there(f->play.store));
}

static void what_is_too_long_fails(void **state)
{
	struct fixture *f = *state;
	char *bytes = memory_zeroed(STORE_BODY_MAX);
	struct asked *asked = &f->asked[0];

	both(f);
	asked->request = (struct store_request){.kind = STORE_DMARC_ADD,
		.parts = {span_make(bytes, STORE_BODY_MAX / 2),
			span_make(bytes, STORE_BODY_MAX / 2)},
		.n_parts = 3,
		.done = on_done,
		.context = asked};
	store_ask(f->play.store, &asked->request);
	STORE_PLAY_UNTIL(&f->play, asked->done);
	assert_int_equal(asked->outcome, STORE_FAILED);
	free(bytes);
}

static void closing_answers_all(void **state)
{
	struct fixture *f = *state;

	silent_keeper(f);
	for (size_t i = 0; i < 5; i++)
		ping(f, i);
	tell(f);
	store_close(&f->play.store);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(f->asked[i].outcome, STORE_AWAY);
}

/* --- telling --- */

static void what_is_told_is_kept(void **state)
{
	struct fixture *f = *state;

	both(f);
	for (int i = 0; i < 100; i++)
		tell(f);
	STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") == 0);
	assert_int_equal(number_of(f, "messages"), 100);
	assert_int_equal(told(f, "told_lost"), 0);
}

static void what_is_told_while_it_is_away_comes_later(void **state)
{
	struct fixture *f = *state;

	f->play.store = store_open_keeper(&f->play.loop, &f->play.log);
	for (int i = 0; i < 50; i++)
		tell(f);
	both(f);
	STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") == 0);
	assert_int_equal(number_of(f, "messages"), 50);
}

static void what_a_dead_keeper_did_not_answer_is_told_again(void **state)
{
	struct fixture *f = *state;

	silent_keeper(f);
	for (int i = 0; i < 50; i++)
		tell(f);
	loop_turn(&f->play.loop, false);
	both(f); /* the link before is forgotten */
	tell(f);
	STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") == 0);
	assert_int_equal(number_of(f, "messages"), 51);
}

static void what_is_told_is_bounded(void **state)
{
	struct fixture *f = *state;

	f->play.store = store_open_keeper(&f->play.loop, &f->play.log);
	for (int i = 0; i < STORE_TOLD_MAX + 10; i++)
		tell(f);
	assert_int_equal(told(f, "told_lost"), 10);
	both(f);
	STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") == 0);
	assert_int_equal(number_of(f, "messages"), STORE_TOLD_MAX);
}

static void a_long_record_is_cut_behind_a_tag(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();
	struct buffer record = BUFFER_INIT(10000);
	struct arena *arena = arena_new(4096);
	const char *kept;

	assert_true(buffer_add_text(&record, "v=DMARC1; p=none;"));
	while (record.len < 9000)
		assert_true(buffer_add_text(&record, " rua=mailto:a@example.com;"));
	results.record = buffer_span(&record);
	both(f);
	dmarc_results_tell(f->play.store, &results);
	STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") == 0);
	assert_int_equal(number_of(f, "messages"), 1);
	kept = json_text(json_read(arena, buffer_span(&f->play.answer)), "record");
	assert_in_range(strlen(kept), DMARC_RECORD_MAX - 30, DMARC_RECORD_MAX);
	assert_int_equal(kept[strlen(kept) - 1], ';');
	arena_free(&arena);
	buffer_free(&record);
}

static void ten_signatures_of_bad_bytes_are_left_out(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();
	char bytes[DMARC_DOMAIN_MAX];

	memset(bytes, 1, sizeof(bytes)); /* each is six characters of JSON */
	results.n_signatures = DMARC_SIGNATURES_MAX;
	for (size_t i = 0; i < DMARC_SIGNATURES_MAX; i++)
		results.signatures[i] =
			(struct dmarc_signature_result){span_make(bytes, sizeof(bytes)),
				span_make(bytes, sizeof(bytes)), SPAN("fail")};
	both(f);
	dmarc_results_tell(f->play.store, &results);
	results.policy_domain = SPAN_NONE; /* these are none */
	dmarc_results_tell(f->play.store, &results);
	STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") == 0);
	assert_int_equal(told(f, "told"), 1);
	assert_int_equal(number_of(f, "messages"), 1);
}

/* As many as there is room for, from the front. */
static void long_signatures_are_left_out_from_the_end(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();
	char name[200];

	memset(name, 'a', sizeof(name));
	results.n_signatures = DMARC_SIGNATURES_MAX;
	for (size_t i = 1; i < DMARC_SIGNATURES_MAX; i++)
		results.signatures[i] = (struct dmarc_signature_result){
			span_make(name, sizeof(name)), span_make(name, sizeof(name)), SPAN("fail")};
	both(f);
	dmarc_results_tell(f->play.store, &results);
	STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") == 0);
	assert_int_equal(number_of(f, "messages"), 1);
	assert_int_equal(number_of(f, "left_out"), 0);
	assert_non_null(strstr(buffer_string(&f->play.answer), "sel"));
	assert_in_range(f->play.answer.len, 2500, DMARC_ROW_MAX + 1000);
}

/* --- the keeper's side --- */

static void the_keeper_survives_a_worker_that_lies(void **state)
{
	static const uint32_t frames[][8] = {
		/* len, type, id, descriptors, then the payload */
		{16, STORE_FRAME_ASK, 1, 0, STORE_DMARC_DAY, 8, 7, 7}, /* not a worker's to ask */
		{4, STORE_FRAME_ASK, 1, 0, STORE_KIND_COUNT},          /* no kind */
		{4, STORE_FRAME_ASK, 0, 0, STORE_PING},                /* no id */
		{8, STORE_FRAME_ASK, 1, 0, STORE_PING, 7},             /* more than its parts */
		{8, STORE_FRAME_ASK, 1, 0, STORE_DMARC_ADD, 0},        /* fewer */
		{12, STORE_FRAME_ASK, 1, 0, STORE_DMARC_ADD, 0xffffffffu,
			9}, /* a length that lies */
		{4, STORE_FRAME_ANSWER, 1, 0, STORE_DONE},
		{2, STORE_FRAME_ASK, 1, 0, STORE_PING},
		{0, 99, 1, 0},
	};
	struct fixture *f = *state;

	store_play_keeper(&f->play, NULL);
	for (size_t i = 0; i < COUNT_OF(frames); i++) {
		int pair[2];
		char c;
		size_t size = 4 * sizeof(uint32_t) + frames[i][0];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		keeper_store_link(f->play.keeper, pair[0]);
		assert_int_equal(send(pair[1], frames[i], size, 0), (ssize_t)size);
		STORE_PLAY_UNTIL(&f->play, recv(pair[1], &c, 1, MSG_DONTWAIT) == 0);
		close(pair[1]);
	}
	store_play_link(&f->play);
	ping(f, 0);
	STORE_PLAY_UNTIL(&f->play, f->asked[0].done);
	assert_int_equal(f->asked[0].outcome, STORE_DONE);
}

static void a_worker_that_goes_is_not_answered(void **state)
{
	struct fixture *f = *state;

	both(f);
	for (int i = 0; i < 20; i++)
		tell(f);
	store_close(&f->play.store);
	store_play_link(&f->play);
	tell(f);
	STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") == 0);
	assert_in_range(number_of(f, "messages"), 1, 21);
}

static void a_keeper_that_ends_writes_what_it_has(void **state)
{
	struct fixture *f = *state;

	both(f);
	for (int i = 0; i < 500; i++)
		tell(f);
	/* The keeper has read some of it and answered none. */
	loop_turn(&f->play.loop, false);
	store_close(&f->play.store);
	store_play_keeper_end(&f->play);
	store_play_keeper(&f->play, NULL);
	assert_in_range(number_of(f, "messages"), 1, 500);
}

static long long transactions(struct fixture *f)
{
	struct arena *arena = arena_new(4096);
	struct record r;
	long long number;

	record_init(&r, true, 4096);
	keeper_store_status(f->play.keeper, &r);
	number = json_number(json_read(arena, record_finish(&r)), "transactions");
	record_free(&r);
	arena_free(&arena);
	return number;
}

/* One at a time, as messages come: they wait for each other, and go along with what is asked. */
static void what_is_told_is_written_together(void **state)
{
	struct fixture *f = *state;
	long long before;

	f->play.gather_ms = 3600 * 1000;
	both(f);
	before = transactions(f);
	for (int i = 0; i < 50; i++) {
		tell(f);
		loop_turn(&f->play.loop, false);
	}
	assert_int_equal(told(f, "told_waiting"), 50);
	assert_int_equal(transactions(f), before);
	ping(f, 1);
	STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") == 0);
	assert_in_range(transactions(f), before + 1, before + 2);
	for (int i = 0; i < 300; i++)
		tell(f);
	STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") < 300);
}

static void a_full_disk_is_no_end(void **state)
{
	struct fixture *f = *state;
	struct database_setup limits = {.pages_max = 32};
	struct dmarc_results results = store_play_results();
	char ip[32];

	store_play_keeper(&f->play, &limits);
	store_play_link(&f->play);
	for (int i = 0; i < 600; i++) {
		snprintf(ip, sizeof(ip), "198.51.%d.%d", i / 256, i % 256);
		assert_true(ip_parse(span_text(ip), &results.source));
		dmarc_results_tell(f->play.store, &results);
		if (i % 20 == 0)
			STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") == 0);
	}
	STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") == 0);
	assert_in_range(told(f, "told_lost"), 100, 599);
	assert_true(store_play_logged(&f->play, "store_full"));
	assert_int_equal(number_of(f, "messages"), 600 - told(f, "told_lost"));
	ping(f, 0);
	STORE_PLAY_UNTIL(&f->play, f->asked[0].done);
	assert_int_equal(f->asked[0].outcome, STORE_DONE);
}

static void a_damaged_file_is_told(void **state)
{
	struct fixture *f = *state;
	int dir = store_play_folder(&f->play);
	int fd = openat(dir, "postern.db", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, "this is no database at all", 26), 26);
	close(fd);
	close(dir);
	both(f);
	tell(f);
	STORE_PLAY_UNTIL(&f->play, told(f, "told_waiting") == 0);
	assert_true(store_play_logged(&f->play, "store_corrupt"));
	assert_int_equal(store_play_files(&f->play, "postern.db.corrupt-"), 1);
	assert_int_equal(number_of(f, "messages"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_answers),
		TEST(without_a_keeper_it_is_away_at_once),
		TEST(a_keeper_that_dies_answers_for_all),
		TEST(a_deadline_is_kept),
		TEST(a_breaker_stops_asking),
		TEST(an_answer_closes_the_breaker),
		TEST(deadlines_count_in_a_row),
		TEST(answers_that_nobody_waits_for_are_ignored),
		TEST(nonsense_of_the_keeper_ends_the_link),
		TEST(what_is_too_long_fails),
		TEST(closing_answers_all),
		TEST(what_is_told_is_kept),
		TEST(what_is_told_while_it_is_away_comes_later),
		TEST(what_a_dead_keeper_did_not_answer_is_told_again),
		TEST(what_is_told_is_bounded),
		TEST(a_long_record_is_cut_behind_a_tag),
		TEST(ten_signatures_of_bad_bytes_are_left_out),
		TEST(long_signatures_are_left_out_from_the_end),
		TEST(the_keeper_survives_a_worker_that_lies),
		TEST(a_worker_that_goes_is_not_answered),
		TEST(a_keeper_that_ends_writes_what_it_has),
		TEST(what_is_told_is_written_together),
		TEST(a_full_disk_is_no_end),
		TEST(a_damaged_file_is_told),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

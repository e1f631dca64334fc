/* Counters that several processes share: sums, rows that come and go, and the sketch that counts
 * clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "proxy/message/shared.h"

static struct shared *map_new(void)
{
	struct err err;
	int fd = shared_create(&err);
	struct shared *shared;

	assert_true(fd >= 0);
	shared = shared_map(fd, &err);
	assert_non_null(shared);
	close(fd);
	return shared;
}

static struct ip ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(span_text(text), &ip));
	return ip;
}

static void test_sealed(void **state)
{
	struct err err;
	int fd = shared_create(&err);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(ftruncate(fd, 2 * (off_t)sizeof(struct shared)), -1);
	close(fd);
}

static void test_rows(void **state)
{
	struct shared *shared = map_new();
	int rows[SHARED_ROWS];

	(void)state;
	for (int i = 0; i < SHARED_ROWS; i++) {
		rows[i] = shared_row_take(shared);
		assert_int_equal(rows[i], i);
	}
	assert_int_equal(shared_row_take(shared), -1);
	shared_row_give(shared, 7);
	assert_int_equal(shared_row_take(shared), 7);
	shared_unmap(&shared);
	assert_null(shared);
}

/* What grew stays in the sum when its process is gone; what is open now goes with it. */
static void test_sums(void **state)
{
	struct shared *shared = map_new();
	struct shared_row *a = &shared->rows[shared_row_take(shared)];
	struct shared_row *b = &shared->rows[shared_row_take(shared)];
	struct ip ip = ip_of("192.0.2.1");

	(void)state;
	shared_add(a, COUNT_sessions, 5);
	shared_add(b, COUNT_sessions, 7);
	shared_add(b, COUNT_message_bytes, UINT64_C(1) << 40);
	atomic_store(&a->sessions, 2);
	atomic_store(&b->sessions, 3);
	atomic_store(&a->spool_memory, 100);
	atomic_store(&b->spool_memory, 200);
	atomic_store(&b->spool_disk, 400);
	assert_int_equal(shared_client_enter(shared, b, &ip), 1);
	assert_int_equal(shared_count(shared, COUNT_sessions), 12);
	assert_int_equal(shared_sessions(shared), 5);
	assert_int_equal(shared_spool_memory(shared), 300);
	assert_int_equal(shared_spool_disk(shared), 400);
	/* b is killed. */
	shared_row_give(shared, 1);
	assert_int_equal(shared_count(shared, COUNT_sessions), 12);
	assert_int_equal(shared_count(shared, COUNT_message_bytes), UINT64_C(1) << 40);
	assert_int_equal(shared_sessions(shared), 2);
	assert_int_equal(shared_spool_memory(shared), 100);
	assert_int_equal(shared_spool_disk(shared), 0);
	assert_int_equal(shared_client_enter(shared, a, &ip), 1);
	shared_unmap(&shared);
}

/* What was spoken stays, too. */
static void test_spoken(void **state)
{
	struct shared *shared = map_new();
	struct shared_row *a = &shared->rows[shared_row_take(shared)];
	struct shared_row *b = &shared->rows[shared_row_take(shared)];

	(void)state;
	shared_speak(a, AT_rcpt, "reject");
	shared_speak(b, AT_rcpt, "reject");
	shared_speak(b, AT_message, "in_doubt");
	shared_speak(b, AT_message, "abandoned"); /* nobody heard it */
	for (int dead = 0; dead <= 1; dead++) {
		for (int m = 0; m < SHARED_MOMENT_COUNT; m++)
			for (int v = 0; v < SHARED_VERDICT_COUNT; v++)
				assert_int_equal(shared_spoken(shared, (enum shared_moment)m,
							 (enum shared_verdict)v),
					m == AT_rcpt && v == SPOKEN_reject        ? 2
					: m == AT_message && v == SPOKEN_in_doubt ? 1
										  : 0);
		if (!dead)
			shared_row_give(shared, 1);
	}
	assert_int_equal(atomic_load(&b->verdicts[AT_rcpt][SPOKEN_reject]), 0);
	assert_string_equal(shared_moment_name(AT_connect), "connect");
	assert_string_equal(shared_verdict_name(SPOKEN_discard), "discard");
	shared_unmap(&shared);
}

/* Never too few; over all rows; IPv6 by /64; out again in any order. */
static void test_clients(void **state)
{
	struct shared *shared = map_new();
	struct shared_row *a = &shared->rows[shared_row_take(shared)];
	struct shared_row *b = &shared->rows[shared_row_take(shared)];
	struct ip four = ip_of("192.0.2.1"), mapped = ip_of("::ffff:192.0.2.1");
	struct ip six = ip_of("2001:db8::1"), neighbour = ip_of("2001:db8::ffff:1");
	struct ip other = ip_of("2001:db8:0:1::1");

	(void)state;
	assert_int_equal(shared_client_enter(shared, a, &four), 1);
	assert_int_equal(shared_client_enter(shared, b, &four), 2);
	assert_int_equal(shared_client_enter(shared, b, &mapped), 3);
	assert_int_equal(shared_client_enter(shared, a, &six), 1);
	assert_int_equal(shared_client_enter(shared, b, &neighbour), 2);
	assert_int_equal(shared_client_enter(shared, a, &other), 1);
	shared_client_leave(shared, a, &four);
	assert_int_equal(shared_client_enter(shared, a, &four), 3);
	shared_client_leave(shared, b, &mapped);
	shared_client_leave(shared, b, &four);
	shared_client_leave(shared, a, &four);
	shared_client_leave(shared, a, &six);
	shared_client_leave(shared, b, &neighbour);
	shared_client_leave(shared, a, &other);
	for (int i = 0; i < SHARED_SKETCH_CELLS; i++)
		for (int way = 0; way < 2; way++)
			assert_int_equal(a->clients[way][i] + b->clients[way][i], 0);
	shared_unmap(&shared);
}

/* With 10,000 clients connected once each, hardly anybody is told more than two. */
static void test_sketch_precision(void **state)
{
	struct shared *shared = map_new();
	struct shared_row *row = &shared->rows[shared_row_take(shared)];
	unsigned wrong = 0;

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		struct ip ip = {.family = IP_V4, .bytes = {10, 0, (uint8_t)(i >> 8), (uint8_t)i}};
		uint32_t said = shared_client_enter(shared, row, &ip);

		assert_true(said >= 1);
		wrong += said > 2;
	}
	assert_true(wrong < 100);
	shared_unmap(&shared);
}

/* Two processes count in rows of their own; the sum is exact. */
static void test_processes(void **state)
{
	struct shared *shared = map_new();
	int rows[2] = {shared_row_take(shared), shared_row_take(shared)};

	(void)state;
	for (int i = 0; i < 2; i++) {
		if (fork() == 0) {
			for (int n = 0; n < 100000; n++)
				shared_add(&shared->rows[rows[i]], COUNT_sessions, 1);
			_exit(0);
		}
	}
	for (int i = 0; i < 2; i++) {
		int status;

		assert_true(wait(&status) > 0 && status == 0);
	}
	assert_int_equal(shared_count(shared, COUNT_sessions), 200000);
	shared_unmap(&shared);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(shared_counter_name(COUNT_sessions), "sessions");
	assert_string_equal(shared_counter_name(COUNT_log_dropped), "log_dropped");
	assert_true(shared_counter_help(COUNT_messages_in_doubt)[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_spoken),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_sketch_precision),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * process: what the supervisor does with children that behave badly. This program is its own
 * child: started as `worker` it plays the part that $PART names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "proxy/process/process.h"

/* --- the child --- */

struct wire {
	uint32_t len, type, id, n_fds;
};

static void say(uint32_t type, uint32_t len)
{
	struct wire wire = {len, type, 0, 0};

	if (send(CHILD_FD, &wire, sizeof(wire), MSG_NOSIGNAL) < 0)
		pause(); /* found out */
}

static _Noreturn void play(const char *part)
{
	alarm(20);
	if (strcmp(part, "silent") == 0)
		pause();
	if (strcmp(part, "fails") == 0) {
		say(FRAME_FAILED, 5);
		_exit(send(CHILD_FD, "can't", 5, 0) == 5 ? 1 : 9);
	}
	if (strcmp(part, "dies early") == 0)
		abort();
	say(FRAME_READY, 0);
	if (strcmp(part, "floods") == 0)
		for (;;)
			say(FRAME_LEAVING, 0);
	if (strcmp(part, "garbage") == 0)
		say(77, UINT32_MAX);
	if (strcmp(part, "large") == 0) {
		static char bytes[PROCESS_FRAME_BYTES + 1];

		say(78, sizeof(bytes));
		for (size_t done = 0; done < sizeof(bytes);) {
			ssize_t n = send(CHILD_FD, bytes, sizeof(bytes) - done, MSG_NOSIGNAL);

			if (n < 0)
				pause();
			done += (size_t)n;
		}
	}
	if (strcmp(part, "hangs up") == 0)
		close(CHILD_FD);
	if (strcmp(part, "leaves") == 0) {
		say(FRAME_LEAVING, 0);
		_exit(0);
	}
	pause();
	_exit(9);
}

/* --- the supervisor --- */

struct fixture {
	struct loop loop;
	struct log log;
	struct process process;
	unsigned ready, failed, leaving, frames, gone, due;
	char why[64];
};

static struct fixture *of(struct process *process)
{
	return CONTAINER_OF(process, struct fixture, process);
}

static void on_ready(struct process *process)
{
	of(process)->ready++;
}

static void on_failed(struct process *process, struct span why)
{
	struct fixture *f = of(process);

	f->failed++;
	snprintf(f->why, sizeof(f->why), "%.*s", SPAN_ARGS(why));
}

static void on_leaving(struct process *process)
{
	of(process)->leaving++;
}

static void on_frame(struct process *process, const struct ipc_frame *frame)
{
	assert_int_equal(frame->n_fds, 0);
	of(process)->frames++;
}

static void on_gone(struct process *process)
{
	of(process)->gone++;
}

static void on_due(struct process *process)
{
	of(process)->due++;
	process_start(process);
}

static const struct process_handler handler = {
	on_ready, on_failed, on_leaving, on_frame, on_gone, on_due};

static struct fixture *setup(const char *part)
{
	struct fixture *f = memory_zeroed(sizeof(*f));

	setenv("PART", part, 1);
	loop_init(&f->loop);
	log_init(&f->log, -1, true, &f->loop.clock, "test");
	process_init(&f->process, "worker", 3, 1, &f->loop, &f->log, &handler, NULL);
	assert_string_equal(f->process.name, "worker 3");
	process_start(&f->process);
	assert_int_equal(f->process.state, PROCESS_STARTING);
	assert_int_not_equal(f->process.pid, 0);
	return f;
}

static void turn_until(struct fixture *f, const unsigned *what, unsigned value)
{
	const struct clock clock = {0};
	uint64_t deadline_ms = clock_now_ms(&clock) + 10000;

	while (*what < value && clock_now_ms(&clock) < deadline_ms)
		loop_turn(&f->loop, true);
	assert_int_equal(*what, value);
}

static void pass_time(struct fixture *f, uint64_t ms)
{
	f->loop.clock.offset_ms += ms;
	timers_run(&f->loop.timers);
}

static void teardown(struct fixture *f)
{
	process_stay_gone(&f->process);
	if (process_exists(&f->process)) {
		unsigned gone = f->gone;

		process_kill(&f->process, "the test is over");
		turn_until(f, &f->gone, gone + 1);
	}
	assert_int_equal(f->process.state, PROCESS_NONE);
	assert_null(f->process.ipc);
	log_close(&f->log);
	loop_close(&f->loop);
	free(f);
}

static void test_not_ready_in_time(void **state)
{
	struct fixture *f = setup("silent");

	(void)state;
	pass_time(f, PROCESS_READY_MS - 100);
	assert_null(f->process.killed_for);
	pass_time(f, 200);
	assert_non_null(f->process.killed_for);
	turn_until(f, &f->gone, 1);
	assert_int_equal(f->process.exit_signal, SIGKILL);
	assert_int_equal(f->ready, 0);
	teardown(f);
}

static void test_fails(void **state)
{
	struct fixture *f = setup("fails");

	(void)state;
	turn_until(f, &f->gone, 1);
	assert_int_equal(f->failed, 1);
	assert_string_equal(f->why, "can't");
	assert_int_equal(f->process.exit_status, 1);
	teardown(f);
}

static void test_dies_early(void **state)
{
	struct fixture *f = setup("dies early");

	(void)state;
	turn_until(f, &f->gone, 1);
	assert_int_equal(f->process.exit_signal, SIGABRT);
	assert_int_equal(f->ready, 0);
	teardown(f);
}

/* Each of these was ready, misbehaves and must be killed without anybody's help. */
static void kills(const char *part)
{
	struct fixture *f = setup(part);

	turn_until(f, &f->gone, 1);
	assert_int_equal(f->ready, 1);
	assert_int_equal(f->process.exit_signal, SIGKILL);
	assert_non_null(f->process.killed_for);
	assert_int_equal(f->frames, 0);
	teardown(f);
}

static void test_misbehaviour(void **state)
{
	(void)state;
	kills("floods");
	kills("garbage");
	kills("large");
	kills("hangs up");
}

static void test_leaves(void **state)
{
	struct fixture *f = setup("leaves");

	(void)state;
	turn_until(f, &f->gone, 1);
	assert_int_equal(f->leaving, 1);
	assert_int_equal(f->process.exit_status, 0);
	assert_int_equal(f->process.exit_signal, 0);
	teardown(f);
}

static void test_does_not_leave_in_time(void **state)
{
	struct fixture *f = setup("good");

	(void)state;
	turn_until(f, &f->ready, 1);
	process_leave(&f->process, 5000);
	pass_time(f, 4900);
	assert_null(f->process.killed_for);
	pass_time(f, 200);
	turn_until(f, &f->gone, 1);
	assert_int_equal(f->process.exit_signal, SIGKILL);
	teardown(f);
}

/* 100 ms, doubled up to 10 s; at once again after ten seconds of life. */
static void test_back_off(void **state)
{
	struct fixture *f = setup("good");
	uint64_t expected_ms = PROCESS_BACKOFF_FIRST_MS;

	(void)state;
	for (unsigned i = 1; i <= 10; i++) {
		turn_until(f, &f->ready, i);
		process_kill(&f->process, "test");
		turn_until(f, &f->gone, i);
		process_start_later(&f->process);
		assert_int_equal(f->process.state, PROCESS_WAITING);
		assert_int_equal(f->process.restarts, i);
		assert_int_equal(f->process.backoff_ms, expected_ms);
		if (expected_ms > 100)
			pass_time(f, expected_ms - 100);
		assert_int_equal(f->due, i - 1);
		pass_time(f, 150);
		turn_until(f, &f->due, i);
		expected_ms = expected_ms * 2 < 10000 ? expected_ms * 2 : 10000;
	}
	turn_until(f, &f->ready, 11);
	f->loop.clock.offset_ms += PROCESS_STABLE_MS;
	process_kill(&f->process, "test");
	turn_until(f, &f->gone, 11);
	process_start_later(&f->process);
	assert_int_equal(f->process.backoff_ms, 0);
	turn_until(f, &f->due, 11);
	turn_until(f, &f->ready, 12);
	teardown(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_ready_in_time),
		cmocka_unit_test(test_fails),
		cmocka_unit_test(test_dies_early),
		cmocka_unit_test(test_misbehaviour),
		cmocka_unit_test(test_leaves),
		cmocka_unit_test(test_does_not_leave_in_time),
		cmocka_unit_test(test_back_off),
	};

	if (argc > 1 && strcmp(argv[1], "worker") == 0)
		play(getenv("PART"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

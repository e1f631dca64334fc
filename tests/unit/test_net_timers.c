/*
 * Timers on the wheel: never early, late by two ticks at most, whatever is set and cleared while
 * others fire, and however the clock jumps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/base/fail.h"
#include "lib/net/loop.h"

enum { MANY = 5000, LATE_MAX_MS = 2 * TIMER_TICK_MS };

struct probe {
	struct timer timer;
	struct loop *loop;
	uint64_t due_ms, fired_ms;
	unsigned fired;
	struct probe *other; /* what `act` acts on */
	void (*act)(struct probe *);
};

static void on_fire(struct timer *timer)
{
	struct probe *p = CONTAINER_OF(timer, struct probe, timer);

	assert_false(timer_is_set(timer));
	p->fired++;
	p->fired_ms = loop_now_ms(p->loop);
	assert_true(p->fired_ms >= p->due_ms);
	if (p->act)
		p->act(p);
}

static void probe_set(struct probe *p, struct loop *loop, uint64_t delay_ms)
{
	p->timer.fire = on_fire;
	p->loop = loop;
	p->due_ms = loop_now_ms(loop) + delay_ms;
	timer_set(&loop->timers, &p->timer, delay_ms);
	assert_true(timer_is_set(&p->timer));
}

static void move(struct loop *loop, uint64_t ms)
{
	loop->clock.offset_ms += ms;
	timers_run(&loop->timers);
}

static uint32_t dice(uint32_t *seed, uint32_t sides)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed % sides;
}

static void finish(struct loop *loop)
{
	assert_int_equal(loop->timers.count, 0);
	loop_close(loop);
}

/* Thousands at random, with steps of all sizes; a third is cleared, a third set anew. */
static void test_never_early(void **state)
{
	struct probe *probes = memory_zeroed(MANY * sizeof(*probes));
	uint32_t seed = 4711;
	struct loop loop;
	uint64_t step_ms = 0;

	(void)state;
	loop_init(&loop);
	for (unsigned i = 0; i < MANY; i++)
		probe_set(&probes[i], &loop, dice(&seed, 60000));
	for (unsigned i = 0; i < MANY; i += 3)
		timer_clear(&loop.timers, &probes[i].timer);
	for (unsigned i = 1; i < MANY; i += 3)
		probe_set(&probes[i], &loop, dice(&seed, 40000));
	for (uint64_t at_ms = 0; at_ms < 70000; at_ms += step_ms) {
		uint64_t now_ms = loop_now_ms(&loop);

		for (unsigned i = 1; i < MANY; i += i % 3 == 1 ? 1 : 2)
			if (!probes[i].fired)
				assert_true(probes[i].due_ms + LATE_MAX_MS >= now_ms);
		/* Small steps, so that what is late is seen to be. */
		step_ms = dice(&seed, TIMER_TICK_MS) + 1;
		move(&loop, step_ms);
	}
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(probes[i].fired, i % 3 != 0);
		if (i % 3)
			assert_true(probes[i].fired_ms <= probes[i].due_ms + LATE_MAX_MS);
	}
	finish(&loop);
	free(probes);
}

/* Longer than a turn of the wheel. */
static void test_far_away(void **state)
{
	static const uint64_t delays_ms[] = {TIMER_TICK_MS * TIMER_SLOTS - 1,
		TIMER_TICK_MS * TIMER_SLOTS, TIMER_TICK_MS * TIMER_SLOTS + 1, 300000, 86400000};
	struct probe probes[COUNT_OF(delays_ms)] = {{.fired = 0}};
	struct loop loop;

	(void)state;
	loop_init(&loop);
	for (size_t i = 0; i < COUNT_OF(delays_ms); i++)
		probe_set(&probes[i], &loop, delays_ms[i]);
	for (size_t i = 0; i < COUNT_OF(delays_ms); i++) {
		uint64_t now_ms = loop_now_ms(&loop);

		move(&loop, probes[i].due_ms - now_ms - 1);
		assert_int_equal(probes[i].fired, 0);
		move(&loop, 1 + LATE_MAX_MS);
		assert_int_equal(probes[i].fired, 1);
		/* The next one's due time lies behind: none of these differ by less than a tick but
		 * the first three. */
		if (i == 0) {
			assert_int_equal(probes[1].fired, 1);
			assert_int_equal(probes[2].fired, 1);
			i = 2;
		}
	}
	finish(&loop);
}

/* A machine that slept: all that is due fires, once, and what is set behind it is right. */
static void test_clock_jump(void **state)
{
	struct probe probes[100] = {{.fired = 0}}, after = {.fired = 0};
	struct loop loop;

	(void)state;
	loop_init(&loop);
	for (size_t i = 0; i < COUNT_OF(probes); i++)
		probe_set(&probes[i], &loop, i * 1000);
	move(&loop, 3600 * 1000 * UINT64_C(1000));
	for (size_t i = 0; i < COUNT_OF(probes); i++)
		assert_int_equal(probes[i].fired, 1);
	probe_set(&after, &loop, 100);
	move(&loop, 99);
	assert_int_equal(after.fired, 0);
	move(&loop, 1 + LATE_MAX_MS);
	assert_int_equal(after.fired, 1);
	finish(&loop);
}

static void clear_other(struct probe *p)
{
	timer_clear(&p->loop->timers, &p->other->timer);
}

static void set_other_again(struct probe *p)
{
	probe_set(p->other, p->loop, 500);
}

static void set_self_again(struct probe *p)
{
	if (p->fired < 3)
		probe_set(p, p->loop, 0);
}

/* Both are due; the first takes the second away. */
static void test_cleared_while_firing(void **state)
{
	struct probe first = {.act = clear_other}, second = {.act = clear_other};
	struct loop loop;

	(void)state;
	loop_init(&loop);
	first.other = &second;
	second.other = &first;
	probe_set(&first, &loop, 100);
	probe_set(&second, &loop, 100);
	move(&loop, 1000);
	assert_int_equal(first.fired + second.fired, 1);
	finish(&loop);
}

/* Both are due; the first puts the second off. */
static void test_put_off_while_firing(void **state)
{
	struct probe first = {.act = set_other_again}, second = {.fired = 0};
	struct loop loop;

	(void)state;
	loop_init(&loop);
	first.other = &second;
	probe_set(&first, &loop, 100);
	probe_set(&second, &loop, 100);
	move(&loop, 1000);
	assert_int_equal(first.fired, 1);
	assert_int_equal(second.fired, 0);
	move(&loop, 499);
	assert_int_equal(second.fired, 0);
	move(&loop, 1 + LATE_MAX_MS);
	assert_int_equal(second.fired, 1);
	finish(&loop);
}

/* Set anew with no delay from its own firing: in a later run, not for ever in this one. */
static void test_set_from_itself(void **state)
{
	struct probe p = {.act = set_self_again};
	struct loop loop;

	(void)state;
	loop_init(&loop);
	probe_set(&p, &loop, 10);
	move(&loop, 100);
	assert_int_equal(p.fired, 1);
	move(&loop, LATE_MAX_MS);
	assert_int_equal(p.fired, 2);
	move(&loop, LATE_MAX_MS);
	assert_int_equal(p.fired, 3);
	move(&loop, 1000);
	assert_int_equal(p.fired, 3);
	finish(&loop);
}

/* The wheel's own libuv timer: nobody moves the clock, the loop alone turns. */
static void test_real_time(void **state)
{
	struct probe near = {.fired = 0}, nearer = {.fired = 0}, cleared = {.fired = 0};
	struct loop loop;

	(void)state;
	loop_init(&loop);
	probe_set(&near, &loop, 60);
	probe_set(&cleared, &loop, 5);
	probe_set(&nearer, &loop, 20);
	timer_clear(&loop.timers, &cleared.timer);
	while (!near.fired)
		loop_turn(&loop, true);
	assert_int_equal(nearer.fired, 1);
	assert_int_equal(cleared.fired, 0);
	assert_true(nearer.fired_ms < near.fired_ms);
	/* Nothing is set: nothing keeps the loop alive. */
	assert_false(loop_turn(&loop, false));
	finish(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_early),
		cmocka_unit_test(test_far_away),
		cmocka_unit_test(test_clock_jump),
		cmocka_unit_test(test_cleared_while_firing),
		cmocka_unit_test(test_put_off_while_firing),
		cmocka_unit_test(test_set_from_itself),
		cmocka_unit_test(test_real_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The clock goes forward, and further with its offset; wall time is written as RFC 3339 has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <cmocka.h>

#include "lib/base/clock.h"

static void test_forward(void **state)
{
	struct clock clock = {0}, later = {300000};
	uint64_t us = clock_now_us(&clock), ms = clock_now_ms(&clock);

	(void)state;
	assert_true(clock_now_us(&clock) >= us);
	assert_true(clock_now_ms(&clock) >= us / 1000);
	assert_in_range(clock_now_ms(&later), ms + 300000, ms + 330000);
	assert_in_range(clock_wall_ms(&clock), (uint64_t)time(NULL) * 1000 - 2000,
		(uint64_t)time(NULL) * 1000 + 2000);
	assert_true(clock_wall_ms(&later) >= clock_wall_ms(&clock) + 290000);
}

static void test_rfc3339(void **state)
{
	char text[CLOCK_RFC3339_SIZE];

	(void)state;
	clock_rfc3339(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_rfc3339(1795449599007, text);
	assert_string_equal(text, "2026-11-23T15:59:59.007Z");
	clock_rfc3339(253402300799999, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_rfc3339),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

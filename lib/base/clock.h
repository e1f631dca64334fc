/*
 * clock: monotonic milliseconds for deadlines and wall time for people. A test moves it forward
 * by an offset, so that a five-minute timeout is tried in no time.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

struct clock {
	uint64_t offset_ms; /* added to the real time; 0 outside of tests */
};

/* Milliseconds of CLOCK_MONOTONIC; microseconds for measuring. */
uint64_t clock_now_ms(const struct clock *clock);
uint64_t clock_now_us(const struct clock *clock);

/* Milliseconds since 1970 (CLOCK_REALTIME). */
uint64_t clock_wall_ms(const struct clock *clock);

/* RFC 3339 in UTC with milliseconds, 2026-01-31T12:00:00.000Z; out has 25 bytes. */
enum { CLOCK_RFC3339_SIZE = 25 };
void clock_rfc3339(uint64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);

#endif

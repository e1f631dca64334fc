#include "lib/base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_now_us(const struct clock *clock)
{
	return read_us(CLOCK_MONOTONIC) + clock->offset_ms * 1000;
}

uint64_t clock_now_ms(const struct clock *clock)
{
	return clock_now_us(clock) / 1000;
}

uint64_t clock_wall_ms(const struct clock *clock)
{
	return read_us(CLOCK_REALTIME) / 1000 + clock->offset_ms;
}

void clock_rfc3339(uint64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm t;
	size_t len;

	gmtime_r(&seconds, &t);
	len = strftime(out, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &t);
	snprintf(out + len, CLOCK_RFC3339_SIZE - len, ".%03uZ", (unsigned)(wall_ms % 1000));
}

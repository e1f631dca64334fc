#include "lib/base/clock.h"

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

/* Days since 1970 to a date, by Howard Hinnant's civil_from_days: a line of log needs no gmtime. */
static void civil(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
	uint64_t z = days + 719468, era = z / 146097, of_era = z - era * 146097;
	uint64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint64_t shifted = (5 * of_year + 2) / 153; /* March is 0 */

	*day = (unsigned)(of_year - (153 * shifted + 2) / 5 + 1);
	*month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
	*year = (unsigned)(year_of_era + era * 400 + (*month <= 2));
}

static char *digits(char *out, uint64_t number, unsigned count, char behind)
{
	for (unsigned i = count; i-- > 0; number /= 10)
		out[i] = (char)('0' + number % 10);
	out[count] = behind;
	return out + count + 1;
}

void clock_rfc3339(uint64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
	uint64_t seconds = wall_ms / 1000, of_day = seconds % 86400;
	unsigned year, month, day;

	civil(seconds / 86400, &year, &month, &day);
	out = digits(out, year, 4, '-');
	out = digits(out, month, 2, '-');
	out = digits(out, day, 2, 'T');
	out = digits(out, of_day / 3600, 2, ':');
	out = digits(out, of_day / 60 % 60, 2, ':');
	out = digits(out, of_day % 60, 2, '.');
	out = digits(out, wall_ms % 1000, 3, 'Z');
	*out = '\0';
}

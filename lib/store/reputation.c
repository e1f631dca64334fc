#include "lib/store/reputation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/store/grey.h"

/* How many messages the prior weighs; how many bad messages one to a trap is. */
static const double PRIOR_WEIGHT = 10, TRAP_WEIGHT = 10;

/* Known to be good: so many good ones, and of a hundred at most two that were not. */
static const double GOOD_MIN = 20, BAD_SHARE_MAX = 0.02;

enum { NUMBER_MAX = 32, PART_MAX = 1000 };

double reputation_value(const struct reputation *counts, double prior)
{
	double bad = counts->bad + TRAP_WEIGHT * counts->traps;

	return (counts->good - bad + PRIOR_WEIGHT * prior) / (counts->good + bad + PRIOR_WEIGHT);
}

bool known_good(const struct reputation *counts)
{
	double bad = counts->bad + TRAP_WEIGHT * counts->traps;

	return counts->good >= GOOD_MIN && bad <= BAD_SHARE_MAX * counts->good;
}

void reputation_fade(struct reputation *counts, uint64_t age_ms)
{
	double left = exp2(-(double)age_ms / (double)REPUTATION_HALF_LIFE_MS);

	counts->good *= left;
	counts->bad *= left;
	counts->traps *= left;
}

bool reputation_write(const struct reputation *counts, struct buffer *out)
{
	return buffer_print(out, "%.3f %.3f %.3f\n", counts->good, counts->bad, counts->traps);
}

static bool read_number(struct span text, double *out)
{
	char copy[NUMBER_MAX], *end;

	if (text.len == 0 || text.len >= sizeof(copy) || !ascii_is_digit(text.at[0]))
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	*out = strtod(copy, &end);
	return *end == '\0' && isfinite(*out);
}

bool reputation_read(struct span *lines, struct reputation *out)
{
	size_t end = span_find_char(*lines, '\n');
	struct span line = span_first(*lines, end);

	*lines = span_from(*lines, end + 1);
	return read_number(span_word(&line), &out->good) &&
	       read_number(span_word(&line), &out->bad) &&
	       read_number(span_word(&line), &out->traps);
}

bool reputation_read_part(struct span part, double *out)
{
	return read_number(part, out) && *out <= PART_MAX;
}

bool reputation_key_of_client(const struct ip *client, struct buffer *out)
{
	return buffer_add_text(out, "net ") && network_write(client, out);
}

bool reputation_key_of_asn(uint64_t asn, struct buffer *out)
{
	return buffer_print(out, "asn %llu", (unsigned long long)asn);
}

static bool write_lower(struct span text, struct buffer *out)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = ascii_lower(text.at[i]);

		if (!buffer_add(out, span_make(&c, 1)))
			return false;
	}
	return true;
}

bool reputation_key_of_domain(struct span domain, struct buffer *out)
{
	return buffer_add_text(out, "domain ") && write_lower(domain, out);
}

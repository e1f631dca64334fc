#include "lib/base/nearest.h"

enum { WORD_MAX = 48 }; /* longer words are never suggested for */

struct nearest nearest_to(struct span word)
{
	return (struct nearest){word, NULL, word.len / 3 + (word.len > 1)};
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours, each counted once (optimal string
 * alignment). */
static size_t distance_between(struct span a, struct span b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= b.len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t *spare = before;

		now[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			char x = ascii_lower(a.at[i - 1]), y = ascii_lower(b.at[j - 1]);

			now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == ascii_lower(b.at[j - 2]) &&
				y == ascii_lower(a.at[i - 2]))
				now[j] = least(now[j], before[j - 2] + 1);
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[b.len];
}

void nearest_offer(struct nearest *nearest, const char *candidate)
{
	struct span other = span_text(candidate);
	size_t distance;

	if (nearest->word.len > WORD_MAX || other.len > WORD_MAX || other.len == 0)
		return;
	if (nearest->word.len > other.len + nearest->distance ||
		other.len > nearest->word.len + nearest->distance)
		return;
	distance = distance_between(nearest->word, other);
	/* A word of which little is left is not near. */
	if (2 * distance > nearest->word.len || distance >= other.len)
		return;
	if (distance < nearest->distance || (distance == nearest->distance && !nearest->best)) {
		nearest->best = candidate;
		nearest->distance = distance;
	}
}

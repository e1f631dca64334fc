/* bits: sets of small numbers (of rules), 64 to a word. */
#ifndef POLICY_BITS_H
#define POLICY_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t bits_words(size_t n)
{
	return (n + 63) / 64;
}

static inline bool bits_has(const uint64_t *set, size_t i)
{
	return set[i / 64] >> (i % 64) & 1;
}

static inline void bits_add(uint64_t *set, size_t i)
{
	set[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline void bits_drop(uint64_t *set, size_t i)
{
	set[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

/* The first member at or behind `from` of the intersection of two sets; `end` when there is none
 * before it. */
static inline size_t bits_next(const uint64_t *a, const uint64_t *b, size_t from, size_t end)
{
	while (from < end) {
		uint64_t word = (a[from / 64] & b[from / 64]) >> (from % 64);

		if (word) {
			from += (size_t)__builtin_ctzll(word);
			return from < end ? from : end;
		}
		from = (from / 64 + 1) * 64;
	}
	return end;
}

#endif

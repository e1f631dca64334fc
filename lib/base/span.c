#include "lib/base/span.h"

bool span_equal_nocase(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (ascii_lower(a.at[i]) != ascii_lower(b.at[i]))
			return false;
	return true;
}

bool span_starts(struct span s, struct span prefix)
{
	return s.len >= prefix.len && span_equal(span_first(s, prefix.len), prefix);
}

bool span_starts_nocase(struct span s, struct span prefix)
{
	return s.len >= prefix.len && span_equal_nocase(span_first(s, prefix.len), prefix);
}

bool span_ends_nocase(struct span s, struct span suffix)
{
	return s.len >= suffix.len && span_equal_nocase(span_from(s, s.len - suffix.len), suffix);
}

size_t span_find_char(struct span s, char c)
{
	const char *found = s.len ? memchr(s.at, c, s.len) : NULL;

	return found ? (size_t)(found - s.at) : s.len;
}

size_t span_find(struct span s, struct span needle)
{
	const char *found = s.len ? memmem(s.at, s.len, needle.at, needle.len) : NULL;

	return found ? (size_t)(found - s.at) : s.len;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
	while (s.len && is_blank(s.at[0]))
		s = span_from(s, 1);
	while (s.len && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

struct span span_word(struct span *rest)
{
	struct span s = *rest;
	size_t len = 0;

	while (s.len && is_blank(s.at[0]))
		s = span_from(s, 1);
	while (len < s.len && !is_blank(s.at[len]))
		len++;
	*rest = span_from(s, len);
	while (rest->len && is_blank(rest->at[0]))
		*rest = span_from(*rest, 1);
	return span_first(s, len);
}

bool span_number(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit;

		if (!ascii_is_digit(s.at[i]))
			return false;
		digit = (unsigned)(s.at[i] - '0');
		if (max < digit || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return value <= max;
}

/* SipHash-2-4, Aumasson and Bernstein 2012. */
#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define SIPROUND                                                                                   \
	do {                                                                                       \
		v0 += v1;                                                                          \
		v1 = ROTL(v1, 13) ^ v0;                                                            \
		v0 = ROTL(v0, 32);                                                                 \
		v2 += v3;                                                                          \
		v3 = ROTL(v3, 16) ^ v2;                                                            \
		v0 += v3;                                                                          \
		v3 = ROTL(v3, 21) ^ v0;                                                            \
		v2 += v1;                                                                          \
		v1 = ROTL(v1, 17) ^ v2;                                                            \
		v2 = ROTL(v2, 32);                                                                 \
	} while (0)

static uint64_t load64(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

uint64_t span_hash(struct span s, const uint8_t key[16])
{
	uint64_t k0 = load64((const char *)key), k1 = load64((const char *)key + 8);
	uint64_t v0 = 0x736f6d6570736575ULL ^ k0, v1 = 0x646f72616e646f6dULL ^ k1;
	uint64_t v2 = 0x6c7967656e657261ULL ^ k0, v3 = 0x7465646279746573ULL ^ k1;
	uint64_t last = (uint64_t)s.len << 56;
	size_t i = 0;

	for (; i + 8 <= s.len; i += 8) {
		uint64_t word = load64(s.at + i);

		v3 ^= word;
		SIPROUND;
		SIPROUND;
		v0 ^= word;
	}
	for (unsigned shift = 0; i < s.len; i++, shift += 8)
		last |= (uint64_t)(uint8_t)s.at[i] << shift;
	v3 ^= last;
	SIPROUND;
	SIPROUND;
	v0 ^= last;
	v2 ^= 0xff;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

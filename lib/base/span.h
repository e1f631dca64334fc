/*
 * span: bytes borrowed from somewhere else, with their length; never NUL-terminated by
 * promise. The one way in which outside text travels through the code.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/attributes.h"

struct span {
	const char *at; /* borrowed */
	size_t len;
};

/* SPAN("text"): a literal as span. SPAN_ARGS(s): for printf's "%.*s". */
#define SPAN(literal) ((struct span){"" literal, sizeof(literal) - 1})
#define SPAN_NONE     ((struct span){NULL, 0})
#define SPAN_ARGS(s)  (int)(s).len, ((s).at ? (s).at : "")

static inline struct span span_make(const void *at, size_t len)
{
	return (struct span){at, len};
}

static inline struct span span_text(const char *text)
{
	return (struct span){text, text ? strlen(text) : 0};
}

static inline struct span span_from(struct span s, size_t start)
{
	size_t skip = start < s.len ? start : s.len;

	/* No sum with a null pointer: that of nothing is no pointer at all in C17. */
	return (struct span){skip ? s.at + skip : s.at, s.len - skip};
}

static inline struct span span_first(struct span s, size_t count)
{
	return (struct span){s.at, count < s.len ? count : s.len};
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* ASCII only, whatever the locale. */
static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline bool ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool ascii_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool span_equal_nocase(struct span a, struct span b);
bool span_starts(struct span s, struct span prefix);
bool span_starts_nocase(struct span s, struct span prefix);
bool span_ends_nocase(struct span s, struct span suffix);

/* Index of the first such byte, or s.len. */
size_t span_find_char(struct span s, char c);

/* Index of the first occurrence, or s.len. */
size_t span_find(struct span s, struct span needle);

/* Without leading and trailing blanks and tabs. */
struct span span_trim(struct span s);

/* Cuts off and returns what stands before the next run of blanks and tabs; *rest goes on behind
 * it. */
struct span span_word(struct span *rest);

/* Decimal digits only, all of them; false when empty, not a number or above max. */
bool span_number(struct span s, uint64_t max, uint64_t *out) MUST_CHECK;

/* SipHash-2-4 of the bytes under a 16-byte key: safe to index tables with outside text. */
uint64_t span_hash(struct span s, const uint8_t key[16]);

#endif

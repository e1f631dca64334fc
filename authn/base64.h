/*
 * base64: as signatures and keys have it (RFC 6376 2.10): blanks and folds are passed over, all
 * else is strict.
 */
#ifndef AUTHN_BASE64_H
#define AUTHN_BASE64_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/span.h"

/* From BASE64_FIRST on: one more than what a character stands for; 0: it is none. A table, since
 * the digits of keys and signatures are in no order that a processor could guess. */
enum { BASE64_FIRST = '+', BASE64_LAST = 'z' };
extern const uint8_t base64_digits[BASE64_LAST - BASE64_FIRST + 1];

/* -1: it is none. */
static inline int base64_digit(char c)
{
	return c < BASE64_FIRST || c > BASE64_LAST ? -1 : base64_digits[c - BASE64_FIRST] - 1;
}

/* false: not base64, or longer than size. */
bool base64_read(struct span text, uint8_t *out, size_t size, size_t *len) MUST_CHECK;

#endif

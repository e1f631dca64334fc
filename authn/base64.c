#include "authn/base64.h"

#include "lib/mail/tag_list.h"

/* From FIRST on: one more than what a character stands for; 0: it is none. A table, since the
 * digits of keys and signatures are in no order that a processor could guess. */
enum { FIRST = '+', LAST = 'z' };
static const uint8_t digits_of[LAST - FIRST + 1] = {63, 0, 0, 0, 64, 53, 54, 55, 56, 57, 58, 59, 60,
	61, 62, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
	19, 20, 21, 22, 23, 24, 25, 26, 0, 0, 0, 0, 0, 0, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36,
	37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52};

/* -1: it is none. */
static inline int base64_digit(char c)
{
	return c < FIRST || c > LAST ? -1 : digits_of[c - FIRST] - 1;
}

bool base64_read(struct span text, uint8_t *out, size_t size, size_t *len)
{
	size_t digits = 0, padding = 0;
	unsigned group = 0;

	*len = 0;
	for (size_t i = 0; i < text.len; i++) {
		int digit = base64_digit(text.at[i]);

		if (digit < 0 && is_fws(text.at[i]))
			continue;
		if (text.at[i] == '=') {
			padding++;
			continue;
		}
		if (digit < 0 || padding)
			return false;
		group = group << 6 | (unsigned)digit;
		if (++digits % 4 == 1)
			continue;
		if (*len == size)
			return false;
		/* Of the last digit 2, 4 or all 6 bits belong to the byte that it completes. */
		out[(*len)++] = (uint8_t)(group >> (2 * ((4 - digits % 4) % 4)));
	}
	return digits > 1 && digits % 4 != 1 && padding <= 2;
}

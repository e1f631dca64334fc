#include "authn/base64.h"

#include "lib/mail/tag_list.h"

static int digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_read(struct span text, uint8_t *out, size_t size, size_t *len)
{
	size_t digits = 0, padding = 0;
	unsigned group = 0;

	*len = 0;
	for (size_t i = 0; i < text.len; i++) {
		int digit = digit_of(text.at[i]);

		if (is_fws(text.at[i]))
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

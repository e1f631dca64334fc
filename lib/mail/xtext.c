/*
 * xtext (RFC 3461 4): printable ASCII without blanks, '+' and '='; all else is "+HH". Values of
 * ORCPT and ENVID, of XCLIENT and of XFORWARD are written so.
 */
#include "lib/mail/command.h"

static bool is_xchar(unsigned char c)
{
	return c >= 33 && c <= 126 && c != '+' && c != '=';
}

/* The RFC has capitals only; small ones are seen too and mean the same. */
static int hex_digit(char c)
{
	c = ascii_lower(c);
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool xtext_encode(struct span text, struct buffer *out)
{
	static const char digits[] = "0123456789ABCDEF";
	char *at = buffer_reserve(out, 3 * text.len);
	size_t len = 0;

	if (!at)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (is_xchar(c)) {
			at[len++] = (char)c;
		} else {
			at[len++] = '+';
			at[len++] = digits[c >> 4];
			at[len++] = digits[c & 15];
		}
	}
	buffer_added(out, len);
	return true;
}

bool xtext_decode(struct span text, char *out, size_t *len)
{
	*len = 0;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (c == '+') {
			int high = i + 2 < text.len ? hex_digit(text.at[i + 1]) : -1;
			int low = i + 2 < text.len ? hex_digit(text.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (!is_xchar((unsigned char)c)) {
			return false;
		}
		out[(*len)++] = c;
	}
	return true;
}

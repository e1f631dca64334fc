#include "lib/store/redis_item.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/attributes.h"
#include "lib/list/image.h"

enum { TEXT_MAX = IMAGE_KEY_MAX };

static void skip_blanks(struct span *at)
{
	while (at->len && memchr(" \t\r\n", at->at[0], 4))
		*at = span_from(*at, 1);
}

static bool take(struct span *at, char c)
{
	skip_blanks(at);
	if (!at->len || at->at[0] != c)
		return false;
	*at = span_from(*at, 1);
	return true;
}

static int hex4(struct span at)
{
	int value = 0;

	if (at.len < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = ascii_lower(at.at[i]);

		if (!ascii_is_digit(c) && (c < 'a' || c > 'f'))
			return -1;
		value = value * 16 + (ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
	}
	return value;
}

static size_t put_utf8(uint32_t code, char *out)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

/* Behind `\u`. */
static bool take_unicode(struct span *at, char *out, size_t *n)
{
	int code = hex4(*at), low;
	uint32_t whole;

	if (code <= 0)
		return false;
	*at = span_from(*at, 4);
	whole = (uint32_t)code;
	if (code >= 0xd800 && code < 0xdc00) {
		if (!span_starts(*at, SPAN("\\u")))
			return false;
		low = hex4(span_from(*at, 2));
		if (low < 0xdc00 || low > 0xdfff)
			return false;
		*at = span_from(*at, 6);
		whole = 0x10000 + (((uint32_t)code - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
	} else if (code >= 0xdc00 && code < 0xe000) {
		return false;
	}
	*n += put_utf8(whole, out + *n);
	return true;
}

static bool take_escape(struct span *at, char *out, size_t *n)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *which;
	char c;

	if (!at->len)
		return false;
	c = at->at[0];
	*at = span_from(*at, 1);
	if (c == 'u')
		return take_unicode(at, out, n);
	which = c ? strchr(from, c) : NULL;
	if (!which)
		return false;
	out[(*n)++] = to[which - from];
	return true;
}

/* false: no string, or one that is too long. */
static bool take_string(struct span *at, struct arena *arena, struct span *out)
{
	char text[TEXT_MAX + 4];
	size_t n = 0;

	if (!take(at, '"'))
		return false;
	while (at->len && at->at[0] != '"') {
		char c = at->at[0];

		if (n >= TEXT_MAX)
			return false;
		*at = span_from(*at, 1);
		if (c != '\\')
			text[n++] = c;
		else if (!take_escape(at, text, &n))
			return false;
	}
	if (!take(at, '"'))
		return false;
	*out = arena_span(arena, span_make(text, n));
	return true;
}

/* A number's whole part; a word (true, null) is 0. */
static bool take_plain(struct span *at, uint64_t *out)
{
	size_t n = 0, whole;

	skip_blanks(at);
	while (n < at->len && !memchr(",} \t\r\n\"[{", at->at[n], 9))
		n++;
	whole = span_find_char(span_first(*at, n), '.');
	if (!span_number(span_first(*at, whole), UINT32_MAX, out))
		*out = 0;
	*at = span_from(*at, n);
	return n > 0;
}

static bool take_member(struct span *at, struct arena *arena, struct redis_item *out)
{
	struct span name, text = SPAN_NONE;
	uint64_t number = 0;
	bool is_text;

	if (!take_string(at, arena, &name) || !take(at, ':'))
		return false;
	skip_blanks(at);
	is_text = at->len && at->at[0] == '"';
	if (!(is_text ? take_string(at, arena, &text) : take_plain(at, &number)))
		return false;
	if (span_equal(name, SPAN("reason")))
		out->reason = text;
	else if (span_equal(name, SPAN("item")))
		out->item = text;
	else if (span_equal(name, SPAN("expires")) &&
		 (!is_text || span_number(text, UINT32_MAX, &number)))
		out->expires_s = (uint32_t)number;
	return true;
}

static bool read_object(struct span at, struct arena *arena, struct redis_item *out)
{
	if (!take(&at, '{'))
		return false;
	if (!take(&at, '}')) {
		do {
			if (!take_member(&at, arena, out))
				return false;
		} while (take(&at, ','));
		if (!take(&at, '}'))
			return false;
	}
	skip_blanks(&at);
	return at.len == 0;
}

void redis_item_read(struct span value, struct arena *arena, struct redis_item *out)
{
	*out = (struct redis_item){.expires_s = 0};
	if (!read_object(value, arena, out))
		*out = (struct redis_item){
			.reason = arena_span(arena, span_first(value, IMAGE_REASON_MAX))};
	out->reason = span_first(out->reason, IMAGE_REASON_MAX);
}

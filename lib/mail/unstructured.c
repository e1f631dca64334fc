#include "lib/mail/unstructured.h"

#include "lib/mail/address.h"

enum {
	LINE_WANTED = 78, /* RFC 5322 2.1.1 */
	TOKEN_MAX = 900,  /* so that with a field's name it stays below 998 */
	WORD_LINE = 76,   /* RFC 2047 2: of a line with an encoded word */
	WORD_MAX = 75,    /* of an encoded word with its marks */
	WORD_PAYLOAD_MIN = 16
};

static const struct span word_begin = {"=?utf-8?q?", 10}, word_end = {"?=", 2};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Bytes of the UTF-8 character at the front of a text that is not empty; 0: that is none. */
static size_t character(struct span text)
{
	unsigned char first = (unsigned char)text.at[0];
	size_t len = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;

	return len <= text.len && utf8_valid(span_first(text, len)) ? len : 0;
}

static bool is_control(struct span c)
{
	unsigned char first = (unsigned char)c.at[0];

	return first < 32 || first == 127 || (first == 0xc2 && (unsigned char)c.at[1] < 0xa0);
}

struct span unstructured_clean(struct arena *arena, struct span text, size_t max)
{
	char *copy = arena_alloc(arena, (text.len < max ? text.len : max) + 1);
	size_t len = 0;

	while (text.len) {
		size_t size = character(text);
		struct span c = size == 0                            ? SPAN("?")
				: is_control(span_first(text, size)) ? SPAN(" ")
								     : span_first(text, size);

		if (len + c.len > max)
			break;
		memcpy(copy + len, c.at, c.len);
		len += c.len;
		text = span_from(text, size ? size : 1);
	}
	return span_trim(span_make(copy, len));
}

/* Bytes of the blanks at the front and the word behind them: what a fold can't part. */
static size_t token_length(struct span text)
{
	size_t len = 0;

	while (len < text.len && is_blank(text.at[len]))
		len++;
	while (len < text.len && !is_blank(text.at[len]))
		len++;
	return len;
}

bool unstructured_needs_encoding(struct span text, bool utf8)
{
	for (size_t i = 0; i < text.len && !utf8; i++)
		if ((unsigned char)text.at[i] > 126)
			return true;
	while (text.len) {
		size_t len = token_length(text);

		if (len > TOKEN_MAX)
			return true;
		text = span_from(text, len);
	}
	return false;
}

/* RFC 2047 4.2 and 5 (1). */
static bool encode_byte(char c, struct buffer *out)
{
	if (c == ' ')
		return buffer_add_char(out, '_');
	if (c > 32 && c < 127 && c != '=' && c != '?' && c != '_')
		return buffer_add_char(out, c);
	return buffer_print(out, "=%02X", (unsigned char)c);
}

static size_t encoded_length(struct span c)
{
	char only = c.at[0];
	bool plain =
		c.len == 1 && only >= 32 && only < 127 && only != '=' && only != '?' && only != '_';

	return plain ? 1 : 3 * c.len;
}

/* One encoded word of as many characters as fit in `room` bytes of payload, taken off *text. */
static bool encode_word(struct span *text, size_t room, struct buffer *out)
{
	bool ok = buffer_add(out, word_begin);

	while (text->len && ok) {
		size_t size = character(*text);
		struct span c = span_first(*text, size ? size : 1);

		if (encoded_length(c) > room)
			break;
		room -= encoded_length(c);
		for (size_t i = 0; i < c.len && ok; i++)
			ok = encode_byte(c.at[i], out);
		*text = span_from(*text, c.len);
	}
	return ok && buffer_add(out, word_end);
}

bool unstructured_encode(struct span text, size_t column, struct buffer *out)
{
	const size_t marks = word_begin.len + word_end.len, most = WORD_MAX - marks;
	size_t room = most;
	bool ok = true;

	if (column + marks + WORD_PAYLOAD_MIN <= WORD_LINE && column + WORD_MAX > WORD_LINE)
		room = WORD_LINE - column - marks;
	for (bool first = true; text.len && ok; first = false) {
		ok = (first || buffer_add_text(out, "\r\n ")) && encode_word(&text, room, out);
		room = most;
	}
	return ok;
}

bool unstructured_write(struct span text, size_t column, bool utf8, struct buffer *out)
{
	bool ok = true;

	if (unstructured_needs_encoding(text, utf8))
		return unstructured_encode(text, column, out);
	for (bool first = true; text.len && ok; first = false) {
		size_t len = token_length(text);

		if (!first && column + len > LINE_WANTED) {
			ok = buffer_add_text(out, "\r\n");
			column = 0;
		}
		ok = ok && buffer_add(out, span_first(text, len));
		column += len;
		text = span_from(text, len);
	}
	return ok;
}

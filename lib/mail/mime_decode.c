/*
 * Transfer encodings and charsets.
 *
 * Base64 gives a byte as soon as it is complete (the second, third and fourth character of a group
 * each finish one), and '=' only ends the group: so padding in the middle, missing padding and
 * junk between need no cases of their own, and the size is known without decoding: three quarters
 * of the characters.
 *
 * Charsets go through iconv with descriptors that are opened beforehand. Holding one of each keeps
 * glibc's modules loaded. Latin-1 is read as windows-1252 and the GB family as GB18030, as all mail
 * readers and browsers do it (WHATWG Encoding).
 *
 * GMime's steps were tried: they are sound, but bring GLib, GIO and GPGME into each worker, and its
 * charsets open whatever the sender names.
 */
#include "lib/mail/mime_decode.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>

#include "lib/base/fail.h"

/* --- transfer encodings --- */

enum { NOT_BASE64 = 255 };

/* clang-format off */
static const uint8_t base64_value[256] = {
	255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,
	255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,
	255,255,255,255,255,255,255,255,255,255,255, 62,255,255,255, 63,
	 52, 53, 54, 55, 56, 57, 58, 59, 60, 61,255,255,255,255,255,255,
	255,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
	 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,255,255,255,255,255,
	255, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51,255,255,255,255,255,
	255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,
	255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,
	255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,
	255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,
	255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,
	255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,
	255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,
	255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,255,
};
/* clang-format on */

void mime_decoder_init(struct mime_decoder *d, enum mime_encoding encoding)
{
	*d = (struct mime_decoder){.encoding = encoding};
}

/* The token at the front, behind blanks, folds and comments; readers stop at the first byte that is
 * none. */
static struct span first_token(struct span s)
{
	size_t len = 0;

	for (size_t depth = 0; s.len; s = span_from(s, 1)) {
		char c = s.at[0];

		if (c == '(')
			depth++;
		else if (c == ')' && depth)
			depth--;
		else if (!depth && c != '"' && (unsigned char)c > ' ')
			break;
	}
	while (len < s.len && (ascii_is_alpha(s.at[len]) || ascii_is_digit(s.at[len]) ||
				      s.at[len] == '-' || s.at[len] == '_'))
		len++;
	return span_first(s, len);
}

bool mime_encoding_parse(struct span body, enum mime_encoding *out)
{
	static const struct {
		const char *name;
		enum mime_encoding encoding;
	} names[] = {
		{"7bit", MIME_IDENTITY},
		{"8bit", MIME_IDENTITY},
		{"binary", MIME_IDENTITY},
		{"base64", MIME_BASE64},
		{"quoted-printable", MIME_QUOTED},
		{"x-uuencode", MIME_UU},
		{"uuencode", MIME_UU},
		{"x-uue", MIME_UU},
	};
	struct span token = first_token(body);

	*out = MIME_IDENTITY;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (span_equal_nocase(token, span_text(names[i].name))) {
			*out = names[i].encoding;
			return true;
		}
	}
	return false;
}

/* Whole groups, as long as nothing else stands between. */
static size_t base64_groups(struct span *input, char *out, size_t room)
{
	const uint8_t *at = (const uint8_t *)input->at, *end = at + input->len;
	size_t written = 0;

	while (end - at >= 4 && room - written >= 3) {
		uint32_t a = base64_value[at[0]], b = base64_value[at[1]], c = base64_value[at[2]],
			 d = base64_value[at[3]], bits;

		if ((a | b | c | d) > 63)
			break;
		bits = a << 18 | b << 12 | c << 6 | d;
		out[written] = (char)(bits >> 16);
		out[written + 1] = (char)(bits >> 8 & 255);
		out[written + 2] = (char)(bits & 255);
		written += 3;
		at += 4;
	}
	*input = span_make(at, (size_t)(end - at));
	return written;
}

static size_t decode_base64(struct mime_decoder *d, struct span *input, char *out, size_t room)
{
	size_t written = 0;

	while (input->len && written < room) {
		uint8_t value;

		if (d->phase == 0) {
			written += base64_groups(input, out + written, room - written);
			if (input->len == 0 || written == room)
				break;
		}
		value = base64_value[(uint8_t)input->at[0]];
		if (value != NOT_BASE64) {
			d->bits = d->bits << 6 | value;
			if (d->phase)
				out[written++] = (char)(d->bits >> (6 - 2 * d->phase) & 255);
			d->phase = (d->phase + 1) & 3;
		} else if (input->at[0] == '=') {
			d->phase = 0;
		}
		*input = span_from(*input, 1);
	}
	return written;
}

/* Bytes that a group of so many characters has given: 0, 0, 1, 2. */
static uint64_t bytes_of(uint64_t characters)
{
	return characters * 6 / 8;
}

static void count_base64(struct mime_decoder *d, struct span input)
{
	while (input.len) {
		struct span run = span_first(input, span_find_char(input, '='));
		uint64_t characters = d->phase;

		for (size_t i = 0; i < run.len; i++)
			characters += base64_value[(uint8_t)run.at[i]] != NOT_BASE64;
		d->size += bytes_of(characters) - bytes_of(d->phase);
		d->phase = characters & 3;
		if (run.len < input.len)
			d->phase = 0;
		input = span_from(input, run.len + 1);
	}
}

unsigned hex_digit(char c)
{
	if (ascii_is_digit(c))
		return (unsigned)(c - '0');
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

bool hex_byte(char high, char low, char *out)
{
	unsigned value = hex_digit(high) << 4 | hex_digit(low);

	if (hex_digit(high) > 15 || hex_digit(low) > 15)
		return false;
	*out = (char)value;
	return true;
}

enum quoted_state { QUOTED_TEXT, QUOTED_EQUALS, QUOTED_DIGIT, QUOTED_BLANK, QUOTED_CR };

/* One byte behind an '='; writes at most three. What is no encoding stands for itself; blanks
 * between '=' and the line's end were added in transport (RFC 2045 6.7 (3)). */
static size_t quoted_byte(struct mime_decoder *d, char c, char *out)
{
	size_t n = 0;

	switch ((enum quoted_state)d->state) {
	case QUOTED_EQUALS:
		if (hex_digit(c) < 16) {
			d->held = c;
			d->state = QUOTED_DIGIT;
			return 0;
		}
		break;
	case QUOTED_DIGIT:
		if (hex_byte(d->held, c, out)) {
			d->state = QUOTED_TEXT;
			return 1;
		}
		out[n++] = '=';
		out[n++] = d->held;
		break;
	case QUOTED_BLANK:
	case QUOTED_CR:
	case QUOTED_TEXT:
		break;
	}
	if (d->state != QUOTED_DIGIT) {
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			if (c == '\n')
				d->state = QUOTED_TEXT;
			else
				d->state = c == '\r' ? QUOTED_CR : QUOTED_BLANK;
			return 0;
		}
		/* A CR alone ended the line too. */
		if (d->state != QUOTED_CR)
			out[n++] = '=';
	}
	d->state = c == '=' ? QUOTED_EQUALS : QUOTED_TEXT;
	if (c != '=')
		out[n++] = c;
	return n;
}

static size_t decode_quoted(struct mime_decoder *d, struct span *input, char *out, size_t room)
{
	size_t written = 0;

	while (input->len && room - written >= 3) {
		if (d->state == QUOTED_TEXT) {
			size_t run = span_find_char(span_first(*input, room - written), '=');

			memcpy(out + written, input->at, run);
			written += run;
			*input = span_from(*input, run);
			if (input->len && input->at[0] == '=') {
				d->state = QUOTED_EQUALS;
				*input = span_from(*input, 1);
			}
		} else {
			written += quoted_byte(d, input->at[0], out + written);
			*input = span_from(*input, 1);
		}
	}
	return written;
}

enum uu_state { UU_BEFORE, UU_SKIP, UU_LENGTH, UU_DATA, UU_REST, UU_AFTER };

/* One character of a data line; true: *out is a byte. */
static bool uu_data(struct mime_decoder *d, char c, char *out)
{
	bool whole = false;

	d->bits = d->bits << 6 | (uint32_t)((c - ' ') & 63);
	if (d->phase && d->left) {
		*out = (char)(d->bits >> (6 - 2 * d->phase) & 255);
		d->left--;
		whole = true;
	}
	d->phase = (d->phase + 1) & 3;
	if (!d->left)
		d->state = UU_REST;
	return whole;
}

/* "begin MODE NAME", lines of a length and characters, "end". Nothing before and behind counts. */
static size_t decode_uu(struct mime_decoder *d, struct span *input, char *out, size_t room)
{
	static const char begin[] = "begin ";
	size_t written = 0;

	for (; input->len && written < room; *input = span_from(*input, 1)) {
		char c = input->at[0];

		if (c == '\n') {
			if (d->state == UU_SKIP && d->phase == sizeof(begin) - 1)
				d->state = UU_LENGTH;
			else if (d->state == UU_SKIP)
				d->state = UU_BEFORE;
			else if (d->state == UU_DATA || d->state == UU_REST)
				d->state = UU_LENGTH;
			d->phase = 0;
		} else if (d->state == UU_BEFORE) {
			if (c != begin[d->phase])
				d->state = UU_SKIP;
			else if (begin[++d->phase] == '\0')
				d->state = UU_SKIP;
		} else if (d->state == UU_LENGTH && c != '\r') {
			d->left = (uint8_t)((c - ' ') & 63);
			d->state = d->left == 0 || c == 'e' ? UU_AFTER : UU_DATA;
		} else if (d->state == UU_DATA && c != '\r') {
			if (uu_data(d, c, out + written))
				written++;
		}
	}
	return written;
}

size_t mime_decode(struct mime_decoder *d, struct span *input, char *out, size_t room)
{
	size_t written = 0;

	ENSURE(room >= MIME_DECODE_ROOM);
	switch (d->encoding) {
	case MIME_IDENTITY:
		written = input->len < room ? input->len : room;
		if (written)
			memcpy(out, input->at, written);
		*input = span_from(*input, written);
		break;
	case MIME_BASE64:
		written = decode_base64(d, input, out, room);
		break;
	case MIME_QUOTED:
		written = decode_quoted(d, input, out, room);
		break;
	case MIME_UU:
		written = decode_uu(d, input, out, room);
		break;
	}
	d->size += written;
	return written;
}

void mime_decode_count(struct mime_decoder *d, struct span input)
{
	char scratch[4096];

	if (d->encoding == MIME_IDENTITY)
		d->size += input.len;
	else if (d->encoding == MIME_BASE64)
		count_base64(d, input);
	else
		while (input.len)
			(void)mime_decode(d, &input, scratch, sizeof(scratch));
}

/* --- UTF-8 --- */

enum { REPLACEMENT = 0xFFFD };

bool utf8_put(struct buffer *out, uint32_t point)
{
	char b[4];
	size_t len = 0;

	if (point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
		point = REPLACEMENT;
	if (point < 0x80) {
		b[len++] = (char)point;
	} else if (point < 0x800) {
		b[len++] = (char)(0xC0 | point >> 6);
		b[len++] = (char)(0x80 | (point & 63));
	} else if (point < 0x10000) {
		b[len++] = (char)(0xE0 | point >> 12);
		b[len++] = (char)(0x80 | (point >> 6 & 63));
		b[len++] = (char)(0x80 | (point & 63));
	} else {
		b[len++] = (char)(0xF0 | point >> 18);
		b[len++] = (char)(0x80 | (point >> 12 & 63));
		b[len++] = (char)(0x80 | (point >> 6 & 63));
		b[len++] = (char)(0x80 | (point & 63));
	}
	return buffer_add(out, span_make(b, len));
}

/* How long the character that begins so is, and the least and most its second byte may be (no
 * overlong forms, no surrogates: RFC 3629 4). 0: none begins so. */
static size_t utf8_length(uint8_t lead, uint8_t *least, uint8_t *most)
{
	*least = 0x80;
	*most = 0xBF;
	if (lead < 0x80)
		return 1;
	if (lead >= 0xC2 && lead <= 0xDF)
		return 2;
	if (lead >= 0xE0 && lead <= 0xEF) {
		if (lead == 0xE0)
			*least = 0xA0;
		if (lead == 0xED)
			*most = 0x9F;
		return 3;
	}
	if (lead >= 0xF0 && lead <= 0xF4) {
		if (lead == 0xF0)
			*least = 0x90;
		if (lead == 0xF4)
			*most = 0x8F;
		return 4;
	}
	return 0;
}

uint32_t utf8_next(struct span *text)
{
	const uint8_t *at = (const uint8_t *)text->at;
	uint8_t least, most;
	size_t len = utf8_length(at[0], &least, &most), i = 1;
	uint32_t point = at[0];

	if (len > 1)
		point &= 0xFFU >> (len + 1);
	for (; i < len; i++) {
		if (i == text->len || at[i] < least || at[i] > most)
			break;
		point = point << 6 | (at[i] & 63);
		least = 0x80;
		most = 0xBF;
	}
	*text = span_from(*text, i);
	return i < len || len == 0 ? REPLACEMENT : point;
}

struct span utf8_first(struct span text, size_t max)
{
	if (text.len <= max)
		return text;
	/* Back to the byte that begins the character cut through. */
	while (max && ((uint8_t)text.at[max] & 0xC0) == 0x80)
		max--;
	return span_first(text, max);
}

bool point_invisible(uint32_t p)
{
	return p == 0xAD || p == 0x34F || p == 0x61C || p == 0x115F || p == 0x1160 ||
	       (p >= 0x17B4 && p <= 0x17B5) || (p >= 0x180B && p <= 0x180F) ||
	       (p >= 0x200B && p <= 0x200F) || (p >= 0x202A && p <= 0x202E) ||
	       (p >= 0x2060 && p <= 0x206F) || p == 0x3164 || (p >= 0xFE00 && p <= 0xFE0F) ||
	       p == 0xFEFF || p == 0xFFA0 || (p >= 0xFFF9 && p <= 0xFFFB) ||
	       (p >= 0xE0000 && p <= 0xE0FFF);
}

bool point_control(uint32_t p)
{
	return p < 0x20 || (p >= 0x7F && p <= 0x9F) || p == 0x2028 || p == 0x2029;
}

/* Bytes at the front that are ASCII. */
static size_t ascii_run(struct span s)
{
	size_t len = 0;

	for (uint64_t word; s.len - len >= sizeof(word); len += sizeof(word)) {
		memcpy(&word, s.at + len, sizeof(word));
		if (word & 0x8080808080808080)
			break;
	}
	while (len < s.len && (uint8_t)s.at[len] < 0x80)
		len++;
	return len;
}

bool text_add(struct buffer *out, struct span text)
{
	struct span fits = utf8_first(text, out->max - out->len);

	return buffer_add(out, fits) && fits.len == text.len;
}

static bool decode_utf8(struct span bytes, struct buffer *out)
{
	while (bytes.len) {
		size_t run = ascii_run(bytes);

		if (!text_add(out, span_first(bytes, run)))
			return false;
		bytes = span_from(bytes, run);
		if (bytes.len && !utf8_put(out, utf8_next(&bytes)))
			return false;
	}
	return true;
}

/* UTF-8; behind one character of it, another that is cut at the end counts too (where we stopped
 * reading). */
static bool looks_utf8(struct span bytes)
{
	bool seen = false;

	for (;;) {
		struct span rest;

		bytes = span_from(bytes, ascii_run(bytes));
		if (bytes.len == 0)
			return true;
		rest = bytes;
		/* U+FFFD may stand there as such. */
		if (utf8_next(&rest) == REPLACEMENT && !span_starts(bytes, SPAN("\xEF\xBF\xBD")))
			return seen && rest.len == 0 && (uint8_t)bytes.at[0] >= 0xC2;
		seen = true;
		bytes = rest;
	}
}

/* --- charsets --- */

/* Names as mail has them, and iconv's. Names of one row are separated by blanks. */
static const struct {
	const char *iconv_name;
	const char *names;
} table[] = {
	{"CP1252", "windows-1252 cp1252 iso-8859-1 iso8859-1 iso_8859-1 latin1 l1 ibm819 cp819 "
		   "x-cp1252 ansi_x3.110-1983"},
	{"CP1250", "windows-1250 cp1250 x-cp1250"},
	{"CP1251", "windows-1251 cp1251 x-cp1251"},
	{"CP1253", "windows-1253 cp1253 x-cp1253"},
	{"CP1254", "windows-1254 cp1254 x-cp1254 iso-8859-9 iso8859-9 iso_8859-9 latin5 l5"},
	{"CP1255", "windows-1255 cp1255 x-cp1255"},
	{"CP1256", "windows-1256 cp1256 x-cp1256"},
	{"CP1257", "windows-1257 cp1257 x-cp1257"},
	{"CP1258", "windows-1258 cp1258 x-cp1258"},
	{"CP874", "windows-874 cp874 tis-620 iso-8859-11 iso8859-11 dos-874"},
	{"ISO-8859-2", "iso-8859-2 iso8859-2 iso_8859-2 latin2 l2"},
	{"ISO-8859-3", "iso-8859-3 iso8859-3 iso_8859-3 latin3 l3"},
	{"ISO-8859-4", "iso-8859-4 iso8859-4 iso_8859-4 latin4 l4"},
	{"ISO-8859-5", "iso-8859-5 iso8859-5 iso_8859-5 cyrillic"},
	{"ISO-8859-6", "iso-8859-6 iso8859-6 iso_8859-6 arabic iso-8859-6-i iso-8859-6-e"},
	{"ISO-8859-7", "iso-8859-7 iso8859-7 iso_8859-7 greek greek8"},
	{"ISO-8859-8", "iso-8859-8 iso8859-8 iso_8859-8 hebrew iso-8859-8-i iso-8859-8-e"},
	{"ISO-8859-10", "iso-8859-10 iso8859-10 latin6 l6"},
	{"ISO-8859-13", "iso-8859-13 iso8859-13"},
	{"ISO-8859-14", "iso-8859-14 iso8859-14"},
	{"ISO-8859-15", "iso-8859-15 iso8859-15 iso_8859-15 latin9 latin-9 l9"},
	{"ISO-8859-16", "iso-8859-16 iso8859-16"},
	{"KOI8-R", "koi8-r koi8 koi cskoi8r"},
	{"KOI8-U", "koi8-u koi8-ru"},
	{"CP866", "ibm866 cp866 866"},
	{"CP437", "ibm437 cp437 437"},
	{"CP850", "ibm850 cp850 850"},
	{"CP852", "ibm852 cp852 852"},
	{"MACINTOSH", "macintosh mac x-mac-roman"},
	{"GB18030", "gb18030 gbk cp936 ms936 windows-936 gb2312 gb_2312-80 euc-cn x-gbk"},
	{"BIG5-HKSCS", "big5 big5-hkscs cn-big5 x-x-big5 cp950 windows-950"},
	{"CP932", "shift_jis shift-jis sjis ms_kanji x-sjis windows-31j cp932 csshiftjis"},
	{"EUC-JP-MS", "euc-jp x-euc-jp eucjp"},
	{"ISO-2022-JP-3",
		"iso-2022-jp csiso2022jp iso-2022-jp-1 iso-2022-jp-2 iso-2022-jp-3 cp50220 "
		"cp50221"},
	{"CP949", "euc-kr ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 cp949 windows-949 uhc "
		  "korean cseuckr"},
	{"ISO-2022-KR", "iso-2022-kr csiso2022kr"},
	{"UTF-7", "utf-7 unicode-1-1-utf-7 unicode-2-0-utf-7 csunicode11utf7 x-unicode-1-1-utf-7"},
	{"UTF-16", "utf-16 utf16 unicode ucs-2 iso-10646-ucs-2"},
	{"UTF-16LE", "utf-16le"},
	{"UTF-16BE", "utf-16be"},
	{"UTF-32", "utf-32 utf32 ucs-4"},
};

struct charsets {
	iconv_t open[COUNT_OF(table)]; /* (iconv_t)-1: this system has no such module */
};

struct charsets *charsets_new(void)
{
	struct charsets *c = memory_new(sizeof(*c));

	for (size_t i = 0; i < COUNT_OF(table); i++)
		c->open[i] = iconv_open("UTF-8", table[i].iconv_name);
	return c;
}

void charsets_free(struct charsets **charsets)
{
	if (!*charsets)
		return;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if ((*charsets)->open[i] != (iconv_t)-1)
			iconv_close((*charsets)->open[i]);
	free(*charsets);
	*charsets = NULL;
}

static bool is_one_of(struct span name, const char *names)
{
	struct span rest = span_text(names);

	for (struct span one = span_word(&rest); one.len; one = span_word(&rest))
		if (span_equal_nocase(one, name))
			return true;
	return false;
}

/* Index in the table, or its length. */
static size_t table_index(struct span name)
{
	size_t i = 0;

	while (i < COUNT_OF(table) && !is_one_of(name, table[i].names))
		i++;
	return i;
}

static bool is_utf8_name(struct span name)
{
	return is_one_of(name, "utf-8 utf8 unicode-1-1-utf-8 cp65001 x-utf-8");
}

/* Some charsets hold a character back, to see whether one that combines with it follows. */
static bool flush_iconv(iconv_t cd, struct buffer *out)
{
	char chunk[64], *at = chunk;
	size_t room = sizeof(chunk);

	(void)iconv(cd, NULL, NULL, &at, &room);
	return text_add(out, span_make(chunk, (size_t)(at - chunk)));
}

/* glibc's iconv takes whole characters as far as it can, so a small out only means more rounds. A
 * byte that begins none becomes U+FFFD. */
static bool decode_iconv(iconv_t cd, struct span bytes, struct buffer *out)
{
	/* iconv's prototype has no const, but it writes nothing there. */
	char *in = (char *)(uintptr_t)bytes.at;
	size_t left = bytes.len;

	(void)iconv(cd, NULL, NULL, NULL, NULL);
	while (left) {
		char chunk[4096], *at = chunk;
		size_t room = sizeof(chunk), before = left;
		bool failed = iconv(cd, &in, &left, &at, &room) == (size_t)-1;
		int why = errno;

		if (!text_add(out, span_make(chunk, (size_t)(at - chunk))))
			return false;
		if (failed && (why != E2BIG || before == left)) {
			if (left == 0)
				break;
			in++;
			left--;
			if (!utf8_put(out, REPLACEMENT))
				return false;
			if (why == EINVAL) /* the last character is cut off */
				break;
		}
	}
	return flush_iconv(cd, out);
}

bool charset_decode(
	const struct charsets *charsets, struct span name, struct span bytes, struct buffer *out)
{
	size_t i = table_index(name);
	bool known = i < COUNT_OF(table) && charsets->open[i] != (iconv_t)-1;

	if (is_utf8_name(name) || (!known && looks_utf8(bytes)))
		return decode_utf8(bytes, out);
	if (!known)
		i = 0;
	if (charsets->open[i] == (iconv_t)-1)
		return decode_utf8(bytes, out);
	return decode_iconv(charsets->open[i], bytes, out);
}

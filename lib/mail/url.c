/*
 * The WHATWG URL standard's parser as far as the host, for that is what rules ask about; path and
 * query stay as written. Links are disguised where readers and filters differ, so this follows the
 * readers: blanks and line ends inside go, '\' is '/', any number of slashes will do, a name before
 * an '@' is no host, hosts may be percent-encoded, wide, dotted with another script's dots, or
 * numbers.
 *
 * Host names are mapped in the spirit of UTS 46 (lower case, wide to ASCII, invisible dropped) and
 * encoded by RFC 3492, so that a list needs one spelling. Letters outside of Latin, Greek, Cyrillic
 * and Armenian have no case.
 */
#include "lib/mail/url.h"

#include <stdio.h>

#include "lib/base/ip.h"
#include "lib/mail/mime_decode.h"

enum { LABEL_MAX = 63, POINTS_MAX = 256 };

/* --- hosts --- */

static uint32_t lower_point(uint32_t p)
{
	if ((p >= 'A' && p <= 'Z') || (p >= 0xC0 && p <= 0xDE && p != 0xD7) ||
		(p >= 0x391 && p <= 0x3A9) || (p >= 0x410 && p <= 0x42F))
		return p + 32;
	if (p >= 0x400 && p <= 0x40F)
		return p + 80;
	if (p >= 0x531 && p <= 0x556)
		return p + 48;
	/* Pairs, capital first; in two stretches the odd one is the capital. */
	if ((p >= 0x139 && p <= 0x148) || (p >= 0x179 && p <= 0x17E))
		return p + (p & 1);
	if ((p >= 0x100 && p <= 0x137) || (p >= 0x14A && p <= 0x177) ||
		(p >= 0x460 && p <= 0x481) || (p >= 0x48A && p <= 0x4BF) ||
		(p >= 0x4D0 && p <= 0x52F) || (p >= 0x1E00 && p <= 0x1E95) ||
		(p >= 0x1EA0 && p <= 0x1EFF))
		return p | 1;
	return p;
}

/* One code point of a host as it counts. */
static uint32_t map_point(uint32_t p)
{
	if (p >= 0xFF01 && p <= 0xFF5E)
		p -= 0xFF01 - '!';
	if (p == 0x3002 || p == 0xFF61)
		return '.';
	return lower_point(p);
}

/* What may not stand in a host (WHATWG 3.5, forbidden domain code points), or would be misread. */
static bool forbidden(uint32_t p)
{
	return p <= ' ' || p == 0xFFFD || point_control(p) ||
	       (p < 128 && strchr("\"#%/:<>?@[\\]^`{|},;()!$&'*+=~", (int)p));
}

static uint32_t adapt(uint32_t delta, uint32_t count, bool first)
{
	uint32_t k = 0;

	delta = first ? delta / 700 : delta / 2;
	delta += delta / count;
	for (; delta > 455; k += 36)
		delta /= 35;
	return k + 36 * delta / (delta + 38);
}

/* Writes one number in RFC 3492's variable-length form. */
static bool put_number(struct buffer *out, uint32_t q, uint32_t bias)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";

	for (uint32_t k = 36;; k += 36) {
		uint32_t t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;

		if (q < t)
			return buffer_add_char(out, digits[q]);
		if (!buffer_add_char(out, digits[t + (q - t) % (36 - t)]))
			return false;
		q = (q - t) / (36 - t);
	}
}

/* RFC 3492 6.3; at most POINTS_MAX points below 2^21 keep delta far from overflow. */
static bool put_punycode(struct buffer *out, const uint32_t *points, size_t count)
{
	uint32_t n = 128, delta = 0, bias = 72, done = 0, basic;

	for (size_t i = 0; i < count; i++) {
		if (points[i] < 128) {
			if (!buffer_add_char(out, (char)points[i]))
				return false;
			done++;
		}
	}
	basic = done;
	if (basic && !buffer_add_char(out, '-'))
		return false;
	while (done < count) {
		uint32_t next = UINT32_MAX;

		for (size_t i = 0; i < count; i++)
			if (points[i] >= n && points[i] < next)
				next = points[i];
		delta += (next - n) * (done + 1);
		n = next;
		for (size_t i = 0; i < count; i++) {
			delta += points[i] < n;
			if (points[i] != n)
				continue;
			if (!put_number(out, delta, bias))
				return false;
			bias = adapt(delta, done + 1, done == basic);
			delta = 0;
			done++;
		}
		delta++;
		n++;
	}
	return true;
}

static bool put_label(struct buffer *out, const uint32_t *points, size_t count)
{
	struct buffer label = BUFFER_INIT(LABEL_MAX);
	bool ascii = true, ok = true;

	for (size_t i = 0; i < count; i++)
		ascii = ascii && points[i] < 128;
	if (!ascii)
		ok = buffer_add(&label, SPAN("xn--")) && put_punycode(&label, points, count);
	for (size_t i = 0; ascii && ok && i < count; i++)
		ok = buffer_add_char(&label, (char)points[i]);
	ok = ok && buffer_add(out, buffer_span(&label));
	buffer_free(&label);
	return ok;
}

/* Percent-encoding off; at most `room` bytes. */
static struct span percent_decoded(struct span s, char *out, size_t room)
{
	size_t len = 0;

	for (size_t i = 0; i < s.len && len < room; i++) {
		char c = s.at[i];

		if (c == '%' && i + 2 < s.len && hex_byte(s.at[i + 1], s.at[i + 2], &c))
			i += 2;
		out[len++] = c;
	}
	return span_make(out, len);
}

/* Labels in ASCII, without empty ones at the end. */
static bool put_name(struct buffer *out, struct span name)
{
	uint32_t points[POINTS_MAX];
	size_t count = 0;

	while (name.len) {
		uint32_t p = utf8_next(&name);

		if (point_invisible(p))
			continue;
		p = map_point(p);
		if (p != '.') {
			if (forbidden(p) || count == POINTS_MAX)
				return false;
			points[count++] = p;
			continue;
		}
		if (!put_label(out, points, count) || !buffer_add_char(out, '.'))
			return false;
		count = 0;
	}
	if (!put_label(out, points, count))
		return false;
	while (out->len && buffer_span(out).at[out->len - 1] == '.')
		out->len--;
	return out->len > 0;
}

/* A part of an IPv4 number: 0x is hexadecimal, 0 octal. */
static bool read_number(struct span s, uint64_t *out)
{
	uint32_t base = 10;

	*out = 0;
	if (s.len >= 2 && s.at[0] == '0') {
		base = s.at[1] == 'x' ? 16 : 8;
		s = span_from(s, base == 16 ? 2 : 1);
	} else if (s.len == 0) {
		return false;
	}
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = hex_digit(s.at[i]);

		if (digit >= base || *out > UINT32_MAX)
			return false;
		*out = *out * base + digit;
	}
	return *out <= UINT32_MAX;
}

/* One to four numbers, of which the last fills the bytes that are left (WHATWG 3.5.1). */
static bool read_ipv4(struct span host, char out[IP_TEXT_SIZE])
{
	uint64_t address = 0, number;
	size_t parts = 0;

	for (bool last = false; !last;) {
		size_t dot = span_find_char(host, '.');

		last = dot == host.len;
		if (parts == 4 || !read_number(span_first(host, dot), &number) ||
			number >= (last ? UINT64_C(1) << (8 * (4 - parts)) : 256))
			return false;
		address |= last ? number : number << (8 * (3 - parts));
		parts++;
		host = span_from(host, dot + 1);
	}
	snprintf(out, IP_TEXT_SIZE, "%u.%u.%u.%u", (unsigned)(address >> 24 & 255),
		(unsigned)(address >> 16 & 255), (unsigned)(address >> 8 & 255),
		(unsigned)(address & 255));
	return true;
}

bool host_read(struct span written, struct arena *arena, struct span *out)
{
	struct buffer host = BUFFER_INIT(URL_HOST_MAX);
	char decoded[URL_MAX], text[IP_TEXT_SIZE];
	struct ip ip;
	bool ok;

	if (written.len >= 2 && written.at[0] == '[' && written.at[written.len - 1] == ']') {
		if (!ip_parse(span_make(written.at + 1, written.len - 2), &ip))
			return false;
		*out = arena_span(arena, span_text(ip_format(&ip, text)));
		return true;
	}
	ok = put_name(&host, percent_decoded(written, decoded, sizeof(decoded)));
	if (ok && read_ipv4(buffer_span(&host), text))
		*out = arena_span(arena, span_text(text));
	else if (ok)
		*out = arena_span(arena, buffer_span(&host));
	buffer_free(&host);
	return ok;
}

bool host_ascii(struct span domain, struct buffer *out)
{
	struct buffer host = BUFFER_INIT(URL_HOST_MAX);
	bool ok = put_name(&host, domain) && buffer_add(out, buffer_span(&host));

	buffer_free(&host);
	return ok;
}

/* --- addresses --- */

/* What a browser drops before it parses: blanks and controls at both ends, tabs and line ends
 * inside. */
static struct span stripped(struct span s, char out[URL_MAX])
{
	size_t len = 0;

	while (s.len && (unsigned char)s.at[0] <= ' ')
		s = span_from(s, 1);
	while (s.len && (unsigned char)s.at[s.len - 1] <= ' ')
		s.len--;
	for (size_t i = 0; i < s.len && len < URL_MAX; i++)
		if (s.at[i] != '\t' && s.at[i] != '\n' && s.at[i] != '\r')
			out[len++] = s.at[i];
	/* Not inside of a character, where it was cut. */
	return len == URL_MAX ? utf8_first(span_make(out, len), len - 4) : span_make(out, len);
}

/* Bytes of the scheme at the front (RFC 3986 3.1), without its colon; 0: none. */
static size_t scheme_length(struct span s)
{
	size_t len = 0;

	if (s.len == 0 || !ascii_is_alpha(s.at[0]))
		return 0;
	while (len < s.len && (ascii_is_alpha(s.at[len]) || ascii_is_digit(s.at[len]) ||
				      s.at[len] == '+' || s.at[len] == '-' || s.at[len] == '.'))
		len++;
	return len < s.len && s.at[len] == ':' ? len : 0;
}

/* Schemes whose slashes browsers supply. */
static bool is_special(struct span scheme)
{
	static const char *const special[] = {"http", "https", "ftp", "ws", "wss"};

	for (size_t i = 0; i < COUNT_OF(special); i++)
		if (span_equal_nocase(scheme, span_text(special[i])))
			return true;
	return false;
}

static bool is_slash(char c)
{
	return c == '/' || c == '\\';
}

/* Takes scheme and slashes off *s; false: no host follows. */
static bool take_scheme(struct span *s, struct span *scheme)
{
	size_t len = scheme_length(*s), slashes = 0;

	*scheme = len ? span_first(*s, len) : SPAN("http");
	if (len)
		*s = span_from(*s, len + 1);
	while (slashes < s->len && is_slash(s->at[slashes]))
		slashes++;
	if (len ? !is_special(*scheme) && slashes < 2
		: slashes < 2 && !span_starts_nocase(*s, SPAN("www.")))
		return false;
	*s = span_from(*s, len && !is_special(*scheme) ? 2 : slashes);
	return true;
}

/* Bytes up to the path, the query or the fragment. */
static size_t authority_length(struct span s)
{
	size_t len = 0;

	while (len < s.len && !is_slash(s.at[len]) && s.at[len] != '?' && s.at[len] != '#')
		len++;
	return len;
}

/* Without the name before the last '@' and the port. */
static struct span host_of(struct span authority)
{
	size_t at = authority.len, end = 0;

	while (at && authority.at[at - 1] != '@')
		at--;
	authority = span_from(authority, at);
	if (authority.len && authority.at[0] == '[')
		end = span_find_char(authority, ']');
	return span_first(authority, end + span_find_char(span_from(authority, end), ':'));
}

/* Scheme, host and rest put together; controls and blanks of the rest percent-encoded. */
static struct span put_together(struct span scheme, struct span authority, struct span host,
	struct span written, struct span rest, struct arena *arena)
{
	struct buffer out = BUFFER_INIT(4 * URL_MAX);
	struct span text;
	struct span before = span_make(authority.at, (size_t)(written.at - authority.at));
	struct span behind = span_from(authority, before.len + written.len);
	const struct span pieces[] = {before, host, behind, rest};
	bool v6 = written.len && written.at[0] == '[', ok = true;

	for (size_t i = 0; i < scheme.len; i++)
		ok = ok && buffer_add_char(&out, ascii_lower(scheme.at[i]));
	ok = ok && buffer_add(&out, SPAN("://"));
	for (size_t p = 0; p < COUNT_OF(pieces); p++) {
		if (p == 1 && v6)
			ok = ok && buffer_add_char(&out, '[');
		for (text = pieces[p]; ok && text.len; text = span_from(text, 1))
			ok = (unsigned char)text.at[0] > ' ' && text.at[0] != 127
				     ? buffer_add_char(&out, text.at[0])
				     : buffer_print(&out, "%%%02X", (unsigned char)text.at[0]);
		if (p == 1 && v6)
			ok = ok && buffer_add_char(&out, ']');
	}
	text = arena_span(arena, utf8_first(buffer_span(&out), URL_MAX));
	buffer_free(&out);
	return text;
}

bool url_read(struct span address, struct arena *arena, struct url *out)
{
	char text[URL_MAX];
	struct span s = stripped(address, text), scheme, authority, written;

	if (!take_scheme(&s, &scheme))
		return false;
	authority = span_first(s, authority_length(s));
	written = host_of(authority);
	if (!host_read(written, arena, &out->host))
		return false;
	out->text = put_together(
		scheme, authority, out->host, written, span_from(s, authority.len), arena);
	return true;
}

/* --- in text --- */

/* What ends an address in plain text. */
static bool ends_address(unsigned char c)
{
	return c <= ' ' || c == 127 || c == '<' || c == '>' || c == '"' || c == '`';
}

/* Bytes of the address at the front, without the punctuation of the sentence around it; a closing
 * bracket belongs to it if its opening one does. */
static size_t address_length(struct span s)
{
	size_t len = 0, open[2] = {0, 0}, closed[2] = {0, 0};

	for (; len < s.len && len < URL_MAX && !ends_address((unsigned char)s.at[len]); len++) {
		/* A no-break or an ideographic space. */
		if (span_starts(span_from(s, len), SPAN("\xC2\xA0")) ||
			span_starts(span_from(s, len), SPAN("\xE3\x80\x80")))
			break;
		open[0] += s.at[len] == '(';
		closed[0] += s.at[len] == ')';
		open[1] += s.at[len] == '[';
		closed[1] += s.at[len] == ']';
	}
	for (; len; len--) {
		char last = s.at[len - 1];

		if (last == ')' && closed[0] > open[0])
			closed[0]--;
		else if (last == ']' && closed[1] > open[1])
			closed[1]--;
		else if (!strchr(".,;:!?'*_|}", last ? last : ' '))
			break;
	}
	return len;
}

/* Where the scheme begins that ends before `colon`, not before `from`. */
static size_t scheme_start(struct span text, size_t from, size_t colon)
{
	size_t at = colon;

	while (at > from && colon - at < 32 &&
		(ascii_is_alpha(text.at[at - 1]) || ascii_is_digit(text.at[at - 1]) ||
			text.at[at - 1] == '+'))
		at--;
	while (at < colon && !ascii_is_alpha(text.at[at]))
		at++;
	return at;
}

static bool is_word_byte(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (unsigned char)c >= 128 || c == '.' ||
	       c == '-' || c == '_' || c == '@';
}

void url_find(struct span text, void (*found)(void *context, struct span address), void *context)
{
	size_t from = 0; /* behind the last one found */

	for (size_t i = 0; i + 4 < text.len; i++) {
		size_t start = text.len, len;
		struct span here = span_make(text.at + i, text.len - i);

		if (here.at[0] == ':' && is_slash(here.at[1]) && is_slash(here.at[2]))
			start = scheme_start(text, from, i);
		else if (ascii_lower(here.at[0]) == 'w' && span_starts_nocase(here, SPAN("www.")) &&
			 (i == from || !is_word_byte(text.at[i - 1])))
			start = i;
		if (start > i || (start == i && here.at[0] == ':'))
			continue;
		len = address_length(span_from(text, start));
		if (start + len <= i)
			continue;
		found(context, span_make(text.at + start, len));
		from = start + len;
		i = from - 1;
	}
}

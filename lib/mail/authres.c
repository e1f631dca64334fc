/*
 * Whose Authentication-Results it is (RFC 8601 2.2). The field that claims to be ours must not
 * reach a reader behind us, and that reader may parse more kindly than the grammar. So the
 * identifier is compared as the bytes that matter: comments, folds, blanks, quotes and backslashes
 * are passed over wherever they stand, even inside of it. Then it is read once more as readers
 * might that decode first: percent signs, a host name in other scripts (U-labels, wide letters,
 * what is invisible), and what is above ASCII left away. Encoded words (RFC 2047) may not stand
 * there, whatever they decode to, and some programs decode a whole field before they parse it: a
 * field with one before its first ';' is nobody's, and goes. Taking out one field too many is
 * harmless (RFC 8601 5 allows it); leaving a forged one is not.
 *
 * Rejected: parsing to the grammar and removing what cannot be parsed. Many a provider writes
 * results without any identifier, and those stay. Rejected too: decoding RFC 2231's parameters,
 * which no reader looks for here.
 */
#include "lib/mail/header.h"

#include "lib/mail/mime_decode.h"
#include "lib/mail/url.h"

enum {
	HOST_WRITTEN_MAX = 1024 /* bytes of a host name in other scripts */
};

enum reading {
	AS_IT_STANDS,
	PERCENT_DECODED,
	ASCII_ONLY /* other bytes are passed over */
};

struct scanner {
	struct span body;
	size_t at;
	enum reading reading;
	bool quoted; /* inside of a quoted string */
	bool gap;    /* something was passed over before the last byte */
};

static bool is_gap(char c)
{
	return (unsigned char)c <= 32 || c == 127;
}

/* Behind the comment at the scanner; an unclosed one takes all. */
static void skip_comment(struct scanner *s)
{
	size_t depth = 0;

	while (s->at < s->body.len) {
		char c = s->body.at[s->at++];

		if (c == '\\')
			s->at++;
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0)
			return;
	}
}

/* The byte at the scanner, which moves behind it. */
static char take_byte(struct scanner *s)
{
	struct span rest = span_from(s->body, s->at);
	char c = rest.at[0];

	s->at++;
	if (s->reading == PERCENT_DECODED && rest.len > 2 && c == '%' &&
		hex_byte(rest.at[1], rest.at[2], &c))
		s->at += 2;
	return c;
}

static bool is_passed_over(const struct scanner *s, char c)
{
	return s->reading == ASCII_ONLY && (unsigned char)c > 127;
}

/* The next byte that matters; -1: the end, or the ';' that ends the identifier (inside of quotes
 * too, for a reader that splits there first). */
static int next_byte(struct scanner *s)
{
	s->gap = false;
	while (s->at < s->body.len) {
		char c = s->body.at[s->at];

		if (c == '(' && !s->quoted) {
			skip_comment(s);
		} else if (c == '"') {
			s->quoted = !s->quoted;
			s->at++;
		} else if (is_gap(c)) {
			s->at++;
		} else if (c == '\\' && s->at + 1 < s->body.len) {
			s->at += 2;
			return (unsigned char)s->body.at[s->at - 1];
		} else if (c == ';') {
			return -1;
		} else {
			c = take_byte(s);
			if (is_passed_over(s, c))
				continue;
			if (c == ';') /* it was encoded */
				return -1;
			if (!is_gap(c))
				return (unsigned char)c;
		}
		s->gap = true;
	}
	return -1;
}

static bool says(struct span body, struct span authserv_id, enum reading reading)
{
	struct scanner s = {.body = body, .reading = reading};
	int c = next_byte(&s);

	/* Nobody's: a reader may take it for its own server's. */
	if (c < 0)
		return true;
	for (size_t i = 0; i < authserv_id.len; i++, c = next_byte(&s))
		if (c < 0 || ascii_lower((char)c) != ascii_lower(authserv_id.at[i]))
			return false;
	/* Whole only if nothing joins it: "mx.example.net" is not "mx.example.network". */
	if (c == '.' && !s.gap)
		c = next_byte(&s);
	return c < 0 || s.gap || c == '/';
}

/* --- in other scripts --- */

static bool is_same_host(struct span written, struct span authserv_id)
{
	struct buffer ours = BUFFER_INIT(URL_HOST_MAX), theirs = BUFFER_INIT(URL_HOST_MAX);
	bool same = host_ascii(written, &theirs) && host_ascii(authserv_id, &ours) &&
		    span_equal(buffer_span(&ours), buffer_span(&theirs));

	buffer_free(&ours);
	buffer_free(&theirs);
	return same;
}

/* All of it, or what stands before its first or last gap: a version may follow, or a word. */
static bool names_host(struct span body, struct span authserv_id)
{
	struct scanner s = {.body = body};
	char written[HOST_WRITTEN_MAX];
	size_t len = 0, first_gap = 0, last_gap = 0;
	int c;

	while ((c = next_byte(&s)) >= 0 && c != '/' && len < sizeof(written)) {
		if (s.gap && len > 0) {
			first_gap = first_gap ? first_gap : len;
			last_gap = len;
		}
		written[len++] = (char)c;
	}
	return is_same_host(span_make(written, len), authserv_id) ||
	       (first_gap && is_same_host(span_make(written, first_gap), authserv_id)) ||
	       (last_gap > first_gap && is_same_host(span_make(written, last_gap), authserv_id));
}

/* --- all readings --- */

/* Bytes before the ';' that ends the identifier. */
static size_t identifier_length(struct span body)
{
	struct scanner s = {.body = body};

	while (next_byte(&s) >= 0)
		;
	return s.at;
}

static bool has_wide(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.at[i] > 127)
			return true;
	return false;
}

bool authres_is_from(struct span body, struct span authserv_id)
{
	struct span identifier = span_first(body, identifier_length(body));

	if (says(identifier, authserv_id, AS_IT_STANDS) ||
		span_find(identifier, SPAN("=?")) < identifier.len)
		return true;
	if (span_find_char(identifier, '%') < identifier.len &&
		says(identifier, authserv_id, PERCENT_DECODED))
		return true;
	return has_wide(identifier) &&
	       (says(identifier, authserv_id, ASCII_ONLY) || names_host(identifier, authserv_id));
}

/* --- the field's name --- */

/* Behind the name and its colon, where a reader may find them that drops what is no printable
 * ASCII; 0: it can't. */
static size_t find_body(struct span raw)
{
	const struct span name = SPAN("authentication-results:");
	size_t matched = 0;

	for (size_t i = 0; i < raw.len; i++) {
		char c = raw.at[i];

		if (is_gap(c) || (unsigned char)c > 127)
			continue;
		if (ascii_lower(c) != name.at[matched])
			return 0;
		if (++matched == name.len)
			return i + 1;
	}
	return 0;
}

bool authres_find(const struct header_field *field, struct span *body)
{
	size_t begin;

	*body = field->body;
	if (field->name.len)
		return header_is(field, SPAN("Authentication-Results"));
	begin = find_body(field->raw);
	*body = span_from(field->raw, begin);
	return begin > 0;
}

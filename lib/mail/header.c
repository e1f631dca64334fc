/*
 * The header section as dotdata leaves it: every line ends in CRLF. It is read where it stands, and
 * every byte of it belongs to exactly one field, so that taking one field out or putting one before
 * it changes no other byte (DKIM signs them).
 *
 * A name may be set off from its colon by blanks (RFC 5322 4.5.8), and here by a fold too: no
 * grammar allows that, but some reader behind us unfolds first and looks for colons then, and a
 * forged Authentication-Results must not reach it.
 */
#include "lib/mail/header.h"

#include <stdio.h>
#include <time.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span trim_space(struct span s)
{
	while (s.len && is_space(s.at[0]))
		s = span_from(s, 1);
	while (s.len && is_space(s.at[s.len - 1]))
		s.len--;
	return s;
}

size_t header_end(struct span content, size_t *from)
{
	const struct span empty_line = SPAN("\r\n\r\n");
	size_t at;

	if (span_starts(content, SPAN("\r\n")))
		return 2;
	at = *from + span_find(span_from(content, *from), empty_line);
	if (at < content.len)
		return at + empty_line.len;
	/* Up to three bytes of it may be there already. */
	if (content.len >= empty_line.len)
		*from = content.len - (empty_line.len - 1);
	return 0;
}

/* Bytes of the line at the front, with its end. */
static size_t line_length(struct span s)
{
	size_t end = span_find_char(s, '\n');

	return end < s.len ? end + 1 : s.len;
}

/* Bytes of the field at the front: its line and all behind that begin with a blank. */
static size_t field_length(struct span s)
{
	size_t len = line_length(s);

	while (len < s.len && (s.at[len] == ' ' || s.at[len] == '\t'))
		len += line_length(span_from(s, len));
	return len;
}

/* RFC 5322 2.2: printable ASCII without the colon. */
static struct span field_name(struct span raw)
{
	size_t len = 0;

	while (len < raw.len && raw.at[len] > 32 && raw.at[len] < 127 && raw.at[len] != ':')
		len++;
	return span_first(raw, len);
}

static struct span without_line_end(struct span s)
{
	if (s.len && s.at[s.len - 1] == '\n')
		s.len--;
	if (s.len && s.at[s.len - 1] == '\r')
		s.len--;
	return s;
}

bool header_next(struct span *section, struct header_field *out)
{
	struct span name;
	size_t colon;

	if (section->len == 0 || span_starts(*section, SPAN("\r\n")))
		return false;
	out->raw = span_first(*section, field_length(*section));
	*section = span_from(*section, out->raw.len);
	name = field_name(out->raw);
	colon = name.len;
	while (colon < out->raw.len && is_space(out->raw.at[colon]))
		colon++;
	if (name.len && colon < out->raw.len && out->raw.at[colon] == ':') {
		out->name = name;
		out->body = without_line_end(span_from(out->raw, colon + 1));
	} else {
		out->name = span_first(out->raw, 0);
		out->body = without_line_end(out->raw);
	}
	return true;
}

bool header_is(const struct header_field *field, struct span name)
{
	return span_equal_nocase(field->name, name);
}

bool header_unfold(struct span body, struct buffer *out)
{
	size_t len = 0;
	char *at;

	body = trim_space(body);
	at = buffer_reserve(out, body.len);
	if (!at)
		return false;
	for (size_t i = 0; i < body.len; i++)
		if (body.at[i] != '\r' && body.at[i] != '\n')
			at[len++] = body.at[i];
	buffer_added(out, len);
	return true;
}

void header_date(uint64_t wall_ms, char out[HEADER_DATE_SIZE])
{
	/* strftime speaks the locale's language. */
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm t;

	gmtime_r(&seconds, &t);
	snprintf(out, HEADER_DATE_SIZE, "%s, %02d %s %04d %02d:%02d:%02d +0000", days[t.tm_wday],
		t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

/* --- Received --- */

/* Index behind the comment that begins at `at` (RFC 5322 3.2.2: nested, quoted pairs); the end
 * where it is not closed. */
static size_t skip_comment(struct span s, size_t at)
{
	size_t depth = 0;

	for (; at < s.len; at++) {
		if (s.at[at] == '\\')
			at++;
		else if (s.at[at] == '(')
			depth++;
		else if (s.at[at] == ')' && --depth == 0)
			return at + 1;
	}
	return s.len;
}

/* The next word outside of comments; words end at blanks, comments and ';'. Empty: the clauses are
 * over. */
static struct span next_word(struct span *rest)
{
	struct span s = *rest;
	size_t at = 0, start;

	while (at < s.len && (is_space(s.at[at]) || s.at[at] == '('))
		at = s.at[at] == '(' ? skip_comment(s, at) : at + 1;
	start = at;
	while (at < s.len && !is_space(s.at[at]) && s.at[at] != '(' && s.at[at] != ';')
		at++;
	*rest = span_from(s, at);
	return span_make(s.at + start, at - start);
}

bool received_by(struct span body, struct span hostname)
{
	struct span word = next_word(&body);

	while (word.len) {
		bool by = span_equal_nocase(word, SPAN("by"));

		word = next_word(&body);
		if (word.len && word.at[word.len - 1] == '.')
			word.len--;
		if (by && span_equal_nocase(word, hostname))
			return true;
	}
	return false;
}

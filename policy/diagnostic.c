#include "policy/diagnostic.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MARGIN "    "

enum {
	TAB_WIDTH = 8,
	WINDOW = 92, /* columns of the source line that are shown */
	LEAD = 60,   /* at most so many of them before the caret, when the line is cut */
	MESSAGE = 512
};

/* Columns that a character takes on a terminal. */
static unsigned char_width(uint32_t code)
{
	static const struct {
		uint32_t first, last;
		unsigned width;
	} ranges[] = {
		{0x300, 0x36f, 0},
		{0x1100, 0x115f, 2},
		{0x200b, 0x200f, 0},
		{0x2e80, 0xa4cf, 2},
		{0xac00, 0xd7a3, 2},
		{0xf900, 0xfaff, 2},
		{0xfe00, 0xfe0f, 0},
		{0xfe30, 0xfe6f, 2},
		{0xff00, 0xff60, 2},
		{0xffe0, 0xffe6, 2},
		{0x1f300, 0x1faff, 2},
		{0x20000, 0x3fffd, 2},
	};

	if (code < ranges[0].first)
		return 1;
	for (size_t i = 0; i < COUNT_OF(ranges); i++)
		if (code >= ranges[i].first && code <= ranges[i].last)
			return ranges[i].width;
	return 1;
}

/* Characters that would change what the terminal shows around them: controls, and the marks that
 * turn the direction of writing. */
static bool is_harmful(uint32_t code)
{
	return code == LEX_BAD_CHAR || code < 0x20 || (code >= 0x7f && code < 0xa0) ||
	       (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

/* One character as it is shown, and the column behind it. */
static struct span shown_char(struct span rest, unsigned column, unsigned *next, size_t *bytes)
{
	uint32_t code;

	*bytes = lex_char(rest, &code);
	if (code == '\t') {
		unsigned width = TAB_WIDTH - column % TAB_WIDTH;

		*next = column + width;
		return span_first(SPAN("        "), width);
	}
	if (is_harmful(code)) {
		*next = column + 1;
		return SPAN("?");
	}
	*next = column + char_width(code);
	return span_first(rest, *bytes);
}

/* The columns in which a part of the line begins and ends when all of it is shown. */
static void shown_columns(struct span line, size_t from, size_t to, unsigned *first, unsigned *last)
{
	unsigned column = 0;
	size_t bytes;

	*first = *last = 0;
	for (size_t at = 0; at < line.len && at < to; at += bytes) {
		if (at <= from)
			*first = column;
		shown_char(span_from(line, at), column, &column, &bytes);
	}
	*last = column;
	if (from >= to || to > line.len)
		*first = column;
}

static struct span line_around(struct span source, const char *at)
{
	size_t start = (size_t)(at - source.at), end = start;

	while (start > 0 && source.at[start - 1] != '\n')
		start--;
	while (end < source.len && source.at[end] != '\n')
		end++;
	if (end > start && source.at[end - 1] == '\r')
		end--;
	/* A byte order mark is no part of the first line: the lexer passes it over too. */
	if (start == 0 && span_starts(source, SPAN(UTF8_BOM)) && at != source.at)
		start = sizeof(UTF8_BOM) - 1;
	return span_make(source.at + start, end - start);
}

/* Where a password lies in an address, as in `redis://ann:secret@host`: what is shown of the line
 * may end up in a log. Empty: there is none. */
static struct span secret_in(struct span line)
{
	size_t scheme = span_find(line, SPAN("://"));
	struct span rest = span_from(line, scheme + 3);
	size_t end = 0, colon, last;

	while (end < rest.len && !memchr("/\" \t", rest.at[end], 4))
		end++;
	for (last = end; last > 0 && rest.at[last - 1] != '@'; last--)
		;
	if (last == 0)
		return SPAN_NONE;
	rest = span_first(rest, last - 1);
	colon = span_find_char(rest, ':');
	return span_from(rest, colon < rest.len ? colon + 1 : 0);
}

/* The columns of the line from `skip` on; a line that is too wide loses its ends for dots. */
static bool add_line(struct buffer *out, struct span line, unsigned skip)
{
	unsigned column = 0, next;
	size_t bytes;
	struct span secret = secret_in(line);
	bool ok = buffer_add_text(out, MARGIN) && (skip == 0 || buffer_add_text(out, "..."));

	for (size_t at = 0; ok && at < line.len; at += bytes) {
		struct span shown = shown_char(span_from(line, at), column, &next, &bytes);

		if (secret.len && line.at + at >= secret.at &&
			line.at + at < secret.at + secret.len && next == column + 1)
			shown = SPAN("*");
		if (next - skip > WINDOW && next > skip)
			return buffer_add_text(out, "...\n");
		if (column >= skip)
			ok = buffer_add(out, shown);
		else if (next > skip)
			ok = buffer_print(out, "%*s", (int)(next - skip), "");
		column = next;
	}
	return ok && buffer_add_char(out, '\n');
}

static bool add_caret(struct buffer *out, unsigned indent, unsigned width)
{
	bool ok = buffer_print(out, MARGIN "%*s^", (int)indent, "");

	for (unsigned i = 1; ok && i < width; i++)
		ok = buffer_add_char(out, '~');
	return ok && buffer_add_char(out, '\n');
}

static bool add_source(struct diagnostics *d, const struct token *at)
{
	struct span line = line_around(d->source, at->text.at);
	size_t from = (size_t)(at->text.at - line.at);
	unsigned first, last, skip = 0, width;

	shown_columns(line, from, from + at->text.len, &first, &last);
	if (first >= WINDOW || (last > WINDOW && first > LEAD))
		skip = first - LEAD;
	width = last > first ? last - first : 1;
	if (first - skip + width > WINDOW)
		width = WINDOW - (first - skip);
	return add_line(d->out, line, skip) &&
	       add_caret(d->out, first - skip + (skip ? 3 : 0), width);
}

/* The text of a message may quote what the file says. */
static bool add_harmless(struct buffer *out, const char *text)
{
	struct span rest = span_text(text);
	unsigned column = 0;
	size_t bytes;
	bool ok = true;

	for (; ok && rest.len; rest = span_from(rest, bytes))
		ok = buffer_add(out, shown_char(rest, column, &column, &bytes));
	return ok;
}

void diagnose(struct diagnostics *d, enum severity severity, const struct token *at,
	const char *help, const char *format, ...)
{
	const char *word = severity == SEVERITY_ERROR ? "error" : "warning";
	size_t before = d->out->len;
	char message[MESSAGE];
	va_list args;
	bool ok;

	if (severity == SEVERITY_ERROR)
		d->n_errors++;
	else
		d->n_warnings++;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	ok = add_harmless(d->out, d->file);
	if (at)
		ok = ok && buffer_print(d->out, ":%u:%u", at->line, at->column);
	ok = ok && buffer_print(d->out, ": %s: ", word) && add_harmless(d->out, message) &&
	     buffer_add_char(d->out, '\n');
	if (at)
		ok = ok && add_source(d, at);
	if (help)
		ok = ok && buffer_add_text(d->out, MARGIN "help: ") && add_harmless(d->out, help) &&
		     buffer_add_char(d->out, '\n');
	if (!ok)
		d->out->len = before;
}

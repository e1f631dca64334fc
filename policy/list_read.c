/*
 * A line is cut into item and reason here; whether the item is one, list_add says. Positions are
 * worked out for lines with mistakes only, so that a long file costs nothing for messages that are
 * not told.
 */
#include "policy/list.h"
#include "policy/list_item.h"

#include "lib/base/fail.h"

struct reader {
	struct list *list;
	struct diagnostics *d;
	unsigned line;       /* from 1 */
	const char *line_at; /* where it begins */
	size_t told, errors_untold, warnings_untold;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* --- mistakes --- */

/* A part of the current line, for a message. */
static struct token token_at(const struct reader *r, struct span part)
{
	struct span before = span_make(r->line_at, (size_t)(part.at - r->line_at));
	struct token token = {.kind = TOKEN_WORD, .text = part, .line = r->line, .column = 1};

	while (before.len) {
		uint32_t code;

		before = span_from(before, lex_char(before, &code));
		token.column++;
	}
	return token;
}

static void tell(struct reader *r, enum severity severity, struct span part, const char *text)
{
	struct token token;

	if (r->told == LIST_TOLD_MAX) {
		if (severity == SEVERITY_ERROR)
			r->errors_untold++;
		else
			r->warnings_untold++;
		return;
	}
	r->told++;
	token = token_at(r, part);
	diagnose(r->d, severity, &token, NULL, "%s", text);
}

/* The message with the count is itself counted as one of those that it speaks of. */
static void tell_count(struct diagnostics *d, enum severity severity, size_t untold)
{
	const char *word = severity == SEVERITY_ERROR ? "mistake" : "warning";

	if (untold == 0)
		return;
	diagnose(d, severity, NULL, NULL, "%zu more %s%s of this file %s not shown", untold, word,
		untold == 1 ? "" : "s", untold == 1 ? "is" : "are");
	if (severity == SEVERITY_ERROR)
		d->n_errors += untold - 1;
	else
		d->n_warnings += untold - 1;
}

/* --- lines --- */

/* The length of "..." with its quotes; 0: it does not end. */
static size_t quoted_length(struct span line)
{
	for (size_t i = 1; i < line.len; i++) {
		if (line.at[i] == '"')
			return i + 1;
		if (line.at[i] == '\\')
			i++;
	}
	return 0;
}

/* What stands behind an item is its reason, without the mark between them. */
static struct span reason_of(struct span rest)
{
	rest = span_trim(rest);
	if (rest.len && (rest.at[0] == ';' || rest.at[0] == '#'))
		rest = span_trim(span_from(rest, 1));
	return rest;
}

static bool reason_is_good(struct span reason)
{
	while (reason.len) {
		uint32_t code;

		reason = span_from(reason, lex_char(reason, &code));
		if (code == LEX_BAD_CHAR || code == 0x7f || (code < 0x20 && code != '\t'))
			return false;
	}
	return true;
}

/* shown: the item as the file has it. */
static void add(struct reader *r, struct span item, struct span shown, struct span rest)
{
	struct span reason = reason_of(rest);
	struct err err;

	if (!reason_is_good(reason)) {
		tell(r, SEVERITY_ERROR, reason,
			"a reason holds a control character, or bytes that are no UTF-8");
		return;
	}
	switch (list_add(r->list, item, reason, &err)) {
	case LIST_REFUSED:
		tell(r, SEVERITY_ERROR, shown, err.text);
		break;
	case LIST_MENDED:
		tell(r, SEVERITY_WARNING, shown, err.text);
		break;
	case LIST_ADDED:
		break;
	}
}

static void read_plain(struct reader *r, struct span line)
{
	size_t len = list_item_length(list_type(r->list), line);
	struct span item = span_trim(span_first(line, len));

	if (item.len)
		add(r, item, item, span_from(line, len));
	else
		tell(r, SEVERITY_ERROR, line, "an item is missing");
}

static void read_quoted(struct reader *r, struct span line, size_t len)
{
	struct span quoted = span_first(line, len), rest = span_from(line, len);
	char item[LIST_ITEM_MAX + 1];
	size_t used = 0;

	if (rest.len && !is_blank(rest.at[0]) && rest.at[0] != ';' && rest.at[0] != '#') {
		tell(r, SEVERITY_ERROR, rest, "behind a closing quote a blank or `;` is missing");
		return;
	}
	for (size_t i = 1; i + 1 < len && used < sizeof(item); i++) {
		if (line.at[i] == '\\' && line.at[++i] != '"' && line.at[i] != '\\') {
			tell(r, SEVERITY_ERROR, span_make(line.at + i - 1, 2),
				"in quotes a backslash stands only before a quote or a backslash");
			return;
		}
		item[used++] = line.at[i];
	}
	add(r, span_make(item, used), quoted, rest);
}

/* A mail address may begin with a quoted local part: its quotes belong to it. */
static void read_line(struct reader *r, struct span line)
{
	size_t len;

	line = span_trim(line);
	if (line.len == 0 || line.at[0] == '#')
		return;
	len = line.at[0] == '"' ? quoted_length(line) : 0;
	if (line.at[0] == '"' && len == 0)
		tell(r, SEVERITY_ERROR, line, "the closing quote is missing");
	else if (len == 0 ||
		 (list_type(r->list) == LIST_MAIL && len < line.len && line.at[len] == '@'))
		read_plain(r, line);
	else
		read_quoted(r, line, len);
}

static bool is_utf16(struct span source)
{
	return span_starts(source, SPAN("\xff\xfe")) || span_starts(source, SPAN("\xfe\xff"));
}

void list_read(struct list *list, struct diagnostics *d)
{
	struct reader r = {.list = list, .d = d};
	struct span rest = d->source;

	if (is_utf16(rest)) {
		diagnose(d, SEVERITY_ERROR, NULL, "write it anew as UTF-8", "the file is UTF-16");
		return;
	}
	if (span_starts(rest, SPAN(UTF8_BOM)))
		rest = span_from(rest, sizeof(UTF8_BOM) - 1);
	while (rest.len) {
		size_t end = span_find_char(rest, '\n');
		struct span line = span_first(rest, end);

		if (line.len && line.at[line.len - 1] == '\r')
			line.len--;
		r.line++;
		r.line_at = rest.at;
		read_line(&r, line);
		rest = span_from(rest, end + 1);
	}
	tell_count(d, SEVERITY_ERROR, r.errors_untold);
	tell_count(d, SEVERITY_WARNING, r.warnings_untold);
}

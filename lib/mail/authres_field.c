/*
 * One reader for results and trace fields: it takes elements off the front (a comment, or a run of
 * anything else with its quoted strings), which are also what lines may be folded between. Folds
 * within comments are where their blanks are; none is made within a quoted string, since not every
 * reader takes it out again.
 *
 * Rejected: quoting and escaping here what is out of form. Whoever wrote it knew what was a value
 * and what was not; from the outside a guess could be turned around by the sender.
 */
#include "lib/mail/authres_field.h"

#include "lib/mail/address.h"

enum {
	LINE_WANTED = 78, /* RFC 5322 2.1.1 */
	LINE_MAX_LEN = 998,
	WORD_MAX = 900, /* what can't be folded, so that with a field's name it stays below that */
	COMMENTS_MAX = 8, /* within one another */
	FIELD_MAX = 16 * 1024
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Printable, or a byte of UTF-8; the text as a whole is looked at for that (is_text). */
static bool is_print(char c)
{
	return (unsigned char)c > 32 && c != 127;
}

static bool is_wide(char c)
{
	return (unsigned char)c > 127;
}

/* No controls (C1 in UTF-8 neither), and what is above ASCII is UTF-8 where that may stand. */
static bool is_text(struct span s, bool utf8)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if ((!is_print(s.at[i]) && !is_blank(s.at[i])) || (is_wide(s.at[i]) && !utf8))
			return false;
		if (c == 0xc2 && i + 1 < s.len && (unsigned char)s.at[i + 1] < 0xa0)
			return false;
	}
	return !utf8 || utf8_valid(s);
}

static struct span skip_blanks(struct span s)
{
	while (s.len && is_blank(s.at[0]))
		s = span_from(s, 1);
	return s;
}

/* --- elements --- */

/* Bytes of the quoted string at the front; 0: it is not closed. */
static size_t quoted_length(struct span s)
{
	for (size_t i = 1; i < s.len; i++) {
		if (s.at[i] == '\\')
			i++;
		else if (s.at[i] == '"')
			return i + 1;
	}
	return 0;
}

/* Bytes of the comment at the front; 0: it is not closed, or too deep. */
static size_t comment_length(struct span s)
{
	unsigned depth = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '\\')
			i++;
		else if (s.at[i] == '(' && ++depth > COMMENTS_MAX)
			return 0;
		else if (s.at[i] == ')' && --depth == 0)
			return i + 1;
	}
	return 0;
}

/* Bytes of what is at the front, up to a blank or a comment; 0: a quoted string is not closed. */
static size_t run_length(struct span s)
{
	size_t i = 0;

	while (i < s.len && !is_blank(s.at[i]) && s.at[i] != '(') {
		size_t quoted = s.at[i] == '"' ? quoted_length(span_from(s, i)) : 1;

		if (!quoted)
			return 0;
		i += quoted;
	}
	return i;
}

/* Takes the element at the front off *rest, and the blanks behind it. false: it has no end. */
static bool take_element(struct span *rest, struct span *out)
{
	size_t len = rest->at[0] == '(' ? comment_length(*rest) : run_length(*rest);

	*out = span_first(*rest, len);
	*rest = skip_blanks(span_from(*rest, len));
	return len > 0;
}

/* --- the grammar --- */

/* RFC 5321's Keyword: letters, digits, hyphens inside. */
static bool is_keyword(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alpha(s.at[i]) && !ascii_is_digit(s.at[i]) &&
			(s.at[i] != '-' || i == 0 || i == s.len - 1))
			return false;
	return s.len > 0;
}

static bool is_number(struct span s)
{
	uint64_t number;

	return span_number(s, UINT32_MAX, &number);
}

static bool is_of(char c, const char *others, bool utf8)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (is_wide(c) && utf8) ||
	       (c && strchr(others, c));
}

/* atext and dots (RFC 5322 3.2.3), labels not empty. */
static bool is_dot_atom(struct span s, bool utf8)
{
	for (size_t i = 0; i < s.len; i++) {
		bool edge = i == 0 || i == s.len - 1 || s.at[i - 1] == '.';

		if (s.at[i] == '.' ? edge : !is_of(s.at[i], "!#$%&'*+-/=?^_`{|}~", utf8))
			return false;
	}
	return s.len > 0;
}

/* A token (RFC 2045 5.1). */
static bool is_token(struct span s, bool utf8)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_of(s.at[i], "!#$%&'*+-.^_`{|}~", utf8))
			return false;
	return s.len > 0;
}

/* One that holds something. What may stand in it is_text has seen to. */
static bool is_quoted(struct span s)
{
	return s.len > 2 && s.at[0] == '"' && quoted_length(s) == s.len;
}

/* token / quoted-string / [local-part] "@" domain-name, where base64 and paths need no quotes: as
 * such they stand in fields everywhere, and readers take them. */
static bool is_value(struct span s, bool utf8)
{
	size_t quoted = s.len && s.at[0] == '"' ? quoted_length(s) : 0;

	if (quoted && quoted == s.len)
		return quoted > 2; /* behind "" some readers take what follows for the value */
	if (quoted || (s.len && s.at[0] == '@')) /* "local"@domain, @domain */
		return quoted < s.len && s.at[quoted] == '@' &&
		       is_dot_atom(span_from(s, quoted + 1), utf8);
	for (size_t i = 0; i < s.len; i++)
		if (!is_of(s.at[i], "!#$%&'*+-./=?@^_`{|}~", utf8))
			return false;
	return s.len > 0;
}

/* method [ "/" version ] "=" result. "none" is the field's own word, and some readers take it for
 * that whatever comes behind. */
static bool is_method(struct span s)
{
	size_t equals = span_find_char(s, '=');
	struct span method = span_first(s, equals);
	size_t slash = span_find_char(method, '/');

	if (equals == s.len || span_starts_nocase(method, SPAN("none")))
		return false;
	return is_keyword(span_first(method, slash)) &&
	       (slash == method.len || is_number(span_from(method, slash + 1))) &&
	       is_keyword(span_from(s, equals + 1));
}

/* ptype "." property "=" value */
static bool is_property(struct span s, bool utf8)
{
	size_t equals = span_find_char(s, '='), dot = span_find_char(s, '.');

	return dot < equals && equals < s.len && is_keyword(span_first(s, dot)) &&
	       is_keyword(span_from(span_first(s, equals), dot + 1)) &&
	       is_value(span_from(s, equals + 1), utf8);
}

static bool is_reason(struct span s, bool utf8)
{
	const struct span begin = SPAN("reason=");
	struct span value = span_from(s, begin.len);

	return span_starts_nocase(s, begin) && (is_token(value, utf8) || is_quoted(value));
}

bool authres_result_valid(struct span result, bool utf8)
{
	struct span element;
	unsigned n = 0; /* elements but comments */

	result = span_trim(result);
	if (result.len > FIELD_MAX || !is_text(result, utf8))
		return false;
	while (result.len) {
		if (!take_element(&result, &element))
			return false;
		if (element.at[0] == '(' && n > 0)
			continue;
		if (n == 0 ? !is_method(element)
			   : !(n == 1 && is_reason(element, utf8)) && !is_property(element, utf8))
			return false;
		n++;
	}
	return n > 0;
}

/* --- lines --- */

struct lines {
	struct buffer *out;
	size_t column; /* bytes in the last line */
};

/* A word behind those before it, in a line of its own where it would reach too far. */
static bool add_word(struct lines *l, struct span word, bool apart)
{
	bool fold = apart && l->column + 1 + word.len > LINE_WANTED;

	if (word.len > WORD_MAX || (!apart && l->column + word.len > LINE_MAX_LEN))
		return false;
	if (fold)
		l->column = 0;
	if (apart && !buffer_add_text(l->out, fold ? "\r\n\t" : " "))
		return false;
	l->column += word.len + apart;
	return buffer_add(l->out, word);
}

/* A comment's words may stand in several lines; a quoted pair holds its blank. */
static bool add_comment(struct lines *l, struct span comment, bool apart)
{
	while (comment.len) {
		size_t len = 0;

		while (len < comment.len && !is_blank(comment.at[len]))
			len += comment.at[len] == '\\' && len + 1 < comment.len ? 2 : 1;
		if (!add_word(l, span_first(comment, len), apart))
			return false;
		comment = skip_blanks(span_from(comment, len));
		apart = true;
	}
	return true;
}

/* Elements, each as it is. false: one is too long, has no end, or `out` is full. */
static bool add_elements(struct lines *l, struct span text, bool apart)
{
	struct span element;

	while (text.len) {
		const char *end;

		if (!take_element(&text, &element))
			return false;
		if (element.at[0] == '(' ? !add_comment(l, element, apart)
					 : !add_word(l, element, apart))
			return false;
		end = element.at + element.len;
		apart = text.at != end; /* some blank was there */
	}
	return true;
}

/* Adds a text that was put together elsewhere, if it fits and leaves `spare` bytes. */
static bool add_whole(struct buffer *out, struct buffer *text, bool ok, size_t spare)
{
	ok = ok && text->len + spare <= out->max - out->len && buffer_add(out, buffer_span(text));
	buffer_free(text);
	return ok;
}

/* --- Authentication-Results --- */

static const char line_end[] = "\r\n";

static bool add_result(struct buffer *out, struct span result, bool utf8)
{
	struct buffer text = BUFFER_INIT(FIELD_MAX);
	struct lines lines = {&text, 1};
	bool ok = authres_result_valid(result, utf8) && buffer_add_text(&text, ";\r\n\t") &&
		  add_elements(&lines, span_trim(result), false);

	return add_whole(out, &text, ok, strlen(line_end));
}

static bool add_name(struct buffer *out, struct span authserv_id)
{
	return buffer_print(out, "Authentication-Results: %.*s", SPAN_ARGS(authserv_id));
}

bool authres_field_write(struct span authserv_id, const struct span *results, size_t n, bool utf8,
	struct buffer *out)
{
	struct buffer field = BUFFER_INIT(out->max - out->len);
	bool some = false, ok = add_name(&field, authserv_id);

	for (size_t i = 0; ok && i < n; i++)
		some = add_result(&field, results[i], utf8) || some;
	ok = some && buffer_add_text(&field, line_end);
	return add_whole(out, &field, ok, 0);
}

bool authres_field_write_none(struct span authserv_id, struct buffer *out)
{
	return buffer_print(
		out, "Authentication-Results: %.*s; none%s", SPAN_ARGS(authserv_id), line_end);
}

/* --- trace fields --- */

/* Adds the text without its folds (RFC 5322 2.2.3). false: a line end that is none of these. */
static bool unfold(struct span text, struct buffer *out)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '\r' && i + 2 < text.len && text.at[i + 1] == '\n' &&
			is_blank(text.at[i + 2]))
			i += 2;
		if (!buffer_add_char(out, text.at[i]))
			return false;
	}
	return true;
}

/* Bytes of the name at the front, up to its colon; 0: there is none. */
static size_t name_length(struct span field)
{
	size_t colon = span_find_char(field, ':');

	for (size_t i = 0; i < colon; i++)
		if (!is_print(field.at[i]) || is_wide(field.at[i]))
			return 0;
	return colon < field.len && ascii_is_alpha(field.at[0]) ? colon : 0;
}

static bool write_trace(struct span field, bool utf8, struct buffer *out)
{
	struct lines lines = {.out = out};
	size_t name = name_length(field);
	struct span body = span_trim(span_from(field, name + 1));

	if (!name || body.len == 0 || !is_text(body, utf8))
		return false;
	return add_word(&lines, span_first(field, name + 1), false) &&
	       add_elements(&lines, body, true) && buffer_add_text(out, line_end);
}

bool trace_field_write(struct span field, bool utf8, struct buffer *out)
{
	struct buffer plain = BUFFER_INIT(FIELD_MAX), text = BUFFER_INIT(FIELD_MAX);
	bool ok = unfold(field, &plain) && write_trace(buffer_span(&plain), utf8, &text);

	buffer_free(&plain);
	return add_whole(out, &text, ok, 0);
}

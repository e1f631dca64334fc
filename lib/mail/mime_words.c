/*
 * Encoded words and parameters.
 *
 * The grammar is not what counts here, but what the recipient's mail program will see: an
 * attachment's name that only we cannot read is a way past us. So a parameter without a value, with
 * a name of odd bytes, or behind a quote never closed does not hide those behind it; and where
 * readers are known to differ, each reading is told.
 *
 * Tried and rejected: GMime 3.2.13. `attachment; foo; filename=x.exe` is a part without a name
 * there, as with `foo=;` and `@=1;`; `x.exe (y)` keeps the comment in the extension; an unknown
 * charset in an encoded word drops the word; and any charset that the sender names is opened, which
 * loads glibc's module for it at that moment.
 */
#include "lib/mail/mime_words.h"

#include <stdint.h>

#include "lib/mail/header.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span trim(struct span s)
{
	while (s.len && is_blank(s.at[0]))
		s = span_from(s, 1);
	while (s.len && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

struct span header_text(struct span body, struct arena *arena)
{
	struct buffer text = BUFFER_INIT(MIME_FIELD_MAX);
	struct span result = SPAN("");

	if (header_unfold(span_first(body, MIME_FIELD_MAX), &text))
		result = arena_span(arena, buffer_span(&text));
	buffer_free(&text);
	return result;
}

static struct span lower(struct span s, struct arena *arena)
{
	char *copy = arena_string(arena, s);

	for (size_t i = 0; i < s.len; i++)
		copy[i] = ascii_lower(copy[i]);
	return span_make(copy, s.len);
}

/* Copies what a buffer holds into the arena and frees it. */
static struct span settle(struct buffer *text, struct arena *arena)
{
	struct span result = arena_span(arena, buffer_span(text));

	buffer_free(text);
	return result;
}

struct span text_harmless(struct span text, struct arena *arena)
{
	struct buffer out = BUFFER_INIT(3 * text.len + 1);
	struct span result;

	while (text.len) {
		uint32_t point = utf8_next(&text);

		if (point_control(point))
			point = ' ';
		if (!point_invisible(point) && !utf8_put(&out, point))
			break;
	}
	result = arena_span(arena, span_trim(buffer_span(&out)));
	buffer_free(&out);
	return result;
}

/* --- encoded words --- */

struct word {
	struct span charset;
	bool base64;
	struct span text;
	size_t size; /* of all of it, =? to ?= */
};

/* The encoded word at the front (which is "=?"). *ends: whether any "?=" can still follow; looked
 * for once only, so that a field full of "=?a?q?" costs no more than its length. */
static bool word_at(struct span s, struct word *out, bool *ends)
{
	struct span rest = span_from(s, 2);
	size_t mark = span_find_char(rest, '?'), end;

	if (mark == 0 || mark + 2 >= rest.len || rest.at[mark + 2] != '?')
		return false;
	out->charset = span_first(rest, mark);
	/* RFC 2231 5: a language may follow. */
	out->charset = span_first(out->charset, span_find_char(out->charset, '*'));
	for (size_t i = 0; i < out->charset.len; i++)
		if ((unsigned char)out->charset.at[i] <= ' ' || out->charset.at[i] == '=')
			return false;
	if (ascii_lower(rest.at[mark + 1]) != 'b' && ascii_lower(rest.at[mark + 1]) != 'q')
		return false;
	out->base64 = ascii_lower(rest.at[mark + 1]) == 'b';
	rest = span_from(rest, mark + 3);
	end = span_find(rest, SPAN("?="));
	if (end == rest.len) {
		*ends = false;
		return false;
	}
	out->text = span_first(rest, end);
	out->size = (size_t)(rest.at - s.at) + end + 2;
	return true;
}

/* Percent or Q: `mark` and two digits are a byte; what is not stands for itself. false: full. */
static bool add_escaped(struct buffer *out, struct span s, char mark, bool underscore)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];

		if (c == mark && i + 2 < s.len && hex_byte(s.at[i + 1], s.at[i + 2], &c)) {
			i += 2;
		} else if (c == '_' && underscore) {
			c = ' ';
		}
		if (!buffer_add_char(out, c))
			return false;
	}
	return true;
}

static bool add_word(struct buffer *bytes, const struct word *word)
{
	struct mime_decoder decoder;
	struct span text = word->text;
	char chunk[1024];

	if (!word->base64)
		return add_escaped(bytes, text, '=', true);
	mime_decoder_init(&decoder, MIME_BASE64);
	while (text.len) {
		size_t size = mime_decode(&decoder, &text, chunk, sizeof(chunk));

		if (!buffer_add(bytes, span_make(chunk, size)))
			return false;
	}
	return true;
}

/* Decodes the words of a text into UTF-8 that may still hold anything. Bytes of neighbouring words
 * in one charset are decoded together: many a sender cuts inside of a character. */
static struct span decode_words(
	const struct charsets *charsets, struct span text, struct arena *arena)
{
	struct buffer out = BUFFER_INIT(4 * MIME_FIELD_MAX), bytes = BUFFER_INIT(MIME_FIELD_MAX);
	struct span charset = SPAN_NONE;
	size_t from = 0, at = 0;
	bool ends = true, fits = true;

	/* [from, at) is text outside of words that was not yet added. */
	while (fits && at < text.len) {
		struct span plain = span_make(text.at + from, at - from);
		struct word word;

		if (!ends || !span_starts(span_from(text, at), SPAN("=?")) ||
			!word_at(span_from(text, at), &word, &ends)) {
			at++;
			continue;
		}
		/* Blanks between two words are no text (RFC 2047 6.2). */
		if (!charset.at || trim(plain).len || !span_equal_nocase(charset, word.charset)) {
			if (charset.at)
				fits = charset_decode(charsets, charset, buffer_span(&bytes), &out);
			buffer_clear(&bytes);
			if (!charset.at || trim(plain).len)
				fits = fits && charset_decode(charsets, SPAN_NONE, plain, &out);
			charset = word.charset;
		}
		fits = fits && add_word(&bytes, &word);
		at += word.size;
		from = at;
	}
	if (fits && charset.at)
		fits = charset_decode(charsets, charset, buffer_span(&bytes), &out);
	if (fits)
		charset_decode(charsets, SPAN_NONE, span_from(text, from), &out);
	buffer_free(&bytes);
	return settle(&out, arena);
}

struct span header_decode_text(
	const struct charsets *charsets, struct span body, struct arena *arena)
{
	return text_harmless(decode_words(charsets, header_text(body, arena), arena), arena);
}

struct span header_angle(struct span body, struct arena *arena)
{
	struct span text = header_text(body, arena);
	size_t open = text.len, close;

	while (open && text.at[open - 1] != '<')
		open--;
	close = open + span_find_char(span_from(text, open), '>');
	if (open)
		text = span_make(text.at + open, close - open);
	return text_harmless(text, arena);
}

/* --- parameters --- */

enum { NOT_NUMBERED = -1 };

/* A parameter as it is written, before continuations are put together. */
struct piece {
	struct span name;      /* lower case */
	struct span value;     /* unquoted */
	struct span other;     /* what another reader takes for the value; at NULL: none */
	struct span unescaped; /* likewise: MIME_UNESCAPED */
	int number;            /* of a continuation */
	bool extended;         /* percent-encoded, and in the first piece with a charset */
	bool used;
};

struct pieces {
	struct piece items[MIME_PARAMETERS_MAX];
	size_t count;
	bool odd;
};

/* As the standard has it, a backslash stands before any character; the other reading is folders. */
static struct span unescape(struct span text, struct arena *arena)
{
	char *out = arena_alloc(arena, text.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '\\' && i + 1 < text.len)
			i++;
		out[len++] = text.at[i];
	}
	return span_make(out, len);
}

/* Index of the '"' that closes the quoted string at the front, or s.len. A backslash counts before
 * '"' and itself only: "C:\\new.exe" is common. */
static size_t quoted_end(struct span s)
{
	size_t i = 1;

	while (i < s.len && s.at[i] != '"')
		i += s.at[i] == '\\' && i + 1 < s.len && (s.at[i + 1] == '"' || s.at[i + 1] == '\\')
			     ? 2
			     : 1;
	return i < s.len ? i : s.len;
}

/* A quoted string at the front of *s, which is moved behind it. Unclosed, it ends at the first
 * ';'. */
static struct span take_quoted(
	struct span *s, struct arena *arena, bool *closed, struct span *unescaped)
{
	size_t end = quoted_end(*s), len = 0;
	char *text;

	*closed = end < s->len;
	*unescaped = SPAN_NONE;
	if (*closed && memchr(s->at, '\\', end))
		*unescaped = unescape(span_make(s->at + 1, end - 1), arena);
	if (!*closed)
		end = span_find_char(*s, ';');
	text = arena_alloc(arena, end + 1);
	for (size_t i = 1; i < end; i++) {
		if (*closed && s->at[i] == '\\' && (s->at[i + 1] == '"' || s->at[i + 1] == '\\'))
			i++;
		text[len++] = s->at[i];
	}
	*s = span_from(*s, *closed ? end + 1 : end);
	return span_make(text, len);
}

/* The value at the front of *s, which is moved to the ';' behind it. */
static void take_value(struct span *s, struct arena *arena, struct piece *out, bool *odd)
{
	struct span behind;
	bool closed;

	*s = trim(*s);
	if (s->len && s->at[0] == '"') {
		out->value = take_quoted(s, arena, &closed, &out->unescaped);
		behind = trim(span_first(*s, span_find_char(*s, ';')));
		*odd = *odd || !closed;
		/* "a.txt".exe: some readers go on to the ';'. */
		if (behind.len && behind.at[0] != '(')
			out->other = span_text(arena_print(
				arena, "%.*s%.*s", SPAN_ARGS(out->value), SPAN_ARGS(behind)));
	} else {
		out->value = trim(span_first(*s, span_find_char(*s, ';')));
		/* x.exe (y): a comment to some, part of the name to others. */
		if (out->value.len && out->value.at[out->value.len - 1] == ')')
			out->other = trim(span_first(out->value, span_find_char(out->value, '(')));
		if (out->other.len == 0)
			out->other = SPAN_NONE;
	}
	*s = span_from(*s, span_find_char(*s, ';'));
}

/* "filename*1*": the name, its number and whether it is extended. */
static void read_name(struct span text, struct arena *arena, struct piece *out)
{
	size_t star;
	struct span suffix;
	uint64_t number;

	text = trim(text);
	/* A comment before the name. */
	if (text.len && text.at[0] == '(')
		text = trim(span_from(text, span_find_char(text, ')') + 1));
	star = span_find_char(text, '*');
	out->name = lower(trim(span_first(text, star)), arena);
	if (star == text.len)
		return;
	suffix = span_from(text, star + 1);
	out->extended = suffix.len == 0 || suffix.at[suffix.len - 1] == '*';
	if (suffix.len && out->extended)
		suffix.len--;
	if (span_number(suffix, 9999, &number))
		out->number = (int)number;
}

/* Those that mean something to us; any others would only use up MIME_PARAMETERS_MAX. */
static bool matters(struct span name)
{
	static const char *const names[] = {
		"filename", "name", "boundary", "charset", "smime-type"};

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (span_equal(name, span_text(names[i])))
			return true;
	return false;
}

/* Takes one "name=value" off *s (which stands behind a ';'); false: there are too many. */
static bool take_piece(struct span *s, struct arena *arena, struct pieces *out)
{
	struct piece piece = {.number = NOT_NUMBERED};
	size_t end = span_find_char(*s, ';'), equals = span_find_char(*s, '=');

	if (equals >= end) {
		*s = span_from(*s, end);
		return true;
	}
	read_name(span_first(*s, equals), arena, &piece);
	*s = span_from(*s, equals + 1);
	take_value(s, arena, &piece, &out->odd);
	if (!matters(piece.name))
		return true;
	if (out->count == MIME_PARAMETERS_MAX)
		return false;
	out->items[out->count++] = piece;
	return true;
}

/* The bytes of an extended value in UTF-8; its charset stands before two apostrophes (RFC 2231 4),
 * or was given by the first of its pieces. */
static struct span take_charset(struct span *value)
{
	size_t first = span_find_char(*value, '\''), second;
	struct span charset = span_first(*value, first);

	if (first == value->len)
		return SPAN_NONE;
	second = first + 1 + span_find_char(span_from(*value, first + 1), '\'');
	if (second >= value->len)
		return SPAN_NONE;
	*value = span_from(*value, second + 1);
	return charset;
}

static struct span in_utf8(const struct charsets *charsets, struct span charset, struct span bytes,
	struct arena *arena)
{
	struct buffer out = BUFFER_INIT(3 * MIME_FIELD_MAX);

	charset_decode(charsets, charset, bytes, &out);
	return settle(&out, arena);
}

/* A boundary is compared with lines as they come: it has no charset. */
static bool is_bytes(struct span name)
{
	return span_equal(name, SPAN("boundary"));
}

static struct span decode_plain(
	const struct charsets *charsets, struct span name, struct span value, struct arena *arena)
{
	return is_bytes(name) ? value : decode_words(charsets, value, arena);
}

static struct span decode_extended(
	const struct charsets *charsets, struct span value, struct arena *arena)
{
	struct buffer bytes = BUFFER_INIT(MIME_FIELD_MAX);
	struct span charset = take_charset(&value), result;

	add_escaped(&bytes, value, '%', false);
	result = in_utf8(charsets, charset, buffer_span(&bytes), arena);
	buffer_free(&bytes);
	/* Some programs put encoded words here too. */
	return span_find(result, SPAN("=?")) < result.len ? decode_words(charsets, result, arena)
							  : result;
}

/* The next piece of a name in the order of their numbers: the least above `above`; or, for readers
 * who stop where one is missing, that which follows. */
static struct piece *next_numbered(struct pieces *pieces, struct span name, int above, bool stops)
{
	struct piece *best = NULL;

	for (size_t i = 0; i < pieces->count; i++) {
		struct piece *p = &pieces->items[i];

		if (p->number > above && span_equal(p->name, name) &&
			(!best || p->number < best->number))
			best = p;
	}
	return best && stops && best->number != above + 1 ? NULL : best;
}

/* Adds the extended pieces that follow p to the run; returns the last of them. */
static struct piece *last_extended(
	struct pieces *pieces, struct piece *p, bool stops, struct buffer *run)
{
	struct piece *next;

	while ((next = next_numbered(pieces, p->name, p->number, stops)) && next->extended) {
		text_add(run, next->value);
		p = next;
	}
	return p;
}

/* name*0, name*1*, ... in order of their numbers, whatever stands between or (but for `stops`) is
 * missing. A "%2" at the end of one and an "e" in the next are a dot, as for readers who join
 * first. */
static struct span join(const struct charsets *charsets, struct pieces *pieces, struct span name,
	bool stops, struct arena *arena)
{
	struct buffer bytes = BUFFER_INIT(MIME_FIELD_MAX), run = BUFFER_INIT(MIME_FIELD_MAX);
	struct span charset = SPAN_NONE, result, first;
	struct piece *p = next_numbered(pieces, name, NOT_NUMBERED, stops);

	if (p) {
		first = p->value;
		if (p->extended)
			charset = take_charset(&first);
		text_add(&run, first);
	}
	while (p) {
		if (p->extended) {
			p = last_extended(pieces, p, stops, &run);
			add_escaped(&bytes, buffer_span(&run), '%', false);
		} else {
			text_add(&bytes, buffer_span(&run));
		}
		buffer_clear(&run);
		p = next_numbered(pieces, name, p->number, stops);
		if (p)
			text_add(&run, p->value);
	}
	for (size_t i = 0; i < pieces->count; i++)
		if (pieces->items[i].number >= 0 && span_equal(pieces->items[i].name, name))
			pieces->items[i].used = true;
	result = is_bytes(name) ? arena_span(arena, buffer_span(&bytes))
				: in_utf8(charsets, charset, buffer_span(&bytes), arena);
	buffer_free(&bytes);
	buffer_free(&run);
	return charset.at ? result : decode_plain(charsets, name, result, arena);
}

static void add_parameter(
	struct mime_field *field, struct span name, struct span value, enum mime_form form)
{
	field->parameters[field->count++] =
		(struct mime_parameter){.name = name, .value = value, .form = form};
}

static void add_continued(const struct charsets *charsets, struct pieces *pieces, struct span name,
	struct arena *arena, struct mime_field *field)
{
	struct span all = join(charsets, pieces, name, false, arena),
		    front = join(charsets, pieces, name, true, arena);

	add_parameter(field, name, all, MIME_CONTINUED);
	if (front.len && !span_equal(front, all))
		add_parameter(field, name, front, MIME_OTHER_READING);
}

static void add_piece(const struct charsets *charsets, struct pieces *pieces, struct piece *p,
	struct arena *arena, struct mime_field *field)
{
	if (p->used)
		return;
	if (p->number >= 0) {
		add_continued(charsets, pieces, p->name, arena, field);
		return;
	}
	if (p->extended)
		add_parameter(
			field, p->name, decode_extended(charsets, p->value, arena), MIME_EXTENDED);
	else
		add_parameter(field, p->name, decode_plain(charsets, p->name, p->value, arena),
			MIME_PLAIN);
	if (p->other.at)
		add_parameter(field, p->name, decode_plain(charsets, p->name, p->other, arena),
			MIME_OTHER_READING);
	if (p->unescaped.at && !span_equal(p->unescaped, p->value))
		add_parameter(field, p->name, decode_plain(charsets, p->name, p->unescaped, arena),
			MIME_UNESCAPED);
}

static bool has_twins(const struct mime_field *field)
{
	for (size_t i = 0; i < field->count; i++)
		for (size_t j = 0; j < i; j++)
			if (field->parameters[i].form == field->parameters[j].form &&
				span_equal(field->parameters[i].name, field->parameters[j].name))
				return true;
	return false;
}

/* "multipart / mixed (x)" without blanks and comments, up to the ';'; *s is moved there. */
static struct span take_main(struct span *s, struct arena *arena)
{
	char *text = arena_alloc(arena, s->len + 1);
	size_t len = 0, depth = 0, i = 0;

	for (; i < s->len && (s->at[i] != ';' || depth); i++) {
		char c = s->at[i];

		if (c == '(')
			depth++;
		else if (c == ')' && depth)
			depth--;
		else if (!depth && (unsigned char)c > ' ' && c != '"')
			text[len++] = ascii_lower(c);
	}
	/* Unclosed: there was no comment. */
	if (depth) {
		i = span_find_char(*s, ';');
		len = 0;
		for (size_t k = 0; k < i && s->at[k] != '('; k++)
			if ((unsigned char)s->at[k] > ' ' && s->at[k] != '"')
				text[len++] = ascii_lower(s->at[k]);
	}
	*s = span_from(*s, i);
	return span_make(text, len);
}

/* "name=x.exe" or "text/plain name=x.exe": the ';' before the first parameter is missing. */
static struct span restore_semicolon(struct span text, struct arena *arena)
{
	size_t equals = span_find_char(text, '='), start = equals;

	if (equals == text.len || span_find_char(text, ';') < equals)
		return text;
	while (start && is_blank(text.at[start - 1]))
		start--;
	while (start && !is_blank(text.at[start - 1]))
		start--;
	return span_text(arena_print(
		arena, "%.*s;%.*s", (int)start, text.at, (int)(text.len - start), text.at + start));
}

void mime_field_parse(const struct charsets *charsets, struct span body, struct arena *arena,
	struct mime_field *out)
{
	struct span s = header_text(body, arena);
	struct pieces *pieces = arena_alloc(arena, sizeof(*pieces));

	*out = (struct mime_field){.odd = body.len > MIME_FIELD_MAX};
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] == '\0')
			((char *)(uintptr_t)s.at)[i] = ' ';
	s = restore_semicolon(s, arena);
	out->value = take_main(&s, arena);
	while (s.len) {
		s = span_from(s, 1);
		if (!take_piece(&s, arena, pieces)) {
			pieces->odd = true;
			break;
		}
	}
	out->parameters = arena_alloc(arena, 3 * pieces->count * sizeof(*out->parameters) + 1);
	for (size_t i = 0; i < pieces->count; i++)
		add_piece(charsets, pieces, &pieces->items[i], arena, out);
	out->odd = out->odd || pieces->odd || has_twins(out);
}

struct span mime_field_get(const struct mime_field *field, const char *name)
{
	const struct mime_parameter *best = NULL;

	for (size_t i = 0; i < field->count; i++) {
		const struct mime_parameter *p = &field->parameters[i];

		if (span_equal(p->name, span_text(name)) && (!best || p->form < best->form))
			best = p;
	}
	return best ? best->value : SPAN_NONE;
}

#include "authn/spf_macro.h"

#include "authn/spf_name.h"
#include "lib/base/fail.h"

/* --- reading --- */

/* A run of literal characters, or one macro-expand. */
struct piece {
	struct span literal; /* also what "%%", "%_" and "%-" stand for */
	bool is_macro;       /* "%{...}" */
	bool is_expand;      /* that, or one of those three */
	bool escape;         /* an upper-case letter */
	bool reverse;
	enum spf_macro_letter letter;
	size_t keep; /* parts from the right; 0: all */
	struct span delimiters;
};

static bool letter_find(char c, enum spf_macro_letter *letter)
{
	static const char letters[] = {
#define X(name, letter) letter,
		SPF_MACRO_LETTERS(X)
#undef X
	};
	const char *found = memchr(letters, ascii_lower(c), sizeof(letters));

	if (!found)
		return false;
	*letter = (enum spf_macro_letter)(found - letters);
	return true;
}

/* transformers: *DIGIT [ "r" ]; the digits say a number above 0 (RFC 7208 7.3). */
static bool transformers_read(struct span *rest, struct piece *piece)
{
	bool digits = false;

	for (; rest->len && ascii_is_digit(rest->at[0]); *rest = span_from(*rest, 1)) {
		digits = true;
		if (piece->keep < SPF_NAME_MAX * 2)
			piece->keep = piece->keep * 10 + (size_t)(rest->at[0] - '0');
	}
	if (digits && piece->keep == 0)
		return false;
	if (rest->len && ascii_lower(rest->at[0]) == 'r') {
		piece->reverse = true;
		*rest = span_from(*rest, 1);
	}
	return true;
}

/* What stands between "%{" and "}". NULL: fine. */
static const char *macro_read(struct span inner, struct piece *piece)
{
	piece->is_macro = true;
	if (inner.len == 0 || !letter_find(inner.at[0], &piece->letter))
		return "unknown macro";
	piece->escape = inner.at[0] != ascii_lower(inner.at[0]);
	inner = span_from(inner, 1);
	if (!transformers_read(&inner, piece))
		return "macro keeps 0 parts";
	for (size_t i = 0; i < inner.len; i++)
		if (!memchr(".-+,/_=", inner.at[i], 7))
			return "malformed macro";
	piece->delimiters = inner.len ? inner : SPAN(".");
	return NULL;
}

/* Cuts the first piece off. NULL: fine. */
static const char *piece_read(struct span *rest, struct piece *piece)
{
	size_t end;

	*piece = (struct piece){.literal = span_first(*rest, span_find_char(*rest, '%'))};
	if (piece->literal.len) {
		*rest = span_from(*rest, piece->literal.len);
		return NULL;
	}
	piece->is_expand = true;
	if (rest->len < 2)
		return "% without a macro";
	switch (rest->at[1]) {
	case '%':
		piece->literal = SPAN("%");
		break;
	case '_':
		piece->literal = SPAN(" ");
		break;
	case '-':
		piece->literal = SPAN("%20");
		break;
	case '{':
		end = span_find_char(*rest, '}');
		if (end == rest->len)
			return "macro without an end";
		*rest = span_from(*rest, 2);
		piece->delimiters = span_first(*rest, end - 2);
		*rest = span_from(*rest, end - 1);
		return macro_read(piece->delimiters, piece);
	default:
		return "% without a macro";
	}
	*rest = span_from(*rest, 2);
	return NULL;
}

/* Visible characters; an explanation has spaces too. */
static bool is_literal(struct span text, enum spf_macro_place place)
{
	for (size_t i = 0; i < text.len; i++)
		if ((text.at[i] < 0x21 || text.at[i] > 0x7e) &&
			!(text.at[i] == ' ' && place == SPF_MACRO_IN_EXPLANATION))
			return false;
	return true;
}

static bool is_of_explanations(enum spf_macro_letter letter)
{
	return letter == SPF_MACRO_PRETTY || letter == SPF_MACRO_RECEIVER ||
	       letter == SPF_MACRO_TIME;
}

/* toplabel: letters, digits and hyphens, not digits alone, no hyphen at either end. */
static bool is_top_label(struct span label)
{
	bool alone = true;

	if (label.len == 0 || label.at[0] == '-' || label.at[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++) {
		if (!ascii_is_alpha(label.at[i]) && !ascii_is_digit(label.at[i]) &&
			label.at[i] != '-')
			return false;
		alone = alone && ascii_is_digit(label.at[i]);
	}
	return !alone;
}

/* domain-end: "." toplabel [ "." ], all of it in the last run of literal characters. */
static bool is_domain_end(struct span last)
{
	size_t start;

	if (last.len && last.at[last.len - 1] == '.')
		last.len--;
	for (start = last.len; start > 0 && last.at[start - 1] != '.'; start--)
		;
	return start > 0 && is_top_label(span_from(last, start));
}

const char *spf_macro_mistake(struct span text, enum spf_macro_place place)
{
	struct piece piece = {.literal = SPAN_NONE};
	const char *why;
	size_t n = 0;

	while (text.len) {
		why = piece_read(&text, &piece);
		if (why)
			return why;
		if (!piece.is_expand && !is_literal(piece.literal, place))
			return "character that may not stand there";
		if (piece.is_macro && is_of_explanations(piece.letter) &&
			place != SPF_MACRO_IN_EXPLANATION)
			return "macro that only explanations may use";
		if (piece.is_expand && ++n > SPF_MACROS_MAX)
			return "too many macros";
	}
	if (place == SPF_MACRO_IN_DOMAIN && !piece.is_expand && !is_domain_end(piece.literal))
		return "no domain";
	return NULL;
}

bool spf_macro_uses_validated(struct span text)
{
	struct piece piece;

	while (text.len && !piece_read(&text, &piece))
		if (piece.is_macro && piece.letter == SPF_MACRO_VALIDATED)
			return true;
	return false;
}

/* --- expanding --- */

/* Text that grows at its end. Of a name only the end counts, of an explanation only the start. */
struct output {
	char text[1024];
	size_t len;
	bool keeps_end;
	bool cut;
};

/* Far more than a name may have, so that what was cut off can't matter. */
enum { END_KEPT = 512 };

static void output_add(struct output *out, char c)
{
	if (out->len == sizeof(out->text)) {
		out->cut = true;
		if (!out->keeps_end)
			return;
		memmove(out->text, out->text + out->len - END_KEPT, END_KEPT);
		out->len = END_KEPT;
	}
	out->text[out->len++] = c;
}

/* Characters that are not unreserved (RFC 3986 2.3) as %XX. */
static void output_add_value(struct output *out, struct span text, bool escape)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (!escape || ascii_is_alpha(text.at[i]) || ascii_is_digit(text.at[i]) ||
			(c && strchr("-._~", c))) {
			output_add(out, text.at[i]);
			continue;
		}
		output_add(out, '%');
		output_add(out, hex[c >> 4]);
		output_add(out, hex[c & 0xf]);
	}
}

static bool splits(const struct piece *piece, char c)
{
	return memchr(piece->delimiters.at, c, piece->delimiters.len) != NULL;
}

static size_t parts_count(const struct piece *piece, struct span value)
{
	size_t n = 1;

	for (size_t i = 0; i < value.len; i++)
		n += splits(piece, value.at[i]);
	return n;
}

/* Split, perhaps reversed, the last so many taken, joined by dots (RFC 7208 7.3). Of the reversed
 * order the last are the first of the value. */
static void macro_expand(const struct piece *piece, struct span value, struct output *out)
{
	size_t n = parts_count(piece, value);
	size_t keep = piece->keep && piece->keep < n ? piece->keep : n;
	size_t start, end;

	if (piece->reverse) {
		for (end = 0, n = 0; end < value.len && n < keep; end++)
			n += splits(piece, value.at[end]);
		end -= n == keep; /* the delimiter behind the last that is kept */
		for (;; end = start - 1) {
			for (start = end; start > 0 && !splits(piece, value.at[start - 1]); start--)
				;
			output_add_value(
				out, span_make(value.at + start, end - start), piece->escape);
			if (start == 0)
				return;
			output_add(out, '.');
		}
	}
	for (start = 0; n > keep; start++)
		n -= splits(piece, value.at[start]);
	for (; start < value.len; start++) {
		if (splits(piece, value.at[start]))
			output_add(out, '.');
		else
			output_add_value(out, span_make(value.at + start, 1), piece->escape);
	}
}

static void expand(struct span text, const struct spf_macros *macros, struct output *out)
{
	struct piece piece;

	for (size_t n = 0; text.len && n <= SPF_MACROS_MAX; n += piece.is_expand) {
		ENSURE(piece_read(&text, &piece) == NULL);
		if (piece.is_macro && macros->values[piece.letter].len)
			macro_expand(&piece, macros->values[piece.letter], out);
		else if (!piece.is_macro)
			output_add_value(out, piece.literal, false);
	}
}

struct span spf_macro_expand_name(
	struct span text, const struct spf_macros *macros, struct arena *arena)
{
	struct output out = {.keeps_end = true};
	struct span name;

	expand(text, macros, &out);
	name = span_make(out.text, out.len);
	if (name.len && name.at[name.len - 1] == '.')
		name.len--;
	/* "by removing successive domain labels (and their following dots) until the total length
	 * does not exceed 253 characters"; the last label is left whatever its length. */
	while (name.len > SPF_NAME_MAX && span_find_char(name, '.') < name.len)
		name = span_from(name, span_find_char(name, '.') + 1);
	return arena_span(arena, name);
}

struct span spf_macro_expand_explanation(
	struct span text, const struct spf_macros *macros, struct arena *arena)
{
	struct output out = {.keeps_end = false};
	char *copy;

	expand(text, macros, &out);
	if (out.len > SPF_EXPLANATION_MAX)
		out.len = SPF_EXPLANATION_MAX;
	copy = arena_string(arena, span_make(out.text, out.len));
	for (size_t i = 0; i < out.len; i++)
		if (copy[i] < 0x20 || copy[i] > 0x7e)
			copy[i] = '?';
	return span_make(copy, out.len);
}

/*
 * Both rules for bodies drop the empty lines at the end, which are known as such only there: line
 * ends are counted, and written when something else follows. CR and LF count as a line end as a
 * pair only; alone they are bytes like others (the proxy lets none through, other tools may).
 */
#include "authn/canon.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* --- header fields --- */

/* 3.4.2: lower case, no blanks before the colon. */
static void relaxed_name(struct span name, struct sha256 *out)
{
	for (size_t i = 0; i < name.len; i++)
		sha256_add_char(out, ascii_lower(name.at[i]));
	sha256_add_char(out, ':');
}

/* Unfolded, blanks in a row are one, none at either end. Called again for what follows a cut: *gap
 * says whether blanks are due, *begun whether a byte was written. */
static void relaxed_value(struct span value, bool *gap, bool *begun, struct sha256 *out)
{
	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];

		if (c == '\r' && i + 1 < value.len && value.at[i + 1] == '\n') {
			i++;
		} else if (is_blank(c)) {
			*gap = true;
		} else {
			if (*gap && *begun)
				sha256_add_char(out, ' ');
			*gap = false;
			*begun = true;
			sha256_add_char(out, c);
		}
	}
}

/* `whole` in two parts, before and behind the cut. */
static void without(struct span whole, struct span cut, struct span *before, struct span *behind)
{
	*before = whole;
	*behind = SPAN_NONE;
	if (cut.len == 0)
		return;
	*before = span_first(whole, (size_t)(cut.at - whole.at));
	*behind = span_from(whole, before->len + cut.len);
}

void canon_field(
	enum canon canon, const struct header_field *field, struct span cut, struct sha256 *out)
{
	size_t start = (size_t)(field->body.at - field->raw.at);
	struct span before, behind;
	bool gap = false, begun = false;

	if (canon == CANON_RELAXED) {
		relaxed_name(field->name, out);
		without(field->body, cut, &before, &behind);
		relaxed_value(before, &gap, &begun, out);
		relaxed_value(behind, &gap, &begun, out);
	} else {
		without(span_first(field->raw, start + field->body.len), cut, &before, &behind);
		sha256_add(out, before);
		sha256_add(out, behind);
	}
}

/* --- bodies --- */

void canon_body_open(struct canon_body *body, enum canon canon)
{
	*body = (struct canon_body){.canon = canon};
	sha256_open(&body->sha256);
}

static void add_ends(struct canon_body *body)
{
	static const char ends[] =
		"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
	const uint64_t most = (sizeof(ends) - 1) / 2;

	while (body->n_ends) {
		uint64_t n = body->n_ends < most ? body->n_ends : most;

		sha256_add(&body->sha256, span_make(ends, 2 * n));
		body->n_ends -= n;
	}
}

/* Something of a line follows: what was held back counts. */
static void add_held(struct canon_body *body)
{
	add_ends(body);
	if (body->blank)
		sha256_add_char(&body->sha256, ' ');
	body->blank = false;
	body->line_begun = true;
}

static void add_text(struct canon_body *body, struct span text)
{
	if (text.len == 0)
		return;
	add_held(body);
	sha256_add(&body->sha256, text);
}

/* Index of the first byte that is not copied as it stands. */
static size_t plain_length(enum canon canon, struct span s)
{
	size_t i = 0;

	if (canon == CANON_SIMPLE)
		return span_find_char(s, '\r');
	while (i < s.len && s.at[i] != '\r' && !is_blank(s.at[i]))
		i++;
	return i;
}

/* A byte behind CR. Whether it was taken. */
static bool after_carriage(struct canon_body *body, char c)
{
	body->carriage = false;
	if (c != '\n') {
		add_text(body, SPAN("\r"));
		return false;
	}
	body->blank = false;
	body->line_begun = false;
	body->n_ends++;
	return true;
}

void canon_body_add(struct canon_body *body, struct span piece)
{
	while (piece.len) {
		size_t len;

		if (body->carriage && after_carriage(body, piece.at[0])) {
			piece = span_from(piece, 1);
			continue;
		}
		len = plain_length(body->canon, piece);
		add_text(body, span_first(piece, len));
		piece = span_from(piece, len);
		if (piece.len == 0)
			return;
		if (piece.at[0] == '\r')
			body->carriage = true;
		else
			body->blank = true;
		piece = span_from(piece, 1);
	}
}

/* A last line without an end gets one; so does an empty body, where it is simple (3.4.3). Of the
 * line ends held back, the one that ends the last line counts. */
uint64_t canon_body_end(struct canon_body *body, uint8_t hash[SHA256_SIZE])
{
	if (body->carriage)
		add_text(body, SPAN("\r"));
	if (body->line_begun || body->sha256.len || body->canon == CANON_SIMPLE)
		sha256_add(&body->sha256, SPAN("\r\n"));
	sha256_peek(&body->sha256, hash);
	return body->sha256.len;
}

void canon_body_close(struct canon_body *body)
{
	sha256_close(&body->sha256);
}

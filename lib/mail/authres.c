/*
 * Whose Authentication-Results it is (RFC 8601 2.2). The field that claims to be ours must not
 * reach a reader behind us, and that reader may parse more kindly than the grammar. So the
 * identifier is compared as the bytes that matter: comments, folds, blanks, quotes and backslashes
 * are passed over wherever they stand, even inside of it. Taking out one field too many is harmless
 * (RFC 8601 5 allows it); leaving a forged one is not.
 *
 * Rejected: parsing to the grammar and removing what cannot be parsed. Many a provider writes
 * results without any identifier, and those stay.
 */
#include "lib/mail/header.h"

struct scanner {
	struct span body;
	size_t at;
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
			s->at++;
			return (unsigned char)c;
		}
		s->gap = true;
	}
	return -1;
}

bool authres_is_from(struct span body, struct span authserv_id)
{
	struct scanner s = {.body = body};
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

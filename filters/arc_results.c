#include "filters/arc_results.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind the comment that begins there; an unclosed one takes all. */
static size_t comment_end(struct span text, size_t at)
{
	size_t depth = 0;

	for (; at < text.len; at++) {
		if (text.at[at] == '\\')
			at++;
		else if (text.at[at] == '(')
			depth++;
		else if (text.at[at] == ')' && --depth == 0)
			return at + 1;
	}
	return text.len;
}

static size_t quoted_end(struct span text, size_t at)
{
	for (at++; at < text.len; at++) {
		if (text.at[at] == '\\')
			at++;
		else if (text.at[at] == '"')
			return at + 1;
	}
	return text.len;
}

/* Blanks and comments in front are taken off. */
static void skip(struct span *text)
{
	for (;;) {
		if (text->len && is_blank(text->at[0]))
			*text = span_from(*text, 1);
		else if (text->len && text->at[0] == '(')
			*text = span_from(*text, comment_end(*text, 0));
		else
			return;
	}
}

/* What stands before the next ';' that is in no comment or quotes; *rest goes on behind it. */
static struct span next_part(struct span *rest)
{
	struct span part;
	size_t at = 0;

	while (at < rest->len && rest->at[at] != ';') {
		if (rest->at[at] == '(')
			at = comment_end(*rest, at);
		else if (rest->at[at] == '"')
			at = quoted_end(*rest, at);
		else
			at++;
	}
	part = span_first(*rest, at);
	*rest = span_from(*rest, at + 1);
	return part;
}

static struct span next_word(struct span *text)
{
	struct span word;
	size_t len = 0;

	skip(text);
	while (len < text->len && (ascii_is_alpha(text->at[len]) || ascii_is_digit(text->at[len]) ||
					  text->at[len] == '-'))
		len++;
	word = span_first(*text, len);
	*text = span_from(*text, len);
	skip(text);
	return word;
}

static bool take_char(struct span *text, char c)
{
	if (!text->len || text->at[0] != c)
		return false;
	*text = span_from(*text, 1);
	return true;
}

/* method ["/" version] "=" result */
static bool read_part(struct span part, struct span method, struct span *result)
{
	if (!span_equal_nocase(next_word(&part), method))
		return false;
	if (take_char(&part, '/') && !next_word(&part).len)
		return false;
	if (!take_char(&part, '='))
		return false;
	*result = next_word(&part);
	return result->len > 0;
}

bool authres_method(struct span results, struct span method, struct span *result)
{
	bool found = false;

	(void)next_part(&results); /* whose they are */
	while (results.len) {
		struct span word;

		if (!read_part(next_part(&results), method, &word))
			continue;
		if (!found || span_equal_nocase(word, SPAN("pass")))
			*result = word;
		found = true;
	}
	return found;
}

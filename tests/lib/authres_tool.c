/*
 * Writes a resinfo for each line of the standard input: the reason, a comment, three properties and
 * a last one, all in hex with a blank between, "-" for none. For test_authres.py.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/mail/authres_write.h"

enum { LINE_SIZE = 64 * 1024 };

/* The next word of the line, decoded in place. */
static struct span next_value(struct span *line)
{
	struct span word = span_word(line);
	char *out = (char *)word.at;

	if (span_equal(word, SPAN("-")))
		return SPAN_NONE;
	for (size_t i = 0; i + 1 < word.len; i += 2) {
		char digits[3] = {word.at[i], word.at[i + 1], '\0'};

		out[i / 2] = (char)strtoul(digits, NULL, 16);
	}
	return span_make(out, word.len / 2);
}

static bool write_line(struct span line, struct buffer *out)
{
	struct span reason = next_value(&line), comment = next_value(&line);
	struct span d = next_value(&line), i = next_value(&line), s = next_value(&line);

	return authres_add(out, "dkim", "fail", reason) && authres_comment(out, comment) &&
	       authres_property(out, "header", "d", d) && authres_property(out, "header", "i", i) &&
	       authres_property(out, "header", "s", s) &&
	       authres_last_property(out, "header", "b", next_value(&line));
}

int main(void)
{
	struct buffer out = BUFFER_INIT(AUTHRES_MAX);
	static char line[LINE_SIZE];

	while (fgets(line, sizeof(line), stdin)) {
		buffer_clear(&out);
		if (!write_line(span_make(line, strcspn(line, "\n")), &out))
			fputs("(cut) ", stdout); /* a resinfo all the same */
		puts(buffer_string(&out));
	}
	buffer_free(&out);
	return 0;
}

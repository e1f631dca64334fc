/*
 * Whatever filters hand over as results and trace fields, what is written is one field that our own
 * reader takes for ours, with lines that no server refuses and a ';' for each result and no more.
 * The input's first byte says whether UTF-8 may stand in it, then come results, a line for each.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/buffer.h"
#include "lib/base/fail.h"
#include "lib/mail/address.h"
#include "lib/mail/authres_field.h"
#include "lib/mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RESULTS_MAX = 40, FIELD_MAX = 12 * 1024 };

static const struct span our_id = SPAN("mx.example.net");

/* Lines end in CRLF, hold at most 998 bytes, and go on behind a tab. */
static void check_lines(struct span text, bool utf8)
{
	size_t begin = 0;

	ENSURE(!utf8 || utf8_valid(text));
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c == '\r') {
			ENSURE(i + 1 < text.len && text.at[i + 1] == '\n' && i - begin <= 998);
			ENSURE(i + 2 == text.len || text.at[i + 2] == '\t');
			begin = i + 2;
		} else if (c != '\n') {
			ENSURE(c == '\t' || (c >= 32 && c != 127 && (c < 128 || utf8)));
		} else {
			ENSURE(i > 0 && text.at[i - 1] == '\r');
		}
	}
	ENSURE(begin == text.len);
}

/* The one field that the text is. */
static struct header_field only_field(struct span text)
{
	struct header_field field, more;
	struct span rest = text;

	ENSURE(header_next(&rest, &field));
	ENSURE(field.raw.len == text.len && field.name.len && !header_next(&rest, &more));
	return field;
}

/* Outside of comments and quoted strings. */
static size_t count_semicolons(struct span text)
{
	unsigned depth = 0;
	bool quoted = false;
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (c == '\\')
			i++;
		else if (c == '"' && !depth)
			quoted = !quoted;
		else if (c == '(' && !quoted)
			depth++;
		else if (c == ')' && !quoted)
			depth--;
		else if (c == ';' && !quoted && !depth)
			n++;
	}
	ENSURE(!quoted && !depth);
	return n;
}

static void check_results(const struct span *results, size_t n, bool utf8)
{
	struct buffer out = BUFFER_INIT(FIELD_MAX);
	struct header_field field;
	struct span body;
	size_t valid = 0, bytes = 0;

	for (size_t i = 0; i < n; i++) {
		valid += authres_result_valid(results[i], utf8);
		bytes += results[i].len;
	}
	if (!authres_field_write(our_id, results, n, utf8, &out)) {
		ENSURE(out.len == 0 && (valid == 0 || bytes > 800));
		buffer_free(&out);
		return;
	}
	check_lines(buffer_span(&out), utf8);
	field = only_field(buffer_span(&out));
	ENSURE(authres_find(&field, &body) && authres_is_from(body, our_id));
	ENSURE(count_semicolons(field.body) <= valid);
	ENSURE(count_semicolons(field.body) == valid || bytes > 800);
	buffer_free(&out);
}

static void check_trace(struct span text, bool utf8)
{
	struct buffer out = BUFFER_INIT(FIELD_MAX);

	if (trace_field_write(text, utf8, &out)) {
		check_lines(buffer_span(&out), utf8);
		only_field(buffer_span(&out));
	}
	ENSURE(utf8 || !trace_field_write(SPAN("X: \xc3\xbc"), utf8, &out));
	buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_from(span_make(data, size), 1), results[RESULTS_MAX];
	bool utf8 = size && data[0] & 1;
	size_t n = 0;

	check_trace(rest, utf8);
	while (rest.len && n < RESULTS_MAX) {
		size_t end = span_find_char(rest, '\n');

		results[n++] = span_first(rest, end);
		rest = span_from(rest, end + 1);
	}
	check_results(results, n, utf8);
	return 0;
}

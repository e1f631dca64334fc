#include "tests/unit/mime_print.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void print_attachment(const struct mime_attachment *a, struct buffer *out)
{
	assert_true(buffer_add_text(out, "attachment: "));
	for (size_t i = 0; i < a->name_count; i++)
		assert_true(buffer_print(out, "%s%.*s(%.*s)", i ? "/" : "",
			SPAN_ARGS(a->names[i].text), SPAN_ARGS(a->names[i].extension)));
	assert_true(buffer_print(out, "%s%.*s %" PRIu64 "%s\n", a->name_count ? " " : "",
		SPAN_ARGS(a->type), a->size, a->encrypted ? " encrypted" : ""));
}

void mime_print(struct mime *mime, struct buffer *out)
{
	const struct mime_result *r = mime_result(mime);

	for (size_t i = 0; i < r->attachment_count; i++)
		print_attachment(&r->attachments[i], out);
	for (size_t i = 0; i < r->url_count; i++)
		assert_true(buffer_print(out, "url: %.*s %.*s\n", SPAN_ARGS(r->urls[i].text),
			SPAN_ARGS(r->urls[i].host)));
	if (r->body.len) {
		assert_true(buffer_add_text(out, "body: "));
		assert_true(buffer_add(out, r->body));
		assert_true(buffer_add_char(out, '\n'));
	}
	for (unsigned bit = 1; bit <= r->flaws; bit *= 2)
		if (r->flaws & bit)
			assert_true(buffer_print(
				out, "flaw: %s\n", mime_flaw_name((enum mime_flaw)bit)));
}

static void walk(const struct charsets *charsets, struct span message,
	const struct mime_limits *limits, unsigned wanted, size_t piece, struct buffer *out)
{
	struct mime *mime = mime_new(charsets, limits, wanted);

	while (message.len) {
		mime_feed(mime, span_first(message, piece));
		message = span_from(message, piece);
	}
	mime_end(mime);
	mime_print(mime, out);
	mime_free(&mime);
	assert_null(mime);
}

void mime_walk(
	struct span message, const struct mime_limits *limits, unsigned wanted, struct buffer *out)
{
	static const size_t pieces[] = {1, 2, 3, 5, 7, 16, 61, 1000, 4096};
	struct charsets *charsets = charsets_new();

	buffer_clear(out);
	walk(charsets, message, limits, wanted, message.len + 1, out);
	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		struct buffer other = BUFFER_INIT(out->max);

		walk(charsets, message, limits, wanted, pieces[i], &other);
		if (!span_equal(buffer_span(out), buffer_span(&other)))
			fail_msg("in pieces of %zu:\n%s\ninstead of\n%s", pieces[i],
				buffer_string(&other), buffer_string(out));
		buffer_free(&other);
	}
	charsets_free(&charsets);
}

/*
 * A header section from any bytes: every byte belongs to one field, in order, and the end is found
 * at the same place however the content grows.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_end(struct span content)
{
	size_t once = 0, from = 0, end = header_end(content, &once);

	for (size_t len = 0; len <= content.len; len++) {
		size_t found = header_end(span_first(content, len), &from);

		ENSURE(found == (end && len >= end ? end : 0));
		if (found)
			return;
	}
	ENSURE(end == 0);
}

static void check_field(const struct header_field *field)
{
	struct buffer text = BUFFER_INIT(1 << 20);

	ENSURE(field->name.at == field->raw.at);
	ENSURE(field->body.at >= field->raw.at + field->name.len);
	ENSURE(field->body.at + field->body.len <= field->raw.at + field->raw.len);
	ENSURE(span_find_char(field->name, ':') == field->name.len);
	ENSURE(header_is(field, field->name));
	ENSURE(header_unfold(field->body, &text));
	ENSURE(span_find_char(buffer_span(&text), '\n') == text.len);
	ENSURE(span_find_char(buffer_span(&text), '\r') == text.len);
	buffer_free(&text);
	(void)received_by(field->body, SPAN("mx.example.net"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span content = span_make(data, size), section = content;
	struct header_field field;
	size_t seen = 0;

	check_end(content);
	while (header_next(&section, &field)) {
		ENSURE(field.raw.at == content.at + seen && field.raw.len > 0);
		seen += field.raw.len;
		check_field(&field);
	}
	ENSURE(section.at == content.at + seen && section.len == content.len - seen);
	return 0;
}

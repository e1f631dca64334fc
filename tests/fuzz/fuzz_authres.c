/*
 * Whose Authentication-Results it is does not change by what no reader sees: comments, folds and
 * case; nor by what stands behind the first ';'.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/buffer.h"
#include "lib/base/fail.h"
#include "lib/mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct span our_id = SPAN("mx.example.net");

static bool with(struct span before, struct span body, struct span behind)
{
	struct buffer text = BUFFER_INIT(1 << 20);
	bool ours;

	ENSURE(buffer_add(&text, before) && buffer_add(&text, body) && buffer_add(&text, behind));
	ours = authres_is_from(buffer_span(&text), our_id);
	buffer_free(&text);
	return ours;
}

static bool upper_case(struct span body)
{
	struct buffer text = BUFFER_INIT(1 << 20);
	bool ours;

	for (size_t i = 0; i < body.len; i++) {
		char c = body.at[i];

		ENSURE(buffer_add_char(&text, c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c));
	}
	ours = authres_is_from(buffer_span(&text), our_id);
	buffer_free(&text);
	return ours;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span body = span_make(data, size);
	bool ours = authres_is_from(body, our_id);

	ENSURE(with(SPAN(" (a \\) (b) c)\r\n\t"), body, SPAN("")) == ours);
	ENSURE(with(SPAN("mx.(x)example.\r\n net;"), body, SPAN("")));
	ENSURE(with(SPAN("\"mx.example.net\" 1"), body, SPAN("")));
	ENSURE(with(SPAN(";"), body, SPAN("")));
	ENSURE(with(SPAN("mx%2e(x)\xef\xbd\x85xample.net;"), body, SPAN("")) ==
		with(SPAN("mx%2e(x)\xef\xbd\x85xample.net;"), SPAN(""), SPAN("")));
	ENSURE(with(SPAN("%6dx.example%2Enet 1;"), body, SPAN("")));
	ENSURE(with(SPAN("\xef\xbd\x8dx.example.net 1;"), body, SPAN("")));
	ENSURE(with(SPAN("=?x?q?y?="), body, SPAN("")));
	ENSURE(!with(SPAN("mx.example.com;"), body, SPAN("; mx.example.net")));
	ENSURE(upper_case(body) == ours);
	if (span_find_char(body, ';') < body.len && span_find_char(body, '(') == body.len)
		ENSURE(with(SPAN(""), body, SPAN("mx.other.example; more")) == ours ||
			span_find_char(body, '\\') < body.len);
	(void)received_by(body, our_id);
	return 0;
}

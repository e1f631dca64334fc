/*
 * The data decoder, with and without SSE2 and in pieces, against the reference; and content that
 * was stuffed and decoded again. The first byte gives mode, line ends and the pieces' size.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/buffer.h"
#include "lib/base/fail.h"
#include "lib/mail/dotdata.h"
#include "lib/mail/dotdata_block.h"
#include "tests/unit/dotdata_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef enum dotdata_status decode_fn(struct dotdata *, struct span *, char *, size_t *);

static void decode_cut(decode_fn *decode, struct span in, struct dotdata d, size_t pieces,
	const struct outcome *expected)
{
	enum dotdata_status status = DOTDATA_MORE;
	size_t consumed = 0, len = 0;

	while (status == DOTDATA_MORE && consumed < in.len) {
		struct span piece = span_first(span_from(in, consumed), pieces), rest;
		char *copy = malloc(piece.len), *out = malloc(dotdata_room(piece.len));
		size_t written;

		memcpy(copy, piece.at, piece.len);
		rest = span_make(copy, piece.len);
		status = decode(&d, &rest, out, &written);
		consumed += piece.len - rest.len;
		ENSURE(len + written <= expected->len);
		ENSURE(written == 0 || memcmp(expected->content + len, out, written) == 0);
		len += written;
		free(copy);
		free(out);
	}
	ENSURE(status == expected->status && consumed == expected->consumed);
	ENSURE(len == expected->len && d.size == len);
	ENSURE(d.line == expected->line && d.longest_line == expected->longest_line);
	ENSURE(d.leading_dot == expected->leading_dot && d.eight_bit == expected->eight_bit);
}

static void collect(void *context, struct span piece)
{
	ENSURE(buffer_add(context, piece));
}

/* Content of whole lines comes out of the next decoder as it went in. */
static void check_stuffed(struct span content, size_t pieces)
{
	struct buffer wire = BUFFER_INIT(8 * REFERENCE_INPUT_MAX);
	struct span rest = content;
	bool at_line_start = true;
	struct dotdata d;
	size_t written;
	char *out;

	while (rest.len) {
		struct span piece = span_first(rest, pieces);

		dotdata_stuff(piece, &at_line_start, collect, &wire);
		rest = span_from(rest, piece.len);
	}
	ENSURE(at_line_start);
	ENSURE(buffer_add(&wire, SPAN(".\r\nQUIT\r\n")));
	rest = buffer_span(&wire);
	out = malloc(dotdata_room(rest.len));
	dotdata_init(&d, DOTDATA_DATA, false);
	ENSURE(dotdata_decode(&d, &rest, out, &written) == DOTDATA_END);
	ENSURE(span_equal(rest, SPAN("QUIT\r\n")));
	ENSURE(span_equal(span_make(out, written), content));
	buffer_free(&wire);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static decode_fn *const ways[] = {
		dotdata_decode,
		dotdata_decode_portable,
#ifdef __SSE2__
		dotdata_decode_sse2,
#endif
	};
	enum dotdata_mode mode;
	struct outcome expected;
	struct dotdata d;
	bool normalize;
	struct span in;
	size_t pieces;

	if (size == 0 || size > REFERENCE_INPUT_MAX)
		return 0;
	mode = data[0] & 1 ? DOTDATA_DATA : DOTDATA_BDAT;
	normalize = data[0] & 2;
	pieces = 1 + (data[0] >> 2) * 3;
	in = span_make(data + 1, size - 1);
	reference_decode(in, mode, normalize, &expected);
	dotdata_init(&d, mode, normalize);
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		decode_cut(ways[i], in, d, pieces, &expected);
		decode_cut(ways[i], in, d, size, &expected);
	}
	if (expected.line == 0)
		check_stuffed(span_make(expected.content, expected.len), pieces);
	return 0;
}

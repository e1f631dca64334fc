/*
 * A server's bytes: read whole and read in pieces they give the same replies, and a reply that was
 * read, cleaned and written is one reply with the same code. The first byte gives the pieces' size.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/mail/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parsed(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		ENSURE(text.at[i] != '\0' && text.at[i] != '\r');
}

static void check_clean(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		ENSURE(((unsigned char)text.at[i] >= 32 || text.at[i] == '\n') &&
			text.at[i] != 127);
}

static void check_sent_on(const struct reply *reply, bool utf8)
{
	struct buffer clean = BUFFER_INIT(REPLY_TEXT_MAX), wire = BUFFER_INIT(65536);
	struct buffer again = BUFFER_INIT(REPLY_TEXT_MAX);
	struct reply ours = *reply;
	struct reply_parser parser;
	struct span input;

	ENSURE(reply_text_clean(reply->text, utf8, &clean));
	check_clean(buffer_span(&clean));
	ENSURE(clean.len <= 16 * 401);
	ENSURE(reply_text_clean(buffer_span(&clean), utf8, &again));
	ENSURE(span_equal(buffer_span(&clean), buffer_span(&again)));
	ours.text = buffer_span(&clean);
	ENSURE(reply_write(&ours, SPAN("ABCDEFGHJKLM"), &wire));
	reply_parser_init(&parser);
	input = buffer_span(&wire);
	ENSURE(reply_parse(&parser, &input) == REPLY_DONE && input.len == 0);
	ENSURE(parser.reply.code == reply->code);
	if (reply->enhanced[0])
		ENSURE(strcmp(parser.reply.enhanced, reply->enhanced) == 0);
	reply_parser_free(&parser);
	buffer_free(&clean);
	buffer_free(&again);
	buffer_free(&wire);
}

/* As reply_parse, but the bytes come in pieces, each in memory of its own. */
static enum reply_status parse_cut(struct reply_parser *parser, struct span *input, size_t pieces)
{
	enum reply_status status = REPLY_MORE;

	while (status == REPLY_MORE && input->len) {
		struct span piece = span_first(*input, pieces), rest;
		char *copy = malloc(piece.len);

		memcpy(copy, piece.at, piece.len);
		rest = span_make(copy, piece.len);
		status = reply_parse(parser, &rest);
		*input = span_from(*input, piece.len - rest.len);
		free(copy);
	}
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span whole, cut;
	struct reply_parser a, b;
	enum reply_status status = REPLY_DONE;

	if (size == 0)
		return 0;
	whole = cut = span_make(data + 1, size - 1);
	reply_parser_init(&a);
	reply_parser_init(&b);
	while (status == REPLY_DONE) {
		status = reply_parse(&a, &whole);
		ENSURE(parse_cut(&b, &cut, 1 + data[0]) == status);
		if (status != REPLY_DONE)
			break;
		ENSURE(whole.len == cut.len);
		ENSURE(a.reply.code >= 200 && a.reply.code <= 599);
		ENSURE(a.reply.code == b.reply.code && span_equal(a.reply.text, b.reply.text));
		ENSURE(strcmp(a.reply.enhanced, b.reply.enhanced) == 0);
		check_parsed(a.reply.text);
		check_sent_on(&a.reply, data[0] & 1);
	}
	reply_parser_free(&a);
	reply_parser_free(&b);
	return 0;
}

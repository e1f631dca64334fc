/*
 * Replies: what of ours is written, and how a server's are read, whatever the pieces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/mail/reply.h"

static void assert_span(struct span got, const char *expected)
{
	if (got.len != strlen(expected) || memcmp(got.at, expected, got.len) != 0)
		fail_msg("'%.*s' instead of '%s'", SPAN_ARGS(got), expected);
}

/* --- writing --- */

static void test_write(void **state)
{
	static const struct {
		uint16_t code;
		const char *enhanced, *text, *id, *expected;
	} cases[] = {
		{250, "2.0.0", "Ok", "", "250 2.0.0 Ok\r\n"},
		{220, "", "mx.example.net ESMTP", "", "220 mx.example.net ESMTP\r\n"},
		{250, "", "mx\nSIZE 100\nCHUNKING", "",
			"250-mx\r\n250-SIZE 100\r\n250 CHUNKING\r\n"},
		{550, "5.7.1", "No", "ABC234", "550 5.7.1 No (id ABC234)\r\n"},
		{550, "5.7.1", "No\nnever", "ABC234",
			"550-5.7.1 No\r\n550 5.7.1 never (id ABC234)\r\n"},
		{250, "", "", "", "250 \r\n"},
		{450, "4.7.1", "", "X", "450 4.7.1 (id X)\r\n"},
		{550, "5.0.0",
			"a\rb\x01"
			"c\x7f\t",
			"", "550 5.0.0 a?b?c??\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buffer out = BUFFER_INIT(4096);
		struct reply reply = {.code = cases[i].code, .text = span_text(cases[i].text)};

		strcpy(reply.enhanced, cases[i].enhanced);
		assert_true(reply_write(&reply, span_text(cases[i].id), &out));
		assert_span(buffer_span(&out), cases[i].expected);
		buffer_free(&out);
	}
}

/* RFC 5321 4.5.3.1.5: 512 bytes with CRLF; no character is cut in two. */
static void test_write_long_lines(void **state)
{
	char text[1200];
	struct reply reply = REPLY(550, "5.7.1", "");
	struct buffer out = BUFFER_INIT(4096);
	struct span line;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xb6", 2);
	for (size_t skip = 0; skip < 2; skip++) {
		text[0] = 'x';
		reply.text = span_make(text + skip, sizeof(text) - skip);
		if (skip == 0)
			text[1] = 'x';
		else
			text[1] = 'y';
		buffer_clear(&out);
		assert_true(reply_write(&reply, SPAN("ABCDEFGHJKLM"), &out));
		line = buffer_span(&out);
		assert_true(line.len == 512 || line.len == 511);
		assert_true(span_ends_nocase(line, SPAN("\xc3\xb6 (id ABCDEFGHJKLM)\r\n")));
	}
	buffer_free(&out);
}

static void test_write_all_or_nothing(void **state)
{
	struct reply reply = REPLY(250, "", "one\ntwo");
	struct buffer out = BUFFER_INIT(20);

	(void)state;
	assert_true(buffer_add(&out, SPAN("before")));
	assert_false(reply_write(&reply, SPAN_NONE, &out));
	assert_span(buffer_span(&out), "before");
	buffer_consume(&out, 6);
	assert_true(reply_write(&reply, SPAN_NONE, &out));
	assert_span(buffer_span(&out), "250-one\r\n250 two\r\n");
	buffer_free(&out);
}

/* --- reading --- */

struct reading {
	const char *in;
	enum reply_status status;
	uint16_t code;
	const char *enhanced, *text, *rest;
};

static const struct reading readings[] = {
	{"250 ok\r\n", REPLY_DONE, 250, "", "ok", ""},
	{"250\r\n", REPLY_DONE, 250, "", "", ""},
	{"250 \r\n", REPLY_DONE, 250, "", "", ""},
	{"250 ok\n", REPLY_DONE, 250, "", "ok", ""},
	{"250 ok\r\n354 go\r\n", REPLY_DONE, 250, "", "ok", "354 go\r\n"},
	{"250-a\r\n250-b\r\n250 c\r\n", REPLY_DONE, 250, "", "a\nb\nc", ""},
	{"250-\r\n250\r\n", REPLY_DONE, 250, "", "\n", ""},
	{"550 5.7.1 no\r\n", REPLY_DONE, 550, "5.7.1", "no", ""},
	{"550-5.7.1 no\r\n550 5.7.1 never\r\n", REPLY_DONE, 550, "5.7.1", "no\nnever", ""},
	{"550-5.7.1 no\r\n550 5.7.2 never\r\n", REPLY_DONE, 550, "5.7.1", "no\n5.7.2 never", ""},
	{"550-no\r\n550 5.7.2 never\r\n", REPLY_DONE, 550, "", "no\n5.7.2 never", ""},
	{"250 2.0.0\r\n", REPLY_DONE, 250, "2.0.0", "", ""},
	{"550 5.123.456 x\r\n", REPLY_DONE, 550, "5.123.456", "x", ""},
	{"550 4.7.1 no\r\n", REPLY_DONE, 550, "", "4.7.1 no", ""},
	{"550 5.1234.1 no\r\n", REPLY_DONE, 550, "", "5.1234.1 no", ""},
	{"550 5.7.1no\r\n", REPLY_DONE, 550, "", "5.7.1no", ""},
	{"550 5.7 no\r\n", REPLY_DONE, 550, "", "5.7 no", ""},
	{"550 5.7.\r\n", REPLY_DONE, 550, "", "5.7.", ""},
	{"354 3.0.0 go\r\n", REPLY_DONE, 354, "3.0.0", "go", ""},
	{"571 ha\xfc\tha\r\n", REPLY_DONE, 571, "", "ha\xfc\tha", ""},
	{"250-a\r\n", REPLY_MORE, 0, "", "", ""},
	{"250 a\r", REPLY_MORE, 0, "", "", ""},
	{"25", REPLY_MORE, 0, "", "", ""},
	{"", REPLY_MORE, 0, "", "", ""},
	{"\r\n", REPLY_BAD, 0, "", "", ""},
	{"25 x\r\n", REPLY_BAD, 0, "", "", ""},
	{"2500 x\r\n", REPLY_BAD, 0, "", "", ""},
	{"150 x\r\n", REPLY_BAD, 0, "", "", ""},
	{"650 x\r\n", REPLY_BAD, 0, "", "", ""},
	{"250x\r\n", REPLY_BAD, 0, "", "", ""},
	{"250\tx\r\n", REPLY_BAD, 0, "", "", ""},
	{" 250 x\r\n", REPLY_BAD, 0, "", "", ""},
	{"250-a\r\n251 b\r\n", REPLY_BAD, 0, "", "", ""},
	{"250-a\r\nfoo\r\n", REPLY_BAD, 0, "", "", ""},
	{"250 a\rb\r\n", REPLY_BAD, 0, "", "", ""},
	{"250 a\r\r\n", REPLY_BAD, 0, "", "", ""},
	{"250 a\x1b[2J\r\n", REPLY_DONE, 250, "", "a\x1b[2J", ""},
	{"HTTP/1.1 400 Bad Request\r\n", REPLY_BAD, 0, "", "", ""},
	{"* OK IMAP4rev1\r\n", REPLY_BAD, 0, "", "", ""},
};

/* Feeds pieces of so many bytes, each in memory of its own, until the answer is there. */
static enum reply_status parse_cut(
	struct reply_parser *parser, struct span in, size_t piece_max, size_t *consumed)
{
	enum reply_status status = REPLY_MORE;

	*consumed = 0;
	while (status == REPLY_MORE && *consumed < in.len) {
		struct span piece = span_first(span_from(in, *consumed), piece_max), rest;
		char *copy = malloc(piece.len);

		memcpy(copy, piece.at, piece.len);
		rest = span_make(copy, piece.len);
		status = reply_parse(parser, &rest);
		*consumed += piece.len - rest.len;
		free(copy);
	}
	return status;
}

static void test_parse_in_any_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(readings); i++) {
		const struct reading *r = &readings[i];

		for (size_t piece = 1; piece <= strlen(r->in) + 1; piece++) {
			struct reply_parser parser;
			enum reply_status status;
			size_t consumed;

			reply_parser_init(&parser);
			status = parse_cut(&parser, span_text(r->in), piece, &consumed);
			if (status != r->status)
				fail_msg("%s in pieces of %zu: %d", r->in, piece, status);
			if (status == REPLY_DONE) {
				assert_int_equal(parser.reply.code, r->code);
				assert_string_equal(parser.reply.enhanced, r->enhanced);
				assert_span(parser.reply.text, r->text);
				assert_string_equal(r->in + consumed, r->rest);
			}
			reply_parser_free(&parser);
		}
	}
}

static void test_parse_goes_on(void **state)
{
	struct span in = SPAN("250-2.1.0 a\r\n250 2.1.0 b\r\n354 go\r\n550 5.1.1 no\r\n4");
	struct reply_parser parser;

	(void)state;
	reply_parser_init(&parser);
	assert_int_equal(reply_parse(&parser, &in), REPLY_DONE);
	assert_span(parser.reply.text, "a\nb");
	assert_int_equal(reply_parse(&parser, &in), REPLY_DONE);
	assert_int_equal(parser.reply.code, 354);
	assert_string_equal(parser.reply.enhanced, "");
	assert_int_equal(reply_parse(&parser, &in), REPLY_DONE);
	assert_string_equal(parser.reply.enhanced, "5.1.1");
	assert_int_equal(reply_parse(&parser, &in), REPLY_MORE);
	in = SPAN("21 bye\r\n");
	assert_int_equal(reply_parse(&parser, &in), REPLY_DONE);
	assert_int_equal(parser.reply.code, 421);
	assert_span(parser.reply.text, "bye");
	reply_parser_free(&parser);
}

/* Bytes of one line, lines, bytes of text: at the limit it is taken, past it not. */
static enum reply_status parse_sized(size_t line_len, unsigned lines, size_t piece)
{
	size_t size = (line_len + 1) * lines, consumed;
	char *in = malloc(size);
	struct reply_parser parser;
	enum reply_status status;

	memset(in, 'x', size);
	for (unsigned i = 0; i < lines; i++) {
		memcpy(in + i * (line_len + 1), i + 1 < lines ? "250-" : "250 ", 4);
		in[(i + 1) * (line_len + 1) - 1] = '\n';
	}
	reply_parser_init(&parser);
	status = parse_cut(&parser, span_make(in, size), piece, &consumed);
	reply_parser_free(&parser);
	free(in);
	return status;
}

static void test_parse_limits(void **state)
{
	static const size_t pieces[] = {1, 100, 1000000};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		assert_int_equal(parse_sized(REPLY_LINE_MAX, 1, pieces[i]), REPLY_DONE);
		assert_int_equal(parse_sized(REPLY_LINE_MAX + 1, 1, pieces[i]), REPLY_BAD);
		assert_int_equal(parse_sized(5, REPLY_LINES_MAX, pieces[i]), REPLY_DONE);
		assert_int_equal(parse_sized(5, REPLY_LINES_MAX + 1, pieces[i]), REPLY_BAD);
		assert_int_equal(parse_sized(2000, 4, pieces[i]), REPLY_DONE);
		assert_int_equal(parse_sized(2000, 5, pieces[i]), REPLY_BAD);
	}
}

/* A server that never ends its line is told so by the line's limit. */
static void test_parse_no_line_end(void **state)
{
	struct reply_parser parser;
	enum reply_status status = REPLY_MORE;
	size_t fed = 0;

	(void)state;
	reply_parser_init(&parser);
	while (status == REPLY_MORE && fed < 10000) {
		struct span piece = SPAN("xxxxxxxxxx");

		status = reply_parse(&parser, &piece);
		fed += 10;
	}
	assert_int_equal(status, REPLY_BAD);
	assert_true(fed <= REPLY_LINE_MAX + 10);
	reply_parser_free(&parser);
}

/* --- made harmless --- */

static void test_clean(void **state)
{
	static const struct {
		const char *in;
		bool utf8;
		const char *expected;
	} cases[] = {
		{"", false, ""},
		{"plain", false, "plain"},
		{"two\nlines", false, "two\nlines"},
		{"a\rb\x01"
		 "c\td",
			false, "a?b?c?d"},
		{"b\xc3\xbc", false, "b??"},
		{"b\xc3\xbc", true, "b\xc3\xbc"},
		{"b\xfcr", true, "b?r"},
		{"\xe2\x82\xac\xf0\x9f\x93\xa7", true, "\xe2\x82\xac\xf0\x9f\x93\xa7"},
		{"\xe2\x82", true, "??"},
		{"\xc2\x9b"
		 "2J",
			true, "??2J"},
		{"\xed\xa0\x80", true, "???"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buffer out = BUFFER_INIT(100);

		assert_true(reply_text_clean(span_text(cases[i].in), cases[i].utf8, &out));
		assert_span(buffer_span(&out), cases[i].expected);
		buffer_free(&out);
	}
}

static void test_clean_limits(void **state)
{
	struct buffer out = BUFFER_INIT(20000), small = BUFFER_INIT(10);
	char text[40 * 500];
	size_t lines = 1;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t i = 499; i < sizeof(text); i += 500)
		text[i] = '\n';
	assert_true(reply_text_clean(span_make(text, sizeof(text)), false, &out));
	for (size_t i = 0; i < out.len; i++)
		lines += buffer_span(&out).at[i] == '\n';
	assert_int_equal(lines, 16);
	assert_int_equal(out.len, 16 * 400 + 15);
	assert_false(reply_text_clean(SPAN("longer than ten"), false, &small));
	assert_int_equal(small.len, 0);
	buffer_free(&out);
	buffer_free(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_long_lines),
		cmocka_unit_test(test_write_all_or_nothing),
		cmocka_unit_test(test_parse_in_any_pieces),
		cmocka_unit_test(test_parse_goes_on),
		cmocka_unit_test(test_parse_limits),
		cmocka_unit_test(test_parse_no_line_end),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_clean_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

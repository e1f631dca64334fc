/*
 * The header section: where it ends, which fields it has, and whose they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/mail/header.h"

static void assert_span(struct span got, const char *expected)
{
	if (got.len != strlen(expected) || memcmp(got.at, expected, got.len) != 0)
		fail_msg("'%.*s' instead of '%s'", SPAN_ARGS(got), expected);
}

/* As content grows byte by byte, the end is found at its last byte and not before. */
static void test_end(void **state)
{
	static const struct {
		const char *content;
		size_t end;
	} cases[] = {
		{"\r\nbody", 2},
		{"a: b\r\n\r\nbody\r\n\r\n", 8},
		{"a: b\r\n c\r\nd: e\r\n\r\n", 18},
		{"a: b\r\n", 0},
		{"a: b\r\n \r\n", 0},
		{"a: b\r\n\r", 0},
		{"", 0},
		{"\r", 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct span content = span_text(cases[i].content);
		size_t from = 0, once = 0;

		assert_int_equal(header_end(content, &once), cases[i].end);
		for (size_t len = 0; len <= content.len; len++) {
			size_t end = header_end(span_first(content, len), &from);

			if (cases[i].end == 0 || len < cases[i].end) {
				assert_int_equal(end, 0);
			} else {
				assert_int_equal(end, cases[i].end);
				break;
			}
		}
	}
}

struct field {
	const char *raw, *name, *body;
};

static const struct field fields[] = {
	{"Subject: hello\r\n", "Subject", " hello"},
	{"To: a,\r\n b,\r\n\tc\r\n", "To", " a,\r\n b,\r\n\tc"},
	{"X-Empty:\r\n", "X-Empty", ""},
	{"X-Blank: \r\n \r\n x\r\n", "X-Blank", " \r\n \r\n x"},
	{"From \t: me\r\n", "From", " me"},
	{"X-Folded\r\n : body\r\n", "X-Folded", " body"},
	{"X-Two: a: b\r\n", "X-Two", " a: b"},
	{"no colon here\r\n", "", "no colon here"},
	{"Two Words: x\r\n", "", "Two Words: x"},
	{": no name\r\n", "", ": no name"},
	{"N\xc3\xa4me: x\r\n", "", "N\xc3\xa4me: x"},
	{"nothing\r\n and: folded\r\n", "", "nothing\r\n and: folded"},
	{"!#$%&'*+-/=?^_`{|}~;<>\"@: odd\r\n", "!#$%&'*+-/=?^_`{|}~;<>\"@", " odd"},
};

static void test_fields(void **state)
{
	struct buffer section = BUFFER_INIT(4096);
	struct header_field field;
	struct span rest;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(fields); i++)
		assert_true(buffer_add_text(&section, fields[i].raw));
	assert_true(buffer_add(&section, SPAN("\r\nbody: not a field\r\n")));
	rest = buffer_span(&section);
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		assert_true(header_next(&rest, &field));
		assert_span(field.raw, fields[i].raw);
		assert_span(field.name, fields[i].name);
		assert_span(field.body, fields[i].body);
	}
	assert_false(header_next(&rest, &field));
	assert_span(rest, "\r\nbody: not a field\r\n");
	buffer_free(&section);
}

static void test_odd_sections(void **state)
{
	struct span blank_first = SPAN(" x: y\r\nA: b\r\n"), unended = SPAN("A: b"),
		    none = SPAN("");
	struct header_field field;

	(void)state;
	assert_true(header_next(&blank_first, &field));
	assert_span(field.raw, " x: y\r\n");
	assert_span(field.name, "");
	assert_true(header_next(&blank_first, &field));
	assert_true(header_is(&field, SPAN("a")));
	assert_false(header_is(&field, SPAN("ab")));
	assert_false(header_next(&blank_first, &field));
	assert_true(header_next(&unended, &field));
	assert_span(field.body, " b");
	assert_false(header_next(&unended, &field));
	assert_false(header_next(&none, &field));
}

static void test_unfold(void **state)
{
	static const struct {
		const char *body, *text;
	} cases[] = {
		{"", ""},
		{" a", "a"},
		{" \r\n\ta b \r\n", "a b"},
		{" a\r\n b\r\n\tc", "a b\tc"},
		{" \r\n \r\n ", ""},
	};
	struct buffer small = BUFFER_INIT(2);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buffer out = BUFFER_INIT(100);

		assert_true(header_unfold(span_text(cases[i].body), &out));
		assert_span(buffer_span(&out), cases[i].text);
		buffer_free(&out);
	}
	assert_false(header_unfold(SPAN("abc"), &small));
	assert_int_equal(small.len, 0);
	buffer_free(&small);
}

static void test_date(void **state)
{
	char date[HEADER_DATE_SIZE];

	(void)state;
	header_date(0, date);
	assert_string_equal(date, "Thu, 01 Jan 1970 00:00:00 +0000");
	header_date(1795449599999, date);
	assert_string_equal(date, "Mon, 23 Nov 2026 15:59:59 +0000");
	header_date(1709164800000, date);
	assert_string_equal(date, "Thu, 29 Feb 2024 00:00:00 +0000");
}

static void test_received_by(void **state)
{
	static const struct {
		const char *body;
		bool by_us;
	} cases[] = {
		{" from a by mx.example.net with ESMTP; date", true},
		{" from a\r\n\tby MX.Example.NET;\r\n date", true},
		{" from a by mx.example.net.", true},
		{" by mx.example.net (postern) with ESMTP", true},
		{" by(x)mx.example.net(y)", true},
		{" from a (by other) by mx.example.net", true},
		{" by (nested (by) \\) x) mx.example.net", true},
		{" from mx.example.net by a with ESMTP", false},
		{" from a (by mx.example.net) by b", false},
		{" from a by mx.example.network with ESMTP", false},
		{" from a by b; by mx.example.net", false},
		{" from standby mx.example.net", false},
		{" by", false},
		{" (by mx.example.net", false},
		{"", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (received_by(span_text(cases[i].body), SPAN("mx.example.net")) != cases[i].by_us)
			fail_msg("%s", cases[i].body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_odd_sections),
		cmocka_unit_test(test_unfold),
		cmocka_unit_test(test_date),
		cmocka_unit_test(test_received_by),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Spans: cutting, comparing, numbers and the hash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/span.h"

static void assert_span(struct span got, const char *expected)
{
	if (got.len != strlen(expected) || memcmp(got.at ? got.at : "", expected, got.len) != 0)
		fail_msg("'%.*s' instead of '%s'", SPAN_ARGS(got), expected);
}

static void test_cutting(void **state)
{
	struct span text = SPAN("hello");

	(void)state;
	assert_span(span_from(text, 2), "llo");
	assert_span(span_from(text, 5), "");
	assert_span(span_from(text, 9), "");
	assert_ptr_equal(span_from(text, 9).at, text.at + 5);
	assert_span(span_first(text, 2), "he");
	assert_span(span_first(text, 9), "hello");
	assert_span(span_from(SPAN_NONE, 1), "");
	assert_span(span_first(SPAN_NONE, 1), "");
	assert_int_equal(span_text(NULL).len, 0);
	assert_int_equal(SPAN("a\0b").len, 3);
}

static void test_comparing(void **state)
{
	(void)state;
	assert_true(span_equal(SPAN_NONE, SPAN("")));
	assert_true(span_equal(SPAN("a\0b"), SPAN("a\0b")));
	assert_false(span_equal(SPAN("a"), SPAN("A")));
	assert_true(span_equal_nocase(SPAN("aZ-["), SPAN("Az-[")));
	assert_false(span_equal_nocase(SPAN("["), SPAN("{")));
	assert_false(span_equal_nocase(SPAN("@"), SPAN("`")));
	assert_false(span_equal_nocase(SPAN("\xc3\x84"), SPAN("\xc3\xa4")));
	assert_true(span_starts(SPAN("hello"), SPAN("he")));
	assert_true(span_starts(SPAN("hello"), SPAN("")));
	assert_false(span_starts(SPAN("he"), SPAN("hello")));
	assert_true(span_starts_nocase(SPAN("HELlo"), SPAN("hel")));
	assert_true(span_ends_nocase(SPAN("a.Example.COM"), SPAN(".example.com")));
	assert_false(span_ends_nocase(SPAN("com"), SPAN("example.com")));
}

static void test_finding(void **state)
{
	(void)state;
	assert_int_equal(span_find_char(SPAN("a:b:c"), ':'), 1);
	assert_int_equal(span_find_char(SPAN("abc"), ':'), 3);
	assert_int_equal(span_find_char(SPAN_NONE, ':'), 0);
	assert_int_equal(span_find(SPAN("aab\r\n\r\n"), SPAN("\r\n\r\n")), 3);
	assert_int_equal(span_find(SPAN("aab"), SPAN("b")), 2);
	assert_int_equal(span_find(SPAN("aab"), SPAN("abb")), 3);
	assert_int_equal(span_find(SPAN("a"), SPAN("")), 0);
	assert_int_equal(span_find(SPAN_NONE, SPAN("a")), 0);
}

static void test_words(void **state)
{
	struct span rest = SPAN(" \tone  two\t"), none = SPAN_NONE;

	(void)state;
	assert_span(span_trim(rest), "one  two");
	assert_span(span_trim(SPAN(" \t ")), "");
	assert_span(span_trim(SPAN_NONE), "");
	assert_span(span_word(&rest), "one");
	assert_span(rest, "two\t");
	assert_span(span_word(&rest), "two");
	assert_span(rest, "");
	assert_span(span_word(&rest), "");
	assert_span(span_word(&none), "");
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		bool ok;
		uint64_t value;
	} cases[] = {
		{"0", 0, true, 0},
		{"007", 7, true, 7},
		{"65535", 65535, true, 65535},
		{"65536", 65535, false, 0},
		{"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
		{"18446744073709551616", UINT64_MAX, false, 0},
		{"99999999999999999999999", UINT64_MAX, false, 0},
		{"1", 0, false, 0},
		{"12", 5, false, 0},
		{"", 9, false, 0},
		{"-1", 9, false, 0},
		{"+1", 9, false, 0},
		{" 1", 9, false, 0},
		{"1 ", 9, false, 0},
		{"0x1", 9, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t value = 0;

		if (span_number(span_text(cases[i].text), cases[i].max, &value) != cases[i].ok)
			fail_msg("'%s'", cases[i].text);
		assert_true(value == cases[i].value);
	}
	assert_false(span_number(SPAN_NONE, 9, &(uint64_t){0}));
}

/* The vectors of the reference implementation: key 00 to 0f, input 00, 01, 02 ... */
static void test_hash(void **state)
{
	static const struct {
		size_t len;
		uint64_t hash;
	} vectors[] = {
		{0, 0x726fdb47dd0e0e31},
		{1, 0x74f839c593dc67fd},
		{7, 0xab0200f58b01d137},
		{8, 0x93f5f5799a932462},
		{15, 0xa129ca6149be45e5},
		{63, 0x958a324ceb064572},
	};
	uint8_t key[16], input[64];

	(void)state;
	for (uint8_t i = 0; i < sizeof(input); i++) {
		input[i] = i;
		key[i % 16] = i % 16;
	}
	for (size_t i = 0; i < COUNT_OF(vectors); i++)
		assert_true(span_hash(span_make(input, vectors[i].len), key) == vectors[i].hash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cutting),
		cmocka_unit_test(test_comparing),
		cmocka_unit_test(test_finding),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

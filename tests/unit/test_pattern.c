/* Patterns: what matches, what is refused, and that neither pattern nor text drives up the cost. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "policy/pattern.h"

static enum pattern_result match(const char *source, struct span text)
{
	struct pattern_scratch *scratch = pattern_scratch_new();
	struct err err = {""};
	struct pattern *pattern = pattern_new(span_text(source), &err);
	enum pattern_result result;

	if (!pattern)
		fail_msg("%s: %s", source, err.text);
	result = pattern_match(pattern, text, scratch);
	pattern_free(&pattern);
	pattern_scratch_free(&scratch);
	assert_null(pattern);
	assert_null(scratch);
	return result;
}

static void expect(const char *source, const char *text, enum pattern_result expected)
{
	if (match(source, span_text(text)) != expected)
		fail_msg("/%s/ on `%s`", source, text);
}

static void expect_refused(const char *source, const char *why)
{
	struct err err = {""};

	assert_null(pattern_new(span_text(source), &err));
	assert_string_equal(err.text, why);
}

static void test_matches(void **state)
{
	(void)state;
	expect("cheap", "very cheap pills", PATTERN_YES);
	expect("cheap", "very Cheap pills", PATTERN_NO);
	expect("(?i)cheap", "very Cheap pills", PATTERN_YES);
	expect("^re:", "re: x", PATTERN_YES);
	expect("^x", "re:\nx", PATTERN_NO);
	expect("(?m)^x$", "re:\r\nx\r\ny", PATTERN_YES);
	expect("a.b", "a\r\nb", PATTERN_NO);
	expect("(?s)a..b", "a\r\nb", PATTERN_YES);
	expect("a\\/b", "a/b", PATTERN_YES);
	expect("", "", PATTERN_YES);
	expect("x", "", PATTERN_NO);
	expect("(.)\\1", "abccd", PATTERN_YES);
}

static void test_unicode(void **state)
{
	(void)state;
	expect("^.$", "\xc3\xa4", PATTERN_YES);
	expect("(?i)\xc3\xa4", "\xc3\x84", PATTERN_YES);
	expect("^\\w$", "\xc3\xa4", PATTERN_NO);
	expect("(*UCP)^\\w$", "\xc3\xa4", PATTERN_YES);
	expect("\\p{Cyrillic}", "\xd0\xb6", PATTERN_YES);
}

/* Neither hides what stands around it nor joins it. */
static void test_broken_utf8_in_the_text(void **state)
{
	(void)state;
	expect("pills", "\xff\xfepills\xc3", PATTERN_YES);
	expect("^pi.lls$", "pi\xfflls", PATTERN_YES);
	expect("pills", "pi\xfflls", PATTERN_NO);
	expect("^.{3}$", "\xe4\xb8\xff", PATTERN_YES);
	expect("^\\x{fffd}+$", "\xed\xa0\x80\xf8\xc0\x80", PATTERN_YES);
	assert_int_equal(match("a\\x00b", SPAN("xa\0b")), PATTERN_YES);
	assert_int_equal(match("^$", SPAN_NONE), PATTERN_YES);
}

static void test_refused(void **state)
{
	static char longest[PATTERN_SOURCE_MAX + 2], deep[300];

	(void)state;
	expect_refused("a(b", "missing closing parenthesis, behind character 3");
	expect_refused("\xc3\xa4*+*", "quantifier does not follow a repeatable item, behind "
				      "character 3");
	expect_refused("\\C", "using \\C is disabled by the application, behind character 2");
	expect_refused("a(?C)b", "callouts, (?C...), are not taken");
	expect_refused("a(?C255)(?C'x')b", "callouts, (?C...), are not taken");
	expect_refused("((a{1,1000}){1,1000}){1,1000}",
		"regular expression is too large, behind character 29");
	memset(deep, '(', 102);
	expect_refused(deep, "parentheses are too deeply nested, behind character 101");
	memset(longest, 'a', PATTERN_SOURCE_MAX + 1);
	expect_refused(longest, "the pattern has 4097 bytes, at most 4096 are allowed");
	longest[PATTERN_SOURCE_MAX] = '\0';
	expect(longest, "a", PATTERN_NO);
}

static void test_bad_utf8_in_the_pattern(void **state)
{
	struct err err = {""};

	(void)state;
	assert_null(pattern_new(SPAN("a\xff"), &err));
	assert_non_null(strstr(err.text, "UTF-8 error"));
}

/* --- cost --- */

static char *text_of(const char *unit, size_t size)
{
	char *text = malloc(size);
	size_t len = strlen(unit);

	assert_non_null(text);
	for (size_t i = 0; i < size; i++)
		text[i] = unit[i % len];
	return text;
}

/* CPU time, so that a busy machine does not matter. */
static unsigned cpu_ms(void)
{
	return (unsigned)(clock() / (CLOCKS_PER_SEC / 1000));
}

/* On a text of so many bytes made of such units; fails when it takes longer. */
static enum pattern_result match_within(
	const char *pattern, const char *unit, size_t size, unsigned max_ms)
{
	char *text = text_of(unit, size);
	unsigned before = cpu_ms(), took;
	enum pattern_result result = match(pattern, span_make(text, size));

	took = cpu_ms() - before;
	free(text);
	if (took > max_ms)
		fail_msg("/%s/ takes %u ms on %zu bytes", pattern, took, size);
	return result;
}

/* Each would take from seconds to ages on some text of up to a megabyte. */
static void test_cost_is_bounded(void **state)
{
	static const struct {
		const char *pattern, *unit;
	} cases[] = {
		{"(a+)+[bc]", "a"},
		{"(a|aa)+$", "aab"},
		{"a+[bc]", "a"},
		{"(?>a*)(?>a*)[bc]", "a"},
		{"(?s).*.*.*[xy]", "a"},
		{"(?s)begin.*end\\d", "begin the end "},
		{"^(([a-z])+.)+[A-Z]([a-z])+$", "a"},
		{"(?R)?[ab]", "a"},
		{"(\\w+\\s*)+[:;]", "word "},
		{"(a?){60}a{60}[bc]", "a"},
		{"(?=(a+))\\1*[bc]", "a"},
		{"(*LIMIT_MATCH=4000000000)(a+)+[bc]", "a"},
		{"(*LIMIT_HEAP=4000000000)(a|b)*[cd]", "a"},
		{"(*NO_AUTO_POSSESS)a+[bc]", "a"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *pattern = cases[i].pattern, *unit = cases[i].unit;

		/* A good ten times what it takes, yet less than the clock would allow. */
		match_within(pattern, unit, 100, 150);
		match_within(pattern, unit, 4096, 150);
		match_within(pattern, unit, 65536, 150);
		if (match_within(pattern, unit, PATTERN_TEXT_MAX, 1500) == PATTERN_NO)
			fail_msg("/%s/ says no", pattern);
	}
}

/* What is done without a callout: least counts that are not reached, back references that fail. */
static void test_clock_stands_behind(void **state)
{
	static char unit[50001];

	(void)state;
	memset(unit, 'a', sizeof(unit) - 1);
	unit[sizeof(unit) - 2] = 'd';
	assert_int_equal(match_within("a{60000}[bc]", unit, PATTERN_TEXT_MAX, 2000), PATTERN_LIMIT);
	match_within("(a{1000,})\\1[bc]", unit, PATTERN_TEXT_MAX, 2000);
}

/* What is linear is decided, however long the text. */
static void test_long_texts(void **state)
{
	static const char *const linear[] = {
		"viagra",
		"(?i)\\bviagra\\b",
		"[a-z]+@",
		"(?i)(cheap|free)\\s+(pills|meds)",
		"\\d{4}[ -]\\d{4}",
		"(.)\\1{8}",
		"<[^>]{0,200}>",
		"(?m)^[A-Z]{50}$",
	};
	char *text = text_of(
		"the quick offer of vital, free mail 12 at http://example\n", PATTERN_TEXT_MAX + 1);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(linear); i++) {
		if (match(linear[i], span_make(text, PATTERN_TEXT_MAX)) != PATTERN_NO)
			fail_msg("/%s/", linear[i]);
		assert_int_equal(
			match(linear[i], span_make(text, PATTERN_TEXT_MAX + 1)), PATTERN_LIMIT);
	}
	memcpy(text + PATTERN_TEXT_MAX - 6, "viagra", 6);
	assert_int_equal(match("viagra", span_make(text, PATTERN_TEXT_MAX)), PATTERN_YES);
	memset(text, 0xff, PATTERN_TEXT_MAX);
	assert_int_equal(match("^a", span_make(text, PATTERN_TEXT_MAX)), PATTERN_NO);
	free(text);
}

/* One scratch serves all patterns, also after a match that was cut off. */
static void test_scratch_is_used_again(void **state)
{
	struct pattern_scratch *scratch = pattern_scratch_new();
	char *text = text_of("a", 65536);
	struct err err;
	struct pattern *evil = pattern_new(SPAN("a+[bc]"), &err);
	struct pattern *plain = pattern_new(SPAN("^a$"), &err);
	struct pattern *one = pattern_new(SPAN("^.$"), &err);

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			pattern_match(evil, span_make(text, 65536), scratch), PATTERN_LIMIT);
		assert_int_equal(pattern_match(plain, SPAN("a"), scratch), PATTERN_YES);
		assert_int_equal(pattern_match(plain, SPAN("\xff"), scratch), PATTERN_NO);
		assert_int_equal(pattern_match(one, SPAN("\xff"), scratch), PATTERN_YES);
	}
	pattern_free(&evil);
	pattern_free(&plain);
	pattern_free(&one);
	pattern_scratch_free(&scratch);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matches),
		cmocka_unit_test(test_unicode),
		cmocka_unit_test(test_broken_utf8_in_the_text),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bad_utf8_in_the_pattern),
		cmocka_unit_test(test_cost_is_bounded),
		cmocka_unit_test(test_clock_stands_behind),
		cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_scratch_is_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

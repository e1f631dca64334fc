/* tag_list: RFC 6376 3.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/mail/tag_list.h"

static struct tag_list list;

static void test_values_are_found_without_blanks_around(void **state)
{
	(void)state;
	assert_true(tag_list_read(SPAN("v=1; a = rsa-sha256 ;\r\n\tb=ab\r\n cd ;h= ; "), &list));
	assert_int_equal(list.n, 4);
	assert_true(span_equal(tag_list_find(&list, SPAN("a")), SPAN("rsa-sha256")));
	assert_true(span_equal(tag_list_find(&list, SPAN("b")), SPAN("ab\r\n cd")));
	assert_int_equal(tag_list_find(&list, SPAN("h")).len, 0);
	assert_non_null(tag_list_find(&list, SPAN("h")).at);
	assert_null(tag_list_find(&list, SPAN("B")).at);
}

static void test_what_is_no_list_is_refused(void **state)
{
	(void)state;
	assert_false(tag_list_read(SPAN(""), &list));
	assert_false(tag_list_read(SPAN(" ; "), &list));
	assert_false(tag_list_read(SPAN("a=1;;b=2"), &list));
	assert_false(tag_list_read(SPAN("a=1; b"), &list));
	assert_false(tag_list_read(SPAN("a=1; =2"), &list));
	assert_false(tag_list_read(SPAN("1a=1"), &list));
	assert_false(tag_list_read(SPAN("a b=1"), &list));
	assert_false(tag_list_read(SPAN("a=1; a=2"), &list));
	assert_false(tag_list_read(SPAN("a=\x80"), &list));
	assert_false(tag_list_read(SPAN("a=1\0; b=2"), &list));
}

static void test_too_many_tags_are_refused(void **state)
{
	char text[1024];
	size_t len = 0;

	(void)state;
	for (int i = 0; i < TAGS_MAX; i++)
		len += (size_t)sprintf(text + len, "t%d=%d;", i, i);
	assert_true(tag_list_read(span_make(text, len), &list));
	len += (size_t)sprintf(text + len, "more=1");
	assert_false(tag_list_read(span_make(text, len), &list));
}

static void test_words_between_colons(void **state)
{
	struct span words = SPAN(" From :\r\n\tto::date");

	(void)state;
	assert_true(span_equal(tag_word_next(&words), SPAN("From")));
	assert_true(span_equal(tag_word_next(&words), SPAN("to")));
	assert_true(span_equal(tag_word_next(&words), SPAN("")));
	assert_true(span_equal(tag_word_next(&words), SPAN("date")));
	assert_int_equal(words.len, 0);
	assert_true(tag_words_have(SPAN("a: y :s"), SPAN("y")));
	assert_false(tag_words_have(SPAN("yy:Y"), SPAN("y")));
	assert_false(tag_words_have(SPAN_NONE, SPAN("y")));
}

static void test_base64_loses_its_folds(void **state)
{
	char out[4];
	size_t len;

	(void)state;
	assert_true(tag_value_squeeze(SPAN("ab\r\n\tcd"), out, sizeof(out), &len));
	assert_true(span_equal(span_make(out, len), SPAN("abcd")));
	assert_false(tag_value_squeeze(SPAN("ab cde"), out, sizeof(out), &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_are_found_without_blanks_around),
		cmocka_unit_test(test_what_is_no_list_is_refused),
		cmocka_unit_test(test_too_many_tags_are_refused),
		cmocka_unit_test(test_words_between_colons),
		cmocka_unit_test(test_base64_loses_its_folds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

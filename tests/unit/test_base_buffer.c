/*
 * The buffer: first in, first out within its maximum, against a plain array.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/buffer.h"

static void test_empty(void **state)
{
	struct buffer b = BUFFER_INIT(10);

	(void)state;
	assert_null(b.data);
	assert_int_equal(buffer_span(&b).len, 0);
	assert_non_null(buffer_span(&b).at);
	assert_string_equal(buffer_string(&b), "");
	buffer_consume(&b, 0);
	assert_true(buffer_add(&b, SPAN_NONE));
	buffer_free(&b);
	buffer_free(&b);
	assert_true(buffer_add_text(&b, "again"));
	assert_string_equal(buffer_string(&b), "again");
	buffer_free(&b);
}

static void test_maximum(void **state)
{
	struct buffer b = BUFFER_INIT(10);

	(void)state;
	assert_true(buffer_add_text(&b, "12345678"));
	assert_false(buffer_add_text(&b, "abc"));
	assert_string_equal(buffer_string(&b), "12345678");
	assert_false(buffer_print(&b, "%d", 123));
	assert_string_equal(buffer_string(&b), "12345678");
	assert_true(buffer_print(&b, "%d", 90));
	assert_false(buffer_add_char(&b, 'x'));
	assert_null(buffer_reserve(&b, 1));
	assert_null(buffer_reserve(&b, SIZE_MAX));
	assert_non_null(buffer_reserve(&b, 0));
	buffer_consume(&b, 3);
	assert_true(buffer_add_text(&b, "xyz"));
	assert_string_equal(buffer_string(&b), "4567890xyz");
	buffer_clear(&b);
	assert_int_equal(b.len, 0);
	buffer_free(&b);
}

static void test_reserve(void **state)
{
	struct buffer b = BUFFER_INIT(1000);
	char *at;

	(void)state;
	at = buffer_reserve(&b, 1000);
	assert_non_null(at);
	memset(at, 'x', 1000);
	buffer_added(&b, 500);
	assert_int_equal(b.len, 500);
	assert_non_null(buffer_reserve(&b, 500));
	assert_null(buffer_reserve(&b, 501));
	buffer_free(&b);
}

/* Pieces of growing size in, pieces of another size out; the bytes keep their order. */
static void test_queue(void **state)
{
	struct buffer b = BUFFER_INIT(5000);
	unsigned char next_in = 0, next_out = 0;
	size_t most = 0;

	(void)state;
	for (size_t round = 1; round < 5000; round++) {
		size_t in = round * 7 % 301, out = round * 11 % 311;

		for (size_t i = 0; i < in; i++, next_in++)
			if (!buffer_add_char(&b, (char)next_in))
				break;
		most = b.len > most ? b.len : most;
		for (size_t i = 0; i < out && b.len; i++, next_out++) {
			assert_int_equal((unsigned char)buffer_span(&b).at[0], next_out);
			buffer_consume(&b, 1);
		}
	}
	while (b.len) {
		assert_int_equal((unsigned char)buffer_span(&b).at[0], next_out++);
		buffer_consume(&b, 1);
	}
	assert_int_equal(next_in, next_out);
	assert_true(most > 128 && most <= b.max);
	buffer_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Errors say what failed, cut to fit, and never more.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/error.h"

static void test_text(void **state)
{
	struct err err;

	(void)state;
	assert_false(err_set(&err, "%s:%d", "postern.conf", 7));
	assert_string_equal(err.text, "postern.conf:7");
}

static void test_errno(void **state)
{
	struct err err;

	(void)state;
	errno = ENOENT;
	assert_false(err_errno(&err, "open %s", "mx.pem"));
	assert_string_equal(err.text, "open mx.pem: No such file or directory");
}

static void test_cut(void **state)
{
	char text[1000];
	struct err err;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_false(err_set(&err, "%s", text));
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	errno = ENOENT;
	assert_false(err_errno(&err, "%s", text));
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* authres_write: what a resinfo looks like, whatever its values are (RFC 8601 2.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/mail/authres_write.h"

static struct buffer out;

static int setup(void **state)
{
	(void)state;
	out = BUFFER_INIT(AUTHRES_MAX);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buffer_free(&out);
	return 0;
}

#define assert_written(text) assert_string_equal(buffer_string(&out), (text))

static const char *property(struct span value)
{
	buffer_clear(&out);
	assert_true(authres_property(&out, "header", "i", value));
	return buffer_string(&out);
}

static const char *last(struct span value)
{
	buffer_clear(&out);
	assert_true(authres_last_property(&out, "smtp", "helo", value));
	return buffer_string(&out);
}

static void test_resinfo(void **state)
{
	(void)state;
	assert_true(authres_add(&out, "dkim", "fail", SPAN("the body was changed")));
	assert_true(authres_comment(&out, SPAN("2048-bit key")));
	assert_true(authres_comment(&out, SPAN_NONE));
	assert_true(authres_property(&out, "header", "d", SPAN("example.org")));
	assert_true(authres_last_property(&out, "header", "b", SPAN("a/b+cdef")));
	assert_written("dkim=fail reason=\"the body was changed\" (2048-bit key) "
		       "header.d=example.org header.b=\"a/b+cdef\"");
	buffer_clear(&out);
	assert_true(authres_add(&out, "spf", "none", SPAN_NONE));
	assert_written("spf=none");
}

static void test_texts(void **state)
{
	(void)state;
	assert_true(authres_add(&out, "spf", "fail", SPAN("a \"b\" \\ (c)\r\n\x7f\xc3\xa9;")));
	assert_true(authres_comment(&out, SPAN("(a) b\\c \"d\";\n\xff")));
	assert_written("spf=fail reason=\"a \\\"b\\\" \\\\ (c)%0D%0A%7F%C3%A9;\" "
		       "(\\(a\\) b\\\\c \"d\";%0A%FF)");
}

static void test_plain_values(void **state)
{
	(void)state;
	assert_string_equal(property(SPAN("example.org")), " header.i=example.org");
	assert_string_equal(property(SPAN("_a-b.example.org")), " header.i=_a-b.example.org");
	assert_string_equal(property(SPAN("@example.org")), " header.i=@example.org");
	assert_string_equal(property(SPAN("a/b=c@example.org")), " header.i=a/b=c@example.org");
	assert_string_equal(property(SPAN("\xc3\xa9@example.org")), " header.i=%C3%A9@example.org");
	assert_string_equal(property(SPAN("a b@example.org")), " header.i=\"a b\"@example.org");
	assert_string_equal(property(SPAN("\"a b\\\"\\\\\"@example.org")),
		" header.i=\"a b\\\"\\\\\"@example.org");
	assert_string_equal(property(SPAN("\"\"@example.org")),
		" header.i=\"\\\"\\\"\"@example.org"); /* some can't read an empty one */
	assert_string_equal(property(SPAN("a@b@example.org")), " header.i=\"a@b\"@example.org");
	assert_string_equal(property(SPAN("a..b@example.org")), " header.i=\"a..b\"@example.org");
}

static void test_values_that_need_quotes(void **state)
{
	static const char *const values[] = {"two words", "a;b", "a@b;c", "a@.example", "a@", "@",
		"a\"b", "(a)", "a/b", "a=b", "2001:db8::1", "a@b.", "\r\n", "a, b", "<a@b>"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(values); i++)
		assert_string_equal(property(span_text(values[i])), "");
	assert_string_equal(last(SPAN("two words")), " smtp.helo=\"two words\"");
	assert_string_equal(last(SPAN("a;b\"\\")), " smtp.helo=\"a;b\\\"\\\\\"");
	assert_string_equal(last(SPAN("\r\nX: y")), " smtp.helo=\"%0D%0AX: y\"");
	assert_string_equal(last(SPAN("2001:db8::1")), " smtp.helo=\"2001:db8::1\"");
	assert_string_equal(last(SPAN("mail.example.org")), " smtp.helo=mail.example.org");
}

static void test_lengths(void **state)
{
	char text[AUTHRES_VALUE_MAX + 1];
	struct span longest = span_make(text, AUTHRES_VALUE_MAX);

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_string_equal(property(SPAN("")), "");
	assert_string_equal(property(span_make(text, sizeof(text))), "");
	assert_true(strlen(property(longest)) == AUTHRES_VALUE_MAX + 10);
	buffer_clear(&out);
	assert_true(authres_add(&out, "spf", "fail", longest));
	assert_int_equal(out.len, strlen("spf=fail reason=\"\"") + AUTHRES_TEXT_MAX);
	assert_true(authres_quote(&out, longest));
	memset(text, '\x01', sizeof(text));
	buffer_clear(&out);
	assert_false(authres_quote(&out, longest)); /* more than there is room for */
	assert_int_equal(out.len, 0);
}

/* What does not fit is left out whole. */
static void test_full(void **state)
{
	struct buffer small = BUFFER_INIT(20);

	(void)state;
	assert_true(authres_add(&small, "spf", "fail", SPAN_NONE));
	assert_false(authres_property(&small, "smtp", "mailfrom", SPAN("example.org")));
	assert_false(authres_comment(&small, SPAN("some comment")));
	assert_string_equal(buffer_string(&small), "spf=fail");
	assert_false(authres_add(&small, "dkim", "permerror", SPAN_NONE));
	assert_string_equal(buffer_string(&small), "spf=fail");
	buffer_free(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_resinfo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_texts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plain_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values_that_need_quotes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lengths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

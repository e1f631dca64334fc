/* authres_read: RFC 8601 2.2, its examples' forms, and what the large providers write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/mail/authres_read.h"

static struct authres_info info;

static void assert_span(struct span got, const char *want)
{
	if (!span_equal(got, span_text(want)))
		fail_msg("'%.*s' is not '%s'", SPAN_ARGS(got), want);
}

static void assert_value(const char *type, const char *name, const char *want)
{
	assert_span(authres_info_find(&info, span_text(type), span_text(name)), want);
}

static void test_a_field_is_read_result_by_result(void **state)
{
	struct span body =
		SPAN(" mx.example.net 1;\r\n\tspf=pass (sender; is \\) fine) "
		     "smtp.mailfrom=joe@example.com;\r\n dkim/1 = FAIL reason=\"a; \\\"b\" "
		     "header.d = example.com (;) header.b=\"x\";");
	struct span id, version;

	(void)state;
	authres_begin(&body, &id, &version);
	assert_span(id, "mx.example.net");
	assert_span(version, "1");
	assert_true(authres_next(&body, &info));
	assert_span(info.method, "spf");
	assert_span(info.version, "");
	assert_span(info.result, "pass");
	assert_span(info.reason, "");
	assert_int_equal(info.n, 1);
	assert_value("SMTP", "mailFrom", "joe@example.com");
	assert_true(authres_next(&body, &info));
	assert_span(info.method, "dkim");
	assert_span(info.version, "1");
	assert_span(info.result, "FAIL");
	assert_span(info.reason, "\"a; \\\"b\"");
	assert_int_equal(info.n, 2);
	assert_value("header", "d", "example.com");
	assert_value("header", "b", "\"x\"");
	assert_null(authres_info_find(&info, SPAN("header"), SPAN("i")).at);
	assert_false(authres_next(&body, &info));
}

static void test_identifiers(void **state)
{
	static const struct {
		const char *body, *id, *version, *rest;
	} cases[] = {
		{"mx.example; none", "mx.example", "", " none"},
		{" (x) \"mx;\\\"1\" (y) 2 ; none", "\"mx;\\\"1\"", "2", " none"},
		{"mx.example", "mx.example", "", ""},
		{"", "", "", ""},
		{"; spf=pass", "", "", " spf=pass"},
		{"spf=pass; dkim=fail", "", "", "spf=pass; dkim=fail"},
		{"(never closed; spf=pass", "", "", ""},
		{"\"never closed; spf=pass", "\"never closed; spf=pass", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct span body = span_text(cases[i].body), id, version;

		authres_begin(&body, &id, &version);
		assert_span(id, cases[i].id);
		assert_span(version, cases[i].version);
		assert_span(body, cases[i].rest);
	}
}

static void test_what_cannot_be_read_hides_nothing(void **state)
{
	struct span body =
		SPAN(" none; ; =pass; spf; spf=; spf=(x); spf pass; \"a\"=b; .x=y;"
		     "dmarc=pass (p=NONE) \"odd\" . = = header.from=example.com action=none");

	(void)state;
	assert_true(authres_next(&body, &info));
	assert_span(info.method, "dmarc");
	assert_value("header", "from", "example.com");
	assert_value("", "action", "none");
	assert_false(authres_next(&body, &info));
}

static void test_values_keep_what_stands_in_them(void **state)
{
	struct span body = SPAN("dkim=pass header.b=AB/c+d== header.i=@example.com;"
				"spf=pass smtp.mailfrom=\"joe; b\\\"\"@example.com(c) smtp.helo=h");
	struct buffer text = BUFFER_INIT(64), small = BUFFER_INIT(4);
	struct span value;

	(void)state;
	assert_true(authres_next(&body, &info));
	assert_value("header", "b", "AB/c+d==");
	assert_value("header", "i", "@example.com");
	assert_true(authres_next(&body, &info));
	value = authres_info_find(&info, SPAN("smtp"), SPAN("mailfrom"));
	assert_span(value, "\"joe; b\\\"\"@example.com");
	assert_value("smtp", "helo", "h");
	assert_true(authres_unquote(value, &text));
	assert_span(buffer_span(&text), "joe; b\"@example.com");
	assert_false(authres_unquote(value, &small));
	buffer_free(&text);
	buffer_free(&small);
}

static void test_properties_are_bounded(void **state)
{
	struct buffer text = BUFFER_INIT(4096);
	struct span body;

	(void)state;
	assert_true(buffer_add_text(&text, "dkim=pass"));
	for (int i = 0; i < 100; i++)
		assert_true(buffer_print(&text, " header.p%d=%d", i, i));
	assert_true(buffer_add_text(&text, " reason=last; spf=fail"));
	body = buffer_span(&text);
	assert_true(authres_next(&body, &info));
	assert_int_equal(info.n, AUTHRES_PROPERTIES_MAX);
	assert_span(info.reason, "last");
	assert_true(authres_next(&body, &info));
	assert_span(info.method, "spf");
	buffer_free(&text);
}

static void test_the_result_of_a_method(void **state)
{
	static const struct {
		const char *body, *method, *want;
	} cases[] = {
		{" mx.google.com;\r\n dkim=pass header.i=@example.com header.s=s header.b=Kq/1;\r\n"
		 " spf=pass (google.com: domain of joe@example.com designates 192.0.2.1 as "
		 "permitted sender) smtp.mailfrom=joe@example.com;\r\n"
		 " dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=example.com",
			"dmarc", "pass"},
		{" mx.microsoft.com 1; spf=pass smtp.mailfrom=example.com; dmarc=bestguesspass "
		 "action=none header.from=example.com; dkim=none; arc=none",
			"arc", "none"},
		{"spf=fail (sender IP is 192.0.2.1) smtp.mailfrom=a; dkim=fail", "spf", "fail"},
		{"mx; none", "spf", ""},
		{"mx; spf=pass", "dkim", ""},
		{"", "spf", ""},
		{"mx; DKIM=Pass", "dkim", "Pass"},
		{"mx; dkim=fail header.d=a; dkim=pass header.d=b; dkim=policy", "dkim", "pass"},
		{"mx; dkim=temperror header.d=a; dkim=fail header.d=b", "dkim", "temperror"},
		{"mx; spf=pass smtp.helo=a; spf=fail smtp.mailfrom=b", "spf", "fail"},
		{"mx; spf=fail smtp.mailfrom=b; spf=pass smtp.helo=a", "spf", "fail"},
		{"mx; spf=softfail smtp.helo=a; spf=pass", "spf", "softfail"},
		{"mx; dmarc=pass header.from=a; dmarc=fail header.from=b", "dmarc", "fail"},
		{"mx; dmarc=fail header.from=a; dmarc=pass header.from=b", "dmarc", "fail"},
		{"mx; x-dmarc=pass; dmarc-x=pass; (dmarc=pass) x=\"dmarc=pass\"", "dmarc", ""},
		{"mx (; dmarc=pass); \"; dmarc=pass\" ; dmarc=none", "dmarc", "none"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_span(authres_result(span_text(cases[i].body), span_text(cases[i].method)),
			cases[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_field_is_read_result_by_result),
		cmocka_unit_test(test_identifiers),
		cmocka_unit_test(test_what_cannot_be_read_hides_nothing),
		cmocka_unit_test(test_values_keep_what_stands_in_them),
		cmocka_unit_test(test_properties_are_bounded),
		cmocka_unit_test(test_the_result_of_a_method),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

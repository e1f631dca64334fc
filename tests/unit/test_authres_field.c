/* authres_field: RFC 8601 2.2; what is hostile is left out, what is long is folded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/mail/authres_field.h"

static const struct span id = SPAN("mx.example.net");

static const char *const valid[] = {
	"spf=pass",
	"spf=pass smtp.mailfrom=alice@example.com",
	"spf=pass smtp.helo=mx.example.com",
	"spf/1=pass smtp.mailfrom=example.com",
	("dkim=pass header.d=example.com header.s=s1 header.i=@example.com header.b=aB/+c9== "
	 "header.a=rsa-sha256"),
	"dkim=fail reason=\"signature did not verify\" header.d=example.com",
	"dkim=fail (no key) reason=bad header.d=example.com",
	"dkim=fail(tight)(two) header.d=example.com(of the key)",
	"dmarc=fail (p=reject (sp=none\\)) x) header.from=example.com",
	"arc=pass header.oldest-pass=0 smtp.remote-ip=192.0.2.1",
	"spf=pass smtp.mailfrom=\"a b;\\\"c\"@example.com",
	"spf=pass smtp.mailfrom=\"\"@example.com",
	"spf=pass  \t smtp.mailfrom=x",
	"x-trial=very-good policy.x-y=z",
};

static const char *const hostile[] = {
	"",
	" ",
	"none",
	"nonesuch=pass",
	"spf",
	"=pass",
	"spf=",
	"spf=pass;",
	"spf=pass; dkim=pass header.d=bank.example",
	"spf=pass smtp.mailfrom=a;dkim=pass",
	"spf=pass smtp.mailfrom=a dkim=pass",
	"spf=pass smtp.mailfrom=",
	"spf=pass smtp.mailfrom",
	"spf=pass smtp=x",
	"spf=pass .x=y",
	"spf=pass smtp.=y",
	"spf=pass smtp.mailfrom = x",
	"spf = pass",
	"spf=pass reason=\"\"",
	"spf=pass smtp.x=y reason=late",
	"spf=pass reason=a reason=b",
	"spf=pass (open",
	"spf=pass close)",
	"spf=pass (a\\)",
	"spf=pass ((((((((((deep))))))))))",
	"spf=pass smtp.mailfrom=\"open",
	"spf=pass smtp.mailfrom=\"a\"b",
	"spf=pass smtp.mailfrom=\"a\"@",
	"spf=pass smtp.mailfrom=\"a\"@x y",
	"spf=pass smtp.mailfrom=@",
	"spf=pass smtp.mailfrom=\"\"",
	"spf=pass smtp.mailfrom=@.example",
	"spf=pass smtp.mailfrom=<a@b>",
	"spf=pass smtp.mailfrom=a\\b",
	"spf=pass\r\nSubject: x",
	"spf=pass\r\n\tsmtp.mailfrom=x",
	"spf=pass smtp.mailfrom=\"a\r\nb\"",
	"spf=pass smtp.mailfrom=\"a\nb\"",
	"spf=pass (a\rb)",
	"spf=pass (a\x7f)",
	"spf=pass smtp.mailfrom=\303\274",
	"spf=pass (\303\274)",
	"(comment first) spf=pass",
	"-spf=pass",
	"spf-=pass",
	"spf/x=pass",
};

static void assert_written(const struct span *results, size_t n, bool utf8, const char *expected)
{
	struct buffer out = BUFFER_INIT(16 * 1024);

	assert_true(authres_field_write(id, results, n, utf8, &out));
	assert_string_equal(buffer_string(&out), expected);
	buffer_free(&out);
}

static void test_valid(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(valid); i++)
		if (!authres_result_valid(span_text(valid[i]), false))
			fail_msg("'%s' is refused", valid[i]);
}

static void test_hostile(void **state)
{
	struct buffer out = BUFFER_INIT(16 * 1024);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(hostile); i++) {
		struct span result = span_text(hostile[i]);

		if (authres_result_valid(result, false))
			fail_msg("'%s' is taken", hostile[i]);
		assert_false(authres_field_write(id, &result, 1, false, &out));
		assert_int_equal(out.len, 0);
	}
	assert_false(authres_result_valid(span_make("spf=pass (\0)", 12), false));
	assert_false(authres_result_valid(SPAN("spf=pass (\303)"), true));
	assert_false(authres_result_valid(SPAN("spf=pass (\302\205)"), true));
	buffer_free(&out);
}

/* A colon is no character of a token. */
static void test_addresses(void **state)
{
	(void)state;
	assert_false(authres_result_valid(SPAN("arc=pass smtp.remote-ip=2001:db8::1"), false));
	assert_true(authres_result_valid(SPAN("arc=pass smtp.remote-ip=\"2001:db8::1\""), false));
}

static void test_utf8_where_it_may_stand(void **state)
{
	const struct span results[] = {
		SPAN("spf=pass smtp.mailfrom=\303\274@b\303\274cher.example")};

	(void)state;
	assert_written(results, 1, true,
		"Authentication-Results: mx.example.net;\r\n"
		"\tspf=pass smtp.mailfrom=\303\274@b\303\274cher.example\r\n");
}

static void test_what_is_valid_stands_in_order(void **state)
{
	const struct span results[] = {SPAN("spf=pass smtp.mailfrom=a@example.com"),
		SPAN("dkim=pass; forged=yes"),
		SPAN(" dmarc=pass   (p=none)  header.from=example.com ")};

	(void)state;
	assert_written(results, COUNT_OF(results), false,
		"Authentication-Results: mx.example.net;\r\n"
		"\tspf=pass smtp.mailfrom=a@example.com;\r\n"
		"\tdmarc=pass (p=none) header.from=example.com\r\n");
}

static void test_long_ones_are_folded(void **state)
{
	const struct span results[] = {SPAN(
		"dkim=fail (this is a comment that goes on for a while, so that its line is over) "
		"reason=\"but a string with blanks that is too long for a line is not parted, come "
		"what may\" "
		"header.d=example.com header.s=selector")};

	(void)state;
	assert_written(results, 1, false,
		"Authentication-Results: mx.example.net;\r\n"
		"\tdkim=fail (this is a comment that goes on for a while, so that its line is\r\n"
		"\tover)\r\n"
		"\treason=\"but a string with blanks that is too long for a line is not parted, "
		"come what may\"\r\n"
		"\theader.d=example.com header.s=selector\r\n");
}

static void test_what_does_not_fit_is_left_out_whole(void **state)
{
	struct buffer out = BUFFER_INIT(110);
	const struct span results[] = {SPAN("spf=pass smtp.mailfrom=a@example.com"),
		SPAN("dkim=pass header.d=a-name-that-is-too-long.example.com header.s=selector"),
		SPAN("arc=none")};
	char word[1024];
	struct span one;

	(void)state;
	assert_true(authres_field_write(id, results, 3, false, &out));
	assert_string_equal(buffer_string(&out), "Authentication-Results: mx.example.net;\r\n"
						 "\tspf=pass smtp.mailfrom=a@example.com;\r\n"
						 "\tarc=none\r\n");
	assert_false(authres_field_write(id, results, 1, false, &out)); /* it is full */
	assert_false(authres_field_write_none(id, &out));
	buffer_free(&out);
	/* A word that no fold brings below 998 bytes. */
	snprintf(word, sizeof(word), "spf=pass smtp.mailfrom=%0950d", 1);
	one = span_text(word);
	out = BUFFER_INIT(4096);
	assert_false(authres_field_write(id, &one, 1, false, &out));
	assert_int_equal(out.len, 0);
	buffer_free(&out);
}

static void test_none(void **state)
{
	struct buffer out = BUFFER_INIT(100);

	(void)state;
	assert_true(authres_field_write_none(id, &out));
	assert_string_equal(
		buffer_string(&out), "Authentication-Results: mx.example.net; none\r\n");
	buffer_free(&out);
}

static void test_trace_fields(void **state)
{
	static const struct {
		const char *field, *written; /* NULL: refused */
	} cases[] = {
		{"Received-SPF: pass", "Received-SPF: pass\r\n"},
		{"Received-SPF:pass (x;\r\n\ty) a=\"b\r\n c\";",
			"Received-SPF: pass (x; y) a=\"b c\";\r\n"},
		{"Received-SPF: pass (one comment with so many words in it that it goes on) "
		 "client-ip=192.0.2.1;",
			"Received-SPF: pass (one comment with so many words in it that it goes "
			"on)\r\n"
			"\tclient-ip=192.0.2.1;\r\n"},
		{"Received-SPF: pass\r\n", NULL},
		{"Received-SPF: pass\r\nX: y", NULL},
		{"Received-SPF: pass\n x", NULL},
		{"Received-SPF: pass\r\r\n x", NULL},
		{"Received-SPF: pass\r\n \r\n\r\nbody", NULL},
		{"Received-SPF: pass (\303\274)", NULL},
		{"Received-SPF: (open", NULL},
		{"Received SPF: pass", NULL},
		{"Received-SPF", NULL},
		{"Received-SPF:", NULL},
		{"Received-SPF: \r\n ", NULL},
		{": pass", NULL},
		{" X: y", NULL},
		{".X: y", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buffer out = BUFFER_INIT(4096);
		bool written = trace_field_write(span_text(cases[i].field), false, &out);

		if (written != (cases[i].written != NULL))
			fail_msg("'%s' is %s", cases[i].field, written ? "taken" : "refused");
		assert_string_equal(buffer_string(&out), written ? cases[i].written : "");
		buffer_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_utf8_where_it_may_stand),
		cmocka_unit_test(test_what_is_valid_stands_in_order),
		cmocka_unit_test(test_long_ones_are_folded),
		cmocka_unit_test(test_what_does_not_fit_is_left_out_whole),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_trace_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

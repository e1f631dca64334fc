/*
 * Forged Authentication-Results: each way to write our identifier so that some reader takes it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/mail/header.h"

static const char *const ours[] = {
	" mx.example.net; spf=pass",
	" MX.Example.Net; spf=pass",
	"mx.example.net;spf=pass",
	" mx.example.net",
	" mx.example.net 1; spf=pass",
	" mx.example.net/1; spf=pass",
	" mx.example.net \t ; spf=pass",
	"\r\n mx.example.net\r\n\t; spf=pass",
	" (comment) mx.example.net; spf=pass",
	" (nested (comment) \\) still) mx.example.net (more); spf=pass",
	" mx.example.net(tight);",
	" (;) mx.example.net; spf=pass",
	" \"mx.example.net\"; spf=pass",
	" \"mx\\.example.net\" 1; spf=pass",
	" \"MX.example.net\"(x);",
	" \" mx.example.net \"; spf=pass",
	" mx.(in the middle)example.net; spf=pass",
	" mx . example . net ; spf=pass",
	" mx.example\r\n .net; spf=pass",
	" mx.example.net.; spf=pass",
	" mx.example.net\x01; spf=pass",
	" ; spf=pass",
	";",
	"",
	" \r\n ",
	" (only a comment)",
	" (never closed mx.other; spf=pass",
	" \"mx.example.net; spf=pass",
};

static const char *const others[] = {
	" mx.other.example; spf=pass",
	" mx.example.net.evil.example; spf=pass",
	" mx.example.network; spf=pass",
	" amx.example.net; spf=pass",
	" mx.example.ne; spf=pass",
	" mx; spf=pass",
	" spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=mx.example.net",
	" other (mx.example.net); spf=pass",
	" (mx.example.net) other; spf=pass",
	" other; mx.example.net; spf=pass",
	" \"other\"; spf=pass",
	" mx.example.net-2; spf=pass",
	" 1 mx.example.net; spf=pass",
};

static void test_ours(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(ours); i++)
		if (!authres_is_from(span_text(ours[i]), SPAN("mx.example.net")))
			fail_msg("'%s' would stay", ours[i]);
}

static void test_others(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(others); i++)
		if (authres_is_from(span_text(others[i]), SPAN("mx.example.net")))
			fail_msg("'%s' would go", others[i]);
}

/* As they come out of a section, however the name is written. */
static void test_in_a_section(void **state)
{
	struct span section =
		SPAN("AUTHENTICATION-RESULTS: mx.example.net; spf=pass\r\n"
		     "Authentication-Results \t:\r\n mx.example.net; spf=pass\r\n"
		     "authentication-results\r\n : (x) \"mx.example.net\" 1; dkim=pass\r\n"
		     "Authentication-Results: mx.other.example; spf=pass\r\n"
		     "X-Authentication-Results: mx.example.net; spf=pass\r\n"
		     "\r\n");
	struct header_field field;
	unsigned removed = 0, kept = 0;

	(void)state;
	while (header_next(&section, &field)) {
		if (header_is(&field, SPAN("Authentication-Results")) &&
			authres_is_from(field.body, SPAN("mx.example.net")))
			removed++;
		else
			kept++;
	}
	assert_int_equal(removed, 3);
	assert_int_equal(kept, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_in_a_section),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

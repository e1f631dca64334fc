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
	" =?utf-8?q?mx.example.net?=; spf=pass",
	" =?US-ASCII*en?B?bXguZXhhbXBsZS5uZXQ=?=; spf=pass",
	" =?utf-7?q?mx+AC4-example+AC4-net?=; spf=pass",
	" mx.=?utf-8?q?example?=.net; spf=pass",
	" \"=?utf-8?q?mx.example.net?=\"; spf=pass",
	" (=?utf-8?q?=29mx.example.net?=); spf=pass",
	" =?utf-8?q?mx.example.net=3B?= other; spf=pass",
	" mx%2Eexample%2enet; spf=pass",
	" %6d%78.example.net%20; spf=pass",
	" mx.example.net%3B; spf=pass",
	" \357\275\215\357\275\230.example.net; spf=pass",   /* wide letters */
	" mx\343\200\202example\343\200\202net 1; spf=pass", /* ideographic full stops */
	" mx.ex\302\255ample.net; spf=pass",                 /* a soft hyphen */
	" mx.example.net\342\200\213; spf=pass",             /* nothing that has a width */
	" \357\273\277mx.example.net; spf=pass",             /* a byte order mark */
	" mx.example.net\240; spf=pass",                     /* no UTF-8 at all */
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
	" other.example; spf=pass reason=\"=?utf-8?q?mx.example.net?=\"",
	" mx%2dexample.net; spf=pass",
	" mx.ex\303\244mple.net; spf=pass",
	" 100%; spf=pass",
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

/* Our own identifier may be a name in another script. */
static void test_other_scripts(void **state)
{
	static const char *const same[] = {
		" b\303\274cher.example; spf=pass",
		" B\303\234CHER.example. 1; spf=pass",
		" XN--bcher-KVA.example; spf=pass",
		" \"b\303\274cher\".(x)example(y); spf=pass",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(same); i++)
		if (!authres_is_from(span_text(same[i]), SPAN("xn--bcher-kva.example")))
			fail_msg("'%s' would stay", same[i]);
	assert_false(
		authres_is_from(SPAN(" bucher.example; spf=pass"), SPAN("xn--bcher-kva.example")));
	assert_false(authres_is_from(
		SPAN(" b\303\266cher.example; spf=pass"), SPAN("xn--bcher-kva.example")));
}

/* As they come out of a section, however the name is written. */
static void test_in_a_section(void **state)
{
	struct span section =
		SPAN("AUTHENTICATION-RESULTS: mx.example.net; spf=pass\r\n"
		     "Authentication-Results \t:\r\n mx.example.net; spf=pass\r\n"
		     "authentication-results\r\n : (x) \"mx.example.net\" 1; dkim=pass\r\n"
		     "Authentication-Results\302\240: mx.example.net; spf=pass\r\n"
		     "Authentication-Results\x0b: mx.example.net; spf=pass\r\n"
		     "\357\273\277Authentication-Results: mx.example.net; spf=pass\r\n"
		     "Authentication-Results: mx.other.example; spf=pass\r\n"
		     "ARC-Authentication-Results: i=1; mx.example.net; spf=pass\r\n"
		     "Authentication-Results mx.example.net; spf=pass\r\n"
		     "Authentication-Results\302\240: mx.other.example; spf=pass\r\n"
		     "X-Authentication-Results: mx.example.net; spf=pass\r\n"
		     "\r\n");
	struct header_field field;
	unsigned removed = 0, kept = 0;

	(void)state;
	while (header_next(&section, &field)) {
		struct span body;

		if (authres_find(&field, &body) && authres_is_from(body, SPAN("mx.example.net")))
			removed++;
		else
			kept++;
	}
	assert_int_equal(removed, 6);
	assert_int_equal(kept, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_other_scripts),
		cmocka_unit_test(test_in_a_section),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How each mistake in postern.conf is told, to the letter: these texts are what an admin works
 * with. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/config_texts.h"

#define STORE_HELP                                                                                 \
	"    help: embedded, redis://host:6379/0, redis+unix:///path, "                            \
	"redis+sentinel://h1,h2/name/0 or redis+cluster://h1,h2\n"

static void test_wrong_values(void **state)
{
	(void)state;
	expect_report(BASE "limits { messge 50MB }",
		"t.conf:2:10: error: `limits` has no key `messge`\n"
		"    limits { messge 50MB }\n"
		"             ^~~~~~\n"
		"    help: did you mean `message`?\n");
	expect_report(BASE "limits { message yes }",
		"t.conf:2:18: error: `message` needs a size, such as 50MB\n"
		"    limits { message yes }\n"
		"                     ^~~\n");
	expect_report(BASE "limits { message \"50MB\" recipients 0 }",
		"t.conf:2:18: error: `message` needs a size, such as 50MB\n"
		"    limits { message \"50MB\" recipients 0 }\n"
		"                     ^~~~~~\n"
		"    help: write it without quotes\n"
		"t.conf:2:36: error: `0` is out of range: `recipients` takes 1 to 100000\n"
		"    limits { message \"50MB\" recipients 0 }\n"
		"                                       ^\n");
	expect_report(BASE "limits { line 997 errors -1 junk 1.5 }",
		"t.conf:2:15: error: `997` is out of range: `line` takes 998 to 1MB\n"
		"    limits { line 997 errors -1 junk 1.5 }\n"
		"                  ^~~\n"
		"t.conf:2:26: error: `-1` is out of range: `errors` takes 1 to 10000\n"
		"    limits { line 997 errors -1 junk 1.5 }\n"
		"                             ^~\n"
		"t.conf:2:34: error: `junk` needs a number, such as 100\n"
		"    limits { line 997 errors -1 junk 1.5 }\n"
		"                                     ^~~\n");
	expect_report(BASE "timeouts { greeting 5 command 8d filter 50mb }",
		"t.conf:2:21: error: `greeting` needs a duration, such as 5m\n"
		"    timeouts { greeting 5 command 8d filter 50mb }\n"
		"                        ^\n"
		"    help: write a unit, such as 5s or 5m\n"
		"t.conf:2:31: error: `8d` is out of range: `command` takes 10ms to 1d\n"
		"    timeouts { greeting 5 command 8d filter 50mb }\n"
		"                                  ^~\n"
		"t.conf:2:41: error: no number, duration, size, rate or address reads like this\n"
		"    timeouts { greeting 5 command 8d filter 50mb }\n"
		"                                            ^~~~\n"
		"    help: units of size are written B, KB, MB, GB and TB\n");
	expect_report(BASE "log { format jsn }",
		"t.conf:2:14: error: `format` needs one of json, text\n"
		"    log { format jsn }\n"
		"                 ^~~\n"
		"    help: did you mean `json`?\n");
	expect_report(BASE "workers many",
		"t.conf:2:9: error: `workers` needs auto or a number, such as 4\n"
		"    workers many\n"
		"            ^~~~\n");
	expect_report(BASE "store \"redis://h:6379/0\"", "");
	expect_report(BASE "store \"redis://ann:secret@h:x/0\"",
		"t.conf:2:28: error: a port is a number from 1 to 65535\n"
		"    store \"redis://ann:******@h:x/0\"\n"
		"                               ^~~~\n" STORE_HELP);
	expect_report(BASE "store \"redis+sentinel://h1,h2\"",
		"t.conf:2:30: error: the name of the primary is missing: "
		"redis+sentinel://h1,h2/name/0\n"
		"    store \"redis+sentinel://h1,h2\"\n"
		"                                 ^\n" STORE_HELP);
	expect_report(BASE "store \"redi://ann:secret@x\"",
		"t.conf:2:7: error: `redi://ann:***@x` is no store that postern knows\n"
		"    store \"redi://ann:******@x\"\n"
		"          ^~~~~~~~~~~~~~~~~~~~~\n" STORE_HELP);
	expect_report(BASE "store embedded", "");
	expect_report(BASE "store \"redi://x\"",
		"t.conf:2:7: error: `redi://x` is no store that postern knows\n"
		"    store \"redi://x\"\n"
		"          ^~~~~~~~~~\n" STORE_HELP);
}

static void test_wrong_networks(void **state)
{
	(void)state;
	expect_report(BASE "listen localhost:25", "t.conf:2:8: error: `listen` needs an address "
						  "with a port, such as \"0.0.0.0:25\" or "
						  "\"[::]:25\"\n"
						  "    listen localhost:25\n"
						  "           ^~~~~~~~~~~~\n");
	expect_report(BASE "listen \"192.0.2.1:25\"",
		"t.conf:2:8: error: `192.0.2.1:25` is listened on already\n"
		"    listen \"192.0.2.1:25\"\n"
		"           ^~~~~~~~~~~~~~\n");
	expect_report(BASE "listen 192.0.2.2:25 { xclient 127.0.0.1 proxy_protocol form { 10/8 } }",
		"t.conf:2:31: error: `xclient` needs a set of networks, such as from { 10.0.0.0/8 "
		"}\n"
		"    listen 192.0.2.2:25 { xclient 127.0.0.1 proxy_protocol form { 10/8 } }\n"
		"                                  ^~~~~~~~~\n"
		"t.conf:2:56: error: `proxy_protocol` needs a set of networks, such as from { "
		"10.0.0.0/8 "
		"}\n"
		"    listen 192.0.2.2:25 { xclient 127.0.0.1 proxy_protocol form { 10/8 } }\n"
		"                                                           ^~~~\n");
	expect_report(BASE "listen 192.0.2.2:25 { xclient from { 10/8 10.0.0.1/8 } }",
		"t.conf:2:38: error: `10/8` is no address or network\n"
		"    listen 192.0.2.2:25 { xclient from { 10/8 10.0.0.1/8 } }\n"
		"                                         ^~~~\n"
		"    help: write it as 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32\n"
		"t.conf:2:43: warning: `10.0.0.1/8` has bits set behind the network's\n"
		"    listen 192.0.2.2:25 { xclient from { 10/8 10.0.0.1/8 } }\n"
		"                                              ^~~~~~~~~~\n"
		"    help: it means 10.0.0.0/8\n");
	expect_report(BASE "listen 192.0.2.2:25 { bare_newline reject from { ::1 } }",
		"t.conf:2:43: error: only normalize says from whom\n"
		"    listen 192.0.2.2:25 { bare_newline reject from { ::1 } }\n"
		"                                              ^~~~\n"
		"    help: normalize from { ... }\n");
	expect_report(BASE "backend c { server ::1 }",
		"t.conf:2:20: error: `server` needs a server, such as \"10.0.0.5:2525\"\n"
		"    backend c { server ::1 }\n"
		"                       ^~~\n");
	expect_report(BASE "dns { server resolver.example }",
		"t.conf:2:14: error: `server` needs the address of a resolver, such as "
		"\"127.0.0.1:53\"\n"
		"    dns { server resolver.example }\n"
		"                 ^~~~~~~~~~~~~~~~\n");
}

static void test_wrong_servers(void **state)
{
	static const char *const bad[] = {"10.0.0.5:0", "10.0.0.5:65536",
		"10.0.0.5:", "[10.0.0.5]:25", "[::1", "[::1]25", "::1:25", "unix:run",
		"unix:", "a b", "\"\"", "1.2.3:25", "300.1.1.1", "host_.:25", "[]:25", ":25"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		char text[256];
		struct config *c;

		snprintf(text, sizeof(text), BASE "backend c { server %s%s%s }",
			bad[i][0] == '"' ? "" : "\"", bad[i], bad[i][0] == '"' ? "" : "\"");
		c = config_of(text, NULL);
		if (c)
			fail_msg("server %s is taken", bad[i]);
	}
}

static void test_missing(void **state)
{
	(void)state;
	expect_report("", "t.conf: error: `hostname` is missing\n"
			  "    help: write: hostname \"mx.example.net\"\n"
			  "t.conf: error: `listen` is missing\n"
			  "    help: write: listen \"0.0.0.0:25\"\n"
			  "t.conf: error: `backend` is missing\n"
			  "    help: write: backend \"main\" { server \"10.0.0.5:2525\" }\n"
			  "t.conf: error: `relay_domains` is missing\n"
			  "    help: write: relay_domains { \"example.com\" }\n");
	expect_report(BASE "backend c {\n\ttls never\n}",
		"t.conf:2:1: error: this `backend` has no `server`\n"
		"    backend c {\n"
		"    ^~~~~~~\n"
		"    help: write: server \"10.0.0.5:2525\"\n");
	/* A value that is missing is told where it should stand, and the next key is not taken for
	 * it. */
	expect_report(BASE "limits { message recipients 5 }\nstate\nuser x\nauthserv_id",
		"t.conf:2:18: error: `message` needs a size, such as 50MB\n"
		"    limits { message recipients 5 }\n"
		"                     ^~~~~~~~~~\n"
		"t.conf:3:1: error: `state` needs a path, such as \"/var/lib/postern\"\n"
		"    state\n"
		"    ^~~~~\n"
		"t.conf:5:1: error: `authserv_id` needs a name, such as \"example.net\"\n"
		"    authserv_id\n"
		"    ^~~~~~~~~~~\n");
	/* A misspelled key counts as given. */
	expect_report("hostnme a listen 192.0.2.1:25 bakend b { server c } relay_domains { d }",
		"t.conf:1:1: error: unknown key `hostnme`\n"
		"    hostnme a listen 192.0.2.1:25 bakend b { server c } relay_domains { d }\n"
		"    ^~~~~~~\n"
		"    help: did you mean `hostname`?\n"
		"t.conf:1:31: error: unknown key `bakend`\n"
		"    hostnme a listen 192.0.2.1:25 bakend b { server c } relay_domains { d }\n"
		"                                  ^~~~~~\n"
		"    help: did you mean `backend`?\n");
}

static void test_twice(void **state)
{
	(void)state;
	expect_report(BASE "hostname b.example", "t.conf:2:1: error: `hostname` is given twice\n"
						 "    hostname b.example\n"
						 "    ^~~~~~~~\n"
						 "    help: first given in line 1\n");
	expect_report(BASE "limits { errors 5 errors 6 }",
		"t.conf:2:19: error: `errors` is given twice\n"
		"    limits { errors 5 errors 6 }\n"
		"                      ^~~~~~\n"
		"    help: first given in line 2\n");
	expect_report(BASE "backend b { server d server d }",
		"t.conf:2:29: error: server `d` is given twice\n"
		"    backend b { server d server d }\n"
		"                                ^\n"
		"t.conf:2:9: error: backend `b` is given twice\n"
		"    backend b { server d server d }\n"
		"            ^\n"
		"    help: give each backend a name of its own; several servers may stand in "
		"one\n");
	expect_report(BASE "filter spf {} filter spf { a 1 }",
		"t.conf:2:22: error: filter `spf` is given twice\n"
		"    filter spf {} filter spf { a 1 }\n"
		"                         ^~~\n");
}

static void test_tls_mistakes(void **state)
{
	(void)state;
	expect_report(BASE "listen 192.0.2.2:25 { tls starttls }",
		"t.conf:2:27: error: TLS needs a certificate, and none is given\n"
		"    listen 192.0.2.2:25 { tls starttls }\n"
		"                              ^~~~~~~~\n"
		"    help: write: tls { certificate \"mx.pem\" key \"mx.key\" }, or tls none "
		"here\n");
	expect_report(BASE "tls { certificate none.pem key mx.key }",
		"t.conf:2:19: error: can't read `none.pem`\n"
		"    tls { certificate none.pem key mx.key }\n"
		"                      ^~~~~~~~\n");
	expect_report(BASE "tls { certificate mx.key key mx.pem }",
		"t.conf:2:19: error: `mx.key` holds no certificate\n"
		"    tls { certificate mx.key key mx.pem }\n"
		"                      ^~~~~~\n"
		"    help: are certificate and key swapped?\n"
		"t.conf:2:30: error: `mx.pem` holds no private key\n"
		"    tls { certificate mx.key key mx.pem }\n"
		"                                 ^~~~~~\n"
		"    help: are certificate and key swapped?\n");
	expect_report(BASE "tls { certificate mx.der key old.key }",
		"t.conf:2:19: error: `mx.der` is not a PEM file\n"
		"    tls { certificate mx.der key old.key }\n"
		"                      ^~~~~~\n"
		"    help: convert it: openssl x509 or openssl pkey, each with -inform DER\n"
		"t.conf:2:30: error: the key in `old.key` has a passphrase\n"
		"    tls { certificate mx.der key old.key }\n"
		"                                 ^~~~~~~\n"
		"    help: take it off: openssl pkey -in OLD -out NEW\n");
	expect_report(BASE "tls { key mx.key certificate mx.pem certificate mx.pem }",
		"t.conf:2:7: error: this key has no certificate before it\n"
		"    tls { key mx.key certificate mx.pem certificate mx.pem }\n"
		"          ^~~\n"
		"    help: write: certificate \"mx.pem\" key \"mx.key\"\n"
		"t.conf:2:37: error: the certificate before this one has no key\n"
		"    tls { key mx.key certificate mx.pem certificate mx.pem }\n"
		"                                        ^~~~~~~~~~~\n"
		"    help: write: certificate \"mx.pem\" key \"mx.key\"\n"
		"t.conf:2:49: error: this certificate has no key\n"
		"    tls { key mx.key certificate mx.pem certificate mx.pem }\n"
		"                                                    ^~~~~~\n"
		"    help: write: certificate \"mx.pem\" key \"mx.key\"\n");
	/* No follow-up at the listener when the certificate itself is what is wrong. */
	expect_report(BASE
		"tls { certificate gone key mx.key } listen 192.0.2.2:25 { tls implicit }",
		"t.conf:2:19: error: can't read `gone`\n"
		"    tls { certificate gone key mx.key } listen 192.0.2.2:25 { tls implicit }\n"
		"                      ^~~~\n");
}

static void test_relay_mistakes(void **state)
{
#define REST "hostname a listen 192.0.2.1:25 backend b { server c client_info xforward }\n"
	(void)state;
	expect_report(REST "relay_domains { \"*.a.example\" x@b.example c.example. -d.example }",
		"t.conf:2:17: error: `*.a.example` is not a domain\n"
		"    relay_domains { \"*.a.example\" x@b.example c.example. -d.example }\n"
		"                    ^~~~~~~~~~~~~\n"
		"    help: for all subdomains write a leading dot: \".example.com\"\n"
		"t.conf:2:31: error: `x@b.example` is not a domain\n"
		"    relay_domains { \"*.a.example\" x@b.example c.example. -d.example }\n"
		"                                  ^~~~~~~~~~~\n"
		"    help: name the domain alone, what stands behind the @\n"
		"t.conf:2:43: error: `c.example.` is not a domain\n"
		"    relay_domains { \"*.a.example\" x@b.example c.example. -d.example }\n"
		"                                              ^~~~~~~~~~\n"
		"    help: leave out the last dot\n"
		"t.conf:2:54: error: `-d.example` is not a domain\n"
		"    relay_domains { \"*.a.example\" x@b.example c.example. -d.example }\n"
		"                                                         ^~~~~~~~~~\n"
		"    help: letters, digits and hyphens, in parts with dots between\n");
	expect_report(REST "relay_domains { }",
		"t.conf:2:1: error: without a relay domain no recipient can be taken\n"
		"    relay_domains { }\n"
		"    ^~~~~~~~~~~~~\n"
		"    help: name at least one domain, or write any\n");
	expect_report(REST "relay_domains a.example",
		"t.conf:2:15: error: `relay_domains` needs a set of domains or any, such as { "
		"\"example.com\" }\n"
		"    relay_domains a.example\n"
		"                  ^~~~~~~~~\n");
	expect_report(REST "relay_domains any",
		"t.conf:2:15: warning: backend `b` takes every client for postern (client_info "
		"xforward): it may be an open relay\n"
		"    relay_domains any\n"
		"                  ^~~\n"
		"    help: list the domains, or write client_info proxy_v2 or xclient and set the "
		"backend up for it\n");
	expect_report(
		"hostname a listen 192.0.2.1:25 backend b { server c } relay_domains any", "");
#undef REST
}

static void test_other_checks(void **state)
{
	(void)state;
	expect_report(BASE "backend u { server unix:/x tls verified }",
		"t.conf:2:32: error: a unix socket has no name that a certificate could be "
		"verified "
		"for\n"
		"    backend u { server unix:/x tls verified }\n"
		"                                   ^~~~~~~~\n"
		"t.conf:2:1: warning: mail servers rarely take a PROXY header on a unix socket\n"
		"    backend u { server unix:/x tls verified }\n"
		"    ^~~~~~~\n"
		"    help: write client_info xclient or none, unless the server expects it\n");
	expect_report(BASE "limits { spool 10MB }", "t.conf:2:16: warning: the spool is smaller "
						    "than the largest message, which will get "
						    "452\n"
						    "    limits { spool 10MB }\n"
						    "                   ^~~~\n");
	expect_report(BASE "authserv_id \"a b\"",
		"t.conf:2:13: error: `a b` can't stand in a header as authserv-id\n"
		"    authserv_id \"a b\"\n"
		"                ^~~~~\n"
		"    help: a name without blanks and marks, such as \"example.net\"; other scripts "
		"as xn--\n");
	expect_report(BASE "authserv_id \"b\303\274cher.example\"",
		"t.conf:2:13: error: `b\303\274cher.example` can't stand in a header as "
		"authserv-id\n"
		"    authserv_id \"b\303\274cher.example\"\n"
		"                ^~~~~~~~~~~~~~~~\n"
		"    help: a name without blanks and marks, such as \"example.net\"; other scripts "
		"as xn--\n");
	expect_report(BASE "authserv_id example..net",
		"t.conf:2:13: error: `example..net` can't stand in a header as authserv-id\n"
		"    authserv_id example..net\n"
		"                ^~~~~~~~~~~~\n"
		"    help: a name without blanks and marks, such as \"example.net\"; other scripts "
		"as xn--\n");
	expect_report("hostname mx_1.example! listen 192.0.2.1:25 backend b { server c } "
		      "relay_domains { d }",
		"t.conf:1:10: error: `mx_1.example!` is not a host name\n"
		"    hostname mx_1.example! listen 192.0.2.1:25 backend b { server c } "
		"relay_domains { d }\n"
		"             ^~~~~~~~~~~~~\n"
		"    help: letters, digits and hyphens, in parts with dots between; other scripts "
		"as "
		"xn--\n");
}

/* One mistake is told once, and what stands behind it is still looked at. */
static void test_recovery(void **state)
{
	(void)state;
	expect_report(BASE "smtpd_banner $myhostname ESMTP { a { b } }\nworkers 0",
		"t.conf:2:1: error: unknown key `smtpd_banner`\n"
		"    smtpd_banner $myhostname ESMTP { a { b } }\n"
		"    ^~~~~~~~~~~~\n"
		"t.conf:3:9: error: `0` is out of range: `workers` takes 1 to 64\n"
		"    workers 0\n"
		"            ^\n");
	expect_report(BASE "limits {\n\terrors 5\ntimeouts { command 1m }\nworkers 2 }",
		"t.conf:4:1: error: `limits` has no key `timeouts`\n"
		"    timeouts { command 1m }\n"
		"    ^~~~~~~~\n"
		"    help: is a } missing above? `limits` was opened in line 2\n");
	expect_report(BASE "limits { errors 5", "t.conf:2:8: error: this { is never closed\n"
						"    limits { errors 5\n"
						"           ^\n"
						"    help: add a } behind the block\n");
	expect_report(BASE "workers 2 }", "t.conf:2:11: error: this } closes nothing\n"
					  "    workers 2 }\n"
					  "              ^\n");
	expect_report(BASE "workers = 2\nstate: x",
		"t.conf:2:9: error: no = stands between a key and its value\n"
		"    workers = 2\n"
		"            ^\n"
		"    help: write the value behind a blank\n"
		"t.conf:3:1: error: unknown key `state:`\n"
		"    state: x\n"
		"    ^~~~~~\n"
		"    help: did you mean `state`?\n");
	expect_report(BASE "workers 2;", "t.conf:2:10: error: no ; is needed\n"
					 "    workers 2;\n"
					 "             ^\n"
					 "    help: white space and line ends separate\n");
	expect_report(BASE "workers 2 3\nlimits message 5MB",
		"t.conf:2:11: error: a key is expected here, not `3`\n"
		"    workers 2 3\n"
		"              ^\n"
		"t.conf:3:1: error: `limits` opens a block\n"
		"    limits message 5MB\n"
		"    ^~~~~~\n"
		"    help: write: limits { ... }\n");
	expect_report(BASE "server 10.0.0.1:25\nlimits { hostname x }",
		"t.conf:2:1: error: unknown key `server`\n"
		"    server 10.0.0.1:25\n"
		"    ^~~~~~\n"
		"    help: it belongs inside backend { ... }\n"
		"t.conf:3:10: error: `limits` has no key `hostname`\n"
		"    limits { hostname x }\n"
		"             ^~~~~~~~\n"
		"    help: `hostname` stands outside of any block\n");
	expect_report(BASE "log { to file \"x\n }",
		"t.conf:2:15: error: this string has no closing quote on its line\n"
		"    log { to file \"x\n"
		"                  ^~\n");
}

static void test_too_many(void **state)
{
	struct buffer text = BUFFER_INIT(OUT_MAX), report = BUFFER_INIT(OUT_MAX);
	struct bundle *bundle;
	size_t mistakes;

	(void)state;
	for (int i = 0; i < 5000; i++)
		assert_true(buffer_add_text(&text, "zzzzzzzz 1\n"));
	bundle = bundle_of_text("t.conf", buffer_span(&text));
	assert_null(config_parse(bundle, &report, &mistakes, NULL));
	assert_int_equal(mistakes, 101);
	assert_non_null(strstr(buffer_string(&report), "t.conf: error: too many mistakes"));
	bundle_free(&bundle);
	/* A report that is too small loses messages whole, and counts them. */
	buffer_free(&report);
	report = BUFFER_INIT(100);
	bundle = bundle_of_text("t.conf", SPAN(""));
	assert_null(config_parse(bundle, &report, &mistakes, NULL));
	assert_int_equal(mistakes, 4);
	assert_string_equal(buffer_string(&report), "t.conf: error: `hostname` is missing\n    "
						    "help: write: hostname \"mx.example.net\"\n");
	bundle_free(&bundle);
	buffer_free(&report);
	buffer_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_values),
		cmocka_unit_test(test_wrong_networks),
		cmocka_unit_test(test_wrong_servers),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_tls_mistakes),
		cmocka_unit_test(test_relay_mistakes),
		cmocka_unit_test(test_other_checks),
		cmocka_unit_test(test_recovery),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What filters measure without asking anybody: the connection, HELO, TLS, the envelope, headers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <time.h>
#include <cmocka.h>

#include "lib/mail/mime.h"
#include "tests/unit/filter_play.h"

static struct filter_play *play;

static int setup(void **state)
{
	(void)state;
	play = filter_play_new(NULL);
	assert_true(endpoint_parse(SPAN("192.0.2.7:4711"), &play->view.client));
	assert_true(endpoint_parse(SPAN("198.51.100.1:25"), &play->view.local));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	filter_play_free(&play);
	return 0;
}

static void test_client(void **state)
{
	(void)state;
	assert_fact(play, "client.ip", "192.0.2.7");
	assert_fact(play, "client.port", "4711");
	assert_fact(play, "listener", "0.0.0.0:25");
	play->view.client.ip.family = IP_NONE;
	assert_fact(play, "client.ip", "none");
	assert_fact(play, "client.port", "none");
}

static void test_time(void **state)
{
	(void)state;
	setenv("TZ", "CET-1", 1);
	tzset();
	play->view.wall_ms = 1764111600000; /* Tue, 25 Nov 2025 23:00:00 UTC */
	assert_fact(play, "time.hour", "0");
	assert_fact(play, "time.weekday", "wed");
	play->view.wall_ms -= 3 * 24 * 3600 * 1000ULL + 3600 * 1000;
	assert_fact(play, "time.hour", "23");
	assert_fact(play, "time.weekday", "sat");
	play->view.wall_ms += 24 * 3600 * 1000;
	assert_fact(play, "time.weekday", "sun");
	unsetenv("TZ");
	tzset();
}

static const char *helo(const char *text)
{
	static const char *const facts[] = {"helo", "helo.literal", "helo.fqdn", "helo.is_me"};

	play->view.helo = span_text(text);
	return filter_play_measure_all(play, facts, 4);
}

static void test_helo(void **state)
{
	(void)state;
	assert_string_equal(helo("mail.example.org"), "mail.example.org | no | yes | no");
	assert_string_equal(helo("localhost"), "localhost | no | no | no");
	assert_string_equal(helo("mail.example.org."), "mail.example.org. | no | no | no");
	assert_string_equal(helo("192.0.2.7"), "192.0.2.7 | no | no | no");
	assert_string_equal(helo("[192.0.2.7]"), "[192.0.2.7] | yes | no | no");
	assert_string_equal(helo("[198.51.100.1]"), "[198.51.100.1] | yes | no | yes");
	assert_string_equal(helo("[IPv6:2001:db8::1]"), "[IPv6:2001:db8::1] | yes | no | no");
	assert_string_equal(helo("[nonsense]"), "[nonsense] | no | no | no");
	assert_string_equal(helo("MX.Example.NET"), "MX.Example.NET | no | yes | yes");
	assert_string_equal(helo("a.mx.example.net"), "a.mx.example.net | no | yes | no");
	assert_string_equal(helo("under_score.example"), "under_score.example | no | yes | no");
	assert_string_equal(helo("a..b"), "a..b | no | no | no");
	assert_string_equal(helo("we say hello"), "we say hello | no | no | no");
}

static void test_helo_rest(void **state)
{
	(void)state;
	play->view.helo = SPAN("[192.0.2.7]");
	assert_fact(play, "helo.resolves", "yes");
	play->view.helo = SPAN("[192.0.2.8]");
	assert_fact(play, "helo.resolves", "no");
	play->view.helo = SPAN("localhost"); /* not asked for */
	assert_fact(play, "helo.resolves", "no");
	play->view.helo = SPAN("mail.example.org");
	assert_fact(play, "helo.resolves",
		"failed: DNS, AAAA of mail.example.org: there is no DNS here");
	assert_fact(play, "helo.esmtp", "no");
	play->view.esmtp = true;
	assert_fact(play, "helo.esmtp", "yes");
}

static void test_tls(void **state)
{
	static const char *const facts[] = {"tls", "tls.version", "tls.sni", "tls.client_verified"};

	(void)state;
	assert_string_equal(filter_play_measure_all(play, facts, 4), "no | none | none | no");
	play->view.tls_version = "TLSv1.3";
	assert_string_equal(filter_play_measure_all(play, facts, 4), "yes | 1.3 | none | no");
	play->view.tls_version = "TLSv1";
	play->view.tls_sni = "mx.example.net";
	play->view.tls_client_verified = true;
	assert_string_equal(
		filter_play_measure_all(play, facts, 4), "yes | 1.0 | mx.example.net | yes");
	play->view.tls_version = "DTLSv9";
	assert_fact(play, "tls.version", "none");
}

static void test_mail(void **state)
{
	static const char *const facts[] = {"mail.from", "mail.local", "mail.domain", "mail.null",
		"mail.size", "mail.smtputf8"};
	struct address from;

	(void)state;
	assert_int_equal(address_parse(SPAN("Joe@Example.org"), false, &from), ADDRESS_OK);
	play->view.from = &from;
	assert_string_equal(filter_play_measure_all(play, facts, 6),
		"Joe@Example.org | Joe | example.org | no | none | no");
	play->view.declared_size = 4096;
	play->view.smtputf8 = true;
	assert_fact(play, "mail.size", "4096");
	assert_fact(play, "mail.smtputf8", "yes");
	from = (struct address){.quoted = false};
	assert_string_equal(filter_play_measure_all(play, facts, 4), "<> | none | none | yes");
	play->view.from = NULL;
	assert_fact(play, "mail.from", "none");
}

/* Whatever its spelling, a domain is one; local parts are their owners'. */
static void test_domains_are_in_ascii(void **state)
{
	static const char *const facts[] = {"mail.from", "mail.local", "mail.domain"};
	struct address from;

	(void)state;
	assert_int_equal(address_parse(SPAN("jürgen@BÜCHER.example"), true, &from), ADDRESS_OK);
	play->view.from = &from;
	assert_string_equal(filter_play_measure_all(play, facts, 3),
		"jürgen@xn--bcher-kva.example | jürgen | xn--bcher-kva.example");
	play->view.headers = SPAN("From: \"B\" <a@bücher.example>\r\n\r\n");
	assert_fact(play, "from.address", "a@xn--bcher-kva.example");
	assert_fact(play, "from.domain", "xn--bcher-kva.example");
}

/* The backend's word, at once or later. */
static struct call *asked;
static unsigned forgotten;

static enum call_status ask_recipient(
	const struct filter_view *view, struct call *call, unsigned fact)
{
	assert_ptr_equal(view, &play->view);
	if (span_starts(view->to->mailbox, SPAN("now"))) {
		call_add_bool(call, fact, true);
		return CALL_DONE;
	}
	asked = call;
	return CALL_WAIT;
}

static void forget_recipient(const struct filter_view *view, struct call *call)
{
	assert_ptr_equal(view, &play->view);
	assert_ptr_equal(call, asked);
	forgotten++;
	call_done(call);
}

static void test_rcpt(void **state)
{
	static const char *const facts[] = {
		"rcpt.to", "rcpt.local", "rcpt.domain", "rcpt.count", "rcpt.valid"};
	struct address to;

	(void)state;
	assert_fact(play, "rcpt.to", "none");
	assert_fact(play, "rcpt.valid", "none");
	assert_int_equal(address_parse(SPAN("now@example.org"), false, &to), ADDRESS_OK);
	play->view.to = &to;
	play->view.to_count = 3;
	assert_fact(play, "rcpt.valid", "failed: there is no backend to ask");
	play->view.ask_recipient = ask_recipient;
	play->view.forget_recipient = forget_recipient;
	assert_string_equal(filter_play_measure_all(play, facts, 5),
		"now@example.org | now | example.org | 3 | yes");
	to = (struct address){.mailbox = SPAN("postmaster"), .local = SPAN("postmaster")};
	assert_string_equal(
		filter_play_measure_all(play, facts, 4), "postmaster | postmaster | none | 3");
	filter_play_abandon(play, "rcpt.valid");
	assert_int_equal(forgotten, 1);
}

static void test_headers(void **state)
{
	static const char *const from[] = {
		"from.address", "from.domain", "from.name", "from.count"};
	static const char *const fields[] = {
		"header(\"X-Last\")", "subject", "header(\"x-empty\")", "header(\"X-A\")"};

	(void)state;
	play->view.headers =
		SPAN("Received: from a\r\n by b\r\n"
		     "From: =?utf-8?Q?J=C3=B6rg?= <joerg@Example.ORG>,\r\n bob@b.example\r\n"
		     "Subject: =?utf-8?B?SGVsbG8=?=\r\n world\r\n"
		     "X-A: one\r\n  and more\r\nx-a : two\r\nX-Empty:\r\n"
		     "List-Id: The list <list.example.org>\r\n"
		     "x-LAST: two\r\n"
		     "Message-ID: <1@example.org>\r\n\r\n");
	assert_string_equal(filter_play_measure_all(play, from, 4),
		"joerg@example.org | example.org | J\xc3\xb6rg | 2");
	assert_fact(play, "subject", "Hello world");
	assert_fact(play, "header(\"X-A\")", "one  and more, two");
	assert_fact(play, "header(\"x-empty\")", "none");
	assert_fact(play, "header(\"X-B\")", "none");
	assert_string_equal(filter_play_measure_all(play, fields, 4),
		"two | Hello world | none | one  and more, two");
	assert_fact(play, "list.id", "list.example.org");
	assert_fact(play, "message.id", "1@example.org");
}

/* Several From fields: the first is shown, all are counted. */
static void test_headers_odd(void **state)
{
	static const char *const from[] = {
		"from.address", "from.domain", "from.name", "from.count"};

	(void)state;
	play->view.headers = SPAN("From: a@a.example\r\nfrom: b@b.example\r\n\r\n");
	assert_string_equal(
		filter_play_measure_all(play, from, 4), "a@a.example | a.example | none | 2");
	play->view.headers = SPAN("\r\n");
	assert_string_equal(filter_play_measure_all(play, from, 4), "none | none | none | 0");
	assert_fact(play, "subject", "none");
	play->view.headers = SPAN("no header at all\r\nSubject: \x01\xff ok\r\n\r\n");
	assert_fact(play, "subject", "\xc3\xbf ok");
}

static void test_size(void **state)
{
	(void)state;
	play->view.message_size = 12345;
	play->content = SPAN("Subject: x\r\n\r\nbody\r\n");
	assert_fact(play, "message.size", "12345");
}

/* The whole message, seven bytes at a time. */
static void test_content(void **state)
{
	static const char *const attachment[] = {"attachment.name", "attachment.extension",
		"attachment.type", "attachment.size", "attachment.encrypted"};

	(void)state;
	play->content = SPAN("Content-Type: multipart/mixed; boundary=b\r\n\r\n"
			     "--b\r\nContent-Type: text/html\r\n\r\n"
			     "<p>Click <a href=\"http://Evil.example/x\">here</a></p>\r\n"
			     "--b\r\nContent-Type: application/x-dosexec; name=\"bad.EXE\"\r\n\r\n"
			     "MZ12\r\n--b--\r\n");
	assert_string_equal(filter_play_measure_all(play, attachment, 5),
		"bad.EXE | exe | application/x-dosexec | 4 | no");
	assert_fact(play, "url.domain", "evil.example");
	assert_fact(play, "url", "http://evil.example/x");
	assert_fact(play, "body", "Click here");
	filter_play_abandon(play, "body");
	play->content = SPAN("Subject: x\r\n\r\n");
	assert_fact(play, "attachment.name", "none");
	assert_fact(play, "body", "none");
}

/* What is cut or odd; all of it, whatever else is read. */
static void test_flaws(void **state)
{
	struct buffer nested = BUFFER_INIT(4096);

	(void)state;
	play->content = SPAN("Content-Type: multipart/mixed; boundary=b\r\n\r\n"
			     "--b\r\nContent-Transfer-Encoding: nonsense\r\n\r\nx\r\n");
	assert_fact(play, "message.flaw", "unclosed, bad-encoding");
	play->content =
		SPAN("Content-Disposition: attachment; filename=a; filename=b\r\n\r\nx\r\n");
	assert_fact(play, "message.flaw", "ambiguous");
	for (unsigned depth = 0; depth < 12; depth++)
		assert_true(buffer_print(&nested,
			"Content-Type: multipart/mixed; boundary=%c\r\n"
			"\r\n--%c\r\n",
			'a' + (int)depth, 'a' + (int)depth));
	play->content = buffer_span(&nested);
	assert_fact(play, "message.flaw", "too-deep, unclosed");
	buffer_free(&nested);
	play->content = SPAN("Content-Type: multipart/mixed; boundary=b\r\n\r\n"
			     "--b\r\n\r\nhttp://example.com/\r\n--b--\r\n");
	assert_fact(play, "message.flaw", "none");
}

/* 501 links, of which nobody but the flaw speaks. */
static void test_flaw_of_links(void **state)
{
	struct buffer text = BUFFER_INIT(64 * 1024);

	(void)state;
	assert_true(buffer_print(&text, "Subject: x\r\n\r\n"));
	for (unsigned i = 0; i < 501; i++)
		assert_true(buffer_print(&text, "http://h%u.example/\r\n", i));
	play->content = buffer_span(&text);
	assert_fact(play, "message.flaw", "too-many-urls");
	buffer_free(&text);
}

/* Its help lists them all. */
static void test_flaw_names(void **state)
{
	const struct fact *fact =
		fact_find(filter_set_registry(play->set), SPAN("message.flaw"), NULL);
	unsigned n = 0;

	(void)state;
	assert_non_null(fact);
	for (; mime_flaw_name((enum mime_flaw)(1U << n)); n++)
		assert_non_null(strstr(fact->help, mime_flaw_name((enum mime_flaw)(1U << n))));
	assert_int_equal(1U << (n - 1), MIME_BAD_TYPE);
}

static void test_early_talker(void **state)
{
	(void)state;
	assert_null(filter_play_configure(play, "greeting", "wait 50ms"));
	assert_fact(play, "client.early_talker", "no");
	play->view.talked = true;
	assert_fact(play, "client.early_talker", "yes");
	play->view.talked = false;
	filter_play_abandon(play, "client.early_talker");
	filter_play_free(&play);
	play = filter_play_new(NULL);
	assert_null(filter_play_configure(play, "greeting", "wait 9s"));
	play->timeout_ms = 1000;
	play->view.greeted = true; /* no use in waiting */
	assert_fact(play, "client.early_talker", "no");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_client),
		CASE(test_time),
		CASE(test_helo),
		CASE(test_helo_rest),
		CASE(test_tls),
		CASE(test_mail),
		CASE(test_domains_are_in_ascii),
		CASE(test_rcpt),
		CASE(test_headers),
		CASE(test_headers_odd),
		CASE(test_size),
		CASE(test_content),
		CASE(test_flaws),
		CASE(test_flaw_of_links),
		CASE(test_flaw_names),
		CASE(test_early_talker),
	};

	return cmocka_run_group_tests_name("filters/session", tests, NULL, NULL);
}

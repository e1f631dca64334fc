/*
 * Command lines: each with what it means, or with the reply that its mistake earns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/mail/command.h"

#define TEN        "aaaaaaaaaa"
#define HUNDRED    TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define PLUS_TWICE "+2B+2B"

static void assert_span(struct span got, const char *expected)
{
	if (got.len != strlen(expected) || memcmp(got.at, expected, got.len) != 0)
		fail_msg("'%.*s' instead of '%s'", SPAN_ARGS(got), expected);
}

static void assert_refused(
	const char *line, bool taken, const struct reply *why, uint16_t code, const char *enhanced)
{
	if (taken)
		fail_msg("%s: taken", line);
	if (why->code != code || strcmp(why->enhanced, enhanced) != 0)
		fail_msg("%s: %u %s %.*s", line, why->code, why->enhanced, SPAN_ARGS(why->text));
	assert_true(why->text.len > 0);
}

static void test_verbs(void **state)
{
	static const struct {
		const char *line;
		enum verb verb;
		const char *argument;
	} cases[] = {
		{"QUIT", VERB_QUIT, ""},
		{"quit", VERB_QUIT, ""},
		{"eHLo mx.example.net", VERB_EHLO, "mx.example.net"},
		{"HELO\tmx", VERB_HELO, "mx"},
		{"NOOP  a  b  ", VERB_NOOP, "a  b"},
		{"MAIL FROM:<>", VERB_MAIL, "FROM:<>"},
		{"STARTTLS", VERB_STARTTLS, ""},
		{"BDAT 3 LAST", VERB_BDAT, "3 LAST"},
		{"XCLIENT ADDR=192.0.2.1", VERB_XCLIENT, "ADDR=192.0.2.1"},
		{"GET / HTTP/1.1", VERB_FOREIGN, "/ HTTP/1.1"},
		{"CONNECT mx:25 HTTP/1.1", VERB_FOREIGN, "mx:25 HTTP/1.1"},
		{"MAILFROM:<>", VERB_UNKNOWN, "FROM"},
		{"", VERB_UNKNOWN, ""},
		{" QUIT", VERB_UNKNOWN, ""},
		{"QUIT\x01", VERB_UNKNOWN, ""},
		{"DAT", VERB_UNKNOWN, ""},
		{"DATAA", VERB_UNKNOWN, ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct command command = command_parse(span_text(cases[i].line));

		if (command.verb != cases[i].verb)
			fail_msg("%s: %s", cases[i].line, verb_name(command.verb));
		if (command.verb != VERB_UNKNOWN)
			assert_span(command.argument, cases[i].argument);
	}
	for (unsigned verb = 0; verb < VERB_COUNT; verb++)
		assert_non_null(verb_name((enum verb)verb));
	assert_string_equal(verb_name(VERB_STARTTLS), "STARTTLS");
	assert_string_equal(verb_name(VERB_FOREIGN), "HTTP");
}

static void test_clean_lines(void **state)
{
	(void)state;
	assert_true(command_line_clean(SPAN("")));
	assert_true(command_line_clean(SPAN("NOOP \t \xc3\xb6 \xff")));
	assert_false(command_line_clean(SPAN("NOOP \0")));
	assert_false(command_line_clean(SPAN("NOOP\r")));
	assert_false(command_line_clean(SPAN("NOOP\n")));
	assert_false(command_line_clean(SPAN("NOOP\x1b[2J")));
	assert_false(command_line_clean(SPAN("NOOP\x7f")));
}

static void test_mail(void **state)
{
	struct mail_command mail;
	struct reply why;

	(void)state;
	assert_true(mail_command_parse(SPAN("FROM:<>"), &mail, &why));
	assert_int_equal(mail.from.mailbox.len, 0);
	assert_int_equal(mail.size, 0);
	assert_int_equal(mail.body, MAIL_BODY_NONE);
	assert_true(mail_command_parse(SPAN("from: \t<a@b>  size=17"), &mail, &why));
	assert_span(mail.from.mailbox, "a@b");
	assert_int_equal(mail.size, 17);
	assert_true(mail_command_parse(SPAN("FROM:<\xc3\xb6@b> BODY=8bitmime SMTPUTF8 RET=HDRS"
					    " ENVID=" PLUS_TWICE "x SIZE=0"),
		&mail, &why));
	assert_int_equal(mail.body, MAIL_BODY_8BITMIME);
	assert_true(mail.smtputf8 && mail.from.utf8);
	assert_int_equal(mail.ret, DSN_RET_HDRS);
	assert_span(mail.envid, PLUS_TWICE "x");
	assert_true(mail_command_parse(SPAN("FROM:<a@b> BODY=7BIT RET=full"), &mail, &why));
	assert_int_equal(mail.body, MAIL_BODY_7BIT);
	assert_int_equal(mail.ret, DSN_RET_FULL);
	/* More than any number here holds is still a size, and past every limit. */
	assert_true(mail_command_parse(SPAN("FROM:<a@b> SIZE=99999999999999999999"), &mail, &why));
	assert_true(mail.size == UINT64_MAX);
	assert_true(mail_command_parse(SPAN("FROM:<a@b> ENVID=" HUNDRED), &mail, &why));
}

static void test_mail_mistakes(void **state)
{
	static const struct {
		const char *argument;
		uint16_t code;
		const char *enhanced;
	} cases[] = {
		{"", 501, "5.5.4"},
		{"FROM", 501, "5.5.4"},
		{"FROM:", 501, "5.5.4"},
		{"FROM: ", 501, "5.5.4"},
		{"TO:<a@b>", 501, "5.5.4"},
		{"FROM :<a@b>", 501, "5.5.4"},
		{"FROM:a@b", 501, "5.1.7"},
		{"FROM: a@b SIZE=1", 501, "5.1.7"},
		{"FROM:<a@b", 501, "5.1.7"},
		{"FROM:<a>", 501, "5.1.7"},
		{"FROM:<postmaster>", 501, "5.1.7"},
		{"FROM:<" HUNDRED "@b>", 501, "5.1.7"},
		{"FROM:<\xff@b> SMTPUTF8", 501, "5.1.7"},
		{"FROM:<\xc3\xb6@b>", 553, "5.6.7"},
		{"FROM:<a@b>SIZE=1", 501, "5.5.4"},
		{"FROM:<a@b> SIZE", 501, "5.5.4"},
		{"FROM:<a@b> SIZE=", 501, "5.5.4"},
		{"FROM:<a@b> SIZE=-1", 501, "5.5.4"},
		{"FROM:<a@b> SIZE=1k", 501, "5.5.4"},
		{"FROM:<a@b> SIZE=100000000000000000000", 501, "5.5.4"},
		{"FROM:<a@b> SIZE=1 SIZE=1", 501, "5.5.4"},
		{"FROM:<a@b> BODY=BINARYMIME", 501, "5.5.4"},
		{"FROM:<a@b> BODY", 501, "5.5.4"},
		{"FROM:<a@b> SMTPUTF8=yes", 501, "5.5.4"},
		{"FROM:<a@b> RET=ALL", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=a+2", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=a+", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=a+zz", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=a=b", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=a+0D+0Ab", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=a+FF", 501, "5.5.4"},
		{"FROM:<a@b> ENVID=" HUNDRED "a", 501, "5.5.4"},
		{"FROM:<a@b> AUTH=<>", 555, "5.5.4"},
		{"FROM:<a@b> =", 555, "5.5.4"},
		{"FROM:<a@b> junk", 555, "5.5.4"},
		{"FROM:<a@b> NOTIFY=NEVER", 555, "5.5.4"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct mail_command mail;
		struct reply why = {.code = 0};
		bool taken = mail_command_parse(span_text(cases[i].argument), &mail, &why);

		assert_refused(cases[i].argument, taken, &why, cases[i].code, cases[i].enhanced);
	}
}

static void test_rcpt(void **state)
{
	struct rcpt_command rcpt;
	struct reply why;

	(void)state;
	assert_true(rcpt_command_parse(SPAN("TO:<a@b>"), false, &rcpt, &why));
	assert_span(rcpt.to.mailbox, "a@b");
	assert_int_equal(rcpt.notify.len, 0);
	assert_true(rcpt_command_parse(SPAN("to: <Postmaster>"), false, &rcpt, &why));
	assert_int_equal(rcpt.to.domain.len, 0);
	assert_true(rcpt_command_parse(
		SPAN("TO:<@x:a@b> NOTIFY=success,DELAY ORCPT=rfc822;a+2Bc@b"), false, &rcpt, &why));
	assert_span(rcpt.to.mailbox, "a@b");
	assert_span(rcpt.notify, "success,DELAY");
	assert_span(rcpt.orcpt, "rfc822;a+2Bc@b");
	assert_true(rcpt_command_parse(SPAN("TO:<a@b> NOTIFY=NEVER"), false, &rcpt, &why));
	assert_true(rcpt_command_parse(
		SPAN("TO:<\xc3\xb6@b> ORCPT=utf-8;\xc3\xb6@b"), true, &rcpt, &why));
	assert_true(rcpt_command_parse(SPAN("TO:<a@b> ORCPT=utf-8;\\x{F6}@b"), false, &rcpt, &why));
}

static void test_rcpt_mistakes(void **state)
{
	static const struct {
		const char *argument;
		uint16_t code;
		const char *enhanced;
	} cases[] = {
		{"", 501, "5.5.4"},
		{"FROM:<a@b>", 501, "5.5.4"},
		{"TO:a@b", 501, "5.1.3"},
		{"TO:<>", 501, "5.1.3"},
		{"TO:<a b@c>", 501, "5.1.3"},
		{"TO:<a@" HUNDRED HUNDRED HUNDRED ">", 501, "5.1.3"},
		{"TO:<\xc3\xb6@b>", 553, "5.6.7"},
		{"TO:<a@b>,<c@d>", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=ALWAYS", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=NEVER,DELAY", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=DELAY,", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=DELAY,DELAY", 501, "5.5.4"},
		{"TO:<a@b> NOTIFY=NEVER NOTIFY=NEVER", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=a@b", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=;a@b", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=rfc822;", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=rfc 822;a", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=rf\"c;a", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=rfc822;a+0A", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=utf-8;\xc3\xb6", 501, "5.5.4"},
		{"TO:<a@b> ORCPT=rfc822;" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED "a", 501,
			"5.5.4"},
		{"TO:<a@b> SIZE=1", 555, "5.5.4"},
	};
	struct rcpt_command rcpt;
	struct reply why;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		bool taken = rcpt_command_parse(span_text(cases[i].argument), false, &rcpt, &why);

		assert_refused(cases[i].argument, taken, &why, cases[i].code, cases[i].enhanced);
	}
	assert_false(rcpt_command_parse(SPAN("TO:<a@b> ORCPT=utf-8;\xff"), true, &rcpt, &why));
}

static void test_bdat(void **state)
{
	static const char *const bad[] = {"", "LAST", "-1", "1x", "1 FIRST", "1 LAST x", "0x10",
		"4611686018427387905", "99999999999999999999999"};
	struct reply why;
	uint64_t size;
	bool last;

	(void)state;
	assert_true(bdat_command_parse(SPAN("0"), &size, &last, &why));
	assert_true(size == 0 && !last);
	assert_true(bdat_command_parse(SPAN("86  last"), &size, &last, &why));
	assert_true(size == 86 && last);
	assert_true(bdat_command_parse(SPAN("4611686018427387904"), &size, &last, &why));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_refused(bad[i], bdat_command_parse(span_text(bad[i]), &size, &last, &why),
			&why, 501, "5.5.4");
}

/* --- XCLIENT and xtext --- */

static void test_xclient(void **state)
{
	struct xclient_command x;
	struct reply why;
	char ip[IP_TEXT_SIZE];

	(void)state;
	assert_true(xclient_command_parse(
		SPAN("NAME=mx.example.net ADDR=192.0.2.1 port=4711 PROTO=ESMTP HELO=a+20b "
		     "LOGIN=me DESTADDR=IPV6:2001:db8::1 DESTPORT=25"),
		&x, &why));
	assert_span(x.name, "mx.example.net");
	assert_string_equal(ip_format(&x.addr, ip), "192.0.2.1");
	assert_int_equal(x.port, 4711);
	assert_true(x.esmtp);
	assert_span(x.helo, "a b");
	assert_span(x.login, "me");
	assert_string_equal(ip_format(&x.destaddr, ip), "2001:db8::1");
	assert_int_equal(x.destport, 25);
	assert_true(xclient_command_parse(
		SPAN("NAME=[UNAVAILABLE] ADDR=[TEMPUNAVAIL] HELO=[unavailable]"), &x, &why));
	assert_true(x.has_name && x.has_addr && x.has_helo);
	assert_false(x.has_port || x.has_proto || x.has_login || x.has_destaddr || x.has_destport);
	assert_int_equal(x.name.len, 0);
	assert_int_equal(x.addr.family, IP_NONE);
	assert_true(xclient_command_parse(SPAN("ADDR=IPV6:::ffff:192.0.2.1"), &x, &why));
	assert_string_equal(ip_format(&x.addr, ip), "192.0.2.1");
}

static void test_xclient_mistakes(void **state)
{
	static const char *const bad[] = {"", "ADDR", "ADDR=", "=x", "FOO=bar", "ADDR=x",
		"ADDR=IPV6:192.0.2.1", "ADDR=192.0.2.1 ADDR=192.0.2.1", "PORT=65536", "PORT=x",
		"PROTO=HTTP", "HELO=a+0D+0Ab", "HELO=a+0", "HELO=a=b", "NAME=a b", "NAME=-x-",
		"LOGIN=+00", "HELO=" HUNDRED HUNDRED HUNDRED};
	struct xclient_command x;
	struct reply why;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_refused(bad[i], xclient_command_parse(span_text(bad[i]), &x, &why), &why,
			501, "5.5.4");
}

static void test_xtext(void **state)
{
	struct buffer out = BUFFER_INIT(3 * 256);
	char all[256], decoded[3 * 256];
	size_t len;

	(void)state;
	for (unsigned i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	assert_true(xtext_encode(span_make(all, sizeof(all)), &out));
	assert_true(text_printable(buffer_span(&out)));
	assert_int_equal(span_find_char(buffer_span(&out), ' '), out.len);
	assert_int_equal(span_find_char(buffer_span(&out), '='), out.len);
	assert_true(xtext_decode(buffer_span(&out), decoded, &len));
	assert_int_equal(len, sizeof(all));
	assert_memory_equal(decoded, all, len);
	buffer_clear(&out);
	assert_true(xtext_encode(SPAN("a+b=c d"), &out));
	assert_span(buffer_span(&out), "a+2Bb+3Dc+20d");
	buffer_free(&out);
	assert_true(xtext_decode(SPAN("+2b"), decoded, &len));
	assert_int_equal(decoded[0], '+');
	assert_false(xtext_decode(SPAN("a b"), decoded, &len));
	assert_false(xtext_decode(SPAN("a="), decoded, &len));
	assert_false(xtext_decode(SPAN("+"), decoded, &len));
	assert_false(xtext_decode(SPAN("+4"), decoded, &len));
	assert_false(xtext_decode(SPAN("+G0"), decoded, &len));
	assert_false(xtext_decode(SPAN("\x80"), decoded, &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_clean_lines),
		cmocka_unit_test(test_mail),
		cmocka_unit_test(test_mail_mistakes),
		cmocka_unit_test(test_rcpt),
		cmocka_unit_test(test_rcpt_mistakes),
		cmocka_unit_test(test_bdat),
		cmocka_unit_test(test_xclient),
		cmocka_unit_test(test_xclient_mistakes),
		cmocka_unit_test(test_xtext),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

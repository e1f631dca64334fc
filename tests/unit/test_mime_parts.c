/*
 * The walk through a message: which parts there are, and what the attachments are called.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/mime_print.h"

static void expect_limited(const struct mime_limits *limits, struct span message, unsigned wanted,
	const char *expected)
{
	struct buffer out = BUFFER_INIT(1 << 20);

	mime_walk(message, limits, wanted, &out);
	if (strcmp(buffer_string(&out), expected) != 0)
		fail_msg("%.*s\n--- gave ---\n%s--- instead of ---\n%s",
			SPAN_ARGS(span_first(message, 300)), buffer_string(&out), expected);
	buffer_free(&out);
}

static void expect(const char *message, const char *expected)
{
	expect_limited(
		&MIME_LIMITS_DEFAULT, span_text(message), MIME_ATTACHMENTS | MIME_TEXT, expected);
}

/* A message of one part with these fields; the content is 3 bytes. */
static void expect_fields(const char *fields, const char *expected)
{
	char message[8192];

	snprintf(message, sizeof(message), "From: a@example.com\r\n%s\r\nabc", fields);
	expect_limited(&MIME_LIMITS_DEFAULT, span_text(message), MIME_ATTACHMENTS, expected);
}

#define TYPE       "Content-Type: application/octet-stream"
#define ATTACHMENT "Content-Disposition: attachment"

static void test_what_is_an_attachment(void **state)
{
	(void)state;
	expect_fields("", "");
	expect_fields("Content-Type: text/plain\r\n", "");
	expect_fields("Content-Type: text/plain; name=a.txt\r\n",
		"attachment: a.txt(txt) text/plain 3\n");
	expect_fields("Content-Type: text/html\r\n" ATTACHMENT "\r\n", "attachment: text/html 3\n");
	expect_fields("Content-Type: text/html\r\nContent-Disposition: inline\r\n", "");
	expect_fields(TYPE "\r\n", "attachment: application/octet-stream 3\n");
	expect_fields("Content-Type: image/png\r\nContent-Disposition: inline\r\n",
		"attachment: image/png 3\n");
	expect_fields("Content-Type: message/delivery-status\r\n", "");
	expect_fields("Content-Type: message/partial; id=x; number=1\r\n",
		"attachment: message/partial 3\n");
	/* Nothing but a header section. */
	expect("Content-Type: application/pdf; name=a.pdf\r\n",
		"attachment: a.pdf(pdf) application/pdf 0\n");
	expect("Content-Type: application/pdf; name=a.pdf\r\n\r\n",
		"attachment: a.pdf(pdf) application/pdf 0\n");
	expect("", "");
}

static void test_names(void **state)
{
	(void)state;
	expect_fields(ATTACHMENT "; filename=a.exe\r\n", "attachment: a.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT ";\r\n\tFileName = \"A.EXE\"\r\n",
		"attachment: A.EXE(exe) text/plain 3\n");
	expect_fields(
		TYPE "; name=\"b.scr\"\r\n", "attachment: b.scr(scr) application/octet-stream 3\n");
	/* RFC 2231. */
	expect_fields(ATTACHMENT "; filename*=utf-8''%61%2eexe\r\n",
		"attachment: a.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename*=iso-8859-1'en'%E4.exe\r\n",
		"attachment: \xC3\xA4.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename*=a.exe\r\n", "attachment: a.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename*0=\"a.\"; filename*1=e; filename*2=xe\r\n",
		"attachment: a.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename*2=xe; filename*0*=utf-8''a%2; filename*1*=ee\r\n",
		"attachment: a.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename*1*=%65xe; filename*0*=utf-8''%C3%A4%2e\r\n",
		"attachment: \xC3\xA4.exe(exe) text/plain 3\n");
	/* One is missing: some readers stop there. */
	expect_fields(ATTACHMENT "; filename*0=\"a.exe\"; filename*2=\".txt\"\r\n",
		"attachment: a.exe.txt(txt)/a.exe(exe) text/plain 3\nflaw: ambiguous\n");
	expect_fields(ATTACHMENT "; filename*0*=utf-8''a%2eexe; filename*2*=%2etxt\r\n",
		"attachment: a.exe.txt(txt)/a.exe(exe) text/plain 3\nflaw: ambiguous\n");
	/* A character cut by the continuation. */
	expect_fields(ATTACHMENT "; filename*0*=utf-8''%C3; filename*1*=%A4.exe\r\n",
		"attachment: \xC3\xA4.exe(exe) text/plain 3\n");
	/* Encoded words, which do not belong here and are everywhere. */
	expect_fields(ATTACHMENT "; filename=\"=?utf-8?B?YS5leGU=?=\"\r\n",
		"attachment: a.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename==?utf-8?Q?a=2Eexe?=\r\n",
		"attachment: a.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename=\"=?utf-8?Q?a?=\r\n =?utf-8?Q?=2Eexe?=\"\r\n",
		"attachment: a.exe(exe) text/plain 3\n");
	/* Raw bytes, UTF-8 and not. */
	expect_fields(ATTACHMENT "; filename=\"\xC3\xA4.exe\"\r\n",
		"attachment: \xC3\xA4.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename=\"\xE4.exe\"\r\n",
		"attachment: \xC3\xA4.exe(exe) text/plain 3\n");
	/* Blanks in a bare value. */
	expect_fields(ATTACHMENT "; filename=my file.exe\r\n",
		"attachment: my file.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename=\"a\\\"b.exe\"\r\n",
		"attachment: a\"b.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename=\"\"\r\n", "attachment: text/plain 3\n");
}

static void test_names_disguised(void **state)
{
	(void)state;
	/* Windows drops dots and blanks at the end. */
	expect_fields(
		ATTACHMENT "; filename=\"a.exe. . \"\r\n", "attachment: a.exe(exe) text/plain 3\n");
	/* A folder, or what the standard makes of a backslash: then it is another name, but no
	 * flaw. */
	expect_fields(ATTACHMENT "; filename=\"C:\\temp\\a.exe\"\r\n",
		"attachment: a.exe(exe)/C:tempa.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename=\"a.\\e\\x\\e\"\r\n",
		"attachment: e()/a.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename=\"../../a.exe\"\r\n",
		"attachment: a.exe(exe) text/plain 3\n");
	expect_fields(
		ATTACHMENT "; filename=\"a.exe/\"\r\n", "attachment: a.exe(exe) text/plain 3\n");
	/* Right to left override, zero width space, soft hyphen. */
	expect_fields(ATTACHMENT "; filename=\"cod\xE2\x80\xAEtxt.e\xE2\x80\x8Bx\xC2\xAD"
				 "e\"\r\n",
		"attachment: codtxt.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename*=utf-8''a.exe%00.txt\r\n",
		"attachment: a.exe .txt(txt)/a.exe(exe) text/plain 3\nflaw: ambiguous\n");
	expect_fields(ATTACHMENT "; filename*=utf-8''a.exe%0D%0AX:\r\n",
		"attachment: a.exe  X:(exe  x:) text/plain 3\n");
}

/* One reader takes this, another that: both are told. */
static void test_names_that_differ(void **state)
{
	(void)state;
	expect_fields(ATTACHMENT "; filename=\"a.txt\"; filename*=utf-8''b.exe\r\n",
		"attachment: b.exe(exe)/a.txt(txt) text/plain 3\nflaw: ambiguous\n");
	expect_fields(ATTACHMENT "; filename=a.txt; filename=b.exe\r\n",
		"attachment: a.txt(txt)/b.exe(exe) text/plain 3\nflaw: ambiguous\n");
	expect_fields(TYPE "; name=b.exe\r\n" ATTACHMENT "; filename=a.txt\r\n",
		"attachment: a.txt(txt)/b.exe(exe) application/octet-stream 3\nflaw: ambiguous\n");
	expect_fields(TYPE "; name=a.txt\r\n" ATTACHMENT "; filename=a.txt\r\n",
		"attachment: a.txt(txt) application/octet-stream 3\n");
	expect_fields(ATTACHMENT "; filename=\"a.txt\".exe\r\n",
		"attachment: a.txt(txt)/a.txt.exe(exe) text/plain 3\nflaw: ambiguous\n");
	expect_fields(ATTACHMENT "; filename=a.exe (b)\r\n",
		"attachment: a.exe (b)(exe (b))/a.exe(exe) text/plain 3\nflaw: ambiguous\n");
	expect_fields(ATTACHMENT "; filename=a.txt\r\n" ATTACHMENT "; filename=b.exe\r\n",
		"attachment: a.txt(txt)/b.exe(exe) text/plain 3\nflaw: ambiguous\n");
	expect_fields("Content-Type: text/plain\r\n" TYPE "; name=b.exe\r\n",
		"attachment: b.exe(exe) text/plain 3\nflaw: ambiguous\n");
}

/* Nothing malformed hides the name behind it. */
static void test_names_behind_mistakes(void **state)
{
	static const char *const fields[] = {
		ATTACHMENT "; foo; filename=a.exe\r\n",
		ATTACHMENT "; foo=; filename=a.exe\r\n",
		ATTACHMENT "; @=1; filename=a.exe\r\n",
		ATTACHMENT ";;; filename=a.exe;;\r\n",
		ATTACHMENT "; (c) filename=a.exe\r\n",
		ATTACHMENT "; x=\"y;z\"; filename=a.exe\r\n",
		ATTACHMENT " filename=a.exe\r\n",
		"Content-Disposition: ; filename=a.exe\r\n",
		"Content-Disposition: filename=a.exe\r\n",
		"Content-Disposition:\r\n filename=a.exe\r\n",
		"Content-Disposition : attachment; filename=a.exe\r\n",
		"CONTENT-DISPOSITION:attachment;filename=a.exe\r\n",
		"Content-Type: text/plain; name=a.exe\r\n",
		"no colon here\r\n" ATTACHMENT "; filename=a.exe\r\n",
		ATTACHMENT "; filename*=x-unknown''a.exe\r\n",
		ATTACHMENT "; filename=\"=?x-unknown?Q?a=2Eexe?=\"\r\n",
		ATTACHMENT "; filename**=a.exe\r\n",
		ATTACHMENT "; filename*x=a.exe\r\n",
		ATTACHMENT "; filename*7=a.exe\r\n",
		ATTACHMENT "\r\n (x;y); filename=a.exe\r\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(fields); i++)
		expect_fields(fields[i], "attachment: a.exe(exe) text/plain 3\n");
	expect_fields(ATTACHMENT "; filename=\"a.exe\r\n",
		"attachment: a.exe(exe) text/plain 3\nflaw: ambiguous\n");
	expect_fields(ATTACHMENT "; filename=\"a.exe; size=3\r\n",
		"attachment: a.exe(exe) text/plain 3\nflaw: ambiguous\n");
	expect_fields("Content-Type: nonsense; name=a.exe\r\n",
		"attachment: a.exe(exe) text/plain 3\nflaw: bad-type\n");
	expect_fields("Content-Type: /exe\r\n", "flaw: bad-type\n");
	expect_fields("Content-Type:\r\n", "flaw: bad-type\n");
}

#define MIXED "Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n"
#define EXE   TYPE "; name=a.exe\r\n\r\nabc"

static void test_multiparts(void **state)
{
	(void)state;
	expect(MIXED "--b\r\n\r\nhello\r\n--b\r\n" EXE "\r\n--b--\r\nepilogue\r\n",
		"attachment: a.exe(exe) application/octet-stream 3\nbody: hello\n");
	/* Blanks behind the boundary; no line end behind the last. */
	expect(MIXED "--b \t \r\n" EXE "\r\n--b-- ",
		"attachment: a.exe(exe) application/octet-stream 3\n");
	/* The line end before a boundary is its own, all others are content. */
	expect(MIXED "--b\r\n" TYPE "\r\n\r\na\r\n\r\n\r\n--b--",
		"attachment: application/octet-stream 5\n");
	expect(MIXED "--b\r\n" TYPE "\r\n\r\n\r\n--b--",
		"attachment: application/octet-stream 0\n");
	expect(MIXED "--b\r\n" TYPE "\r\n\r\n--b--", "attachment: application/octet-stream 0\n");
	/* Unclosed. */
	expect(MIXED "--b\r\n" EXE "\r\n",
		"attachment: a.exe(exe) application/octet-stream 5\nflaw: unclosed\n");
	expect(MIXED "--b\r\n" EXE,
		"attachment: a.exe(exe) application/octet-stream 3\nflaw: unclosed\n");
	/* Going on behind the last boundary. */
	expect(MIXED "--b--\r\n--b\r\n" EXE "\r\n--b--",
		"attachment: a.exe(exe) application/octet-stream 3\nflaw: unclosed\n");
	/* A header section without its end. */
	expect(MIXED "--b\r\n" TYPE "; name=a.exe\r\n--b\r\n\r\nx\r\n--b--",
		"attachment: a.exe(exe) application/octet-stream 0\nbody: x\n");
	/* Bare line ends (a walk does not rely on what DATA lets through). */
	expect("Content-Type: multipart/mixed; boundary=b\n\n--b\n" TYPE "\n\nabc\n--b--\n",
		"attachment: application/octet-stream 3\n");
	expect(MIXED "--b\r\n" TYPE "\r\n\r\n-\r\n-a\r\n--\r\n--c\r\n-b\r\n --b\r\n--b--",
		"attachment: application/octet-stream 24\n");
}

static void test_boundaries(void **state)
{
	static const char *const types[][2] = {
		{"boundary=\"b c\"", "b c"},
		{"boundary=\"b\\\"c\"", "b\"c"},
		{"boundary=b=c", "b=c"},
		{"BOUNDARY = b ", "b"},
		{"charset=x; boundary=\"=_b:?'()+,-./=?\"", "=_b:?'()+,-./=?"},
		{"boundary*0=b; boundary*1=c", "bc"},
		{"boundary*=us-ascii''b%20c", "b c"},
		{"boundary=\"=?utf-8?Q?b?=\"", "=?utf-8?Q?b?="},
		{"boundary=\xE4", "\xE4"},
		{"boundary=\"b  \"", "b"},
		{"boundary=0123456789012345678901234567890123456789012345678901234567890123456789"
		 "01234567890123456789",
			"0123456789012345678901234567890123456789012345678901234567890123456789"
			"01234567890123456789"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		char message[1024];

		snprintf(message, sizeof(message),
			"Content-Type: multipart/mixed; %s\r\n\r\n--%s\r\n" EXE "\r\n--%s--\r\n",
			types[i][0], types[i][1], types[i][1]);
		expect(message, "attachment: a.exe(exe) application/octet-stream 3\n");
	}
	/* Missing, empty, twice. */
	expect("Content-Type: multipart/mixed\r\n\r\n--x\r\n" EXE "\r\n--x--\r\n",
		"attachment: a.exe(exe) application/octet-stream 3\nflaw: bad-boundary\n");
	expect("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n" EXE "\r\n----\r\n",
		"attachment: a.exe(exe) application/octet-stream 3\nflaw: bad-boundary\n");
	expect("Content-Type: multipart/mixed; boundary=b; boundary=c\r\n\r\n--b\r\n" EXE
	       "\r\n--b--\r\n",
		"attachment: a.exe(exe) application/octet-stream 3\nflaw: ambiguous\n");
	/* A line that merely begins as one. */
	expect(MIXED "--b\r\n" TYPE "\r\n\r\na\r\n--bc\r\n--b--",
		"attachment: application/octet-stream 7\nflaw: bad-boundary\n");
}

static void test_nesting(void **state)
{
	(void)state;
	/* Of two boundaries of which one begins the other, each line names one. */
	expect(MIXED "--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n" EXE
		     "\r\n--bb--\r\n--b\r\n" EXE "\r\n--b--",
		"attachment: a.exe(exe) application/octet-stream 3\n"
		"attachment: a.exe(exe) application/octet-stream 3\n");
	/* The outer boundary ends the inner multipart. */
	expect(MIXED "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n" EXE
		     "\r\n--b\r\n" EXE "\r\n--b--",
		"attachment: a.exe(exe) application/octet-stream 3\n"
		"attachment: a.exe(exe) application/octet-stream 3\nflaw: unclosed\n");
	/* A message in the message. */
	expect(MIXED "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n" EXE "\r\n--b--",
		"attachment: a.exe(exe) application/octet-stream 3\n");
	expect(MIXED "--b\r\nContent-Type: message/rfc822; name=m.eml\r\n\r\nSubject: x\r\n" EXE
		     "\r\n--b--",
		"attachment: m.eml(eml) message/rfc822 0\n"
		"attachment: a.exe(exe) application/octet-stream 3\n");
	expect("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n" EXE "\r\n--b--",
		"attachment: a.exe(exe) application/octet-stream 3\n");
	/* Encoded, which is forbidden: not looked into, but told. */
	expect("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\n",
		"flaw: bad-encoding\n");
	expect("Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n"
	       "\r\nYWJj\r\n",
		"attachment: multipart/mixed 3\nflaw: bad-encoding\n");
}

static void test_limits(void **state)
{
	struct buffer message = BUFFER_INIT(1 << 20);
	struct mime_limits limits = MIME_LIMITS_DEFAULT;
	char expected[200];

	(void)state;
	/* Each level opens the next. */
	for (int i = 0; i < 100; i++)
		assert_true(buffer_print(&message,
			"Content-Type: multipart/mixed; boundary=b%02d\r\n\r\n--b%02d\r\n", i, i));
	limits.depth = 3;
	snprintf(expected, sizeof(expected),
		"attachment: multipart/mixed %zu\nflaw: too-deep\nflaw: unclosed\n",
		message.len -
			strlen("Content-Type: multipart/mixed; boundary=b00\r\n\r\n--b00\r\n") * 2 -
			strlen("Content-Type: multipart/mixed; boundary=b00\r\n\r\n"));
	expect_limited(&limits, buffer_span(&message), MIME_ATTACHMENTS, expected);
	buffer_clear(&message);
	/* Messages in messages. */
	for (int i = 0; i < 100; i++)
		assert_true(buffer_print(&message, "Content-Type: message/rfc822\r\n\r\n"));
	expect_limited(&limits, buffer_span(&message), MIME_ATTACHMENTS, "flaw: too-deep\n");
	buffer_clear(&message);
	/* Many parts. */
	assert_true(buffer_add_text(&message, MIXED));
	for (int i = 0; i < 10; i++)
		assert_true(buffer_print(&message, "--b\r\n" EXE "\r\n"));
	limits.parts = 3;
	expect_limited(&limits, buffer_span(&message), MIME_ATTACHMENTS,
		"attachment: a.exe(exe) application/octet-stream 3\n"
		"attachment: a.exe(exe) application/octet-stream 3\n"
		"flaw: too-many-parts\nflaw: unclosed\n");
	buffer_clear(&message);
	/* A long header section. */
	limits.header_bytes = 100;
	assert_true(buffer_add_text(&message, "X-Long: "));
	for (int i = 0; i < 100; i++)
		assert_true(buffer_add_text(&message, "\r\n 0123456789"));
	assert_true(buffer_add_text(&message, "\r\n" TYPE "\r\nContent-Id: "));
	expect_limited(&limits, buffer_span(&message), MIME_ATTACHMENTS,
		"attachment: application/octet-stream 0\n");
	for (int i = 0; i < 100; i++)
		assert_true(buffer_add_text(&message, "\r\n 0123456789"));
	expect_limited(&limits, buffer_span(&message), MIME_ATTACHMENTS,
		"attachment: application/octet-stream 0\nflaw: header-cut\n");
	buffer_clear(&message);
	/* A long name keeps its extension. */
	limits = MIME_LIMITS_DEFAULT;
	limits.name_bytes = 4;
	expect_limited(&limits,
		SPAN(ATTACHMENT "; filename=abc\xC3\xA4"
				"def.exe\r\n\r\n"),
		MIME_ATTACHMENTS, "attachment: abc(exe) text/plain 0\n");
	buffer_free(&message);
}

static void expect_encoded(const char *encoding, const char *content, const char *expected)
{
	char message[4096];

	snprintf(message, sizeof(message),
		"Content-Type: application/x-test\r\nContent-Transfer-Encoding: %s\r\n\r\n%s",
		encoding, content);
	expect(message, expected);
}

static void test_sizes(void **state)
{
	(void)state;
	expect_encoded("base64", "YWJj", "attachment: application/x-test 3\n");
	expect_encoded("BASE64 (x)", "YWJj\r\nYW==\r\n", "attachment: application/x-test 4\n");
	expect_encoded("base64", "YW", "attachment: application/x-test 1\n");
	expect_encoded("base64", "Y W\t%J\x80j!", "attachment: application/x-test 3\n");
	expect_encoded("base64", "YQ==YQ==", "attachment: application/x-test 2\n");
	expect_encoded("base64", "====", "attachment: application/x-test 0\n");
	expect_encoded("quoted-printable",
		"a=20b=\r\nc= \t\r\nd=zz=", "attachment: application/x-test 8\n");
	expect_encoded("x-uuencode", "x\r\nbegin 644 a\r\n#86)C\r\n`\r\nend\r\n",
		"attachment: application/x-test 3\n");
	expect_encoded("8bit", "abc", "attachment: application/x-test 3\n");
	expect_encoded("nonsense", "abc", "attachment: application/x-test 3\nflaw: bad-encoding\n");
}

/* What is not wanted is not told. */
static void test_wanted(void **state)
{
	struct span message = SPAN(MIXED "--b\r\n\r\nhello http://example.com/\r\n--b\r\n" EXE);

	(void)state;
	expect_limited(&MIME_LIMITS_DEFAULT, message, 0, "flaw: unclosed\n");
	expect_limited(&MIME_LIMITS_DEFAULT, message, MIME_ATTACHMENTS,
		"attachment: a.exe(exe) application/octet-stream 3\nflaw: unclosed\n");
	expect_limited(&MIME_LIMITS_DEFAULT, message, MIME_TEXT,
		"body: hello http://example.com/\nflaw: unclosed\n");
	expect_limited(&MIME_LIMITS_DEFAULT, message, MIME_URLS,
		"url: http://example.com/ example.com\nflaw: unclosed\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_an_attachment),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_disguised),
		cmocka_unit_test(test_names_that_differ),
		cmocka_unit_test(test_names_behind_mistakes),
		cmocka_unit_test(test_multiparts),
		cmocka_unit_test(test_boundaries),
		cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

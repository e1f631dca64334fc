/*
 * What a message's text parts give: the body and the addresses in it; and which attachments are
 * encrypted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "tests/unit/mime_print.h"

static void expect_limited(
	const struct mime_limits *limits, struct span message, const char *expected)
{
	struct buffer out = BUFFER_INIT(4 << 20);

	mime_walk(message, limits, MIME_ATTACHMENTS | MIME_TEXT | MIME_URLS, &out);
	if (strcmp(buffer_string(&out), expected) != 0)
		fail_msg("%.*s\n--- gave ---\n%.300s--- instead of ---\n%.300s",
			SPAN_ARGS(span_first(message, 300)), buffer_string(&out), expected);
	buffer_free(&out);
}

static void expect(const char *message, const char *expected)
{
	expect_limited(&MIME_LIMITS_DEFAULT, span_text(message), expected);
}

#define HTML "Content-Type: text/html\r\n\r\n"

static void test_bodies(void **state)
{
	(void)state;
	expect("Subject: x\r\n\r\nhello\r\n", "body: hello\n\n");
	expect("\r\nhello", "body: hello\n");
	expect("\r\na\tb\x01"
	       "c\r\nd",
		"body: a\tb c\nd\n");
	expect("Content-Type: text/plain; charset=koi8-r\r\n\r\n\xC1", "body: \xD0\xB0\n");
	expect("Content-Type: text/plain; charset=\"windows-1251\"\r\n\r\n\xE0",
		"body: \xD0\xB0\n");
	expect("Content-Type: text/plain; charset=nonsense\r\n\r\n\xE4", "body: \xC3\xA4\n");
	expect("Content-Type: text/plain; charset=utf-8\r\n\r\na\xFF", "body: a\xEF\xBF\xBD\n");
	expect("Content-Type: text/plain; charset=gb18030\r\nContent-Transfer-Encoding: base64\r\n"
	       "\r\n1tC5+g==",
		"body: \xE4\xB8\xAD\xE5\x9B\xBD\n");
	expect("Content-Type: text/plain; charset=utf-8\r\n"
	       "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=\r\n=A4=3D=",
		"body: \xC3\xA4=\n");
	expect(HTML "<p>a<b>b</b></p>c", "body: ab\nc\n");
	expect("Content-Type: text/html\r\n\r\n<meta charset=koi8-r>\xC1", "body: \xD0\xB0\n");
	/* Parts one behind another; what is attached is no text of the message. */
	expect("Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\none\r\n"
	       "--b\r\n" HTML "<p>two\r\n--b\r\nContent-Disposition: attachment\r\n\r\n"
	       "three http://example.com\r\n--b--\r\n",
		"attachment: text/plain 24\nurl: http://example.com example.com\n"
		"body: one\ntwo\n");
}

static void test_urls(void **state)
{
	(void)state;
	expect("\r\nhttp://a.example/1 http://A.example/1 http://a.example/2 www.b.example",
		"url: http://a.example/1 a.example\nurl: http://a.example/2 a.example\n"
		"url: http://www.b.example www.b.example\n"
		"body: http://a.example/1 http://A.example/1 http://a.example/2 www.b.example\n");
	expect(HTML "<a href=\"ht&#9;tp:\\\\x@B.example\">http://c.example</a>",
		"url: http://x@b.example b.example\nurl: http://c.example c.example\n"
		"body: http://c.example\n");
	/* An address that the transfer encoding cuts. */
	expect("Content-Transfer-Encoding: quoted-printable\r\n\r\nhttp://exa=\r\nmple.com/=3Dx",
		"url: http://example.com/=x example.com\nbody: http://example.com/=x\n");
}

static void test_limits(void **state)
{
	struct mime_limits limits = MIME_LIMITS_DEFAULT;

	(void)state;
	limits.urls = 2;
	expect_limited(&limits, SPAN("\r\nhttp://a.b/ http://a.b/1 http://a.b/ http://c.d/"),
		"url: http://a.b/ a.b\nurl: http://a.b/1 a.b\n"
		"body: http://a.b/ http://a.b/1 http://a.b/ http://c.d/\nflaw: too-many-urls\n");
	limits.urls = 0;
	expect_limited(
		&limits, SPAN("\r\nhttp://a.b/"), "body: http://a.b/\nflaw: too-many-urls\n");
	limits = MIME_LIMITS_DEFAULT;
	limits.part_bytes = 4;
	expect_limited(&limits, SPAN("\r\nabcd"), "body: abcd\n");
	expect_limited(&limits, SPAN("\r\nabcde"), "body: abcd\nflaw: text-cut\n");
	expect_limited(&limits,
		SPAN("Content-Transfer-Encoding: base64\r\n\r\nYWJj\r\nZA==\r\n\r\n"),
		"body: abcd\n");
	expect_limited(&limits,
		SPAN("Content-Transfer-Encoding: base64\r\nContent-Type: text/x; name=a\r\n\r\n"
		     "YWJjZGVm"),
		"attachment: a() text/x 6\nbody: abcd\nflaw: text-cut\n");
	limits = MIME_LIMITS_DEFAULT;
	limits.text_bytes = 4;
	expect_limited(&limits,
		SPAN("Content-Type: multipart/x; boundary=b\r\n\r\n--b\r\n\r\nabc\r\n--b\r\n\r\ndef"
		     "\r\n--b\r\n\r\nghi\r\n--b--"),
		"body: abc\nd\nflaw: text-cut\n");
	limits = MIME_LIMITS_DEFAULT;
	limits.body_bytes = 4;
	expect_limited(&limits, SPAN("\r\nabc\xC3\xA4"), "body: abc\nflaw: text-cut\n");
}

/* --- encryption --- */

static void expect_content(const char *type, struct span content, const char *expected)
{
	struct buffer message = BUFFER_INIT(1 << 20);

	assert_true(buffer_print(&message, "Content-Type: %s\r\n\r\n", type));
	assert_true(buffer_add(&message, content));
	expect_limited(&MIME_LIMITS_DEFAULT, buffer_span(&message), expected);
	buffer_free(&message);
}

/* The content alone, and far inside of other bytes. */
static void expect_encrypted(struct span content, bool encrypted)
{
	char expected[100];

	snprintf(expected, sizeof(expected), "attachment: application/x %zu%s\n", content.len,
		encrypted ? " encrypted" : "");
	expect_content("application/x", content, expected);
}

/* A start, `distance` bytes that mean nothing, and an end. */
static void expect_apart(struct span start, size_t distance, struct span end, bool encrypted)
{
	struct buffer content = BUFFER_INIT(1 << 20);

	assert_true(buffer_add(&content, start));
	for (size_t i = 0; i < distance; i++)
		assert_true(buffer_add_char(&content, (char)('a' + i % 7)));
	assert_true(buffer_add(&content, end));
	expect_encrypted(buffer_span(&content), encrypted);
	buffer_free(&content);
}

#define ZIP_PLAIN     "PK\x03\x04\x14\0\0\0\x08\0"
#define ZIP_ENCRYPTED "PK\x03\x04\x14\0\x01\0\x08\0"
#define ZIP_CENTRAL   "PK\x01\x02\x14\0\x14\0\x09\0\x08\0"

static void test_zip(void **state)
{
	static const size_t distances[] = {0, 1, 4076, 4077, 4080, 4086, 4087, 4096, 5000, 40000};

	(void)state;
	expect_encrypted(SPAN(ZIP_PLAIN "0123456789"), false);
	expect_encrypted(SPAN(ZIP_ENCRYPTED "0123456789"), true);
	expect_encrypted(SPAN("PK\x03\x04"), false);
	/* Not a header: no such version, no such method. */
	expect_encrypted(SPAN(ZIP_PLAIN "PK\x03\x04\xFF\0\x01\0\x08\0"), false);
	expect_encrypted(SPAN(ZIP_PLAIN "PK\x03\x04\x14\0\x01\0\xFF\0"), false);
	for (size_t i = 0; i < COUNT_OF(distances); i++) {
		expect_apart(SPAN(ZIP_PLAIN), distances[i], SPAN(ZIP_ENCRYPTED), true);
		expect_apart(SPAN(ZIP_PLAIN), distances[i], SPAN(ZIP_CENTRAL), true);
		expect_apart(SPAN(ZIP_PLAIN), distances[i], SPAN(ZIP_PLAIN), false);
	}
}

static void test_rar(void **state)
{
	(void)state;
	/* Version 4: the archive's header with and without, then a file's. */
	expect_encrypted(SPAN("Rar!\x1A\x07\0"
			      "\0\0\x73\x80\0\x0D\0\0\0\0\0\0\0"),
		true);
	expect_encrypted(SPAN("Rar!\x1A\x07\0"
			      "\0\0\x73\0\0\x0D\0\0\0\0\0\0\0"),
		false);
	expect_encrypted(SPAN("Rar!\x1A\x07\0"
			      "\0\0\x73\0\0\x0D\0\0\0\0\0\0\0"
			      "\0\0\x74\x04\x80\x20\0\0\0\0\0"),
		true);
	expect_encrypted(SPAN("Rar!\x1A\x07\0"
			      "\0\0\x73\0\0\0\0\0\0\0\0"),
		false);
	/* Version 5: encrypted headers; a file with the record, and one with another. */
	expect_encrypted(SPAN("Rar!\x1A\x07\x01\0"
			      "\0\0\0\0\x05\x04\0\0\0\0"),
		true);
	expect_encrypted(SPAN("Rar!\x1A\x07\x01\0"
			      "\0\0\0\0\x03\x01\0\0"
			      "\0\0\0\0\x07\x02\x03\x02\x05x\x01\x01"),
		true);
	expect_encrypted(SPAN("Rar!\x1A\x07\x01\0"
			      "\0\0\0\0\x03\x01\0\0"
			      "\0\0\0\0\x07\x02\x03\x02\x05x\x01\x02"),
		false);
	expect_encrypted(SPAN("Rar!\x1A\x07\x01\0"
			      "\0\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
		false);
}

static void test_others(void **state)
{
	static const size_t distances[] = {0, 4000, 4050, 4058, 4090, 9000};
	struct span ole = SPAN("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1");
	struct span package = SPAN("E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0");
	/* Its header begins 4000 bytes behind the first 32. */
	struct span sevenzip = SPAN("7z\xBC\xAF\x27\x1C\0\x04\0\0\0\0\xA0\x0F\0\0\0\0\0\0"
				    "\0\0\0\0\0\0\0\0\0\0\0\0");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(distances); i++) {
		expect_apart(SPAN("%PDF-1.7\n"), distances[i], SPAN("/Encrypt 5 0 R"), true);
		expect_apart(SPAN("%PDF-1.7\n"), distances[i], SPAN("/Encryption"), false);
		expect_apart(ole, distances[i], package, true);
		expect_apart(
			sevenzip, distances[i], SPAN("\x06\xF1\x07\x01"), distances[i] >= 4000);
	}
	expect_encrypted(SPAN("/Encrypt 5 0 R"), false);
	expect_encrypted(SPAN("-----BEGIN PGP MESSAGE-----\r\n"), true);
	expect_encrypted(SPAN("-----BEGIN PGP SIGNATURE-----\r\n"), false);
	expect_encrypted(SPAN("\x30\x80\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x03\xA0"), true);
	expect_encrypted(SPAN("\x30\x80\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02\xA0"), false);
	expect_encrypted(SPAN(""), false);
}

static void test_says_encrypted(void **state)
{
	(void)state;
	expect_content("application/pkcs7-mime; smime-type=enveloped-data", SPAN("x"),
		"attachment: application/pkcs7-mime 1 encrypted\n");
	expect_content("application/pkcs7-mime; smime-type=signed-data", SPAN("x"),
		"attachment: application/pkcs7-mime 1\n");
	expect("Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n"
	       "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n"
	       "Content-Type: application/octet-stream\r\n\r\nx\r\n--b--",
		"attachment: application/pgp-encrypted 10 encrypted\n"
		"attachment: application/octet-stream 1 encrypted\n");
	/* Encoded, it is the same. */
	expect("Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	       "UEsDBBQAAQAIAA==",
		"attachment: application/x 10 encrypted\n");
}

/* Memory does not grow with attachments, and is given back. */
static void test_memory(void **state)
{
	struct charsets *charsets = charsets_new();
	struct mime *mime =
		mime_new(charsets, &MIME_LIMITS_DEFAULT, MIME_ATTACHMENTS | MIME_TEXT | MIME_URLS);
	size_t before;

	(void)state;
	mime_feed(mime, SPAN("Content-Type: image/png\r\n\r\n"));
	before = mime_memory(mime);
	assert_true(before < 32 * 1024);
	for (int i = 0; i < 10000; i++)
		mime_feed(mime, SPAN("0123456789--\r\n0123456789\r\n--\r\n-"));
	assert_int_equal(mime_memory(mime), before);
	mime_end(mime);
	mime_free(&mime);
	charsets_free(&charsets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_zip),
		cmocka_unit_test(test_rar),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_says_encrypted),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

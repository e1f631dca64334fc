/*
 * Addresses of the web: which host a browser would go to, where they stand in text, and what HTML
 * shows and links.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/arena.h"
#include "lib/mail/html.h"
#include "lib/mail/mime_decode.h"
#include "lib/mail/url.h"

static void assert_span(struct span got, const char *expected, const char *what)
{
	if (!span_equal(got, span_text(expected)))
		fail_msg("%s: '%.*s' instead of '%s'", what, SPAN_ARGS(got), expected);
}

/* Hosts as they are written, disguised. */
static void test_hosts(void **state)
{
	static const char *const cases[][2] = {
		{"http://example.com/", "example.com"},
		{"HTTP://EXAMPLE.COM", "example.com"},
		{"https://example.com:8443/x", "example.com"},
		{"http://example.com.", "example.com"},
		{"http://example.com...", "example.com"},
		{"http://user@example.com/", "example.com"},
		{"http://www.bank.example@evil.example/", "evil.example"},
		{"http://a@b@evil.example", "evil.example"},
		{"http://user:p%40ss@example.com", "example.com"},
		{"http:\\\\example.com\\x", "example.com"},
		{"http:example.com", "example.com"},
		{"http:/example.com", "example.com"},
		{"http://///example.com", "example.com"},
		{"//example.com/x", "example.com"},
		{"\\\\example.com\\x", "example.com"},
		{"/\\example.com", "example.com"},
		{"www.example.com/x", "www.example.com"},
		{"  http://example.com  ", "example.com"},
		{"ht\ntp://exa\tmple.c\r\nom/", "example.com"},
		{"http://ex%61mple%2ecom/", "example.com"},
		{"http://example.com?x", "example.com"},
		{"http://example.com#x@y", "example.com"},
		{"http://example.com\\@evil.example", "example.com"},
		/* IDN and its look-alikes. */
		{"http://b\xC3\xBC"
		 "cher.example/",
			"xn--bcher-kva.example"},
		{"http://B\xC3\x9C"
		 "CHER.example/",
			"xn--bcher-kva.example"},
		{"http://XN--BCHER-KVA.example/", "xn--bcher-kva.example"},
		{"http://b%C3%BCcher.example/", "xn--bcher-kva.example"},
		{"http://\xD0\x9F\xD0\xA0\xD0\x98\xD0\x9C\xD0\x95\xD0\xA0.example",
			"xn--e1afmkfd.example"},
		{"http://\xE4\xBE\x8B\xE3\x81\x88.jp/", "xn--r8jz45g.jp"},
		{"http://\xEF\xBD\x85xample\xE3\x80\x82"
		 "com/",
			"example.com"},
		{"http://exam\xC2\xADple.c\xE2\x80\x8Bom/", "example.com"},
		/* IPv4 as a browser reads it. */
		{"http://192.0.2.1/", "192.0.2.1"},
		{"http://3221225985/", "192.0.2.1"},
		{"http://0xC0000201/", "192.0.2.1"},
		{"http://0300.0.02.1/", "192.0.2.1"},
		{"http://192.0.513/", "192.0.2.1"},
		{"http://0xC0.0x00.0x02.0x01.", "192.0.2.1"},
		{"http://[2001:DB8::1]:80/", "2001:db8::1"},
		{"http://1.2.3.4.example/", "1.2.3.4.example"},
		/* Others with a host. */
		{"ftp://example.com", "example.com"},
		{"file://example.com/share", "example.com"},
		{"hxxp://example.com", "example.com"},
		{"http://under_score.example/", "under_score.example"},
	};
	struct arena *arena = arena_new(1024);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct url url;

		if (!url_read(span_text(cases[i][0]), arena, &url))
			fail_msg("%s is none", cases[i][0]);
		assert_span(url.host, cases[i][1], cases[i][0]);
	}
	arena_free(&arena);
}

static void test_no_hosts(void **state)
{
	static const char *const cases[] = {"", "x", "/x/y", "x/y.html", "#top", "?x=1", ":",
		"mailto:a@example.com", "cid:1@example.com", "javascript:alert(1)",
		"data:text/html,x", "tel:+1", "http://", "http:///", "http://?x", "http://@/",
		"http://exa mple.com/", "http://exa<mple.com/", "http://%00example.com/",
		"http://[::1", "http://[x]/", "http://./", "www.", "http://\xFF\xFE/",
		"http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b"};
	struct arena *arena = arena_new(1024);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct url url;

		if (url_read(span_text(cases[i]), arena, &url) &&
			!span_equal(url.host, SPAN("www")))
			fail_msg("%s has the host %.*s", cases[i], SPAN_ARGS(url.host));
	}
	arena_free(&arena);
}

static void test_url_text(void **state)
{
	static const char *const cases[][2] = {
		{"HTTP://User@EXAMPLE.com:80/A?b#C", "http://User@example.com:80/A?b#C"},
		{"www.example.com", "http://www.example.com"},
		{"http:\\\\example.com\\a b", "http://example.com\\a%20b"},
		{"http://[2001:DB8::1]:80/", "http://[2001:db8::1]:80/"},
		{"http://example.com/\x01", "http://example.com/"},
	};
	struct arena *arena = arena_new(1024);
	char longer[4000];
	struct url url;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_true(url_read(span_text(cases[i][0]), arena, &url));
		assert_span(url.text, cases[i][1], cases[i][0]);
	}
	memset(longer, 'a', sizeof(longer));
	memcpy(longer, "http://example.com/", 19);
	assert_true(url_read(span_make(longer, sizeof(longer)), arena, &url));
	assert_true(url.text.len <= URL_MAX);
	assert_span(url.host, "example.com", "a long one");
	arena_free(&arena);
}

static void add_line(void *context, struct span address)
{
	struct buffer *out = context;

	assert_true(buffer_print(out, "%.*s|", SPAN_ARGS(address)));
}

static void test_in_text(void **state)
{
	static const char *const cases[][2] = {
		{"see http://example.com/a, or (https://example.org/b_(c)).",
			"http://example.com/a|https://example.org/b_(c)|"},
		{"<http://example.com/a>", "http://example.com/a|"},
		{"\"http://example.com\"", "http://example.com|"},
		{"www.example.com", "www.example.com|"},
		{"WWW.EXAMPLE.COM.", "WWW.EXAMPLE.COM|"},
		{"xwww.example.com a@www.example.com", ""},
		{"xhttp://example.com", "xhttp://example.com|"},
		{"url=http://example.com?u=http://example.org",
			"http://example.com?u=http://example.org|"},
		{"http:\\\\example.com\\x", "http:\\\\example.com\\x|"},
		{"http://example.com\nhttp://example.org",
			"http://example.com|http://example.org|"},
		{"http://example.com\xC2\xA0x", "http://example.com|"},
		{"http://b\xC3\xBC"
		 "cher.example!",
			"http://b\xC3\xBC"
			"cher.example|"},
		{"://x ://", ""},
		{"no address: // here, w w. ww.", ""},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buffer out = BUFFER_INIT(10000);

		url_find(span_text(cases[i][0]), add_line, &out);
		assert_span(buffer_span(&out), cases[i][1], cases[i][0]);
		buffer_free(&out);
	}
}

static void read_html(const char *html, struct buffer *text, struct buffer *links)
{
	struct html_reader reader = {.text = text, .link = add_line, .context = links};

	html_read(&reader, span_text(html));
}

static void test_html_text(void **state)
{
	static const char *const cases[][2] = {
		{"a b", "a b"},
		{"<p>a</p><p>b</p>", "a\nb"},
		{"vi<b>ag</b>ra v<!-- x -->i<!---->a", "viagra via"},
		{"a<br>b<BR/>c", "a\nb\nc"},
		{"<td>a</td><td>b</td>", "a b"},
		{" a \r\n\t b ", "a b"},
		{"a&amp;b&lt;c&gt;&quot;&#65;&#x42;&#x43", "a&b<c>\"ABC"},
		{"&auml;&euro;&#128;&nbsp;x", "\xC3\xA4\xE2\x82\xAC\xE2\x82\xAC x"},
		{"&copy;&copy &nosuch; & &; &#; &#x;", "\xC2\xA9\xC2\xA9 &nosuch; & &; &#; &#x;"},
		{"&#0;&#xD800;&#x110000;&#99999999999;",
			"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
		{"a<script>x</script>b<style>y</STYLE >c", "abc"},
		{"a<script>if (a</b) \"</scripty\"</script>b", "ab"},
		{"a<script>x", "a"},
		{"a<!-- > -- b", "a"},
		{"a<!-->b<!--->c<!-- --!>d", "abcd"},
		{"a<!doctype html>b<?xml ?>c</ x>d", "abcd"},
		{"1 < 2 <3 <", "1 < 2 <3 <"},
		{"<a title=\"x>y\">z", "z"},
		{"<a title=x>y<a b='>'>z", "yz"},
		{"<a", ""},
		{"<a href=\"x", ""},
		{"a\xC2\xA0"
		 "b",
			"a b"},
		{"<title>t</title>b", "t\nb"},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buffer text = BUFFER_INIT(10000), links = BUFFER_INIT(10000);

		read_html(cases[i][0], &text, &links);
		assert_span(buffer_span(&text), cases[i][1], cases[i][0]);
		buffer_free(&text);
		buffer_free(&links);
	}
}

static void test_html_links(void **state)
{
	static const char *const cases[][2] = {
		{"<a href=\"http://example.com/\">x</a>", "http://example.com/|"},
		{"<A HREF='http://example.com/'>", "http://example.com/|"},
		{"<a href=http://example.com/>", "http://example.com/|"},
		{"<a\nhref\n=\nhttp://example.com/\n>", "http://example.com/|"},
		{"<a/href=//x>", "//x|"},
		{"<a x=y z href=\"a\"b=c href=d>", "a|d|"},
		{"<a href=\"&#104;ttp&colon;&sol;&sol;x&period;example&commat;y\">",
			"http://x.example@y|"},
		{"<a href=\"?a=1&copy=2&amp;b\">", "?a=1&copy=2&b|"},
		{"<img src=a><form action=b><body background=c><base href=d><area href=e>"
		 "<button formaction=f><iframe src=g></iframe><script src=h></script>",
			"a|b|c|d|e|f|g|h|"},
		{"<meta http-equiv=refresh content=\"0; URL='http://example.com/'\">",
			"http://example.com/|"},
		{"<meta http-equiv=refresh content=\"0;url=http://example.com/\">",
			"http://example.com/|"},
		{"<p style=\"background: url( 'http://example.com/' ) x url(b)\">",
			"http://example.com/|b|"},
		{"<!-- <a href=x> --><a href>", ""},
		{"<a href=\"x", "x|"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buffer text = BUFFER_INIT(10000), links = BUFFER_INIT(10000);

		read_html(cases[i][0], &text, &links);
		assert_span(buffer_span(&links), cases[i][1], cases[i][0]);
		buffer_free(&text);
		buffer_free(&links);
	}
}

/* Text that does not fit is cut between characters, and told. */
static void test_html_full(void **state)
{
	struct buffer text = BUFFER_INIT(4);
	struct html_reader reader = {.text = &text};

	(void)state;
	html_read(&reader, SPAN("abc\xC3\xA4 def"));
	assert_true(reader.cut);
	assert_true(text.len <= 4 && span_starts(buffer_span(&text), SPAN("abc")));
	buffer_free(&text);
}

static void test_html_charset(void **state)
{
	(void)state;
	assert_span(html_charset(SPAN("<meta charset=\"koi8-r\">")), "koi8-r", "charset");
	assert_span(html_charset(SPAN("<meta content='text/html; CHARSET=koi8-r'>")), "koi8-r",
		"content");
	assert_null(html_charset(SPAN("<p>x</p>")).at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_no_hosts),
		cmocka_unit_test(test_url_text),
		cmocka_unit_test(test_in_text),
		cmocka_unit_test(test_html_text),
		cmocka_unit_test(test_html_links),
		cmocka_unit_test(test_html_full),
		cmocka_unit_test(test_html_charset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

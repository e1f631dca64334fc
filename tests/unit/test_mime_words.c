/*
 * Header fields as people read them: encoded words, charsets, mailboxes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "lib/mail/mime_words.h"

struct house {
	struct charsets *charsets;
	struct arena *arena;
};

static int set_up(void **state)
{
	struct house *h = malloc(sizeof(*h));

	h->charsets = charsets_new();
	h->arena = arena_new(1024);
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct house *h = *state;

	charsets_free(&h->charsets);
	arena_free(&h->arena);
	free(h);
	return 0;
}

static void assert_span(struct span got, const char *expected, const char *what)
{
	if (!span_equal(got, span_text(expected)))
		fail_msg("%s: '%.*s' instead of '%s'", what, SPAN_ARGS(got), expected);
}

static void test_text(void **state)
{
	static const char *const cases[][2] = {
		{" hello ", "hello"},
		{" a\r\n b", "a b"},
		{"=?utf-8?Q?a_b=21?=", "a b!"},
		{"=?UTF-8?q?=c3=a4?= x", "\xC3\xA4 x"},
		{"=?utf-8?B?w6Q=?=", "\xC3\xA4"},
		{"=?utf-8*en?Q?a?=", "a"},
		{"=?iso-8859-1?Q?=E4?=", "\xC3\xA4"},
		{"=?windows-1251?B?z/Do4uXy?=", "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82"},
		{"=?koi8-r?B?8NLJ18XU?=", "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82"},
		{"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "\xE6\x97\xA5\xE6\x9C\xAC"},
		{"=?gb2312?B?1tC5+g==?=", "\xE4\xB8\xAD\xE5\x9B\xBD"},
		{"=?big5?B?pKSw6g==?=", "\xE4\xB8\xAD\xE5\x9C\x8B"},
		{"=?euc-kr?B?x9GxuQ==?=", "\xED\x95\x9C\xEA\xB5\xAD"},
		{"=?shift_jis?B?k/qWew==?=", "\xE6\x97\xA5\xE6\x9C\xAC"},
		/* Blanks between words are none; a character may be cut by them. */
		{"=?utf-8?Q?a?= =?utf-8?Q?b?=\r\n =?utf-8?Q?c?= d =?utf-8?Q?e?=", "abc d e"},
		{"=?utf-8?Q?=C3?= =?utf-8?Q?=A4?=", "\xC3\xA4"},
		{"=?utf-8?B?w?= =?utf-8?B?6Q=?=", "\xEF\xBF\xBD"},
		{"=?utf-8?Q?a?= =?iso-8859-1?Q?=E4?=", "a\xC3\xA4"},
		{"x=?utf-8?Q?a?=y", "xay"},
		{"=?utf-8?Q?a b?=", "a b"},
		{"=?utf-8?Q?=41?=", "A"},
		{"=?utf-8?Q?"
		 "?=",
			""},
		/* No words. */
		{"=?utf-8?X?a?=", "=?utf-8?X?a?="},
		{"=?utf-8?Q?a", "=?utf-8?Q?a"},
		{"=? =?=?a?q?", "=? =?=?a?q?"},
		{"=?"
		 "?Q?a?=",
			"=?"
			"?Q?a?="},
		/* Raw 8-bit, an unknown charset, broken bytes. */
		{"\xC3\xA4", "\xC3\xA4"},
		{"\xE4", "\xC3\xA4"},
		{"a =?x-unknown?Q?=E4b?= c", "a \xC3\xA4"
					     "b c"},
		{"=?utf-8?Q?a=FFb?=", "a\xEF\xBF\xBD"
				      "b"},
		/* Harmless. */
		{"=?utf-8?Q?a=00b=0D=0AX:_y?=", "a b  X: y"},
		{"=?utf-8?Q?a=E2=80=AEb=E2=80=8Bc?=", "abc"},
		{"=?utf-8?Q?a=C2=85b?=", "a b"},
		{"", ""},
	};
	struct house *h = *state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_span(header_decode_text(h->charsets, span_text(cases[i][0]), h->arena),
			cases[i][1], cases[i][0]);
}

/* Nothing in a long field costs more than its length; what is past the limit is not looked at. */
static void test_long_text(void **state)
{
	static const char *const units[] = {"=?a?q?", "=?utf-8?Q?a?= ", "=?", "\xFF",
		"=?iso-2022-jp?B?GyRC?= ", "=?utf-8?B?/?="};
	struct house *h = *state;

	for (size_t i = 0; i < COUNT_OF(units); i++) {
		struct buffer text = BUFFER_INIT(1 << 20);

		while (text.len < 4 * MIME_FIELD_MAX)
			assert_true(buffer_add_text(&text, units[i]));
		assert_true(header_decode_text(h->charsets, buffer_span(&text), h->arena).len <=
			    3 * MIME_FIELD_MAX);
		buffer_free(&text);
	}
}

static void test_angle(void **state)
{
	static const char *const cases[][2] = {
		{" <a@example.com>", "a@example.com"},
		{" My List <list.example.com>", "list.example.com"},
		{" x <a> <b>", "b"},
		{" list.example.com ", "list.example.com"},
		{" <unclosed", "unclosed"},
		{" <a\r\n b>", "a b"},
		{"", ""},
	};
	struct house *h = *state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_span(
			header_angle(span_text(cases[i][0]), h->arena), cases[i][1], cases[i][0]);
}

/* Mailboxes as "name|address|domain;". */
static void test_mailboxes(void **state)
{
	static const char *const cases[][2] = {
		{" a@example.com", "|a@example.com|example.com;"},
		{" A B <a@EXAMPLE.com>", "A B|a@example.com|example.com;"},
		{" \"B, A\" <a@b.c>, d@e.f", "B, A|a@b.c|b.c;|d@e.f|e.f;"},
		{" =?utf-8?Q?=C3=A4?= <a@b.c>", "\xC3\xA4|a@b.c|b.c;"},
		{" \"=?utf-8?Q?a?= =?utf-8?Q?b?=\" <a@b.c>", "ab|a@b.c|b.c;"},
		{" =?utf-8?Q?a?= =?utf-8?Q?b?= <a@b.c>", "ab|a@b.c|b.c;"},
		{" \xE4 <a@b.c>", "\xC3\xA4|a@b.c|b.c;"},
		{" a@b.c (Name)", "Name|a@b.c|b.c;"},
		{" (x) a @ b . c", "x|a@b.c|b.c;"},
		{" <a@b.c(x)>", "|a@b.c|b.c;"},
		{" a@b(x).c, d(y)@e.(z)f, <g@h(x).i>", "|a@b.c|b.c;|d@e.f|e.f;|g@h.i|h.i;"},
		{" a (x) b@c.d", "a|b@c.d|c.d;"},
		{" group: a@b.c, d@e.f;, g@h.i", "|a@b.c|b.c;|d@e.f|e.f;|g@h.i|h.i;"},
		{" group:a@b.c;", "|a@b.c|b.c;"},
		{" undisclosed-recipients:;", ""},
		{" <@x,@y:a@b.c>", "|a@b.c|b.c;"},
		{" \"a\\\"b@x\"@b.c", "|\"a\\\"b@x\"@b.c|b.c;"},
		{" a@[192.0.2.1]", "|a@[192.0.2.1]|[192.0.2.1];"},
		{" a@b.c.", "|a@b.c|b.c;"},
		/* An address in the name is a name. */
		{" \"x@y.z\" <a@b.c>", "x@y.z|a@b.c|b.c;"},
		{" x@y.z <a@b.c>", "x@y.z|a@b.c|b.c;"},
		{" \"x \"y\\\" <a@b.c>", "x y\"|a@b.c|b.c;"},
		/* Malformed, and no address gets lost. */
		{" John Doe a@b.c", "John Doe|a@b.c|b.c;"},
		{" a@b.c d@e.f", "d@e.f|a@b.c|b.c;a@b.c|d@e.f|e.f;"},
		{" <a@b.c> <d@e.f>", "|a@b.c|b.c;|d@e.f|e.f;"},
		{" <a@b.c> d@e.f", "|a@b.c|b.c;|d@e.f|e.f;"},
		{" <a@b.c, <d@e.f>", "|a@b.c,|b.c,;|d@e.f|e.f;"},
		{" <a@b.c", "|a@b.c|b.c;"},
		{" \"x <a@b.c>", "x|a@b.c|b.c;"},
		{" (x <a@b.c>", ""},
		{" a@b@c.d", "|a@b@c.d|c.d;"},
		{" a", "|a|;"},
		{" <>", ""},
		{" ,;,", ""},
		{"", ""},
	};
	struct house *h = *state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct mime_mailboxes all;
		struct buffer out = BUFFER_INIT(10000);

		mailboxes_parse(h->charsets, span_text(cases[i][0]), h->arena, &all);
		assert_int_equal(all.kept, all.count);
		for (size_t k = 0; k < all.kept; k++)
			assert_true(buffer_print(&out, "%.*s|%.*s|%.*s;",
				SPAN_ARGS(all.items[k].name), SPAN_ARGS(all.items[k].address),
				SPAN_ARGS(all.items[k].domain)));
		assert_span(buffer_span(&out), cases[i][1], cases[i][0]);
		buffer_free(&out);
	}
}

static void test_many_mailboxes(void **state)
{
	struct house *h = *state;
	struct buffer text = BUFFER_INIT(MIME_FIELD_MAX);
	struct mime_mailboxes all;

	for (int i = 0; i < 1000; i++)
		assert_true(buffer_add_text(&text, "a@b.c,"));
	mailboxes_parse(h->charsets, buffer_span(&text), h->arena, &all);
	assert_int_equal(all.count, 1000);
	assert_int_equal(all.kept, MIME_MAILBOXES_MAX);
	buffer_free(&text);
}

/* Quotes that nothing closes are not looked for to the end each: 15 such fields took half a second.
 */
static void test_open_quotes(void **state)
{
	static const char *const heads[] = {"", "a@b.c ", "<", "x, \"y\" <a@b.c>, "};
	struct house *h = *state;
	clock_t begin = clock();

	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < COUNT_OF(heads); i++) {
			struct buffer text = BUFFER_INIT(MIME_FIELD_MAX);
			struct mime_mailboxes all;

			assert_true(buffer_add_text(&text, heads[i]));
			while (text.len < MIME_FIELD_MAX - 2)
				assert_true(buffer_add_text(&text, "\"\\"));
			mailboxes_parse(h->charsets, buffer_span(&text), h->arena, &all);
			buffer_free(&text);
		}
	}
	assert_true(clock() - begin < CLOCKS_PER_SEC / 4);
}

static void test_charsets(void **state)
{
	static const struct {
		const char *name;
		struct span bytes;
		const char *text;
	} cases[] = {
		{"", SPAN("abc"), "abc"},
		{"us-ascii", SPAN("\xC3\xA4"), "\xC3\xA4"},
		{"us-ascii", SPAN("\xE4"), "\xC3\xA4"},
		{"UTF-8", SPAN("a\xE4z"), "a\xEF\xBF\xBDz"},
		{"utf-8", SPAN("\xF0\x9F\x98\x80\xF0\x9F"), "\xF0\x9F\x98\x80\xEF\xBF\xBD"},
		/* Cut at the end, where reading stopped: still UTF-8. */
		{"", SPAN("\xC3\xA4\xC3"), "\xC3\xA4\xEF\xBF\xBD"},
		{"utf-8", SPAN("\xED\xA0\x80\xC0\x80"),
			"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
		{"iso-8859-1", SPAN("\x80"), "\xE2\x82\xAC"},
		{"windows-1252", SPAN("\x81x"), "\xEF\xBF\xBDx"},
		{"iso-8859-15", SPAN("\xA4"), "\xE2\x82\xAC"},
		{"utf-16",
			SPAN("\xFF\xFE"
			     "a\0b\0"),
			"ab"},
		{"utf-16le", SPAN("a\0b\0c"), "ab\xEF\xBF\xBD"},
		{"utf-7", SPAN("+AGE-b"), "ab"},
		{"gb18030", SPAN("\x81\x30\x81\x30"), "\xC2\x80"},
		{"iso-2022-jp", SPAN("\x1B$BF|K\x5C\x1B(B"), "\xE6\x97\xA5\xE6\x9C\xAC"},
		/* Not taken from the system, whatever it has. */
		{"iso-2022-cn-ext", SPAN("abc"), "abc"},
		{"//TRANSLIT", SPAN("\xE4"), "\xC3\xA4"},
	};
	struct house *h = *state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buffer out = BUFFER_INIT(100);

		assert_true(charset_decode(
			h->charsets, span_text(cases[i].name), cases[i].bytes, &out));
		assert_span(buffer_span(&out), cases[i].text, cases[i].name);
		buffer_free(&out);
	}
}

static void test_charset_full(void **state)
{
	struct house *h = *state;
	struct buffer out = BUFFER_INIT(3);

	assert_false(charset_decode(h->charsets, SPAN("utf-8"), SPAN("a\xC3\xA4\xC3\xA4"), &out));
	assert_span(buffer_span(&out), "a\xC3\xA4", "utf-8");
	buffer_clear(&out);
	assert_false(charset_decode(h->charsets, SPAN("koi8-r"), SPAN("\xC1\xC1"), &out));
	assert_span(buffer_span(&out), "\xD0\xB0", "koi8-r");
	buffer_free(&out);
}

/* Once the charsets are there, a sandbox may forbid to open anything. */
static void test_no_files(void **state)
{
	static const char *const names[] = {"windows-1251", "koi8-r", "gb18030", "big5", "euc-jp",
		"shift_jis", "iso-2022-jp", "iso-2022-kr", "euc-kr", "utf-7", "utf-16"};
	struct house *h = *state;
	struct rlimit files, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = files.rlim_max};
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct span bytes = i + 1 < COUNT_OF(names) ? SPAN("a") : SPAN("a\0");
		struct buffer out = BUFFER_INIT(10);

		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		charset_decode(h->charsets, span_text(names[i]), bytes, &out);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
		assert_span(buffer_span(&out), "a", names[i]);
		buffer_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_long_text),
		cmocka_unit_test(test_angle),
		cmocka_unit_test(test_mailboxes),
		cmocka_unit_test(test_many_mailboxes),
		cmocka_unit_test(test_open_quotes),
		cmocka_unit_test(test_charsets),
		cmocka_unit_test(test_charset_full),
		cmocka_unit_test(test_no_files),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

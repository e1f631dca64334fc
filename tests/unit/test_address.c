/*
 * Addresses: what is taken and how it is split, what is refused and why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/mail/address.h"

#define LOCAL_64    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LABEL_63    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define DOMAIN_255  LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63
#define U_LABEL     "b\xc3\xbc"
#define IDEO_DOT    "\xe3\x80\x82"
#define WIDE_DOT    "\xef\xbc\x8e"
#define C1_CONTROL  "\xc2\x85"
#define OVERLONG_AT "\xc1\x80"

static void assert_span(struct span got, const char *expected)
{
	if (got.len != strlen(expected) || memcmp(got.at, expected, got.len) != 0)
		fail_msg("'%.*s' instead of '%s'", SPAN_ARGS(got), expected);
}

/* --- paths --- */

struct path {
	const char *text, *mailbox, *local, *domain, *rest;
};

static const struct path reverse_paths[] = {
	{"<>", "", "", "", ""},
	{"<> SIZE=1", "", "", "", " SIZE=1"},
	{"<a@b>", "a@b", "a", "b", ""},
	{"<a.b+c@example.com> X", "a.b+c@example.com", "a.b+c", "example.com", " X"},
	{"<!#$%&'*+-/=?^_`{|}~@b>", "!#$%&'*+-/=?^_`{|}~@b", "!#$%&'*+-/=?^_`{|}~", "b", ""},
	{"<\"a b\"@c>", "\"a b\"@c", "\"a b\"", "c", ""},
	{"<\"a@b>\"@c>", "\"a@b>\"@c", "\"a@b>\"", "c", ""},
	{"<\"a\\\"b\\\\\"@c>", "\"a\\\"b\\\\\"@c", "\"a\\\"b\\\\\"", "c", ""},
	{"<\"\"@c>", "\"\"@c", "\"\"", "c", ""},
	{"<@x,@y.example:a@b>", "a@b", "a", "b", ""},
	{"<@x:a@b>", "a@b", "a", "b", ""},
	{"<@[192.0.2.1]:a@b>", "a@b", "a", "b", ""},
	{"<a@[192.0.2.1]>", "a@[192.0.2.1]", "a", "[192.0.2.1]", ""},
	{"<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]", ""},
	{"<a@_dmarc.b_c>", "a@_dmarc.b_c", "a", "_dmarc.b_c", ""},
	{"<a@1.2.3.4>", "a@1.2.3.4", "a", "1.2.3.4", ""},
	{"<" LOCAL_64 "@" DOMAIN_255 ">", LOCAL_64 "@" DOMAIN_255, LOCAL_64, DOMAIN_255, ""},
	{"<j\xc3\xb6rg@" U_LABEL ".example>", "j\xc3\xb6rg@" U_LABEL ".example", "j\xc3\xb6rg",
		U_LABEL ".example", ""},
};

static void test_good_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(reverse_paths); i++) {
		const struct path *path = &reverse_paths[i];
		struct span text = span_text(path->text);
		struct address a;

		assert_int_equal(address_parse_path(&text, true, true, &a), ADDRESS_OK);
		assert_span(a.mailbox, path->mailbox);
		assert_span(a.local, path->local);
		assert_span(a.domain, path->domain);
		assert_span(text, path->rest);
		assert_int_equal(a.quoted, a.local.len && a.local.at[0] == '"');
		assert_int_equal(a.literal, a.domain.len && a.domain.at[0] == '[');
	}
}

struct bad_path {
	const char *text;
	enum address_status status;
};

static const struct bad_path bad_paths[] = {
	{"", ADDRESS_SYNTAX},
	{"a@b", ADDRESS_SYNTAX},
	{"<a@b", ADDRESS_SYNTAX},
	{"<a@b >", ADDRESS_SYNTAX},
	{"< a@b>", ADDRESS_SYNTAX},
	{"<a @b>", ADDRESS_SYNTAX},
	{"<a@ b>", ADDRESS_SYNTAX},
	{"<<a@b>>", ADDRESS_SYNTAX},
	{"<a>", ADDRESS_SYNTAX},
	{"<a@>", ADDRESS_SYNTAX},
	{"<@b>", ADDRESS_SYNTAX},
	{"<@x:>", ADDRESS_SYNTAX},
	{"<@x,a@b>", ADDRESS_SYNTAX},
	{"<@x,:a@b>", ADDRESS_SYNTAX},
	{"<@-x:a@b>", ADDRESS_SYNTAX},
	{"<@x:@y:a@b>", ADDRESS_SYNTAX},
	{"<@[192.0.2.1]a@b>", ADDRESS_SYNTAX},
	{"<.a@b>", ADDRESS_SYNTAX},
	{"<a.@b>", ADDRESS_SYNTAX},
	{"<a..b@c>", ADDRESS_SYNTAX},
	{"<a@b@c>", ADDRESS_SYNTAX},
	{"<a@.b>", ADDRESS_SYNTAX},
	{"<a@b.>", ADDRESS_SYNTAX},
	{"<a@b..c>", ADDRESS_SYNTAX},
	{"<a@-b>", ADDRESS_SYNTAX},
	{"<a@b->", ADDRESS_SYNTAX},
	{"<a@b-.c>", ADDRESS_SYNTAX},
	{"<a@b!c>", ADDRESS_SYNTAX},
	{"<\"a@b>", ADDRESS_SYNTAX},
	{"<\"a\"b@c>", ADDRESS_SYNTAX},
	{"<a\"b\"@c>", ADDRESS_SYNTAX},
	{"<\"a\\", ADDRESS_SYNTAX},
	{"<\"a\\\x01\"@c>", ADDRESS_SYNTAX},
	{"<\"a\tb\"@c>", ADDRESS_SYNTAX},
	{"<a\x01@c>", ADDRESS_SYNTAX},
	{"<a\x7f@c>", ADDRESS_SYNTAX},
	{"<a(comment)@c>", ADDRESS_SYNTAX},
	{"<a@[1.2.3]>", ADDRESS_SYNTAX},
	{"<a@[1.2.3.4>", ADDRESS_SYNTAX},
	{"<a@[1.2.3.4]x>", ADDRESS_SYNTAX},
	{"<a@[2001:db8::1]>", ADDRESS_SYNTAX},
	{"<a@[IPv6:1.2.3.4]>", ADDRESS_SYNTAX},
	{"<a@[X400:foo]>", ADDRESS_SYNTAX},
	{"<a@[]>", ADDRESS_SYNTAX},
	{"<postmaster>", ADDRESS_SYNTAX},
	{"<a" LOCAL_64 "@b>", ADDRESS_TOO_LONG},
	{"<a@c." DOMAIN_255 ">", ADDRESS_TOO_LONG},
	{"<a@b" LABEL_63 ">", ADDRESS_SYNTAX},
	{"<@" DOMAIN_255 ",@" DOMAIN_255 ":a@b>", ADDRESS_TOO_LONG},
	{"<j\xf6rg@b>", ADDRESS_BAD_UTF8},
	{"<j" OVERLONG_AT "@b>", ADDRESS_BAD_UTF8},
	{"<a@b\xfc>", ADDRESS_BAD_UTF8},
	{"<a" C1_CONTROL "@b>", ADDRESS_BAD_UTF8},
	{"<a@b" IDEO_DOT "c>", ADDRESS_SYNTAX},
	{"<\"a\\\xc3\xb6\"@b>", ADDRESS_SYNTAX},
};

static void test_bad_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad_paths); i++) {
		struct span text = span_text(bad_paths[i].text);
		struct address a;
		enum address_status status = address_parse_path(&text, true, true, &a);

		if (status != bad_paths[i].status)
			fail_msg("%s: %d", bad_paths[i].text, status);
		assert_span(text, bad_paths[i].text);
	}
}

static void test_forward_paths(void **state)
{
	struct span null = SPAN("<>"), postmaster = SPAN("<PostMaster> X");
	struct span like = SPAN("<postmasters>");
	struct address a;

	(void)state;
	assert_int_equal(address_parse_path(&null, false, true, &a), ADDRESS_SYNTAX);
	assert_int_equal(address_parse_path(&postmaster, false, true, &a), ADDRESS_OK);
	assert_span(a.mailbox, "PostMaster");
	assert_span(a.local, "PostMaster");
	assert_span(a.domain, "");
	assert_span(postmaster, " X");
	assert_int_equal(address_parse_path(&like, false, true, &a), ADDRESS_SYNTAX);
}

static void test_utf8_needs_leave(void **state)
{
	struct span local = SPAN("<j\xc3\xb6rg@b>"), domain = SPAN("<a@" U_LABEL ">");
	struct span bad = SPAN("<j\xf6rg@b>"), route = SPAN("<@" U_LABEL ":a@b>");
	struct address a;

	(void)state;
	assert_int_equal(address_parse_path(&local, true, false, &a), ADDRESS_NEEDS_UTF8);
	assert_int_equal(address_parse_path(&domain, true, false, &a), ADDRESS_NEEDS_UTF8);
	assert_int_equal(address_parse_path(&bad, true, false, &a), ADDRESS_NEEDS_UTF8);
	assert_int_equal(address_parse_path(&local, true, true, &a), ADDRESS_OK);
	assert_true(a.utf8);
	/* The route is thrown away: what goes on is ASCII. */
	assert_int_equal(address_parse_path(&route, true, true, &a), ADDRESS_OK);
	assert_false(a.utf8);
}

static void test_mailbox_alone(void **state)
{
	struct address a;

	(void)state;
	assert_int_equal(address_parse(SPAN("a@b.example"), false, &a), ADDRESS_OK);
	assert_span(a.domain, "b.example");
	assert_int_equal(address_parse(SPAN("a@b.example "), false, &a), ADDRESS_SYNTAX);
	assert_int_equal(address_parse(SPAN("<a@b.example>"), false, &a), ADDRESS_SYNTAX);
	assert_int_equal(address_parse(SPAN(""), false, &a), ADDRESS_SYNTAX);
	assert_int_equal(address_parse(SPAN("\xc3\xb6@b"), false, &a), ADDRESS_NEEDS_UTF8);
}

static void test_routing_local_parts(void **state)
{
	static const struct {
		const char *mailbox;
		bool routes;
	} cases[] = {
		{"a@b", false},
		{"a+b=c@b", false},
		{"\"a b\"@b", false},
		{"a|b@b", false},
		{"a/b@b", false},
		{"a%c@b", true},
		{"c!a@b", true},
		{"\"a@c\"@b", true},
		{"\"a\\@c\"@b", true},
		{"\"a%c\"@b", true},
		{"|cmd@b", true},
		{"/file@b", true},
		{"\"|cmd\"@b", true},
		{"\"\\|cmd\"@b", true},
		{"\"\\/file\"@b", true},
		{"\"\"@b", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct address a;

		assert_int_equal(address_parse(span_text(cases[i].mailbox), false, &a), ADDRESS_OK);
		if (address_local_routes(&a) != cases[i].routes)
			fail_msg("%s", cases[i].mailbox);
	}
}

/* --- domains, literals, texts --- */

static void test_domains(void **state)
{
	static const char *const good[] = {"a", "a.b", "A-1.b_c", "_x", "1", LABEL_63, DOMAIN_255};
	static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "-a", "a-", "a b", "a@b",
		"[1.2.3.4]", "a" LABEL_63, "a." DOMAIN_255, U_LABEL, "a\n", "a/b"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_true(domain_valid(span_text(good[i]), false));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (domain_valid(span_text(bad[i]), false))
			fail_msg("'%s' was taken", bad[i]);
	assert_true(domain_valid(SPAN(U_LABEL ".example"), true));
	assert_false(domain_valid(SPAN("a\xfc"), true));
	assert_false(domain_valid(SPAN("a" C1_CONTROL), true));
	assert_false(domain_valid(SPAN("a" IDEO_DOT "b"), true));
	assert_false(domain_valid(SPAN("a" WIDE_DOT "b"), true));
}

static void test_literals(void **state)
{
	struct ip ip;

	(void)state;
	assert_true(literal_valid(SPAN("[192.0.2.1]"), &ip));
	assert_int_equal(ip.family, IP_V4);
	assert_true(literal_valid(SPAN("[ipv6:2001:DB8::1]"), &ip));
	assert_int_equal(ip.family, IP_V6);
	assert_true(literal_valid(SPAN("[IPv6:::ffff:192.0.2.1]"), NULL));
	assert_false(literal_valid(SPAN("192.0.2.1"), NULL));
	assert_false(literal_valid(SPAN("["), NULL));
	assert_false(literal_valid(SPAN("[]"), NULL));
	assert_false(literal_valid(SPAN("[IPv6:]"), NULL));
	assert_false(literal_valid(SPAN("[192.0.2.1 ]"), NULL));
	assert_false(literal_valid(SPAN("[192.0.2.01]"), NULL));
}

static void test_utf8(void **state)
{
	static const char *const good[] = {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf"};
	static const char *const bad[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2 ",
		"\xe0\x9f\xbf", "\xe0\xa0", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
		"\xf0\x90\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xfe"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_true(utf8_valid(span_text(good[i])));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_false(utf8_valid(span_text(bad[i])));
}

static void test_printable(void **state)
{
	(void)state;
	assert_true(text_printable(SPAN("mx.example.net and more")));
	assert_true(text_printable(SPAN("b\xc3\xbc")));
	assert_true(text_printable(SPAN("latin \xfc")));
	assert_false(text_printable(SPAN("a\tb")));
	assert_false(text_printable(SPAN("a\r\nb")));
	assert_false(text_printable(SPAN("a\x7f")));
	assert_false(text_printable(SPAN("a\0b")));
	assert_false(text_printable(SPAN("a" C1_CONTROL)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_paths),
		cmocka_unit_test(test_bad_paths),
		cmocka_unit_test(test_forward_paths),
		cmocka_unit_test(test_utf8_needs_leave),
		cmocka_unit_test(test_mailbox_alone),
		cmocka_unit_test(test_routing_local_parts),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_literals),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

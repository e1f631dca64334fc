/* The lexer of postern.conf and the rules, and how mistakes are told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "policy/diagnostic.h"

static const char *const kind_names[] = {
	[TOKEN_END] = "end",
	[TOKEN_ERROR] = "error",
	[TOKEN_WORD] = "word",
	[TOKEN_STRING] = "string",
	[TOKEN_NUMBER] = "number",
	[TOKEN_DURATION] = "duration",
	[TOKEN_SIZE] = "size",
	[TOKEN_RATE] = "rate",
	[TOKEN_CODE] = "code",
	[TOKEN_ADDRESS] = "address",
	[TOKEN_CIDR] = "cidr",
	[TOKEN_RANGE] = "range",
	[TOKEN_REGEX] = "regex",
	[TOKEN_LIST] = "list",
	[TOKEN_LEFT_BRACE] = "{",
	[TOKEN_RIGHT_BRACE] = "}",
	[TOKEN_LEFT_PAREN] = "(",
	[TOKEN_RIGHT_PAREN] = ")",
	[TOKEN_COMMA] = ",",
	[TOKEN_COLON] = ":",
	[TOKEN_ASSIGN] = "=",
	[TOKEN_EQUAL] = "==",
	[TOKEN_NOT_EQUAL] = "!=",
	[TOKEN_LESS] = "<",
	[TOKEN_LESS_EQUAL] = "<=",
	[TOKEN_GREATER] = ">",
	[TOKEN_GREATER_EQUAL] = ">=",
	[TOKEN_TILDE] = "~",
};

/* "kind(text) kind kind(text)": marks stand for themselves. */
static void expect_tokens(enum lex_dialect dialect, const char *source, const char *expected)
{
	struct lexer lexer = lexer_make(span_text(source), dialect);
	struct buffer got = BUFFER_INIT(1 << 20);
	struct token t;

	while ((t = lex_next(&lexer)).kind != TOKEN_END) {
		assert_true(buffer_print(&got, "%s%s", got.len ? " " : "", kind_names[t.kind]));
		if (token_is_value(t.kind) || t.kind == TOKEN_ERROR)
			assert_true(buffer_print(&got, "(%.*s)", SPAN_ARGS(t.text)));
	}
	assert_string_equal(buffer_string(&got), expected);
	buffer_free(&got);
}

static struct token only_token(enum lex_dialect dialect, const char *source)
{
	struct lexer lexer = lexer_make(span_text(source), dialect);
	struct token t = lex_next(&lexer);

	assert_int_equal(lex_next(&lexer).kind, TOKEN_END);
	assert_int_equal(lex_next(&lexer).kind, TOKEN_END);
	return t;
}

static void expect_message(const char *source, const char *message)
{
	struct token t = only_token(LEX_RULES, source);

	assert_int_equal(t.kind, TOKEN_ERROR);
	assert_string_equal(t.message, message);
}

static void test_config_words(void **state)
{
	(void)state;
	expect_tokens(LEX_CONFIG, "hostname mx.example.net # comment\nworkers auto",
		"word(hostname) word(mx.example.net) word(workers) word(auto)");
	expect_tokens(LEX_CONFIG, "a{b}c,d=e", "word(a) { word(b) } word(c) , word(d) = word(e)");
	expect_tokens(LEX_CONFIG, "state /var/lib/postern:x unix:/run/l",
		"word(state) word(/var/lib/postern:x) word(unix:/run/l)");
	expect_tokens(LEX_CONFIG, "listen 0.0.0.0:25 [::]:25 mx:25",
		"word(listen) word(0.0.0.0:25) word([::]:25) word(mx:25)");
	expect_tokens(LEX_CONFIG, "redis://[u:p@]h:1/0 a@b", "word(redis://[u:p@]h:1/0) word(a@b)");
	expect_tokens(LEX_CONFIG,
		"b\xc3\xbc"
		"cher.example",
		"word(b\xc3\xbc"
		"cher.example)");
	expect_tokens(LEX_CONFIG, "mx;", "word(mx) error(;)");
}

static void test_numbers(void **state)
{
	struct token t;

	(void)state;
	expect_tokens(LEX_CONFIG, "5 -5 1.2 -0.5 0",
		"number(5) number(-5) number(1.2) number(-0.5) number(0)");
	expect_tokens(LEX_RULES, "5m 10s 7d 250ms 2w 1h",
		"duration(5m) duration(10s) duration(7d) "
		"duration(250ms) duration(2w) duration(1h)");
	expect_tokens(LEX_RULES, "25MB 32KB 2GB 1TB 7B",
		"size(25MB) size(32KB) size(2GB) size(1TB) size(7B)");
	expect_tokens(LEX_RULES, "100/1h 5.7.1", "rate(100/1h) code(5.7.1)");
	expect_tokens(LEX_RULES, "50mb 5x 1.5h 7zip.exe",
		"error(50mb) error(5x) error(1.5h) error(7zip.exe)");
	expect_tokens(LEX_CONFIG, "50mb 5M 3com.example 3com",
		"error(50mb) error(5M) word(3com.example) error(3com)");

	t = only_token(LEX_RULES, "32KB");
	assert_int_equal(t.size_bytes, 32768);
	t = only_token(LEX_RULES, "7d");
	assert_int_equal(t.duration_ms, 7ULL * 24 * 3600 * 1000);
	t = only_token(LEX_RULES, "100/30m");
	assert_int_equal(t.rate.count, 100);
	assert_int_equal(t.rate.per_ms, 30 * 60 * 1000);
	t = only_token(LEX_RULES, "-0.25");
	assert_true(t.number > -0.2501 && t.number < -0.2499 && !t.whole);
	t = only_token(LEX_RULES, "999999999999999");
	assert_true(t.whole && (uint64_t)t.number == 999999999999999);
	expect_message("1234567890123456", "this number has too many digits");
	expect_message("99999999999999TB", "this number is too large");
	expect_message("99999999999999999999w", "this number is too large");
	expect_message("5/0s", "a rate counts over a time that is not 0");
}

static void test_addresses(void **state)
{
	struct token t;

	(void)state;
	expect_tokens(LEX_RULES,
		"192.0.2.7 192.0.2.0/24 ::1 2001:db8::/32 fe80::1 dead:beef::/16 ::",
		"address(192.0.2.7) cidr(192.0.2.0/24) address(::1) cidr(2001:db8::/32) "
		"address(fe80::1) cidr(dead:beef::/16) address(::)");
	expect_tokens(LEX_RULES, "127.0.0.2-127.0.0.11", "range(127.0.0.2-127.0.0.11)");
	expect_tokens(LEX_RULES, "list dead:cidr x : ip",
		"word(list) word(dead) : word(cidr) word(x) : word(ip)");
	expect_tokens(LEX_RULES, "1.2.3.4:25 10.0.0.0/33", "error(1.2.3.4:25) error(10.0.0.0/33)");
	expect_tokens(LEX_CONFIG, "{ ::1,10.0.0.0/8 2001:db8::/32}",
		"{ address(::1) , cidr(10.0.0.0/8) cidr(2001:db8::/32) }");
	t = only_token(LEX_RULES, "::ffff:192.0.2.1");
	assert_int_equal(t.network.ip.family, IP_V4);
	assert_int_equal(t.network.prefix_bits, 32);
	t = only_token(LEX_RULES, "10.1.2.3/8");
	assert_int_equal(t.network.ip.bytes[1], 0);
	expect_message("127.0.0.9-127.0.0.2",
		"a range of addresses goes from a lower one to a higher one");
}

static void test_rules(void **state)
{
	(void)state;
	expect_tokens(LEX_RULES,
		"rule spf-dmarc { when spf == fail and mail.dmarc_policy != reject }",
		"word(rule) word(spf-dmarc) { word(when) word(spf) == word(fail) word(and) "
		"word(mail.dmarc_policy) != word(reject) }");
	expect_tokens(LEX_RULES, "when rate(mail.from) > 100/1h then score -4 \"x\"",
		"word(when) word(rate) ( word(mail.from) ) > rate(100/1h) word(then) word(score) "
		"number(-4) string(\"x\")");
	expect_tokens(LEX_RULES, "subject ~ /^(re|aw):\\/[\"#]/ and x in @blocked",
		"word(subject) ~ regex(/^(re|aw):\\/[\"#]/) word(and) word(x) word(in) "
		"list(@blocked)");
	expect_tokens(LEX_RULES, "a<1 b<=2 c>=3 d=e",
		"word(a) < number(1) word(b) <= number(2) "
		"word(c) >= number(3) word(d) = word(e)");
	expect_tokens(LEX_RULES, "{127.0.0.2-127.0.0.11} {\"exe\",\"scr\"}",
		"{ range(127.0.0.2-127.0.0.11) } { string(\"exe\") , string(\"scr\") }");
	expect_tokens(LEX_RULES, "a ! b $ [ @ 1",
		"word(a) error(!) word(b) error($) error([) error(@) number(1)");
}

static void expect_meaning(enum lex_dialect dialect, const char *source, const char *value)
{
	struct token t = only_token(dialect, source);
	struct arena *arena = arena_new(64);

	assert_true(token_is_value(t.kind));
	assert_string_equal(token_value(&t, arena), value);
	arena_free(&arena);
}

static void test_values(void **state)
{
	(void)state;
	expect_meaning(LEX_CONFIG, "\"a \\\"b\\\" \\\\ \\n\\r\\t\"", "a \"b\" \\ \n\r\t");
	expect_meaning(LEX_CONFIG, "\"\"", "");
	expect_meaning(LEX_CONFIG, "\"{ # not a comment }\"", "{ # not a comment }");
	expect_meaning(LEX_CONFIG, "/a/path", "/a/path");
	expect_meaning(LEX_RULES, "/a\\/b\\\\/", "a\\/b\\\\");
	expect_meaning(LEX_RULES, "@list-1", "list-1");
	expect_meaning(LEX_RULES, "5m", "5m");
}

static void test_broken(void **state)
{
	(void)state;
	expect_message("\"abc", "this string has no closing quote on its line");
	expect_message("\"abc\\", "this string has no closing quote on its line");
	expect_message("/abc", "this regex has no closing / on its line");
	expect_message(
		"\"a\\qb\"", "this string has an unknown escape; known are \\\" \\\\ \\n \\r \\t");
	expect_message("\"a\xff\"", "this is not valid UTF-8");
	expect_message("\"a\x01\"", "a control character stands in this text");
	expect_message("\xff\xfe\x80", "this is not valid UTF-8");
	expect_message("\x01\x02", "a control character stands here");
	expect_message("\xc0\xaf", "this is not valid UTF-8");
	expect_message("\xed\xa0\x80", "this is not valid UTF-8");
	expect_message("\xe2\x80\x9c",
		"this character only looks like a quote or a space, or can't be seen");
	expect_message(";", "no ; is needed");
	expect_message("'", "strings stand in double quotes");
	expect_tokens(LEX_CONFIG, "a \"b\nc \"d\"", "word(a) error(\"b) word(c) string(\"d\")");
	expect_tokens(LEX_CONFIG, "\xe2\x80\x9cmx\xe2\x80\x9d",
		"error(\xe2\x80\x9c) word(mx) error(\xe2\x80\x9d)");
	expect_tokens(LEX_CONFIG, "\xef\xbb\xbfhostname x", "word(hostname) word(x)");
}

static void test_positions(void **state)
{
	struct lexer lexer = lexer_make(
		SPAN("a b\r\n\t\"\xc3\xa4\xe6\x97\xa5\" c\n# x\n\n  d\xff e"), LEX_CONFIG);
	static const struct {
		unsigned line, column;
		bool first;
	} expected[] = {{1, 1, true}, {1, 3, false}, {2, 2, true}, {2, 7, false}, {5, 3, true},
		{5, 4, false}, {5, 6, false}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(expected); i++) {
		struct token t = lex_next(&lexer);

		assert_int_equal(t.line, expected[i].line);
		assert_int_equal(t.column, expected[i].column);
		assert_int_equal(t.first_on_line, expected[i].first);
	}
	assert_int_equal(lex_next(&lexer).kind, TOKEN_END);
}

/* Every text, cut at every byte, ends and covers the source. */
static void test_total(void **state)
{
	char source[] =
		"a\"b\\\"\" {5m} /x\\// @l ::1 10.0.0.0/8 1.2 \xc3\xa4\xff\x01 != <= 1-2 -3";
	(void)state;
	for (size_t cut = 0; cut <= sizeof(source) - 1; cut++) {
		for (int dialect = LEX_CONFIG; dialect <= LEX_RULES; dialect++) {
			struct lexer lexer = lexer_make(span_make(source, cut), dialect);
			size_t count = 0;

			while (lex_next(&lexer).kind != TOKEN_END)
				assert_true(++count <= cut);
			assert_int_equal(lexer.at, cut);
		}
	}
}

/* --- diagnostics --- */

static void expect_diagnostic(
	const char *source, unsigned nth, const char *help, const char *expected)
{
	struct lexer lexer = lexer_make(span_text(source), LEX_CONFIG);
	struct buffer out = BUFFER_INIT(1 << 16);
	struct diagnostics d = {"f.conf", span_text(source), &out, 0, 0};
	struct token t = lex_next(&lexer);

	while (nth-- > 0)
		t = lex_next(&lexer);
	diagnose(&d, SEVERITY_ERROR, &t, help, "wrong %s", "thing");
	assert_string_equal(buffer_string(&out), expected);
	assert_int_equal(d.n_errors, 1);
	buffer_free(&out);
}

static void test_diagnostics(void **state)
{
	char wide[400], expected[400];

	(void)state;
	expect_diagnostic("a\nb see c", 2, NULL,
		"f.conf:2:3: error: wrong thing\n"
		"    b see c\n"
		"      ^~~\n");
	expect_diagnostic("\ta\tbc", 1, "do it",
		"f.conf:1:4: error: wrong thing\n"
		"            a       bc\n"
		"                    ^~\n"
		"    help: do it\n");
	/* Characters that are two columns wide. */
	expect_diagnostic("\"\xe6\x97\xa5\xe6\x9c\xac\" x\r", 1, NULL,
		"f.conf:1:6: error: wrong thing\n"
		"    \"\xe6\x97\xa5\xe6\x9c\xac\" x\n"
		"           ^\n");
	/* Nothing of the source can drive the terminal. */
	expect_diagnostic("\x1b[31m\xff x\xe2\x80\xae", 3, NULL,
		"f.conf:1:8: error: wrong thing\n"
		"    ?[31m? x?\n"
		"           ^\n");
	/* The end of the file, behind its last line. */
	expect_diagnostic("a\nb ", 2, NULL,
		"f.conf:2:3: error: wrong thing\n"
		"    b \n"
		"      ^\n");
	memset(wide, 'a', 300);
	memcpy(wide + 300, " b ", 3);
	memset(wide + 303, 'c', 60);
	wide[363] = '\0';
	snprintf(expected, sizeof(expected),
		"f.conf:1:302: error: wrong thing\n    ...%.59s b %.30s...\n    %63s^\n", wide,
		wide + 303, "");
	expect_diagnostic(wide, 1, NULL, expected);
}

static const char *nearest_of(const char *word, const char *const *candidates)
{
	struct nearest nearest = nearest_to(span_text(word));

	for (; *candidates; candidates++)
		nearest_offer(&nearest, *candidates);
	return nearest.best ? nearest.best : "";
}

static void test_nearest(void **state)
{
	static const char *const keys[] = {
		"hostname", "listen", "tls", "to", "relay_domains", "least-connections", NULL};

	(void)state;
	assert_string_equal(nearest_of("hostnme", keys), "hostname");
	assert_string_equal(nearest_of("hsotname", keys), "hostname");
	assert_string_equal(nearest_of("HOSTNAME", keys), "hostname");
	assert_string_equal(nearest_of("lisetn", keys), "listen");
	assert_string_equal(nearest_of("tsl", keys), "tls");
	assert_string_equal(nearest_of("relaydomain", keys), "relay_domains");
	assert_string_equal(nearest_of("least_connections", keys), "least-connections");
	assert_string_equal(nearest_of("zz", keys), "");
	assert_string_equal(nearest_of("x", keys), "");
	assert_string_equal(nearest_of("", keys), "");
	assert_string_equal(nearest_of("something", keys), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_words),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_positions),
		cmocka_unit_test(test_total),
		cmocka_unit_test(test_diagnostics),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Files of lists: lines, comments, reasons, quotes, and how mistakes in them are told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "policy/list.h"

struct outcome {
	struct list *list; /* sealed */
	struct buffer told;
	size_t n_errors, n_warnings;
};

static struct outcome read_bytes(enum list_type type, struct span content)
{
	struct outcome o = {.list = list_new(type, NULL, NULL), .told = BUFFER_INIT(1 << 20)};
	struct diagnostics d = {.file = "l.txt", .source = content, .out = &o.told};

	list_read(o.list, &d);
	list_seal(o.list);
	o.n_errors = d.n_errors;
	o.n_warnings = d.n_warnings;
	return o;
}

static struct outcome read_text(enum list_type type, const char *content)
{
	return read_bytes(type, span_text(content));
}

static void outcome_free(struct outcome *o)
{
	list_free(&o->list);
	buffer_free(&o->told);
}

/* One line, read as one item with its reason. */
static void expect_line(enum list_type type, const char *line, const char *value, const char *item,
	const char *reason)
{
	struct outcome o = read_text(type, line);
	struct list_hit hit = {.item = SPAN_NONE};
	struct ip ip;
	bool found;

	assert_string_equal(buffer_string(&o.told), "");
	assert_int_equal(list_count(o.list), 1);
	if (type == LIST_CIDR || type == LIST_IP)
		found = ip_parse(span_text(value), &ip) && list_match_ip(o.list, &ip, &hit);
	else
		found = list_match_text(o.list, span_text(value), &hit);
	if (!found)
		fail_msg("`%s` does not match %s", line, value);
	if (!span_equal(hit.item, span_text(item)))
		fail_msg("`%s` is read as `%.*s`", line, SPAN_ARGS(hit.item));
	if (!span_equal(hit.reason, span_text(reason)))
		fail_msg("`%s` has the reason `%.*s`", line, SPAN_ARGS(hit.reason));
	outcome_free(&o);
}

static void expect_told(enum list_type type, const char *content, const char *told)
{
	struct outcome o = read_text(type, content);

	assert_string_equal(buffer_string(&o.told), told);
	outcome_free(&o);
}

static void test_lines(void **state)
{
	struct outcome o = read_text(LIST_CIDR, "\xef\xbb\xbf"
						"192.0.2.0/24\r\n"
						"# 10.0.0.0/8\n"
						"\n"
						" \t\r\n"
						"  #\n"
						"\t198.51.100.1\n"
						"2001:db8::/32");
	struct ip ip;

	(void)state;
	assert_string_equal(buffer_string(&o.told), "");
	assert_int_equal(o.n_errors + o.n_warnings, 0);
	assert_int_equal(list_count(o.list), 3);
	assert_true(ip_parse(SPAN("198.51.100.1"), &ip) && list_match_ip(o.list, &ip, NULL));
	assert_true(ip_parse(SPAN("2001:db8::5"), &ip) && list_match_ip(o.list, &ip, NULL));
	assert_true(ip_parse(SPAN("10.0.0.1"), &ip) && !list_match_ip(o.list, &ip, NULL));
	outcome_free(&o);
}

static void test_empty_files(void **state)
{
	static const char *const files[] = {"", "\n", "\r\n\r\n", "# nothing", "\xef\xbb\xbf"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		struct outcome o = read_text(LIST_TEXT, files[i]);

		assert_string_equal(buffer_string(&o.told), "");
		assert_int_equal(list_count(o.list), 0);
		outcome_free(&o);
	}
}

static void test_reasons(void **state)
{
	(void)state;
	expect_line(LIST_CIDR, "192.0.2.0/24 ; SBL123\n", "192.0.2.1", "192.0.2.0/24", "SBL123");
	expect_line(LIST_CIDR, "192.0.2.0/24;SBL123", "192.0.2.1", "192.0.2.0/24", "SBL123");
	expect_line(LIST_CIDR, "192.0.2.0/24 SBL 123 \r\n", "192.0.2.1", "192.0.2.0/24", "SBL 123");
	expect_line(LIST_CIDR, "192.0.2.0/24#why", "192.0.2.1", "192.0.2.0/24", "why");
	expect_line(
		LIST_IP, "192.0.2.1\t# since May #4;x", "192.0.2.1", "192.0.2.1", "since May #4;x");
	expect_line(LIST_IP, "192.0.2.1 ;", "192.0.2.1", "192.0.2.1", "");
	expect_line(LIST_IP, "192.0.2.1 ;# x", "192.0.2.1", "192.0.2.1", "# x");
	expect_line(LIST_DOMAIN, "example.com  spam", "example.com", "example.com", "spam");
	expect_line(LIST_DOMAIN, "example.com\tsp\tam", "example.com", "example.com", "sp\tam");
	expect_line(LIST_TEXT, "buy now ; spam", "buy now", "buy now", "spam");
	expect_line(LIST_TEXT, "buy#now # spam", "buy#now", "buy#now", "spam");
	expect_line(LIST_TEXT, "buy now;spam # x", "buy now", "buy now", "spam # x");
	expect_line(LIST_TEXT, "buy now\t#", "buy now", "buy now", "");
}

static void test_mail_lines(void **state)
{
	(void)state;
	expect_line(LIST_MAIL, "a#b@example.com #x", "a#b@example.com", "a#b@example.com", "x");
	expect_line(LIST_MAIL, "\"a; #\\\" b\"@example.com why", "\"a; #\\\" b\"@example.com",
		"\"a; #\\\" b\"@example.com", "why");
	expect_line(LIST_MAIL, "\"a@example.com\" why", "a@example.com", "a@example.com", "why");
	expect_line(LIST_MAIL, "<> ; bounces", "", "<>", "bounces");
	expect_line(LIST_MAIL, "@example.com;all", "x@example.com", "@example.com", "all");
}

static void test_quotes(void **state)
{
	(void)state;
	expect_line(LIST_TEXT, "\"a;b #c\" ; odd", "a;b #c", "a;b #c", "odd");
	expect_line(LIST_TEXT, "\"say \\\"hi\\\" \\\\\"", "say \"hi\" \\", "say \"hi\" \\", "");
	expect_line(LIST_TEXT, "\" blanks \"#x", " blanks ", " blanks ", "x");
	expect_line(LIST_TEXT, "say \"hi\"", "say \"hi\"", "say \"hi\"", "");
	expect_line(LIST_DOMAIN, "\"example.com\"", "example.com", "example.com", "");
	expect_line(LIST_CIDR, "\"192.0.2.1\" x", "192.0.2.1", "192.0.2.1", "x");
}

static void test_mistakes(void **state)
{
	(void)state;
	expect_told(LIST_CIDR, "10.0.0.0/8\n  10.0.0.300 ; x\r\n",
		"l.txt:2:3: error: `10.0.0.300` is no address or network\n"
		"      10.0.0.300 ; x\n"
		"      ^~~~~~~~~~\n");
	expect_told(LIST_CIDR, "10.0.0.1/8",
		"l.txt:1:1: warning: `10.0.0.1/8` has bits set behind its prefix, it is read as "
		"`10.0.0.0/8`\n"
		"    10.0.0.1/8\n"
		"    ^~~~~~~~~~\n");
	expect_told(LIST_TEXT,
		"\xef\xbb\xbf"
		"\"abc",
		"l.txt:1:1: error: the closing quote is missing\n"
		"    \"abc\n"
		"    ^~~~\n");
	expect_told(LIST_TEXT, "\"\xc3\xa4\"x",
		"l.txt:1:4: error: behind a closing quote a blank or `;` is missing\n"
		"    \"\xc3\xa4\"x\n"
		"       ^\n");
	expect_told(LIST_TEXT, "\"a\\nb\"",
		"l.txt:1:3: error: in quotes a backslash stands only before a quote or a "
		"backslash\n"
		"    \"a\\nb\"\n"
		"      ^~\n");
	expect_told(LIST_TEXT, "; only a reason",
		"l.txt:1:1: error: an item is missing\n"
		"    ; only a reason\n"
		"    ^~~~~~~~~~~~~~~\n");
	expect_told(LIST_TEXT, "\"\"",
		"l.txt:1:1: error: an item is empty\n"
		"    \"\"\n"
		"    ^~\n");
	expect_told(LIST_TEXT, "a ; \xff",
		"l.txt:1:5: error: a reason holds a control character, or bytes that are no "
		"UTF-8\n"
		"    a ; ?\n"
		"        ^\n");
	expect_told(LIST_TEXT,
		"\xff\xfe"
		"a",
		"l.txt: error: the file is UTF-16\n"
		"    help: write it anew as UTF-8\n");
}

static void test_nul_is_a_mistake(void **state)
{
	struct outcome o = read_bytes(LIST_TEXT, SPAN("a\0b\nc\n"));

	(void)state;
	assert_int_equal(o.n_errors, 1);
	assert_int_equal(list_count(o.list), 1);
	outcome_free(&o);
}

static void test_right_lines_stay(void **state)
{
	struct outcome o = read_text(LIST_DOMAIN, "a.example\nb..example\nc.example\n");

	(void)state;
	assert_int_equal(o.n_errors, 1);
	assert_int_equal(list_count(o.list), 2);
	assert_true(list_match_text(o.list, SPAN("c.example"), NULL));
	outcome_free(&o);
}

static void test_many_mistakes_are_counted(void **state)
{
	struct buffer content = BUFFER_INIT(1 << 20);
	size_t shown = 0;
	struct outcome o;
	struct span rest;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(buffer_print(&content, "10.0.%d/8\n192.0.2.%d/24\n", i, i % 255 + 1));
	o = read_bytes(LIST_CIDR, buffer_span(&content));
	assert_int_equal(o.n_errors, 1000);
	assert_int_equal(o.n_warnings, 1000);
	assert_int_equal(list_count(o.list), 1);
	for (rest = buffer_span(&o.told); rest.len;) {
		size_t end = span_find_char(rest, '\n');

		shown += span_starts(rest, SPAN("l.txt:"));
		rest = span_from(rest, end + 1);
	}
	assert_int_equal(shown, LIST_TOLD_MAX + 2);
	assert_non_null(strstr(buffer_string(&o.told),
		"l.txt: error: 990 more mistakes of this file are not shown\n"
		"l.txt: warning: 990 more warnings of this file are not shown\n"));
	buffer_free(&content);
	outcome_free(&o);
}

static void test_one_more_is_counted(void **state)
{
	struct buffer content = BUFFER_INIT(1 << 20);
	struct outcome o;

	(void)state;
	for (int i = 0; i <= LIST_TOLD_MAX; i++)
		assert_true(buffer_print(&content, "x\n"));
	o = read_bytes(LIST_IP, buffer_span(&content));
	assert_int_equal(o.n_errors, LIST_TOLD_MAX + 1);
	assert_non_null(strstr(buffer_string(&o.told),
		"l.txt: error: 1 more mistake of this file is not shown\n"));
	buffer_free(&content);
	outcome_free(&o);
}

static void test_long_lines(void **state)
{
	struct buffer content = BUFFER_INIT(1 << 22);
	struct outcome o;

	(void)state;
	for (int i = 0; i < 1 << 20; i++)
		assert_true(buffer_add_char(&content, 'x'));
	assert_true(buffer_print(&content, "\n\""));
	for (int i = 0; i < 1 << 20; i++)
		assert_true(buffer_add_char(&content, 'x'));
	assert_true(buffer_print(&content, "\"\nlast\n"));
	o = read_bytes(LIST_TEXT, buffer_span(&content));
	assert_int_equal(o.n_errors, 2);
	assert_int_equal(list_count(o.list), 1);
	assert_true(list_match_text(o.list, SPAN("last"), NULL));
	buffer_free(&content);
	outcome_free(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_empty_files),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_mail_lines),
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_nul_is_a_mistake),
		cmocka_unit_test(test_right_lines_stay),
		cmocka_unit_test(test_many_mistakes_are_counted),
		cmocka_unit_test(test_one_more_is_counted),
		cmocka_unit_test(test_long_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The layout of rule files: what it looks like, that it changes white space only, and that what was
 * formatted once stays as it is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "policy/format.h"
#include "policy/format_marks.h"

enum { OUT_MAX = 1 << 20 };

/* The layout of a text, or what is said about it behind "!". Owned by the caller. */
static char *layout_of(struct span source)
{
	struct buffer out = BUFFER_INIT(OUT_MAX), report = BUFFER_INIT(OUT_MAX);
	char *text;

	if (rules_format("x.rules", source, &out, &report)) {
		assert_int_equal(report.len, 0);
		text = strdup(buffer_string(&out));
	} else {
		assert_int_equal(out.len, 0);
		assert_true(asprintf(&text, "!%s", buffer_string(&report)) >= 0);
	}
	buffer_free(&out);
	buffer_free(&report);
	return text;
}

static void expect_same_marks(struct span a, struct span b)
{
	struct buffer report = BUFFER_INIT(OUT_MAX);
	struct diagnostics d = {"a", a, &report, 0, 0}, e = {"b", b, &report, 0, 0};
	struct marks x, y;

	assert_true(marks_read(&x, a, &d));
	assert_true(marks_read(&y, b, &e));
	assert_true(marks_same(&x, &y));
	marks_free(&x);
	marks_free(&y);
	buffer_free(&report);
}

static void expect_sound(struct span source, const char *layout)
{
	char *again = layout_of(span_text(layout));

	expect_same_marks(source, span_text(layout));
	assert_string_equal(again, layout);
	free(again);
}

static void expect(const char *source, const char *layout)
{
	char *got = layout_of(span_text(source));

	assert_string_equal(got, layout);
	expect_sound(span_text(source), got);
	free(got);
}

static void expect_refused(const char *source, const char *part)
{
	char *got = layout_of(span_text(source));

	assert_int_equal(got[0], '!');
	if (!strstr(got, part))
		fail_msg("`%s` is not in: %s", part, got);
	free(got);
}

/* --- what it looks like --- */

static void nothing_stays_nothing(void **state)
{
	(void)state;
	expect("", "");
	expect(" \n\t\r\n", "");
	expect("\xef\xbb\xbf# a  \r\n", "# a\n");
	expect("# a\n\n\n\n# b", "# a\n\n# b\n");
}

static void a_short_rule_is_a_line(void **state)
{
	(void)state;
	expect("rule   a\n{ when  client.ip in @b\n\nthen reject now 554 5.7.1 \"x\"}",
		"rule a { when client.ip in @b then reject now 554 5.7.1 \"x\" }\n");
	expect("rule r monitor{when rate (mail.from)>100/1h and(a==b or(c!=-5))then accept}",
		"rule r monitor { when rate(mail.from) > 100/1h and (a == b or (c != -5)) then "
		"accept }\n");
	expect("rule a{}", "rule a { }\n");
	/* Words that begin clauses may be values, names and tags. */
	expect("rule then{when subject==then and x in{when,\"unless\"}then tag then}",
		"rule then { when subject == then and x in { when, \"unless\" } then tag then }\n");
}

static void a_rule_of_a_hundred_columns_is_a_line(void **state)
{
	char source[512], line[512], broken[512];

	(void)state;
	for (int len = 60; len <= 62; len++) {
		char text[128] = {0};

		memset(text, 'x', (size_t)len);
		snprintf(source, sizeof(source), "rule abc{when spf==fail then reject \"%s\"}",
			text);
		snprintf(line, sizeof(line), "rule abc { when spf == fail then reject \"%s\" }\n",
			text);
		snprintf(broken, sizeof(broken),
			"rule abc {\n    when spf == fail\n    then reject \"%s\"\n}\n", text);
		expect(source, strlen(line) <= FORMAT_COLUMNS + 1 ? line : broken);
	}
	assert_true(strlen(line) > FORMAT_COLUMNS + 1);
}

static void clauses_of_a_long_rule_are_aligned(void **state)
{
	(void)state;
	expect("rule spf-dmarc { when spf == fail and mail.dmarc_policy == reject\n"
	       "unless client.ip in @forwarders then reject 550 5.7.23\n"
	       "\"SPF fails and {mail.domain} asks for rejection\" }",
		"rule spf-dmarc {\n"
		"    when   spf == fail and mail.dmarc_policy == reject\n"
		"    unless client.ip in @forwarders\n"
		"    then   reject 550 5.7.23 \"SPF fails and {mail.domain} asks for rejection\"\n"
		"}\n");
	expect("rule a { on error defer # so\nwhen a == b then accept }",
		"rule a {\n"
		"    on error defer  # so\n"
		"    when     a == b\n"
		"    then     accept\n"
		"}\n");
}

static void long_conditions_break_at_their_joints(void **state)
{
	(void)state;
	expect("rule a { when (client.ip in @one or client.rdns under \"example.com\") and not "
	       "(subject ~ /x/ or spf == fail) and mail.from == \"a@example.com\" then tag "
	       "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", tag "
	       "\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\", "
	       "accept }",
		"rule a {\n"
		"    when (client.ip in @one or client.rdns under \"example.com\")\n"
		"         and not (subject ~ /x/ or spf == fail)\n"
		"         and mail.from == \"a@example.com\"\n"
		"    then tag \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\n"
		"         tag \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\",\n"
		"         accept\n"
		"}\n");
}

static void long_lists_fill_their_lines(void **state)
{
	char source[1024] = "list a : text {", *got;

	(void)state;
	for (int i = 0; i < 40; i++)
		snprintf(source + strlen(source), 40, "%s\"item %d\"", i ? "," : "", i);
	strcat(source, "}");
	got = layout_of(span_text(source));
	expect_sound(span_text(source), got);
	assert_non_null(strstr(got, "list a : text {\n    \"item 0\", \"item 1\", "));
	assert_non_null(strstr(got, "\"item 39\"\n}\n"));
	for (char *line = strtok(got, "\n"); line; line = strtok(NULL, "\n"))
		assert_true(strlen(line) <= FORMAT_COLUMNS);
	free(got);
	expect("list z:ip from dnsbl \"zen.example\"{127.0.0.2-127.0.0.11}list b : cidr {}",
		"list z : ip from dnsbl \"zen.example\" { 127.0.0.2-127.0.0.11 }\n"
		"list b : cidr { }\n");
}

static void bodies_of_for_are_indented(void **state)
{
	(void)state;
	expect("for x in{\"a\"}{for y==b{rule r{then accept}\n\n\nrule s{then accept}}}",
		"for x in { \"a\" } {\n"
		"    for y == b {\n"
		"        rule r { then accept }\n"
		"\n"
		"        rule s { then accept }\n"
		"    }\n"
		"}\n");
	expect("for y == b {\n\n# only this\n\n}", "for y == b {\n    # only this\n}\n");
}

static void tests_have_a_line_for_each_part(void **state)
{
	(void)state;
	expect("test \"a\"{with @f={192.0.2.0/24}given client.ip=192.0.2.7,spf=fail expect accept "
	       "by "
	       "x}include \"b.rules\"",
		"test \"a\" {\n"
		"    with @f = { 192.0.2.0/24 }\n"
		"    given client.ip = 192.0.2.7, spf = fail\n"
		"    expect accept by x\n"
		"}\n"
		"include \"b.rules\"\n");
}

static void comments_stay_where_they_are(void **state)
{
	(void)state;
	expect("rule a {  # head\n# own\nwhen a == b # because\nand c == d\n# before then\nthen "
	       "accept "
	       "# last\n# end\n} # behind\n# next",
		"rule a {  # head\n"
		"    # own\n"
		"    when a == b  # because\n"
		"         and c == d\n"
		"    # before then\n"
		"    then accept  # last\n"
		"    # end\n"
		"}  # behind\n"
		"# next\n");
	expect("list a : cidr {\n192.0.2.0/24, # one\n\n# two\n192.0.3.0/24,192.0.4.0/24\n}",
		"list a : cidr {\n"
		"    192.0.2.0/24,  # one\n"
		"\n"
		"    # two\n"
		"    192.0.3.0/24, 192.0.4.0/24\n"
		"}\n");
	expect("rule # odd\na { then accept }", "rule  # odd\n    a {\n    then accept\n}\n");
}

/* --- what it refuses --- */

static void what_has_mistakes_is_refused(void **state)
{
	(void)state;
	expect_refused(
		"rule a { then reject \"x }\n", "x.rules:1:22: error: this string has no closing");
	expect_refused("rule a { then accept", "1:8: error: this `{` is never closed");
	expect_refused("rule a { when (b } then accept }", "1:18: error: this `}` closes nothing");
	expect_refused("}", "1:1: error: this `}` closes nothing");
	expect_refused("wibble", "1:1: error: a rule, list, for, test or include begins here");
	expect_refused("rule", "a name and { ... } belong behind this");
	expect_refused("rule a { accept }", "1:10: error: a rule's body begins with");
	expect_refused("test \"a\" { then }", "1:12: error: a test's body begins with");
	expect_refused("for", "belong behind `for`");
	expect_refused("include", "begins here");
}

static void what_is_too_deep_is_refused(void **state)
{
	static const char said[] = "stand in one another";
	char source[256] = "rule a { when ", *got;

	(void)state;
	memset(source + strlen(source), '(', 70);
	expect_refused(source, said);
	got = layout_of(span_text(source));
	assert_null(strstr(strstr(got, said) + 1, said)); /* once */
	free(got);
}

static void what_is_too_large_is_refused(void **state)
{
	struct buffer out = BUFFER_INIT(20), report = BUFFER_INIT(OUT_MAX);

	(void)state;
	assert_false(rules_format("x", SPAN("rule a { then accept }"), &out, &report));
	assert_int_equal(out.len, 0);
	assert_non_null(strstr(buffer_string(&report), "too large"));
	buffer_free(&out);
	buffer_free(&report);
}

/* --- whatever comes --- */

static unsigned pick(unsigned n)
{
	return (unsigned)rand() % n;
}

/* A piece, and behind it any white space and comments. */
static void add(struct buffer *out, const char *piece)
{
	static const char *const gaps[] = {" ", " ", " ", " ", "\n", "\n\n\n", " # trailing\n",
		"\n# own\n", "\n\n# own\n\n", " #a\n #b\n"};
	/* Some texts have nearly none. */
	unsigned choices = out->max % 2 ? COUNT_OF(gaps) : 4;

	assert_true(buffer_add_text(out, piece));
	assert_true(buffer_add_text(out, gaps[pick(choices)]));
}

static void add_set(struct buffer *out)
{
	static const char *const values[] = {"\"a\"", "then", "192.0.2.0/24", "5m", "in", "/r x/",
		"\"a long value, of which two or three or four fill a line\""};

	add(out, "{");
	for (unsigned n = pick(3) ? pick(4) : pick(20); n > 0; n--) {
		add(out, values[pick(COUNT_OF(values))]);
		if (n > 1)
			add(out, ",");
	}
	add(out, "}");
}

static void add_condition(struct buffer *out, unsigned depth)
{
	for (unsigned n = 1 + pick(3); n > 0; n--) {
		if (pick(5) == 0)
			add(out, "not");
		if (depth && pick(4) == 0) {
			add(out, "(");
			add_condition(out, depth - 1);
			add(out, ")");
		} else if (pick(3) == 0) {
			add(out, "client.ip");
			add(out, "in");
			add_set(out);
		} else {
			add(out, pick(2) ? "any header(\"X\")" : "subject");
			add(out, "==");
			add(out, pick(2) ? "when" : "\"some longer text to compare with\"");
		}
		if (n > 1)
			add(out, depth % 2 ? "and" : "or");
	}
}

static void add_rule(struct buffer *out)
{
	static const char *const actions[] = {"accept", "tag \"a\"", "score 4 \"zen\"",
		"reject now 554 5.7.1 \"Blocked: {list.reason}, and that is that\"",
		"header add then \"x\""};

	add(out, "rule");
	add(out, "name");
	if (pick(4) == 0)
		add(out, "monitor");
	add(out, "{");
	for (unsigned n = pick(3); n > 0; n--) {
		add(out, pick(2) ? "when" : "unless");
		add_condition(out, 2);
	}
	if (pick(5) == 0)
		add(out, "on error defer");
	add(out, "then");
	for (unsigned n = 1 + pick(3); n > 0; n--) {
		add(out, actions[pick(COUNT_OF(actions))]);
		if (n > 1)
			add(out, ",");
	}
	add(out, "}");
}

static void add_test(struct buffer *out)
{
	add(out, "test");
	add(out, "\"name\"");
	add(out, "{");
	add(out, "given");
	for (unsigned n = 1 + pick(6); n > 0; n--) {
		add(out, "client.ip");
		add(out, "=");
		add(out, pick(2) ? "given" : "\"some longer text that is given\"");
		if (n > 1)
			add(out, ",");
	}
	add(out, "expect");
	add(out, "accept");
	add(out, "}");
}

static void add_items(struct buffer *out, unsigned depth)
{
	for (unsigned n = pick(4); n > 0; n--) {
		switch (pick(depth ? 5 : 4)) {
		case 0:
			add(out, "list");
			add(out, "l : text");
			add_set(out);
			break;
		case 1:
			add_test(out);
			break;
		case 4:
			add(out, "for");
			add_condition(out, 1);
			add(out, "{");
			add_items(out, depth - 1);
			add(out, "}");
			break;
		default:
			add_rule(out);
		}
	}
}

static void any_layout_is_sound(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 10000; seed++) {
		struct buffer source = BUFFER_INIT(OUT_MAX + seed % 2);
		char *layout;

		srand(seed);
		add_items(&source, 2);
		layout = layout_of(buffer_span(&source));
		if (layout[0] == '!')
			fail_msg("%s\n%s", buffer_string(&source), layout);
		expect_sound(buffer_span(&source), layout);
		free(layout);
		buffer_free(&source);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_stays_nothing),
		cmocka_unit_test(a_short_rule_is_a_line),
		cmocka_unit_test(a_rule_of_a_hundred_columns_is_a_line),
		cmocka_unit_test(clauses_of_a_long_rule_are_aligned),
		cmocka_unit_test(long_conditions_break_at_their_joints),
		cmocka_unit_test(long_lists_fill_their_lines),
		cmocka_unit_test(bodies_of_for_are_indented),
		cmocka_unit_test(tests_have_a_line_for_each_part),
		cmocka_unit_test(comments_stay_where_they_are),
		cmocka_unit_test(what_has_mistakes_is_refused),
		cmocka_unit_test(what_is_too_deep_is_refused),
		cmocka_unit_test(what_is_too_large_is_refused),
		cmocka_unit_test(any_layout_is_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

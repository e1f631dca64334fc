/* What is said about rules that are right: stages, and warnings at their places. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "policy/advise.h"
#include "policy/stages.h"
#include "tests/unit/rules_texts.h"

enum { OUT_MAX = 1 << 20, RULES_MAX = 32 };

static bool read_source(void *context, const char *path, struct span *content, const char **problem)
{
	(void)path;
	(void)problem;
	*content = span_text(context);
	return true;
}

/* All warnings; owned by the caller. */
static struct buffer advice_on(const char *text)
{
	struct policy *policy = policy_new(rules_of(text));
	struct rule_source source = {read_source, (void *)text};
	struct buffer out = BUFFER_INIT(OUT_MAX);
	struct remarks remarks = {&source, &out, 0, 0};

	policy_advise(policy, &remarks);
	assert_int_equal(remarks.n_errors, 0);
	assert_int_equal(remarks.n_warnings > 0, out.len > 0);
	policy_free(&policy);
	return out;
}

static void expect_warning(const char *text, const char *part)
{
	struct buffer out = advice_on(text);

	if (!strstr(buffer_string(&out), part))
		fail_msg("of: %s\nexpected: %s\ngot: %s", text, part, buffer_string(&out));
	buffer_free(&out);
}

static void expect_silence(const char *text)
{
	struct buffer out = advice_on(text);

	assert_string_equal(buffer_string(&out), "");
	buffer_free(&out);
}

/* "connect rcpt never": of each rule. */
static void expect_stages(const char *text, const char *expected)
{
	struct policy *policy = policy_new(rules_of(text));
	struct buffer out = BUFFER_INIT(OUT_MAX);
	enum stage stages[RULES_MAX];

	policy_stages_as_written(policy, stages);
	for (size_t i = 0; i < policy->n_rules; i++)
		assert_true(buffer_print(&out, "%s%s", i ? " " : "", policy_stage_name(stages[i])));
	assert_string_equal(buffer_string(&out), expected);
	buffer_free(&out);
	policy_free(&policy);
}

/* --- stages --- */

static void a_rule_is_as_late_as_what_makes_it_true(void **state)
{
	(void)state;
	expect_stages("rule a { then accept }", "connect");
	expect_stages(
		"rule a { when client.ip in 192.0.2.0/24 and spf == fail then accept }", "mail");
	expect_stages(
		"rule a { when client.ip in 192.0.2.0/24 or spf == fail then accept }", "connect");
	expect_stages(
		"rule a { unless client.ip in 192.0.2.0/24 or spf == fail then accept }", "mail");
	expect_stages("rule a { unless client.ip in 192.0.2.0/24 and spf == fail then accept }",
		"connect");
	expect_stages(
		"for rcpt.domain == \"a.example\" { rule a { when helo == \"b\" then accept } }",
		"rcpt");
	expect_stages("rule a { when subject == \"x\" then accept }"
		      "rule b { when dkim == fail then accept }",
		"message message");
}

static void score_and_tags_are_as_late_as_what_makes_them(void **state)
{
	(void)state;
	expect_stages("rule a { when score > 3 then accept }", "connect");
	expect_stages("rule a { when score > 3 then accept }"
		      "rule b { when dkim == fail then score 2 }"
		      "rule c { when helo == \"x\" then score 2 }"
		      "rule d off { when body contains \"x\" then score 1 }",
		"message message helo message");
	expect_stages("rule a { when spf == fail then tag \"x\" }"
		      "rule b { when any tags == \"x\" then score 1 }"
		      "rule c { when score > 0 then reject }",
		"mail mail mail");
}

static void what_is_not_measured_has_its_stage_all_the_same(void **state)
{
	(void)state;
	expect_stages("rule a { when virus then reject }"
		      "rule b { when not virus and helo == \"x\" on error defer then reject }"
		      "rule c { when virus or helo == \"x\" then reject }"
		      "list s : cidr from store \"s\""
		      "rule d { when client.ip in @s then reject }",
		"message message helo connect");
}

/* --- late above early --- */

static void a_late_rule_holds_early_ones_back(void **state)
{
	(void)state;
	expect_warning("rule late { when dkim == pass then accept }\n"
		       "rule one { when client.ip in 192.0.2.0/24 then reject }\n"
		       "rule two { when helo == \"x\" then defer }\n",
		"t.rules:1:6: warning: rule `late` is decided at message and holds back `one` and "
		"1 "
		"more below it, known at connect already\n"
		"    rule late { when dkim == pass then accept }\n"
		"         ^~~~\n"
		"    help: move it further down, or let them say `reject now`");
	expect_silence("rule late { when dkim == pass then accept }"
		       "rule one { when client.ip in 192.0.2.0/24 then reject now }"
		       "rule two { when client.ip in 192.0.3.0/24 then accept }"
		       "rule three { when dmarc == fail then reject }");
	/* Before RCPT nothing is spoken anyway. */
	expect_silence("rule late { when rcpt.to == \"a@b.example\" then defer }"
		       "rule one { when client.ip in 192.0.2.0/24 then reject }");
	expect_silence("rule late monitor { when dkim == fail then reject }"
		       "rule one { when client.ip in 192.0.2.0/24 then reject }");
	expect_silence("rule late { when dkim == fail then tag \"x\" }"
		       "rule one { when client.ip in 192.0.2.0/24 then reject }");
}

static void rules_for_others_hold_nobody_back(void **state)
{
	(void)state;
	expect_silence(
		"for rcpt.domain == \"a.example\" { rule late { when subject == \"x\" then reject "
		"} }"
		"for rcpt.domain == \"b.example\" { rule one { when helo == \"x\" then reject } }");
	expect_warning(
		"for rcpt.domain == \"a.example\" { rule late { when subject == \"x\" then reject "
		"} }"
		"for rcpt.domain == \"b.example\" { rule one { when helo == \"x\" then reject } }"
		"for rcpt.domain == \"a.example\" { rule two { when helo == \"x\" then reject } }",
		"rule `late` is decided at message and holds back `two` below it");
	/* The second late one does. */
	expect_warning(
		"rule a { when rcpt.domain == \"a.example\" and subject == \"x\" then reject }\n"
		"rule b { when mail.size > 5MB and subject == \"x\" then reject }\n"
		"rule c { when rcpt.domain == \"b.example\" then reject }",
		"t.rules:2:6: warning: rule `b` is decided at message and holds back `c` below it");
}

/* --- accepts --- */

static void an_accept_asks_for_proof(void **state)
{
	static const char warning[] = "rule `a` accepts without authentication";

	(void)state;
	expect_warning("rule a { when mail.from == \"boss@example.com\" then accept }", warning);
	expect_warning("rule a { when from.domain in { \"a.example\" } then accept }", warning);
	expect_warning("rule a { when any header(\"X-Pass\") == \"y\" then accept }", warning);
	expect_warning("rule a { when helo == \"mx.a.example\" and client.rdns under \"a.example\" "
		       "then accept }",
		warning);
	expect_warning(
		"rule a { when helo == \"x\" or client.ip in 192.0.2.1 then accept }", warning);
	expect_warning(
		"rule a { when helo == \"x\" unless client.ip in 192.0.2.1 then accept }", warning);
	expect_silence("rule a { when mail.from == \"b@a.example\" and spf == pass then accept }");
	expect_silence("rule a { when helo == \"x\" and client.ip in 192.0.2.1 then accept }");
	/* Anybody's reverse name leads back; it proves that name, no other. */
	expect_warning(
		"rule a { when helo == \"x\" and client.fcrdns == pass then accept }", warning);
	expect_warning("rule a { when client.rdns under \"a.example\" then accept }", warning);
	expect_warning("rule a { when client.rdns under \"a.example\" and client.fcrdns == fail "
		       "then accept }",
		warning);
	expect_warning("rule a { when client.rdns under \"a.example\" or client.fcrdns == pass "
		       "then accept }",
		warning);
	expect_silence("rule a { when client.rdns under \"a.example\" and client.fcrdns == pass "
		       "then accept }");
	expect_silence("for client.fcrdns == pass { rule a { when mail.domain == \"a.example\" and "
		       "client.rdns under \"a.example\" then accept } }");
	expect_silence(
		"rule a { when helo == \"x\" unless not client.ip in 192.0.2.1 then accept }");
	expect_silence("rule a { when rcpt.local == \"postmaster\" then accept }");
	expect_silence("rule a { when mail.from == \"b@a.example\" then reject }");
	expect_silence("rule a { then accept }");
}

/* --- never --- */

static void contradictions_are_seen(void **state)
{
	static const char warning[] = "its condition contradicts itself on `";

	(void)state;
	expect_warning("rule a { when helo == \"x\" and helo == \"y\" then reject }", warning);
	expect_warning(
		"rule a { when spf == fail and spf in { pass, none } then reject }", warning);
	expect_warning("rule a { when spf == fail unless spf == fail then reject }", warning);
	expect_warning("rule a { when client.port > 5 and client.port < 5 then reject }", warning);
	expect_warning("rule a { when score > 5 when score < 3 then reject }\n"
		       "rule b { when helo == \"x\" then score 9 }",
		"on `score`");
	expect_warning("rule a { when mail.null and not mail.null then reject }", warning);
	expect_warning(
		"rule a { when subject is none and subject contains \"x\" then reject }", warning);
	expect_warning(
		"rule a { when client.country == \"DE\" and client.country in { \"FR\" } then "
		"reject }",
		warning);
	expect_warning("rule a { unless helo == \"x\" or not helo == \"y\" when helo == \"z\" then "
		       "reject }",
		warning);
	expect_silence("rule a { when helo == \"x\" or helo == \"y\" then reject }");
	expect_silence("rule a { when helo == \"x\" and helo == \"X\" then reject }");
	expect_silence("rule a { when client.port > 5 and client.port <= 6 then reject }");
	expect_silence(
		"rule a { when any header(\"X\") == \"x\" and any header(\"X\") == \"y\" then "
		"reject }");
	expect_silence(
		"rule a { when client.country == \"DE\" and client.country in { \"DE\" } then "
		"reject }");
}

static void scores_and_tags_that_nobody_brings_are_seen(void **state)
{
	static const char rules[] = "rule s { when helo == \"x\" then score 2, score 1.5 }\n"
				    "rule t { when helo == \"y\" then score -1, tag \"Bulk\" }\n";
	static const struct {
		const char *when, *warning;
	} cases[] = {
		{"score > 3.5", "rules can bring the score from -1 to 3.5, no further"},
		{"score >= 3.501", "never acts"},
		{"score == 4", "never acts"},
		{"score < -1", "never acts"},
		{"not score <= 3.5", "never acts"},
		{"helo == \"z\" and score > 9", "never acts"},
		{"any tags == \"bulky\"", "no rule above it sets such a tag"},
		{"any tags in { \"a\", \"b\" }", "no rule above it sets such a tag"},
		{"score >= 3.5", NULL},
		{"score <= -1", NULL},
		{"score == 3.5", NULL},
		{"score != 9", NULL},
		{"helo == \"z\" or score > 9", NULL},
		{"any tags == \"bulk\"", NULL},
		{"any tags ~ /^Bu/", NULL},
		{"no tags == \"bulky\"", NULL},
		{"not any tags == \"bulky\"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), "%srule a { when %s then reject }\n", rules,
			cases[i].when);
		if (cases[i].warning)
			expect_warning(text, cases[i].warning);
		else
			expect_silence(text);
	}
	expect_warning("rule a { when any tags == \"x\" then reject }\n"
		       "rule b { when helo == \"x\" then tag \"x\" }",
		"no rule above it sets such a tag");
}

static void texts_quote_lists_that_are_read(void **state)
{
	(void)state;
	expect_warning("rule a { when helo == \"x\" then reject \"{list.reason}\" }",
		"t.rules:1:6: warning: rule `a` looks nothing up in a list");
	expect_silence("list l : text { \"x\" }\n"
		       "for helo in @l { rule a { then reject \"{list.reason} {list.item}\" } }");
	expect_silence("list z : ip from dnsbl \"z.example\" { 127.0.0.2 }\n"
		       "rule a { unless not client.ip in @z then reject \"{list.item}\" }");
}

static void empty_lists_are_seen(void **state)
{
	(void)state;
	expect_warning("list l : cidr { }\nrule a { when client.ip in @l then reject }",
		"t.rules:2:15: warning: rule `a` never acts: @l is empty");
	expect_silence("list l : cidr { }\nrule a { unless client.ip in @l then reject }");
}

static void nothing_acts_below_the_last_word(void **state)
{
	(void)state;
	expect_warning("rule a { then reject }\nrule b { when spf == fail then accept }\n"
		       "rule c { when spf == fail then tag \"x\" }",
		"t.rules:2:6: warning: rule `b` and 1 more never act: `a` above decides always");
	expect_silence("rule a { then reject }\nrule b { when spf == fail then score 2 }"
		       "rule c { when helo == \"x\" then reject now }");
	expect_silence("rule a monitor { then reject }\nrule b { when spf == fail then reject }");
}

/* --- lists --- */

static void lists_are_looked_at(void **state)
{
	(void)state;
	expect_warning(
		"list l : cidr { 192.0.2.1 }", "t.rules:1:6: warning: no rule reads the list `l`");
	expect_warning("list z : ip from dnsbl \"z.example\"\n"
		       "rule a { when client.ip in @z then reject }",
		"@z takes any answer of `z.example` for listed");
	expect_silence("list z : ip from dnsbl \"z.example\" { 127.0.0.2 }\n"
		       "rule a { when client.ip in @z then reject }");
	expect_silence("list s : cidr from store \"s\"\n"
		       "rule a { when client.ip in @s then add client.ip to @s for 7d }");
	expect_silence("rule a { when helo == \"x\" then greylist 5m }");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_is_as_late_as_what_makes_it_true),
		cmocka_unit_test(score_and_tags_are_as_late_as_what_makes_them),
		cmocka_unit_test(what_is_not_measured_has_its_stage_all_the_same),
		cmocka_unit_test(a_late_rule_holds_early_ones_back),
		cmocka_unit_test(rules_for_others_hold_nobody_back),
		cmocka_unit_test(an_accept_asks_for_proof),
		cmocka_unit_test(contradictions_are_seen),
		cmocka_unit_test(scores_and_tags_that_nobody_brings_are_seen),
		cmocka_unit_test(texts_quote_lists_that_are_read),
		cmocka_unit_test(empty_lists_are_seen),
		cmocka_unit_test(nothing_acts_below_the_last_word),
		cmocka_unit_test(lists_are_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The tests that stand in rule files: which pass, and what is said of those that don't. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/expect.h"
#include "tests/unit/rules_texts.h"

enum { OUT_MAX = 1 << 20 };

#define RULES                                                                                      \
	"list forwarders : cidr { 198.51.100.0/24 }\n"                                             \
	"list zen : ip from dnsbl \"zen.example\" { 127.0.0.2 }\n"                                 \
	"list kept : mail from store \"kept\"\n"                                                   \
	"rule now { when client.ip in 203.0.113.9 then reject now 554 5.7.1 \"Go\" }\n"            \
	"rule listed { when client.ip in @zen then score 4.5 \"zen\", tag \"zen\" }\n"             \
	"rule keep { when mail.from in @kept then header add \"X-Kept\" \"{mail.from}\" }\n"       \
	"rule way { when rcpt.domain == \"other.example\" then route other }\n"                    \
	"rule spf { when spf == fail unless client.ip in @forwarders then reject 550 5.7.23 "      \
	"\"SPF of {mail.domain} fails\" }\n"                                                       \
	"rule grey { when helo == \"new\" then greylist 5m }\n"                                    \
	"rule rate { when rate(mail.from) > 100/1h then defer 451 4.7.1 \"Slow\" }\n"              \
	"rule mx { when mail.mx == no on error defer then reject }\n"                              \
	"rule spam { when score >= 4 then subject prefix \"[spam] \", quarantine \"spam\" }\n"

static bool read_source(void *context, const char *path, struct span *content, const char **problem)
{
	(void)path;
	(void)problem;
	*content = span_text(context);
	return true;
}

static void count_passed(void *context, const struct expect_result *result)
{
	unsigned *passed = context;

	*passed += result->passed;
}

/* Runs RULES with one test; the report, owned by the caller. */
static struct buffer run(const char *test, bool *ok)
{
	struct buffer text = BUFFER_INIT(OUT_MAX), out = BUFFER_INIT(OUT_MAX);
	struct policy *policy;
	unsigned passed = 0;

	assert_true(buffer_print(&text, "%s%s", RULES, test));
	policy = policy_new(rules_of(buffer_string(&text)));
	assert_int_equal(policy->rules->n_tests, 1);
	{
		struct rule_source source = {read_source, (void *)buffer_string(&text)};
		struct remarks remarks = {&source, &out, 0, 0};

		*ok = policy_expect(policy, &remarks, count_passed, &passed);
		assert_int_equal(*ok, remarks.n_errors == 0);
		assert_int_equal(*ok, passed == 1);
		/* Nothing of the test stays behind in the rules. */
		buffer_clear(&out);
		assert_int_equal(policy_expect(policy, &remarks, NULL, NULL), *ok);
	}
	policy_free(&policy);
	buffer_free(&text);
	return out;
}

static void expect_pass(const char *test)
{
	bool ok;
	struct buffer out = run(test, &ok);

	if (!ok)
		fail_msg("%s\n%s", test, buffer_string(&out));
	buffer_free(&out);
}

static void expect_fail(const char *test, const char *part)
{
	bool ok;
	struct buffer out = run(test, &ok);

	if (ok || !strstr(buffer_string(&out), part))
		fail_msg("%s\nexpected: %s\ngot: %s", test, part, buffer_string(&out));
	buffer_free(&out);
}

/* --- what passes --- */

static void final_actions_are_compared(void **state)
{
	(void)state;
	expect_pass("test \"a\" { given spf = fail, client.ip = 192.0.2.1, mail.mx = yes, "
		    "mail.domain = \"x.example\" expect reject }");
	expect_pass("test \"a\" { given spf = fail, client.ip = 192.0.2.1, mail.domain = "
		    "\"x.example\" expect reject 550 5.7.23 \"SPF of x.example fails\" by spf }");
	expect_pass("test \"a\" { given spf = fail, client.ip = 192.0.2.1 expect reject 550 5.7.23 "
		    "\"SPF of {mail.domain} fails\" }");
	expect_pass("test \"a\" { given client.ip = 203.0.113.9 expect reject now 554 by now }");
	expect_pass("test \"a\" { given client.ip = 203.0.113.9 expect reject }");
	expect_pass("test \"a\" { given mail.mx = yes expect accept }");
	expect_pass("test \"a\" { given mail.mx = no expect reject }");
	expect_pass("test \"a\" { given spf = pass expect defer by mx }"); /* on error defer */
	expect_pass("test \"a\" { given rate(mail.from) = 101, mail.mx = yes expect defer 451 }");
	expect_pass("test \"a\" { given rate(mail.from) = 100, mail.mx = yes expect accept }");
}

static void a_client_is_new_to_greylisting(void **state)
{
	(void)state;
	expect_pass("test \"a\" { given helo = \"new\" expect greylist }");
	expect_pass("test \"a\" { given helo = \"new\", greylist = waiting expect greylist 5m }");
	expect_pass("test \"a\" { given helo = \"new\", greylist = passed, mail.mx = yes expect "
		    "accept }");
}

static void lists_are_replaced(void **state)
{
	(void)state;
	expect_pass("test \"a\" { given spf = fail, client.ip = 198.51.100.1, mail.mx = yes expect "
		    "accept }");
	expect_pass(
		"test \"a\" { with @forwarders = { 192.0.2.0/24 } given spf = fail, client.ip = "
		"192.0.2.1, mail.mx = yes expect accept }");
	expect_pass("test \"a\" { with @forwarders = { } given spf = fail, client.ip = "
		    "198.51.100.1 expect reject }");
	expect_pass("test \"a\" { with @zen = { 192.0.2.1 } given client.ip = 192.0.2.1, mail.mx = "
		    "yes expect quarantine, score 4.5, tag \"zen\", subject prefix \"[spam] \" }");
	expect_pass("test \"a\" { with @zen = { 192.0.2.1 } given client.ip = 192.0.2.2, mail.mx = "
		    "yes expect accept, score 0 }");
	expect_pass(
		"test \"a\" { with @kept = { \"a@b.example\" } with @kept = { \"a@c.example\" } "
		"given mail.from = \"a@c.example\" expect header add \"x-kept\" by keep }");
	expect_pass(
		"test \"a\" { with @kept = { \"a@b.example\" } given mail.from = \"A@b.example\" "
		"expect header add \"X-Kept\" \"A@b.example\" }");
}

static void accumulating_actions_name_their_rules(void **state)
{
	(void)state;
	expect_pass(
		"test \"a\" { given rcpt.domain = \"other.example\" expect route other by way }");
	expect_pass("test \"a\" { with @zen = { 192.0.2.1 } given client.ip = 192.0.2.1 expect "
		    "score 4.5, tag \"zen\" by listed }");
}

/* --- what fails --- */

static void a_failure_says_what_came(void **state)
{
	(void)state;
	expect_fail("test \"of spf\" { given spf = fail, client.ip = 192.0.2.1, mail.domain = "
		    "\"x.example\" expect accept }",
		"t.rules:13:6: error: the test `of spf` fails: expected is accept; what comes is "
		"reject 550 5.7.23 \"SPF of x.example fails\" by `spf`\n"
		"    test \"of spf\"");
	expect_fail("test \"a\" { given spf = fail, client.ip = 192.0.2.1 expect reject 551 }",
		"expected is reject 551;");
	expect_fail(
		"test \"a\" { given spf = fail, client.ip = 192.0.2.1 expect reject 550 5.7.1 }",
		"expected is reject 550 5.7.1;");
	expect_fail("test \"a\" { given spf = fail, client.ip = 192.0.2.1 expect reject \"no\" }",
		"expected is reject \"no\";");
	expect_fail("test \"a\" { given spf = fail, client.ip = 192.0.2.1 expect reject now }",
		"expected is reject now;");
	expect_fail("test \"a\" { given spf = fail, client.ip = 192.0.2.1 expect reject by mx }",
		"expected is reject by `mx`;");
	expect_fail("test \"a\" { given mail.mx = yes expect reject }",
		"what comes is accept, since no rule says otherwise");
	expect_fail("test \"a\" { given spf = pass expect accept }",
		"what comes is defer, `on error`, by `mx`");
}

static void a_failure_says_what_is_missing(void **state)
{
	(void)state;
	expect_fail("test \"a\" { given spf = fail, mail.mx = yes expect reject }",
		"help: rules are skipped for facts that are not given: client.ip");
}

static void a_failure_of_effects_says_what_there_was(void **state)
{
	(void)state;
	expect_fail("test \"a\" { with @zen = { 192.0.2.1 } given client.ip = 192.0.2.1 expect "
		    "score 5 }",
		"expected is score 5; what comes is score 4.5");
	expect_fail(
		"test \"a\" { with @zen = { 192.0.2.1 } given client.ip = 192.0.2.1 expect score "
		"4.5 by keep }",
		"score 4.5, to which `keep` adds nothing");
	expect_fail("test \"a\" { with @zen = { 192.0.2.1 } given client.ip = 192.0.2.1 expect tag "
		    "\"x\" }",
		"what comes is tag \"zen\" by `listed`");
	expect_fail("test \"a\" { given mail.mx = yes expect tag \"x\" }", "what comes is no tag");
	expect_fail(
		"test \"a\" { given mail.mx = yes expect route main }", "what comes is no route");
	expect_fail("test \"a\" { given rcpt.domain = \"other.example\" expect route main }",
		"what comes is route \"other\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(final_actions_are_compared),
		cmocka_unit_test(a_client_is_new_to_greylisting),
		cmocka_unit_test(lists_are_replaced),
		cmocka_unit_test(accumulating_actions_name_their_rules),
		cmocka_unit_test(a_failure_says_what_came),
		cmocka_unit_test(a_failure_says_what_is_missing),
		cmocka_unit_test(a_failure_of_effects_says_what_there_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

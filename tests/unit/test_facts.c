/* The registry of facts and their values as text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "lib/base/error.h"
#include "tests/unit/policy_facts.h"

static const struct fact *fact(const char *name)
{
	const struct fact *found = fact_find(&policy_facts, span_text(name), NULL);

	assert_non_null(found);
	return found;
}

static void test_find(void **state)
{
	size_t source = 9;

	(void)state;
	assert_string_equal(fact_find(&policy_facts, SPAN("spf"), &source)->name, "spf");
	assert_int_equal(source, 1);
	assert_string_equal(fact_find(&policy_facts, SPAN("tls"), &source)->name, "tls");
	assert_int_equal(source, 0);
	assert_string_equal(fact("milter.clamav")->name, "milter.");
	assert_null(fact_find(&policy_facts, SPAN("milter."), NULL));
	assert_null(fact_find(&policy_facts, SPAN("milter"), NULL));
	assert_null(fact_find(&policy_facts, SPAN("SPF"), NULL));
	assert_null(fact_find(&policy_facts, SPAN(""), NULL));
	assert_null(fact_find(&policy_facts, SPAN("score"), NULL));
}

static const char *nearest(const char *name)
{
	const char *near = fact_nearest(&policy_facts, span_text(name));

	return near ? near : "";
}

static void test_nearest(void **state)
{
	(void)state;
	assert_string_equal(nearest("client.pi"), "client.ip");
	assert_string_equal(nearest("mail.form"), "mail.from");
	assert_string_equal(nearest("country"), "client.country");
	assert_string_equal(nearest("fcrdns"), "client.fcrdns");
	assert_string_equal(nearest("scores"), "score");
	assert_string_equal(nearest("zzzzzz"), "");
	assert_string_equal(nearest("domain"), ""); /* of whom? */
}

static void test_names(void **state)
{
	struct arena *arena = arena_new(256);

	(void)state;
	assert_string_equal(stage_name(STAGE_CONNECT), "connect");
	assert_string_equal(stage_name(STAGE_MESSAGE), "message");
	assert_string_equal(fact_type_name(TYPE_IP), "address");
	assert_string_equal(fact_choices(fact("arc"), arena), "none, pass, fail");
	assert_string_equal(fact_choices(fact("tls"), arena), "");
	assert_string_equal(fact_expects(fact("arc"), arena), "one of none, pass, fail");
	assert_string_equal(fact_expects(fact("mail.size"), arena), "a size, such as 25MB");
	assert_int_equal(fact_choice_find(fact("time.weekday"), SPAN("TUE")), 1);
	assert_int_equal(fact_choice_find(fact("time.weekday"), SPAN("tuesday")), 1);
	assert_int_equal(fact_choice_find(fact("time.weekday"), SPAN("tues")), -1);
	assert_int_equal(fact_choice_find(fact("tls"), SPAN("yes")), -1);
	arena_free(&arena);
}

/* Read and written again. */
static void expect_read(const char *name, const char *text, const char *expected)
{
	struct arena *arena = arena_new(256);
	struct buffer out = BUFFER_INIT(4096);
	struct fact_value value;
	struct err why;

	if (!fact_value_read(fact(name), span_text(text), arena, &value, &why))
		fail_msg("%s = %s: %s", name, text, why.text);
	assert_int_equal(value.state, FACT_KNOWN);
	assert_true(fact_value_write(fact(name), &value, &out));
	assert_string_equal(buffer_string(&out), expected);
	buffer_free(&out);
	arena_free(&arena);
}

static void expect_refusal(const char *name, const char *text, const char *why)
{
	struct arena *arena = arena_new(256);
	struct fact_value value;
	struct err err;

	assert_false(fact_value_read(fact(name), span_text(text), arena, &value, &err));
	assert_string_equal(err.text, why);
	arena_free(&arena);
}

static void test_values(void **state)
{
	(void)state;
	expect_read("tls", "TRUE", "yes");
	expect_read("tls", "no", "no");
	expect_read("client.port", "25", "25");
	expect_read("client.reputation", "-0.25", "-0.25");
	expect_read("mail.size", "25MB", "26214400");
	expect_read("mail.size", "7", "7");
	expect_read("client.ip", "::FFFF:192.0.2.1", "192.0.2.1");
	expect_read("client.ip", "2001:DB8::1", "2001:db8::1");
	expect_read("helo", "Mail.example.", "Mail.example");
	expect_read("helo", "[192.0.2.1]", "[192.0.2.1]");
	expect_read("mail.from", "A@b.example", "A@b.example");
	expect_read("mail.from", "<>", "<>");
	expect_read("mail.from", "", "<>");
	expect_read("rcpt.to", "Postmaster", "Postmaster");
	expect_read("subject", "a, b", "a, b");
	expect_read("spf", " Fail ", "fail");
	expect_read("spf", "none", "none");
	expect_read("client.rdns", "none", "none");
	expect_read("url", "a,b , c", "a, b, c");
	expect_read("attachment.size", "1,1KB", "1, 1024");
	expect_read("attachment.name", "none", "none");
}

static void test_refusals(void **state)
{
	(void)state;
	expect_refusal("tls", "maybe", "`tls` needs yes or no");
	expect_refusal("client.port", "x", "`client.port` needs a number, such as 5");
	expect_refusal("client.port", "5 6", "`client.port` needs a number, such as 5");
	expect_refusal("mail.size", "-1", "`mail.size` needs a size, such as 25MB");
	expect_refusal("mail.size", "1.5", "`mail.size` needs a size, such as 25MB");
	expect_refusal(
		"client.ip", "10.0.0.0/8", "`client.ip` needs an address, such as 192.0.2.1");
	expect_refusal("helo", "a b", "`helo` needs a domain, such as \"example.com\"");
	expect_refusal("mail.from", "example.com",
		"`mail.from` needs a mail address, such as \"user@example.com\"");
	expect_refusal("arc", "perhaps", "`arc` needs one of none, pass, fail");
	expect_refusal("attachment.size", "1,", "`attachment.size` needs a size, such as 25MB");
}

static void test_unknown(void **state)
{
	const struct fact_value pending = {FACT_PENDING, 0, NULL, NULL};
	const struct fact_value failed = {FACT_FAILED, 0, NULL, "timeout"};
	union fact_datum items[2] = {{.text = SPAN("abc")}, {.text = SPAN("def")}};
	const struct fact_value two = {FACT_KNOWN, 2, items, NULL};
	struct buffer out = BUFFER_INIT(64), small = BUFFER_INIT(6);

	(void)state;
	assert_true(fact_value_write(fact("spf"), &pending, &out));
	assert_true(fact_value_write(fact("spf"), &failed, &out));
	assert_string_equal(buffer_string(&out), "unknownunknown");
	assert_false(fact_value_write(fact("url"), &two, &small));
	buffer_free(&out);
	buffer_free(&small);
}

static void test_too_many(void **state)
{
	struct buffer text = BUFFER_INIT(1 << 16);

	(void)state;
	for (int i = 0; i <= FACT_ITEMS_MAX; i++)
		assert_true(buffer_add_text(&text, i ? ",a" : "a"));
	expect_refusal("url", buffer_string(&text), "`url` has at most 1000 values");
	buffer_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What conditions come to: Kleene's tables, and each operator on each type of fact. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "lib/base/error.h"
#include "lib/base/fail.h"
#include "policy/evaluate.h"
#include "tests/unit/policy_facts.h"
#include "tests/unit/rules_texts.h"

enum { F = TRUTH_FALSE, T = TRUTH_TRUE, E = TRUTH_ERROR };

/* --- sets of truths --- */

static truth_set and_by_table(truth_set a, truth_set b)
{
	static const struct {
		truth_set a, b, both;
	} table[] = {{F, F, F}, {F, T, F}, {F, E, F}, {T, F, F}, {T, T, T}, {T, E, E}, {E, F, F},
		{E, T, E}, {E, E, E}};
	truth_set out = 0;

	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (a & table[i].a && b & table[i].b)
			out |= table[i].both;
	return out;
}

static truth_set not_by_table(truth_set a)
{
	return (truth_set)((a & F ? T : 0) | (a & T ? F : 0) | (a & E));
}

static void test_kleene(void **state)
{
	(void)state;
	for (truth_set a = 1; a <= TRUTH_OPEN; a++) {
		assert_int_equal(truth_not(a), not_by_table(a));
		assert_int_equal(truth_is_certain(a), a == F || a == T || a == E);
		for (truth_set b = 1; b <= TRUTH_OPEN; b++) {
			assert_int_equal(truth_and(a, b), and_by_table(a, b));
			assert_int_equal(truth_or(a, b),
				not_by_table(and_by_table(not_by_table(a), not_by_table(b))));
		}
	}
}

/* --- conditions, as rules have them --- */

struct session {
	struct policy *policy;
	struct arena *arena;
	struct fact_value *at[STAGE_COUNT];
	struct subject subject;
};

/* facts: "name = value; name = failed"; what is not named is pending. */
static void give(struct session *s, struct span one)
{
	size_t sign = span_find(one, SPAN(" = "));
	struct span name = span_trim(span_first(one, sign)), value = span_from(one, sign + 3);
	struct fact_value v = {.state = FACT_FAILED};
	struct err why;

	for (size_t i = 0; i < s->policy->n_slots; i++) {
		const struct slot *slot = s->policy->rules->slots[i];

		if (!span_equal(span_text(slot->name), name))
			continue;
		if (!span_equal(value, SPAN("failed")) &&
			!fact_value_read(slot->fact, value, s->arena, &v, &why))
			fail_msg("%s", why.text);
		s->at[slot->stage][slot->index] = v;
		return;
	}
	fail_msg("no rule reads %.*s", SPAN_ARGS(name));
}

static void session_begin(struct session *s, const char *rules, const char *facts)
{
	struct span rest = span_text(facts);

	s->policy = policy_new(rules_of(rules));
	s->arena = arena_new(4096);
	for (int i = 0; i < STAGE_COUNT; i++) {
		s->at[i] = arena_alloc(
			s->arena, (s->policy->rules->n_at[i] + 1) * sizeof(struct fact_value));
		s->subject.at[i] = s->at[i];
	}
	while (rest.len) {
		size_t end = span_find(rest, SPAN("; "));

		give(s, span_first(rest, end));
		rest = span_from(rest, end + 2);
	}
}

static void session_end(struct session *s)
{
	policy_free(&s->policy);
	arena_free(&s->arena);
}

static truth_set truth_of(const char *lists, const char *condition, const char *facts)
{
	struct buffer rules = BUFFER_INIT(4096);
	struct session s;
	struct evaluation *e;
	truth_set truth;

	assert_true(buffer_print(&rules, "%s\nrule x { when %s then accept }\n", lists, condition));
	session_begin(&s, buffer_string(&rules), facts);
	e = evaluation_new(s.policy, s.arena);
	evaluation_run(e, &s.subject);
	truth = evaluation_truth(e, &s.subject, policy_rule(s.policy, 0));
	/* What is remembered of it is the same. */
	assert_int_equal(evaluation_truth(e, &s.subject, policy_rule(s.policy, 0)), truth);
	session_end(&s);
	buffer_free(&rules);
	return truth;
}

struct expectation {
	const char *condition, *facts;
	truth_set truth;
};

static void expect_all(const char *lists, const struct expectation *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		truth_set got = truth_of(lists, all[i].condition, all[i].facts);

		if (got != all[i].truth)
			fail_msg("%s with %s: %d, not %d", all[i].condition, all[i].facts, got,
				all[i].truth);
	}
}

#define EXPECT(lists, ...)                                                                         \
	do {                                                                                       \
		static const struct expectation all_[] = {__VA_ARGS__};                            \
		expect_all((lists), all_, COUNT_OF(all_));                                         \
	} while (0)

static void test_booleans(void **state)
{
	(void)state;
	EXPECT("", {"tls", "tls = yes", T}, {"tls", "tls = no", F}, {"tls", "tls = none", F},
		{"tls", "tls = failed", E}, {"tls", "", TRUTH_OPEN}, {"not tls", "tls = none", T},
		{"tls == no", "tls = no", T}, {"tls == no", "tls = none", F},
		{"tls != yes", "tls = none", T}, {"tls is none", "tls = none", T},
		{"tls is none", "tls = no", F}, {"tls is not none", "tls = no", T},
		{"tls is none", "tls = failed", E}, {"tls is not none", "", TRUTH_OPEN});
}

static void test_numbers(void **state)
{
	(void)state;
	EXPECT("", {"client.asn == 5", "client.asn = 5", T},
		{"client.asn == 5", "client.asn = 6", F}, {"client.asn != 5", "client.asn = 6", T},
		{"client.asn != 5", "client.asn = none", T},
		{"client.asn == 5", "client.asn = none", F},
		{"client.asn < 5", "client.asn = 4", T}, {"client.asn < 5", "client.asn = 5", F},
		{"client.asn <= 5", "client.asn = 5", T}, {"client.asn <= 5", "client.asn = 6", F},
		{"client.asn > 5", "client.asn = 5", F}, {"client.asn > 5", "client.asn = 6", T},
		{"client.asn >= 5", "client.asn = 5", T}, {"client.asn >= 5", "client.asn = 4", F},
		{"client.asn < 5", "client.asn = none", F},
		{"client.asn >= 5", "client.asn = none", F},
		{"client.asn in { 1, 5 }", "client.asn = 5", T},
		{"client.asn in { 1, 5 }", "client.asn = 2", F},
		{"client.asn in { 1, 5 }", "client.asn = none", F},
		{"client.asn in { 1, 5 }", "client.asn = failed", E},
		{"client.reputation < -0.5", "client.reputation = -0.75", T},
		{"client.reputation < -0.5", "client.reputation = 0", F},
		{"message.size > 1KB", "message.size = 1025", T},
		{"message.size > 1KB", "message.size = 1024", F});
}

static void test_rates(void **state)
{
	struct session s;
	struct evaluation *e;
	const struct slot *slot;

	(void)state;
	session_begin(&s, "rule x { when rate(mail.from) > 2/1h then accept }", "");
	e = evaluation_new(s.policy, s.arena);
	slot = policy_rule(s.policy, 0)->slots[0];
	for (unsigned count = 2; count <= 3; count++) { /* true from the third on */
		union fact_datum datum = {.number = count};

		s.at[slot->stage][slot->index] = (struct fact_value){FACT_KNOWN, 1, &datum, NULL};
		evaluation_restart(e);
		evaluation_run(e, &s.subject);
		assert_int_equal(evaluation_truth(e, &s.subject, policy_rule(s.policy, 0)),
			count > 2 ? T : F);
	}
	session_end(&s);
}

static void test_choices(void **state)
{
	(void)state;
	EXPECT("", {"spf == fail", "spf = fail", T}, {"spf == fail", "spf = pass", F},
		{"spf != fail", "spf = pass", T},
		{"spf in { fail, softfail }", "spf = softfail", T},
		{"spf in { fail, softfail }", "spf = none", F},
		/* `none` is one of its words, and what a lookup without result comes to */
		{"spf == none", "spf = none", T}, {"spf is none", "spf = none", T},
		{"spf is not none", "spf = none", F}, {"spf in { none, fail }", "spf = none", T},
		{"spf != none", "spf = none", F}, {"spf == none", "spf = pass", F},
		{"time.weekday < wednesday", "time.weekday = tue", T},
		{"time.weekday < wednesday", "time.weekday = wed", F},
		{"time.weekday >= wednesday", "time.weekday = wed", T},
		{"tls.version <= 1.2", "tls.version = 1.3", F},
		{"tls.version <= 1.2", "tls.version = none", T},
		{"greylist == new", "greylist = none", F},
		{"greylist is none", "greylist = none", T},
		{"greylist != new", "greylist = none", T});
}

static void test_addresses(void **state)
{
	(void)state;
	EXPECT("list l : cidr { 192.0.2.0/24, 2001:db8::/32 }",
		{"client.ip == 192.0.2.1", "client.ip = 192.0.2.1", T},
		{"client.ip == 192.0.2.1", "client.ip = 192.0.2.2", F},
		{"client.ip != 192.0.2.1", "client.ip = none", T},
		{"client.ip in 192.0.2.0/24", "client.ip = 192.0.2.255", T},
		{"client.ip in 192.0.2.0/24", "client.ip = 192.0.3.0", F},
		{"client.ip in 192.0.2.0/24", "client.ip = 2001:db8::1", F},
		{"client.ip in { 192.0.2.4-192.0.2.6, 10.0.0.0/8 }", "client.ip = 192.0.2.6", T},
		{"client.ip in { 192.0.2.4-192.0.2.6, 10.0.0.0/8 }", "client.ip = 192.0.2.7", F},
		{"client.ip in { 192.0.2.4-192.0.2.6, 10.0.0.0/8 }", "client.ip = 10.255.0.1", T},
		{"client.ip in { 192.0.2.4-192.0.2.6, 10.0.0.0/8 }", "client.ip = none", F},
		{"client.ip in @l", "client.ip = 2001:db8::25", T},
		{"client.ip in @l", "client.ip = 2001:db9::25", F},
		{"client.ip in @l", "client.ip = none", F}, {"client.ip in @l", "", TRUTH_OPEN});
}

static void test_texts(void **state)
{
	(void)state;
	EXPECT("list l : text { \"spam\", \"ham and eggs\" }",
		{"subject == \"Hello\"", "subject = hELLO", T},
		{"subject == \"Hello\"", "subject = hello you", F},
		{"subject != \"Hello\"", "subject = none", T},
		{"subject contains \"LL\"", "subject = hello", T},
		{"subject contains \"LL\"", "subject = helo", F},
		{"subject contains \"hello\"", "subject = hell", F},
		{"subject contains { \"x\", \"lo\" }", "subject = hello", T},
		{"subject contains { \"x\", \"y\" }", "subject = hello", F},
		{"subject contains \"a\"", "subject = none", F},
		{"subject in { \"a\", \"b\" }", "subject = B", T},
		{"subject in { \"a\", \"b\" }", "subject = ab", F},
		{"subject in @l", "subject = SPAM", T}, {"subject in @l", "subject = spa", F},
		{"subject in @l", "subject = failed", E}, {"subject ~ /^a+$/", "subject = aaa", T},
		{"subject ~ /^a+$/", "subject = AAA", F},
		{"subject ~ /(?i)^a+$/", "subject = AAA", T},
		{"subject ~ /a/", "subject = none", F},
		{"subject ~ { /x/, /y/ }", "subject = y", T},
		{"subject ~ { /x/, /y/ }", "subject = z", F},
		/* a pattern that would take for ever is an error, neither yes nor no */
		{"subject ~ /(a+)+$/", "subject = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
			E},
		{"subject ~ { /(a+)+$/, /b$/ }",
			"subject = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", T});
}

static void test_domains_and_mailboxes(void **state)
{
	(void)state;
	EXPECT("list d : domain { \"example.com\", \".example.net\" }",
		{"helo == \"Mx.Example.com\"", "helo = mx.example.COM", T},
		{"helo under \"example.com\"", "helo = mx.example.com", T},
		{"helo under \"example.com\"", "helo = example.com", T},
		{"helo under \"example.com\"", "helo = badexample.com", F},
		{"helo under \"example.com\"", "helo = com", F},
		{"helo under \"example.com\"", "helo = none", F},
		{"helo under { \"a.com\", \"b.com\" }", "helo = x.b.com", T},
		{"helo under { \"a.com\", \"b.com\" }", "helo = x.c.com", F},
		{"helo under @d", "helo = mx.example.com", T},
		{"helo in @d", "helo = example.com", T}, {"helo in @d", "helo = mx.example.com", F},
		{"mail.from == \"A@example.com\"", "mail.from = a@EXAMPLE.com", T},
		{"mail.from in { \"a@example.com\" }", "mail.from = b@example.com", F},
		{"mail.from contains \"@\"", "mail.from = <>", F});
}

static void test_many_values(void **state)
{
	(void)state;
	EXPECT("list exe : text { \"exe\", \"scr\" }",
		{"any attachment.extension == \"exe\"", "attachment.extension = txt, EXE", T},
		{"any attachment.extension == \"exe\"", "attachment.extension = txt, pdf", F},
		{"any attachment.extension == \"exe\"", "attachment.extension = none", F},
		{"any attachment.extension != \"exe\"", "attachment.extension = none", F},
		{"all attachment.extension == \"exe\"", "attachment.extension = exe, exe", T},
		{"all attachment.extension == \"exe\"", "attachment.extension = exe, txt", F},
		{"all attachment.extension == \"exe\"", "attachment.extension = none", T},
		{"no attachment.extension == \"exe\"", "attachment.extension = txt", T},
		{"no attachment.extension == \"exe\"", "attachment.extension = txt, exe", F},
		{"no attachment.extension == \"exe\"", "attachment.extension = none", T},
		{"any attachment.extension in @exe", "attachment.extension = a, scr", T},
		{"no attachment.extension in @exe", "attachment.extension = a, scr", F},
		{"any attachment.extension == \"exe\"", "attachment.extension = failed", E},
		{"no attachment.extension == \"exe\"", "attachment.extension = failed", E},
		{"attachment.extension is none", "attachment.extension = none", T},
		{"attachment.extension is not none", "attachment.extension = a", T},
		{"any attachment.size > 1MB", "attachment.size = 5, 2000000", T},
		{"any attachment.encrypted", "attachment.encrypted = no, yes", T},
		{"all attachment.encrypted", "attachment.encrypted = no, yes", F},
		/* an error in one of them matters only where the others don't settle it */
		{"any url ~ /(a+)+$/",
			"url = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab, a", T},
		{"any url ~ /(a+)+$/",
			"url = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab, b", E},
		{"all url ~ /(a+)+$/",
			"url = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab, b", F},
		{"no url ~ /(a+)+$/", "url = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab, b",
			E});
}

static void test_joined(void **state)
{
	(void)state;
	EXPECT("", {"tls and spf == fail", "tls = no", F},
		{"tls and spf == fail", "tls = yes", TRUTH_OPEN},
		{"tls and spf == fail", "tls = failed", F | E},
		{"tls or spf == fail", "tls = yes", T},
		{"tls or spf == fail", "tls = failed", T | E},
		{"tls or spf == fail", "tls = failed; spf = pass", E},
		{"not (tls or spf == fail)", "tls = yes", F},
		{"not (tls and spf == fail)", "tls = failed; spf = fail", E},
		{"not tls and not spf == fail", "tls = no; spf = pass", T});
}

/* Items that the store keeps are not at hand: the rule is skipped, whatever way it asks. */
static void test_lists_in_the_store(void **state)
{
	(void)state;
	EXPECT("list l : cidr from store \"l\"", {"client.ip in @l", "client.ip = 192.0.2.1", E},
		{"not client.ip in @l", "client.ip = 192.0.2.1", E},
		{"client.ip in @l", "", TRUTH_OPEN});
}

static void test_dnsbl_lists(void **state)
{
	struct session s;
	struct evaluation *e;
	const struct slot *slot = NULL;
	union fact_datum answer = {.number = 0};

	(void)state;
	session_begin(&s,
		"list zen : ip from dnsbl \"zen.example\"\n"
		"rule x { when client.ip in @zen then accept }\n"
		"rule y { when not client.ip in @zen then accept }\n",
		"");
	e = evaluation_new(s.policy, s.arena);
	for (size_t i = 0; i < s.policy->n_slots; i++)
		if (s.policy->rules->slots[i]->list)
			slot = s.policy->rules->slots[i];
	assert_non_null(slot);
	assert_true(ip_parse(SPAN("127.0.0.2"), &answer.ip));
	for (unsigned count = 0; count <= 1; count++) {
		s.at[slot->stage][slot->index] =
			(struct fact_value){FACT_KNOWN, count, &answer, NULL};
		evaluation_restart(e);
		evaluation_run(e, &s.subject);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(evaluation_truth(e, &s.subject, policy_rule(s.policy, i)),
				(count == 1) == (i == 0) ? T : F);
	}
	session_end(&s);
}

/* --- score and tags --- */

static void test_score(void **state)
{
	static const struct {
		const char *test, *facts;
		truth_set truth;
	} cases[] = {{">= 2", "", F | T}, {">= 3", "", F}, {"> 2", "", F}, {"< -3", "", F},
		{"<= -3", "", F | T}, {">= 0", "spf = pass", T},
		{">= 2", "tls = yes; spf = pass", T}, {"> 2", "tls = yes; spf = pass", F},
		{"== -1", "tls = yes; spf = fail", T}, {"== 0", "tls = failed; spf = failed", T},
		{"!= 0", "tls = no; spf = pass", F}, {"!= 7", "", T}, {"== 7", "", F},
		{"<= 2", "", T}, {"== 1.5", "", F | T}, {"< 0", "tls = yes; spf = fail", T},
		{"> 0", "spf = fail", F}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buffer text = BUFFER_INIT(4096);
		struct session s;
		struct evaluation *e;

		assert_true(buffer_add_text(&text, "rule a { when tls then score 2 }\n"
						   "rule b { when spf == fail then score -3 }\n"));
		assert_true(
			buffer_print(&text, "rule x { when score %s then accept }", cases[i].test));
		session_begin(&s, buffer_string(&text), cases[i].facts);
		e = evaluation_new(s.policy, s.arena);
		evaluation_run(e, &s.subject);
		if (evaluation_truth(e, &s.subject, policy_rule(s.policy, 2)) != cases[i].truth)
			fail_msg("score %s with %s", cases[i].test, cases[i].facts);
		session_end(&s);
		buffer_free(&text);
	}
}

static void test_tags(void **state)
{
	static const struct {
		const char *test, *facts;
		truth_set truth;
	} cases[] = {{"any tags == \"Spam\"", "tls = yes", T},
		{"any tags == \"spam\"", "tls = no", F},
		{"any tags == \"spam\"", "tls = failed", F}, {"any tags == \"spam\"", "", F | T},
		{"no tags == \"spam\"", "tls = yes", F}, {"no tags == \"spam\"", "tls = no", T},
		{"all tags == \"spam\"", "tls = yes; spf = pass", T},
		{"all tags == \"spam\"", "tls = yes; spf = fail", F},
		{"all tags == \"spam\"", "tls = no; spf = pass", T},
		{"tags is none", "tls = no; spf = pass", T}, {"tags is none", "tls = yes", F},
		{"tags is not none", "tls = yes", T}, {"tags is not none", "spf = pass", F | T},
		{"any tags == \"late\"", "tls = yes; spf = fail", F},
		{"any tags ~ /^sp/", "tls = yes", T}, {"any tags contains \"X\"", "spf = fail", T}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buffer text = BUFFER_INIT(4096);
		struct session s;
		struct evaluation *e;

		assert_true(buffer_print(&text,
			"rule a { when tls then tag \"spam\" }\n"
			"rule b { when spf == fail then tag \"xyz\" }\n"
			"rule m monitor { when not tls then tag \"late\" }\n"
			"rule x { when %s then accept }\n"
			"rule z { then tag \"late\" }\n",
			cases[i].test));
		session_begin(&s, buffer_string(&text), cases[i].facts);
		e = evaluation_new(s.policy, s.arena);
		evaluation_run(e, &s.subject);
		if (evaluation_truth(e, &s.subject, policy_rule(s.policy, 3)) != cases[i].truth)
			fail_msg("%s with %s", cases[i].test, cases[i].facts);
		session_end(&s);
		buffer_free(&text);
	}
}

/* --- hashes --- */

static void test_equal_values_have_equal_hashes(void **state)
{
	union fact_datum a = {.text = SPAN("Example.COM")}, b = {.text = SPAN("eXample.com")};
	union fact_datum zero = {.number = 0.0}, minus_zero = {.number = -0.0};

	(void)state;
	assert_true(datum_hash(TYPE_DOMAIN, &a) == datum_hash(TYPE_DOMAIN, &b));
	assert_true(datum_hash(TYPE_NUMBER, &zero) == datum_hash(TYPE_NUMBER, &minus_zero));
	zero.number = 1;
	assert_false(datum_hash(TYPE_NUMBER, &zero) == datum_hash(TYPE_NUMBER, &minus_zero));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kleene),
		cmocka_unit_test(test_booleans),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_choices),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_domains_and_mailboxes),
		cmocka_unit_test(test_many_values),
		cmocka_unit_test(test_joined),
		cmocka_unit_test(test_lists_in_the_store),
		cmocka_unit_test(test_dnsbl_lists),
		cmocka_unit_test(test_score),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_equal_values_have_equal_hashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Guards: with many rules of a kind, what evaluation leaves in after ruling out all that it can is
 * what a walk through each rule's condition says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/error.h"
#include "lib/base/fail.h"
#include "policy/evaluate.h"
#include "tests/unit/policy_facts.h"
#include "tests/unit/policy_generate.h"
#include "tests/unit/rules_texts.h"

enum { RULES = 120, VALUES = 60, MANY_MAX = 4 };

/* A few labels and words, so that values and literals often meet. */
static const char *choose_word(struct choices *c, char out[100])
{
	static const char *const words[] = {
		"mail", "example", "offer", "OFFERING", "free", "a", "bc"};
	unsigned n = 1 + choose(c, 3);
	size_t used = 0;

	for (unsigned i = 0; i < n; i++)
		used += (size_t)snprintf(out + used, 100 - used, "%s%s", i ? "." : "",
			words[choose(c, COUNT_OF(words))]);
	return out;
}

static const char *choose_address(struct choices *c, char out[100])
{
	if (choose(c, 3))
		snprintf(out, 100, "10.%u.%u.%u", choose(c, 3), choose(c, 3), choose(c, 4));
	else
		snprintf(out, 100, "2001:db8:%u::%u", choose(c, 3), choose(c, 4));
	return out;
}

static void add_network(struct choices *c, struct buffer *out)
{
	static const unsigned v4[] = {0, 8, 16, 24, 30, 32}, v6[] = {0, 32, 48, 64, 127, 128};
	char word[100];
	bool is_v4 = choose(c, 2);
	struct cidr net;
	struct ip ip;

	do
		choose_address(c, word);
	while (!ip_parse(span_text(word), &ip) || (ip.family == IP_V4) != is_v4);
	net = cidr_around(&ip, (uint8_t)(is_v4 ? v4 : v6)[choose(c, 6)]);
	assert_true(
		buffer_print(out, "client.ip in %s/%u", ip_format(&net.ip, word), net.prefix_bits));
}

static void add_condition(struct choices *c, struct buffer *out)
{
	static const char *const texts[] = {"subject == \"%s\"", "subject contains \"%s\"",
		"subject contains { \"%s\", \"free\" }", "any url contains \"%s\"",
		"any url == \"%s\"", "all url == \"%s\"", "no url contains \"%s\"",
		"helo == \"%s\"", "helo under \"%s\"", "helo under { \"%s\", \"bc\" }",
		"any url.domain under \"%s\"", "not helo under \"%s\""};
	static const char *const spf[] = {"none", "pass", "fail"};
	unsigned kind = choose(c, COUNT_OF(texts) + 5);
	char word[100];

	if (kind < COUNT_OF(texts)) {
		choose_word(c, word);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		assert_true(buffer_print(out, texts[kind], word));
#pragma GCC diagnostic pop
	} else if (kind == COUNT_OF(texts)) {
		assert_true(buffer_print(out, "client.ip == %s", choose_address(c, word)));
	} else if (kind <= COUNT_OF(texts) + 2) {
		add_network(c, out);
	} else if (kind == COUNT_OF(texts) + 3) {
		assert_true(buffer_print(out, "spf %s %s",
			choose(c, 2) ? "==" : "!=", spf[choose(c, COUNT_OF(spf))]));
	} else {
		assert_true(
			buffer_print(out, "client.asn in { %u, %u }", choose(c, 9), choose(c, 9)));
	}
}

static struct policy *choose_policy(struct choices *c)
{
	struct buffer text = BUFFER_INIT(1 << 20);
	struct policy *policy;

	for (unsigned i = 0; i < RULES; i++) {
		assert_true(buffer_print(&text, "rule r%u { when ", i));
		add_condition(c, &text);
		if (choose(c, 3) == 0) {
			assert_true(buffer_add_text(&text, " when "));
			add_condition(c, &text);
		}
		assert_true(buffer_print(&text, " then score %u }\n", 1 + choose(c, 3)));
	}
	policy = policy_new(rules_of(buffer_string(&text)));
	buffer_free(&text);
	return policy;
}

static union fact_datum choose_datum(
	struct choices *c, const struct fact *fact, struct arena *arena)
{
	union fact_datum datum = {.number = 0};
	char word[100];

	if (fact->type == TYPE_IP)
		assert_true(ip_parse(span_text(choose_address(c, word)), &datum.ip));
	else if (fact->type == TYPE_CHOICE)
		datum.choice = choose(c, 4);
	else if (fact->type == TYPE_NUMBER)
		datum.number = choose(c, 9);
	else
		datum.text = arena_span(arena, span_text(choose_word(c, word)));
	return datum;
}

static struct fact_value choose_value(
	struct choices *c, const struct fact *fact, struct arena *arena)
{
	union fact_datum *items = arena_alloc(arena, MANY_MAX * sizeof(*items));
	struct fact_value value = {FACT_KNOWN, 0, items, NULL};

	if (choose(c, 12) == 0)
		return (struct fact_value){FACT_FAILED, 0, NULL, ""};
	value.count = choose(c, fact->flags & FACT_MANY ? MANY_MAX + 1 : 8) ? 1 : 0;
	if (fact->flags & FACT_MANY)
		value.count = choose(c, MANY_MAX + 1);
	for (uint32_t i = 0; i < value.count; i++)
		items[i] = choose_datum(c, fact, arena);
	return value;
}

static void check_values(struct choices *c, const struct policy *policy, size_t *n_hits)
{
	struct arena *arena = arena_new(4096);
	struct evaluation *e = evaluation_new(policy, arena);
	struct subject s;
	size_t cursor = 0;
	int64_t low, high, sum = 0;
	const struct rule *hit;

	for (int i = 0; i < STAGE_COUNT; i++)
		s.at[i] = arena_alloc(
			arena, (policy->rules->n_at[i] + 1) * sizeof(struct fact_value));
	for (size_t i = 0; i < policy->n_slots; i++) {
		const struct slot *slot = policy->rules->slots[i];

		((struct fact_value *)(uintptr_t)s.at[slot->stage])[slot->index] =
			choose_value(c, slot->fact, arena);
	}
	evaluation_run(e, &s);
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = policy_rule(policy, i);

		if (evaluation_truth(e, &s, rule) != TRUTH_TRUE)
			continue;
		(*n_hits)++;
		sum += policy->scores[i];
		if (!evaluation_next_hit(e, &cursor, &hit) || hit != rule)
			fail_msg("%s is true, and ruled out", rule->name);
	}
	assert_false(evaluation_next_hit(e, &cursor, &hit));
	evaluation_score(e, &low, &high);
	assert_true(low == sum && high == sum);
	arena_free(&arena);
}

static void test_nothing_true_is_ruled_out(void **state)
{
	bool seen[GUARD_CONTAINS + 1] = {false};
	size_t n_hits = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 25; seed++) {
		struct choices c = choices_of_seed(seed);
		struct policy *policy = choose_policy(&c);

		for (size_t i = 0; i < policy->n_slots; i++)
			for (const struct guard *g = policy->guards[i]; g; g = g->next)
				seen[g->kind] = true;
		for (int i = 0; i < VALUES; i++)
			check_values(&c, policy, &n_hits);
		policy_free(&policy);
	}
	for (size_t i = 0; i < COUNT_OF(seen); i++)
		assert_true(seen[i]);
	assert_in_range(n_hits, 25 * VALUES * 4, 25 * VALUES * RULES / 2);
}

/* --- that they rule out: a guard spares what may hold, and little else --- */

static size_t spared(const struct guard *g, const struct fact_value *value, size_t n_rules)
{
	uint64_t rules[4] = {0};
	size_t n = 0;

	for (size_t i = 0; i < n_rules; i++)
		bits_add(rules, i);
	guard_spare(g, value, rules);
	for (size_t i = 0; i < n_rules; i++)
		n += !bits_has(rules, i);
	return n;
}

static struct policy *policy_of_200(const char *condition)
{
	struct buffer text = BUFFER_INIT(1 << 20);
	struct policy *policy;

	for (unsigned i = 0; i < 200; i++) {
		assert_true(buffer_print(&text, "rule r%u { when ", i));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		assert_true(buffer_print(&text, condition, i));
#pragma GCC diagnostic pop
		assert_true(buffer_add_text(&text, " then accept }\n"));
	}
	policy = policy_new(rules_of(buffer_string(&text)));
	buffer_free(&text);
	return policy;
}

static void expect_spared(const char *condition, const char *text, size_t n)
{
	struct policy *policy = policy_of_200(condition);
	union fact_datum datum = {.text = span_text(text)};
	struct fact_value value = {FACT_KNOWN, 1, &datum, NULL};

	if (policy->rules->slots[0]->fact->type == TYPE_IP)
		assert_true(ip_parse(span_text(text), &datum.ip));
	assert_non_null(policy->guards[0]);
	assert_int_equal(spared(policy->guards[0], &value, 200), n);
	value.count = 0;
	assert_true(guard_applies(policy->guards[0], &value));
	assert_int_equal(spared(policy->guards[0], &value, 200), 0);
	value.state = FACT_FAILED;
	assert_false(guard_applies(policy->guards[0], &value));
	policy_free(&policy);
}

static void test_guards_rule_out(void **state)
{
	(void)state;
	expect_spared("subject == \"s%u\"", "S17", 1);
	expect_spared("subject == \"s%u\"", "x", 0);
	expect_spared("helo under \"h%u.example\"", "a.b.H17.Example", 1);
	expect_spared("helo under \"h%u.example\"", "17.example", 0);
	expect_spared("client.ip in 10.0.%u.0/24", "10.0.17.200", 1);
	expect_spared("client.ip in 10.0.%u.0/24", "10.1.17.200", 0);
	expect_spared("client.ip in 2001:db8:%u::/48", "2001:db8:17::1", 1);
	expect_spared("client.ip == 10.0.0.%u", "10.0.0.17", 1);
	expect_spared("subject contains \"%u wins\"", "And 7 WINS", 1);
	expect_spared("subject contains \"%u wins\"", "and no win", 0);
}

static void test_few_rules_have_none(void **state)
{
	struct policy *policy =
		policy_new(rules_of("rule a { when helo == \"a\" then accept }\nrule b { when helo "
				    "== \"b\" then accept }"));

	(void)state;
	assert_null(policy->guards[0]);
	policy_free(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_true_is_ruled_out),
		cmocka_unit_test(test_guards_rule_out),
		cmocka_unit_test(test_few_rules_have_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

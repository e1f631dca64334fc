/*
 * The rule files that are shipped: right, without a warning, in their layout, and each rule in
 * force held by the tests beside it both ways: some test fails when the rule is taken away, and
 * some test fails when it acts whatever the message is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "filters/pipeline.h"
#include "lib/base/fail.h"
#include "policy/advise.h"
#include "policy/expect.h"
#include "policy/format.h"

enum { FILE_MAX = 1 << 20, REPORT_MAX = 1 << 20 };

#define DEFAULT_RULES "rules/default.rules"
#define STRICT_RULES  "rules/strict.rules"

/* The facts that this version measures. */
static struct filter_set *filters;

static int open_filters(void **state)
{
	struct err err = {0};

	(void)state;
	filters = filter_set_new(NULL, 0, ".", &err);
	return filters ? 0 : -1;
}

static int close_filters(void **state)
{
	(void)state;
	filter_set_free(&filters);
	return 0;
}

static struct span whole_file(struct arena *arena, const char *path)
{
	FILE *file = fopen(path, "r");
	char *text;
	size_t len;

	if (!file)
		fail_msg("%s can't be opened: the tests start in the root of the tree", path);
	text = arena_alloc(arena, FILE_MAX);
	len = fread(text, 1, FILE_MAX, file);
	fclose(file);
	assert_true(len > 0 && len < FILE_MAX);
	return span_make(text, len);
}

static bool read_file(void *context, const char *path, struct span *content, const char **problem)
{
	(void)problem;
	*content = whole_file(context, path);
	return true;
}

/* A rule set with where its files come from. */
struct shipped {
	struct arena *arena;
	struct rule_source source;
	struct buffer report;
};

static struct shipped shipped_new(void)
{
	struct arena *arena = arena_new(4096);

	return (struct shipped){arena, {read_file, arena}, BUFFER_INIT(REPORT_MAX)};
}

static void shipped_free(struct shipped *s)
{
	buffer_free(&s->report);
	arena_free(&s->arena);
}

static struct rules *read_rules(struct shipped *s, const char *path)
{
	struct rule_setup setup = {filter_set_registry(filters), NULL, 0, NULL, NULL, NULL};
	size_t n_mistakes, n_warnings;
	struct rules *rules =
		rules_read(&setup, &path, 1, &s->source, &s->report, &n_mistakes, &n_warnings);

	if (s->report.len)
		fail_msg("%s", buffer_string(&s->report));
	assert_non_null(rules);
	return rules;
}

static void check_file(const char *path)
{
	struct shipped s = shipped_new();
	struct policy *policy = policy_new(read_rules(&s, path));
	struct remarks remarks = {&s.source, &s.report, 0, 0};

	assert_true(policy->rules->n_tests > 20);
	policy_advise(policy, &remarks);
	if (!policy_expect(policy, &remarks, NULL, NULL) || s.report.len)
		fail_msg("%s", buffer_string(&s.report));
	policy_free(&policy);
	shipped_free(&s);
}

static void check_layout(const char *path)
{
	struct shipped s = shipped_new();
	struct buffer out = BUFFER_INIT(FILE_MAX);
	struct span text = whole_file(s.arena, path);

	if (!rules_format(path, text, &out, &s.report))
		fail_msg("%s", buffer_string(&s.report));
	if (!span_equal(text, buffer_span(&out)))
		fail_msg("%s is not in its layout: postern fmt %s", path, path);
	buffer_free(&out);
	shipped_free(&s);
}

/* Whether all tests still pass once one rule is another. */
static bool passes_with(const char *path, size_t index, void (*change)(struct rule *rule))
{
	struct shipped s = shipped_new();
	struct rules *rules = read_rules(&s, path);
	struct remarks remarks = {&s.source, &s.report, 0, 0};
	struct policy *policy;
	bool passes;

	change(rules->items[index]);
	policy = policy_new(rules);
	passes = policy_expect(policy, &remarks, NULL, NULL);
	policy_free(&policy);
	shipped_free(&s);
	return passes;
}

static void leave_alone(struct rule *rule)
{
	(void)rule;
}

static void take_away(struct rule *rule)
{
	rule->mode = RULE_OFF;
}

static void make_certain(struct rule *rule)
{
	rule->when = NULL;
	rule->n_slots = 0;
	rule->reads_score = rule->reads_tags = false;
}

static void check_each_rule(const char *path)
{
	struct shipped s = shipped_new();
	struct rules *rules = read_rules(&s, path);

	assert_true(passes_with(path, 0, leave_alone));
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *rule = rules->items[i];

		if (rule->mode == RULE_OFF)
			continue;
		if (passes_with(path, i, take_away))
			fail_msg("%s: no test shows that rule `%s` acts", path, rule->name);
		if (rule->when && passes_with(path, i, make_certain))
			fail_msg("%s: no test shows that rule `%s` spares anybody", path,
				rule->name);
	}
	rules_free(&rules);
	shipped_free(&s);
}

static void default_rules_are_right(void **state)
{
	(void)state;
	check_file(DEFAULT_RULES);
}

static void default_rules_are_laid_out(void **state)
{
	(void)state;
	check_layout(DEFAULT_RULES);
}

static void default_rules_are_held_by_tests(void **state)
{
	(void)state;
	check_each_rule(DEFAULT_RULES);
}

static void strict_rules_are_right(void **state)
{
	(void)state;
	check_file(STRICT_RULES);
}

static void strict_rules_are_laid_out(void **state)
{
	(void)state;
	check_layout(STRICT_RULES);
}

static void strict_rules_are_held_by_tests(void **state)
{
	(void)state;
	check_each_rule(STRICT_RULES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_rules_are_right),
		cmocka_unit_test(default_rules_are_laid_out),
		cmocka_unit_test(default_rules_are_held_by_tests),
		cmocka_unit_test(strict_rules_are_right),
		cmocka_unit_test(strict_rules_are_laid_out),
		cmocka_unit_test(strict_rules_are_held_by_tests),
	};

	return cmocka_run_group_tests(tests, open_filters, close_filters);
}

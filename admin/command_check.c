/* `postern check` and `postern test`: whether configuration and rules are right, without a daemon.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/command.h"
#include "admin/offline.h"
#include "admin/table.h"
#include "lib/base/fail.h"
#include "lib/base/log.h"
#include "policy/stages.h"
#include "policy/expect.h"
#include "proxy/process/loaded.h"

enum { JSON_MAX = 4 * 1024 * 1024 };

static void print(FILE *to, const struct buffer *text)
{
	struct span all = buffer_span(text);

	fwrite(all.at, 1, all.len, to);
}

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

/* --- what is checked: a configuration, or rule files alone --- */

/* What only shows when a worker opens its filters. */
static bool try_filters(struct loaded *loaded)
{
	struct err err = {{0}};

	if (offline_try(&loaded->rules, loaded->config, &err))
		return true;
	loaded->n_mistakes++;
	if (!buffer_print(&loaded->report, "%s: error: %s\n", loaded->config->file, err.text))
		loaded->report.max = loaded->report.len;
	return false;
}

static bool read_subject(const struct invocation *invocation, struct loaded *loaded)
{
	struct ruleset_told told = {.report = &loaded->report};
	bool ok;

	if (invocation->n_words == 0)
		return loaded_read(loaded, invocation->config_path) && try_filters(loaded);
	*loaded = (struct loaded){.bytes = BUFFER_INIT(LOADED_BYTES_MAX),
		.report = BUFFER_INIT(LOADED_REPORT_MAX),
		.bundle = bundle_of_rules(invocation->words, invocation->n_words)};
	ok = ruleset_read(&loaded->rules, loaded->bundle, NULL, RULESET_JUDGE, &told);
	loaded->n_mistakes = told.n_mistakes;
	loaded->n_warnings = told.n_warnings;
	return ok;
}

/* --- check --- */

static const char *mode_name(enum rule_mode mode)
{
	return mode == RULE_OFF ? "off" : mode == RULE_MONITOR ? "monitor" : "on";
}

/* When each rule is decided, and whether it can be: one that reads what this version does not
 * measure is skipped, or defers `on error`. */
struct timetable {
	enum stage *as_written, *real; /* owned */
};

static struct timetable timetable_new(const struct policy *policy)
{
	size_t n = (policy ? policy->n_rules : 0) + 1;
	struct timetable t = {
		memory_zeroed(n * sizeof(enum stage)), memory_zeroed(n * sizeof(enum stage))};

	if (policy) {
		policy_stages_as_written(policy, t.as_written);
		policy_stages(policy, t.real);
	}
	return t;
}

static void timetable_free(struct timetable *t)
{
	free(t->as_written);
	free(t->real);
}

static const char *effect_name(const struct rule *rule, const struct timetable *t)
{
	if (rule->mode == RULE_OFF || t->real[rule->index] != STAGE_NEVER ||
		t->as_written[rule->index] == STAGE_NEVER)
		return "";
	return rule->on_error == ON_ERROR_DEFER ? ", defers" : ", skipped";
}

static void print_config(const struct config *config)
{
	size_t n_servers = 0;

	for (size_t i = 0; i < config->n_backends; i++)
		n_servers += config->backends[i].n_servers;
	printf("%s: ok\n", config->file);
	printf("  %zu listener%s, %zu certificate%s, %zu backend%s with %zu server%s, ",
		config->n_listens, plural(config->n_listens), config->tls.count,
		plural(config->tls.count), config->n_backends, plural(config->n_backends),
		n_servers, plural(n_servers));
	if (config->relay_any)
		printf("any domain");
	else
		printf("%zu relay domain%s", config->n_relay_domains,
			plural(config->n_relay_domains));
	printf(", %u worker%s\n", config->workers, plural(config->workers));
}

static void print_rules(const struct policy *policy)
{
	static const char *const heads[] = {"RULE", "DECIDED AT", "MODE", NULL};
	struct timetable timetable = timetable_new(policy);
	struct arena *arena = arena_new(4096);
	struct table table;

	table_init(&table, arena, heads);
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = policy_rule(policy, i);
		bool off = rule->mode == RULE_OFF;

		table_row(&table);
		table_cell(&table, off ? TONE_DIM : TONE_BOLD, "%s", rule->name);
		table_cell(&table, timetable.real[i] == STAGE_NEVER ? TONE_WARN : TONE_PLAIN, "%s",
			off ? "-" : policy_stage_name(timetable.as_written[i]));
		table_cell(&table, rule->mode == RULE_ON ? TONE_DIM : TONE_WARN, "%s%s",
			mode_name(rule->mode), effect_name(rule, &timetable));
	}
	if (policy->n_rules) {
		putchar('\n');
		table_print(&table, stdout, tone_wanted(stdout));
	}
	arena_free(&arena);
	timetable_free(&timetable);
}

static void print_right(const struct loaded *loaded)
{
	const struct policy *policy = loaded->rules.policy;
	size_t n_tests = policy->rules->n_tests;

	if (loaded->config)
		print_config(loaded->config);
	printf("  %zu rule%s, %zu list%s, ", policy->n_rules, plural(policy->n_rules),
		policy->rules->n_lists, plural(policy->rules->n_lists));
	if (n_tests)
		printf("%zu test%s passed\n", n_tests, plural(n_tests));
	else
		printf("no tests\n");
	if (loaded->n_warnings)
		printf("  %zu warning%s\n", loaded->n_warnings, plural(loaded->n_warnings));
	print_rules(policy);
}

static void print_json(const struct loaded *loaded, bool ok)
{
	const struct policy *policy = loaded->rules.policy;
	struct record r;
	struct span all;
	struct timetable timetable = timetable_new(policy);

	record_init(&r, true, JSON_MAX);
	record_bool(&r, "ok", ok);
	record_number(&r, "mistakes", (int64_t)loaded->n_mistakes);
	record_number(&r, "warnings", (int64_t)loaded->n_warnings);
	record_text(&r, "report", buffer_span(&loaded->report));
	record_list(&r, "rules");
	for (size_t i = 0; policy && i < policy->n_rules; i++) {
		const struct rule *rule = policy_rule(policy, i);

		record_open(&r, NULL);
		record_string(&r, "rule", rule->name);
		record_string(&r, "stage", policy_stage_name(timetable.as_written[i]));
		record_bool(&r, "acts", timetable.real[i] != STAGE_NEVER);
		record_string(&r, "mode", mode_name(rule->mode));
		record_close(&r);
	}
	timetable_free(&timetable);
	record_close(&r);
	all = record_finish(&r);
	printf("%.*s\n", SPAN_ARGS(all));
	record_free(&r);
}

int cli_check(const struct invocation *invocation)
{
	struct loaded loaded;
	bool ok = read_subject(invocation, &loaded);

	if (cli_option(invocation, "--json")) {
		print_json(&loaded, ok);
	} else {
		print(stderr, &loaded.report);
		fflush(stderr);
		if (ok)
			print_right(&loaded);
		else
			fprintf(stderr, "%s: %zu mistake%s\n",
				invocation->n_words ? "rules" : invocation->config_path,
				loaded.n_mistakes, plural(loaded.n_mistakes));
	}
	loaded_free(&loaded);
	return ok ? CLI_OK : CLI_CONFIGURATION;
}

/* --- test --- */

struct test_run {
	size_t passed, failed;
	bool verbose;
};

static void on_result(void *context, const struct expect_result *result)
{
	struct test_run *run = context;

	if (result->passed)
		run->passed++;
	else
		run->failed++;
	if (!run->verbose)
		return;
	printf("%s  %s", result->passed ? "ok  " : "FAIL", result->test->name);
	if (result->rule)
		printf(" (rule %s)\n", result->rule->name);
	else
		printf(" (no rule)\n");
}

static bool read_rules(const struct invocation *invocation, struct loaded *loaded)
{
	struct ruleset_told told = {.report = &loaded->report};
	bool ok;

	if (invocation->n_words) {
		*loaded = (struct loaded){.bytes = BUFFER_INIT(LOADED_BYTES_MAX),
			.report = BUFFER_INIT(LOADED_REPORT_MAX),
			.bundle = bundle_of_rules(invocation->words, invocation->n_words)};
	} else if (!loaded_read_config(loaded, invocation->config_path)) {
		return false;
	}
	ok = ruleset_read(&loaded->rules, loaded->bundle, loaded->config, RULESET_READ, &told);
	loaded->n_mistakes += told.n_mistakes;
	return ok;
}

static int run_tests(const struct loaded *loaded, bool verbose)
{
	struct buffer report = BUFFER_INIT(LOADED_REPORT_MAX);
	struct test_run run = {.verbose = verbose};
	struct rule_source source;
	struct remarks remarks = {.source = &source, .report = &report};
	bool ok;

	bundle_rule_source(loaded->bundle, &source);
	ok = policy_expect(loaded->rules.policy, &remarks, on_result, &run);
	fflush(stdout);
	print(stderr, &report);
	buffer_free(&report);
	if (ok)
		printf("%zu test%s passed\n", run.passed, plural(run.passed));
	else
		printf("%zu test%s passed, %zu failed\n", run.passed, plural(run.passed),
			run.failed);
	return ok ? CLI_OK : CLI_NO;
}

int cli_test(const struct invocation *invocation)
{
	struct loaded loaded;
	int status = CLI_CONFIGURATION;

	if (read_rules(invocation, &loaded))
		status = run_tests(&loaded, cli_option(invocation, "-v") != NULL);
	else
		print(stderr, &loaded.report);
	loaded_free(&loaded);
	return status;
}

/*
 * metrics and ledger: what workers told adds up, whoever of them has ended, and what comes out is
 * Prometheus' text format to the letter: read back here by a parser that forgives nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "admin/metrics.h"
#include "lib/base/fail.h"

/* --- a strict reader --- */

enum { SAMPLES_MAX = 1000, NAME_SIZE = 128, LABELS_SIZE = 2048 };

static struct {
	char name[NAME_SIZE], labels[LABELS_SIZE];
	double value;
} samples[SAMPLES_MAX];
static size_t n_samples;
static char families[SAMPLES_MAX][NAME_SIZE];
static size_t n_families;
static char type[NAME_SIZE];

static void take_family(const char *line)
{
	char name[NAME_SIZE], help_name[NAME_SIZE];
	int at = 0;

	if (sscanf(line, "# HELP %127[a-z0-9_] %n", help_name, &at) == 1) {
		assert_true(at > 0 && line[at]);
		for (size_t i = 0; i < n_families; i++)
			assert_string_not_equal(families[i], help_name);
		strcpy(families[n_families++], help_name);
		type[0] = '\0';
		return;
	}
	assert_int_equal(sscanf(line, "# TYPE %127[a-z0-9_] %127[a-z]%n", name, type, &at), 2);
	assert_int_equal(line[at], '\0');
	assert_true(n_families > 0);
	assert_string_equal(name, families[n_families - 1]); /* right behind its HELP */
	assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 ||
		    strcmp(type, "histogram") == 0);
	assert_int_equal(strcmp(type, "counter") == 0,
		strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0);
}

/* NAME="VALUE"{,NAME="VALUE"}: returns what stands behind the last one. */
static const char *skip_labels(const char *at)
{
	for (;;) {
		size_t name = strspn(at, "abcdefghijklmnopqrstuvwxyz_");

		assert_true(name > 0 && at[name] == '=' && at[name + 1] == '"');
		for (at += name + 2; *at != '"'; at++) {
			assert_true(*at);
			if (*at == '\\')
				assert_non_null(strchr("\\\"n", *++at));
		}
		at++;
		if (*at != ',')
			return at;
		at++;
	}
}

static void take_sample(const char *line)
{
	const char *family = families[n_families - 1];
	size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789_");
	const char *labels = line + name, *behind = labels;
	size_t suffix = strlen(family);
	char *end;

	assert_true(type[0] && n_families && n_samples < SAMPLES_MAX && name < NAME_SIZE);
	assert_memory_equal(line, family, suffix);
	if (strcmp(type, "histogram") == 0)
		assert_true(strncmp(line + suffix, "_bucket{", 8) == 0 ||
			    strncmp(line + suffix, "_sum{", 5) == 0 ||
			    strncmp(line + suffix, "_count{", 7) == 0);
	else
		assert_int_equal(name, suffix);
	if (*labels == '{') {
		behind = skip_labels(labels + 1);
		assert_int_equal(*behind++, '}');
	}
	assert_int_equal(*behind, ' ');
	snprintf(samples[n_samples].name, NAME_SIZE, "%.*s", (int)name, line);
	snprintf(samples[n_samples].labels, LABELS_SIZE, "%.*s", (int)(behind - labels), labels);
	samples[n_samples].value = strtod(behind + 1, &end);
	assert_true(end > behind + 1 && *end == '\0' && samples[n_samples].value >= 0);
	for (size_t i = 0; i < n_samples; i++)
		assert_true(strcmp(samples[i].name, samples[n_samples].name) != 0 ||
			    strcmp(samples[i].labels, samples[n_samples].labels) != 0);
	n_samples++;
}

static void read_strictly(struct buffer *text)
{
	char *line = (char *)buffer_string(text), *next;

	n_samples = n_families = 0;
	type[0] = '\0';
	for (; *line; line = next) {
		char *end = strchr(line, '\n');

		assert_non_null(end);
		*end = '\0';
		next = end + 1;
		if (*line == '#')
			take_family(line);
		else
			take_sample(line);
	}
}

/* -1: there is none. */
static double sample_of(const char *name, const char *labels)
{
	for (size_t i = 0; i < n_samples; i++)
		if (strcmp(samples[i].name, name) == 0 && strcmp(samples[i].labels, labels) == 0)
			return samples[i].value;
	return -1;
}

#define assert_sample(name, labels, is)                                                            \
	do {                                                                                       \
		double found = sample_of("postern_" name, labels);                                 \
		if (found != (is))                                                                 \
			fail_msg("%s%s is %g", name, labels, found);                               \
	} while (0)

/* --- the stage --- */

static struct shared *shared;
static struct ledger sum;

static int setup(void **state)
{
	struct err err;
	int fd = shared_create(&err);

	(void)state;
	shared = shared_map(fd, &err);
	close(fd);
	return shared ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	ledger_free(&sum);
	shared_unmap(&shared);
	return 0;
}

static void take(struct ledger *ledger, const char *text)
{
	struct arena *arena = arena_new(1024);
	struct json *json = json_read(arena, span_text(text));

	assert_non_null(json);
	ledger_take(ledger, json);
	arena_free(&arena);
}

static void write_all(const char *state, unsigned silent)
{
	struct arena *arena = arena_new(1024);
	struct buffer text = BUFFER_INIT(1024 * 1024);
	struct metrics_sources sources = {.shared = shared,
		.sum = &sum,
		.state = state ? json_read(arena, span_text(state)) : NULL,
		.silent = silent};

	assert_true(metrics_write(&sources, &text));
	read_strictly(&text);
	buffer_free(&text);
	arena_free(&arena);
}

#define ANSWER                                                                                     \
	"{\"rules\":[{\"rule\":\"spam\",\"mode\":\"on\",\"hits\":3},"                              \
	"{\"rule\":\"new\",\"mode\":\"monitor\",\"hits\":0}],"                                     \
	"\"filters\":{\"dnsbl\":{\"calls\":7,\"failures\":2,\"timeouts\":1,"                       \
	"\"us\":2500001,\"took\":{\"1ms\":1,\"5ms\":0,\"25ms\":4,\"more\":2},"                     \
	"\"zones\":[{\"zone\":\"zen.test\",\"of\":\"addresses\",\"off\":\"empty?\",\"broken\":5}," \
	"{\"zone\":\"zen.test\",\"of\":\"domains\",\"broken\":0}]}},"                              \
	"\"backends\":[{\"backend\":\"main\",\"servers\":["                                        \
	"{\"server\":\"10.0.0.5:25\",\"state\":\"down\"},"                                         \
	"{\"server\":\"10.0.0.6:25\",\"state\":\"unknown\"}]}]}"

/* --- tests --- */

static void test_nothing(void **state)
{
	(void)state;
	write_all(NULL, 0);
	assert_sample("sessions", "", 0);
	assert_sample("workers_silent", "", 0);
	assert_sample("config_last_reload_success", "", -1);
}

static void test_shared(void **state)
{
	struct shared_row *row = &shared->rows[shared_row_take(shared)];

	(void)state;
	shared_add(row, COUNT_sessions, 4);
	shared_speak(row, AT_message, "quarantine");
	shared_speak(row, AT_rcpt, "defer");
	shared_speak(row, AT_connect, "reject");
	shared_row_give(shared, 0);
	write_all("{\"last_reload\":{\"ok\":false}}", 3);
	assert_sample("sessions_total", "", 4);
	assert_sample("verdicts_total", "{verdict=\"quarantine\",stage=\"message\"}", 1);
	assert_sample("verdicts_total", "{verdict=\"defer\",stage=\"rcpt\"}", 1);
	assert_sample("verdicts_total", "{verdict=\"reject\",stage=\"connect\"}", 1);
	assert_sample("verdicts_total", "{verdict=\"reject\",stage=\"helo\"}", 0);
	assert_sample("verdicts_total", "{verdict=\"accept\",stage=\"connect\"}", -1);
	assert_sample("workers_silent", "", 3);
	assert_sample("config_last_reload_success", "", 0);
}

/* Two workers, one of which is not to be asked any more. */
static void test_sums(void **state)
{
	struct ledger a = {.n = 0}, b = {.n = 0};

	(void)state;
	take(&a, ANSWER);
	take(&b, "{\"rules\":[{\"rule\":\"spam\",\"mode\":\"on\",\"hits\":1},"
		 "{\"rule\":\"spam\",\"mode\":\"monitor\",\"hits\":9}]}");
	ledger_add(&sum, &b, false);
	ledger_add(&sum, &a, true);
	write_all("{\"last_reload\":{\"ok\":true}}", 0);
	assert_sample("rule_hits_total", "{rule=\"spam\",mode=\"on\"}", 4);
	assert_sample("rule_hits_total", "{rule=\"spam\",mode=\"monitor\"}", 9);
	assert_sample("rule_hits_total", "{rule=\"new\",mode=\"monitor\"}", 0);
	assert_sample("lookup_errors_total", "{kind=\"dnsbl\"}", 2);
	assert_sample("lookup_timeouts_total", "{kind=\"dnsbl\"}", 1);
	assert_sample("lookup_duration_seconds_bucket", "{kind=\"dnsbl\",le=\"0.001\"}", 1);
	assert_sample("lookup_duration_seconds_bucket", "{kind=\"dnsbl\",le=\"0.005\"}", 1);
	assert_sample("lookup_duration_seconds_bucket", "{kind=\"dnsbl\",le=\"0.025\"}", 5);
	assert_sample("lookup_duration_seconds_bucket", "{kind=\"dnsbl\",le=\"0.1\"}", 5);
	assert_sample("lookup_duration_seconds_bucket", "{kind=\"dnsbl\",le=\"10\"}", 5);
	assert_sample("lookup_duration_seconds_bucket", "{kind=\"dnsbl\",le=\"+Inf\"}", 7);
	assert_sample("lookup_duration_seconds_count", "{kind=\"dnsbl\"}", 7);
	assert_sample("lookup_duration_seconds_sum", "{kind=\"dnsbl\"}", 2.500001);
	assert_sample("dnsbl_up", "{zone=\"zen.test\",of=\"addresses\"}", 0);
	assert_sample("dnsbl_up", "{zone=\"zen.test\",of=\"domains\"}", 1);
	assert_sample("dnsbl_broken_total", "{zone=\"zen.test\",of=\"addresses\"}", 5);
	assert_sample("backend_up", "{server=\"10.0.0.5:25\",backend=\"main\"}", 0);
	assert_sample("backend_up", "{server=\"10.0.0.6:25\",backend=\"main\"}", 1);
	assert_sample("config_last_reload_success", "", 1);
	ledger_free(&a);
	ledger_free(&b);
}

/* Of a worker that is silent or has ended, counts stay; what is down now it can't tell. */
static void test_ended(void **state)
{
	struct ledger a = {.n = 0};

	(void)state;
	take(&a, ANSWER);
	ledger_add(&sum, &a, false);
	write_all(NULL, 1);
	assert_sample("rule_hits_total", "{rule=\"spam\",mode=\"on\"}", 3);
	assert_sample("dnsbl_broken_total", "{zone=\"zen.test\",of=\"addresses\"}", 5);
	assert_sample("dnsbl_up", "{zone=\"zen.test\",of=\"addresses\"}", -1);
	assert_sample("backend_up", "{server=\"10.0.0.5:25\",backend=\"main\"}", -1);
	ledger_free(&a);
}

/* One of several workers that knows better is enough; what was off comes back. */
static void test_down(void **state)
{
	struct ledger a = {.n = 0}, b = {.n = 0};
	const char *good = "{\"filters\":{\"dnsbl\":{\"zones\":["
			   "{\"zone\":\"zen.test\",\"of\":\"addresses\",\"broken\":6}]}}}";
	const struct tally *t;

	(void)state;
	take(&a, ANSWER);
	take(&b, good);
	ledger_add(&sum, &a, true);
	ledger_add(&sum, &b, true);
	t = ledger_find(&sum, TALLY_ZONE, "zen.test", "addresses");
	assert_non_null(t);
	assert_string_equal(t->down, "empty?");
	assert_int_equal(t->counts[ZONE_BROKEN], 11);
	ledger_free(&sum);
	take(&a, good);
	ledger_add(&sum, &a, true);
	t = ledger_find(&sum, TALLY_ZONE, "zen.test", "addresses");
	assert_null(t->down);
	assert_int_equal(t->counts[ZONE_BROKEN], 6); /* an answer replaces the one before */
	assert_int_equal(ledger_find(&sum, TALLY_RULE, "spam", "on")->counts[RULE_HITS], 3);
	ledger_free(&a);
	ledger_free(&b);
}

static void test_status(void **state)
{
	struct ledger a = {.n = 0};
	struct record r;
	struct span said;

	(void)state;
	take(&a, ANSWER);
	ledger_add(&sum, &a, true);
	record_init(&r, true, 4096);
	ledger_status(&sum, &r);
	said = record_finish(&r);
	assert_true(span_equal(said,
		SPAN("{\"rules\":[{\"rule\":\"spam\",\"mode\":\"on\",\"hits\":3},"
		     "{\"rule\":\"new\",\"mode\":\"monitor\",\"hits\":0}],"
		     "\"lookups\":[{\"filter\":\"dnsbl\",\"calls\":7,\"failures\":2,\"timeouts\":1,"
		     "\"us\":2500001,\"took\":{\"1ms\":1,\"5ms\":0,\"25ms\":4,\"100ms\":0,"
		     "\"500ms\":0,\"2s\":0,\"10s\":0,\"more\":2}}],"
		     "\"zones\":[{\"zone\":\"zen.test\",\"of\":\"addresses\",\"off\":\"empty?\","
		     "\"broken\":5},{\"zone\":\"zen.test\",\"of\":\"domains\",\"broken\":0}]}")));
	record_free(&r);
	ledger_free(&a);
}

/* A worker that was taken over says what it likes. */
static void test_nonsense(void **state)
{
	static const char *const answers[] = {"null", "[]", "{}",
		"{\"rules\":3,\"filters\":[1,{}]}",
		"{\"rules\":[1,null,[],{\"rule\":7},{\"rule\":\"\"},{\"hits\":9}]}",
		"{\"filters\":{\"x\":{\"took\":[],\"zones\":\"no\",\"calls\":-5}}}",
		"{\"backends\":[{\"servers\":[{\"server\":\"s\"}]},3]}",
		"{\"rules\":[{\"rule\":\"a\\\"b\\\\c\",\"mode\":\"{}\",\"hits\":1e9}]}"};
	char longest[600];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(answers); i++)
		take(&sum, answers[i]);
	snprintf(longest, sizeof(longest), "{\"rules\":[{\"rule\":\"%0300d\",\"hits\":1}]}", 0);
	take(&sum, longest);
	ledger_take(&sum, NULL);
	assert_int_equal(sum.n, 3);
	write_all(NULL, 0);
	assert_sample("rule_hits_total", "{rule=\"a\\\"b\\\\c\",mode=\"{}\"}", 1);
	assert_sample("lookup_errors_total", "{kind=\"x\"}", 0);
}

/* Many rules stay quick to add up, and too many are left out. */
static void test_many(void **state)
{
	struct buffer text = BUFFER_INIT(64 * 1024 * 1024);
	struct ledger a = {.n = 0};
	char name[16];

	(void)state;
	assert_true(buffer_add_text(&text, "{\"rules\":["));
	for (int i = 0; i < LEDGER_MAX + 10; i++)
		assert_true(buffer_print(&text, "%s{\"rule\":\"r%d\",\"mode\":\"on\",\"hits\":%d}",
			i ? "," : "", i, i));
	assert_true(buffer_add_text(&text, "]}"));
	take(&a, buffer_string(&text));
	for (int i = 0; i < 3; i++)
		ledger_add(&sum, &a, true);
	assert_int_equal(sum.n, LEDGER_MAX);
	for (int i = 0; i < LEDGER_MAX; i += 777) {
		snprintf(name, sizeof(name), "r%d", i);
		assert_int_equal(
			ledger_find(&sum, TALLY_RULE, name, "on")->counts[RULE_HITS], 3 * i);
	}
	snprintf(name, sizeof(name), "r%d", LEDGER_MAX);
	assert_null(ledger_find(&sum, TALLY_RULE, name, "on"));
	ledger_free(&a);
	buffer_free(&text);
}

static void test_full(void **state)
{
	struct buffer text = BUFFER_INIT(2000);
	struct metrics_sources sources = {.shared = shared, .sum = &sum};

	(void)state;
	assert_false(metrics_write(&sources, &text));
	buffer_free(&text);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_nothing),
		CASE(test_shared),
		CASE(test_sums),
		CASE(test_ended),
		CASE(test_down),
		CASE(test_status),
		CASE(test_nonsense),
		CASE(test_many),
		CASE(test_full),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}

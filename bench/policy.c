/*
 * policy [RULES]: what rules cost: 10,000 of mixed kinds (or so many), read, made ready, and then
 * evaluated for messages in the steps of a session: connect, helo, mail, rcpt, header, message. At
 * each step all that is wanted is known at once, so what is counted is evaluation alone. Also how
 * long a list of 100,000 networks from a file takes. Exit status 1: a goal of the design is missed.
 *
 * The one tool here that holds postern's own library: a rule set is nothing that can be measured
 * from outside.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/error.h"
#include "lib/base/fail.h"
#include "policy/evaluate.h"
#include "policy/read.h"

enum {
	RULES = 10000,
	MESSAGES = 2000,
	LIST_ITEMS = 100000,
	TEXT_MAX = 256 << 20,
	GOAL_MESSAGE_US = 100,
	GOAL_READ_MS = 2000,
	GOAL_LIST_MS = 1000
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* --- facts --- */

static const struct fact_choice results[] = {
	{"none", NULL}, {"pass", NULL}, {"fail", NULL}, {"softfail", NULL}, {NULL, NULL}};

#define F(name, type, stage, flags, choices)                                                       \
	{                                                                                          \
		name, TYPE_##type, STAGE_##stage, flags, choices, ""                               \
	}

static const struct fact facts[] = {
	F("client.ip", IP, CONNECT, 0, NULL),
	F("client.fcrdns", CHOICE, CONNECT, 0, results),
	F("client.country", TEXT, CONNECT, 0, NULL),
	F("helo", DOMAIN, HELO, 0, NULL),
	F("mail.from", MAIL, MAIL, 0, NULL),
	F("mail.domain", DOMAIN, MAIL, 0, NULL),
	F("spf", CHOICE, MAIL, 0, results),
	F("rcpt.to", MAIL, RCPT, 0, NULL),
	F("rcpt.domain", DOMAIN, RCPT, 0, NULL),
	F("subject", TEXT, HEADER, 0, NULL),
	F("from.domain", DOMAIN, HEADER, 0, NULL),
	F("header", TEXT, HEADER, FACT_MANY | FACT_OF_TEXT, NULL),
	F("dkim", CHOICE, MESSAGE, 0, results),
	F("attachment.extension", TEXT, MESSAGE, FACT_MANY, NULL),
	F("url.domain", DOMAIN, MESSAGE, FACT_MANY, NULL),
	{.name = NULL},
};

static const struct fact_source source = {"bench", facts};
static const struct fact_registry registry = {&source, 1};

/* What a message brings; %u is its number. */
static const struct {
	const char *fact, *value;
} values[] = {
	{"client.ip", "192.0.2.%u"},
	{"client.fcrdns", "pass"},
	{"client.country", "DE"},
	{"helo", "mx%u.example.org"},
	{"mail.from", "user@d%u.example"},
	{"mail.domain", "d%u.example"},
	{"spf", "pass"},
	{"rcpt.to", "someone@example.com"},
	{"rcpt.domain", "example.com"},
	{"subject", "Minutes of the meeting on Tuesday and what we agreed on, part %u"},
	{"from.domain", "d%u.example"},
	{"header", "value%u"},
	{"dkim", "pass"},
	{"attachment.extension", "pdf, png"},
	{"url.domain", "www.example.org, example.net, d%u.example"},
};

/* --- rules --- */

/* Kinds of rules, of each so many in a thousand. %1$u is the rule's number. */
static const struct {
	unsigned share;
	const char *text;
} kinds[] = {
	{200, "rule r%1$u { when mail.from == \"spam@d%1$u.example\" then reject \"{mail.from}\" "
	      "}\n"},
	{200, "rule r%1$u { when mail.domain == \"d%1$u.invalid\" then reject }\n"},
	{50, "rule r%1$u { when mail.domain == \"d%1$u.example\" and spf == fail then score 2 }\n"},
	{150, "rule r%1$u { when client.ip == 10.1.%2$u.%3$u then reject now }\n"},
	{100, "rule r%1$u { when client.ip in 10.%2$u.%3$u.0/24 then score 1.5 \"near\" }\n"},
	{50, "rule r%1$u { when helo under \"h%1$u.example\" then defer }\n"},
	{50, "rule r%1$u { when rcpt.to == \"trap%1$u@example.com\" then reject }\n"},
	{90, "rule r%1$u { when subject contains \"offer %1$u\" then score 0.5 }\n"},
	{5, "rule r%1$u { when subject ~ /\\bwin \\d+%1$u\\b/ then score 3 }\n"},
	{50, "rule r%1$u { when any header(\"X-%2$u\") == \"bulk%1$u\" then tag \"bulk\" }\n"},
	{25, "rule r%1$u { when from.domain == \"f%1$u.example\" and not dkim == pass then "
	     "quarantine \"forged\" }\n"},
	{20, "rule r%1$u { when any url.domain == \"u%1$u.example\" then score 4 }\n"},
	{10, "rule r%1$u { when any attachment.extension == \"x%1$u\" then quarantine \"x\" }\n"},
};

static void add_rule(struct buffer *out, unsigned number)
{
	unsigned at = number * 7919 % 1000, kind = 0;

	while (at >= kinds[kind].share)
		at -= kinds[kind++].share;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	ENSURE(buffer_print(out, kinds[kind].text, number, number / 250 % 250, number % 250));
#pragma GCC diagnostic pop
}

static void write_rules(struct buffer *out, unsigned n)
{
	ENSURE(buffer_print(out, "list bad : cidr from file \"bad\"\n"));
	for (unsigned i = 0; i < n; i++)
		add_rule(out, i);
	ENSURE(buffer_print(out,
		"rule bad { when client.ip in @bad then reject \"{list.reason}\" }\n"
		"rule spam { when score >= 15 then reject \"spam ({score})\" }\n"
		"rule tag { when score >= 5 then header add \"X-Score\" \"{score}\" }\n"
		"rule bulk { when any tags == \"bulk\" then header add \"Precedence\" \"bulk\" "
		"}\n"));
}

static void write_list(struct buffer *out, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ENSURE(buffer_print(out, "%u.%u.%u.0/24 ; reason %u\n", 20 + i / 62500,
			i / 250 % 250, i % 250, i));
}

struct files {
	struct buffer rules, list;
};

static bool read_file(void *context, const char *path, struct span *content, const char **problem)
{
	const struct files *files = context;

	(void)problem;
	*content = buffer_span(strcmp(path, "bad") == 0 ? &files->list : &files->rules);
	return true;
}

static struct rules *read_rules(struct files *files)
{
	struct rule_setup setup = {.registry = &registry};
	struct rule_source from = {read_file, files};
	struct buffer report = BUFFER_INIT(1 << 20);
	const char *path = "bench.rules";
	size_t n_mistakes, n_warnings;
	struct rules *rules =
		rules_read(&setup, &path, 1, &from, &report, &n_mistakes, &n_warnings);

	if (!rules) {
		fputs(buffer_string(&report), stderr);
		exit(2);
	}
	buffer_free(&report);
	return rules;
}

/* --- messages --- */

enum part { PART_RUN, PART_WANTS, PART_WAITS, PART_READY, PART_COUNT };
static const char *const part_names[] = {"run", "wants", "waits", "ready"};

struct bench {
	const struct policy *policy;
	struct arena *arena;
	struct evaluation *e;
	struct fact_value *full[STAGE_COUNT]; /* what the message in hand has */
	struct fact_value *at[STAGE_COUNT];   /* what of it is known */
	bool *wanted;
	double us[PART_COUNT];
	size_t n_known, n_rounds;
};

static void set_value(struct bench *b, const struct slot *slot, unsigned number)
{
	char text[200];
	struct err err;

	for (size_t i = 0; i < COUNT_OF(values); i++) {
		if (strcmp(values[i].fact, slot->fact->name) != 0)
			continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text), values[i].value, number);
#pragma GCC diagnostic pop
		ENSURE(fact_value_read(slot->fact, span_text(text), b->arena,
			&b->full[slot->stage][slot->index], &err));
	}
}

static void message_begin(struct bench *b, unsigned number)
{
	const struct rules *rules = b->policy->rules;

	b->arena = arena_new(4096);
	for (int i = 0; i < STAGE_COUNT; i++) {
		size_t bytes = (rules->n_at[i] + 1) * sizeof(struct fact_value);

		b->full[i] = arena_alloc(b->arena, bytes);
		b->at[i] = arena_alloc(b->arena, bytes);
	}
	for (size_t i = 0; i < rules->n_slots; i++)
		set_value(b, rules->slots[i], number);
}

static void count(struct bench *b, enum part part, double *since)
{
	double now = now_us();

	b->us[part] += now - *since;
	*since = now_us();
}

/* Makes known all that is wanted; false: nothing was. */
static bool know(struct bench *b)
{
	bool some = false;

	for (size_t i = 0; i < b->policy->n_slots; i++) {
		const struct slot *slot = b->policy->rules->slots[i];

		if (!b->wanted[i])
			continue;
		b->at[slot->stage][slot->index] = b->full[slot->stage][slot->index];
		b->n_known++;
		some = true;
	}
	return some;
}

static void step(struct bench *b, struct subject *s, enum stage reached)
{
	double since;

	s->at[reached] = b->at[reached];
	do {
		since = now_us();
		evaluation_run(b->e, s);
		count(b, PART_RUN, &since);
		evaluation_wants(b->e, s, reached, b->wanted);
		count(b, PART_WANTS, &since);
		b->n_rounds++;
	} while (know(b));
	since = now_us();
	if (reached == STAGE_RCPT)
		ENSURE(!evaluation_waits(b->e, s, reached, b->wanted));
	count(b, PART_WAITS, &since);
}

static void message(struct bench *b, unsigned number)
{
	struct subject s = {{NULL}};
	double since;
	bool ready;

	message_begin(b, number);
	since = now_us();
	evaluation_restart(b->e);
	count(b, PART_RUN, &since);
	for (enum stage stage = STAGE_CONNECT; stage < STAGE_COUNT; stage++)
		step(b, &s, stage);
	since = now_us();
	ready = evaluation_ready(b->e, &s);
	count(b, PART_READY, &since);
	ENSURE(ready && outcome_of(b->e).certain && !outcome_of(b->e).rule);
	arena_free(&b->arena);
}

static double measure_messages(const struct policy *policy)
{
	struct arena *arena = arena_new(4096);
	struct bench b = {.policy = policy, .e = evaluation_new(policy, arena)};
	double sum = 0;

	b.wanted = arena_alloc(arena, policy->n_slots + 1);
	for (unsigned i = 0; i < MESSAGES; i++)
		message(&b, i % 250);
	for (int i = 0; i < PART_COUNT; i++)
		sum += b.us[i] / MESSAGES;
	printf("a message         %8.1f us  goal %d: ", sum, GOAL_MESSAGE_US);
	for (int i = 0; i < PART_COUNT; i++)
		printf("%s%s %.1f", i ? ", " : "", part_names[i], b.us[i] / MESSAGES);
	printf("; %.1f looks, %.1f of %zu facts\n", (double)b.n_rounds / MESSAGES,
		(double)b.n_known / MESSAGES, policy->n_slots);
	arena_free(&arena);
	return sum;
}

int main(int argc, char **argv)
{
	struct files files = {BUFFER_INIT(TEXT_MAX), BUFFER_INIT(TEXT_MAX)};
	unsigned n_rules = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : RULES;
	double since, list_ms, read_ms, ready_ms, message_us;
	struct policy *policy;
	struct rules *rules;

	write_rules(&files.rules, 0);
	write_list(&files.list, LIST_ITEMS);
	since = now_us();
	rules = read_rules(&files);
	list_ms = (now_us() - since) / 1e3;
	rules_free(&rules);
	printf("list, %d items %7.1f ms  goal %d\n", LIST_ITEMS, list_ms, GOAL_LIST_MS);

	buffer_clear(&files.rules);
	buffer_clear(&files.list);
	write_rules(&files.rules, n_rules);
	since = now_us();
	rules = read_rules(&files);
	read_ms = (now_us() - since) / 1e3;
	since = now_us();
	policy = policy_new(rules);
	ready_ms = (now_us() - since) / 1e3;
	printf("rules, %-7u    %8.1f ms  goal %d: read %.1f, made ready %.1f; %zu KB\n", n_rules,
		read_ms + ready_ms, GOAL_READ_MS, read_ms, ready_ms, policy_size(policy) / 1024);

	message_us = measure_messages(policy);
	policy_free(&policy);
	buffer_free(&files.rules);
	buffer_free(&files.list);
	return list_ms > GOAL_LIST_MS || read_ms + ready_ms > GOAL_READ_MS ||
	       message_us > GOAL_MESSAGE_US;
}

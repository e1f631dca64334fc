/*
 * spf_tool: asks postern's SPF evaluator what a test in Python wants to know. One command a line,
 * its words separated by tabs; bytes that are not letters, digits or "-._:" stand as %XX.
 *
 *     zone NAME TYPE trouble | zone NAME TYPE RECORD...   what DNS says; an MX is "10 name"
 *     check CLIENT HELO LOCAL DOMAIN RECEIVER SECONDS     -> result
 *     time N     the last check again, all answers known  -> microseconds of one run
 *     reset      an empty zone, in which no name exists
 *
 * result: CODE MECHANISM PROBLEM EXPLANATION ROUNDS QUESTIONS, ROUNDS: how often DNS had to be
 * waited for, QUESTIONS: how many it was asked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "authn/spf.h"
#include "lib/base/fail.h"

enum { LINE_MAX_BYTES = 1 << 20, WORDS_MAX = 300, ZONE_MAX = 4096, ROUNDS_MAX = 64 };

/* A zone may hold more than a map of answers does. */
struct zone {
	struct arena *arena; /* owned */
	struct answer answers[ZONE_MAX];
	size_t n;
};

struct words {
	struct span items[WORDS_MAX];
	size_t n;
};

struct asked {
	struct spf_question question;
	struct answers *answers;
	struct arena *arena; /* owned */
};

static _Noreturn void die(const char *why)
{
	fprintf(stderr, "spf_tool: %s\n", why);
	exit(2);
}

/* --- words --- */

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef", *found = strchr(digits, ascii_lower(c));

	return c && found ? (int)(found - digits) : -1;
}

static struct span decode(char *word)
{
	size_t len = 0;

	for (const char *c = word; *c; c++) {
		if (*c == '%' && hex_digit(c[1]) >= 0 && hex_digit(c[2]) >= 0) {
			word[len++] = (char)(hex_digit(c[1]) * 16 + hex_digit(c[2]));
			c += 2;
		} else {
			word[len++] = *c;
		}
	}
	return span_make(word, len);
}

static void words_read(char *line, struct words *words)
{
	char *word;

	words->n = 0;
	line[strcspn(line, "\n")] = '\0';
	while ((word = strsep(&line, "\t"))) {
		if (words->n == WORDS_MAX)
			die("too many words");
		words->items[words->n++] = decode(word);
	}
}

static void word_print(struct span text)
{
	putchar('\t');
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (ascii_is_alpha(c) || ascii_is_digit(c) || (c && strchr("-._:", c)))
			putchar(c);
		else
			printf("%%%02X", (unsigned)(unsigned char)c);
	}
}

/* --- the zone --- */

static enum answer_type type_read(struct span word)
{
	static const struct {
		const char *name;
		enum answer_type type;
	} types[] = {{"A", ANSWER_A}, {"AAAA", ANSWER_AAAA}, {"MX", ANSWER_MX}, {"PTR", ANSWER_PTR},
		{"TXT", ANSWER_TXT}};

	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (span_equal(word, span_text(types[i].name)))
			return types[i].type;
	die("no such type");
}

static struct answer_record record_read(
	struct arena *arena, enum answer_type type, struct span word)
{
	struct answer_record record = {.preference = 0};
	uint64_t preference;

	switch (type) {
	case ANSWER_A:
	case ANSWER_AAAA:
		if (!ip_parse(word, &record.ip))
			die("no address");
		break;
	case ANSWER_MX:
		if (!span_number(span_word(&word), UINT16_MAX, &preference))
			die("no preference");
		record.preference = (uint16_t)preference;
		record.text = arena_span(arena, word);
		break;
	case ANSWER_PTR:
	case ANSWER_TXT:
		record.text = arena_span(arena, word);
	}
	return record;
}

static void zone_add(struct zone *zone, const struct words *words)
{
	struct answer *answer = &zone->answers[zone->n];
	struct answer_record *records;

	if (zone->n == ZONE_MAX || words->n < 4)
		die("zone: too much or too little");
	*answer = (struct answer){.name = arena_span(zone->arena, words->items[1]),
		.type = type_read(words->items[2])};
	zone->n++;
	if (span_equal(words->items[3], SPAN("trouble"))) {
		answer->outcome = ANSWER_TROUBLE;
		return;
	}
	records = arena_alloc(zone->arena, words->n * sizeof(*records));
	for (size_t i = 3; i < words->n; i++)
		records[answer->n_records++] =
			record_read(zone->arena, answer->type, words->items[i]);
	answer->records = records;
	answer->outcome = ANSWER_FOUND;
}

static void zone_clear(struct zone *zone)
{
	arena_free(&zone->arena);
	zone->arena = arena_new(4096);
	zone->n = 0;
}

static struct answer zone_find(const struct zone *zone, const struct answer *want)
{
	struct answer nothing = *want;

	nothing.outcome = ANSWER_NXDOMAIN;
	for (size_t i = 0; i < zone->n; i++) {
		if (!span_equal_nocase(zone->answers[i].name, want->name))
			continue;
		if (zone->answers[i].type == want->type)
			return zone->answers[i];
		nothing.outcome = ANSWER_NODATA;
	}
	return nothing;
}

/* --- commands --- */

static void result_print(const struct spf_result *result, unsigned rounds, size_t questions)
{
	static const char *const names[] = {
#define X(name, word) word,
		SPF_CODES(X)
#undef X
	};

	fputs(names[result->code], stdout);
	word_print(result->mechanism);
	word_print(result->problem);
	word_print(result->explanation);
	printf("\t%u\t%zu\n", rounds, questions);
	fflush(stdout);
}

static void question_read(struct asked *asked, const struct words *words)
{
	const struct span *w = words->items;
	uint64_t wall_s;

	if (words->n != 7)
		die("check: six words");
	asked->question = (struct spf_question){.helo = arena_span(asked->arena, w[2]),
		.local = arena_span(asked->arena, w[3]),
		.domain = arena_span(asked->arena, w[4]),
		.receiver = arena_span(asked->arena, w[5])};
	if (!ip_parse(w[1], &asked->question.client) || !span_number(w[6], UINT64_MAX, &wall_s))
		die("check: no address, or no time");
	asked->question.wall_s = wall_s;
}

static void check(
	struct spf *spf, const struct zone *zone, struct asked *asked, const struct words *words)
{
	struct spf_result result;
	size_t questions = 0;

	arena_free(&asked->arena);
	asked->arena = arena_new(4096);
	asked->answers = answers_new(asked->arena);
	question_read(asked, words);
	for (unsigned rounds = 0; rounds < ROUNDS_MAX; rounds++) {
		struct wants wants = {.arena = asked->arena};

		if (spf_run(spf, &asked->question, asked->answers, &wants, &result, asked->arena)) {
			result_print(&result, rounds, questions);
			return;
		}
		ENSURE(wants.n > 0);
		questions += wants.n;
		for (size_t i = 0; i < wants.n; i++) {
			struct answer answer = zone_find(zone, &wants.items[i]);

			if (!answers_add(asked->answers, &answer))
				die("more answers than a map may hold");
		}
	}
	die("no end of questions");
}

static void measure(struct spf *spf, struct asked *asked, const struct words *words)
{
	struct timespec start, end;
	uint64_t runs;

	if (words->n != 2 || !span_number(words->items[1], 100000000, &runs) || !asked->answers)
		die("time: a number, after a check");
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	for (uint64_t i = 0; i < runs; i++) {
		struct arena *arena = arena_new(4096);
		struct wants wants = {.arena = arena};
		struct spf_result result;

		ENSURE(spf_run(spf, &asked->question, asked->answers, &wants, &result, arena));
		arena_free(&arena);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	printf("%.2f\n", ((double)(end.tv_sec - start.tv_sec) * 1e9 +
				 (double)(end.tv_nsec - start.tv_nsec)) /
				 (double)runs / 1000);
	fflush(stdout);
}

static void obey(struct spf *spf, struct zone *zone, struct asked *asked, const struct words *words)
{
	if (span_equal(words->items[0], SPAN("zone")))
		zone_add(zone, words);
	else if (span_equal(words->items[0], SPAN("check")))
		check(spf, zone, asked, words);
	else if (span_equal(words->items[0], SPAN("time")))
		measure(spf, asked, words);
	else if (span_equal(words->items[0], SPAN("reset")))
		zone_clear(zone);
	else
		die("no such command");
}

int main(void)
{
	static struct zone zone;
	static char line[LINE_MAX_BYTES];
	struct asked asked = {.answers = NULL};
	struct words words;
	struct err err;
	struct spf *spf = spf_open(&err);

	if (!spf)
		die(err.text);
	zone_clear(&zone);
	while (fgets(line, sizeof(line), stdin)) {
		words_read(line, &words);
		obey(spf, &zone, &asked, &words);
	}
	arena_free(&zone.arena);
	arena_free(&asked.arena);
	spf_close(&spf);
	return 0;
}

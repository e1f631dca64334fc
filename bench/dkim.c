/*
 * dkim: what verifying a signature costs, beside what libopendkim alone takes for it
 * (bench/sample.h). The same messages, in turns, by CPU time; the least of some rounds counts, for
 * what else the machine does only adds.
 *
 * Goals: a message of 4 KB takes no longer than with the library alone, one of 1 MB goes at no less
 * than 0.8 of its speed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "authn/dkim.h"
#include "bench/sample.h"
#include "lib/base/fail.h"

enum { ROUNDS = 12, ARENA_BYTES = 16 * 1024 };

struct bench {
	struct sample sample;
	struct dkim_library *library;
	struct answers *answers;
	uint64_t now_s;
};

static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void verify_alone(struct bench *b)
{
	sample_verify(&b->sample);
}

static void verify_ours(struct bench *b)
{
	struct arena *arena = arena_new(ARENA_BYTES);
	struct dkim_check *check =
		dkim_check_begin(b->library, buffer_span(&b->sample.section), b->now_s, arena);
	struct wants wants = {.arena = arena};
	struct dkim_result result;

	dkim_check_wants(check, b->answers, &wants);
	ENSURE(wants.n == 0);
	dkim_check_body(check, buffer_span(&b->sample.body));
	dkim_check_end(check, b->answers, &result);
	ENSURE(result.n == 1 && result.signatures[0].code == DKIM_IS_PASS);
	dkim_check_free(&check);
	arena_free(&arena);
}

static double measure(struct bench *b, void (*verify)(struct bench *), int times)
{
	double start = cpu_us();

	for (int i = 0; i < times; i++)
		verify(b);
	return (cpu_us() - start) / times;
}

/* The ratio of ours to the library alone. */
static double compare(struct bench *b, const char *what, size_t body_bytes, int times)
{
	double alone = 1e12, ours = 1e12;

	sample_write(&b->sample, 0, body_bytes);
	for (int i = 0; i < ROUNDS; i++) {
		double a = measure(b, verify_alone, times), o = measure(b, verify_ours, times);

		alone = a < alone ? a : alone;
		ours = o < ours ? o : ours;
	}
	printf("%-6s %6zu bytes: libopendkim alone %8.1f us, ours %8.1f us: %.2f times\n", what,
		b->sample.section.len + b->sample.body.len, alone, ours, ours / alone);
	return ours / alone;
}

int main(void)
{
	struct bench b = {.now_s = (uint64_t)time(NULL)};
	struct answer_record record;
	struct answer answer = {SPAN(SAMPLE_KEY_NAME), ANSWER_TXT, ANSWER_FOUND, &record, 1};
	struct err err;
	double small, large;

	sample_open(&b.sample);
	b.library = dkim_library_open(&err);
	ENSURE(b.library);
	record = (struct answer_record){.text = span_text(b.sample.record)};
	b.answers = answers_new(b.sample.arena);
	ENSURE(answers_add(b.answers, &answer));
	small = compare(&b, "small", 2500, 300);
	compare(&b, "50 KB", 48000, 60);
	large = compare(&b, "large", 1000000, 5);
	dkim_library_close(&b.library);
	sample_close(&b.sample);
	return small > 1 || large > 1 / 0.8;
}

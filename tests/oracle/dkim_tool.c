/*
 * dkim_tool: what postern finds in messages, for test_dkim_oracle.py to compare with what others
 * find in them. Reads messages on standard input until it ends, and answers each at once:
 *
 *     message NOW SECTION_BYTES BODY_BYTES PIECE_BYTES ANSWERS\n
 *     the section's bytes, the body's bytes
 *     answer NAME OUTCOME RECORDS\n           so many; OUTCOME as enum answer_outcome has it
 *     BYTES\n the record's bytes              so many
 *
 * The body is handed over in pieces of PIECE_BYTES. For each signature a line comes back, of words
 * between tabs: code, d=, s=, i=, a=, start of b=, bits of the key, 1 if it is a test, the problem;
 * then "more N".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "authn/dkim.h"
#include "lib/base/fail.h"

enum { ARENA_BYTES = 16 * 1024, NAME_BYTES = 1024 };

static struct span read_bytes(struct arena *arena, size_t len)
{
	char *at = arena_alloc(arena, len + 1);

	ENSURE(fread(at, 1, len, stdin) == len);
	return span_make(at, len);
}

static void read_answer(struct arena *arena, struct answers *answers)
{
	struct answer_record records[ANSWER_RECORDS_MAX] = {{.text = SPAN_NONE}};
	char name[NAME_BYTES];
	struct answer answer = {.type = ANSWER_TXT, .records = records};
	unsigned outcome;

	ENSURE(scanf("answer %1023s %u %zu", name, &outcome, &answer.n_records) == 3);
	ENSURE(getchar() == '\n' && answer.n_records <= ANSWER_RECORDS_MAX);
	for (size_t i = 0; i < answer.n_records; i++) {
		size_t len;

		ENSURE(scanf("%zu", &len) == 1 && getchar() == '\n');
		records[i].text = read_bytes(arena, len);
	}
	answer.name = span_text(name);
	answer.outcome = (enum answer_outcome)outcome;
	ENSURE(answers_add(answers, &answer));
}

static void hand_over(struct dkim_check *check, struct span body, size_t piece)
{
	while (body.len) {
		dkim_check_body(check, span_first(body, piece));
		body = span_from(body, piece);
	}
}

static const char *const codes[] = {
#define X(name, word) word,
	DKIM_CODES(X)
#undef X
};

static void say(const struct dkim_result *result)
{
	for (size_t i = 0; i < result->n; i++) {
		const struct dkim_signature *s = &result->signatures[i];

		printf("%s\t%.*s\t%.*s\t%.*s\t%.*s\t%.*s\t%" PRIu32 "\t%d\t%.*s\n", codes[s->code],
			SPAN_ARGS(s->domain), SPAN_ARGS(s->selector), SPAN_ARGS(s->identity),
			SPAN_ARGS(s->algorithm), SPAN_ARGS(s->start), s->key_bits, s->testing,
			SPAN_ARGS(s->problem));
	}
	printf("more %zu\n", result->n_more);
	fflush(stdout);
}

/* false: the input is over. */
static bool message(struct dkim_library *library)
{
	struct arena *arena = arena_new(ARENA_BYTES);
	struct answers *answers = answers_new(arena);
	size_t section_len, body_len, piece, n_answers;
	struct span section, body;
	struct dkim_check *check;
	struct dkim_result result;
	uint64_t now_s;
	bool there = scanf(" message %" SCNu64 " %zu %zu %zu %zu", &now_s, &section_len, &body_len,
			     &piece, &n_answers) == 5;

	if (there) {
		ENSURE(getchar() == '\n' && piece > 0);
		section = read_bytes(arena, section_len);
		body = read_bytes(arena, body_len);
		for (size_t i = 0; i < n_answers; i++)
			read_answer(arena, answers);
		check = dkim_check_begin(library, section, now_s, arena);
		if (dkim_check_needs_body(check))
			hand_over(check, body, piece);
		dkim_check_end(check, answers, &result);
		say(&result);
		dkim_check_free(&check);
	}
	arena_free(&arena);
	return there;
}

int main(void)
{
	struct err err;
	struct dkim_library *library = dkim_library_open(&err);

	if (!library) {
		fprintf(stderr, "dkim_tool: %s\n", err.text);
		return 1;
	}
	while (message(library))
		;
	dkim_library_close(&library);
	return 0;
}

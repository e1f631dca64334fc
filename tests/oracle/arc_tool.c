/*
 * arc_tool: what postern makes of messages, for the oracle test to compare.
 *
 *     arc_tool KEYS NOW < MESSAGES
 *
 * KEYS has a line for each record, "name TAB text"; "!" as the text: DNS has no answer. A message
 * is its length in a line and its bytes. For each, a line comes out: "code TAB oldest TAB sealers
 * TAB problem".
 */
#include <stdio.h>
#include <stdlib.h>

#include "authn/arc.h"
#include "lib/base/fail.h"
#include "lib/mail/header.h"

static void add_record(struct answers *answers, struct span line)
{
	size_t tab = span_find_char(line, '\t');
	struct answer_record record = {.text = span_from(line, tab + 1)};
	bool trouble = span_equal(record.text, SPAN("!"));
	struct answer answer = {.name = span_first(line, tab),
		.type = ANSWER_TXT,
		.outcome = trouble ? ANSWER_TROUBLE : ANSWER_FOUND,
		.records = &record,
		.n_records = trouble ? 0 : 1};

	ENSURE(answers_add(answers, &answer));
}

static struct answers *read_keys(const char *file, struct arena *arena)
{
	struct answers *answers = answers_new(arena);
	FILE *in = fopen(file, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	if (!in) {
		perror(file);
		exit(1);
	}
	while ((len = getline(&line, &size, in)) > 0)
		add_record(answers, span_make(line, (size_t)len - (line[len - 1] == '\n')));
	free(line);
	fclose(in);
	return answers;
}

/* In pieces of sizes that hit every place in the long run. */
static void feed(struct arc *arc, struct span body)
{
	size_t piece = 1;

	while (body.len) {
		arc_body(arc, span_first(body, piece));
		body = span_from(body, piece);
		piece = piece % 97 + 3;
	}
}

/* What the keys lack is not there. */
static void answer_wants(struct arc *arc, struct answers *answers, struct arena *arena)
{
	struct wants wants = {.arena = arena};

	do {
		wants.n = 0;
		arc_wants(arc, answers, &wants);
		for (size_t i = 0; i < wants.n; i++) {
			wants.items[i].outcome = ANSWER_NXDOMAIN;
			ENSURE(answers_add(answers, &wants.items[i]));
		}
	} while (wants.n);
}

static void judge(struct span message, const char *keys, uint64_t now_s)
{
	struct arena *arena = arena_new(4096);
	struct answers *answers = read_keys(keys, arena);
	struct arc_result result;
	size_t from = 0, end = header_end(message, &from);
	struct arc *arc;

	end = end ? end : message.len;
	arc = arc_begin(span_first(message, end), now_s, arena);
	answer_wants(arc, answers, arena);
	if (arc_needs_body(arc))
		feed(arc, span_from(message, end));
	arc_end(arc, answers, &result);
	arc_free(&arc);
	printf("%s\t%u\t",
		result.code == ARC_IS_PASS   ? "pass"
		: result.code == ARC_IS_FAIL ? "fail"
					     : "none",
		result.oldest_pass);
	for (size_t i = 0; i < result.n_sealers; i++)
		printf("%s%.*s", i ? "," : "", SPAN_ARGS(result.sealers[i]));
	printf("\t%.*s\n", SPAN_ARGS(result.problem));
	arena_free(&arena);
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t room = 0;

	if (argc != 3) {
		fputs("usage: arc_tool KEYS NOW < MESSAGES\n", stderr);
		return 2;
	}
	while (getline(&line, &room, stdin) > 0) {
		size_t size = strtoul(line, NULL, 10);
		char *bytes = memory_new(size + 1);

		ENSURE(fread(bytes, 1, size, stdin) == size);
		judge(span_make(bytes, size), argv[1], strtoull(argv[2], NULL, 10));
		free(bytes);
	}
	free(line);
	return 0;
}

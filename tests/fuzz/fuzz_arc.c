/*
 * A chain from any bytes: what comes out does not hang on how the body is cut, and only a chain
 * that passes tells of sealers. Seeds are whole chains by one key, so that what a change leaves
 * intact is verified in earnest.
 *
 * The input is a key record, which all names have, NUL, and a message. No record: the names are not
 * there; "!": DNS has no answer.
 */
#include <stdint.h>
#include <stdlib.h>

#include "authn/arc.h"
#include "lib/base/fail.h"
#include "lib/mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1800000000 };

static void answer_wants(
	struct arc *arc, struct answers *answers, struct span record, struct arena *arena)
{
	struct answer_record found = {.text = record};
	struct wants wants = {.arena = arena};

	do {
		wants.n = 0;
		arc_wants(arc, answers, &wants);
		for (size_t i = 0; i < wants.n; i++) {
			struct answer answer = wants.items[i];

			answer.outcome = ANSWER_FOUND;
			answer.records = &found;
			answer.n_records = 1;
			if (record.len == 0)
				answer.outcome = ANSWER_NXDOMAIN;
			else if (span_equal(record, SPAN("!")))
				answer.outcome = ANSWER_TROUBLE;
			if (answer.outcome != ANSWER_FOUND)
				answer.n_records = 0;
			ENSURE(answer.name.len <= 253);
			ENSURE(answers_add(answers, &answer));
		}
	} while (wants.n);
}

/* piece: bytes of the body at a time; 0: it is not fed at all where it is not needed. */
static struct arc_result judge(
	struct span record, struct span message, size_t piece, struct arena *arena)
{
	struct answers *answers = answers_new(arena);
	size_t from = 0, end = header_end(message, &from);
	struct arc_result result;
	struct span body;
	struct arc *arc;

	end = end ? end : message.len;
	body = span_from(message, end);
	arc = arc_begin(span_first(message, end), NOW, arena);
	answer_wants(arc, answers, record, arena);
	for (; body.len && (piece || arc_needs_body(arc));
		body = span_from(body, piece ? piece : 4096))
		arc_body(arc, span_first(body, piece ? piece : 4096));
	arc_end(arc, answers, &result);
	arc_free(&arc);
	return result;
}

static void check(const struct arc_result *result)
{
	ENSURE((result->code == ARC_IS_FAIL) == (result->problem.len > 0));
	ENSURE(result->code == ARC_IS_FAIL || !result->temporary);
	ENSURE((result->code == ARC_IS_PASS) == (result->n_sealers > 0));
	ENSURE(result->n_sealers <= ARC_SETS_MAX);
	ENSURE(result->code == ARC_IS_PASS || result->results.len == 0);
	ENSURE(result->oldest_pass <= result->n_sealers);
	ENSURE(span_find_char(result->results, '\n') == result->results.len);
	for (size_t i = 0; i < result->n_sealers; i++)
		ENSURE(result->sealers[i].len && result->sealers[i].len <= 253);
}

static void check_same(const struct arc_result *a, const struct arc_result *b)
{
	ENSURE(a->code == b->code && a->temporary == b->temporary);
	ENSURE(span_equal(a->problem, b->problem) && span_equal(a->results, b->results));
	ENSURE(a->n_sealers == b->n_sealers && a->oldest_pass == b->oldest_pass);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_make(data, size);
	size_t nul = span_find_char(input, '\0');
	struct span record = span_first(input, nul), message = span_from(input, nul + 1);
	struct arena *arena = arena_new(4096);
	struct arc_result whole = judge(record, message, 0, arena);
	struct arc_result cut = judge(record, message, 1 + size % 7, arena);

	check(&whole);
	check_same(&whole, &cut);
	arena_free(&arena);
	return 0;
}

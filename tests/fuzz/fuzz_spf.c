/*
 * An SPF evaluation in a world that the input makes. Its lines: the first says who asks
 * ("CLIENT HELO LOCAL DOMAIN"), the others what DNS says, each "NAME TYPE RECORD" (TYPE: A, AAAA,
 * MX, PTR, TXT, or one of these with '!' behind it: trouble); a NUL ends a line, for records may
 * hold anything else. Names that no line has are answered from the names themselves, so that macros
 * and includes lead on.
 *
 * Whatever it is: it ends, in few rounds and few questions; each question can be asked; what comes
 * out is printable and bounded, and the same when all answers are known from the start. The records
 * and explanations are also read and expanded by themselves.
 */
#include <stdint.h>
#include <stdlib.h>

#include "authn/spf.h"
#include "authn/spf_macro.h"
#include "authn/spf_name.h"
#include "authn/spf_record.h"
#include "lib/base/fail.h"

enum { ROUNDS_MAX = 40, QUESTIONS_MAX = 300, LINES_MAX = 400, INPUT_MAX = 80000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct arena *arena;
	struct span lines[LINES_MAX];
	size_t n;
};

/* --- answers --- */

static bool type_is(struct span word, enum answer_type type)
{
	switch (type) {
	case ANSWER_A:
		return span_equal(word, SPAN("A"));
	case ANSWER_AAAA:
		return span_equal(word, SPAN("AAAA"));
	case ANSWER_MX:
		return span_equal(word, SPAN("MX"));
	case ANSWER_PTR:
		return span_equal(word, SPAN("PTR"));
	case ANSWER_TXT:
		return span_equal(word, SPAN("TXT"));
	}
	return false;
}

static struct answer_record record_of(struct world *world, enum answer_type type, struct span rest)
{
	struct answer_record record = {.preference = (uint16_t)rest.len};

	if (type == ANSWER_TXT)
		record.text = rest;
	else if ((type == ANSWER_A || type == ANSWER_AAAA) && !ip_parse(rest, &record.ip))
		record.ip = (struct ip){.family = type == ANSWER_A ? IP_V4 : IP_V6};
	else if (!spf_name_usual(rest, world->arena, &record.text))
		record.text = SPAN(".");
	return record;
}

/* No line has the name: half of such names lead back to the first one. */
static void invent(struct world *world, struct answer *answer, struct answer_record *records)
{
	static const struct span text = SPAN("v=spf1 a:%{d2}.x.example include:%{i}.%{d} mx ?all");
	size_t kind = answer->name.len % 4;

	answer->outcome = kind == 0 ? ANSWER_NXDOMAIN : kind == 1 ? ANSWER_NODATA : ANSWER_FOUND;
	answer->n_records = answer->outcome == ANSWER_FOUND;
	records[0] = record_of(world, answer->type,
		answer->type == ANSWER_TXT ? text : span_first(answer->name, 60));
}

static struct answer answer_of(struct world *world, const struct answer *want)
{
	struct answer answer = *want;
	struct answer_record *records =
		arena_alloc(world->arena, (world->n + 1) * sizeof(*records));
	bool known = false;

	for (size_t i = 1; i < world->n && answer.n_records < ANSWER_RECORDS_MAX; i++) {
		struct span rest = world->lines[i], name = span_word(&rest),
			    type = span_word(&rest);

		if (!span_equal_nocase(name, want->name))
			continue;
		known = true;
		if (span_ends_nocase(type, SPAN("!")) &&
			type_is(span_first(type, type.len - 1), want->type))
			return (struct answer){
				.name = want->name, .type = want->type, .outcome = ANSWER_TROUBLE};
		if (type_is(type, want->type))
			records[answer.n_records++] = record_of(world, want->type, rest);
	}
	answer.outcome = answer.n_records ? ANSWER_FOUND : ANSWER_NODATA;
	answer.records = records;
	if (!known)
		invent(world, &answer, records);
	return answer;
}

/* --- what must hold --- */

static void check_text(struct span text, size_t max)
{
	ENSURE(text.len <= max);
	for (size_t i = 0; i < text.len; i++)
		ENSURE(text.at[i] >= 0x20 && text.at[i] <= 0x7e);
}

static void check_result(const struct spf_result *result)
{
	bool is_error = result->code == SPF_IS_TEMPERROR || result->code == SPF_IS_PERMERROR;

	check_text(result->mechanism, 255);
	check_text(result->problem, 600);
	check_text(result->explanation, SPF_EXPLANATION_MAX);
	ENSURE(is_error == (result->problem.len > 0));
	ENSURE(!is_error || result->mechanism.len == 0);
	ENSURE(result->code == SPF_IS_FAIL || result->explanation.len == 0);
}

static void check_want(
	struct world *world, const struct answers *answers, const struct answer *want)
{
	struct span plain = want->name, usual;

	ENSURE(!answers_find(answers, want->name, want->type));
	if (span_find_char(plain, '\\') == plain.len)
		ENSURE(spf_name_usual(plain, world->arena, &usual) && span_equal(plain, usual));
	check_text(plain, 4 * SPF_NAME_MAX);
}

static void evaluate(struct world *world, struct spf *spf, const struct spf_question *question)
{
	struct answers *answers = answers_new(world->arena);
	struct spf_result result, again;
	size_t questions = 0, rounds = 0;
	struct wants wants;

	for (;; rounds++) {
		wants = (struct wants){.arena = world->arena};
		if (spf_run(spf, question, answers, &wants, &result, world->arena))
			break;
		ENSURE(rounds < ROUNDS_MAX && wants.n > 0 && questions < QUESTIONS_MAX);
		questions += wants.n;
		for (size_t i = 0; i < wants.n; i++) {
			struct answer answer = answer_of(world, &wants.items[i]);

			check_want(world, answers, &wants.items[i]);
			ENSURE(answers_add(answers, &answer));
		}
	}
	ENSURE(wants.n == 0);
	check_result(&result);
	ENSURE(spf_run(spf, question, answers, &wants, &again, world->arena));
	ENSURE(result.code == again.code && span_equal(result.problem, again.problem) &&
		span_equal(result.explanation, again.explanation));
}

static void read_alone(struct world *world, struct span text, const struct ip *client)
{
	struct spf_macros macros = {.values = {SPAN_NONE}};
	struct spf_record record;
	struct err err;

	for (size_t i = 0; i < COUNT_OF(macros.values); i++)
		macros.values[i] = span_first(text, 7 * i);
	if (spf_record_is_one(text) && spf_record_read(text, client, &record, &err))
		for (size_t i = 0; i < record.n; i++)
			spf_macro_expand_name(record.terms[i].target, &macros, world->arena);
	if (!spf_macro_mistake(text, SPF_MACRO_IN_EXPLANATION))
		check_text(spf_macro_expand_explanation(text, &macros, world->arena),
			SPF_EXPLANATION_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world world = {.arena = NULL};
	struct span rest = span_make(data, size), first;
	struct spf_question question = {.receiver = SPAN("mx.example.net"), .wall_s = size};
	static struct spf *spf; /* one for all, as in a process */
	struct err err;

	if (size > INPUT_MAX)
		return 0;
	if (!spf)
		spf = spf_open(&err);
	ENSURE(spf);
	world.arena = arena_new(4096);
	while (rest.len && world.n < LINES_MAX) {
		size_t end = span_find_char(rest, '\0');

		world.lines[world.n++] = span_first(rest, end);
		rest = span_from(rest, end + 1);
	}
	first = world.n ? world.lines[0] : SPAN_NONE;
	if (!ip_parse(span_word(&first), &question.client))
		question.client = (struct ip){.family = IP_V6, .bytes = {0x20, 0x01}};
	question.helo = span_word(&first);
	question.local = span_word(&first);
	question.domain = first;
	evaluate(&world, spf, &question);
	for (size_t i = 1; i < world.n; i++) {
		struct span line = world.lines[i];

		span_word(&line);
		span_word(&line);
		read_alone(&world, line, &question.client);
	}
	arena_free(&world.arena);
	return 0;
}

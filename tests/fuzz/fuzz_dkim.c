/*
 * Messages with signatures, and the keys that are found for them. The verdict must not hang on how
 * the body is cut, and must be one that the rest can live with. libopendkim is not instrumented:
 * what it does to the heap, its allocations being watched, is all that is seen of it.
 *
 * An input is a mail. Behind a line "@@" may stand records, a line each, which answer all lookups;
 * but the selectors a, b, c, e have the keys of tests/data/dkim_keys.h, x does not exist, and y is
 * not to be found out.
 */
#include <stdint.h>
#include <stdlib.h>

#include "authn/dkim.h"
#include "lib/base/fail.h"
#include "tests/unit/dkim_sign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 64 * 1024, RECORDS_MAX = 8, NOW_S = 1700000000 };

static struct dkim_library *library(void)
{
	static struct dkim_library *opened;
	struct err err;

	if (!opened)
		opened = dkim_library_open(&err);
	ENSURE(opened);
	return opened;
}

/* --- answers --- */

static size_t records_read(struct span text, struct answer_record records[RECORDS_MAX])
{
	size_t n = 0;

	while (text.len && n < RECORDS_MAX) {
		size_t end = span_find_char(text, '\n');

		records[n++].text = span_first(text, end);
		text = span_from(text, end + 1);
	}
	return n;
}

/* The keys' records, made once; NULL: it has none of its own. */
static const char *record_of(char selector)
{
	static const enum sign_key keys[] = {SIGN_RSA_1024, SIGN_RSA_2048, SIGN_RSA_768};
	static char *records[4];
	static struct arena *arena;
	size_t at = selector == 'e' ? 3 : (size_t)(selector - 'a');

	if (at > 3 || selector == 'd')
		return NULL;
	if (!arena)
		arena = arena_new(ARENA_BYTES);
	if (!records[at])
		records[at] = sign_record(at == 3 ? SIGN_ED25519 : keys[at], arena);
	return records[at];
}

static void answer_want(struct answers *answers, const struct answer *want, struct span records)
{
	struct answer_record own[RECORDS_MAX] = {{.text = SPAN_NONE}};
	struct answer answer = *want;
	char selector = want->name.len > 1 && want->name.at[1] == '.' ? want->name.at[0] : '?';
	const char *record = record_of(selector);

	answer.records = own;
	answer.n_records = 1;
	if (selector == 'x')
		answer.outcome = ANSWER_NXDOMAIN;
	else if (selector == 'y')
		answer.outcome = ANSWER_TROUBLE;
	else if (record)
		own[0].text = span_text(record);
	else
		answer.n_records = records_read(records, own);
	ENSURE(answers_add(answers, &answer));
}

static void answer_wants(const struct dkim_check *check, struct answers *answers,
	struct span records, struct arena *arena)
{
	struct wants wants = {.arena = arena};

	dkim_check_wants(check, answers, &wants);
	ENSURE(wants.n <= DKIM_SIGNATURES_MAX);
	for (size_t i = 0; i < wants.n; i++)
		answer_want(answers, &wants.items[i], records);
	wants.n = 0;
	dkim_check_wants(check, answers, &wants);
	ENSURE(wants.n == 0);
}

/* --- verdicts --- */

static struct dkim_result verdict(struct span section, struct span body, size_t piece,
	struct span records, struct arena *arena)
{
	struct dkim_check *check = dkim_check_begin(library(), section, NOW_S, arena);
	struct answers *answers = answers_new(arena);
	struct dkim_result result;

	answer_wants(check, answers, records, arena);
	while (body.len) {
		dkim_check_body(check, span_first(body, piece));
		body = span_from(body, piece);
	}
	dkim_check_end(check, answers, &result);
	dkim_check_free(&check);
	return result;
}

static void check_signature(const struct dkim_signature *s)
{
	ENSURE(s->code != DKIM_IS_NONE && (s->problem.len == 0) == (s->code == DKIM_IS_PASS));
	if (s->code != DKIM_IS_PASS && s->code != DKIM_IS_POLICY && s->code != DKIM_IS_FAIL)
		return;
	ENSURE(s->domain.len && s->selector.len && s->start.len);
	ENSURE(span_ends_nocase(s->identity, s->domain));
	ENSURE(s->key_bits == 256 || s->key_bits >= 1024);
}

static void check_same(const struct dkim_result *a, const struct dkim_result *b)
{
	ENSURE(a->n == b->n && a->n_more == b->n_more && a->n <= DKIM_SIGNATURES_MAX);
	for (size_t i = 0; i < a->n; i++) {
		check_signature(&a->signatures[i]);
		ENSURE(a->signatures[i].code == b->signatures[i].code);
		ENSURE(span_equal(a->signatures[i].problem, b->signatures[i].problem));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_make(data, size), mail, records, section, body;
	struct arena *arena = arena_new(ARENA_BYTES);
	struct dkim_result whole, cut;
	size_t at = span_find(input, SPAN("\n@@\n"));

	mail = span_first(input, at);
	records = span_from(input, at + 4);
	at = span_find(mail, SPAN("\r\n\r\n"));
	section = span_first(mail, at + 4);
	body = span_from(mail, at + 4);
	whole = verdict(section, body, SIZE_MAX, records, arena);
	cut = verdict(section, body, 1 + size % 13, records, arena);
	check_same(&whole, &cut);
	arena_free(&arena);
	return 0;
}

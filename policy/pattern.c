/*
 * PCRE2's own match limit does not bound a match: it counts calls of an inner function, afresh at
 * each position of the text, and no step of a repeat that runs within one. (?s)begin.*end\d on a
 * megabyte in which every tenth word or so is "begin" took 68 s without reaching the default limit.
 *
 * So each pattern is compiled with automatic callouts: PCRE2 calls back before each item that it
 * tries, and work_done charges one unit, and one more for each eight bytes that were walked over
 * since. The budget is WORK_BASE and WORK_PER_BYTE for each byte of the text: what is linear
 * always ends, what is worse ends early: at 10 to 15 ns a unit after 3 ms for a small text and
 * 100 ms for one of a megabyte. Patterns take up to twice as long as without callouts, and the
 * outcome does not depend on how busy the machine is. What no callout sees are the least counts of
 * single characters (`a{60000}`) and back references that fail: for those the thread's CPU time
 * stands behind the budget.
 *
 * Thought of and left: pcre2_dfa_match (no back references, still quadratic over positions);
 * windows of start positions with a clock between them (one position alone can take far too long).
 */
#include "policy/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/buffer.h"
#include "lib/base/fail.h"
#include "policy/lex.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

enum {
	NESTING_MAX = 100,
	HEAP_MAX_KB = 8192, /* of frames to backtrack to, about 100 bytes each */
	WORK_BASE = 256 * 1024,
	WORK_PER_BYTE = 6,
	WALK_BYTES = 8,    /* that cost one unit */
	CLOCK_EVERY = 256, /* callouts */
	CPU_MAX_MS = 250
};

struct pattern {
	pcre2_code *code; /* owned */
};

struct pattern_scratch {
	pcre2_match_context *context; /* owned */
	pcre2_match_data *data;       /* owned; keeps PCRE2's frames from match to match */
	struct buffer mended;         /* a text that was not UTF-8 */
	/* of the match that runs: */
	uint64_t work, budget;
	size_t position; /* of the last callout */
	unsigned callouts;
	uint64_t started_us; /* of CPU time, at the first look */
};

/* --- compiling --- */

static int refuse_callout(pcre2_callout_enumerate_block *block, void *context)
{
	(void)context;
	return block->callout_number != 255 || block->callout_string != NULL;
}

/* Characters before a byte of the source: what an admin counts. */
static size_t chars_before(struct span source, size_t byte)
{
	size_t chars = 0;
	uint32_t code;

	for (source = span_first(source, byte); source.len; chars++)
		source = span_from(source, lex_char(source, &code));
	return chars;
}

static void say_why(struct err *err, struct span source, int number, size_t offset)
{
	char message[256];

	if (pcre2_get_error_message(number, (PCRE2_UCHAR *)message, sizeof(message)) < 0)
		message[0] = '\0';
	err_set(err, "%s, behind character %zu", message, chars_before(source, offset));
}

static pcre2_code *compile(struct span source, struct err *err)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
	pcre2_code *code;
	size_t offset;
	int number;

	ENSURE(context);
	pcre2_set_parens_nest_limit(context, NESTING_MAX);
	pcre2_set_newline(context, PCRE2_NEWLINE_ANYCRLF);
	code = pcre2_compile((PCRE2_SPTR)(source.at ? source.at : ""), source.len, options, &number,
		&offset, context);
	pcre2_compile_context_free(context);
	if (!code)
		say_why(err, source, number, offset);
	return code;
}

struct pattern *pattern_new(struct span source, struct err *err)
{
	struct pattern *pattern;
	pcre2_code *code;

	if (source.len > PATTERN_SOURCE_MAX) {
		err_set(err, "the pattern has %zu bytes, at most %d are allowed", source.len,
			PATTERN_SOURCE_MAX);
		return NULL;
	}
	code = compile(source, err);
	if (!code)
		return NULL;
	if (pcre2_callout_enumerate(code, refuse_callout, NULL) != 0) {
		pcre2_code_free(code);
		err_set(err, "callouts, (?C...), are not taken");
		return NULL;
	}
	pattern = memory_new(sizeof(*pattern));
	pattern->code = code;
	return pattern;
}

void pattern_free(struct pattern **pattern)
{
	if (!*pattern)
		return;
	pcre2_code_free((*pattern)->code);
	free(*pattern);
	*pattern = NULL;
}

/* --- matching --- */

static uint64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Whether the CPU time is used up; the first look begins to count. */
static bool is_late(struct pattern_scratch *s)
{
	uint64_t now = cpu_us();

	if (s->callouts == CLOCK_EVERY)
		s->started_us = now;
	return now - s->started_us > CPU_MAX_MS * 1000;
}

/* What PCRE2 calls before each item that it tries; not 0 ends the match. */
static int work_done(pcre2_callout_block *block, void *context)
{
	struct pattern_scratch *s = context;
	size_t at = block->current_position;

	s->work += 1 + (at > s->position ? (at - s->position) / WALK_BYTES : 0);
	s->position = at;
	if (s->work > s->budget)
		return PCRE2_ERROR_MATCHLIMIT;
	if (++s->callouts % CLOCK_EVERY == 0 && is_late(s))
		return PCRE2_ERROR_MATCHLIMIT;
	return 0;
}

struct pattern_scratch *pattern_scratch_new(void)
{
	struct pattern_scratch *s = memory_zeroed(sizeof(*s));

	s->context = pcre2_match_context_create(NULL);
	s->data = pcre2_match_data_create(1, NULL);
	ENSURE(s->context && s->data);
	s->mended = BUFFER_INIT((sizeof(REPLACEMENT) - 1) * PATTERN_TEXT_MAX);
	pcre2_set_heap_limit(s->context, HEAP_MAX_KB);
	pcre2_set_callout(s->context, work_done, s);
	return s;
}

void pattern_scratch_free(struct pattern_scratch **scratch)
{
	if (!*scratch)
		return;
	pcre2_match_data_free((*scratch)->data);
	pcre2_match_context_free((*scratch)->context);
	buffer_free(&(*scratch)->mended);
	free(*scratch);
	*scratch = NULL;
}

/* The length of the valid UTF-8 at the front. */
static size_t valid_length(struct span text)
{
	size_t i = 0;
	uint32_t code;

	while (i < text.len) {
		size_t bytes = 1;

		if ((uint8_t)text.at[i] > 0x7f) {
			bytes = lex_char(span_from(text, i), &code);
			if (code == LEX_BAD_CHAR)
				break;
		}
		i += bytes;
	}
	return i;
}

/* The text itself when it is UTF-8, otherwise a mended copy in the scratch. */
static struct span as_utf8(struct span text, struct buffer *mended)
{
	size_t good = valid_length(text);

	if (good == text.len)
		return text;
	buffer_clear(mended);
	for (; text.len; text = span_from(text, good + 1)) {
		good = valid_length(text);
		ENSURE(buffer_add(mended, span_first(text, good)));
		if (good < text.len)
			ENSURE(buffer_add_text(mended, REPLACEMENT));
	}
	return buffer_span(mended);
}

enum pattern_result pattern_match(
	const struct pattern *pattern, struct span text, struct pattern_scratch *s)
{
	int status;

	if (text.len > PATTERN_TEXT_MAX)
		return PATTERN_LIMIT;
	text = as_utf8(text, &s->mended);
	s->work = s->position = s->callouts = 0;
	s->budget = WORK_BASE + (uint64_t)WORK_PER_BYTE * text.len;
	/* The text is valid: PCRE2 needn't look once more. */
	status = pcre2_match(pattern->code, (PCRE2_SPTR)(text.at ? text.at : ""), text.len, 0,
		PCRE2_NO_UTF_CHECK, s->data, s->context);
	if (status >= 0)
		return PATTERN_YES;
	return status == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_LIMIT;
}

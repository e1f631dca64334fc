/*
 * A pattern, and behind a NUL the text that it is matched against, once as it is and once
 * repeated. Whatever they are, a match ends soon (libFuzzer's own time limit sees to that), says
 * the same twice, and leaves the scratch fit for the next one.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/buffer.h"
#include "lib/base/fail.h"
#include "policy/pattern.h"

enum { LONG_TEXT = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_text(const struct pattern *pattern, struct span text)
{
	struct pattern_scratch *scratch = pattern_scratch_new();
	enum pattern_result result = pattern_match(pattern, text, scratch);

	/* The clock may have ended it. */
	if (result != PATTERN_LIMIT)
		ENSURE(pattern_match(pattern, text, scratch) == result);
	pattern_scratch_free(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_make(data, size), text;
	size_t end = span_find_char(rest, '\0');
	struct buffer repeated = BUFFER_INIT(2 * LONG_TEXT);
	struct err err = {""};
	struct pattern *pattern = pattern_new(span_first(rest, end), &err);

	ENSURE((pattern == NULL) == (err.text[0] != '\0'));
	text = span_from(rest, end + 1);
	while (text.len && text.len <= LONG_TEXT && repeated.len < LONG_TEXT)
		ENSURE(buffer_add(&repeated, text));
	if (pattern) {
		try_text(pattern, text);
		try_text(pattern, buffer_span(&repeated));
	}
	pattern_free(&pattern);
	buffer_free(&repeated);
	return 0;
}

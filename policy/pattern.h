/*
 * pattern: what `~` matches with: PCRE2 (perl's syntax) on texts from outside, at a cost that
 * neither the pattern nor the text can drive up.
 *
 * - Pattern and text are UTF-8. In the text each byte that is none counts as U+FFFD, so it neither
 *   hides a word nor breaks a match of what stands around it.
 * - Case counts unless the pattern says (?i). \d, \w, \s and \b know ASCII unless it begins with
 *   (*UCP). Lines end in CR, LF or CRLF: that is where (?m) ^ and $ match and `.` does not.
 * - Not taken: \C, callouts, more than PATTERN_SOURCE_MAX bytes, nesting past 100.
 * - Work is counted (see pattern.c): it may grow with the text's length only. A match that takes
 *   more, or a text of over PATTERN_TEXT_MAX bytes, is neither yes nor no: PATTERN_LIMIT.
 */
#ifndef POLICY_PATTERN_H
#define POLICY_PATTERN_H

#include "lib/base/error.h"
#include "lib/base/span.h"

enum { PATTERN_SOURCE_MAX = 4096, PATTERN_TEXT_MAX = 1 << 20 };

struct pattern;         /* never changes, may be shared */
struct pattern_scratch; /* what a match needs to work in: one for each thread */

enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_LIMIT };

/* From the text between the slashes; NULL: err says what is wrong and behind which character. */
struct pattern *pattern_new(struct span source, struct err *err) MUST_CHECK;
void pattern_free(struct pattern **pattern);

struct pattern_scratch *pattern_scratch_new(void);
void pattern_scratch_free(struct pattern_scratch **scratch);

/* Whether the pattern matches anywhere in the text. Allocates only while the scratch has not yet
 * grown to what such a match takes. */
enum pattern_result pattern_match(
	const struct pattern *pattern, struct span text, struct pattern_scratch *scratch);

#endif

/*
 * diagnostic: a mistake in a file that an admin wrote, told so that it can be mended at once:
 *
 *     postern.conf:7:10: error: `limits` has no key `messge`
 *         limits { messge 50MB }
 *                  ^~~~~~
 *         help: did you mean `message`?
 *
 * Nothing of the source reaches a terminal raw: control characters and what is not UTF-8 show as
 * `?`.
 */
#ifndef POLICY_DIAGNOSTIC_H
#define POLICY_DIAGNOSTIC_H

#include "lib/base/buffer.h"
#include "lib/base/nearest.h"
#include "policy/lex.h"

enum severity { SEVERITY_ERROR, SEVERITY_WARNING };

struct diagnostics {
	const char *file;   /* name for messages, borrowed */
	struct span source; /* that the tokens point into, borrowed */
	struct buffer *out; /* a message that does not fit is counted only */
	size_t n_errors;
	size_t n_warnings;
};

/* Adds one message at a token; at NULL: about the file as a whole. help may be NULL. */
void diagnose(struct diagnostics *d, enum severity severity, const struct token *at,
	const char *help, const char *format, ...) PRINTF_LIKE(5, 6);

#endif

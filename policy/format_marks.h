/*
 * format_marks: a rule file as a row of tokens and comments, which is all of it but white space.
 * Between the reader of rule files, which has no use for comments, and the layout (format.c).
 */
#ifndef POLICY_FORMAT_MARKS_H
#define POLICY_FORMAT_MARKS_H

#include "lib/base/attributes.h"
#include "policy/diagnostic.h"

struct mark {
	struct token token; /* of a comment: text only, without blanks at its end */
	bool comment;
	bool first_on_line;
	bool after_blank; /* behind an empty line */
	size_t partner;   /* of { } ( ): the index of the other one */
};

struct marks {
	struct mark *items; /* owned */
	size_t n;
};

/* Tokens borrow the source. false: mistakes of the lexer, or braces and parentheses without a
 * partner, are in the diagnostics; marks_free all the same. */
bool marks_read(struct marks *marks, struct span source, struct diagnostics *d) MUST_CHECK;
void marks_free(struct marks *marks);

/* Whether both hold the same tokens and comments in the same order. */
bool marks_same(const struct marks *a, const struct marks *b);

#endif

/*
 * header_name: which header fields a rule may add, set and remove. Judged when a rule file is read,
 * so that whoever makes the edits meets only names that are fit.
 */
#ifndef POLICY_HEADER_NAME_H
#define POLICY_HEADER_NAME_H

#include "lib/base/span.h"

enum header_verb { HEADER_ADD, HEADER_SET, HEADER_REMOVE };

enum { HEADER_NAME_MAX = 77 }; /* with its colon a line of 78 (RFC 5322 2.1.1) */

/* NULL, or what is wrong with it, as the end of a sentence: "the field `Received` ...". */
const char *header_name_problem(enum header_verb verb, struct span name);

#endif

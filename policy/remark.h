/*
 * remark: what is said about rules once they have been read, when of their files only the places
 * are left. The text of the line is fetched again for that.
 */
#ifndef POLICY_REMARK_H
#define POLICY_REMARK_H

#include "policy/diagnostic.h"
#include "policy/read.h"

struct remarks {
	const struct rule_source *source; /* borrowed; as rules_read had it */
	struct buffer *report;            /* borrowed */
	size_t n_errors, n_warnings;
};

/* One message at a place; help may be NULL. */
void remark(struct remarks *remarks, enum severity severity, const struct place *place,
	const char *help, const char *format, ...) PRINTF_LIKE(5, 6);

#endif

/*
 * list_import: items of a list out of the files in which others publish them. What each line is
 * made of is seen from the line itself, but for CSV with a header and JSON:
 *
 *     192.0.2.0/24 ; SBL123        plain, Spamhaus DROP: behind `;`, `#` or blanks is the reason
 *     item,reason,expires          CSV: a header names the columns; or item, reason
 *     0.0.0.0 ads.example          a hosts file, for lists of domains
 *     ["192.0.2.1", {"cidr": "192.0.2.0/24", "sblid": "SBL123"}]
 *     {"cidr": "192.0.2.0/24"}     JSON: an array, or a line for each object
 *
 * Empty lines and comments (`#`, `;`, `//`) are passed over. It touches nothing but its input.
 */
#ifndef ADMIN_LIST_IMPORT_H
#define ADMIN_LIST_IMPORT_H

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "policy/list.h"

struct list_import {
	enum list_type type;
	/* An item; all is borrowed during the call. expires_s: seconds since 1970; 0: not said. */
	void (*take)(void *context, size_t line, struct span item, struct span reason,
		uint64_t expires_s);
	/* A line that is none. */
	void (*mistake)(void *context, size_t line, const char *text);
	void *context;
};

/* false: it can't be read at all (UTF-16, JSON that is none); err says why. */
bool list_import_read(
	const struct list_import *import, struct span source, struct err *err) MUST_CHECK;

/* A field of CSV, in quotes if need be. false: out is full. */
bool list_export_field(struct span text, struct buffer *out) MUST_CHECK;

#endif

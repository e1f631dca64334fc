/*
 * json: reads the daemon's own JSON back (RFC 8259), for tables. Bounded in depth and size; the
 * tree lives in an arena. Numbers stay text.
 */
#ifndef ADMIN_JSON_H
#define ADMIN_JSON_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/span.h"

enum json_kind {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_LIST,
	JSON_OBJECT
};

struct json {
	enum json_kind kind;
	const char *key;    /* in an object; NULL otherwise */
	const char *text;   /* NUMBER as written; STRING decoded; "" otherwise */
	struct json *first; /* LIST and OBJECT */
	struct json *next;  /* of the same list or object */
};

/* NULL: that is no JSON. */
struct json *json_read(struct arena *arena, struct span text);

/* A member; NULL when there is none, or when object is NULL or no object. */
const struct json *json_get(const struct json *object, const char *key);

/* A member's text: of numbers and strings; "yes", "no"; "-" for the rest. */
const char *json_text(const struct json *object, const char *key);

/* A member's number; 0 when it has none. */
long long json_number(const struct json *object, const char *key);

#endif

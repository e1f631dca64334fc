/*
 * names: a table from names to whatever they name, so that a set of ten thousand rules is read in
 * the time that their text takes. Open addressing; grows in an arena.
 */
#ifndef POLICY_NAMES_H
#define POLICY_NAMES_H

#include "lib/base/arena.h"
#include "lib/base/span.h"

struct name_entry {
	struct span name; /* borrowed; at NULL: free */
	uint64_t hash;
	void *value; /* borrowed */
};

struct names {
	struct name_entry *entries;
	size_t capacity; /* a power of two, or 0 */
	size_t count;
};

/* NULL: there is none. */
void *names_find(const struct names *names, struct span name);

/* The place for a name's value, NULL in it if the name is new; valid until the next call. The name
 * is borrowed as long as the table lives. */
void **names_place(struct names *names, struct arena *arena, struct span name);

#endif

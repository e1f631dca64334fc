/*
 * tables: what `postern config doc facts`, `language` and `filters` print: the tables that the code
 * walks, for people. docs/RULES.md holds the same text; tests/lib/test_manual.py compares them.
 */
#ifndef ADMIN_TABLES_H
#define ADMIN_TABLES_H

#include <stdbool.h>
#include <stdio.h>

#include "filters/pipeline.h"

struct tables_topic {
	const char *name;
	/* set: the filters whose facts and options these are. */
	void (*print)(FILE *out, const struct filter_set *set);
	void (*print_json)(
		FILE *out, const struct filter_set *set); /* one object; NULL: not as JSON */
};

/* NULL: there is no such topic. */
const struct tables_topic *tables_find(const char *name);

#endif

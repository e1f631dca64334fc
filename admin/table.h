/*
 * table: rows of text in columns as wide as they need to be, for a terminal or a pipe. Colours only
 * on a terminal, and not with NO_COLOR (no-color.org) or TERM=dumb.
 */
#ifndef ADMIN_TABLE_H
#define ADMIN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/base/arena.h"

enum { TABLE_COLUMNS_MAX = 12 };
enum tone { TONE_PLAIN, TONE_DIM, TONE_BOLD, TONE_GOOD, TONE_WARN, TONE_BAD };

struct table_row;

struct table {
	struct arena *arena; /* borrowed */
	size_t n_columns;
	const char
		*heads[TABLE_COLUMNS_MAX]; /* literals; one that begins with '>' is right-aligned */
	struct table_row *first, **last;
	size_t n_rows;
};

/* heads: "NAME", ">PID", ..., NULL. */
void table_init(struct table *table, struct arena *arena, const char *const *heads);

/* Begins a row; then a cell for each column, from the left. Texts are copied. */
void table_row(struct table *table);
void table_cell(struct table *table, enum tone tone, const char *format, ...) PRINTF_LIKE(3, 4);

void table_print(const struct table *table, FILE *out, bool colour);

/* Whether this may be coloured. */
bool tone_wanted(FILE *out);

/* What switches a tone on, and off again; "" without colour. */
const char *tone_on(enum tone tone, bool colour);
const char *tone_off(enum tone tone, bool colour);

#endif

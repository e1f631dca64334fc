#include "admin/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fail.h"

struct cell {
	const char *text;
	enum tone tone;
};

struct table_row {
	struct table_row *next;
	size_t n_cells;
	struct cell cells[TABLE_COLUMNS_MAX];
};

struct widths {
	size_t of[TABLE_COLUMNS_MAX];
};

bool tone_wanted(FILE *out)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(out)) && !(no_color && no_color[0]) &&
	       !(term && strcmp(term, "dumb") == 0);
}

const char *tone_on(enum tone tone, bool colour)
{
	static const char *const codes[] = {
		[TONE_PLAIN] = "",
		[TONE_DIM] = "\033[2m",
		[TONE_BOLD] = "\033[1m",
		[TONE_GOOD] = "\033[32m",
		[TONE_WARN] = "\033[33m",
		[TONE_BAD] = "\033[31m",
	};

	return colour ? codes[tone] : "";
}

const char *tone_off(enum tone tone, bool colour)
{
	return colour && tone != TONE_PLAIN ? "\033[0m" : "";
}

void table_init(struct table *table, struct arena *arena, const char *const *heads)
{
	*table = (struct table){.arena = arena};
	table->last = &table->first;
	while (heads[table->n_columns]) {
		ENSURE(table->n_columns < TABLE_COLUMNS_MAX);
		table->heads[table->n_columns] = heads[table->n_columns];
		table->n_columns++;
	}
}

void table_row(struct table *table)
{
	struct table_row *row = arena_alloc(table->arena, sizeof(*row));

	*table->last = row;
	table->last = &row->next;
	table->n_rows++;
}

void table_cell(struct table *table, enum tone tone, const char *format, ...)
{
	struct table_row *row = CONTAINER_OF(table->last, struct table_row, next);
	char text[512];
	va_list args;

	ENSURE(table->first && row->n_cells < table->n_columns);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	row->cells[row->n_cells++] =
		(struct cell){arena_string(table->arena, span_text(text)), tone};
}

/* Columns that a text takes: characters, not bytes. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static const char *head_text(const char *head)
{
	return head[0] == '>' ? head + 1 : head;
}

static struct widths measure(const struct table *table)
{
	struct widths widths = {{0}};

	for (size_t i = 0; i < table->n_columns; i++)
		widths.of[i] = width_of(head_text(table->heads[i]));
	for (const struct table_row *row = table->first; row; row = row->next) {
		for (size_t i = 0; i < row->n_cells; i++) {
			size_t width = width_of(row->cells[i].text);

			if (width > widths.of[i])
				widths.of[i] = width;
		}
	}
	return widths;
}

static void print_cell(const struct table *table, FILE *out, size_t i, const struct cell *cell,
	const struct widths *widths, bool colour)
{
	int space = (int)(widths->of[i] - width_of(cell->text));
	bool right = table->heads[i][0] == '>', last = i + 1 == table->n_columns;

	fprintf(out, "%s%*s%s%s%s%*s", i ? "  " : "", right ? space : 0, "",
		tone_on(cell->tone, colour), cell->text, tone_off(cell->tone, colour),
		right || last ? 0 : space, "");
}

void table_print(const struct table *table, FILE *out, bool colour)
{
	struct widths widths = measure(table);

	for (size_t i = 0; i < table->n_columns; i++) {
		struct cell head = {head_text(table->heads[i]), TONE_DIM};

		print_cell(table, out, i, &head, &widths, colour);
	}
	fputc('\n', out);
	for (const struct table_row *row = table->first; row; row = row->next) {
		for (size_t i = 0; i < row->n_cells; i++)
			print_cell(table, out, i, &row->cells[i], &widths, colour);
		fputc('\n', out);
	}
}

/* How values are written: the other direction of the lexer's units and quotes. */
#include "proxy/config/options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/fail.h"

enum { WIDTH = 80 };

void text_put(struct text *t, const char *format, ...)
{
	va_list args, again;
	char *at;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	ENSURE(len >= 0);
	at = t->full ? NULL : buffer_reserve(t->out, (size_t)len);
	if (at) {
		vsnprintf(at, (size_t)len + 1, format, again);
		buffer_added(t->out, (size_t)len);
	} else {
		t->full = true;
	}
	va_end(again);
	va_end(args);
}

void text_quoted(struct text *t, const char *string)
{
	text_put(t, "\"");
	for (const char *at = string; *at; at++)
		text_put(t, *at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
	text_put(t, "\"");
}

void text_syntax(struct text *t, const struct option *o)
{
	if (o->kind->syntax)
		text_put(t, "%s", o->kind->syntax);
	for (const struct choice *c = o->choices; c && c->word && !o->kind->syntax; c++)
		text_put(t, "%s%s", c == o->choices ? "" : " | ", c->word);
}

void text_default(struct text *t, const struct option *o)
{
	if (o->fallback_help)
		text_put(t, "%s", o->fallback_help);
	else if (o->fallback)
		text_put(t, "%s", o->fallback);
	else if (o->flags & OPTION_REQUIRED)
		text_put(t, "required");
	else
		text_put(t, "none");
}

void text_range(struct text *t, const struct option *o)
{
	o->kind->limit(t, o->min);
	text_put(t, " to ");
	o->kind->limit(t, o->max);
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* With the largest unit that leaves no rest. */
static void put_unit(struct text *t, uint64_t value, const struct unit *units, size_t count)
{
	size_t i = count - 1;

	while (i > 0 && (value == 0 || value % units[i].factor))
		i--;
	text_put(t, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
}

void text_size(struct text *t, uint64_t bytes)
{
	static const struct unit units[] = {
		{"", 1},
		{"KB", 1ULL << 10},
		{"MB", 1ULL << 20},
		{"GB", 1ULL << 30},
		{"TB", 1ULL << 40},
	};

	put_unit(t, bytes, units, COUNT_OF(units));
}

void text_duration(struct text *t, uint64_t time_ms)
{
	static const struct unit units[] = {
		{"ms", 1},
		{"s", 1000},
		{"m", 60ULL * 1000},
		{"h", 60ULL * 60 * 1000},
		{"d", 24ULL * 60 * 60 * 1000},
	};

	put_unit(t, time_ms, units, COUNT_OF(units));
}

void text_number(struct text *t, uint64_t number)
{
	text_put(t, "%" PRIu64, number);
}

void text_wrapped(struct text *t, const char *indent, const char *paragraph)
{
	struct span rest = span_text(paragraph), word = span_word(&rest);
	size_t column = 0;

	for (; word.len; word = span_word(&rest)) {
		if (column && column + 1 + word.len > WIDTH) {
			text_put(t, "\n");
			column = 0;
		}
		text_put(t, "%s%.*s", column ? " " : indent, SPAN_ARGS(word));
		column += word.len + (column ? 1 : strlen(indent));
	}
	text_put(t, "\n");
}

#include "policy/remark.h"

#include <stdarg.h>
#include <stdio.h>

enum { MESSAGE_SIZE = 512 };

static struct span line_of(struct span text, unsigned number)
{
	for (; number > 1 && text.len; number--)
		text = span_from(text, span_find_char(text, '\n') + 1);
	return span_first(text, span_find_char(text, '\n'));
}

/* The token that stands at a place, found again. */
static struct token token_at(struct span source, const struct place *place)
{
	struct lexer lexer = lexer_make(line_of(source, place->line), LEX_RULES);
	struct token token;

	do
		token = lex_next(&lexer);
	while (token.kind != TOKEN_END && token.column < place->column);
	token.line = place->line;
	token.column = place->column;
	return token;
}

void remark(struct remarks *remarks, enum severity severity, const struct place *place,
	const char *help, const char *format, ...)
{
	struct diagnostics d = {.file = place->file, .out = remarks->report};
	const char *problem;
	char message[MESSAGE_SIZE];
	struct token at;
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (remarks->source->read(remarks->source->context, place->file, &d.source, &problem)) {
		at = token_at(d.source, place);
		diagnose(&d, severity, &at, help, "%s", message);
	} else {
		diagnose(&d, severity, NULL, help, "%s", message);
	}
	remarks->n_errors += d.n_errors;
	remarks->n_warnings += d.n_warnings;
}

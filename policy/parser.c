/*
 * The reader's hand on the tokens of a file: taking them, telling of mistakes where they stand, and
 * going on behind one.
 */
#include <stdarg.h>
#include <stdio.h>

#include "policy/parse.h"

enum { MESSAGE_MAX = 512 };

/* --- tokens --- */

struct token parser_take(struct parser *p)
{
	struct token taken = p->token;

	if (taken.kind == TOKEN_LEFT_BRACE)
		p->depth++;
	else if (taken.kind == TOKEN_RIGHT_BRACE && p->depth)
		p->depth--;
	p->last = taken;
	p->token = lex_next(&p->lexer);
	return taken;
}

struct token parser_peek(const struct parser *p)
{
	struct lexer ahead = p->lexer;

	return lex_next(&ahead);
}

bool parser_at(const struct parser *p, const char *word)
{
	return p->token.kind == TOKEN_WORD && span_equal(p->token.text, span_text(word));
}

bool parser_accept(struct parser *p, const char *word)
{
	if (!parser_at(p, word))
		return false;
	parser_take(p);
	return true;
}

bool parser_accept_mark(struct parser *p, enum token_kind kind)
{
	if (p->token.kind != kind)
		return false;
	parser_take(p);
	return true;
}

const char *token_kind_name(enum token_kind kind)
{
	static const char *const names[] = {
		[TOKEN_WORD] = "a word",
		[TOKEN_STRING] = "a text",
		[TOKEN_NUMBER] = "a number",
		[TOKEN_DURATION] = "a duration",
		[TOKEN_SIZE] = "a size",
		[TOKEN_RATE] = "a rate",
		[TOKEN_CODE] = "an enhanced status code",
		[TOKEN_ADDRESS] = "an address",
		[TOKEN_CIDR] = "a network",
		[TOKEN_RANGE] = "a range of addresses",
		[TOKEN_REGEX] = "a regex",
		[TOKEN_LIST] = "a list",
	};

	return token_is_value(kind) ? names[kind] : "a mark";
}

/* --- mistakes --- */

static PRINTF_LIKE(5, 0) void tell(struct parser *p, enum severity severity, const struct token *at,
	const char *help, const char *format, va_list args)
{
	char message[MESSAGE_MAX];

	vsnprintf(message, sizeof(message), format, args);
	diagnose(&p->diagnostics, severity, at, help, "%s", message);
}

void parser_count(struct parser *p)
{
	if (p->diagnostics.n_errors < MISTAKES_MAX)
		return;
	p->stopped = true;
	diagnose(&p->diagnostics, SEVERITY_ERROR, NULL, NULL,
		"too many mistakes; what follows is not looked at");
}

bool parser_mistake(
	struct parser *p, const struct token *at, const char *help, const char *format, ...)
{
	va_list args;

	if (p->stopped)
		return false;
	va_start(args, format);
	tell(p, SEVERITY_ERROR, at, help, format, args);
	va_end(args);
	parser_count(p);
	return false;
}

void parser_warning(
	struct parser *p, const struct token *at, const char *help, const char *format, ...)
{
	va_list args;

	if (p->stopped || p->diagnostics.n_warnings >= MISTAKES_MAX)
		return;
	va_start(args, format);
	tell(p, SEVERITY_WARNING, at, help, format, args);
	va_end(args);
}

/* What people write who come from other languages. */
static const char *foreign_word(const struct token *at)
{
	switch (at->text.len ? at->text.at[0] : '\0') {
	case '&':
		return "write `and`";
	case '|':
		return "write `or`";
	case '!':
		return "write `not`";
	default:
		return at->help;
	}
}

/* A token's own complaint comes first. */
static PRINTF_LIKE(4, 0) bool tell_unfit(struct parser *p, const struct token *at, const char *help,
	const char *format, va_list args)
{
	if (p->token.kind == TOKEN_ERROR)
		return parser_mistake(
			p, &p->token, foreign_word(&p->token), "%s", p->token.message);
	if (p->stopped)
		return false;
	tell(p, SEVERITY_ERROR, at, help, format, args);
	parser_count(p);
	return false;
}

bool parser_missing(struct parser *p, const char *help, const char *format, ...)
{
	bool behind =
		p->last.kind != TOKEN_END && (p->token.kind == TOKEN_END || p->token.first_on_line);
	va_list args;

	va_start(args, format);
	tell_unfit(p, behind ? &p->last : &p->token, help, format, args);
	va_end(args);
	return false;
}

bool parser_misplaced(struct parser *p, const char *help, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell_unfit(p, &p->token, help, format, args);
	va_end(args);
	return false;
}

const char *parser_suggest(struct parser *p, const char *nearest)
{
	return nearest ? HELP(p, "did you mean `%s`?", nearest) : NULL;
}

const char *parser_first_at(struct parser *p, const struct place *place)
{
	return HELP(p, "first in %s:%u:%u", place->file, place->line, place->column);
}

struct place parser_place(const struct parser *p, const struct token *at)
{
	return (struct place){p->path, at->line, at->column};
}

/* --- forms that several parts need --- */

bool parser_take_open(struct parser *p, const char *what)
{
	if (parser_accept_mark(p, TOKEN_LEFT_BRACE))
		return true;
	return parser_missing(p, NULL, "a { is missing: %s stands in braces", what);
}

const char *parser_take_id(struct parser *p, const char *what, const char *example)
{
	struct token t = p->token;

	if (t.kind != TOKEN_WORD) {
		parser_missing(p, HELP(p, "write: %s", example),
			t.kind == TOKEN_STRING ? "the name of a %s stands without quotes"
					       : "the name of a %s is missing",
			what);
		return NULL;
	}
	parser_take(p);
	if (t.text.len > ID_MAX)
		parser_mistake(p, &t, NULL, "the name of a %s has at most %d bytes", what, ID_MAX);
	return arena_string(p->arena, t.text);
}

void *parser_append(struct arena *arena, void *array, size_t *count, size_t item_size)
{
	char *items, *moved;

	memcpy(&items, array, sizeof(items));
	/* Room doubles whenever the count reaches a power of two. */
	if ((*count & (*count - 1)) == 0) {
		moved = arena_alloc(arena, (*count ? *count * 2 : 1) * item_size);
		if (*count)
			memcpy(moved, items, *count * item_size);
		items = moved;
		memcpy(array, &items, sizeof(items));
	}
	return items + (*count)++ * item_size;
}

/* --- recovery --- */

bool parser_at_item(const struct parser *p)
{
	struct token next;

	if (p->token.kind != TOKEN_WORD || !p->token.first_on_line)
		return false;
	next = parser_peek(p);
	if (parser_at(p, "rule") || parser_at(p, "list"))
		return next.kind == TOKEN_WORD;
	if (parser_at(p, "test") || parser_at(p, "include"))
		return next.kind == TOKEN_STRING;
	return parser_at(p, "for") && next.kind == TOKEN_WORD; /* not `for 7d` */
}

static void skip_to_open(struct parser *p, unsigned depth)
{
	while (p->depth == depth && p->token.kind != TOKEN_END && !parser_at_item(p) &&
		!parser_at(p, "rule") && p->token.kind != TOKEN_RIGHT_BRACE)
		parser_take(p);
}

void parser_recover(struct parser *p, unsigned depth)
{
	skip_to_open(p, depth);
	while (p->depth > depth && p->token.kind != TOKEN_END) {
		if (parser_at_item(p)) {
			p->depth = depth;
			return;
		}
		parser_take(p);
	}
}

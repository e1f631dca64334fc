/*
 * Expressions: and, or, not, parentheses. `a and b or c` has no meaning that all readers would
 * agree on, so it is a mistake that shows both.
 */
#include <stdio.h>

#include "policy/parse.h"

enum { SHOWN_MAX = 60 }; /* of a term in a help; longer ones are dots */

/* --- building --- */

struct expr *expr_new(struct parser *p, enum expr_kind kind, struct place place)
{
	struct expr *e;

	if (++p->n_exprs > EXPR_MAX) {
		parser_mistake(p, &p->last, "use lists instead of many terms",
			"the conditions of all rules, with those of `for` around them, have more "
			"than %d terms",
			EXPR_MAX);
		p->stopped = true;
	}
	e = arena_alloc(p->arena, sizeof(*e));
	e->kind = kind;
	e->place = place;
	return e;
}

static struct expr *expr_copy(struct parser *p, const struct expr *original)
{
	struct expr *copy = expr_new(p, original->kind, original->place), **end = &copy->first;

	copy->test = original->test;
	for (const struct expr *e = original->first; e && !p->stopped; e = e->next) {
		*end = expr_copy(p, e);
		end = &(*end)->next;
	}
	return copy;
}

struct expr *expr_not(struct parser *p, struct expr *inner)
{
	struct expr *e = expr_new(p, EXPR_NOT, inner->place);

	e->first = inner;
	return e;
}

/* Puts a term at the end of an AND or OR, where one of the same kind gives its own terms instead;
 * returns the new end. */
static struct expr **extend(struct expr *all, struct expr **end, struct expr *term)
{
	*end = term->kind == all->kind ? term->first : term;
	while (*end)
		end = &(*end)->next;
	return end;
}

struct expr **expr_join(struct parser *p, struct expr **end, const struct expr *more)
{
	const struct expr *e = more->kind == EXPR_AND ? more->first : more;

	while (e && !p->stopped) {
		*end = expr_copy(p, e);
		end = &(*end)->next;
		e = e == more ? NULL : e->next;
	}
	return end;
}

/* --- mixing and/or --- */

/* The source from one token to another as one short line, or dots. */
static const char *shown(struct parser *p, const char *from, const char *to)
{
	size_t len = (size_t)(to - from), n = 0;
	char *out;

	if (len > SHOWN_MAX || memchr(from, '#', len))
		return "...";
	out = arena_alloc(p->scratch, len + 1);
	for (size_t i = 0; i < len; i++) {
		bool blank =
			from[i] == ' ' || from[i] == '\t' || from[i] == '\n' || from[i] == '\r';

		if (!blank)
			out[n++] = from[i];
		else if (n && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	return out;
}

/* a and b OR c: told when c has been read. */
struct mixed {
	struct token at;    /* the word that differs */
	const char *before; /* where the terms before it begin */
	const char *last;   /* where the last of them begins */
	const char *end;    /* and ends */
	bool is_and;        /* the word that joined them */
};

static void tell_mixed(struct parser *p, const struct mixed *m, const char *begin)
{
	const char *end = p->last.text.at + p->last.text.len;
	const char *first = m->is_and ? "and" : "or", *second = m->is_and ? "or" : "and";
	const char *next = shown(p, begin, end), *last = shown(p, m->last, m->end);
	const char *head = shown(p, m->before, m->last);
	size_t head_len = strlen(head);

	/* The head ends in the word that joins it to the last term. */
	while (head_len && head[head_len - 1] == ' ')
		head_len--;
	if (head_len > strlen(first) && strcmp(head, "...") != 0)
		head_len -= strlen(first) + 1;
	parser_mistake(p, &m->at,
		HELP(p, "write (%.*s %s %s) %s %s, or %.*s %s (%s %s %s)", (int)head_len, head,
			first, last, second, next, (int)head_len, head, first, last, second, next),
		"`and` and `or` are mixed without parentheses");
}

/* --- terms --- */

static bool nest(struct parser *p)
{
	if (++p->nesting <= NESTING_MAX)
		return true;
	return parser_mistake(p, &p->token, "split the rule, or use lists",
		"this condition is nested more than %d deep", NESTING_MAX);
}

static struct expr *parse_term(struct parser *p);

static struct expr *parse_parenthesis(struct parser *p)
{
	struct token opened = parser_take(p);
	struct expr *e;

	if (!nest(p))
		return NULL;
	e = parse_expr(p);
	p->nesting--;
	if (!e || parser_accept_mark(p, TOKEN_RIGHT_PAREN))
		return e;
	if (p->token.kind == TOKEN_ERROR)
		parser_missing(p, NULL, "a ) is missing");
	else
		parser_mistake(p, &opened, NULL, "this ( is never closed: a ) is missing %s",
			p->token.kind == TOKEN_END
				? "behind it"
				: HELP(p, "before `%.*s`", SPAN_ARGS(p->token.text)));
	return NULL;
}

static struct expr *parse_not(struct parser *p)
{
	struct token at = parser_take(p);
	struct expr *inner;

	if (!nest(p))
		return NULL;
	inner = parse_term(p);
	p->nesting--;
	if (!inner)
		return NULL;
	inner = expr_not(p, inner);
	inner->place = parser_place(p, &at);
	return inner;
}

static struct expr *parse_term(struct parser *p)
{
	if (p->token.kind == TOKEN_LEFT_PAREN)
		return parse_parenthesis(p);
	if (parser_at(p, "not"))
		return parse_not(p);
	return parse_comparison(p);
}

static bool at_joint(const struct parser *p)
{
	return parser_at(p, "and") || parser_at(p, "or");
}

/* and TERM, or TERM; NULL: the form is broken. */
static struct expr *parse_joined(
	struct parser *p, const char *begin, const char **term_begin, bool is_and, bool *told)
{
	struct mixed mixed = {
		p->token, begin, *term_begin, p->last.text.at + p->last.text.len, is_and};
	bool mixing = parser_at(p, "and") != is_and;
	struct expr *term;

	parser_take(p);
	*term_begin = p->token.text.at;
	term = parse_term(p);
	if (term && mixing && !*told) {
		tell_mixed(p, &mixed, *term_begin);
		*told = true;
	}
	return term;
}

struct expr *parse_expr(struct parser *p)
{
	const char *begin = p->token.text.at, *term_begin = begin;
	struct expr *first = parse_term(p), *all, *term, **end;
	bool is_and = parser_at(p, "and"), told = false;

	if (!first || !at_joint(p))
		return first;
	all = expr_new(p, is_and ? EXPR_AND : EXPR_OR, first->place);
	end = extend(all, &all->first, first);
	while (at_joint(p)) {
		term = parse_joined(p, begin, &term_begin, is_and, &told);
		if (!term)
			return NULL;
		end = extend(all, end, term);
	}
	return all;
}

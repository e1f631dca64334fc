#include "policy/format_marks.h"

#include <stdlib.h>

#include "lib/base/fail.h"

enum { DEPTH_MAX = 64, MISTAKES_MAX = 20 };

struct reading {
	struct marks *marks;
	size_t room;
	struct diagnostics *diagnostics;
	unsigned newlines; /* since the last mark */
	size_t open[DEPTH_MAX];
	size_t n_open;
};

static struct mark *add_mark(struct reading *r, const struct token *token, bool comment)
{
	struct marks *marks = r->marks;
	struct mark *mark;

	if (marks->n == r->room) {
		r->room = r->room ? 2 * r->room : 256;
		marks->items = memory_resize(marks->items, r->room * sizeof(*marks->items));
	}
	mark = &marks->items[marks->n++];
	*mark = (struct mark){.token = *token, .comment = comment};
	mark->first_on_line = r->newlines > 0 || marks->n == 1;
	mark->after_blank = r->newlines > 1;
	r->newlines = 0;
	return mark;
}

static struct span without_end_blanks(struct span s)
{
	while (s.len && strchr(" \t\r", s.at[s.len - 1]))
		s.len--;
	return s;
}

/* White space and comments between two tokens. */
static void read_gap(struct reading *r, struct span gap)
{
	for (size_t i = 0; i < gap.len; i++) {
		struct span rest = span_from(gap, i);
		struct token comment = {.kind = TOKEN_END};

		if (gap.at[i] == '\n')
			r->newlines++;
		if (gap.at[i] != '#')
			continue;
		rest = span_first(rest, span_find_char(rest, '\n'));
		comment.text = without_end_blanks(rest);
		add_mark(r, &comment, true);
		i += rest.len - 1;
	}
}

static bool is_opening(enum token_kind kind)
{
	return kind == TOKEN_LEFT_BRACE || kind == TOKEN_LEFT_PAREN;
}

static bool is_closing(enum token_kind kind)
{
	return kind == TOKEN_RIGHT_BRACE || kind == TOKEN_RIGHT_PAREN;
}

/* Ties the mark at `index` to its partner. false: too deep, so that nothing behind it can be. */
static bool pair(struct reading *r, size_t index)
{
	struct mark *items = r->marks->items, *mark = &items[index], *other;

	if (is_opening(mark->token.kind)) {
		if (r->n_open == DEPTH_MAX) {
			diagnose(r->diagnostics, SEVERITY_ERROR, &mark->token, NULL,
				"more than %d braces and parentheses stand in one another",
				DEPTH_MAX);
			return false;
		}
		r->open[r->n_open++] = index;
		return true;
	}
	if (!is_closing(mark->token.kind))
		return true;
	other = r->n_open ? &items[r->open[r->n_open - 1]] : NULL;
	if (!other || (other->token.kind == TOKEN_LEFT_BRACE) !=
			      (mark->token.kind == TOKEN_RIGHT_BRACE)) {
		diagnose(r->diagnostics, SEVERITY_ERROR, &mark->token, NULL,
			"this `%.*s` closes nothing", SPAN_ARGS(mark->token.text));
		return true;
	}
	mark->partner = r->open[--r->n_open];
	other->partner = index;
	return true;
}

bool marks_read(struct marks *marks, struct span source, struct diagnostics *d)
{
	struct reading r = {.marks = marks, .diagnostics = d};
	struct lexer lexer = lexer_make(source, LEX_RULES);
	size_t errors = d->n_errors, at = lexer.at;

	*marks = (struct marks){NULL, 0};
	for (;;) {
		struct token token = lex_next(&lexer);
		size_t start = (size_t)(token.text.at - source.at);

		read_gap(&r, span_first(span_from(source, at), start - at));
		at = start + token.text.len;
		if (token.kind == TOKEN_END || d->n_errors - errors >= MISTAKES_MAX)
			break;
		if (token.kind == TOKEN_ERROR) {
			diagnose(d, SEVERITY_ERROR, &token, token.help, "%s", token.message);
			continue;
		}
		add_mark(&r, &token, false);
		if (!pair(&r, marks->n - 1))
			break;
	}
	if (r.n_open && d->n_errors == errors) {
		const struct token *open = &marks->items[r.open[r.n_open - 1]].token;

		diagnose(d, SEVERITY_ERROR, open, NULL, "this `%.*s` is never closed",
			SPAN_ARGS(open->text));
	}
	return d->n_errors == errors;
}

void marks_free(struct marks *marks)
{
	free(marks->items);
	*marks = (struct marks){NULL, 0};
}

bool marks_same(const struct marks *a, const struct marks *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->items[i].comment != b->items[i].comment ||
			a->items[i].token.kind != b->items[i].token.kind ||
			!span_equal(a->items[i].token.text, b->items[i].token.text))
			return false;
	return true;
}

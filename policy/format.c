/*
 * The layout depends on tokens and comments alone, and on line breaks only where a comment stands,
 * in a way that the result shows again: so what was formatted once is formatted the same.
 *
 * A part that fits on its line stays on it. One that does not is broken at the outermost `and`s and
 * `or`s or behind commas. A part with a comment in it keeps the line breaks that its author gave
 * it, since only they know what the comment speaks of.
 */
#include "policy/format.h"

#include "lib/base/fail.h"
#include "policy/format_marks.h"

enum {
	INDENT = 4,
	HANG_MAX = 60, /* no line that goes on begins further right */
	HEAD_MAX = 8   /* tokens before the brace of a rule or test */
};

struct layout {
	struct marks marks;
	size_t at; /* the next mark to be written */
	struct buffer *out;
	bool full;       /* out has no room */
	unsigned column; /* characters on the line so far */
	bool fresh;      /* nothing but blanks on it yet */
	bool ended;      /* a comment: nothing else fits on it */
	struct diagnostics *diagnostics;
};

/* --- marks --- */

static const struct mark *mark_at(const struct layout *l, size_t i)
{
	return &l->marks.items[i];
}

/* The next token at or behind i; n: none. */
static size_t token_from(const struct layout *l, size_t i)
{
	while (i < l->marks.n && mark_at(l, i)->comment)
		i++;
	return i;
}

/* The last token before i; NULL: none. */
static const struct token *token_before(const struct layout *l, size_t i)
{
	while (i > 0)
		if (!mark_at(l, --i)->comment)
			return &mark_at(l, i)->token;
	return NULL;
}

static bool is_kind(const struct layout *l, size_t i, enum token_kind kind)
{
	return i < l->marks.n && !mark_at(l, i)->comment && mark_at(l, i)->token.kind == kind;
}

static bool is_word(const struct layout *l, size_t i, const char *word)
{
	return is_kind(l, i, TOKEN_WORD) && token_is(&mark_at(l, i)->token, word);
}

static bool is_word_of(const struct token *token, const char *const *words)
{
	for (; *words; words++)
		if (token->kind == TOKEN_WORD && token_is(token, *words))
			return true;
	return false;
}

/* Behind this a word is a value, whatever it reads. */
static bool wants_value(const struct token *token)
{
	static const char *const operators[] = {"in", "under", "contains", NULL};

	return token && ((token->kind >= TOKEN_ASSIGN && token->kind <= TOKEN_TILDE) ||
				is_word_of(token, operators));
}

static bool has_comment(const struct layout *l, size_t from, size_t end)
{
	for (size_t i = from; i < end; i++)
		if (mark_at(l, i)->comment)
			return true;
	return false;
}

/* The end of [from, end) without comments that stand behind its last token. */
static size_t end_of_tokens(const struct layout *l, size_t from, size_t end)
{
	while (end > from && mark_at(l, end - 1)->comment)
		end--;
	return end;
}

/* --- lines --- */

static unsigned width_of(struct span text)
{
	unsigned width = 0;
	uint32_t code;

	for (; text.len; width++)
		text = span_from(text, lex_char(text, &code));
	return width;
}

static void write(struct layout *l, struct span text)
{
	l->full = !buffer_add(l->out, text) || l->full;
	l->column += width_of(text);
	l->fresh = false;
}

static void blanks(struct layout *l, unsigned count)
{
	l->full = !buffer_print(l->out, "%*s", (int)count, "") || l->full;
	l->column += count;
}

static void new_line(struct layout *l, unsigned indent, bool after_blank)
{
	if (l->out->len)
		l->full = !buffer_add_text(l->out, after_blank ? "\n\n" : "\n") || l->full;
	l->column = 0;
	blanks(l, indent);
	l->fresh = true;
	l->ended = false;
}

/* Whether the empty line before mark i stays: not at the front of a body, nor at its end. */
static bool keeps_blank(const struct layout *l, size_t i)
{
	return mark_at(l, i)->after_blank && i > 0 && !is_kind(l, i - 1, TOKEN_LEFT_BRACE) &&
	       !is_kind(l, i, TOKEN_RIGHT_BRACE);
}

/* Writes the comments that are next. */
static void comments(struct layout *l, unsigned indent)
{
	for (; l->at < l->marks.n && mark_at(l, l->at)->comment; l->at++) {
		const struct mark *mark = mark_at(l, l->at);

		if (mark->first_on_line)
			new_line(l, indent, keeps_blank(l, l->at));
		else
			blanks(l, 2);
		write(l, mark->token.text);
		l->ended = true;
	}
}

/* What comes next begins a line. */
static void line(struct layout *l, unsigned indent)
{
	comments(l, indent);
	if (l->at < l->marks.n)
		new_line(l, indent, keeps_blank(l, l->at));
}

static bool blank_between(const struct token *a, const struct token *b)
{
	static const char *const openers[] = {
		"when", "unless", "then", "for", "and", "or", "not", "any", "all", "no", NULL};

	if (b->kind == TOKEN_COMMA || b->kind == TOKEN_RIGHT_PAREN || a->kind == TOKEN_LEFT_PAREN)
		return false;
	/* rate(mail.from), but not (...) */
	if (b->kind == TOKEN_LEFT_PAREN)
		return a->kind != TOKEN_WORD || is_word_of(a, openers);
	return true;
}

/* Writes the token that is next, after its comments; indent: of the line that they may begin. */
static void token(struct layout *l, unsigned indent)
{
	const struct token *before = token_before(l, l->at), *now;

	comments(l, indent);
	if (l->ended)
		new_line(l, indent, false);
	now = &mark_at(l, l->at)->token;
	if (!l->fresh && before && blank_between(before, now))
		blanks(l, 1);
	write(l, now->text);
	l->at++;
}

/* --- parts that do not fit --- */

/* Characters of the tokens in [from, end) on one line. */
static unsigned width_on_line(const struct layout *l, size_t from, size_t end)
{
	unsigned width = 0;

	for (size_t i = from; i < end; i++) {
		const struct token *t = &mark_at(l, i)->token;

		width += width_of(t->text);
		if (i > from)
			width += blank_between(&mark_at(l, i - 1)->token, t);
	}
	return width;
}

/* Closing marks and commas right behind a part stay on its line, and a brace that opens a body. */
static unsigned width_of_tail(const struct layout *l, size_t end)
{
	unsigned width = 0;

	for (; is_kind(l, end, TOKEN_RIGHT_PAREN) || is_kind(l, end, TOKEN_COMMA); end++)
		width++;
	if (is_kind(l, end, TOKEN_RIGHT_BRACE) || is_kind(l, end, TOKEN_LEFT_BRACE))
		width += 2;
	return width;
}

/* Whether [at, end) and a tail of so many characters fit on the line. */
static bool has_room(const struct layout *l, size_t end, unsigned tail)
{
	return l->column + !l->fresh + width_on_line(l, l->at, end) + tail <= FORMAT_COLUMNS;
}

static bool fits(const struct layout *l, size_t end)
{
	return has_room(l, end, width_of_tail(l, end));
}

/* All up to `end` on the line; wherever comments break it, it goes on at `indent`. */
static void tokens(struct layout *l, size_t end, unsigned indent)
{
	while (l->at < end)
		token(l, indent);
}

static unsigned hang(unsigned column, unsigned otherwise)
{
	return column <= HANG_MAX ? column : otherwise;
}

/* With the line breaks that it has. */
static void flow_as_it_is(struct layout *l, size_t end, unsigned indent)
{
	unsigned depth = 0;
	bool first = true;

	while (l->at < end) {
		size_t i = token_from(l, l->at);
		enum token_kind kind = mark_at(l, i)->token.kind;
		unsigned column;

		if (kind == TOKEN_RIGHT_BRACE || kind == TOKEN_RIGHT_PAREN)
			depth -= depth > 0;
		column = indent + INDENT * depth;
		comments(l, column);
		if (l->ended || (mark_at(l, i)->first_on_line && !first))
			new_line(l, column, false);
		token(l, column);
		depth += kind == TOKEN_LEFT_BRACE || kind == TOKEN_LEFT_PAREN;
		first = false;
	}
}

/* The next token behind i of [i, end) that stands in no brackets of its own. */
static size_t over(const struct layout *l, size_t i)
{
	size_t partner = mark_at(l, i)->partner;

	return partner > i ? partner + 1 : i + 1;
}

static bool joins(const struct layout *l, size_t i)
{
	return (is_word(l, i, "and") || is_word(l, i, "or")) && !wants_value(token_before(l, i));
}

/* The next outermost `and` or `or` in (from, end); end: none. */
static size_t next_joint(const struct layout *l, size_t from, size_t end)
{
	for (size_t i = from < end ? over(l, from) : end; i < end; i = over(l, i))
		if (joins(l, i))
			return i;
	return end;
}

/* Behind the next outermost comma in [from, end); end: none. */
static size_t behind_comma(const struct layout *l, size_t from, size_t end)
{
	for (size_t i = from; i < end; i = over(l, i))
		if (is_kind(l, i, TOKEN_COMMA))
			return i + 1;
	return end;
}

enum commas { COMMAS_FILL, COMMAS_BREAK /* a line for each part */ };

static void flow(struct layout *l, size_t end, unsigned indent, enum commas commas);

/* Without `and`, `or` or commas outside of brackets: these may be broken. */
static void flow_term(struct layout *l, size_t end, unsigned indent)
{
	while (l->at < end) {
		size_t close = mark_at(l, l->at)->partner;
		bool opens = close > l->at;

		token(l, indent);
		if (!opens)
			continue;
		if (close > l->at)
			flow(l, close,
				hang(l->column + is_kind(l, close, TOKEN_RIGHT_BRACE),
					indent + INDENT),
				COMMAS_FILL);
		token(l, indent);
	}
}

static void flow_joined(struct layout *l, size_t end, unsigned indent)
{
	size_t joint = next_joint(l, l->at, end);

	flow(l, joint, indent, COMMAS_FILL);
	while (l->at < end) {
		new_line(l, indent, false);
		token(l, indent);
		flow(l, next_joint(l, l->at, end), indent + INDENT, COMMAS_FILL);
	}
}

static void flow_parts(struct layout *l, size_t end, unsigned indent, enum commas commas)
{
	bool first = true;

	while (l->at < end) {
		size_t part = behind_comma(l, l->at, end);

		if (!first && (commas == COMMAS_BREAK || !fits(l, part)))
			new_line(l, indent, false);
		if (fits(l, part))
			tokens(l, part, indent);
		else
			flow_term(l, part, indent);
		first = false;
	}
}

/* Writes [at, end) from here on; lines that it needs further begin at indent. */
static void flow(struct layout *l, size_t end, unsigned indent, enum commas commas)
{
	end = end_of_tokens(l, l->at, end);
	if (l->at >= end)
		return;
	if (has_comment(l, l->at, end))
		flow_as_it_is(l, end, indent);
	else if (fits(l, end))
		tokens(l, end, indent);
	else if (next_joint(l, l->at, end) < end)
		flow_joined(l, end, indent);
	else
		flow_parts(l, end, indent, commas);
}

/* --- rules and tests --- */

static bool mistake(struct layout *l, size_t i, const char *what)
{
	static const char help[] = "`postern check` tells more; a file is laid out when it can be "
				   "taken apart";

	diagnose(l->diagnostics, SEVERITY_ERROR, i < l->marks.n ? &mark_at(l, i)->token : NULL,
		help, "%s", what);
	return false;
}

/* A part of a body that begins with a word of its own: `when` and what follows. */
struct clause {
	size_t begin, rest, end;
};

/* The words that begin clauses, in a rule or in a test; behind the last one no other comes. */
static const char *const rule_words[] = {"when", "unless", "on", "then", NULL};
static const char *const test_words[] = {"with", "given", "expect", NULL};

static bool begins_clause(const struct layout *l, size_t i, const char *const *words)
{
	const struct token *before = token_before(l, i);

	if (!is_word_of(&mark_at(l, i)->token, words) || wants_value(before))
		return false;
	if (before && before->kind == TOKEN_COMMA)
		return false;
	return !is_word(l, i, "on") || is_word(l, token_from(l, i + 1), "error");
}

/* The clause that begins at i. */
static struct clause clause_at(
	const struct layout *l, size_t i, size_t end, const char *const *words)
{
	bool last = is_word(l, i, "then") || is_word(l, i, "expect");
	struct clause c = {.begin = i, .rest = i + 1, .end = end};

	if (is_word(l, i, "on"))
		c.rest = token_from(l, i + 1) + 1;
	for (size_t k = token_from(l, c.rest); !last && k < end; k = token_from(l, over(l, k))) {
		if (begins_clause(l, k, words)) {
			c.end = k;
			break;
		}
	}
	return c;
}

static unsigned clause_width(const struct layout *l, const struct clause *c)
{
	return has_comment(l, c->begin, c->rest) ? 0 : width_on_line(l, c->begin, c->rest);
}

/* The column at which what a rule's clauses say begins. */
static unsigned rule_column(const struct layout *l, size_t from, size_t end)
{
	unsigned widest = 0;

	for (size_t i = token_from(l, from); i < end;) {
		struct clause c = clause_at(l, i, end, rule_words);
		unsigned width = clause_width(l, &c);

		widest = width > widest ? width : widest;
		i = token_from(l, c.end);
	}
	return widest + 1;
}

/* Clauses in [at, end), each on a line; what they say begins at `column`, 0: right behind the
 * word. */
static void clauses(
	struct layout *l, size_t end, unsigned indent, unsigned column, const char *const *words)
{
	for (size_t i = token_from(l, l->at); i < end; i = token_from(l, l->at)) {
		struct clause c = clause_at(l, i, end, words);
		unsigned value = indent + (column ? column : clause_width(l, &c) + 1);

		line(l, indent);
		tokens(l, c.rest, indent);
		if (c.rest < c.end && !mark_at(l, c.rest)->comment && l->column + 1 < value)
			blanks(l, value - 1 - l->column);
		flow(l, c.end, value, is_word(l, i, "then") ? COMMAS_BREAK : COMMAS_FILL);
	}
}

/* Takes the { of a rule or test that begins at i, and sees that its body has clauses only. */
static bool find_body(struct layout *l, size_t i, const char *const *words, size_t *open)
{
	size_t brace = token_from(l, i + 1), first;

	for (unsigned k = 0; k < HEAD_MAX && brace < l->marks.n; k++) {
		if (is_kind(l, brace, TOKEN_LEFT_BRACE))
			break;
		brace = token_from(l, brace + 1);
	}
	if (!is_kind(l, brace, TOKEN_LEFT_BRACE))
		return mistake(l, i, "a name and { ... } belong behind this");
	first = token_from(l, brace + 1);
	if (first < mark_at(l, brace)->partner && !begins_clause(l, first, words))
		return mistake(l, first,
			words == rule_words
				? "a rule's body begins with when, unless, on error or then"
				: "a test's body begins with with, given or expect");
	*open = brace;
	return true;
}

static bool lay_out_rule(struct layout *l, size_t i, unsigned indent)
{
	size_t open = 0, close;

	if (!find_body(l, i, rule_words, &open))
		return false;
	close = mark_at(l, open)->partner;
	if (!has_comment(l, i, close) && has_room(l, close + 1, 0)) {
		tokens(l, close + 1, indent);
		return true;
	}
	tokens(l, open + 1, indent + INDENT);
	clauses(l, close, indent + INDENT, rule_column(l, open + 1, close), rule_words);
	comments(l, indent + INDENT);
	new_line(l, indent, false);
	token(l, indent);
	return true;
}

static bool lay_out_test(struct layout *l, size_t i, unsigned indent)
{
	size_t open = 0, close;

	if (!find_body(l, i, test_words, &open))
		return false;
	close = mark_at(l, open)->partner;
	tokens(l, open + 1, indent + INDENT);
	clauses(l, close, indent + INDENT, 0, test_words);
	comments(l, indent + INDENT);
	new_line(l, indent, false);
	token(l, indent);
	return true;
}

/* --- lists and files --- */

static const char *const item_words[] = {"include", "list", "rule", "for", "test", NULL};

/* Where the list that begins at i ends: at the next word that begins something. */
static size_t end_of_list(const struct layout *l, size_t i, size_t end)
{
	size_t k = token_from(l, token_from(l, i + 1) + 1);

	while (k < end && !is_word_of(&mark_at(l, k)->token, item_words))
		k = token_from(l, over(l, k));
	return end_of_tokens(l, i, k < end ? k : end);
}

static void lay_out_list(struct layout *l, size_t end, unsigned indent)
{
	if (!has_comment(l, l->at, end) && has_room(l, end, 0)) {
		tokens(l, end, indent);
		return;
	}
	while (l->at < end) {
		size_t i = token_from(l, l->at), close = mark_at(l, i)->partner;

		token(l, indent + INDENT);
		if (!is_kind(l, i, TOKEN_LEFT_BRACE) || token_from(l, l->at) >= close)
			continue;
		line(l, indent + INDENT);
		flow(l, close, indent + INDENT, COMMAS_FILL);
		comments(l, indent + INDENT);
		new_line(l, indent, false);
		token(l, indent);
	}
}

static bool lay_out_items(struct layout *l, size_t end, unsigned indent);

static bool lay_out_for(struct layout *l, size_t i, unsigned indent)
{
	size_t open = token_from(l, i + 1), close;

	while (open < l->marks.n &&
		(!is_kind(l, open, TOKEN_LEFT_BRACE) || wants_value(token_before(l, open))))
		open = token_from(l, over(l, open));
	if (open >= l->marks.n)
		return mistake(l, i, "a condition and { ... } belong behind `for`");
	close = mark_at(l, open)->partner;
	token(l, indent);
	flow(l, open, indent + INDENT, COMMAS_FILL);
	token(l, indent + INDENT);
	if (!lay_out_items(l, close, indent + INDENT))
		return false;
	if (close > open + 1)
		new_line(l, indent, false);
	token(l, indent);
	return true;
}

static bool lay_out_item(struct layout *l, size_t i, size_t end, unsigned indent)
{
	if (is_word(l, i, "rule"))
		return lay_out_rule(l, i, indent);
	if (is_word(l, i, "test"))
		return lay_out_test(l, i, indent);
	if (is_word(l, i, "for"))
		return lay_out_for(l, i, indent);
	if (is_word(l, i, "list")) {
		lay_out_list(l, end_of_list(l, i, end), indent);
		return true;
	}
	if (is_word(l, i, "include") && token_from(l, i + 1) < end) {
		tokens(l, token_from(l, i + 1) + 1, indent + INDENT);
		return true;
	}
	return mistake(l, i, "a rule, list, for, test or include begins here");
}

/* All of [at, end), the comments at its end included. */
static bool lay_out_items(struct layout *l, size_t end, unsigned indent)
{
	for (size_t i = token_from(l, l->at); i < end; i = token_from(l, l->at)) {
		line(l, indent);
		if (!lay_out_item(l, i, end, indent))
			return false;
	}
	comments(l, indent);
	return true;
}

/* --- all of it --- */

/* White space must have been all that changed. A layout of ours that says something else is a bug
 * that may not reach anybody's rules. */
static void ensure_same(const struct layout *l)
{
	struct buffer nowhere = BUFFER_INIT(0);
	struct diagnostics d = {"", buffer_span(l->out), &nowhere, 0, 0};
	struct marks again;

	ENSURE(marks_read(&again, buffer_span(l->out), &d));
	ENSURE(marks_same(&l->marks, &again));
	marks_free(&again);
	buffer_free(&nowhere);
}

bool rules_format(const char *file, struct span source, struct buffer *out, struct buffer *report)
{
	struct diagnostics d = {file, source, report, 0, 0};
	struct buffer text = BUFFER_INIT(out->max);
	struct layout l = {.out = &text, .fresh = true, .diagnostics = &d};
	bool ok = marks_read(&l.marks, source, &d) && lay_out_items(&l, l.marks.n, 0);

	if (ok && l.marks.n)
		l.full = !buffer_add_char(&text, '\n') || l.full;
	if (ok && l.full)
		ok = mistake(&l, l.marks.n, "this file is too large");
	if (ok) {
		ensure_same(&l);
		ok = buffer_add(out, buffer_span(&text)) ||
		     mistake(&l, l.marks.n, "this file is too large");
	}
	marks_free(&l.marks);
	buffer_free(&text);
	return ok;
}

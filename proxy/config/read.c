/*
 * The walk over postern.conf: keys, blocks, and what to do behind a mistake. All knowledge of
 * single keys is in the option table; this file only knows how keys, values and braces follow each
 * other.
 *
 * Rejected: stopping at the first mistake (an admin would mend a file line by line), and the usual
 * skip to the end of the line (line ends mean nothing here, and a half-read block is a row of false
 * mistakes).
 */
#include "proxy/config/read.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/fail.h"

enum { MISTAKES_MAX = 100, MESSAGE_MAX = 512, SET_ITEMS_MAX = 1000000 };

/* --- tokens --- */

struct token reader_take(struct reader *r)
{
	struct token taken = r->token;

	r->token = lex_next(&r->lexer);
	return taken;
}

bool reader_mistake(
	struct reader *r, const struct token *at, const char *help, const char *format, ...)
{
	char message[MESSAGE_MAX];
	va_list args;

	if (r->stopped)
		return false;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	diagnose(&r->diagnostics, SEVERITY_ERROR, at, help, "%s", message);
	if (r->diagnostics.n_errors == MISTAKES_MAX) {
		r->stopped = true;
		diagnose(&r->diagnostics, SEVERITY_ERROR, NULL, NULL,
			"too many mistakes; what follows is not looked at");
	}
	return false;
}

void reader_warning(
	struct reader *r, const struct token *at, const char *help, const char *format, ...)
{
	char message[MESSAGE_MAX];
	va_list args;

	if (r->stopped || r->diagnostics.n_warnings >= MISTAKES_MAX)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	diagnose(&r->diagnostics, SEVERITY_WARNING, at, help, "%s", message);
}

const char *reader_suggest(struct reader *r, const char *nearest)
{
	return nearest ? arena_print(r->scratch, "did you mean `%s`?", nearest) : NULL;
}

/* What a mistake calls the key: a block's label goes by the block's name. */
static const char *key_name(const struct option *o)
{
	return o->name[0] ? o->name : o->block;
}

/* "a size, such as 50MB", "one of json, text". */
static const char *expectation(struct reader *r, const struct option *o)
{
	struct buffer out = BUFFER_INIT(MESSAGE_MAX);
	struct text t = {&out, false};
	const char *example = o->example ? o->example : o->kind->example, *copy;

	text_put(&t, "%s", o->kind->expects);
	for (const struct choice *c = o->choices; c && c->word; c++)
		text_put(&t, "%s%s", c == o->choices ? " " : ", ", c->word);
	if (!o->choices && example)
		text_put(&t, ", such as %s", example);
	copy = arena_string(r->scratch, buffer_span(&out));
	buffer_free(&out);
	return copy;
}

/* Whether a number was put in quotes. */
static bool quoted_in_vain(struct reader *r, const struct option *o, const struct token *at)
{
	struct lexer inner;
	struct token t;

	if (at->kind != TOKEN_STRING || !o->kind->limit)
		return false;
	inner = lexer_make(span_text(token_value(at, r->scratch)), LEX_CONFIG);
	t = lex_next(&inner);
	return t.kind == TOKEN_NUMBER || t.kind == TOKEN_SIZE || t.kind == TOKEN_DURATION;
}

bool reader_mistake_type(struct reader *r, const struct option *o, const struct token *at)
{
	struct nearest nearest = nearest_to(at->text);
	const char *help = NULL;

	if (at->kind == TOKEN_STRING)
		nearest = nearest_to(span_text(token_value(at, r->scratch)));
	for (const struct choice *c = o->choices; c && c->word; c++)
		nearest_offer(&nearest, c->word);
	help = reader_suggest(r, nearest.best);
	if (quoted_in_vain(r, o, at))
		help = "write it without quotes";
	else if (o->kind == &kind_duration && at->kind == TOKEN_NUMBER)
		help = arena_print(r->scratch, "write a unit, such as %.*ss or %.*sm",
			SPAN_ARGS(at->text), SPAN_ARGS(at->text));
	return reader_mistake(r, at, help, "`%s` needs %s", key_name(o), expectation(r, o));
}

/* Whether the value is missing and the next key stands in its place. A text may read like a key
 * when it stands on the same line. */
static bool next_key_begins(const struct reader *r, const struct option *o)
{
	const struct token *t = &r->token;
	bool text = !o->kind->limit && !o->choices;

	if (t->kind != TOKEN_WORD || !r->scope || (text && !t->first_on_line))
		return false;
	return option_find(r->scope->block ? r->scope->block->name : "", t->text) != NULL;
}

bool reader_take_value(struct reader *r, const struct option *o, struct token *out)
{
	const struct token *at = &r->token;

	if (r->token.kind == TOKEN_ASSIGN || r->token.kind == TOKEN_EQUAL) {
		reader_mistake(r, &r->token, "write the value behind a blank",
			"no = stands between a key and its value");
		reader_take(r);
		if (token_is_value(r->token.kind) && !next_key_begins(r, o))
			reader_take(r);
		return false;
	}
	if (r->token.kind == TOKEN_ERROR) {
		struct token bad = reader_take(r);

		return reader_mistake(r, &bad, bad.help, "%s", bad.message);
	}
	if (!token_is_value(r->token.kind) || next_key_begins(r, o)) {
		/* Told where the value should be, which is behind the key if the line ends there.
		 */
		if (r->token.first_on_line || r->token.kind == TOKEN_END)
			at = &r->key;
		return reader_mistake_type(r, o, at);
	}
	*out = r->value = reader_take(r);
	return true;
}

bool reader_take_mark(struct reader *r, enum token_kind kind, const char *help)
{
	if (r->token.kind == kind) {
		reader_take(r);
		return true;
	}
	return reader_mistake(r, r->token.kind == TOKEN_END ? &r->key : &r->token, help,
		"a { is missing %s", r->token.kind == TOKEN_END ? "behind this" : "before this");
}

void reader_skip_group(struct reader *r)
{
	struct token opened = reader_take(r);
	unsigned depth = 1;

	while (r->token.kind != TOKEN_END) {
		struct token t = reader_take(r);

		depth += t.kind == TOKEN_LEFT_BRACE;
		depth -= t.kind == TOKEN_RIGHT_BRACE;
		if (depth == 0)
			return;
	}
	reader_mistake(r, &opened, "add a } behind the block", "this { is never closed");
}

bool reader_take_set(struct reader *r, const struct option *o,
	bool (*item)(struct reader *r, const struct token *value, void *context), void *context)
{
	struct token opened = r->token;
	size_t count = 0;
	bool ok = true;

	if (!reader_take_mark(r, TOKEN_LEFT_BRACE, expectation(r, o)))
		return false;
	while (r->token.kind != TOKEN_RIGHT_BRACE && r->token.kind != TOKEN_END && !r->stopped) {
		struct token t = reader_take(r);

		if (t.kind == TOKEN_COMMA)
			continue;
		if (t.kind == TOKEN_ERROR)
			ok = reader_mistake(r, &t, t.help, "%s", t.message);
		else if (!token_is_value(t.kind))
			ok = reader_mistake(r, &t, expectation(r, o),
				"`%.*s` has no place in this set", SPAN_ARGS(t.text));
		else if (++count > SET_ITEMS_MAX)
			return reader_mistake(
				r, &t, NULL, "a set has at most %d items", SET_ITEMS_MAX);
		else
			ok = item(r, &t, context) && ok;
	}
	if (r->token.kind == TOKEN_RIGHT_BRACE)
		reader_take(r);
	else
		ok = reader_mistake(r, &opened, "add a } behind the set", "this { is never closed");
	return ok;
}

void *reader_append(struct arena *arena, void *array, size_t *count, size_t item_size)
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

/* --- scopes --- */

static struct scope *scope_new(struct reader *r, const struct option *block, void *base)
{
	struct scope *scope = arena_alloc(r->scratch, sizeof(*scope));
	size_t count;

	option_block(block ? block->name : "", &count);
	scope->block = block;
	scope->base = base;
	scope->opened = r->key;
	scope->given = arena_alloc(r->scratch, count * sizeof(scope->given[0]));
	*r->scopes_end = scope;
	r->scopes_end = &scope->next;
	return scope;
}

static struct given *given_of(const struct scope *scope, const struct option *o)
{
	size_t count;

	return &scope->given[o - option_block(o->block, &count)];
}

struct given *scope_given(const struct scope *scope, const char *name)
{
	const struct option *o =
		option_find(scope->block ? scope->block->name : "", span_text(name));

	ENSURE(o != NULL);
	return given_of(scope, o);
}

/* --- keys --- */

static void read_value(struct reader *r, const struct option *o, bool guessed)
{
	struct scope *scope = r->scope;
	struct given *given = given_of(scope, o);
	struct token key = reader_take(r);
	bool ok;

	r->recovering = false;
	r->key = r->value = key;
	if (!guessed && given->key.kind != TOKEN_END && !given->guessed &&
		!(o->flags & OPTION_REPEAT))
		reader_mistake(r, &key,
			arena_print(r->scratch, "first given in line %u", given->key.line),
			"`%s` is given twice", o->name);
	ok = o->kind->read(r, o, scope->base);
	given->key = key;
	given->value = r->value;
	given->guessed = guessed || given->guessed;
	given->bad = given->bad || !ok;
	r->recovering = !ok;
}

/* A key of the top level in a block, at the start of a line: the } before it is missing. */
static bool close_missing(struct reader *r)
{
	struct scope *scope = r->scope;
	const char *help;

	if (!scope->block || !r->token.first_on_line || !option_find("", r->token.text))
		return false;
	help = arena_print(r->scratch, "is a } missing above? `%s` was opened in line %u",
		scope->block->name, scope->opened.line);
	reader_mistake(r, &r->token, help, "`%s` has no key `%.*s`", scope->block->name,
		SPAN_ARGS(r->token.text));
	scope->closed = true;
	r->implied_closes++;
	return true;
}

/* Where else the key is known, as help; NULL: nowhere. */
static const char *elsewhere(struct reader *r, struct span name)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &option_table[i];

		if (!span_equal(name, span_text(o->name)) || name.len == 0)
			continue;
		if (!o->block[0])
			return arena_print(r->scratch, "`%s` stands outside of any block", o->name);
		return arena_print(r->scratch, "it belongs inside %s { ... }", o->block);
	}
	return NULL;
}

/* The key that was meant, NULL when none is near. Among what is skipped anyway only a slip of one
 * letter counts. */
static const char *nearest_key(const struct reader *r, const char *block, bool skipping)
{
	struct nearest nearest = nearest_to(r->token.text);
	size_t count;
	const struct option *rows = option_block(block, &count);

	for (size_t i = 0; i < count; i++)
		nearest_offer(&nearest, rows[i].name);
	return skipping && nearest.distance > 1 ? NULL : nearest.best;
}

static void read_unknown_key(struct reader *r)
{
	const char *block = r->scope->block ? r->scope->block->name : "";
	const char *help = elsewhere(r, r->token.text);
	bool skipping = r->recovering && !r->token.first_on_line;
	const char *nearest = help ? NULL : nearest_key(r, block, skipping);

	if (skipping && !nearest) {
		reader_take(r);
		return;
	}
	if (close_missing(r))
		return;
	if (!help)
		help = reader_suggest(r, nearest);
	if (*block)
		reader_mistake(r, &r->token, help, "`%s` has no key `%.*s`", block,
			SPAN_ARGS(r->token.text));
	else
		reader_mistake(r, &r->token, help, "unknown key `%.*s`", SPAN_ARGS(r->token.text));
	if (nearest) {
		read_value(r, option_find(block, span_text(nearest)), true);
	} else {
		reader_take(r);
		r->recovering = true;
	}
}

/* Something that is neither a key nor the end of the block. */
static void read_stray(struct reader *r)
{
	bool quiet = r->recovering;
	struct token t = r->token;

	r->recovering = true;
	if (t.kind == TOKEN_ERROR) {
		reader_take(r);
		reader_mistake(r, &t, t.help, "%s", t.message);
		return;
	}
	if (!quiet)
		reader_mistake(r, &t, NULL,
			t.kind == TOKEN_LEFT_BRACE ? "no key stands before this `%.*s`"
						   : "a key is expected here, not `%.*s`",
			SPAN_ARGS(t.text));
	if (t.kind == TOKEN_LEFT_BRACE)
		reader_skip_group(r);
	else
		reader_take(r);
}

static bool at_end(struct reader *r)
{
	if (r->token.kind == TOKEN_END || r->stopped || r->scope->closed)
		return true;
	if (r->token.kind != TOKEN_RIGHT_BRACE)
		return false;
	if (r->scope->block)
		return true;
	if (r->implied_closes)
		r->implied_closes--;
	else
		reader_mistake(r, &r->token, NULL, "this } closes nothing");
	reader_take(r);
	return at_end(r);
}

static void read_entries(struct reader *r)
{
	while (!at_end(r)) {
		const char *block = r->scope->block ? r->scope->block->name : "";
		const struct option *o = NULL;

		if (r->token.kind == TOKEN_WORD)
			o = option_find(block, r->token.text);
		if (o)
			read_value(r, o, false);
		else if (r->token.kind == TOKEN_WORD)
			read_unknown_key(r);
		else
			read_stray(r);
	}
}

/* --- blocks --- */

static bool read_label(struct reader *r, const struct option *block, struct scope *scope)
{
	const struct option *label = option_find(block->name, SPAN(""));
	struct given *given;

	if (!label)
		return true;
	given = given_of(scope, label);
	given->bad = !label->kind->read(r, label, scope->base);
	given->key = scope->opened;
	given->value = r->value;
	return !given->bad;
}

static bool read_braces(
	struct reader *r, const struct option *block, struct scope *scope, bool label_ok)
{
	struct token opened = r->token;

	if (opened.kind != TOKEN_LEFT_BRACE) {
		if (block->flags & OPTION_BARE || !label_ok)
			return label_ok;
		return reader_mistake(r, &r->key,
			arena_print(r->scratch, "write: %s %s", block->name,
				block->example ? block->example : "{ ... }"),
			"`%s` opens a block", block->name);
	}
	reader_take(r);
	r->scope = scope;
	r->recovering = false;
	read_entries(r);
	if (r->token.kind == TOKEN_RIGHT_BRACE && !scope->closed)
		reader_take(r);
	else if (r->token.kind == TOKEN_END && !scope->closed)
		reader_mistake(r, &opened, "add a } behind the block", "this { is never closed");
	return label_ok;
}

/* NAME [label] { ... } */
static bool read_block(struct reader *r, const struct option *o, void *base)
{
	struct scope *outer = r->scope, *scope;
	struct token label;
	void *item = base;
	size_t count = 0;
	bool ok;

	if (o->item_size) {
		item = arena_alloc(r->scratch, o->item_size);
		options_set_defaults(r->config, o, item);
		count = field_get(base, o->also);
		if (count == o->max)
			return reader_mistake(r, &r->key, NULL, "at most %zu `%s` can be given",
				(size_t)o->max, o->name);
	}
	scope = scope_new(r, o, item);
	scope->index = count;
	ok = read_label(r, o, scope);
	label = r->value;
	ok = read_braces(r, o, scope, ok);
	r->scope = outer;
	if (o->item_size) {
		memcpy(reader_append(
			       r->config->arena, (char *)base + o->at.offset, &count, o->item_size),
			item, o->item_size);
		field_set(base, o->also, count);
	}
	r->value = label;
	return ok;
}

static bool show_block(const struct option *o, const void *base, size_t index, struct text *t)
{
	(void)o;
	(void)base;
	(void)index;
	(void)t;
	return false;
}

const struct kind kind_block = {
	.syntax = "{ ... }",
	.expects = "a block",
	.read = read_block,
	.show = show_block,
};

/* --- defaults --- */

void option_set_text(struct config *config, const struct option *o, void *base, const char *text)
{
	struct buffer report = BUFFER_INIT(4096);
	struct arena *scratch = arena_new(512);
	struct reader r = {
		.diagnostics = {.file = "default", .source = span_text(text), .out = &report},
		.lexer = lexer_make(span_text(text), LEX_CONFIG),
		.config = config,
		.scratch = scratch,
	};

	reader_take(&r);
	r.key = r.token;
	ENSURE(o->kind->read(&r, o, base) && r.token.kind == TOKEN_END);
	arena_free(&scratch);
	buffer_free(&report);
}

void options_set_defaults(struct config *config, const struct option *block, void *base)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &option_table[i];
		bool here = block ? strcmp(o->block, block->name) == 0 : !option_in_item(o);

		if (here && o->fallback)
			option_set_text(config, o, base, o->fallback);
	}
}

/* Defaults that follow from other keys, where nothing was said. */
static void set_following_defaults(struct reader *r)
{
	struct config *config = r->config;

	for (struct scope *s = r->scopes; s; s = s->next) {
		size_t count;
		const struct option *rows = option_block(s->block ? s->block->name : "", &count);

		for (size_t i = 0; i < count; i++) {
			const struct option *o = &rows[i];
			char *base = (char *)config;

			if (!o->fallback_of || s->given[i].key.kind != TOKEN_END)
				continue;
			if (s->block && s->block->item_size) {
				memcpy(&base, base + s->block->at.offset, sizeof(base));
				base += s->index * s->block->item_size;
			}
			option_set_text(config, o, base, o->fallback_of(config, config->arena));
		}
	}
}

/* --- the whole --- */

struct config *config_defaults(const char *file, const char *folder)
{
	struct arena *arena = arena_new(4096);
	struct config *config = arena_alloc(arena, sizeof(*config));

	config->arena = arena;
	config->file = arena_string(arena, span_text(file));
	config->folder = arena_string(arena, span_text(folder));
	options_set_defaults(config, NULL, config);
	return config;
}

struct reader_result config_read(
	const struct bundle *bundle, struct buffer *report, struct file_names *names)
{
	struct reader r = {
		.diagnostics = {bundle_name(bundle), bundle_text(bundle), report, 0, 0},
		.lexer = lexer_make(bundle_text(bundle), LEX_CONFIG),
		.config = config_defaults(bundle_name(bundle), bundle_folder(bundle)),
		.bundle = names ? NULL : bundle,
		.names = names,
		.scratch = arena_new(4096),
	};
	const struct scope *admin = NULL;
	struct reader_result result = {.config = r.config};

	r.scopes_end = &r.scopes;
	r.scope = scope_new(&r, NULL, r.config);
	reader_take(&r);
	read_entries(&r);
	r.config->user_given = scope_given(r.scope, "user")->key.kind != TOKEN_END;
	set_following_defaults(&r);
	config_check(&r);
	result.n_errors = r.diagnostics.n_errors;
	result.n_warnings = r.diagnostics.n_warnings;
	result.admin_bad = r.stopped || scope_given(r.scope, "state")->bad;
	for (const struct scope *s = r.scopes; s; s = s->next)
		if (s->block && strcmp(s->block->name, "admin") == 0)
			admin = s;
	if (admin)
		result.admin_bad = result.admin_bad || scope_given(admin, "socket")->bad;
	arena_free(&r.scratch);
	return result;
}

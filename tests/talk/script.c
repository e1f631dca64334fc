#include "tests/talk/script.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "tests/talk/pattern.h"

enum { EXPANDED_MAX = 1024 * 1024 };

struct macro {
	char name[NAME_SIZE];
	struct part body;
	struct macro *next;
};

struct variable {
	char name[NAME_SIZE];
	char *value; /* owned */
	struct variable *next;
};

static void run_part(struct script *script, const struct scope *outer, struct part part,
	const struct span *args);

/* --- text --- */

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct buffer text = BUFFER_INIT(4 * 1024 * 1024);
	char piece[4096], *copy;
	size_t len;

	if (!f)
		return NULL;
	while ((len = fread(piece, 1, sizeof(piece), f)) > 0)
		ENSURE(buffer_add(&text, span_make(piece, len)));
	fclose(f);
	copy = memory_string(buffer_string(&text));
	buffer_free(&text);
	return copy;
}

struct source *script_load(struct script *script, const char *path)
{
	char *text = read_file(path), *line;
	struct source *source;

	if (!text)
		return NULL;
	source = memory_zeroed(sizeof(*source));
	source->path = memory_string(path);
	source->text = text;
	for (line = text; line;) {
		char *end = strchr(line, '\n');

		source->lines = memory_resize(
			source->lines, (source->n_lines + 1) * sizeof(*source->lines));
		source->lines[source->n_lines++] = line;
		if (end)
			*end++ = '\0';
		line = end;
	}
	source->next = script->sources;
	script->sources = source;
	return source;
}

void script_free(struct script *script)
{
	while (script->sources) {
		struct source *source = script->sources;

		script->sources = source->next;
		free(source->path);
		free(source->text);
		free(source->lines);
		free(source);
	}
	while (script->macros) {
		struct macro *macro = script->macros;

		script->macros = macro->next;
		free(macro);
	}
	while (script->variables) {
		struct variable *variable = script->variables;

		script->variables = variable->next;
		free(variable->value);
		free(variable);
	}
}

static size_t indentation(const char *line)
{
	return strspn(line, " \t");
}

struct span part_line(const struct part *part, size_t index)
{
	const char *line = part->source->lines[part->from + index];
	size_t indent = indentation(part->source->lines[part->from]), own = indentation(line);

	return span_text(line + (own < indent ? own : indent));
}

/* --- variables --- */

void script_set(struct script *script, const char *name, struct span value)
{
	struct variable *v = script->variables;

	while (v && strcmp(v->name, name) != 0)
		v = v->next;
	if (!v) {
		v = memory_zeroed(sizeof(*v));
		snprintf(v->name, sizeof(v->name), "%s", name);
		v->next = script->variables;
		script->variables = v;
	}
	free(v->value);
	v->value = memory_new(value.len + 1);
	memcpy(v->value, value.at ? value.at : "", value.len);
	v->value[value.len] = '\0';
}

static void add_variable(
	struct script *script, const struct scope *scope, struct span name, struct buffer *out)
{
	char text[128];

	for (struct variable *v = script->variables; v; v = v->next) {
		if (span_equal(span_text(v->name), name)) {
			ENSURE(buffer_add_text(out, v->value));
			return;
		}
	}
	if (script->lookup(script->context, name, out))
		return;
	snprintf(text, sizeof(text), "there is no ${%.*s}", SPAN_ARGS(name));
	script->fail(script->context, scope, text);
}

char *script_expand(struct script *script, const struct scope *scope, struct span text)
{
	struct buffer out = BUFFER_INIT(EXPANDED_MAX);
	char *copy;

	while (text.len) {
		char second = text.len > 1 ? text.at[1] : '\0';
		size_t used = 1;

		if (text.at[0] == '$' && second >= '1' && second <= '9') {
			ENSURE(buffer_add(&out, scope->args[second - '1']));
			used = 2;
		} else if (text.at[0] == '$' && second == '{') {
			size_t end = span_find_char(text, '}');

			add_variable(script, scope, span_make(text.at + 2, end - 2), &out);
			used = end + 1;
		} else {
			ENSURE(buffer_add_char(&out, text.at[0]));
		}
		text = span_from(text, used);
	}
	copy = memory_string(buffer_string(&out));
	buffer_free(&out);
	return copy;
}

/* --- the walk --- */

static size_t block_end(struct script *script, const struct scope *scope)
{
	const struct source *source = scope->part.source;
	size_t indent = indentation(source->lines[scope->at]);

	for (size_t i = scope->at + 1; i < source->n_lines; i++) {
		struct span line = span_text(source->lines[i]);

		if (indentation(line.at) == indent && span_equal(span_trim(line), SPAN("}")))
			return i;
	}
	script->fail(script->context, scope, "the block has no end");
	abort();
}

static void define_macro(struct script *script, struct span name, const struct part *body)
{
	struct macro *macro = memory_zeroed(sizeof(*macro));

	snprintf(macro->name, sizeof(macro->name), "%.*s", SPAN_ARGS(name));
	macro->body = *body;
	macro->next = script->macros;
	script->macros = macro;
}

static bool run_macro(struct script *script, const struct scope *scope, struct span head)
{
	struct span name = span_word(&head), args[MACRO_ARGS] = {{NULL, 0}};

	for (struct macro *macro = script->macros; macro; macro = macro->next) {
		if (!span_equal(span_text(macro->name), name))
			continue;
		for (int i = 0; i < MACRO_ARGS; i++)
			args[i] = span_word(&head);
		run_part(script, scope, macro->body, args);
		return true;
	}
	return false;
}

static void repeat(struct script *script, const struct scope *scope, struct span count,
	const struct part *body)
{
	uint64_t times;
	char number[24];

	if (!number_with_unit(count, &times)) {
		script->fail(script->context, scope, "repeat needs a number");
		return;
	}
	for (uint64_t i = 0; i < times; i++) {
		snprintf(number, sizeof(number), "%llu", (unsigned long long)i + 1);
		script_set(script, "i", span_text(number));
		run_part(script, scope, *body, scope->args);
	}
}

static void run_statement(
	struct script *script, struct scope *scope, struct span head, const struct part *block)
{
	struct span rest = head, word = span_word(&rest);

	if (block && span_equal(word, SPAN("macro")))
		define_macro(script, span_trim(rest), block);
	else if (block && span_equal(word, SPAN("repeat")))
		repeat(script, scope, span_trim(rest), block);
	else if (!block && run_macro(script, scope, head))
		return;
	else
		script->run(script->context, scope, head, block);
}

static bool takes_block(struct span line)
{
	return span_ends_nocase(line, SPAN(" {"));
}

static void run_part(
	struct script *script, const struct scope *outer, struct part part, const struct span *args)
{
	struct scope scope = {.outer = outer, .part = part};
	static const struct span no_args[MACRO_ARGS];

	memcpy(scope.args, args ? args : no_args, sizeof(scope.args));
	for (scope.at = part.from; scope.at < part.to; scope.at++) {
		struct span line = span_trim(span_text(part.source->lines[scope.at]));
		bool has_block = takes_block(line);
		struct part block = {part.source, scope.at + 1, scope.at + 1};
		char *head;

		if (line.len == 0 || line.at[0] == '#')
			continue;
		if (has_block) {
			block.to = block_end(script, &scope);
			line = span_trim(span_first(line, line.len - 1));
		}
		head = script_expand(script, &scope, line);
		run_statement(script, &scope, span_text(head), has_block ? &block : NULL);
		free(head);
		if (has_block)
			scope.at = block.to;
	}
}

void script_run(struct script *script, const struct source *source)
{
	struct part all = {source, 0, source->n_lines};

	run_part(script, NULL, all, NULL);
}

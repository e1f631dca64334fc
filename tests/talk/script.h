/*
 * script: a conversation as text, line by line, and the walk through it. What a line means is
 * talk.c's business; here are variables, macros, repetition and blocks. A block goes from a line
 * that ends in { to the line with nothing but } at the same indentation.
 */
#ifndef TALK_SCRIPT_H
#define TALK_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buffer.h"
#include "lib/base/span.h"

enum { MACRO_ARGS = 9, NAME_SIZE = 32 };

struct source {
	char *path;   /* owned */
	char *text;   /* owned */
	char **lines; /* owned; into text */
	size_t n_lines;
	struct source *next;
};

/* Lines [from, to) of a source, counted from 0. */
struct part {
	const struct source *source;
	size_t from, to;
};

/* Where the walk is; the chain leads out of macros and repetitions. */
struct scope {
	const struct scope *outer;
	struct part part;
	size_t at; /* the line in hand */
	struct span args[MACRO_ARGS];
};

struct script {
	struct source *sources;
	struct macro *macros;
	struct variable *variables;
	/* A variable that is not set: false when there is none of this name. */
	bool (*lookup)(void *context, struct span name, struct buffer *out);
	/* A statement that is no part of the language: its head, without the { of its block. */
	void (*run)(void *context, const struct scope *scope, struct span head,
		const struct part *block);
	void (*fail)(void *context, const struct scope *scope, const char *text);
	void *context;
};

struct source *script_load(struct script *script, const char *path); /* NULL: no such file */
void script_run(struct script *script, const struct source *source);
void script_free(struct script *script);

void script_set(struct script *script, const char *name, struct span value);

/* $1 to $9 and ${name} replaced; the text is the caller's to free. */
char *script_expand(struct script *script, const struct scope *scope, struct span text);

/* A line of a block without the indentation of the block's first line. */
struct span part_line(const struct part *part, size_t index);

#endif

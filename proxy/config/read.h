/*
 * The reader of postern.conf, for the files that make it up (config_*.c): tokens, where each value
 * was given, and how a mistake is told. It goes on behind a mistake and takes care that one mistake
 * is told once: an unknown key with a near name is read as that one, other unknown things are
 * skipped up to the next known key, and a `}` that seems to be missing is supplied.
 */
#ifndef PROXY_CONFIG_READ_H
#define PROXY_CONFIG_READ_H

#include "policy/diagnostic.h"
#include "proxy/config/options.h"

/* What was said about one key of one block. */
struct given {
	struct token key;   /* kind TOKEN_END: not given */
	struct token value; /* the last token of its value that was taken */
	bool guessed;       /* under another name, already reported */
	bool bad;           /* its value was a mistake, already reported */
};

/* One block of the file; the top level is one too. */
struct scope {
	struct scope *next;         /* in the order of the file */
	const struct option *block; /* NULL: top level */
	size_t index;               /* among the items of this block */
	void *base;                 /* the struct that its keys fill */
	struct token opened;        /* its key */
	struct given *given;        /* one for each row of the block */
	bool closed;                /* its } was missing, and reported */
};

/* The names of the files that a configuration needs. */
struct file_names {
	const char **items;
	size_t count;
};

struct reader {
	struct diagnostics diagnostics;
	struct lexer lexer;
	struct token token; /* the next one, not yet taken */
	struct token key;   /* of the value being read */
	struct token value; /* last value taken */
	struct config *config;
	const struct bundle *bundle; /* NULL: files are not looked at */
	struct file_names *names;    /* collects the names of files; may be NULL */
	struct arena *scratch;       /* places; gone when the configuration is read */
	struct scope *scope;         /* being read; NULL: a default of the table */
	struct scope *scopes, **scopes_end;
	unsigned implied_closes; /* } supplied, which may come as superfluous ones */
	bool recovering;         /* behind a mistake: what is no key is skipped silently */
	bool stopped;            /* too many mistakes */
};

/* The next token becomes current; the old one is returned. */
struct token reader_take(struct reader *r);

/* Takes one value for the option, or reports what is missing. */
bool reader_take_value(struct reader *r, const struct option *o, struct token *out) MUST_CHECK;

/* Takes a mark that must come; false: reported. */
bool reader_take_mark(struct reader *r, enum token_kind kind, const char *help) MUST_CHECK;

/* Skips a { ... } with all that is in it; current is the {. */
void reader_skip_group(struct reader *r);

/* Calls item for each value in { ... }; commas between them may be. */
bool reader_take_set(struct reader *r, const struct option *o,
	bool (*item)(struct reader *r, const struct token *value, void *context),
	void *context) MUST_CHECK;

/* Always false, so that `return reader_mistake(...)` reads well. help may be NULL. */
bool reader_mistake(struct reader *r, const struct token *at, const char *help, const char *format,
	...) PRINTF_LIKE(4, 5);
void reader_warning(struct reader *r, const struct token *at, const char *help, const char *format,
	...) PRINTF_LIKE(4, 5);

/* Reports that the token is not what the option needs. */
bool reader_mistake_type(struct reader *r, const struct option *o, const struct token *at);

/* "did you mean `x`?" in scratch, or NULL. */
const char *reader_suggest(struct reader *r, const char *nearest);

/* Adds a zeroed item to an array in the config's arena; the array may move. */
void *reader_append(struct arena *arena, void *array, size_t *count, size_t item_size);

/* What the file says about a key of a block; never NULL for a key that is in the table. */
struct given *scope_given(const struct scope *scope, const char *name);

/* A number into a field of 1, 4 or 8 bytes, and back. */
void field_set(void *base, struct field field, uint64_t value);
uint64_t field_get(const void *base, struct field field);
void field_set_string(void *base, struct field field, const char *value);
const char *field_string(const void *base, struct field field);

/* Reads a whole configuration; mistakes go to the report, and what is right is in the result all
 * the same. */
struct reader_result {
	struct config *config; /* owned by the caller */
	size_t n_errors, n_warnings;
	bool admin_bad; /* a mistake in admin.socket or state, or the reading stopped before the end
			 */
};
struct reader_result config_read(
	const struct bundle *bundle, struct buffer *report, struct file_names *names);

/* Sets a key to a default text of the table; a text that does not parse is a bug. */
void option_set_text(struct config *config, const struct option *o, void *base, const char *text);

/* Sets all keys of a block (NULL: the top level and the blocks that there is one of) to their
 * defaults. */
void options_set_defaults(struct config *config, const struct option *block, void *base);

/* A configuration in which nothing was said; freed with config_free. */
struct config *config_defaults(const char *file, const char *folder);

/* Checks that concern more than one key (check.c). */
void config_check(struct reader *r);

/* --- the bundle's inside (bundle.c) --- */

enum bundle_role {
	BUNDLE_CONFIG, /* postern.conf, and what it names: certificates and keys */
	BUNDLE_RULES,  /* a rule file that `rules` names */
	BUNDLE_TEXT    /* what rule files name: further rule files and lists */
};

struct bundle_file {
	const char *name;
	const char *problem; /* why it could not be read; NULL: it was */
	struct span content;
	enum bundle_role role;
};

const struct bundle_file *bundle_find(const struct bundle *bundle, const char *name);
const char *bundle_name(const struct bundle *bundle); /* of postern.conf, as it was called */
const char *bundle_folder(
	const struct bundle *bundle); /* absolute; "" when only the bare name is known */
struct span bundle_text(const struct bundle *bundle);

#endif

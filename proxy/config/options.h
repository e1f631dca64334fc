/*
 * options: the one table that declares each key of postern.conf: block, name, kind of value, range,
 * default, what a reload does with it, and help. The parser, `config show`, `config doc` and the
 * manual page walk it; a key is added by adding its row (and its field in struct config). A new
 * kind of value is a struct kind in value.c, network.c or file.c.
 */
#ifndef PROXY_CONFIG_OPTIONS_H
#define PROXY_CONFIG_OPTIONS_H

#include "proxy/config/config.h"
#include "proxy/config/kind.h"

enum option_flags {
	OPTION_REQUIRED = 1, /* postern.conf must give it */
	OPTION_REPEAT = 2,   /* may be given more than once */
	OPTION_RESTART = 4,  /* a reload does not apply a change */
	OPTION_LATER = 8,    /* checked and kept, without effect in this release */
	OPTION_BARE = 16     /* a block whose { } may be left out */
};

/* Where a value lies in the struct that its block fills. */
struct field {
	size_t offset;
	size_t width;
};

#define FIELD(type, member)                                                                        \
	{                                                                                          \
		offsetof(type, member), sizeof(((type *)NULL)->member)                             \
	}

struct choice {
	const char *word;
	unsigned value;
};

struct option {
	const char *block; /* "": top level */
	const char *name;  /* "": what stands between the block's name and its { */
	const struct kind *kind;
	struct field at;
	struct field also; /* kinds that fill two fields say what for */
	size_t item_size; /* of a block that may be repeated: of one item; at is the array, also its
			     count */
	uint64_t min, max; /* of numbers, sizes and durations; max also: bytes of a text, items of a
			      list */
	const char *fallback; /* the default as one would write it; NULL: none */
	/* A default that follows from other keys, in the place of fallback; with its description.
	 */
	const char *(*fallback_of)(const struct config *, struct arena *);
	const char *fallback_help;
	const struct choice *choices; /* ends with a NULL word */
	const char *example;          /* NULL: the kind's own */
	unsigned flags;               /* enum option_flags */
	const char *help;             /* one line */
	const char *more;             /* further lines for the manual page; may be NULL */
};

extern const struct option option_table[];
extern const size_t option_count;

/* NULL: there is none. */
const struct option *option_find(const char *block, struct span name);

/* The rows of a block stand together: *count of them from the returned one on. */
const struct option *option_block(const char *block, size_t *count);

/* Whether its struct is one of many (listen, backend), not struct config. */
bool option_in_item(const struct option *o);

/* "limits.message", "listen" for what stands before its brace; out has OPTION_NAME_SIZE bytes. */
enum { OPTION_NAME_SIZE = 64 };
const char *option_name(const struct option *o, char out[OPTION_NAME_SIZE]);

#endif

/*
 * kind: a kind of value that a key of postern.conf can take: how it is read from tokens, how it is
 * written back, and how it is described. Each reads and writes the struct that its option's block
 * fills.
 */
#ifndef PROXY_CONFIG_KIND_H
#define PROXY_CONFIG_KIND_H

#include "lib/base/buffer.h"

struct option;
struct reader;

/* Text on its way into a buffer; what does not fit is remembered, so that it is asked once at the
 * end. */
struct text {
	struct buffer *out;
	bool full;
};

void text_put(struct text *t, const char *format, ...) PRINTF_LIKE(2, 3);
void text_quoted(struct text *t, const char *string);
void text_size(struct text *t, uint64_t bytes);       /* 50MB */
void text_duration(struct text *t, uint64_t time_ms); /* 5m */
void text_number(struct text *t, uint64_t number);
/* What is written behind the key, its default, and its range (kinds with a limit), for people. */
void text_syntax(struct text *t, const struct option *o);
void text_default(struct text *t, const struct option *o);
void text_range(struct text *t, const struct option *o);
/* Words of a paragraph, so that no line passes 80 columns; each line begins with indent. */
void text_wrapped(struct text *t, const char *indent, const char *paragraph);

struct kind {
	const char *syntax;  /* how it is written, for people: SIZE; NULL: the choices */
	const char *expects; /* behind "needs" and before the example: a size */
	const char *example; /* 50MB */

	/* Takes the value from the reader; false: a mistake was reported. Sets nothing then. */
	bool (*read)(struct reader *r, const struct option *o, void *base);

	/* The index-th value as it would be written; false: there is none (any more), and nothing
	 * was put. */
	bool (*show)(const struct option *o, const void *base, size_t index, struct text *t);

	/* How an end of the range is written; NULL: it has none. */
	void (*limit)(struct text *t, uint64_t limit);
};

/* value.c */
extern const struct kind kind_text, kind_path, kind_domain, kind_authserv_id, kind_label,
	kind_store;
extern const struct kind kind_number, kind_workers, kind_size, kind_duration, kind_choice;
/* network.c */
extern const struct kind kind_listen, kind_networks, kind_newline, kind_server, kind_resolver,
	kind_http;
/* file.c */
extern const struct kind kind_certificate, kind_key, kind_log_target, kind_filter,
	kind_relay_domains;
/* read.c */
extern const struct kind kind_block;

#endif

/*
 * log: structured lines, JSON or key=value text, from one set of calls. Each line is one message
 * on a SOCK_SEQPACKET socket (so it never tears, and its one reader writes it out) or one write to
 * a descriptor. A line that can't be sent at once is dropped and counted: the log never holds up
 * mail.
 *
 *     struct record *r = log_begin(log, LOG_WARNING, "backend_down");
 *     record_text(r, "server", server);
 *     record_number(r, "retry_ms", 1000);
 *     log_end(log);
 *
 * Outside text is escaped here: controls and broken UTF-8 become \u00XX, so a line is always one
 * valid line.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/span.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

enum { LOG_LINE_MAX = 128 * 1024, LOG_DEPTH_MAX = 8 };

/* One line being built. */
struct record {
	struct buffer line;
	bool json;
	bool cut; /* something did not fit and was left out; the line then says "cut":true */
	unsigned depth;
	bool first[LOG_DEPTH_MAX];      /* no comma needed yet */
	bool list[LOG_DEPTH_MAX];       /* a list, not an object */
	const char *key[LOG_DEPTH_MAX]; /* text format: the path to here */
	unsigned index[LOG_DEPTH_MAX];  /* text format: position in a list */
};

struct log {
	int fd; /* borrowed; -1: lines go nowhere */
	bool json;
	const struct clock *clock; /* borrowed */
	_Atomic uint64_t *dropped; /* borrowed, counts lines that could not be sent; may be NULL */
	char process[24];          /* "supervisor", "worker 1", "keeper" */
	struct record record;      /* the one under way */
};

void log_init(struct log *log, int fd, bool json, const struct clock *clock, const char *process);
void log_close(struct log *log); /* frees the memory; the descriptor is the owner's */

/* Begins a line: ts, level, process, event. `event` "" leaves level, process and event out (the
 * audit record's form is given by its readers). */
struct record *log_begin(struct log *log, enum log_level level, const char *event);
void log_end(struct log *log);

/* The common case: an event with a text for people. sid may be SPAN_NONE. */
void log_event(struct log *log, enum log_level level, const char *event, struct span sid,
	const char *format, ...) PRINTF_LIKE(5, 6);

/* Keys are literals of ours. Inside a list the key is NULL. */
void record_text(struct record *r, const char *key, struct span value);
void record_string(struct record *r, const char *key, const char *value);
void record_number(struct record *r, const char *key, int64_t value);
void record_real(struct record *r, const char *key, double value);
void record_bool(struct record *r, const char *key, bool value);
void record_null(struct record *r, const char *key);
void record_open(struct record *r, const char *key); /* object */
void record_list(struct record *r, const char *key);
void record_close(struct record *r); /* of either */

/* A record on its own (status replies): begins with '{' in `json`; record_finish closes it. */
void record_init(struct record *r, bool json, size_t max_bytes);
struct span record_finish(struct record *r); /* borrowed from r until record_free; no line end */
void record_free(struct record *r);

#endif

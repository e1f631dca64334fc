/*
 * house: the worker under test with all that it stands on (loop, shared counters, log, spool
 * folder, listeners), in this process, so that a script can turn its loop and move its clock.
 */
#ifndef TALK_HOUSE_H
#define TALK_HOUSE_H

#include "lib/base/buffer.h"
#include "filters/pipeline.h"
#include "policy/policy.h"
#include "proxy/config/config.h"
#include "proxy/session/worker.h"
#include "tests/data/certificate.h"
#include "tests/unit/authn_play.h"
#include "tests/unit/dns_play.h"

enum { HOUSE_LISTENERS = 8, HOUSE_LOG_LINES = 4096 };

/* A file that rules name (`from file`, `include`). */
struct house_file {
	char *name, *content; /* owned */
	struct house_file *next;
};

struct log_line {
	char *text; /* owned */
	bool seen;  /* some `log` statement has had it */
};

struct house {
	struct loop loop;
	struct config *config; /* owned */
	struct shared *shared; /* owned */
	struct log log;
	int log_out; /* where log lines come out */
	int spool_dir, quarantine_dir;
	struct endpoint resolver;
	struct filter_set *filters;  /* owned */
	struct policy *policy;       /* owned; NULL: nothing is measured */
	struct dns_play *dns;        /* owned; likewise */
	struct authn_play *authn;    /* owned; likewise */
	struct store *store;         /* owned; NULL: nothing is remembered */
	struct arena *store_arena;   /* owned; likewise */
	struct keeper_store *keeper; /* owned; NULL: the store is away */
	char folder[64];             /* of the spool and the quarantine; removed at the end */
	struct worker *worker;       /* owned */
	uint16_t ports[HOUSE_LISTENERS];
	bool drained;
	struct log_line lines[HOUSE_LOG_LINES];
	size_t n_lines;
	struct certificate mx, other; /* mx.example.net, other.example.org */
};

struct house_setup {
	struct span config, rules;      /* rules: a rule file; empty: there are none */
	const struct house_file *files; /* beside it */
	const char *zone;               /* what its DNS server knows (dns_play.h) */
	bool trial;                     /* filters of trial.h */
	bool store;                     /* an embedded store in a folder of its own */
};

/* Aborts with the mistakes of the configuration or the rules when they have some. */
void house_open(struct house *house, const struct house_setup *setup);

/* Listening sockets of the worker; a second time after house_open for none. */
void house_close(struct house *house);

/* The keeper's side of the store ends, or comes back with what was in its file. */
void house_store_ends(struct house *house);
void house_store_begins(struct house *house);

/* Turns the loop until the store has answered all that it was told. */
void house_settle_store(struct house *house);

/* Takes up what the worker has logged. true: something came. */
bool house_read_log(struct house *house);

/* The value of a key in a text log line (unquoted, unescaped), or false. */
bool log_value(const char *line, struct span key, struct buffer *out);

#endif

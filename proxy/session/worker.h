/*
 * worker: the part of a worker process that carries mail: listeners, sessions, backends, on one
 * loop. How the process came to be, and the socket to the supervisor, are child.c's business.
 */
#ifndef PROXY_SESSION_WORKER_H
#define PROXY_SESSION_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/net/loop.h"
#include "lib/net/tls.h"
#include "proxy/config/config.h"
#include "proxy/message/shared.h"

struct authn;
struct backends;
struct bench;
struct filter_set;
struct policy;
struct listener;
struct lists;
struct quarantine;
struct session;
struct spools;
struct store;

enum worker_drain {
	WORKER_SERVING,
	WORKER_DRAIN_SESSIONS, /* a reload: no new sessions, those there are go on to their end */
	WORKER_DRAIN_MESSAGES, /* 421 to sessions outside a message, the others finish their message
				*/
	WORKER_DRAIN_TERM,     /* as before, with 8 s for them */
	WORKER_DRAIN_NOW       /* 421 to all */
};

enum { WORKER_TERM_MS = 8000 };

/* What a worker needs from outside; all borrowed until worker_close. */
struct worker_setup {
	struct loop *loop;
	const struct config *config;
	struct log *log;
	struct shared *shared;
	int row;            /* ours in shared */
	int spool_dir;      /* descriptor of the folder for large messages; -1: none, memory only */
	int quarantine_dir; /* of the folder for messages held back; -1: none, holding fails */
	const struct policy *policy;       /* NULL: no rules */
	struct filter_set *filters;        /* what the policy was read with; NULL without one */
	struct store *store;               /* NULL: none, nothing is remembered */
	struct lists *lists;               /* of the store; NULL: none are at hand */
	struct authn *authn;               /* for SPF, DKIM, ARC; NULL: nobody evaluates them */
	const uint8_t *ticket_keys;        /* TLS_TICKET_KEYS_SIZE */
	void (*on_drained)(void *context); /* once, after worker_drain, when the last session is
					      gone; from the loop */
	void *context;
};

struct worker {
	uint32_t magic;
	struct worker_setup setup;
	struct loop *loop;
	const struct config *config;
	struct log *log;
	struct shared *shared;
	struct shared_row *row;
	struct authn *authn;           /* borrowed; NULL: none */
	struct tls_context *tls;       /* owned; NULL: no certificates */
	struct bench *bench;           /* owned: the rules at work; NULL: there are none */
	struct backends *backends;     /* owned */
	struct spools *spools;         /* owned */
	struct quarantine *quarantine; /* owned */
	struct store *store;           /* borrowed; NULL: none */
	struct listener *listeners;    /* owned list */
	struct session *sessions;      /* list of the open ones, newest first */
	unsigned n_sessions;
	unsigned sessions_max; /* kept below the descriptor limit */
	enum worker_drain drain;
	struct timer term;
	struct deferred drained;
	bool told_drained;
	struct buffer replies; /* owned: one for all sessions, empty between driver runs */
	int reserve_fd;        /* given up for a moment to say 421 when descriptors are out */
	uint64_t id_state[2];  /* session ids */
};

/* NULL and err when something of the configuration can't be brought to life (a certificate that
 * does not fit its key). */
struct worker *worker_open(const struct worker_setup *setup, struct err *err);

/* Starts to accept on a listening socket (a descriptor of its own, taken over) of the listen block
 * with this index. id is the caller's, for worker_unlisten. */
void worker_listen(struct worker *worker, unsigned id, size_t listen_index, int fd);

/* Stops accepting from it; connections that wait in its backlog are left to whoever else holds the
 * socket. */
void worker_unlisten(struct worker *worker, unsigned id);

/* Only ever sterner than before. Implies worker_unlisten for all. */
void worker_drain(struct worker *worker, enum worker_drain drain);

/* Sessions with what each waits for, backends with their health, as members of the open object. At
 * most `most` sessions are listed, oldest first. */
void worker_status(struct worker *worker, struct record *r, unsigned most);

/* Ends all sessions and connections at once. The loop must run afterwards until its handles are
 * closed (loop_close). */
void worker_close(struct worker **worker);

#endif

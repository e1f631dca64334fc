/*
 * backend_set: all backends of a worker, and what they share. A `struct backend` is one `backend
 * "name" { }` of the configuration; its servers are in server.h.
 *
 *     check, delivery (backend.h)
 *        | each has a backend_job, which looks for a connection, and goes to the next server when
 * one fails backend_job ---> backend_pool (of a server; or the client's own backend_bond) --->
 * backend_connection | | backend_exchange: the turns of one transaction over that connection <---
 * replies --------+
 *
 * The memory lives until backends_close was called and the last user (a connection that closes, a
 * job, an address lookup) is gone.
 */
#ifndef PROXY_BACKEND_SET_H
#define PROXY_BACKEND_SET_H

#include "lib/base/buffer.h"
#include "lib/net/tls.h"
#include "proxy/backend/backend.h"
#include "proxy/backend/rcpt_cache.h"

enum backend_set_state {
	BACKENDS_SERVING,
	BACKENDS_DRAINING, /* connections are not kept idle */
	BACKENDS_CLOSING   /* all is ended, memory goes with the last user */
};

struct backend {
	const struct backend_config *config; /* borrowed */
	struct backends *set;
	struct backend_server *servers; /* owned */
	size_t n_servers;
	struct tls_context *tls; /* borrowed from the set; NULL: never */
};

struct backends {
	uint32_t magic;
	enum backend_set_state state;
	struct loop *loop; /* borrowed, as the next three */
	const struct config *config;
	struct log *log;
	struct shared_row *row;
	struct backend *list; /* owned; the first is the default */
	size_t n;
	struct tls_context *tls_trusting,
		*tls_verifying;                 /* owned; NULL where no backend wants them */
	struct rcpt_cache *recipients;          /* owned */
	struct buffer commands;                 /* owned: lines of one write, empty between */
	struct buffer clean;                    /* owned: a server's text made harmless */
	struct backend_job *jobs;               /* list of all */
	struct backend_job *spare;              /* list of those to be used again */
	struct backend_connection *connections; /* list of all that are not closed yet */
	unsigned users; /* connections, jobs and lookups that still need this memory */
};

/* NULL: the default; one that is not configured is a bug. */
struct backend *backends_find(struct backends *set, const char *name);

/* A server's text made harmless; borrowed until the next call. */
struct span backends_clean(struct backends *set, struct span text, bool utf8);

void backends_enter(struct backends *set);
void backends_leave(struct backends *set); /* may free the set */

#endif

/*
 * backend_pool: the connections of one kind (for mail, for recipient checks) to one server, up to a
 * limit, and the jobs that wait for one, first come first served. The connection used last is used
 * first, so that as few as the load needs are kept and the rest grow old and leave.
 *
 * Connections that belong to one client (client_info proxy_v2, xclient) count here too. An idle one
 * is only of use to its own bond, so it makes room when others wait: a client that takes minutes
 * over its message holds no connection that another needs.
 */
#ifndef PROXY_BACKEND_POOL_H
#define PROXY_BACKEND_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct backend_connection;
struct backend_job;
struct backend_server;

enum {
	POOL_IDLE_MS = 20 * 1000, /* below the idle timeouts of common servers (Postfix 300 s, Exim
				     300 s, Exchange 60 s) */
	POOL_LIFETIME_MS = 5 * 60 * 1000, /* so that a server's changed address or name is seen */
	POOL_MAIL_USES = 100,
	POOL_CHECK_USES = 50,
	POOL_REFUSALS = 8, /* servers slow down or cut after about 10 errors in a session */
	POOL_CHECKS = 4    /* connections for checks to each server, over all workers */
};

struct backend_pool {
	struct backend_server *server;
	unsigned limit; /* this worker's share */
	unsigned max_uses;
	unsigned open; /* connections, also those that connect or say QUIT */
	unsigned n_idle, n_waiting;
	struct backend_connection *newest, *oldest; /* idle ones */
	struct backend_job *first, *last;           /* waiting */
};

/* Gives the job a connection, now or when one is free; a job that waits in vain is ended by its own
 * deadline. fresh: not one that was used before. */
void backend_pool_ask(struct backend_pool *pool, struct backend_job *job, bool fresh);

/* The job no longer waits. */
void backend_pool_forget(struct backend_pool *pool, struct backend_job *job);

/* A connection has nothing to do: to the next job, or idle, or out when it is worn. */
void backend_pool_put(struct backend_pool *pool, struct backend_connection *connection);

/* Takes a connection that is idle out of the list. */
void backend_pool_take_idle(struct backend_pool *pool, struct backend_connection *connection);

/* A connection of the pool is closed: `open` is counted down, and others may have its place. */
void backend_pool_closed(struct backend_pool *pool);

/* Gives what is free to those who wait. */
void backend_pool_serve(struct backend_pool *pool);

/* The server is down: all that wait look elsewhere. */
void backend_pool_scatter(struct backend_pool *pool);

/* All idle connections say QUIT. */
void backend_pool_retire(struct backend_pool *pool);

#endif

/*
 * listener: accepts connections from one listening socket, as long as there is room for them, and
 * says 421 to those for whom there is none. Out of descriptors it neither spins nor stalls: one is
 * kept in reserve to take the next connection, say 421 and close.
 */
#ifndef PROXY_SESSION_LISTENER_H
#define PROXY_SESSION_LISTENER_H

#include <uv.h>

#include "lib/net/timers.h"
#include "proxy/session/worker.h"

struct listener {
	struct worker *worker; /* borrowed */
	const struct listen_config *config;
	unsigned id;      /* the supervisor's name for the socket */
	int fd;           /* owned */
	bool any_address; /* bound to all: each connection is asked where it arrived */
	uv_poll_t poll;
	struct timer pause;
	struct listener *next;
};

struct listener *listener_open(
	struct worker *worker, unsigned id, const struct listen_config *config, int fd);

/* Takes what waits in the backlog now: nobody else may be there to do it once this one is closed.
 */
void listener_sweep(struct listener *listener);

/* Stops at once, frees later. */
void listener_close(struct listener *listener);

#endif

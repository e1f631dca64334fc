/*
 * sockets: the listening sockets, made and kept by the supervisor. Each listen block has one
 * SO_REUSEPORT socket for each worker, and keeps them as long as it stands in the configuration:
 * closing one would reset the connections that wait in it. With fewer workers than sockets each
 * serves several.
 *
 *     BOUND --sockets_listen--> LISTENING --its address leaves the configuration--> (closed)
 *       |                                        (those who still accept hold it as long as they
 * do)
 *       +-- the reload that wanted it failed --> (closed)
 *
 * A socket is only bound until the workers that will serve it are ready: the kernel deals
 * connections out to all that listen.
 */
#ifndef PROXY_PROCESS_SOCKETS_H
#define PROXY_PROCESS_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "proxy/config/config.h"
#include "proxy/process/process.h"

struct socket {
	uint32_t id; /* never used twice */
	int fd;      /* owned */
	bool listening;
	struct process *server; /* who accepts from it; NULL: nobody just now */
};

/* All sockets of one address. */
struct address_sockets {
	struct address_sockets *next;
	struct endpoint endpoint;
	size_t listen_index; /* in the current configuration */
	struct socket *items;
	size_t count;
};

struct sockets {
	struct address_sockets *first;
	uint32_t last_id;
};

/* Makes what the configuration needs beyond what there is, bound only. false: nothing has changed.
 */
bool sockets_bind(struct sockets *sockets, const struct config *config, struct err *err) MUST_CHECK;

/* Closes what is only bound. */
void sockets_unbind(struct sockets *sockets);

/* The configuration is in force: closes what it no longer names and listens on the rest. */
bool sockets_listen(
	struct sockets *sockets, const struct config *config, struct err *err) MUST_CHECK;

/* Lets the ready ones among the processes serve all sockets: socket j the process j % count or,
 * while that one isn't ready, another. Whoever serves already is told only what changes. */
void sockets_assign(struct sockets *sockets, struct process *const *processes, size_t count);

/* A process is gone or leaving: its sockets have no server. */
void sockets_forget(struct sockets *sockets, const struct process *process);

void sockets_close(struct sockets *sockets);

#endif

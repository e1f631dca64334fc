/*
 * generation: the workers that serve one reading of the configuration, each with its authn process
 * (verifying.h).
 *
 *     STARTING --all ready--> CURRENT --another one took over, or the end--> LEAVING --> (gone)
 *        |                                                                      ^
 *        +--one failed, ended, or was not ready in time; or the end------------+
 *
 * CURRENT: who dies is started again, after a back-off. LEAVING: who ends stays gone.
 */
#ifndef PROXY_PROCESS_GENERATION_H
#define PROXY_PROCESS_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/process/loaded.h"
#include "proxy/process/process.h"
#include "proxy/message/shared.h"
#include "proxy/session/worker.h"

enum generation_state { GENERATION_STARTING, GENERATION_CURRENT, GENERATION_LEAVING };

struct generation;

struct generation_handler {
	void (*on_ready)(struct generation *g); /* all workers are, for the first time */
	void (*on_failed)(struct generation *g,
		const char *why); /* STARTING came to nothing; it is LEAVING now */
	void (*on_worker_ready)(struct generation *g, struct process *worker); /* also later ones */
	void (*on_worker_lost)(
		struct generation *g, struct process *worker); /* no longer takes sessions */
	void (*on_gone)(struct generation
			*g); /* LEAVING and no worker is left: generation_free may follow */
};

/* What all generations get; borrowed. */
struct generation_setup {
	struct loop *loop;
	struct log *log;
	struct shared *shared;
	const struct privileges *privileges;
	int log_fd, shared_fd, spool_fd, quarantine_fd;
	const uint8_t *ticket_keys; /* TLS_TICKET_KEYS_SIZE */
	const struct generation_handler *handler;
	void *context;
};

/* A worker's place: number i + 1. */
struct slot {
	struct generation *generation;
	int row; /* in shared; -1: none */
	struct process process;
	struct process authn;
};

struct generation {
	uint32_t magic;
	enum generation_state state;
	struct generation *next; /* the owner's list */
	const struct generation_setup *setup;
	unsigned number;
	struct loaded loaded; /* owned */
	uint64_t loaded_wall_ms;
	enum worker_drain drain; /* how stern it is told to leave */
	unsigned count;
	struct slot *slots;         /* owned */
	struct process **processes; /* owned: the workers', in order */
	struct deferred gone;
};

/* Starts the workers. Takes over *loaded. */
struct generation *generation_start(
	const struct generation_setup *setup, unsigned number, struct loaded *loaded);

/* Tells all workers to leave, or to hurry. WORKER_DRAIN_NOW kills those that still are starting. */
void generation_leave(struct generation *g, enum worker_drain how);

/* Workers that exist. */
unsigned generation_alive(const struct generation *g);

/* The authn process of a worker has become ready, or came to nothing (why; NULL: it is gone). */
void generation_on_authn_ready(struct generation *g);
void generation_on_authn_failed(struct generation *g, const char *why);

/* None may be left. */
void generation_free(struct generation **g);

#endif

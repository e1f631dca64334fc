/*
 * supervisor: `postern run`. It reads the configuration, opens what needs privileges, and starts,
 * restarts and ends the others. No byte from outside ever reaches it: from workers and the
 * keeper it takes frames of a handful of types, and kills who sends others.
 *
 *     STARTING --first generation ready--> RUNNING --SIGTERM, SIGINT, drain--> STOPPING
 *        |                                                                        |
 *        +--a worker can't start------------------------------------------------>-+
 *                                                                                 | no worker is
 * left (exit) <--keeper gone-- ENDING <--+
 *
 * A reload (reload.h) is a second generation beside the current one and no state of its own here.
 */
#ifndef PROXY_PROCESS_SUPERVISOR_H
#define PROXY_PROCESS_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lib/base/log.h"
#include "lib/net/loop.h"
#include "proxy/process/folders.h"
#include "proxy/process/generation.h"
#include "proxy/process/notify.h"
#include "proxy/process/process.h"
#include "proxy/process/reload.h"
#include "proxy/process/sockets.h"
#include "proxy/process/title.h"

enum supervisor_state {
	SUPERVISOR_STARTING,
	SUPERVISOR_RUNNING,
	SUPERVISOR_STOPPING,
	SUPERVISOR_ENDING
};

enum { SUPERVISOR_SIGNALS = 4, SUPERVISOR_OLD_MAX = 2 };

struct supervisor {
	uint32_t magic;
	enum supervisor_state state;
	const char *config_path; /* borrowed */
	struct loop loop;
	struct log log;
	struct notify notify;
	struct privileges privileges;
	struct folders folders;
	int shared_fd;         /* owned */
	struct shared *shared; /* owned */
	int log_pipe[2];       /* owned: lines go into [1] and come out of [0] at the keeper */
	int log_target;        /* owned: where the keeper writes to, or LOG_FD_SYSLOG */
	struct sockets sockets;
	uint8_t ticket_keys[TLS_TICKET_KEYS_SIZE];
	uint64_t ticket_keys_ms;       /* when they were made */
	struct generation_setup setup; /* for generations */
	struct process keeper;
	int keeper_row;
	struct config
		*started; /* owned: what it was started with, for what only a restart applies */
	struct generation *current; /* owned; NULL until the first is ready */
	struct generation *next;    /* owned: being started; NULL: none */
	struct generation *old;     /* owned list: leaving, newest first */
	unsigned last_number;
	struct reload reload;
	uint32_t drain_asker; /* the keeper's id for who asked for the drain; 0: nobody */
	uv_signal_t signals[SUPERVISOR_SIGNALS];
	struct timer watchdog;
	uint64_t started_ms, started_wall_ms;
	bool stop_asked; /* by a signal: the next one hurries */
	int exit_status;
};

/* Runs until all is over; the exit status of `postern run`. */
int supervisor_run(const char *config_path, const struct title *title);

/* The generation joins the old ones and is told to leave. */
void supervisor_retire(struct supervisor *s, struct generation *g, enum worker_drain how);

/* Makes the ready workers of the current generation serve all sockets. */
void supervisor_assign(struct supervisor *s);

/* Begins the end, or makes it sterner. */
void supervisor_stop(struct supervisor *s, enum worker_drain how);

/* New keys for TLS session tickets when the old ones have served for a day. */
void supervisor_renew_ticket_keys(struct supervisor *s);

#endif

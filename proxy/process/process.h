/*
 * process: one child of the supervisor, its socket, and when to start it again.
 *
 *     NONE --process_start--> STARTING --READY--> READY --process_leave, LEAVING--> LEAVING
 *      ^                         |                  |                                  |
 *      |                         +------------------+------------- it ends ------------+
 *      |                                                                               v
 *      +----------------------------- on_gone: its handle is closed ----------------- GONE
 *      |
 *      +--process_start_later--> WAITING --on_due, back-off is over--> (process_start)
 *
 * STARTING has a deadline for READY, LEAVING one for the end; who misses it, sends nonsense or
 * floods is killed. All times are milliseconds.
 */
#ifndef PROXY_PROCESS_PROCESS_H
#define PROXY_PROCESS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "lib/base/log.h"
#include "lib/net/ipc.h"
#include "lib/net/loop.h"
#include "proxy/process/protocol.h"

enum process_state {
	PROCESS_NONE,
	PROCESS_WAITING,
	PROCESS_STARTING,
	PROCESS_READY,
	PROCESS_LEAVING,
	PROCESS_GONE
};

enum {
	PROCESS_READY_MS = 10000,  /* READY must come within */
	PROCESS_STABLE_MS = 10000, /* who lived so long is started again at once */
	PROCESS_BACKOFF_FIRST_MS = 100,
	PROCESS_BACKOFF_MAX_MS = 10000,
	PROCESS_FRAME_BYTES =
		1024 * 1024, /* more in a frame, or more frames a second, is a flood */
	PROCESS_FRAMES_PER_SECOND = 2000
};

struct process;

struct process_handler {
	void (*on_ready)(struct process *process);
	void (*on_failed)(
		struct process *process, struct span why); /* it could not start, and ends */
	void (*on_leaving)(struct process *process); /* of its own accord; its socket still works */
	void (*on_frame)(struct process *process,
		const struct ipc_frame *frame);   /* all others; fds are owned */
	void (*on_gone)(struct process *process); /* NONE now, unless start_later is called */
	void (*on_due)(struct process *process);  /* call process_start */
};

struct process {
	uint32_t magic;
	enum process_state state;
	struct loop *loop;                     /* borrowed */
	struct log *log;                       /* borrowed */
	const struct process_handler *handler; /* borrowed, static */
	void *context;                         /* borrowed: the handler's */
	const char *verb;                      /* literal: "worker", "keeper", "authn" */
	char name[24];                         /* "worker 1" */
	unsigned number;                       /* 0: there is only one */
	unsigned generation;
	int pid;                          /* 0 while there is none */
	uint64_t since_ms, since_wall_ms; /* of the present state's process: when it was started */
	unsigned restarts;
	uint64_t backoff_ms; /* the last one */
	uint64_t backoff_max_ms;
	struct ipc *ipc; /* owned; NULL when it is closed */
	struct timer timer;
	uv_process_t uv;
	const char *killed_for; /* literal; NULL: it was not us */
	int64_t exit_status;
	int exit_signal;
	uint64_t window_ms; /* frames are counted from here on */
	unsigned window_frames;
};

void process_init(struct process *process, const char *verb, unsigned number, unsigned generation,
	struct loop *loop, struct log *log, const struct process_handler *handler, void *context);

/* From NONE or WAITING to STARTING, and START is the caller's to send; when the system can't start
 * a process now, that is logged and the state is WAITING. */
void process_start(struct process *process);

/* In NONE: starts it after its back-off. */
void process_start_later(struct process *process);

/* In WAITING: does not start it again after all. */
void process_stay_gone(struct process *process);

/* False when there is no process or its socket is gone. */
bool process_send(struct process *process, const struct ipc_frame *frame);

/* It was told to end, and is killed if it has not within so long; 0: no deadline. */
void process_leave(struct process *process, uint64_t within_ms);

/* why: a literal for the log. */
void process_kill(struct process *process, const char *why);

/* There is a process, whatever it is doing. */
bool process_exists(const struct process *process);
const char *process_state_name(const struct process *process);

#endif

/*
 * authn: a worker's side of the process that evaluates SPF, DKIM and ARC. That process holds
 * libspf2 and libopendkim, which mail can crash; so it has no network, no files, no keys, and may
 * die at any time. Here that is seen through: a task is asked, what it wants to know of DNS is told
 * to it, the message is streamed to it, and if the process dies or is silent for 2 s, all that it
 * had is asked again, one at a time, of a new one. A task that kills it alone is poisonous.
 *
 *     idle --authn_start--> queued --> under way --result--> done
 *                             ^           |
 *                             |           +-- the process died or hangs: suspect
 *                             |                  one at a time in a new process:
 *                             |                  --result--> done;  --dies again--> done, POISONOUS
 *                             +-- no process yet (AUTHN_WAIT_MS, then done, AWAY)
 *
 * Content is pulled, not kept: the asker reads it anew from its spool when a task is asked again,
 * and when the process is slower than the client.
 */
#ifndef AUTHN_AUTHN_H
#define AUTHN_AUTHN_H

#include "lib/authn/answer.h"
#include "lib/authn/result.h"
#include "lib/base/log.h"
#include "lib/net/loop.h"

enum {
	AUTHN_STALL_MS = 2000, /* silent for so long while it has something to do: killed */
	AUTHN_WAIT_MS = 5000   /* without any process for so long: tasks are done, AWAY */
};

struct authn; /* of a worker */

enum authn_outcome {
	AUTHN_PENDING,
	AUTHN_ANSWERED,  /* `result` is there */
	AUTHN_POISONOUS, /* it kills the process, alone */
	AUTHN_AWAY       /* there is no process */
};

/* Its memory is the caller's, until `done`, or authn_cancel. Zeroed before its first use. */
struct authn_task {
	/* in */
	enum authn_kind kind;
	struct span request; /* spf_question_write; DKIM, ARC: the header section, with or without
				its empty line. Borrowed until done: it may be sent again. */
	/* DKIM, ARC: hands a piece of the body to `take`, from a byte of the body on, and says how
	 * long it is; 0: there is no more yet. */
	size_t (*read)(struct authn_task *task, uint64_t from,
		void (*take)(void *context, struct span piece), void *context);
	/* From the loop: these are to be found out, all of them; authn_answer for each. Valid
	 * during the call. The same may be wanted again after the task was asked again. */
	void (*wants)(struct authn_task *task, const struct answer *wants, size_t n);
	void (*done)(struct authn_task *task); /* from the loop, once */
	void *context;
	/* out */
	enum authn_outcome outcome;
	struct span result; /* during done */
	/* private: see authn.c */
	struct authn_ask *ask;
};

struct authn *authn_open(struct loop *loop, struct log *log);

/* No task is left. */
void authn_close(struct authn **authn);

/* A new process is there: the socket to it is taken over, the one before it is forgotten. */
void authn_link(struct authn *authn, int fd);

void authn_start(struct authn *authn, struct authn_task *task);

/* The body has grown: `piece` is what came last (a shortcut: what can't be sent at once is read
 * later), so many bytes are there in all. */
void authn_content(struct authn_task *task, struct span piece, uint64_t size);

/* It is whole. */
void authn_end(struct authn_task *task);

/* To one of the wants; copied. */
void authn_answer(struct authn_task *task, const struct answer *answer);

/* `done` will not come, the task is idle. Not an idle task. */
void authn_cancel(struct authn_task *task);

/* Tasks by outcome, restarts, reruns, as members of the open object. */
void authn_status(const struct authn *authn, struct record *r);

#endif

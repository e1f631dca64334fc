/*
 * task: one message's SPF, DKIM or ARC inside a runner, whatever its kind: what it was asked, what
 * it knows of DNS, and how far it has come. A kind is a table of functions around an evaluator;
 * runners are given a table of kinds, so that tests can put in some that crash.
 *
 *     task_new --> task_step --wants something--> task_answer (to all) --> step, by itself
 *                      |
 *                      +--wants nothing, and all of the body it needs is there--> TASK_DONE
 *
 * It is never stepped while something that it wanted is unanswered.
 */
#ifndef AUTHN_TASK_H
#define AUTHN_TASK_H

#include "lib/authn/answer.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"

enum task_status {
	TASK_WAITS, /* for what it wants, or for the rest of the body */
	TASK_DONE   /* the result is written; nothing was: the request makes no sense */
};

/* What a kind's functions see of the task. */
struct task_view {
	struct arena *arena;           /* of the task */
	const struct answers *answers; /* what is known */
	bool whole;                    /* the body is all there */
};

/* An evaluator. `own` is what begin returned. */
struct kind {
	const char *name;
	/* In the parent of all runners, before the first: the library with all that it would read
	 * from files. NULL: nothing to open. */
	bool (*open)(void **library, struct err *err);
	void (*close)(void **library);
	/* NULL: the request makes no sense. request: lives as long as the task. */
	void *(*begin)(void *library, struct span request, const struct task_view *view);
	/* NULL: has no body. */
	void (*content)(void *own, struct span piece);
	/* As far as it goes: DONE with the result written to `out`, or WAITS with what it wants;
	 * with no wants it waits for the rest of the body. */
	enum task_status (*step)(
		void *own, const struct task_view *view, struct wants *wants, struct buffer *out);
	void (*free)(void *own); /* or NULL */
};

enum { KINDS = 3 }; /* by enum authn_kind */

struct kinds {
	const struct kind *items[KINDS]; /* NULL: not in this program */
};

/* The real ones. */
extern const struct kinds authn_kinds;

struct task;

/* The request is copied. */
struct task *task_new(uint32_t id, const struct kind *kind, void *library, struct span request);
void task_free(struct task **task);

uint32_t task_id(const struct task *task);

/* The first step. In `out` frames are put: WANTS, or RESULT, which is the DONE. */
enum task_status task_step(struct task *task, struct buffer *out);
enum task_status task_answer(struct task *task, const struct answer *answer, struct buffer *out);
void task_content(struct task *task, struct span piece);
enum task_status task_end(struct task *task, struct buffer *out);

#endif

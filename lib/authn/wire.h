/*
 * wire: the frames between a worker and one of the runners of its authn process. A runner is handed
 * any number of tasks at a time, each with a number of the worker's choice, never used twice.
 *
 *     worker                                    runner
 *       |--- BEGIN, ANSWER..., STEP ------------->|  hints may come before they are wanted
 *       |<-- WANTS -------------------------------|
 *       |--- ANSWER... (to all) ----------------->|
 *       |--- CONTENT..., END -------------------->|  DKIM, ARC: the body
 *       |<-- RESULT ------------------------------|  the task is over
 *       |--- CANCEL ----------------------------->|  it is over without one
 *       |--- SYNC ------------------------------->|  all before it is done:
 *       |<-- SYNCED ------------------------------|  who owes it for too long, hangs
 *       |<-- TIRED -------------------------------|  wants to be replaced
 *
 * A runner may have been taken over by what it read: both sides check each frame.
 */
#ifndef AUTHN_WIRE_H
#define AUTHN_WIRE_H

#include "lib/authn/answer.h"
#include "lib/base/buffer.h"

enum wire_type {
	WIRE_BEGIN = 1, /* a byte: enum authn_kind; then the request */
	WIRE_ANSWER,    /* wire_answer_write */
	WIRE_STEP,      /* nothing: go as far as it goes with what you know */
	WIRE_CONTENT,   /* a piece of the body */
	WIRE_END,       /* nothing: it is whole */
	WIRE_CANCEL,    /* nothing */
	WIRE_SYNC,      /* nothing; task 0 */
	WIRE_WANTS,     /* wire_wants_write; at least one */
	WIRE_RESULT,    /* a result; empty: the request makes no sense */
	WIRE_SYNCED,    /* nothing; task 0 */
	WIRE_TIRED      /* nothing; task 0 */
};

enum wire_side { WIRE_TO_RUNNER, WIRE_TO_WORKER };

struct wire_head {
	uint32_t len; /* of the payload */
	uint32_t task;
	uint32_t type;
};

struct wire_frame {
	enum wire_type type;
	uint32_t task;
	struct span payload; /* borrowed */
};

/* Payloads, in bytes. */
enum {
	WIRE_REQUEST_MAX = 17 * 1024 * 1024, /* limits.headers allows 16 MB */
	WIRE_PIECE_MAX = 64 * 1024,
	WIRE_ANSWER_MAX = 160 * 1024,
	WIRE_NAME_MAX = 1024,
	WIRE_WANTS_MAX = WANTS_MAX * (WIRE_NAME_MAX + 8),
	WIRE_RESULT_MAX = 512 * 1024,
	WIRE_TO_RUNNER_MAX = WIRE_REQUEST_MAX + 1 + (int)sizeof(struct wire_head),
	WIRE_TO_WORKER_MAX = WIRE_RESULT_MAX + (int)sizeof(struct wire_head),
	WIRE_TASKS_MAX = 256 /* in one runner at a time */
};

enum wire_progress {
	WIRE_FRAME,
	WIRE_MORE, /* the bytes end within a frame: *needed says how many it has in all */
	WIRE_NONSENSE
};

/* Takes one frame that goes to this side off the front of the bytes. needed: at least the size of a
 * head, never more than the side's maximum. */
enum wire_progress wire_take(
	struct span *bytes, enum wire_side to, struct wire_frame *frame, size_t *needed);

struct wire_head wire_head(enum wire_type type, uint32_t task, size_t len);

/* A frame without the need for more than its head. */
bool wire_put(
	struct buffer *out, enum wire_type type, uint32_t task, struct span payload) MUST_CHECK;

/* One too large to travel is written as ANSWER_TROUBLE. */
bool wire_answer_write(const struct answer *answer, struct buffer *out) MUST_CHECK;

/* The texts borrow from `bytes`, the records lie in the arena. */
bool wire_answer_read(struct span bytes, struct arena *arena, struct answer *out) MUST_CHECK;

/* Names and types only. items: WANTS_MAX of them; names borrow from `bytes`. */
bool wire_wants_write(const struct answer *wants, size_t n, struct buffer *out) MUST_CHECK;
bool wire_wants_read(struct span bytes, struct answer *items, size_t *n) MUST_CHECK;

#endif

/*
 * loop: a libuv loop with what every connection on it shares: the read buffer (one for all, since
 * bytes are consumed before the next read), the clock, the timer wheel, and a queue of things to do
 * once the callback that runs now has returned, so that completions never nest.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <uv.h>

#include "lib/base/clock.h"
#include "lib/net/timers.h"

enum { LOOP_READ_SIZE = 64 * 1024, LOOP_PLAIN_SIZE = 17 * 1024 };

/* Something to run soon; embed it. */
struct deferred {
	struct deferred *next; /* private */
	bool queued;           /* private */
	void (*run)(struct deferred *);
};

struct loop {
	uv_loop_t uv;
	struct clock clock;
	struct timers timers;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle;
	struct deferred *first, **last;
	char *read_buffer;  /* owned, LOOP_READ_SIZE: bytes from the kernel */
	char *plain_buffer; /* owned, LOOP_PLAIN_SIZE: decrypted bytes */
	char *write_buffer; /* owned, LOOP_READ_SIZE: encrypted bytes on their way, file pieces */
};

void loop_init(struct loop *loop);

/* Runs what is left of closing handles, then frees. All handles must have been closed. */
void loop_close(struct loop *loop);

void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* One round, waiting for events at most so long as libuv thinks; tests drive with it. */
bool loop_turn(struct loop *loop, bool wait);

/* Runs `run` after the present callback, before the loop waits again; once however often it is
 * queued. */
void loop_defer(struct loop *loop, struct deferred *deferred);
void loop_undefer(struct loop *loop, struct deferred *deferred);

/* Milliseconds on the monotonic clock (moved by tests), taken once for each round of the loop. */
uint64_t loop_now_ms(struct loop *loop);

#endif

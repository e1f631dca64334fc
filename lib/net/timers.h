/*
 * timers: deadlines by the thousand on one libuv timer: a wheel of slots, each an intrusive list,
 * so that setting and clearing cost a few pointer writes. Resolution is TIMER_TICK_MS; a timer
 * never fires early.
 */
#ifndef NET_TIMERS_H
#define NET_TIMERS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum { TIMER_TICK_MS = 16, TIMER_SLOTS = 1024 };

struct timer {
	struct timer *next, *prev; /* NULL while not set */
	uint64_t deadline_ms;
	void (*fire)(
		struct timer *); /* set before timer_set; the timer is no longer set when it runs */
};

struct loop;

struct timers {
	struct loop *loop;
	uv_timer_t wake;
	uint64_t done_tick; /* all ticks up to this one have been looked at */
	uint64_t wake_tick; /* while anything is set: when `wake` goes off */
	unsigned count;
	struct timer slots[TIMER_SLOTS]; /* list heads */
};

void timers_init(struct timers *timers, struct loop *loop);
void timers_close(struct timers *timers);

/* (Re)sets a timer to fire after delay_ms. */
void timer_set(struct timers *timers, struct timer *timer, uint64_t delay_ms);
void timer_clear(struct timers *timers, struct timer *timer);

static inline bool timer_is_set(const struct timer *timer)
{
	return timer->next != NULL;
}

/* Fires all that is due at the loop's clock (tests call it after moving the clock). */
void timers_run(struct timers *timers);

#endif

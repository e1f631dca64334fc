/*
 * A hashed wheel (Varghese and Lauck 1987, scheme 6): the slot is the deadline's tick modulo the
 * number of slots; a timer further off than one turn stays in its slot and is looked at once a
 * turn. The libuv timer runs only while something is set, and sleeps to the next slot that holds
 * anything.
 */
#include "lib/net/timers.h"

#include <stddef.h>

#include "lib/base/fail.h"
#include "lib/net/loop.h"

/* The first tick that begins after the deadline: a timer never fires early. */
static uint64_t tick_of(uint64_t deadline_ms)
{
	return deadline_ms / TIMER_TICK_MS + 1;
}

static struct timer *slot_of(struct timers *timers, uint64_t tick)
{
	return &timers->slots[tick % TIMER_SLOTS];
}

static void unlink_timer(struct timer *timer)
{
	timer->prev->next = timer->next;
	timer->next->prev = timer->prev;
	timer->next = timer->prev = NULL;
}

static void link_timer(struct timer *head, struct timer *timer)
{
	timer->next = head;
	timer->prev = head->prev;
	head->prev->next = timer;
	head->prev = timer;
}

void timers_init(struct timers *timers, struct loop *loop)
{
	timers->loop = loop;
	timers->count = 0;
	for (unsigned i = 0; i < TIMER_SLOTS; i++)
		timers->slots[i].next = timers->slots[i].prev = &timers->slots[i];
	uv_timer_init(&loop->uv, &timers->wake);
	timers->wake.data = timers;
	timers->done_tick = loop_now_ms(loop) / TIMER_TICK_MS;
}

void timers_close(struct timers *timers)
{
	uv_timer_stop(&timers->wake);
	uv_close((uv_handle_t *)&timers->wake, NULL);
}

static void on_wake(uv_timer_t *wake)
{
	timers_run(wake->data);
}

/* Sleeps until the next tick whose slot holds a timer; one due only turns later wakes us in vain
 * once a turn. */
static void schedule(struct timers *timers)
{
	uint64_t now_ms = loop_now_ms(timers->loop);
	uint64_t tick = timers->done_tick + 1, at_ms;

	if (timers->count == 0) {
		uv_timer_stop(&timers->wake);
		return;
	}
	while (slot_of(timers, tick)->next == slot_of(timers, tick))
		tick++;
	at_ms = tick * TIMER_TICK_MS;
	uv_timer_start(&timers->wake, on_wake, at_ms > now_ms ? at_ms - now_ms : 0, 0);
	timers->wake_tick = tick;
}

void timer_set(struct timers *timers, struct timer *timer, uint64_t delay_ms)
{
	uint64_t now_ms = loop_now_ms(timers->loop), tick;

	ENSURE(timer->fire);
	timer_clear(timers, timer);
	if (timers->count == 0)
		timers->done_tick = now_ms / TIMER_TICK_MS;
	timer->deadline_ms = now_ms + delay_ms;
	tick = tick_of(timer->deadline_ms);
	link_timer(slot_of(timers, tick), timer);
	timers->count++;
	if (timers->count == 1 || tick < timers->wake_tick)
		schedule(timers);
}

void timer_clear(struct timers *timers, struct timer *timer)
{
	if (!timer_is_set(timer))
		return;
	unlink_timer(timer);
	timers->count--;
}

/* Moves what is due out of a slot: firing may set and clear any timer, also these. */
static void collect(struct timer *slot, uint64_t tick, struct timer *due)
{
	struct timer *next;

	for (struct timer *timer = slot->next; timer != slot; timer = next) {
		next = timer->next;
		if (tick_of(timer->deadline_ms) <= tick) {
			unlink_timer(timer);
			link_timer(due, timer);
		}
	}
}

void timers_run(struct timers *timers)
{
	uint64_t now_tick = loop_now_ms(timers->loop) / TIMER_TICK_MS;
	struct timer due = {.next = &due, .prev = &due};

	for (uint64_t tick = timers->done_tick + 1, turn = 0;
		tick <= now_tick && turn < TIMER_SLOTS; tick++, turn++)
		collect(slot_of(timers, tick), now_tick, &due);
	timers->done_tick = now_tick;
	while (due.next != &due) {
		struct timer *timer = due.next;

		unlink_timer(timer);
		timers->count--;
		timer->fire(timer);
	}
	schedule(timers);
}

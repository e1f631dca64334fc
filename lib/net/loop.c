/*
 * Deferred work runs in the check phase, right behind the callbacks of one round; an idle handle
 * keeps the loop from sleeping while some is queued. A list that grows while it runs is taken up in
 * the same round, at most so many times that no chain of completions can keep the loop from its
 * sockets.
 */
#include "lib/net/loop.h"

#include <stdlib.h>

#include "lib/base/fail.h"

enum { DEFERRED_PER_ROUND = 4096 };

static void on_prepare(uv_prepare_t *prepare);
static void on_check(uv_check_t *check);

static void on_idle(uv_idle_t *idle)
{
	(void)idle;
}

void loop_init(struct loop *loop)
{
	*loop = (struct loop){0};
	ENSURE(uv_loop_init(&loop->uv) == 0);
	loop->last = &loop->first;
	loop->read_buffer = memory_new(LOOP_READ_SIZE);
	loop->plain_buffer = memory_new(LOOP_PLAIN_SIZE);
	loop->write_buffer = memory_new(LOOP_READ_SIZE);
	uv_prepare_init(&loop->uv, &loop->prepare);
	uv_check_init(&loop->uv, &loop->check);
	uv_idle_init(&loop->uv, &loop->idle);
	loop->prepare.data = loop->check.data = loop;
	uv_prepare_start(&loop->prepare, on_prepare);
	uv_check_start(&loop->check, on_check);
	uv_unref((uv_handle_t *)&loop->prepare);
	uv_unref((uv_handle_t *)&loop->check);
	timers_init(&loop->timers, loop);
}

void loop_close(struct loop *loop)
{
	timers_close(&loop->timers);
	uv_close((uv_handle_t *)&loop->prepare, NULL);
	uv_close((uv_handle_t *)&loop->check, NULL);
	uv_close((uv_handle_t *)&loop->idle, NULL);
	uv_run(&loop->uv, UV_RUN_DEFAULT);
	ENSURE(uv_loop_close(&loop->uv) == 0);
	free(loop->read_buffer);
	free(loop->plain_buffer);
	free(loop->write_buffer);
}

void loop_run(struct loop *loop)
{
	uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
	uv_stop(&loop->uv);
}

bool loop_turn(struct loop *loop, bool wait)
{
	return uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT) != 0;
}

uint64_t loop_now_ms(struct loop *loop)
{
	return uv_now(&loop->uv) + loop->clock.offset_ms;
}

static void run_deferred(struct loop *loop)
{
	unsigned budget = DEFERRED_PER_ROUND;

	while (loop->first && budget--) {
		struct deferred *deferred = loop->first;

		loop->first = deferred->next;
		if (!loop->first)
			loop->last = &loop->first;
		deferred->next = NULL;
		deferred->queued = false;
		deferred->run(deferred);
	}
	if (!loop->first)
		uv_idle_stop(&loop->idle);
}

/* Timers run before the prepare phase; what they deferred must not wait for a packet. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct loop *loop = prepare->data;

	run_deferred(loop);
}

static void on_check(uv_check_t *check)
{
	struct loop *loop = check->data;

	run_deferred(loop);
}

void loop_defer(struct loop *loop, struct deferred *deferred)
{
	ENSURE(deferred->run);
	if (deferred->queued)
		return;
	deferred->queued = true;
	deferred->next = NULL;
	*loop->last = deferred;
	loop->last = &deferred->next;
	uv_idle_start(&loop->idle, on_idle);
}

void loop_undefer(struct loop *loop, struct deferred *deferred)
{
	if (!deferred->queued)
		return;
	for (struct deferred **at = &loop->first; *at; at = &(*at)->next) {
		if (*at != deferred)
			continue;
		*at = deferred->next;
		if (!*at)
			loop->last = at;
		break;
	}
	deferred->queued = false;
	deferred->next = NULL;
}

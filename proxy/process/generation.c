#include "proxy/process/generation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "proxy/process/verifying.h"

enum {
	GENERATION_MAGIC = 0x6e4e7a71,
	/* Beyond what a worker was given it has so long to be gone. */
	GRACE_MS = 3000
};

static struct slot *slot_of(struct process *process)
{
	return CONTAINER_OF(process, struct slot, process);
}

/* --- starting a worker --- */

static bool send_start(struct slot *slot)
{
	struct generation *g = slot->generation;
	const struct generation_setup *setup = g->setup;
	struct start_frame start = {.privileges = *setup->privileges,
		.number = (uint32_t)(slot - g->slots) + 1,
		.generation = g->number,
		.row = slot->row,
		.log_json = g->loaded.config->log.format == LOG_FORMAT_JSON};
	int fds[START_FDS_WORKER] = {
		[START_FD_LOG] = setup->log_fd,
		[START_FD_SHARED] = setup->shared_fd,
		[START_FD_SPOOL] = setup->spool_fd,
		[START_FD_QUARANTINE] = setup->quarantine_fd,
	};
	struct buffer payload = BUFFER_INIT(IPC_FRAME_MAX);
	bool ok;

	memcpy(start.ticket_keys, setup->ticket_keys, sizeof(start.ticket_keys));
	ok = buffer_add(&payload, span_make(&start, sizeof(start))) &&
	     buffer_add(&payload, buffer_span(&g->loaded.bytes)) &&
	     process_send(&slot->process, &(struct ipc_frame){.type = FRAME_START,
						  .payload = buffer_span(&payload),
						  .fds = fds,
						  .n_fds = START_FDS_WORKER});
	buffer_free(&payload);
	return ok;
}

static void start_worker(struct slot *slot)
{
	struct generation *g = slot->generation;

	if (slot->row < 0)
		slot->row = shared_row_take(g->setup->shared);
	process_start(&slot->process);
	if (process_exists(&slot->process) && (slot->row < 0 || !send_start(slot)))
		process_kill(&slot->process, "it could not be told what to do");
}

/* --- what workers tell --- */

static void on_gone_deferred(struct deferred *deferred)
{
	struct generation *g = CONTAINER_OF(deferred, struct generation, gone);

	MAGIC_ENSURE(g, GENERATION_MAGIC);
	g->setup->handler->on_gone(g);
}

static void look_whether_gone(struct generation *g)
{
	if (g->state != GENERATION_LEAVING)
		return;
	for (unsigned i = 0; i < g->count; i++)
		if (g->slots[i].process.state != PROCESS_NONE ||
			g->slots[i].authn.state != PROCESS_NONE)
			return;
	loop_defer(g->setup->loop, &g->gone);
}

static void fail(struct generation *g, const char *why)
{
	if (g->state != GENERATION_STARTING)
		return;
	generation_leave(g, WORKER_DRAIN_NOW);
	g->setup->handler->on_failed(g, why);
}

static void look_whether_ready(struct generation *g)
{
	if (g->state != GENERATION_STARTING)
		return;
	for (unsigned i = 0; i < g->count; i++)
		if (g->slots[i].process.state != PROCESS_READY ||
			g->slots[i].authn.state != PROCESS_READY)
			return;
	g->state = GENERATION_CURRENT;
	g->setup->handler->on_ready(g);
}

static void on_ready(struct process *process)
{
	struct slot *slot = slot_of(process);
	struct generation *g = slot->generation;

	verifying_link(slot);
	g->setup->handler->on_worker_ready(g, process);
	look_whether_ready(g);
}

void generation_on_authn_ready(struct generation *g)
{
	look_whether_ready(g);
}

void generation_on_authn_failed(struct generation *g, const char *why)
{
	if (why)
		fail(g, why);
	look_whether_gone(g);
}

static void on_failed(struct process *process, struct span why)
{
	struct generation *g = slot_of(process)->generation;
	char text[640];

	snprintf(text, sizeof(text), "%s: %.*s", process->name, SPAN_ARGS(why));
	log_event(g->setup->log, LOG_ERROR, "worker_failed", SPAN_NONE, "%s", text);
	fail(g, text);
}

static void on_leaving(struct process *process)
{
	struct generation *g = slot_of(process)->generation;

	g->setup->handler->on_worker_lost(g, process);
}

static void on_frame(struct process *process, const struct ipc_frame *frame)
{
	for (size_t i = 0; i < frame->n_fds; i++)
		close(frame->fds[i]);
	process_kill(process, "it sent a frame that no worker sends");
}

static void on_gone(struct process *process)
{
	struct slot *slot = slot_of(process);
	struct generation *g = slot->generation;
	char text[80];

	if (slot->row >= 0)
		shared_row_give(g->setup->shared, slot->row);
	slot->row = -1;
	g->setup->handler->on_worker_lost(g, process);
	switch (g->state) {
	case GENERATION_STARTING:
		snprintf(text, sizeof(text), "%s %s", process->name,
			process->killed_for ? process->killed_for : "ended before it was ready");
		fail(g, text);
		break;
	case GENERATION_CURRENT:
		process_start_later(process);
		break;
	case GENERATION_LEAVING:
		verifying_end(slot);
		break;
	}
	look_whether_gone(g);
}

static void on_due(struct process *process)
{
	struct generation *g = slot_of(process)->generation;
	char text[80];

	/* The system could not start it at all: who waits for this generation learns that now. */
	if (g->state == GENERATION_STARTING) {
		snprintf(text, sizeof(text), "%s could not be started", process->name);
		fail(g, text);
		return;
	}
	start_worker(slot_of(process));
}

static const struct process_handler worker_handler = {
	on_ready, on_failed, on_leaving, on_frame, on_gone, on_due};

/* --- life --- */

struct generation *generation_start(
	const struct generation_setup *setup, unsigned number, struct loaded *loaded)
{
	struct generation *g = memory_zeroed(sizeof(*g));

	g->magic = GENERATION_MAGIC;
	g->state = GENERATION_STARTING;
	g->setup = setup;
	g->number = number;
	g->loaded = *loaded;
	*loaded = (struct loaded){0};
	loaded_drop_rules(&g->loaded);
	g->loaded_wall_ms = clock_wall_ms(&setup->loop->clock);
	g->count = g->loaded.config->workers;
	g->slots = memory_zeroed(g->count * sizeof(*g->slots));
	g->processes = memory_zeroed(g->count * sizeof(*g->processes));
	g->gone.run = on_gone_deferred;
	for (unsigned i = 0; i < g->count; i++) {
		g->slots[i].generation = g;
		g->slots[i].row = -1;
		g->processes[i] = &g->slots[i].process;
		process_init(&g->slots[i].process, "worker", i + 1, number, setup->loop, setup->log,
			&worker_handler, g);
		verifying_init(&g->slots[i]);
	}
	for (unsigned i = 0; i < g->count; i++) {
		verifying_start(&g->slots[i]);
		start_worker(&g->slots[i]);
	}
	return g;
}

/* How long a worker may take. A reload's and drain's sessions end by their own timeouts. */
static uint64_t time_for(enum worker_drain how)
{
	switch (how) {
	case WORKER_DRAIN_TERM:
		return WORKER_TERM_MS + GRACE_MS;
	case WORKER_DRAIN_NOW:
		return GRACE_MS;
	case WORKER_SERVING:
	case WORKER_DRAIN_SESSIONS:
	case WORKER_DRAIN_MESSAGES:
		break;
	}
	return 0;
}

static void leave_one(struct process *process, enum worker_drain how)
{
	uint32_t value = how;

	process_stay_gone(process);
	if (!process_exists(process))
		return;
	if (process->state == PROCESS_STARTING) {
		process_kill(process, "its generation was given up");
		return;
	}
	process_send(process, &(struct ipc_frame){.type = FRAME_DRAIN,
				      .payload = span_make(&value, sizeof(value))});
	process_leave(process, time_for(how));
}

void generation_leave(struct generation *g, enum worker_drain how)
{
	MAGIC_ENSURE(g, GENERATION_MAGIC);
	if (g->state == GENERATION_LEAVING && how <= g->drain)
		return;
	g->state = GENERATION_LEAVING;
	g->drain = how;
	for (unsigned i = 0; i < g->count; i++) {
		leave_one(&g->slots[i].process, how);
		if (!process_exists(&g->slots[i].process))
			verifying_end(&g->slots[i]);
	}
	look_whether_gone(g);
}

unsigned generation_alive(const struct generation *g)
{
	unsigned alive = 0;

	for (unsigned i = 0; i < g->count; i++)
		alive += process_exists(&g->slots[i].process);
	return alive;
}

void generation_free(struct generation **owner)
{
	struct generation *g = *owner;

	if (!g)
		return;
	MAGIC_ENSURE(g, GENERATION_MAGIC);
	*owner = NULL;
	loop_undefer(g->setup->loop, &g->gone);
	loaded_free(&g->loaded);
	free(g->processes);
	free(g->slots);
	g->magic = 0;
	free(g);
}

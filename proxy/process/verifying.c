#include "proxy/process/verifying.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/authn/control.h"
#include "proxy/process/generation.h"

enum {
	END_MS = 3000, /* for it to be gone, once told */
	/* Its worker waits for it so long (AUTHN_WAIT_MS is 5 s) that no message need suffer. */
	BACKOFF_MAX_MS = 1000
};

static struct slot *slot_of(struct process *authn)
{
	return CONTAINER_OF(authn, struct slot, authn);
}

/* --- what it is told --- */

/* No keys, no descriptors: it needs none. */
static bool send_start(struct slot *slot)
{
	const struct generation *g = slot->generation;
	struct start_frame start = {.privileges = *g->setup->privileges,
		.number = slot->authn.number,
		.generation = g->number,
		.row = -1};

	return process_send(&slot->authn, &(struct ipc_frame){.type = FRAME_START,
						  .payload = span_make(&start, sizeof(start))});
}

void verifying_start(struct slot *slot)
{
	process_start(&slot->authn);
	if (process_exists(&slot->authn) && !send_start(slot))
		process_kill(&slot->authn, "it could not be told what to do");
}

void verifying_link(struct slot *slot)
{
	struct process *ends[2] = {&slot->process, &slot->authn};
	int pair[2];

	if (slot->authn.state != PROCESS_READY ||
		(slot->process.state != PROCESS_READY && slot->process.state != PROCESS_LEAVING))
		return;
	if (!control_pair(pair)) {
		log_event(slot->generation->setup->log, LOG_ERROR, "link_failed", SPAN_NONE,
			"%s can't be linked to %s: %s", slot->process.name, slot->authn.name,
			strerror(errno));
		return;
	}
	for (int i = 0; i < 2; i++) {
		process_send(ends[i],
			&(struct ipc_frame){.type = FRAME_LINK_AUTHN, .fds = &pair[i], .n_fds = 1});
		close(pair[i]);
	}
}

void verifying_end(struct slot *slot)
{
	struct process *authn = &slot->authn;

	process_stay_gone(authn);
	if (authn->state == PROCESS_STARTING)
		process_kill(authn, "its worker is gone");
	else if (process_send(authn, &(struct ipc_frame){.type = FRAME_DRAIN}))
		process_leave(authn, END_MS);
}

/* --- its life --- */

static void on_ready(struct process *authn)
{
	verifying_link(slot_of(authn));
	generation_on_authn_ready(slot_of(authn)->generation);
}

static void on_failed(struct process *authn, struct span why)
{
	struct generation *g = slot_of(authn)->generation;
	char text[640];

	snprintf(text, sizeof(text), "%s: %.*s", authn->name, SPAN_ARGS(why));
	log_event(g->setup->log, LOG_ERROR, "authn_failed", SPAN_NONE, "%s", text);
	generation_on_authn_failed(g, text);
}

static void on_leaving(struct process *authn)
{
	(void)authn;
}

static void on_frame(struct process *authn, const struct ipc_frame *frame)
{
	for (size_t i = 0; i < frame->n_fds; i++)
		close(frame->fds[i]);
	process_kill(authn, "it sent a frame that no authn sends");
}

/* Whether a worker is there to need another one, or will be. */
static bool is_needed(const struct slot *slot)
{
	return slot->generation->state == GENERATION_CURRENT || process_exists(&slot->process);
}

static void on_gone(struct process *authn)
{
	struct slot *slot = slot_of(authn);
	struct generation *g = slot->generation;
	char text[80];

	if (g->state == GENERATION_STARTING) {
		snprintf(text, sizeof(text), "%s %s", authn->name,
			authn->killed_for ? authn->killed_for : "ended before it was ready");
		generation_on_authn_failed(g, text);
		return;
	}
	/* One that is worn out (authn/parent.h) has ended as it should. */
	if (authn->exit_status == 0 && authn->exit_signal == 0)
		authn->backoff_ms = 0;
	if (is_needed(slot))
		process_start_later(authn);
	else
		generation_on_authn_failed(g, NULL);
}

static void on_due(struct process *authn)
{
	struct slot *slot = slot_of(authn);
	char text[80];

	if (slot->generation->state == GENERATION_STARTING) {
		snprintf(text, sizeof(text), "%s could not be started", authn->name);
		generation_on_authn_failed(slot->generation, text);
		return;
	}
	verifying_start(slot);
}

static const struct process_handler handler = {
	on_ready, on_failed, on_leaving, on_frame, on_gone, on_due};

void verifying_init(struct slot *slot)
{
	const struct generation *g = slot->generation;

	process_init(&slot->authn, "authn", (unsigned)(slot - g->slots) + 1, g->number,
		g->setup->loop, g->setup->log, &handler, slot->generation);
	slot->authn.backoff_max_ms = BACKOFF_MAX_MS;
}

/*
 * One loop around one socket, blocking, without libuv: a read, all frames that it brought, a write.
 * While the worker does not take what was written, nothing more is read, so that what waits here is
 * bounded.
 */
#include "authn/runner.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/authn/wire.h"
#include "lib/base/fail.h"

enum {
	BUCKETS = 256,
	READ_BYTES = 256 * 1024,
	OUT_PAUSE_BYTES = 256 * 1024, /* more to be taken: read nothing until it is */
	TIRED_EVERY = 64,             /* tasks: then it looks at itself */
	TIRED_GROWTH_KB = 128 * 1024, /* of memory, since the first look */
	TIRED_CPU_S = 60
};

struct entry {
	struct entry *next;
	struct task *task; /* owned */
	struct entry **at; /* what points here */
};

struct runner {
	const struct kinds *kinds;
	void *const *libraries;
	struct entry *buckets[BUCKETS];
	unsigned n_tasks;
	struct buffer in; /* the beginning of a frame */
	unsigned n_done;
	long first_kb; /* of memory; 0: not looked yet */
	bool tired;
};

struct runner *runner_new(const struct kinds *kinds, void *const *libraries)
{
	struct runner *runner = memory_zeroed(sizeof(*runner));

	runner->kinds = kinds;
	runner->libraries = libraries;
	runner->in = BUFFER_INIT(WIRE_TO_RUNNER_MAX + READ_BYTES);
	return runner;
}

/* --- its tasks --- */

/* Numbers count up, so they spread by themselves. */
static struct entry **find(struct runner *runner, uint32_t id)
{
	struct entry **at = &runner->buckets[id % BUCKETS];

	while (*at && task_id((*at)->task) != id)
		at = &(*at)->next;
	return at;
}

static void drop(struct runner *runner, struct entry **at)
{
	struct entry *entry = *at;

	*at = entry->next;
	task_free(&entry->task);
	free(entry);
	runner->n_tasks--;
}

unsigned runner_tasks(const struct runner *runner)
{
	return runner->n_tasks;
}

void runner_free(struct runner **owner)
{
	struct runner *runner = *owner;

	if (!runner)
		return;
	*owner = NULL;
	for (size_t i = 0; i < BUCKETS; i++)
		while (runner->buckets[i])
			drop(runner, &runner->buckets[i]);
	buffer_free(&runner->in);
	free(runner);
}

/* The libraries lose memory now and then. */
static void look_at_itself(struct runner *runner, struct buffer *out)
{
	struct rusage usage;

	if (runner->tired || ++runner->n_done % TIRED_EVERY)
		return;
	ENSURE(getrusage(RUSAGE_SELF, &usage) == 0);
	if (!runner->first_kb)
		runner->first_kb = usage.ru_maxrss;
	runner->tired = usage.ru_maxrss - runner->first_kb > TIRED_GROWTH_KB ||
			usage.ru_utime.tv_sec > TIRED_CPU_S;
	if (runner->tired)
		ENSURE(wire_put(out, WIRE_TIRED, 0, SPAN_NONE));
}

/* --- frames --- */

static bool begin(struct runner *runner, const struct wire_frame *frame, struct entry **at)
{
	struct span request = span_from(frame->payload, 1);
	unsigned char kind;
	struct entry *entry;

	if (!frame->payload.len || *at || runner->n_tasks >= WIRE_TASKS_MAX)
		return false;
	kind = (unsigned char)frame->payload.at[0];
	if (kind >= KINDS || !runner->kinds->items[kind])
		return false;
	entry = memory_zeroed(sizeof(*entry));
	entry->task =
		task_new(frame->task, runner->kinds->items[kind], runner->libraries[kind], request);
	*at = entry;
	runner->n_tasks++;
	return true;
}

static bool answer(
	struct task *task, struct span payload, enum task_status *status, struct buffer *out)
{
	struct arena *arena = arena_new(1024);
	struct answer found;
	bool ok = wire_answer_read(payload, arena, &found);

	if (ok)
		*status = task_answer(task, &found, out);
	arena_free(&arena);
	return ok;
}

/* A task that is done is gone; the worker may not know yet. */
static bool on_task_frame(struct runner *runner, const struct wire_frame *frame, struct entry **at,
	struct buffer *out)
{
	enum task_status status = TASK_WAITS;
	struct task *task;

	if (!*at)
		return true;
	task = (*at)->task;
	if (frame->type == WIRE_ANSWER) {
		if (!answer(task, frame->payload, &status, out))
			return false;
	} else if (frame->type == WIRE_STEP) {
		status = task_step(task, out);
	} else if (frame->type == WIRE_CONTENT) {
		task_content(task, frame->payload);
	} else if (frame->type == WIRE_END) {
		status = task_end(task, out);
	} else {
		drop(runner, at);
		return true;
	}
	if (status == TASK_DONE) {
		drop(runner, at);
		look_at_itself(runner, out);
	}
	return true;
}

static bool on_frame(struct runner *runner, const struct wire_frame *frame, struct buffer *out)
{
	struct entry **at = find(runner, frame->task);

	if (frame->type == WIRE_BEGIN)
		return begin(runner, frame, at);
	if (frame->type == WIRE_SYNC)
		return wire_put(out, WIRE_SYNCED, 0, SPAN_NONE);
	return on_task_frame(runner, frame, at, out);
}

/* All whole frames at the front of the bytes. */
static bool take_frames(struct runner *runner, struct span *bytes, struct buffer *out)
{
	for (;;) {
		struct wire_frame frame;
		size_t needed;

		switch (wire_take(bytes, WIRE_TO_RUNNER, &frame, &needed)) {
		case WIRE_MORE:
			return true;
		case WIRE_NONSENSE:
			return false;
		case WIRE_FRAME:
			if (!on_frame(runner, &frame, out))
				return false;
			break;
		}
	}
}

bool runner_take(struct runner *runner, struct span bytes, struct buffer *out)
{
	size_t before;

	if (!runner->in.len) {
		if (!take_frames(runner, &bytes, out))
			return false;
		return buffer_add(&runner->in, bytes);
	}
	if (!buffer_add(&runner->in, bytes))
		return false;
	bytes = buffer_span(&runner->in);
	before = bytes.len;
	if (!take_frames(runner, &bytes, out))
		return false;
	buffer_consume(&runner->in, before - bytes.len);
	if (!runner->in.len && runner->in.capacity > 2 * READ_BYTES)
		buffer_free(&runner->in);
	return true;
}

/* --- the process --- */

/* Waits until something can be read or (with something to send) written. */
static void wait_for(int fd, const struct buffer *out)
{
	struct pollfd poll_fd = {
		.fd = fd, .events = (short)(POLLOUT | (out->len < OUT_PAUSE_BYTES ? POLLIN : 0))};

	while (poll(&poll_fd, 1, -1) < 0)
		if (errno != EINTR)
			_exit(EXIT_FAILURE);
}

static void send_out(int fd, struct buffer *out)
{
	struct span bytes = buffer_span(out);
	ssize_t sent;

	if (!out->len)
		return;
	sent = send(fd, bytes.at, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		_exit(EXIT_SUCCESS); /* the worker has hung up */
	if (sent > 0)
		buffer_consume(out, (size_t)sent);
}

static ssize_t receive(int fd, char *at, bool wait)
{
	ssize_t got = recv(fd, at, READ_BYTES, wait ? 0 : MSG_DONTWAIT);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		_exit(EXIT_SUCCESS);
	return got;
}

_Noreturn void runner_run(struct runner *runner, int fd)
{
	struct buffer out = BUFFER_INIT(64 * 1024 * 1024);
	char *bytes = memory_new(READ_BYTES);

	for (;;) {
		ssize_t got = 0;

		if (out.len)
			wait_for(fd, &out);
		if (out.len < OUT_PAUSE_BYTES)
			got = receive(fd, bytes, !out.len);
		if (got > 0 && !runner_take(runner, span_make(bytes, (size_t)got), &out))
			_exit(EXIT_FAILURE);
		send_out(fd, &out);
	}
}

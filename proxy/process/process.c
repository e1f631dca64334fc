#include "proxy/process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fail.h"

enum {
	PROCESS_MAGIC = 0x9a0ce550,
	SOCKET_LOST_MS = 500, /* who closes its socket unasked has so long to be gone */
	LEFT_MS = 5000        /* and who was asked to leave, so long */
};

static void on_timer(struct timer *timer);

void process_init(struct process *process, const char *verb, unsigned number, unsigned generation,
	struct loop *loop, struct log *log, const struct process_handler *handler, void *context)
{
	*process = (struct process){.magic = PROCESS_MAGIC,
		.state = PROCESS_NONE,
		.loop = loop,
		.log = log,
		.handler = handler,
		.context = context,
		.verb = verb,
		.number = number,
		.backoff_max_ms = PROCESS_BACKOFF_MAX_MS,
		.generation = generation,
		.timer = {.fire = on_timer}};
	if (number)
		snprintf(process->name, sizeof(process->name), "%s %u", verb, number);
	else
		snprintf(process->name, sizeof(process->name), "%s", verb);
}

bool process_exists(const struct process *process)
{
	return process->state == PROCESS_STARTING || process->state == PROCESS_READY ||
	       process->state == PROCESS_LEAVING;
}

const char *process_state_name(const struct process *process)
{
	static const char *const names[] = {
		[PROCESS_NONE] = "ended",
		[PROCESS_WAITING] = "back-off",
		[PROCESS_STARTING] = "starting",
		[PROCESS_READY] = "ready",
		[PROCESS_LEAVING] = "draining",
		[PROCESS_GONE] = "ended",
	};

	return names[process->state];
}

/* --- frames --- */

static bool is_flood(struct process *process, const struct ipc_frame *frame)
{
	uint64_t now_ms = loop_now_ms(process->loop);

	if (now_ms - process->window_ms >= 1000) {
		process->window_ms = now_ms;
		process->window_frames = 0;
	}
	return frame->payload.len > PROCESS_FRAME_BYTES ||
	       ++process->window_frames > PROCESS_FRAMES_PER_SECOND;
}

static void close_fds(const struct ipc_frame *frame)
{
	for (size_t i = 0; i < frame->n_fds; i++)
		close(frame->fds[i]);
}

static void on_frame(void *context, const struct ipc_frame *frame)
{
	struct process *process = context;

	MAGIC_ENSURE(process, PROCESS_MAGIC);
	if (is_flood(process, frame)) {
		close_fds(frame);
		process_kill(process, "it flooded us with frames");
		return;
	}
	if (frame->type == FRAME_READY && process->state == PROCESS_STARTING) {
		close_fds(frame);
		timer_clear(&process->loop->timers, &process->timer);
		process->state = PROCESS_READY;
		process->handler->on_ready(process);
	} else if (frame->type == FRAME_FAILED && process->state == PROCESS_STARTING) {
		close_fds(frame);
		process_leave(process, SOCKET_LOST_MS);
		process->handler->on_failed(process, span_first(frame->payload, 512));
	} else if (frame->type == FRAME_LEAVING) {
		close_fds(frame);
		if (process->state != PROCESS_READY)
			return;
		process->state = PROCESS_LEAVING;
		process->handler->on_leaving(process);
	} else {
		process->handler->on_frame(process, frame);
	}
}

/* What a process without its socket has left to live; a leaving one closes it in good order. */
static uint64_t lost_ms(const struct process *process)
{
	return process->state == PROCESS_LEAVING ? LEFT_MS : SOCKET_LOST_MS;
}

static void on_end(void *context)
{
	struct process *process = context;

	MAGIC_ENSURE(process, PROCESS_MAGIC);
	ipc_close(&process->ipc);
	/* Most often it is dead, and we shall hear of that in a moment. */
	if (process->state != PROCESS_LEAVING || !timer_is_set(&process->timer))
		timer_set(&process->loop->timers, &process->timer, lost_ms(process));
}

static const struct ipc_handler ipc_handler = {on_frame, on_end};

bool process_send(struct process *process, const struct ipc_frame *frame)
{
	return process->ipc && process_exists(process) && ipc_send(process->ipc, frame);
}

/* --- the end --- */

static void log_end_of(struct process *process, uint64_t uptime_ms)
{
	bool expected = process->state == PROCESS_LEAVING && process->exit_status == 0 &&
			process->exit_signal == 0;
	struct record *r =
		log_begin(process->log, expected ? LOG_INFO : LOG_WARNING, "process_ended");

	record_string(r, "name", process->name);
	record_number(r, "pid", process->pid);
	record_number(r, "generation", process->generation);
	if (process->exit_signal) {
		record_number(r, "signal", process->exit_signal);
		record_string(r, "signal_name", strsignal(process->exit_signal));
	} else {
		record_number(r, "status", process->exit_status);
	}
	record_number(r, "uptime_ms", (int64_t)uptime_ms);
	if (process->killed_for)
		record_string(r, "killed_because", process->killed_for);
	log_end(process->log);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct process *process = handle->data;

	MAGIC_ENSURE(process, PROCESS_MAGIC);
	process->state = PROCESS_NONE;
	process->handler->on_gone(process);
}

static void on_process_exit(uv_process_t *uv, int64_t status, int signal)
{
	struct process *process = uv->data;
	uint64_t uptime_ms = loop_now_ms(process->loop) - process->since_ms;

	MAGIC_ENSURE(process, PROCESS_MAGIC);
	process->exit_status = status;
	process->exit_signal = signal;
	log_end_of(process, uptime_ms);
	if (uptime_ms >= PROCESS_STABLE_MS)
		process->backoff_ms = 0;
	else
		process->backoff_ms =
			process->backoff_ms ? process->backoff_ms * 2 : PROCESS_BACKOFF_FIRST_MS;
	if (process->backoff_ms > process->backoff_max_ms)
		process->backoff_ms = process->backoff_max_ms;
	timer_clear(&process->loop->timers, &process->timer);
	ipc_close(&process->ipc);
	process->pid = 0;
	process->state = PROCESS_GONE;
	uv_close((uv_handle_t *)&process->uv, on_handle_closed);
}

void process_leave(struct process *process, uint64_t within_ms)
{
	if (!process_exists(process))
		return;
	process->state = PROCESS_LEAVING;
	timer_clear(&process->loop->timers, &process->timer);
	if (!process->ipc && !within_ms)
		within_ms = lost_ms(process);
	if (within_ms)
		timer_set(&process->loop->timers, &process->timer, within_ms);
}

void process_kill(struct process *process, const char *why)
{
	if (!process_exists(process))
		return;
	if (!process->killed_for)
		process->killed_for = why;
	timer_clear(&process->loop->timers, &process->timer);
	uv_process_kill(&process->uv, SIGKILL);
	ipc_close(&process->ipc);
}

static void on_timer(struct timer *timer)
{
	struct process *process = CONTAINER_OF(timer, struct process, timer);

	MAGIC_ENSURE(process, PROCESS_MAGIC);
	if (process->state == PROCESS_WAITING)
		process->handler->on_due(process);
	else if (!process->ipc)
		process_kill(process, "it closed its socket or sent nonsense");
	else if (process->state == PROCESS_STARTING)
		process_kill(process, "it did not become ready in time");
	else
		process_kill(process, "it did not end in time");
}

/* --- the beginning --- */

/* Our environment but for what only the supervisor may say to systemd. The vector is the caller's
 * to free. */
static char **child_environment(void)
{
	static const char *const ours[] = {"NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID="};
	size_t count = 0, kept = 0;
	char **copy;

	while (environ[count])
		count++;
	copy = memory_zeroed((count + 1) * sizeof(*copy));
	for (size_t i = 0; i < count; i++) {
		bool is_ours = false;

		for (size_t j = 0; j < COUNT_OF(ours); j++)
			is_ours = is_ours || strncmp(environ[i], ours[j], strlen(ours[j])) == 0;
		if (!is_ours)
			copy[kept++] = environ[i];
	}
	return copy;
}

static int spawn(struct process *process, int child_fd)
{
	char *arguments[] = {"postern", (char *)process->verb, NULL};
	uv_stdio_container_t stdio[CHILD_FD + 1] = {
		{.flags = UV_IGNORE},
		{.flags = UV_INHERIT_FD, .data.fd = STDOUT_FILENO},
		{.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
		{.flags = UV_INHERIT_FD, .data.fd = child_fd},
	};
	uv_process_options_t options = {.exit_cb = on_process_exit,
		.file = "/proc/self/exe",
		.args = arguments,
		.env = child_environment(),
		.stdio_count = COUNT_OF(stdio),
		.stdio = stdio};

	int status;

	process->uv.data = process;
	status = uv_spawn(&process->loop->uv, &process->uv, &options);
	free(options.env);
	return status;
}

static void on_unused_handle_closed(uv_handle_t *handle)
{
	(void)handle;
}

/* Descriptors, memory or processes are out: time may help, so it is as if the process had died at
 * once. */
static void could_not_start(struct process *process, const char *why)
{
	log_event(process->log, LOG_ERROR, "spawn_failed", SPAN_NONE, "can't start the %s: %s",
		process->name, why);
	process->backoff_ms = PROCESS_BACKOFF_MAX_MS / 10;
	process_start_later(process);
}

void process_start(struct process *process)
{
	int pair[2], status;

	ENSURE(process->state == PROCESS_NONE || process->state == PROCESS_WAITING);
	timer_clear(&process->loop->timers, &process->timer);
	process->state = PROCESS_NONE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		could_not_start(process, strerror(errno));
		return;
	}
	status = spawn(process, pair[1]);
	close(pair[1]);
	if (status < 0) {
		close(pair[0]);
		uv_close((uv_handle_t *)&process->uv, on_unused_handle_closed);
		could_not_start(process, uv_strerror(status));
		return;
	}
	process->pid = process->uv.pid;
	process->since_ms = loop_now_ms(process->loop);
	process->since_wall_ms = clock_wall_ms(&process->loop->clock);
	process->killed_for = NULL;
	process->window_frames = 0;
	process->ipc = ipc_open(process->loop, pair[0], &ipc_handler, process);
	process->state = PROCESS_STARTING;
	timer_set(&process->loop->timers, &process->timer, PROCESS_READY_MS);
}

void process_start_later(struct process *process)
{
	ENSURE(process->state == PROCESS_NONE);
	process->state = PROCESS_WAITING;
	process->restarts++;
	timer_set(&process->loop->timers, &process->timer, process->backoff_ms);
}

void process_stay_gone(struct process *process)
{
	if (process->state != PROCESS_WAITING)
		return;
	timer_clear(&process->loop->timers, &process->timer);
	process->state = PROCESS_NONE;
}

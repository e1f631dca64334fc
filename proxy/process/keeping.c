#include "proxy/process/keeping.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "proxy/process/supervisor.h"
#include "proxy/process/version.h"

enum {
	STORE_URL_MAX = 16 * 1024,
	STATE_MAX = 1024 * 1024,
	KEEPER_END_MS = 4000,
	WAIT_MAX_MS = 24 * 3600 * 1000
};

static struct supervisor *supervisor_of(struct process *keeper)
{
	return CONTAINER_OF(keeper, struct supervisor, keeper);
}

/* --- what it is told --- */

void keeping_answer(struct supervisor *s, uint32_t id, int status, const char *text)
{
	struct buffer payload = BUFFER_INIT(STATE_MAX + 1024);
	uint32_t code = (uint32_t)status;

	if (id == 0)
		return;
	if (buffer_add(&payload, span_make(&code, sizeof(code))) && buffer_add_text(&payload, text))
		process_send(&s->keeper,
			&(struct ipc_frame){
				.type = FRAME_ANSWER, .id = id, .payload = buffer_span(&payload)});
	buffer_free(&payload);
}

static void send_log_target(struct supervisor *s)
{
	uint32_t target = s->log_target == LOG_FD_SYSLOG ? LOG_TO_SYSLOG : LOG_TO_FILE;

	process_send(&s->keeper, &(struct ipc_frame){.type = FRAME_LOG_TARGET,
					 .payload = span_make(&target, sizeof(target)),
					 .fds = &s->log_target,
					 .n_fds = target != LOG_TO_SYSLOG});
}

void keeping_set_log_target(struct supervisor *s, int fd)
{
	if (s->log_target >= 0)
		close(s->log_target);
	s->log_target = fd;
	send_log_target(s);
}

void keeping_declare(struct supervisor *s)
{
	if (s->current && s->keeper.state == PROCESS_READY)
		process_send(
			&s->keeper, &(struct ipc_frame){.type = FRAME_DECLARED,
					    .payload = buffer_span(&s->current->loaded.declared)});
}

static bool send_start(struct supervisor *s)
{
	struct start_frame start = {
		.privileges = s->privileges, .row = s->keeper_row, .log_json = s->log.json};
	int fds[START_FDS_KEEPER] = {
		[START_FD_LOG] = s->log_pipe[1],
		[START_FD_SHARED] = s->shared_fd,
		[START_FD_LOG_READ] = s->log_pipe[0],
		[START_FD_CONTROL] = s->folders.control,
		[START_FD_STATE] = s->folders.state,
	};
	struct buffer payload = BUFFER_INIT(STORE_URL_MAX + sizeof(start));
	bool sent = buffer_add(&payload, span_make(&start, sizeof(start))) &&
		    buffer_add_text(&payload, s->started->store) &&
		    process_send(&s->keeper, &(struct ipc_frame){.type = FRAME_START,
						     .payload = buffer_span(&payload),
						     .fds = fds,
						     .n_fds = START_FDS_KEEPER});

	buffer_free(&payload);
	return sent;
}

/* Both ends of each pair by side: ends[0] for the keeper, ends[1] for the worker. */
static bool make_pairs(int ends[2][LINK_FDS])
{
	for (int i = 0; i < LINK_FDS; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
			while (i--) {
				close(ends[0][i]);
				close(ends[1][i]);
			}
			return false;
		}
		ends[0][i] = pair[0];
		ends[1][i] = pair[1];
	}
	return true;
}

void keeping_link(struct supervisor *s, struct process *worker)
{
	struct link_frame link = {worker->number, worker->generation, worker->pid};
	int ends[2][LINK_FDS];

	if (s->keeper.state != PROCESS_READY ||
		(worker->state != PROCESS_READY && worker->state != PROCESS_LEAVING))
		return;
	if (!make_pairs(ends)) {
		log_event(&s->log, LOG_ERROR, "link_failed", SPAN_NONE,
			"%s can't be linked to the keeper: %s", worker->name, strerror(errno));
		return;
	}
	for (int i = 0; i < 2; i++) {
		process_send(i == 0 ? &s->keeper : worker,
			&(struct ipc_frame){.type = FRAME_LINK,
				.payload = span_make(&link, sizeof(link)),
				.fds = ends[i],
				.n_fds = LINK_FDS});
		for (int k = 0; k < LINK_FDS; k++)
			close(ends[i][k]);
	}
}

static void link_all(struct supervisor *s, struct generation *g)
{
	for (unsigned i = 0; g && i < g->count; i++)
		keeping_link(s, g->processes[i]);
}

/* --- what it asks --- */

static void record_time(struct record *r, const char *key, uint64_t wall_ms)
{
	char text[CLOCK_RFC3339_SIZE];

	if (!wall_ms) {
		record_null(r, key);
		return;
	}
	clock_rfc3339(wall_ms, text);
	record_string(r, key, text);
}

static int64_t uptime_s(struct supervisor *s)
{
	return (int64_t)((loop_now_ms(&s->loop) - s->started_ms) / 1000);
}

static void record_process(struct supervisor *s, struct record *r, const struct process *process)
{
	bool exists = process_exists(process);

	if (process->state == PROCESS_NONE)
		return;
	record_open(r, NULL);
	record_string(r, "name", process->name);
	record_number(r, "number", process->number);
	record_number(r, "generation", process->generation);
	record_number(r, "pid", process->pid);
	record_string(r, "state", process_state_name(process));
	record_time(r, "since", exists ? process->since_wall_ms : 0);
	record_number(r, "uptime_s",
		exists ? (int64_t)((loop_now_ms(&s->loop) - process->since_ms) / 1000) : 0);
	record_number(r, "restarts", process->restarts);
	record_close(r);
}

static void record_supervisor(struct supervisor *s, struct record *r)
{
	record_open(r, NULL);
	record_string(r, "name", "supervisor");
	record_number(r, "number", 0);
	record_number(r, "pid", getpid());
	record_string(r, "state", "ready");
	record_time(r, "since", s->started_wall_ms);
	record_number(r, "uptime_s", uptime_s(s));
	record_close(r);
}

static void record_generation(struct supervisor *s, struct record *r, const struct generation *g)
{
	for (unsigned i = 0; g && i < g->count; i++) {
		record_process(s, r, g->processes[i]);
		record_process(s, r, &g->slots[i].authn);
	}
}

static const char *state_name(const struct supervisor *s)
{
	switch (s->state) {
	case SUPERVISOR_STARTING:
		return "starting";
	case SUPERVISOR_RUNNING:
		return s->reload.under_way ? "reloading" : "running";
	case SUPERVISOR_STOPPING:
		return "draining";
	case SUPERVISOR_ENDING:
		break;
	}
	return "ending";
}

static void answer_state(struct supervisor *s, uint32_t id)
{
	struct record r;

	record_init(&r, true, STATE_MAX);
	record_string(&r, "version", POSTERN_VERSION);
	record_string(&r, "state", state_name(s));
	record_number(&r, "pid", getpid());
	record_string(&r, "configuration", s->config_path);
	record_time(&r, "started", s->started_wall_ms);
	record_number(&r, "uptime_s", uptime_s(s));
	record_number(&r, "generation", s->current ? s->current->number : 0);
	record_time(&r, "loaded", s->current ? s->current->loaded_wall_ms : 0);
	record_open(&r, "last_reload");
	record_bool(&r, "ok", s->reload.last_ok);
	record_time(&r, "at", s->reload.last_wall_ms);
	record_string(&r, "text", s->reload.last_text);
	record_close(&r);
	record_list(&r, "processes");
	record_supervisor(s, &r);
	record_process(s, &r, &s->keeper);
	record_generation(s, &r, s->current);
	record_generation(s, &r, s->next);
	for (const struct generation *g = s->old; g; g = g->next)
		record_generation(s, &r, g);
	record_close(&r);
	process_send(&s->keeper,
		&(struct ipc_frame){
			.type = FRAME_STATE_IS, .id = id, .payload = record_finish(&r)});
	record_free(&r);
}

static void ask_drain(struct supervisor *s, uint32_t id)
{
	if (s->drain_asker) {
		keeping_answer(s, id, EXIT_NO, "postern is draining already.\n");
		return;
	}
	s->drain_asker = id;
	supervisor_stop(s, WORKER_DRAIN_MESSAGES);
}

static void ask_reload(struct supervisor *s, uint32_t id, struct span payload)
{
	struct ask_reload_frame ask = {0};

	if (!frame_take(&payload, &ask, sizeof(ask)) || ask.wait_ms > WAIT_MAX_MS) {
		keeping_answer(s, id, EXIT_USAGE, "that is not a time to wait\n");
		return;
	}
	reload_request(s, id, ask.wait_ms);
}

static void on_frame(struct process *keeper, const struct ipc_frame *frame)
{
	struct supervisor *s = supervisor_of(keeper);

	for (size_t i = 0; i < frame->n_fds; i++)
		close(frame->fds[i]);
	if (frame->id == 0 || frame->n_fds)
		process_kill(keeper, "it sent nonsense");
	else if (frame->type == FRAME_ASK_STATE)
		answer_state(s, frame->id);
	else if (frame->type == FRAME_ASK_RELOAD)
		ask_reload(s, frame->id, frame->payload);
	else if (frame->type == FRAME_ASK_DRAIN)
		ask_drain(s, frame->id);
	else
		process_kill(keeper, "it sent a frame that no keeper sends");
}

/* --- its life --- */

static void on_ready(struct process *keeper)
{
	struct supervisor *s = supervisor_of(keeper);

	keeping_declare(s);
	link_all(s, s->current);
	link_all(s, s->next);
	for (struct generation *g = s->old; g; g = g->next)
		link_all(s, g);
}

static void on_failed(struct process *keeper, struct span why)
{
	struct supervisor *s = supervisor_of(keeper);

	log_event(&s->log, LOG_ERROR, "keeper_failed", SPAN_NONE, "%.*s", SPAN_ARGS(why));
}

static void on_leaving(struct process *keeper)
{
	(void)keeper;
}

static void on_due(struct process *keeper)
{
	keeping_start(supervisor_of(keeper));
}

static void on_gone(struct process *keeper)
{
	struct supervisor *s = supervisor_of(keeper);

	if (s->keeper_row >= 0)
		shared_row_give(s->shared, s->keeper_row);
	s->keeper_row = -1;
	s->drain_asker = 0;
	reload_forget_askers(s, "");
	if (s->state == SUPERVISOR_ENDING)
		loop_stop(&s->loop);
	else
		process_start_later(keeper);
}

static const struct process_handler keeper_handler = {
	on_ready, on_failed, on_leaving, on_frame, on_gone, on_due};

void keeping_start(struct supervisor *s)
{
	if (s->keeper.magic == 0) {
		process_init(&s->keeper, "keeper", 0, 0, &s->loop, &s->log, &keeper_handler, s);
		s->keeper_row = -1;
	}
	if (s->keeper_row < 0)
		s->keeper_row = shared_row_take(s->shared);
	process_start(&s->keeper);
	if (!process_exists(&s->keeper))
		return;
	if (s->keeper_row < 0 || !send_start(s))
		process_kill(&s->keeper, "it could not be told what to do");
	else
		send_log_target(s);
}

void keeping_end(struct supervisor *s)
{
	process_stay_gone(&s->keeper);
	if (s->keeper.state == PROCESS_NONE) {
		loop_stop(&s->loop);
		return;
	}
	process_send(&s->keeper, &(struct ipc_frame){.type = FRAME_DRAIN});
	process_leave(&s->keeper, KEEPER_END_MS);
}

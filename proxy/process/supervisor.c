/*
 * Start: judge the configuration, then open what can fail from the cheapest to the most visible,
 * so that a mistake shows before anything was touched: account, folders and lock, control socket,
 * listeners, shared memory, log. Only then is the first child started. Until the log has a reader,
 * mistakes go to stderr for a person to read.
 */
#include "proxy/process/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "proxy/process/keeping.h"
#include "proxy/process/version.h"

enum {
	SUPERVISOR_MAGIC = 0x5afe900d,
	LOG_QUEUE_BYTES = 8 * 1024 * 1024,
	TICKET_KEYS_MS = 24 * 3600 * 1000
};

/* --- generations --- */

void supervisor_assign(struct supervisor *s)
{
	if (s->state == SUPERVISOR_RUNNING && s->current)
		sockets_assign(&s->sockets, s->current->processes, s->current->count);
}

void supervisor_retire(struct supervisor *s, struct generation *g, enum worker_drain how)
{
	g->next = s->old;
	s->old = g;
	generation_leave(g, how);
}

static void first_ready(struct supervisor *s)
{
	struct err err = {{0}};
	char status[80];

	s->current = s->next;
	s->next = NULL;
	s->reload.under_way = false;
	if (!sockets_listen(&s->sockets, s->current->loaded.config, &err)) {
		fprintf(stderr, "postern: %s\n", err.text);
		log_event(&s->log, LOG_ERROR, "start_failed", SPAN_NONE, "%s", err.text);
		s->exit_status = EXIT_NO;
		supervisor_stop(s, WORKER_DRAIN_NOW);
		return;
	}
	s->state = SUPERVISOR_RUNNING;
	keeping_declare(s);
	supervisor_assign(s);
	snprintf(status, sizeof(status), "%u worker%s", s->current->count,
		s->current->count == 1 ? "" : "s");
	notify_ready(&s->notify, status);
	log_event(&s->log, LOG_INFO, "started", SPAN_NONE, "postern %s serves with %s",
		POSTERN_VERSION, status);
}

static void on_ready(struct generation *g)
{
	struct supervisor *s = g->setup->context;

	if (g == s->next && s->state == SUPERVISOR_STARTING)
		first_ready(s);
	else if (g == s->next && s->state == SUPERVISOR_RUNNING)
		reload_on_ready(s);
}

static void on_failed(struct generation *g, const char *why)
{
	struct supervisor *s = g->setup->context;

	if (g != s->next)
		return;
	if (s->state == SUPERVISOR_RUNNING) {
		reload_on_failed(s, why);
		return;
	}
	fprintf(stderr, "postern: the workers did not start: %s\n", why);
	log_event(&s->log, LOG_ERROR, "start_failed", SPAN_NONE, "the workers did not start: %s",
		why);
	s->exit_status = EXIT_NO;
	supervisor_stop(s, WORKER_DRAIN_NOW);
}

static void on_worker_ready(struct generation *g, struct process *worker)
{
	struct supervisor *s = g->setup->context;

	keeping_link(s, worker);
	if (g == s->current)
		supervisor_assign(s);
}

static void on_worker_lost(struct generation *g, struct process *worker)
{
	struct supervisor *s = g->setup->context;

	sockets_forget(&s->sockets, worker);
	if (g == s->current)
		supervisor_assign(s);
}

/* All have ended: the keeper is the last, so that every line is written. */
static void end_if_alone(struct supervisor *s)
{
	if (s->state != SUPERVISOR_STOPPING || s->old)
		return;
	s->state = SUPERVISOR_ENDING;
	log_event(&s->log, LOG_INFO, "stopped", SPAN_NONE, "postern has ended");
	keeping_answer(
		s, s->drain_asker, EXIT_OK, "All messages are through; postern has ended.\n");
	s->drain_asker = 0;
	keeping_end(s);
}

static void on_gone(struct generation *g)
{
	struct supervisor *s = g->setup->context;

	for (struct generation **at = &s->old; *at; at = &(*at)->next) {
		if (*at != g)
			continue;
		*at = g->next;
		break;
	}
	generation_free(&g);
	reload_on_old_gone(s);
	end_if_alone(s);
}

static const struct generation_handler generation_handler = {
	on_ready, on_failed, on_worker_ready, on_worker_lost, on_gone};

/* --- the end --- */

void supervisor_stop(struct supervisor *s, enum worker_drain how)
{
	if (s->state == SUPERVISOR_ENDING)
		return;
	if (s->state != SUPERVISOR_STOPPING) {
		notify_stopping(&s->notify, "sessions are ending");
		log_event(&s->log, LOG_INFO, "stopping", SPAN_NONE, "%u sessions are open",
			shared_sessions(s->shared));
	}
	s->state = SUPERVISOR_STOPPING;
	if (s->next)
		reload_abandon(s);
	reload_forget_askers(s, "postern is stopping.\n");
	if (s->current)
		supervisor_retire(s, s->current, how);
	s->current = NULL;
	for (struct generation *g = s->old; g; g = g->next)
		generation_leave(g, how);
	sockets_close(&s->sockets);
	end_if_alone(s);
}

/* --- signals --- */

static void reopen_log(struct supervisor *s)
{
	struct err err = {{0}};
	int fd;

	if (!s->current)
		return;
	fd = folders_open_log(&s->current->loaded.config->log, &s->privileges, &err);
	if (fd == LOG_FD_FAILED) {
		log_event(&s->log, LOG_ERROR, "log_failed", SPAN_NONE,
			"%s; it goes on where it was", err.text);
		return;
	}
	keeping_set_log_target(s, fd);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct supervisor *s = handle->data;

	MAGIC_ENSURE(s, SUPERVISOR_MAGIC);
	if (number == SIGHUP)
		reload_request(s, 0, 0);
	else if (number == SIGUSR1)
		reopen_log(s);
	else
		supervisor_stop(s, s->stop_asked ? WORKER_DRAIN_NOW : WORKER_DRAIN_TERM);
	if (number == SIGTERM || number == SIGINT)
		s->stop_asked = true;
}

static void open_signals(struct supervisor *s)
{
	static const int numbers[SUPERVISOR_SIGNALS] = {SIGHUP, SIGUSR1, SIGTERM, SIGINT};

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < SUPERVISOR_SIGNALS; i++) {
		ENSURE(uv_signal_init(&s->loop.uv, &s->signals[i]) == 0);
		s->signals[i].data = s;
		ENSURE(uv_signal_start(&s->signals[i], on_signal, numbers[i]) == 0);
	}
}

static void on_watchdog(struct timer *timer)
{
	struct supervisor *s = CONTAINER_OF(timer, struct supervisor, watchdog);

	notify_alive(&s->notify);
	timer_set(&s->loop.timers, timer, s->notify.watchdog_ms);
}

/* --- the beginning --- */

void supervisor_renew_ticket_keys(struct supervisor *s)
{
	uint64_t now_ms = loop_now_ms(&s->loop);

	if (s->ticket_keys_ms && now_ms - s->ticket_keys_ms < TICKET_KEYS_MS)
		return;
	s->ticket_keys_ms = now_ms;
	ENSURE(getrandom(s->ticket_keys, sizeof(s->ticket_keys), 0) ==
		(ssize_t)sizeof(s->ticket_keys));
}

static bool open_shared(struct supervisor *s, struct err *err)
{
	s->shared_fd = shared_create(err);
	if (s->shared_fd >= 0)
		s->shared = shared_map(s->shared_fd, err);
	return s->shared != NULL;
}

/* Room for bursts: what does not fit is dropped and counted by who wants to log. */
static bool open_log(struct supervisor *s, const struct log_config *config, struct err *err)
{
	int size = LOG_QUEUE_BYTES;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->log_pipe) < 0)
		return err_errno(err, "no socket for the log");
	if (setsockopt(s->log_pipe[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0 &&
		setsockopt(s->log_pipe[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
		return err_errno(err, "no room for the log");
	s->log_target = folders_open_log(config, &s->privileges, err);
	if (s->log_target == LOG_FD_FAILED)
		return false;
	log_close(&s->log);
	log_init(&s->log, s->log_pipe[1], config->format == LOG_FORMAT_JSON, &s->loop.clock,
		"supervisor");
	return true;
}

static bool open_all(struct supervisor *s, const struct config *config, struct err *err)
{
	privileges_raise_descriptors();
	return privileges_find(&s->privileges, config->user, err) &&
	       folders_open(&s->folders, config, &s->privileges, err) &&
	       sockets_bind(&s->sockets, config, err) && open_shared(s, err) &&
	       open_log(s, &config->log, err);
}

/* The first generation's own goes with that generation. */
static struct config *config_again(const struct bundle *bundle)
{
	struct buffer report = BUFFER_INIT(LOADED_REPORT_MAX);
	struct config *config = config_parse(bundle, &report, NULL, NULL);

	ENSURE(config); /* it was read without a mistake just now */
	buffer_free(&report);
	return config;
}

static void start_all(struct supervisor *s, struct loaded *loaded)
{
	s->setup = (struct generation_setup){.loop = &s->loop,
		.log = &s->log,
		.shared = s->shared,
		.privileges = &s->privileges,
		.log_fd = s->log_pipe[1],
		.shared_fd = s->shared_fd,
		.spool_fd = s->folders.spool,
		.quarantine_fd = s->folders.quarantine,
		.ticket_keys = s->ticket_keys,
		.handler = &generation_handler,
		.context = s};
	s->started_ms = loop_now_ms(&s->loop);
	s->started_wall_ms = clock_wall_ms(&s->loop.clock);
	s->watchdog.fire = on_watchdog;
	if (s->notify.watchdog_ms)
		timer_set(&s->loop.timers, &s->watchdog, s->notify.watchdog_ms);
	supervisor_renew_ticket_keys(s);
	s->started = config_again(loaded->bundle);
	keeping_start(s);
	s->next = generation_start(&s->setup, ++s->last_number, loaded);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void close_all(struct supervisor *s)
{
	config_free(&s->started);
	sockets_close(&s->sockets);
	folders_close(&s->folders);
	shared_unmap(&s->shared);
	close_fd(s->shared_fd);
	log_close(&s->log);
	close_fd(s->log_pipe[0]);
	close_fd(s->log_pipe[1]);
	close_fd(s->log_target);
}

/* One more SIGTERM while the last things are put away must not make a clean end look like a kill.
 */
static void hold_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void run(struct supervisor *s, struct loaded *loaded)
{
	open_signals(s);
	start_all(s, loaded);
	loop_run(&s->loop);
	hold_signals();
	reload_close(s);
	timer_clear(&s->loop.timers, &s->watchdog);
	for (int i = 0; i < SUPERVISOR_SIGNALS; i++)
		uv_close((uv_handle_t *)&s->signals[i], NULL);
}

/* What the configuration says, on stderr; false: it can't be used. */
static bool read_configuration(struct loaded *loaded, const char *path)
{
	bool ok = loaded_read(loaded, path);

	fputs(buffer_string(&loaded->report), stderr);
	if (!ok)
		fprintf(stderr, "postern: not started: %zu mistake%s in %s\n", loaded->n_mistakes,
			loaded->n_mistakes == 1 ? "" : "s", path);
	else if (geteuid() == 0 && strcmp(loaded->config->user, "root") == 0)
		fputs("postern: warning: the workers run as root, as `user \"root\"` wants\n",
			stderr);
	return ok;
}

int supervisor_run(const char *config_path, const struct title *title)
{
	struct supervisor *s;
	struct loaded loaded;
	struct err err = {{0}};
	int status;

	if (!read_configuration(&loaded, config_path)) {
		loaded_free(&loaded);
		return EXIT_CONFIGURATION;
	}
	s = memory_zeroed(sizeof(*s));
	s->magic = SUPERVISOR_MAGIC;
	s->config_path = config_path;
	s->shared_fd = s->log_pipe[0] = s->log_pipe[1] = s->log_target = -1;
	s->folders = (struct folders){.state = -1, .spool = -1, .control = -1};
	loop_init(&s->loop);
	log_init(&s->log, -1, true, &s->loop.clock, "supervisor");
	reload_init(s);
	notify_open(&s->notify);
	title_set(title, "supervisor");
	if (open_all(s, loaded.config, &err)) {
		run(s, &loaded);
	} else {
		fprintf(stderr, "postern: not started: %s\n", err.text);
		s->exit_status = EXIT_NO;
	}
	status = s->exit_status;
	loaded_free(&loaded);
	loop_close(&s->loop);
	close_all(s);
	notify_close(&s->notify);
	free(s);
	return status;
}

#include "proxy/process/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "proxy/process/keeping.h"
#include "proxy/process/supervisor.h"

enum { NOTES_MAX = 512 * 1024 };

static void begin(struct supervisor *s);

/* --- those who asked --- */

static void asker_free(struct asker *asker)
{
	timer_clear(&asker->supervisor->loop.timers, &asker->timer);
	free(asker);
}

static struct asker *take_first(struct asker **list)
{
	struct asker *asker = *list;

	if (asker)
		*list = asker->next;
	return asker;
}

static void answer(struct asker *asker, int status, const char *text)
{
	keeping_answer(asker->supervisor, asker->id, status, text);
	asker_free(asker);
}

static void answer_all(struct asker **list, int status, const char *text)
{
	for (struct asker *asker = take_first(list); asker; asker = take_first(list))
		answer(asker, status, text);
}

static void on_waited(struct timer *timer)
{
	struct asker *asker = CONTAINER_OF(timer, struct asker, timer);
	struct supervisor *s = asker->supervisor;

	for (struct asker **at = &s->reload.waiting; *at; at = &(*at)->next) {
		if (*at != asker)
			continue;
		*at = asker->next;
		break;
	}
	answer(asker, EXIT_PART,
		"The new configuration is in force; sessions of the old one are still going on.\n");
}

static void add_asker(struct supervisor *s, struct asker **list, uint32_t id, uint32_t wait_ms)
{
	struct asker *asker;

	if (id == 0)
		return;
	asker = memory_zeroed(sizeof(*asker));
	asker->supervisor = s;
	asker->id = id;
	asker->wait_ms = wait_ms;
	asker->timer.fire = on_waited;
	asker->next = *list;
	*list = asker;
}

/* All before this generation are gone. */
static bool are_gone(const struct supervisor *s, unsigned generation)
{
	for (const struct generation *g = s->old; g; g = g->next)
		if (g->number < generation)
			return false;
	return true;
}

void reload_on_old_gone(struct supervisor *s)
{
	struct asker **at = &s->reload.waiting;

	while (*at) {
		struct asker *asker = *at;

		if (!are_gone(s, asker->generation)) {
			at = &asker->next;
			continue;
		}
		*at = asker->next;
		answer(asker, EXIT_OK,
			"The new configuration is in force; all sessions of the old one have "
			"ended.\n");
	}
}

void reload_forget_askers(struct supervisor *s, const char *why)
{
	answer_all(&s->reload.asking, EXIT_NO, why);
	answer_all(&s->reload.queued, EXIT_NO, why);
	answer_all(&s->reload.waiting, EXIT_NO, why);
}

/* --- how it ends --- */

static void note(struct supervisor *s, const char *text)
{
	if (!buffer_add_text(&s->reload.notes, text))
		return; /* enough is enough */
}

static void remember(struct supervisor *s, bool ok, const char *text)
{
	s->reload.last_ok = ok;
	s->reload.last_wall_ms = clock_wall_ms(&s->loop.clock);
	snprintf(s->reload.last_text, sizeof(s->reload.last_text), "%s", text);
}

/* Then the one that was asked for meanwhile. */
static void finish(struct supervisor *s)
{
	char status[80];

	s->reload.under_way = false;
	snprintf(status, sizeof(status), "%u worker%s, configuration generation %u%s",
		s->current->count, s->current->count == 1 ? "" : "s", s->current->number,
		s->reload.last_ok ? "" : "; the last reload failed");
	if (s->state == SUPERVISOR_RUNNING)
		notify_ready(&s->notify, status);
	if (!s->reload.again || s->state != SUPERVISOR_RUNNING)
		return;
	s->reload.again = false;
	s->reload.asking = s->reload.queued;
	s->reload.queued = NULL;
	begin(s);
}

/* Nothing has changed; the notes say why. */
static void give_up(struct supervisor *s, int status, const char *summary)
{
	remember(s, false, summary);
	log_event(&s->log, LOG_ERROR, "reload_failed", SPAN_NONE,
		"%s; the old configuration stays in force", summary);
	note(s, "Nothing has changed: the old configuration stays in force.\n");
	answer_all(&s->reload.asking, status, buffer_string(&s->reload.notes));
	finish(s);
}

/* --- how it begins --- */

/* The log gets the report line by line. */
static void log_report(struct supervisor *s, enum log_level level, struct span report)
{
	while (report.len) {
		size_t end = span_find_char(report, '\n');

		if (end)
			log_event(&s->log, level, "configuration", SPAN_NONE, "%.*s",
				SPAN_ARGS(span_first(report, end)));
		report = span_from(report, end + 1);
	}
}

static void note_needs_restart(struct supervisor *s, const struct config *config)
{
	struct buffer keys = BUFFER_INIT(4096);

	if (config_needs_restart(s->started, config, &keys) && keys.len) {
		log_event(&s->log, LOG_WARNING, "restart_needed", SPAN_NONE,
			"changed, but applied only by a restart: %s", buffer_string(&keys));
		if (!buffer_print(&s->reload.notes, "Changed, but applied only by a restart: %s\n",
			    buffer_string(&keys)))
			return;
	}
	buffer_free(&keys);
}

static bool log_differs(const struct log_config *a, const struct log_config *b)
{
	return a->target != b->target ||
	       (a->target == LOG_TO_FILE && strcmp(a->file, b->file) != 0);
}

/* What a new generation needs beyond its configuration; false: nothing of it is left open. */
static bool prepare(struct supervisor *s, const struct config *config, struct err *err)
{
	s->reload.log_fd = LOG_FD_FAILED;
	if (!sockets_bind(&s->sockets, config, err))
		return false;
	if (!log_differs(&s->current->loaded.config->log, &config->log))
		return true;
	s->reload.log_fd = folders_open_log(&config->log, &s->privileges, err);
	if (s->reload.log_fd != LOG_FD_FAILED)
		return true;
	sockets_unbind(&s->sockets);
	return false;
}

static void begin(struct supervisor *s)
{
	struct loaded loaded;
	struct err err = {{0}};
	bool ok = loaded_read(&loaded, s->config_path);

	s->reload.under_way = true;
	notify_reloading(&s->notify);
	buffer_clear(&s->reload.notes);
	note(s, buffer_string(&loaded.report));
	log_report(s, ok ? LOG_WARNING : LOG_ERROR, buffer_span(&loaded.report));
	if (!ok) {
		char summary[80];

		snprintf(summary, sizeof(summary), "%zu mistake%s in the configuration",
			loaded.n_mistakes, loaded.n_mistakes == 1 ? "" : "s");
		loaded_free(&loaded);
		give_up(s, EXIT_CONFIGURATION, summary);
		return;
	}
	if (!prepare(s, loaded.config, &err)) {
		loaded_free(&loaded);
		note(s, err.text);
		note(s, "\n");
		give_up(s, EXIT_NO, err.text);
		return;
	}
	note_needs_restart(s, loaded.config);
	supervisor_renew_ticket_keys(s);
	s->next = generation_start(&s->setup, ++s->last_number, &loaded);
}

void reload_request(struct supervisor *s, uint32_t id, uint32_t wait_ms)
{
	if (s->state != SUPERVISOR_RUNNING) {
		keeping_answer(s, id, EXIT_NO,
			s->state == SUPERVISOR_STARTING ? "postern is still starting.\n"
							: "postern is stopping.\n");
		return;
	}
	if (s->reload.under_way) {
		s->reload.again = true;
		add_asker(s, &s->reload.queued, id, wait_ms);
		return;
	}
	add_asker(s, &s->reload.asking, id, wait_ms);
	begin(s);
}

/* --- what became of it --- */

/* Those who only wanted the reload have their answer; the others wait for the old sessions. */
static void answer_success(struct supervisor *s, const char *summary)
{
	struct asker *asker;

	note(s, summary);
	note(s, ".\n");
	while ((asker = take_first(&s->reload.asking))) {
		if (!asker->wait_ms) {
			answer(asker, EXIT_OK, buffer_string(&s->reload.notes));
			continue;
		}
		asker->generation = s->current->number;
		asker->next = s->reload.waiting;
		s->reload.waiting = asker;
		timer_set(&s->loop.timers, &asker->timer, asker->wait_ms);
	}
	reload_on_old_gone(s);
}

/* More than two old generations would pile up with admins who reload often: the oldest have to
 * hurry. */
static void hurry_oldest(struct supervisor *s)
{
	unsigned count = 0;

	for (struct generation *g = s->old; g; g = g->next)
		if (++count > SUPERVISOR_OLD_MAX)
			generation_leave(g, WORKER_DRAIN_TERM);
}

void reload_on_ready(struct supervisor *s)
{
	struct generation *before = s->current;
	const struct config *config = s->next->loaded.config;
	struct err err = {{0}};
	char summary[128];

	if (!sockets_listen(&s->sockets, config, &err))
		log_event(&s->log, LOG_ERROR, "listen_failed", SPAN_NONE, "%s", err.text);
	if (s->reload.log_fd != LOG_FD_FAILED)
		keeping_set_log_target(s, s->reload.log_fd);
	s->reload.log_fd = LOG_FD_FAILED;
	s->log.json = s->log.record.json = config->log.format == LOG_FORMAT_JSON;
	s->current = s->next;
	s->next = NULL;
	keeping_declare(s);
	supervisor_assign(s);
	supervisor_retire(s, before, WORKER_DRAIN_SESSIONS);
	hurry_oldest(s);
	snprintf(summary, sizeof(summary), "Configuration generation %u is in force, %u worker%s",
		s->current->number, s->current->count, s->current->count == 1 ? "" : "s");
	remember(s, true, summary);
	log_event(&s->log, LOG_INFO, "reloaded", SPAN_NONE, "%s", summary);
	answer_success(s, summary);
	finish(s);
}

/* Gives back what the new generation was to have. */
void reload_abandon(struct supervisor *s)
{
	sockets_unbind(&s->sockets);
	if (s->reload.log_fd >= 0)
		close(s->reload.log_fd);
	s->reload.log_fd = LOG_FD_FAILED;
	supervisor_retire(s, s->next, WORKER_DRAIN_NOW);
	s->next = NULL;
	s->reload.under_way = false;
}

void reload_on_failed(struct supervisor *s, const char *why)
{
	char summary[700];

	reload_abandon(s);
	snprintf(summary, sizeof(summary), "the new workers did not start: %s", why);
	note(s, summary);
	note(s, "\n");
	give_up(s, EXIT_NO, summary);
}

void reload_init(struct supervisor *s)
{
	s->reload = (struct reload){
		.last_ok = true, .log_fd = LOG_FD_FAILED, .notes = BUFFER_INIT(NOTES_MAX)};
}

void reload_close(struct supervisor *s)
{
	reload_forget_askers(s, "postern has ended.\n");
	buffer_free(&s->reload.notes);
}

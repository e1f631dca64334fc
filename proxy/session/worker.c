#include "proxy/session/worker.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/authn/authn.h"
#include "lib/base/fail.h"
#include "lib/net/dns.h"
#include "lib/store/lists.h"
#include "lib/store/store.h"
#include "proxy/backend/backend.h"
#include "proxy/session/bench.h"
#include "proxy/session/listener.h"
#include "proxy/session/session.h"
#include "proxy/message/quarantine.h"
#include "proxy/message/spool.h"

enum {
	WORKER_MAGIC = 0x776f726b,
	REPLIES_MAX = 1024 * 1024,
	SESSIONS_PER_FILE = 16,
	DESCRIPTORS_KEPT = 64 /* for the loop, logs, listeners and the like */
};

static void on_term(struct timer *timer)
{
	struct worker *worker = CONTAINER_OF(timer, struct worker, term);

	worker_drain(worker, WORKER_DRAIN_NOW);
}

static void on_drained(struct deferred *deferred)
{
	struct worker *worker = CONTAINER_OF(deferred, struct worker, drained);

	MAGIC_ENSURE(worker, WORKER_MAGIC);
	if (worker->n_sessions || worker->told_drained)
		return;
	worker->told_drained = true;
	timer_clear(&worker->loop->timers, &worker->term);
	if (worker->setup.on_drained)
		worker->setup.on_drained(worker->setup.context);
}

/*
 * A session costs one descriptor, a message on disk another, and backends have theirs. One session
 * in SESSIONS_PER_FILE may have its message on disk at a time, a further one gets 452.
 */
static unsigned files_max(const struct config *config, bool rules)
{
	struct rlimit limit;
	rlim_t kept = DESCRIPTORS_KEPT + (rules ? DNS_DESCRIPTORS_MAX : 0);

	for (size_t i = 0; i < config->n_backends; i++)
		kept += config->backends[i].connections + 4 * config->backends[i].n_servers;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return config->limits.connections;
	if (limit.rlim_cur < kept + SESSIONS_PER_FILE + 1)
		return 1;
	return (unsigned)((limit.rlim_cur - kept) / (SESSIONS_PER_FILE + 1));
}

static bool open_tls(struct worker *worker, struct err *err)
{
	const struct tls_config *tls = &worker->config->tls;
	struct tls_identity *identities;

	if (tls->count == 0)
		return true;
	identities = memory_zeroed(tls->count * sizeof(*identities));
	for (size_t i = 0; i < tls->count; i++)
		identities[i] = (struct tls_identity){tls->certificates[i].certificate.name,
			tls->certificates[i].certificate.content, tls->certificates[i].key.content};
	worker->tls = tls_context_server(
		identities, tls->count, tls->minimum_version, worker->setup.ticket_keys, err);
	free(identities);
	return worker->tls != NULL;
}

struct worker *worker_open(const struct worker_setup *setup, struct err *err)
{
	struct worker *worker = memory_zeroed(sizeof(*worker));
	const struct config *config = setup->config;
	unsigned files;

	worker->magic = WORKER_MAGIC;
	worker->setup = *setup;
	worker->loop = setup->loop;
	worker->config = config;
	worker->log = setup->log;
	worker->shared = setup->shared;
	worker->store = setup->store;
	worker->row = &setup->shared->rows[setup->row];
	worker->authn = setup->authn;
	worker->term.fire = on_term;
	worker->drained.run = on_drained;
	worker->replies = BUFFER_INIT(REPLIES_MAX);
	files = files_max(config, setup->policy != NULL);
	worker->sessions_max = SESSIONS_PER_FILE * files;
	worker->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ENSURE(getrandom(worker->id_state, sizeof(worker->id_state), 0) ==
		sizeof(worker->id_state));
	worker->spools = spools_new(setup->shared, worker->row, setup->spool_dir,
		config->limits.spool, config->limits.headers, files);
	worker->quarantine = quarantine_open(&(struct quarantine_setup){.loop = setup->loop,
		.log = setup->log,
		.dir = setup->quarantine_dir,
		.keep_ms = config->quarantine_keep,
		.size_max = config->quarantine_size});
	worker->backends = backends_open(setup->loop, config, setup->log, worker->row, err);
	if (!worker->backends || !open_tls(worker, err) ||
		!bench_open(&worker->bench, worker, setup->policy, setup->filters, err)) {
		worker_close(&worker);
		return NULL;
	}
	return worker;
}

void worker_listen(struct worker *worker, unsigned id, size_t listen_index, int fd)
{
	struct listener *listener;

	ENSURE(listen_index < worker->config->n_listens);
	if (worker->drain != WORKER_SERVING) {
		close(fd);
		return;
	}
	listener = listener_open(worker, id, &worker->config->listens[listen_index], fd);
	listener->next = worker->listeners;
	worker->listeners = listener;
}

void worker_unlisten(struct worker *worker, unsigned id)
{
	for (struct listener **at = &worker->listeners; *at; at = &(*at)->next) {
		struct listener *listener = *at;

		if (listener->id != id)
			continue;
		*at = listener->next;
		listener_close(listener);
		return;
	}
}

void worker_drain(struct worker *worker, enum worker_drain drain)
{
	struct session *next;

	if (drain <= worker->drain)
		return;
	worker->drain = drain;
	while (worker->listeners) {
		/* After a reload that dropped the listener, its backlog is ours alone. */
		if (drain == WORKER_DRAIN_SESSIONS)
			listener_sweep(worker->listeners);
		worker_unlisten(worker, worker->listeners->id);
	}
	backends_drain(worker->backends);
	for (struct session *s = worker->sessions; s; s = next) {
		next = s->next;
		session_interrupt(s);
	}
	if (drain == WORKER_DRAIN_TERM)
		timer_set(&worker->loop->timers, &worker->term, WORKER_TERM_MS);
	if (worker->n_sessions == 0)
		loop_defer(worker->loop, &worker->drained);
}

void worker_status(struct worker *worker, struct record *r, unsigned most)
{
	struct session *s = worker->sessions;
	unsigned skip = worker->n_sessions > most ? worker->n_sessions - most : 0;

	record_number(r, "sessions", worker->n_sessions);
	backends_status(worker->backends, r);
	bench_status(worker->bench, r);
	if (worker->store) {
		record_open(r, "store");
		store_status(worker->store, r);
		record_close(r);
	}
	if (worker->setup.lists) {
		record_open(r, "lists");
		lists_status(worker->setup.lists, r);
		record_close(r);
	}
	if (worker->authn)
		authn_status(worker->authn, r);
	record_list(r, "session_list");
	/* The list is newest first: the oldest, which wait longest, are at its end. */
	for (; s; s = s->next) {
		if (skip)
			skip--;
		else
			session_status(s, r);
	}
	record_close(r);
}

void worker_close(struct worker **worker)
{
	struct worker *w = *worker;

	if (!w)
		return;
	if (w->backends && w->drain < WORKER_DRAIN_NOW)
		worker_drain(w, WORKER_DRAIN_NOW);
	backends_close(&w->backends);
	while (w->n_sessions)
		loop_turn(w->loop, true);
	quarantine_close(&w->quarantine);
	bench_close(&w->bench);
	loop_undefer(w->loop, &w->drained);
	timer_clear(&w->loop->timers, &w->term);
	tls_context_free(&w->tls);
	spools_free(&w->spools);
	buffer_free(&w->replies);
	if (w->reserve_fd >= 0)
		close(w->reserve_fd);
	w->magic = 0;
	free(w);
	*worker = NULL;
}

#include "proxy/process/child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/authn/authn.h"
#include "lib/base/fail.h"
#include "lib/net/ipc.h"
#include "lib/store/keeper_client.h"
#include "lib/store/redis_store.h"
#include "proxy/process/privileges.h"
#include "proxy/process/protocol.h"
#include "proxy/process/ruleset.h"
#include "proxy/session/worker.h"

enum {
	CHILD_MAGIC = 0x0c411d00,
	ORPHAN_MS = WORKER_TERM_MS + 2000, /* without a supervisor nobody else would end us */
	STATUS_MAX = 4 * 1024 * 1024
};

enum child_state {
	CHILD_AWAITING,
	CHILD_SERVING,
	CHILD_LEAVING,
	CHILD_FAILED /* to start: there may be no worker, and what still comes is for nobody */
};

struct child {
	uint32_t magic;
	enum child_state state;
	const struct title *title; /* borrowed */
	struct loop loop;
	struct log log;
	struct ipc *supervisor;              /* owned; NULL: it is gone */
	struct ipc *keeper;                  /* owned; NULL: not linked */
	struct config *config;               /* owned */
	struct ruleset rules;                /* owned */
	struct shared *shared;               /* owned */
	struct lists *lists;                 /* owned */
	struct store *store;                 /* owned */
	struct store *keeper_store;          /* owned unless it is `store` itself: the keeper's */
	struct authn *authn;                 /* owned */
	struct worker *worker;               /* owned */
	int log_fd, spool_fd, quarantine_fd; /* owned */
	uint8_t ticket_keys[TLS_TICKET_KEYS_SIZE];
	uv_signal_t term;
	struct timer orphaned;
	int exit_status;
};

static void tell(struct child *child, enum frame_type type, struct span payload)
{
	if (child->supervisor)
		ipc_send(child->supervisor, &(struct ipc_frame){.type = type, .payload = payload});
}

static void end_process(struct child *child, int status)
{
	child->exit_status = status;
	loop_stop(&child->loop);
}

/* To the keeper. id: its question; 0: it did not ask. */
static void send_status(struct child *child, uint32_t id, unsigned most)
{
	struct record r;

	record_init(&r, true, STATUS_MAX);
	worker_status(child->worker, &r, most);
	ipc_send(child->keeper,
		&(struct ipc_frame){
			.type = FRAME_STATUS_IS, .id = id, .payload = record_finish(&r)});
	record_free(&r);
}

/* --- leaving --- */

static void on_drained(void *context)
{
	struct child *child = context;

	MAGIC_ENSURE(child, CHILD_MAGIC);
	if (child->keeper)
		send_status(child, 0, 0); /* so that what we counted is not forgotten */
	end_process(child, EXIT_SUCCESS);
}

static void leave(struct child *child, enum worker_drain how)
{
	if (child->state == CHILD_FAILED)
		return;
	if (child->state == CHILD_AWAITING) {
		end_process(child, EXIT_SUCCESS);
		return;
	}
	if (child->state == CHILD_SERVING)
		tell(child, FRAME_LEAVING, SPAN_NONE);
	child->state = CHILD_LEAVING;
	worker_drain(child->worker, how);
}

/* Somebody ended this process alone: its sessions end in good order, and the supervisor starts
 * another. */
static void on_term(uv_signal_t *handle, int number)
{
	struct child *child = handle->data;

	MAGIC_ENSURE(child, CHILD_MAGIC);
	(void)number;
	leave(child, WORKER_DRAIN_TERM);
}

static void on_orphaned(struct timer *timer)
{
	struct child *child = CONTAINER_OF(timer, struct child, orphaned);

	MAGIC_ENSURE(child, CHILD_MAGIC);
	_exit(EXIT_FAILURE);
}

static void on_supervisor_end(void *context)
{
	struct child *child = context;

	MAGIC_ENSURE(child, CHILD_MAGIC);
	ipc_close(&child->supervisor);
	timer_set(&child->loop.timers, &child->orphaned, ORPHAN_MS);
	leave(child, WORKER_DRAIN_TERM);
}

/* --- starting --- */

static bool read_config(struct child *child, struct span bytes, struct err *err)
{
	struct buffer report = BUFFER_INIT(64 * 1024);
	struct ruleset_told told = {.report = &report};
	struct bundle *bundle;
	bool ok;

	if (!bundle_read(&bundle, bytes, err))
		return false;
	child->config = config_parse(bundle, &report, NULL, NULL);
	ok = child->config &&
	     ruleset_read(&child->rules, bundle, child->config, RULESET_READ, &told);
	bundle_free(&bundle);
	if (!ok)
		err_set(err, "the configuration can't be read here: %s", buffer_string(&report));
	buffer_free(&report);
	return ok;
}

static bool open_store(struct child *child, struct err *err)
{
	struct span where = span_text(child->config->store);
	struct redis_url *url;
	size_t offset;

	child->keeper_store = store_open_keeper(&child->loop, &child->log);
	if (span_equal(where, SPAN("embedded"))) {
		child->store = child->keeper_store;
		return true;
	}
	url = memory_zeroed(sizeof(*url));
	if (redis_url_read(where, url, &offset, err))
		child->store =
			store_open_redis(&child->loop, &child->log, url, child->keeper_store, err);
	free(url);
	return child->store != NULL;
}

static bool open_worker(struct child *child, const struct start_frame *start, struct err *err)
{
	struct worker_setup setup = {.loop = &child->loop,
		.config = child->config,
		.log = &child->log,
		.shared = child->shared,
		.row = start->row,
		.spool_dir = child->spool_fd,
		.quarantine_dir = child->quarantine_fd,
		.policy = child->rules.policy,
		.filters = child->rules.filters,
		.ticket_keys = child->ticket_keys,
		.on_drained = on_drained,
		.context = child};

	if (!open_store(child, err))
		return false;
	setup.store = child->store;
	setup.lists = child->lists = lists_new(&child->log);
	store_keeper_lists(child->keeper_store, child->lists);
	child->authn = setup.authn = authn_open(&child->loop, &child->log);
	child->worker = worker_open(&setup, err);
	return child->worker != NULL;
}

/* The frame's descriptors are ours from here on. */
static bool begin(struct child *child, const struct ipc_frame *frame, struct err *err)
{
	struct span rest = frame->payload;
	struct start_frame start;
	char role[24];

	if (frame->n_fds != START_FDS_WORKER || !frame_take(&rest, &start, sizeof(start)) ||
		start.row < 0 || start.row >= SHARED_ROWS) {
		for (size_t i = 0; i < frame->n_fds; i++)
			close(frame->fds[i]);
		return err_set(err, "the START frame is not one");
	}
	child->log_fd = frame->fds[START_FD_LOG];
	child->spool_fd = frame->fds[START_FD_SPOOL];
	child->quarantine_fd = frame->fds[START_FD_QUARANTINE];
	child->shared = shared_map(frame->fds[START_FD_SHARED], err);
	close(frame->fds[START_FD_SHARED]);
	if (!child->shared || !privileges_drop(&start.privileges, err))
		return false;
	snprintf(role, sizeof(role), "worker %u", start.number);
	title_set(child->title, role);
	log_close(&child->log);
	log_init(&child->log, child->log_fd, start.log_json, &child->loop.clock, role);
	child->log.dropped = &child->shared->rows[start.row].counters[COUNT_log_dropped];
	memcpy(child->ticket_keys, start.ticket_keys, sizeof(child->ticket_keys));
	return read_config(child, rest, err) && open_worker(child, &start, err);
}

static void on_start(struct child *child, const struct ipc_frame *frame)
{
	struct err err = {{0}};

	if (begin(child, frame, &err)) {
		child->state = CHILD_SERVING;
		tell(child, FRAME_READY, SPAN_NONE);
		return;
	}
	child->state = CHILD_FAILED;
	tell(child, FRAME_FAILED, span_text(err.text));
	end_process(child, EXIT_FAILURE);
}

/* --- the keeper's questions --- */

static void on_keeper_end(void *context)
{
	struct child *child = context;

	MAGIC_ENSURE(child, CHILD_MAGIC);
	ipc_close(&child->keeper);
}

static void on_keeper_frame(void *context, const struct ipc_frame *frame)
{
	struct child *child = context;
	struct span payload = frame->payload;
	uint32_t most;

	MAGIC_ENSURE(child, CHILD_MAGIC);
	for (size_t i = 0; i < frame->n_fds; i++)
		close(frame->fds[i]);
	if (frame->type == FRAME_STATUS && frame_take(&payload, &most, sizeof(most)))
		send_status(child, frame->id, most);
	else
		on_keeper_end(child);
}

static const struct ipc_handler keeper_handler = {on_keeper_frame, on_keeper_end};

/* --- the supervisor's frames --- */

static void on_listen(struct child *child, const struct ipc_frame *frame)
{
	struct span payload = frame->payload;
	struct listen_frame listen;

	ENSURE(frame->n_fds == 1 && frame_take(&payload, &listen, sizeof(listen)));
	ENSURE(listen.listen_index < child->config->n_listens);
	if (child->state == CHILD_SERVING)
		worker_listen(child->worker, frame->id, listen.listen_index, frame->fds[0]);
	else
		close(frame->fds[0]);
}

static void on_drain(struct child *child, struct span payload)
{
	uint32_t how;

	ENSURE(frame_take(&payload, &how, sizeof(how)) && how <= WORKER_DRAIN_NOW);
	child->state = CHILD_LEAVING;
	worker_drain(child->worker, (enum worker_drain)how);
}

static void on_frame(void *context, const struct ipc_frame *frame)
{
	struct child *child = context;
	bool started = child->worker != NULL;

	MAGIC_ENSURE(child, CHILD_MAGIC);
	if (child->state == CHILD_FAILED) {
		for (size_t i = 0; i < frame->n_fds; i++)
			close(frame->fds[i]);
		return;
	}
	if (frame->type == FRAME_START && child->state == CHILD_AWAITING) {
		on_start(child, frame);
	} else if (frame->type == FRAME_LISTEN && started) {
		on_listen(child, frame);
	} else if (frame->type == FRAME_UNLISTEN && started) {
		if (child->state == CHILD_SERVING)
			worker_unlisten(child->worker, frame->id);
	} else if (frame->type == FRAME_DRAIN && started) {
		on_drain(child, frame->payload);
	} else if (frame->type == FRAME_LINK && started && frame->n_fds == LINK_FDS) {
		ipc_close(&child->keeper);
		child->keeper =
			ipc_open(&child->loop, frame->fds[LINK_FD_STATUS], &keeper_handler, child);
		store_link(child->keeper_store, frame->fds[LINK_FD_STORE]);
	} else if (frame->type == FRAME_LINK_AUTHN && started && frame->n_fds == 1) {
		authn_link(child->authn, frame->fds[0]);
	} else {
		fail_bug(__FILE__, __LINE__, "the supervisor sends frames that we know");
	}
}

static const struct ipc_handler supervisor_handler = {on_frame, on_supervisor_end};

/* --- life --- */

/* The terminal's and the service manager's signals are the supervisor's to answer. */
static void open_signals(struct child *child)
{
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	ENSURE(uv_signal_init(&child->loop.uv, &child->term) == 0);
	child->term.data = child;
	ENSURE(uv_signal_start(&child->term, on_term, SIGTERM) == 0);
}

static void close_all(struct child *child)
{
	if (child->worker)
		worker_close(&child->worker);
	if (child->store != child->keeper_store)
		store_close(&child->store);
	store_close(&child->keeper_store);
	lists_free(&child->lists);
	authn_close(&child->authn);
	ipc_close(&child->keeper);
	ipc_close(&child->supervisor);
	timer_clear(&child->loop.timers, &child->orphaned);
	uv_close((uv_handle_t *)&child->term, NULL);
	loop_close(&child->loop);
	ruleset_free(&child->rules);
	config_free(&child->config);
	shared_unmap(&child->shared);
	log_close(&child->log);
	if (child->log_fd >= 0)
		close(child->log_fd);
	if (child->spool_fd >= 0)
		close(child->spool_fd);
	if (child->quarantine_fd >= 0)
		close(child->quarantine_fd);
}

int child_run(const struct title *title)
{
	struct child child = {.magic = CHILD_MAGIC,
		.title = title,
		.log_fd = -1,
		.spool_fd = -1,
		.quarantine_fd = -1,
		.orphaned = {.fire = on_orphaned}};
	int type;
	socklen_t size = sizeof(type);

	if (getsockopt(CHILD_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
		fputs("postern: workers are started by `postern run` only\n", stderr);
		return 2;
	}
	loop_init(&child.loop);
	log_init(&child.log, -1, true, &child.loop.clock, "worker");
	open_signals(&child);
	child.supervisor = ipc_open(&child.loop, CHILD_FD, &supervisor_handler, &child);
	loop_run(&child.loop);
	close_all(&child);
	return child.exit_status;
}

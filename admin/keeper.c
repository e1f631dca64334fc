#include "admin/keeper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/enquiry.h"
#include "admin/inquest.h"
#include "admin/known.h"
#include "admin/logwriter.h"
#include "admin/reception.h"
#include "lib/base/fail.h"
#include "lib/store/asker.h"
#include "lib/store/redis_store.h"
#include "lib/store/wire.h"
#include "proxy/config/config.h"
#include "proxy/process/privileges.h"
#include "proxy/process/version.h"

enum {
	KEEPER_MAGIC = 0x6ee9e400,
	ORPHAN_MS = 10000, /* the workers' last lines come within */
	LAST_LINES_MS = 2000,
	LAST_WORDS_MS = 500
};

bool keeper_ask_supervisor(
	struct keeper *keeper, enum frame_type type, uint32_t id, struct span payload)
{
	return keeper->supervisor &&
	       ipc_send(keeper->supervisor,
		       &(struct ipc_frame){.type = type, .id = id, .payload = payload});
}

static void end_process(struct keeper *keeper, int status)
{
	keeper->exit_status = status;
	loop_stop(&keeper->loop);
}

/* --- requests --- */

/* Results of DMARC and lists are each machine's own. */
static bool is_local(enum store_kind kind)
{
	return kind <= STORE_LIST_SEARCH;
}

void keeper_ask_store(struct keeper *keeper, uint32_t id, enum store_kind kind,
	const struct span *parts, size_t n_parts)
{
	if (is_local(kind) || !keeper->asker)
		keeper_store_ask(keeper->store, id, kind, parts, n_parts);
	else
		asker_ask(keeper->asker, id, kind, parts, n_parts);
}

/* Of ids of the reception (they count from 1): those that admins ask the store themselves. */
static const uint32_t STORE_ASKED = UINT32_C(1) << 31;

/* The store's word to one who asked it directly. */
static void store_answer(
	struct keeper *keeper, uint32_t id, enum store_outcome outcome, struct span answer)
{
	if (outcome == STORE_DONE)
		reception_answer(keeper->reception, id, 0, answer);
	else
		reception_answer(keeper->reception, id, 4,
			SPAN("The store could not do it; the log says why.\n"));
}

/* What admins may ask it directly. */
static bool is_for_admins(enum store_kind kind)
{
	return kind >= STORE_LIST_ADD && kind <= STORE_LIST_SEARCH;
}

static bool find_kind(struct span name, enum store_kind *kind)
{
	static const char *const names[STORE_KIND_COUNT] = {
#define X(name, parts) [STORE_##name] = #name,
		STORE_KINDS(X)
#undef X
	};

	for (int i = 0; i < STORE_KIND_COUNT; i++) {
		if (!span_equal(name, span_text(names[i])) || !is_for_admins((enum store_kind)i))
			continue;
		*kind = (enum store_kind)i;
		return true;
	}
	return false;
}

static void ask_store(struct keeper *keeper, uint32_t id, const struct control_request *request)
{
	struct span parts[STORE_PARTS_MAX];
	enum store_kind kind;

	if (!find_kind(request->kind, &kind) ||
		!store_parts_read(request->body, parts, store_kind_parts(kind)))
		reception_answer(
			keeper->reception, id, 2, SPAN("That is no request to the store.\n"));
	else
		keeper_ask_store(keeper, id | STORE_ASKED, kind, parts, store_kind_parts(kind));
}

/* Whoever asked: an admin directly, or one of the inquests. */
static void on_store_answer(
	void *context, uint32_t id, enum store_outcome outcome, struct span answer)
{
	struct keeper *keeper = context;

	MAGIC_ENSURE(keeper, KEEPER_MAGIC);
	if (id == KEEPER_TOLD)
		return;
	if (id & STORE_ASKED)
		store_answer(keeper, id & ~STORE_ASKED, outcome, answer);
	else
		inquest_on_answer(keeper, id, outcome, answer);
}

static void ask_or_refuse(
	struct keeper *keeper, enum frame_type type, uint32_t id, struct span payload)
{
	if (!keeper_ask_supervisor(keeper, type, id, payload))
		reception_answer(keeper->reception, id, 1, SPAN("The supervisor is gone.\n"));
}

static void on_request(void *context, uint32_t id, const struct control_request *request)
{
	struct keeper *keeper = context;
	struct ask_reload_frame ask = {request->number};

	MAGIC_ENSURE(keeper, KEEPER_MAGIC);
	switch (request->verb) {
	case CONTROL_STATUS:
		enquiry_start(keeper, id, ENQUIRY_STATUS, request->number);
		break;
	case CONTROL_RELOAD:
		ask_or_refuse(keeper, FRAME_ASK_RELOAD, id, span_make(&ask, sizeof(ask)));
		break;
	case CONTROL_DRAIN:
		ask_or_refuse(keeper, FRAME_ASK_DRAIN, id, SPAN_NONE);
		break;
	case CONTROL_VERSION:
		reception_answer(keeper->reception, id, 0, SPAN(POSTERN_VERSION "\n"));
		break;
	case CONTROL_METRICS:
		enquiry_start(keeper, id, ENQUIRY_METRICS, 0);
		break;
	case CONTROL_DMARC:
	case CONTROL_GREYLIST:
	case CONTROL_REPUTATION:
		inquest_start(keeper, id, request);
		break;
	case CONTROL_STORE:
		ask_store(keeper, id, request);
		break;
	}
}

/* --- workers --- */

static void link_free(struct link *link)
{
	ipc_close(&link->ipc);
	ledger_free(&link->ledger);
	free(link);
}

static void link_remove(struct link *link)
{
	struct link **at = &link->keeper->links;

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	link_free(link);
}

static void on_link_end(void *context)
{
	struct link *link = context;
	struct keeper *keeper = link->keeper;

	enquiry_on_link_end(link);
	ledger_add(&keeper->ended, &link->ledger, false);
	link_remove(link);
	if (keeper->state == KEEPER_ORPHANED && !keeper->links)
		end_process(keeper, EXIT_SUCCESS);
}

static void close_fds(const struct ipc_frame *frame)
{
	for (size_t i = 0; i < frame->n_fds; i++)
		close(frame->fds[i]);
}

/* An answer, or the last word of one that ends. */
static void on_status(struct link *link, const struct ipc_frame *frame)
{
	struct arena *arena = arena_new(64 * 1024);

	ledger_take(&link->ledger, json_read(arena, frame->payload));
	arena_free(&arena);
	enquiry_on_worker(link, frame->id, frame->payload);
}

static void on_link_frame(void *context, const struct ipc_frame *frame)
{
	struct link *link = context;

	close_fds(frame);
	if (frame->type == FRAME_STATUS_IS && frame->n_fds == 0)
		on_status(link, frame);
	else
		on_link_end(link); /* nonsense */
}

static const struct ipc_handler link_handler = {on_link_frame, on_link_end};

static void add_link(struct keeper *keeper, const struct ipc_frame *frame)
{
	struct link *link = memory_zeroed(sizeof(*link));
	struct span payload = frame->payload;

	ENSURE(frame_take(&payload, &link->worker, sizeof(link->worker)));
	link->keeper = keeper;
	link->ipc = ipc_open(&keeper->loop, frame->fds[LINK_FD_STATUS], &link_handler, link);
	keeper_store_link(keeper->store, frame->fds[LINK_FD_STORE]);
	link->next = keeper->links;
	keeper->links = link;
}

/* --- the supervisor --- */

/* As `store` has it. */
static bool open_redis(struct keeper *keeper, struct span where, struct err *err)
{
	struct redis_url *url;
	size_t offset;

	if (span_equal(where, SPAN("embedded")))
		return true;
	url = memory_zeroed(sizeof(*url));
	if (redis_url_read(where, url, &offset, err))
		keeper->redis = store_open_redis(&keeper->loop, &keeper->log, url, NULL, err);
	free(url);
	if (!keeper->redis)
		return false;
	keeper->asker = asker_new(keeper->redis, on_store_answer, keeper);
	return true;
}

static bool begin(struct keeper *keeper, const struct ipc_frame *frame, struct err *err)
{
	struct span payload = frame->payload;
	struct start_frame start;

	if (frame->n_fds != START_FDS_KEEPER || !frame_take(&payload, &start, sizeof(start)) ||
		start.row < 0 || start.row >= SHARED_ROWS) {
		close_fds(frame);
		return err_set(err, "the START frame is not one");
	}
	keeper->log_fd = frame->fds[START_FD_LOG];
	keeper->shared = shared_map(frame->fds[START_FD_SHARED], err);
	close(frame->fds[START_FD_SHARED]);
	if (!keeper->shared || !privileges_drop(&start.privileges, err)) {
		close(frame->fds[START_FD_LOG_READ]);
		close(frame->fds[START_FD_CONTROL]);
		close(frame->fds[START_FD_STATE]);
		return false;
	}
	title_set(keeper->title, "keeper");
	log_close(&keeper->log);
	log_init(&keeper->log, keeper->log_fd, start.log_json, &keeper->loop.clock, "keeper");
	keeper->writer = logwriter_start(frame->fds[START_FD_LOG_READ],
		&keeper->shared->rows[start.row].counters[COUNT_log_dropped]);
	keeper->reception = reception_open(&keeper->loop, frame->fds[START_FD_CONTROL],
		start.privileges.gid, on_request, keeper);
	keeper->store = keeper_store_open(&(struct keeper_store_setup){.loop = &keeper->loop,
		.log = &keeper->log,
		.on_answer = on_store_answer,
		.on_known_good = known_add,
		.context = keeper,
		.database = {.dir = frame->fds[START_FD_STATE]}});
	return open_redis(keeper, payload, err);
}

static void on_start(struct keeper *keeper, const struct ipc_frame *frame)
{
	struct err err = {{0}};

	if (begin(keeper, frame, &err)) {
		keeper->state = KEEPER_SERVING;
		keeper_ask_supervisor(keeper, FRAME_READY, 0, SPAN_NONE);
		return;
	}
	keeper_ask_supervisor(keeper, FRAME_FAILED, 0, span_text(err.text));
	end_process(keeper, EXIT_FAILURE);
}

static void on_log_target(struct keeper *keeper, const struct ipc_frame *frame)
{
	struct span payload = frame->payload;
	uint32_t target;

	ENSURE(frame_take(&payload, &target, sizeof(target)));
	ENSURE(frame->n_fds == (target == LOG_TO_SYSLOG ? 0 : 1));
	logwriter_target(keeper->writer, target == LOG_TO_SYSLOG ? -1 : frame->fds[0]);
	log_event(&keeper->log, LOG_INFO, "log_opened", SPAN_NONE, "lines go here from now on");
}

static void on_answer(struct keeper *keeper, const struct ipc_frame *frame)
{
	struct span payload = frame->payload;
	uint32_t status;

	ENSURE(frame_take(&payload, &status, sizeof(status)));
	reception_answer(keeper->reception, frame->id, (int)status, payload);
}

static void on_frame(void *context, const struct ipc_frame *frame)
{
	struct keeper *keeper = context;
	bool started = keeper->state != KEEPER_AWAITING;

	MAGIC_ENSURE(keeper, KEEPER_MAGIC);
	if (frame->type == FRAME_START && !started)
		on_start(keeper, frame);
	else if (frame->type == FRAME_LOG_TARGET && started)
		on_log_target(keeper, frame);
	else if (frame->type == FRAME_DECLARED && started && frame->n_fds == 0)
		keeper_store_declare(keeper->store, frame->payload);
	else if (frame->type == FRAME_LINK && started && frame->n_fds == LINK_FDS)
		add_link(keeper, frame);
	else if (frame->type == FRAME_ANSWER && started && frame->n_fds == 0)
		on_answer(keeper, frame);
	else if (frame->type == FRAME_STATE_IS && started && frame->n_fds == 0)
		enquiry_on_state(keeper, frame->id, frame->payload);
	else if (frame->type == FRAME_DRAIN)
		end_process(keeper, EXIT_SUCCESS);
	else
		fail_bug(__FILE__, __LINE__, "the supervisor sends frames that we know");
}

static void on_orphaned(struct timer *timer)
{
	struct keeper *keeper = CONTAINER_OF(timer, struct keeper, orphaned);

	MAGIC_ENSURE(keeper, KEEPER_MAGIC);
	end_process(keeper, EXIT_SUCCESS);
}

/* The workers end on their own; their last lines still want a writer, and the next instance our
 * socket. */
static void on_supervisor_end(void *context)
{
	struct keeper *keeper = context;

	MAGIC_ENSURE(keeper, KEEPER_MAGIC);
	ipc_close(&keeper->supervisor);
	if (keeper->state == KEEPER_AWAITING || !keeper->links) {
		end_process(keeper, EXIT_SUCCESS);
		return;
	}
	keeper->state = KEEPER_ORPHANED;
	reception_deafen(keeper->reception);
	log_event(&keeper->log, LOG_ERROR, "supervisor_lost", SPAN_NONE,
		"the supervisor is gone: the workers finish their messages and end");
	timer_set(&keeper->loop.timers, &keeper->orphaned, ORPHAN_MS);
}

static const struct ipc_handler supervisor_handler = {on_frame, on_supervisor_end};

/* --- life --- */

static void on_term(uv_signal_t *handle, int number)
{
	struct keeper *keeper = handle->data;

	MAGIC_ENSURE(keeper, KEEPER_MAGIC);
	(void)number; /* the supervisor got it too, and tells us when it is time */
}

static void open_signals(struct keeper *keeper)
{
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error, as a full disk is */
	ENSURE(uv_signal_init(&keeper->loop.uv, &keeper->term) == 0);
	keeper->term.data = keeper;
	ENSURE(uv_signal_start(&keeper->term, on_term, SIGTERM) == 0);
}

/* Answers that are on their way get a moment. */
static void close_reception(struct keeper *keeper)
{
	const uint64_t deadline_ms = clock_now_ms(&keeper->loop.clock) + 500;

	if (!keeper->reception)
		return;
	reception_deafen(keeper->reception);
	timer_set(
		&keeper->loop.timers, &keeper->orphaned, 600); /* so that no turn waits for long */
	while (!reception_idle(keeper->reception) &&
		clock_now_ms(&keeper->loop.clock) < deadline_ms)
		loop_turn(&keeper->loop, true);
	reception_close(keeper->reception);
}

/* What workers told before they ended may not be read yet. */
static void hear_last_words(struct keeper *keeper)
{
	const uint64_t deadline_ms = clock_now_ms(&keeper->loop.clock) + LAST_WORDS_MS;

	if (!keeper->store)
		return;
	timer_set(&keeper->loop.timers, &keeper->orphaned, LAST_WORDS_MS + 100);
	while (keeper_store_is_linked(keeper->store) &&
		clock_now_ms(&keeper->loop.clock) < deadline_ms)
		loop_turn(&keeper->loop, true);
}

static void close_all(struct keeper *keeper)
{
	close_reception(keeper);
	hear_last_words(keeper);
	enquiry_close_all(keeper);
	inquest_close_all(keeper);
	while (keeper->links) {
		struct link *link = keeper->links;

		keeper->links = link->next;
		link_free(link);
	}
	asker_free(&keeper->asker);
	store_close(&keeper->redis);
	keeper_store_close(&keeper->store);
	ledger_free(&keeper->ended);
	ipc_close(&keeper->supervisor);
	timer_clear(&keeper->loop.timers, &keeper->orphaned);
	uv_close((uv_handle_t *)&keeper->term, NULL);
	loop_close(&keeper->loop);
	reception_free(&keeper->reception);
	logwriter_end(&keeper->writer, LAST_LINES_MS);
	log_close(&keeper->log);
	if (keeper->log_fd >= 0)
		close(keeper->log_fd);
}

int keeper_run(const struct title *title)
{
	struct keeper keeper = {.magic = KEEPER_MAGIC,
		.title = title,
		.log_fd = -1,
		.orphaned = {.fire = on_orphaned}};
	int type;
	socklen_t size = sizeof(type);

	if (getsockopt(CHILD_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
		fputs("postern: the keeper is started by `postern run` only\n", stderr);
		return 2;
	}
	loop_init(&keeper.loop);
	log_init(&keeper.log, -1, true, &keeper.loop.clock, "keeper");
	open_signals(&keeper);
	keeper.supervisor = ipc_open(&keeper.loop, CHILD_FD, &supervisor_handler, &keeper);
	loop_run(&keeper.loop);
	close_all(&keeper);
	/* A stuck writer may still count what it loses: the mapping goes with the process. */
	return keeper.exit_status;
}

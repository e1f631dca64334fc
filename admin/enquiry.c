#include "admin/enquiry.h"

#include <stdlib.h>

#include "admin/keeper.h"
#include "admin/ledger.h"
#include "admin/metrics.h"
#include "admin/reception.h"
#include "lib/base/fail.h"

enum {
	ENQUIRY_MAX = 64 * 1024 * 1024,
	SUM_MAX = 32 * 1024 * 1024,
	STORE_MAX = 256 * 1024,
	METRICS_MAX = 32 * 1024 * 1024,
	EXIT_NOT_WHOLE = 1
};

/* A worker that was asked. */
struct asked {
	struct link_frame worker;
	enum { ASKED_SILENT, ASKED_ANSWERED, ASKED_ENDED } state;
};

struct enquiry {
	struct enquiry *next;
	struct keeper *keeper;
	uint32_t id;
	enum enquiry_form form;
	struct timer timer;
	struct buffer
		state; /* the supervisor's object without its closing brace; empty: not there yet */
	struct buffer workers;  /* status: objects, with commas */
	struct asked *asked;    /* owned */
	size_t n_asked, n_open; /* n_open: answers still to come, the supervisor's included */
};

static void enquiry_free(struct enquiry *e)
{
	timer_clear(&e->keeper->loop.timers, &e->timer);
	buffer_free(&e->state);
	buffer_free(&e->workers);
	free(e->asked);
	free(e);
}

static struct enquiry **find(struct keeper *keeper, uint32_t id)
{
	struct enquiry **at = &keeper->enquiries;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

/* --- putting it together --- */

static bool add_worker(struct enquiry *e, const struct link_frame *worker, struct span status)
{
	return buffer_print(&e->workers,
		       "%s{\"number\":%u,\"generation\":%u,\"pid\":%d,\"answered\":%s",
		       e->workers.len ? "," : "", worker->number, worker->generation, worker->pid,
		       status.len ? "true" : "false") &&
	       (status.len == 0 || (buffer_add_text(&e->workers, ",\"status\":") &&
					   buffer_add(&e->workers, status))) &&
	       buffer_add_char(&e->workers, '}');
}

static struct asked *asked_of(struct enquiry *e, const struct link *link)
{
	for (size_t i = 0; i < e->n_asked; i++)
		if (e->asked[i].worker.pid == link->worker.pid)
			return &e->asked[i];
	return NULL;
}

/* Whether it has answered and is of the newest generation that has: what an old one knows of zones
 * and servers may be of no interest any more. */
static bool speaks_for_now(struct enquiry *e, const struct link *link)
{
	const struct asked *asked = asked_of(e, link);

	if (!asked || asked->state != ASKED_ANSWERED)
		return false;
	for (size_t i = 0; i < e->n_asked; i++)
		if (e->asked[i].state == ASKED_ANSWERED &&
			e->asked[i].worker.generation > asked->worker.generation)
			return false;
	return true;
}

/* To be freed. */
static struct ledger sum_of(struct enquiry *e)
{
	struct ledger sum = {.n = 0};

	ledger_add(&sum, &e->keeper->ended, false);
	for (const struct link *link = e->keeper->links; link; link = link->next)
		ledger_add(&sum, &link->ledger, speaks_for_now(e, link));
	return sum;
}

static bool add_totals(struct enquiry *e)
{
	const struct shared *shared = e->keeper->shared;
	struct record r;
	bool ok;

	record_init(&r, true, 16 * 1024);
	record_number(&r, "sessions_open", shared_sessions(shared));
	record_number(&r, "spool_memory_bytes", (int64_t)shared_spool_memory(shared));
	record_number(&r, "spool_disk_bytes", (int64_t)shared_spool_disk(shared));
	for (int i = 0; i < SHARED_COUNTER_COUNT; i++)
		record_number(&r, shared_counter_name((enum shared_counter)i),
			(int64_t)shared_count(shared, (enum shared_counter)i));
	ok = buffer_add_text(&e->state, ",\"totals\":") && buffer_add(&e->state, record_finish(&r));
	record_free(&r);
	return ok;
}

static bool add_store(struct enquiry *e)
{
	struct record r;
	bool ok;

	record_init(&r, true, STORE_MAX);
	record_string(&r, "kind", e->keeper->redis ? "redis" : "embedded");
	keeper_store_status(e->keeper->store, &r);
	if (e->keeper->redis) {
		record_open(&r, "redis");
		store_status(e->keeper->redis, &r);
		record_close(&r);
	}
	ok = buffer_add_text(&e->state, ",\"store\":") && buffer_add(&e->state, record_finish(&r));
	record_free(&r);
	return ok;
}

static bool add_sum(struct enquiry *e)
{
	struct ledger sum = sum_of(e);
	struct record r;
	struct span members;
	bool ok;

	record_init(&r, true, SUM_MAX);
	ledger_status(&sum, &r);
	members = record_finish(&r);
	/* Without its braces. */
	ok = buffer_add_char(&e->state, ',') &&
	     buffer_add(&e->state, span_from(span_first(members, members.len - 1), 1));
	record_free(&r);
	ledger_free(&sum);
	return ok;
}

static bool compose(struct enquiry *e)
{
	if (e->state.len == 0)
		return false;
	for (size_t i = 0; i < e->n_asked; i++)
		if (e->asked[i].state != ASKED_ANSWERED &&
			!add_worker(e, &e->asked[i].worker, SPAN_NONE))
			return false;
	return add_totals(e) && add_store(e) && add_sum(e) &&
	       buffer_add_text(&e->state, ",\"workers\":[") &&
	       buffer_add(&e->state, buffer_span(&e->workers)) &&
	       buffer_add_text(&e->state, "]}\n");
}

static void answer_status(struct enquiry *e)
{
	if (compose(e))
		reception_answer(e->keeper->reception, e->id, 0, buffer_span(&e->state));
	else
		reception_answer(e->keeper->reception, e->id, EXIT_NOT_WHOLE,
			SPAN("The supervisor does not answer.\n"));
}

static unsigned silent_of(const struct enquiry *e)
{
	unsigned silent = 0;

	for (size_t i = 0; i < e->n_asked; i++)
		silent += e->asked[i].state == ASKED_SILENT;
	return silent;
}

static void answer_metrics(struct enquiry *e)
{
	struct arena *arena = arena_new(16 * 1024);
	struct ledger sum = sum_of(e);
	struct metrics_sources sources = {
		.shared = e->keeper->shared, .sum = &sum, .silent = silent_of(e)};
	struct buffer text = BUFFER_INIT(METRICS_MAX);

	if (e->state.len && buffer_add_char(&e->state, '}'))
		sources.state = json_read(arena, buffer_span(&e->state));
	if (metrics_write(&sources, &text))
		reception_answer(e->keeper->reception, e->id, 0, buffer_span(&text));
	else
		reception_answer(e->keeper->reception, e->id, EXIT_NOT_WHOLE,
			SPAN("The metrics are too many.\n"));
	buffer_free(&text);
	ledger_free(&sum);
	arena_free(&arena);
}

static void finish(struct enquiry *e)
{
	struct enquiry **at = find(e->keeper, e->id);

	ENSURE(*at == e);
	*at = e->next;
	if (e->form == ENQUIRY_STATUS)
		answer_status(e);
	else
		answer_metrics(e);
	enquiry_free(e);
}

static void count_answer(struct enquiry *e)
{
	ENSURE(e->n_open > 0);
	if (--e->n_open == 0)
		finish(e);
}

static void on_timer(struct timer *timer)
{
	finish(CONTAINER_OF(timer, struct enquiry, timer));
}

/* --- asking --- */

static void ask_workers(struct enquiry *e, uint32_t sessions)
{
	size_t count = 0;

	for (struct link *link = e->keeper->links; link; link = link->next)
		count++;
	e->asked = memory_zeroed(count * sizeof(*e->asked));
	for (struct link *link = e->keeper->links; link; link = link->next) {
		struct ipc_frame frame = {.type = FRAME_STATUS,
			.id = e->id,
			.payload = span_make(&sessions, sizeof(sessions))};

		bool asked = ipc_send(link->ipc, &frame);

		e->asked[e->n_asked++] = (struct asked){
			.worker = link->worker, .state = asked ? ASKED_SILENT : ASKED_ENDED};
		e->n_open += asked;
	}
}

void enquiry_start(struct keeper *keeper, uint32_t id, enum enquiry_form form, uint32_t sessions)
{
	struct enquiry *e = memory_zeroed(sizeof(*e));

	e->keeper = keeper;
	e->id = id;
	e->form = form;
	e->timer.fire = on_timer;
	e->state = e->workers = BUFFER_INIT(ENQUIRY_MAX);
	e->next = keeper->enquiries;
	keeper->enquiries = e;
	e->n_open = keeper_ask_supervisor(keeper, FRAME_ASK_STATE, id, SPAN_NONE);
	ask_workers(e, sessions);
	timer_set(&keeper->loop.timers, &e->timer, e->n_open ? ENQUIRY_MS : 0);
}

void enquiry_on_state(struct keeper *keeper, uint32_t id, struct span json)
{
	struct enquiry *e = *find(keeper, id);

	if (!e || e->state.len || json.len < 2)
		return;
	ENSURE(buffer_add(&e->state, span_first(json, json.len - 1)));
	count_answer(e);
}

void enquiry_on_worker(struct link *link, uint32_t id, struct span json)
{
	struct enquiry *e = *find(link->keeper, id);
	struct asked *asked = e ? asked_of(e, link) : NULL;

	if (!asked || asked->state != ASKED_SILENT)
		return;
	if (e->form == ENQUIRY_METRICS || add_worker(e, &asked->worker, json))
		asked->state = ASKED_ANSWERED;
	count_answer(e);
}

void enquiry_on_link_end(struct link *link)
{
	struct enquiry *next;

	for (struct enquiry *e = link->keeper->enquiries; e; e = next) {
		struct asked *asked = asked_of(e, link);

		next = e->next;
		if (!asked || asked->state != ASKED_SILENT)
			continue;
		asked->state = ASKED_ENDED;
		count_answer(e);
	}
}

void enquiry_close_all(struct keeper *keeper)
{
	while (keeper->enquiries) {
		struct enquiry *e = keeper->enquiries;

		keeper->enquiries = e->next;
		enquiry_free(e);
	}
}

#include "admin/enquiry.h"

#include <stdlib.h>

#include "admin/keeper.h"
#include "admin/reception.h"
#include "lib/base/fail.h"

enum { ENQUIRY_MAX = 64 * 1024 * 1024, EXIT_NOT_WHOLE = 1 };

/* A worker that was asked. */
struct asked {
	struct link_frame worker;
	bool answered;
};

struct enquiry {
	struct enquiry *next;
	struct keeper *keeper;
	uint32_t id;
	struct timer timer;
	struct buffer
		state; /* the supervisor's object without its closing brace; empty: not there yet */
	struct buffer workers;  /* objects, with commas */
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

static bool compose(struct enquiry *e)
{
	if (e->state.len == 0)
		return false;
	for (size_t i = 0; i < e->n_asked; i++)
		if (!e->asked[i].answered && !add_worker(e, &e->asked[i].worker, SPAN_NONE))
			return false;
	return add_totals(e) && buffer_add_text(&e->state, ",\"workers\":[") &&
	       buffer_add(&e->state, buffer_span(&e->workers)) &&
	       buffer_add_text(&e->state, "]}\n");
}

static void finish(struct enquiry *e)
{
	struct enquiry **at = find(e->keeper, e->id);

	ENSURE(*at == e);
	*at = e->next;
	if (compose(e))
		reception_answer(e->keeper->reception, e->id, 0, buffer_span(&e->state));
	else
		reception_answer(e->keeper->reception, e->id, EXIT_NOT_WHOLE,
			SPAN("The supervisor does not answer.\n"));
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

		e->asked[e->n_asked++].worker = link->worker;
		e->n_open += ipc_send(link->ipc, &frame);
	}
}

void enquiry_start(struct keeper *keeper, uint32_t id, uint32_t sessions)
{
	struct enquiry *e = memory_zeroed(sizeof(*e));

	e->keeper = keeper;
	e->id = id;
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

static struct asked *asked_of(struct enquiry *e, const struct link *link)
{
	for (size_t i = 0; i < e->n_asked; i++)
		if (e->asked[i].worker.pid == link->worker.pid)
			return &e->asked[i];
	return NULL;
}

void enquiry_on_worker(struct link *link, uint32_t id, struct span json)
{
	struct enquiry *e = *find(link->keeper, id);
	struct asked *asked = e ? asked_of(e, link) : NULL;

	if (!asked || asked->answered)
		return;
	asked->answered = add_worker(e, &asked->worker, json);
	count_answer(e);
}

void enquiry_on_link_end(struct link *link)
{
	struct enquiry *next;

	for (struct enquiry *e = link->keeper->enquiries; e; e = next) {
		struct asked *asked = asked_of(e, link);

		next = e->next;
		if (!asked || asked->answered)
			continue;
		asked->answered = add_worker(e, &asked->worker, SPAN_NONE);
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

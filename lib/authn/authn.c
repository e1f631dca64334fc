/*
 * What a worker's filters see: tasks, and what becomes of them. Which runner takes a task, and what
 * follows from a runner's end, is crew.c's; how its socket is written and read, link.c's. Nothing
 * is called from within authn_start, authn_answer and their like: `wants` and `done` come from the
 * loop.
 */
#include "lib/authn/authn.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/authn/client.h"
#include "lib/base/fail.h"

enum {
	AUTHN_MAGIC = 0xa0741400,
	/* Of one task's answers; what comes beyond is told as trouble. Far more than any honest
	 * domain has, and less than would fill a runner. */
	ANSWER_BYTES_MAX = 1024 * 1024
};

/* --- lists --- */

void ask_list_add(struct ask_list *list, struct authn_ask *ask)
{
	ask->list = list;
	ask->next = NULL;
	ask->prev = list->last;
	if (list->last)
		list->last->next = ask;
	else
		list->first = ask;
	list->last = ask;
	list->n++;
}

void ask_list_take(struct authn_ask *ask)
{
	struct ask_list *list = ask->list;

	if (ask->prev)
		ask->prev->next = ask->next;
	else
		list->first = ask->next;
	if (ask->next)
		ask->next->prev = ask->prev;
	else
		list->last = ask->prev;
	list->n--;
	ask->list = NULL;
	ask->next = ask->prev = NULL;
}

/* --- the way of an ask --- */

static void ask_free(struct authn_ask *ask)
{
	if (ask->link)
		link_leave(ask);
	else
		ask_list_take(ask);
	ask->task->ask = NULL;
	buffer_free(&ask->answers);
	free(ask);
}

void ask_done(struct authn_ask *ask, enum authn_outcome outcome, struct span result)
{
	struct authn *authn = ask->authn;
	struct authn_task *task = ask->task;

	authn->n.answered += outcome == AUTHN_ANSWERED;
	authn->n.poisonous += outcome == AUTHN_POISONOUS;
	authn->n.away += outcome == AUTHN_AWAY;
	ask_free(ask);
	task->outcome = outcome;
	task->result = result;
	task->done(task);
}

/* 0 stands for no task. */
static uint32_t next_id(struct authn *authn)
{
	if (++authn->last_id == 0)
		authn->last_id = 1;
	return authn->last_id;
}

/* What it was told is told again when it is wanted again; what waits to be told still waits. */
void ask_requeue(struct authn_ask *ask, bool suspect)
{
	struct authn *authn = ask->authn;

	if (ask->link)
		link_leave(ask);
	else
		ask_list_take(ask);
	if (ask->begun) {
		authn->n.reruns++;
		buffer_clear(&ask->answers);
		ask->answer_bytes = 0;
		ask->id = next_id(authn);
	} else {
		suspect = false; /* the runner never saw it */
	}
	ask->begun = ask->ended = false;
	ask->sent = 0;
	ask->n_wanted = 0;
	ask->state = suspect ? ASK_SUSPECT : ASK_QUEUED;
	ask_list_add(suspect ? &authn->suspects : &authn->queued, ask);
	crew_work_soon(authn);
}

bool ask_is_ready(const struct authn_ask *ask)
{
	return !ask->task->read || ask->whole;
}

/* --- what the filters call --- */

void authn_start(struct authn *authn, struct authn_task *task)
{
	struct authn_ask *ask = memory_zeroed(sizeof(*ask));

	MAGIC_ENSURE(authn, AUTHN_MAGIC);
	ENSURE(!task->ask && task->done && task->wants && task->request.len <= WIRE_REQUEST_MAX);
	ask->authn = authn;
	ask->task = task;
	ask->id = next_id(authn);
	ask->state = ASK_QUEUED;
	ask->answers = BUFFER_INIT(2 * ANSWER_BYTES_MAX);
	task->ask = ask;
	task->outcome = AUTHN_PENDING;
	task->result = SPAN_NONE;
	ask_list_add(&authn->queued, ask);
	crew_work_soon(authn);
}

void authn_content(struct authn_task *task, struct span piece, uint64_t size)
{
	struct authn_ask *ask = task->ask;

	ENSURE(ask && !ask->whole && size >= ask->size);
	ask->size = size;
	if (!ask->link)
		return;
	if (ask->begun && ask->sent + piece.len == size)
		link_content(ask, piece);
	if (ask->sent < size)
		link_talk(ask);
}

void authn_end(struct authn_task *task)
{
	struct authn_ask *ask = task->ask;

	ENSURE(ask && !ask->whole);
	ask->whole = true;
	if (ask->link)
		link_talk(ask);
	else
		crew_work_soon(ask->authn);
}

/* Bounded for the runner's sake; the answer that is not believed is temporary by nature. */
void authn_answer(struct authn_task *task, const struct answer *answer)
{
	struct authn_ask *ask = task->ask;
	struct answer trouble = {
		.name = answer->name, .type = answer->type, .outcome = ANSWER_TROUBLE};
	struct buffer payload = BUFFER_INIT(WIRE_ANSWER_MAX);

	ENSURE(ask && answer->name.len <= WIRE_NAME_MAX);
	if (ask->answer_bytes >= ANSWER_BYTES_MAX)
		answer = &trouble;
	ENSURE(wire_answer_write(answer, &payload));
	ask->answer_bytes += payload.len;
	ENSURE(wire_put(&ask->answers, WIRE_ANSWER, ask->id, buffer_span(&payload)));
	if (ask->link)
		link_talk(ask);
	buffer_free(&payload);
}

void authn_cancel(struct authn_task *task)
{
	struct authn_ask *ask = task->ask;
	struct link *link;

	ENSURE(ask);
	link = ask->link;
	ask->authn->n.cancelled++;
	if (link)
		link_cancel(ask);
	ask_free(ask);
	if (link)
		crew_on_idle(link);
}

/* --- life --- */

struct authn *authn_open(struct loop *loop, struct log *log)
{
	struct authn *authn = memory_zeroed(sizeof(*authn));

	authn->magic = AUTHN_MAGIC;
	authn->loop = loop;
	authn->log = log;
	authn->control = -1;
	authn->away = true;
	authn->away_ms = loop_now_ms(loop);
	authn->work.run = crew_work;
	authn->retry.fire = crew_on_retry;
	authn->gave_up.fire = crew_on_gave_up;
	authn->read_buffer = memory_new(LOOP_READ_SIZE);
	return authn;
}

void authn_link(struct authn *authn, int fd)
{
	MAGIC_ENSURE(authn, AUTHN_MAGIC);
	crew_link(authn, fd);
}

void authn_close(struct authn **owner)
{
	struct authn *authn = *owner;

	if (!authn)
		return;
	MAGIC_ENSURE(authn, AUTHN_MAGIC);
	*owner = NULL;
	crew_unlink(authn);
	ENSURE(!authn->queued.n && !authn->suspects.n);
	timer_clear(&authn->loop->timers, &authn->retry);
	timer_clear(&authn->loop->timers, &authn->gave_up);
	loop_undefer(authn->loop, &authn->work);
	free(authn->read_buffer);
	authn->magic = 0;
	free(authn);
}

void authn_status(const struct authn *authn, struct record *r)
{
	unsigned n_links = 0, n_asks = 0;

	for (const struct link *link = authn->links; link; link = link->next) {
		n_links++;
		n_asks += link->asks.n;
	}
	record_open(r, "authn");
	record_bool(r, "linked", authn->control >= 0);
	record_number(r, "runners", n_links);
	record_number(r, "under_way", n_asks);
	record_number(r, "waiting", authn->queued.n);
	record_number(r, "suspects", authn->suspects.n);
	record_number(r, "answered", (int64_t)authn->n.answered);
	record_number(r, "poisonous", (int64_t)authn->n.poisonous);
	record_number(r, "away", (int64_t)authn->n.away);
	record_number(r, "cancelled", (int64_t)authn->n.cancelled);
	record_number(r, "reruns", (int64_t)authn->n.reruns);
	record_number(r, "runners_started", (int64_t)authn->n.runners);
	record_number(r, "crashes", (int64_t)authn->n.crashes);
	record_number(r, "stalls", (int64_t)authn->n.stalls);
	record_number(r, "nonsense", (int64_t)authn->n.nonsense);
	record_number(r, "killed", (int64_t)authn->n.killed);
	record_close(r);
}

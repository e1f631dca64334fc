#include "proxy/backend/job.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "proxy/backend/bond.h"
#include "proxy/backend/server.h"
#include "proxy/backend/trouble.h"

enum { JOB_MAGIC = 0x426a6f62 };

static void on_deadline(struct timer *timer);

/* --- birth and death --- */

struct backend_job *backend_job_new(struct backends *set, const char *backend,
	const struct client *client, struct backend_bond **bond)
{
	struct backend_job *job = set->spare;
	enum client_info info;

	if (job)
		set->spare = job->next;
	else
		job = memory_new(sizeof(*job));
	*job = (struct backend_job){.magic = JOB_MAGIC,
		.set = set,
		.backend = backends_find(set, backend),
		.deadline.fire = on_deadline,
		.failure = *backend_trouble_reply(TROUBLE_NO_SERVER),
		.next = set->jobs,
		.started_ms = loop_now_ms(set->loop)};
	info = job->backend->config->client_info;
	if (client && bond && (info == CLIENT_INFO_PROXY_V2 || info == CLIENT_INFO_XCLIENT))
		job->bond = backend_bond_of(set, bond);
	if (job->next)
		job->next->prev = job;
	set->jobs = job;
	backends_enter(set);
	return job;
}

void backend_job_free(struct backend_job *job)
{
	struct backends *set = job->set;

	MAGIC_ENSURE(job, JOB_MAGIC);
	ENSURE(!job->check && !job->delivery && !job->connection && job->state != JOB_WAITING);
	timer_clear(&set->loop->timers, &job->deadline);
	if (job->next)
		job->next->prev = job->prev;
	*(job->prev ? &job->prev->next : &set->jobs) = job->next;
	job->magic = 0;
	job->next = set->spare;
	set->spare = job;
	backends_leave(set);
}

const struct envelope *backend_job_envelope(const struct backend_job *job)
{
	return job->check ? job->check->envelope : job->delivery->envelope;
}

const struct client *backend_job_client(const struct backend_job *job)
{
	return job->check ? job->check->client : job->delivery->client;
}

struct span backend_job_sid(const struct backend_job *job)
{
	return job->check ? job->check->sid : job->delivery ? job->delivery->sid : SPAN_NONE;
}

/* --- the answer --- */

/* The first bytes of text that fit, not ending within a UTF-8 character. */
static size_t fitting(struct span text, size_t room)
{
	size_t len = text.len < room ? text.len : room;

	while (len < text.len && len && ((unsigned char)text.at[len] & 0xc0) == 0x80)
		len--;
	return len;
}

void backend_job_keep_reply(struct backend_job *job, const struct reply *reply)
{
	struct backends *set = job->set;
	struct reply *kept = job->check ? &job->check->reply : &job->delivery->reply;
	char *memory = job->check ? job->check->text_memory : job->delivery->text_memory;
	size_t room =
		job->check ? sizeof(job->check->text_memory) : sizeof(job->delivery->text_memory);
	struct span text = backends_clean(set, reply->text, backend_job_envelope(job)->smtputf8);

	text.len = fitting(text, room);
	memcpy(memory, text.at, text.len);
	*kept = *reply;
	kept->text = span_make(memory, text.len);
	if (reply->code == 421)
		kept->code = 451;
	else if (reply->code < 300)
		kept->code = 250;
}

static void on_check_done(struct deferred *deferred)
{
	struct check *check = CONTAINER_OF(deferred, struct check, deferred);

	check->done(check);
}

static void on_delivery_done(struct deferred *deferred)
{
	struct delivery *delivery = CONTAINER_OF(deferred, struct delivery, deferred);

	delivery->done(delivery);
}

void backend_job_answer_check(
	struct backend_job *job, enum check_outcome outcome, const struct reply *reply)
{
	struct check *check = job->check;

	if (reply)
		check->reply = *reply;
	check->outcome = outcome;
	check->private = NULL;
	check->deferred.run = on_check_done;
	job->check = NULL;
	loop_defer(job->set->loop, &check->deferred);
}

void backend_job_answer_delivery(
	struct backend_job *job, enum delivery_outcome outcome, const struct reply *reply)
{
	struct delivery *delivery = job->delivery;

	if (reply)
		delivery->reply = *reply;
	delivery->outcome = outcome;
	delivery->server = job->server ? job->server->config->address : NULL;
	delivery->attempts = job->attempts;
	if (job->sent_ms)
		delivery->answer_ms = loop_now_ms(job->set->loop) - job->sent_ms;
	delivery->private = NULL;
	delivery->deferred.run = on_delivery_done;
	job->delivery = NULL;
	loop_defer(job->set->loop, &delivery->deferred);
}

void backend_job_answer(struct backend_job *job, const struct reply *reply)
{
	const struct reply *said = reply        ? reply
				   : job->check ? &job->check->reply
						: &job->delivery->reply;
	unsigned class = said->code / 100;

	if (job->check)
		backend_job_answer_check(job,
			class == 2   ? CHECK_WELCOME
			: class == 5 ? CHECK_REFUSED
				     : CHECK_DEFERRED,
			reply);
	else
		backend_job_answer_delivery(job,
			class == 2   ? DELIVERY_ACCEPTED
			: class == 5 ? DELIVERY_REFUSED
				     : DELIVERY_DEFERRED,
			reply);
}

void backend_job_end(struct backend_job *job, const struct reply *reply)
{
	struct backend_connection *c = job->connection;

	/* The connection first: a caller who goes on at once with its next message finds it free.
	 */
	job->connection = NULL;
	if (c)
		backend_connection_release(c);
	backend_job_answer(job, reply);
	backend_job_free(job);
}

/* --- looking for a connection --- */

/* The client's own connection. false: it has none that will do. */
static bool seek_bond(struct backend_job *job)
{
	struct backend_connection *c = job->bond->connection;

	if (!c)
		return false;
	if (!c->idle) {
		backend_bond_wait(job->bond, job);
		return true;
	}
	if (c->server->backend != job->backend) {
		backend_connection_quit(c);
		return false;
	}
	job->server = c->server;
	job->pool = c->pool;
	backend_pool_take_idle(c->pool, c);
	backend_job_run(job, c);
	return true;
}

void backend_job_seek(struct backend_job *job)
{
	struct backend_server *server;

	job->state = JOB_SEEKING;
	if (job->bond && seek_bond(job))
		return;
	server = backend_server_choose(job->backend, job->tried);
	if (!server) {
		backend_job_end(job, job->failure.code ? &job->failure : NULL);
		return;
	}
	if (job->server != server)
		job->wait_until_ms = 0;
	job->server = server;
	job->pool = job->check && !job->bond ? &server->checks : &server->mail;
	backend_pool_ask(job->pool, job, false);
}

void backend_job_wait(struct backend_job *job, uint64_t timeout_ms)
{
	uint64_t now_ms = loop_now_ms(job->set->loop);

	job->state = JOB_WAITING;
	/* One that must wait again at the same server goes on with the time it had. */
	if (!job->wait_until_ms)
		job->wait_until_ms = now_ms + timeout_ms;
	timer_set(&job->set->loop->timers, &job->deadline,
		job->wait_until_ms > now_ms ? job->wait_until_ms - now_ms : 0);
}

void backend_job_waited(struct backend_job *job)
{
	job->state = JOB_SEEKING;
	timer_clear(&job->set->loop->timers, &job->deadline);
}

static void leave_queue(struct backend_job *job)
{
	if (job->waits_in)
		backend_bond_forget(job->waits_in, job);
	else
		backend_pool_forget(job->pool, job);
	backend_job_waited(job);
}

static void on_deadline(struct timer *timer)
{
	struct backend_job *job = CONTAINER_OF(timer, struct backend_job, deadline);

	MAGIC_ENSURE(job, JOB_MAGIC);
	leave_queue(job);
	backend_job_end(job, backend_trouble_reply(TROUBLE_BUSY));
}

void backend_job_run(struct backend_job *job, struct backend_connection *c)
{
	uint64_t now_ms = loop_now_ms(job->set->loop);

	ENSURE(c->state == CONNECTION_READY && !c->job);
	job->state = JOB_RUNNING;
	job->connection = c;
	job->server = c->server;
	job->sent_ms = now_ms;
	c->state = CONNECTION_BUSY;
	c->job = job;
	if (c->uses++)
		job->attempts++; /* a new one was counted when it was begun */
	if (job->delivery) {
		job->delivery->connect_ms = now_ms - job->started_ms;
		job->delivery->reused = c->uses > 1;
	}
	backend_exchange_begin(job);
}

void backend_job_over(struct backend_job *job)
{
	struct backend_connection *c = job->connection;

	job->connection = NULL;
	backend_connection_release(c);
	backend_job_free(job);
}

/* --- when the connection is lost --- */

static const struct reply *meaning(const struct backend_loss *loss)
{
	static const enum backend_trouble troubles[] = {
		[LOSS_CONNECT] = TROUBLE_NO_SERVER,
		[LOSS_TLS] = TROUBLE_NO_SERVER,
		[LOSS_UNFIT] = TROUBLE_UNFIT,
		[LOSS_BROKEN] = TROUBLE_LOST,
		[LOSS_TIMEOUT] = TROUBLE_SLOW,
		[LOSS_CLOSING] = TROUBLE_LOST,
		[LOSS_GARBAGE] = TROUBLE_GARBAGE,
	};

	return backend_trouble_reply(troubles[loss->kind]);
}

/* What is certain already stands. true: the caller is answered. */
static bool answer_what_stands(struct backend_job *job, const char *why)
{
	const struct backend_exchange *x = &job->exchange;

	if (x->refused || (x->some_refused && x->n_recipients == 1)) {
		backend_job_answer(job, NULL);
		return true;
	}
	if (x->end_went_out) {
		log_event(job->set->log, LOG_WARNING, "delivery_in_doubt", backend_job_sid(job),
			"%s behind the end of the message: %s", job->server->config->address, why);
		backend_job_answer_delivery(
			job, DELIVERY_IN_DOUBT, backend_trouble_reply(TROUBLE_IN_DOUBT));
		return true;
	}
	return false;
}

/* On to another server, if there is one. */
static void seek_elsewhere(struct backend_job *job, const struct backend_loss *loss)
{
	bool crowded = loss->kind == LOSS_CONNECT &&
		       loop_now_ms(job->set->loop) < job->server->crowded_until_ms;

	if (!crowded)
		job->tried |= SERVER_BIT(job->server->index);
	job->failure = *meaning(loss);
	if (loss->kind == LOSS_CLOSING && loss->reply) {
		backend_job_keep_reply(job, loss->reply);
		job->failure.code = 0;
	}
	backend_job_seek(job);
}

void backend_job_lost(struct backend_job *job, const struct backend_loss *loss)
{
	bool running = job->state == JOB_RUNNING;
	bool may_be_stale = loss->kind == LOSS_BROKEN || loss->kind == LOSS_CLOSING;

	job->connection = NULL;
	job->state = JOB_SEEKING;
	if (!job->check && !job->delivery) {
		backend_job_free(job);
	} else if (running && answer_what_stands(job, loss->why)) {
		backend_job_free(job);
	} else if (loss->kind == LOSS_TLS ||
		   (running && may_be_stale && loss->reused && !job->replaced)) {
		job->replaced = running || job->replaced;
		if (job->server->health == SERVER_DOWN)
			backend_job_seek(job);
		else
			backend_pool_ask(job->pool, job, true);
	} else if (!running || loss->kind == LOSS_CLOSING) {
		seek_elsewhere(job, loss);
	} else {
		backend_job_end(job, meaning(loss));
	}
}

/* --- the caller wants it no more --- */

static void answer_cancelled(struct backend_job *job)
{
	if (job->check)
		backend_job_answer_check(job, CHECK_CANCELLED, NULL);
	else
		backend_job_answer_delivery(job, DELIVERY_CANCELLED, NULL);
}

void backend_job_cancel(struct backend_job *job)
{
	struct backend_connection *c = job->connection;

	MAGIC_ENSURE(job, JOB_MAGIC);
	if (job->state == JOB_RUNNING && job->exchange.end_went_out)
		return;
	answer_cancelled(job);
	switch (job->state) {
	case JOB_SEEKING:
		break;
	case JOB_WAITING:
		leave_queue(job);
		break;
	case JOB_CONNECTING:
		/* The connection goes on, into the pool. */
		c->job = NULL;
		job->connection = NULL;
		break;
	case JOB_RUNNING:
		/* A check that has said all its lines ends by itself, and the cache has its answer.
		 */
		if (job->exchange.next.turn == TURN_OVER && job->exchange.plan == PLAN_CHECK) {
			job->state = JOB_FINISHING;
			return;
		}
		backend_connection_drop(c);
		break;
	case JOB_FINISHING:
		ENSURE(!"a question that was answered");
	}
	backend_job_free(job);
}

void backend_job_abandon(struct backend_job *job)
{
	struct backend_connection *c = job->connection;

	if (job->delivery && job->state == JOB_RUNNING && job->exchange.end_went_out) {
		backend_job_answer_delivery(
			job, DELIVERY_IN_DOUBT, backend_trouble_reply(TROUBLE_IN_DOUBT));
	} else if (job->check || job->delivery) {
		backend_job_cancel(job);
		return;
	}
	if (c)
		backend_connection_drop(c);
	backend_job_free(job);
}

const char *backend_job_waits_for(const struct backend_job *job)
{
	if (!job)
		return "backend";
	if (job->connection)
		return backend_connection_waits_for(job->connection);
	return "backend connection";
}

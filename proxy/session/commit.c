/*
 * The end of a message: refused for its own faults, or handed to the backend, whose answer is ours.
 * The audit record is on its way before the client hears anything.
 */
#include "proxy/session/session.h"

static const char *verdict_of(const struct reply *reply)
{
	return reply->code < 300 ? "accept" : reply->code < 500 ? "defer" : "reject";
}

/* The reply is put into the queue while its text lives, the record is sent, then the queue is
 * flushed by the driver. */
static enum step conclude(struct session *s, const char *verdict, const struct reply *reply)
{
	session_set_state(s, SESSION_COMMAND);
	session_tell(s, reply);
	transaction_end(&s->transaction, verdict, reply);
	return STEP_NEXT;
}

enum step commit_refuse(struct session *s, const struct reply *reply)
{
	return conclude(s, verdict_of(reply), reply);
}

static void delivery_done(struct delivery *delivery)
{
	struct session *s = delivery->context;

	s->transaction->asking = false;
	session_run(s);
}

enum step commit_start(struct session *s)
{
	struct transaction *t = s->transaction;

	if (t->fault != FAULT_NONE) {
		struct reply reply = fault_reply(t->fault);

		return commit_refuse(s, &reply);
	}
	received_add(t);
	t->commit_us = clock_now_us(&s->worker->loop->clock);
	t->delivery = (struct delivery){
		.client = &s->client,
		.bond = &s->bond,
		.envelope = &t->envelope,
		.message = &t->message,
		.sid = session_id(s),
		.timeout_ms = s->worker->config->timeouts.data_end,
		.done = delivery_done,
		.context = s,
	};
	session_set_state(s, SESSION_COMMIT);
	t->asking = true;
	delivery_start(s->worker->backends, &t->delivery);
	return STEP_NEXT;
}

enum step step_commit(struct session *s)
{
	struct transaction *t = s->transaction;
	struct reply reply = t->delivery.reply;

	if (t->asking)
		return STEP_WAIT;
	t->client_gone = s->peer == PEER_GONE;
	switch (t->delivery.outcome) {
	case DELIVERY_ACCEPTED:
		s->junk = s->errors = 0;
		return conclude(s, "accept", &reply);
	case DELIVERY_REFUSED:
	case DELIVERY_DEFERRED:
		return conclude(s, verdict_of(&reply), &reply);
	case DELIVERY_IN_DOUBT:
		return conclude(s, "in_doubt", &reply);
	case DELIVERY_CANCELLED:
	case DELIVERY_PENDING:
		break;
	}
	reply = REPLY(451, "4.3.2", "Going down, try again");
	return conclude(s, t->client_gone ? "abandoned" : "defer", &reply);
}

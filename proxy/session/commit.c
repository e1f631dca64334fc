/*
 * The end of a message: refused for its own faults, or judged by the rules and carried to where they
 * say: the backend, the quarantine, nowhere. The client hears of it when all is done; the audit
 * record is on its way before.
 *
 *     JUDGE (facts) [-> DELAY] -> for each cohort: COMMIT (backend) | KEEP (quarantine) | told at once
 *     -> answered
 *
 * A transaction has one cohort, but with PRDR: then each is carried out in its turn, and each
 * recipient gets its own reply.
 */
#include "lib/base/fail.h"
#include "proxy/session/session.h"

enum { PRDR_TEXT_MAX = 4096 };

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

/* --- what recipients are told --- */

/* A reply's text lives as long as what made it; the cohort's is asked for later. */
static void settle(struct transaction *t, struct cohort *c, const char *verdict, struct reply reply)
{
	reply.text = arena_span(t->arena, reply.text);
	c->reply = reply;
	c->verdict = verdict;
	judge_count(t, c);
}

/* The one that speaks for the message as a whole: of one that was taken for somebody, if any. */
static const struct cohort *spokesman(const struct transaction *t)
{
	const struct cohort *best = t->cohorts;

	for (const struct cohort *c = t->cohorts; c; c = c->next)
		if (c->reply.code < best->reply.code)
			best = c;
	return best;
}

/* draft-hall-prdr 3: 353, a reply for each recipient in the order of RCPT, the message's own. */
static void tell_each(struct session *s)
{
	const struct reply begin = {.code = 353, .text = SPAN("Each recipient's answer follows")};

	session_tell(s, &begin);
	for (const struct attempt *a = s->transaction->attempts; a; a = a->next)
		if (a->recipient)
			session_tell(s, &a->cohort->reply);
}

static enum step speak(struct session *s)
{
	struct transaction *t = s->transaction;
	const struct cohort *c = spokesman(t);

	if (t->prdr && t->envelope.n_recipients > 1)
		tell_each(s);
	if (c->reply.code < 300)
		s->junk = s->errors = 0;
	return conclude(s, c->verdict, &c->reply);
}

/* --- carrying out --- */

static enum step carry_on(struct session *s);

static void delivery_done(struct delivery *delivery)
{
	struct session *s = delivery->context;

	s->transaction->asking = false;
	session_run(s);
}

/* What goes on for this cohort: the message as it came, our trace, the edits of its rules. */
static struct message_change *prepare(struct transaction *t, struct cohort *c, size_t *n)
{
	struct message_change *before = t->message.changes;
	struct span content = spool_memory(&t->message.spool);

	*n = t->message.n_changes;
	buffer_clear(&t->message.prefix);
	received_add(t, &c->envelope);
	if (!edits_empty(&c->edits))
		edits_apply(&c->edits, &t->message, t->arena, span_first(content, t->header_size),
			t->envelope.smtputf8);
	return before;
}

static enum step deliver(struct session *s, struct cohort *c)
{
	struct transaction *t = s->transaction;

	if (!t->commit_us)
		t->commit_us = clock_now_us(&s->worker->loop->clock);
	t->delivery = (struct delivery){
		.backend = c->backend,
		.client = &s->client,
		.bond = &s->bond,
		.envelope = &c->envelope,
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
	const char *verdict = verdict_of(&reply);

	if (t->asking)
		return STEP_WAIT;
	t->client_gone = s->peer == PEER_GONE;
	if (t->delivery.outcome == DELIVERY_IN_DOUBT) {
		verdict = "in_doubt";
	} else if (t->delivery.outcome == DELIVERY_CANCELLED ||
		   t->delivery.outcome == DELIVERY_PENDING) {
		reply = REPLY(451, "4.3.2", "Going down, try again");
		verdict = t->client_gone ? "abandoned" : "defer";
	}
	settle(t, t->carried, verdict, reply);
	return carry_on(s);
}

static void keep_done(struct quarantine_write *write)
{
	struct session *s = write->context;

	s->transaction->asking = false;
	session_run(s);
}

static enum step keep(struct session *s, struct cohort *c)
{
	struct transaction *t = s->transaction;
	int64_t low, high;

	evaluation_score(c->evaluation, &low, &high);
	t->keeping = (struct quarantine_write){0};
	(void)keep_done;
	return carry_on(s);
}

static enum step carry_out(struct session *s, struct cohort *c)
{
	struct transaction *t = s->transaction;
	enum sternness sternness = outcome_sternness(&c->outcome);

	t->carried = c;
	switch (sternness) {
	case STERN_ACCEPT:
		return deliver(s, c);
	case STERN_QUARANTINE:
		return keep(s, c);
	case STERN_DISCARD:
		settle(t, c, "discard", REPLY(250, "2.0.0", "Message accepted"));
		break;
	case STERN_DEFER:
	case STERN_REJECT:
		settle(t, c, sternness == STERN_REJECT ? "reject" : "defer",
			judge_reply(t, c, t->arena));
		break;
	}
	return carry_on(s);
}

/* The next cohort, or the end. */
static enum step carry_on(struct session *s)
{
	struct transaction *t = s->transaction;
	struct cohort *c = t->carried ? t->carried->next : t->cohorts;

	for (; c; c = c->next) {
		struct message_change *before;
		size_t n;

		(void)before;
		(void)n;
	}
	return c ? carry_out(s, c) : speak(s);
}

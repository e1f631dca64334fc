/*
 * The end of a message: refused for its own faults, or judged by the rules and carried to where
 * they say: the backend, the quarantine, nowhere. The client hears of it when all is done; the
 * audit record is on its way before.
 *
 *     JUDGE (facts) [-> DELAY] -> for each cohort: COMMIT (backend) | KEEP (quarantine) | told at
 * once
 *     -> answered
 *
 * A transaction has one cohort, but with PRDR: then each is carried out in its turn, and each
 * recipient gets its own reply.
 */
#include "lib/base/fail.h"
#include "proxy/session/session.h"

/* Our Received is bounded by what an envelope and a HELO may hold. */
enum { PREFIX_MAX = 8 * 1024 + RESULTS_TRACE_MAX + RESULTS_FIELD_MAX };

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
	shared_speak(s->worker->row, AT_message, verdict_of(reply));
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
	if (!t->client_gone)
		judge_add(t, c);
	shared_speak(t->session->worker->row, AT_message, verdict);
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

/* draft-hall-prdr 3: 353, a reply for each recipient in the order of RCPT, the message's own. Each
 * is one line, so that all together are bounded (PRDR_RECIPIENTS_MAX). */
static void tell_each(struct session *s)
{
	const struct reply begin = {.code = 353, .text = SPAN("Each recipient's answer follows")};

	session_tell(s, &begin);
	for (const struct attempt *a = s->transaction->attempts; a; a = a->next) {
		struct reply reply;

		if (!a->recipient)
			continue;
		reply = a->cohort->reply;
		reply.text = span_first(reply.text, span_find_char(reply.text, '\n'));
		session_tell(s, &reply);
	}
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

/* Only in an SMTPUTF8 message: of addresses that stand in our fields. */
static bool has_eight_bit(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] > 127)
			return true;
	return false;
}

/* What goes on for this cohort: the message as it came, below our trace, with the edits of its
 * rules. The bytes are shared. */
static void prepare(struct transaction *t, const struct cohort *c)
{
	struct span content = spool_memory(&t->message.spool);
	struct subject subject;
	struct results results = judge_results(t, &subject);

	t->going = t->message;
	t->going.prefix = BUFFER_INIT(PREFIX_MAX);
	results_write_trace(&results, &t->going.prefix);
	received_add(t, &c->envelope, &t->going.prefix);
	results_write(&results, &t->going.prefix);
	t->going.eight_bit = t->going.eight_bit || has_eight_bit(buffer_span(&t->going.prefix));
	edits_apply(&c->edits, &t->going, t->arena, span_first(content, t->header_size),
		t->envelope.smtputf8);
}

static enum step deliver(struct session *s, struct cohort *c)
{
	struct transaction *t = s->transaction;

	if (!t->commit_us)
		t->commit_us = clock_now_us(&s->worker->loop->clock);
	prepare(t, c);
	t->delivery = (struct delivery){
		.backend = c->backend,
		.client = &s->client,
		.bond = &s->bond,
		.envelope = &c->envelope,
		.message = &t->going,
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

/* What it was carried in is given back, and the next one's turn comes. */
static enum step carried(struct session *s, const char *verdict, struct reply reply)
{
	struct transaction *t = s->transaction;

	t->client_gone = s->peer == PEER_GONE;
	settle(t, t->carried, verdict, reply);
	buffer_free(&t->going.prefix);
	return carry_on(s);
}

enum step step_commit(struct session *s)
{
	const struct transaction *t = s->transaction;
	const struct reply *reply = &t->delivery.reply;

	if (t->asking)
		return STEP_WAIT;
	switch (t->delivery.outcome) {
	case DELIVERY_ACCEPTED:
	case DELIVERY_REFUSED:
	case DELIVERY_DEFERRED:
		return carried(s, verdict_of(reply), *reply);
	case DELIVERY_IN_DOUBT:
		return carried(s, "in_doubt", *reply);
	case DELIVERY_CANCELLED:
	case DELIVERY_PENDING:
		break;
	}
	return carried(s, s->peer == PEER_GONE ? "abandoned" : "defer",
		REPLY(451, "4.3.2", "Going down, try again"));
}

/* --- quarantine --- */

static void keep_done(struct quarantine_write *write)
{
	struct session *s = write->context;

	s->transaction->asking = false;
	session_run(s);
}

static enum step keep(struct session *s, struct cohort *c)
{
	struct transaction *t = s->transaction;
	const struct rule *rule = c->outcome.rule;
	int64_t low, high;

	prepare(t, c);
	evaluation_score(c->evaluation, &low, &high);
	t->kept = (struct quarantined){.time_ms = clock_wall_ms(&s->worker->loop->clock),
		.sid = session_id(s),
		.tid = t->tid,
		.client = s->client,
		.envelope = c->envelope,
		.backend = span_text(c->backend),
		.rule = span_text(rule->name),
		.why = judge_text(t, c, rule, c->outcome.final->text, t->arena),
		.score = (double)low / SCORE_UNIT};
	t->keeping = (struct quarantine_write){
		.about = &t->kept, .message = &t->going, .done = keep_done, .context = s};
	session_set_state(s, SESSION_KEEP);
	t->asking = true;
	quarantine_write(s->worker->quarantine, &t->keeping);
	return STEP_NEXT;
}

enum step step_keep(struct session *s)
{
	struct transaction *t = s->transaction;
	bool kept = t->keeping.outcome == QUARANTINE_KEPT;

	if (t->asking)
		return STEP_WAIT;
	if (kept)
		t->carried->kept_as = arena_string(t->arena, span_text(t->keeping.id));
	return carried(s, kept ? "quarantine" : "defer", quarantine_reply(&t->keeping));
}

/* --- one cohort after the other --- */

static enum step carry_on(struct session *s)
{
	struct transaction *t = s->transaction;

	for (;;) {
		struct cohort *c = t->carried ? t->carried->next : t->cohorts;
		enum sternness sternness;

		if (!c)
			return speak(s);
		t->carried = c;
		sternness = outcome_sternness(&c->outcome);
		if (t->client_gone) /* nothing was said to it: nothing more is done for it */
			settle(t, c, "abandoned", REPLY(451, "4.3.2", "You left"));
		else if (s->worker->drain == WORKER_DRAIN_NOW) /* nothing new is begun */
			settle(t, c, "defer", REPLY(451, "4.3.2", "Going down, try again"));
		else if (sternness == STERN_ACCEPT)
			return deliver(s, c);
		else if (sternness == STERN_QUARANTINE)
			return keep(s, c);
		else if (sternness == STERN_DISCARD)
			settle(t, c, "discard", REPLY(250, "2.0.0", "Message accepted"));
		else
			settle(t, c, sternness == STERN_REJECT ? "reject" : "defer",
				judge_reply(t, c, t->arena));
	}
}

static uint64_t longest_delay(const struct transaction *t)
{
	uint64_t delay_ms = 0;

	for (const struct cohort *c = t->cohorts; c; c = c->next)
		if (c->delay_ms > delay_ms)
			delay_ms = c->delay_ms;
	return delay_ms;
}

enum step step_judge(struct session *s)
{
	struct transaction *t = s->transaction;

	if (s->peer == PEER_GONE)
		return STEP_CLOSED;
	if (!t->delayed && judge_message(t) == JUDGE_WAIT)
		return STEP_WAIT;
	if (!t->judged_us)
		t->judged_us = clock_now_us(&s->worker->loop->clock);
	if (!t->delayed && longest_delay(t)) {
		t->delayed = true;
		return session_delay(s, longest_delay(t), SESSION_JUDGE);
	}
	if (!t->prdr)
		cohorts_merge(t);
	return carry_on(s);
}

enum step commit_start(struct session *s)
{
	struct transaction *t = s->transaction;

	if (t->fault != FAULT_NONE) {
		struct reply reply = fault_reply(t->fault);

		return commit_refuse(s, &reply);
	}
	t->judge_us = clock_now_us(&s->worker->loop->clock);
	session_set_state(s, SESSION_JUDGE);
	return STEP_NEXT;
}

/*
 * One look at the rules is the same at every stage: run the evaluator, have the pipeline start what
 * is wanted, and again as long as something became known at once. What differs is which slots have
 * values by then, and what is done with what the rules say.
 */
#include "proxy/session/judge.h"

#include <stdlib.h>

#include "lib/base/fail.h"
#include "policy/text.h"
#include "proxy/session/adding.h"
#include "proxy/session/judging.h"

/* --- looks --- */

struct subject judge_subject(const struct judge *j, const struct fact_value *recipient)
{
	struct subject subject;

	for (int stage = 0; stage < STAGE_COUNT; stage++)
		subject.at[stage] = pipeline_values(j->pipeline, (enum stage)stage);
	if (recipient)
		subject.at[STAGE_RCPT] = recipient;
	return subject;
}

bool judge_goes_on(const struct transaction *t)
{
	bool some = false;

	for (const struct cohort *c = t->cohorts; c; c = c->next) {
		struct outcome outcome = outcome_of(c->evaluation);
		bool goes_on = !outcome.certain || outcome_sternness(&outcome) <= STERN_QUARANTINE;

		if (!goes_on && !t->prdr)
			return false; /* one reply for all, the sternest */
		some = some || goes_on;
	}
	return some && t->fault == FAULT_NONE;
}

/* Nothing is asked before somebody shall have the message: a refused one costs no lookups but those
 * of its rules. */
bool judge_want(struct judge *j, const bool *wanted)
{
	const struct transaction *t = j->session->transaction;
	struct bench *b = j->bench;

	if (!b->always || !t || !judge_goes_on(t))
		return pipeline_want(j->pipeline, wanted);
	j->measuring = true;
	memcpy(b->told, wanted, b->policy->n_slots);
	for (size_t i = 0; i < b->n_results; i++)
		b->told[b->results[i]->number] = true;
	return pipeline_want(j->pipeline, b->told);
}

/* What is under way for recipients that were accepted stays wanted. */
static void add_wants_of_cohorts(struct judge *j)
{
	struct bench *b = j->bench;

	for (struct cohort *c = j->session->transaction->cohorts; c; c = c->next) {
		struct subject subject = judge_subject(j, c->values);

		evaluation_run(c->evaluation, &subject);
		evaluation_wants(c->evaluation, &subject, STAGE_RCPT, b->waits);
		for (size_t i = 0; i < b->policy->n_slots; i++)
			b->wanted[i] |= b->waits[i];
	}
}

/* rcpt.valid is the word of the backend that `route` chooses: it waits for that. */
static void hold_question(struct judge *j, const struct evaluation *e)
{
	if (j->bench->rcpt_valid && evaluation_route_is_open(e))
		j->bench->wanted[j->bench->rcpt_valid->number] = false;
}

/* Until nothing more becomes known at once. */
static struct subject look(struct judge *j, struct evaluation *e, enum stage reached)
{
	struct subject subject;

	do {
		subject = judge_subject(j, NULL);
		evaluation_run(e, &subject);
		evaluation_wants(e, &subject, reached, j->bench->wanted);
		if (reached == STAGE_RCPT) {
			bench_want_own(j->bench->policy, &subject, j->bench->wanted);
			add_wants_of_cohorts(j);
			hold_question(j, e);
		}
	} while (judge_want(j, j->bench->wanted));
	return subject;
}

static void on_changed(void *context)
{
	session_run(context);
}

static void note_refusal(struct judge *j, const struct evaluation *e, const struct subject *subject,
	const struct outcome *outcome, struct arena *arena)
{
	const struct action *a = outcome->final;
	struct buffer text = BUFFER_INIT(JUDGE_TEXT_MAX);
	struct render render = {.e = e,
		.subject = subject,
		.rule = outcome->rule,
		.sid = session_id(j->session),
		.ascii = true};

	if (!text_render(a->text, &render, &text)) {
		/* What fits will do. */
	}
	j->refusal = (struct reply){.code = a->code, .text = arena_span(arena, buffer_span(&text))};
	memcpy(j->refusal.enhanced, a->enhanced, sizeof(j->refusal.enhanced));
	j->refused_by = outcome->rule;
	j->refusal_blame = consequences_blame(e, outcome);
	j->refusal_delay_ms = judge_delay_of(e);
	buffer_free(&text);
}

/* A look before there is a recipient: only `reject now` is spoken then. arena: of the stage, for
 * the text. */
static enum judge_status look_for_now(
	struct judge *j, struct evaluation *e, enum stage reached, struct arena *arena)
{
	struct subject subject = look(j, e, reached);
	struct outcome outcome = outcome_of(e);

	if (!outcome.certain || !outcome.final || !outcome.final->now)
		return JUDGE_OPEN;
	note_refusal(j, e, &subject, &outcome, arena);
	bench_count(j->bench, e);
	adding_tell(j->session, e, &subject);
	return JUDGE_CERTAIN;
}

static enum judge_status look_afresh(struct judge *j, enum stage reached, struct arena *arena)
{
	evaluation_restart(j->bench->evaluation);
	return look_for_now(j, j->bench->evaluation, reached, arena);
}

struct reply judge_refusal(struct session *s, const struct rule **rule)
{
	*rule = s->judge->refused_by;
	return s->judge->refusal;
}

enum blame judge_refusal_blame(const struct session *s)
{
	return s->judge->refusal_blame;
}

const struct due *judge_dues(const struct session *s, enum stage stage)
{
	return s->judge ? pipeline_dues(s->judge->pipeline, stage) : NULL;
}

uint64_t judge_refusal_delay(const struct session *s)
{
	return s->judge->refusal_delay_ms;
}

/* --- connect, helo --- */

static struct judge *judge_new(struct session *s)
{
	struct judge *j = memory_zeroed(sizeof(*j));

	j->session = s;
	j->bench = s->worker->bench;
	j->view.listener = s->listen->address;
	j->view.ask_recipient = judge_ask_recipient;
	j->view.forget_recipient = judge_forget_recipient;
	j->pipeline = pipeline_new(j->bench->filters, &j->view, on_changed, s);
	pipeline_replay(j->pipeline, judge_replay);
	return j;
}

void judge_free(struct judge **judge)
{
	struct judge *j = *judge;

	if (!j)
		return;
	pipeline_free(&j->pipeline);
	free(j);
	*judge = NULL;
}

static void view_client(struct judge *j)
{
	const struct client *client = &j->session->client;

	j->view.client = client->remote;
	j->view.local = client->local;
	j->view.client_name = client->name;
	j->view.wall_ms = clock_wall_ms(&j->session->worker->loop->clock);
}

static bool waits_for_talk(const struct judge *j)
{
	const struct slot *slot = j->bench->early_talker;
	struct subject subject = judge_subject(j, NULL);

	return slot && j->bench->wanted[slot->number] &&
	       subject_value(&subject, slot)->state == FACT_PENDING;
}

enum judge_status judge_connect(struct session *s)
{
	enum judge_status status;

	if (!s->worker->bench)
		return JUDGE_OPEN;
	if (!s->judge)
		s->judge = judge_new(s);
	if (!s->judge->connected) {
		s->judge->connected = true;
		view_client(s->judge);
		pipeline_enter(s->judge->pipeline, STAGE_CONNECT, session_arena(s));
	}
	status = look_afresh(s->judge, STAGE_CONNECT, session_arena(s));
	return status == JUDGE_OPEN && waits_for_talk(s->judge) ? JUDGE_WAIT : status;
}

bool judge_minds_talk(const struct session *s)
{
	return s->worker->bench && s->worker->bench->early_talker;
}

void judge_note_talk(struct session *s)
{
	s->judge->view.talked = true;
}

void judge_forget_client(struct session *s)
{
	if (!s->judge)
		return;
	judge_forget_helo(s);
	pipeline_leave(s->judge->pipeline, STAGE_CONNECT);
	s->judge->connected = false;
	s->judge->view.talked = s->judge->view.greeted = false;
}

enum judge_status judge_helo(struct session *s)
{
	struct judge *j = s->judge;

	if (!j)
		return JUDGE_OPEN;
	j->view.greeted = true;
	j->view.helo = s->client.helo;
	j->view.esmtp = s->client.esmtp;
	pipeline_enter(j->pipeline, STAGE_HELO, s->helo_arena);
	return look_afresh(j, STAGE_HELO, s->helo_arena);
}

void judge_forget_helo(struct session *s)
{
	if (!s->judge)
		return;
	s->judge->view.helo = SPAN_NONE;
	s->judge->view.esmtp = false;
	pipeline_leave(s->judge->pipeline, STAGE_HELO);
}

/* --- the transaction --- */

static void view_tls(struct judge *j)
{
	struct stream_tls_info tls = stream_tls_info(&j->session->stream);

	j->view.tls_version = tls.version;
	j->view.tls_sni = tls.sni;
	j->view.tls_client_verified = false; /* clients are asked for no certificate */
}

enum judge_status judge_mail(struct session *s)
{
	struct transaction *t = s->transaction;
	struct judge *j = s->judge;

	if (!j)
		return JUDGE_OPEN;
	view_tls(j);
	j->view.from = &t->envelope.from;
	j->view.declared_size = t->envelope.size;
	j->view.smtputf8 = t->envelope.smtputf8;
	j->ended = j->measuring = false;
	pipeline_enter(j->pipeline, STAGE_MAIL, t->arena);
	t->evaluation = evaluation_new(j->bench->policy, t->arena);
	return look_for_now(j, t->evaluation, STAGE_MAIL, t->arena);
}

void judge_forget_transaction(struct session *s)
{
	struct judge *j = s->judge;

	if (!j)
		return;
	for (int stage = STAGE_MESSAGE; stage >= STAGE_MAIL; stage--)
		pipeline_leave(j->pipeline, (enum stage)stage);
	ENSURE(!j->asking);
	j->view.from = NULL;
	j->view.to = NULL;
	j->view.headers = SPAN_NONE;
	j->view.message_size = 0;
	j->recipient = NULL;
	j->candidate = NULL;
	/* What the client's stages still measure for the next one goes on. */
}

/* --- recipients --- */

static void begin_recipient(struct judge *j, struct transaction *t, struct recipient *recipient)
{
	struct subject subject;

	j->recipient = recipient;
	j->view.to = &recipient->to;
	j->view.to_count = t->envelope.n_recipients + 1;
	pipeline_enter(j->pipeline, STAGE_RCPT, t->arena);
	if (!j->candidate)
		j->candidate = evaluation_new(j->bench->policy, t->arena);
	/* What MAIL's lookups have brought since is taken in once for all recipients. */
	subject = judge_subject(j, NULL);
	subject.at[STAGE_RCPT] = NULL;
	evaluation_run(t->evaluation, &subject);
	evaluation_copy(j->candidate, t->evaluation);
}

/* Whether something that is worth waiting for is on its way. */
static bool must_wait(struct judge *j, const struct evaluation *e, const struct subject *subject)
{
	struct outcome outcome = outcome_of(e);

	if (outcome.certain && outcome.final && outcome.final->now)
		return false;
	if (!evaluation_waits(e, subject, STAGE_RCPT, j->bench->waits))
		return false;
	/* `wanted` is what the pipeline was told last: only that is on its way. */
	for (size_t i = 0; i < j->bench->policy->n_slots; i++)
		if (j->bench->waits[i] && j->bench->wanted[i])
			return true;
	return false;
}

/* What has become known since they were made is known of all recipients: it must not look like a
 * difference between them. */
static void refresh_residues(struct judge *j, struct transaction *t)
{
	for (struct cohort *c = t->cohorts; c; c = c->next) {
		struct subject subject = judge_subject(j, c->values);

		evaluation_run(c->evaluation, &subject);
		c->residue = evaluation_residue(c->evaluation, &subject);
	}
}

enum judge_status judge_recipient(
	struct transaction *t, struct recipient *recipient, struct cohort *out)
{
	struct judge *j = t->session->judge;
	struct subject subject;

	*out = (struct cohort){.edits = edits_none(t->arena)};
	if (!j)
		return JUDGE_OPEN;
	if (j->recipient != recipient)
		begin_recipient(j, t, recipient);
	subject = look(j, j->candidate, STAGE_RCPT);
	if (must_wait(j, j->candidate, &subject))
		return JUDGE_WAIT;
	refresh_residues(j, t);
	out->evaluation = j->candidate;
	out->outcome = outcome_of(j->candidate);
	out->residue = evaluation_residue(j->candidate, &subject);
	out->backend = evaluation_route(j->candidate);
	return out->outcome.certain ? JUDGE_CERTAIN : JUDGE_OPEN;
}

void judge_recipient_end(struct transaction *t, struct cohort *kept)
{
	struct judge *j = t->session->judge;

	if (!j)
		return;
	if (kept && kept->evaluation == j->candidate) {
		kept->values = pipeline_set_aside(j->pipeline, STAGE_RCPT);
		j->candidate = NULL;
	} else {
		pipeline_leave(j->pipeline, STAGE_RCPT);
	}
	j->recipient = NULL;
	j->view.to = NULL;
	/* What the header shall say is begun with the first recipient. */
	if (kept && j->bench->always && !j->measuring)
		judge_look_all(t, STAGE_RCPT);
}

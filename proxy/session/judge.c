/*
 * One look at the rules is the same at every stage: run the evaluator, have the pipeline start what
 * is wanted, and again as long as something became known at once. What differs is which slots have
 * values by then, and what is done with what the rules say.
 */
#include "proxy/session/judge.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/net/dns.h"
#include "policy/text.h"
#include "proxy/session/cohort.h"
#include "proxy/session/session.h"

enum { TEXT_MAX = 4096, REPLAY_SIZE = 64 * 1024 };

struct judge {
	struct session *session;   /* borrowed */
	struct bench *bench;       /* borrowed */
	struct pipeline *pipeline; /* owned */
	struct filter_view view;
	bool connected;                    /* the stage CONNECT is entered */
	bool ended;                        /* the pipeline was told that the content is whole */
	const struct recipient *recipient; /* under consideration */
	struct evaluation *candidate;      /* for the next one; in the transaction's arena */
	struct reply refusal;
	const struct rule *refused_by;
	uint64_t refusal_delay_ms;
	struct check *asking; /* the backend about rcpt.valid; NULL: not */
	struct call *asker;
	unsigned asked_fact;
};

/* --- a worker's --- */

static struct filter_slot *slots_for_filters(const struct policy *policy, struct arena *arena)
{
	const struct rules *rules = policy->rules;
	struct filter_slot *slots = arena_alloc(arena, (rules->n_slots + 1) * sizeof(*slots));

	for (size_t i = 0; i < rules->n_slots; i++) {
		const struct slot *slot = rules->slots[i];

		slots[i] = (struct filter_slot){.source = slot->source,
			.fact = slot->fact,
			.text = slot->list ? slot->list->from : slot->text,
			.field = slot->field ? &slots[slot->field->number] : NULL,
			.codes = slot->list ? slot->list->codes : NULL,
			.n_codes = slot->list ? slot->list->n_codes : 0,
			.window_ms = slot->window_ms,
			.stage = slot->stage,
			.index = slot->index};
	}
	return slots;
}

static const struct slot *find_slot(const struct policy *policy, const char *fact)
{
	for (size_t i = 0; i < policy->n_slots; i++) {
		const struct slot *slot = policy->rules->slots[i];

		if (!slot->text && !slot->field && strcmp(slot->fact->name, fact) == 0)
			return slot;
	}
	return NULL;
}

static bool open_filters(
	struct bench *b, struct worker *worker, struct filter_set *set, struct err *err)
{
	const struct config *config = worker->config;
	struct dns_setup resolver = {.loop = worker->loop,
		.servers = config->dns_servers,
		.n_servers = config->n_dns_servers,
		.timeout_ms = config->dns_timeout};
	struct filters_setup setup = {.set = set,
		.loop = worker->loop,
		.log = worker->log,
		.hostname = config->hostname,
		.timeout_ms = config->timeouts.filter,
		.slots = slots_for_filters(b->policy, b->arena),
		.n_slots = b->policy->n_slots};

	b->dns = dns_open(&resolver, err);
	setup.dns = b->dns;
	b->filters = b->dns ? filters_open(&setup, err) : NULL;
	return b->filters != NULL;
}

bool bench_open(struct bench **out, struct worker *worker, const struct policy *policy,
	struct filter_set *filters, struct err *err)
{
	struct arena *arena;
	struct bench *b;

	*out = NULL;
	if (!policy || policy->n_rules == 0)
		return true;
	arena = arena_new(4096);
	b = arena_alloc(arena, sizeof(*b));
	b->arena = arena;
	b->policy = policy;
	b->evaluation = evaluation_new(policy, arena);
	b->wanted = arena_alloc(arena, policy->n_slots + 1);
	b->waits = arena_alloc(arena, policy->n_slots + 1);
	b->early_talker = find_slot(policy, "client.early_talker");
	b->hits = arena_alloc(arena, policy->n_rules * sizeof(*b->hits));
	*out = b;
	if (open_filters(b, worker, filters, err))
		return true;
	bench_close(out);
	return false;
}

void bench_close(struct bench **bench)
{
	struct bench *b = *bench;
	struct arena *arena;

	if (!b)
		return;
	if (b->filters)
		filters_close(&b->filters);
	if (b->dns)
		dns_close(&b->dns);
	arena = b->arena;
	*bench = NULL;
	arena_free(&arena);
}

void bench_status(const struct bench *bench, struct record *r)
{
	static const char *const modes[] = {"on", "monitor", "off"};

	if (!bench)
		return;
	record_open(r, "dns");
	dns_status(bench->dns, r);
	record_close(r);
	filters_status(bench->filters, r);
	record_list(r, "rules");
	for (size_t i = 0; i < bench->policy->n_rules; i++) {
		const struct rule *rule = policy_rule(bench->policy, i);

		if (!bench->hits[i])
			continue;
		record_open(r, NULL);
		record_string(r, "rule", rule->name);
		record_string(r, "mode", modes[rule->mode]);
		record_number(r, "hits", (int64_t)bench->hits[i]);
		record_close(r);
	}
	record_close(r);
}

/* --- looks --- */

static struct subject subject_of(const struct judge *j, const struct fact_value *recipient)
{
	struct subject subject;

	for (int stage = 0; stage < STAGE_COUNT; stage++)
		subject.at[stage] = pipeline_values(j->pipeline, (enum stage)stage);
	if (recipient)
		subject.at[STAGE_RCPT] = recipient;
	return subject;
}

/* What is under way for recipients that were accepted stays wanted. */
static void add_wants_of_cohorts(struct judge *j)
{
	struct bench *b = j->bench;

	for (struct cohort *c = j->session->transaction->cohorts; c; c = c->next) {
		struct subject subject = subject_of(j, c->values);

		evaluation_run(c->evaluation, &subject);
		evaluation_wants(c->evaluation, &subject, STAGE_RCPT, b->waits);
		for (size_t i = 0; i < b->policy->n_slots; i++)
			b->wanted[i] |= b->waits[i];
	}
}

/* What is known of a recipient at once is kept with it: a text that is written much later may quote
 * it. */
static void add_recipients_own(struct judge *j, const struct subject *subject)
{
	struct bench *b = j->bench;

	for (size_t i = 0; i < b->policy->n_slots; i++) {
		const struct slot *slot = b->policy->rules->slots[i];

		if (slot->stage == STAGE_RCPT && !(slot->fact->flags & FACT_ASKS) &&
			subject_value(subject, slot)->state == FACT_PENDING)
			b->wanted[i] = true;
	}
}

/* Until nothing more becomes known at once. */
static struct subject look(struct judge *j, struct evaluation *e, enum stage reached)
{
	struct subject subject;

	do {
		subject = subject_of(j, NULL);
		evaluation_run(e, &subject);
		evaluation_wants(e, &subject, reached, j->bench->wanted);
		if (reached == STAGE_RCPT) {
			add_recipients_own(j, &subject);
			add_wants_of_cohorts(j);
		}
	} while (pipeline_want(j->pipeline, j->bench->wanted));
	return subject;
}

static void on_changed(void *context)
{
	session_run(context);
}

static void count_hits(struct bench *b, const struct evaluation *e)
{
	const struct rule *rule;
	size_t cursor = 0;

	while (evaluation_next_hit(e, &cursor, &rule))
		b->hits[rule->index]++;
}

static uint64_t delay_of(const struct evaluation *e)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;
	uint64_t delay_ms = 0;

	while (evaluation_next_effect(e, &cursor, &rule))
		if (cursor.action->kind == ACTION_DELAY && cursor.action->time_ms > delay_ms)
			delay_ms = cursor.action->time_ms;
	return delay_ms;
}

static void note_refusal(struct judge *j, const struct evaluation *e, const struct subject *subject,
	const struct outcome *outcome)
{
	const struct action *a = outcome->final;
	struct buffer text = BUFFER_INIT(TEXT_MAX);
	struct render render = {.e = e,
		.subject = subject,
		.rule = outcome->rule,
		.sid = session_id(j->session),
		.ascii = true};

	if (!text_render(a->text, &render, &text)) {
		/* What fits will do. */
	}
	j->refusal = (struct reply){
		.code = a->code, .text = session_keep(j->session, buffer_span(&text))};
	memcpy(j->refusal.enhanced, a->enhanced, sizeof(j->refusal.enhanced));
	j->refused_by = outcome->rule;
	j->refusal_delay_ms = delay_of(e);
	buffer_free(&text);
}

/* A look before there is a recipient: only `reject now` is spoken then. */
static enum judge_status look_for_now(struct judge *j, struct evaluation *e, enum stage reached)
{
	struct subject subject = look(j, e, reached);
	struct outcome outcome = outcome_of(e);

	if (!outcome.certain || !outcome.final || !outcome.final->now)
		return JUDGE_OPEN;
	note_refusal(j, e, &subject, &outcome);
	count_hits(j->bench, e);
	return JUDGE_CERTAIN;
}

static enum judge_status look_afresh(struct judge *j, enum stage reached)
{
	evaluation_restart(j->bench->evaluation);
	return look_for_now(j, j->bench->evaluation, reached);
}

struct reply judge_refusal(struct session *s, const struct rule **rule)
{
	*rule = s->judge->refused_by;
	return s->judge->refusal;
}

uint64_t judge_refusal_delay(const struct session *s)
{
	return s->judge->refusal_delay_ms;
}

/* --- connect, helo --- */

static enum call_status ask_recipient(
	const struct filter_view *view, struct call *call, unsigned fact);
static void forget_recipient(const struct filter_view *view, struct call *call);
static void replay(void *context, void (*take)(void *, struct span), void *taker);

static struct judge *judge_new(struct session *s)
{
	struct judge *j = memory_zeroed(sizeof(*j));

	j->session = s;
	j->bench = s->worker->bench;
	j->view.listener = s->listen->address;
	j->view.ask_recipient = ask_recipient;
	j->view.forget_recipient = forget_recipient;
	j->pipeline = pipeline_new(j->bench->filters, &j->view, on_changed, s);
	pipeline_replay(j->pipeline, replay);
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
	struct subject subject = subject_of(j, NULL);

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
	status = look_afresh(s->judge, STAGE_CONNECT);
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
	pipeline_enter(j->pipeline, STAGE_HELO, session_arena(s));
	return look_afresh(j, STAGE_HELO);
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
	j->ended = false;
	pipeline_enter(j->pipeline, STAGE_MAIL, t->arena);
	t->evaluation = evaluation_new(j->bench->policy, t->arena);
	return look_for_now(j, t->evaluation, STAGE_MAIL);
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
	subject = subject_of(j, NULL);
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
		struct subject subject = subject_of(j, c->values);

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
}

/* --- rcpt.valid: the backend is asked, as it is before a recipient is accepted --- */

static bool verifies(const struct config *config, const char *backend)
{
	for (size_t i = 0; backend && i < config->n_backends; i++)
		if (strcmp(config->backends[i].name, backend) == 0)
			return config->backends[i].verify_recipients;
	return config->backends[0].verify_recipients;
}

static void answer_call(struct call *call, unsigned fact, enum check_outcome outcome)
{
	if (outcome == CHECK_WELCOME || outcome == CHECK_REFUSED)
		call_add_bool(call, fact, outcome == CHECK_WELCOME);
	else
		call_fail(call, fact, "the mail server could not be asked");
}

static void on_asked(struct check *check)
{
	struct judge *j = check->context;

	answer_call(j->asker, j->asked_fact, check->outcome);
	free(check);
	j->asking = NULL;
	call_done(j->asker);
	session_run(j->session); /* which may have waited for this alone */
}

static enum call_status ask_recipient(
	const struct filter_view *view, struct call *call, unsigned fact)
{
	struct judge *j = CONTAINER_OF(view, struct judge, view);
	struct session *s = j->session;
	const char *backend = evaluation_route(j->candidate);

	if (!verifies(s->worker->config, backend)) {
		call_fail(call, fact, "verify_recipients is off");
		return CALL_DONE;
	}
	ENSURE(!j->asking); /* a recipient is answered only when this is */
	j->asking = memory_zeroed(sizeof(*j->asking));
	j->asker = call;
	j->asked_fact = fact;
	*j->asking = (struct check){.backend = backend,
		.client = &s->client,
		.bond = &s->bond,
		.envelope = &s->transaction->envelope,
		.recipient = j->recipient,
		.sid = session_id(s),
		.done = on_asked,
		.context = j};
	if (!check_start(s->worker->backends, j->asking))
		return CALL_WAIT;
	answer_call(call, fact, j->asking->outcome);
	free(j->asking);
	j->asking = NULL;
	return CALL_DONE;
}

static void forget_recipient(const struct filter_view *view, struct call *call)
{
	struct judge *j = CONTAINER_OF(view, struct judge, view);

	(void)call;
	if (j->asking)
		check_cancel(j->asking);
}

void judge_stop_asking(struct session *s)
{
	check_cancel(s->judge->asking);
}

bool judge_is_asking(const struct session *s)
{
	return s->judge && s->judge->asking;
}

/* --- the message --- */

/* All cohorts look, until nothing more becomes known at once. true: all are ready. */
static bool look_all(struct transaction *t, enum stage reached)
{
	struct judge *j = t->session->judge;
	const size_t n = j->bench->policy->n_slots;
	bool ready;

	do {
		memset(j->bench->waits, 0, n);
		ready = true;
		for (struct cohort *c = t->cohorts; c; c = c->next) {
			struct subject subject = subject_of(j, c->values);

			evaluation_run(c->evaluation, &subject);
			evaluation_wants(c->evaluation, &subject, reached, j->bench->wanted);
			for (size_t i = 0; i < n; i++)
				j->bench->waits[i] |= j->bench->wanted[i];
			ready = ready && evaluation_ready(c->evaluation, &subject);
		}
	} while (pipeline_want(j->pipeline, j->bench->waits));
	return ready;
}

/* All of the spool so far, piece by piece. */
static void each_piece(const struct spool *spool, void (*take)(void *, struct span), void *taker)
{
	uint64_t offset = 0;
	char *piece;

	take(taker, spool_memory(spool));
	if (spool->fd < 0)
		return;
	piece = memory_new(REPLAY_SIZE);
	while (offset < spool->file_len) {
		ssize_t got = pread(spool->fd, piece, REPLAY_SIZE, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		take(taker, span_make(piece, (size_t)got));
		offset += (uint64_t)got;
	}
	free(piece);
}

/* What came before a call was started. */
static void replay(void *context, void (*take)(void *, struct span), void *taker)
{
	const struct session *s = context;

	each_piece(&s->transaction->message.spool, take, taker);
}

static void feed(void *context, struct span content)
{
	struct transaction *t = context;

	if (content.len && pipeline_feed(t->session->judge->pipeline, content))
		look_all(t, STAGE_MESSAGE);
}

void judge_header(struct transaction *t)
{
	struct judge *j = t->session->judge;

	if (!j)
		return;
	/* A copy: the spool moves as it grows, and goes when the message turns out to be at fault.
	 */
	j->view.headers =
		arena_span(t->arena, span_first(spool_memory(&t->message.spool), t->header_size));
	pipeline_enter(j->pipeline, STAGE_HEADER, t->arena);
	pipeline_enter(j->pipeline, STAGE_MESSAGE, t->arena);
	/* What the header section alone settles needs no look at the body. */
	look_all(t, STAGE_HEADER);
	look_all(t, STAGE_MESSAGE);
	each_piece(&t->message.spool, feed, t);
}

void judge_content(struct transaction *t, struct span content)
{
	if (t->session->judge)
		feed(t, content);
}

uint64_t judge_delay(const struct cohort *c)
{
	return c->evaluation ? delay_of(c->evaluation) : 0;
}

static void collect_edits(struct transaction *t, struct cohort *c)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;

	while (evaluation_next_effect(c->evaluation, &cursor, &rule)) {
		const struct action *a = cursor.action;
		struct span name = span_text(a->name), text;

		if (a->kind < ACTION_HEADER_ADD || a->kind > ACTION_SUBJECT_PREFIX)
			continue;
		text = judge_text(t, c, rule, a->text, t->arena);
		if (a->kind == ACTION_HEADER_ADD)
			edits_header_add(&c->edits, name, text);
		else if (a->kind == ACTION_HEADER_SET)
			edits_header_set(&c->edits, name, text);
		else if (a->kind == ACTION_HEADER_REMOVE)
			edits_header_remove(&c->edits, name);
		else
			edits_subject_prefix(&c->edits, text);
	}
}

static void conclude(struct transaction *t, struct cohort *c)
{
	c->outcome = outcome_of(c->evaluation);
	c->delay_ms = judge_delay(c);
	if (outcome_sternness(&c->outcome) <= STERN_QUARANTINE)
		collect_edits(t, c);
}

enum judge_status judge_message(struct transaction *t)
{
	struct judge *j = t->session->judge;

	if (!j)
		return JUDGE_CERTAIN;
	if (!j->ended) {
		j->ended = true;
		j->view.message_size = t->decoder.size;
		if (pipeline_feed(j->pipeline, SPAN_NONE)) {
			/* Looked at below in any case. */
		}
	}
	if (!look_all(t, STAGE_MESSAGE))
		return JUDGE_WAIT;
	for (struct cohort *c = t->cohorts; c; c = c->next)
		conclude(t, c);
	return JUDGE_CERTAIN;
}

void judge_count(struct transaction *t, const struct cohort *c)
{
	if (c->evaluation)
		count_hits(t->session->judge->bench, c->evaluation);
}

/* --- words --- */

static struct span text_of(struct transaction *t, const struct cohort *c, const struct rule *rule,
	const struct text *text, bool ascii, struct arena *arena)
{
	struct subject subject = subject_of(t->session->judge, c->values);
	struct buffer out = BUFFER_INIT(TEXT_MAX);
	struct render render = {.e = c->evaluation,
		.subject = &subject,
		.rule = rule,
		.sid = session_id(t->session),
		.ascii = ascii};
	struct span copy;

	if (!text_render(text, &render, &out)) {
		/* What fits will do. */
	}
	copy = arena_span(arena, buffer_span(&out));
	buffer_free(&out);
	return copy;
}

struct span judge_text(struct transaction *t, const struct cohort *c, const struct rule *rule,
	const struct text *text, struct arena *arena)
{
	return text_of(t, c, rule, text, false, arena);
}

struct reply judge_reply(struct transaction *t, const struct cohort *c, struct arena *arena)
{
	const struct action *a = c->outcome.final;
	struct reply reply;

	if (!a)
		return REPLY(451, "4.4.3", "A lookup failed, try again later");
	/* ASCII unless the client asked for more (RFC 6531 3.7.4.1). */
	reply = (struct reply){.code = a->code,
		.text = text_of(t, c, c->outcome.rule, a->text, !t->envelope.smtputf8, arena)};
	memcpy(reply.enhanced, a->enhanced, sizeof(reply.enhanced));
	return reply;
}

const struct fact_value *judge_fact(
	const struct session *s, const char *name, const struct fact **fact)
{
	const struct slot *slot = s->judge ? find_slot(s->judge->bench->policy, name) : NULL;
	struct subject subject;
	const struct fact_value *value;

	if (!slot)
		return NULL;
	subject = subject_of(s->judge, NULL);
	value = subject_value(&subject, slot);
	*fact = slot->fact;
	return value->state == FACT_KNOWN ? value : NULL;
}

const char *judge_waits_for(const struct session *s)
{
	const char *filter = s->judge ? pipeline_waits_for(s->judge->pipeline) : NULL;

	return filter ? filter : "filters";
}

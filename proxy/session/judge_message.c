/*
 * The rules before a message: its header section, its content as it comes, its end; then what is to
 * be done with it for each cohort, and the words for that.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "policy/text.h"
#include "proxy/session/adding.h"
#include "proxy/session/judging.h"

enum { REPLAY_SIZE = 64 * 1024 };

bool judge_look_all(struct transaction *t, enum stage reached)
{
	struct judge *j = t->session->judge;
	const size_t n = j->bench->policy->n_slots;
	bool ready;

	do {
		memset(j->bench->waits, 0, n);
		ready = true;
		for (struct cohort *c = t->cohorts; c; c = c->next) {
			struct subject subject = judge_subject(j, c->values);

			evaluation_run(c->evaluation, &subject);
			evaluation_wants(c->evaluation, &subject, reached, j->bench->wanted);
			for (size_t i = 0; i < n; i++)
				j->bench->waits[i] |= j->bench->wanted[i];
			ready = ready && evaluation_ready(c->evaluation, &subject);
		}
	} while (judge_want(j, j->bench->waits));
	return ready;
}

/* What came before a call was started: a piece of the spool. */
size_t judge_replay(void *context, uint64_t from, void (*take)(void *, struct span), void *taker)
{
	const struct session *s = context;
	const struct spool *spool = &s->transaction->message.spool;
	struct span memory = spool_memory(spool);
	ssize_t got;
	char *piece;

	if (from < memory.len) {
		memory = span_first(span_from(memory, (size_t)from), REPLAY_SIZE);
		take(taker, memory);
		return memory.len;
	}
	from -= memory.len;
	if (spool->fd < 0 || from >= spool->file_len)
		return 0;
	piece = memory_new(REPLAY_SIZE);
	do {
		got = pread(spool->fd, piece, REPLAY_SIZE, (off_t)(spool->file_start + from));
	} while (got < 0 && errno == EINTR);
	if (got > 0)
		take(taker, span_make(piece, (size_t)got));
	free(piece);
	return got > 0 ? (size_t)got : 0;
}

static void feed(struct transaction *t, struct span content)
{
	if (content.len && pipeline_feed(t->session->judge->pipeline, content))
		judge_look_all(t, STAGE_MESSAGE);
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
	judge_look_all(t, STAGE_HEADER);
	judge_look_all(t, STAGE_MESSAGE);
	feed(t, spool_memory(&t->message.spool)); /* all of it is in memory yet */
}

void judge_content(struct transaction *t, struct span content)
{
	if (t->session->judge)
		feed(t, content);
}

uint64_t judge_delay_of(const struct evaluation *e)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;
	uint64_t delay_ms = 0;

	while (evaluation_next_effect(e, &cursor, &rule))
		if (cursor.action->kind == ACTION_DELAY && cursor.action->time_ms > delay_ms)
			delay_ms = cursor.action->time_ms;
	return delay_ms;
}

uint64_t judge_delay(const struct cohort *c)
{
	return c->evaluation ? judge_delay_of(c->evaluation) : 0;
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

/* Whether what the header shall say is still being measured. */
static bool results_come(const struct judge *j)
{
	const struct bench *b = j->bench;
	struct subject subject = judge_subject(j, NULL);

	for (size_t i = 0; i < b->n_results; i++)
		if (subject_value(&subject, b->results[i])->state == FACT_PENDING &&
			pipeline_is_measuring(j->pipeline, b->results[i]->number))
			return true;
	return false;
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
	if (!judge_look_all(t, STAGE_MESSAGE) || (judge_goes_on(t) && results_come(j)))
		return JUDGE_WAIT;
	for (struct cohort *c = t->cohorts; c; c = c->next)
		conclude(t, c);
	return JUDGE_CERTAIN;
}

struct results judge_results(const struct transaction *t, struct subject *subject)
{
	const struct judge *j = t->session->judge;
	const struct config *config = t->session->worker->config;
	struct results results = {.subject = subject,
		.authserv_id = span_text(config->authserv_id),
		.utf8 = t->envelope.smtputf8,
		.always = config->authentication_results == AUTHRES_ALWAYS};

	if (!j)
		return results;
	*subject = judge_subject(j, NULL);
	results.slots = j->bench->results;
	results.n = j->bench->n_results;
	return results;
}

void judge_count(struct transaction *t, const struct cohort *c)
{
	if (c->evaluation)
		bench_count(t->session->judge->bench, c->evaluation);
}

void judge_add(struct transaction *t, const struct cohort *c)
{
	struct subject subject;

	if (!c->evaluation)
		return;
	subject = judge_subject(t->session->judge, c->values);
	adding_tell(t->session, c->evaluation, &subject);
}

/* --- words --- */

static struct span text_of(struct transaction *t, const struct cohort *c, const struct rule *rule,
	const struct text *text, bool ascii, struct arena *arena)
{
	struct subject subject = judge_subject(t->session->judge, c->values);
	struct buffer out = BUFFER_INIT(JUDGE_TEXT_MAX);
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
	const struct slot *slot = s->judge ? bench_slot(s->judge->bench, name) : NULL;
	struct subject subject;
	const struct fact_value *value;

	if (!slot)
		return NULL;
	subject = judge_subject(s->judge, NULL);
	value = subject_value(&subject, slot);
	*fact = slot->fact;
	return value->state == FACT_KNOWN ? value : NULL;
}

const char *judge_waits_for(const struct session *s)
{
	const char *filter = s->judge ? pipeline_waits_for(s->judge->pipeline) : NULL;

	return filter ? filter : "filters";
}

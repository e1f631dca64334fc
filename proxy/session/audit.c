/*
 * One record for each transaction: who, what, what the rules said, what was answered, and how long
 * it took. A session that a rule turns away before any transaction has one too.
 */
#include "policy/text.h"
#include "proxy/session/session.h"

enum {
	AUDIT_VERSION = 1,
	FACT_MAX = 1024,
	RECIPIENT_ROOM = 8 * 1024 /* of a line, for one recipient and what follows */
};

static void count_verdict(const struct transaction *t, const char *verdict)
{
	struct shared_row *row = t->session->worker->row;

	switch (verdict[0]) {
	case 'a':
		if (verdict[1] == 'b')
			return;
		shared_add(row, COUNT_messages_accepted, 1);
		shared_add(row, COUNT_message_bytes, message_size(&t->message));
		return;
	case 'r':
		shared_add(row, COUNT_messages_refused, 1);
		return;
	case 'q':
		shared_add(row, COUNT_messages_quarantined, 1);
		return;
	case 'i':
		shared_add(row, COUNT_messages_in_doubt, 1);
		return;
	default:
		shared_add(row,
			verdict[1] == 'i' ? COUNT_messages_discarded : COUNT_messages_deferred, 1);
	}
}

/* A fact that the rules had measured, as text. */
static void write_fact(struct record *r, const struct session *s, const char *name, const char *key)
{
	struct buffer text = BUFFER_INIT(FACT_MAX);
	const struct fact *fact;
	const struct fact_value *value = judge_fact(s, name, &fact);

	if (value && value->count && fact_value_write(fact, value, &text))
		record_text(r, key, buffer_span(&text));
	buffer_free(&text);
}

static void write_client(struct record *r, const struct session *s)
{
	const struct client *client = &s->client;
	char ip[IP_TEXT_SIZE];

	record_open(r, "client");
	record_string(r, "ip", ip_format(&client->remote.ip, ip));
	record_number(r, "port", client->remote.port);
	if (client->name.len)
		record_text(r, "rdns", client->name);
	else
		write_fact(r, s, "client.rdns", "rdns");
	write_fact(r, s, "client.asn", "asn");
	write_fact(r, s, "client.country", "country");
	record_close(r);
	record_text(r, "helo", client->helo);
}

/* A recipient that was accepted has its cohort's verdict, or what became of the whole; a refused
 * one has its own. */
static void write_recipient(
	struct record *r, const struct attempt *a, const char *verdict, const struct reply *reply)
{
	const struct rule *rule = a->rule;
	uint16_t code = a->code;

	if (code >= 400) {
		verdict = code < 500 ? "defer" : "reject";
	} else if (a->cohort && a->cohort->verdict) {
		verdict = a->cohort->verdict;
		code = a->cohort->reply.code;
		rule = a->cohort->outcome.rule;
	} else if (reply->code) {
		code = reply->code;
	}
	record_open(r, NULL);
	record_text(r, "addr", a->address);
	record_number(r, "code", code);
	record_string(r, "verdict", verdict);
	if (rule)
		record_string(r, "rule", rule->name);
	if (a->cohort && a->cohort->kept_as)
		record_string(r, "quarantine", a->cohort->kept_as);
	record_close(r);
}

/* Who has the message comes before who was refused, in case that the line gets full. */
static void write_recipients(struct record *r, const struct transaction *t, const char *verdict,
	const struct reply *reply)
{
	unsigned left_out = 0;

	record_list(r, "to");
	for (int refused = 0; refused <= 1; refused++) {
		for (const struct attempt *a = t->attempts; a; a = a->next) {
			if ((a->code >= 400) != refused)
				continue;
			if (r->line.len < LOG_LINE_MAX - RECIPIENT_ROOM)
				write_recipient(r, a, verdict, reply);
			else
				left_out++;
		}
	}
	record_close(r);
	if (left_out)
		record_number(r, "to_left_out", left_out);
	record_number(r, "recipients", t->envelope.n_recipients);
	record_number(r, "refused", t->n_refused);
}

static int64_t ms_between(uint64_t from_us, uint64_t to_us)
{
	return from_us && to_us > from_us ? (int64_t)((to_us - from_us) / 1000) : 0;
}

static void write_times(struct record *r, const struct transaction *t)
{
	uint64_t now_us = clock_now_us(&t->session->worker->loop->clock);

	record_open(r, "ms");
	record_number(r, "total", ms_between(t->begun_us, now_us));
	if (t->has_data)
		record_number(
			r, "data", ms_between(t->data_us, t->judge_us ? t->judge_us : now_us));
	if (t->judge_us)
		record_number(r, "filters",
			ms_between(t->judge_us, t->judged_us ? t->judged_us : now_us));
	if (t->commit_us) {
		record_number(r, "connect", (int64_t)t->delivery.connect_ms);
		record_number(r, "backend", ms_between(t->commit_us, now_us));
	}
	record_close(r);
}

static void write_reply(struct record *r, const char *key, const struct reply *reply)
{
	record_open(r, key);
	record_number(r, "code", reply->code);
	record_string(r, "enhanced", reply->enhanced);
	record_text(r, "text", reply->text);
	record_close(r);
}

static void write_backend(struct record *r, const struct transaction *t)
{
	const struct delivery *d = &t->delivery;

	if (!t->commit_us)
		return;
	record_string(r, "backend", d->backend_name);
	if (d->server)
		record_string(r, "server", d->server);
	record_number(r, "attempts", d->attempts);
	if (d->reply.code)
		write_reply(r, "backend_reply", &d->reply);
}

static void write_tags(struct record *r, const struct evaluation *e)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;

	record_list(r, "tags");
	while (evaluation_next_effect(e, &cursor, &rule))
		if (cursor.action->kind == ACTION_TAG)
			record_text(r, NULL, cursor.action->text->source);
	record_close(r);
}

static void write_monitored(struct record *r, const struct evaluation *e)
{
	const struct rule *rule;
	size_t cursor = 0;

	record_list(r, "monitor");
	while (evaluation_next_monitored(e, &cursor, &rule)) {
		record_open(r, NULL);
		record_string(r, "rule", rule->name);
		record_string(r, "action",
			rule->final     ? action_name(rule->final->kind)
			: rule->actions ? action_name(rule->actions->kind)
					: "none");
		record_close(r);
	}
	record_close(r);
}

/* With several (PRDR) the one that spoke for the message; NULL: no recipient was accepted. */
static const struct cohort *speaker(const struct transaction *t, const char *verdict)
{
	for (const struct cohort *c = t->cohorts; c; c = c->next)
		if (c->verdict && strcmp(c->verdict, verdict) == 0)
			return c;
	return t->cohorts;
}

/* What the rules made of the message. */
static void write_judgement(struct record *r, const struct transaction *t, const char *verdict)
{
	const struct cohort *c = speaker(t, verdict);
	const struct evaluation *e = c ? c->evaluation : t->evaluation;
	/* Without a verdict the rules had no say: a fault of the message, a client that left. */
	const struct rule *rule = c && c->verdict ? c->outcome.rule : t->refused_by;
	int64_t low, high;

	for (const char *const *name = results_recorded; *name; name++)
		write_fact(r, t->session, *name, *name);
	if (rule)
		record_string(r, "rule", rule->name);
	if (!e)
		return;
	evaluation_score(e, &low, &high);
	if (low == high)
		record_real(r, "score", (double)low / SCORE_UNIT);
	write_tags(r, e);
	write_monitored(r, e);
}

static void write_tls(struct record *r, const struct session *s)
{
	struct stream_tls_info tls = stream_tls_info(&s->stream);

	if (!tls.version)
		return;
	record_open(r, "tls");
	record_string(r, "version", tls.version);
	record_string(r, "cipher", tls.cipher);
	record_close(r);
}

void audit_refusal(const struct session *s, const struct rule *rule, const struct reply *reply)
{
	struct record *r = log_begin(s->worker->log, LOG_INFO, "");

	shared_add(s->worker->row, COUNT_sessions_turned_away, 1);
	record_string(r, "event", "refusal");
	record_text(r, "sid", session_id(s));
	record_string(r, "listener", s->listen->address);
	write_client(r, s);
	write_tls(r, s);
	record_string(r, "verdict", "reject");
	record_string(r, "rule", rule->name);
	write_reply(r, "reply", reply);
	record_number(r, "v", AUDIT_VERSION);
	log_end(s->worker->log);
}

void audit_write(const struct transaction *t, const char *verdict, const struct reply *reply)
{
	const struct session *s = t->session;
	struct record *r = log_begin(s->worker->log, LOG_INFO, "");

	count_verdict(t, verdict);
	record_string(r, "event", "transaction");
	record_text(r, "sid", session_id(s));
	record_text(r, "tid", t->tid);
	record_string(r, "listener", s->listen->address);
	write_client(r, s);
	write_tls(r, s);
	record_text(r, "from", t->envelope.from.mailbox);
	record_string(r, "verdict", verdict);
	write_judgement(r, t, verdict);
	if (reply->code)
		write_reply(r, "reply", reply);
	if (t->client_gone)
		record_bool(r, "client_gone", true);
	if (t->has_data)
		record_number(r, "size", (int64_t)t->decoder.size);
	if (t->message_id.len)
		record_text(r, "msgid", t->message_id);
	write_backend(r, t);
	write_times(r, t);
	write_recipients(r, t, verdict, reply);
	record_number(r, "v", AUDIT_VERSION);
	log_end(s->worker->log);
}

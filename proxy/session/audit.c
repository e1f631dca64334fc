/*
 * One record for each transaction: who, what, what was answered, and how long it
 * took. Fields of filters and rules are written when there are any.
 */
#include "proxy/session/session.h"

enum {
	AUDIT_VERSION = 1,
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
	case 'i':
		shared_add(row, COUNT_messages_in_doubt, 1);
		return;
	default:
		shared_add(row, COUNT_messages_deferred, 1);
	}
}

static void write_client(struct record *r, const struct client *client)
{
	char ip[IP_TEXT_SIZE];

	record_open(r, "client");
	record_string(r, "ip", ip_format(&client->remote.ip, ip));
	record_number(r, "port", client->remote.port);
	if (client->name.len)
		record_text(r, "rdns", client->name);
	record_close(r);
	record_text(r, "helo", client->helo);
}

/* A recipient that was accepted shares the message's verdict; a refused one has its own. */
static void write_recipient(
	struct record *r, const struct attempt *a, const char *verdict, const struct reply *reply)
{
	bool refused = a->code >= 400;

	record_open(r, NULL);
	record_text(r, "addr", a->address);
	record_number(r, "code", refused || !reply->code ? a->code : reply->code);
	record_string(r, "verdict", !refused ? verdict : a->code < 500 ? "defer" : "reject");
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
			r, "data", ms_between(t->data_us, t->commit_us ? t->commit_us : now_us));
	if (t->commit_us) {
		record_number(r, "connect", (int64_t)t->delivery.connect_ms);
		record_number(r, "backend", ms_between(t->commit_us, now_us));
	}
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
	if (d->reply.code) {
		record_open(r, "backend_reply");
		record_number(r, "code", d->reply.code);
		record_string(r, "enhanced", d->reply.enhanced);
		record_text(r, "text", d->reply.text);
		record_close(r);
	}
}

void audit_write(const struct transaction *t, const char *verdict, const struct reply *reply)
{
	const struct session *s = t->session;
	struct stream_tls_info tls = stream_tls_info(&s->stream);
	struct record *r = log_begin(s->worker->log, LOG_INFO, "");

	count_verdict(t, verdict);
	record_string(r, "event", "transaction");
	record_text(r, "sid", session_id(s));
	record_text(r, "tid", t->tid);
	record_string(r, "listener", s->listen->address);
	write_client(r, &s->client);
	if (tls.version) {
		record_open(r, "tls");
		record_string(r, "version", tls.version);
		record_string(r, "cipher", tls.cipher);
		record_close(r);
	}
	record_text(r, "from", t->envelope.from.mailbox);
	record_string(r, "verdict", verdict);
	if (reply->code) {
		record_open(r, "reply");
		record_number(r, "code", reply->code);
		record_string(r, "enhanced", reply->enhanced);
		record_text(r, "text", reply->text);
		record_close(r);
	}
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

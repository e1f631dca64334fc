#include "proxy/session/transaction.h"

#include <errno.h>
#include <string.h>

#include "lib/base/fail.h"
#include "lib/mail/header.h"
#include "proxy/session/dmarc_row.h"
#include "proxy/session/session.h"

enum {
	OWN_PASSES_MAX = 9, /* Received fields of our own; the tenth pass is a loop */
	RESULTS_KEPT = 100  /* Authentication-Results of others */
};

struct transaction *transaction_begin(struct session *s)
{
	struct arena *arena = arena_new(sizeof(struct transaction) + 1024);
	struct transaction *t = arena_alloc(arena, sizeof(*t));

	t->arena = arena;
	t->session = s;
	t->tid = span_text(
		arena_print(arena, "%.*s.%u", SESSION_ID_SIZE, s->sid, ++s->n_transactions));
	t->last_attempt = &t->attempts;
	t->begun_us = clock_now_us(&s->worker->loop->clock);
	return t;
}

void transaction_end(
	struct transaction **transaction, const char *verdict, const struct reply *reply)
{
	struct transaction *t = *transaction;
	struct arena *arena = t->arena;

	ENSURE(!t->asking);
	audit_write(t, verdict, reply);
	dmarc_row_tell(t, verdict);
	consequences_tell(t);
	judge_forget_transaction(t->session);
	spool_free(&t->message.spool);
	buffer_free(&t->going.prefix);
	*transaction = NULL;
	arena_free(&arena);
}

struct attempt *transaction_attempt(
	struct transaction *t, struct span address, const struct reply *reply)
{
	struct attempt *attempt;

	if (reply->code >= 400) {
		shared_add(t->session->worker->row, COUNT_recipients_refused, 1);
		if (t->n_refused++ >= REFUSALS_KEPT)
			return NULL;
	}
	attempt = arena_alloc(t->arena, sizeof(*attempt));
	attempt->address = address;
	attempt->code = reply->code;
	memcpy(attempt->enhanced, reply->enhanced, sizeof(attempt->enhanced));
	*t->last_attempt = attempt;
	t->last_attempt = &attempt->next;
	return attempt;
}

/* --- content --- */

static bool normalizes(const struct session *s)
{
	const struct listen_config *listen = s->listen;

	return listen->bare_newline == BARE_NEWLINE_NORMALIZE &&
	       (listen->normalize_from.count == 0 ||
		       cidr_set_contains(&listen->normalize_from, &s->client.remote.ip));
}

void transaction_data_begin(struct transaction *t, enum dotdata_mode mode)
{
	t->has_data = true;
	t->by_bdat = mode == DOTDATA_BDAT;
	t->data_us = clock_now_us(&t->session->worker->loop->clock);
	dotdata_init(&t->decoder, mode, normalizes(t->session));
	spool_init(&t->message.spool, t->session->worker->spools);
}

static void set_fault(struct transaction *t, enum message_fault fault)
{
	if (t->fault != FAULT_NONE)
		return;
	t->fault = fault;
	spool_free(&t->message.spool);
}

/* One field of the header section, at its offset: counts loops, cuts forged results. */
static bool look_at_field(struct transaction *t, const struct header_field *field)
{
	const struct config *config = t->session->worker->config;
	struct span body;

	if (header_is(field, SPAN("Received"))) {
		t->received++;
		if (received_by(field->body, span_text(config->hostname)))
			t->received_by_us++;
	} else if (header_is(field, SPAN("Message-ID")) && t->message_id.len == 0) {
		t->message_id = arena_span(t->arena, span_first(span_trim(field->body), 256));
	}
	/* No reader is served by a hundred of them, and each costs us a look. */
	return authres_find(field, &body) &&
	       (++t->results > RESULTS_KEPT ||
		       authres_is_from(body, span_text(config->authserv_id)));
}

/* Adds a change behind those that are there; *room: how many fit. */
static void add_change(struct transaction *t, size_t *room, struct message_change change)
{
	struct message *message = &t->message;

	if (message->n_changes == *room) {
		struct message_change *more;

		*room = *room ? *room * 2 : 4;
		more = arena_alloc(t->arena, *room * sizeof(*more));
		if (message->n_changes)
			memcpy(more, message->changes, message->n_changes * sizeof(*more));
		message->changes = more;
	}
	message->changes[message->n_changes++] = change;
}

/* The header section, whole and in memory, once. */
static void look_at_headers(struct transaction *t, struct span section)
{
	const struct limits_config *limits = &t->session->worker->config->limits;
	const char *begin = section.at;
	struct header_field field;
	size_t room = 0;

	t->header_size = section.len;
	/* A first line that begins with a blank would continue our field. */
	if (message_begins_folded(section))
		add_change(t, &room, (struct message_change){.with = SPAN("\r\n")});
	while (header_next(&section, &field)) {
		struct message_change cut = {
			(size_t)(field.raw.at - begin), field.raw.len, SPAN_NONE};

		if (look_at_field(t, &field))
			add_change(t, &room, cut);
	}
	if (t->received > limits->received || t->received_by_us >= OWN_PASSES_MAX)
		set_fault(t, FAULT_LOOP);
	else
		judge_header(t);
}

/* Called as content grows: waits for the section's end within its limit. */
static void watch_headers(struct transaction *t)
{
	const struct limits_config *limits = &t->session->worker->config->limits;
	struct span content = spool_memory(&t->message.spool);
	size_t end = header_end(content, &t->header_scan);

	if (end > limits->headers || (end == 0 && content.len > limits->headers))
		set_fault(t, FAULT_HEADERS);
	else if (end)
		look_at_headers(t, span_first(content, end));
	else if (t->message.spool.fd >= 0)
		set_fault(t, FAULT_SPOOL); /* the section must lie in memory, and the budget refused
					      that */
}

/* The message is refused already: what still comes is decoded for its end alone. */
static enum dotdata_status discard(struct transaction *t, struct span *input)
{
	char *scratch = t->session->worker->spools->scratch;
	size_t written;

	return dotdata_decode(&t->decoder, input, scratch, &written);
}

/* At most LOOP_READ_SIZE bytes. */
static enum dotdata_status take_piece(struct transaction *t, struct span *input)
{
	struct spool *spool = &t->message.spool;
	enum dotdata_status status;
	size_t written;
	char *room;

	if (t->fault != FAULT_NONE)
		return discard(t, input);
	room = spool_reserve(spool, dotdata_room(input->len));
	if (!room) {
		set_fault(t, FAULT_SPOOL);
		return discard(t, input);
	}
	status = dotdata_decode(&t->decoder, input, room, &written);
	if (!spool_added(spool, written)) {
		log_event(t->session->worker->log, LOG_ERROR, "spool", session_id(t->session),
			"the spool can't be written: %s", strerror(errno));
		set_fault(t, FAULT_SPOOL);
	}
	if (t->decoder.size > t->session->worker->config->limits.message)
		set_fault(t, FAULT_SIZE);
	else if (t->fault == FAULT_NONE && t->header_size)
		judge_content(t, span_make(room, written));
	else if (t->fault == FAULT_NONE)
		watch_headers(t);
	return status;
}

enum dotdata_status transaction_data(struct transaction *t, struct span *input)
{
	enum dotdata_status status = DOTDATA_MORE;

	/* What a client pipelined while it had to wait may be more than one read. */
	while (status == DOTDATA_MORE && input->len) {
		struct span piece = span_first(*input, LOOP_READ_SIZE);
		size_t size = piece.len;

		status = take_piece(t, &piece);
		*input = span_from(*input, size - piece.len);
	}
	return status;
}

enum dotdata_status transaction_data_end(struct transaction *t)
{
	const struct limits_config *limits = &t->session->worker->config->limits;
	struct spool *spool = &t->message.spool;

	if (t->by_bdat) {
		char end[2];
		size_t written;
		enum dotdata_status status = dotdata_finish(&t->decoder, end, &written);
		char *room;

		if (status != DOTDATA_END)
			return status;
		if (written && t->fault == FAULT_NONE) {
			room = spool_reserve(spool, written);
			if (room)
				memcpy(room, end, written);
			if (!room || !spool_added(spool, written))
				set_fault(t, FAULT_SPOOL);
			else if (t->header_size)
				judge_content(t, span_make(end, written));
		}
	}
	if (t->decoder.longest_line > limits->line)
		set_fault(t, FAULT_LINE);
	if (t->fault == FAULT_NONE && t->header_size == 0)
		look_at_headers(
			t, spool_memory(spool)); /* no empty line: it is all header section */
	t->message.leading_dot = t->decoder.leading_dot;
	t->message.eight_bit = t->decoder.eight_bit;
	return DOTDATA_END;
}

struct reply fault_reply(enum message_fault fault)
{
	switch (fault) {
	case FAULT_SIZE:
		return REPLY(552, "5.3.4", "The message is larger than allowed");
	case FAULT_SPOOL:
		return REPLY(452, "4.3.1", "No room for the message now, try again later");
	case FAULT_HEADERS:
		return REPLY(552, "5.3.4", "The header section is larger than allowed");
	case FAULT_LINE:
		return REPLY(550, "5.6.0", "The message holds a line that is too long");
	case FAULT_LOOP:
		return REPLY(554, "5.4.6", "Too many hops, this looks like a mail loop");
	case FAULT_NONE:
		break;
	}
	fail_bug(__FILE__, __LINE__, "a fault has a reply");
}

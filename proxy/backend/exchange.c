#include "proxy/backend/exchange.h"

#include <stdio.h>

#include "lib/base/fail.h"
#include "proxy/backend/command.h"
#include "proxy/backend/job.h"
#include "proxy/backend/plan.h"
#include "proxy/backend/server.h"
#include "proxy/backend/trouble.h"

/* For how long a recipient that was refused only when the message was handed over stays refused;
 * one put off then is told so once, if its client comes again within the hour. */
enum { REFUSED_LATE_MS = 24 * 3600 * 1000, PUT_OFF_MS = 3600 * 1000 };

static void send_turns(struct backend_job *job);

static bool can(const struct backend_job *job, enum backend_capability capability)
{
	return job->connection->offers.can & (unsigned)capability;
}

static struct recipient *first_recipient(const struct backend_job *job)
{
	return job->check ? (struct recipient *)(uintptr_t)job->check->recipient
			  : job->delivery->envelope->recipients;
}

/* --- sending --- */

/* Whether the next command may go before the replies that are due. */
static bool may_send(const struct backend_job *job, unsigned unsent)
{
	const struct backend_exchange *x = &job->exchange;
	bool all_in = x->due.turn > TURN_RCPT && x->accepted == x->n_recipients;

	if (x->next.turn == TURN_OVER)
		return false;
	if (!can(job, CAN_PIPELINING) && job->connection->due + unsent > 0)
		return false;
	if (x->next.turn == TURN_DATA)
		return backend_plan_at_once(x->plan) || all_in;
	if (x->next.turn == TURN_CONTENT)
		return x->plan == PLAN_BDAT_AT_ONCE || (x->due.turn == TURN_CONTENT && all_in);
	return true;
}

static void write_command(const struct backend_job *job, struct buffer *out)
{
	const struct backend_position *next = &job->exchange.next;
	const struct backend_capabilities *offers = &job->connection->offers;

	switch (next->turn) {
	case TURN_XFORWARD_CONNECTION:
		backend_command_xforward(
			out, backend_job_client(job), offers->xforward, XFORWARD_CONNECTION);
		break;
	case TURN_XFORWARD_SESSION:
		backend_command_xforward(
			out, backend_job_client(job), offers->xforward, XFORWARD_SESSION);
		break;
	case TURN_MAIL:
		backend_command_mail(out, backend_job_envelope(job),
			job->delivery ? job->delivery->message : NULL, offers);
		break;
	case TURN_RCPT:
		backend_command_rcpt(out, next->recipient, offers);
		break;
	case TURN_DATA:
		backend_command_text(out, "DATA");
		break;
	case TURN_RSET:
		backend_command_text(out, "RSET");
		break;
	case TURN_CONTENT:
	case TURN_OVER:
		ENSURE(!"a turn without a command");
	}
}

static uint64_t reply_timeout_ms(const struct backend_job *job)
{
	const struct backend_exchange *x = &job->exchange;

	return x->end_went_out && x->due.turn == TURN_CONTENT ? job->delivery->timeout_ms
							      : CONNECTION_REPLY_MS;
}

/* As much of the message as can go, behind the commands that wait in the buffer. */
static void send_content(struct backend_job *job)
{
	struct backend_exchange *x = &job->exchange;
	struct backend_connection *c = job->connection;
	struct buffer *commands = &job->set->commands;
	enum backend_content_status status =
		backend_content_send(&x->content, &c->stream, buffer_span(commands));

	buffer_clear(commands);
	if (status == CONTENT_FAILED) {
		backend_job_answer(job, backend_trouble_reply(TROUBLE_SPOOL));
		backend_connection_drop(c);
		backend_job_free(job);
		return;
	}
	x->end_went_out =
		status == CONTENT_SENT && stream_pending(&c->stream) == 0 && !c->stream.failure;
	backend_connection_expect(
		c, 0, x->end_went_out ? reply_timeout_ms(job) : CONNECTION_BLOCK_MS);
}

static void begin_content(struct backend_job *job, unsigned unsent)
{
	struct backend_exchange *x = &job->exchange;
	const struct message *message;
	unsigned finals = x->lmtp ? x->n_recipients : 1;

	ENSURE(job->delivery);
	message = job->delivery->message;
	if (backend_plan_by_bdat(x->plan))
		backend_command_bdat(&job->set->commands, message_size(message));
	backend_content_begin(
		&x->content, message, backend_plan_by_bdat(x->plan) ? CONTENT_BDAT : CONTENT_DATA);
	x->next.turn = TURN_OVER;
	job->connection->due += unsent + finals;
	send_content(job);
}

static void send_turns(struct backend_job *job)
{
	struct backend_exchange *x = &job->exchange;
	struct buffer *commands = &job->set->commands;
	unsigned unsent = 0;

	while (may_send(job, unsent)) {
		if (x->next.turn == TURN_CONTENT) {
			begin_content(job, unsent);
			return;
		}
		write_command(job, commands);
		backend_plan_step(job, &x->next);
		unsent++;
		if (commands->len >= EXCHANGE_WRITE_BYTES) {
			backend_connection_send(job->connection, unsent);
			unsent = 0;
		}
	}
	if (unsent)
		backend_connection_send(job->connection, unsent);
}

void backend_exchange_drained(struct backend_job *job)
{
	struct backend_exchange *x = &job->exchange;

	if (job->delivery && x->content.message && !x->end_went_out)
		send_content(job);
}

void backend_exchange_begin(struct backend_job *job)
{
	struct backend_exchange *x = &job->exchange;

	*x = (struct backend_exchange){.lmtp = job->backend->config->protocol == BACKEND_LMTP,
		.n_recipients = job->check ? 1 : job->delivery->envelope->n_recipients};
	if (backend_job_envelope(job)->smtputf8 && !can(job, CAN_SMTPUTF8)) {
		backend_job_end(job, backend_trouble_reply(TROUBLE_NO_SMTPUTF8));
		return;
	}
	x->plan = backend_plan_choose(job);
	x->next.turn = backend_job_client(job) ? backend_plan_first(job, TURN_XFORWARD_CONNECTION)
					       : TURN_MAIL;
	x->next.recipient = first_recipient(job);
	x->due = x->next;
	send_turns(job);
}

/* --- replies --- */

static void answer_and_drop(struct backend_job *job, const struct reply *reply)
{
	struct backend_connection *c = job->connection;

	backend_job_answer(job, reply);
	backend_connection_drop(c);
	backend_job_free(job);
}

static void lose_to_garbage(struct backend_job *job)
{
	char why[80];

	snprintf(why, sizeof(why), "an answer that makes no sense to %s",
		backend_exchange_waits_for(&job->exchange));
	backend_connection_lose(job->connection, LOSS_GARBAGE, NULL, why);
}

/* The transaction ends before any data, and the server is told so where it has begun one. */
static void undo(struct backend_job *job)
{
	struct backend_exchange *x = &job->exchange;

	if (!x->mail_accepted) {
		backend_job_over(job);
		return;
	}
	job->state = JOB_FINISHING;
	x->next.turn = x->due.turn = TURN_RSET;
	send_turns(job);
}

/* Each recipient's word is kept for when the client comes again. */
static void remember_refusal(
	struct backend_job *job, const struct recipient *recipient, const struct reply *reply)
{
	struct reply clean = *reply;

	clean.text = backends_clean(job->set, reply->text, recipient->to.utf8);
	rcpt_cache_put(job->set->recipients, backend_check_key(job, recipient),
		loop_now_ms(job->set->loop), reply->code >= 500 ? REFUSED_LATE_MS : PUT_OFF_MS,
		reply->code >= 500 ? RCPT_REFUSED : RCPT_PUT_OFF, &clean);
}

/* All were refused, so the client has its answer, and next time the server is asked again (it may
 * have been the cache that let them in). */
static void forget_refusals(struct backend_job *job)
{
	for (struct recipient *r = first_recipient(job); r; r = r->next)
		rcpt_cache_forget(job->set->recipients, backend_check_key(job, r));
}

static void answer_refused(struct backend_job *job)
{
	struct backend_exchange *x = &job->exchange;
	bool some = !x->refused && x->accepted;

	if (!x->refused && !some)
		forget_refusals(job);
	backend_job_answer(job, some ? backend_trouble_reply(TROUBLE_SOME_REFUSED) : NULL);
}

/* Behind each reply: what can go on now. */
static void proceed(struct backend_job *job)
{
	struct backend_exchange *x = &job->exchange;
	struct backend_connection *c = job->connection;
	bool recipients_over = x->due.turn > TURN_RCPT;

	if (x->due.turn == TURN_OVER) {
		backend_job_over(job);
	} else if (c->due) {
		backend_connection_expect(c, 0, reply_timeout_ms(job));
	} else if (job->delivery &&
		   (x->refused || (recipients_over && x->accepted < x->n_recipients))) {
		answer_refused(job);
		undo(job);
	} else if (x->plan == PLAN_CHECK && x->refused && x->next.turn == TURN_RCPT) {
		backend_job_over(job); /* MAIL was refused, without PIPELINING: nothing to undo */
	} else {
		send_turns(job);
	}
}

static void answer_check(struct backend_job *job, const struct reply *reply)
{
	backend_check_learn(job, reply);
	if (!job->check)
		return; /* cancelled: nobody asks any more */
	backend_job_keep_reply(job, reply);
	job->state = JOB_FINISHING;
	backend_job_answer(job, NULL);
}

static void refuse(struct backend_job *job, const struct reply *reply)
{
	struct backend_exchange *x = &job->exchange;

	x->refused = true;
	if (x->plan == PLAN_CHECK)
		answer_check(job, reply);
	else
		backend_job_keep_reply(job, reply);
}

static void mail_reply(struct backend_job *job, const struct reply *reply)
{
	struct backend_exchange *x = &job->exchange;

	if (reply->code == 503) {
		/* Out of sequence: this connection is not in the state that we think, which is no
		 * fault of the mail's. */
		lose_to_garbage(job);
		return;
	}
	if (reply->code < 300)
		x->mail_accepted = true;
	else
		refuse(job, reply);
	backend_plan_step(job, &x->due);
	proceed(job);
}

static void note_recipient(struct recipient *recipient, const struct reply *reply)
{
	recipient->backend_reply = *reply;
	recipient->backend_reply.text = SPAN_NONE; /* the server's memory, soon gone */
}

static void delivery_rcpt_reply(
	struct backend_job *job, struct recipient *recipient, const struct reply *reply)
{
	struct backend_exchange *x = &job->exchange;
	bool first = !x->some_refused;

	note_recipient(recipient, reply);
	if (reply->code < 300) {
		x->accepted++;
		return;
	}
	x->some_refused = true;
	if (first)
		backend_job_keep_reply(job, reply);
	if (x->n_recipients > 1)
		remember_refusal(job, recipient, reply);
}

static void rcpt_reply(struct backend_job *job, const struct reply *reply)
{
	struct backend_exchange *x = &job->exchange;

	if (x->refused) {
		/* With MAIL all was said. */
	} else if (x->plan == PLAN_CHECK) {
		answer_check(job, reply);
	} else {
		delivery_rcpt_reply(job, x->due.recipient, reply);
	}
	backend_plan_step(job, &x->due);
	proceed(job);
}

/* What the envelope met before DATA or BDAT was answered. */
static bool envelope_stands(const struct backend_exchange *x)
{
	return !x->refused && x->accepted == x->n_recipients;
}

bool backend_exchange_ends(const struct backend_job *job)
{
	const struct backend_exchange *x = &job->exchange;

	return x->due.turn == TURN_RSET ||
	       (x->due.turn == TURN_CONTENT && x->end_went_out && envelope_stands(x));
}

static void data_reply(struct backend_job *job, const struct reply *reply)
{
	struct backend_exchange *x = &job->exchange;

	if (reply->code == 354 && !envelope_stands(x)) {
		/* RFC 2920 3.1 has a lone dot sent now; cutting it off leaves no room for a message
		 * without recipients. */
		answer_and_drop(job, NULL);
		return;
	}
	if (reply->code != 354 && reply->code < 400) {
		lose_to_garbage(job);
		return;
	}
	if (reply->code != 354 && envelope_stands(x))
		refuse(job, reply);
	backend_plan_step(job, &x->due);
	proceed(job);
}

/* See the header: an answer to RCPT must not pass for one to BDAT. */
static bool counts_as_taken(struct backend_job *job, const struct reply *reply)
{
	if (!backend_plan_by_bdat(job->exchange.plan) || reply->code >= 300)
		return true;
	if (reply->enhanced[0] && memcmp(reply->enhanced, "2.1.", 4) != 0)
		return true;
	job->server->no_bdat = true;
	return false;
}

/* Before the message's end was out: only a refusal makes sense, and the rest need not be sent. */
static void early_reply(struct backend_job *job, const struct reply *reply)
{
	if (reply->code < 400) {
		lose_to_garbage(job);
		return;
	}
	backend_job_keep_reply(job, reply);
	answer_and_drop(job, NULL);
}

/* LMTP (RFC 2033 4.2): each recipient has a reply of its own, ours speaks for all. When the server
 * took the message for some only, the client must come again, or the others lose it: those that
 * have it then get it twice, and those refused for good are told so at RCPT. */
static void lmtp_reply(struct backend_job *job, const struct reply *reply)
{
	struct backend_exchange *x = &job->exchange;
	unsigned *count = reply->code < 300   ? &x->final_2xx
			  : reply->code < 500 ? &x->final_4xx
					      : &x->final_5xx;
	bool first = x->final_2xx + x->final_4xx + x->final_5xx == 0;

	/* Kept is the first word, but a 4xx before a 5xx, and either before a 2xx. */
	if (first || (*count == 0 && reply->code >= 400 && x->final_4xx == 0))
		backend_job_keep_reply(job, reply);
	(*count)++;
	note_recipient(x->due.recipient, reply);
	if (reply->code >= 500 && x->n_recipients > 1)
		remember_refusal(job, x->due.recipient, reply);
	x->due.recipient = x->due.recipient->next;
	if (x->due.recipient) {
		backend_connection_expect(job->connection, 0, job->delivery->timeout_ms);
		return;
	}
	if (x->final_2xx && x->final_2xx < x->n_recipients) {
		backend_job_end(job, backend_trouble_reply(TROUBLE_SOME_DELIVERED));
	} else {
		if (x->final_5xx)
			forget_refusals(job);
		backend_job_end(job, NULL);
	}
}

static void content_reply(struct backend_job *job, const struct reply *reply)
{
	struct backend_exchange *x = &job->exchange;
	struct backend_connection *c = job->connection;

	if (!envelope_stands(x) && reply->code >= 400) {
		/* BDAT behind a refused envelope. Its content went out whole, or follows before our
		 * RSET. */
		x->end_went_out = false;
		proceed(job);
	} else if (!envelope_stands(x)) {
		x->end_went_out = false;
		answer_and_drop(job, NULL);
	} else if (!x->end_went_out) {
		early_reply(job, reply);
	} else if (reply->code / 100 == 3 || !counts_as_taken(job, reply)) {
		lose_to_garbage(job);
	} else if (x->lmtp) {
		lmtp_reply(job, reply);
	} else {
		c->worn |= reply->code == 421;
		backend_job_keep_reply(job, reply);
		if (backend_plan_by_bdat(x->plan) && reply->code >= 400 && !c->worn) {
			/* A refused chunk leaves the transaction indeterminate (RFC 3030 2). */
			backend_job_answer(job, NULL);
			undo(job);
		} else {
			backend_job_end(job, NULL);
		}
	}
}

static void rset_reply(struct backend_job *job, const struct reply *reply)
{
	if (reply->code >= 300)
		job->connection->worn = true;
	job->exchange.due.turn = TURN_OVER;
	proceed(job);
}

void backend_exchange_reply(struct backend_job *job, const struct reply *reply)
{
	struct backend_exchange *x = &job->exchange;

	if (reply->code == 421 && !(x->end_went_out && x->due.turn == TURN_CONTENT)) {
		/* BDAT may be out already, but the envelope that it needs is refused. */
		x->end_went_out = false;
		backend_connection_lose(job->connection, LOSS_CLOSING, reply, "421");
		return;
	}
	if (reply->code / 100 == 3 && x->due.turn != TURN_DATA && x->due.turn != TURN_CONTENT) {
		lose_to_garbage(job);
		return;
	}
	if (reply->code >= 400)
		job->connection->refusals++;
	switch (x->due.turn) {
	case TURN_XFORWARD_CONNECTION:
	case TURN_XFORWARD_SESSION:
		/* A server that won't hear who the client is may still take the mail. */
		backend_plan_step(job, &x->due);
		proceed(job);
		break;
	case TURN_MAIL:
		mail_reply(job, reply);
		break;
	case TURN_RCPT:
		rcpt_reply(job, reply);
		break;
	case TURN_DATA:
		data_reply(job, reply);
		break;
	case TURN_CONTENT:
		content_reply(job, reply);
		break;
	case TURN_RSET:
		rset_reply(job, reply);
		break;
	case TURN_OVER:
		ENSURE(!"no reply is due");
	}
}

const char *backend_exchange_waits_for(const struct backend_exchange *x)
{
	static const char *const words[] = {
		[TURN_XFORWARD_CONNECTION] = "backend reply to XFORWARD",
		[TURN_XFORWARD_SESSION] = "backend reply to XFORWARD",
		[TURN_MAIL] = "backend reply to MAIL",
		[TURN_RCPT] = "backend reply to RCPT",
		[TURN_DATA] = "backend reply to DATA",
		[TURN_CONTENT] = "backend taking the message",
		[TURN_RSET] = "backend reply to RSET",
		[TURN_OVER] = "nothing",
	};

	if (x->due.turn == TURN_CONTENT && x->end_went_out)
		return "backend reply to the end of the message";
	return words[x->due.turn];
}

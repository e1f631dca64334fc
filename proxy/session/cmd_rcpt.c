/*
 * RCPT (RFC 5321 4.1.1.3). The order of judges: the grammar, our limits, relay_domains (never an
 * open relay), the backend's own word. Each answer is in the audit record.
 */
#include "lib/base/fail.h"
#include "proxy/session/session.h"

/* What we say of a recipient ourselves; code 0: nothing against it. */
static struct reply judge(struct session *s, const struct address *to)
{
	const struct config *config = s->worker->config;
	struct transaction *t = s->transaction;
	struct backend_features features = backends_features(s->worker->backends);

	if (t->envelope.n_recipients >= config->limits.recipients || t->n_refused >= REFUSALS_KEPT)
		return REPLY(452, "4.5.3",
			"Too many recipients, send the others in another transaction");
	/* LMTP answers for each recipient after the data, SMTP once for all (RFC 2033 4.2). */
	if (features.lmtp && t->envelope.n_recipients >= 1)
		return REPLY(452, "4.5.3",
			"One recipient at a time, send the others in another transaction");
	if (address_local_routes(to))
		return REPLY(550, "5.1.3", "Routing in the local part is refused");
	if (to->domain.len && !config_relays(config, to->domain))
		return REPLY(550, "5.7.1", "Relaying denied, this is not a domain of ours");
	return (struct reply){.code = 0};
}

static struct recipient *recipient_new(struct transaction *t, const struct rcpt_command *rcpt)
{
	struct recipient *recipient = arena_alloc(t->arena, sizeof(*recipient));
	struct span mailbox = arena_span(t->arena, rcpt->to.mailbox);

	recipient->to = rcpt->to;
	recipient->to.mailbox = mailbox;
	recipient->to.local = span_first(mailbox, rcpt->to.local.len);
	if (rcpt->to.domain.len)
		recipient->to.domain = span_from(mailbox, mailbox.len - rcpt->to.domain.len);
	recipient->notify = arena_span(t->arena, rcpt->notify);
	recipient->orcpt = arena_span(t->arena, rcpt->orcpt);
	return recipient;
}

static enum step answer(struct session *s, struct span address, const struct reply *reply)
{
	transaction_attempt(s->transaction, address, reply);
	session_tell(s, reply);
	if (reply->code >= 500)
		session_junk(s);
	return STEP_NEXT;
}

static enum step welcome(struct session *s, struct recipient *recipient)
{
	struct transaction *t = s->transaction;
	struct reply reply = REPLY(250, "2.1.5", "Recipient accepted");

	*t->last_recipient = recipient;
	t->last_recipient = &recipient->next;
	t->envelope.n_recipients++;
	return answer(s, recipient->to.mailbox, &reply);
}

static void check_done(struct check *check)
{
	struct session *s = check->context;

	s->transaction->asking = false;
	session_run(s);
}

/* The backend has spoken. */
static enum step checked(struct session *s)
{
	struct transaction *t = s->transaction;
	struct recipient *recipient = t->checking;
	struct reply reply = t->check.reply;

	t->checking = NULL;
	if (t->check.outcome == CHECK_WELCOME)
		return welcome(s, recipient);
	if (t->check.outcome == CHECK_CANCELLED) {
		if (s->peer == PEER_GONE)
			return STEP_CLOSED;
		reply = REPLY(451, "4.3.2", "Going down, try again");
	}
	return answer(s, recipient->to.mailbox, &reply);
}

enum step cmd_rcpt(struct session *s, struct span argument)
{
	struct transaction *t = s->transaction;
	struct rcpt_command rcpt;
	struct reply reply;

	if (!t)
		return session_say(s, 503, "5.5.1", "Say MAIL first");
	if (!rcpt_command_parse(argument, t->envelope.smtputf8, &rcpt, &reply)) {
		session_reply(s, &reply);
		return STEP_NEXT;
	}
	reply = judge(s, &rcpt.to);
	if (reply.code)
		return answer(s,
			t->n_refused < REFUSALS_KEPT ? arena_span(t->arena, rcpt.to.mailbox)
						     : rcpt.to.mailbox,
			&reply);
	t->checking = recipient_new(t, &rcpt);
	if (rcpt.to.domain.len == 0) {
		struct recipient *postmaster = t->checking;

		t->checking = NULL;
		return welcome(s, postmaster); /* RFC 5321 4.5.1 */
	}
	t->check = (struct check){
		.client = &s->client,
		.bond = &s->bond,
		.envelope = &t->envelope,
		.recipient = t->checking,
		.sid = session_id(s),
		.done = check_done,
		.context = s,
	};
	if (check_start(s->worker->backends, &t->check))
		return checked(s);
	t->asking = true;
	session_set_state(s, SESSION_CHECK);
	return STEP_NEXT;
}

enum step step_check(struct session *s)
{
	if (s->transaction->asking)
		return STEP_WAIT;
	session_set_state(s, SESSION_COMMAND);
	return checked(s);
}

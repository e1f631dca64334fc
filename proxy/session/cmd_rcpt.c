/*
 * RCPT (RFC 5321 4.1.1.3). The order of judges: the grammar, our limits, relay_domains (never an
 * open relay), the rules, whether it can share the transaction with those before it, the backend's
 * own word. Each answer is in the audit record.
 *
 *     cmd_rcpt -> VET (rules) [-> DELAY] -> CHECK (backend) -> answered
 */
#include "lib/base/fail.h"
#include "proxy/session/session.h"

/* What we say of a recipient ourselves; code 0: nothing against it. */
static struct reply judge(struct session *s, const struct address *to)
{
	const struct config *config = s->worker->config;
	struct transaction *t = s->transaction;
	unsigned most = config->limits.recipients;

	if (t->prdr && most > PRDR_RECIPIENTS_MAX)
		most = PRDR_RECIPIENTS_MAX;
	if (t->envelope.n_recipients >= most || t->n_refused >= REFUSALS_KEPT)
		return REPLY(452, "4.5.3",
			"Too many recipients, send the others in another transaction");
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

static struct attempt *answer(struct session *s, struct span address, const struct reply *reply)
{
	struct attempt *attempt = transaction_attempt(s->transaction, address, reply);

	session_tell(s, reply);
	if (reply->code >= 500)
		session_junk(s);
	return attempt;
}

/* The recipient under consideration is refused; about: by whom (rule, final, blame, unknown). */
static enum step turn_away(
	struct session *s, const struct reply *reply, const struct attempt *about)
{
	struct transaction *t = s->transaction;
	const struct due *dues = judge_dues(s, STAGE_RCPT);
	struct attempt *attempt;

	judge_recipient_end(t, NULL);
	attempt = answer(s, t->checking->to.mailbox, reply);
	if (attempt) {
		attempt->rule = about->rule;
		attempt->final = about->final;
		attempt->blame = about->blame;
		attempt->unknown = about->unknown;
		attempt->dues = dues;
	}
	t->checking = NULL;
	return STEP_NEXT;
}

static enum step welcome(struct session *s)
{
	struct transaction *t = s->transaction;
	struct reply reply = REPLY(250, "2.1.5", "Recipient accepted");
	struct recipient *recipient = t->checking;
	struct cohort *cohort = cohort_join(t, &t->like, recipient);
	const struct due *dues = judge_dues(s, STAGE_RCPT);
	struct attempt *attempt;

	judge_recipient_end(t, cohort);
	t->checking = NULL;
	attempt = answer(s, recipient->to.mailbox, &reply);
	attempt->recipient = recipient;
	attempt->cohort = cohort;
	attempt->dues = dues;
	return STEP_NEXT;
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
	struct reply reply = t->check.reply;
	struct attempt about = {.unknown = t->check.outcome == CHECK_REFUSED && reply.code >= 500};

	if (t->check.outcome == CHECK_WELCOME)
		return welcome(s);
	if (t->check.outcome == CHECK_CANCELLED) {
		if (s->peer == PEER_GONE)
			return STEP_CLOSED;
		reply = REPLY(451, "4.3.2", "Going down, try again");
	}
	return turn_away(s, &reply, &about);
}

/* The rules have nothing against it. */
static enum step ask_backend(struct session *s)
{
	struct transaction *t = s->transaction;
	struct reply why;

	if (!cohort_fits(t, &t->like, &why))
		return turn_away(s, &why, &(struct attempt){.rule = NULL});
	if (t->checking->to.domain.len == 0)
		return welcome(s); /* RFC 5321 4.5.1 */
	t->check = (struct check){
		.backend = t->like.backend,
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

/* Whether a certain outcome is spoken now. <postmaster> is always a recipient (RFC 5321 4.5.1). */
static bool speaks_now(const struct transaction *t)
{
	const struct outcome *outcome = &t->like.outcome;
	enum sternness sternness = outcome_sternness(outcome);

	return outcome->certain && (sternness == STERN_REJECT || sternness == STERN_DEFER) &&
	       (t->checking->to.domain.len || (outcome->final && outcome->final->now));
}

/* The rules look at the recipient, as often as something becomes known. */
static enum step vet(struct session *s)
{
	struct transaction *t = s->transaction;
	enum judge_status status = judge_recipient(t, t->checking, &t->like);
	struct reply reply;

	if (status == JUDGE_WAIT || judge_is_asking(s)) {
		if (s->state != SESSION_VET)
			session_set_state(s, SESSION_VET);
		return STEP_WAIT;
	}
	if (!speaks_now(t)) {
		session_set_state(s, SESSION_COMMAND);
		return ask_backend(s);
	}
	t->like.delay_ms = judge_delay(&t->like);
	if (t->like.delay_ms && !t->delayed) {
		t->delayed = true;
		return session_delay(s, t->like.delay_ms, SESSION_VET);
	}
	t->delayed = false;
	session_set_state(s, SESSION_COMMAND);
	reply = judge_reply(t, &t->like, t->arena);
	judge_count(t, &t->like);
	judge_add(t, &t->like);
	shared_speak(s->worker->row, AT_rcpt, reply.code < 500 ? "defer" : "reject");
	return turn_away(s, &reply,
		&(struct attempt){.rule = t->like.outcome.rule,
			.final = t->like.outcome.final,
			.blame = consequences_blame(t->like.evaluation, &t->like.outcome)});
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
	if (reply.code) {
		answer(s,
			t->n_refused < REFUSALS_KEPT ? arena_span(t->arena, rcpt.to.mailbox)
						     : rcpt.to.mailbox,
			&reply);
		return STEP_NEXT;
	}
	t->checking = recipient_new(t, &rcpt);
	return vet(s);
}

enum step step_vet(struct session *s)
{
	if (judge_is_asking(s))
		return STEP_WAIT;
	if (s->peer == PEER_GONE)
		return STEP_CLOSED;
	/* What was asked for it was cancelled, and nobody else is asked. */
	if (s->worker->drain >= WORKER_DRAIN_MESSAGES)
		return session_bye(s, 421, "4.3.2", "Going down, try again");
	return vet(s);
}

enum step step_check(struct session *s)
{
	if (s->transaction->asking)
		return STEP_WAIT;
	session_set_state(s, SESSION_COMMAND);
	return checked(s);
}

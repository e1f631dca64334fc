/*
 * MAIL (RFC 5321 4.1.1.2) with SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531), RET and ENVID
 * (RFC 3461), PRDR (draft-hall-prdr).
 */
#include "proxy/session/session.h"

static struct address keep_address(struct arena *arena, const struct address *address)
{
	struct address kept = *address;
	struct span mailbox = arena_span(arena, address->mailbox);

	kept.mailbox = mailbox;
	kept.local = span_first(mailbox, address->local.len);
	if (address->domain.len)
		kept.domain = span_from(mailbox, mailbox.len - address->domain.len);
	return kept;
}

enum step cmd_mail(struct session *s, struct span argument)
{
	struct backend_features features = backends_features(s->worker->backends);
	struct mail_command mail;
	struct transaction *t;
	struct reply why;

	if (s->transaction)
		return session_say(s, 503, "5.5.1", "A transaction is under way, RSET ends it");
	if (!mail_command_parse(argument, &mail, &why)) {
		session_reply(s, &why);
		return STEP_NEXT;
	}
	if (mail.size > s->worker->config->limits.message ||
		(features.size_max && mail.size > features.size_max))
		return session_say(s, 552, "5.3.4", "The message is larger than allowed");
	if (mail.smtputf8 && !features.smtputf8)
		return session_say(s, 550, "5.6.7", "The mail server behind takes no SMTPUTF8");
	t = s->transaction = transaction_begin(s);
	t->envelope.from = keep_address(t->arena, &mail.from);
	t->envelope.size = mail.size;
	t->envelope.body = mail.body;
	t->envelope.smtputf8 = mail.smtputf8;
	t->envelope.ret = mail.ret;
	t->envelope.envid = arena_span(t->arena, mail.envid);
	t->prdr = mail.prdr;
	if (judge_mail(s) == JUDGE_CERTAIN) {
		struct reply reply = judge_refusal(s, &t->refused_by);

		t->blame = judge_refusal_blame(s);
		session_tell(s, &reply);
		shared_speak(s->worker->row, AT_mail, "reject");
		transaction_end(&s->transaction, "reject", &reply);
		session_junk(s);
		return session_hold(s);
	}
	return session_say(s, 250, "2.1.0", "Sender accepted");
}

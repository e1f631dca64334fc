/*
 * DATA (RFC 5321 4.1.1.4): content until CRLF.CRLF.
 */
#include "proxy/session/session.h"

/* A client that sends on and on behind a refusal that it can't see yet is cut off in the end. */
static bool beyond_patience(const struct session *s)
{
	const struct transaction *t = s->transaction;

	return t->fault != FAULT_NONE && t->decoder.size / 2 > s->worker->config->limits.message;
}

enum step cmd_data(struct session *s, struct span argument)
{
	struct transaction *t = s->transaction;

	(void)argument;
	if (!t || (t->envelope.n_recipients == 0 && t->n_refused == 0))
		return session_say(s, 503, "5.5.1", "Say MAIL and RCPT first");
	if (t->envelope.n_recipients == 0)
		return session_say(s, 554, "5.5.1", "No valid recipients");
	transaction_data_begin(t, DOTDATA_DATA);
	session_set_state(s, SESSION_DATA);
	return session_say(s, 354, "", "Go on, end with CRLF.CRLF");
}

enum step step_data(struct session *s)
{
	struct transaction *t = s->transaction;
	enum dotdata_status status;

	if (s->input.len == 0)
		return session_await_client(s);
	status = transaction_data(t, &s->input);
	if (status == DOTDATA_MORE) {
		if (beyond_patience(s)) {
			struct reply reply = fault_reply(t->fault);

			session_tell(s, &reply);
			transaction_end(
				&s->transaction, reply.code < 500 ? "defer" : "reject", &reply);
			session_set_state(s, SESSION_FAREWELL);
			return STEP_NEXT;
		}
		session_set_state(s, SESSION_DATA);
		return session_await_client(s);
	}
	if (status != DOTDATA_END)
		return session_violation(s, status);
	transaction_data_end(t);
	return commit_start(s);
}

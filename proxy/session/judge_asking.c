/*
 * rcpt.valid: the backend is asked about a recipient before the rules have judged it, as it is
 * asked before a recipient is accepted. The answer comes exactly once, also after a cancel; until
 * then the session lets neither the recipient nor the transaction end.
 */
#include <stdlib.h>

#include "lib/base/fail.h"
#include "proxy/session/judging.h"

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

enum call_status judge_ask_recipient(
	const struct filter_view *view, struct call *call, unsigned fact)
{
	struct judge *j = CONTAINER_OF(view, struct judge, view);
	struct session *s = j->session;
	const char *backend = evaluation_route(j->candidate);

	if (!config_backend(s->worker->config, backend)->verify_recipients) {
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

void judge_forget_recipient(const struct filter_view *view, struct call *call)
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

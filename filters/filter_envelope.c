/*
 * envelope: what MAIL and RCPT say. The null reverse-path is a known, empty address, so that
 * `mail.from == ""` works as `mail.null` does; <postmaster> has no domain.
 */
#include "filters/filter.h"

enum {
	MAIL_FROM,
	MAIL_LOCAL,
	MAIL_DOMAIN,
	MAIL_NULL,
	MAIL_SIZE,
	MAIL_SMTPUTF8,
	RCPT_TO,
	RCPT_LOCAL,
	RCPT_DOMAIN,
	RCPT_COUNT,
	RCPT_VALID
};

static const struct fact facts[] = {
	[MAIL_FROM] = {"mail.from", TYPE_MAIL, STAGE_MAIL, 0, NULL,
		"the envelope sender; \"\" for the null reverse-path <>"},
	[MAIL_LOCAL] = {"mail.local", TYPE_TEXT, STAGE_MAIL, 0, NULL,
		"the envelope sender's part before the @"},
	[MAIL_DOMAIN] = {"mail.domain", TYPE_DOMAIN, STAGE_MAIL, 0, NULL,
		"the envelope sender's domain"},
	[MAIL_NULL] = {"mail.null", TYPE_BOOL, STAGE_MAIL, 0, NULL,
		"the envelope sender is the null reverse-path <>, as in bounces"},
	[MAIL_SIZE] = {"mail.size", TYPE_SIZE, STAGE_MAIL, 0, NULL,
		"the size that the client declared with SIZE=; none if it did not"},
	[MAIL_SMTPUTF8] = {"mail.smtputf8", TYPE_BOOL, STAGE_MAIL, 0, NULL,
		"the client asked for SMTPUTF8"},
	[RCPT_TO] = {"rcpt.to", TYPE_MAIL, STAGE_RCPT, 0, NULL, "the recipient"},
	[RCPT_LOCAL] = {"rcpt.local", TYPE_TEXT, STAGE_RCPT, 0, NULL,
		"the recipient's part before the @"},
	[RCPT_DOMAIN] = {"rcpt.domain", TYPE_DOMAIN, STAGE_RCPT, 0, NULL,
		"the recipient's domain; none for <postmaster>"},
	[RCPT_COUNT] = {"rcpt.count", TYPE_NUMBER, STAGE_RCPT, 0, NULL,
		"which recipient of its message this is, from 1"},
	[RCPT_VALID] = {"rcpt.valid", TYPE_BOOL, STAGE_RCPT, FACT_ASKS | FACT_OF_BACKEND, NULL,
		"the backend takes mail for the recipient"},
	{.name = NULL},
};

static void add_sender(struct call *call, const struct filter_view *view)
{
	const struct address *from = view->from;

	call_add_bool(call, MAIL_SMTPUTF8, view->smtputf8);
	if (view->declared_size)
		call_add_number(call, MAIL_SIZE, (double)view->declared_size);
	if (!from)
		return;
	call_add_text(call, MAIL_FROM, from->mailbox);
	call_add_text(call, MAIL_LOCAL, from->local);
	call_add_text(call, MAIL_DOMAIN, from->domain);
	call_add_bool(call, MAIL_NULL, from->mailbox.len == 0);
}

static void add_recipient(struct call *call, const struct filter_view *view)
{
	call_add_text(call, RCPT_TO, view->to->mailbox);
	call_add_text(call, RCPT_LOCAL, view->to->local);
	call_add_text(call, RCPT_DOMAIN, view->to->domain);
	call_add_number(call, RCPT_COUNT, view->to_count);
}

static enum call_status run(struct call *call)
{
	const struct filter_view *view = call_view(call);

	add_sender(call, view);
	if (!view->to)
		return CALL_DONE;
	add_recipient(call, view);
	if (!call_wants(call, RCPT_VALID))
		return CALL_DONE;
	if (view->ask_recipient)
		return view->ask_recipient(view, call, RCPT_VALID);
	call_fail(call, RCPT_VALID, "there is no backend to ask");
	return CALL_DONE;
}

static void cancel(struct call *call)
{
	const struct filter_view *view = call_view(call);

	view->forget_recipient(view, call);
}

const struct filter filter_envelope = {.version = FILTER_VERSION,
	.name = "envelope",
	.facts = facts,
	.run = run,
	.cancel = cancel};

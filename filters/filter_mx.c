/*
 * mx: whether the sender's domain can receive mail (RFC 5321 5.1): an MX that is not the null MX
 * (RFC 7505), or without any MX an address. A sender who can't be answered is seldom honest.
 */
#include "filters/filter.h"
#include "filters/question.h"

enum { MAIL_MX };

static const struct fact facts[] = {
	[MAIL_MX] = {"mail.mx", TYPE_BOOL, STAGE_MAIL, FACT_ASKS, NULL,
		"the envelope sender's domain can receive mail; none for <>"},
	{.name = NULL},
};

static bool has_exchanger(const struct dns_query *query)
{
	for (size_t i = 0; i < query->n_records; i++)
		if (!span_equal(query->records[i].name, SPAN(".")))
			return true;
	return false;
}

static void on_answer(struct question *question)
{
	struct call *call = question->all->call;

	if (question->query.type != DNS_MX) {
		if (question_found(question))
			call_add_bool(call, MAIL_MX, true);
	} else if (question_found(question)) {
		call_add_bool(call, MAIL_MX, has_exchanger(&question->query));
	} else if (question->query.outcome == DNS_NODATA) {
		question_ask(question->all, question->query.name, DNS_A, 0);
		question_ask(question->all, question->query.name, DNS_AAAA, 0);
	}
}

static void on_end(struct questions *all)
{
	for (const struct question *question = all->first; question; question = question->next)
		if (question_failed(question))
			call_fail(all->call, MAIL_MX, question_why(question));
	call_add_bool(all->call, MAIL_MX, false);
}

static enum call_status run(struct call *call)
{
	const struct address *from = call_view(call)->from;
	struct questions *all;

	if (!from || !from->domain.len)
		return CALL_DONE;
	if (from->literal) {
		call_add_bool(call, MAIL_MX, true);
		return CALL_DONE;
	}
	all = questions_new(call, on_answer, on_end);
	question_ask(all, from->domain, DNS_MX, 0);
	return questions_wait(all);
}

const struct filter filter_mx = {.version = FILTER_VERSION,
	.name = "mx",
	.facts = facts,
	.run = run,
	.cancel = questions_cancel};

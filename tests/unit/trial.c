#include "tests/unit/trial.h"

#include "filters/question.h"
#include "filters/set.h"

/* --- trial --- */

enum { TRIAL, TRIAL_AUTHRES, TRIAL_TRACE, TRIAL_OTHER };

static const struct fact trial_facts[] = {
	[TRIAL] = {"trial", TYPE_TEXT, STAGE_MAIL, FACT_ASKS, NULL, "what V: says"},
	[TRIAL_AUTHRES] = {"trial.authres", TYPE_TEXT, STAGE_MAIL,
		FACT_ASKS | FACT_MANY | FACT_IN_TEXTS | FACT_AUTHRES, NULL, "what A: says"},
	[TRIAL_TRACE] = {"trial.trace", TYPE_TEXT, STAGE_MAIL,
		FACT_ASKS | FACT_MANY | FACT_IN_TEXTS | FACT_TRACE, NULL, "what T: says"},
	[TRIAL_OTHER] = {"trial.other", TYPE_NUMBER, STAGE_MAIL, FACT_ASKS, NULL, "how many"},
	{.name = NULL},
};

static void note(struct call *call, struct span text)
{
	struct span value = span_from(text, 2);

	if (span_starts(text, SPAN("A:")))
		call_add_text(call, TRIAL_AUTHRES, value);
	else if (span_starts(text, SPAN("T:")))
		call_add_text(call, TRIAL_TRACE, value);
	else if (span_starts(text, SPAN("V:")))
		call_add_text(call, TRIAL, value);
}

static void on_answer(struct question *question)
{
	struct call *call = question->all->call;

	if (question_failed(question)) {
		call_fail_all(call, question_why(question));
		return;
	}
	for (size_t i = 0; question_found(question) && i < question->query.n_records; i++)
		note(call, question->query.records[i].text);
	call_add_number(call, TRIAL_OTHER, (double)question->query.n_records);
}

static enum call_status trial_run(struct call *call)
{
	const struct address *from = call_view(call)->from;
	struct questions *all = questions_new(call, on_answer, NULL);

	if (from && from->domain.len)
		question_ask(all,
			span_text(arena_print(
				call_arena(call), "_trial.%.*s", SPAN_ARGS(from->domain))),
			DNS_TXT, 0);
	return questions_wait(all);
}

static const struct filter trial = {.version = FILTER_VERSION,
	.name = "trial",
	.facts = trial_facts,
	.run = trial_run,
	.cancel = questions_cancel};

/* --- weigh --- */

enum { WEIGH_SIZE, WEIGH_AUTHRES };

static const struct fact weigh_facts[] = {
	[WEIGH_SIZE] = {"weigh.size", TYPE_SIZE, STAGE_MESSAGE, 0, NULL, "bytes that were fed"},
	[WEIGH_AUTHRES] = {"weigh.authres", TYPE_TEXT, STAGE_MESSAGE,
		FACT_MANY | FACT_IN_TEXTS | FACT_AUTHRES, NULL, "the same as a result"},
	{.name = NULL},
};

static const char *const weigh_after[] = {"trial", NULL};

static enum call_status weigh_run(struct call *call)
{
	call_keep(call, call_memory(call, sizeof(size_t)));
	return CALL_WAIT;
}

static void weigh_end(struct call *call, size_t size)
{
	const struct fact_value *value = call_other(call, "trial");
	struct span word = value->count ? value->items[0].text : SPAN("none");

	call_add_number(call, WEIGH_SIZE, (double)size);
	if (call_wants(call, WEIGH_AUTHRES))
		call_add_text(call, WEIGH_AUTHRES,
			span_text(arena_print(call_arena(call),
				"weigh=pass body.size=%zu policy.trial=%.*s", size,
				SPAN_ARGS(word))));
	call_done(call);
}

static void weigh_feed(struct call *call, struct span content)
{
	size_t *size = call_own(call);

	*size += content.len;
	if (!content.len)
		weigh_end(call, *size);
}

static const struct filter weigh = {.version = FILTER_VERSION,
	.name = "weigh",
	.facts = weigh_facts,
	.after = weigh_after,
	.run = weigh_run,
	.feed = weigh_feed,
	.cancel = call_done};

/* --- the set --- */

static bool has_results(const struct filter *filter)
{
	for (const struct fact *fact = filter->facts; fact->name; fact++)
		if (fact->flags & (FACT_AUTHRES | FACT_TRACE))
			return true;
	return false;
}

static bool measures(const struct filter *filter, const char *name)
{
	for (const struct fact *fact = filter->facts; fact->name; fact++)
		if (strcmp(fact->name, name) == 0)
			return true;
	return false;
}

/* Whether it comes after one of those. */
static bool follows_results(const struct filter *filter)
{
	for (const char *const *name = filter->after; name && *name; name++)
		for (const struct filter *const *at = filter_registry; *at; at++)
			if (has_results(*at) && measures(*at, *name))
				return true;
	return false;
}

struct filter_set *trial_filter_set(const struct filter_given *given, size_t n, struct err *err)
{
	static const struct filter *own[64];
	size_t n_own = 0;

	for (const struct filter *const *at = filter_registry; *at; at++)
		if (!has_results(*at) && !follows_results(*at))
			own[n_own++] = *at;
	own[n_own++] = &trial;
	own[n_own++] = &weigh;
	own[n_own] = NULL;
	return filter_set_of(own, given, n, "/", err);
}

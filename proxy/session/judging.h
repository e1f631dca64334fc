/*
 * judging: what the files of the judge share. Private to
 *
 *     judge.c            the client, HELO, MAIL, recipients
 *     judge_asking.c     rcpt.valid: the backend is asked
 *     judge_message.c    the message, what is to be done, and the words for it
 */
#ifndef PROXY_SESSION_JUDGING_H
#define PROXY_SESSION_JUDGING_H

#include "proxy/session/bench.h"
#include "proxy/session/cohort.h"
#include "proxy/session/consequences.h"
#include "proxy/session/session.h"

enum { JUDGE_TEXT_MAX = 4096 /* bytes of a rule's text with its fields filled in */ };

struct judge {
	struct session *session;   /* borrowed */
	struct bench *bench;       /* borrowed */
	struct pipeline *pipeline; /* owned */
	struct filter_view view;
	bool connected; /* the stage CONNECT is entered */
	bool ended;     /* the pipeline was told that the content is whole */
	bool measuring; /* it was told of the results that stand in a header (results.h) */
	const struct recipient *recipient; /* under consideration */
	struct evaluation *candidate;      /* for the next one; in the transaction's arena */
	struct reply refusal;
	const struct rule *refused_by;
	enum blame refusal_blame;
	uint64_t refusal_delay_ms;
	struct check *asking; /* the backend about rcpt.valid; NULL: not */
	struct call *asker;
	unsigned asked_fact;
};

/* Where values are found; recipient: those that a cohort has put aside, or NULL. */
struct subject judge_subject(const struct judge *j, const struct fact_value *recipient);

/* Has the pipeline measure what rules want, by slot, and with it what the header of a message shall
 * say that may go on. true: look again (pipeline_want). */
bool judge_want(struct judge *j, const bool *wanted) MUST_CHECK;

/* All cohorts look, until nothing more becomes known at once. true: all are ready. */
bool judge_look_all(struct transaction *t, enum stage reached);

/* Whether the message may still go on to somebody, as the cohorts saw it last. */
bool judge_goes_on(const struct transaction *t);

/* The longest delay of the rules that apply, in milliseconds. */
uint64_t judge_delay_of(const struct evaluation *e);

/* For the view: asks the backend about the recipient under consideration. */
enum call_status judge_ask_recipient(
	const struct filter_view *view, struct call *call, unsigned fact);
void judge_forget_recipient(const struct filter_view *view, struct call *call);

/* For the pipeline: what came of the content before a call was started. context: the session. */
size_t judge_replay(void *context, uint64_t from, void (*take)(void *, struct span), void *taker);

#endif

/*
 * verify: what a call asks of the process that evaluates SPF, DKIM and ARC (lib/authn/authn.h), and
 * the DNS questions that this leads to, asked as a stranger's, side by side, each name once however
 * many tasks want it.
 *
 *     verify = verify_new(call, told);
 *     verify_add(verify, &own->task, AUTHN_DKIM, ended);
 *     if (!verify_start(&own->task)) ...
 *     return verify_wait(verify);
 *
 * The call is done when every task that was added has ended, by its result or by verify_settle.
 * call_own is the verification's; the filter's `cancel` is verify_cancel.
 */
#ifndef FILTERS_VERIFY_H
#define FILTERS_VERIFY_H

#include "filters/question.h"
#include "lib/authn/authn.h"

enum {
	VERIFY_TASKS_MAX = 4,
	VERIFY_QUESTIONS_MAX = 400 /* of one call; nobody knows the answer to more */
};

struct verify;

/* In the call's memory, zeroed. */
struct verify_task {
	struct authn_task authn; /* request, read: the filter's, before verify_start; outcome and
				    result in `ended` */
	struct verify *verify;
	/* It has wanted to know this, and it was not asked with verify_ask; or NULL. */
	void (*wanted)(struct verify_task *task, const struct answer *want);
	enum { VERIFY_ADDED, VERIFY_STARTED, VERIFY_ENDED } state;
	/* private */
	void (*ended)(struct verify_task *task);
	unsigned bit;
};

struct verify {
	struct call *call;
	void *context; /* the filter's own */
	/* private */
	struct questions *questions;
	void (*told)(struct verify *verify, const struct answer *answer);
	struct verify_task *tasks[VERIFY_TASKS_MAX];
	unsigned n_tasks, n_open, n_questions;
	bool held;
};

/* In the call's memory. told: DNS has answered; tasks under way have heard of it. Or NULL. */
struct verify *verify_new(
	struct call *call, void (*told)(struct verify *verify, const struct answer *answer));
struct verify *verify_of(const struct call *call);

/* ended: it has been answered, is poisonous, or there is no process any more. */
void verify_add(struct verify *verify, struct verify_task *task, enum authn_kind kind,
	void (*ended)(struct verify_task *task));

/* Something that the task will want to know: the answer is told to it unasked. */
void verify_ask(struct verify_task *task, struct span name, enum answer_type type);

/* With all answers that are there. false: there is no process here. */
bool verify_start(struct verify_task *task) MUST_CHECK;

/* It has ended without its result: `ended` will not come. */
void verify_settle(struct verify_task *task);

/* What `run` returns. */
enum call_status verify_wait(struct verify *verify);

void verify_cancel(struct call *call);

#endif

#include "filters/verify.h"

#include "lib/base/fail.h"

/* --- answers --- */

static enum answer_outcome outcome_of(const struct question *question)
{
	switch (question->query.outcome) {
	case DNS_FOUND:
		return ANSWER_FOUND;
	case DNS_NODATA:
		return ANSWER_NODATA;
	case DNS_NXDOMAIN:
		return ANSWER_NXDOMAIN;
	case DNS_PENDING:
	case DNS_FAILED:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
	case DNS_CANCELLED:
		break;
	}
	return ANSWER_TROUBLE;
}

static enum answer_type type_of(const struct question *question)
{
	return (enum answer_type)question->query.type;
}

/* Records in the call's memory. */
static struct answer answer_of(const struct question *question)
{
	const struct dns_query *query = &question->query;
	struct answer_record *records =
		call_memory(question->all->call, (query->n_records + 1) * sizeof(*records));

	for (size_t i = 0; i < query->n_records; i++)
		records[i] = (struct answer_record){.ip = query->records[i].ip,
			.preference = query->records[i].preference,
			.text = query->type == DNS_TXT ? query->records[i].text
						       : query->records[i].name};
	return (struct answer){.name = query->name,
		.type = type_of(question),
		.outcome = outcome_of(question),
		.records = records,
		.n_records = query->n_records};
}

static bool is_known(const struct question *question)
{
	return question->query.outcome != DNS_PENDING;
}

/* To those that are under way and for whom it was asked. */
static void tell(struct verify *verify, const struct question *question)
{
	struct answer answer = answer_of(question);

	for (unsigned i = 0; i < verify->n_tasks; i++) {
		struct verify_task *task = verify->tasks[i];

		if (task->state == VERIFY_STARTED && question->tag & task->bit)
			authn_answer(&task->authn, &answer);
	}
}

static void on_answer(struct question *question)
{
	struct verify *verify = question->all->context;
	struct answer answer;

	tell(verify, question);
	if (!verify->told)
		return;
	answer = answer_of(question);
	verify->told(verify, &answer); /* what it starts is told all that is known */
}

/* --- questions --- */

static struct question *find_question(
	struct verify *verify, struct span name, enum answer_type type)
{
	for (struct question *q = verify->questions->first; q; q = q->next)
		if (type_of(q) == type && span_equal_nocase(q->query.name, name))
			return q;
	return NULL;
}

static void refuse(struct verify_task *task, struct span name, enum answer_type type)
{
	struct answer answer = {.name = name, .type = type, .outcome = ANSWER_TROUBLE};

	if (task->state == VERIFY_STARTED)
		authn_answer(&task->authn, &answer);
}

void verify_ask(struct verify_task *task, struct span name, enum answer_type type)
{
	struct verify *verify = task->verify;
	struct question *known = find_question(verify, name, type);

	if (known) {
		known->tag |= task->bit;
		if (is_known(known))
			tell(verify, known);
		return;
	}
	if (verify->n_questions == VERIFY_QUESTIONS_MAX) {
		refuse(task, name, type);
		return;
	}
	verify->n_questions++;
	question_ask(verify->questions, name, (enum dns_type)type, task->bit);
}

/* Also those again that a task which is run once more had been told. */
static void on_wants(struct authn_task *authn, const struct answer *wants, size_t n)
{
	struct verify_task *task = CONTAINER_OF(authn, struct verify_task, authn);

	for (size_t i = 0; i < n; i++) {
		if (task->wanted && !find_question(task->verify, wants[i].name, wants[i].type))
			task->wanted(task, &wants[i]);
		verify_ask(task, wants[i].name, wants[i].type);
	}
}

/* --- tasks --- */

struct verify *verify_new(
	struct call *call, void (*told)(struct verify *verify, const struct answer *answer))
{
	struct verify *verify = call_memory(call, sizeof(*verify));

	verify->call = call;
	verify->told = told;
	verify->questions = questions_new(call, on_answer, NULL);
	verify->questions->context = verify;
	return verify;
}

struct verify *verify_of(const struct call *call)
{
	const struct questions *questions = call_own(call);

	return questions->context;
}

static void end_task(struct verify_task *task)
{
	struct verify *verify = task->verify;

	task->state = VERIFY_ENDED;
	if (--verify->n_open || !verify->held)
		return;
	verify->held = false;
	questions_drop(verify->questions);
	questions_let_go(verify->questions);
}

static void on_done(struct authn_task *authn)
{
	struct verify_task *task = CONTAINER_OF(authn, struct verify_task, authn);

	task->ended(task);
	end_task(task);
}

void verify_add(struct verify *verify, struct verify_task *task, enum authn_kind kind,
	void (*ended)(struct verify_task *task))
{
	ENSURE(verify->n_tasks < VERIFY_TASKS_MAX);
	task->verify = verify;
	task->ended = ended;
	task->bit = 1U << verify->n_tasks;
	task->authn.kind = kind;
	task->authn.wants = on_wants;
	task->authn.done = on_done;
	verify->tasks[verify->n_tasks++] = task;
	verify->n_open++;
}

bool verify_start(struct verify_task *task)
{
	struct verify *verify = task->verify;
	struct authn *authn = call_home(verify->call)->authn;

	ENSURE(task->state == VERIFY_ADDED);
	if (!authn)
		return false;
	authn_start(authn, &task->authn);
	task->state = VERIFY_STARTED;
	for (struct question *q = verify->questions->first; q; q = q->next) {
		struct answer answer;

		if (!is_known(q) || !(q->tag & task->bit))
			continue;
		answer = answer_of(q);
		authn_answer(&task->authn, &answer);
	}
	return true;
}

void verify_settle(struct verify_task *task)
{
	ENSURE(task->state == VERIFY_ADDED);
	end_task(task);
}

enum call_status verify_wait(struct verify *verify)
{
	if (verify->n_open == 0) {
		questions_drop(verify->questions);
	} else {
		verify->held = true;
		questions_hold(verify->questions);
	}
	return questions_wait(verify->questions);
}

void verify_cancel(struct call *call)
{
	struct verify *verify = verify_of(call);

	for (unsigned i = 0; i < verify->n_tasks; i++) {
		if (verify->tasks[i]->state == VERIFY_STARTED)
			authn_cancel(&verify->tasks[i]->authn);
		verify->tasks[i]->state = VERIFY_ENDED;
	}
	questions_drop(verify->questions);
	if (!verify->held)
		return;
	verify->held = false;
	questions_let_go(verify->questions);
}

/*
 * Both ends of the wire between a worker and a runner. The first byte chooses: what a worker (taken
 * over) could send to a runner, what a runner (taken over) could send to a worker, or one payload.
 * Nothing breaks, and what was read is within its bounds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "authn/runner.h"
#include "lib/authn/authn.h"
#include "lib/authn/control.h"
#include "lib/authn/wire.h"
#include "lib/base/fail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- a runner reads --- */

static void *begin(void *library, struct span request, const struct task_view *view)
{
	(void)library;
	return request.len && request.at[0] == '!' ? NULL : arena_alloc(view->arena, 1);
}

static void content(void *own, struct span piece)
{
	(void)own;
	ENSURE(piece.len <= WIRE_PIECE_MAX);
}

static enum task_status step(
	void *own, const struct task_view *view, struct wants *wants, struct buffer *out)
{
	(void)own;
	if (!answers_find(view->answers, SPAN("a"), ANSWER_A))
		wants_add(wants, SPAN("a"), ANSWER_A);
	if (wants->n || !view->whole)
		return TASK_WAITS;
	ENSURE(buffer_add_text(out, "done"));
	return TASK_DONE;
}

static const struct kind plain = {.name = "plain", .begin = begin, .step = step};
static const struct kind body = {.name = "body", .begin = begin, .content = content, .step = step};
static const struct kinds kinds = {{[AUTHN_SPF] = &plain, [AUTHN_DKIM] = &body}};

static void feed_runner(struct span bytes)
{
	void *libraries[KINDS] = {NULL};
	struct runner *runner = runner_new(&kinds, libraries);
	struct buffer out = BUFFER_INIT(64 * 1024 * 1024);
	struct span answered;
	struct wire_frame frame;
	size_t needed, half = bytes.len / 2;

	if (runner_take(runner, span_first(bytes, half), &out))
		(void)!runner_take(runner, span_from(bytes, half), &out);
	ENSURE(runner_tasks(runner) <= WIRE_TASKS_MAX);
	answered = buffer_span(&out);
	while (answered.len)
		ENSURE(wire_take(&answered, WIRE_TO_WORKER, &frame, &needed) == WIRE_FRAME);
	buffer_free(&out);
	runner_free(&runner);
}

/* --- a worker reads --- */

struct ask {
	struct authn_task task;
	bool done;
	unsigned wanted;
};

static void on_wants(struct authn_task *task, const struct answer *wants, size_t n)
{
	struct ask *a = CONTAINER_OF(task, struct ask, task);

	a->wanted += n;
	ENSURE(n <= WANTS_MAX && a->wanted <= ANSWERS_MAX);
	for (size_t i = 0; i < n; i++)
		authn_answer(task, &wants[i]); /* trouble */
}

static void on_done(struct authn_task *task)
{
	struct ask *a = CONTAINER_OF(task, struct ask, task);

	ENSURE(!a->done && task->result.len <= WIRE_RESULT_MAX);
	a->done = true;
}

static void feed_worker(struct span bytes)
{
	struct loop loop;
	struct log log;
	struct authn *authn;
	struct ask asks[3] = {{.done = false}};
	struct control_message runner = {.type = CONTROL_RUNNER, .runner = 1};
	int control[2], pair[2];

	loop_init(&loop);
	log_init(&log, -1, true, &loop.clock, "fuzz");
	authn = authn_open(&loop, &log);
	ENSURE(control_pair(control));
	ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	authn_link(authn, control[0]);
	ENSURE(control_send(control[1], &runner, pair[0]) == CONTROL_DONE);
	close(pair[0]);
	for (size_t i = 0; i < COUNT_OF(asks); i++) {
		asks[i].task = (struct authn_task){
			.request = SPAN("x"), .wants = on_wants, .done = on_done};
		authn_start(authn, &asks[i].task);
	}
	for (int i = 0; i < 4; i++)
		loop_turn(&loop, false);
	(void)!send(pair[1], bytes.at, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	for (int i = 0; i < 4; i++)
		loop_turn(&loop, false);
	for (size_t i = 0; i < COUNT_OF(asks); i++)
		if (!asks[i].done)
			authn_cancel(&asks[i].task);
	authn_close(&authn);
	close(pair[1]);
	close(control[1]);
	loop_close(&loop);
	log_close(&log);
}

/* --- payloads --- */

static void read_payload(struct span bytes)
{
	struct arena *arena = arena_new(1024);
	struct buffer again = BUFFER_INIT(1024 * 1024);
	struct answer answer, wants[WANTS_MAX];
	size_t n;

	if (wire_answer_read(bytes, arena, &answer)) {
		ENSURE(answer.n_records <= ANSWER_RECORDS_MAX);
		ENSURE(wire_answer_write(&answer, &again));
		if (bytes.len < WIRE_ANSWER_MAX / 2)
			ENSURE(span_equal(buffer_span(&again), bytes));
	}
	buffer_clear(&again);
	if (wire_wants_read(bytes, wants, &n)) {
		ENSURE(n > 0 && n <= WANTS_MAX && wire_wants_write(wants, n, &again));
		ENSURE(span_equal(buffer_span(&again), bytes));
	}
	buffer_free(&again);
	arena_free(&arena);
}

static void read_result(struct span bytes)
{
	struct arena *arena = arena_new(1024);
	struct buffer again = BUFFER_INIT(1024 * 1024);
	struct spf_question question;
	struct spf_result spf;
	struct dkim_result dkim;
	struct arc_result arc;

	if (spf_question_read(bytes, &question)) {
		ENSURE(spf_question_write(&question, &again));
		ENSURE(span_equal(buffer_span(&again), bytes));
	}
	buffer_clear(&again);
	if (spf_result_read(bytes, &spf)) {
		ENSURE(spf_code_name(spf.code) && spf_result_write(&spf, &again));
		ENSURE(span_equal(buffer_span(&again), bytes));
	}
	buffer_clear(&again);
	if (dkim_result_read(bytes, arena, &dkim)) {
		ENSURE(dkim_result_write(&dkim, &again));
		ENSURE(span_equal(buffer_span(&again), bytes));
	}
	buffer_clear(&again);
	if (arc_result_read(bytes, arena, &arc)) {
		ENSURE(arc_code_name(arc.code) && arc_result_write(&arc, &again));
		ENSURE(span_equal(buffer_span(&again), bytes));
	}
	buffer_free(&again);
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const ways[])(struct span bytes) = {
		feed_runner, feed_worker, read_payload, read_result};
	char *copy;

	if (size == 0)
		return 0;
	copy = memory_new(size);
	memcpy(copy, data + 1, size - 1);
	ways[data[0] % COUNT_OF(ways)](span_make(copy, size - 1));
	free(copy);
	return 0;
}

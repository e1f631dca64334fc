#include "authn/task.h"

#include "lib/authn/wire.h"
#include "lib/base/fail.h"

struct task {
	uint32_t id;
	const struct kind *kind; /* borrowed, static */
	void *own;               /* the kind's; NULL: the request makes no sense */
	struct arena *arena;     /* owned; the task lies in it */
	struct answers *answers;
	struct task_view view;
	struct wants asked; /* and not all answered yet */
	size_t n_open;      /* of them */
	size_t n_asked;     /* in all */
	bool stepped;       /* for the first time */
};

struct task *task_new(uint32_t id, const struct kind *kind, void *library, struct span request)
{
	struct arena *arena = arena_new(2048 + request.len);
	struct task *task = arena_alloc(arena, sizeof(*task));

	task->id = id;
	task->kind = kind;
	task->arena = arena;
	task->answers = answers_new(arena);
	task->asked.arena = arena;
	task->view = (struct task_view){
		.arena = arena, .answers = task->answers, .whole = !kind->content};
	task->own = kind->begin(library, arena_span(arena, request), &task->view);
	return task;
}

void task_free(struct task **owner)
{
	struct task *task = *owner;
	struct arena *arena;

	if (!task)
		return;
	*owner = NULL;
	if (task->own && task->kind->free)
		task->kind->free(task->own);
	arena = task->arena;
	arena_free(&arena);
}

uint32_t task_id(const struct task *task)
{
	return task->id;
}

static enum task_status put_result(struct task *task, struct span result, struct buffer *out)
{
	ENSURE(wire_put(out, WIRE_RESULT, task->id, result));
	return TASK_DONE;
}

static void put_wants(struct task *task, struct buffer *out)
{
	struct buffer payload = BUFFER_INIT(WIRE_WANTS_MAX);

	ENSURE(wire_wants_write(task->asked.items, task->asked.n, &payload));
	ENSURE(wire_put(out, WIRE_WANTS, task->id, buffer_span(&payload)));
	buffer_free(&payload);
}

/* Nobody can be asked for a name that is no name: the answer is known (RFC 8020 or not). */
static bool answer_impossible(struct task *task)
{
	size_t kept = 0;

	for (size_t i = 0; i < task->asked.n; i++) {
		struct answer *want = &task->asked.items[i];

		if (want->name.len <= WIRE_NAME_MAX) {
			task->asked.items[kept++] = *want;
			continue;
		}
		want->outcome = ANSWER_NXDOMAIN;
		ENSURE(answers_add(task->answers, want));
	}
	task->asked.n = kept;
	return kept == 0;
}

/* An evaluator that wants the same again although it was answered, or never ends, is broken: then
 * this process ends, and the worker knows what that means. */
static enum task_status go_on(struct task *task, struct buffer *out)
{
	struct buffer result = BUFFER_INIT(WIRE_RESULT_MAX);
	enum task_status status;

	if (!task->own)
		return put_result(task, SPAN_NONE, out);
	do {
		task->asked.n = 0;
		status = task->kind->step(task->own, &task->view, &task->asked, &result);
		if (status == TASK_DONE) {
			put_result(task, buffer_span(&result), out);
			break;
		}
		task->n_asked += task->asked.n;
		ENSURE(task->n_asked <= ANSWERS_MAX);
		ENSURE(task->asked.n || !task->view.whole);
	} while (task->asked.n && answer_impossible(task));
	buffer_free(&result);
	task->n_open = status == TASK_DONE ? 0 : task->asked.n;
	if (task->n_open)
		put_wants(task, out);
	return status;
}

enum task_status task_step(struct task *task, struct buffer *out)
{
	if (task->stepped)
		return TASK_WAITS;
	task->stepped = true;
	return task->n_open ? TASK_WAITS : go_on(task, out);
}

static bool is_asked(const struct task *task, const struct answer *answer)
{
	for (size_t i = 0; i < task->asked.n; i++)
		if (task->asked.items[i].type == answer->type &&
			span_equal_nocase(task->asked.items[i].name, answer->name))
			return true;
	return false;
}

/* An answer that nobody has asked for yet may be of use later; one too many is not kept, and an
 * evaluator that wanted it will want it again, which go_on notices. */
enum task_status task_answer(struct task *task, const struct answer *answer, struct buffer *out)
{
	bool asked = task->n_open && is_asked(task, answer);

	if (answers_find(task->answers, answer->name, answer->type))
		return TASK_WAITS;
	if (!answers_add(task->answers, answer) && !asked)
		return TASK_WAITS;
	if (!asked || --task->n_open)
		return TASK_WAITS;
	return go_on(task, out);
}

void task_content(struct task *task, struct span piece)
{
	if (task->own && task->kind->content && !task->view.whole)
		task->kind->content(task->own, piece);
}

enum task_status task_end(struct task *task, struct buffer *out)
{
	if (task->view.whole)
		return TASK_WAITS;
	task->view.whole = true;
	return task->n_open ? TASK_WAITS : go_on(task, out);
}

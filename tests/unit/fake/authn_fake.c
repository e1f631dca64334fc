#include "tests/unit/fake/authn_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/base/fail.h"

struct authn {
	struct loop *loop;
	struct authn_script *scripts;
	struct authn_ask *asks;
	struct deferred work;
};

/* A task. */
struct authn_ask {
	struct authn *authn;
	struct authn_task *task;
	struct authn_script *script;
	struct authn_ask *next;
	struct arena *arena;
	struct answers *answers;
	unsigned round, deaths;
	bool wanted; /* of this round, and not all is known yet */
	bool whole;
	uint64_t size;
};

static const struct {
	const char *name;
	enum answer_type type;
} types[] = {{"A", ANSWER_A}, {"AAAA", ANSWER_AAAA}, {"TXT", ANSWER_TXT}, {"MX", ANSWER_MX},
	{"PTR", ANSWER_PTR}};

static const char *type_name(enum answer_type type)
{
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (types[i].type == type)
			return types[i].name;
	fail_msg("no type %d", (int)type);
	return NULL;
}

/* --- what is wanted --- */

/* "TXT name" off the front of a round. */
static bool next_want(struct span *round, struct answer *want)
{
	struct span item;
	size_t comma = span_find_char(*round, ',');

	item = span_trim(span_first(*round, comma));
	*round = span_from(*round, comma + 1);
	if (!item.len)
		return false;
	*want = (struct answer){.outcome = ANSWER_FOUND};
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		struct span name = span_text(types[i].name);

		if (span_starts(item, name) && item.at[name.len] == ' ') {
			want->type = types[i].type;
			want->name = span_from(item, name.len + 1);
			return true;
		}
	}
	fail_msg("this is no question: %.*s", SPAN_ARGS(item));
	return false;
}

static size_t missing(struct authn_ask *ask, struct answer *out)
{
	struct span round = span_text(ask->script->rounds[ask->round]);
	struct answer want;
	size_t n = 0;

	while (next_want(&round, &want))
		if (!answers_find(ask->answers, want.name, want.type)) {
			assert_true(n < WANTS_MAX);
			out[n++] = want;
		}
	return n;
}

/* --- the body --- */

static void take(void *context, struct span piece)
{
	struct authn_ask *ask = context;

	assert_true(ask->script->body.len + piece.len <= ask->size);
	assert_true(buffer_add(&ask->script->body, piece));
}

/* What the shortcut has not brought. */
static void read_body(struct authn_ask *ask)
{
	struct authn_script *script = ask->script;

	while (script->body.len < ask->size) {
		size_t before = script->body.len;
		size_t len = ask->task->read(ask->task, before, take, ask);

		assert_int_equal(script->body.len - before, len);
		assert_int_not_equal(len, 0);
	}
	assert_int_equal(ask->task->read ? ask->task->read(ask->task, ask->size, take, ask) : 0, 0);
}

/* --- its work --- */

static void begin(struct authn_ask *ask)
{
	arena_free(&ask->arena);
	ask->arena = arena_new(512);
	ask->answers = answers_new(ask->arena);
	ask->round = 0;
	ask->wanted = false;
	buffer_clear(&ask->script->body);
}

static void unlink_ask(struct authn_ask *ask)
{
	struct authn_ask **at = &ask->authn->asks;

	while (*at != ask)
		at = &(*at)->next;
	*at = ask->next;
	ask->task->ask = NULL;
	arena_free(&ask->arena);
	free(ask);
}

/* true: the list of asks may have changed. */
static bool step(struct authn_ask *ask)
{
	struct authn_script *script = ask->script;
	struct authn_task *task = ask->task;
	struct answer wants[WANTS_MAX];
	size_t n;

	while (ask->round < AUTHN_FAKE_ROUNDS && script->rounds[ask->round]) {
		n = missing(ask, wants);
		if (n && ask->wanted)
			return false;
		if (n) {
			ask->wanted = true;
			script->asked++;
			task->wants(task, wants, n);
			return true;
		}
		ask->wanted = false;
		ask->round++;
	}
	if ((script->whole && !ask->whole) || script->outcome == AUTHN_PENDING)
		return false;
	if (task->read)
		read_body(ask);
	if (ask->deaths < script->again) {
		ask->deaths++;
		begin(ask);
		return true;
	}
	script->ended++;
	unlink_ask(ask);
	task->outcome = script->outcome;
	task->result = script->result;
	task->done(task);
	return true;
}

static void work(struct deferred *deferred)
{
	struct authn *authn = CONTAINER_OF(deferred, struct authn, work);
	struct authn_ask *ask = authn->asks;

	while (ask)
		ask = step(ask) ? authn->asks : ask->next;
}

static void work_soon(struct authn_ask *ask)
{
	loop_defer(ask->authn->loop, &ask->authn->work);
}

/* --- what filters call --- */

static struct authn_script *find_script(struct authn *authn, const struct authn_task *task)
{
	struct spf_question question = {.domain = SPAN_NONE};

	if (task->kind == AUTHN_SPF)
		assert_true(spf_question_read(task->request, &question));
	for (struct authn_script *script = authn->scripts; script; script = script->next)
		if (script->kind == task->kind &&
			(!script->domain ||
				span_equal_nocase(question.domain, span_text(script->domain))))
			return script;
	fail_msg("no script for %.*s", SPAN_ARGS(question.domain));
	return NULL;
}

void authn_start(struct authn *authn, struct authn_task *task)
{
	struct authn_ask *ask = memory_zeroed(sizeof(*ask));

	assert_null(task->ask);
	assert_true(task->wants && task->done);
	ask->authn = authn;
	ask->task = task;
	ask->script = find_script(authn, task);
	ask->script->started++;
	buffer_clear(&ask->script->request);
	assert_true(buffer_add(&ask->script->request, task->request));
	begin(ask);
	ask->next = authn->asks;
	authn->asks = ask;
	task->ask = ask;
	task->outcome = AUTHN_PENDING;
	work_soon(ask);
}

void authn_content(struct authn_task *task, struct span piece, uint64_t size)
{
	struct authn_ask *ask = task->ask;

	assert_true(ask && !ask->whole);
	assert_true(size == ask->size + piece.len && piece.len);
	ask->size = size;
	if (ask->script->lazy)
		read_body(ask);
	else if (ask->script->body.len + piece.len == size)
		take(ask, piece);
	work_soon(ask);
}

void authn_end(struct authn_task *task)
{
	assert_true(task->ask && !task->ask->whole);
	task->ask->whole = true;
	work_soon(task->ask);
}

static void note(struct buffer *told, const struct answer *answer)
{
	static const char *const words[] = {"", "nodata", "nxdomain", "trouble"};
	char ip[IP_TEXT_SIZE];

	assert_true(buffer_print(told, "%s %.*s=%s", type_name(answer->type),
		SPAN_ARGS(answer->name), words[answer->outcome]));
	for (size_t i = 0; i < answer->n_records; i++) {
		const struct answer_record *record = &answer->records[i];

		assert_true(i == 0 || buffer_add_char(told, ','));
		if (record->ip.family != IP_NONE)
			assert_true(buffer_add_text(told, ip_format(&record->ip, ip)));
		else if (answer->type == ANSWER_MX)
			assert_true(buffer_print(
				told, "%u %.*s", record->preference, SPAN_ARGS(record->text)));
		else
			assert_true(buffer_add(told, record->text));
	}
	assert_true(buffer_add_text(told, "; "));
}

void authn_answer(struct authn_task *task, const struct answer *answer)
{
	struct authn_ask *ask = task->ask;

	assert_non_null(ask);
	note(&ask->script->told, answer);
	assert_true(answers_add(ask->answers, answer));
	work_soon(ask);
}

void authn_cancel(struct authn_task *task)
{
	assert_non_null(task->ask);
	task->ask->script->cancelled++;
	unlink_ask(task->ask);
}

/* --- what workers call --- */

struct authn *authn_open(struct loop *loop, struct log *log)
{
	struct authn *authn = memory_zeroed(sizeof(*authn));

	(void)log;
	authn->loop = loop;
	authn->work.run = work;
	return authn;
}

void authn_close(struct authn **authn)
{
	if (!*authn)
		return;
	assert_null((*authn)->asks);
	loop_undefer((*authn)->loop, &(*authn)->work);
	free(*authn);
	*authn = NULL;
}

void authn_link(struct authn *authn, int fd)
{
	(void)authn;
	(void)fd;
}

void authn_status(const struct authn *authn, struct record *r)
{
	(void)authn;
	(void)r;
}

/* --- the test's side --- */

struct authn *authn_fake_new(struct loop *loop)
{
	return authn_open(loop, NULL);
}

void authn_fake_free(struct authn **authn)
{
	authn_close(authn);
}

void authn_fake_add(struct authn *authn, struct authn_script *script)
{
	struct authn_script **last = &authn->scripts;

	while (*last)
		last = &(*last)->next;
	script->told = BUFFER_INIT(64 * 1024);
	script->request = script->body = BUFFER_INIT(16 * 1024 * 1024);
	*last = script;
}

void authn_script_clear(struct authn_script *script)
{
	buffer_free(&script->told);
	buffer_free(&script->request);
	buffer_free(&script->body);
	script->next = NULL;
}

/*
 * authn: a worker's side against real processes, with kinds of tasks that crash, hang, want, echo
 * and try what the sandbox forbids. Whatever one task does to a runner, the others get their right
 * results.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/authn/control.h"
#include "lib/authn/wire.h"
#include "lib/base/fail.h"
#include "tests/unit/authn_play.h"

/* --- kinds: the request's first word says what happens --- */

struct played {
	const struct task_view *view;
	struct span request;
	uint32_t sum; /* of the body */
	uint64_t size;
};

static bool asks(const struct played *p, const char *word)
{
	return span_starts(p->request, span_text(word));
}

static void misbehave(const struct played *p)
{
	static char *const none[] = {NULL};

	if (asks(p, "crash"))
		__builtin_trap();
	if (asks(p, "hang"))
		for (;;)
			(void)getpid();
	if (asks(p, "exit"))
		_exit(0);
	if (asks(p, "eat"))
		for (;;)
			memset(memory_new(16 * 1024 * 1024), 1, 16 * 1024 * 1024);
	if (asks(p, "sysinfo"))
		(void)!syscall(SYS_sysinfo, &(struct sysinfo){0});
	if (asks(p, "open"))
		(void)!open("/etc/passwd", O_RDONLY);
	if (asks(p, "socket"))
		(void)!socket(AF_INET, SOCK_STREAM, 0);
	if (asks(p, "fork"))
		(void)!syscall(SYS_fork);
	if (asks(p, "clone"))
		(void)!syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (asks(p, "execve"))
		(void)!execve("/bin/true", none, none);
	if (asks(p, "kill"))
		(void)!kill(getppid(), 0);
	if (asks(p, "code"))
		(void)!syscall(SYS_mmap, NULL, 4096, 7, 0x22, -1, 0);
}

static void *begin(void *library, struct span request, const struct task_view *view)
{
	struct played *p = arena_alloc(view->arena, sizeof(*p));

	(void)library;
	if (span_starts(request, SPAN("nonsense")))
		return NULL;
	p->view = view;
	p->request = request;
	if (asks(p, "begin-crash"))
		__builtin_trap();
	return p;
}

static void content(void *own, struct span piece)
{
	struct played *p = own;

	for (size_t i = 0; i < piece.len; i++)
		p->sum = p->sum * 31 + (unsigned char)piece.at[i];
	p->size += piece.len;
	if (asks(p, "body-crash"))
		__builtin_trap();
	if (asks(p, "body-hang"))
		for (;;)
			(void)getpid();
}

/* "want N ...": names 0.example to N-1.example, then the texts of all. "chain N": one at a time. */
static bool want(struct played *p, struct wants *wants, struct buffer *out)
{
	bool chain = asks(p, "chain ");
	unsigned n = (unsigned)strtoul(p->request.at + (chain ? 6 : 5), NULL, 10);

	for (unsigned i = 0; i < n; i++) {
		char name[40];
		const struct answer *answer;

		snprintf(name, sizeof(name), "%u.example", i);
		answer = answers_find(p->view->answers, span_text(name), ANSWER_TXT);
		if (!answer)
			wants_add(wants, span_text(name), ANSWER_TXT);
		else if (answer->outcome == ANSWER_FOUND)
			ENSURE(buffer_print(out, "%.*s,", SPAN_ARGS(answer->records[0].text)));
		else
			ENSURE(buffer_print(out, "outcome %d,", answer->outcome));
		if (chain && wants->n)
			break;
	}
	if (wants->n)
		buffer_clear(out);
	return wants->n > 0;
}

static enum task_status step(
	void *own, const struct task_view *view, struct wants *wants, struct buffer *out)
{
	struct played *p = own;

	if ((asks(p, "want ") || asks(p, "chain ")) && want(p, wants, out))
		return TASK_WAITS;
	if (asks(p, "wait") && !answers_find(view->answers, SPAN("wait.example"), ANSWER_TXT)) {
		wants_add(wants, SPAN("wait.example"), ANSWER_TXT);
		return TASK_WAITS;
	}
	if (asks(p, "too-long")) {
		char name[2 * WIRE_NAME_MAX];

		memset(name, 'a', sizeof(name));
		if (!answers_find(view->answers, span_make(name, sizeof(name)), ANSWER_A)) {
			wants_add(wants, span_make(name, sizeof(name)), ANSWER_A);
			return TASK_WAITS;
		}
	}
	if (!view->whole)
		return TASK_WAITS;
	misbehave(p);
	ENSURE(buffer_print(out, "%.*s", SPAN_ARGS(p->request)));
	if (p->size)
		ENSURE(buffer_print(out, " %llu %u", (unsigned long long)p->size, p->sum));
	return TASK_DONE;
}

static const struct kind plain = {.name = "plain", .begin = begin, .step = step};
static const struct kind with_body = {
	.name = "body", .begin = begin, .content = content, .step = step};
static const struct kinds kinds = {{[AUTHN_SPF] = &plain, [AUTHN_DKIM] = &with_body}};

/* --- the worker --- */

struct fixture {
	struct loop loop;
	uv_timer_t tick; /* so that waiting for what never comes ends */
	struct log log;
	int log_out;
	struct authn_play *play;
};

struct ask {
	struct authn_task task;
	struct fixture *f;
	unsigned done, n_wants, n_reads;
	char request[200];
	char result[600];
	struct buffer body; /* with a body: what is there */
	size_t piece;       /* most that one read hands out */
	bool silent;        /* answers no wants */
	bool cancels;       /* in wants */
	char prefix[8];     /* of the answers */
};

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

static void open_loop(struct fixture *f)
{
	loop_init(&f->loop);
	uv_timer_init(&f->loop.uv, &f->tick);
	uv_timer_start(&f->tick, on_tick, 50, 50);
}

static void close_loop(struct fixture *f)
{
	uv_close((uv_handle_t *)&f->tick, NULL);
	loop_close(&f->loop);
}

static struct fixture *setup(void)
{
	struct fixture *f = memory_zeroed(sizeof(*f));
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	open_loop(f);
	log_init(&f->log, pair[0], false, &f->loop.clock, "test");
	f->log_out = pair[1];
	f->play = authn_play_new(&f->loop, &f->log, &kinds);
	return f;
}

static void teardown(struct fixture *f)
{
	authn_play_free(&f->play);
	close_loop(f);
	close(f->log.fd);
	close(f->log_out);
	log_close(&f->log);
	free(f);
}

static void on_wants(struct authn_task *task, const struct answer *wants, size_t n)
{
	struct ask *a = CONTAINER_OF(task, struct ask, task);

	a->n_wants++;
	if (a->cancels) {
		authn_cancel(task);
		return;
	}
	for (size_t i = 0; i < n && !a->silent; i++) {
		char text[80];
		struct answer_record record;
		struct answer answer = wants[i];

		snprintf(text, sizeof(text), "%s%.20s", a->prefix, wants[i].name.at);
		text[strcspn(text, ".")] = '\0';
		record = (struct answer_record){.text = span_text(text)};
		answer.outcome = ANSWER_FOUND;
		answer.records = &record;
		answer.n_records = 1;
		authn_answer(task, &answer);
	}
}

static void on_done(struct authn_task *task)
{
	struct ask *a = CONTAINER_OF(task, struct ask, task);

	a->done++;
	snprintf(a->result, sizeof(a->result), "%.*s", SPAN_ARGS(task->result));
}

static size_t on_read(struct authn_task *task, uint64_t from,
	void (*take)(void *context, struct span piece), void *context)
{
	struct ask *a = CONTAINER_OF(task, struct ask, task);
	struct span rest = span_from(buffer_span(&a->body), (size_t)from);

	a->n_reads++;
	if (!rest.len)
		return 0;
	rest = span_first(rest, a->piece);
	take(context, rest);
	return rest.len;
}

static void ask_init(struct ask *a, struct fixture *f, bool body, const char *request)
{
	*a = (struct ask){.f = f, .piece = SIZE_MAX, .body = BUFFER_INIT(64 * 1024 * 1024)};
	snprintf(a->request, sizeof(a->request), "%s", request);
	a->task.kind = body ? AUTHN_DKIM : AUTHN_SPF;
	a->task.request = span_text(a->request);
	a->task.read = body ? on_read : NULL;
	a->task.wants = on_wants;
	a->task.done = on_done;
}

static void ask_start(struct ask *a, struct fixture *f, const char *request)
{
	ask_init(a, f, false, request);
	authn_start(f->play->authn, &a->task);
}

static void add_body(struct ask *a, size_t size)
{
	char *at = buffer_reserve(&a->body, size);

	assert_non_null(at);
	for (size_t i = 0; i < size; i++)
		at[i] = (char)('a' + (a->body.len + i) % 23);
	buffer_added(&a->body, size);
	authn_content(&a->task, span_from(buffer_span(&a->body), a->body.len - size), a->body.len);
}

static void ask_with_body(struct ask *a, struct fixture *f, const char *request, size_t size)
{
	ask_init(a, f, true, request);
	authn_start(f->play->authn, &a->task);
	if (size)
		add_body(a, size);
	authn_end(&a->task);
}

static bool turn_while(struct fixture *f, const unsigned *what, unsigned less_than)
{
	const struct clock clock = {0};
	uint64_t deadline_ms = clock_now_ms(&clock) + 30000;

	while (*what < less_than && clock_now_ms(&clock) < deadline_ms)
		loop_turn(&f->loop, true);
	return *what >= less_than;
}

static void await(struct ask *a)
{
	if (!turn_while(a->f, &a->done, 1))
		fail_msg("%s is never done", a->request);
	assert_int_equal(a->done, 1);
}

static void expect(struct ask *a, const char *result)
{
	await(a);
	assert_int_equal(a->task.outcome, AUTHN_ANSWERED);
	assert_string_equal(a->result, result);
	assert_null(a->task.ask);
	buffer_free(&a->body);
}

static void expect_sum(struct ask *a)
{
	char text[256];
	uint32_t sum = 0;

	for (size_t i = 0; i < a->body.len; i++)
		sum = sum * 31 + (unsigned char)buffer_span(&a->body).at[i];
	snprintf(text, sizeof(text), "%s %zu %u", a->request, a->body.len, sum);
	expect(a, a->body.len ? text : a->request);
}

static void expect_outcome(struct ask *a, enum authn_outcome outcome)
{
	await(a);
	assert_int_equal(a->task.outcome, outcome);
	assert_int_equal(a->task.result.len, 0);
	buffer_free(&a->body);
}

/* A number of authn_status. */
static long long count(struct fixture *f, const char *key)
{
	char name[40];
	struct record r;
	const char *at;
	long long value = -1;

	record_init(&r, true, 4096);
	authn_status(f->play->authn, &r);
	snprintf(name, sizeof(name), "\"%s\":", key);
	at = strstr(buffer_string(&r.line), name);
	if (at)
		value = strtoll(at + strlen(name), NULL, 10);
	record_free(&r);
	return value;
}

/* The next line of the log that has the word. */
static const char *logged(struct fixture *f, const char *word)
{
	static char line[LOG_LINE_MAX];
	ssize_t len;

	while ((len = recv(f->log_out, line, sizeof(line) - 1, MSG_DONTWAIT)) > 0) {
		line[len] = '\0';
		if (strstr(line, word))
			return line;
	}
	return "";
}

/* Time passes for the client, while the processes do what they do. */
static void pass_time(struct fixture *f, uint64_t ms)
{
	f->loop.clock.offset_ms += ms;
	timers_run(&f->loop.timers);
}

static void await_count(struct fixture *f, const char *key, long long least)
{
	const struct clock clock = {0};
	uint64_t deadline_ms = clock_now_ms(&clock) + 30000;

	while (count(f, key) < least && clock_now_ms(&clock) < deadline_ms)
		loop_turn(&f->loop, false);
	assert_true(count(f, key) >= least);
}

/* --- in peace --- */

static void test_one(void **state)
{
	struct fixture *f = setup();
	struct ask a, b, c;

	(void)state;
	ask_start(&a, f, "hello");
	expect(&a, "hello");
	ask_start(&b, f, "nonsense");
	expect(&b, "");
	ask_start(&c, f, "too-long");
	expect(&c, "too-long");
	assert_int_equal(count(f, "answered"), 3);
	assert_int_equal(count(f, "reruns"), 0);
	teardown(f);
}

static void test_wants(void **state)
{
	struct fixture *f = setup();
	struct ask all, chain, hinted, silent;
	struct answer_record record = {.text = SPAN("hint")};
	struct answer hint = {.name = SPAN("0.EXAMPLE."),
		.type = ANSWER_TXT,
		.outcome = ANSWER_FOUND,
		.records = &record,
		.n_records = 1};
	struct answer absent = {
		.name = SPAN("1.example"), .type = ANSWER_TXT, .outcome = ANSWER_NXDOMAIN};

	(void)state;
	ask_start(&silent, f, "want 1");
	silent.silent = true;
	ask_start(&all, f, "want 5");
	ask_start(&chain, f, "chain 4");
	ask_start(&hinted, f, "want 2");
	authn_answer(&hinted.task, &hint);
	authn_answer(&hinted.task, &absent);
	expect(&all, "0,1,2,3,4,want 5");
	assert_int_equal(all.n_wants, 1);
	expect(&chain, "0,1,2,3,chain 4");
	assert_int_equal(chain.n_wants, 4);
	expect(&hinted, "hint,outcome 2,want 2");
	assert_int_equal(hinted.n_wants, 0);
	assert_int_equal(silent.n_wants, 1);
	assert_int_equal(silent.done, 0);
	authn_cancel(&silent.task);
	teardown(f);
}

/* Whoever waits for DNS has nothing to do, and is left in peace. */
static void test_waiting_is_no_silence(void **state)
{
	struct fixture *f = setup();
	struct ask a;
	struct answer answer = {
		.name = SPAN("wait.example"), .type = ANSWER_TXT, .outcome = ANSWER_TROUBLE};

	(void)state;
	ask_init(&a, f, false, "wait for it");
	a.silent = true;
	authn_start(f->play->authn, &a.task);
	assert_true(turn_while(f, &a.n_wants, 1));
	for (int i = 0; i < 200; i++)
		loop_turn(&f->loop, false);
	pass_time(f, 4 * AUTHN_STALL_MS);
	loop_turn(&f->loop, false);
	assert_int_equal(a.done, 0);
	authn_answer(&a.task, &answer);
	expect(&a, "wait for it");
	assert_int_equal(count(f, "stalls"), 0);
	teardown(f);
}

static void test_bodies(void **state)
{
	struct fixture *f = setup();
	struct ask small, empty, large, trickled;

	(void)state;
	ask_with_body(&small, f, "small", 4096);
	expect_sum(&small);
	assert_int_equal(small.n_reads, 1);
	ask_with_body(&empty, f, "empty", 0);
	expect_sum(&empty);
	ask_with_body(&large, f, "large", 10 * 1024 * 1024);
	expect_sum(&large);
	ask_init(&trickled, f, true, "trickled");
	authn_start(f->play->authn, &trickled.task);
	trickled.piece = 1000;
	for (size_t i = 0; i < 300; i++) {
		add_body(&trickled, i * 37 % 1500 + (i % 50 == 0 ? 20000 : 0));
		loop_turn(&f->loop, false);
	}
	authn_end(&trickled.task);
	expect_sum(&trickled);
	teardown(f);
}

/* A runner that reads nothing for a while takes nothing more of the worker's time and memory. */
static void test_backpressure(void **state)
{
	struct fixture *f = setup();
	struct ask a[4], first;
	pid_t pids[8];
	size_t n;

	(void)state;
	ask_start(&first, f, "first");
	expect(&first, "first");
	n = authn_play_runners(f->play, pids, 8);
	assert_true(n >= 1);
	for (size_t i = 0; i < n; i++)
		kill(pids[i], SIGSTOP);
	for (size_t i = 0; i < COUNT_OF(a); i++)
		ask_with_body(&a[i], f, "ten megabytes", 10 * 1024 * 1024);
	for (int i = 0; i < 50; i++)
		loop_turn(&f->loop, false);
	for (size_t i = 0; i < COUNT_OF(a); i++)
		assert_true(a[i].n_reads < 10);
	for (size_t i = 0; i < n; i++)
		kill(pids[i], SIGCONT);
	for (size_t i = 0; i < COUNT_OF(a); i++)
		expect_sum(&a[i]);
	teardown(f);
}

/* --- when one misbehaves --- */

static void test_crash(void **state)
{
	struct fixture *f = setup();
	struct ask good[50], bad, later;
	char request[40];

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(good); i++) {
		snprintf(request, sizeof(request), "wait %u", i);
		ask_init(&good[i], f, i % 2, request);
		good[i].silent = true;
		authn_start(f->play->authn, &good[i].task);
		if (i % 2) {
			add_body(&good[i], 100 * i);
			authn_end(&good[i].task);
		}
	}
	for (unsigned i = 0; i < COUNT_OF(good); i++)
		assert_true(turn_while(f, &good[i].n_wants, 1));
	for (unsigned i = 0; i < COUNT_OF(good); i++)
		good[i].silent = false; /* the second time */
	ask_start(&bad, f, "crash");
	ask_start(&later, f, "later");
	expect(&later, "later");
	expect_outcome(&bad, AUTHN_POISONOUS);
	for (unsigned i = 0; i < COUNT_OF(good); i++)
		expect_sum(&good[i]);
	assert_int_equal(count(f, "poisonous"), 1);
	assert_int_equal(count(f, "answered"), COUNT_OF(good) + 1);
	assert_int_equal(count(f, "crashes"), 2);
	assert_true(count(f, "reruns") >= (long long)COUNT_OF(good) + 1);
	assert_non_null(strstr(logged(f, "authn_crashed"), "signal"));
	teardown(f);
}

static void test_all_ways_to_end(void **state)
{
	static const char *const requests[] = {"crash", "exit", "begin-crash", "open", "socket",
		"fork", "clone", "execve", "kill", "code"};
	static const char *const with[] = {"body-crash", "crash behind the body"};
	struct fixture *f = setup();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(requests); i++) {
		struct ask a, b;

		ask_start(&a, f, requests[i]);
		ask_start(&b, f, "unharmed");
		expect(&b, "unharmed");
		expect_outcome(&a, AUTHN_POISONOUS);
	}
	for (size_t i = 0; i < COUNT_OF(with); i++) {
		struct ask a, b;

		ask_with_body(&a, f, with[i], 300 * 1024);
		ask_with_body(&b, f, "unharmed", 300 * 1024);
		expect_sum(&b);
		expect_outcome(&a, AUTHN_POISONOUS);
	}
	teardown(f);
}

/* It is the kernel that ends it, not the failed call. */
static void test_sandbox(void **state)
{
	static const char *const requests[] = {
		"open", "socket", "fork", "clone", "execve", "kill", "code"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(requests); i++) {
		struct fixture *f = setup();
		struct ask a;
		const char *line;

		ask_start(&a, f, requests[i]);
		expect_outcome(&a, AUTHN_POISONOUS);
		line = logged(f, "authn_crashed");
		if (!strstr(line, "signal 31"))
			fail_msg("%s: %s", requests[i], line);
		teardown(f);
	}
}

/* What glibc itself calls: a sanitizer's qsort does not, so a real one is not enough of a test. */
static void test_what_is_allowed(void **state)
{
	struct fixture *f = setup();
	struct ask a;

	(void)state;
	ask_start(&a, f, "sysinfo");
	expect(&a, "sysinfo");
	teardown(f);
}

static void test_memory(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)state;
	skip(); /* their shadow does not fit a limit */
#else
	struct fixture *f = setup();
	struct ask a;

	(void)state;
	ask_start(&a, f, "eat");
	expect_outcome(&a, AUTHN_POISONOUS);
	teardown(f);
#endif
}

/* 2 s are waited for in truth here: the clock only moves once the runner hangs for sure. */
static void hang(struct fixture *f, struct ask *bad, struct ask *others, size_t n)
{
	for (unsigned i = 0; i < n; i++) {
		ask_init(&others[i], f, false, "wait");
		others[i].silent = true;
		authn_start(f->play->authn, &others[i].task);
	}
	for (unsigned i = 0; i < n; i++)
		assert_true(turn_while(f, &others[i].n_wants, 1));
	for (unsigned i = 0; i < n; i++)
		others[i].silent = false;
	ask_start(bad, f, "hang");
	for (int i = 0; i < 100; i++)
		loop_turn(&f->loop, false);
}

static void test_stall(void **state)
{
	struct fixture *f = setup();
	struct ask bad, others[5], meanwhile;

	(void)state;
	hang(f, &bad, others, COUNT_OF(others));
	pass_time(f, 200);
	ask_start(&meanwhile, f, "meanwhile");
	expect(&meanwhile, "meanwhile"); /* elsewhere, while the first runner still hangs */
	assert_int_equal(count(f, "stalls"), 0);
	pass_time(f, AUTHN_STALL_MS);
	await_count(f, "stalls", 1);
	for (size_t i = 0; i < COUNT_OF(others); i++)
		expect(&others[i], "wait");
	assert_int_equal(bad.done, 0);
	await_count(f, "runners", 2);
	for (int i = 0; i < 100; i++)
		loop_turn(&f->loop, false);
	pass_time(f, AUTHN_STALL_MS + 200);
	pass_time(f, AUTHN_STALL_MS + 200);
	expect_outcome(&bad, AUTHN_POISONOUS);
	assert_int_equal(count(f, "stalls"), 2);
	teardown(f);
}

/* A large piece goes out without a word behind it that would have to be answered. */
static void test_stall_in_body(void **state)
{
	struct fixture *f = setup();
	struct ask good, bad, other;

	(void)state;
	ask_init(&good, f, true, "good");
	authn_start(f->play->authn, &good.task);
	ask_start(&other, f, "other");
	expect(&other, "other");
	add_body(&good, 50000);
	pass_time(f, 200);
	ask_start(&other, f, "other");
	expect(&other, "other");
	pass_time(f, AUTHN_STALL_MS + 200); /* the runner has nothing to do */
	ask_init(&bad, f, true, "body-hang");
	authn_start(f->play->authn, &bad.task);
	ask_start(&other, f, "other");
	expect(&other, "other");
	assert_int_equal(count(f, "stalls"), 0);
	add_body(&bad, 50000);
	pass_time(f, 200);
	pass_time(f, AUTHN_STALL_MS + 200);
	await_count(f, "stalls", 1);
	authn_cancel(&bad.task);
	buffer_free(&bad.body);
	authn_end(&good.task);
	expect_sum(&good);
	teardown(f);
}

/* That the kernel has room for more is not the runner's doing: new tasks, one now and then, must
 * not make one that hangs look alive. */
static void test_stall_while_more_comes(void **state)
{
	struct fixture *f = setup();
	struct ask first, bad, more[30];

	(void)state;
	ask_start(&first, f, "first");
	expect(&first, "first");
	ask_start(&bad, f, "hang");
	for (int i = 0; i < 100; i++)
		loop_turn(&f->loop, false);
	for (size_t i = 0; i < COUNT_OF(more); i++) {
		ask_start(&more[i], f, "more");
		for (int turn = 0; turn < 10; turn++)
			loop_turn(&f->loop, false);
		pass_time(f, 90);
	}
	assert_true(count(f, "stalls") >= 1);
	for (size_t i = 0; i < COUNT_OF(more); i++)
		expect(&more[i], "more");
	authn_cancel(&bad.task);
	teardown(f);
}

static void test_cancel(void **state)
{
	struct fixture *f = setup();
	struct ask queued, under_way, in_wants, streaming, hanging, last;

	(void)state;
	ask_start(&queued, f, "crash");
	authn_cancel(&queued.task);
	ask_init(&under_way, f, false, "want 3");
	under_way.silent = true;
	authn_start(f->play->authn, &under_way.task);
	assert_true(turn_while(f, &under_way.n_wants, 1));
	authn_cancel(&under_way.task);
	ask_init(&in_wants, f, false, "want 3");
	in_wants.cancels = true;
	authn_start(f->play->authn, &in_wants.task);
	assert_true(turn_while(f, &in_wants.n_wants, 1));
	ask_with_body(&streaming, f, "streaming", 8 * 1024 * 1024);
	for (int i = 0; i < 3; i++)
		loop_turn(&f->loop, false);
	authn_cancel(&streaming.task);
	buffer_free(&streaming.body);
	ask_start(&last, f, "last");
	expect(&last, "last");
	/* A suspect alone in its runner, and hanging. */
	ask_start(&hanging, f, "hang");
	for (int i = 0; i < 100; i++)
		loop_turn(&f->loop, false);
	pass_time(f, 200);
	pass_time(f, AUTHN_STALL_MS);
	await_count(f, "stalls", 1);
	for (int i = 0; i < 100; i++)
		loop_turn(&f->loop, false);
	authn_cancel(&hanging.task);
	ask_start(&last, f, "last");
	expect(&last, "last");
	assert_int_equal(
		queued.done + under_way.done + in_wants.done + streaming.done + hanging.done, 0);
	assert_int_equal(count(f, "cancelled"), 5);
	teardown(f);
}

/* The message of a suspect is not whole: it waits for that outside, and others go first. */
static void test_half_a_message(void **state)
{
	struct fixture *f = setup();
	struct ask half, bad, good;

	(void)state;
	ask_init(&half, f, true, "half");
	authn_start(f->play->authn, &half.task);
	add_body(&half, 50000);
	ask_start(&bad, f, "crash");
	expect_outcome(&bad, AUTHN_POISONOUS);
	ask_start(&good, f, "good");
	expect(&good, "good");
	assert_int_equal(count(f, "suspects"), 1);
	add_body(&half, 50000);
	authn_end(&half.task);
	expect_sum(&half);
	teardown(f);
}

/* --- from outside --- */

static void test_killed_runner(void **state)
{
	struct fixture *f = setup();
	struct ask a[20];
	pid_t pids[16];

	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < COUNT_OF(a); i++) {
			ask_init(&a[i], f, i % 2, "wait");
			a[i].silent = true;
			authn_start(f->play->authn, &a[i].task);
			if (i % 2) {
				add_body(&a[i], 1000);
				authn_end(&a[i].task);
			}
		}
		for (unsigned i = 0; i < COUNT_OF(a); i++)
			assert_true(turn_while(f, &a[i].n_wants, 1));
		for (unsigned i = 0; i < COUNT_OF(a); i++)
			a[i].silent = false;
		for (size_t n = authn_play_runners(f->play, pids, 16); n--;)
			kill(pids[n], SIGKILL);
		for (unsigned i = 0; i < COUNT_OF(a); i++)
			expect_sum(&a[i]);
	}
	assert_int_equal(count(f, "poisonous"), 0);
	assert_true(count(f, "killed") >= 5);
	teardown(f);
}

static void test_killed_parent(void **state)
{
	struct fixture *f = setup();
	struct ask a, b;

	(void)state;
	for (int i = 0; i < 3; i++) {
		ask_init(&a, f, true, "wait");
		a.silent = true;
		authn_start(f->play->authn, &a.task);
		add_body(&a, 100000);
		assert_true(turn_while(f, &a.n_wants, 1));
		a.silent = false;
		authn_play_kill(f->play);
		ask_start(&b, f, "meanwhile");
		for (int turn = 0; turn < 20; turn++)
			loop_turn(&f->loop, false);
		add_body(&a, 100000);
		authn_end(&a.task);
		authn_play_start(f->play);
		expect(&b, "meanwhile");
		expect_sum(&a);
	}
	assert_int_equal(count(f, "away"), 0);
	teardown(f);
}

static void test_away(void **state)
{
	struct fixture *f = setup();
	struct ask a, b, late, back;

	(void)state;
	ask_init(&a, f, false, "wait");
	a.silent = true;
	authn_start(f->play->authn, &a.task);
	assert_true(turn_while(f, &a.n_wants, 1));
	authn_play_kill(f->play);
	ask_start(&b, f, "b");
	for (int i = 0; i < 20; i++)
		loop_turn(&f->loop, false);
	pass_time(f, AUTHN_WAIT_MS - 500);
	loop_turn(&f->loop, false);
	assert_int_equal(a.done + b.done, 0);
	pass_time(f, 600);
	expect_outcome(&a, AUTHN_AWAY);
	expect_outcome(&b, AUTHN_AWAY);
	ask_start(&late, f, "late");
	expect_outcome(&late, AUTHN_AWAY);
	authn_play_start(f->play);
	await_count(f, "runners", 1);
	ask_start(&back, f, "back");
	expect(&back, "back");
	teardown(f);
}

/* --- a runner that was taken over --- */

struct liar {
	struct fixture *f;
	int control, runner; /* owned: the far ends */
};

static void read_away(int fd)
{
	char bytes[65536];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		continue;
}

/* The test itself plays the parent and its runners. */
static void liar_start(struct liar *l)
{
	int pair[2];

	l->f = memory_zeroed(sizeof(*l->f));
	open_loop(l->f);
	log_init(&l->f->log, -1, false, &l->f->loop.clock, "test");
	l->f->play = memory_zeroed(sizeof(*l->f->play));
	l->f->play->authn = authn_open(&l->f->loop, &l->f->log);
	assert_true(control_pair(pair));
	l->control = pair[1];
	authn_link(l->f->play->authn, pair[0]);
}

/* Answers one FORK: the far end of the new runner's socket. */
static int liar_fork(struct liar *l, uint32_t number)
{
	struct control_message message;
	int pair[2], fd;

	for (int i = 0; i < 1000; i++) {
		enum control_outcome outcome;

		loop_turn(&l->f->loop, false);
		outcome = control_receive(l->control, &message, &fd);
		if (outcome == CONTROL_DONE && message.type == CONTROL_FORK)
			break;
	}
	assert_int_equal(message.type, CONTROL_FORK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	message = (struct control_message){.type = CONTROL_RUNNER, .runner = number};
	assert_int_equal(control_send(l->control, &message, pair[0]), CONTROL_DONE);
	close(pair[0]);
	for (int i = 0; i < 10; i++)
		loop_turn(&l->f->loop, false);
	return pair[1];
}

static void liar_end(struct liar *l)
{
	close(l->control);
	authn_close(&l->f->play->authn);
	close_loop(l->f);
	log_close(&l->f->log);
	free(l->f->play);
	free(l->f);
}

static void liar_says(int fd, uint32_t type, uint32_t task, struct span payload)
{
	struct wire_head head = {(uint32_t)payload.len, task, type};

	assert_int_equal(send(fd, &head, sizeof(head), MSG_NOSIGNAL), sizeof(head));
	if (payload.len)
		assert_int_equal(
			send(fd, payload.at, payload.len, MSG_NOSIGNAL), (ssize_t)payload.len);
}

static void test_lies(void **state)
{
	static const struct {
		uint32_t type;
		struct span payload;
	} lies[] = {
		{99, {"", 0}},
		{WIRE_BEGIN, {"\0x", 2}},
		{WIRE_WANTS, {"", 0}},
		{WIRE_WANTS, {"\0", 1}},
		{WIRE_WANTS, {"\1\1\0\0\0\xff\xff\xff\xff", 9}},
		{WIRE_WANTS, {"\1\7\0\0\0\1\0\0\0x", 10}},
		{WIRE_WANTS, {"\1\1\0\0\0\1\0\0\0\n", 10}},
		{WIRE_SYNCED, {"x", 1}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lies); i++) {
		struct liar l;
		struct ask a;
		int one, two;

		liar_start(&l);
		ask_start(&a, l.f, "a");
		one = liar_fork(&l, 1);
		two = liar_fork(&l, 2);
		for (int turn = 0; turn < 10; turn++)
			loop_turn(&l.f->loop, false);
		liar_says(one, lies[i].type, 1, lies[i].payload);
		await_count(l.f, "nonsense", 1);
		read_away(one);
		/* Alone in the second one, it is believed: its number is a new one. */
		for (int turn = 0; turn < 10; turn++)
			loop_turn(&l.f->loop, false);
		liar_says(two, WIRE_RESULT, 1, SPAN("of before"));
		liar_says(two, WIRE_RESULT, 2, SPAN("believed"));
		expect(&a, "believed");
		close(one);
		close(two);
		liar_end(&l);
	}
}

/* It wants without end. */
static void test_greed(void **state)
{
	struct liar l;
	struct ask a;
	char bytes[2000];
	size_t len = 1;
	int one;

	(void)state;
	liar_start(&l);
	ask_start(&a, l.f, "a");
	a.silent = true;
	one = liar_fork(&l, 1);
	bytes[0] = WANTS_MAX;
	for (int i = 0; i < WANTS_MAX; i++) {
		memcpy(bytes + len, "\1\0\0\0\1\0\0\0x", 9);
		len += 9;
	}
	for (int i = 0; i < ANSWERS_MAX / WANTS_MAX; i++)
		liar_says(one, WIRE_WANTS, 1, span_make(bytes, len));
	assert_true(turn_while(l.f, &a.n_wants, ANSWERS_MAX / WANTS_MAX));
	assert_int_equal(count(l.f, "nonsense"), 0);
	liar_says(one, WIRE_WANTS, 1, span_make(bytes, len));
	await_count(l.f, "nonsense", 1);
	assert_int_equal(a.n_wants, ANSWERS_MAX / WANTS_MAX);
	authn_cancel(&a.task);
	close(one);
	liar_end(&l);
}

/* It keeps us busy with what is no task of its own, or with one word. */
static void test_chatter(void **state)
{
	static const struct {
		uint32_t type;
		unsigned fine;
		struct span payload;
	} words[] = {{WIRE_RESULT, 16, {"x", 1}}, {WIRE_WANTS, 16, {"\1\1\0\0\0\1\0\0\0x", 10}},
		{WIRE_TIRED, 1, {"", 0}}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		struct liar l;
		struct ask a;
		int one;

		liar_start(&l);
		ask_start(&a, l.f, "a");
		a.silent = true;
		one = liar_fork(&l, 1);
		for (unsigned n = 0; n < words[i].fine; n++)
			liar_says(one, words[i].type, 77, words[i].payload);
		liar_says(one, WIRE_WANTS, 1, SPAN("\1\1\0\0\0\1\0\0\0x"));
		assert_true(turn_while(l.f, &a.n_wants, 1));
		assert_int_equal(count(l.f, "nonsense"), 0);
		liar_says(one, words[i].type, 77, words[i].payload);
		await_count(l.f, "nonsense", 1);
		authn_cancel(&a.task);
		close(one);
		liar_end(&l);
	}
}

/* What was on its way when a task was cancelled is no chatter. */
static void test_late_words(void **state)
{
	struct liar l;
	struct ask a[WIRE_TASKS_MAX];
	int one;

	(void)state;
	liar_start(&l);
	for (size_t i = 0; i < COUNT_OF(a); i++)
		ask_start(&a[i], l.f, "a");
	one = liar_fork(&l, 1);
	for (int i = 0; i < 10; i++)
		loop_turn(&l.f->loop, false);
	for (size_t i = 1; i < COUNT_OF(a); i++)
		authn_cancel(&a[i].task);
	for (uint32_t i = WIRE_TASKS_MAX; i > 0; i--) {
		liar_says(one, WIRE_RESULT, i, SPAN("late"));
		loop_turn(&l.f->loop, false);
	}
	expect(&a[0], "late");
	assert_int_equal(count(l.f, "nonsense"), 0);
	close(one);
	liar_end(&l);
}

/* It answers for what others are asked. */
static void test_answer_for_another(void **state)
{
	struct liar l;
	struct ask a[WIRE_TASKS_MAX], b;
	int one, two;

	(void)state;
	liar_start(&l);
	for (size_t i = 0; i < COUNT_OF(a); i++)
		ask_start(&a[i], l.f, "a");
	one = liar_fork(&l, 1);
	two = liar_fork(&l, 2);
	ask_start(&b, l.f, "b"); /* the first one is full */
	for (int i = 0; i < 10; i++)
		loop_turn(&l.f->loop, false);
	liar_says(one, WIRE_RESULT, WIRE_TASKS_MAX + 1, SPAN("not yours"));
	liar_says(one, WIRE_RESULT, 1, SPAN("mine"));
	expect(&a[0], "mine");
	assert_int_equal(b.done, 0);
	liar_says(two, WIRE_RESULT, WIRE_TASKS_MAX + 1, SPAN("right"));
	expect(&b, "right");
	for (size_t i = 1; i < COUNT_OF(a); i++)
		authn_cancel(&a[i].task);
	close(one);
	close(two);
	liar_end(&l);
}

/* --- many --- */

static void test_more_than_one_runner_takes(void **state)
{
	enum { MANY = 3 * WIRE_TASKS_MAX };
	struct fixture *f = setup();
	struct ask *a = memory_zeroed(MANY * sizeof(*a));

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		ask_init(&a[i], f, false, "wait");
		a[i].silent = true;
		authn_start(f->play->authn, &a[i].task);
	}
	for (unsigned i = 0; i < MANY; i++)
		assert_true(turn_while(f, &a[i].n_wants, 1));
	for (unsigned i = 0; i < MANY; i++)
		authn_answer(&a[i].task, &(struct answer){.name = SPAN("wait.example"),
						 .type = ANSWER_TXT,
						 .outcome = ANSWER_NODATA});
	for (unsigned i = 0; i < MANY; i++)
		expect(&a[i], "wait");
	assert_true(count(f, "runners_started") >= 3);
	free(a);
	teardown(f);
}

/* --- chaos --- */

enum { CHAOS_ASKS = 24, CHAOS_KILLS = 100, CHAOS_DONE = 1500 };

struct chaos {
	struct fixture *f;
	unsigned seed, n_done, n_crashers, n_kills;
	struct ask asks[CHAOS_ASKS];
	unsigned pieces[CHAOS_ASKS]; /* of its body, still to come */
};

static unsigned chance(struct chaos *c, unsigned of)
{
	return (unsigned)rand_r(&c->seed) % of;
}

static void chaos_start(struct chaos *c, unsigned i)
{
	static const char *const plain_ones[] = {"want 7 x", "chain 3 x", "hello", "wait"};
	struct ask *a = &c->asks[i];
	unsigned kind = chance(c, 10);
	char request[64];

	c->pieces[i] = 0;
	if (kind < 4) {
		ask_init(a, c->f, false, plain_ones[kind]);
	} else if (kind == 4) {
		snprintf(request, sizeof(request), "crash %u", c->n_crashers++);
		ask_init(a, c->f, chance(c, 2), request);
	} else {
		snprintf(request, sizeof(request), "%s %u", kind < 7 ? "wait" : "body", c->n_done);
		ask_init(a, c->f, true, request);
		c->pieces[i] = 1 + chance(c, 20);
	}
	authn_start(c->f->play->authn, &a->task);
	if (a->task.read && !c->pieces[i])
		authn_end(&a->task);
}

static void chaos_check(struct chaos *c, unsigned i)
{
	struct ask *a = &c->asks[i];

	c->n_done++;
	if (span_starts(a->task.request, SPAN("crash")))
		expect_outcome(a, AUTHN_POISONOUS);
	else if (span_starts(a->task.request, SPAN("want")))
		expect(a, "0,1,2,3,4,5,6,want 7 x");
	else if (span_starts(a->task.request, SPAN("chain")))
		expect(a, "0,1,2,chain 3 x");
	else
		expect_sum(a);
}

static void chaos_round(struct chaos *c)
{
	for (unsigned i = 0; i < CHAOS_ASKS; i++) {
		if (c->asks[i].done) {
			chaos_check(c, i);
			chaos_start(c, i);
		} else if (c->pieces[i] && chance(c, 4) == 0) {
			add_body(&c->asks[i], chance(c, 30000));
			if (!--c->pieces[i])
				authn_end(&c->asks[i].task);
		}
	}
}

static void chaos_kill(struct chaos *c)
{
	pid_t pids[32];
	size_t n = authn_play_runners(c->f->play, pids, 32);

	if (chance(c, 15) == 0) {
		authn_play_kill(c->f->play);
		authn_play_start(c->f->play);
	} else if (n) {
		kill(pids[chance(c, (unsigned)n)], SIGKILL);
	}
	c->n_kills++;
}

/* Killed a hundred times among crashing tasks: each task has the result that is its own. */
static void test_chaos(void **state)
{
	const struct clock clock = {0};
	uint64_t deadline_ms = clock_now_ms(&clock) + 90000;
	struct chaos *c = memory_zeroed(sizeof(*c));

	(void)state;
	c->f = setup();
	c->seed = 20261125;
	for (unsigned i = 0; i < CHAOS_ASKS; i++)
		chaos_start(c, i);
	while (c->n_done < CHAOS_DONE || c->n_kills < CHAOS_KILLS) {
		loop_turn(&c->f->loop, chance(c, 2));
		chaos_round(c);
		if (c->n_kills * CHAOS_DONE < c->n_done * CHAOS_KILLS)
			chaos_kill(c);
		if (clock_now_ms(&clock) > deadline_ms)
			fail_msg("after %u tasks and %u kills nothing goes on", c->n_done,
				c->n_kills);
	}
	assert_true(c->n_crashers > 50);
	assert_int_equal(count(c->f, "away"), 0);
	for (unsigned i = 0; i < CHAOS_ASKS; i++) {
		if (!c->asks[i].done)
			authn_cancel(&c->asks[i].task);
		buffer_free(&c->asks[i].body);
	}
	teardown(c->f);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_wants),
		cmocka_unit_test(test_waiting_is_no_silence),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_backpressure),
		cmocka_unit_test(test_crash),
		cmocka_unit_test(test_all_ways_to_end),
		cmocka_unit_test(test_sandbox),
		cmocka_unit_test(test_what_is_allowed),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_stall_in_body),
		cmocka_unit_test(test_stall_while_more_comes),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_half_a_message),
		cmocka_unit_test(test_killed_runner),
		cmocka_unit_test(test_killed_parent),
		cmocka_unit_test(test_away),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_greed),
		cmocka_unit_test(test_chatter),
		cmocka_unit_test(test_late_words),
		cmocka_unit_test(test_answer_for_another),
		cmocka_unit_test(test_more_than_one_runner_takes),
		cmocka_unit_test(test_chaos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

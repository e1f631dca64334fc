/*
 * wire, result, runner: what travels arrives as it was however it is cut, and nonsense is found
 * out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "authn/runner.h"
#include "lib/authn/control.h"
#include "lib/authn/result.h"
#include "lib/authn/wire.h"
#include "lib/base/fail.h"

static bool same(struct span a, struct span b)
{
	return span_equal(a, b);
}

static struct buffer room(void)
{
	return BUFFER_INIT(1024 * 1024);
}

/* --- frames --- */

static void test_frames_cut_anywhere(void **state)
{
	struct buffer bytes = room();
	struct wire_frame frame;
	size_t needed;

	(void)state;
	assert_true(wire_put(&bytes, WIRE_CONTENT, 7, SPAN("hello")));
	for (size_t n = 0; n < bytes.len; n++) {
		struct span part = span_first(buffer_span(&bytes), n);

		assert_int_equal(wire_take(&part, WIRE_TO_RUNNER, &frame, &needed), WIRE_MORE);
		assert_int_equal(needed,
			n < sizeof(struct wire_head) ? sizeof(struct wire_head) : bytes.len);
		assert_int_equal(part.len, n);
	}
	assert_true(buffer_add_text(&bytes, "next"));
	{
		struct span all = buffer_span(&bytes);

		assert_int_equal(wire_take(&all, WIRE_TO_RUNNER, &frame, &needed), WIRE_FRAME);
		assert_int_equal(frame.type, WIRE_CONTENT);
		assert_int_equal(frame.task, 7);
		assert_true(same(frame.payload, SPAN("hello")));
		assert_true(same(all, SPAN("next")));
	}
	buffer_free(&bytes);
}

static void expect_nonsense(uint32_t len, uint32_t type, enum wire_side to)
{
	struct wire_head head = {len, 1, type};
	struct span bytes = span_make(&head, sizeof(head));
	struct wire_frame frame;
	size_t needed;

	assert_int_equal(wire_take(&bytes, to, &frame, &needed), WIRE_NONSENSE);
}

static void test_frames_of_nonsense(void **state)
{
	(void)state;
	expect_nonsense(0, 0, WIRE_TO_RUNNER);
	expect_nonsense(0, WIRE_TIRED + 1, WIRE_TO_WORKER);
	expect_nonsense(0, UINT32_MAX, WIRE_TO_WORKER);
	expect_nonsense(0, WIRE_RESULT, WIRE_TO_RUNNER);
	expect_nonsense(0, WIRE_BEGIN, WIRE_TO_WORKER);
	expect_nonsense(1, WIRE_END, WIRE_TO_RUNNER);
	expect_nonsense(WIRE_PIECE_MAX + 1, WIRE_CONTENT, WIRE_TO_RUNNER);
	expect_nonsense(WIRE_RESULT_MAX + 1, WIRE_RESULT, WIRE_TO_WORKER);
	expect_nonsense(UINT32_MAX, WIRE_BEGIN, WIRE_TO_RUNNER);
}

/* --- answers and wants --- */

static void test_answers(void **state)
{
	struct arena *arena = arena_new(100);
	struct buffer bytes = room();
	struct answer_record records[3] = {
		{.ip = {.family = IP_V4, .bytes = {192, 0, 2, 1}}},
		{.preference = 65535, .text = SPAN("mx.example.com")},
		{.text = {"a\0b\xff", 4}},
	};
	struct answer answer = {.name = SPAN("\\000.example.com"),
		.type = ANSWER_MX,
		.outcome = ANSWER_FOUND,
		.records = records,
		.n_records = 3};
	struct answer read;

	(void)state;
	assert_true(ip_parse(SPAN("2001:db8::1"), &records[2].ip));
	assert_true(wire_answer_write(&answer, &bytes));
	assert_true(wire_answer_read(buffer_span(&bytes), arena, &read));
	assert_true(same(read.name, answer.name));
	assert_int_equal(read.type, ANSWER_MX);
	assert_int_equal(read.outcome, ANSWER_FOUND);
	assert_int_equal(read.n_records, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_true(same(read.records[i].text, records[i].text));
		assert_int_equal(read.records[i].preference, records[i].preference);
		assert_int_equal(read.records[i].ip.family, records[i].ip.family);
		assert_memory_equal(read.records[i].ip.bytes, records[i].ip.bytes, 16);
	}
	for (size_t n = 0; n < bytes.len; n++)
		assert_false(wire_answer_read(span_first(buffer_span(&bytes), n), arena, &read));
	assert_true(buffer_add_char(&bytes, 0));
	assert_false(wire_answer_read(buffer_span(&bytes), arena, &read));
	buffer_free(&bytes);
	arena_free(&arena);
}

/* Found is what has records, and only that. */
static void test_answers_that_contradict_themselves(void **state)
{
	struct arena *arena = arena_new(100);
	struct answer_record record = {.text = SPAN("x")};
	struct answer read;

	(void)state;
	for (int outcome = 0; outcome <= ANSWER_TROUBLE; outcome++)
		for (size_t n = 0; n < 2; n++) {
			struct buffer bytes = room();
			struct answer answer = {.name = SPAN("a"),
				.type = ANSWER_TXT,
				.outcome = (enum answer_outcome)outcome,
				.records = &record,
				.n_records = n};

			assert_true(wire_answer_write(&answer, &bytes));
			assert_int_equal(wire_answer_read(buffer_span(&bytes), arena, &read),
				(outcome == ANSWER_FOUND) == (n == 1));
			buffer_free(&bytes);
		}
	arena_free(&arena);
}

static void test_too_large_an_answer(void **state)
{
	struct arena *arena = arena_new(100);
	struct buffer bytes = room();
	struct answer_record records[ANSWER_RECORDS_MAX];
	char text[1000];
	struct answer answer = {.name = SPAN("a"),
		.type = ANSWER_TXT,
		.outcome = ANSWER_FOUND,
		.records = records,
		.n_records = ANSWER_RECORDS_MAX};
	struct answer read;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < ANSWER_RECORDS_MAX; i++)
		records[i] = (struct answer_record){.text = span_make(text, 500)};
	assert_true(wire_answer_write(&answer, &bytes));
	assert_true(wire_answer_read(buffer_span(&bytes), arena, &read));
	assert_int_equal(read.n_records, ANSWER_RECORDS_MAX);
	buffer_clear(&bytes);
	for (size_t i = 0; i < ANSWER_RECORDS_MAX; i++)
		records[i].text = span_make(text, 1000);
	assert_true(wire_answer_write(&answer, &bytes));
	assert_true(wire_answer_read(buffer_span(&bytes), arena, &read));
	assert_int_equal(read.outcome, ANSWER_TROUBLE);
	assert_int_equal(read.n_records, 0);
	buffer_free(&bytes);
	arena_free(&arena);
}

static void test_wants(void **state)
{
	struct buffer bytes = room();
	struct answer wants[WANTS_MAX], read[WANTS_MAX];
	char name[WIRE_NAME_MAX];
	size_t n;

	(void)state;
	memset(name, 'x', sizeof(name));
	for (size_t i = 0; i < WANTS_MAX; i++)
		wants[i] = (struct answer){.name = span_make(name, 1 + i * 16), .type = ANSWER_A};
	wants[0].type = ANSWER_PTR;
	assert_true(wire_wants_write(wants, WANTS_MAX, &bytes));
	assert_true(wire_wants_read(buffer_span(&bytes), read, &n));
	assert_int_equal(n, WANTS_MAX);
	for (size_t i = 0; i < n; i++) {
		assert_true(same(read[i].name, wants[i].name));
		assert_int_equal(read[i].type, wants[i].type);
	}
	assert_false(wire_wants_read(span_first(buffer_span(&bytes), bytes.len - 1), read, &n));
	buffer_clear(&bytes);
	wants[0].name = SPAN("a b");
	assert_true(wire_wants_write(wants, 1, &bytes));
	assert_false(wire_wants_read(buffer_span(&bytes), read, &n));
	buffer_clear(&bytes);
	wants[0] = (struct answer){.name = SPAN("a"), .type = (enum answer_type)2};
	assert_true(wire_wants_write(wants, 1, &bytes));
	assert_false(wire_wants_read(buffer_span(&bytes), read, &n));
	buffer_free(&bytes);
}

/* --- results --- */

/* Whatever is cut off or added, and whatever byte is another: it is read in full or not at all. */
static void mutate(struct span bytes, bool (*reads)(struct span bytes, struct arena *arena))
{
	struct arena *arena = arena_new(4096);
	char *copy = memory_new(bytes.len + 1);

	memcpy(copy, bytes.at, bytes.len);
	assert_true(reads(span_make(copy, bytes.len), arena));
	for (size_t n = 0; n < bytes.len; n++)
		assert_false(reads(span_make(copy, n), arena));
	copy[bytes.len] = 0;
	assert_false(reads(span_make(copy, bytes.len + 1), arena));
	for (size_t i = 0; i < bytes.len; i++)
		for (int bit = 0; bit < 8; bit++) {
			copy[i] = (char)(bytes.at[i] ^ (1 << bit));
			(void)reads(span_make(copy, bytes.len), arena);
			copy[i] = bytes.at[i];
		}
	free(copy);
	arena_free(&arena);
}

static bool reads_question(struct span bytes, struct arena *arena)
{
	struct spf_question question;

	(void)arena;
	return spf_question_read(bytes, &question);
}

static bool reads_spf(struct span bytes, struct arena *arena)
{
	struct spf_result result;

	(void)arena;
	return spf_result_read(bytes, &result);
}

static bool reads_dkim(struct span bytes, struct arena *arena)
{
	struct dkim_result result;

	return dkim_result_read(bytes, arena, &result);
}

static bool reads_arc(struct span bytes, struct arena *arena)
{
	struct arc_result result;

	return arc_result_read(bytes, arena, &result);
}

static void test_spf(void **state)
{
	struct buffer bytes = room();
	struct spf_question question = {.helo = {"h\0\n", 3},
		.local = SPAN("joe"),
		.domain = SPAN("example.com"),
		.receiver = SPAN("mx"),
		.wall_s = UINT64_MAX};
	struct spf_question asked;
	struct spf_result result = {SPF_IS_PERMERROR, SPAN("-all"), SPAN("\xc3\xa4"), SPAN("why")};
	struct spf_result read;

	(void)state;
	assert_true(ip_parse(SPAN("2001:db8::1"), &question.client));
	assert_true(spf_question_write(&question, &bytes));
	assert_true(spf_question_read(buffer_span(&bytes), &asked));
	assert_true(ip_equal(&asked.client, &question.client));
	assert_true(same(asked.helo, question.helo) && same(asked.local, question.local) &&
		    same(asked.domain, question.domain) && same(asked.receiver, question.receiver));
	assert_true(asked.wall_s == question.wall_s);
	mutate(buffer_span(&bytes), reads_question);
	buffer_clear(&bytes);
	assert_true(spf_result_write(&result, &bytes));
	assert_true(spf_result_read(buffer_span(&bytes), &read));
	assert_int_equal(read.code, SPF_IS_PERMERROR);
	assert_true(same(read.mechanism, result.mechanism) && same(read.problem, result.problem) &&
		    same(read.explanation, result.explanation));
	mutate(buffer_span(&bytes), reads_spf);
	buffer_free(&bytes);
}

static void test_dkim(void **state)
{
	struct arena *arena = arena_new(100);
	struct buffer bytes = room();
	struct dkim_signature signatures[DKIM_SIGNATURES_MAX];
	struct dkim_result result = {signatures, DKIM_SIGNATURES_MAX, 4711}, read;

	(void)state;
	for (size_t i = 0; i < DKIM_SIGNATURES_MAX; i++)
		signatures[i] =
			(struct dkim_signature){.code = (enum dkim_code)(1 + i % (DKIM_IS_POLICY)),
				.domain = SPAN("example.com"),
				.selector = SPAN("s"),
				.identity = SPAN("@example.com"),
				.algorithm = SPAN("rsa-sha256"),
				.start = SPAN("abcdefgh"),
				.key_bits = 2048,
				.testing = i % 2,
				.problem = SPAN("problem")};
	assert_true(dkim_result_write(&result, &bytes));
	assert_true(dkim_result_read(buffer_span(&bytes), arena, &read));
	assert_int_equal(read.n, DKIM_SIGNATURES_MAX);
	assert_int_equal(read.n_more, 4711);
	for (size_t i = 0; i < read.n; i++) {
		const struct dkim_signature *a = &read.signatures[i], *b = &signatures[i];

		assert_int_equal(a->code, b->code);
		assert_true(same(a->domain, b->domain) && same(a->selector, b->selector) &&
			    same(a->identity, b->identity) && same(a->algorithm, b->algorithm) &&
			    same(a->start, b->start) && same(a->problem, b->problem));
		assert_int_equal(a->key_bits, b->key_bits);
		assert_int_equal(a->testing, b->testing);
	}
	mutate(buffer_span(&bytes), reads_dkim);
	buffer_free(&bytes);
	arena_free(&arena);
}

static void test_arc(void **state)
{
	struct arena *arena = arena_new(100);
	struct buffer bytes = room();
	const struct span sealers[2] = {SPAN("a.example"), SPAN("b.example")};
	struct arc_result result = {.code = ARC_IS_PASS,
		.sealers = sealers,
		.n_sealers = 2,
		.results = SPAN("mx.example;\tspf=pass"),
		.oldest_pass = 1};
	struct arc_result fails = {.code = ARC_IS_FAIL, .temporary = true, .problem = SPAN("dns")};
	struct arc_result read;

	(void)state;
	assert_true(arc_result_write(&result, &bytes));
	assert_true(arc_result_read(buffer_span(&bytes), arena, &read));
	assert_int_equal(read.code, ARC_IS_PASS);
	assert_int_equal(read.n_sealers, 2);
	assert_true(same(read.sealers[0], sealers[0]) && same(read.sealers[1], sealers[1]));
	assert_true(same(read.results, result.results));
	assert_int_equal(read.oldest_pass, 1);
	assert_false(read.temporary);
	mutate(buffer_span(&bytes), reads_arc);
	buffer_clear(&bytes);
	assert_true(arc_result_write(&fails, &bytes));
	assert_true(arc_result_read(buffer_span(&bytes), arena, &read));
	assert_true(read.temporary && same(read.problem, SPAN("dns")));
	/* A chain that does not pass has no sealers to be trusted. */
	fails.sealers = sealers;
	fails.n_sealers = 2;
	buffer_clear(&bytes);
	assert_true(arc_result_write(&fails, &bytes));
	assert_false(arc_result_read(buffer_span(&bytes), arena, &read));
	result.oldest_pass = 3;
	buffer_clear(&bytes);
	assert_true(arc_result_write(&result, &bytes));
	assert_false(arc_result_read(buffer_span(&bytes), arena, &read));
	buffer_free(&bytes);
	arena_free(&arena);
}

/* What could end a header field or a log line early. */
static void test_texts_are_harmless(void **state)
{
	static const struct span bad[] = {
		{"a\r\nX: y", 7}, {"a\nb", 3}, {"\0", 1}, {"\x7f", 1}, {"\x1b[2J", 4}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct buffer bytes = room();
		struct spf_result result = {.problem = bad[i]}, read;

		assert_true(spf_result_write(&result, &bytes));
		assert_false(spf_result_read(buffer_span(&bytes), &read));
		buffer_clear(&bytes);
		result = (struct spf_result){.explanation = bad[i]};
		assert_true(spf_result_write(&result, &bytes));
		assert_false(spf_result_read(buffer_span(&bytes), &read));
		buffer_free(&bytes);
	}
}

static void test_full_buffers(void **state)
{
	struct spf_result result = {.problem = SPAN("some text")};
	struct buffer bytes = BUFFER_INIT(0);

	(void)state;
	for (bytes.max = 0; bytes.max < 22; bytes.max++) {
		buffer_clear(&bytes);
		assert_false(spf_result_write(&result, &bytes));
	}
	buffer_clear(&bytes);
	assert_true(spf_result_write(&result, &bytes));
	buffer_free(&bytes);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(spf_code_name(SPF_IS_NONE), "none");
	assert_string_equal(spf_code_name(SPF_IS_PERMERROR), "permerror");
	assert_string_equal(dkim_code_name(DKIM_IS_POLICY), "policy");
	assert_string_equal(arc_code_name(ARC_IS_FAIL), "fail");
}

/* --- control --- */

static void test_control(void **state)
{
	struct control_message message = {.type = CONTROL_RUNNER, .runner = 7}, read;
	int pair[2], fd, other;

	(void)state;
	assert_true(control_pair(pair));
	assert_int_equal(control_receive(pair[1], &read, &fd), CONTROL_AGAIN);
	assert_int_equal(control_send(pair[0], &message, pair[0]), CONTROL_DONE);
	assert_int_equal(control_receive(pair[1], &read, &other), CONTROL_DONE);
	assert_int_equal(read.runner, 7);
	assert_true(other >= 0);
	close(other);
	message.type = CONTROL_GONE;
	message.status = 11;
	assert_int_equal(control_send(pair[0], &message, -1), CONTROL_DONE);
	assert_int_equal(control_receive(pair[1], &read, &fd), CONTROL_DONE);
	assert_int_equal(read.status, 11);
	/* A descriptor with a word that has none; a packet of another size. */
	assert_int_equal(control_send(pair[0], &message, pair[0]), CONTROL_DONE);
	assert_int_equal(control_receive(pair[1], &read, &fd), CONTROL_LOST);
	assert_int_equal(fd, -1);
	assert_int_equal(send(pair[0], "x", 1, 0), 1);
	assert_int_equal(control_receive(pair[1], &read, &fd), CONTROL_LOST);
	while (control_send(pair[0], &message, -1) == CONTROL_DONE)
		continue;
	assert_int_equal(control_send(pair[0], &message, -1), CONTROL_AGAIN);
	close(pair[1]);
	assert_int_equal(control_send(pair[0], &message, -1), CONTROL_LOST);
	close(pair[0]);
}

/* --- the runner without its process --- */

struct echo {
	uint64_t size;
};

static void *echo_begin(void *library, struct span request, const struct task_view *view)
{
	(void)library;
	return span_equal(request, SPAN("bad")) ? NULL
						: arena_alloc(view->arena, sizeof(struct echo));
}

static void echo_content(void *own, struct span piece)
{
	((struct echo *)own)->size += piece.len;
}

static enum task_status echo_step(
	void *own, const struct task_view *view, struct wants *wants, struct buffer *out)
{
	if (!answers_find(view->answers, SPAN("a.example"), ANSWER_A))
		wants_add(wants, SPAN("a.example"), ANSWER_A);
	if (!answers_find(view->answers, SPAN("b.example"), ANSWER_MX))
		wants_add(wants, SPAN("b.example"), ANSWER_MX);
	if (wants->n || !view->whole)
		return TASK_WAITS;
	ENSURE(buffer_print(out, "%llu", (unsigned long long)((struct echo *)own)->size));
	return TASK_DONE;
}

static const struct kind echo = {
	.name = "echo", .begin = echo_begin, .content = echo_content, .step = echo_step};
static const struct kinds kinds = {{[AUTHN_DKIM] = &echo}};

static void put_answer(struct buffer *out, uint32_t task, const char *name, enum answer_type type)
{
	struct buffer payload = room();
	struct answer answer = {.name = span_text(name), .type = type, .outcome = ANSWER_NXDOMAIN};

	assert_true(wire_answer_write(&answer, &payload));
	assert_true(wire_put(out, WIRE_ANSWER, task, buffer_span(&payload)));
	buffer_free(&payload);
}

/* Two tasks at once, and one that is nothing. */
static void put_conversation(struct buffer *out)
{
	assert_true(wire_put(out, WIRE_BEGIN, 1, SPAN("\1request")));
	assert_true(wire_put(out, WIRE_STEP, 1, SPAN_NONE));
	assert_true(wire_put(out, WIRE_BEGIN, 257, SPAN("\1request")));
	assert_true(wire_put(out, WIRE_CONTENT, 257, SPAN("12345")));
	put_answer(out, 257, "A.example.", ANSWER_A);
	assert_true(wire_put(out, WIRE_STEP, 257, SPAN_NONE));
	assert_true(wire_put(out, WIRE_CONTENT, 1, SPAN("123")));
	put_answer(out, 1, "b.example", ANSWER_MX);
	assert_true(wire_put(out, WIRE_END, 1, SPAN_NONE));
	assert_true(wire_put(out, WIRE_SYNC, 0, SPAN_NONE));
	put_answer(out, 1, "a.example", ANSWER_A);
	assert_true(wire_put(out, WIRE_BEGIN, 3, SPAN("\1bad")));
	assert_true(wire_put(out, WIRE_STEP, 3, SPAN_NONE));
	assert_true(wire_put(out, WIRE_END, 4, SPAN_NONE));
	put_answer(out, 257, "b.example", ANSWER_MX);
	assert_true(wire_put(out, WIRE_CONTENT, 257, SPAN("67")));
	assert_true(wire_put(out, WIRE_END, 257, SPAN_NONE));
	assert_true(wire_put(out, WIRE_BEGIN, 5, SPAN("\1request")));
	assert_true(wire_put(out, WIRE_CANCEL, 5, SPAN_NONE));
}

/* What the runner says, as text. */
static void print_frames(struct span bytes, char *text, size_t size)
{
	struct wire_frame frame;
	size_t needed, len = 0;

	text[0] = '\0';
	while (wire_take(&bytes, WIRE_TO_WORKER, &frame, &needed) == WIRE_FRAME) {
		struct answer wants[WANTS_MAX];
		size_t n = 0;

		if (frame.type == WIRE_WANTS)
			assert_true(wire_wants_read(frame.payload, wants, &n));
		if (frame.type == WIRE_RESULT)
			len += (size_t)snprintf(text + len, size - len, "%u:result(%.*s) ",
				frame.task, SPAN_ARGS(frame.payload));
		else
			len += (size_t)snprintf(text + len, size - len, "%u:%s%zu ", frame.task,
				frame.type == WIRE_WANTS ? "wants" : "synced", n);
	}
	assert_int_equal(bytes.len, 0);
}

static void test_runner(void **state)
{
	struct buffer in = room();
	void *libraries[KINDS] = {NULL};

	(void)state;
	put_conversation(&in);
	for (size_t piece = 1; piece <= in.len; piece += piece < 40 ? 1 : 13) {
		struct runner *runner = runner_new(&kinds, libraries);
		struct buffer out = room();
		struct span rest = buffer_span(&in);
		char text[400];

		while (rest.len) {
			char *copy = memory_new(piece);
			struct span part = span_first(rest, piece);

			memcpy(copy, part.at, part.len);
			assert_true(runner_take(runner, span_make(copy, part.len), &out));
			free(copy);
			rest = span_from(rest, part.len);
		}
		print_frames(buffer_span(&out), text, sizeof(text));
		assert_string_equal(text, "1:wants2 257:wants1 0:synced0 1:result(3) 3:result() "
					  "257:result(7) ");
		assert_int_equal(runner_tasks(runner), 0);
		buffer_free(&out);
		runner_free(&runner);
	}
	buffer_free(&in);
}

static void test_runner_finds_nonsense(void **state)
{
	static const struct {
		enum wire_type type;
		struct span payload;
	} nonsense[] = {
		{WIRE_BEGIN, {"", 0}},
		{WIRE_BEGIN, {"\0x", 2}}, /* a kind that is not there */
		{WIRE_BEGIN, {"\7x", 2}},
		{WIRE_BEGIN, {"\1x", 2}}, /* twice the same number */
		{WIRE_ANSWER, {"x", 1}},
	};
	void *libraries[KINDS] = {NULL};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(nonsense); i++) {
		struct runner *runner = runner_new(&kinds, libraries);
		struct buffer in = room(), out = room();

		assert_true(wire_put(&in, WIRE_BEGIN, 1, SPAN("\1x")));
		assert_true(runner_take(runner, buffer_span(&in), &out));
		buffer_clear(&in);
		assert_true(wire_put(&in, nonsense[i].type, 1, nonsense[i].payload));
		assert_false(runner_take(runner, buffer_span(&in), &out));
		buffer_free(&in);
		buffer_free(&out);
		runner_free(&runner);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_cut_anywhere),
		cmocka_unit_test(test_frames_of_nonsense),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_answers_that_contradict_themselves),
		cmocka_unit_test(test_too_large_an_answer),
		cmocka_unit_test(test_wants),
		cmocka_unit_test(test_spf),
		cmocka_unit_test(test_dkim),
		cmocka_unit_test(test_arc),
		cmocka_unit_test(test_texts_are_harmless),
		cmocka_unit_test(test_full_buffers),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_runner),
		cmocka_unit_test(test_runner_finds_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/unit/filter_play.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base/fail.h"

/* One measurement. */
struct session {
	struct filter_play *play;
	struct pipeline *pipeline;
	struct arena *arena;
	size_t fed; /* of the content */
	bool wanted[FILTER_PLAY_SLOTS];
};

struct filter_play *filter_play_new(const char *zone)
{
	struct filter_play *play = memory_zeroed(sizeof(*play));
	struct dns_setup setup = {.loop = &play->loop, .timeout_ms = 2000, .n_servers = 1};
	struct endpoint server;
	struct err err;

	play->arena = arena_new(1024);
	play->timeout_ms = 5000;
	play->text = BUFFER_INIT(1024 * 1024);
	play->view = (struct filter_view){.listener = "0.0.0.0:25"};
	loop_init(&play->loop);
	assert_int_equal(pipe2(play->log_fds, O_NONBLOCK), 0);
	log_init(&play->log, play->log_fds[1], true, &play->loop.clock, "test");
	play->set = filter_set_new(NULL, 0, NULL, &err);
	assert_non_null(play->set);
	if (!zone)
		return play;
	play->names = dns_play_new(&play->loop, "127.0.0.1");
	dns_play_zone(play->names, zone);
	server = dns_play_endpoint(play->names);
	setup.servers = &server;
	play->dns = dns_open(&setup, &err);
	assert_non_null(play->dns);
	return play;
}

static void turn(struct filter_play *play)
{
	for (unsigned i = 0; i < 4; i++)
		loop_turn(&play->loop, false);
}

static void stop(struct filter_play *play)
{
	if (!play->filters)
		return;
	for (unsigned i = 0; !filters_quiet(play->filters) && i < 1000; i++)
		loop_turn(&play->loop, false);
	assert_true(filters_quiet(play->filters));
	filters_close(&play->filters);
}

void filter_play_free(struct filter_play **play)
{
	struct filter_play *freed = *play;

	if (!freed)
		return;
	stop(freed);
	dns_close(&freed->dns);
	if (freed->names)
		dns_play_free(&freed->names);
	turn(freed);
	filter_set_free(&freed->set);
	assert_int_equal(freed->loop.timers.count, 0);
	log_close(&freed->log);
	close(freed->log_fds[0]);
	close(freed->log_fds[1]);
	loop_close(&freed->loop);
	buffer_free(&freed->text);
	arena_free(&freed->arena);
	free(freed);
	*play = NULL;
}

const char *filter_play_configure(struct filter_play *play, const char *name, const char *options)
{
	static struct err err;
	struct filter_given given = {name, options};

	assert_null(play->filters);
	filter_set_free(&play->set);
	play->n_slots = 0;
	memset(play->given, 0, sizeof(play->given));
	play->set = filter_set_new(&given, 1, getenv("PWD"), &err);
	if (play->set)
		return NULL;
	play->set = filter_set_new(NULL, 0, NULL, &(struct err){""});
	return err.text;
}

/* --- slots --- */

/* Moves over the characters and takes what stands before the next of `end`. */
static const char *take(
	struct filter_play *play, const char **at, const char *over, const char *end)
{
	const char *word;

	*at += strspn(*at, over);
	word = arena_string(play->arena, span_make(*at, strcspn(*at, end)));
	*at += strlen(word);
	return word;
}

static bool same_slot(const struct filter_slot *a, const struct filter_slot *b)
{
	return a->fact == b->fact && a->field == b->field && !a->text == !b->text &&
	       (!a->text || strcmp(a->text, b->text) == 0);
}

size_t filter_play_slot(struct filter_play *play, const char *written)
{
	const char *at = written, *name = take(play, &at, "", "(");
	struct filter_slot slot = {.text = NULL};

	if (strncmp(at, "(\"", 2) == 0)
		slot.text = take(play, &at, "(\"", "\"");
	at += strspn(at, "(\", ");
	if (*at && *at != ')')
		slot.field = &play->slots[filter_play_slot(play, take(play, &at, "", ")"))];
	slot.fact = fact_find(filter_set_registry(play->set), span_text(name), &slot.source);
	if (!slot.fact)
		fail_msg("there is no fact %s", name);
	slot.stage = slot.fact->stage;
	if (slot.field && slot.field->stage > slot.stage)
		slot.stage = slot.field->stage;
	for (size_t i = 0; i < play->n_slots; i++)
		if (same_slot(&play->slots[i], &slot))
			return i;
	assert_true(play->n_slots < FILTER_PLAY_SLOTS);
	stop(play); /* it was opened without this slot */
	for (size_t i = 0; i < play->n_slots; i++)
		slot.index += play->slots[i].stage == slot.stage;
	play->slots[play->n_slots] = slot;
	return play->n_slots++;
}

void filter_play_give(struct filter_play *play, const char *written, const char *value)
{
	size_t slot = filter_play_slot(play, written);
	struct fact_value *given = &play->given[slot];
	struct err err;

	*given = (struct fact_value){.state = FACT_PENDING};
	if (!value)
		return;
	if (strcmp(value, "failed") == 0)
		*given = (struct fact_value){.state = FACT_FAILED, .why = "the test says so"};
	else if (!fact_value_read(
			 play->slots[slot].fact, span_text(value), play->arena, given, &err))
		fail_msg("%s: %s", written, err.text);
}

/* --- a session --- */

static void start(struct filter_play *play)
{
	struct filters_setup setup = {.set = play->set,
		.loop = &play->loop,
		.dns = play->dns,
		.authn = play->authn,
		.log = &play->log,
		.hostname = "mx.example.net",
		.timeout_ms = play->timeout_ms,
		.slots = play->slots,
		.n_slots = play->n_slots};
	struct err err = {""};

	if (play->filters)
		return;
	play->filters = filters_open(&setup, &err);
	if (!play->filters)
		fail_msg("%s", err.text);
}

static void on_changed(void *context)
{
	(void)context;
}

static size_t on_replay(
	void *context, uint64_t from, void (*take_piece)(void *, struct span), void *taker)
{
	struct session *session = context;
	const struct filter_play *play = session->play;
	size_t len = play->ahead ? play->content.len : session->fed;
	struct span piece = span_from(span_first(play->content, len), from);

	piece = span_first(piece, FILTER_PLAY_FED);
	if (piece.len)
		take_piece(taker, piece);
	return piece.len;
}

static void begin(struct session *session)
{
	struct filter_play *play = session->play;

	start(play);
	session->arena = arena_new(1024);
	session->pipeline = pipeline_new(play->filters, &play->view, on_changed, session);
	for (size_t i = 0; i < play->n_slots; i++)
		if (play->given[i].state != FACT_PENDING)
			pipeline_give(session->pipeline, i, &play->given[i]);
	pipeline_replay(session->pipeline, on_replay);
	for (int stage = 0; stage < STAGE_COUNT; stage++)
		pipeline_enter(session->pipeline, (enum stage)stage, session->arena);
	while (pipeline_want(session->pipeline, session->wanted))
		continue; /* what others are asked for is begun when nothing else is left */
}

static void feed(struct session *session)
{
	struct span rest = session->play->content;

	while (rest.len) {
		session->fed += span_first(rest, FILTER_PLAY_FED).len;
		if (pipeline_feed(session->pipeline, span_first(rest, FILTER_PLAY_FED)))
			on_changed(session);
		rest = span_from(rest, FILTER_PLAY_FED);
	}
	if (pipeline_feed(session->pipeline, SPAN_NONE))
		on_changed(session);
}

static const struct fact_value *value_of(struct session *session, size_t slot)
{
	const struct filter_slot *of = &session->play->slots[slot];

	return &pipeline_values(session->pipeline, of->stage)[of->index];
}

static bool is_open(struct session *session)
{
	for (size_t i = 0; i < session->play->n_slots; i++)
		if (session->wanted[i] && value_of(session, i)->state == FACT_PENDING)
			return true;
	return false;
}

static void end(struct session *session)
{
	pipeline_free(&session->pipeline);
	turn(session->play);
	arena_free(&session->arena);
}

static void write_value(struct session *session, size_t slot)
{
	const struct fact_value *value = value_of(session, slot);
	struct buffer *text = &session->play->text;

	if (value->state == FACT_FAILED)
		assert_true(buffer_print(text, "failed: %s", value->why));
	else
		assert_true(fact_value_write(session->play->slots[slot].fact, value, text));
}

const char *filter_play_measure_all(struct filter_play *play, const char *const *written, size_t n)
{
	struct session session = {.play = play};
	size_t numbers[FILTER_PLAY_SLOTS];
	uint64_t since;

	for (size_t i = 0; i < n; i++) {
		numbers[i] = filter_play_slot(play, written[i]);
		session.wanted[numbers[i]] = true;
	}
	begin(&session);
	feed(&session);
	since = clock_now_ms(&play->loop.clock);
	while (is_open(&session)) {
		loop_turn(&play->loop, true);
		if (clock_now_ms(&play->loop.clock) > since + 20000)
			fail_msg("%s is never known", written[0]);
	}
	buffer_clear(&play->text);
	for (size_t i = 0; i < n; i++) {
		if (i)
			assert_true(buffer_add_text(&play->text, " | "));
		write_value(&session, numbers[i]);
	}
	end(&session);
	return buffer_string(&play->text);
}

const char *filter_play_measure(struct filter_play *play, const char *written)
{
	return filter_play_measure_all(play, &written, 1);
}

void filter_play_abandon(struct filter_play *play, const char *written)
{
	struct session session = {.play = play};

	session.wanted[filter_play_slot(play, written)] = true;
	begin(&session);
	end(&session);
}

bool filter_play_logged(struct filter_play *play, const char *event)
{
	char lines[16 * 1024];
	ssize_t n = read(play->log_fds[0], lines, sizeof(lines) - 1);

	lines[n > 0 ? n : 0] = '\0';
	return strstr(lines, event) != NULL;
}

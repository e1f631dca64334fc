/* The pipeline with filters made here: ones that answer at once, wait, come too late, answer twice,
 * or never; fields, order, stages, recipients, content. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "filters/pipeline.h"
#include "filters/set.h"
#include "lib/base/fail.h"

/* --- filters --- */

static unsigned runs, cancels;

static const struct fact_choice colours[] = {{"red", NULL}, {"blue", NULL}, {NULL, NULL}};

/* sync: answers at once; sync.none records nothing. */
enum {
	SYNC_NUMBER,
	SYNC_TEXT,
	SYNC_NONE,
	SYNC_MAIL,
	SYNC_TEXTS,
	SYNC_FAILS,
	SYNC_COLOUR,
	SYNC_RCPT,
	SYNC_NAMED
};

static const struct fact sync_facts[] = {
	[SYNC_NUMBER] = {"sync.number", TYPE_NUMBER, STAGE_CONNECT, 0, NULL, "h"},
	[SYNC_TEXT] = {"sync.text", TYPE_TEXT, STAGE_CONNECT, 0, NULL, "h"},
	[SYNC_NONE] = {"sync.none", TYPE_TEXT, STAGE_CONNECT, 0, NULL, "h"},
	[SYNC_MAIL] = {"sync.mail", TYPE_MAIL, STAGE_MAIL, 0, NULL, "h"},
	[SYNC_TEXTS] = {"sync.texts", TYPE_TEXT, STAGE_CONNECT, FACT_MANY | FACT_OF_TEXT, NULL,
		"h"},
	[SYNC_FAILS] = {"sync.fails", TYPE_TEXT, STAGE_CONNECT, 0, NULL, "h"},
	[SYNC_COLOUR] = {"sync.colour", TYPE_CHOICE, STAGE_CONNECT, 0, colours, "h"},
	[SYNC_RCPT] = {"sync.rcpt", TYPE_NUMBER, STAGE_RCPT, 0, NULL, "h"},
	[SYNC_NAMED] = {"sync.named", TYPE_TEXT, STAGE_CONNECT,
		FACT_MANY | FACT_OF_TEXT | FACT_TOGETHER, NULL, "h"},
	{.name = NULL},
};

static enum call_status sync_run(struct call *call)
{
	runs++;
	call_add_number(call, SYNC_NUMBER, 42);
	call_add_number(call, SYNC_NUMBER, 43); /* the first one counts */
	call_add_text(call, SYNC_TEXT, SPAN("hello"));
	call_add_text(call, SYNC_NONE, SPAN(""));
	call_add_text(call, SYNC_MAIL, SPAN(""));
	for (unsigned i = 0; call_text(call) && i < 1200; i++)
		call_add_text(call, SYNC_TEXTS, span_text(call_text(call)));
	call_add_text_of(call, SYNC_NAMED, SPAN("bb"), SPAN("one"));
	call_add_text_of(call, SYNC_NAMED, SPAN("A"), SPAN("two"));
	call_add_text_of(call, SYNC_NAMED, SPAN("Bb"), SPAN("three"));
	call_add_text_of(call, SYNC_NAMED, SPAN("nobody's"), SPAN("four"));
	if (call_wants_of(call, SYNC_NAMED, SPAN("FAILS")))
		call_fail(call, SYNC_NAMED, "no luck either");
	call_fail(call, SYNC_FAILS, "out of luck");
	call_add_choice(call, SYNC_COLOUR, 1);
	call_add_number(call, SYNC_RCPT, call_view(call)->to_count);
	return CALL_DONE;
}

static const struct filter filter_sync = {
	.version = FILTER_VERSION, .name = "sync", .facts = sync_facts, .run = sync_run};

/* wait: answers when the test says, and to a cancel as it says. */
enum { WAIT_ONE, WAIT_MANY, WAIT_MAIL };
enum on_cancel { AT_ONCE, LATER, DEAF, TWICE };

static struct call *waiting[8];
static unsigned n_waiting;
static enum on_cancel on_cancel;

static const struct fact wait_facts[] = {
	[WAIT_ONE] = {"wait.one", TYPE_BOOL, STAGE_CONNECT, 0, NULL, "h"},
	[WAIT_MANY] = {"wait.many", TYPE_DOMAIN, STAGE_CONNECT, FACT_MANY, NULL, "h"},
	[WAIT_MAIL] = {"wait.mail", TYPE_BOOL, STAGE_MAIL, 0, NULL, "h"},
	{.name = NULL},
};

static const struct filter_option wait_options[] = {
	{"retries", FILTER_NUMBER, "3", 1, 9, "h"},
	{"pause", FILTER_DURATION, "10s", 1, 60 * 1000, "h"},
	{"room", FILTER_SIZE, "2KB", 0, 1 << 20, "h"},
	{"loud", FILTER_BOOL, "no", 0, 0, "h"},
	{"word", FILTER_TEXT, NULL, 0, 0, "h"},
	{"file", FILTER_PATH, NULL, 0, 0, "h"},
	{.name = NULL},
};

static enum call_status wait_run(struct call *call)
{
	runs++;
	waiting[n_waiting++] = call;
	call_keep(call, call_memory(call, 100));
	return CALL_WAIT;
}

static void wait_cancel(struct call *call)
{
	cancels++;
	call_add_bool(call, WAIT_ONE, true); /* too late */
	if (on_cancel == AT_ONCE || on_cancel == TWICE)
		call_done(call);
	if (on_cancel == TWICE)
		call_done(call);
}

static const struct filter filter_wait = {.version = FILTER_VERSION,
	.name = "wait",
	.facts = wait_facts,
	.options = wait_options,
	.run = wait_run,
	.cancel = wait_cancel};

/* of: counts the values of a field. */
static const struct fact of_facts[] = {
	{"of", TYPE_NUMBER, STAGE_CONNECT, FACT_OF_FIELD, NULL, "h"}, {.name = NULL}};

static enum call_status of_run(struct call *call)
{
	runs++;
	assert_int_equal(call_field(call)->state, FACT_KNOWN);
	call_add_number(call, 0, call_field(call)->count);
	return CALL_DONE;
}

static const struct filter filter_of = {
	.version = FILTER_VERSION, .name = "of", .facts = of_facts, .run = of_run};

/* late: comes after wait.one. */
static const struct fact late_facts[] = {
	{"late.one", TYPE_BOOL, STAGE_CONNECT, 0, NULL, "h"}, {.name = NULL}};
static const char *const late_after[] = {"wait.one", "wait.mail", NULL};

static enum call_status late_run(struct call *call)
{
	const struct fact_value *other = call_other(call, "wait.one");

	runs++;
	assert_null(call_other(call, "wait.mail")); /* of a later stage: not waited for */
	assert_null(call_other(call, "sync.text"));
	call_add_bool(call, 0, other->state == FACT_KNOWN && other->count && other->items[0].yes);
	return CALL_DONE;
}

static const struct filter filter_late = {.version = FILTER_VERSION,
	.name = "late",
	.facts = late_facts,
	.after = late_after,
	.run = late_run};

/* twice: its later fact comes after its earlier one. */
enum { TWICE_EARLY, TWICE_LATER };

static const struct fact twice_facts[] = {
	[TWICE_EARLY] = {"twice.early", TYPE_NUMBER, STAGE_CONNECT, 0, NULL, "h"},
	[TWICE_LATER] = {"twice.later", TYPE_NUMBER, STAGE_MAIL, 0, NULL, "h"},
	{.name = NULL},
};
static const char *const twice_after[] = {"twice.early", NULL};

static enum call_status twice_run(struct call *call)
{
	const struct fact_value *early = call_other(call, "twice.early");

	runs++;
	if (call_wants(call, TWICE_LATER)) {
		assert_int_equal(early->state, FACT_KNOWN);
		call_add_number(call, TWICE_LATER, early->items[0].number + 1);
	} else {
		assert_null(early);
		call_add_number(call, TWICE_EARLY, 1);
	}
	return CALL_DONE;
}

static const struct filter filter_twice = {.version = FILTER_VERSION,
	.name = "twice",
	.facts = twice_facts,
	.after = twice_after,
	.run = twice_run};

/* fed: the size of the content, and whether it saw its end. */
enum { FED_SIZE, FED_EARLY };

static const struct fact fed_facts[] = {
	[FED_SIZE] = {"fed.size", TYPE_SIZE, STAGE_MESSAGE, 0, NULL, "h"},
	[FED_EARLY] = {"fed.early", TYPE_BOOL, STAGE_HEADER, 0, NULL, "h"},
	{.name = NULL},
};

static bool fed_never_ends;

static enum call_status fed_run(struct call *call)
{
	runs++;
	call_keep(call, call_memory(call, sizeof(double)));
	return CALL_WAIT;
}

static void fed_feed(struct call *call, struct span content)
{
	double *size = call_own(call);

	if (content.len) {
		*size += (double)content.len;
		if (call_wants(call, FED_EARLY)) {
			call_add_bool(call, FED_EARLY, true);
			call_done(call);
		}
	} else if (!fed_never_ends) {
		call_add_number(call, FED_SIZE, *size);
		call_done(call);
	}
}

static void fed_cancel(struct call *call)
{
	cancels++;
	call_done(call);
}

static const struct filter filter_fed = {.version = FILTER_VERSION,
	.name = "fed",
	.facts = fed_facts,
	.run = fed_run,
	.feed = fed_feed,
	.cancel = fed_cancel};

/* whole: measures all that it has at once, says what it can at its own deadline, and reads content
 * again. */
enum { WHOLE_ONE, WHOLE_TWO, WHOLE_SIZE };

static const struct fact whole_facts[] = {
	[WHOLE_ONE] = {"whole.one", TYPE_BOOL, STAGE_MESSAGE, 0, NULL, "h"},
	[WHOLE_TWO] = {"whole.two", TYPE_TEXT, STAGE_MESSAGE, FACT_MANY | FACT_ASKS, NULL, "h"},
	[WHOLE_SIZE] = {"whole.size", TYPE_SIZE, STAGE_MESSAGE, 0, NULL, "h"},
	{.name = NULL},
};

static bool whole_ends;
static struct call *whole;

static enum call_status whole_run(struct call *call)
{
	runs++;
	whole = call;
	return CALL_WAIT;
}

static void whole_feed(struct call *call, struct span piece)
{
	(void)call;
	(void)piece;
}

static void whole_expired(struct call *call)
{
	call_add_bool(call, WHOLE_ONE, false);
	call_add_text(call, WHOLE_TWO, SPAN("not settled"));
	if (whole_ends)
		call_done(call);
}

static const struct filter filter_whole = {.version = FILTER_VERSION,
	.name = "whole",
	.facts = whole_facts,
	.run = whole_run,
	.feed = whole_feed,
	.cancel = fed_cancel,
	.expired = whole_expired,
	.timeout_ms = 3000,
	.all_at_once = true};

static const struct filter *const all[] = {&filter_sync, &filter_wait, &filter_of, &filter_late,
	&filter_fed, &filter_twice, &filter_whole, NULL};

/* --- a session --- */

static struct loop loop;
static struct log logger;
static struct filter_set *set;
static struct filters *filters;
static struct filter_slot slots[32];
static bool wanted[32];
static size_t n_slots;
static unsigned n_at[STAGE_COUNT];
static struct filter_view view;
static struct pipeline *pipeline;
static struct arena *arenas[STAGE_COUNT];
static unsigned changes;
static bool free_when_changed;
static struct span content[8];
static size_t n_content;

static void on_changed(void *context)
{
	assert_ptr_equal(context, &view);
	changes++;
	if (free_when_changed)
		pipeline_free(&pipeline);
}

static size_t on_replay(
	void *context, uint64_t from, void (*take)(void *, struct span), void *taker)
{
	assert_ptr_equal(context, &view);
	for (size_t i = 0; i < n_content; i++) {
		if (from < content[i].len) {
			take(taker, span_from(content[i], (size_t)from));
			return content[i].len - (size_t)from;
		}
		from -= content[i].len;
	}
	return 0;
}

/* A slot as rules would ask for it; its number. */
static size_t slot_for(const char *name, const char *text, const struct filter_slot *field)
{
	struct filter_slot *slot = &slots[n_slots];
	const struct fact_registry *registry = filter_set_registry(set);

	for (size_t s = 0; s < registry->n_sources; s++)
		for (const struct fact *f = registry->sources[s].facts; f->name; f++)
			if (strcmp(f->name, name) == 0)
				*slot = (struct filter_slot){.source = s,
					.fact = f,
					.text = text,
					.field = field,
					.stage = f->stage};
	assert_non_null(slot->fact);
	if (field && field->stage > slot->stage)
		slot->stage = field->stage;
	slot->index = n_at[slot->stage]++;
	return n_slots++;
}

static void begin(void)
{
	struct err err;
	struct filters_setup setup = {.set = set,
		.loop = &loop,
		.log = &logger,
		.hostname = "mx.example.net",
		.timeout_ms = 10 * 1000,
		.slots = slots,
		.n_slots = n_slots};

	filters = filters_open(&setup, &err);
	assert_non_null(filters);
	pipeline = pipeline_new(filters, &view, on_changed, &view);
	pipeline_replay(pipeline, on_replay);
}

static void enter(enum stage stage)
{
	struct arena *old = arenas[stage];

	arenas[stage] = arena_new(256);
	if (pipeline_values(pipeline, stage))
		pipeline_leave(pipeline, stage);
	arena_free(&old);
	pipeline_enter(pipeline, stage, arenas[stage]);
}

static bool want(size_t slot)
{
	wanted[slot] = true;
	return pipeline_want(pipeline, wanted);
}

static bool want_nothing(void)
{
	memset(wanted, 0, sizeof(wanted));
	return pipeline_want(pipeline, wanted);
}

static const struct fact_value *value(size_t slot)
{
	return &pipeline_values(pipeline, slots[slot].stage)[slots[slot].index];
}

static void turn(void)
{
	for (unsigned i = 0; i < 3; i++)
		loop_turn(&loop, false);
}

static void pass(uint64_t ms)
{
	loop.clock.offset_ms += ms;
	timers_run(&loop.timers);
	turn();
}

static int setup(void **state)
{
	struct err err;

	(void)state;
	runs = cancels = changes = n_waiting = 0;
	n_slots = n_content = 0;
	on_cancel = AT_ONCE;
	fed_never_ends = free_when_changed = whole_ends = false;
	memset(slots, 0, sizeof(slots));
	memset(wanted, 0, sizeof(wanted));
	memset(n_at, 0, sizeof(n_at));
	view = (struct filter_view){.listener = "0.0.0.0:25"};
	loop_init(&loop);
	log_init(&logger, -1, true, &loop.clock, "test");
	set = filter_set_of(all, NULL, 0, NULL, &err);
	assert_non_null(set);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pipeline_free(&pipeline);
	turn();
	if (filters)
		filters_close(&filters);
	filter_set_free(&set);
	for (int i = 0; i < STAGE_COUNT; i++)
		arena_free(&arenas[i]);
	log_close(&logger);
	loop_close(&loop);
	return 0;
}

/* --- at once --- */

static void test_sync(void **state)
{
	size_t number = slot_for("sync.number", NULL, NULL),
	       text = slot_for("sync.text", NULL, NULL), none = slot_for("sync.none", NULL, NULL),
	       fails = slot_for("sync.fails", NULL, NULL),
	       colour = slot_for("sync.colour", NULL, NULL),
	       mail = slot_for("sync.mail", NULL, NULL);

	(void)state;
	begin();
	assert_null(pipeline_values(pipeline, STAGE_CONNECT));
	enter(STAGE_CONNECT);
	assert_int_equal(value(number)->state, FACT_PENDING);
	wanted[number] = wanted[none] = wanted[fails] = wanted[colour] = wanted[mail] = true;
	assert_true(want(text));
	assert_int_equal(runs, 1); /* one call for all; that of the stage mail can't be yet */
	assert_int_equal(value(number)->state, FACT_KNOWN);
	assert_int_equal(value(number)->count, 1);
	assert_true(value(number)->items[0].number == 42);
	assert_true(span_equal(value(text)->items[0].text, SPAN("hello")));
	assert_int_equal(value(none)->state, FACT_KNOWN);
	assert_int_equal(value(none)->count, 0);
	assert_int_equal(value(fails)->state, FACT_FAILED);
	assert_string_equal(value(fails)->why, "out of luck");
	assert_int_equal(value(colour)->items[0].choice, 1);
	assert_false(want_nothing());
	turn();
	assert_int_equal(changes, 0); /* told by pipeline_want */
	assert_true(pipeline_slot_us(pipeline, number) > 0);
	assert_int_equal(pipeline_slot_us(pipeline, mail), 0);
	assert_string_equal(pipeline_slot_source(pipeline, number), "sync");

	enter(STAGE_MAIL);
	assert_true(want(mail));
	assert_int_equal(value(mail)->count, 1); /* the null reverse-path is an address */
	assert_int_equal(value(mail)->items[0].text.len, 0);
}

static void test_many_and_text(void **state)
{
	size_t a = slot_for("sync.texts", "a", NULL), b = slot_for("sync.texts", "b", NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	wanted[a] = true;
	assert_true(want(b));
	assert_int_equal(runs, 2);
	assert_int_equal(value(a)->count, FACT_ITEMS_MAX);
	assert_true(span_equal(value(a)->items[999].text, SPAN("a")));
	assert_true(span_equal(value(b)->items[0].text, SPAN("b")));
}

/* One call for all texts of a fact; each has its own values, whatever the case they come in. */
static void test_together(void **state)
{
	size_t bb = slot_for("sync.named", "BB", NULL), text = slot_for("sync.text", NULL, NULL),
	       a = slot_for("sync.named", "a", NULL), c = slot_for("sync.named", "c", NULL),
	       aa = slot_for("sync.named", "aa", NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	wanted[a] = wanted[c] = true;
	assert_true(want(bb));
	assert_int_equal(runs, 1);
	assert_int_equal(value(a)->count, 1);
	assert_true(span_equal(value(a)->items[0].text, SPAN("two")));
	assert_int_equal(value(bb)->count, 2);
	assert_true(span_equal(value(bb)->items[0].text, SPAN("one")));
	assert_true(span_equal(value(bb)->items[1].text, SPAN("three")));
	assert_int_equal(value(c)->state, FACT_KNOWN);
	assert_int_equal(value(c)->count, 0);
	assert_int_equal(value(aa)->state, FACT_PENDING); /* nobody wants it yet */
	assert_int_equal(value(text)->state, FACT_PENDING);

	wanted[text] = true;
	assert_true(want(aa));
	assert_int_equal(runs, 3);
	assert_int_equal(value(aa)->state, FACT_KNOWN);
	assert_int_equal(value(aa)->count, 0);
	assert_int_equal(value(text)->count, 1);
}

/* What fails, fails for all texts. */
static void test_together_fails(void **state)
{
	size_t a = slot_for("sync.named", "a", NULL), fails = slot_for("sync.named", "fails", NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	wanted[a] = true;
	assert_true(want(fails));
	assert_int_equal(runs, 1);
	assert_int_equal(value(a)->state, FACT_FAILED);
	assert_string_equal(value(a)->why, "no luck either");
	assert_int_equal(value(fails)->state, FACT_FAILED);
}

/* A slot that becomes wanted later has a call of its own. */
static void test_wanted_later(void **state)
{
	size_t number = slot_for("sync.number", NULL, NULL),
	       text = slot_for("sync.text", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	assert_true(want(number));
	assert_int_equal(value(text)->state, FACT_PENDING);
	assert_true(want(text));
	assert_int_equal(value(text)->state, FACT_KNOWN);
	assert_false(want(text));
	assert_int_equal(runs, 2);
}

static void test_absent(void **state)
{
	size_t score = slot_for("rspamd.score", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_MESSAGE);
	assert_int_equal(value(score)->state, FACT_FAILED);
	assert_string_equal(value(score)->why, "no filter of this version measures it");
	assert_string_equal(pipeline_slot_source(pipeline, score), "absent");
}

/* --- waiting --- */

static void test_wait(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL), many = slot_for("wait.many", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	wanted[one] = true;
	assert_false(want(many));
	assert_false(want(many)); /* it is under way */
	assert_int_equal(runs, 1);
	assert_string_equal(pipeline_waits_for(pipeline), "wait");
	turn();
	assert_int_equal(changes, 0);

	call_add_text(waiting[0], WAIT_MANY, SPAN("a.example"));
	call_add_bool(waiting[0], WAIT_ONE, true); /* known at once */
	assert_int_equal(value(one)->state, FACT_KNOWN);
	assert_int_equal(changes, 0); /* never from within */
	call_add_text(waiting[0], WAIT_MANY, SPAN("b.example"));
	assert_int_equal(value(many)->state, FACT_PENDING);
	turn();
	assert_int_equal(changes, 1);
	call_done(waiting[0]);
	assert_int_equal(value(many)->count, 2);
	turn();
	assert_int_equal(changes, 2);
	assert_null(pipeline_waits_for(pipeline));
}

/* However many answer in one round, it is told once. */
static void test_changed_once(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL), mail = slot_for("wait.mail", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	enter(STAGE_MAIL);
	wanted[one] = true;
	assert_false(want(mail));
	assert_int_equal(n_waiting, 2); /* one for each stage */
	call_done(waiting[0]);
	call_done(waiting[1]);
	turn();
	assert_int_equal(changes, 1);
	assert_int_equal(value(one)->count, 0);
}

/* What pipeline_want has told isn't told again. */
static void test_told_once(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(one));
	call_done(waiting[0]);
	assert_true(want(one));
	turn();
	assert_int_equal(changes, 0);
}

static void test_settle_and_fail(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL), many = slot_for("wait.many", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	wanted[one] = true;
	assert_false(want(many));
	call_add_text(waiting[0], WAIT_MANY, SPAN("a.example"));
	call_settle(waiting[0], WAIT_MANY);
	call_add_text(waiting[0], WAIT_MANY, SPAN("b.example"));
	assert_int_equal(value(many)->count, 1);
	call_fail_all(waiting[0], "SERVFAIL");
	assert_int_equal(value(many)->state, FACT_KNOWN);
	assert_int_equal(value(one)->state, FACT_FAILED);
	assert_string_equal(value(one)->why, "SERVFAIL");
	call_add_bool(waiting[0], WAIT_ONE, true);
	assert_int_equal(value(one)->state, FACT_FAILED);
	call_done(waiting[0]);
	assert_int_equal(filters->counts[1].failures, 1);
}

static void test_done_twice(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(one));
	call_add_bool(waiting[0], WAIT_ONE, true);
	call_done(waiting[0]);
	call_done(waiting[0]);
	call_add_bool(waiting[0], WAIT_ONE, false);
	call_done(waiting[0]);
	turn();
	assert_int_equal(changes, 1);
	assert_true(value(one)->items[0].yes);
	assert_int_equal(filters->counts[1].bugs, 2);
}

/* The memory of many calls that were answered is not kept. */
static void test_spare(void **state)
{
	size_t number = slot_for("sync.number", NULL, NULL), one = slot_for("wait.one", NULL, NULL);
	struct pipeline *others[100];

	(void)state;
	begin();
	for (unsigned i = 0; i < 500; i++) {
		enter(STAGE_CONNECT);
		assert_true(want(number));
	}
	assert_int_equal(runs, 500);
	for (unsigned i = 0; i < COUNT_OF(others); i++) {
		others[i] = pipeline_new(filters, &view, on_changed, &view);
		pipeline_enter(others[i], STAGE_CONNECT, arenas[STAGE_CONNECT]);
		wanted[one] = true;
		n_waiting = 0;
		assert_true(pipeline_want(others[i], wanted));
	}
	for (unsigned i = 0; i < COUNT_OF(others); i++)
		pipeline_free(&others[i]);
	assert_true(filters->n_spare <= 64);
	assert_true(filters_quiet(filters));
}

/* --- deadlines, cancel --- */

static void test_deadline(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL), many = slot_for("wait.many", NULL, NULL);

	(void)state;
	on_cancel = LATER;
	begin();
	enter(STAGE_CONNECT);
	wanted[one] = true;
	assert_false(want(many));
	call_add_bool(waiting[0], WAIT_ONE, true);
	turn();
	pass(9900);
	assert_int_equal(value(many)->state, FACT_PENDING);
	pass(200);
	assert_int_equal(value(many)->state, FACT_FAILED);
	assert_string_equal(value(many)->why, "timed out");
	assert_int_equal(value(one)->state, FACT_KNOWN); /* in time */
	assert_int_equal(changes, 2);
	assert_int_equal(cancels, 1);
	assert_null(pipeline_waits_for(pipeline));
	assert_false(filters_quiet(filters));
	call_add_text(waiting[0], WAIT_MANY, SPAN("late.example"));
	assert_int_equal(call_view(waiting[0])->client.port, 0); /* empty, not gone */
	call_done(waiting[0]);
	assert_true(filters_quiet(filters));
	assert_int_equal(value(many)->state, FACT_FAILED);
	assert_int_equal(filters->counts[1].timeouts, 1);
	turn();
	assert_int_equal(changes, 2);
}

static void test_own_timeout(void **state)
{
	struct filter_given given = {"wait", "timeout 2s"};
	size_t one;
	struct err err;

	(void)state;
	filter_set_free(&set);
	set = filter_set_of(all, &given, 1, NULL, &err);
	assert_non_null(set);
	one = slot_for("wait.one", NULL, NULL);
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(one));
	pass(2100);
	assert_int_equal(value(one)->state, FACT_FAILED);
}

/* What is no longer wanted is cancelled, and may be wanted again. */
static void cancel_and_again(enum on_cancel how)
{
	size_t one = slot_for("wait.one", NULL, NULL);

	on_cancel = how;
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(one));
	assert_false(want_nothing());
	assert_int_equal(cancels, 1);
	assert_int_equal(value(one)->state, FACT_PENDING);
	assert_false(want(one));
	assert_int_equal(runs, 2);
	if (how == LATER) {
		call_add_bool(waiting[0], WAIT_ONE, false);
		call_done(waiting[0]);
	}
	assert_int_equal(value(one)->state, FACT_PENDING);
	call_add_bool(waiting[1], WAIT_ONE, true);
	call_done(waiting[1]);
	assert_true(value(one)->items[0].yes);
}

static void test_cancel_at_once(void **state)
{
	(void)state;
	cancel_and_again(AT_ONCE);
}

static void test_cancel_twice(void **state)
{
	(void)state;
	cancel_and_again(TWICE);
	assert_int_equal(filters->counts[1].bugs, 1);
}

static void test_cancel_later(void **state)
{
	(void)state;
	cancel_and_again(LATER);
}

/* A filter that never answers holds back nothing but its own memory. */
static void test_deaf(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL);
	struct filters *closing;

	(void)state;
	on_cancel = DEAF;
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(one));
	pass(11 * 1000);
	assert_int_equal(value(one)->state, FACT_FAILED);
	pipeline_free(&pipeline);
	closing = filters;
	filters_close(&filters);
	assert_null(filters);
	assert_non_null(closing->under_way);
	call_done(waiting[0]); /* the last one frees all */
}

static void test_free_under_way(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL), mail = slot_for("wait.mail", NULL, NULL);

	(void)state;
	on_cancel = LATER;
	begin();
	enter(STAGE_CONNECT);
	enter(STAGE_MAIL);
	wanted[one] = true;
	assert_false(want(mail));
	call_add_bool(waiting[0], WAIT_ONE, true); /* news that nobody is left to hear */
	pipeline_free(&pipeline);
	assert_null(pipeline);
	assert_int_equal(cancels, 2);
	for (int i = 0; i < STAGE_COUNT; i++)
		arena_free(&arenas[i]);
	call_add_bool(waiting[0], WAIT_ONE, true);
	call_done(waiting[0]);
	call_done(waiting[1]);
	turn();
	assert_int_equal(changes, 0);
}

static void test_free_when_changed(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL);

	(void)state;
	free_when_changed = true;
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(one));
	call_done(waiting[0]);
	turn();
	assert_int_equal(changes, 1);
	assert_null(pipeline);
}

/* --- fields and order --- */

static void test_field(void **state)
{
	size_t text = slot_for("sync.text", NULL, NULL), none = slot_for("sync.none", NULL, NULL),
	       fails = slot_for("sync.fails", NULL, NULL), of_text, of_none, of_fails;

	(void)state;
	of_text = slot_for("of", NULL, &slots[text]);
	of_none = slot_for("of", NULL, &slots[none]);
	of_fails = slot_for("of", NULL, &slots[fails]);
	begin();
	enter(STAGE_CONNECT);
	wanted[of_text] = wanted[of_none] = true;
	assert_true(want(of_fails)); /* the fields come along, though nobody asked */
	assert_true(value(of_text)->items[0].number == 1);
	assert_int_equal(value(of_none)->state, FACT_KNOWN);
	assert_int_equal(value(of_none)->count, 0);
	assert_int_equal(value(of_fails)->state, FACT_FAILED);
	assert_string_equal(value(of_fails)->why, "it needs sync.fails, which failed: out of luck");
	assert_int_equal(runs, 2); /* sync once, of once */
}

static void test_field_waits(void **state)
{
	size_t many = slot_for("wait.many", NULL, NULL), of;

	(void)state;
	of = slot_for("of", NULL, &slots[many]);
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(of));
	call_add_text(waiting[0], WAIT_MANY, SPAN("a.example"));
	call_add_text(waiting[0], WAIT_MANY, SPAN("b.example"));
	call_done(waiting[0]);
	assert_int_equal(runs, 1); /* never one within another */
	turn();
	assert_int_equal(runs, 2);
	assert_int_equal(changes, 1);
	assert_true(value(of)->items[0].number == 2);
}

/* The field is of a stage that isn't there yet. */
static void test_field_of_stage(void **state)
{
	size_t mail = slot_for("sync.mail", NULL, NULL), of;

	(void)state;
	of = slot_for("of", NULL, &slots[mail]);
	assert_int_equal(slots[of].stage, STAGE_MAIL);
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(of));
	enter(STAGE_MAIL);
	assert_true(want(of));
	assert_true(value(of)->items[0].number == 1);
}

/* Held calls are let go when nobody wants them. */
static void test_held_cancelled(void **state)
{
	size_t many = slot_for("wait.many", NULL, NULL), of;

	(void)state;
	of = slot_for("of", NULL, &slots[many]);
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(of));
	assert_false(want_nothing());
	assert_int_equal(cancels, 1);
	assert_int_equal(value(of)->state, FACT_PENDING);
	assert_true(filters_quiet(filters));
}

static void test_after(void **state)
{
	size_t late = slot_for("late.one", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(late)); /* wait.one has a slot though no rule reads it */
	assert_int_equal(n_waiting, 1);
	call_add_bool(waiting[0], WAIT_ONE, true);
	call_done(waiting[0]);
	turn();
	assert_true(value(late)->items[0].yes);
}

static void test_after_own(void **state)
{
	size_t later = slot_for("twice.later", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	enter(STAGE_MAIL);
	assert_true(want(later));
	assert_int_equal(runs, 2);
	assert_int_equal(value(later)->state, FACT_KNOWN);
	assert_true(value(later)->items[0].number == 2);
}

static void test_after_failed(void **state)
{
	size_t late = slot_for("late.one", NULL, NULL), one = slot_for("wait.one", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	wanted[one] = true;
	assert_false(want(late));
	assert_int_equal(n_waiting, 1);
	pass(11 * 1000);
	assert_int_equal(value(one)->state, FACT_FAILED);
	assert_int_equal(value(late)->state, FACT_KNOWN);
	assert_false(value(late)->items[0].yes);
}

/* --- what comes along --- */

static size_t rider_for(const char *name, bool idle)
{
	size_t slot = slot_for(name, NULL, NULL);

	slots[slot].rides = true;
	slots[slot].idle = idle;
	return slot;
}

/* One call measures what was wanted and what rides, and goes on for that when it has found the
 * first. */
static void test_rides(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL), many = rider_for("wait.many", true);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(one));
	assert_int_equal(runs, 1);
	assert_true(call_wants(waiting[0], WAIT_MANY));
	assert_true(pipeline_is_measuring(pipeline, many));
	call_add_bool(waiting[0], WAIT_ONE, true);
	assert_true(want_nothing());
	assert_int_equal(cancels, 0);
	assert_true(pipeline_is_measuring(pipeline, many));
	call_add_text(waiting[0], WAIT_MANY, SPAN("a.example"));
	call_done(waiting[0]);
	assert_int_equal(value(many)->count, 1);
	assert_false(pipeline_is_measuring(pipeline, many));
	assert_int_equal(runs, 1);
}

/* A call that has not found what it was for is no longer wanted for what rides; nor is one that
 * found out that it can't. */
static void test_rides_with_nobody(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL), many = rider_for("wait.many", true);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(one));
	assert_false(want_nothing());
	assert_int_equal(cancels, 1);
	assert_int_equal(value(many)->state, FACT_PENDING);
	assert_false(pipeline_is_measuring(pipeline, many));
	assert_false(want(one));
	call_fail(waiting[1], WAIT_ONE, "no luck");
	assert_true(want_nothing());
	assert_int_equal(cancels, 2);
	assert_int_equal(value(many)->state, FACT_PENDING);
}

/* Wanted by itself it begins a call; what is wanted later of the same call is on its way. */
static void test_rider_is_wanted(void **state)
{
	size_t one = rider_for("wait.one", false), many = rider_for("wait.many", false);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(many));
	assert_false(want(one));
	assert_int_equal(runs, 1);
	call_add_text(waiting[0], WAIT_MANY, SPAN("a.example"));
	call_settle(waiting[0], WAIT_MANY);
	call_add_bool(waiting[0], WAIT_ONE, true);
	call_done(waiting[0]);
	assert_int_equal(value(one)->count + value(many)->count, 2);
}

/* It joins a call that is begun in the same breath, though others are to be asked for it. */
static void test_rider_joins(void **state)
{
	size_t number = slot_for("sync.number", NULL, NULL), text = rider_for("sync.text", false);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	wanted[number] = true;
	assert_true(want(text));
	assert_int_equal(runs, 1);
	assert_int_equal(value(text)->count, 1);
}

/* What a filter comes after is not measured a second time. */
static void test_after_rides(void **state)
{
	size_t many = slot_for("wait.many", NULL, NULL), late = slot_for("late.one", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(many));
	assert_false(want(late));
	assert_int_equal(n_waiting, 1);
	call_add_bool(waiting[0], WAIT_ONE, true);
	call_done(waiting[0]);
	turn();
	assert_true(value(late)->items[0].yes);
}

/* A filter of which only riders have a slot is not opened, but for one that comes after it. */
static void test_idle(void **state)
{
	struct record r;
	struct span text;

	(void)state;
	rider_for("wait.many", true);
	rider_for("sync.text", true);
	slot_for("late.one", NULL, NULL);
	begin();
	record_init(&r, true, 1 << 16);
	filters_status(filters, &r);
	text = record_finish(&r);
	assert_true(span_find(text, SPAN("\"wait\"")) < text.len);
	assert_true(span_find(text, SPAN("\"late\"")) < text.len);
	assert_int_equal(span_find(text, SPAN("\"sync\"")), text.len);
	record_free(&r);
}

/* --- stages, recipients --- */

static void test_leave(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL), number = slot_for("sync.number", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	wanted[one] = true;
	assert_true(want(number));
	pipeline_leave(pipeline, STAGE_CONNECT);
	assert_null(pipeline_values(pipeline, STAGE_CONNECT));
	assert_int_equal(cancels, 1);
	assert_false(want(number)); /* there is no such stage now */
	enter(STAGE_CONNECT);
	assert_int_equal(value(number)->state, FACT_PENDING);
	assert_int_equal(pipeline_slot_us(pipeline, number), 0);
	assert_true(want(number));
	assert_int_equal(runs, 4);
}

/* A call that looks at another stage goes with it. */
static void test_leave_field(void **state)
{
	size_t many = slot_for("wait.many", NULL, NULL), mail = slot_for("sync.mail", NULL, NULL),
	       of;

	(void)state;
	of = slot_for("of", NULL, &slots[many]);
	slots[of].stage = STAGE_MAIL;
	slots[of].index = 1;
	(void)mail;
	begin();
	enter(STAGE_CONNECT);
	enter(STAGE_MAIL);
	assert_false(want(of));
	pipeline_leave(pipeline, STAGE_CONNECT);
	assert_true(filters_quiet(filters));
	enter(STAGE_CONNECT);
	assert_false(want(of));
	call_add_text(waiting[1], WAIT_MANY, SPAN("a.example"));
	call_done(waiting[1]);
	turn();
	assert_true(value(of)->items[0].number == 1);
}

static void test_set_aside(void **state)
{
	size_t rcpt = slot_for("sync.rcpt", NULL, NULL), other = slot_for("virus", NULL, NULL);
	struct fact_value *first, *second;
	struct arena *arena = arena_new(100);

	(void)state;
	(void)other;
	begin();
	view.to_count = 1;
	pipeline_enter(pipeline, STAGE_RCPT, arena);
	assert_true(want(rcpt));
	first = pipeline_set_aside(pipeline, STAGE_RCPT);
	assert_null(pipeline_values(pipeline, STAGE_RCPT));
	view.to_count = 2;
	pipeline_enter(pipeline, STAGE_RCPT, arena);
	second = pipeline_set_aside(pipeline, STAGE_RCPT);
	assert_int_equal(second[slots[rcpt].index].state, FACT_FAILED);
	pipeline_put_back(pipeline, STAGE_RCPT, first);
	assert_false(want(rcpt));
	assert_true(value(rcpt)->items[0].number == 1);
	pipeline_put_back(pipeline, STAGE_RCPT, second);
	assert_false(want(rcpt));
	assert_int_equal(pipeline_slot_us(pipeline, rcpt), 0);
	pipeline_leave(pipeline, STAGE_RCPT);
	arena_free(&arena);
}

static void test_give(void **state)
{
	size_t number = slot_for("sync.number", NULL, NULL),
	       score = slot_for("rspamd.score", NULL, NULL), one = slot_for("wait.one", NULL, NULL);
	union fact_datum datum = {.number = 7}, half = {.number = 0.5}, yes = {.yes = true};
	struct fact_value given = {FACT_KNOWN, 1, &datum, NULL},
			  half_value = {FACT_KNOWN, 1, &half, NULL},
			  yes_value = {FACT_KNOWN, 1, &yes, NULL};

	(void)state;
	begin();
	pipeline_give(pipeline, number, &given);
	pipeline_give(pipeline, score, &half_value);
	for (unsigned i = 0; i < 2; i++) {
		enter(STAGE_CONNECT);
		enter(STAGE_MESSAGE);
		assert_false(want(number));
		assert_true(value(number)->items[0].number == 7);
		assert_int_equal(value(score)->state, FACT_KNOWN);
	}
	assert_false(want(one));
	pipeline_give(pipeline, one, &yes_value); /* while it is measured */
	assert_int_equal(cancels, 1);
	assert_true(value(one)->items[0].yes);
}

/* --- content --- */

static bool feed(struct span bytes)
{
	if (bytes.len)
		content[n_content++] = bytes;
	return pipeline_feed(pipeline, bytes);
}

static void test_feed(void **state)
{
	size_t size = slot_for("fed.size", NULL, NULL), early = slot_for("fed.early", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_HEADER);
	enter(STAGE_MESSAGE);
	wanted[early] = true;
	assert_false(want(size));
	pass(60 * 1000);                               /* a slow client is not the filter's fault */
	assert_true(feed(SPAN("Subject: x\r\n\r\n"))); /* early is known */
	assert_int_equal(value(early)->state, FACT_KNOWN);
	assert_false(feed(SPAN("body\r\n")));
	assert_true(feed(SPAN_NONE));
	assert_true(value(size)->items[0].number == 20);
	turn();
	assert_int_equal(changes, 0);
}

/* A call that starts in the middle, or after the end, gets what has come already. */
static void test_feed_late(void **state)
{
	size_t size = slot_for("fed.size", NULL, NULL), early = slot_for("fed.early", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_HEADER);
	assert_false(feed(SPAN("Subject: x\r\n\r\n")));
	enter(STAGE_MESSAGE);
	assert_false(want(size));
	assert_false(feed(SPAN("body\r\n")));
	assert_true(feed(SPAN_NONE));
	assert_true(value(size)->items[0].number == 20);
	assert_true(want(early)); /* answers within the replay */
	pipeline_leave(pipeline, STAGE_MESSAGE);
	pipeline_leave(pipeline, STAGE_HEADER);

	n_content = 0;
	enter(STAGE_HEADER);
	enter(STAGE_MESSAGE);
	assert_false(want_nothing());
	assert_false(feed(SPAN("abc")));
	assert_false(feed(SPAN_NONE));
	assert_true(want(size));
	assert_true(value(size)->items[0].number == 3);
}

/* A long message is caught up with in steps, whatever comes or goes between. */
static void test_feed_late_and_long(void **state)
{
	enum { PIECE = 256 * 1024 };
	size_t size = slot_for("fed.size", NULL, NULL);
	char *bytes = memory_zeroed(PIECE);

	(void)state;
	begin();
	enter(STAGE_HEADER);
	enter(STAGE_MESSAGE);
	for (int i = 0; i < 6; i++)
		assert_false(feed(span_make(bytes, PIECE)));
	assert_false(want(size));
	assert_false(feed(span_make(bytes, PIECE))); /* comes while it is behind */
	assert_false(feed(SPAN_NONE));
	assert_int_equal(value(size)->state, FACT_PENDING);
	assert_false(want_nothing());
	assert_int_equal(cancels, 1);
	assert_false(want(size));
	for (int i = 0; i < 100 && value(size)->state == FACT_PENDING; i++) {
		assert_int_equal(changes, 0);
		pass(10);
	}
	assert_int_equal(changes, 1);
	assert_true(value(size)->items[0].number == 7 * PIECE);
	assert_false(want_nothing());
	pipeline_leave(pipeline, STAGE_MESSAGE);
	enter(STAGE_MESSAGE);
	n_content = 0;
	for (int i = 0; i < 6; i++)
		assert_false(feed(span_make(bytes, PIECE)));
	assert_false(want(size));
	pipeline_leave(pipeline, STAGE_MESSAGE); /* in the middle */
	pass(100);
	assert_int_equal(changes, 1);
	free(bytes);
}

static void test_feed_deadline(void **state)
{
	size_t size = slot_for("fed.size", NULL, NULL);

	(void)state;
	fed_never_ends = true;
	begin();
	enter(STAGE_MESSAGE);
	assert_false(want(size));
	assert_false(feed(SPAN("abc")));
	pass(60 * 1000);
	assert_int_equal(value(size)->state, FACT_PENDING);
	assert_false(feed(SPAN_NONE));
	pass(11 * 1000);
	assert_int_equal(value(size)->state, FACT_FAILED);
	assert_int_equal(cancels, 1);
}

/* --- at once, at the end --- */

static void begin_whole(size_t *one, size_t *two)
{
	*one = slot_for("whole.one", NULL, NULL);
	*two = slot_for("whole.two", NULL, NULL);
	begin();
	enter(STAGE_MESSAGE);
	assert_false(want(*one));
}

/* The call that was started for one of its facts is the one for all. */
static void test_all_at_once(void **state)
{
	size_t one, two;

	(void)state;
	begin_whole(&one, &two);
	assert_false(want(two));
	assert_int_equal(runs, 1);
	assert_true(call_wants(whole, WHOLE_TWO));
	assert_false(call_wants(whole, WHOLE_SIZE)); /* no rule reads it */
	call_add_text(whole, WHOLE_TWO, SPAN("two"));
	wanted[two] = false; /* it goes on for the other one */
	assert_false(want(one));
	call_add_bool(whole, WHOLE_ONE, true);
	call_done(whole);
	turn();
	assert_int_equal(value(two)->count, 1);
	assert_true(value(one)->items[0].yes);
	assert_int_equal(cancels, 0);
}

static void test_all_at_once_unwanted(void **state)
{
	size_t one, two;

	(void)state;
	begin_whole(&one, &two);
	assert_false(want_nothing());
	assert_int_equal(cancels, 1);
	assert_int_equal(value(two)->state, FACT_PENDING);
	assert_false(want(two));
	assert_int_equal(runs, 2);
}

static void test_expired(void **state)
{
	size_t one, two;

	(void)state;
	begin_whole(&one, &two);
	assert_false(feed(SPAN("abc")));
	assert_false(feed(SPAN_NONE));
	pass(2900);
	assert_int_equal(value(one)->state, FACT_PENDING);
	pass(200);
	assert_int_equal(value(one)->state, FACT_KNOWN);
	assert_false(value(one)->items[0].yes);
	assert_int_equal(value(two)->state, FACT_FAILED);
	assert_int_equal(cancels, 1);
	assert_int_equal(filters->counts[6].timeouts, 1);
	assert_true(filters_quiet(filters));
}

static void test_expired_and_done(void **state)
{
	size_t one, two;

	(void)state;
	whole_ends = true;
	begin_whole(&one, &two);
	assert_false(feed(SPAN_NONE));
	pass(3100);
	assert_int_equal(value(one)->state, FACT_KNOWN);
	assert_int_equal(value(two)->state, FACT_KNOWN);
	assert_int_equal(value(two)->count, 1);
	assert_int_equal(cancels, 0);
	assert_true(filters_quiet(filters));
}

static void take_copy(void *taker, struct span piece)
{
	assert_true(buffer_add(taker, piece));
}

static void test_content_again(void **state)
{
	struct buffer copy = BUFFER_INIT(64);
	size_t one, two;

	(void)state;
	begin_whole(&one, &two);
	assert_int_equal(call_content(whole, 0, take_copy, &copy), 0);
	assert_false(feed(SPAN("abc")));
	assert_false(feed(SPAN("def")));
	assert_int_equal(call_content(whole, 1, take_copy, &copy), 2);
	assert_int_equal(call_content(whole, 3, take_copy, &copy), 3);
	assert_int_equal(call_content(whole, 6, take_copy, &copy), 0);
	assert_string_equal(buffer_string(&copy), "bcdef");
	buffer_free(&copy);
}

/* --- options, registry --- */

static void expect_mistake(const char *name, const char *options, const char *text)
{
	struct filter_given given = {name, options};
	struct filter_set *refused;
	struct err err = {""};

	refused = filter_set_of(all, &given, 1, "/etc/postern", &err);
	if (refused)
		filter_set_free(&refused);
	else if (strstr(err.text, text))
		return;
	fail_msg("%s { %s }: expected \"%s\", not \"%s\"", name, options, text, err.text);
}

static void test_option_mistakes(void **state)
{
	(void)state;
	expect_mistake("wait", "retry 3", "filter wait has no option `retry`");
	expect_mistake("wait", "retrise 3", "did you mean `retries`?");
	expect_mistake("wait", "timeuot 3s", "did you mean `timeout`?");
	expect_mistake("wait", "retries 10", "`retries` must lie between 1 and 9");
	expect_mistake("wait", "retries many", "`retries` takes a whole number, not `many`");
	expect_mistake("wait", "retries", "takes a whole number");
	expect_mistake("wait", "pause 2h", "`pause` must lie between 1ms and 1m");
	expect_mistake("wait", "pause 5", "takes a duration such as");
	expect_mistake("wait", "pause 99999999999999999999s", "takes a duration such as");
	expect_mistake("wait", "pause 999999999999999999w", "must lie between");
	expect_mistake("wait", "room 2MB", "must lie between 0B and 1MB");
	expect_mistake("wait", "loud perhaps", "takes yes or no");
	expect_mistake("wait", "file \"\"", "takes the path of a file");
	expect_mistake("wait", "timeout 1h", "must lie between 1ms and 5m");
	expect_mistake("wait", "loud yes loud no", "`loud` is given twice");
	expect_mistake("wait", "timeout 1s timeout 2s", "`timeout` is given twice");
	expect_mistake("wayt", "", "there is no filter `wayt`: did you mean `wait`?");
	expect_mistake("rspamt", "", "did you mean `rspamd`?");
	expect_mistake("somebody", "", "load \"somebody.so\"");
	expect_mistake("hello", "load \"/nowhere/hello.so\"", "/nowhere/hello.so");
	expect_mistake("wait", "load \"wait.so\"", "can't be loaded");
	expect_mistake("virus", "load \"virus.so\"", "can't be loaded");
}

static void test_options(void **state)
{
	struct filter_given given[] = {
		{"wait", "retries 5 pause 30s loud yes word \"a \\\"b\\\" \\\\c\" file x/y.mmdb"},
		{"rspamd", "url \"http://127.0.0.1:11333\" whatever { a b }"}};
	struct filter_home home = {.loop = NULL};
	struct err err;

	(void)state;
	home.private = &set->entries[1];
	assert_int_equal(filter_number(&home, 0), 3);
	assert_int_equal(filter_number(&home, 1), 10000);
	assert_int_equal(filter_number(&home, 2), 2048);
	assert_int_equal(filter_number(&home, 3), 0);
	assert_null(filter_text(&home, 4));
	filter_set_free(&set);
	set = filter_set_of(all, given, 2, "/etc/postern", &err);
	assert_non_null(set);
	home.private = &set->entries[1];
	assert_int_equal(filter_number(&home, 0), 5);
	assert_int_equal(filter_number(&home, 1), 30000);
	assert_int_equal(filter_number(&home, 3), 1);
	assert_string_equal(filter_text(&home, 4), "a \"b\" \\c");
	assert_string_equal(filter_text(&home, 5), "/etc/postern/x/y.mmdb");
}

static void expect_unfit(const struct filter *filter, const char *text)
{
	const struct filter *const filters_of[] = {&filter_wait, filter, NULL};
	struct filter_set *refused;
	struct err err = {""};

	refused = filter_set_of(filters_of, NULL, 0, NULL, &err);
	if (refused)
		filter_set_free(&refused);
	else if (strstr(err.text, text))
		return;
	fail_msg("expected \"%s\", not \"%s\"", text, err.text);
}

static void test_tables(void **state)
{
	static const struct fact taken[] = {
		{"wait.one", TYPE_BOOL, STAGE_MAIL, 0, NULL, "h"}, {.name = NULL}};
	static const struct fact absent[] = {
		{"virus", TYPE_BOOL, STAGE_MAIL, 0, NULL, "h"}, {.name = NULL}};
	static const struct fact no_choices[] = {
		{"x.y", TYPE_CHOICE, STAGE_MAIL, 0, NULL, "h"}, {.name = NULL}};
	static const struct fact not_together[] = {
		{"x.y", TYPE_NUMBER, STAGE_MAIL, FACT_OF_TEXT | FACT_TOGETHER, NULL, "h"},
		{.name = NULL}};
	static const struct fact no_text[] = {
		{"x.y", TYPE_NUMBER, STAGE_MAIL, FACT_AUTHRES, NULL, "h"}, {.name = NULL}};
	static const struct fact of_one[] = {
		{"x.y", TYPE_TEXT, STAGE_RCPT, FACT_TRACE | FACT_MANY, NULL, "h"}, {.name = NULL}};
	static const struct fact no_help[] = {
		{"x.y", TYPE_BOOL, STAGE_MAIL, 0, NULL, NULL}, {.name = NULL}};
	static const struct fact fine[] = {
		{"x.y", TYPE_BOOL, STAGE_MAIL, 0, NULL, "h"}, {.name = NULL}};
	static const struct fact two_stages[] = {{"x.y", TYPE_BOOL, STAGE_MAIL, 0, NULL, "h"},
		{"x.later", TYPE_BOOL, STAGE_RCPT, 0, NULL, "h"}, {.name = NULL}};
	static const char *const itself[] = {"x.y", NULL}, *const nobody[] = {"x.z", NULL},
				 *const later[] = {"x.later", NULL};
	struct filter filter = {.version = FILTER_VERSION, .name = "x", .run = sync_run};

	(void)state;
	filter.facts = taken;
	expect_unfit(&filter, "fact `wait.one` is wait's already");
	filter.facts = no_choices;
	expect_unfit(&filter, "fact `x.y` has choices if");
	filter.facts = not_together;
	expect_unfit(&filter, "is looked for together, but");
	filter.facts = no_text;
	expect_unfit(&filter, "fact `x.y` stands in a header, but");
	filter.facts = of_one;
	expect_unfit(&filter, "fact `x.y` stands in a header, but");
	filter.facts = no_help;
	expect_unfit(&filter, "has no line of help");
	filter.facts = fine;
	filter.after = itself;
	expect_unfit(&filter, "comes after itself");
	filter.facts = two_stages;
	filter.after = later;
	expect_unfit(&filter, "comes after itself");
	filter.facts = fine;
	filter.after = nobody;
	expect_unfit(&filter, "comes after `x.z`, which no filter measures");
	filter.after = NULL;
	filter.run = NULL;
	expect_unfit(&filter, "has no `run`");
	filter.run = sync_run;
	filter.facts = absent;
	expect_unfit(&filter, "is x's already");
}

/* The program's own tables are sound, and none of its facts is declared twice. */
static void test_own(void **state)
{
	struct filter_set *own;
	struct err err;

	(void)state;
	own = filter_set_new(NULL, 0, NULL, &err);
	assert_non_null(own);
	assert_true(filter_set_registry(own)->n_sources > 1);
	filter_set_free(&own);
}

/* Everything that rules may name. */
static void test_every_fact(void **state)
{
	static const char *const names[] = {"client.ip", "client.port", "client.rdns",
		"client.fcrdns", "client.country", "client.asn", "client.reputation",
		"client.early_talker", "listener", "time.hour", "time.weekday", "helo",
		"helo.literal", "helo.fqdn", "helo.esmtp", "helo.resolves", "helo.is_me", "tls",
		"tls.version", "tls.sni", "tls.client_verified", "mail.from", "mail.local",
		"mail.domain", "mail.null", "mail.size", "mail.smtputf8", "mail.reputation",
		"mail.mx", "spf", "spf.domain", "spf.helo", "mail.dmarc_policy", "rcpt.to",
		"rcpt.local", "rcpt.domain", "rcpt.count", "rcpt.valid", "greylist", "from.address",
		"from.domain", "from.name", "from.count", "from.reputation", "subject", "header",
		"message.size", "message.id", "dkim", "dkim.domains", "dmarc", "dmarc.policy",
		"arc", "arc.sealers", "attachment.name", "attachment.extension", "attachment.type",
		"attachment.size", "attachment.encrypted", "url.domain", "url", "body", "list.id",
		"virus", "virus.name", "milter.clamav", "rspamd.score", "rspamd.action", "rate",
		"dnsbl", "spf.explanation"};
	struct filter_set *own;
	struct err err;

	(void)state;
	own = filter_set_new(NULL, 0, NULL, &err);
	assert_non_null(own);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (!fact_find(filter_set_registry(own), span_text(names[i]), NULL))
			fail_msg("there is no fact %s", names[i]);
	filter_set_free(&own);
}

/* --- anything, in any order --- */

static uint64_t dice;
static bool ended;

static unsigned roll(unsigned sides)
{
	dice = dice * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(dice >> 33) % sides;
}

static void answer_some(void)
{
	for (struct call *call = filters->under_way, *next; call; call = next) {
		next = call->next_all;
		if (call->state != CALL_WAITING && call->state != CALL_LEAVING)
			continue;
		if (set->entries[call->group->source].filter != &filter_wait)
			continue;
		if (roll(2))
			call_add_bool(call, WAIT_ONE, roll(2));
		if (roll(2))
			call_add_text(call, WAIT_MANY, SPAN("a.example"));
		if (roll(4) == 0)
			call_fail_all(call, "dice");
		if (roll(3) == 0)
			call_done(call);
	}
}

/* With one of these stages the message is over, and another begins. */
static void content_over(enum stage stage)
{
	if (!pipeline_values(pipeline, stage) || stage == STAGE_RCPT || stage < STAGE_MAIL)
		return;
	ended = false;
	n_content = 0;
}

static void feed_some(void)
{
	struct span piece = roll(4) ? SPAN("abc") : SPAN_NONE;

	if (ended || n_content == COUNT_OF(content))
		return;
	ended = piece.len == 0;
	changes += feed(piece);
}

static void step(void)
{
	enum stage stage = (enum stage)roll(STAGE_COUNT);

	n_waiting = 0;
	on_cancel = roll(2) ? AT_ONCE : LATER;
	switch (roll(10)) {
	case 0:
	case 1:
		content_over(stage);
		enter(stage);
		break;
	case 2:
		if (roll(3))
			break;
		content_over(stage);
		pipeline_leave(pipeline, stage);
		break;
	case 3:
		answer_some();
		break;
	case 4:
		turn();
		break;
	case 5:
		pass(roll(4) * 1500);
		break;
	case 6:
		feed_some();
		break;
	default:
		for (size_t i = 0; i < n_slots; i++)
			wanted[i] = roll(3) > 0;
		changes += pipeline_want(pipeline, wanted);
	}
}

static void test_torture(void **state)
{
	size_t many, text, mail;

	(void)state;
	slot_for("sync.number", NULL, NULL);
	text = slot_for("sync.text", NULL, NULL);
	slot_for("sync.texts", "a", NULL);
	slot_for("wait.one", NULL, NULL);
	many = slot_for("wait.many", NULL, NULL);
	slot_for("wait.mail", NULL, NULL);
	slot_for("late.one", NULL, NULL);
	slot_for("of", NULL, &slots[many]);
	slot_for("of", NULL, &slots[text]);
	mail = slot_for("sync.mail", NULL, NULL);
	slot_for("of", NULL, &slots[mail]);
	slot_for("fed.size", NULL, NULL);
	slot_for("fed.early", NULL, NULL);
	slot_for("rspamd.score", NULL, NULL);
	begin();
	for (unsigned seed = 0; seed < 300; seed++) {
		dice = seed;
		ended = false;
		n_content = 0;
		for (unsigned i = 0; i < 200; i++)
			step();
		pipeline_free(&pipeline);
		while (filters->under_way)
			answer_some();
		pipeline = pipeline_new(filters, &view, on_changed, &view);
		pipeline_replay(pipeline, on_replay);
	}
	assert_true(changes > 1000 && cancels > 1000);
	assert_true(filters->counts[1].timeouts > 100);
	assert_int_equal(filters->counts[1].bugs, 0);
}

/* What filters_status says, with the member of this filter at its front; valid until the next. */
static const char *status_of(const char *filter)
{
	static char text[4096];
	struct record record;
	const char *found;
	struct span said;

	record_init(&record, true, sizeof(text) - 1);
	filters_status(filters, &record);
	said = record_finish(&record);
	memcpy(text, said.at, said.len);
	text[said.len] = '\0';
	record_free(&record);
	found = strstr(text, filter);
	return found ? found : text;
}

#define assert_said(filter, what) assert_non_null(strstr(status_of(filter), (what)))

/* Two facts of one call fail: that is one failure. A call under way is not counted yet. */
static void test_status(void **state)
{
	size_t number = slot_for("sync.number", NULL, NULL);
	size_t fails = slot_for("sync.fails", NULL, NULL);
	size_t one = slot_for("wait.one", NULL, NULL), many = slot_for("wait.many", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	wanted[fails] = true;
	assert_true(want(number));
	assert_said("\"sync\"", "\"calls\":1,\"failures\":1,\"timeouts\":0,\"us\":");
	assert_null(strstr(status_of("\"sync\""), "\"of\"")); /* no rule reads it */
	wanted[one] = true;
	assert_false(want(many));
	pass(3000);
	assert_said("\"wait\"", "\"calls\":0,\"failures\":0,");
	pass(9000);
	assert_said("\"wait\"", "\"calls\":1,\"failures\":1,\"timeouts\":1,\"us\":1");
	assert_said("\"wait\"", "\"2s\":0,\"10s\":0,\"more\":1}");
	call_done(waiting[0]);
}

/* Those in time, and those that nobody waits for any more. */
static void test_status_ranges(void **state)
{
	size_t one = slot_for("wait.one", NULL, NULL);

	(void)state;
	begin();
	enter(STAGE_CONNECT);
	assert_false(want(one));
	pass(3000);
	assert_false(want_nothing());
	enter(STAGE_CONNECT);
	assert_false(want(one));
	pass(600);
	call_add_bool(waiting[1], WAIT_ONE, true);
	call_done(waiting[1]);
	assert_said("\"wait\"", "\"calls\":2,\"failures\":0,\"timeouts\":0,\"us\":3");
	assert_said("\"wait\"",
		"{\"1ms\":0,\"5ms\":0,\"25ms\":0,\"100ms\":0,\"500ms\":0,\"2s\":1,\"10s\":1,"
		"\"more\":0}");
}

/* An idle session with nothing wanted is small. */
static void test_idle_size(void **state)
{
	(void)state;
	begin();
	enter(STAGE_CONNECT);
	assert_false(want_nothing());
	assert_true(arena_size(arenas[STAGE_CONNECT]) < 512);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_sync),
		CASE(test_many_and_text),
		CASE(test_together),
		CASE(test_together_fails),
		CASE(test_wanted_later),
		CASE(test_absent),
		CASE(test_wait),
		CASE(test_changed_once),
		CASE(test_told_once),
		CASE(test_settle_and_fail),
		CASE(test_done_twice),
		CASE(test_spare),
		CASE(test_deadline),
		CASE(test_own_timeout),
		CASE(test_all_at_once),
		CASE(test_all_at_once_unwanted),
		CASE(test_expired),
		CASE(test_expired_and_done),
		CASE(test_content_again),
		CASE(test_cancel_at_once),
		CASE(test_cancel_twice),
		CASE(test_cancel_later),
		CASE(test_deaf),
		CASE(test_free_under_way),
		CASE(test_free_when_changed),
		CASE(test_field),
		CASE(test_field_waits),
		CASE(test_field_of_stage),
		CASE(test_held_cancelled),
		CASE(test_after),
		CASE(test_after_own),
		CASE(test_after_failed),
		CASE(test_rides),
		CASE(test_rides_with_nobody),
		CASE(test_rider_is_wanted),
		CASE(test_rider_joins),
		CASE(test_after_rides),
		CASE(test_idle),
		CASE(test_leave),
		CASE(test_leave_field),
		CASE(test_set_aside),
		CASE(test_give),
		CASE(test_feed),
		CASE(test_feed_late),
		CASE(test_feed_late_and_long),
		CASE(test_feed_deadline),
		CASE(test_option_mistakes),
		CASE(test_options),
		CASE(test_tables),
		CASE(test_own),
		CASE(test_every_fact),
		CASE(test_torture),
		CASE(test_status),
		CASE(test_status_ranges),
		CASE(test_idle_size),
	};

	return cmocka_run_group_tests_name("pipeline", tests, NULL, NULL);
}

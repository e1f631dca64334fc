/*
 * pipeline: the calls of one session. A slot that is being measured knows its call, a call knows
 * its slots; everything else is looked up in the worker's plan.
 *
 * Filters are never run within one another: what one answers while the pipeline is inside another
 * (or inside itself) only marks slots, and calls that were held for them start from the loop, or
 * at the end of the pipeline_want that is under way. So no filter needs to be written for being
 * entered twice, and `changed` comes once for all that one round has brought.
 */
#include "filters/pipeline.h"

#include <stdlib.h>

#include "filters/set.h"

/* Bytes of a message that a call which began late gets in one round of the loop. */
enum { CATCH_UP_MAX = 512 * 1024 };
#include "lib/base/fail.h"

/* Of a slot, beside its value. */
struct note {
	struct call *call; /* that measures it now; NULL */
	uint64_t us;
};

struct pipeline_stage {
	struct fact_value *values; /* in the arena; NULL: not entered */
	struct note *notes;        /* in the arena; NULL until something was measured */
	struct arena *arena;       /* borrowed */
	const struct due *dues;    /* in the arena */
};

enum content_state { CONTENT_NONE, CONTENT_COMES, CONTENT_ENDED };

struct pipeline {
	struct filters *filters;
	const struct filter_view *view;
	void (*changed)(void *context);
	void *context;
	struct pipeline_stage stages[STAGE_COUNT];
	struct call *calls;        /* that somebody waits for */
	struct fact_value **given; /* owned, for each slot; NULL: nothing was given */
	size_t (*replay)(
		void *context, uint64_t from, void (*take)(void *, struct span), void *taker);
	struct deferred deferred;
	enum content_state content;
	unsigned feed_round;
	unsigned depth; /* inside a pipeline_ call or the loop's: news is told at its end */
	bool news;
};

/* --- slots --- */

static struct pipeline_stage *stage_of(struct pipeline *pipeline, size_t slot)
{
	return &pipeline->stages[pipeline->filters->slots[slot].stage];
}

/* NULL: its stage is not entered. */
static struct fact_value *value_of(const struct pipeline *pipeline, size_t slot)
{
	const struct plan_slot *plan = &pipeline->filters->slots[slot];
	struct fact_value *values = pipeline->stages[plan->stage].values;

	return values ? &values[plan->index] : NULL;
}

static struct note *note_of(struct pipeline *pipeline, size_t slot)
{
	struct pipeline_stage *stage = stage_of(pipeline, slot);
	const struct plan_slot *plan = &pipeline->filters->slots[slot];

	if (!stage->notes)
		stage->notes = arena_alloc(
			stage->arena, pipeline->filters->n_at[plan->stage] * sizeof(*stage->notes));
	return &stage->notes[plan->index];
}

const struct fact_value *pipeline_slot(const struct pipeline *pipeline, unsigned slot)
{
	static const struct fact_value nothing = {.state = FACT_FAILED, .why = "its stage is over"};
	const struct fact_value *value = value_of(pipeline, slot);

	return value ? value : &nothing;
}

const struct filter_view *pipeline_view(const struct pipeline *pipeline)
{
	return pipeline->view;
}

struct arena *pipeline_arena(const struct call *call)
{
	return call->pipeline->stages[call->group->stage].arena;
}

void pipeline_owe(struct call *call, struct due *due)
{
	struct pipeline_stage *stage = &call->pipeline->stages[call->group->stage];

	due->next = stage->dues;
	stage->dues = due;
}

const struct due *pipeline_dues(const struct pipeline *pipeline, enum stage stage)
{
	return pipeline->stages[stage].dues;
}

static bool is_pending(const struct pipeline *pipeline, size_t slot)
{
	const struct fact_value *value = value_of(pipeline, slot);

	return value && value->state == FACT_PENDING;
}

static void enter(struct pipeline *pipeline)
{
	pipeline->depth++;
}

/* Whether there was news; for the caller to tell. */
static bool leave(struct pipeline *pipeline)
{
	bool news = pipeline->news;

	ENSURE(pipeline->depth > 0);
	if (--pipeline->depth > 0)
		return false;
	pipeline->news = false; /* what is deferred already then finds nothing to tell */
	return news;
}

/* Outside of a pipeline_ call the loop tells it. */
static void has_news(struct pipeline *pipeline)
{
	pipeline->news = true;
	if (pipeline->depth == 0)
		loop_defer(pipeline->filters->setup.loop, &pipeline->deferred);
}

/* One call is one failure, however many facts it was for; one that never ran is none. */
static void count_failure(struct call *call)
{
	if (!call->failed && call->state != CALL_HELD)
		call->filters->counts[call->group->source].failures++;
	call->failed = true;
}

static uint64_t call_us(const struct call *call)
{
	return clock_now_us(&call->filters->setup.loop->clock) - call->started_us;
}

static void settle(
	struct call *call, struct found *found, enum fact_state state, const char *why, uint64_t us)
{
	struct pipeline *pipeline = call->pipeline;
	struct fact_value *value = value_of(pipeline, found->slot);
	struct note *note = note_of(pipeline, found->slot);

	found->settled = true;
	found->known = state == FACT_KNOWN;
	ENSURE(value && value->state == FACT_PENDING && note->call == call);
	value->state = state;
	value->count = state == FACT_KNOWN ? found->count : 0;
	value->items = found->items;
	value->why = why ? arena_string(pipeline_arena(call), span_text(why)) : NULL;
	note->call = NULL;
	note->us = us + (us == 0);
	if (state == FACT_FAILED)
		count_failure(call);
	has_news(pipeline);
}

void pipeline_settle(struct call *call, struct found *found, enum fact_state state, const char *why)
{
	settle(call, found, state, why, call_us(call));
}

/* --- the end of a call --- */

static void unlink_call(struct call *call)
{
	*call->link = call->next;
	if (call->next)
		call->next->link = call->link;
	call->next = NULL;
	call->link = NULL;
}

static void count_call(const struct call *call)
{
	struct filter_count *count = &call->filters->counts[call->group->source];
	uint64_t us = call_us(call);
	size_t range = 0;

	if (call->state == CALL_HELD)
		return;
	while (us > filter_ranges[range].us)
		range++;
	count->calls++;
	count->us += us;
	count->took[range]++;
}

/* It has answered: what it has not recorded is none. */
void pipeline_done(struct call *call)
{
	uint64_t us = call_us(call); /* asked once: they may be thousands */

	for (unsigned i = 0; i < call->n_found; i++)
		if (!call->found[i].settled)
			settle(call, &call->found[i], FACT_KNOWN, NULL, us);
	count_call(call);
	unlink_call(call);
	call_release(call);
}

/* Nobody waits for it any more: its slots are as before, and it is asked to come back. */
static void let_go(struct call *call)
{
	struct pipeline *pipeline = call->pipeline;
	const struct filter *filter =
		pipeline->filters->setup.set->entries[call->group->source].filter;
	bool held = call->state == CALL_HELD;

	ENSURE(call->busy == 0);
	for (unsigned i = 0; i < call->n_found; i++)
		if (!call->found[i].settled) {
			note_of(pipeline, call->found[i].slot)->call = NULL;
			call->found[i].settled = true;
		}
	count_call(call);
	unlink_call(call);
	timer_clear(&pipeline->filters->setup.loop->timers, &call->timer);
	call->state = CALL_LEAVING;
	if (!held && filter->cancel) {
		call->busy++;
		filter->cancel(call);
		call->busy--;
	}
	call->pipeline = NULL;
	if (held || call->answered)
		call_release(call);
}

static void fail_call(struct call *call, const char *why)
{
	for (unsigned i = 0; i < call->n_found; i++)
		if (!call->found[i].settled)
			pipeline_settle(call, &call->found[i], FACT_FAILED, why);
}

static const struct filter_entry *entry_of(const struct call *call)
{
	return &call->filters->setup.set->entries[call->group->source];
}

static void on_deadline(struct timer *timer)
{
	struct call *call = CONTAINER_OF(timer, struct call, timer);
	const struct filter *filter = entry_of(call)->filter;

	call->filters->counts[call->group->source].timeouts++;
	if (filter->expired) {
		call->busy++;
		filter->expired(call);
		call->busy--;
	}
	if (call->answered) {
		pipeline_done(call);
		return;
	}
	fail_call(call, "timed out");
	let_go(call);
}

/* --- the run of a call --- */

static uint64_t timeout_of(const struct call *call)
{
	const struct filter_entry *entry = entry_of(call);

	if (entry->timeout_ms)
		return entry->timeout_ms;
	return entry->filter->timeout_ms ? entry->filter->timeout_ms
					 : call->filters->setup.timeout_ms;
}

static void set_deadline(struct call *call)
{
	call->timer.fire = on_deadline;
	timer_set(&call->filters->setup.loop->timers, &call->timer, timeout_of(call));
}

static bool is_fed(const struct call *call)
{
	return call->state == CALL_WAITING && call->group->stage >= STAGE_HEADER &&
	       entry_of(call)->filter->feed;
}

/* Hands content to a call; true: it goes on. */
static bool feed_call(struct call *call, struct span content)
{
	call->busy++;
	entry_of(call)->filter->feed(call, content);
	call->busy--;
	if (!call->answered)
		return true;
	pipeline_done(call);
	return false;
}

size_t pipeline_content(const struct pipeline *pipeline, uint64_t from,
	void (*take)(void *, struct span), void *taker)
{
	return pipeline->replay ? pipeline->replay(pipeline->context, from, take, taker) : 0;
}

static void take_replay(void *taker, struct span content)
{
	struct call *call = taker;

	if (content.len && !call->answered)
		entry_of(call)->filter->feed(call, content);
}

static void on_catch_up(struct timer *timer);

/* Some of the content that came before the call; what is left has to wait for the loop's next
 * round, or one long message would hold up all sessions. */
static void catch_up(struct call *call)
{
	struct pipeline *pipeline = call->pipeline;
	size_t size = 1, done = 0;

	while (size && done < CATCH_UP_MAX && !call->answered) {
		call->busy++;
		size = pipeline_content(pipeline, call->replayed, take_replay, call);
		call->busy--;
		call->replayed += size;
		done += size;
	}
	if (call->answered) {
		pipeline_done(call);
		return;
	}
	call->behind = size > 0;
	if (call->behind) {
		call->timer.fire = on_catch_up;
		timer_set(&pipeline->filters->setup.loop->timers, &call->timer, 0);
		return;
	}
	call->fed = pipeline->feed_round;
	if (pipeline->content == CONTENT_ENDED && feed_call(call, SPAN_NONE))
		set_deadline(call);
}

static void on_catch_up(struct timer *timer)
{
	catch_up(CONTAINER_OF(timer, struct call, timer));
}

static void run_call(struct call *call)
{
	enum call_status status;

	call->state = CALL_RUNNING;
	call->started_us = clock_now_us(&call->filters->setup.loop->clock);
	call->busy++;
	status = entry_of(call)->filter->run(call);
	call->busy--;
	if (status == CALL_DONE || call->answered) {
		pipeline_done(call);
		return;
	}
	call->state = CALL_WAITING;
	if (!is_fed(call))
		set_deadline(call);
	else if (call->pipeline->content != CONTENT_NONE)
		catch_up(call); /* how long the client takes is not the filter's fault */
}

/* --- what must be known first --- */

enum readiness { READY, NOT_YET, NEVER };

/* A field that is none, or can't be known, decides the call without the filter. */
static enum readiness field_readiness(struct call *call)
{
	const struct plan_group *group = call->group;
	const struct fact_value *field;

	if (group->field == NO_SLOT)
		return READY;
	field = value_of(call->pipeline, group->field);
	if (!field || field->state == FACT_PENDING)
		return NOT_YET;
	if (field->state == FACT_KNOWN && field->count)
		return READY;
	call->started_us = clock_now_us(&call->filters->setup.loop->clock);
	if (field->state == FACT_FAILED)
		fail_call(call, arena_print(call_arena(call), "it needs %s, which failed: %s",
					call->filters->slots[group->field].fact->name,
					field->why ? field->why : "unknown"));
	return NEVER;
}

static bool others_are_ready(const struct call *call)
{
	for (unsigned i = 0; i < call->group->n_after; i++) {
		const struct fact_value *value = value_of(call->pipeline, call->group->after[i]);

		if (!value || value->state == FACT_PENDING)
			return false;
	}
	return true;
}

/* true: the call is no longer held. */
static bool try_call(struct call *call)
{
	switch (field_readiness(call)) {
	case NOT_YET:
		return false;
	case NEVER:
		pipeline_done(call);
		return true;
	case READY:
		break;
	}
	if (!others_are_ready(call))
		return false;
	run_call(call);
	return true;
}

/* Runs held calls until none is ready: each may have been what another was held for. */
static void advance(struct pipeline *pipeline)
{
	struct call *call = pipeline->calls;

	while (call) {
		if (call->state == CALL_HELD && try_call(call))
			call = pipeline->calls; /* any of them may be gone */
		else
			call = call->next;
	}
}

static void on_deferred(struct deferred *deferred)
{
	struct pipeline *pipeline = CONTAINER_OF(deferred, struct pipeline, deferred);

	enter(pipeline);
	advance(pipeline);
	if (leave(pipeline))
		pipeline->changed(pipeline->context); /* it may free the pipeline */
}

/* --- what is wanted --- */

/* A slot, and what must be known before it. Depth: fields have none but plain facts' slots, and
 * filter_set_new has seen that nothing comes after itself. */
static void mark_wanted(struct pipeline *pipeline, size_t slot)
{
	const struct filters *filters = pipeline->filters;
	const struct plan_group *group = &filters->groups[filters->slots[slot].group];

	if (!is_pending(pipeline, slot))
		return;
	filters->wanted[slot] = true;
	if (group->field != NO_SLOT)
		mark_wanted(pipeline, group->field);
	for (unsigned i = 0; i < group->n_after; i++)
		mark_wanted(pipeline, group->after[i]);
}

/* A call that has found what it was for goes on for what comes along with that. */
static bool is_wanted(struct call *call)
{
	bool wanted = false, found_it = false, more = false;

	for (unsigned i = 0; i < call->n_found; i++) {
		struct found *found = &call->found[i];

		if (found->settled) {
			found_it |= found->asked && found->known;
		} else if (call->filters->wanted[found->slot]) {
			found->asked = wanted = true;
		} else {
			more |= call->filters->slots[found->slot].rides;
		}
	}
	return wanted || (found_it && more);
}

static void drop_unwanted(struct pipeline *pipeline)
{
	struct call *call = pipeline->calls;

	while (call) {
		if (call->state != CALL_RUNNING && !is_wanted(call)) {
			let_go(call);
			call = pipeline->calls;
		} else {
			call = call->next;
		}
	}
}

static bool is_free(struct pipeline *pipeline, size_t slot)
{
	return is_pending(pipeline, slot) && !note_of(pipeline, slot)->call;
}

/* What may come along with another is begun last, as what asks others is. */
static bool is_startable(struct pipeline *pipeline, size_t slot, bool asks)
{
	const struct filters *filters = pipeline->filters;

	return filters->wanted[slot] && is_free(pipeline, slot) &&
	       (asks || !(filters->slots[slot].rides ||
				filters->slots[slot].fact->flags & FACT_ASKS));
}

/* Whether the call that now starts for its group measures it. */
static bool joins(struct pipeline *pipeline, const struct plan_group *group, size_t slot, bool asks)
{
	const struct filters *filters = pipeline->filters;
	const struct filter *filter = filters->setup.set->entries[group->source].filter;

	return is_startable(pipeline, slot, asks) ||
	       ((filters->slots[slot].rides || filter->all_at_once) && is_free(pipeline, slot));
}

/* One call for all slots of the group that are wanted and not under way, and those that ride. */
static void start_group(struct pipeline *pipeline, const struct plan_group *group, bool asks)
{
	struct call *call;
	unsigned n = 0;

	for (unsigned i = 0; i < group->n_slots; i++)
		n += joins(pipeline, group, group->slots[i], asks);
	call = call_new(pipeline->filters, group, n);
	call->pipeline = pipeline;
	call->next = pipeline->calls;
	call->link = &pipeline->calls;
	if (call->next)
		call->next->link = &call->next;
	pipeline->calls = call;
	n = 0;
	for (unsigned i = 0; i < group->n_slots; i++) {
		if (!joins(pipeline, group, group->slots[i], asks))
			continue;
		call->found[n].asked = pipeline->filters->wanted[group->slots[i]];
		call->found[n++].slot = group->slots[i];
		note_of(pipeline, group->slots[i])->call = call;
	}
	try_call(call);
}

static void start(struct pipeline *pipeline, bool asks)
{
	const struct filters *filters = pipeline->filters;

	for (size_t i = 0; i < filters->n_slots; i++)
		if (is_startable(pipeline, i, asks))
			start_group(pipeline, &filters->groups[filters->slots[i].group], asks);
	advance(pipeline);
}

bool pipeline_want(struct pipeline *pipeline, const bool *wanted)
{
	struct filters *filters = pipeline->filters;

	enter(pipeline);
	ENSURE(pipeline->depth == 1);
	memset(filters->wanted, 0, filters->n_slots);
	for (size_t i = 0; i < filters->setup.n_slots; i++)
		if (wanted[i] && !filters->wanted[i])
			mark_wanted(pipeline, i);
	drop_unwanted(pipeline);
	start(pipeline, false);
	/* What has just become known may be all that was wanted. */
	if (!pipeline->news)
		start(pipeline, true);
	return leave(pipeline);
}

/* --- stages --- */

struct pipeline *pipeline_new(struct filters *filters, const struct filter_view *view,
	void (*changed)(void *context), void *context)
{
	struct pipeline *pipeline = memory_zeroed(sizeof(*pipeline));

	pipeline->filters = filters;
	pipeline->view = view;
	pipeline->changed = changed;
	pipeline->context = context;
	pipeline->deferred.run = on_deferred;
	return pipeline;
}

void pipeline_free(struct pipeline **pipeline)
{
	struct pipeline *freed = *pipeline;

	if (!freed)
		return;
	enter(freed);
	while (freed->calls)
		let_go(freed->calls);
	loop_undefer(freed->filters->setup.loop, &freed->deferred);
	for (size_t i = 0; freed->given && i < freed->filters->setup.n_slots; i++)
		free(freed->given[i]);
	free(freed->given);
	free(freed);
	*pipeline = NULL;
}

static void fail_absent(struct pipeline *pipeline, enum stage stage)
{
	const struct filters *filters = pipeline->filters;

	for (size_t i = 0; i < filters->n_absent; i++) {
		struct fact_value *value = value_of(pipeline, filters->absent[i]);

		if (filters->slots[filters->absent[i]].stage != stage)
			continue;
		value->state = FACT_FAILED;
		value->why = "no filter of this version measures it";
	}
}

static void give_at(struct pipeline *pipeline, size_t slot)
{
	struct fact_value *value = value_of(pipeline, slot);

	if (value)
		*value = *pipeline->given[slot];
}

void pipeline_enter(struct pipeline *pipeline, enum stage stage, struct arena *arena)
{
	static struct fact_value none;
	size_t n = pipeline->filters->n_at[stage];

	if (pipeline->stages[stage].values)
		pipeline_leave(pipeline, stage);
	pipeline->stages[stage] = (struct pipeline_stage){.arena = arena, .values = &none};
	if (!n)
		return;
	pipeline->stages[stage].values = arena_alloc(arena, n * sizeof(none));
	fail_absent(pipeline, stage);
	for (size_t i = 0; pipeline->given && i < pipeline->filters->setup.n_slots; i++)
		if (pipeline->given[i] && pipeline->filters->slots[i].stage == stage)
			give_at(pipeline, i);
}

/* Whether a call is of the stage, or looks at what was measured there. */
static bool leans_on(const struct call *call, enum stage stage)
{
	const struct plan_group *group = call->group;
	const struct plan_slot *slots = call->filters->slots;

	if (group->stage == stage ||
		(group->field != NO_SLOT && slots[group->field].stage == stage))
		return true;
	for (unsigned i = 0; i < group->n_after; i++)
		if (slots[group->after[i]].stage == stage)
			return true;
	return false;
}

static void abandon(struct pipeline *pipeline, enum stage stage)
{
	struct call *call = pipeline->calls;

	enter(pipeline);
	while (call) {
		if (leans_on(call, stage)) {
			let_go(call);
			call = pipeline->calls;
		} else {
			call = call->next;
		}
	}
	if (leave(pipeline)) /* one that was let go has answered another */
		has_news(pipeline);
}

void pipeline_leave(struct pipeline *pipeline, enum stage stage)
{
	if (!pipeline->stages[stage].values)
		return;
	abandon(pipeline, stage);
	pipeline->stages[stage] = (struct pipeline_stage){.values = NULL};
	if (stage == STAGE_MAIL || stage >= STAGE_HEADER)
		pipeline->content = CONTENT_NONE;
}

const struct fact_value *pipeline_values(const struct pipeline *pipeline, enum stage stage)
{
	return pipeline->stages[stage].values;
}

struct fact_value *pipeline_set_aside(struct pipeline *pipeline, enum stage stage)
{
	struct fact_value *values = pipeline->stages[stage].values;

	if (!values)
		return NULL;
	abandon(pipeline, stage);
	for (unsigned i = 0; i < pipeline->filters->n_at[stage]; i++) {
		if (values[i].state != FACT_PENDING)
			continue;
		values[i].state = FACT_FAILED;
		values[i].why = "it was not known when the recipient was answered";
	}
	pipeline->stages[stage] = (struct pipeline_stage){.values = NULL};
	return values;
}

void pipeline_put_back(struct pipeline *pipeline, enum stage stage, struct fact_value *values)
{
	if (pipeline->stages[stage].values)
		pipeline_leave(pipeline, stage);
	pipeline->stages[stage].values = values;
}

void pipeline_give(struct pipeline *pipeline, size_t slot, const struct fact_value *value)
{
	ENSURE(slot < pipeline->filters->setup.n_slots);
	if (!pipeline->given)
		pipeline->given = memory_zeroed(
			pipeline->filters->setup.n_slots * sizeof(struct fact_value *));
	if (!pipeline->given[slot])
		pipeline->given[slot] = memory_new(sizeof(*value));
	*pipeline->given[slot] = *value;
	if (value_of(pipeline, slot)) {
		struct note *note =
			stage_of(pipeline, slot)->arena ? note_of(pipeline, slot) : NULL;

		if (note && note->call)
			let_go(note->call);
		give_at(pipeline, slot);
	}
}

/* --- content --- */

void pipeline_replay(
	struct pipeline *pipeline, size_t (*replay)(void *context, uint64_t from,
					   void (*take)(void *, struct span), void *taker))
{
	pipeline->replay = replay;
}

bool pipeline_feed(struct pipeline *pipeline, struct span content)
{
	struct call *call;

	ENSURE(pipeline->content != CONTENT_ENDED);
	enter(pipeline);
	pipeline->feed_round++;
	pipeline->content = content.len ? CONTENT_COMES : CONTENT_ENDED;
	for (call = pipeline->calls; call;) {
		if (!is_fed(call) || call->behind || call->fed == pipeline->feed_round) {
			call = call->next;
			continue;
		}
		call->fed = pipeline->feed_round;
		if (feed_call(call, content) && !content.len)
			set_deadline(call);
		call = pipeline->calls; /* any of them may be gone */
	}
	advance(pipeline);
	return leave(pipeline);
}

bool pipeline_is_measuring(const struct pipeline *pipeline, size_t slot)
{
	const struct plan_slot *plan = &pipeline->filters->slots[slot];
	const struct note *notes = pipeline->stages[plan->stage].notes;

	return notes && notes[plan->index].call;
}

/* --- for people --- */

uint64_t pipeline_slot_us(const struct pipeline *pipeline, size_t slot)
{
	const struct plan_slot *plan = &pipeline->filters->slots[slot];
	const struct note *notes = pipeline->stages[plan->stage].notes;

	return notes ? notes[plan->index].us : 0;
}

const char *pipeline_slot_source(const struct pipeline *pipeline, size_t slot)
{
	const struct filters *filters = pipeline->filters;
	size_t source = filters->groups[filters->slots[slot].group].source;

	return filters->setup.set->entries[source].name;
}

const char *pipeline_waits_for(const struct pipeline *pipeline)
{
	for (const struct call *call = pipeline->calls; call; call = call->next)
		if (call->state == CALL_WAITING)
			return entry_of(call)->name;
	return NULL;
}

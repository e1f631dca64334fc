/*
 * call: how a filter answers. Whatever it does too late, twice or after it was let go changes
 * nothing: a call that has left its pipeline drops what it records, and one that was answered is
 * kept for a while, so that a second answer is seen and logged instead of freeing another's memory.
 * What no filter can do by bad luck, only by a mistake in its source (a fact that is not its own, a
 * value of the wrong type), is an assertion.
 */
#include "filters/set.h"

#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/mail/url.h"

enum {
	SPARE_MAX = 64,
	/* What one call may record in all, or for each of texts that are looked for together; the
	 * rest is dropped. */
	CALL_BYTES_MAX = 2 * 1024 * 1024
};

/* --- its life --- */

static void link_call(struct filters *filters, struct call *call)
{
	call->next_all = filters->under_way;
	call->link_all = &filters->under_way;
	if (call->next_all)
		call->next_all->link_all = &call->next_all;
	filters->under_way = call;
}

/* The oldest. */
static struct call *take_spare(struct filters *filters)
{
	struct call *call = filters->spare;

	filters->spare = call->next;
	filters->n_spare--;
	if (!filters->spare)
		filters->last_spare = &filters->spare;
	return call;
}

struct call *call_new(struct filters *filters, const struct plan_group *group, unsigned n_found)
{
	struct call *call;

	call = filters->n_spare < SPARE_MAX ? memory_new(sizeof(*call)) : take_spare(filters);
	*call = (struct call){.state = CALL_HELD,
		.filters = filters,
		.group = group,
		.found = memory_zeroed(n_found * sizeof(struct found)),
		.n_found = n_found};
	link_call(filters, call);
	return call;
}

void call_release(struct call *call)
{
	struct filters *filters = call->filters;

	timer_clear(&filters->setup.loop->timers, &call->timer);
	*call->link_all = call->next_all;
	if (call->next_all)
		call->next_all->link_all = call->link_all;
	free(call->found);
	arena_free(&call->arena);
	call->found = NULL;
	call->n_found = 0;
	call->own = NULL;
	call->pipeline = NULL;
	call->state = CALL_GONE;
	call->next = NULL;
	*filters->last_spare = call;
	filters->last_spare = &call->next;
	filters->n_spare++;
	if (filters->n_spare > SPARE_MAX)
		free(take_spare(filters));
	if (filters->closing && !filters->under_way)
		filters_release(filters);
}

static const struct filter_entry *entry_of(const struct call *call)
{
	return &call->filters->setup.set->entries[call->group->source];
}

void call_done(struct call *call)
{
	struct filter_count *count = &call->filters->counts[call->group->source];

	if (call->state == CALL_GONE || call->answered) {
		if (count->bugs++ == 0)
			log_event(call->filters->setup.log, LOG_ERROR, "filter_bug", SPAN_NONE,
				"filter %s says twice that it is done: this is a mistake in the "
				"filter",
				entry_of(call)->name);
		return;
	}
	if (call->busy) { /* whoever is within the filter sees to it */
		call->answered = true;
		return;
	}
	if (call->pipeline)
		pipeline_done(call);
	else
		call_release(call);
}

/* --- what it may look at --- */

uint64_t filter_number(const struct filter_home *home, unsigned option)
{
	const struct filter_entry *entry = home->private;

	return entry->values[option].number;
}

const char *filter_text(const struct filter_home *home, unsigned option)
{
	const struct filter_entry *entry = home->private;

	return entry->values[option].text;
}

const struct filter_view *call_view(const struct call *call)
{
	static const struct filter_view nothing = {.listener = ""};

	return call->pipeline ? pipeline_view(call->pipeline) : &nothing;
}

struct filter_home *call_home(const struct call *call)
{
	return &call->filters->homes[call->group->source];
}

const char *call_text(const struct call *call)
{
	return call->group->text;
}

static const struct fact_value gone = {.state = FACT_FAILED, .why = "the call was cancelled"};

const struct fact_value *call_field(const struct call *call)
{
	if (call->group->field == NO_SLOT)
		return NULL;
	return call->pipeline ? pipeline_slot(call->pipeline, (unsigned)call->group->field) : &gone;
}

const struct fact *call_field_fact(const struct call *call)
{
	if (call->group->field == NO_SLOT)
		return NULL;
	return call->filters->slots[call->group->field].fact;
}

const struct ip_range *call_codes(const struct call *call, size_t *n)
{
	*n = call->group->n_codes;
	return call->group->codes;
}

uint64_t call_window_ms(const struct call *call)
{
	return call->group->window_ms;
}

const struct fact_value *call_other(const struct call *call, const char *name)
{
	const struct plan_group *group = call->group;

	if (!call->pipeline)
		return &gone;
	for (unsigned i = 0; i < group->n_after; i++)
		if (strcmp(call->filters->slots[group->after[i]].fact->name, name) == 0)
			return pipeline_slot(call->pipeline, group->after[i]);
	return NULL;
}

size_t call_content(const struct call *call, uint64_t from,
	void (*take)(void *taker, struct span piece), void *taker)
{
	return call->pipeline ? pipeline_content(call->pipeline, from, take, taker) : 0;
}

/* --- its memory --- */

struct arena *call_arena(struct call *call)
{
	if (!call->arena)
		call->arena = arena_new(512);
	return call->arena;
}

void *call_memory(struct call *call, size_t size_bytes)
{
	return arena_alloc(call_arena(call), size_bytes);
}

struct span call_copy(struct call *call, struct span text)
{
	return arena_span(call_arena(call), text);
}

void call_keep(struct call *call, void *own)
{
	call->own = own;
}

void *call_own(const struct call *call)
{
	return call->own;
}

/* --- what it has found --- */

static const struct fact *fact_at(const struct call *call, unsigned fact)
{
	return &entry_of(call)->facts[fact];
}

/* NULL: no rule reads it, or nobody waits for the call. */
static struct found *find_found(const struct call *call, unsigned fact)
{
	unsigned n = call->group->together && call->n_found ? 1 : call->n_found; /* all alike */

	for (unsigned i = 0; i < n; i++)
		if (call->filters->slots[call->found[i].slot].fact_index == fact)
			return &call->found[i];
	return NULL;
}

/* Of a call for many texts that of this one; found[] is in their order. */
static struct found *find_found_of(const struct call *call, unsigned fact, struct span of)
{
	unsigned low = 0, high = call->n_found;

	if (!call->group->together || !find_found(call, fact))
		return NULL;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		struct found *found = &call->found[middle];
		int order = text_compare(of, call->filters->slots[found->slot].text);

		if (order == 0)
			return found;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

bool call_wants(const struct call *call, unsigned fact)
{
	return call->pipeline && find_found(call, fact);
}

/* Where one more value goes; NULL: it is dropped. */
static union fact_datum *add_item(struct call *call, struct found *found)
{
	union fact_datum *items;

	if (!call->pipeline || !found || found->settled || found->count == FACT_ITEMS_MAX)
		return NULL;
	if (found->count == found->capacity) {
		found->capacity = found->capacity ? found->capacity * 2 : 1;
		items = arena_alloc(pipeline_arena(call), found->capacity * sizeof(*items));
		if (found->count)
			memcpy(items, found->items, found->count * sizeof(*items));
		found->items = items;
	}
	return &found->items[found->count++];
}

bool call_wants_of(const struct call *call, unsigned fact, struct span of)
{
	return call->pipeline && find_found_of(call, fact, of);
}

/* A fact with one value is known as soon as that is there. */
static void add_to(struct call *call, unsigned fact, struct found *found, union fact_datum datum)
{
	union fact_datum *item = add_item(call, found);

	if (!item)
		return;
	*item = datum;
	if (!(fact_at(call, fact)->flags & FACT_MANY))
		pipeline_settle(call, found, FACT_KNOWN, NULL);
}

static void add(struct call *call, unsigned fact, union fact_datum datum)
{
	add_to(call, fact, find_found(call, fact), datum);
}

void call_add_bool(struct call *call, unsigned fact, bool yes)
{
	ENSURE(fact_at(call, fact)->type == TYPE_BOOL);
	add(call, fact, (union fact_datum){.yes = yes});
}

void call_add_number(struct call *call, unsigned fact, double number)
{
	enum fact_type type = fact_at(call, fact)->type;

	ENSURE(type == TYPE_NUMBER || type == TYPE_SIZE);
	add(call, fact, (union fact_datum){.number = number});
}

void call_add_choice(struct call *call, unsigned fact, unsigned choice)
{
	const struct fact *of = fact_at(call, fact);

	ENSURE(of->type == TYPE_CHOICE);
	for (unsigned i = 0; i <= choice; i++)
		ENSURE(of->choices[i].word);
	add(call, fact, (union fact_datum){.choice = choice});
}

void call_add_ip(struct call *call, unsigned fact, const struct ip *ip)
{
	ENSURE(fact_at(call, fact)->type == TYPE_IP);
	add(call, fact, (union fact_datum){.ip = *ip});
}

/* A copy where the values are; domains in lower case and ASCII, so that they are one wherever they
 * are keys. */
static struct span keep_text(struct call *call, enum fact_type type, struct span text)
{
	char *copy;

	/* One that can't be written in ASCII stays, and is equal to none that rules can name. */
	(void)!fact_text_ascii(type, host_ascii, &text, pipeline_arena(call));
	copy = arena_string(pipeline_arena(call), text);
	for (size_t i = 0; type == TYPE_DOMAIN && i < text.len; i++)
		copy[i] = ascii_lower(copy[i]);
	return span_make(copy, text.len);
}

static void add_text(struct call *call, unsigned fact, struct found *found, struct span text)
{
	enum fact_type type = fact_at(call, fact)->type;
	uint32_t *spent;

	ENSURE(type == TYPE_TEXT || type == TYPE_DOMAIN || type == TYPE_MAIL);
	if (!call->pipeline || !found || found->settled)
		return;
	if (text.len == 0 && type != TYPE_MAIL) /* an empty text is none, <> is an address */
		return;
	spent = call->group->together ? &found->text_bytes : &call->text_bytes;
	if (text.len > CALL_BYTES_MAX - *spent)
		return;
	*spent += (uint32_t)text.len;
	add_to(call, fact, found, (union fact_datum){.text = keep_text(call, type, text)});
}

void call_add_text(struct call *call, unsigned fact, struct span text)
{
	ENSURE(!(fact_at(call, fact)->flags & FACT_TOGETHER));
	add_text(call, fact, find_found(call, fact), text);
}

void call_add_text_of(struct call *call, unsigned fact, struct span of, struct span text)
{
	ENSURE(fact_at(call, fact)->flags & FACT_TOGETHER);
	add_text(call, fact, find_found_of(call, fact, of), text);
}

static void settle_all(struct call *call, enum fact_state state, const char *why)
{
	for (unsigned i = 0; call->pipeline && i < call->n_found; i++)
		if (!call->found[i].settled)
			pipeline_settle(call, &call->found[i], state, why);
}

/* The slots of one fact. */
static void settle(struct call *call, unsigned fact, enum fact_state state, const char *why)
{
	struct found *found = find_found(call, fact);

	if (found && call->group->together)
		settle_all(call, state, why);
	else if (call->pipeline && found && !found->settled)
		pipeline_settle(call, found, state, why);
}

void call_settle(struct call *call, unsigned fact)
{
	settle(call, fact, FACT_KNOWN, NULL);
}

void call_fail(struct call *call, unsigned fact, const char *why)
{
	settle(call, fact, FACT_FAILED, why);
}

void call_fail_all(struct call *call, const char *why)
{
	settle_all(call, FACT_FAILED, why);
}

void call_lack(struct call *call, unsigned fact, const char *why)
{
	call->failed = true; /* counted as if it had been already */
	call_fail(call, fact, why);
}

/* --- what it owes --- */

void call_owe(struct call *call, const struct due *due)
{
	struct arena *arena;
	struct due *kept;

	ENSURE(due->n_parts <= DUE_PARTS_MAX);
	if (!call->pipeline)
		return;
	arena = pipeline_arena(call);
	kept = arena_alloc(arena, sizeof(*kept));
	*kept = *due;
	for (size_t i = 0; i < due->n_parts; i++)
		kept->parts[i] = arena_span(arena, due->parts[i]);
	pipeline_owe(call, kept);
}

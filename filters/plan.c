/*
 * plan: what a worker works out once, so that a session looks nothing up: which slots one call of a
 * filter can fill together, and which slots must be known first. Facts that a filter comes `after`
 * get slots of their own behind those of the rules, unless a rule reads them too.
 */
#include <stdlib.h>

#include "lib/base/fail.h"
#include "filters/set.h"
#include "lib/mail/mime_decode.h"

enum { LOOK_BACK = 64 };

/* Of one filter, while the plan is made: see known_group. */
struct known_groups {
	unsigned plain[STAGE_COUNT];
	unsigned together[FACTS_MAX];
};

static const struct filter_entry *entry_of(const struct filters *filters, size_t source)
{
	return &filters->setup.set->entries[source];
}

static unsigned fact_index(const struct filter_entry *entry, const struct fact *fact)
{
	size_t index = (size_t)(fact - entry->facts);

	ENSURE(index < FACTS_MAX && entry->facts[index].name == fact->name);
	return (unsigned)index;
}

/* --- groups --- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool group_holds(
	const struct filters *filters, const struct plan_group *group, const struct fact *fact)
{
	for (unsigned i = 0; i < group->n_slots; i++)
		if (filters->slots[group->slots[i]].fact == fact)
			return true;
	return false;
}

static bool group_fits(const struct filters *filters, const struct plan_group *group,
	const struct filter_slot *slot, size_t field)
{
	return group->source == slot->source && group->stage == slot->stage &&
	       group->field == field && same_text(group->text, slot->text) &&
	       group->codes == slot->codes && group->n_codes == slot->n_codes &&
	       group->window_ms == slot->window_ms && !group_holds(filters, group, slot->fact);
}

/* Slots that need no search for their group: those without parameters, of each filter and stage,
 * and those of one fact whose texts are looked for together. Number of the group plus one, 0: none
 * yet. NULL: the slot is of neither kind. */
static unsigned *known_group(const struct filters *filters, const struct filter_slot *slot,
	size_t field, struct known_groups *known)
{
	struct known_groups *of = &known[slot->source];

	if (slot->fact->flags & FACT_TOGETHER)
		return &of->together[fact_index(entry_of(filters, slot->source), slot->fact)];
	if (slot->text || field != NO_SLOT || slot->n_codes || slot->window_ms)
		return NULL;
	return &of->plain[slot->stage];
}

/* Other slots with parameters may be many and seldom have company, so those are looked for among
 * the latest groups only. */
static unsigned find_group(struct filters *filters, const struct filter_slot *slot, size_t field,
	struct known_groups *known)
{
	bool together = slot->fact->flags & FACT_TOGETHER;
	unsigned *place = known_group(filters, slot, field, known);
	size_t n = filters->n_groups;

	if (place && *place)
		return *place - 1;
	for (size_t i = n > LOOK_BACK ? n - LOOK_BACK : 0; !place && i < n; i++)
		if (group_fits(filters, &filters->groups[i], slot, field))
			return (unsigned)i;
	filters->groups[filters->n_groups] = (struct plan_group){.source = slot->source,
		.together = together,
		.text = together ? NULL : slot->text,
		.field = field,
		.codes = slot->codes,
		.n_codes = slot->n_codes,
		.window_ms = slot->window_ms,
		.stage = slot->stage};
	filters->n_groups++;
	if (place)
		*place = (unsigned)filters->n_groups;
	return (unsigned)filters->n_groups - 1;
}

static void add_slot(
	struct filters *filters, const struct filter_slot *slot, struct known_groups *known)
{
	const struct filter_entry *entry = entry_of(filters, slot->source);
	size_t field = NO_SLOT, number = filters->n_slots++;
	struct plan_group *group;
	unsigned *grown;

	if (slot->field) {
		field = (size_t)(slot->field - filters->setup.slots);
		ENSURE(field < filters->setup.n_slots);
	}
	filters->slots[number] = (struct plan_slot){.fact = slot->fact,
		.text = slot->text ? span_text(slot->text) : SPAN_NONE,
		.fact_index = fact_index(entry, slot->fact),
		.group = find_group(filters, slot, field, known),
		.index = slot->index,
		.stage = slot->stage,
		.rides = slot->rides};
	if (slot->fact->flags & FACT_ABSENT)
		filters->absent[filters->n_absent++] = (unsigned)number;
	if (slot->index >= filters->n_at[slot->stage])
		filters->n_at[slot->stage] = slot->index + 1;
	group = &filters->groups[filters->slots[number].group];
	if ((group->n_slots & (group->n_slots - 1)) == 0) { /* full at each power of two */
		grown = arena_alloc(
			filters->arena, (group->n_slots ? group->n_slots * 2 : 1) * sizeof(*grown));
		if (group->n_slots)
			memcpy(grown, group->slots, group->n_slots * sizeof(*grown));
		group->slots = grown;
	}
	group->slots[group->n_slots++] = (unsigned)number;
}

/* --- texts that are looked for together --- */

int text_compare(struct span a, struct span b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	for (size_t i = 0; i < a.len; i++) {
		int order = ascii_lower(a.at[i]) - ascii_lower(b.at[i]);

		if (order)
			return order;
	}
	return 0;
}

static int slot_compare(const void *a, const void *b, void *context)
{
	const struct filters *filters = context;

	return text_compare(filters->slots[*(const unsigned *)a].text,
		filters->slots[*(const unsigned *)b].text);
}

static void order_slots(struct filters *filters, struct plan_group *group)
{
	qsort_r(group->slots, group->n_slots, sizeof(*group->slots), slot_compare, filters);
	/* policy makes one slot of what is written twice; a value would reach one of two */
	for (unsigned i = 1; i < group->n_slots; i++)
		ENSURE(slot_compare(&group->slots[i - 1], &group->slots[i], filters) != 0);
}

/* --- what comes first --- */

static const struct fact *find_fact(const struct filter_set *set, const char *name, size_t *source)
{
	for (*source = 0; *source < set->n; (*source)++)
		for (const struct fact *f = set->entries[*source].facts; f->name; f++)
			if (strcmp(f->name, name) == 0)
				return f;
	return NULL;
}

/* The slot of a fact without parameters, made if no rule reads it. */
static unsigned slot_of(struct filters *filters, const char *name, struct known_groups *known)
{
	struct filter_slot slot = {.text = NULL};
	size_t source;

	slot.fact = find_fact(filters->setup.set, name, &source);
	ENSURE(slot.fact); /* filter_set_new has seen to it */
	for (size_t i = 0; i < filters->n_slots; i++)
		if (filters->slots[i].fact == slot.fact)
			return (unsigned)i;
	slot.source = source;
	slot.stage = slot.fact->stage;
	slot.index = filters->n_at[slot.stage];
	add_slot(filters, &slot, known);
	return (unsigned)filters->n_slots - 1;
}

/* A call can't come after what is measured at a later stage than its own; what the same filter
 * measures must be of an earlier one. */
static bool comes_after(
	const struct filters *filters, const struct plan_group *group, const char *name)
{
	size_t source;
	enum stage stage = find_fact(filters->setup.set, name, &source)->stage;

	return stage < group->stage || (stage == group->stage && source != group->source);
}

static void plan_after(struct filters *filters, size_t number, struct known_groups *known)
{
	const struct filter *filter = entry_of(filters, filters->groups[number].source)->filter;
	const char *const *after = filter ? filter->after : NULL;
	unsigned n = 0, *slots;

	while (after && after[n])
		n++;
	if (!n)
		return;
	slots = arena_alloc(filters->arena, n * sizeof(*slots));
	for (n = 0; *after; after++)
		if (comes_after(filters, &filters->groups[number], *after))
			slots[n++] = slot_of(filters, *after, known);
	filters->groups[number].after = slots;
	filters->groups[number].n_after = n;
}

/* The filter of a slot that may be wanted, and those that it comes after. What these are asked for
 * rides, or the same would be measured twice: once for a rule, once for who comes after. */
static void mark_used(struct filters *filters, unsigned slot)
{
	const struct plan_group *group = &filters->groups[filters->slots[slot].group];

	filters->used[group->source] = true;
	for (unsigned i = 0; i < group->n_after; i++) {
		filters->slots[group->after[i]].rides = true;
		mark_used(filters, group->after[i]);
	}
}

/* Slots that `after` can add at most. */
static size_t count_after(const struct filter_set *set)
{
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++) {
		const char *const *after =
			set->entries[i].filter ? set->entries[i].filter->after : NULL;

		for (; after && *after; after++)
			n++;
	}
	return n;
}

static void make_plan(struct filters *filters)
{
	const struct filters_setup *setup = &filters->setup;
	size_t most = setup->n_slots + count_after(setup->set);
	struct known_groups *known = memory_zeroed(setup->set->n * sizeof(*known));

	filters->slots = arena_alloc(filters->arena, most * sizeof(*filters->slots));
	filters->groups = arena_alloc(filters->arena, most * sizeof(*filters->groups));
	filters->absent = arena_alloc(filters->arena, most * sizeof(*filters->absent));
	filters->wanted = arena_alloc(filters->arena, most);
	for (size_t i = 0; i < setup->n_slots; i++)
		add_slot(filters, &setup->slots[i], known);
	for (size_t i = 0; i < filters->n_groups; i++) /* grows while it runs */
		plan_after(filters, i, known);
	free(known);
	for (size_t i = 0; i < setup->n_slots; i++)
		if (!setup->slots[i].idle)
			mark_used(filters, (unsigned)i);
	for (size_t i = 0; i < filters->n_groups; i++)
		if (filters->groups[i].together)
			order_slots(filters, &filters->groups[i]);
}

/* --- filters at work --- */

struct charsets *filter_charsets(struct filter_home *home)
{
	if (!home->filters->charsets)
		home->filters->charsets = charsets_new();
	return home->filters->charsets;
}

static void close_homes(struct filters *filters, size_t n)
{
	while (n--) {
		const struct filter *filter = entry_of(filters, n)->filter;

		if (filter && filters->used[n] && filter->close)
			filter->close(&filters->homes[n]);
	}
	charsets_free(&filters->charsets);
}

static bool open_homes(struct filters *filters, struct err *err)
{
	const struct filters_setup *setup = &filters->setup;

	for (size_t i = 0; i < setup->set->n; i++) {
		const struct filter *filter = entry_of(filters, i)->filter;

		filters->homes[i] = (struct filter_home){.loop = setup->loop,
			.dns = setup->dns,
			.authn = setup->authn,
			.store = setup->store,
			.log = setup->log,
			.hostname = setup->hostname,
			.private = &setup->set->entries[i],
			.filters = filters};
		if (!filter || !filters->used[i] || !filter->open)
			continue;
		if (!filter->open(&filters->homes[i], err)) {
			close_homes(filters, i);
			return false;
		}
	}
	return true;
}

struct filters *filters_open(const struct filters_setup *setup, struct err *err)
{
	struct arena *arena = arena_new(4096);
	struct filters *filters = arena_alloc(arena, sizeof(*filters));

	filters->arena = arena;
	filters->setup = *setup;
	filters->last_spare = &filters->spare;
	filters->homes = arena_alloc(arena, setup->set->n * sizeof(*filters->homes));
	filters->counts = arena_alloc(arena, setup->set->n * sizeof(*filters->counts));
	filters->used = arena_alloc(arena, setup->set->n);
	make_plan(filters);
	if (!open_homes(filters, err)) {
		arena_free(&arena);
		return NULL;
	}
	return filters;
}

void filters_release(struct filters *filters)
{
	struct arena *arena = filters->arena;

	for (struct call *call = filters->spare, *next; call; call = next) {
		next = call->next;
		free(call);
	}
	close_homes(filters, filters->setup.set->n);
	arena_free(&arena);
}

void filters_close(struct filters **filters)
{
	struct filters *closing = *filters;

	if (!closing)
		return;
	*filters = NULL;
	closing->closing = true;
	if (!closing->under_way)
		filters_release(closing);
}

bool filters_quiet(const struct filters *filters)
{
	return !filters->under_way;
}

/* --- what they did --- */

const struct filter_range filter_ranges[FILTER_RANGES] = {{"1ms", 1000}, {"5ms", 5000},
	{"25ms", 25 * 1000}, {"100ms", 100 * 1000}, {"500ms", 500 * 1000}, {"2s", 2000 * 1000},
	{"10s", 10 * 1000 * 1000}, {"more", UINT64_MAX}};

static void write_count(const struct filter_count *count, struct record *r)
{
	record_number(r, "calls", (int64_t)count->calls);
	record_number(r, "failures", (int64_t)count->failures);
	record_number(r, "timeouts", (int64_t)count->timeouts);
	record_number(r, "us", (int64_t)count->us);
	record_open(r, "took");
	for (size_t i = 0; i < FILTER_RANGES; i++)
		record_number(r, filter_ranges[i].name, (int64_t)count->took[i]);
	record_close(r);
}

void filters_status(const struct filters *filters, struct record *r)
{
	record_open(r, "filters");
	for (size_t i = 0; i < filters->setup.set->n; i++) {
		const struct filter_entry *entry = entry_of(filters, i);

		if (!filters->used[i] || !entry->filter)
			continue;
		record_open(r, entry->name);
		write_count(&filters->counts[i], r);
		if (entry->filter->status)
			entry->filter->status(&filters->homes[i], r);
		record_close(r);
	}
	record_close(r);
}

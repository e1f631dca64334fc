/*
 * set: private to this folder: what pipeline.h keeps closed. A set is all filters with their
 * options, judged; `filters` is a set at work in a worker, with a plan of the calls that its slots
 * ask for.
 */
#ifndef FILTERS_SET_H
#define FILTERS_SET_H

#include "filters/due.h"
#include "filters/pipeline.h"

/* --- set.c, options.c: of a configuration --- */

enum { FACTS_MAX = 64 }; /* of one filter */

union option_value {
	uint64_t number;
	const char *text; /* NULL: not set */
};

/* A filter with its options; its index is that of its source in the registry. */
struct filter_entry {
	const struct filter *filter; /* NULL: facts that no filter of this version measures */
	const char *name;
	const struct fact *facts;
	uint64_t timeout_ms;        /* 0: not said */
	union option_value *values; /* as filter->options */
	void *object;               /* of dlopen; NULL */
	size_t wrong;               /* the token of its options that is a mistake, from 1 */
};

struct filter_set {
	struct arena *arena; /* owned; holds this struct too */
	struct filter_entry *entries;
	size_t n;
	struct fact_source *sources;
	struct fact_registry registry;
	struct filter_mistake mistake; /* while it is filled */
};

/* The program's own, made by CMake; ends with NULL. */
extern const struct filter *const filter_registry[];
extern const struct fact absent_facts[];

/* filter_set_new with other filters than the program's own: for tests. */
struct filter_set *filter_set_of(const struct filter *const *own, const struct filter_given *given,
	size_t n, const char *folder, struct err *err);

/* Reads `given` into entry->values, which are the fallbacks before. */
bool filter_options_read(struct filter_entry *entry, const struct filter_given *given,
	const char *folder, struct arena *arena, struct err *err) MUST_CHECK;

/* The fallbacks of the table. */
bool filter_options_default(
	struct filter_entry *entry, struct arena *arena, struct err *err) MUST_CHECK;

/* What `load` says; NULL: nothing does. */
const char *filter_options_load(
	const struct filter_given *given, const char *folder, struct arena *arena);

/* --- plan.c: of a worker --- */

/* The order of names: shorter ones first, without case. */
int text_compare(struct span a, struct span b);

/* The slots that one call can fill: of one filter, with the same parameters, at the same stage. */
struct plan_group {
	size_t source;
	const char *text; /* NULL: none, or those of its slots */
	size_t field;     /* slot; NO_SLOT */
	const struct ip_range *codes;
	size_t n_codes;
	uint64_t window_ms;
	enum stage stage;
	bool together; /* of one fact with FACT_TOGETHER, and text is NULL: a slot for each text */
	unsigned *slots; /* at most one for each fact; together: in the order of text_compare */
	unsigned n_slots;
	unsigned *after; /* slots to be known first, of this stage or earlier ones */
	unsigned n_after;
};

#define NO_SLOT SIZE_MAX

struct plan_slot {
	const struct fact *fact;
	struct span text;    /* empty: none */
	unsigned fact_index; /* in the filter's own table */
	unsigned group;
	unsigned index; /* within the stage */
	enum stage stage;
	bool rides;
};

struct filter_count {
	uint64_t calls, failures, timeouts, us, bugs;
	uint64_t took[FILTER_RANGES];
};

struct filters {
	struct filters_setup setup;
	struct arena *arena; /* owned; holds this struct too */
	struct filter_home *homes;
	struct filter_count *counts;
	bool *used;                /* of each filter: it may be run; only those are opened */
	struct charsets *charsets; /* owned; NULL until one asks */
	struct plan_slot *slots;   /* those of the setup, then what `after` adds */
	size_t n_slots;
	unsigned n_at[STAGE_COUNT];
	struct plan_group *groups;
	size_t n_groups;
	unsigned *absent; /* slots that no filter fills */
	size_t n_absent;
	bool *wanted;           /* scratch of pipeline_want, a mark for each slot */
	struct call *under_way; /* every call that has not answered */
	struct call *spare;     /* calls that were answered, oldest first; kept for a while so that
				   one which is answered twice is seen */
	struct call **last_spare;
	unsigned n_spare;
	bool closing;
};

void filters_release(struct filters *filters); /* closing, and the last call has answered */

/* --- call.c: the inner side of call.h --- */

enum call_state {
	CALL_HELD,    /* its field or what it comes after is not known yet */
	CALL_RUNNING, /* within run */
	CALL_WAITING, /* run said CALL_WAIT */
	CALL_LEAVING, /* nobody waits for it any more; call_done is still to come */
	CALL_GONE     /* answered */
};

/* Of a slot that a call fills: what it has found so far. */
struct found {
	unsigned slot;
	bool settled; /* known or failed: what still comes is dropped */
	bool known;   /* settled so */
	bool asked;   /* it was wanted, and does not only come along */
	uint32_t count, capacity;
	uint32_t text_bytes;     /* of all items, as far as they count against a limit of its own */
	union fact_datum *items; /* in the stage's arena */
};

struct call {
	enum call_state state;
	unsigned busy; /* within run, feed or cancel: freed by them */
	bool answered; /* call_done was called while busy */
	bool failed;   /* counted as such */
	struct filters *filters;
	const struct plan_group *group;
	struct pipeline *pipeline; /* NULL once it has left */
	struct call *next, **link; /* in the pipeline */
	struct call *next_all, **link_all;
	struct timer timer;
	uint64_t started_us;
	struct arena *arena; /* owned, NULL until call_memory */
	void *own;
	struct found *found; /* owned; as many as n_found */
	unsigned n_found;
	unsigned fed;      /* the last pipeline->feed_round that it saw */
	bool behind;       /* it has not seen all that came before it began */
	uint64_t replayed; /* bytes of that which it has seen */
	uint32_t text_bytes;
};

struct call *call_new(struct filters *filters, const struct plan_group *group, unsigned n_found);
void call_release(struct call *call); /* GONE, and kept as spare */

/* --- pipeline.c, for call.c --- */

/* The slot is known or failed now. */
void pipeline_settle(
	struct call *call, struct found *found, enum fact_state state, const char *why);
void pipeline_owe(struct call *call, struct due *due); /* in the stage's arena */
struct arena *pipeline_arena(const struct call *call);
const struct fact_value *pipeline_slot(const struct pipeline *pipeline, unsigned slot);
const struct filter_view *pipeline_view(const struct pipeline *pipeline);
size_t pipeline_content(const struct pipeline *pipeline, uint64_t from,
	void (*take)(void *, struct span), void *taker);
void pipeline_done(struct call *call);

#endif

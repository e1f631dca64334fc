/*
 * pipeline: runs filters for a session, on demand: the evaluator says which slots it wants, the
 * pipeline finds who measures them, starts those calls side by side, keeps their deadlines and
 * order, and stores what they find where the evaluator reads it. It knows facts and slots, no rule.
 *
 *     a call:  (wanted) --run--> DONE --> slots known, none or failed
 *                          |---> WAITING --call_done--> DONE
 *                          |        |--deadline, no longer wanted--> LEAVING --call_done--> (freed)
 *                          +-- `after` or the field still unknown: HELD, run later
 *
 * Values live in the stage's arena, which the session owns and gives back: pipeline_leave first.
 */
#ifndef FILTERS_PIPELINE_H
#define FILTERS_PIPELINE_H

#include "filters/filter.h"
#include "policy/facts.h"

/* --- the filters that there are: needed to judge rules --- */

/* A `filter NAME { options }` of postern.conf. */
struct filter_given {
	const char *name;
	const char *options; /* what stands between the braces, one blank between tokens */
};

struct filter_set;

/* Every filter of the program, and those loaded from shared objects (`load "x.so"`); options are
 * judged here. folder: where relative paths start. NULL: err tells one mistake (call again when it
 * is mended). */
struct filter_set *filter_set_new(
	const struct filter_given *given, size_t n, const char *folder, struct err *err);

/* Where a mistake stands. */
struct filter_mistake {
	size_t block; /* among `given`; SIZE_MAX: in none */
	size_t token; /* of its options, from 1; 0: the block as a whole */
};

/* As filter_set_new; *at is set when it fails. */
struct filter_set *filter_set_judge(const struct filter_given *given, size_t n, const char *folder,
	struct filter_mistake *at, struct err *err);

void filter_set_free(struct filter_set **set);
const struct fact_registry *filter_set_registry(const struct filter_set *set);

/* For the manual: filters by index, NULL behind the last; the options that each has besides its
 * own, which end with a NULL name; and what an option's value is: "a duration such as 30s". */
const struct filter *filter_set_filter(const struct filter_set *set, size_t index);
extern const struct filter_option filter_common_options[];
const char *filter_option_expects(const struct filter_option *option);

/* What it is when it is not given; NULL: nothing. In the arena or static. */
const char *filter_option_fallback(const struct filter_option *option, struct arena *arena);

/* --- of a worker --- */

struct filters;

/* A slot to be filled, as policy numbers them; see struct slot in policy/rules.h. */
struct filter_slot {
	size_t source; /* in the registry */
	const struct fact *fact;
	const char *text;
	const struct filter_slot *field;
	const struct ip_range *codes;
	size_t n_codes;
	uint64_t window_ms;
	enum stage stage;
	unsigned index; /* within the stage */
	bool rides;     /* comes along with any call of its filter at that stage */
	bool idle;      /* only so: it is never wanted by itself */
};

struct filters_setup {
	struct filter_set *set; /* borrowed, as loop, until the last call has answered */
	struct loop *loop;
	struct dns *dns;
	struct authn *authn; /* NULL: there is none */
	struct store *store; /* NULL: nothing is remembered */
	struct log *log;
	const char *hostname;
	uint64_t timeout_ms; /* of a filter that has none of its own, and is given none */
	/* Borrowed, with all that they point to; `field` points into it. */
	const struct filter_slot *slots;
	size_t n_slots;
};

struct filters *filters_open(const struct filters_setup *setup, struct err *err);

/* No pipeline is left. If calls that were let go have not answered yet, the memory goes with the
 * last of them: turn the loop until filters_quiet before. Sets the pointer to NULL. */
void filters_close(struct filters **filters);
bool filters_quiet(const struct filters *filters);

/* How long calls took is counted in ranges: those up to `us`, the last one without an end. */
enum { FILTER_RANGES = 8 };
extern const struct filter_range {
	const char *name; /* "25ms"; the last one "more" */
	uint64_t us;
} filter_ranges[FILTER_RANGES];

/* Numbers for `postern status` and metrics, as a member "filters" of the open object: of each
 * filter that rules use, by its name, the calls, how many failed (with them those that timed out),
 * microseconds in all, how many calls in each range, and what the filter itself has to say. A call
 * under way is none yet. */
void filters_status(const struct filters *filters, struct record *r);

/* --- of a session --- */

struct pipeline;

/* view: borrowed, the session keeps it up to date. changed: a slot has become known or failed; from
 * the loop, never from within a pipeline_ call. */
struct pipeline *pipeline_new(struct filters *filters, const struct filter_view *view,
	void (*changed)(void *context), void *context);
void pipeline_free(struct pipeline **pipeline); /* calls under way are abandoned */

/* A stage is reached: its slots can be filled from now on, and are pending. The arena is borrowed
 * until pipeline_leave. Entering a stage anew leaves it first. */
void pipeline_enter(struct pipeline *pipeline, enum stage stage, struct arena *arena);

/* What was measured at this stage is void, calls under way are abandoned. */
void pipeline_leave(struct pipeline *pipeline, enum stage stage);

/* The slots of a stage, by index; NULL before it is entered. Valid until it is left. */
const struct fact_value *pipeline_values(const struct pipeline *pipeline, enum stage stage);

/* A recipient's slots are put aside and, for another look, put back (as pipeline_enter for the
 * stage RCPT does with new ones). Pending ones of a recipient that is put aside are failed. */
struct fact_value *pipeline_set_aside(struct pipeline *pipeline, enum stage stage);
void pipeline_put_back(struct pipeline *pipeline, enum stage stage, struct fact_value *values);

/* Exactly these slots are wanted now (by number, in `slots` of the setup): what is not under way is
 * started if its stage has been entered, what is under way for none of them is cancelled. true:
 * some slot became known or failed within this call; what others must be asked for (FACT_ASKS) is
 * then not begun: say anew what is wanted. What rides on a call that has found what was wanted of
 * it is not cancelled. */
bool pipeline_want(struct pipeline *pipeline, const bool *wanted) MUST_CHECK;

/* What calls of a stage owe so far (due.h), NULL: nothing. It lies where the stage's values do. */
struct due;
const struct due *pipeline_dues(const struct pipeline *pipeline, enum stage stage);

/* Whether a call is under way that may still fill this slot. */
bool pipeline_is_measuring(const struct pipeline *pipeline, size_t slot);

/* Given from outside (`--fact`): the slot has this value, whenever its stage is entered, and is not
 * measured. What the value points to is borrowed. */
void pipeline_give(struct pipeline *pipeline, size_t slot, const struct fact_value *value);

/* Each message's content, for calls that are fed: those of the stages HEADER and MESSAGE, which may
 * be entered while it still comes. replay: for a call that starts late, has a piece of the content
 * that was fed so far handed to `take`, from a byte on, and says how long it is; 0: there is no
 * more. A long message is caught up with a piece at a time, the loop turning between. An empty span
 * is the end, from which deadlines of fed calls run. true: as above. The next content begins once
 * STAGE_MAIL, HEADER or MESSAGE was left. */
void pipeline_replay(
	struct pipeline *pipeline, size_t (*replay)(void *context, uint64_t from,
					   void (*take)(void *, struct span), void *taker));
bool pipeline_feed(struct pipeline *pipeline, struct span content) MUST_CHECK;

/* How long a slot took, from the start of its call, in microseconds, and who measured it: for
 * explain and the log. 0 while not known. */
uint64_t pipeline_slot_us(const struct pipeline *pipeline, size_t slot);
const char *pipeline_slot_source(const struct pipeline *pipeline, size_t slot);

/* "dns", the name of a filter that is waited for; NULL: none. For `postern status`. */
const char *pipeline_waits_for(const struct pipeline *pipeline);

#endif

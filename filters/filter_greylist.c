/*
 * greylist: how far greylisting has come for this client, sender and recipient: programs that send
 * spam seldom try again, mail servers do (docs/why/greylisting.md).
 *
 *     new --tried--> waiting --time--> passed --accepted--> known
 *
 * The same answer of the store is `waiting` for a rule that has one wait five minutes and `passed`
 * for one that asks for two: each has a slot with its own time. What is to be written follows from
 * what becomes of the message (due.h).
 */
#include "filters/due.h"
#include "filters/filter.h"
#include "filters/recall.h"
#include "lib/authn/result.h"
#include "lib/store/grey.h"

#define MINUTE_MS 60000ULL
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

enum { GREYLIST, WAIT };
enum { OPTION_WINDOW = OPTION_PATIENCE + 1, OPTION_KNOWN, OPTION_DELAY };
enum { IS_NEW, IS_WAITING, IS_PASSED, IS_KNOWN };

static const struct fact_choice states[] = {
	[IS_NEW] = {"new", NULL},
	[IS_WAITING] = {"waiting", NULL},
	[IS_PASSED] = {"passed", NULL},
	[IS_KNOWN] = {"known", NULL},
	{NULL, NULL},
};

static const struct fact facts[] = {
	[GREYLIST] = {"greylist", TYPE_CHOICE, STAGE_RCPT, FACT_ASKS, states,
		"how far greylisting has come for this client, sender and recipient"},
	[WAIT] = {"greylist.wait", TYPE_TEXT, STAGE_RCPT, FACT_ASKS | FACT_IN_TEXTS, NULL,
		"how long greylisting still has them wait: 4 minutes"},
	{.name = NULL},
};

static const struct filter_option options[] = {
	RECALL_OPTION,
	[OPTION_WINDOW] = {"window", FILTER_DURATION, "24h", 60 * 1000, 30 * DAY_MS,
		"how long after the first attempt one that comes again is let in"},
	[OPTION_KNOWN] = {"known", FILTER_DURATION, "36d", HOUR_MS, 3660 * DAY_MS,
		"how long one that got in is known, from the last time on"},
	[OPTION_DELAY] = {"delay", FILTER_DURATION, "5m", 1000, 30 * DAY_MS,
		"how long one has to wait, for rules that read `greylist` and name no time"},
	{.name = NULL},
};

static const char *const after[] = {"spf", "spf.domain", NULL};

static uint64_t delay_ms(const struct call *call)
{
	uint64_t window_ms = call_window_ms(call);

	return window_ms ? window_ms : filter_number(call_home(call), OPTION_DELAY);
}

/* Of a pass; empty: the client's network counts. */
static struct span spf_domain(const struct call *call)
{
	const struct fact_value *spf = call_other(call, "spf"),
				*domain = call_other(call, "spf.domain");

	if (!spf || spf->state != FACT_KNOWN || !spf->count ||
		spf->items[0].choice != SPF_IS_PASS || !domain || domain->state != FACT_KNOWN ||
		!domain->count)
		return SPAN_NONE;
	return domain->items[0].text;
}

/* Empty: it does not fit, as no address does. */
static struct span key_of(struct call *call)
{
	const struct filter_view *view = call_view(call);
	struct grey_triplet triplet = {.client = view->client.ip,
		.spf_domain = spf_domain(call),
		.from = view->from->mailbox,
		.to = view->to->mailbox};
	struct buffer out = BUFFER_INIT(STORE_KEY_MAX);
	struct span key = SPAN_NONE;

	if (grey_key_write(&triplet, &out))
		key = call_copy(call, buffer_span(&out));
	buffer_free(&out);
	return key;
}

static void owe(
	struct call *call, unsigned when, enum store_kind kind, struct span key, uint64_t time_ms)
{
	const char *time = arena_print(call_arena(call), "%llu", (unsigned long long)time_ms);

	call_owe(call,
		&(struct due){
			.when = when, .kind = kind, .parts = {key, span_text(time)}, .n_parts = 2});
}

/* Rounded up, so that who comes back then is let in. */
static const char *time_text(struct call *call, uint64_t ms)
{
	uint64_t unit_ms = ms > 2 * HOUR_MS ? HOUR_MS : MINUTE_MS;
	uint64_t n = (ms + unit_ms - 1) / unit_ms;

	return arena_print(call_arena(call), "%llu %s%s", (unsigned long long)n,
		unit_ms == HOUR_MS ? "hour" : "minute", n == 1 ? "" : "s");
}

/* A bounce is sent once more at most: its sender may give up, and there is nobody to tell. */
static unsigned state_of(const struct call *call, const struct grey *grey)
{
	bool null_sender = call_view(call)->from->mailbox.len == 0;

	if (grey->state == GREY_NEVER)
		return IS_NEW;
	if (grey->state == GREY_KNOWN)
		return IS_KNOWN;
	return null_sender || grey->age_ms >= delay_ms(call) ? IS_PASSED : IS_WAITING;
}

static enum call_status told(struct call *call, void *context, struct span answer)
{
	const struct span *key = context;
	uint64_t delay = delay_ms(call);
	struct grey grey;
	unsigned state;

	if (!grey_read(answer, &grey)) {
		call_fail_all(call, "the store could not tell");
		return CALL_DONE;
	}
	state = state_of(call, &grey);
	call_add_choice(call, GREYLIST, state);
	if (state >= IS_PASSED) {
		owe(call, DUE_ACCEPTED, STORE_GREY_PASSED, *key,
			filter_number(call_home(call), OPTION_KNOWN));
		return CALL_DONE;
	}
	call_add_text(call, WAIT, span_text(time_text(call, delay - grey.age_ms)));
	owe(call, DUE_ACCEPTED | DUE_GREYLISTED, STORE_GREY_TRIED, *key,
		filter_number(call_home(call), OPTION_WINDOW));
	return CALL_DONE;
}

static enum call_status run(struct call *call)
{
	const struct filter_view *view = call_view(call);
	struct span *key;

	if (!view->from || !view->to)
		return CALL_DONE;
	key = call_memory(call, sizeof(*key));
	*key = key_of(call);
	return recall(call, STORE_GREY_LOOK, key, 1, told, key);
}

const struct filter filter_greylist = {.version = FILTER_VERSION,
	.name = "greylist",
	.facts = facts,
	.options = options,
	.after = after,
	.run = run,
	.cancel = recall_cancel,
	.all_at_once = true};

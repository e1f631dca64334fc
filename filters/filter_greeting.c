/*
 * greeting: whether the client talks before it is greeted, which only programs do that don't listen
 * (RFC 5321 4.3.1). The session holds its greeting back while it waits for this fact; most early
 * talkers send within a second.
 */
#include "filters/filter.h"

enum { EARLY_TALKER };
enum { OPTION_WAIT };

static const struct fact facts[] = {
	[EARLY_TALKER] = {"client.early_talker", TYPE_BOOL, STAGE_CONNECT, FACT_ASKS, NULL,
		"the client talks before it is greeted"},
	{.name = NULL},
};

static const struct filter_option options[] = {
	[OPTION_WAIT] = {"wait", FILTER_DURATION, "1s", 0, 9 * 1000,
		"how long the greeting is held back when a rule reads client.early_talker"},
	{.name = NULL},
};

struct state {
	struct call *call;
	struct timer timer;
};

static void on_time(struct timer *timer)
{
	struct call *call = CONTAINER_OF(timer, struct state, timer)->call;

	call_add_bool(call, EARLY_TALKER, call_view(call)->talked);
	call_done(call);
}

static enum call_status run(struct call *call)
{
	const struct filter_view *view = call_view(call);
	struct filter_home *home = call_home(call);
	struct state *state;

	if (view->talked || view->greeted) {
		call_add_bool(call, EARLY_TALKER, view->talked);
		return CALL_DONE;
	}
	state = call_memory(call, sizeof(*state));
	state->call = call;
	state->timer.fire = on_time;
	timer_set(&home->loop->timers, &state->timer, filter_number(home, OPTION_WAIT));
	call_keep(call, state);
	return CALL_WAIT;
}

static void cancel(struct call *call)
{
	struct state *state = call_own(call);

	timer_clear(&call_home(call)->loop->timers, &state->timer);
	call_done(call);
}

const struct filter filter_greeting = {.version = FILTER_VERSION,
	.name = "greeting",
	.facts = facts,
	.options = options,
	.run = run,
	.cancel = cancel};

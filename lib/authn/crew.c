/*
 * Which runner takes which task, and what follows from a runner's end.
 *
 * Most tasks share a runner, since a process for each would cost more than the work. When it
 * crashes or hangs, any of its tasks may have done that, and any may have done harm before: each is
 * run again in a process of its own, that nobody else was in or will be in. What crashes there is
 * poisonous, beyond doubt; and since several such runners go side by side, one that waits for DNS
 * or hangs does not hold up the others. New tasks see nothing of all this: a fresh runner is always
 * at hand.
 *
 * A runner that was killed from outside (the parent tells: SIGKILL that we did not order) says
 * nothing about its tasks. They start over as if new, a few times; a message that has the kernel
 * kill its runner for memory again and again is poisonous all the same.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/authn/client.h"
#include "lib/base/fail.h"

enum {
	RETIRE_TASKS = 10000,  /* the libraries leak: a runner is replaced after so many */
	DEATHS_SHARED_MAX = 2, /* killed from outside more often: it may be the task after all */
	DEATHS_ALONE_MAX = 8,
	VERDICT_MS = 2000, /* for the parent to tell why a runner is gone */
	LOG_LINES = 10,    /* at most, in */
	LOG_WINDOW_MS = 10000
};

/* Whoever sends crashing messages must not fill the log. */
static void log_loss(
	struct authn *authn, const char *event, const struct link *link, const char *how)
{
	uint64_t now_ms = loop_now_ms(authn->loop);
	bool alone = link->asks.first && link->asks.first->state == ASK_ALONE;

	if (now_ms - authn->logged_ms >= LOG_WINDOW_MS) {
		authn->logged_ms = now_ms;
		authn->n_logged = 0;
	}
	if (++authn->n_logged > LOG_LINES)
		return;
	log_event(authn->log, LOG_WARNING, event, SPAN_NONE,
		"a runner of authn %s; it had %u task%s%s%s", how, link->asks.n,
		link->asks.n == 1 ? "" : "s", alone ? ", alone" : "",
		authn->n_logged == LOG_LINES ? " (more of these are not logged for a while)" : "");
}

/* --- a runner is gone --- */

static void on_death_from_outside(struct authn_ask *ask)
{
	bool alone = ask->state == ASK_ALONE;

	ask->deaths++;
	if (alone && ask->deaths > DEATHS_ALONE_MAX)
		ask_done(ask, AUTHN_POISONOUS, SPAN_NONE);
	else
		ask_requeue(ask, alone || ask->deaths > DEATHS_SHARED_MAX);
}

static void on_death_from_inside(struct authn_ask *ask)
{
	if (ask->state == ASK_ALONE)
		ask_done(ask, AUTHN_POISONOUS, SPAN_NONE);
	else
		ask_requeue(ask, true);
}

/* What is done may cancel others, so each is taken anew. */
static void judge(struct link *link, void (*rule)(struct authn_ask *ask))
{
	while (link->asks.first)
		rule(link->asks.first);
	crew_work_soon(link->authn);
	if (link->fd >= 0)
		link_close(link);
}

static void on_gone(struct authn *authn, const struct control_message *message)
{
	struct link *link = authn->links;
	int status = message->status;
	char how[80];

	while (link && link->runner != message->runner)
		link = link->next;
	if (!link)
		return; /* we had closed it */
	link_read(link);
	if (link->fd < 0)
		return;
	link->state = LINK_LOST;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		authn->n.killed++;
		log_loss(authn, "authn_killed", link, "was killed from outside");
		judge(link, on_death_from_outside);
		return;
	}
	authn->n.crashes++;
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "crashed with signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(status));
	log_loss(authn, "authn_crashed", link, how);
	judge(link, on_death_from_inside);
}

/* A parent that does not even read this will be found out by its runners' absence. */
static void tell_to_kill(const struct link *link)
{
	struct control_message kill = {.type = CONTROL_KILL, .runner = link->runner};

	if (link->authn->control >= 0)
		(void)control_send(link->authn->control, &kill, -1);
}

void crew_on_end(struct link *link)
{
	struct authn *authn = link->authn;

	link->state = LINK_LOST;
	uv_poll_stop(&link->poll);
	link->events = 0;
	timer_set(&authn->loop->timers, &link->timer, VERDICT_MS);
	crew_work_soon(authn);
}

void crew_forget(struct link *link)
{
	judge(link, on_death_from_outside);
}

void crew_kill(struct link *link, bool hangs)
{
	struct authn *authn = link->authn;

	link->state = LINK_LOST;
	if (hangs)
		authn->n.stalls++;
	else
		authn->n.nonsense++;
	log_loss(authn, hangs ? "authn_stalled" : "authn_nonsense", link,
		hangs ? "was silent for too long" : "spoke nonsense");
	tell_to_kill(link);
	judge(link, on_death_from_inside);
}

void crew_on_idle(struct link *link)
{
	if (link->fd < 0 || link->asks.n)
		return;
	if (link->state == LINK_ALONE) {
		tell_to_kill(link); /* it may hang with what was cancelled, and not see us go */
		link_close(link);
	} else if (link->state == LINK_LEAVING) {
		link_close(link);
	}
	crew_work_soon(link->authn);
}

/* --- the parent --- */

static void on_control(uv_poll_t *poll, int status, int events);

static void on_message(struct authn *authn, const struct control_message *message, int fd)
{
	if (message->type == CONTROL_GONE) {
		on_gone(authn, message);
		return;
	}
	authn->n_forks -= authn->n_forks > 0;
	if (message->type == CONTROL_RUNNER && fd >= 0) {
		authn->n.runners++;
		link_open(authn, message->runner, fd);
	} else {
		authn->refused = true;
	}
	crew_work_soon(authn);
}

static void on_control(uv_poll_t *poll, int status, int events)
{
	struct authn *authn = poll->data;
	struct control_message message;
	int fd;

	(void)events;
	while (authn->poll == poll) {
		enum control_outcome outcome = control_receive(authn->control, &message, &fd);

		if (outcome == CONTROL_AGAIN && status == 0)
			return;
		if (outcome != CONTROL_DONE) {
			log_event(authn->log, LOG_WARNING, "authn_gone", SPAN_NONE,
				"the authn process is gone; its tasks are run again in the next "
				"one");
			crew_unlink(authn);
			return;
		}
		on_message(authn, &message, fd);
	}
}

static void on_control_closed(uv_handle_t *handle)
{
	free(handle);
}

static void start_over(struct authn_ask *ask)
{
	ask_requeue(ask, ask->state == ASK_ALONE);
}

/* Its runners end with it. What they have said until now is heard. */
void crew_unlink(struct authn *authn)
{
	if (authn->control < 0)
		return;
	uv_close((uv_handle_t *)authn->poll, on_control_closed);
	close(authn->control);
	authn->poll = NULL;
	authn->control = -1;
	authn->n_forks = 0;
	authn->refused = false;
	timer_clear(&authn->loop->timers, &authn->retry);
	while (authn->links) {
		struct link *link = authn->links;

		link_read(link);
		if (authn->links == link)
			judge(link, start_over);
	}
	crew_work_soon(authn);
}

void crew_link(struct authn *authn, int control)
{
	crew_unlink(authn);
	authn->control = control;
	authn->poll = memory_zeroed(sizeof(*authn->poll));
	authn->poll->data = authn;
	ENSURE(uv_poll_init(&authn->loop->uv, authn->poll, control) == 0);
	ENSURE(uv_poll_start(authn->poll, UV_READABLE, on_control) == 0);
	crew_work_soon(authn);
}

/* --- who takes what --- */

struct census {
	unsigned live, fresh, open, alone;
};

static struct census count(const struct authn *authn)
{
	struct census census = {0};

	for (const struct link *link = authn->links; link; link = link->next) {
		census.live += link->state != LINK_LOST;
		census.fresh += link->state == LINK_FRESH;
		census.open += link->state == LINK_OPEN;
		census.alone += link->state == LINK_ALONE;
	}
	return census;
}

static struct link *find_fresh(struct authn *authn)
{
	for (struct link *link = authn->links; link; link = link->next)
		if (link->state == LINK_FRESH)
			return link;
	return NULL;
}

static struct link *find_open(struct authn *authn, bool even_quiet)
{
	for (struct link *link = authn->links; link; link = link->next)
		if (link->state == LINK_OPEN && !link_is_full(link) && (even_quiet || !link->quiet))
			return link;
	return NULL;
}

/* One that is open and answers, the oldest first, so that those beyond need become idle; else a
 * fresh one; if there may be no more, one that does not answer. NULL: one will come. */
static struct link *find_runner(struct authn *authn)
{
	struct link *link = find_open(authn, false);

	if (link)
		return link;
	link = find_fresh(authn);
	if (link && count(authn).open < CREW_OPEN_MAX) {
		link->state = LINK_OPEN;
		return link;
	}
	return authn->n_forks && !link ? NULL : find_open(authn, true);
}

static void deal_queued(struct authn *authn)
{
	struct link *link;

	while (authn->queued.first && (link = find_runner(authn)))
		link_take(link, authn->queued.first);
}

static void deal_suspects(struct authn *authn)
{
	unsigned alone = count(authn).alone;

	for (struct authn_ask *ask = authn->suspects.first, *next; ask; ask = next) {
		struct link *link = find_fresh(authn);

		next = ask->next;
		if (!link || alone >= CREW_ALONE_MAX)
			return;
		if (!ask_is_ready(ask))
			continue;
		link->state = LINK_ALONE;
		link_take(link, ask);
		alone++;
	}
}

static unsigned ready_suspects(const struct authn *authn, unsigned most)
{
	unsigned n = 0;

	for (const struct authn_ask *ask = authn->suspects.first; ask && n < most; ask = ask->next)
		n += ask_is_ready(ask);
	return n;
}

static unsigned wanted_fresh(const struct authn *authn, const struct census *census)
{
	unsigned free_alone = census->alone < CREW_ALONE_MAX ? CREW_ALONE_MAX - census->alone : 0;

	return CREW_SPARE + ready_suspects(authn, free_alone) +
	       (authn->queued.n > 0 && census->open < CREW_OPEN_MAX);
}

static void ask_for_runners(struct authn *authn)
{
	struct census census = count(authn);
	unsigned wanted = wanted_fresh(authn, &census);
	struct control_message fork = {.type = CONTROL_FORK};

	while (authn->control >= 0 && !authn->refused && census.fresh + authn->n_forks < wanted &&
		census.live + authn->n_forks < CONTROL_RUNNERS_MAX) {
		if (control_send(authn->control, &fork, -1) != CONTROL_DONE)
			authn->refused = true;
		else
			authn->n_forks++;
	}
	if (authn->refused && !timer_is_set(&authn->retry))
		timer_set(&authn->loop->timers, &authn->retry, CREW_REFUSED_MS);
}

/* Runners beyond need: tired ones, idle ones, and what is left of a storm. */
static void let_go(struct authn *authn)
{
	struct census census = count(authn);
	bool first = true;

	for (struct link *link = authn->links, *next; link; link = next) {
		next = link->next;
		if (link->state == LINK_OPEN && link->n_taken >= RETIRE_TASKS && census.fresh) {
			link->state = LINK_LEAVING;
			crew_on_idle(link);
		} else if (link->state == LINK_OPEN && !link->quiet) {
			if (!first && !link->asks.n)
				link_close(link);
			first = false;
		} else if (link->state == LINK_FRESH &&
			   census.fresh > CREW_SPARE + CREW_ALONE_MAX) {
			link_close(link);
			census.fresh--;
		}
	}
}

void crew_on_retry(struct timer *timer)
{
	struct authn *authn = CONTAINER_OF(timer, struct authn, retry);

	authn->refused = false;
	crew_work_soon(authn);
}

/* --- without any --- */

void crew_on_gave_up(struct timer *timer)
{
	crew_work_soon(CONTAINER_OF(timer, struct authn, gave_up));
}

/* Once for each: what is done may start others, which wait for the next round. */
static void give_up(struct authn *authn)
{
	for (unsigned n = authn->queued.n; n && authn->queued.first; n--)
		ask_done(authn->queued.first, AUTHN_AWAY, SPAN_NONE);
	for (unsigned n = authn->suspects.n; n && authn->suspects.first; n--)
		ask_done(authn->suspects.first, AUTHN_AWAY, SPAN_NONE);
}

static void look_whether_away(struct authn *authn)
{
	struct timers *timers = &authn->loop->timers;
	uint64_t now_ms = loop_now_ms(authn->loop);

	if (count(authn).live) {
		authn->away = false;
		timer_clear(timers, &authn->gave_up);
		return;
	}
	if (!authn->away) {
		authn->away = true;
		authn->away_ms = now_ms;
	}
	if (!authn->queued.n && !authn->suspects.n)
		return;
	if (now_ms - authn->away_ms >= AUTHN_WAIT_MS)
		give_up(authn);
	else if (!timer_is_set(&authn->gave_up))
		timer_set(timers, &authn->gave_up, AUTHN_WAIT_MS - (now_ms - authn->away_ms));
}

/* --- the round --- */

void crew_work_soon(struct authn *authn)
{
	loop_defer(authn->loop, &authn->work);
}

void crew_work(struct deferred *work)
{
	struct authn *authn = CONTAINER_OF(work, struct authn, work);

	look_whether_away(authn);
	deal_queued(authn);
	deal_suspects(authn);
	let_go(authn);
	ask_for_runners(authn);
	for (struct link *link = authn->links; link; link = link->next)
		link_pump(link);
}

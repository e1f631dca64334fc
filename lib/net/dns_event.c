/*
 * libunbound opens a socket for each question (its port is part of what a forger must guess), so
 * sockets come and go by the thousand. They are watched by an epoll descriptor of our own, and that
 * one by the loop: adding and taking away are one system call each, an answer costs no handle, and
 * a socket may be closed as soon as it was taken away.
 *
 * Tried and rejected: a uv_poll_t for each socket. It costs four more system calls, must be closed
 * before libunbound closes the descriptor, and its memory lives on until the loop's next round.
 *
 * Timers are on the loop's wheel; one without delay, which libunbound sets before each question
 * that it sends, is deferred instead of waiting for a tick of the wheel.
 */
#include "lib/net/dns_event.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/base/fail.h"

enum {
	READY_MAX = 64, /* taken from the kernel at once; then others on the loop have their turn */
	EVENT_MAGIC = 0x5ca1ab1e
};

struct dns_events {
	struct ub_event_base base; /* libunbound's view */
	struct loop *loop;         /* borrowed */
	int epoll_fd;              /* owned */
	uv_poll_t poll;            /* of epoll_fd */
	unsigned n_events;
	/* While their callbacks run, what the kernel reported: an event that goes meanwhile is
	 * taken out. */
	struct epoll_event *ready;
	int n_ready;
};

struct event {
	struct ub_event event; /* libunbound's view */
	unsigned magic;
	struct dns_events *events; /* borrowed */
	int fd;                    /* borrowed; -1: a timer alone */
	short bits;                /* UB_EV_* that it was made for */
	bool watched;
	uint64_t delay_ms; /* of the timer that runs */
	struct timer timer;
	struct deferred soon; /* instead of the timer, without delay */
	void (*call)(int fd, short bits, void *arg);
	void *arg;
};

static struct event *event_of(struct ub_event *event)
{
	struct event *e = CONTAINER_OF(event, struct event, event);

	MAGIC_ENSURE(e, EVENT_MAGIC);
	return e;
}

static void timer_start(struct event *e, const struct timeval *delay)
{
	e->delay_ms = (uint64_t)delay->tv_sec * 1000 + (uint64_t)(delay->tv_usec + 999) / 1000;
	if (e->delay_ms == 0)
		loop_defer(e->events->loop, &e->soon);
	else
		timer_set(&e->events->loop->timers, &e->timer, e->delay_ms);
}

static void timer_stop(struct event *e)
{
	timer_clear(&e->events->loop->timers, &e->timer);
	loop_undefer(e->events->loop, &e->soon);
}

static bool watch(struct event *e)
{
	struct epoll_event wanted = {.data.ptr = e};

	if (e->watched || e->fd < 0)
		return true;
	wanted.events =
		(e->bits & UB_EV_READ ? EPOLLIN : 0u) | (e->bits & UB_EV_WRITE ? EPOLLOUT : 0u);
	if (epoll_ctl(e->events->epoll_fd, EPOLL_CTL_ADD, e->fd, &wanted) < 0)
		return false;
	e->watched = true;
	return true;
}

static void unwatch(struct event *e)
{
	struct dns_events *events = e->events;

	if (!e->watched)
		return;
	epoll_ctl(events->epoll_fd, EPOLL_CTL_DEL, e->fd, NULL);
	e->watched = false;
	for (int i = 0; i < events->n_ready; i++)
		if (events->ready[i].data.ptr == e)
			events->ready[i].data.ptr = NULL;
}

static void event_stop(struct event *e)
{
	unwatch(e);
	timer_stop(e);
}

/* The event may be gone when this returns. */
static void event_call(struct event *e, short bits)
{
	if (!(e->bits & UB_EV_PERSIST))
		event_stop(e);
	else if (timer_is_set(&e->timer)) /* activity begins its time anew, as libevent does */
		timer_set(&e->events->loop->timers, &e->timer, e->delay_ms);
	e->call(e->fd, bits, e->arg);
}

static void on_timer(struct timer *timer)
{
	event_call(CONTAINER_OF(timer, struct event, timer), UB_EV_TIMEOUT);
}

static void on_soon(struct deferred *soon)
{
	event_call(CONTAINER_OF(soon, struct event, soon), UB_EV_TIMEOUT);
}

/* What happened, of what the event waits for; errors wake both sides, which then see them. */
static short bits_of(const struct event *e, uint32_t happened)
{
	short bits = 0;

	if (happened & (EPOLLIN | EPOLLERR | EPOLLHUP))
		bits |= UB_EV_READ;
	if (happened & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		bits |= UB_EV_WRITE;
	return (short)(bits & e->bits);
}

static void on_poll(uv_poll_t *poll, int status, int happened)
{
	struct dns_events *events = poll->data;
	struct epoll_event ready[READY_MAX];

	(void)status, (void)happened;
	events->n_ready = epoll_wait(events->epoll_fd, ready, READY_MAX, 0);
	events->ready = ready;
	for (int i = 0; i < events->n_ready; i++) {
		struct event *e = ready[i].data.ptr;
		short bits = e ? bits_of(e, ready[i].events) : 0;

		if (bits)
			event_call(e, bits);
	}
	events->ready = NULL;
	events->n_ready = 0;
}

/* --- what libunbound calls: an event --- */

static void event_add_bits(struct ub_event *event, short bits)
{
	struct event *e = event_of(event);

	unwatch(e);
	e->bits |= bits;
}

static void event_del_bits(struct ub_event *event, short bits)
{
	struct event *e = event_of(event);

	unwatch(e);
	e->bits = (short)(e->bits & ~bits);
}

static void event_set_fd(struct ub_event *event, int fd)
{
	struct event *e = event_of(event);

	unwatch(e);
	e->fd = fd;
}

static void event_free(struct ub_event *event)
{
	struct event *e = event_of(event);

	event_stop(e);
	e->magic = 0;
	e->events->n_events--;
	free(e);
}

static int event_add(struct ub_event *event, struct timeval *delay)
{
	struct event *e = event_of(event);

	if (!watch(e))
		return -1;
	if (delay)
		timer_start(e, delay);
	return 0;
}

static int event_del(struct ub_event *event)
{
	event_stop(event_of(event));
	return 0;
}

static int event_add_timer(struct ub_event *event, struct ub_event_base *base,
	void (*call)(int, short, void *), void *arg, struct timeval *delay)
{
	struct event *e = event_of(event);

	(void)base;
	e->call = call;
	e->arg = arg;
	timer_stop(e);
	timer_start(e, delay);
	return 0;
}

static int event_del_timer(struct ub_event *event)
{
	timer_stop(event_of(event));
	return 0;
}

/* Signals are the process's own affair: libunbound as a library asks for none. */
static int event_no_signal(struct ub_event *event, struct timeval *delay)
{
	(void)event, (void)delay;
	return -1;
}

static int event_no_signal_del(struct ub_event *event)
{
	(void)event;
	return -1;
}

static void event_no_windows(struct ub_event *event)
{
	(void)event;
}

static void event_no_windows_block(struct ub_event *event, int bits)
{
	(void)event, (void)bits;
}

static struct ub_event_vmt event_calls = {
	.add_bits = event_add_bits,
	.del_bits = event_del_bits,
	.set_fd = event_set_fd,
	.free = event_free,
	.add = event_add,
	.del = event_del,
	.add_timer = event_add_timer,
	.del_timer = event_del_timer,
	.add_signal = event_no_signal,
	.del_signal = event_no_signal_del,
	.winsock_unregister_wsaevent = event_no_windows,
	.winsock_tcp_wouldblock = event_no_windows_block,
};

/* --- what libunbound calls: the base --- */

static void base_free(struct ub_event_base *base)
{
	(void)base; /* it is ours: dns_events_close */
}

static int base_dispatch(struct ub_event_base *base)
{
	(void)base;
	return -1; /* the loop runs without it */
}

static int base_exit(struct ub_event_base *base, struct timeval *delay)
{
	(void)base, (void)delay;
	return -1;
}

static struct ub_event *base_event(
	struct ub_event_base *base, int fd, short bits, void (*call)(int, short, void *), void *arg)
{
	struct event *e = memory_zeroed(sizeof(*e));

	e->event = (struct ub_event){UB_EVENT_MAGIC, &event_calls};
	e->magic = EVENT_MAGIC;
	e->events = CONTAINER_OF(base, struct dns_events, base);
	e->events->n_events++;
	e->fd = fd;
	e->bits = bits;
	e->call = call;
	e->arg = arg;
	e->timer.fire = on_timer;
	e->soon.run = on_soon;
	return &e->event;
}

static struct ub_event *base_no_signal(
	struct ub_event_base *base, int fd, void (*call)(int, short, void *), void *arg)
{
	(void)base, (void)fd, (void)call, (void)arg;
	return NULL;
}

static struct ub_event *base_no_windows(
	struct ub_event_base *base, void *event, void (*call)(int, short, void *), void *arg)
{
	(void)base, (void)event, (void)call, (void)arg;
	return NULL;
}

static struct ub_event_base_vmt base_calls = {
	.free = base_free,
	.dispatch = base_dispatch,
	.loopexit = base_exit,
	.new_event = base_event,
	.new_signal = base_no_signal,
	.winsock_register_wsaevent = base_no_windows,
};

struct dns_events *dns_events_open(struct loop *loop, struct err *err)
{
	struct dns_events *events = memory_zeroed(sizeof(*events));

	events->base = (struct ub_event_base){UB_EVENT_MAGIC, &base_calls};
	events->loop = loop;
	events->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (events->epoll_fd < 0) {
		err_errno(err, "epoll_create1");
		free(events);
		return NULL;
	}
	ENSURE(uv_poll_init(&loop->uv, &events->poll, events->epoll_fd) == 0);
	events->poll.data = events;
	uv_poll_start(&events->poll, UV_READABLE, on_poll);
	return events;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void dns_events_close(struct dns_events **owned)
{
	struct dns_events *events = *owned;

	*owned = NULL;
	if (!events)
		return;
	ENSURE(events->n_events == 0 && events->n_ready == 0);
	uv_close((uv_handle_t *)&events->poll, on_closed);
	close(events->epoll_fd);
}

struct ub_event_base *dns_events_base(struct dns_events *events)
{
	return &events->base;
}

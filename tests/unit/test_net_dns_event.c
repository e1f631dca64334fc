/*
 * The event base that libunbound runs on, used as libunbound does: sockets, timers, and what is
 * taken away while it is about to be called.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base/fail.h"
#include "lib/net/dns_event.h"

struct stage {
	struct loop loop;
	struct dns_events *events;
	struct ub_event_base *base;
};

struct probe {
	struct stage *stage;
	struct ub_event *event;
	int fds[2]; /* the event is at the first */
	unsigned calls;
	short bits; /* of the last call */
	void (*act)(struct probe *);
	struct probe *other; /* what `act` acts on */
};

static void stage_begin(struct stage *s)
{
	struct err err;

	loop_init(&s->loop);
	s->events = dns_events_open(&s->loop, &err);
	assert_non_null(s->events);
	s->base = dns_events_base(s->events);
}

static void stage_end(struct stage *s)
{
	dns_events_close(&s->events);
	assert_null(s->events);
	assert_int_equal(s->loop.timers.count, 0);
	loop_close(&s->loop);
}

static void on_event(int fd, short bits, void *arg)
{
	struct probe *p = arg;

	assert_int_equal(fd, p->fds[0]);
	p->calls++;
	p->bits = bits;
	if (p->act)
		p->act(p);
}

static void probe_begin(struct probe *p, struct stage *s, short bits)
{
	*p = (struct probe){.stage = s};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fds), 0);
	p->event = s->base->vmt->new_event(s->base, p->fds[0], bits, on_event, p);
	assert_non_null(p->event);
}

static void probe_free(struct probe *p)
{
	p->event->vmt->free(p->event);
	p->event = NULL;
}

static void probe_end(struct probe *p)
{
	if (p->event)
		probe_free(p);
	close(p->fds[0]);
	close(p->fds[1]);
}

static int probe_add(struct probe *p, long delay_ms)
{
	struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};

	return p->event->vmt->add(p->event, delay_ms >= 0 ? &delay : NULL);
}

static void turn(struct stage *s, unsigned rounds)
{
	while (rounds--)
		loop_turn(&s->loop, false);
}

static void advance(struct stage *s, uint64_t ms)
{
	s->loop.clock.offset_ms += ms;
	timers_run(&s->loop.timers);
	turn(s, 2);
}

static void test_persistent(void **state)
{
	struct stage s;
	struct probe p;
	char byte;

	(void)state;
	stage_begin(&s);
	probe_begin(&p, &s, UB_EV_READ | UB_EV_PERSIST);
	assert_int_equal(probe_add(&p, -1), 0);
	turn(&s, 3);
	assert_int_equal(p.calls, 0);
	assert_int_equal(write(p.fds[1], "x", 1), 1);
	turn(&s, 1);
	turn(&s, 1);
	assert_int_equal(p.calls, 2); /* still there to be read */
	assert_int_equal(p.bits, UB_EV_READ);
	assert_int_equal(read(p.fds[0], &byte, 1), 1);
	turn(&s, 3);
	assert_int_equal(p.calls, 2);
	p.event->vmt->del(p.event);
	assert_int_equal(write(p.fds[1], "x", 1), 1);
	turn(&s, 3);
	assert_int_equal(p.calls, 2);
	probe_end(&p);
	stage_end(&s);
}

static void test_once(void **state)
{
	struct stage s;
	struct probe p;

	(void)state;
	stage_begin(&s);
	probe_begin(&p, &s, UB_EV_WRITE);
	assert_int_equal(probe_add(&p, 1000), 0);
	turn(&s, 3);
	assert_int_equal(p.calls, 1);
	assert_int_equal(p.bits, UB_EV_WRITE);
	advance(&s, 2000);
	assert_int_equal(p.calls, 1); /* and its time is over too */
	probe_end(&p);
	stage_end(&s);
}

/* Bits and descriptor change while it is off; then only the new ones count. */
static void test_changes(void **state)
{
	struct stage s;
	struct probe p;
	int old;

	(void)state;
	stage_begin(&s);
	probe_begin(&p, &s, UB_EV_WRITE | UB_EV_PERSIST);
	assert_int_equal(probe_add(&p, -1), 0);
	p.event->vmt->del(p.event);
	p.event->vmt->del_bits(p.event, UB_EV_WRITE);
	p.event->vmt->add_bits(p.event, UB_EV_READ);
	assert_int_equal(probe_add(&p, -1), 0);
	turn(&s, 2);
	assert_int_equal(p.calls, 0);
	p.event->vmt->del(p.event);
	old = p.fds[0];
	close(p.fds[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p.fds), 0);
	close(old);
	p.event->vmt->set_fd(p.event, p.fds[0]);
	assert_int_equal(probe_add(&p, -1), 0);
	turn(&s, 2);
	assert_int_equal(p.calls, 0);
	assert_int_equal(write(p.fds[1], "x", 1), 1);
	turn(&s, 1);
	assert_int_equal(p.calls, 1);
	probe_end(&p);
	stage_end(&s);
}

static void test_bad_descriptor(void **state)
{
	struct stage s;
	struct probe p;

	(void)state;
	stage_begin(&s);
	probe_begin(&p, &s, UB_EV_READ);
	p.event->vmt->set_fd(p.event, 1000000);
	assert_int_equal(probe_add(&p, 1000), -1);
	probe_end(&p);
	stage_end(&s);
}

static void free_other(struct probe *p)
{
	if (p->other->event)
		probe_free(p->other);
}

/* Both are ready in one go, and the first one frees the other: that one is not called. */
static void test_freed_while_ready(void **state)
{
	struct probe probes[2];
	struct stage s;

	(void)state;
	stage_begin(&s);
	for (unsigned i = 0; i < 2; i++) {
		probe_begin(&probes[i], &s, UB_EV_WRITE | UB_EV_PERSIST);
		probes[i].act = free_other;
		probes[i].other = &probes[1 - i];
		assert_int_equal(probe_add(&probes[i], -1), 0);
	}
	turn(&s, 1);
	assert_int_equal(probes[0].calls + probes[1].calls, 1);
	for (unsigned i = 0; i < 2; i++)
		probe_end(&probes[i]);
	stage_end(&s);
}

static void free_self(struct probe *p)
{
	probe_free(p);
}

static void test_frees_itself(void **state)
{
	static const long delays_ms[] = {-1, 0, 100};
	struct stage s;
	struct probe p;

	(void)state;
	stage_begin(&s);
	for (size_t i = 0; i < COUNT_OF(delays_ms); i++) {
		probe_begin(&p, &s, delays_ms[i] < 0 ? UB_EV_WRITE : UB_EV_TIMEOUT);
		p.act = free_self;
		assert_int_equal(probe_add(&p, delays_ms[i]), 0);
		turn(&s, 2);
		advance(&s, 200);
		assert_int_equal(p.calls, 1);
		probe_end(&p);
	}
	stage_end(&s);
}

static void test_timer(void **state)
{
	struct timeval soon = {.tv_sec = 0}, later = {.tv_sec = 1, .tv_usec = 500000};
	struct stage s;
	struct probe p;

	(void)state;
	stage_begin(&s);
	probe_begin(&p, &s, UB_EV_TIMEOUT);
	p.event->vmt->add_timer(p.event, s.base, on_event, &p, &soon);
	assert_int_equal(p.calls, 0); /* not from within */
	turn(&s, 1);
	assert_int_equal(p.calls, 1); /* nor a tick of the wheel later */
	assert_int_equal(p.bits, UB_EV_TIMEOUT);
	p.event->vmt->add_timer(p.event, s.base, on_event, &p, &later);
	advance(&s, 1400);
	assert_int_equal(p.calls, 1);
	advance(&s, 100 + 2 * TIMER_TICK_MS);
	assert_int_equal(p.calls, 2);
	p.event->vmt->add_timer(p.event, s.base, on_event, &p, &later);
	p.event->vmt->del_timer(p.event);
	p.event->vmt->add_timer(p.event, s.base, on_event, &p, &soon);
	p.event->vmt->del_timer(p.event);
	advance(&s, 3000);
	assert_int_equal(p.calls, 2);
	probe_end(&p);
	stage_end(&s);
}

static void read_byte(struct probe *p)
{
	char byte;

	if (p->bits & UB_EV_READ)
		assert_int_equal(read(p->fds[0], &byte, 1), 1);
}

/* A persistent event's time begins anew with each activity. */
static void test_idle_timeout(void **state)
{
	struct stage s;
	struct probe p;

	(void)state;
	stage_begin(&s);
	probe_begin(&p, &s, UB_EV_READ | UB_EV_TIMEOUT | UB_EV_PERSIST);
	p.act = read_byte;
	assert_int_equal(probe_add(&p, 1000), 0);
	for (unsigned i = 1; i <= 3; i++) {
		advance(&s, 700);
		assert_int_equal(write(p.fds[1], "x", 1), 1);
		turn(&s, 1);
		assert_int_equal(p.calls, i);
		assert_int_equal(p.bits, UB_EV_READ);
	}
	advance(&s, 1100);
	assert_int_equal(p.calls, 4);
	assert_int_equal(p.bits, UB_EV_TIMEOUT);
	probe_end(&p);
	stage_end(&s);
}

/* The other side is gone: whoever waits is woken and finds out. */
static void test_hang_up(void **state)
{
	struct stage s;
	struct probe p;

	(void)state;
	stage_begin(&s);
	probe_begin(&p, &s, UB_EV_READ);
	assert_int_equal(probe_add(&p, -1), 0);
	close(p.fds[1]);
	turn(&s, 1);
	assert_int_equal(p.calls, 1);
	assert_int_equal(p.bits, UB_EV_READ);
	p.fds[1] = dup(p.fds[0]);
	probe_end(&p);
	stage_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_persistent),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_bad_descriptor),
		cmocka_unit_test(test_freed_while_ready),
		cmocka_unit_test(test_frees_itself),
		cmocka_unit_test(test_timer),
		cmocka_unit_test(test_idle_timeout),
		cmocka_unit_test(test_hang_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

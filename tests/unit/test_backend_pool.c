/* Connections that are kept, grow stale and wear out; those who wait for one; the end. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/backend_play.h"

enum { MANY = 6 };

static struct play *play;
static struct play_server *server;

/* Several messages side by side. */
static struct delivery many[MANY];
static unsigned order[MANY], n_done;

static int setup(void **state)
{
	play = play_new(1);
	server = &play->servers[0];
	n_done = 0;
	(void)state;
	return 0;
}

static int teardown(void **state)
{
	play_free(&play);
	(void)state;
	return 0;
}

static void on_done(struct delivery *delivery)
{
	order[n_done++] = (unsigned)(delivery - many);
}

static void start(unsigned i)
{
	many[i] = (struct delivery){.client = &play->client,
		.bond = &play->bond,
		.envelope = &play->envelope,
		.message = &play->message,
		.sid = SPAN("SID"),
		.timeout_ms = 600 * 1000,
		.done = on_done};
	delivery_start(play->backends, &many[i]);
}

/* --- stale --- */

/* The server closes the kept connection as the next message comes: replaced, and the client never
 * knows. */
static void test_stale_replaced(void **state)
{
	play_open(play);
	play_deliver(play);
	server->mail = CLOSE "|250 ok";
	server->times[STEP_mail] = 0;
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(play->delivery.attempts, 2);
	assert_false(play->delivery.reused);
	assert_int_equal(server->connections, 2);
	(void)state;
}

static void test_stale_421(void **state)
{
	play_open(play);
	play_deliver(play);
	server->mail = "421 4.4.2 idle for too long" CLOSE "|250 ok";
	server->times[STEP_mail] = 0;
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(server->connections, 2);
	(void)state;
}

/* Once: the fresh one that closes too is an answer. */
static void test_replaced_once(void **state)
{
	play_open(play);
	play_deliver(play);
	server->mail = CLOSE;
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.4.2");
	assert_int_equal(server->connections, 2);
	(void)state;
}

/* Behind the end of the message nothing is tried again. */
static void test_not_replaced_in_doubt(void **state)
{
	play_open(play);
	play_deliver(play);
	server->end = CLOSE;
	play_deliver(play);
	assert_delivery(play, DELIVERY_IN_DOUBT, 451, "4.4.2");
	assert_int_equal(server->connections, 1);
	assert_int_equal(server->messages, 2);
	(void)state;
}

static void test_closed_while_idle(void **state)
{
	play_open(play);
	play_deliver(play);
	play_hang_up(server);
	play_rest(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(play->delivery.attempts, 1);
	assert_int_equal(server->connections, 2);
	(void)state;
}

static void test_talk_while_idle(void **state)
{
	play_open(play);
	play_deliver(play);
	play_speak(server, "250 one too many\r\n");
	PLAY_UNTIL(play, server->open == 0);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(server->connections, 2);
	(void)state;
}

/* --- worn --- */

static void test_idle_quits(void **state)
{
	play_open(play);
	play_deliver(play);
	play_advance(play, 19 * 1000);
	assert_int_equal(server->open, 1);
	play_advance(play, 2 * 1000);
	PLAY_UNTIL(play, server->open == 0);
	assert_non_null(strstr(play_said(server), "1: QUIT"));
	(void)state;
}

/* A server that does not answer QUIT is not waited for. */
static void test_quit_unanswered(void **state)
{
	server->quit = "";
	play_open_unprobed(play);
	PLAY_UNTIL(play, strstr(play_said(server), "QUIT"));
	play_advance(play, 3000);
	PLAY_UNTIL(play, server->open == 0);
	(void)state;
}

static void test_uses(void **state)
{
	play_open(play);
	for (unsigned i = 0; i < 101; i++) {
		play_deliver_start(play);
		PLAY_UNTIL(play, play->done);
		loop_turn(&play->loop, false);
	}
	PLAY_UNTIL(play, server->open == 1);
	assert_int_equal(server->connections, 2);
	assert_int_equal(server->messages, 101);
	assert_int_equal(play_count(play_said(server), "QUIT"), 1);
	(void)state;
}

static void test_lifetime(void **state)
{
	play_open(play);
	for (unsigned i = 0; i < 23; i++) {
		play_deliver(play);
		assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
		play_advance(play, 15 * 1000);
	}
	assert_int_equal(server->connections, 2);
	(void)state;
}

/* --- the limit, and the line behind it --- */

static void test_line(void **state)
{
	server->end = "";
	play_open(play);
	for (unsigned i = 0; i < MANY; i++)
		start(i);
	PLAY_UNTIL(play, server->messages == 2);
	play_rest(play);
	assert_int_equal(server->connections, 2);
	assert_string_equal(delivery_waits_for(&many[2]), "backend connection");
	server->end = "250 2.0.0 ok";
	play_speak(server, "250 2.0.0 first ones\r\n");
	PLAY_UNTIL(play, n_done == MANY);
	assert_int_equal(server->connections, 2);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(many[i].outcome, DELIVERY_ACCEPTED);
	/* First come, first served. */
	for (unsigned i = 2; i < MANY; i++)
		assert_in_range(order[i], i - 1, i + 1);
	(void)state;
}

static void test_line_deadline(void **state)
{
	server->end = "";
	play_open(play);
	for (unsigned i = 0; i < 4; i++)
		start(i);
	PLAY_UNTIL(play, server->messages == 2);
	play_advance(play, 29 * 1000);
	assert_int_equal(n_done, 0);
	play_advance(play, 2 * 1000);
	PLAY_UNTIL(play, n_done == 2);
	assert_int_equal(many[2].outcome, DELIVERY_DEFERRED);
	assert_string_equal(many[2].reply.enhanced, "4.4.5");
	assert_int_equal(many[3].outcome, DELIVERY_DEFERRED);
	play_speak(server, "250 2.0.0 ok\r\n");
	PLAY_UNTIL(play, n_done == 4);
	assert_int_equal(many[0].outcome, DELIVERY_ACCEPTED);
	(void)state;
}

static void test_cancel_in_line(void **state)
{
	server->end = "";
	play_open(play);
	for (unsigned i = 0; i < 5; i++)
		start(i);
	PLAY_UNTIL(play, server->messages == 2);
	delivery_cancel(&many[4]);
	delivery_cancel(&many[2]);
	PLAY_UNTIL(play, n_done == 2);
	assert_int_equal(many[2].outcome, DELIVERY_CANCELLED);
	assert_int_equal(many[4].outcome, DELIVERY_CANCELLED);
	server->end = "250 2.0.0 ok";
	play_speak(server, "250 2.0.0 ok\r\n");
	PLAY_UNTIL(play, n_done == 5);
	assert_int_equal(many[3].outcome, DELIVERY_ACCEPTED);
	(void)state;
}

/* The server goes down while others wait in its line: they learn at once. */
static void test_line_scattered(void **state)
{
	play->backend.connections = 1;
	play_open(play);
	server->greeting = "";
	for (unsigned i = 0; i < 3; i++)
		start(i);
	PLAY_UNTIL(play, server->connections == 1);
	play_hang_up(server);
	PLAY_UNTIL(play, n_done == 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(many[i].outcome, DELIVERY_DEFERRED);
		assert_string_equal(many[i].reply.enhanced, "4.4.1");
	}
	(void)state;
}

/* The share of each worker is at least one. */
static void test_share(void **state)
{
	play->config.workers = 8;
	server->end = "";
	play_open(play);
	start(0);
	start(1);
	PLAY_UNTIL(play, server->messages == 1);
	play_rest(play);
	assert_int_equal(server->connections, 1);
	server->end = "250 2.0.0 ok";
	play_speak(server, "250 2.0.0 ok\r\n");
	PLAY_UNTIL(play, n_done == 2);
	(void)state;
}

/* --- balance --- */

static void test_least_connections(void **state)
{
	struct play *p = play_new(2);

	p->backend.balance = BALANCE_LEAST_CONNECTIONS;
	p->servers[0].end = p->servers[1].end = "";
	play_open(p);
	play_free(&play);
	play = p;
	for (unsigned i = 0; i < 4; i++)
		start(i);
	PLAY_UNTIL(play, p->servers[0].messages == 2 && p->servers[1].messages == 2);
	play_speak(&p->servers[0], "250 ok\r\n");
	play_speak(&p->servers[1], "250 ok\r\n");
	PLAY_UNTIL(play, n_done == 4);
	server = &p->servers[0];
	(void)state;
}

/* --- the end --- */

static void test_drain(void **state)
{
	play_open(play);
	play_deliver(play);
	assert_int_equal(server->open, 1);
	backends_drain(play->backends);
	PLAY_UNTIL(play, server->open == 0);
	assert_non_null(strstr(play_said(server), "QUIT"));
	/* A message that was under way still goes, over a connection that is not kept. */
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	PLAY_UNTIL(play, server->open == 0);
	(void)state;
}

static void test_close(void **state)
{
	server->end = "";
	play_open(play);
	for (unsigned i = 0; i < 4; i++)
		start(i);
	PLAY_UNTIL(play, server->messages == 2);
	backends_close(&play->backends);
	assert_int_equal(n_done, 0);
	PLAY_UNTIL(play, n_done == 4);
	assert_int_equal(many[0].outcome, DELIVERY_IN_DOUBT);
	assert_int_equal(many[2].outcome, DELIVERY_CANCELLED);
	PLAY_UNTIL(play, server->open == 0);
	(void)state;
}

static void test_close_while_connecting(void **state)
{
	play_open(play);
	server->greeting = "";
	start(0);
	PLAY_UNTIL(play, server->connections == 1);
	backends_close(&play->backends);
	PLAY_UNTIL(play, n_done == 1);
	assert_int_equal(many[0].outcome, DELIVERY_CANCELLED);
	(void)state;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_stale_replaced),
		CASE(test_stale_421),
		CASE(test_replaced_once),
		CASE(test_not_replaced_in_doubt),
		CASE(test_closed_while_idle),
		CASE(test_talk_while_idle),
		CASE(test_idle_quits),
		CASE(test_quit_unanswered),
		CASE(test_uses),
		CASE(test_lifetime),
		CASE(test_line),
		CASE(test_line_deadline),
		CASE(test_cancel_in_line),
		CASE(test_line_scattered),
		CASE(test_share),
		CASE(test_least_connections),
		CASE(test_drain),
		CASE(test_close),
		CASE(test_close_while_connecting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

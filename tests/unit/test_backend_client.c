/* Who the client is, told to the server: PROXY v2, XCLIENT, XFORWARD; and connections that are one
 * client's own. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/backend_play.h"

#define XCLIENT                                                                                    \
	"250-backend.test\r\n250-PIPELINING\r\n"                                                   \
	"250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"
#define XFORWARD                                                                                   \
	"250-backend.test\r\n250-PIPELINING\r\n250 XFORWARD NAME ADDR PROTO HELO SOURCE PORT "     \
	"IDENT"

static struct play *play;
static struct play_server *server;
static const uint8_t v2_magic[] = {
	0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static int setup(void **state)
{
	play = play_new(1);
	server = &play->servers[0];
	(void)state;
	return 0;
}

static int setup_proxy(void **state)
{
	setup(state);
	server->proxy = true;
	play->backend.client_info = CLIENT_INFO_PROXY_V2;
	return 0;
}

static int setup_xclient(void **state)
{
	setup(state);
	server->ehlo = XCLIENT;
	play->backend.client_info = CLIENT_INFO_XCLIENT;
	return 0;
}

static int setup_xforward(void **state)
{
	setup(state);
	server->ehlo = XFORWARD;
	play->backend.client_info = CLIENT_INFO_XFORWARD;
	return 0;
}

static int teardown(void **state)
{
	play_free(&play);
	(void)state;
	return 0;
}

/* --- PROXY v2 --- */

static void test_proxy_probe_is_local(void **state)
{
	static const uint8_t local[] = {0x20, 0x00, 0x00, 0x00};

	play_open_unprobed(play);
	PLAY_UNTIL(play, server->connections && server->open == 0);
	assert_int_equal(server->proxy_header.len, 16);
	assert_memory_equal(buffer_string(&server->proxy_header), v2_magic, sizeof(v2_magic));
	assert_memory_equal(buffer_string(&server->proxy_header) + 12, local, sizeof(local));
	(void)state;
}

static void test_proxy(void **state)
{
	static const uint8_t rest[] = {
		0x21, 0x11, 0x00, 0x0c, 192, 0, 2, 7, 198, 51, 100, 1, 0x10, 0xe1, 0x00, 0x19};

	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(server->proxy_header.len, 28);
	assert_memory_equal(buffer_string(&server->proxy_header), v2_magic, sizeof(v2_magic));
	assert_memory_equal(buffer_string(&server->proxy_header) + 12, rest, sizeof(rest));
	/* Under the client's name goes its own HELO. */
	assert_string_equal(play_said(server), "1: EHLO helo.example.org\n"
					       "1: MAIL FROM:<sender@example.org> SIZE=24\n"
					       "1: RCPT TO:<one@example.com>\n"
					       "1: DATA\n");
	(void)state;
}

/* A HELO that is no name could be anything: it does not go on. */
static void test_odd_helo(void **state)
{
	play->client.helo = SPAN("what ever\tI like");
	play_open(play);
	play_deliver(play);
	assert_non_null(strstr(play_said(server), "EHLO mx.example.net\n"));
	play_hang_up(server);
	play->client.helo = SPAN("[192.0.2.7]");
	play_deliver(play);
	assert_non_null(strstr(play_said(server), "EHLO [192.0.2.7]\n"));
	(void)state;
}

/* One client's connection serves its checks and its messages, and ends with the session. */
static void test_bond(void **state)
{
	play->backend.verify_recipients = true;
	play_open(play);
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_true(play->delivery.reused);
	assert_int_equal(server->connections, 1);
	backend_bond_close(&play->bond);
	assert_null(play->bond);
	PLAY_UNTIL(play, server->open == 0);
	assert_non_null(strstr(play_said(server), "1: QUIT"));
	(void)state;
}

static void test_not_shared(void **state)
{
	struct backend_bond *first;

	play_open(play);
	play_deliver(play);
	first = play->bond;
	play->bond = NULL;
	play->client.remote.ip.bytes[3] = 8;
	play_deliver(play);
	assert_int_equal(server->connections, 2);
	assert_int_equal(buffer_string(&server->proxy_header)[28 + 16 + 3], 8);
	backend_bond_close(&first);
	backend_bond_close(&play->bond);
	PLAY_UNTIL(play, server->open == 0);
	(void)state;
}

/* What the server says to one client is not told to another. */
static void test_cache_by_client(void **state)
{
	play->backend.verify_recipients = true;
	server->rcpt = "550 5.7.1 not from there|250 ok";
	play_open(play);
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_REFUSED);
	backend_bond_close(&play->bond);
	play->client.remote.ip.bytes[3] = 8;
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	(void)state;
}

/* An idle connection of one client makes room for another's. */
static void test_room_made(void **state)
{
	struct backend_bond *first;

	play->backend.connections = 1;
	play_open(play);
	play_deliver(play);
	first = play->bond;
	play->bond = NULL;
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(server->connections, 2);
	assert_int_equal(play_count(play_said(server), "QUIT"), 1);
	/* The first comes again, and has to wait for the other to end. */
	backend_bond_close(&play->bond);
	play->bond = first;
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(server->connections, 3);
	(void)state;
}

/* Two questions of one session at the same time: one after the other, over its one connection. */
static void test_bond_line(void **state)
{
	play->backend.verify_recipients = true;
	play_open(play);
	assert_false(play_check_start(play));
	play_deliver_start(play);
	PLAY_UNTIL(play, play->done == 1);
	PLAY_UNTIL(play, play->delivery.outcome == DELIVERY_ACCEPTED);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	assert_int_equal(server->connections, 1);
	(void)state;
}

static void bond_closed_at(enum play_step step)
{
	struct play *p = play_new(1);
	struct play_server *s = &p->servers[0];

	s->proxy = true;
	p->backend.client_info = CLIENT_INFO_PROXY_V2;
	p->backend.verify_recipients = true;
	play_open(p);
	*(step == STEP_greeting ? &s->greeting : &s->mail) = "";
	assert_false(play_check_start(p));
	PLAY_UNTIL(p, s->times[step]);
	check_cancel(&p->check);
	PLAY_UNTIL(p, p->done);
	backend_bond_close(&p->bond);
	memset(&p->client, 0xee, sizeof(p->client)); /* the session is gone */
	memset(&p->check, 0xee, sizeof(p->check));
	play_speak(s, step == STEP_greeting ? "220 one\r\n" : "250 1\r\n250 2\r\n250 3\r\n");
	play_rest(p);
	PLAY_UNTIL(p, s->open == 0);
	play_free(&p);
}

static void test_bond_closed(void **state)
{
	bond_closed_at(STEP_greeting);
	bond_closed_at(STEP_mail);
	(void)state;
}

static void test_bond_stale(void **state)
{
	play_open(play);
	play_deliver(play);
	play_hang_up(server);
	play_rest(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	server->mail = CLOSE "|250 ok";
	server->times[STEP_mail] = 0;
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(server->connections, 3);
	(void)state;
}

/* --- XCLIENT --- */

static void test_xclient(void **state)
{
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_string_equal(play_said(server),
		"1: EHLO mx.example.net\n"
		"1: XCLIENT NAME=client.example.org ADDR=192.0.2.7 PORT=4321 PROTO=ESMTP "
		"HELO=helo.example.org LOGIN=[UNAVAILABLE] DESTADDR=198.51.100.1 DESTPORT=25\n"
		"1: EHLO helo.example.org\n"
		"1: MAIL FROM:<sender@example.org>\n"
		"1: RCPT TO:<one@example.com>\n"
		"1: DATA\n");
	/* Once for each connection, which the next message of the session uses too. */
	play_deliver(play);
	assert_int_equal(play_count(play_said(server), "XCLIENT"), 1);
	assert_int_equal(server->connections, 1);
	(void)state;
}

static void test_xclient_odd_values(void **state)
{
	server->ehlo = "250-one\r\n250 XCLIENT NAME ADDR HELO";
	play->client.name = SPAN_NONE;
	play->client.remote.ip =
		(struct ip){.family = IP_V6, .bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
	play->client.helo = SPAN("a b=c+d\xff");
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_non_null(strstr(play_said(server),
		"XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 HELO=a+20b+3Dc+2Bd+FF\n"));
	assert_non_null(strstr(play_said(server), "EHLO mx.example.net\n1: MAIL"));
	(void)state;
}

static void test_xclient_missing(void **state)
{
	server->ehlo = "250-one\r\n250 PIPELINING";
	play_open(play);
	assert_int_equal(play_count(play_log(play), "backend_unfit"), 1);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.3.5");
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.3.5");
	assert_null(strstr(play_said(server), "MAIL"));
	assert_int_equal(play_count(play_log(play), "backend_unfit"), 1);
	assert_null(strstr(play_log(play), "backend_down"));
	(void)state;
}

static void test_xclient_refused(void **state)
{
	server->xclient = "550 5.7.0 not you";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.3.5");
	assert_null(strstr(play_said(server), "MAIL"));
	(void)state;
}

/* --- XFORWARD --- */

static void test_xforward(void **state)
{
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_string_equal(play_said(server),
		"1: EHLO mx.example.net\n"
		"1: XFORWARD NAME=client.example.org ADDR=192.0.2.7 PORT=4321\n"
		"1: XFORWARD PROTO=ESMTP HELO=helo.example.org SOURCE=REMOTE\n"
		"1: MAIL FROM:<sender@example.org>\n"
		"1: RCPT TO:<one@example.com>\n"
		"1: DATA\n");
	/* Connections are shared: the next client is told anew. */
	play->client.name = SPAN_NONE;
	play_deliver(play);
	assert_int_equal(server->connections, 1);
	assert_non_null(strstr(play_said(server), "1: XFORWARD NAME=[UNAVAILABLE] ADDR="));
	assert_null(play->bond);
	(void)state;
}

static void test_xforward_some(void **state)
{
	server->ehlo = "250-one\r\n250 XFORWARD HELO";
	play->client.esmtp = false;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(play_count(play_said(server), "XFORWARD"), 1);
	assert_non_null(strstr(play_said(server), "XFORWARD HELO=helo.example.org\n1: MAIL"));
	(void)state;
}

static void test_xforward_refused(void **state)
{
	server->xforward = "550 5.7.0 not you";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	(void)state;
}

static void test_xforward_missing(void **state)
{
	server->ehlo = "250 one";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(play_count(play_log(play), "backend_unfit"), 1);
	(void)state;
}

#define CASE(name, with) cmocka_unit_test_setup_teardown(name, with, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_proxy_probe_is_local, setup_proxy),
		CASE(test_proxy, setup_proxy),
		CASE(test_odd_helo, setup_proxy),
		CASE(test_bond, setup_proxy),
		CASE(test_not_shared, setup_proxy),
		CASE(test_cache_by_client, setup_proxy),
		CASE(test_room_made, setup_proxy),
		CASE(test_bond_line, setup_proxy),
		CASE(test_bond_closed, setup),
		CASE(test_bond_stale, setup_proxy),
		CASE(test_xclient, setup_xclient),
		CASE(test_xclient_odd_values, setup_xclient),
		CASE(test_xclient_missing, setup_xclient),
		CASE(test_xclient_refused, setup_xclient),
		CASE(test_xforward, setup_xforward),
		CASE(test_xforward_some, setup_xforward),
		CASE(test_xforward_refused, setup_xforward),
		CASE(test_xforward_missing, setup_xforward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How a connection comes to be: greeting, EHLO, TLS; and what its failure means for the server's
 * health. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>
#include <unistd.h>

#include "tests/unit/backend_play.h"

#define STARTTLS "250-backend.test\r\n250-PIPELINING\r\n250 STARTTLS"
#define WITH_TLS "250-backend.test\r\n250-PIPELINING\r\n250 DSN"

static struct play *play;
static struct play_server *server;

static int setup(void **state)
{
	play = play_new(2);
	server = &play->servers[0];
	(void)state;
	return 0;
}

static int teardown(void **state)
{
	play_free(&play);
	(void)state;
	return 0;
}

/* Only the first server is there. */
static int setup_one(void **state)
{
	setup(state);
	play->backend.n_servers = 1;
	play_stop(&play->servers[1]);
	return 0;
}

static void test_helo(void **state)
{
	server->ehlo = "502 5.5.1 what?";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_string_equal(play_said(server), "1: EHLO mx.example.net\n"
					       "1: HELO mx.example.net\n"
					       "1: MAIL FROM:<sender@example.org>\n"
					       "1: RCPT TO:<one@example.com>\n"
					       "1: DATA\n");
	(void)state;
}

static void test_features(void **state)
{
	struct backend_features f;

	server->ehlo = "250-one\r\n250-8BITMIME\r\n250-SIZE 5000\r\n250-DSN\r\n250 SMTPUTF8";
	play->servers[1].ehlo = "250-two\r\n250-8BITMIME\r\n250-SIZE 4000\r\n250 DSN";
	play_open_unprobed(play);
	f = backends_features(play->backends);
	assert_false(f.known);
	assert_true(f.eight_bit && f.dsn && f.smtputf8);
	assert_int_equal(f.size_max, 0);
	PLAY_UNTIL(play, backends_features(play->backends).size_max == 4000);
	f = backends_features(play->backends);
	assert_true(f.known && f.eight_bit && f.dsn);
	assert_false(f.smtputf8);
	assert_false(f.lmtp);
	(void)state;
}

/* --- faults while a connection is made: the next server has the message --- */

static void fails_over(const char *greeting, const char *ehlo, const char *why)
{
	struct play *p = play_new(2);
	struct record status;
	struct span text;

	play_open(p);
	p->servers[0].greeting = greeting;
	p->servers[0].ehlo = ehlo;
	play_deliver(p);
	assert_int_equal(p->delivery.outcome, DELIVERY_ACCEPTED);
	assert_string_equal(p->delivery.server, "server-two");
	assert_int_equal(p->delivery.attempts, 2);
	assert_non_null(strstr(play_log(p), "backend_down"));
	assert_non_null(strstr(play_log(p), why));
	record_init(&status, true, 65536);
	backends_status(p->backends, &status);
	text = record_finish(&status);
	assert_true(span_find(text, SPAN("\"state\":\"down\"")) < text.len);
	assert_true(span_find(text, SPAN("\"state\":\"up\"")) < text.len);
	record_free(&status);
	play_free(&p);
}

static void test_failover(void **state)
{
	static const char ehlo[] = "250 one";

	fails_over("421 4.3.2 too much to do" CLOSE, ehlo, "too much to do");
	fails_over("554 5.3.2 no service", ehlo, "no service");
	fails_over("hello", ehlo, "no SMTP");
	fails_over("250 what", ehlo, "greeted");
	fails_over(CLOSE, ehlo, "closed");
	fails_over("220 one\r\n250 and more", ehlo, "more than it was asked");
	fails_over("220 one", "421 4.3.2 stopping" CLOSE, "refused our EHLO");
	fails_over("220 one", "354 what", "refused our EHLO");
	fails_over("220 one", CLOSE, "closed");
	fails_over("220 one", "250 one\r\n250 two", "more than it was asked");
	(void)state;
}

static void test_connect_timeout(void **state)
{
	play_open(play);
	server->greeting = "";
	play_deliver_start(play);
	PLAY_UNTIL(play, server->connections == 1);
	assert_string_equal(delivery_waits_for(&play->delivery), "backend greeting");
	play_advance(play, 29 * 1000);
	assert_false(play->done);
	play_advance(play, 2 * 1000);
	PLAY_UNTIL(play, play->done);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_string_equal(play->delivery.server, "server-two");
	(void)state;
}

/* --- down and up again --- */

static void test_down_and_up(void **state)
{
	play_open(play);
	play_stop(server);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.4.1");
	assert_string_equal(play->delivery.server, "server-one");
	assert_int_equal(play->delivery.attempts, 1);
	/* Known to be down: nobody is asked any more. */
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.4.1");
	assert_int_equal(play->delivery.attempts, 0);
	play->backend.verify_recipients = true;
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_DEFERRED);
	assert_string_equal(play->check.reply.enhanced, "4.4.1");
	/* 1, 2, 4 s later a probe asks in vain, and it is said once. */
	play_advance(play, 1100);
	play_advance(play, 2100);
	play_advance(play, 4100);
	assert_int_equal(play_count(play_log(play), "backend_down"), 1);
	play_start(server);
	play_advance(play, 7000);
	assert_int_equal(server->connections, 0);
	play_advance(play, 1200);
	PLAY_UNTIL(play, server->connections == 1 && server->open == 0);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(play_count(play_log(play), "backend_up"), 1);
	/* The next time it begins with 1 s again. */
	play_stop(server);
	play_deliver(play);
	assert_int_equal(play->delivery.outcome, DELIVERY_DEFERRED);
	assert_int_equal(play_count(play_log(play), "\"retry_ms\":1000"), 2);
	(void)state;
}

static void test_all_down(void **state)
{
	play_open(play);
	play_stop(&play->servers[0]);
	play_stop(&play->servers[1]);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.4.1");
	assert_string_equal(play->delivery.server, "server-two");
	assert_int_equal(play->delivery.attempts, 2);
	(void)state;
}

static void test_421_tries_the_next(void **state)
{
	play_open(play);
	server->rcpt = "421 4.3.2 restarting" CLOSE;
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_string_equal(play->delivery.server, "server-two");
	(void)state;
}

static void test_down_at_start(void **state)
{
	play_stop(server);
	play_open_unprobed(play);
	PLAY_UNTIL(play, strstr(play_log(play), "backend_down"));
	play_deliver(play);
	assert_string_equal(play->delivery.server, "server-two");
	(void)state;
}

/* A server that takes no more connections for now is not down for those it has. */
static void test_crowded(void **state)
{
	struct delivery first;

	play_open(play);
	server->end = "";
	play_deliver_start(play);
	PLAY_UNTIL(play, server->messages == 1);
	first = play->delivery;
	(void)first;
	server->greeting = "421 4.7.0 too many connections from you" CLOSE;
	server->end = "250 2.0.0 both";
	play->backend.verify_recipients = true;
	assert_false(play_check_start(play)); /* waits its turn */
	PLAY_UNTIL(play, server->connections == 2);
	play_rest(play);
	assert_null(strstr(play_log(play), "backend_down"));
	check_cancel(&play->check);
	PLAY_UNTIL(play, play->done);
	play_speak(server, "250 2.0.0 there you are\r\n");
	PLAY_UNTIL(play, play->done == 2);
	assert_int_equal(play->delivery.outcome, DELIVERY_ACCEPTED);
	(void)state;
}

/* The one connection that it bears is idle and of the other kind: its place is given on. */
static void test_crowded_by_the_other_kind(void **state)
{
	play->backend.verify_recipients = true;
	play_open(play);
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	assert_int_equal(server->open, 1);
	server->greeting = "421 4.7.0 too many connections from you" CLOSE "|220 server ESMTP";
	server->times[STEP_greeting] = 0;
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_string_equal(play->delivery.server, "server-one");
	assert_int_equal(server->open, 1);
	assert_null(strstr(play_log(play), "backend_down"));
	(void)state;
}

static void test_name_lookup(void **state)
{
	play->server_config[0].host = "localhost";
	play->server_config[0].endpoint.ip.family = IP_NONE;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	(void)state;
}

static void test_name_unknown(void **state)
{
	play->server_config[0].host = "no such host";
	play->server_config[0].endpoint.ip.family = IP_NONE;
	play_open_unprobed(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.4.1");
	assert_non_null(strstr(play_log(play), "address lookup"));
	(void)state;
}

static void test_unix_socket(void **state)
{
	play_stop(server);
	snprintf(server->unix_path, sizeof(server->unix_path), "/tmp/backend-play.%d",
		(int)getpid());
	play_start(server);
	play->server_config[0].unix_path = server->unix_path;
	play->server_config[0].host = NULL;
	play->server_config[0].endpoint.ip.family = IP_NONE;
	play->backend.protocol = BACKEND_LMTP;
	play->backend.tls = BACKEND_TLS_OPPORTUNISTIC; /* of no use there */
	server->ehlo = STARTTLS;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_null(strstr(play_said(server), "STARTTLS"));
	unlink(server->unix_path);
	(void)state;
}

/* The process may end at any time. */
static void test_close_during_lookup(void **state)
{
	play->server_config[0].host = "localhost";
	play->server_config[0].endpoint.ip.family = IP_NONE;
	play_open_unprobed(play);
	play_deliver_start(play);
	backends_close(&play->backends);
	PLAY_UNTIL(play, play->done);
	assert_int_equal(play->delivery.outcome, DELIVERY_CANCELLED);
	(void)state;
}

/* --- TLS --- */

static void test_tls(void **state)
{
	play_tls(server);
	server->ehlo = STARTTLS;
	server->ehlo_tls = WITH_TLS;
	play->backend.tls = BACKEND_TLS_REQUIRED;
	play->envelope.ret = DSN_RET_FULL;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_string_equal(play_said(server), "1: EHLO mx.example.net\n"
					       "1: STARTTLS\n"
					       "1: EHLO mx.example.net\n"
					       "1: MAIL FROM:<sender@example.org> RET=FULL\n"
					       "1: RCPT TO:<one@example.com>\n"
					       "1: DATA\n");
	assert_string_equal(buffer_string(&server->content), "Subject: hello\r\n\r\nbody\r\n");
	play_deliver(play);
	assert_true(play->delivery.reused);
	(void)state;
}

static void test_tls_opportunistic(void **state)
{
	play_tls(server);
	server->ehlo = STARTTLS;
	play->backend.tls = BACKEND_TLS_OPPORTUNISTIC;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_non_null(strstr(play_said(server), "STARTTLS"));
	/* Not offered, or not now: in plain. */
	play_hang_up(server);
	server->ehlo = WITH_TLS;
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	play_hang_up(server);
	server->ehlo = STARTTLS;
	server->starttls = "454 4.7.0 no certificate today";
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	(void)state;
}

/* The handshake fails: a new connection goes without, and so do the next ones for a while. */
static void test_tls_broken(void **state)
{
	server->ehlo = STARTTLS; /* 220, and then no TLS */
	play->backend.tls = BACKEND_TLS_OPPORTUNISTIC;
	play_open_unprobed(play);
	play_rest(play);
	server->starttls = "220 go on" CLOSE;
	play_hang_up(server);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_string_equal(play->delivery.server, "server-one");
	assert_int_equal(play_count(play_log(play), "backend_tls_failed"), 1);
	assert_null(strstr(play_log(play), "backend_down"));
	play_hang_up(server);
	buffer_clear(&server->said);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_null(strstr(play_said(server), "STARTTLS"));
	/* Later it is tried again. */
	play_advance(play, 11 * 60 * 1000);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_non_null(strstr(play_said(server), "STARTTLS"));
	(void)state;
}

static void tls_required(const char *ehlo, const char *starttls, const char *why)
{
	struct play *p = play_new(1);

	if (ehlo)
		p->servers[0].ehlo = ehlo;
	p->servers[0].starttls = starttls;
	p->backend.tls = BACKEND_TLS_REQUIRED;
	play_open_unprobed(p);
	play_deliver(p);
	assert_delivery(p, DELIVERY_DEFERRED, 451, "4.4.1");
	assert_null(strstr(play_said(&p->servers[0]), "MAIL"));
	assert_non_null(strstr(play_log(p), why));
	play_free(&p);
}

static void test_tls_required(void **state)
{
	tls_required(NULL, "", "does not offer STARTTLS");
	tls_required("502 5.5.1 no", "", "does not offer STARTTLS");
	tls_required(STARTTLS, "454 4.7.0 not now", "refused STARTTLS");
	tls_required(STARTTLS, "220 go on" CLOSE, "handshake");
	tls_required(STARTTLS, "220 go on\r\n220 and more", "more than it was asked");
	(void)state;
}

/* A certificate that nobody signed. */
static void test_tls_verified(void **state)
{
	play_tls(server);
	server->ehlo = STARTTLS;
	play->backend.tls = BACKEND_TLS_VERIFIED;
	play_open_unprobed(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.4.1");
	assert_null(strstr(play_said(server), "MAIL"));
	(void)state;
}

/* Plain text behind the 220, put there by somebody between: under opportunistic TLS too it never
 * counts. */
static void test_tls_injection(void **state)
{
	play_tls(server);
	server->ehlo = STARTTLS;
	server->starttls = "220 go on\r\n250 2.1.0 ok";
	play->backend.tls = BACKEND_TLS_OPPORTUNISTIC;
	play_open_unprobed(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.4.1");
	assert_null(strstr(play_said(server), "MAIL"));
	(void)state;
}

#define CASE(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define CASE_ONE(name) cmocka_unit_test_setup_teardown(name, setup_one, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE_ONE(test_helo),
		CASE(test_features),
		CASE(test_failover),
		CASE(test_connect_timeout),
		CASE_ONE(test_down_and_up),
		CASE(test_all_down),
		CASE(test_421_tries_the_next),
		CASE(test_down_at_start),
		CASE_ONE(test_crowded),
		CASE_ONE(test_crowded_by_the_other_kind),
		CASE_ONE(test_name_lookup),
		CASE_ONE(test_name_unknown),
		CASE_ONE(test_unix_socket),
		CASE_ONE(test_close_during_lookup),
		CASE_ONE(test_tls),
		CASE_ONE(test_tls_opportunistic),
		CASE_ONE(test_tls_broken),
		CASE(test_tls_required),
		CASE_ONE(test_tls_verified),
		CASE_ONE(test_tls_injection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A message handed over in plain SMTP: the turns, and what becomes of each answer. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/backend_play.h"

#define NO_PIPELINING "250 backend.test"

static struct play *play;
static struct play_server *server;

static int setup(void **state)
{
	play = play_new(1);
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

static void test_accepted(void **state)
{
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "2.0.0 queued as 4711");
	assert_string_equal(play->delivery.server, "server-one");
	assert_string_equal(play->delivery.backend_name, "main");
	assert_int_equal(play->delivery.attempts, 1);
	assert_false(play->delivery.reused);
	assert_string_equal(buffer_string(&server->content), "Subject: hello\r\n\r\nbody\r\n");
	assert_string_equal(play_said(server), "1: EHLO mx.example.net\n"
					       "1: MAIL FROM:<sender@example.org> SIZE=24\n"
					       "1: RCPT TO:<one@example.com>\n"
					       "1: DATA\n");
	/* The next goes over the same connection. */
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_true(play->delivery.reused);
	assert_int_equal(server->connections, 1);
	assert_int_equal(server->messages, 2);
	assert_int_equal(atomic_load(&play->row->counters[COUNT_backend_connects]), 1);
	(void)state;
}

static void test_parameters(void **state)
{
	server->ehlo = "250-backend.test\r\n250-pipelining\r\n250-SIZE\r\n250-8bitmime\r\n"
		       "250-SMTPUTF8\r\n250 DSN";
	play_address(&play->envelope.from, "jörg@example.org");
	play_address(&play->recipients[0].to, "\"a b\"@example.com");
	play->envelope.smtputf8 = true;
	play->envelope.ret = DSN_RET_HDRS;
	play->envelope.envid = SPAN("QQ+2B1");
	play->recipients[0].notify = SPAN("SUCCESS,DELAY");
	play->recipients[0].orcpt = SPAN("rfc822;a+2Bb@example.com");
	play->message.eight_bit = true;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_string_equal(play_said(server),
		"1: EHLO mx.example.net\n"
		"1: MAIL FROM:<jörg@example.org> SIZE=24 BODY=8BITMIME SMTPUTF8 RET=HDRS "
		"ENVID=QQ+2B1\n"
		"1: RCPT TO:<\"a b\"@example.com> NOTIFY=SUCCESS,DELAY "
		"ORCPT=rfc822;a+2Bb@example.com\n"
		"1: DATA\n");
	(void)state;
}

static void test_parameters_not_offered(void **state)
{
	server->ehlo = NO_PIPELINING;
	play_address(&play->envelope.from, "");
	play->envelope.ret = DSN_RET_FULL;
	play->envelope.envid = SPAN("QQ");
	play->envelope.body = MAIL_BODY_8BITMIME;
	play->recipients[0].notify = SPAN("NEVER");
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_string_equal(play_said(server), "1: EHLO mx.example.net\n"
					       "1: MAIL FROM:<>\n"
					       "1: RCPT TO:<one@example.com>\n"
					       "1: DATA\n");
	(void)state;
}

static void test_smtputf8_missing(void **state)
{
	play->envelope.smtputf8 = true;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 550, "5.6.7");
	assert_null(strstr(play_said(server), "MAIL"));
	play->envelope.smtputf8 = false;
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "");
	assert_int_equal(server->connections, 1);
	(void)state;
}

/* Without PIPELINING no command goes before the reply to the one before. */
static void test_in_turns(void **state)
{
	static const char *const expected[] = {"MAIL", "RCPT", "RCPT", "DATA"};

	server->ehlo = NO_PIPELINING;
	server->mail = server->rcpt = server->data = "";
	play_recipients(play, "one@example.com", "two@example.com", NULL);
	play_open(play);
	play_deliver_start(play);
	for (unsigned i = 0; i < COUNT_OF(expected); i++) {
		const char *last;

		PLAY_UNTIL(play, play_count(play_said(server), "1: ") == i + 2);
		play_rest(play);
		assert_int_equal(play_count(play_said(server), "1: "), i + 2);
		last = strrchr(play_said(server), ':');
		while (last > play_said(server) && *last != '\n')
			last--;
		assert_non_null(strstr(last, expected[i]));
		if (i < 3)
			play_speak(server, "250 ok\r\n");
	}
	play_speak(server, "554 5.3.0 not now\r\n");
	PLAY_UNTIL(play, play->done);
	assert_delivery(play, DELIVERY_REFUSED, 554, "5.3.0 not now");
	(void)state;
}

/* --- refusals at each stage, with and without PIPELINING --- */

static void refusals(const char *ehlo)
{
	if (ehlo)
		server->ehlo = ehlo;
	server->mail = "550 5.1.8 who|250 ok";
	server->rcpt =
		"503 5.5.1 no MAIL|550-5.1.1 no\r\n550 5.1.1 such user|450 4.2.1 later|250 ok";
	server->data =
		"503 5.5.1 no RCPT|503 5.5.1 no RCPT|503 5.5.1 no RCPT|452 4.3.1 full|354 go";
	server->end = "554 5.7.1 spam|451 4.7.1 later|250 2.0.0 ok";
	if (ehlo) { /* in turns the server is asked less */
		server->rcpt = strchr(server->rcpt, '|') + 1;
		server->data = "452 4.3.1 full|354 go";
	}
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 550, "5.1.8 who");
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 550, "5.1.1 no\nsuch user");
	assert_int_equal(play->recipients[0].backend_reply.code, 550);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 450, "4.2.1 later");
	if (!ehlo)
		server->times[STEP_data] = 3; /* 354 comes only with recipients */
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 452, "4.3.1 full");
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 554, "5.7.1 spam");
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.7.1 later");
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "2.0.0 ok");
	assert_int_equal(play_count(play_said(server), "RSET"), 3);
}

static void test_refusals(void **state)
{
	refusals(NULL);
	(void)state;
}

static void test_refusals_in_turns(void **state)
{
	refusals(NO_PIPELINING);
	(void)state;
}

/* The server takes DATA although it refused the only recipient: it must not get a message. */
static void test_354_without_recipient(void **state)
{
	server->rcpt = "550 5.1.1 unknown";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 550, "5.1.1 unknown");
	PLAY_UNTIL(play, server->open == 0);
	assert_int_equal(server->messages, 0);
	(void)state;
}

/* --- several recipients --- */

static void test_recipients(void **state)
{
	play_recipients(play, "one@example.com", "two@example.com", "three@example.com", NULL);
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_string_equal(play_said(server), "1: EHLO mx.example.net\n"
					       "1: MAIL FROM:<sender@example.org> SIZE=24\n"
					       "1: RCPT TO:<one@example.com>\n"
					       "1: RCPT TO:<two@example.com>\n"
					       "1: RCPT TO:<three@example.com>\n"
					       "1: DATA\n");
	assert_int_equal(play->recipients[2].backend_reply.code, 250);
	(void)state;
}

static void test_all_recipients_refused(void **state)
{
	server->rcpt = "550 5.1.1 one|551 5.1.6 two";
	play_recipients(play, "one@example.com", "two@example.com", NULL);
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 550, "5.1.1 one");
	assert_null(strstr(play_said(server), "DATA"));
	/* Its answer was given: the next time it is asked again. */
	assert_true(play_check_start(play));
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	(void)state;
}

/* Some refused: nothing is sent, the client comes again, and learns at RCPT who it is. */
static void test_some_recipients_refused(void **state)
{
	server->rcpt = "250 ok|550 5.1.1 gone|452 4.5.3 too many|250 ok";
	play_recipients(play, "one@example.com", "two@example.com", "three@example.com", NULL);
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.3.0");
	assert_int_equal(server->messages, 0);
	assert_non_null(strstr(play_said(server), "RSET"));
	assert_null(strstr(play_said(server), "DATA"));
	assert_int_equal(play->recipients[1].backend_reply.code, 550);

	assert_true(play_check_start(play));
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	play->recipients[0] = play->recipients[1];
	assert_true(play_check_start(play));
	assert_int_equal(play->check.outcome, CHECK_REFUSED);
	assert_int_equal(play->check.reply.code, 550);
	assert_true(span_equal(play->check.reply.text, SPAN("gone")));
	/* What was put off is told once. */
	play->recipients[0] = play->recipients[2];
	assert_true(play_check_start(play));
	assert_int_equal(play->check.outcome, CHECK_DEFERRED);
	assert_int_equal(play->check.reply.code, 452);
	assert_true(play_check_start(play));
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	/* A day later the other may come again, too. */
	play->recipients[0] = play->recipients[1];
	play_advance(play, UINT64_C(24) * 3600 * 1000 + 2000);
	assert_true(play_check_start(play));
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	(void)state;
}

static void test_many_recipients(void **state)
{
	enum { N = 2000 };
	struct recipient *many = calloc(N, sizeof(*many));
	char(*names)[64] = calloc(N, sizeof(*names));

	for (unsigned i = 0; i < N; i++) {
		snprintf(names[i], sizeof(names[i]), "user.with.a.longer.name.%u@example.com", i);
		play_address(&many[i].to, names[i]);
		many[i].next = i + 1 < N ? &many[i + 1] : NULL;
	}
	play->envelope.recipients = many;
	play->envelope.n_recipients = N;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(play_count(play_said(server), "RCPT TO"), N);
	free(many);
	free(names);
	(void)state;
}

/* --- answers that make no sense: never an acceptance --- */

static void garbage(enum play_step step, const char *answer, enum delivery_outcome outcome)
{
	struct play *p = play_new(1);
	const char **script[STEP_COUNT] = {[STEP_mail] = &p->servers[0].mail,
		[STEP_rcpt] = &p->servers[0].rcpt,
		[STEP_data] = &p->servers[0].data,
		[STEP_end] = &p->servers[0].end};

	*script[step] = answer;
	play_open(p);
	play_deliver(p);
	if (p->delivery.outcome != outcome)
		print_error("step %d, '%s'\n", (int)step, answer);
	assert_int_equal(p->delivery.outcome, outcome);
	assert_int_equal(p->delivery.reply.code, 451);
	PLAY_UNTIL(p, p->servers[0].open == 0);
	play_free(&p);
}

static void test_garbage(void **state)
{
	static const char *const answers[] = {"354 go on", "what?", "999 ok", "250\001ok",
		"2500 ok", "250-ok\r\n251 ok", "150 wait", "350 more"};

	for (size_t i = 0; i < COUNT_OF(answers); i++) {
		garbage(STEP_mail, answers[i], DELIVERY_DEFERRED);
		garbage(STEP_rcpt, answers[i], DELIVERY_DEFERRED);
		if (i > 0)
			garbage(STEP_data, answers[i], DELIVERY_DEFERRED);
		garbage(STEP_end, answers[i], DELIVERY_IN_DOUBT);
	}
	garbage(STEP_data, "250 ok", DELIVERY_DEFERRED);
	/* One reply too many: what follows would be off by one. */
	garbage(STEP_mail, "250 ok\r\n250 ok", DELIVERY_DEFERRED);
	garbage(STEP_rcpt, "250 ok\r\n250 ok", DELIVERY_DEFERRED);
	garbage(STEP_data, "354 go\r\n250 ok", DELIVERY_DEFERRED);
	(void)state;
}

static void test_endless_reply(void **state)
{
	server->mail = server->rcpt = server->data = "";
	play_open(play);
	play_deliver_start(play);
	PLAY_UNTIL(play, strstr(play_said(server), "DATA"));
	for (unsigned i = 0; !play->done && i < 100000; i++) {
		play_speak(server, "250-on and on\r\n");
		loop_turn(&play->loop, false);
	}
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.5.0");
	(void)state;
}

/* The acceptance stands; the connection, which then speaks unasked, goes. */
static void test_extra_reply_behind_the_last(void **state)
{
	server->end = "250 2.0.0 taken\r\n250 again";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "taken");
	PLAY_UNTIL(play, server->open == 0);
	server->end = "250 2.0.0 taken";
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "taken");
	assert_int_equal(server->connections, 2);
	(void)state;
}

static void test_text_made_harmless(void **state)
{
	server->end = "550-5.7.1 b\xc3\xa4"
		      "d\r\n550 5.7.1 tab\there";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 550, "5.7.1 b??d\n");
	(void)state;
}

/* --- the connection ends --- */

static void closes(enum play_step step, const char *answer, enum delivery_outcome outcome)
{
	struct play *p = play_new(1);
	const char **script[STEP_COUNT] = {[STEP_mail] = &p->servers[0].mail,
		[STEP_rcpt] = &p->servers[0].rcpt,
		[STEP_data] = &p->servers[0].data,
		[STEP_end] = &p->servers[0].end};

	*script[step] = answer;
	play_open(p);
	play_deliver(p);
	assert_int_equal(p->delivery.outcome, outcome);
	assert_int_equal(p->delivery.reply.code, 451);
	assert_string_equal(p->delivery.reply.enhanced, "4.4.2");
	assert_int_equal(p->servers[0].connections, 1);
	play_free(&p);
}

static void test_closed(void **state)
{
	closes(STEP_mail, CLOSE, DELIVERY_DEFERRED);
	closes(STEP_rcpt, CLOSE, DELIVERY_DEFERRED);
	closes(STEP_data, CLOSE, DELIVERY_DEFERRED);
	closes(STEP_data, "354 go" CLOSE, DELIVERY_IN_DOUBT); /* the end may have reached it */
	closes(STEP_end, CLOSE, DELIVERY_IN_DOUBT);
	closes(STEP_end, "250-not yet all" CLOSE, DELIVERY_IN_DOUBT);
	(void)state;
}

static void test_in_doubt_is_logged(void **state)
{
	server->end = CLOSE;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_IN_DOUBT, 451, "4.4.2");
	assert_non_null(strstr(play_log(play), "\"delivery_in_doubt\""));
	assert_non_null(strstr(play_log(play), "\"SID\""));
	(void)state;
}

/* A refusal that came before the end counts, although the connection is closed behind it. */
static void test_refused_and_closed(void **state)
{
	server->mail = "550 5.7.1 go away" CLOSE;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 550, "go away");
	server->mail = "250 ok";
	server->rcpt = "550 5.7.1 you too" CLOSE;
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 550, "you too");
	server->rcpt = "250 ok";
	server->end = "421 4.3.0 stopping" CLOSE;
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.3.0 stopping");
	(void)state;
}

static void test_421(void **state)
{
	server->mail = "421 4.3.2 restarting" CLOSE;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.3.2 restarting");
	assert_int_equal(server->connections, 1);
	(void)state;
}

/* --- time --- */

static void test_timeouts(void **state)
{
	server->mail = server->rcpt = server->data = "";
	play_open(play);
	play_deliver_start(play);
	PLAY_UNTIL(play, strstr(play_said(server), "DATA"));
	play_advance(play, 110 * 1000);
	assert_false(play->done);
	play_advance(play, 11 * 1000);
	PLAY_UNTIL(play, play->done);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.4.2");
	server->mail = server->rcpt = "250 ok";
	server->data = "354 go";
	server->end = "";
	play_deliver_start(play);
	PLAY_UNTIL(play, server->messages == 1);
	play_advance(play, 590 * 1000);
	assert_false(play->done);
	assert_string_equal(
		delivery_waits_for(&play->delivery), "backend reply to the end of the message");
	play_advance(play, 11 * 1000);
	PLAY_UNTIL(play, play->done);
	assert_delivery(play, DELIVERY_IN_DOUBT, 451, "4.4.2");
	(void)state;
}

/* --- the client goes --- */

static void cancelled_at(enum play_step step, enum delivery_outcome outcome)
{
	struct play *p = play_new(1);
	struct play_server *s = &p->servers[0];
	const char **script[STEP_COUNT] = {[STEP_greeting] = &s->greeting,
		[STEP_ehlo] = &s->ehlo,
		[STEP_mail] = &s->mail,
		[STEP_data] = &s->data,
		[STEP_end] = &s->end};
	const char *usual = *script[step];

	play_open(p);
	*script[step] = "";
	if (step == STEP_mail) /* or these would pass for its answer */
		s->rcpt = s->data = "";
	play_deliver_start(p);
	PLAY_UNTIL(p, s->times[step]);
	delivery_cancel(&p->delivery);
	assert_int_equal(p->done, 0);
	if (outcome != DELIVERY_CANCELLED) {
		play_rest(p);
		assert_int_equal(p->done, 0);
		play_speak(s, "250 2.0.0 taken\r\n");
	}
	PLAY_UNTIL(p, p->done);
	play_rest(p);
	assert_int_equal(p->done, 1);
	assert_int_equal(p->delivery.outcome, outcome);
	delivery_cancel(&p->delivery); /* too late: nothing happens */
	assert_int_equal(s->messages, outcome == DELIVERY_CANCELLED ? 0 : 1);
	/* The next one goes its way. */
	*script[step] = usual;
	s->rcpt = "250 ok";
	s->data = "354 go on";
	if (step < STEP_mail) { /* the connection is of use to the next */
		play_speak(s, usual);
		play_speak(s, "\r\n");
		play_rest(p);
	}
	play_deliver(p);
	assert_int_equal(s->connections, step < STEP_mail || outcome == DELIVERY_ACCEPTED ? 1 : 2);
	assert_int_equal(p->delivery.outcome, DELIVERY_ACCEPTED);
	play_free(&p);
}

static void test_cancel(void **state)
{
	cancelled_at(STEP_greeting, DELIVERY_CANCELLED);
	cancelled_at(STEP_ehlo, DELIVERY_CANCELLED);
	cancelled_at(STEP_mail, DELIVERY_CANCELLED);
	cancelled_at(STEP_data, DELIVERY_CANCELLED);
	cancelled_at(STEP_end, DELIVERY_ACCEPTED);
	(void)state;
}

static void test_cancel_at_once(void **state)
{
	play_open(play);
	play_deliver_start(play);
	delivery_cancel(&play->delivery);
	delivery_cancel(&play->delivery);
	PLAY_UNTIL(play, play->done);
	play_rest(play);
	assert_int_equal(play->done, 1);
	assert_int_equal(play->delivery.outcome, DELIVERY_CANCELLED);
	(void)state;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_accepted),
		CASE(test_parameters),
		CASE(test_parameters_not_offered),
		CASE(test_smtputf8_missing),
		CASE(test_in_turns),
		CASE(test_refusals),
		CASE(test_refusals_in_turns),
		CASE(test_354_without_recipient),
		CASE(test_recipients),
		CASE(test_all_recipients_refused),
		CASE(test_some_recipients_refused),
		CASE(test_many_recipients),
		CASE(test_garbage),
		CASE(test_endless_reply),
		CASE(test_extra_reply_behind_the_last),
		CASE(test_text_made_harmless),
		CASE(test_closed),
		CASE(test_in_doubt_is_logged),
		CASE(test_refused_and_closed),
		CASE(test_421),
		CASE(test_timeouts),
		CASE(test_cancel),
		CASE(test_cancel_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

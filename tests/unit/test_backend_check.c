/* Recipients asked about before we answer RCPT. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/backend_play.h"

static struct play *play;
static struct play_server *server;

static int setup(void **state)
{
	play = play_new(1);
	play->backend.verify_recipients = true;
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

#define assert_check(outcome_, code_, text_)                                                       \
	do {                                                                                       \
		assert_int_equal(play->check.outcome, (outcome_));                                 \
		assert_int_equal(play->check.reply.code, (code_));                                 \
		assert_int_equal(play->check.reply.text.len, strlen(text_));                       \
		assert_memory_equal(play->check.reply.text.at, (text_), strlen(text_));            \
	} while (0)

static void test_off(void **state)
{
	play->backend.verify_recipients = false;
	play_open(play);
	assert_true(play_check_start(play));
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	assert_int_equal(server->connections, 0);
	(void)state;
}

static void test_welcome(void **state)
{
	/* Neither the size nor the notices that a client asks for matter to who is welcome. */
	play->envelope.size = 123456;
	play->envelope.ret = DSN_RET_FULL;
	play_open(play);
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	assert_false(play->check.cached);
	assert_string_equal(play_said(server), "1: EHLO mx.example.net\n"
					       "1: MAIL FROM:<sender@example.org>\n"
					       "1: RCPT TO:<one@example.com>\n"
					       "1: RSET\n");
	assert_true(play_check_start(play));
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	assert_true(play->check.cached);
	/* An hour later it is asked again, and so is another sender's recipient. */
	play_advance(play, 3601 * 1000);
	play_check(play);
	assert_false(play->check.cached);
	play_address(&play->envelope.from, "");
	play_check(play);
	assert_false(play->check.cached);
	assert_non_null(strstr(play_said(server), "MAIL FROM:<>\n"));
	(void)state;
}

static void refused(const char *ehlo)
{
	if (ehlo)
		server->ehlo = ehlo;
	server->rcpt = "550 5.1.1 no such user|250 ok";
	play_open(play);
	play_check(play);
	assert_check(CHECK_REFUSED, 550, "no such user");
	assert_string_equal(play->check.reply.enhanced, "5.1.1");
	play_check(play);
	assert_check(CHECK_REFUSED, 550, "no such user");
	assert_true(play->check.cached);
	play_advance(play, 301 * 1000);
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
}

static void test_refused(void **state)
{
	refused(NULL);
	(void)state;
}

static void test_refused_in_turns(void **state)
{
	refused("250 backend.test");
	(void)state;
}

static void test_deferred(void **state)
{
	server->rcpt = "450 4.2.1 later|250 ok";
	play_open(play);
	play_check(play);
	assert_check(CHECK_DEFERRED, 450, "later");
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	assert_int_equal(server->connections, 1);
	(void)state;
}

static void mail_refused(const char *ehlo)
{
	if (ehlo)
		server->ehlo = ehlo;
	server->mail = "550 5.1.8 who is that";
	server->rcpt = "503 5.5.1 MAIL first";
	play_open(play);
	play_check(play);
	assert_check(CHECK_REFUSED, 550, "who is that");
	assert_int_equal(server->open, 1);
}

static void test_mail_refused(void **state)
{
	mail_refused(NULL);
	(void)state;
}

static void test_mail_refused_in_turns(void **state)
{
	mail_refused("250 backend.test");
	assert_null(strstr(play_said(server), "RCPT"));
	(void)state;
}

static void test_smtputf8(void **state)
{
	play->envelope.smtputf8 = true;
	play_open(play);
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_REFUSED);
	assert_string_equal(play->check.reply.enhanced, "5.6.7");
	server->ehlo = "250-backend.test\r\n250 SMTPUTF8";
	play_hang_up(server);
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	assert_non_null(strstr(play_said(server), "MAIL FROM:<sender@example.org> SMTPUTF8\n"));
	(void)state;
}

/* Checks have connections of their own, which are done after 8 refusals or 50 uses. */
static void test_worn_by_refusals(void **state)
{
	static const char *const names[] = {"a@x.de", "b@x.de", "c@x.de", "d@x.de", "e@x.de",
		"f@x.de", "g@x.de", "h@x.de", "i@x.de"};

	server->rcpt = "550 5.1.1 no";
	play_open(play);
	play_deliver(play);
	for (unsigned i = 0; i < COUNT_OF(names); i++) {
		play_address(&play->recipients[0].to, names[i]);
		play_check(play);
		assert_int_equal(play->check.outcome, CHECK_REFUSED);
		assert_int_equal(server->connections, i < 8 ? 2 : 3);
	}
	(void)state;
}

static void test_worn_by_uses(void **state)
{
	play_open(play);
	for (unsigned i = 0; i < 51; i++) {
		char name[32];

		snprintf(name, sizeof(name), "u%u@example.com", i);
		play_address(&play->recipients[0].to, name);
		play_check(play);
		assert_int_equal(play->check.outcome, CHECK_WELCOME);
	}
	assert_int_equal(server->connections, 2);
	(void)state;
}

static void test_rset_refused(void **state)
{
	server->rset = "503 5.5.1 no";
	play_open(play);
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	PLAY_UNTIL(play, server->open == 0);
	(void)state;
}

static void test_faults(void **state)
{
	server->rcpt = CLOSE;
	play_open(play);
	play_check(play);
	assert_check(CHECK_DEFERRED, 451, "The connection to the mail server was lost");
	server->rcpt = "354 go on";
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_DEFERRED);
	assert_string_equal(play->check.reply.enhanced, "4.5.0");
	server->rcpt = "421 4.3.2 going down" CLOSE;
	play_check(play);
	assert_check(CHECK_DEFERRED, 451, "going down");
	/* Of all that nothing is remembered. */
	server->rcpt = "250 ok";
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	(void)state;
}

static void test_stale_replaced(void **state)
{
	play_open(play);
	play_check(play);
	server->mail = CLOSE "|250 ok";
	server->times[STEP_mail] = 0;
	play_address(&play->recipients[0].to, "two@example.com");
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	assert_int_equal(server->connections, 2);
	(void)state;
}

/* What was asked is learned although nobody waits for it any more. */
static void test_cancel(void **state)
{
	server->rcpt = "";
	play_open(play);
	assert_false(play_check_start(play));
	PLAY_UNTIL(play, strstr(play_said(server), "RSET"));
	assert_non_null(strstr(check_waits_for(&play->check), "backend reply to"));
	check_cancel(&play->check);
	check_cancel(&play->check);
	PLAY_UNTIL(play, play->done);
	play_rest(play);
	assert_int_equal(play->done, 1);
	assert_int_equal(play->check.outcome, CHECK_CANCELLED);
	memset(&play->check, 0xee, sizeof(play->check));
	play_hang_up(server);
	server->rcpt = "250 ok";
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	(void)state;
}

static void test_cancel_and_reuse(void **state)
{
	play_open(play);
	assert_false(play_check_start(play));
	PLAY_UNTIL(play, server->times[STEP_mail]);
	check_cancel(&play->check);
	PLAY_UNTIL(play, play->done);
	play_rest(play);
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	assert_int_equal(server->connections, 1);
	(void)state;
}

static void test_cancelled_is_learned(void **state)
{
	server->rcpt = "550 5.1.1 no such user";
	play_open(play);
	assert_false(play_check_start(play));
	PLAY_UNTIL(play, server->times[STEP_rcpt]);
	check_cancel(&play->check);
	PLAY_UNTIL(play, play->done);
	play_rest(play);
	assert_true(play_check_start(play));
	assert_check(CHECK_REFUSED, 550, "no such user");
	(void)state;
}

static void test_text_bounded(void **state)
{
	char reply[8000] = "550-5.1.1 ";

	for (unsigned i = 0; i < 9; i++) {
		size_t len = strlen(reply);

		memset(reply + len, 'x', 600);
		snprintf(reply + len + 600, 100, "\r\n550%s", i < 8 ? "-" : " the end");
	}
	server->rcpt = reply;
	play_open(play);
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_REFUSED);
	assert_true(play->check.reply.text.len <= sizeof(play->check.text_memory));
	play_check(play);
	assert_true(play->check.cached);
	assert_int_equal(play->check.outcome, CHECK_REFUSED);
	(void)state;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_off),
		CASE(test_welcome),
		CASE(test_refused),
		CASE(test_refused_in_turns),
		CASE(test_deferred),
		CASE(test_mail_refused),
		CASE(test_mail_refused_in_turns),
		CASE(test_smtputf8),
		CASE(test_worn_by_refusals),
		CASE(test_worn_by_uses),
		CASE(test_rset_refused),
		CASE(test_faults),
		CASE(test_stale_replaced),
		CASE(test_cancel),
		CASE(test_cancel_and_reuse),
		CASE(test_cancelled_is_learned),
		CASE(test_text_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

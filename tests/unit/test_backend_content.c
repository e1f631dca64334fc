/* The message's bytes on the wire: dots, BDAT, files and slow readers, LMTP's many answers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/backend_play.h"

#define CHUNKING "250-backend.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES"

enum { BIG = 12 << 20 };

static struct play *play;
static struct play_server *server;

static int setup(void **state)
{
	play = play_new(1);
	server = &play->servers[0];
	(void)state;
	return 0;
}

static int setup_chunking(void **state)
{
	setup(state);
	server->ehlo = CHUNKING;
	return 0;
}

static int setup_lmtp(void **state)
{
	setup(state);
	server->lmtp_ends = true;
	play->backend.protocol = BACKEND_LMTP;
	play_recipients(play, "one@example.com", "two@example.com", NULL);
	return 0;
}

static int teardown(void **state)
{
	play_free(&play);
	(void)state;
	return 0;
}

/* --- dots --- */

static void test_dots(void **state)
{
	assert_true(buffer_add_text(&play->message.prefix, "Received: by us\r\n"));
	play_content(play, ".Subject: a\r\n\r\n.\r\n..\r\nx.\r\n.\r\n");
	play->message.leading_dot = true;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_string_equal(buffer_string(&server->content),
		"Received: by us\r\n..Subject: a\r\n\r\n..\r\n...\r\nx.\r\n..\r\n");
	assert_int_equal(server->messages, 1);
	(void)state;
}

static void test_many_dots(void **state)
{
	enum { LINES = 5000 };
	char *content = calloc(LINES, 4);

	for (unsigned i = 0; i < LINES; i++)
		strcat(content + 3 * i, ".\r\n");
	play_content(play, content);
	play->message.leading_dot = true;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(server->content.len, LINES * 4);
	free(content);
	(void)state;
}

static void test_cuts(void **state)
{
	struct message_change cuts[] = {{.start = 0, .len = 5}, {.start = 9, .len = 4}};

	play_content(play, "A: 1\nB: 2C: 3D: 4\r\n\r\nbody\r\n");
	play->message.changes = cuts;
	play->message.n_changes = 2;
	play_open(play);
	play_deliver(play);
	assert_string_equal(buffer_string(&server->content), "B: 2D: 4\r\n\r\nbody\r\n");
	assert_non_null(strstr(play_said(server), "SIZE=18\n"));
	(void)state;
}

/* --- BDAT --- */

static void test_bdat_at_once(void **state)
{
	server->end = "250 2.0.0 queued by chunk";
	play_content(play, ".Subject: a\r\n\r\n.\r\n");
	play->message.leading_dot = true;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "2.0.0 queued by chunk");
	assert_string_equal(play_said(server), "1: EHLO mx.example.net\n"
					       "1: MAIL FROM:<sender@example.org>\n"
					       "1: RCPT TO:<one@example.com>\n"
					       "1: BDAT 18 LAST\n");
	assert_string_equal(buffer_string(&server->content), ".Subject: a\r\n\r\n.\r\n");
	(void)state;
}

/* A connection that has been idle may have died: DATA finds out before the end of the message. */
static void test_bdat_not_when_idle(void **state)
{
	play_open(play);
	play_deliver(play);
	play_advance(play, 5000);
	buffer_clear(&server->said);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_true(play->delivery.reused);
	assert_non_null(strstr(play_said(server), "DATA"));
	assert_null(strstr(play_said(server), "BDAT"));
	(void)state;
}

static void test_bdat_refused(void **state)
{
	server->rcpt = "550 5.1.1 no such user";
	server->end = "503 5.5.1 no recipient";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 550, "5.1.1 no such user");
	assert_non_null(strstr(play_said(server), "RSET"));
	server->rcpt = "250 2.1.5 ok";
	server->end = "452 4.3.1 full|250 2.0.0 ok";
	server->times[STEP_end] = 0;
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 452, "4.3.1 full");
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "ok");
	assert_int_equal(server->connections, 1);
	(void)state;
}

static void test_bdat_several(void **state)
{
	play_recipients(play, "one@example.com", "two@example.com", NULL);
	server->rcpt = "250 2.1.5 ok|550 5.1.1 no|250 2.1.5 ok";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.3.0");
	assert_null(strstr(play_said(server), "BDAT"));
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_non_null(strstr(play_said(server), "BDAT 24 LAST"));
	(void)state;
}

/* A server that is one reply ahead: the answer to RCPT does not pass for one to the message. */
static void test_bdat_off_by_one(void **state)
{
	server->rcpt = "250 2.1.5 ok";
	server->mail = "250 2.1.0 ok\r\n250 2.1.0 ok";
	server->end = "";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_IN_DOUBT, 451, "4.4.2");
	/* From now on by DATA. */
	server->mail = "250 2.1.0 ok";
	server->end = "250 2.0.0 ok";
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "ok");
	assert_non_null(strstr(play_said(server), "DATA"));
	(void)state;
}

static void test_bdat_closed(void **state)
{
	server->end = CLOSE;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_IN_DOUBT, 451, "4.4.2");
	server->mail = "421 4.3.2 stopping" CLOSE;
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.3.2 stopping");
	server->mail = "550 5.7.1 no" CLOSE;
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 550, "5.7.1 no");
	(void)state;
}

/* --- large ones --- */

static void big_file(bool dots)
{
	char *block = malloc(BIG);
	int fd = memfd_create("spool", MFD_CLOEXEC);

	for (size_t i = 0; i < BIG; i++)
		block[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : (char)('a' + i % 7);
	for (size_t i = 0; dots && i < BIG; i += 80 * 3)
		block[i] = '.';
	memcpy(block + BIG - 2, "\r\n", 2);
	assert_int_equal(write(fd, block, BIG), BIG);
	free(block);
	play->message.spool.fd = fd;
	play->message.spool.file_len = BIG;
	play->message.leading_dot = dots;
}

static void slow_reader(bool dots, const char *ehlo)
{
	size_t expected;

	if (ehlo)
		server->ehlo = ehlo;
	big_file(dots);
	expected = message_size(&play->message) + (dots && !ehlo ? (BIG + 239) / 240 : 0);
	play_open(play);
	server->deaf_in_data = true;
	play_deliver_start(play);
	PLAY_UNTIL(play, server->times[STEP_data] || strstr(play_said(server), "BDAT"));
	for (unsigned i = 0; i < 10; i++)
		play_rest(play);
	assert_false(play->done);
	assert_string_equal(delivery_waits_for(&play->delivery), "backend taking the message");
	/* What waits in memory is far less than the message. */
	assert_true(server->content.len < BIG);
	play_listen(server);
	PLAY_UNTIL(play, play->done);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "4711");
	assert_int_equal(server->content.len, expected);
}

static void test_big(void **state)
{
	slow_reader(false, NULL);
	(void)state;
}

static void test_big_with_dots(void **state)
{
	slow_reader(true, NULL);
	(void)state;
}

static void test_big_bdat(void **state)
{
	play_recipients(play, "one@example.com", "two@example.com", NULL);
	slow_reader(true, CHUNKING);
	(void)state;
}

static void test_big_tls(void **state)
{
	play_tls(server);
	server->ehlo = "250-one\r\n250-PIPELINING\r\n250 STARTTLS";
	server->ehlo_tls = "250 one";
	play->backend.tls = BACKEND_TLS_REQUIRED;
	slow_reader(false, NULL);
	(void)state;
}

static void test_big_timeout(void **state)
{
	big_file(false);
	play_open(play);
	server->deaf_in_data = true;
	play_deliver_start(play);
	PLAY_UNTIL(play, server->times[STEP_data]);
	for (unsigned i = 0; i < 5; i++)
		play_rest(play);
	play_advance(play, 181 * 1000);
	PLAY_UNTIL(play, play->done);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.4.2");
	play_listen(server);
	PLAY_UNTIL(play, server->open == 0);
	assert_int_equal(server->messages, 0);
	(void)state;
}

/* The server has enough before the end: its word counts, the rest is not sent. */
static void test_big_refused_early(void **state)
{
	big_file(false);
	play_open(play);
	server->deaf_in_data = true;
	play_deliver_start(play);
	PLAY_UNTIL(play, server->times[STEP_data]);
	play_rest(play);
	play_speak(server, "552 5.3.4 too big\r\n");
	PLAY_UNTIL(play, play->done);
	assert_delivery(play, DELIVERY_REFUSED, 552, "5.3.4 too big");
	(void)state;
}

/* An acceptance before the end is none. */
static void test_big_accepted_early(void **state)
{
	big_file(false);
	play_open(play);
	server->deaf_in_data = true;
	play_deliver_start(play);
	PLAY_UNTIL(play, server->times[STEP_data]);
	play_rest(play);
	play_speak(server, "250 2.0.0 taken\r\n");
	PLAY_UNTIL(play, play->done);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.5.0");
	(void)state;
}

static void test_big_closed(void **state)
{
	big_file(false);
	play_open(play);
	server->deaf_in_data = true;
	play_deliver_start(play);
	PLAY_UNTIL(play, server->times[STEP_data]);
	play_rest(play);
	play_hang_up(server);
	PLAY_UNTIL(play, play->done);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.4.2");
	(void)state;
}

static void test_big_cancelled(void **state)
{
	big_file(false);
	play_open(play);
	server->deaf_in_data = true;
	play_deliver_start(play);
	PLAY_UNTIL(play, server->times[STEP_data]);
	play_rest(play);
	delivery_cancel(&play->delivery);
	PLAY_UNTIL(play, play->done);
	assert_int_equal(play->delivery.outcome, DELIVERY_CANCELLED);
	play_listen(server);
	PLAY_UNTIL(play, server->open == 0);
	assert_int_equal(server->messages, 0);
	(void)state;
}

/* The file is shorter than it should be: the message is not sent as if it were whole. */
static void test_spool_fails(void **state)
{
	big_file(false);
	play->message.spool.file_len = BIG + 1000;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.3.0");
	PLAY_UNTIL(play, server->open == 0);
	assert_int_equal(server->messages, 0);
	(void)state;
}

/* --- LMTP --- */

static void test_lmtp(void **state)
{
	server->end = "250 2.0.0 first|250 2.0.0 second";
	play_open(play);
	assert_true(backends_features(play->backends).lmtp);
	play_deliver(play);
	assert_delivery(play, DELIVERY_ACCEPTED, 250, "2.0.0 first");
	assert_string_equal(play_said(server), "1: LHLO mx.example.net\n"
					       "1: MAIL FROM:<sender@example.org> SIZE=24\n"
					       "1: RCPT TO:<one@example.com>\n"
					       "1: RCPT TO:<two@example.com>\n"
					       "1: DATA\n");
	assert_int_equal(play->recipients[1].backend_reply.code, 250);
	play_deliver(play);
	assert_int_equal(server->connections, 1);
	(void)state;
}

static void test_lmtp_one(void **state)
{
	play_recipients(play, "one@example.com", NULL);
	server->end = "552 5.2.2 quota";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 552, "5.2.2 quota");
	(void)state;
}

/* It has the message for one only: the client must come again, and hears about the other then. */
static void test_lmtp_mixed(void **state)
{
	server->end = "250 2.0.0 first|550 5.2.1 disabled";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 451, "4.3.0");
	assert_int_equal(play->recipients[0].backend_reply.code, 250);
	assert_int_equal(play->recipients[1].backend_reply.code, 550);
	assert_true(play_check_start(play));
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	play->recipients[0] = play->recipients[1];
	assert_true(play_check_start(play));
	assert_int_equal(play->check.outcome, CHECK_REFUSED);
	assert_true(span_equal(play->check.reply.text, SPAN("disabled")));
	(void)state;
}

static void test_lmtp_refused(void **state)
{
	server->end = "550 5.2.1 first|452 4.2.2 second";
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_DEFERRED, 452, "4.2.2 second");
	server->end = "550 5.2.1 first|551 5.2.1 second";
	server->times[STEP_end] = 0;
	play_deliver(play);
	assert_delivery(play, DELIVERY_REFUSED, 550, "5.2.1 first");
	play->recipients[0] = play->recipients[1];
	assert_true(play_check_start(play));
	assert_int_equal(play->check.outcome, CHECK_WELCOME);
	(void)state;
}

static void test_lmtp_in_doubt(void **state)
{
	server->end = "250 2.0.0 first|" CLOSE;
	play_open(play);
	play_deliver(play);
	assert_delivery(play, DELIVERY_IN_DOUBT, 451, "4.4.2");
	(void)state;
}

static void test_lmtp_check(void **state)
{
	play->backend.verify_recipients = true;
	server->rcpt = "550 5.1.1 unknown";
	play_open(play);
	play_check(play);
	assert_int_equal(play->check.outcome, CHECK_REFUSED);
	(void)state;
}

#define CASE(name)    cmocka_unit_test_setup_teardown(name, setup, teardown)
#define CHUNKED(name) cmocka_unit_test_setup_teardown(name, setup_chunking, teardown)
#define BY_LMTP(name) cmocka_unit_test_setup_teardown(name, setup_lmtp, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_dots),
		CASE(test_many_dots),
		CASE(test_cuts),
		CHUNKED(test_bdat_at_once),
		CHUNKED(test_bdat_not_when_idle),
		CHUNKED(test_bdat_refused),
		CHUNKED(test_bdat_several),
		CHUNKED(test_bdat_off_by_one),
		CHUNKED(test_bdat_closed),
		CASE(test_big),
		CASE(test_big_with_dots),
		CASE(test_big_bdat),
		CASE(test_big_tls),
		CASE(test_big_timeout),
		CASE(test_big_refused_early),
		CASE(test_big_accepted_early),
		CASE(test_big_closed),
		CASE(test_big_cancelled),
		CASE(test_spool_fails),
		BY_LMTP(test_lmtp),
		BY_LMTP(test_lmtp_one),
		BY_LMTP(test_lmtp_mixed),
		BY_LMTP(test_lmtp_refused),
		BY_LMTP(test_lmtp_in_doubt),
		BY_LMTP(test_lmtp_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

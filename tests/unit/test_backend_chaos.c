/*
 * Many messages side by side to servers that refuse, say nonsense, fall silent and hang up at any
 * step, while clients leave and time passes. Whatever happens: each question is answered once;
 * accepted is only what a server said 2xx to, at its end and after all of it; and what was not
 * accepted, and is not in doubt, no server has said 2xx to.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/backend_play.h"

enum { MESSAGES = 250, SIDE_BY_SIDE = 8, SEEDS = 6 };

struct item {
	struct delivery delivery;
	struct check check;
	struct message message;
	struct envelope envelope;
	struct recipient recipients[3];
	struct backend_bond *bond;
	char content[200];
	unsigned answers, checks, taken;
	bool checking;
};

static struct play *play;
static struct item items[MESSAGES];
static unsigned n_done, outcomes[DELIVERY_CANCELLED + 1];
static uint64_t seed;

static unsigned chance(unsigned of)
{
	seed = seed * 6364136223846793005U + 1442695040888963407U;
	return (unsigned)(seed >> 33) % of;
}

/* What goes wrong at a step, now and then. */
static const char *improvise(struct play_server *server, enum play_step step)
{
	static const char *const making[] = {
		CLOSE, ("421 4.3.2 busy" CLOSE), "what?", "250-a\r\n251 b"};
	static const char *const any[] = {CLOSE, "", ("421 4.3.2 stopping" CLOSE), "550 5.7.1 no",
		("550 5.7.1 no" CLOSE), "451 4.7.1 later", "354 go on", "what?", "250-a\r\n251 b",
		"250 2.1.0 ok\r\n250 2.1.0 ok", "250-endless"};

	(void)server;
	if (step == STEP_quit || step == STEP_xclient || step == STEP_xforward)
		return NULL;
	if (step <= STEP_starttls)
		return chance(60) ? NULL : making[chance(COUNT_OF(making))];
	return chance(12) ? NULL : any[chance(COUNT_OF(any))];
}

/* The message that a server has just answered; by its number in the subject. */
static void on_message(struct play_server *server)
{
	const char *text = strstr(buffer_string(&server->content), "Subject: ");
	unsigned i;

	if (server->end_said != '2')
		return;
	assert_non_null(text);
	i = (unsigned)atoi(text + strlen("Subject: "));
	assert_true(i < MESSAGES);
	assert_string_equal(buffer_string(&server->content), items[i].content);
	items[i].taken++;
}

static void on_done(struct delivery *delivery)
{
	struct item *item = delivery->context;

	item->answers++;
	outcomes[delivery->outcome]++;
	n_done++;
	backend_bond_close(&item->bond);
}

static void deliver(struct item *item)
{
	item->delivery = (struct delivery){.client = &play->client,
		.bond = &item->bond,
		.envelope = &item->envelope,
		.message = &item->message,
		.sid = SPAN("SID"),
		.timeout_ms = 600 * 1000,
		.done = on_done,
		.context = item};
	delivery_start(play->backends, &item->delivery);
}

static void on_checked(struct check *check)
{
	struct item *item = check->context;

	item->checks++;
	item->checking = false;
	deliver(item);
}

static void start(unsigned i)
{
	struct item *item = &items[i];
	unsigned n = 1 + (chance(4) == 0) * chance(3);

	*item = (struct item){.checking = true};
	snprintf(item->content, sizeof(item->content), "Subject: %u\r\n\r\n%s\r\n", i,
		chance(2) ? "body" : "x.y");
	item->message.spool.fd = -1;
	item->message.spool.memory = item->content;
	item->message.spool.memory_len = strlen(item->content);
	play_address(&item->envelope.from, "sender@example.org");
	for (unsigned r = 0; r < n; r++) {
		static const char *const names[] = {
			"one@example.com", "two@example.com", "three@example.com"};

		play_address(&item->recipients[r].to, names[r]);
		item->recipients[r].next = r + 1 < n ? &item->recipients[r + 1] : NULL;
	}
	item->envelope.recipients = item->recipients;
	item->envelope.n_recipients = n;
	item->check = (struct check){.client = &play->client,
		.bond = &item->bond,
		.envelope = &item->envelope,
		.recipient = &item->recipients[0],
		.sid = SPAN("SID"),
		.done = on_checked,
		.context = item};
	if (check_start(play->backends, &item->check))
		on_checked(&item->check);
}

static void disturb(unsigned started)
{
	struct item *item = &items[chance(started)];

	switch (chance(40)) {
	case 0:
		if (item->checking)
			check_cancel(&item->check);
		else if (!item->answers)
			delivery_cancel(&item->delivery);
		break;
	case 1:
		play_advance(play, chance(40 * 1000));
		break;
	case 2:
		play_hang_up(&play->servers[chance(PLAY_SERVERS)]);
		break;
	case 3:
		play_speak(&play->servers[chance(PLAY_SERVERS)], "unasked\r\n");
		break;
	default:
		break;
	}
}

static void run(enum client_info info, const char *ehlo)
{
	unsigned started = 0;

	play = play_new(PLAY_SERVERS);
	play->backend.client_info = info;
	play->backend.verify_recipients = true;
	play->backend.connections = 3;
	n_done = 0;
	memset(outcomes, 0, sizeof(outcomes));
	for (unsigned i = 0; i < PLAY_SERVERS; i++) {
		play->servers[i].strict = true;
		play->servers[i].ehlo = ehlo;
		play->servers[i].proxy = info == CLIENT_INFO_PROXY_V2;
		play->servers[i].on_message = on_message;
	}
	play_open(play);
	for (unsigned i = 0; i < PLAY_SERVERS; i++)
		play->servers[i].improvise = improvise;
	for (unsigned turn = 0; n_done < MESSAGES; turn++) {
		assert_true(turn < 2000000);
		while (started < MESSAGES && started - n_done < SIDE_BY_SIDE)
			start(started++);
		loop_turn(&play->loop, false);
		disturb(started);
	}
	for (unsigned i = 0; i < MESSAGES; i++) {
		const struct item *item = &items[i];

		assert_int_equal(item->answers, 1);
		assert_int_equal(item->checks, 1);
		assert_true(item->taken <= 1);
		if (item->delivery.outcome == DELIVERY_ACCEPTED)
			assert_int_equal(item->taken, 1);
		else if (item->delivery.outcome != DELIVERY_IN_DOUBT)
			assert_int_equal(item->taken, 0);
	}
	play_free(&play);
}

static void seeds(enum client_info info, const char *ehlo)
{
	unsigned accepted = 0;

	for (seed = 1; seed <= SEEDS; seed++) {
		uint64_t began = seed;

		run(info, ehlo);
		accepted += outcomes[DELIVERY_ACCEPTED];
		seed = began;
	}
	assert_true(accepted > MESSAGES / 4);
}

static void test_shared(void **state)
{
	seeds(CLIENT_INFO_NONE, "250-one\r\n250 PIPELINING");
	(void)state;
}

static void test_in_turns(void **state)
{
	seeds(CLIENT_INFO_NONE, "250 one");
	(void)state;
}

static void test_chunking(void **state)
{
	seeds(CLIENT_INFO_NONE,
		"250-one\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES");
	(void)state;
}

static void test_bonds(void **state)
{
	seeds(CLIENT_INFO_PROXY_V2, "250-one\r\n250 PIPELINING");
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_in_turns),
		cmocka_unit_test(test_chunking),
		cmocka_unit_test(test_bonds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The store on Redis, against a redis-server of each test's own: what the kinds do, and what
 * happens when it is away, refuses us, hangs, is full, dies, or forgets.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fail.h"
#include "lib/store/redis_link.h"
#include "redis_play.h"

#define KEY  "192.0.2.0/24 ann@example.com bob@example.net"
#define DAY  "86400000"
#define HOUR "3600000"

static int set_up(void **state)
{
	struct redis_play *play = memory_zeroed(sizeof(*play));

	redis_play_open(play);
	*state = play;
	return 0;
}

static int tear_down(void **state)
{
	redis_play_close(*state);
	free(*state);
	return 0;
}

static void open_plain(struct redis_play *play)
{
	redis_play_start(play, NULL);
	redis_play_store(play, "redis://127.0.0.1:%d");
	REDIS_PLAY_UNTIL(play, store_is_there(play->store));
}

static void await_idle(struct redis_play *play)
{
	assert_int_equal(redis_play_ask(play, STORE_PING, NULL, 0), STORE_DONE);
}

static bool says(struct redis_play *play, const char *beginning)
{
	return strncmp(buffer_string(&play->answer), beginning, strlen(beginning)) == 0;
}

/* --- kinds --- */

static void test_greylisting(void **state)
{
	struct redis_play *play = *state;
	unsigned long long age;
	unsigned tries;

	open_plain(play);
	REDIS_SAYS(play, "", GREY_LOOK, KEY);
	REDIS_TELL(play, GREY_TRIED, KEY, DAY);
	REDIS_TELL(play, GREY_TRIED, KEY, DAY);
	assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_DONE);
	assert_int_equal(sscanf(buffer_string(&play->answer), "waiting %llu %u", &age, &tries), 2);
	assert_int_equal(tries, 2);
	assert_true(age < 60000);
	REDIS_TELL(play, GREY_PASSED, KEY, DAY);
	assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_DONE);
	assert_int_equal(sscanf(buffer_string(&play->answer), "known %llu", &age), 1);
	REDIS_TELL(play, GREY_TRIED, KEY, DAY); /* is nothing any more */
	assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_DONE);
	assert_true(says(play, "known "));
	REDIS_SAYS(play, "1", GREY_CLEAR, KEY);
	REDIS_SAYS(play, "0", GREY_CLEAR, KEY);
	REDIS_SAYS(play, "", GREY_LOOK, KEY);
	REDIS_SAYS(play, "", GREY_ALLOW, KEY, DAY);
	assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_DONE);
	assert_true(says(play, "known "));
}

static void test_greylisting_forgets(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	REDIS_TELL(play, GREY_TRIED, KEY, "50");
	REDIS_PLAY_UNTIL(
		play, REDIS_ASK(play, GREY_LOOK, KEY) == STORE_DONE && play->answer.len == 0);
	REDIS_TELL(play, GREY_PASSED, KEY, "50");
	REDIS_PLAY_UNTIL(
		play, REDIS_ASK(play, GREY_LOOK, KEY) == STORE_DONE && play->answer.len == 0);
}

static void test_greylist_is_listed(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	REDIS_TELL(play, GREY_TRIED, "a \"quoted\" key", DAY);
	REDIS_TELL(play, GREY_PASSED, KEY, DAY);
	assert_int_equal(REDIS_ASK(play, GREY_LIST, "", "100"), STORE_DONE);
	assert_non_null(strstr(buffer_string(&play->answer), "\"a \\\"quoted\\\" key\""));
	assert_non_null(strstr(buffer_string(&play->answer), "ann@example.com"));
	assert_non_null(strstr(buffer_string(&play->answer), "\"state\":\"known\""));
	assert_non_null(strstr(buffer_string(&play->answer), "],\"more\":false,\"next\":\"\"}"));
	assert_int_equal(REDIS_ASK(play, GREY_LIST, "nonsense", "100"), STORE_FAILED);
	assert_int_equal(REDIS_ASK(play, GREY_LIST, "7:0", "100"), STORE_FAILED);
}

static void test_rates(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	REDIS_SAYS(play, "0.000", RATE_LOOK, "ann", HOUR);
	REDIS_TELL(play, RATE_CHARGE, "ann", HOUR, "2");
	REDIS_TELL(play, RATE_CHARGE, "ann", HOUR, "3");
	REDIS_SAYS(play, "5.000", RATE_LOOK, "ann", HOUR);
	REDIS_SAYS(play, "0.000", RATE_LOOK, "ann", DAY); /* another window, another count */
	REDIS_SAYS(play, "0.000", RATE_LOOK, "bob", HOUR);
	assert_int_equal(REDIS_ASK(play, RATE_LOOK, "ann", "0"), STORE_FAILED);
	assert_int_equal(REDIS_ASK(play, RATE_CHARGE, "ann", HOUR, "x"), STORE_FAILED);
}

/* The bucket before counts as far as it lies in the window, and then no more. */
static void test_rates_slide(void **state)
{
	struct redis_play *play = *state;
	bool between = false;

	open_plain(play);
	REDIS_TELL(play, RATE_CHARGE, "ann", "400", "100");
	for (double now = 100; now > 0;) {
		assert_int_equal(REDIS_ASK(play, RATE_LOOK, "ann", "400"), STORE_DONE);
		assert_true(atof(buffer_string(&play->answer)) <= now);
		now = atof(buffer_string(&play->answer));
		between = between || (now > 0 && now < 100);
	}
	assert_true(between);
}

static void test_reputation(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	REDIS_SAYS(play, "", REP_SHOW, "net 192.0.2.0/24");
	REDIS_TELL(play, REP_ADD, "net 192.0.2.0/24", "3", "1", "0");
	REDIS_TELL(play, REP_ADD, "net 192.0.2.0/24", "0.5", "0", "2");
	REDIS_SAYS(play, "3.5000 1.0000 2.0000\n0.0000 0.0000 0.0000", REP_LOOK,
		"net 192.0.2.0/24\nasn 64496");
	assert_int_equal(REDIS_ASK(play, REP_SHOW, "net 192.0.2.0/24"), STORE_DONE);
	assert_non_null(strstr(buffer_string(&play->answer), "\"key\":\"net 192.0.2.0\\/24\""));
	REDIS_SAYS(play, "1", REP_RESET, "net 192.0.2.0/24");
	REDIS_SAYS(play, "0.0000 0.0000 0.0000", REP_LOOK, "net 192.0.2.0/24");
	assert_int_equal(REDIS_ASK(play, REP_ADD, "k", "x", "0", "0"), STORE_FAILED);
}

static void test_reputation_decays(void **state)
{
	struct redis_play *play = *state;
	char keys[128];

	open_plain(play);
	REDIS_TELL(play, REP_ADD, "k", "8", "4", "2");
	await_idle(play);
	snprintf(keys, sizeof(keys), "%s",
		redis_play_command(play, 0, "EVAL %s 0",
			"local k = redis.call('KEYS', 'postern:rep:*')[1] "
			"redis.call('HINCRBY', k, 'at', -604800000) return k"));
	assert_int_equal(strncmp(keys, "postern:rep:", 12), 0);
	assert_int_equal(REDIS_ASK(play, REP_LOOK, "k"), STORE_DONE);
	assert_true(says(play, "4.0000 2.0000 1.0000") || says(play, "3.9999 "));
	assert_true(atoll(redis_play_command(play, 0, "PTTL %s", keys)) > 0);
}

static void test_lists(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	REDIS_SAYS(play,
		"{\"added\":1,\"changed\":0,\"same\":0,\"protected\":0,\"full\":0,\"told\":[]}",
		LIST_ADD, "blocked", "text", "text", "spam.example", "", "why not", "ann", "0");
	REDIS_SAYS(play,
		"{\"added\":0,\"changed\":0,\"same\":1,\"protected\":0,\"full\":0,\"told\":[]}",
		LIST_ADD, "blocked", "text", "text", "spam.example", "", "why not", "bob", "0");
	REDIS_SAYS(play,
		"{\"added\":0,\"changed\":1,\"same\":0,\"protected\":0,\"full\":0,\"told\":[]}",
		LIST_ADD, "blocked", "text", "text", "spam.example", "Spam.Example", "other", "bob",
		"4000000000");
	assert_string_equal(redis_play_command(play, 0, "HLEN postern:list:{blocked}"), "1");
	assert_string_equal(redis_play_command(play, 0, "XLEN postern:list:{blocked}:log"), "2");
	assert_int_equal(redis_play_ask(play, STORE_LIST_NAMES, NULL, 0), STORE_DONE);
	assert_string_equal(buffer_string(&play->answer),
		"{\"lists\":[{\"list\":\"blocked\",\"type\":\"text\"}],\"declared\":[]}");
	assert_int_equal(REDIS_ASK(play, LIST_SHOW, "blocked", "", "10"), STORE_DONE);
	assert_non_null(strstr(buffer_string(&play->answer), "\"item\":\"Spam.Example\""));
	assert_non_null(strstr(buffer_string(&play->answer), "\"expires\":4000000000"));
	REDIS_SAYS(play, "", LIST_SHOW, "unheard", "", "10");
	REDIS_SAYS(play, "{\"deleted\":1}", LIST_DEL, "blocked", "text", "spam.example");
	REDIS_SAYS(play, "{\"deleted\":0}", LIST_DEL, "blocked", "text", "spam.example");
	assert_int_equal(REDIS_ASK(play, LIST_DEL, "bl{ocked", "text", "x"), STORE_FAILED);
	assert_int_equal(REDIS_ASK(play, LIST_DEL, "blocked", "v4", "short"), STORE_FAILED);
}

static void test_networks_in_lists(void **state)
{
	struct redis_play *play = *state;
	struct span parts[] = {SPAN("n"), SPAN("cidr"), SPAN("v4"), SPAN("\xc0\x00\x02\x00\x18"),
		SPAN(""), SPAN("r"), SPAN("ann"), SPAN("0")};

	open_plain(play);
	store_tell(play->store, STORE_LIST_ADD, parts, COUNT_OF(parts));
	parts[2] = SPAN("v6");
	parts[3] = SPAN("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x80");
	store_tell(play->store, STORE_LIST_ADD, parts, COUNT_OF(parts));
	await_idle(play);
	REDIS_PLAY_UNTIL(
		play, strcmp(redis_play_command(play, 0, "HLEN postern:list:{n}"), "2") == 0);
	assert_string_equal(
		redis_play_command(play, 0, "HEXISTS postern:list:{n} 192.0.2.0/24"), "1");
	assert_string_equal(
		redis_play_command(play, 0, "HEXISTS postern:list:{n} 2001:db8::1"), "1");
}

/* What strangers write is no key and no command, whatever bytes it has. */
static void test_any_bytes(void **state)
{
	struct redis_play *play = *state;
	struct span parts[] = {SPAN("a\r\nFLUSHALL\r\n\0{x}*\xff"), SPAN(DAY)};

	open_plain(play);
	store_tell(play->store, STORE_GREY_TRIED, parts, 2);
	await_idle(play);
	assert_string_equal(redis_play_command(play, 0, "DBSIZE"), "1");
	REDIS_SAYS(play, "", GREY_LOOK, "a\r\nFLUSHALL\r\n"); /* the NUL and what follows counts */
}

static void test_kinds_of_others_fail(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	assert_int_equal(REDIS_ASK(play, DMARC_DAY, "2026-01-01"), STORE_FAILED);
}

/* --- the ways in --- */

static void test_password(void **state)
{
	static const char *const options[] = {"--requirepass", "s@cret", NULL};
	struct redis_play *play = *state;

	redis_play_start(play, options);
	redis_play_store(play, "redis://:s%40cret@127.0.0.1:%d");
	REDIS_PLAY_UNTIL(play, store_is_there(play->store));
	REDIS_SAYS(play, "", GREY_LOOK, KEY);
	assert_false(redis_play_logged(play, "cret"));
}

static void test_wrong_password(void **state)
{
	static const char *const options[] = {"--requirepass", "secret", NULL};
	struct redis_play *play = *state;

	redis_play_start(play, options);
	redis_play_store(play, "redis://:other@127.0.0.1:%d");
	REDIS_PLAY_UNTIL(play, redis_play_logged(play, "it refuses us: WRONGPASS"));
	assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_AWAY);
	assert_false(redis_play_logged(play, "other"));
}

static void test_acl_user(void **state)
{
	static const char *const options[] = {"--user", "postern", "on", ">p", "~postern:*",
		"-@all", "+@read", "+@write", "+@connection", "+@scripting", "+time", "+xinfo",
		"--user", "default", "off", NULL};
	struct redis_play *play = *state;

	redis_play_start(play, options);
	redis_play_store(play, "redis://postern:p@127.0.0.1:%d");
	REDIS_PLAY_UNTIL(play, store_is_there(play->store));
	REDIS_SAYS(play, "", GREY_LOOK, KEY);
	REDIS_TELL(play, GREY_TRIED, KEY, DAY);
	assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_DONE);
	assert_true(says(play, "waiting "));
	REDIS_TELL(play, RATE_CHARGE, "ann", HOUR, "1");
	REDIS_SAYS(play, "1.000", RATE_LOOK, "ann", HOUR);
	assert_int_equal(
		REDIS_ASK(play, LIST_ADD, "l", "text", "text", "x", "", "", "", "0"), STORE_DONE);
	assert_int_equal(REDIS_ASK(play, GREY_LIST, "", "10"), STORE_DONE);
}

static void test_database(void **state)
{
	struct redis_play *play = *state;

	redis_play_start(play, NULL);
	redis_play_store(play, "redis://localhost:%d/5");
	REDIS_PLAY_UNTIL(play, store_is_there(play->store));
	REDIS_SAYS(play, "", GREY_ALLOW, KEY, DAY);
	assert_string_equal(redis_play_command(play, 0, "DBSIZE"), "0");
}

static void test_unix_socket(void **state)
{
	struct redis_play *play = *state;
	char url[256];

	redis_play_start(play, NULL);
	snprintf(url, sizeof(url), "redis+unix://%s?db=3", play->servers[0].socket);
	redis_play_store(play, url);
	REDIS_PLAY_UNTIL(play, store_is_there(play->store));
	REDIS_SAYS(play, "", GREY_LOOK, KEY);
}

/* A certificate of its own for 127.0.0.1, which is trusted or not. */
static void start_tls(struct redis_play *play, bool trusted, const char *name)
{
	static char certificate[128], key[128];
	static const char *const options[] = {"--port", "0", "--tls-port", "0", "--tls-cert-file",
		certificate, "--tls-key-file", key, "--tls-auth-clients", "no", "--tls-port", NULL,
		NULL};
	static const char *with_port[COUNT_OF(options)];
	static char port[12];
	const char *const make[] = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
		"ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=redis",
		"-addext", name, "-keyout", key, "-out", certificate, NULL};

	snprintf(certificate, sizeof(certificate), "%s/redis.pem", play->folder);
	snprintf(key, sizeof(key), "%s/redis.key", play->folder);
	assert_int_equal(redis_play_run(make), 0);
	snprintf(port, sizeof(port), "%d", redis_play_port());
	memcpy(with_port, options, sizeof(options));
	with_port[COUNT_OF(options) - 2] = port;
	redis_play_start(play, with_port);
	play->servers[0].port = atoi(port);
	setenv("SSL_CERT_FILE", trusted ? certificate : "/dev/null", 1);
	redis_play_store(play, "rediss://127.0.0.1:%d");
	unsetenv("SSL_CERT_FILE");
}

static void test_tls(void **state)
{
	struct redis_play *play = *state;

	start_tls(play, true, "subjectAltName=IP:127.0.0.1");
	REDIS_PLAY_UNTIL(play, store_is_there(play->store));
	REDIS_TELL(play, GREY_TRIED, KEY, DAY);
	assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_DONE);
	assert_true(says(play, "waiting "));
}

static void test_tls_is_verified(void **state)
{
	struct redis_play *play = *state;

	start_tls(play, false, "subjectAltName=IP:127.0.0.1");
	REDIS_PLAY_UNTIL(play, redis_play_logged(play, "TLS"));
	assert_false(store_is_there(play->store));
}

static void test_tls_is_for_its_address(void **state)
{
	struct redis_play *play = *state;

	start_tls(play, true, "subjectAltName=IP:127.0.0.2");
	REDIS_PLAY_UNTIL(play, redis_play_logged(play, "TLS"));
	assert_false(store_is_there(play->store));
}

/* --- faults --- */

static void test_away_at_start(void **state)
{
	struct redis_play *play = *state;

	redis_play_start(play, NULL);
	redis_play_kill(play, 0);
	redis_play_store(play, "redis://127.0.0.1:%d");
	REDIS_PLAY_UNTIL(play, redis_play_logged(play, "redis_down"));
	assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_AWAY);
	REDIS_TELL(play, GREY_TRIED, KEY, DAY); /* is kept */
	redis_play_restart(play, 0);
	REDIS_PLAY_UNTIL(play, store_is_there(play->store));
	REDIS_PLAY_UNTIL(
		play, REDIS_ASK(play, GREY_LOOK, KEY) == STORE_DONE && says(play, "waiting "));
}

static void test_dies_and_comes_back(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	for (int i = 0; i < 5; i++) {
		redis_play_kill(play, 0);
		REDIS_PLAY_UNTIL(play, !store_is_there(play->store));
		assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_AWAY);
		REDIS_TELL(play, RATE_CHARGE, "ann", HOUR, "1");
		redis_play_restart(play, 0);
		REDIS_PLAY_UNTIL(play, store_is_there(play->store));
		REDIS_PLAY_UNTIL(play, REDIS_ASK(play, RATE_LOOK, "ann", HOUR) == STORE_DONE &&
					       says(play, "1.000"));
	}
}

static void on_counted(struct store_request *request)
{
	struct redis_play *play = request->context;

	play->answers++;
}

/* Requests under way when it dies are answered, and none twice. */
static void test_dies_under_load(void **state)
{
	enum { REQUESTS = 3000 };
	struct redis_play *play = *state;
	struct store_request *requests = memory_zeroed(REQUESTS * sizeof(*requests));
	unsigned before;

	open_plain(play);
	for (int round = 0; round < 3; round++) {
		unsigned n = play->answers;

		await_idle(play);
		before = n + 1;
		for (int i = 0; i < REQUESTS; i++) {
			requests[i] = (struct store_request){.kind = STORE_GREY_LOOK,
				.n_parts = 1,
				.parts = {SPAN(KEY)},
				.done = on_counted,
				.context = play};
			store_ask(play->store, &requests[i]);
		}
		loop_turn(&play->loop, false);
		redis_play_kill(play, 0);
		REDIS_PLAY_UNTIL(play, play->answers == before + REQUESTS);
		redis_play_restart(play, 0);
		REDIS_PLAY_UNTIL(play, store_is_there(play->store));
		assert_int_equal(play->answers, before + REQUESTS);
	}
	free(requests);
}

/* A breaker ends the waiting; the answers that come when it goes on are no one's any more. */
static void test_hangs(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	REDIS_SAYS(play, "", GREY_LOOK, KEY);
	redis_play_signal(play, 0, SIGSTOP);
	for (int i = 0; i < STORE_BREAKER_TIMEOUTS; i++)
		assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_AWAY);
	assert_true(redis_play_logged(play, "store_silent"));
	assert_false(store_is_there(play->store));
	REDIS_TELL(play, GREY_TRIED, KEY, DAY);
	redis_play_signal(play, 0, SIGCONT);
	REDIS_PLAY_UNTIL(
		play, REDIS_ASK(play, GREY_LOOK, KEY) == STORE_DONE && says(play, "waiting "));
	assert_true(redis_play_logged(play, "store_back"));
}

/* A connection on which nothing comes is given up in the end: it may lead nowhere any more. */
static void test_hangs_for_long(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	redis_play_signal(play, 0, SIGSTOP);
	REDIS_TELL(play, RATE_CHARGE, "ann", HOUR, "1");
	REDIS_PLAY_UNTIL(play, redis_play_logged(play, "it does not answer"));
	assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_AWAY);
	redis_play_signal(play, 0, SIGCONT);
	REDIS_PLAY_UNTIL(play, store_is_there(play->store));
	REDIS_PLAY_UNTIL(play, REDIS_ASK(play, RATE_LOOK, "ann", HOUR) == STORE_DONE &&
				       atof(buffer_string(&play->answer)) >= 1);
}

static void test_is_full(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	REDIS_SAYS(play, "", GREY_ALLOW, KEY, DAY);
	assert_string_equal(redis_play_command(play, 0, "CONFIG SET maxmemory 1"), "OK");
	assert_int_equal(REDIS_ASK(play, GREY_ALLOW, "other", DAY), STORE_FAILED);
	assert_true(redis_play_logged(play, "redis_refuses"));
	assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_DONE); /* it can still be read */
	assert_true(says(play, "known "));
	assert_string_equal(redis_play_command(play, 0, "CONFIG SET maxmemory 0"), "OK");
	assert_int_equal(REDIS_ASK(play, GREY_ALLOW, "other", DAY), STORE_DONE);
}

static void test_forgets_its_scripts(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	REDIS_SAYS(play, "", GREY_ALLOW, KEY, DAY);
	assert_string_equal(redis_play_command(play, 0, "SCRIPT FLUSH"), "OK");
	assert_int_equal(REDIS_ASK(play, GREY_LOOK, KEY), STORE_DONE);
	assert_true(says(play, "known "));
}

static void test_loses_its_data(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	REDIS_SAYS(play, "", GREY_ALLOW, KEY, DAY);
	assert_string_equal(redis_play_command(play, 0, "FLUSHALL"), "OK");
	REDIS_SAYS(play, "", GREY_LOOK, KEY);
}

static void test_is_only_a_replica(void **state)
{
	struct redis_play *play = *state;

	open_plain(play);
	assert_string_equal(redis_play_command(play, 0, "REPLICAOF 127.0.0.1 1"), "OK");
	assert_int_equal(REDIS_ASK(play, GREY_ALLOW, KEY, DAY), STORE_FAILED);
	assert_string_equal(redis_play_command(play, 0, "REPLICAOF NO ONE"), "OK");
	assert_int_equal(REDIS_ASK(play, GREY_ALLOW, KEY, DAY), STORE_DONE);
}

static void test_closed_at_any_time(void **state)
{
	struct redis_play *play = *state;

	redis_play_start(play, NULL);
	for (int turns = 0; turns < 60; turns++) {
		redis_play_store(play, "redis://localhost:%d");
		for (int i = 0; i < turns; i++) {
			loop_turn(&play->loop, false);
			if (i % 8 == 0)
				REDIS_TELL(play, GREY_TRIED, KEY, DAY);
		}
		store_close(&play->store);
	}
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_greylisting),
		CASE(test_greylisting_forgets),
		CASE(test_greylist_is_listed),
		CASE(test_rates),
		CASE(test_rates_slide),
		CASE(test_reputation),
		CASE(test_reputation_decays),
		CASE(test_lists),
		CASE(test_networks_in_lists),
		CASE(test_any_bytes),
		CASE(test_kinds_of_others_fail),
		CASE(test_password),
		CASE(test_wrong_password),
		CASE(test_acl_user),
		CASE(test_database),
		CASE(test_unix_socket),
		CASE(test_tls),
		CASE(test_tls_is_verified),
		CASE(test_tls_is_for_its_address),
		CASE(test_away_at_start),
		CASE(test_dies_and_comes_back),
		CASE(test_dies_under_load),
		CASE(test_hangs),
		CASE(test_hangs_for_long),
		CASE(test_is_full),
		CASE(test_forgets_its_scripts),
		CASE(test_loses_its_data),
		CASE(test_is_only_a_replica),
		CASE(test_closed_at_any_time),
	};
#undef CASE

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The store on a cluster of three, resharded while it is asked, with a node that dies and is
 * replaced, and dead as a whole.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/store/redis_client.h"
#include "redis_play.h"

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

static bool says(struct redis_play *play, const char *beginning)
{
	return strncmp(buffer_string(&play->answer), beginning, strlen(beginning)) == 0;
}

static void test_slots(void **state)
{
	(void)state;
	assert_int_equal(redis_slot(SPAN("123456789")), 0x31c3); /* CRC-16 of it, below 16384 */
	assert_int_equal(redis_slot(SPAN("foo{}{bar}")), redis_slot(SPAN("foo{}{bar}")));
	assert_int_equal(redis_slot(SPAN("a{x}b")), redis_slot(SPAN("x")));
	assert_int_equal(redis_slot(SPAN("a{{x}}b")), redis_slot(SPAN("{x")));
	assert_int_equal(redis_slot(SPAN("a{x}{y}")), redis_slot(SPAN("{x}:log")));
	assert_int_not_equal(redis_slot(SPAN("a{}x")), redis_slot(SPAN("")));
}

static const char *const cluster_options[] = {"--cluster-enabled", "yes", "--cluster-node-timeout",
	"1000", "--cluster-replica-validity-factor", "0", NULL};

static const char *address_of(const struct redis_play *play, unsigned number)
{
	static char texts[REDIS_PLAY_SERVERS][32];

	snprintf(texts[number], sizeof(texts[number]), "127.0.0.1:%d", play->servers[number].port);
	return texts[number];
}

static void start_cluster(struct redis_play *play, unsigned n, const char *replicas)
{
	const char *argv[24] = {"redis-cli", "--cluster", "create"};
	size_t at = 3;

	for (unsigned i = 0; i < n; i++) {
		redis_play_start(play, cluster_options);
		argv[at++] = address_of(play, i);
	}
	argv[at++] = "--cluster-replicas";
	argv[at++] = replicas;
	argv[at++] = "--cluster-yes";
	argv[at] = NULL;
	assert_int_equal(redis_play_run(argv), 0);
	for (int i = 0; i < 1000; i++) {
		bool ok = true;

		for (unsigned k = 0; k < n; k++)
			ok = ok && strstr(redis_play_command(play, k, "CLUSTER INFO"),
					   "cluster_state:ok");
		if (ok)
			return;
		usleep(20 * 1000);
	}
	fail_msg("the cluster does not come up");
}

static void open_cluster(struct redis_play *play)
{
	/* One that is not there, by a name, and one that is. */
	redis_play_store(play, "redis+cluster://localhost:1,127.0.0.1:%d");
	REDIS_PLAY_UNTIL(play, store_is_there(play->store));
}

/* Each key is found wherever it lies. */
static void charge_all(struct redis_play *play, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char key[32];

		snprintf(key, sizeof(key), "key-%u", i);
		REDIS_TELL(play, RATE_CHARGE, key, HOUR, "1");
	}
}

static void find_all(struct redis_play *play, unsigned n, const char *expected)
{
	for (unsigned i = 0; i < n; i++) {
		char key[32];

		snprintf(key, sizeof(key), "key-%u", i);
		REDIS_SAYS(play, expected, RATE_LOOK, key, HOUR);
	}
}

static void test_cluster(void **state)
{
	struct redis_play *play = *state;
	unsigned listed = 0;
	char next[32] = "";

	start_cluster(play, 3, "0");
	open_cluster(play);
	charge_all(play, 200);
	find_all(play, 200, "1.000");
	for (unsigned i = 0; i < 3; i++)
		assert_true(atoi(redis_play_command(play, i, "DBSIZE")) > 20);
	assert_int_equal(REDIS_ASK(play, LIST_ADD, "blocked", "text", "text", "x", "", "", "", "0"),
		STORE_DONE);
	REDIS_SAYS(play, "{\"deleted\":1}", LIST_DEL, "blocked", "text", "x");
	assert_int_equal(REDIS_ASK(play, REP_LOOK, "a\nb\nc\nd\ne\nf"), STORE_DONE);
	/* The greylist is gone through node by node. */
	for (unsigned i = 0; i < 30; i++) {
		char key[32];

		snprintf(key, sizeof(key), "grey-%u", i);
		assert_int_equal(REDIS_ASK(play, GREY_ALLOW, key, DAY), STORE_DONE);
	}
	do {
		char *at;

		assert_int_equal(REDIS_ASK(play, GREY_LIST, next, "1000"), STORE_DONE);
		for (const char *c = buffer_string(&play->answer);
			(c = strstr(c, "\"key\":\"grey-")); c++)
			listed++;
		at = strstr((char *)buffer_string(&play->answer), "\"next\":\"");
		assert_non_null(at);
		snprintf(next, sizeof(next), "%.*s", (int)strcspn(at + 8, "\""), at + 8);
	} while (next[0]);
	assert_int_equal(listed, 30);
}

/* Slots move from one node to another while all of them are asked: nothing fails, nothing is
 * counted twice. */
static void test_reshard(void **state)
{
	struct redis_play *play = *state;
	char from[64], to[64], host[32];
	unsigned rounds = 0;
	int status;
	pid_t pid;

	start_cluster(play, 3, "0");
	open_cluster(play);
	snprintf(from, sizeof(from), "%s", redis_play_command(play, 0, "CLUSTER MYID"));
	snprintf(to, sizeof(to), "%s", redis_play_command(play, 1, "CLUSTER MYID"));
	snprintf(host, sizeof(host), "%s", address_of(play, 0));
	charge_all(play, 300);
	find_all(play, 300, "1.000");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(126);
		execlp("redis-cli", "redis-cli", "--cluster", "reshard", host, "--cluster-from",
			from, "--cluster-to", to, "--cluster-slots", "1500", "--cluster-yes",
			(char *)NULL);
		_exit(127);
	}
	do {
		char expected[32];

		charge_all(play, 300);
		snprintf(expected, sizeof(expected), "%u.000", ++rounds + 1);
		find_all(play, 300, expected);
	} while (waitpid(pid, &status, WNOHANG) == 0);
	assert_int_equal(status, 0);
	assert_true(rounds > 1);
	charge_all(play, 300);
}

static bool has_failed_over(struct redis_play *play, unsigned from, unsigned until)
{
	unsigned primaries = 0;

	for (unsigned i = from; i < until; i++)
		primaries += strstr(redis_play_command(play, i, "INFO replication"),
				     "role:master") != NULL;
	return primaries == 3;
}

/* A primary dies and its replica takes over: what is told meanwhile is kept. */
static void test_node_dies(void **state)
{
	struct redis_play *play = *state;

	start_cluster(play, 6, "1");
	open_cluster(play);
	charge_all(play, 60);
	find_all(play, 60, "1.000");
	redis_play_kill(play, 0);
	charge_all(play, 60);
	REDIS_PLAY_UNTIL(play, has_failed_over(play, 1, 6));
	for (unsigned i = 0; i < 60; i++) {
		char key[32];

		snprintf(key, sizeof(key), "key-%u", i);
		REDIS_PLAY_UNTIL(play, REDIS_ASK(play, RATE_LOOK, key, HOUR) == STORE_DONE &&
					       atof(buffer_string(&play->answer)) >= 1);
	}
	REDIS_PLAY_UNTIL(play, REDIS_ASK(play, GREY_ALLOW, "after", DAY) == STORE_DONE);
}

static void test_whole_cluster_dies(void **state)
{
	struct redis_play *play = *state;

	start_cluster(play, 3, "0");
	open_cluster(play);
	for (unsigned i = 0; i < 3; i++)
		redis_play_kill(play, i);
	REDIS_PLAY_UNTIL(play, !store_is_there(play->store));
	REDIS_TELL(play, RATE_CHARGE, "k", HOUR, "1");
	assert_int_equal(REDIS_ASK(play, RATE_LOOK, "k", HOUR), STORE_AWAY);
	for (unsigned i = 0; i < 3; i++)
		redis_play_restart(play, i);
	REDIS_PLAY_UNTIL(
		play, REDIS_ASK(play, RATE_LOOK, "k", HOUR) == STORE_DONE && says(play, "1.000"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots),
		CASE(test_cluster),
		CASE(test_reshard),
		CASE(test_node_dies),
		CASE(test_whole_cluster_dies),
	};
#undef CASE

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

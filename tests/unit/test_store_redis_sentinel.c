/*
 * The store on a primary that sentinels name: failovers, and sentinels that are dead, silent, or
 * know nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "redis_play.h"

#define DAY "86400000"

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

static void start_sentinel(struct redis_play *play, int primary)
{
	char text[512];

	snprintf(text, sizeof(text),
		"sentinel monitor main 127.0.0.1 %d 1\n"
		"sentinel down-after-milliseconds main 500\n"
		"sentinel failover-timeout main 3000\n",
		primary);
	redis_play_start_file(play, text, (const char *const[]){"--sentinel", NULL});
}

/* A primary (0), its replica (1), a sentinel (2). */
static void start_pair(struct redis_play *play)
{
	static char port[12];
	static const char *options[] = {"--replicaof", "127.0.0.1", port, NULL};

	redis_play_start(play, NULL);
	snprintf(port, sizeof(port), "%d", play->servers[0].port);
	redis_play_start(play, options);
	for (int i = 0; i < 1000; i++) {
		if (strstr(redis_play_command(play, 1, "INFO replication"),
			    "master_link_status:up"))
			break;
		usleep(20 * 1000);
	}
	start_sentinel(play, play->servers[0].port);
	for (int i = 0; i < 1000; i++) {
		if (strstr(redis_play_command(play, 2, "INFO sentinel"), "slaves=1"))
			break;
		usleep(20 * 1000);
	}
}

static void open_pair(struct redis_play *play, const char *before)
{
	char url[256];

	snprintf(url, sizeof(url), "redis+sentinel://%s127.0.0.1:%d/main/0", before,
		play->servers[2].port);
	redis_play_store(play, url);
	REDIS_PLAY_UNTIL(play, store_is_there(play->store));
}

static void test_failover(void **state)
{
	struct redis_play *play = *state;

	start_pair(play);
	open_pair(play, "");
	assert_int_equal(REDIS_ASK(play, GREY_ALLOW, "before", DAY), STORE_DONE);
	REDIS_PLAY_UNTIL(play, strcmp(redis_play_command(play, 1, "DBSIZE"), "1") == 0);
	redis_play_kill(play, 0);
	REDIS_PLAY_UNTIL(play, !store_is_there(play->store));
	REDIS_TELL(play, GREY_TRIED, "meanwhile", DAY);
	REDIS_PLAY_UNTIL(play, store_is_there(play->store));
	REDIS_PLAY_UNTIL(play,
		REDIS_ASK(play, GREY_LOOK, "meanwhile") == STORE_DONE && says(play, "waiting "));
	assert_int_equal(REDIS_ASK(play, GREY_LOOK, "before"), STORE_DONE);
	assert_true(says(play, "known "));
}

/* The old primary lives on, as a replica: it is left for the new one. */
static void test_planned_failover(void **state)
{
	struct redis_play *play = *state;

	start_pair(play);
	open_pair(play, "");
	REDIS_PLAY_UNTIL(
		play, strcmp(redis_play_command(play, 2, "SENTINEL FAILOVER main"), "OK") == 0);
	REDIS_PLAY_UNTIL(
		play, strstr(redis_play_command(play, 0, "INFO replication"), "role:slave"));
	REDIS_TELL(play, GREY_TRIED, "after", DAY);
	REDIS_PLAY_UNTIL(
		play, REDIS_ASK(play, GREY_LOOK, "after") == STORE_DONE && says(play, "waiting "));
	assert_string_equal(redis_play_command(play, 1, "DBSIZE"), "1");
}

/* The first sentinel is dead, the second knows nothing of the name, the third does. */
static void test_other_sentinels(void **state)
{
	struct redis_play *play = *state;
	char before[128];
	unsigned other;

	start_pair(play);
	other = redis_play_start_file(play, "", (const char *const[]){"--sentinel", NULL});
	snprintf(before, sizeof(before), "127.0.0.1:%d,127.0.0.1:%d,", redis_play_port(),
		play->servers[other].port);
	open_pair(play, before);
	assert_int_equal(REDIS_ASK(play, GREY_ALLOW, "k", DAY), STORE_DONE);
}

static void test_sentinel_hangs(void **state)
{
	struct redis_play *play = *state;
	char before[64];

	start_pair(play);
	start_sentinel(play, play->servers[0].port);
	snprintf(before, sizeof(before), "127.0.0.1:%d,", play->servers[3].port);
	open_pair(play, before);
	redis_play_signal(play, 3, SIGSTOP);
	redis_play_kill(play, 0);
	REDIS_TELL(play, GREY_TRIED, "k", DAY);
	REDIS_PLAY_UNTIL(
		play, REDIS_ASK(play, GREY_LOOK, "k") == STORE_DONE && says(play, "waiting "));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(test_failover),
		CASE(test_planned_failover),
		CASE(test_other_sentinels),
		CASE(test_sentinel_hangs),
	};
#undef CASE

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

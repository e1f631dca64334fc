/*
 * redis_play: redis-servers of a test's own, on free ports, each in a folder of its own under one
 * that is removed at the end; and a store on them, turned by hand.
 */
#ifndef TESTS_REDIS_PLAY_H
#define TESTS_REDIS_PLAY_H

#include <sys/types.h>

#include <hiredis.h>

#include "lib/base/log.h"
#include "lib/net/loop.h"
#include "lib/store/redis_url.h"
#include "lib/store/store.h"

enum { REDIS_PLAY_SERVERS = 8 };

struct redis_play_server {
	pid_t pid; /* 0: it does not run */
	int port;
	char folder[128], socket[160];
	const char *const *options; /* borrowed: "--requirepass", "x", ..., NULL; may be NULL */
	const char *file;           /* a configuration file in its folder; NULL: none */
};

struct redis_play {
	struct loop loop;
	struct log log;
	int log_fds[2]; /* what was logged: lines to be read */
	char folder[64];
	struct redis_play_server servers[REDIS_PLAY_SERVERS];
	unsigned n_servers;
	struct store *store;
	/* the last question */
	unsigned answers;
	struct buffer answer;
};

void redis_play_open(struct redis_play *play);
void redis_play_close(struct redis_play *play);

/* A port that nobody listens on. */
int redis_play_port(void);

/* Starts one and waits until it listens. Its number. */
unsigned redis_play_start(struct redis_play *play, const char *const *options);
/* One with this text as its configuration file: a sentinel, say. `%d` in it is its port. */
unsigned redis_play_start_file(
	struct redis_play *play, const char *text, const char *const *options);
void redis_play_restart(struct redis_play *play, unsigned number);
void redis_play_kill(struct redis_play *play, unsigned number);
void redis_play_signal(struct redis_play *play, unsigned number, int signal_number);

/* A command of the test's own, as redis-cli would send it: the reply as text. */
const char *redis_play_command(struct redis_play *play, unsigned number, const char *format, ...);

/* Runs a program (redis-cli) to its end; its exit status. */
int redis_play_run(const char *const *argv);

/* Opens the store at this url; `%d` is the port of server 0. */
void redis_play_store(struct redis_play *play, const char *url);

/* Asks and waits; the answer is in play->answer. */
enum store_outcome redis_play_ask(
	struct redis_play *play, enum store_kind kind, const char *const *parts, size_t n);
#define REDIS_ASK(play, kind, ...)                                                                 \
	redis_play_ask((play), STORE_##kind, (const char *const[]){__VA_ARGS__},                   \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
/* It is DONE, and says this. */
#define REDIS_SAYS(play, expected, kind, ...)                                                      \
	do {                                                                                       \
		assert_int_equal(REDIS_ASK(play, kind, __VA_ARGS__), STORE_DONE);                  \
		assert_string_equal(buffer_string(&(play)->answer), expected);                     \
	} while (0)

void redis_play_tell(
	struct redis_play *play, enum store_kind kind, const char *const *parts, size_t n);
#define REDIS_TELL(play, kind, ...)                                                                \
	redis_play_tell((play), STORE_##kind, (const char *const[]){__VA_ARGS__},                  \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* Whether a line with this text was logged since the last look. */
bool redis_play_logged(struct redis_play *play, const char *text);

/* Turns the loop until the condition holds; a test that waits over 40 s fails. */
#define REDIS_PLAY_UNTIL(play, condition)                                                          \
	for (uint64_t since_ = 0; !(condition);)                                                   \
	redis_play_turn((play), &since_, __FILE__, __LINE__)
void redis_play_turn(struct redis_play *play, uint64_t *since_ms, const char *file, int line);

#endif

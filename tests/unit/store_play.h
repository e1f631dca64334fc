/*
 * store_play: an embedded store in a folder of its own: the keeper's side and a worker's, joined by
 * a socket pair on one loop, and means to look at what came of it.
 */
#ifndef TESTS_STORE_PLAY_H
#define TESTS_STORE_PLAY_H

#include "lib/base/log.h"
#include "lib/net/loop.h"
#include "lib/store/dmarc_results.h"
#include "lib/store/keeper_client.h"
#include "lib/store/keeper_store.h"

struct store_play {
	uint64_t gather_ms; /* as keeper_store_setup has it; 0: 1 */
	struct loop loop;
	struct log log;
	int log_fds[2]; /* what was logged: lines to be read */
	char folder[64];
	struct keeper_store *keeper;
	struct store *store;
	/* the keeper's own last question */
	unsigned answers;
	uint32_t answer_id;
	enum store_outcome answer_outcome;
	struct buffer answer;
	char known_good[80]; /* who became so last */
	unsigned n_known_good;
};

/* The folder is made, neither side is opened. */
void store_play_open(struct store_play *play);
void store_play_close(struct store_play *play);

/* The keeper's side is there, with this setup's limits (NULL: the usual); a descriptor of the
 * folder is opened for it. */
void store_play_keeper(struct store_play *play, const struct database_setup *limits);
void store_play_keeper_end(struct store_play *play);

/* A new socket pair between both. */
void store_play_link(struct store_play *play);

int store_play_folder(const struct store_play *play);

/* How many files of the folder begin with this. */
unsigned store_play_files(const struct store_play *play, const char *prefix);

/* Whether a line with this event was logged since the last look. */
bool store_play_logged(struct store_play *play, const char *event);

/* Turns the loop until the condition holds; a test that waits over 20 s fails. */
#define STORE_PLAY_UNTIL(play, condition)                                                          \
	for (uint64_t since_ = 0; !(condition);)                                                   \
	store_play_turn((play), &since_, __FILE__, __LINE__)
void store_play_turn(struct store_play *play, uint64_t *since_ms, const char *file, int line);

/* Asks on the keeper's own account, and waits. The answer is in play->answer. */
enum store_outcome store_play_ask(
	struct store_play *play, enum store_kind kind, const char *first, const char *second);

/* Asks with any parts (the first `n` of them; NULL: none), as an admin's command would where the
 * keeper has the store, as a worker would otherwise, and waits. The answer is in play->answer. */
enum { STORE_PLAY_PARTS = 4 };
enum store_outcome store_play_request(
	struct store_play *play, enum store_kind kind, const char *const parts[STORE_PLAY_PARTS]);

/* Moves the clock of an embedded store. */
void store_play_move(struct store_play *play, uint64_t ms);

/* A message of example.com from 192.0.2.1 that fails and is rejected. */
struct dmarc_results store_play_results(void);

/* Today, as the store names it. */
const char *store_play_today(const struct store_play *play);

#endif

/*
 * authn_play: an authn process for tests: a fork of the test itself, which is the parent of real
 * runners, behind the real sandbox, and a client that is linked to it on the test's loop.
 *
 *     play = authn_play_new(&loop, &log, &authn_kinds);
 *     ... play->authn ...
 *     authn_play_free(&play);
 */
#ifndef TESTS_AUTHN_PLAY_H
#define TESTS_AUTHN_PLAY_H

#include <sys/types.h>

#include "authn/task.h"
#include "lib/authn/authn.h"

struct authn_play {
	const struct kinds *kinds; /* borrowed */
	struct authn *authn;       /* owned */
	pid_t pid;                 /* of the parent; 0: there is none */
	int orders;                /* owned: when it closes, the parent ends */
	struct loop *loop;         /* borrowed */
};

struct authn_play *authn_play_new(struct loop *loop, struct log *log, const struct kinds *kinds);

/* As the supervisor does when one has died, or when it wants a new one: ends it, and links another.
 */
void authn_play_kill(struct authn_play *play);
void authn_play_start(struct authn_play *play);

/* The runners: children of the parent. At most `most`; how many there are. */
size_t authn_play_runners(const struct authn_play *play, pid_t *pids, size_t most);

/* No task is left. Sets the pointer to NULL. */
void authn_play_free(struct authn_play **play);

#endif

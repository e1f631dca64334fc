/*
 * reload: from one reading of the configuration to the next. The new file is judged, its sockets
 * are bound and its workers started while the old ones go on; only when all is well do they change
 * places.
 *
 *     IDLE --reload_begin, no mistake--> STARTING --all workers ready--> IDLE   (new generation is
 * current) ^  ^                                 | |  +--a mistake--                    +--one
 * failed--> IDLE               (nothing has changed)
 *
 * One at a time: who asks meanwhile waits for one more, common to all of them.
 */
#ifndef PROXY_PROCESS_RELOAD_H
#define PROXY_PROCESS_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/net/timers.h"

struct supervisor;
struct generation;

enum {
	EXIT_OK = 0,
	EXIT_NO = 1,
	EXIT_USAGE = 2,
	EXIT_CONFIGURATION = 3,
	EXIT_UNREACHABLE = 4,
	EXIT_PART = 5
};

/* One who asked over the control socket. */
struct asker {
	struct asker *next;
	struct supervisor *supervisor;
	uint32_t id;         /* the keeper's */
	uint32_t wait_ms;    /* wants to know when the old sessions have ended; 0: not */
	unsigned generation; /* waiting: for all before this one to be gone */
	struct timer timer;
};

struct reload {
	struct asker *asking;  /* owned list: of the one under way */
	struct asker *queued;  /* owned list: of the one after it */
	struct asker *waiting; /* owned list: for old sessions to end */
	bool under_way, again;
	int log_fd; /* owned: the new log target of the one under way; LOG_FD_FAILED: as before */
	struct buffer notes;   /* warnings, and keys that need a restart: for the askers */
	bool last_ok;          /* postern_config_last_reload_success */
	uint64_t last_wall_ms; /* 0: never reloaded */
	char last_text[512];
};

void reload_init(struct supervisor *s);
void reload_close(struct supervisor *s);

/* SIGHUP (id 0), or one who asked. */
void reload_request(struct supervisor *s, uint32_t id, uint32_t wait_ms);

/* What became of s->next. */
void reload_on_ready(struct supervisor *s);
void reload_on_failed(struct supervisor *s, const char *why);

/* Ends s->next in favour of what there is. */
void reload_abandon(struct supervisor *s);

/* An old generation is gone: perhaps somebody waited for that. */
void reload_on_old_gone(struct supervisor *s);

/* The keeper is gone, and with it all who asked through it; or we stop. */
void reload_forget_askers(struct supervisor *s, const char *why);

#endif

/*
 * store: what postern remembers beyond a message, for a worker: it asks and tells, and something
 * else (the keeper with its SQLite file; Redis) answers. One interface, whatever is behind it.
 *
 *     request = (struct store_request){.kind = STORE_PING, .done = on_pong, .context = call};
 *     store_ask(store, &request);
 *
 * A request's states:
 *
 *     idle --store_ask--> asked --answer--> done: what it says
 *                           |--deadline, or whoever answers is gone--> done: AWAY
 *                           +--store_cancel--> idle, `done` never comes
 *
 * `done` comes exactly once, from the loop, never within store_ask. While the store is away that is
 * at once: nothing waits for what is known to be absent. When it is there and silent, a breaker
 * opens after STORE_BREAKER_TIMEOUTS deadlines in a row; then one request at a time is let through
 * to try, and the others are answered AWAY at once.
 *
 *     CLOSED --deadlines in a row--> OPEN --STORE_BREAKER_MS--> TRYING --answer--> CLOSED
 *                                      ^                          |
 *                                      +---------deadline---------+
 *
 * What is only told (store_tell) has no deadline: it is kept until it is answered, and told again
 * when the store comes back; so a keeper that dies loses nothing, and may count what it had written
 * but not answered yet a second time. It is bounded: past STORE_TOLD_MAX or STORE_TOLD_BYTES_MAX
 * what comes is dropped and counted.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/log.h"
#include "lib/base/span.h"
#include "lib/net/loop.h"

/* A kind is a row of the table in database.c: what it means, how many parts it has, who may ask.
 * X(NAME, number of parts) */
#define STORE_KINDS(X)                                                                             \
	X(PING, 0) /* whether it is there */                                                       \
	/* Greylisting; KEY as grey_key_write makes it. Times are the store's own. */              \
	X(GREY_LOOK, 1)   /* KEY: "" never seen | "waiting AGE_MS TRIES" | "known AGE_MS" */       \
	X(GREY_TRIED, 2)  /* KEY, window_ms: a try, the first or one more; forgotten so long       \
			     after the first. Nothing where it is known. Told */                   \
	X(GREY_PASSED, 2) /* KEY, known_ms: known, forgotten so long after the last time; told */  \
	X(GREY_LIST, 2)   /* AFTER ("": from the first), at most: the keys behind it; JSON:        \
			     {"items":[{"key","state","since","until","tries"}],"more"}, in        \
			     seconds since 1970; state is "waiting" or "known" */                  \
	X(GREY_ALLOW, 2)  /* as GREY_PASSED, asked */                                              \
	X(GREY_CLEAR, 1)  /* KEY is forgotten: "1", or "0": there was none */                      \
	/* Rates; KEY is the caller's. */                                                          \
	X(RATE_LOOK, 2)   /* KEY, window_ms: how many within it up to now: "2.25" */               \
	X(RATE_CHARGE, 3) /* KEY, window_ms, how many; told */                                     \
	/* Reputation; KEY as reputation.h makes it. Counts halve each week. */                    \
	X(REP_LOOK, 1)    /* KEYs, a line end between two: a line "GOOD BAD TRAPS" for each */     \
	X(REP_ADD, 4)     /* KEY, good, bad, traps: added; told */                                 \
	X(REP_SHOW, 1)    /* KEY: JSON {"key","good","bad","traps","first","last"}; empty: none */ \
	X(REP_RESET, 1)   /* KEY is forgotten: "1", or "0": there was none */                      \
	X(LIST_ADD, 8)    /* list, type, kind, key, item ("": as the key), reason, by, expires */  \
	X(LIST_DEL, 3)    /* list, kind, key; JSON {"deleted": 0 or 1} */                          \
	X(LIST_NAMES, 0)  /* JSON {"lists": [{"list", "type", "items"}], "declared": [...]} */     \
	X(LIST_SHOW, 3)   /* list, where to go on ("", or "next" of the answer before), how many   \
			   * at most; JSON {"list", "type", "items": [{"item", "reason", "by",     \
			   * "at", "expires"}], "next"}, or empty: there is no such list */        \
	X(LIST_SEARCH, 3) /* list ("": all), kind, keys, each with its length (uint32_t) before    \
			   * it; JSON {"items": [as before, and "list"], "protected": [...]} */    \
	X(DMARC_ADD, 3)   /* policy domain, its record, a row (dmarc_results.h); told */           \
	X(DMARC_DAY, 1)   /* "2026-11-24": the domains that have rows; JSON */                     \
	X(DMARC_DOMAIN, 2) /* a day, a policy domain: all its rows; JSON, or empty: none */

enum store_kind {
#define X(name, parts) STORE_##name,
	STORE_KINDS(X)
#undef X
		STORE_KIND_COUNT
};

enum store_outcome {
	STORE_PENDING,
	STORE_DONE,
	STORE_FAILED, /* it is there, and could not do it: no room on its disk, nonsense */
	STORE_AWAY    /* nobody has answered in time, or there is nobody */
};

enum {
	STORE_PARTS_MAX = 8,
	STORE_BODY_MAX = 256 * 1024,         /* bytes of all parts of a request */
	STORE_ANSWER_MAX = 62 * 1024 * 1024, /* bytes of an answer */
	STORE_TIMEOUT_MS = 1000,             /* of a request that names none */
	STORE_BREAKER_TIMEOUTS = 3,
	STORE_BREAKER_MS = 1000,
	STORE_TOLD_MAX = 4096,
	STORE_TOLD_BYTES_MAX = 4 * 1024 * 1024,
	STORE_ASKED_MAX = 16 * 1024 /* requests under way; those beyond are answered AWAY */
};

/* Its memory is the caller's until `done`, or store_cancel. Zeroed before its first use. */
struct store_request {
	/* in */
	enum store_kind kind;
	struct span parts[STORE_PARTS_MAX]; /* any bytes; borrowed during store_ask */
	size_t n_parts;
	uint64_t timeout_ms; /* 0: STORE_TIMEOUT_MS */
	void (*done)(struct store_request *request);
	void *context;
	/* out */
	enum store_outcome outcome;
	struct span answer; /* during done */
	/* private */
	struct store *store; /* NULL: idle */
	struct store_request *next, *prev;
	struct timer timer;
	struct deferred deferred;
	uint32_t id;
};

struct store; /* of a worker */

/* Nothing is left under way: each request is done as AWAY before this returns. What was told and is
 * not answered is given up. Sets the pointer to NULL; NULL is fine. */
void store_close(struct store **store);

/* Parts that are together longer than STORE_BODY_MAX fail. */
void store_ask(struct store *store, struct store_request *request);

/* An idle one is left alone. */
void store_cancel(struct store_request *request);

/* Copies the parts. */
void store_tell(
	struct store *store, enum store_kind kind, const struct span *parts, size_t n_parts);

/* Whether a request would be tried now. */
bool store_is_there(const struct store *store);

/* What was asked and told and how it went, as members of the open object. */
void store_status(const struct store *store, struct record *r);

#endif

/*
 * redis_scripts: what Redis does for the kinds of requests, as Lua: each is one step that nobody
 * comes between, and one way over the network. Times are by the clock of the server. A script has
 * the keys of one thing only, so that clusters run it too.
 *
 * What lies in Redis (docs/OPERATING.md tells admins):
 *
 *     postern:grey:HASH          hash: key, and first (ms), tries; or known (ms)
 *     postern:rate:HASH          hash: key, slot, n, before: two buckets, each a window long
 *     postern:rep:HASH           hash: key, good, bad, traps as they were at (ms); first (ms)
 *     postern:lists              hash: NAME -> type
 *     postern:list:{NAME}        hash: item -> JSON {reason, by, at (s), expires (s), item}
 *     postern:list:{NAME}:log    stream of its changes: op, item, value; after: the id of the
 *                                change before it; n: how many items there are with it
 */
#ifndef STORE_REDIS_SCRIPTS_H
#define STORE_REDIS_SCRIPTS_H

#define REDIS_LISTS_KEY "postern:lists"

/* X(NAME): arguments stand with the text of each */
#define REDIS_SCRIPTS(X)                                                                           \
	X(GREY_LOOK)                                                                               \
	X(GREY_TRIED)                                                                              \
	X(GREY_PASSED)                                                                             \
	X(GREY_SCAN)                                                                               \
	X(RATE_LOOK)                                                                               \
	X(RATE_CHARGE)                                                                             \
	X(REP_LOOK)                                                                                \
	X(REP_ADD)                                                                                 \
	X(REP_SHOW)                                                                                \
	X(FORGET)                                                                                  \
	X(LIST_ADD)                                                                                \
	X(LIST_DEL)                                                                                \
	X(LIST_SHOW)                                                                               \
	X(LIST_FIND)                                                                               \
	X(LIST_NEWS)

enum redis_script {
#define X(name) SCRIPT_##name,
	REDIS_SCRIPTS(X)
#undef X
		SCRIPT_COUNT,
	SCRIPT_NONE = SCRIPT_COUNT
};

const char *redis_script_text(enum redis_script script);

#endif

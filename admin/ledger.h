/*
 * ledger: what workers count themselves, since rules, filters and zones are many and named by the
 * admin: how often each rule was true, what lookups cost, which blocklists are switched off, which
 * servers are down. A worker tells it in its answer to `status`. The keeper has a ledger for each
 * worker, as it last said, and one of those that have ended; the sum is what people are shown.
 *
 * So sums never go down while the keeper lives: a worker that is silent or was killed counts as it
 * last said. What was rejected: rows in shared memory, which would have to be as long as the
 * longest set of rules, with an index that means something else in each generation.
 */
#ifndef ADMIN_LEDGER_H
#define ADMIN_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/json.h"
#include "filters/pipeline.h"
#include "lib/base/log.h"

enum {
	LEDGER_MAX = 100 * 1000, /* tallies; what comes then is left out */
	LEDGER_NAME_MAX = 255    /* bytes of a name; one that is longer is none of ours */
};

enum tally_kind { TALLY_RULE, TALLY_FILTER, TALLY_ZONE, TALLY_SERVER };

/* What each kind counts. */
enum { RULE_HITS, RULE_COUNTS };
enum {
	FILTER_CALLS,
	FILTER_FAILURES,
	FILTER_TIMEOUTS,
	FILTER_US,
	FILTER_TOOK, /* and the other ranges */
	FILTER_COUNTS = FILTER_TOOK + FILTER_RANGES
};
enum { ZONE_BROKEN, ZONE_COUNTS };
enum { TALLY_COUNTS = FILTER_COUNTS };

struct tally {
	enum tally_kind kind;
	char *name;   /* owned: of the rule, filter, zone, server */
	char *detail; /* owned: its mode, "", addresses or domains, the backend */
	char *down;   /* owned: why the zone is switched off, the server down; NULL: it is not */
	bool now;     /* some worker that has just answered has it: `down` means something */
	uint64_t counts[TALLY_COUNTS];
};

struct ledger {
	struct tally *tallies; /* owned; in the order in which they came */
	size_t n, room;
	uint32_t *index; /* owned: a table of positions + 1 by hash, at most half full */
	size_t index_size;
};

/* A worker's whole answer: what it says replaces what is there, what it does not name stays. */
void ledger_take(struct ledger *ledger, const struct json *status);

/* Adds all of another. now: its worker has just answered. */
void ledger_add(struct ledger *ledger, const struct ledger *other, bool now);

/* NULL: there is none. */
const struct tally *ledger_find(
	const struct ledger *ledger, enum tally_kind kind, const char *name, const char *detail);

/* The sum as members of the open object: "rules", "lookups", "zones". */
void ledger_status(const struct ledger *ledger, struct record *r);

/* It is empty, and may be used again. */
void ledger_free(struct ledger *ledger);

#endif

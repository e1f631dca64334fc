/*
 * metrics: what Prometheus reads (its text format 0.0.4): the shared counters, and the sum of what
 * workers told. Each family is written in one piece, HELP and TYPE before its samples. No label
 * holds an address of a client.
 */
#ifndef ADMIN_METRICS_H
#define ADMIN_METRICS_H

#include <stdbool.h>

#include "admin/json.h"
#include "admin/ledger.h"
#include "lib/base/buffer.h"
#include "proxy/message/shared.h"

/* All borrowed. */
struct metrics_sources {
	const struct shared *shared;
	const struct ledger *sum; /* over all workers */
	const struct json *state; /* the supervisor's; NULL: it does not answer */
	unsigned silent;          /* workers that did not answer in time */
};

/* false: out is full. */
bool metrics_write(const struct metrics_sources *sources, struct buffer *out) MUST_CHECK;

#endif

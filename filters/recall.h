/*
 * recall: a filter's question to the store. The call waits (CALL_WAIT) until `told` has what the
 * store says; where it can't say, all facts of the call fail. A store that is away answers at once,
 * and one that hangs must not hold up mail: so a filter waits for it a moment only (its option
 * `patience`), and store.h's breaker stops asking soon.
 */
#ifndef FILTERS_RECALL_H
#define FILTERS_RECALL_H

#include "filters/call.h"
#include "lib/store/store.h"

/* The first option of a filter that recalls. */
enum { OPTION_PATIENCE };
#define RECALL_OPTION                                                                              \
	[OPTION_PATIENCE] = {"patience", FILTER_DURATION, "90ms", 1, 10 * 1000,                    \
		"how long an answer of the store is waited for"}

/* Keeps itself as the call's own. told: once, unless the call is cancelled or nobody could tell; it
 * may recall again, and says CALL_WAIT then. context: borrowed. */
enum call_status recall(struct call *call, enum store_kind kind, const struct span *parts, size_t n,
	enum call_status (*told)(struct call *call, void *context, struct span answer),
	void *context);

/* For `cancel`. */
void recall_cancel(struct call *call);

#endif

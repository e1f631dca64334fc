/*
 * enquiry: one `status` or `metrics` request: the supervisor's word on the processes, each worker's
 * on its sessions, rules and backends, and the shared counters. For `status` they are put together
 * as one JSON object:
 *
 *     {supervisor's members..., "totals":{...}, "store":{...}, "rules":[...], "lookups":[...],
 * "zones":[...], "workers":[{"number","generation","pid","answered","status":{...}}]}
 *
 * Rules, lookups and zones are the sum over all workers, ended ones too (admin/ledger.h). A worker
 * that does not answer in time is listed without "status". For `metrics` see admin/metrics.h.
 */
#ifndef ADMIN_ENQUIRY_H
#define ADMIN_ENQUIRY_H

#include <stdint.h>

#include "lib/base/span.h"

struct keeper;
struct link;

enum { ENQUIRY_MS = 2000 };

enum enquiry_form { ENQUIRY_STATUS, ENQUIRY_METRICS };

/* reception_answer follows under this id. sessions: of each worker at most so many are listed. */
void enquiry_start(struct keeper *keeper, uint32_t id, enum enquiry_form form, uint32_t sessions);

/* Answers; those to nobody's question are ignored. */
void enquiry_on_state(struct keeper *keeper, uint32_t id, struct span json);
void enquiry_on_worker(struct link *link, uint32_t id, struct span json);

/* The link is about to go. */
void enquiry_on_link_end(struct link *link);

/* Drops all; nobody is answered. */
void enquiry_close_all(struct keeper *keeper);

#endif

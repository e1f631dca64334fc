/*
 * shared: counters in memory that all processes map, so that a limit holds for all workers
 * together. Each worker writes only its own row; sums are made by reading all rows. So a worker
 * that dies in any way leaves nothing wrong behind: the supervisor clears its row.
 *
 * Connections of one client are counted in a count-min sketch (Cormode and Muthukrishnan 2005): two
 * cells per client, chosen by a keyed hash; the smaller is the answer. It never counts too few, and
 * too many only when a client shares both its cells with busy ones. What was rejected: a shared
 * hash table, which needs locks that a killed worker could hold.
 */
#ifndef PROXY_MESSAGE_SHARED_H
#define PROXY_MESSAGE_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/error.h"
#include "lib/base/ip.h"

enum { SHARED_ROWS = 256, SHARED_SKETCH_CELLS = 32768 };

/* X(name, help): counters that only grow; exported as postern_NAME_total. */
#define SHARED_COUNTERS(X)                                                                         \
	X(sessions, "SMTP sessions begun")                                                         \
	X(sessions_refused, "connections refused at a limit")                                      \
	X(messages_accepted, "messages handed to a backend")                                       \
	X(messages_refused, "messages refused for good")                                           \
	X(messages_deferred, "messages refused for now")                                           \
	X(messages_quarantined, "messages held back")                                              \
	X(messages_discarded, "messages thrown away by a rule")                                    \
	X(sessions_turned_away, "sessions and greetings refused by `reject now`")                  \
	X(messages_in_doubt, "messages whose fate at the backend is unknown")                      \
	X(recipients_refused, "recipients refused")                                                \
	X(message_bytes, "bytes of message content accepted")                                      \
	X(tls_handshakes, "TLS handshakes done with clients")                                      \
	X(backend_connects, "connections made to backends")                                        \
	X(log_dropped, "log lines dropped because their reader was too slow")

enum shared_counter {
#define X(name, help) COUNT_##name,
	SHARED_COUNTERS(X)
#undef X
		SHARED_COUNTER_COUNT
};

/* X(name): what clients were told, and how far they had come; postern_verdicts_total has both as
 * labels. */
#define SHARED_VERDICTS(X) X(accept) X(reject) X(defer) X(quarantine) X(discard) X(in_doubt)
#define SHARED_MOMENTS(X)  X(connect) X(helo) X(mail) X(rcpt) X(message)

enum shared_verdict {
#define X(name) SPOKEN_##name,
	SHARED_VERDICTS(X)
#undef X
		SHARED_VERDICT_COUNT
};

enum shared_moment {
#define X(name) AT_##name,
	SHARED_MOMENTS(X)
#undef X
		SHARED_MOMENT_COUNT
};

/* One process's; 64-byte aligned, written by it alone. */
struct shared_row {
	_Alignas(64) _Atomic uint32_t sessions; /* open now */
	_Atomic uint32_t in_use;                /* set by the supervisor */
	_Atomic uint64_t spool_memory;          /* bytes reserved now */
	_Atomic uint64_t spool_disk;
	_Atomic uint64_t counters[SHARED_COUNTER_COUNT];
	_Atomic uint64_t verdicts[SHARED_MOMENT_COUNT][SHARED_VERDICT_COUNT];
	_Atomic uint32_t clients[2][SHARED_SKETCH_CELLS];
};

struct shared {
	uint8_t hash_key[16];
	_Atomic uint64_t retired[SHARED_COUNTER_COUNT]; /* of processes that are gone */
	_Atomic uint64_t retired_verdicts[SHARED_MOMENT_COUNT][SHARED_VERDICT_COUNT];
	_Atomic uint32_t rows_used; /* rows at and above this were never in use */
	struct shared_row rows[SHARED_ROWS];
};

/* A sealed-size memfd, close-on-exec; -1 and err on failure. */
int shared_create(struct err *err);
struct shared *shared_map(int fd, struct err *err);
void shared_unmap(struct shared **shared);

/* The supervisor's: takes a free row for a new process (-1: none is free), and gives it back when
 * the process is gone. */
int shared_row_take(struct shared *shared);
void shared_row_give(struct shared *shared, int row);

/* Sums over all rows. */
uint32_t shared_sessions(const struct shared *shared);
uint64_t shared_spool_memory(const struct shared *shared);
uint64_t shared_spool_disk(const struct shared *shared);
uint64_t shared_count(const struct shared *shared, enum shared_counter counter);
uint64_t shared_spoken(
	const struct shared *shared, enum shared_moment moment, enum shared_verdict verdict);

static inline void shared_add(struct shared_row *row, enum shared_counter counter, uint64_t amount)
{
	atomic_fetch_add_explicit(&row->counters[counter], amount, memory_order_relaxed);
}

/* verdict: as in the audit record; "abandoned" was told to nobody and is not counted. */
void shared_speak(struct shared_row *row, enum shared_moment moment, const char *verdict);

/* Counts a client in (IPv6 by /64) and says how many connections it now has over all workers; out
 * again at the end. */
uint32_t shared_client_enter(struct shared *shared, struct shared_row *row, const struct ip *ip);
void shared_client_leave(struct shared *shared, struct shared_row *row, const struct ip *ip);

const char *shared_counter_name(enum shared_counter counter);
const char *shared_counter_help(enum shared_counter counter);
const char *shared_moment_name(enum shared_moment moment);
const char *shared_verdict_name(enum shared_verdict verdict);

#endif

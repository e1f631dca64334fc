/*
 * spool: the content of one message while it is ours. Memory first (contiguous, so that the header
 * section can be looked at in place), then an unlinked file in the state folder for what is beyond
 * SPOOL_MEMORY_MAX. Budgets over all workers refuse before memory or disk can run out: the caller
 * answers 452.
 */
#ifndef PROXY_MESSAGE_SPOOL_H
#define PROXY_MESSAGE_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"
#include "proxy/message/shared.h"

enum { SPOOL_MEMORY_MAX = 256 * 1024 };

/* Of a worker. */
struct spools {
	struct shared *shared; /* borrowed */
	struct shared_row *row;
	int dir;                     /* borrowed; -1: no disk */
	uint64_t memory_max;         /* over all workers */
	uint64_t total_max;          /* memory and disk, over all workers (limits.spool) */
	uint64_t message_memory_max; /* of one message before it goes to disk */
	unsigned files, files_max;   /* descriptors of this worker for messages on disk */
	char *scratch;               /* owned: where bytes for a file are put together */
	size_t scratch_size;
};

struct spools *spools_new(struct shared *shared, struct shared_row *row, int dir,
	uint64_t total_max, uint64_t headers_max, unsigned files_max);
void spools_free(struct spools **spools);

struct spool {
	struct spools *owner; /* borrowed */
	char *memory;         /* owned */
	size_t memory_len, memory_capacity;
	int fd;              /* owned; -1 while all is in memory */
	uint64_t file_start; /* 0 but for a message that is read back from a file of another kind */
	uint64_t file_len;
	uint64_t file_reserved; /* of the budget */
};

void spool_init(struct spool *spool, struct spools *owner);
void spool_free(struct spool *spool); /* gives everything back; may be called twice */

/* Room for size more bytes at the returned place (valid until spool_added); NULL: over budget, or
 * no memory. */
char *spool_reserve(struct spool *spool, size_t size) MUST_CHECK;

/* Takes size bytes of what was reserved. false: the disk is full or failed (errno), the spool is of
 * no further use. */
bool spool_added(struct spool *spool, size_t size) MUST_CHECK;

/* What lies in memory: the first bytes of the message, all of it when fd is -1. */
static inline struct span spool_memory(const struct spool *spool)
{
	return span_make(spool->memory ? spool->memory : "", spool->memory_len);
}

static inline uint64_t spool_size(const struct spool *spool)
{
	return spool->memory_len + spool->file_len;
}

#endif

/*
 * keeper_store: the keeper's side of the embedded store. Workers are linked by socket pairs; what
 * they ask goes into a queue for the one thread that owns the database, which takes all that has
 * gathered as one transaction. The keeper's loop never waits for the disk.
 *
 *     worker --frame--> loop --queue--> thread: one transaction --> loop --frame--> worker
 *
 * The thread also lays lists into images (shelves.h), which the loop shows to all workers.
 */
#ifndef STORE_KEEPER_STORE_H
#define STORE_KEEPER_STORE_H

#include "lib/base/log.h"
#include "lib/net/loop.h"
#include "lib/store/database.h"
#include "lib/store/store.h"

enum {
	KEEPER_STORE_QUEUE_MAX = 64 * 1024, /* requests; those beyond are answered AWAY */
	KEEPER_STORE_QUEUE_BYTES_MAX = 64 * 1024 * 1024,
	KEEPER_STORE_BATCH_MAX = 1024 /* requests in one transaction */
};

struct keeper_store;

struct keeper_store_setup {
	struct loop *loop; /* borrowed until the loop is closed */
	struct log *log;   /* borrowed */
	/* An answer to keeper_store_ask, from the loop, once. */
	void (*on_answer)(
		void *context, uint32_t id, enum store_outcome outcome, struct span answer);
	/* Somebody has become known to be good (database.h, known_good); from the loop. NULL:
	 * nobody minds. */
	void (*on_known_good)(void *context, struct span key);
	void *context;
	uint64_t gather_ms;             /* how long what nobody waits for waits for more; 0: 200 */
	struct database_setup database; /* dir is taken over; clock and callbacks are ours */
};

/* Starts the thread. */
struct keeper_store *keeper_store_open(const struct keeper_store_setup *setup);

/* A worker is at the other end of fd, which is taken over. */
void keeper_store_link(struct keeper_store *ks, int fd);

/* What the configuration in force says of lists (database_declare). */
void keeper_store_declare(struct keeper_store *ks, struct span text);

/* A question of the keeper's own. id: the asker's, not 0. */
void keeper_store_ask(struct keeper_store *ks, uint32_t id, enum store_kind kind,
	const struct span *parts, size_t n_parts);

/* Whether a worker is linked still. */
bool keeper_store_is_linked(const struct keeper_store *ks);

/* Its numbers, as members of the open object. */
void keeper_store_status(struct keeper_store *ks, struct record *r);

/* What is queued is still done, and waited for; nobody is answered. The loop must run until its
 * handles are closed (loop_close). Sets the pointer to NULL; NULL is fine. */
void keeper_store_close(struct keeper_store **ks);

#endif

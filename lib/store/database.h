/*
 * database: the embedded store's SQLite file, postern.db in the state folder. One thread of the
 * keeper owns it; whatever has gathered while it was at work becomes one transaction
 * (database_run).
 *
 * The file is opened below a folder's descriptor, not by a path: the account that the keeper runs
 * as may own the state folder and yet be unable to reach it from the root.
 *
 * A file that is damaged, when it is opened or later, is moved aside as postern.db.corrupt-DATE,
 * and a new one is begun. One that can't be opened or written (no room, no permission) is tried
 * again; until then jobs fail.
 */
#ifndef STORE_DATABASE_H
#define STORE_DATABASE_H

#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/list/image.h"
#include "lib/store/store.h"

/* postern.db's version: PRAGMA user_version. A file of a higher one is left alone. */
enum { DATABASE_VERSION = 3 };

/* How long, and how many, DMARC results are kept. What is over is counted, not kept. */
enum {
	DATABASE_DMARC_DAYS = 32,
	DATABASE_DMARC_ROWS_DAY = 250 * 1000,   /* rows and domains of one day */
	DATABASE_DMARC_ROWS_DOMAIN = 10 * 1000, /* of them one policy domain's */
	DATABASE_DMARC_BYTES_DAY = 96 * 1024 * 1024
};

/* How many lists, and items in all of them; and how many rules may bring one list to, since those
 * are what strangers make them add. */
enum {
	DATABASE_LISTS_MAX = 1000,
	DATABASE_LIST_ITEMS_MAX = 40 * 1000 * 1000,
	DATABASE_LIST_RULES_MAX = 1000 * 1000
};

/* Pages that are kept in memory: keys come in any order, so what is not there is read. */
enum { DATABASE_CACHE_KB = 32 * 1024 };

/* Rows of greylisting, rates, reputation: strangers invent their keys. Where there is no room those
 * that would be forgotten first go. */
enum { DATABASE_MEMORY_ROWS = 1000 * 1000 };

struct database_setup {
	int dir;                   /* descriptor of the state folder; borrowed */
	const struct clock *clock; /* borrowed */
	/* Something that the admin is to know; called from database_run. */
	void (*notice)(void *context, enum log_level level, const char *event, const char *text);
	/* A list has changed, from database_run, once it is committed: one item (IMAGE_GONE: taken
	 * off), or so much that it is to be read anew. An import into it goes on, or has ended.
	 * NULL, all three: nobody wants to know. */
	void (*list_change)(void *context, struct span list, enum image_kind kind,
		const struct image_item *item);
	void (*list_reread)(void *context, struct span list);
	void (*list_import)(void *context, struct span list, bool is_last);

	/* Somebody's counts have become those of one who is known to be good (reputation.h), or are
	 * still so in another week. key: as REP_ADD had it, borrowed. From database_run, and more
	 * than once where the transaction fails. NULL: nobody minds. */
	void (*known_good)(void *context, struct span key);
	void *context;
	/* For tests; 0: as above, or no limit. */
	uint32_t pages_max;
	uint32_t dmarc_rows_day, dmarc_rows_domain;
	uint64_t dmarc_bytes_day;
	uint32_t memory_rows;
	uint32_t cache_kb; /* 0: DATABASE_CACHE_KB */
};

struct database; /* of one thread */

struct database_job {
	/* in */
	enum store_kind kind;
	struct span parts[STORE_PARTS_MAX];
	bool of_worker; /* its word weighs less than an admin's */
	/* out */
	enum store_outcome outcome;
	struct buffer answer; /* with the maximum that the caller gave it */
};

/* The file is opened by the first database_run. */
struct database *database_new(const struct database_setup *setup);
void database_free(struct database **database);

/* Runs them in one transaction: each has its outcome when it is committed. */
void database_run(struct database *database, struct database_job *const *jobs, size_t n);

/*
 * What the configuration in force says, as lines:
 *
 *     list NAME TYPE           rules read it
 *     protect NETWORK WHY      no list may hold it
 */
void database_declare(struct database *database, struct span text);

/* For images (lib/list/shelf.h): these read the file below `dir` for themselves, on any thread, and
 * see what was committed before. false: it can't be read just now. */
bool database_lists_each(int dir, void (*each)(void *context, struct span name), void *context,
	struct err *err) MUST_CHECK;
bool database_list_walk(int dir, uint64_t now_s, struct span list, enum image_kind kind,
	const struct image_item *from, const struct image_item *until,
	bool (*take)(void *taker, const struct image_item *item), void *taker,
	struct err *err) MUST_CHECK;

/* Deletes some of what is too old. true: there is more. */
bool database_expire(struct database *database) MUST_CHECK;

/* The file's size in bytes; 0: it is not open. */
uint64_t database_size(struct database *database);

#endif

/*
 * database_private: what the files of the database share.
 *
 *     database.c            the file: opening, versions, transactions, damage
 *     database_vfs.c        names below a folder's descriptor
 *     database_dmarc.c      the results that DMARC reports are made of
 *     database_list.c       lists; database_list_show.c what admins ask about them
 *     database_memory.c     what the following three share: room, and age
 *     database_grey.c       greylisting
 *     database_rate.c       rates
 *     database_rep.c        reputation
 *     database_reader.c     reading lists for images, beside the one who writes
 */
#ifndef STORE_DATABASE_PRIVATE_H
#define STORE_DATABASE_PRIVATE_H

#include <sqlite3.h>

#include "lib/store/database.h"
#include "lib/store/list_request.h"
#include "lib/store/protected.h"

/* Statements, prepared when they are first needed. X(NAME, SQL) */
#define DATABASE_STATEMENTS(X)                                                                     \
	X(BEGIN, "BEGIN IMMEDIATE")                                                                \
	X(COMMIT, "COMMIT")                                                                        \
	X(ROLLBACK, "ROLLBACK")                                                                    \
	X(DAY_ENSURE, "INSERT OR IGNORE INTO dmarc_days(day) VALUES (?1)")                         \
	X(DAY_GET, "SELECT rows, bytes, left_out FROM dmarc_days WHERE day = ?1")                  \
	X(DAY_GROW, "UPDATE dmarc_days SET rows = rows + 1, bytes = bytes + ?2 WHERE day = ?1")    \
	X(DAY_LEAVE_OUT, "UPDATE dmarc_days SET left_out = left_out + 1 WHERE day = ?1")           \
	X(DOMAIN_GET,                                                                              \
		"SELECT id, rows, record, messages, left_out, first, last FROM dmarc_domains "     \
		"WHERE day = ?1 AND domain = ?2")                                                  \
	X(DOMAIN_NEW, "INSERT INTO dmarc_domains(day, domain, record, first, last) "               \
		      "VALUES (?1, ?2, ?3, ?4, ?4)")                                               \
	X(DOMAIN_COUNT,                                                                            \
		"UPDATE dmarc_domains SET messages = messages + 1, last = ?2 WHERE id = ?1")       \
	X(DOMAIN_RECORD, "UPDATE dmarc_domains SET record = ?2 WHERE id = ?1")                     \
	X(DOMAIN_GROW, "UPDATE dmarc_domains SET rows = rows + 1 WHERE id = ?1")                   \
	X(DOMAIN_LEAVE_OUT, "UPDATE dmarc_domains SET left_out = left_out + 1 WHERE id = ?1")      \
	X(ROW_COUNT, "UPDATE dmarc_rows SET count = count + 1 WHERE domain = ?1 AND row = ?2")     \
	X(ROW_NEW, "INSERT INTO dmarc_rows(domain, row) VALUES (?1, ?2)")                          \
	X(ROWS_OF, "SELECT count, row FROM dmarc_rows WHERE domain = ?1 ORDER BY count DESC, row") \
	X(DOMAINS_OF, "SELECT domain, messages, rows, left_out FROM dmarc_domains WHERE day = ?1 " \
		      "ORDER BY messages DESC, domain")                                            \
	X(OLD_DOMAIN, "SELECT id FROM dmarc_domains WHERE day < ?1 ORDER BY day LIMIT 1")          \
	X(OLD_ROWS, "DELETE FROM dmarc_rows WHERE domain = ?1 AND row IN "                         \
		    "(SELECT row FROM dmarc_rows WHERE domain = ?1 LIMIT 1000)")                   \
	X(OLD_DOMAIN_END, "DELETE FROM dmarc_domains WHERE id = ?1")                               \
	X(OLD_DAYS, "DELETE FROM dmarc_days WHERE day < ?1")                                       \
	X(LIST_GET, "SELECT id, type, items FROM lists WHERE name = ?1")                           \
	X(LIST_NEW, "INSERT INTO lists(name, type) VALUES (?1, ?2)")                               \
	X(LIST_TYPE, "UPDATE lists SET type = ?2 WHERE id = ?1")                                   \
	X(LIST_GROW, "UPDATE lists SET items = items + ?2 WHERE id = ?1")                          \
	X(LIST_SUM, "SELECT count(*), sum(items) FROM lists")                                      \
	X(LISTS, "SELECT name, type, items, id FROM lists ORDER BY name")                          \
	X(LIST_KEYS, "SELECT kind, key, item, reason, expires FROM list_items WHERE list = ?1")    \
	X(LIST_SHOW, "SELECT kind, key, item, reason, author, at, expires FROM list_items "        \
		     "WHERE list = ?1 AND (kind, key) > (?2, ?3) "                                 \
		     "AND (expires = 0 OR expires > ?4) ORDER BY kind, key LIMIT ?5")              \
	X(ITEM_NEW, "INSERT OR IGNORE INTO list_items(list, kind, key, item, reason, author, at, " \
		    "expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                            \
	X(ITEM_SET, "UPDATE list_items SET item = ?4, reason = ?5, author = ?6, at = ?7, "         \
		    "expires = ?8 WHERE list = ?1 AND kind = ?2 AND key = ?3")                     \
	X(ITEM_GET, "SELECT reason, expires FROM list_items "                                      \
		    "WHERE list = ?1 AND kind = ?2 AND key = ?3")                                  \
	X(ITEM_SHOW, "SELECT kind, key, item, reason, author, at, expires FROM list_items "        \
		     "WHERE list = ?1 AND kind = ?2 AND key = ?3 "                                 \
		     "AND (expires = 0 OR expires > ?4)")                                          \
	X(ITEM_DELETE, "DELETE FROM list_items WHERE list = ?1 AND kind = ?2 AND key = ?3")        \
	X(ITEMS_OVER, "SELECT list, kind, key FROM list_items "                                    \
		      "WHERE expires > 0 AND expires < ?1 LIMIT 500")                              \
	X(GREY_GET, "SELECT since, tries, known, expires FROM grey WHERE key = ?1")                \
	X(GREY_SET, "INSERT INTO grey VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT(key) DO UPDATE SET " \
		    "since = ?2, tries = ?3, known = ?4, expires = ?5")                            \
	X(GREY_DROP, "DELETE FROM grey WHERE key = ?1 AND expires > ?2")                           \
	X(GREY_PAGE, "SELECT key, since, tries, known, expires FROM grey "                         \
		     "WHERE key > ?1 AND expires > ?2 ORDER BY key LIMIT ?3")                      \
	X(GREY_ROWS, "SELECT count(*) FROM grey")                                                  \
	X(GREY_OLD, "DELETE FROM grey WHERE key IN "                                               \
		    "(SELECT key FROM grey WHERE expires <= ?1 ORDER BY expires LIMIT ?2)")        \
	X(RATE_GET, "SELECT bucket, current, before FROM rates WHERE key = ?1 AND window = ?2")    \
	X(RATE_SET, "INSERT INTO rates VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(key, window) "  \
		    "DO UPDATE SET "                                                               \
		    "bucket = ?3, current = ?4, before = ?5, expires = ?6")                        \
	X(RATE_ROWS, "SELECT count(*) FROM rates")                                                 \
	X(RATE_OLD, "DELETE FROM rates WHERE (key, window) IN "                                    \
		    "(SELECT key, window FROM rates WHERE expires <= ?1 "                          \
		    "ORDER BY expires LIMIT ?2)")                                                  \
	X(REP_GET, "SELECT good, bad, traps, first, last FROM reputation WHERE key = ?1")          \
	X(REP_SET, "INSERT INTO reputation VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(key) "  \
		   "DO UPDATE SET "                                                                \
		   "good = ?2, bad = ?3, traps = ?4, last = ?6, expires = ?7")                     \
	X(REP_DROP, "DELETE FROM reputation WHERE key = ?1 AND expires > ?2")                      \
	X(REP_ROWS, "SELECT count(*) FROM reputation")                                             \
	X(REP_OLD, "DELETE FROM reputation WHERE key IN "                                          \
		   "(SELECT key FROM reputation WHERE expires <= ?1 ORDER BY expires LIMIT ?2)")   \
	X(PAGES, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")

enum database_statement {
#define X(name, sql) SQL_##name,
	DATABASE_STATEMENTS(X)
#undef X
		SQL_COUNT
};

#define DATABASE_FILE "postern.db"

enum { DATABASE_DAY_SIZE = 11 /* "2026-11-24" */ };

/* What a transaction has changed in a list. */
struct database_list_changes {
	struct database_list_changes *next;
	char name[LIST_NAME_MAX + 1];
	struct buffer packed; /* items, as list_pack has them */
	unsigned n;
	bool many; /* too many to be told one by one */
	enum { IMPORT_NONE, IMPORT_MORE, IMPORT_LAST } import;
};

/* Tables whose keys strangers invent. */
enum memory_table { MEMORY_GREY, MEMORY_RATES, MEMORY_REPUTATION, MEMORY_TABLES };

struct memory_room {
	int64_t rows; /* -1: they are to be counted */
	uint64_t told_ms;
};

struct database {
	struct database_setup setup;
	sqlite3 *file; /* owned; NULL: not open */
	sqlite3_stmt *statements[SQL_COUNT];
	bool failed;         /* a step has, since it was cleared */
	uint64_t tried_ms;   /* the last try to open it; 0: none */
	const char *trouble; /* event of the trouble that was told last; NULL: all is well */
	uint64_t trouble_told_ms;
	struct memory_room rooms[MEMORY_TABLES];
	bool damaged; /* a statement has said so: it is moved aside at the next chance */
	struct database_list_changes *list_changes; /* owned; of the transaction */
	struct buffer declared;                     /* as database_declare was told */
	struct protected_set *own;                  /* owned; of the configuration; NULL: none */
	struct protected_set *kept; /* owned; of the list; NULL: to be read from the file */
};

/* A statement with nothing bound, ready to be bound and stepped; NULL: it can't be had, and the
 * trouble is noted. */
sqlite3_stmt *database_statement(struct database *db, enum database_statement which);
void database_bind(sqlite3_stmt *statement, int at, struct span text);

/* One step that must not bring a row, or may bring one. false: it failed, and that is noted. */
bool database_do(struct database *db, sqlite3_stmt *statement) MUST_CHECK;
bool database_row(struct database *db, sqlite3_stmt *statement, bool *is_row) MUST_CHECK;

/* Borrowed until the statement is stepped or reset. */
struct span database_text(sqlite3_stmt *statement, int column);

/* The UTC day of a wall time. */
void database_day(uint64_t wall_ms, char out[DATABASE_DAY_SIZE]);

/* What kinds do; false: it failed and is noted, or the parts are nonsense. */
bool database_dmarc_add(struct database *db, struct database_job *job) MUST_CHECK;
bool database_dmarc_day(struct database *db, struct database_job *job) MUST_CHECK;
bool database_dmarc_domain(struct database *db, struct database_job *job) MUST_CHECK;

bool database_list_add(struct database *db, struct database_job *job) MUST_CHECK;
bool database_list_batch(struct database *db, struct database_job *job) MUST_CHECK;
bool database_list_del(struct database *db, struct database_job *job) MUST_CHECK;
bool database_list_names(struct database *db, struct database_job *job) MUST_CHECK;
bool database_list_show(struct database *db, struct database_job *job) MUST_CHECK;
bool database_list_search(struct database *db, struct database_job *job) MUST_CHECK;

/* What a transaction changed in lists is told; or forgotten. */
void database_list_committed(struct database *db);
void database_list_rolled_back(struct database *db);

/* Within a transaction. *more: not all is gone yet. */
bool database_list_expire(struct database *db, bool *more) MUST_CHECK;
bool database_grey_look(struct database *db, struct database_job *job) MUST_CHECK;
bool database_grey_tried(struct database *db, struct database_job *job) MUST_CHECK;
bool database_grey_passed(struct database *db, struct database_job *job) MUST_CHECK;
bool database_grey_list(struct database *db, struct database_job *job) MUST_CHECK;
bool database_grey_clear(struct database *db, struct database_job *job) MUST_CHECK;
bool database_rate_look(struct database *db, struct database_job *job) MUST_CHECK;
bool database_rate_charge(struct database *db, struct database_job *job) MUST_CHECK;
bool database_rep_look(struct database *db, struct database_job *job) MUST_CHECK;
bool database_rep_add(struct database *db, struct database_job *job) MUST_CHECK;
bool database_rep_show(struct database *db, struct database_job *job) MUST_CHECK;
bool database_rep_reset(struct database *db, struct database_job *job) MUST_CHECK;

/* A row is about to be added: where there is no room, some go before, and the admin is told. */
bool memory_add_row(struct database *db, enum memory_table table) MUST_CHECK;

/* Deletes the row of a key (SQL_..._DROP); the answer is "1", or "0" if there was none. */
bool memory_drop(struct database *db, enum database_statement which, enum memory_table table,
	struct database_job *job) MUST_CHECK;

/* The numbers of rows are not known any more: another file, a transaction that was undone. */
void memory_forget_rows(struct database *db);

/* A whole number of a job's part, at least 1. */
bool memory_number(struct span part, uint64_t *out) MUST_CHECK;
bool memory_key_fits(struct span key);
int64_t memory_now_ms(const struct database *db); /* since 1970 */

/* Within a transaction. *more: not all is gone yet. */
bool database_memory_expire(struct database *db, bool *more) MUST_CHECK;
bool database_dmarc_expire(struct database *db, const char *before, bool *more) MUST_CHECK;

/* The name of SQLite's VFS that leaves file names as they are; registered once for the process. */
const char *database_vfs(void);

#endif

/*
 * WAL with synchronous=NORMAL: a commit is a write to the log file without waiting for the disk,
 * and the file is sound after any kind of death; only a power cut may cost the last seconds. That
 * is right for what is kept here, which is counted and not promised to anybody.
 */
#include "lib/store/database.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/fail.h"
#include "lib/store/database_private.h"

enum {
	BUSY_MS = 2000,  /* an admin's own sqlite3 may hold the file for so long */
	RETRY_MS = 1000, /* between tries to open it */
	TELL_AGAIN_MS = 60 * 1000
};

static const char *const statement_texts[SQL_COUNT] = {
#define X(name, sql) [SQL_##name] = (sql),
	DATABASE_STATEMENTS(X)
#undef X
};

/* From version to version; the first begins with an empty file. */
static const char *const migrations[DATABASE_VERSION] = {
	"CREATE TABLE dmarc_days("
	"  day TEXT PRIMARY KEY,"
	"  rows INTEGER NOT NULL DEFAULT 0,"
	"  bytes INTEGER NOT NULL DEFAULT 0,"
	"  left_out INTEGER NOT NULL DEFAULT 0" /* messages of domains that had no room */
	") WITHOUT ROWID;"
	"CREATE TABLE dmarc_domains("
	"  id INTEGER PRIMARY KEY,"
	"  day TEXT NOT NULL,"
	"  domain TEXT NOT NULL,"
	"  record TEXT NOT NULL," /* as it was last seen that day */
	"  messages INTEGER NOT NULL DEFAULT 0,"
	"  rows INTEGER NOT NULL DEFAULT 0,"
	"  left_out INTEGER NOT NULL DEFAULT 0," /* messages whose row had no room */
	"  first INTEGER NOT NULL,"              /* seconds since 1970 */
	"  last INTEGER NOT NULL,"
	"  UNIQUE(day, domain)"
	");"
	"CREATE TABLE dmarc_rows("
	"  domain INTEGER NOT NULL,"
	"  row TEXT NOT NULL," /* JSON */
	"  count INTEGER NOT NULL DEFAULT 1,"
	"  PRIMARY KEY(domain, row)"
	") WITHOUT ROWID;",
	"CREATE TABLE lists("
	"  id INTEGER PRIMARY KEY,"
	"  name TEXT NOT NULL UNIQUE,"
	"  type TEXT NOT NULL,"
	"  items INTEGER NOT NULL DEFAULT 0"
	");"
	"CREATE TABLE list_items("
	"  list INTEGER NOT NULL,"
	"  kind INTEGER NOT NULL," /* enum image_kind */
	"  key BLOB NOT NULL,"     /* list_request.h */
	"  item TEXT,"             /* as written, where the key does not say it */
	"  reason TEXT NOT NULL,"
	"  author TEXT NOT NULL,"
	"  at INTEGER NOT NULL,"      /* seconds since 1970 */
	"  expires INTEGER NOT NULL," /* likewise; 0: never */
	"  PRIMARY KEY(list, kind, key)"
	") WITHOUT ROWID;"
	"CREATE INDEX list_items_expiry ON list_items(expires) WHERE expires > 0;",
	/* Times in milliseconds since 1970. */
	"CREATE TABLE grey("
	"  key TEXT PRIMARY KEY,"
	"  since INTEGER NOT NULL," /* of the first try; once it is known, since when it is */
	"  tries INTEGER NOT NULL,"
	"  known INTEGER NOT NULL,"
	"  expires INTEGER NOT NULL"
	") WITHOUT ROWID;"
	"CREATE INDEX grey_expires ON grey(expires);"
	"CREATE TABLE rates("
	"  key TEXT NOT NULL,"
	"  window INTEGER NOT NULL," /* ms */
	"  bucket INTEGER NOT NULL," /* number of the window since 1970 that `current` counts */
	"  current REAL NOT NULL,"
	"  before REAL NOT NULL," /* of the bucket before it */
	"  expires INTEGER NOT NULL,"
	"  PRIMARY KEY(key, window)"
	") WITHOUT ROWID;"
	"CREATE INDEX rates_expires ON rates(expires);"
	"CREATE TABLE reputation("
	"  key TEXT PRIMARY KEY,"
	"  good REAL NOT NULL," /* as they were at `last` */
	"  bad REAL NOT NULL,"
	"  traps REAL NOT NULL,"
	"  first INTEGER NOT NULL,"
	"  last INTEGER NOT NULL,"
	"  expires INTEGER NOT NULL"
	") WITHOUT ROWID;"
	"CREATE INDEX reputation_expires ON reputation(expires);",
};

/* --- what the admin hears --- */

/* The same trouble is told once a minute. */
static void trouble(struct database *db, const char *event, const char *text)
{
	uint64_t now_ms = clock_now_ms(db->setup.clock);

	if (db->trouble && strcmp(db->trouble, event) == 0 &&
		now_ms - db->trouble_told_ms < TELL_AGAIN_MS)
		return;
	db->trouble = event;
	db->trouble_told_ms = now_ms;
	db->setup.notice(db->setup.context, LOG_ERROR, event, text);
}

static void all_is_well(struct database *db)
{
	if (db->trouble)
		db->setup.notice(db->setup.context, LOG_INFO, "store_recovered",
			"the store is written again");
	db->trouble = NULL;
}

static bool is_damage(int code)
{
	return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

/* Notes what SQLite says; false. */
static bool note(struct database *db, int code)
{
	struct err err = {{0}};
	const char *text = db->file ? sqlite3_errmsg(db->file) : sqlite3_errstr(code);

	if (is_damage(code)) {
		db->damaged = true;
		return false;
	}
	err_set(&err, "the store can't be used: %s (SQLite %d)", text, code);
	trouble(db, (code & 0xff) == SQLITE_FULL ? "store_full" : "store_failed", err.text);
	return false;
}

/* --- statements --- */

sqlite3_stmt *database_statement(struct database *db, enum database_statement which)
{
	sqlite3_stmt **statement = &db->statements[which];
	int code = SQLITE_OK;

	if (!*statement)
		code = sqlite3_prepare_v3(db->file, statement_texts[which], -1,
			SQLITE_PREPARE_PERSISTENT, statement, NULL);
	if (code != SQLITE_OK) {
		note(db, code);
		return NULL;
	}
	sqlite3_reset(*statement);
	sqlite3_clear_bindings(*statement);
	return *statement;
}

void database_bind(sqlite3_stmt *statement, int at, struct span text)
{
	ENSURE(sqlite3_bind_text(statement, at, text.at ? text.at : "", (int)text.len,
		       SQLITE_TRANSIENT) == SQLITE_OK);
}

bool database_row(struct database *db, sqlite3_stmt *statement, bool *is_row)
{
	int code = statement ? sqlite3_step(statement) : SQLITE_ERROR;

	*is_row = code == SQLITE_ROW;
	if (code == SQLITE_ROW || code == SQLITE_DONE)
		return true;
	db->failed = true;
	if (statement) {
		note(db, code);
		sqlite3_reset(statement);
	}
	return false;
}

bool database_do(struct database *db, sqlite3_stmt *statement)
{
	bool is_row;

	if (!database_row(db, statement, &is_row))
		return false;
	sqlite3_reset(statement);
	return true;
}

struct span database_text(sqlite3_stmt *statement, int column)
{
	const void *text = sqlite3_column_text(statement, column);

	return span_make(text, (size_t)sqlite3_column_bytes(statement, column));
}

void database_day(uint64_t wall_ms, char out[DATABASE_DAY_SIZE])
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(wall_ms, text);
	memcpy(out, text, DATABASE_DAY_SIZE - 1);
	out[DATABASE_DAY_SIZE - 1] = '\0';
}

/* --- the file --- */

static void close_file(struct database *db)
{
	for (size_t i = 0; i < SQL_COUNT; i++) {
		sqlite3_finalize(db->statements[i]);
		db->statements[i] = NULL;
	}
	sqlite3_close(db->file);
	db->file = NULL;
	protected_free(&db->kept); /* it was that file's */
}

static int run_text(struct database *db, const char *sql)
{
	return sqlite3_exec(db->file, sql, NULL, NULL, NULL);
}

/* The first column of the first row. */
static int ask_number(struct database *db, const char *sql, int64_t *out)
{
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(db->file, sql, -1, &statement, NULL);

	if (code != SQLITE_OK)
		return code;
	code = sqlite3_step(statement);
	*out = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	sqlite3_finalize(statement);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int check_sound(struct database *db)
{
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(db->file, "PRAGMA quick_check(1)", -1, &statement, NULL);

	if (code != SQLITE_OK)
		return code;
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		code = span_equal(database_text(statement, 0), SPAN("ok")) ? SQLITE_OK
									   : SQLITE_CORRUPT;
	sqlite3_finalize(statement);
	return code;
}

static int migrate(struct database *db, int64_t version)
{
	int code = SQLITE_OK;

	for (; version < DATABASE_VERSION; version++) {
		char end[64];

		snprintf(end, sizeof(end), "PRAGMA user_version=%d; COMMIT", (int)version + 1);
		code = run_text(db, "BEGIN IMMEDIATE");
		if (code == SQLITE_OK)
			code = run_text(db, migrations[version]);
		if (code == SQLITE_OK)
			code = run_text(db, end);
		if (code != SQLITE_OK)
			return code;
	}
	return SQLITE_OK;
}

static int open_file(struct database *db)
{
	char name[64], limit[80];
	int64_t version;
	int code;

	snprintf(name, sizeof(name), "/proc/self/fd/%d/" DATABASE_FILE, db->setup.dir);
	code = sqlite3_open_v2(name, &db->file,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
			SQLITE_OPEN_EXRESCODE,
		database_vfs());
	if (code != SQLITE_OK)
		return code;
	sqlite3_busy_timeout(db->file, BUSY_MS);
	snprintf(limit, sizeof(limit), "PRAGMA max_page_count=%u; PRAGMA cache_size=-%u",
		db->setup.pages_max ? db->setup.pages_max : 0x7fffffffu,
		db->setup.cache_kb ? db->setup.cache_kb : DATABASE_CACHE_KB);
	code = run_text(db, "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
			    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
			    "PRAGMA journal_size_limit=16777216; PRAGMA wal_autocheckpoint=4000");
	if (code == SQLITE_OK)
		code = run_text(db, limit);
	if (code == SQLITE_OK)
		code = ask_number(db, "PRAGMA user_version", &version);
	if (code == SQLITE_OK && version > DATABASE_VERSION) {
		trouble(db, "store_newer",
			DATABASE_FILE
			" was written by a newer postern: it is left alone, and nothing "
			"is remembered");
		return SQLITE_MISUSE;
	}
	if (code == SQLITE_OK)
		code = check_sound(db);
	return code == SQLITE_OK ? migrate(db, version) : code;
}

/* Keeps the log beside it, without which the file is older than it was; the index goes. */
static bool move_aside(struct database *db)
{
	char ts[CLOCK_RFC3339_SIZE], aside[64], log[80];
	struct err err = {{0}};

	clock_rfc3339(clock_wall_ms(db->setup.clock), ts);
	snprintf(aside, sizeof(aside), DATABASE_FILE ".corrupt-%s", ts);
	snprintf(log, sizeof(log), "%s-wal", aside);
	close_file(db);
	db->damaged = false;
	if (renameat(db->setup.dir, DATABASE_FILE, db->setup.dir, aside) < 0) {
		err_errno(&err, DATABASE_FILE " is damaged and can't be moved aside");
		trouble(db, "store_failed", err.text);
		return false;
	}
	if (renameat(db->setup.dir, DATABASE_FILE "-wal", db->setup.dir, log) < 0 &&
		errno != ENOENT)
		unlinkat(db->setup.dir, DATABASE_FILE "-wal", 0);
	unlinkat(db->setup.dir, DATABASE_FILE "-shm", 0);
	err_set(&err, DATABASE_FILE " is damaged: it was moved aside as %s, and a new one is begun",
		aside);
	db->setup.notice(db->setup.context, LOG_ERROR, "store_corrupt", err.text);
	return true;
}

static bool try_to_open(struct database *db)
{
	int code = open_file(db);

	memory_forget_rows(db);
	if (code == SQLITE_OK)
		return true;
	if (code != SQLITE_MISUSE)
		note(db, code);
	if (db->damaged && move_aside(db) && open_file(db) == SQLITE_OK)
		return true;
	close_file(db);
	return false;
}

/* It is open, or could not be opened just now. */
static bool ensure_open(struct database *db)
{
	uint64_t now_ms = clock_now_ms(db->setup.clock);

	if (db->file && db->damaged)
		db->tried_ms = move_aside(db) ? 0 : now_ms;
	if (db->file)
		return true;
	if (db->tried_ms && now_ms - db->tried_ms < RETRY_MS)
		return false;
	db->tried_ms = now_ms;
	return try_to_open(db);
}

/* --- jobs --- */

static bool ping(struct database *db, struct database_job *job)
{
	(void)db;
	(void)job;
	return true;
}

static bool (*const run_kind[STORE_KIND_COUNT])(struct database *, struct database_job *) = {
	[STORE_PING] = ping,
	[STORE_DMARC_ADD] = database_dmarc_add,
	[STORE_DMARC_DAY] = database_dmarc_day,
	[STORE_DMARC_DOMAIN] = database_dmarc_domain,
	[STORE_LIST_ADD] = database_list_add,
	[STORE_LIST_BATCH] = database_list_batch,
	[STORE_LIST_DEL] = database_list_del,
	[STORE_LIST_NAMES] = database_list_names,
	[STORE_LIST_SHOW] = database_list_show,
	[STORE_LIST_SEARCH] = database_list_search,
	[STORE_GREY_LOOK] = database_grey_look,
	[STORE_GREY_TRIED] = database_grey_tried,
	[STORE_GREY_PASSED] = database_grey_passed,
	[STORE_GREY_LIST] = database_grey_list,
	[STORE_GREY_ALLOW] = database_grey_passed,
	[STORE_GREY_CLEAR] = database_grey_clear,
	[STORE_RATE_LOOK] = database_rate_look,
	[STORE_RATE_CHARGE] = database_rate_charge,
	[STORE_REP_LOOK] = database_rep_look,
	[STORE_REP_ADD] = database_rep_add,
	[STORE_REP_SHOW] = database_rep_show,
	[STORE_REP_RESET] = database_rep_reset,
};

static void fail_all(struct database_job *const *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buffer_free(&jobs[i]->answer);
		jobs[i]->outcome = STORE_FAILED;
	}
}

static void roll_back(struct database *db)
{
	memory_forget_rows(db);
	if (db->file && !sqlite3_get_autocommit(db->file))
		run_text(db, "ROLLBACK");
}

/* false: nothing of it has happened. */
static bool run_jobs(struct database *db, struct database_job *const *jobs, size_t n)
{
	if (!database_do(db, database_statement(db, SQL_BEGIN)))
		return false;
	for (size_t i = 0; i < n; i++) {
		bool ok;

		db->failed = false;
		ok = run_kind[jobs[i]->kind] && run_kind[jobs[i]->kind](db, jobs[i]);
		/* Half a job is none, and SQLite may have ended the transaction by itself. */
		if (db->failed)
			return false;
		if (!ok)
			buffer_free(&jobs[i]->answer);
		jobs[i]->outcome = ok ? STORE_DONE : STORE_FAILED;
	}
	return database_do(db, database_statement(db, SQL_COMMIT));
}

static void give_up(struct database *db, struct database_job *const *jobs, size_t n)
{
	roll_back(db);
	database_list_rolled_back(db);
	fail_all(jobs, n);
}

void database_run(struct database *db, struct database_job *const *jobs, size_t n)
{
	int before;

	if (!ensure_open(db)) {
		fail_all(jobs, n);
		return;
	}
	before = sqlite3_total_changes(db->file);
	if (run_jobs(db, jobs, n)) {
		if (sqlite3_total_changes(db->file) != before)
			all_is_well(db);
		database_list_committed(db);
		return;
	}
	give_up(db, jobs, n);
	/* A new file takes what the damaged one could not. */
	if (!db->damaged || !ensure_open(db))
		return;
	if (run_jobs(db, jobs, n))
		database_list_committed(db);
	else
		give_up(db, jobs, n);
}

bool database_expire(struct database *db)
{
	uint64_t age_ms = (uint64_t)DATABASE_DMARC_DAYS * 24 * 3600 * 1000;
	uint64_t now_ms = clock_wall_ms(db->setup.clock);
	char before[DATABASE_DAY_SIZE];
	bool more = false, more_memory = false;

	database_day(now_ms > age_ms ? now_ms - age_ms : 0, before);
	if (!ensure_open(db) || !database_do(db, database_statement(db, SQL_BEGIN)))
		return false;
	if (database_dmarc_expire(db, before, &more) && database_list_expire(db, &more) &&
		database_memory_expire(db, &more_memory) &&
		database_do(db, database_statement(db, SQL_COMMIT)))
		return more || more_memory;
	roll_back(db);
	return false;
}

uint64_t database_size(struct database *db)
{
	sqlite3_stmt *statement = db->file ? database_statement(db, SQL_PAGES) : NULL;
	uint64_t size = 0;
	bool is_row;

	if (statement && database_row(db, statement, &is_row) && is_row)
		size = (uint64_t)sqlite3_column_int64(statement, 0);
	if (statement)
		sqlite3_reset(statement);
	return size;
}

/* --- life --- */

struct database *database_new(const struct database_setup *setup)
{
	struct database *db = memory_zeroed(sizeof(*db));

	db->setup = *setup;
	if (!setup->dmarc_rows_day)
		db->setup.dmarc_rows_day = DATABASE_DMARC_ROWS_DAY;
	if (!setup->dmarc_rows_domain)
		db->setup.dmarc_rows_domain = DATABASE_DMARC_ROWS_DOMAIN;
	if (!setup->dmarc_bytes_day)
		db->setup.dmarc_bytes_day = DATABASE_DMARC_BYTES_DAY;
	db->declared = BUFFER_INIT(STORE_BODY_MAX);
	if (!setup->memory_rows)
		db->setup.memory_rows = DATABASE_MEMORY_ROWS;
	return db;
}

void database_free(struct database **owner)
{
	struct database *db = *owner;

	if (!db)
		return;
	*owner = NULL;
	close_file(db);
	database_list_rolled_back(db);
	protected_free(&db->own);
	buffer_free(&db->declared);
	free(db);
}

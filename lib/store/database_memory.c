/*
 * Room and age in the tables whose keys strangers invent. A row that is not used again is forgotten
 * in time; a table that is full all the same lets those go that would be forgotten first: of the
 * greylist clients that never came back, before those that are known. How many rows there are is
 * counted once and then kept in mind, since counting costs as much as there are rows.
 */
#include <stdio.h>

#include "lib/base/error.h"
#include "lib/store/database_private.h"

enum {
	EXPIRE_AT_ONCE = 1000,      /* rows of a table in one transaction */
	CROWDED_TOLD_MS = 60 * 1000 /* between two lines about a table */
};

static const struct {
	const char *name; /* for people */
	enum database_statement rows, old;
} tables[MEMORY_TABLES] = {
	[MEMORY_GREY] = {"greylist", SQL_GREY_ROWS, SQL_GREY_OLD},
	[MEMORY_RATES] = {"rates", SQL_RATE_ROWS, SQL_RATE_OLD},
	[MEMORY_REPUTATION] = {"reputation", SQL_REP_ROWS, SQL_REP_OLD},
};

int64_t memory_now_ms(const struct database *db)
{
	return (int64_t)clock_wall_ms(db->setup.clock);
}

bool memory_key_fits(struct span key)
{
	return key.len > 0 && key.len <= STORE_KEY_MAX;
}

bool memory_number(struct span part, uint64_t *out)
{
	return span_number(part, INT64_MAX / 1000, out) && *out > 0;
}

void memory_forget_rows(struct database *db)
{
	for (size_t i = 0; i < MEMORY_TABLES; i++)
		db->rooms[i].rows = -1;
}

static bool count_rows(struct database *db, enum memory_table table)
{
	sqlite3_stmt *count = database_statement(db, tables[table].rows);
	bool is_row;

	if (!database_row(db, count, &is_row))
		return false;
	db->rooms[table].rows = is_row ? sqlite3_column_int64(count, 0) : 0;
	sqlite3_reset(count);
	return true;
}

/* Up to `most` rows, of those that expire first, up to that time. */
static bool delete_old(struct database *db, enum memory_table table, int64_t until_ms, int64_t most)
{
	sqlite3_stmt *old = database_statement(db, tables[table].old);

	if (old) {
		sqlite3_bind_int64(old, 1, until_ms);
		sqlite3_bind_int64(old, 2, most);
	}
	if (!database_do(db, old))
		return false;
	if (db->rooms[table].rows >= 0)
		db->rooms[table].rows -= sqlite3_changes(db->file);
	return true;
}

static void tell_crowded(struct database *db, enum memory_table table)
{
	struct memory_room *room = &db->rooms[table];
	uint64_t now_ms = clock_now_ms(db->setup.clock);
	struct err err = {{0}};

	if (room->told_ms && now_ms - room->told_ms < CROWDED_TOLD_MS)
		return;
	room->told_ms = now_ms;
	err_set(&err, "the %s has %u entries, which is all it may have: the oldest are forgotten",
		tables[table].name, db->setup.memory_rows);
	db->setup.notice(db->setup.context, LOG_WARNING, "store_crowded", err.text);
}

bool memory_add_row(struct database *db, enum memory_table table)
{
	struct memory_room *room = &db->rooms[table];

	if (room->rows < 0 && !count_rows(db, table))
		return false;
	if (room->rows >= db->setup.memory_rows) {
		tell_crowded(db, table);
		/* One in a hundred, so that the next ones find room. */
		if (!delete_old(db, table, INT64_MAX, db->setup.memory_rows / 100 + 1))
			return false;
	}
	room->rows++;
	return true;
}

bool memory_drop(struct database *db, enum database_statement which, enum memory_table table,
	struct database_job *job)
{
	sqlite3_stmt *drop = database_statement(db, which);
	int gone;

	if (!memory_key_fits(job->parts[0]))
		return false;
	if (drop) {
		database_bind(drop, 1, job->parts[0]);
		sqlite3_bind_int64(drop, 2, memory_now_ms(db));
	}
	if (!database_do(db, drop))
		return false;
	gone = sqlite3_changes(db->file);
	if (db->rooms[table].rows >= 0)
		db->rooms[table].rows -= gone;
	return buffer_add_text(&job->answer, gone ? "1" : "0");
}

bool database_memory_expire(struct database *db, bool *more)
{
	*more = false;
	for (int i = 0; i < MEMORY_TABLES; i++) {
		if (!delete_old(db, (enum memory_table)i, memory_now_ms(db), EXPIRE_AT_ONCE))
			return false;
		*more = *more || sqlite3_changes(db->file) == EXPIRE_AT_ONCE;
	}
	return true;
}

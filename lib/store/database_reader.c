/*
 * Reading lists beside the one who writes: each walk has a connection of its own, opened for it, so
 * that it sees the file that is in force (a damaged one is moved aside), and one state of it from
 * its beginning to its end.
 */
#include <stdio.h>

#include "lib/store/database_private.h"

enum { READER_BUSY_MS = 2000 };

struct reader {
	sqlite3 *file;           /* owned; NULL: it can't be opened */
	sqlite3_stmt *statement; /* owned */
};

static void reader_close(struct reader *reader)
{
	sqlite3_finalize(reader->statement);
	sqlite3_close(reader->file);
	*reader = (struct reader){NULL, NULL};
}

static bool reader_failed(struct reader *reader, struct err *err)
{
	err_set(err, "the store can't be read: %s",
		reader->file ? sqlite3_errmsg(reader->file) : "no memory");
	reader_close(reader);
	return false;
}

static bool reader_open(struct reader *reader, int dir, const char *sql, struct err *err)
{
	char name[64];

	*reader = (struct reader){NULL, NULL};
	snprintf(name, sizeof(name), "/proc/self/fd/%d/" DATABASE_FILE, dir);
	if (sqlite3_open_v2(name, &reader->file,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
		    database_vfs()) != SQLITE_OK)
		return reader_failed(reader, err);
	sqlite3_busy_timeout(reader->file, READER_BUSY_MS);
	if (sqlite3_exec(reader->file, "PRAGMA trusted_schema=OFF; PRAGMA query_only=ON", NULL,
		    NULL, NULL) != SQLITE_OK ||
		sqlite3_prepare_v2(reader->file, sql, -1, &reader->statement, NULL) != SQLITE_OK)
		return reader_failed(reader, err);
	return true;
}

bool database_lists_each(
	int dir, void (*each)(void *context, struct span name), void *context, struct err *err)
{
	struct reader reader;
	int code;

	if (!reader_open(&reader, dir, "SELECT name FROM lists", err))
		return false;
	while ((code = sqlite3_step(reader.statement)) == SQLITE_ROW)
		each(context, database_text(reader.statement, 0));
	if (code != SQLITE_DONE)
		return reader_failed(&reader, err);
	reader_close(&reader);
	return true;
}

static void bind_edge(
	sqlite3_stmt *walk, int at, enum image_kind kind, const struct image_item *edge)
{
	char room[LIST_KEY_BYTES_MAX];
	struct span key = edge ? list_key(kind, edge, room) : SPAN_NONE;

	if (edge)
		sqlite3_bind_blob(walk, at, key.at, (int)key.len, SQLITE_TRANSIENT);
}

static bool take_row(sqlite3_stmt *row, enum image_kind kind,
	bool (*take)(void *taker, const struct image_item *item), void *taker)
{
	struct image_item item = {.expires_s = 0};

	if (!list_key_read(kind, database_text(row, 0), &item))
		return true; /* somebody else has written it */
	item.item = span_first(database_text(row, 1), IMAGE_KEY_MAX);
	item.reason = span_first(database_text(row, 2), IMAGE_REASON_MAX);
	item.expires_s = (uint32_t)sqlite3_column_int64(row, 3);
	return take(taker, &item);
}

bool database_list_walk(int dir, uint64_t now_s, struct span list, enum image_kind kind,
	const struct image_item *from, const struct image_item *until,
	bool (*take)(void *taker, const struct image_item *item), void *taker, struct err *err)
{
	static const char sql[] =
		"SELECT key, item, reason, expires FROM list_items "
		"WHERE list = (SELECT id FROM lists WHERE name = ?1) AND kind = ?2 AND key >= ?3 "
		"AND (expires = 0 OR expires > ?5) ORDER BY key";
	static const char bounded[] =
		"SELECT key, item, reason, expires FROM list_items "
		"WHERE list = (SELECT id FROM lists WHERE name = ?1) AND kind = ?2 AND key >= ?3 "
		"AND key < ?4 AND (expires = 0 OR expires > ?5) ORDER BY key";
	struct reader reader;
	bool goes_on = true;
	int code = SQLITE_ROW;

	if (!reader_open(&reader, dir, until ? bounded : sql, err))
		return false;
	database_bind(reader.statement, 1, list);
	sqlite3_bind_int(reader.statement, 2, kind);
	sqlite3_bind_zeroblob(reader.statement, 3, 0);
	bind_edge(reader.statement, 3, kind, from);
	bind_edge(reader.statement, 4, kind, until);
	sqlite3_bind_int64(reader.statement, 5, (sqlite3_int64)now_s);
	while (goes_on && (code = sqlite3_step(reader.statement)) == SQLITE_ROW)
		goes_on = take_row(reader.statement, kind, take, taker);
	if (goes_on && code != SQLITE_DONE)
		return reader_failed(&reader, err);
	reader_close(&reader);
	return true;
}

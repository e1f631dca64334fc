#include "lib/store/redis_table.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fail.h"

enum { KEY_MAX = IMAGE_KEY_MAX };

/* X(NAME, SQL) */
#define STATEMENTS(X)                                                                              \
	X(LOAD, "INSERT INTO loaded(kind, key, item, reason, expires) VALUES (?1, ?2, ?3, ?4, "    \
		"?5)")                                                                             \
	X(PUT, "INSERT OR REPLACE INTO items(kind, key, item, reason, expires) VALUES "            \
	       "(?1, ?2, ?3, ?4, ?5)")                                                             \
	X(TAKE_OUT, "DELETE FROM items WHERE kind = ?1 AND key = ?2")                              \
	X(WALK, "SELECT kind, key, item, reason, expires FROM items WHERE kind = ?1 AND key >= "   \
		"?2 "                                                                              \
		"ORDER BY key")                                                                    \
	X(BEHIND, "SELECT kind, key, item, reason, expires FROM items WHERE (kind, key) > "        \
		  "(?1, ?2) ORDER BY kind, key")

enum statement {
#define X(name, sql) SQL_##name,
	STATEMENTS(X)
#undef X
		SQL_COUNT
};

struct redis_table {
	sqlite3 *file; /* owned */
	sqlite3_stmt *statements[SQL_COUNT];
	uint64_t count;
	bool sorted;
};

static bool failed(struct redis_table *table, struct err *err)
{
	return err_set(err, "the temporary table of a list: %s", sqlite3_errmsg(table->file));
}

static bool run(struct redis_table *table, const char *sql, struct err *err)
{
	return sqlite3_exec(table->file, sql, NULL, NULL, NULL) == SQLITE_OK || failed(table, err);
}

static sqlite3_stmt *statement(struct redis_table *table, enum statement which, struct err *err)
{
	static const char *const texts[SQL_COUNT] = {
#define X(name, sql) [SQL_##name] = (sql),
		STATEMENTS(X)
#undef X
	};

	if (!table->statements[which] &&
		sqlite3_prepare_v3(table->file, texts[which], -1, SQLITE_PREPARE_PERSISTENT,
			&table->statements[which], NULL) != SQLITE_OK) {
		failed(table, err);
		return NULL;
	}
	return table->statements[which];
}

struct redis_table *redis_table_new(struct err *err)
{
	struct redis_table *table = memory_zeroed(sizeof(*table));

	/* Nobody but us ever reads it, and it is never read again: no journal, no syncing. */
	if (sqlite3_open("", &table->file) != SQLITE_OK ||
		!run(table,
			"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
			"PRAGMA cache_size = -8192; PRAGMA temp_store = FILE;"
			"CREATE TABLE loaded(kind INTEGER, key BLOB, item BLOB, reason BLOB, "
			"expires INTEGER); BEGIN",
			err)) {
		failed(table, err);
		redis_table_free(&table);
	}
	return table;
}

void redis_table_free(struct redis_table **owner)
{
	struct redis_table *table = *owner;

	if (!table)
		return;
	*owner = NULL;
	for (int i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize(table->statements[i]);
	sqlite3_close(table->file);
	free(table);
}

/* --- rows --- */

/* Bytes that memcmp orders as images stand. */
static struct span key_of(enum image_kind kind, const struct image_item *item, char room[17])
{
	size_t bytes = kind == IMAGE_V4 ? 4 : 16;

	if (kind == IMAGE_TEXT)
		return item->key;
	memcpy(room, item->network.ip.bytes, bytes);
	room[bytes] = (char)item->network.prefix_bits;
	return span_make(room, bytes + 1);
}

static void bind_blob(sqlite3_stmt *to, int at, struct span bytes)
{
	sqlite3_bind_blob64(to, at, bytes.len ? bytes.at : "", bytes.len, SQLITE_STATIC);
}

static bool step_once(struct redis_table *table, sqlite3_stmt *of, struct err *err)
{
	int code = sqlite3_step(of);

	sqlite3_reset(of);
	sqlite3_clear_bindings(of);
	return code == SQLITE_DONE || failed(table, err);
}

static bool write_row(struct redis_table *table, enum statement which, enum image_kind kind,
	const struct image_item *item, struct err *err)
{
	sqlite3_stmt *to = statement(table, which, err);
	char room[17];

	if (!to)
		return false;
	sqlite3_bind_int(to, 1, (int)kind);
	bind_blob(to, 2, key_of(kind, item, room));
	if (which != SQL_TAKE_OUT) {
		bind_blob(to, 3, item->item);
		bind_blob(to, 4, item->reason);
		sqlite3_bind_int64(to, 5, item->expires_s);
	}
	return step_once(table, to, err);
}

bool redis_table_load(struct redis_table *table, enum image_kind kind,
	const struct image_item *item, struct err *err)
{
	ENSURE(!table->sorted);
	return write_row(table, SQL_LOAD, kind, item, err);
}

bool redis_table_sort(struct redis_table *table, struct err *err)
{
	sqlite3_stmt *count;

	if (!run(table,
		    "CREATE TABLE items(kind INTEGER NOT NULL, key BLOB NOT NULL, item BLOB, "
		    "reason BLOB, expires INTEGER, PRIMARY KEY(kind, key)) WITHOUT ROWID;"
		    "INSERT OR REPLACE INTO items SELECT kind, key, item, reason, expires "
		    "FROM loaded ORDER BY kind, key, rowid;",
		    err))
		return false;
	sqlite3_finalize(table->statements[SQL_LOAD]);
	table->statements[SQL_LOAD] = NULL;
	if (!run(table, "DROP TABLE loaded; COMMIT", err))
		return false;
	if (sqlite3_prepare_v2(table->file, "SELECT count(*) FROM items", -1, &count, NULL) ==
		SQLITE_OK)
		if (sqlite3_step(count) == SQLITE_ROW)
			table->count = (uint64_t)sqlite3_column_int64(count, 0);
	sqlite3_finalize(count);
	table->sorted = true;
	return true;
}

bool redis_table_put(struct redis_table *table, enum image_kind kind, const struct image_item *item,
	struct err *err)
{
	bool gone = item->expires_s == IMAGE_GONE;

	ENSURE(table->sorted);
	/* One that is there is taken out first, so that the count holds. */
	if (!write_row(table, SQL_TAKE_OUT, kind, item, err))
		return false;
	table->count -= (uint64_t)sqlite3_changes(table->file);
	if (gone)
		return true;
	table->count++;
	return write_row(table, SQL_PUT, kind, item, err);
}

static struct span column(sqlite3_stmt *of, int at)
{
	const void *bytes = sqlite3_column_blob(of, at);

	return span_make(bytes, (size_t)sqlite3_column_bytes(of, at));
}

/* Borrowed until the next step. */
static void read_row(sqlite3_stmt *of, enum image_kind *kind, struct image_item *out)
{
	struct span key = column(of, 1);

	*kind = (enum image_kind)sqlite3_column_int(of, 0);
	*out = (struct image_item){.item = column(of, 2),
		.reason = column(of, 3),
		.expires_s = (uint32_t)sqlite3_column_int64(of, 4)};
	if (*kind == IMAGE_TEXT) {
		out->key = key;
		return;
	}
	ENSURE(key.len == (*kind == IMAGE_V4 ? 5 : 17));
	out->network.ip.family = *kind == IMAGE_V4 ? IP_V4 : IP_V6;
	memcpy(out->network.ip.bytes, key.at, key.len - 1);
	out->network.prefix_bits = (uint8_t)key.at[key.len - 1];
}

/* --- walking --- */

bool redis_table_walk(struct redis_table *table, enum image_kind kind,
	const struct image_item *from, const struct image_item *until,
	bool (*take)(void *taker, const struct image_item *item), void *taker, struct err *err)
{
	sqlite3_stmt *rows = statement(table, SQL_WALK, err);
	char room[17];
	int code;

	ENSURE(table->sorted);
	if (!rows)
		return false;
	sqlite3_bind_int(rows, 1, (int)kind);
	bind_blob(rows, 2, from ? key_of(kind, from, room) : SPAN_NONE);
	while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
		struct image_item item;
		enum image_kind its_kind;

		read_row(rows, &its_kind, &item);
		if ((until && image_compare(kind, &item, until) >= 0) || !take(taker, &item)) {
			code = SQLITE_DONE;
			break;
		}
	}
	if (code != SQLITE_DONE)
		failed(table, err);
	sqlite3_reset(rows);
	sqlite3_clear_bindings(rows);
	return code == SQLITE_DONE;
}

/* --- comparing --- */

/* One side of a comparison. */
struct side {
	struct redis_table *table;
	sqlite3_stmt *rows;
	int code;
	enum image_kind kind;
	struct image_item item;
};

static void side_next(struct side *side)
{
	side->code = sqlite3_step(side->rows);
	if (side->code == SQLITE_ROW)
		read_row(side->rows, &side->kind, &side->item);
}

static bool side_begin(struct side *side, struct redis_table *table,
	const struct redis_table_place *place, struct err *err)
{
	side->table = table;
	side->rows = statement(table, SQL_BEHIND, err);
	side->code = SQLITE_DONE;
	if (!side->rows)
		return false;
	sqlite3_bind_int(side->rows, 1, (int)place->kind);
	bind_blob(side->rows, 2, span_make(place->key, place->len));
	side_next(side);
	return true;
}

static bool side_end(struct side *side, struct err *err)
{
	bool ok = side->code == SQLITE_DONE || side->code == SQLITE_ROW;

	if (!ok)
		failed(side->table, err);
	if (side->rows) {
		sqlite3_reset(side->rows);
		sqlite3_clear_bindings(side->rows);
	}
	return ok;
}

/* Below 0: a is first, or alone. */
static int side_order(const struct side *a, const struct side *b)
{
	if (a->code != SQLITE_ROW || b->code != SQLITE_ROW)
		return a->code == SQLITE_ROW ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return image_compare(a->kind, &a->item, &b->item);
}

static bool is_same(const struct image_item *a, const struct image_item *b)
{
	return a->expires_s == b->expires_s && span_equal(a->reason, b->reason) &&
	       span_equal(a->item, b->item);
}

static void set_place(struct redis_table_place *place, const struct side *at)
{
	char room[17];
	struct span key = key_of(at->kind, &at->item, room);

	place->kind = at->kind;
	place->len = key.len < KEY_MAX ? key.len : KEY_MAX;
	memcpy(place->key, key.at, place->len);
}

/* What is first of both, and both where they have the same key. */
static void compare_one(struct side *a, struct side *b, struct redis_table_place *place,
	void (*differs)(void *context, enum image_kind kind, const struct image_item *item),
	void *context)
{
	int order = side_order(a, b);

	set_place(place, order <= 0 ? a : b);
	if (order < 0) {
		struct image_item gone = a->item;

		gone.expires_s = IMAGE_GONE;
		differs(context, a->kind, &gone);
	} else if (order > 0 || !is_same(&a->item, &b->item)) {
		differs(context, b->kind, &b->item);
	}
	if (order <= 0)
		side_next(a);
	if (order >= 0)
		side_next(b);
}

bool redis_table_compare(struct redis_table *from, struct redis_table *to,
	struct redis_table_place *place, unsigned at_most,
	void (*differs)(void *context, enum image_kind kind, const struct image_item *item),
	void *context, struct err *err)
{
	struct side a = {.code = SQLITE_DONE}, b = {.code = SQLITE_DONE};
	bool ok = side_begin(&a, from, place, err) && side_begin(&b, to, place, err);

	while (ok && at_most-- && (a.code == SQLITE_ROW || b.code == SQLITE_ROW))
		compare_one(&a, &b, place, differs, context);
	place->done = ok && a.code == SQLITE_DONE && b.code == SQLITE_DONE;
	ok = side_end(&a, err) && ok;
	return side_end(&b, err) && ok;
}

uint64_t redis_table_count(const struct redis_table *table)
{
	return table->count;
}

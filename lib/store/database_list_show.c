/*
 * What admins ask about lists: their names, the items of one, what covers an item. Answers are
 * JSON, as store.h has it; a list of millions is shown in pieces, each with a cursor to the next.
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/arena.h"
#include "lib/store/database_list.h"
#include "lib/store/wire.h"

/* false: it did not fit. */
static bool answer_with(struct database_job *job, struct record *r, bool ok)
{
	ok = ok && !r->cut && buffer_add(&job->answer, record_finish(r));
	record_free(r);
	return ok;
}

/* The lists that rules read and nobody has filled yet are named too. */
bool database_list_names(struct database *db, struct database_job *job)
{
	sqlite3_stmt *all = database_statement(db, SQL_LISTS);
	bool is_row = true, ok = true;
	struct record r;

	record_init(&r, true, STORE_ANSWER_MAX);
	record_list(&r, "lists");
	while (is_row && (ok = database_row(db, all, &is_row)) && is_row) {
		record_open(&r, NULL);
		record_text(&r, "list", database_text(all, 0));
		record_text(&r, "type", database_text(all, 1));
		record_number(&r, "items", sqlite3_column_int64(all, 2));
		record_close(&r);
	}
	record_close(&r);
	if (ok)
		sqlite3_reset(all);
	record_list(&r, "declared");
	for (struct span rest = buffer_span(&db->declared); rest.len;) {
		struct span line = span_first(rest, span_find_char(rest, '\n'));

		rest = span_from(rest, line.len + 1);
		if (!span_equal(span_word(&line), SPAN("list")))
			continue;
		record_open(&r, NULL);
		record_text(&r, "list", span_word(&line));
		record_text(&r, "type", span_word(&line));
		record_close(&r);
	}
	record_close(&r);
	return answer_with(job, &r, ok);
}

/* An item of a statement whose columns are kind, key, item, reason, author, at, expires. */
static void record_item(struct record *r, sqlite3_stmt *row, struct span list)
{
	struct image_item item = {.expires_s = 0};
	char room[IP_TEXT_SIZE + 4];
	int kind = sqlite3_column_int(row, 0);

	if (kind < 0 || kind >= IMAGE_KINDS ||
		!list_key_read((enum image_kind)kind, database_text(row, 1), &item))
		return; /* somebody else has written it */
	item.item = database_text(row, 2);
	record_open(r, NULL);
	if (list.len)
		record_text(r, "list", list);
	record_text(r, "item", list_item_show((enum image_kind)kind, &item, room));
	record_text(r, "reason", database_text(row, 3));
	record_text(r, "by", database_text(row, 4));
	record_number(r, "at", sqlite3_column_int64(row, 5));
	record_number(r, "expires", sqlite3_column_int64(row, 6));
	record_close(r);
}

/* Where a walk goes on: "2:68657861": the kind, and the key in hex digits. */
static void record_cursor(struct record *r, int kind, struct span key)
{
	char text[2 * IMAGE_KEY_MAX + 8];
	size_t n = (size_t)snprintf(text, sizeof(text), "%d:", kind);

	for (size_t i = 0; i < key.len && i < IMAGE_KEY_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%02x", (uint8_t)key.at[i]);
	record_string(r, "next", text);
}

static int hex_value(char c)
{
	c = ascii_lower(c);
	return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_cursor(struct span text, int *kind, char room[IMAGE_KEY_MAX], struct span *key)
{
	*kind = -1;
	*key = SPAN("");
	if (text.len == 0)
		return true;
	if (text.len < 2 || !ascii_is_digit(text.at[0]) || text.at[1] != ':' || text.len % 2 ||
		text.len > 2 + 2 * IMAGE_KEY_MAX)
		return false;
	*kind = text.at[0] - '0';
	for (size_t i = 2; i < text.len; i += 2) {
		int high = hex_value(text.at[i]), low = hex_value(text.at[i + 1]);

		if (high < 0 || low < 0)
			return false;
		room[i / 2 - 1] = (char)(high << 4 | low);
	}
	*key = span_make(room, text.len / 2 - 1);
	return true;
}

bool database_list_show(struct database *db, struct database_job *job)
{
	char room[IMAGE_KEY_MAX];
	sqlite3_stmt *walk;
	struct database_list list;
	struct span after;
	uint64_t limit, n = 0;
	bool is_row = true, ok;
	struct record r;
	int kind;

	if (!read_cursor(job->parts[1], &kind, room, &after) ||
		!span_number(job->parts[2], LIST_SHOW_MAX, &limit) ||
		!database_list_find(db, job->parts[0], &list))
		return false;
	if (!list.id)
		return true; /* empty: there is no such list */
	walk = database_statement(db, SQL_LIST_SHOW);
	if (!walk)
		return false;
	sqlite3_bind_int64(walk, 1, list.id);
	sqlite3_bind_int(walk, 2, kind);
	sqlite3_bind_blob(walk, 3, after.at, (int)after.len, SQLITE_STATIC);
	sqlite3_bind_int64(walk, 4, (sqlite3_int64)database_now_s(db));
	sqlite3_bind_int64(walk, 5, (sqlite3_int64)limit + 1);
	record_init(&r, true, STORE_ANSWER_MAX);
	record_text(&r, "list", list.name);
	record_string(&r, "type", list.type);
	record_list(&r, "items");
	kind = -1;
	while ((ok = database_row(db, walk, &is_row)) && is_row && n++ < limit) {
		record_item(&r, walk, SPAN_NONE);
		kind = sqlite3_column_int(walk, 0);
		after = span_first(database_text(walk, 1), IMAGE_KEY_MAX);
		if (after.len)
			memcpy(room, after.at, after.len);
		after.at = room;
	}
	record_close(&r);
	if (ok && is_row && kind >= 0)
		record_cursor(&r, kind, after);
	if (ok)
		sqlite3_reset(walk);
	return answer_with(job, &r, ok);
}

static bool search_key(struct database *db, struct record *r, const struct database_list *list,
	enum image_kind kind, struct span key)
{
	sqlite3_stmt *get = database_statement(db, SQL_ITEM_SHOW);
	bool is_row;

	if (!database_list_bind(get, list, kind, key))
		return false;
	sqlite3_bind_int64(get, 4, (sqlite3_int64)database_now_s(db));
	if (!database_row(db, get, &is_row))
		return false;
	if (is_row)
		record_item(r, get, list->name);
	sqlite3_reset(get);
	return true;
}

/* All keys in one list. */
static bool search_list(struct database *db, struct record *r, const struct database_list *list,
	enum image_kind kind, struct span keys)
{
	unsigned n = 0;

	while (keys.len) {
		uint32_t len;

		if (!store_number_take(&keys, &len) || len > keys.len ||
			n++ >= LIST_SEARCH_KEYS_MAX)
			return false;
		if (!search_key(db, r, list, kind, span_first(keys, len)))
			return false;
		keys = span_from(keys, len);
	}
	return true;
}

static bool search_all(
	struct database *db, struct record *r, enum image_kind kind, struct span keys)
{
	struct database_list *lists;
	sqlite3_stmt *all = database_statement(db, SQL_LISTS);
	struct arena *arena = arena_new(16 * 1024);
	size_t n = 0;
	bool is_row = true, ok;

	lists = arena_alloc(arena, DATABASE_LISTS_MAX * sizeof(*lists));
	while ((ok = database_row(db, all, &is_row)) && is_row && n < DATABASE_LISTS_MAX) {
		lists[n].name = arena_span(arena, database_text(all, 0));
		lists[n++].id = sqlite3_column_int64(all, 3);
	}
	if (ok)
		sqlite3_reset(all);
	for (size_t i = 0; ok && i < n; i++)
		ok = search_list(db, r, &lists[i], kind, keys);
	arena_free(&arena);
	return ok;
}

static void search_own(struct database *db, struct record *r, enum image_kind kind, struct span key)
{
	struct image_item item = {.expires_s = 0}, hit;
	char room[IP_TEXT_SIZE + 4];

	if (!db->own || !list_key_read(kind, key, &item) ||
		!protected_hit(db->own, kind, &item, (uint32_t)database_now_s(db), &hit))
		return;
	record_open(r, NULL);
	record_text(r, "item", list_item_show(kind, &hit, room));
	record_text(r, "why", hit.reason);
	record_close(r);
}

bool database_list_search(struct database *db, struct database_job *job)
{
	struct span keys = job->parts[2], first = keys;
	struct database_list list;
	enum image_kind kind;
	uint32_t len;
	struct record r;
	bool ok = true;

	if (!list_kind_parse(job->parts[1], &kind) || !store_number_take(&first, &len) ||
		len > first.len)
		return false;
	if (job->parts[0].len && !database_list_find(db, job->parts[0], &list))
		return false;
	record_init(&r, true, STORE_ANSWER_MAX);
	record_list(&r, "items");
	if (!job->parts[0].len)
		ok = search_all(db, &r, kind, keys);
	else if (list.id)
		ok = search_list(db, &r, &list, kind, keys);
	record_close(&r);
	record_list(&r, "protected");
	search_own(db, &r, kind, span_first(first, len));
	record_close(&r);
	return answer_with(job, &r, ok);
}

/*
 * Lists: their items in the order of their keys (list_request.h), so that an image is written by
 * one walk along the primary key. What a transaction has changed is gathered, and told once it is
 * committed; past some number only that much has changed. What admins ask is in
 * database_list_show.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/arena.h"
#include "lib/base/fail.h"
#include "lib/store/database_list.h"
#include "lib/store/wire.h"

enum {
	EXPIRED_KEPT_S = 24 * 3600, /* so that `list show` of yesterday can be explained */
	EXPIRE_PIECE = 500,
	CHANGES_MAX = 4096 /* of one list in one transaction; more are read anew */
};

/* What one request has done, for its answer. */
struct tally {
	struct database_job *job;
	bool dry;
	struct span by;
	uint64_t now_s;
	unsigned added, changed, same, n_protected, full;
	unsigned rows;   /* new ones */
	struct record r; /* the list of those that were refused is open */
};

uint64_t database_now_s(const struct database *db)
{
	return clock_wall_ms(db->setup.clock) / 1000;
}

/* --- what has changed --- */

static struct database_list_changes *changes_of(struct database *db, const struct database_list *l)
{
	struct database_list_changes *changes = db->list_changes;

	while (changes && !span_equal(span_text(changes->name), l->name))
		changes = changes->next;
	if (changes)
		return changes;
	changes = memory_zeroed(sizeof(*changes));
	memcpy(changes->name, l->name.at, l->name.len);
	changes->packed = BUFFER_INIT(CHANGES_MAX * 4096);
	changes->next = db->list_changes;
	db->list_changes = changes;
	return changes;
}

static void note_change(struct database *db, const struct database_list *list, enum image_kind kind,
	const struct image_item *item)
{
	struct database_list_changes *changes = changes_of(db, list);

	if (changes->many)
		return;
	if (++changes->n <= CHANGES_MAX && list_pack(kind, item, &changes->packed))
		return;
	changes->many = true;
	buffer_free(&changes->packed);
}

static void note_import(struct database *db, const struct database_list *list, bool is_last)
{
	changes_of(db, list)->import = is_last ? IMPORT_LAST : IMPORT_MORE;
}

static void tell_changes(struct database *db, const struct database_list_changes *changes)
{
	struct span rest = buffer_span(&changes->packed), name = span_text(changes->name);
	struct image_item item;
	enum image_kind kind;

	if (changes->import == IMPORT_MORE)
		db->setup.list_import(db->setup.context, name, false);
	if (changes->many)
		db->setup.list_reread(db->setup.context, name);
	while (rest.len) {
		ENSURE(list_unpack(&rest, &kind, &item));
		db->setup.list_change(db->setup.context, name, kind, &item);
	}
	if (changes->import == IMPORT_LAST)
		db->setup.list_import(db->setup.context, name, true);
}

static void drop_changes(struct database *db)
{
	while (db->list_changes) {
		struct database_list_changes *changes = db->list_changes;

		db->list_changes = changes->next;
		buffer_free(&changes->packed);
		free(changes);
	}
}

void database_list_committed(struct database *db)
{
	if (db->setup.list_change)
		for (struct database_list_changes *c = db->list_changes; c; c = c->next)
			tell_changes(db, c);
	drop_changes(db);
}

/* What was protected by it is as the file has it. */
void database_list_rolled_back(struct database *db)
{
	drop_changes(db);
	protected_free(&db->kept);
}

/* --- lists --- */

bool database_list_find(struct database *db, struct span name, struct database_list *out)
{
	sqlite3_stmt *get = database_statement(db, SQL_LIST_GET);
	bool is_row;

	*out = (struct database_list){.name = name};
	if (get)
		database_bind(get, 1, name);
	if (!database_row(db, get, &is_row))
		return false;
	if (is_row) {
		out->id = sqlite3_column_int64(get, 0);
		snprintf(out->type, sizeof(out->type), "%.*s", SPAN_ARGS(database_text(get, 1)));
		out->items = (uint64_t)sqlite3_column_int64(get, 2);
	}
	sqlite3_reset(get);
	return true;
}

static bool new_list(struct database *db, struct span type, struct database_list *list)
{
	sqlite3_stmt *insert = database_statement(db, SQL_LIST_NEW);

	if (!insert)
		return false;
	database_bind(insert, 1, list->name);
	database_bind(insert, 2, type);
	if (!database_do(db, insert))
		return false;
	list->id = sqlite3_last_insert_rowid(db->file);
	snprintf(list->type, sizeof(list->type), "%.*s", SPAN_ARGS(type));
	return true;
}

static bool with_numbers(
	struct database *db, enum database_statement which, int64_t first, int64_t second)
{
	sqlite3_stmt *statement = database_statement(db, which);

	if (statement) {
		sqlite3_bind_int64(statement, 1, first);
		sqlite3_bind_int64(statement, 2, second);
	}
	return database_do(db, statement);
}

/* A list that is empty may become one of another type. */
static bool set_type(struct database *db, struct span type, struct database_list *list)
{
	sqlite3_stmt *set = database_statement(db, SQL_LIST_TYPE);

	if (set) {
		sqlite3_bind_int64(set, 1, list->id);
		database_bind(set, 2, type);
	}
	snprintf(list->type, sizeof(list->type), "%.*s", SPAN_ARGS(type));
	return database_do(db, set);
}

static bool count_all(struct database *db, uint64_t *lists, uint64_t *items)
{
	sqlite3_stmt *sum = database_statement(db, SQL_LIST_SUM);
	bool is_row;

	if (!database_row(db, sum, &is_row))
		return false;
	*lists = is_row ? (uint64_t)sqlite3_column_int64(sum, 0) : 0;
	*items = is_row ? (uint64_t)sqlite3_column_int64(sum, 1) : 0;
	sqlite3_reset(sum);
	return true;
}

/* --- what may be on no list --- */

static bool load_kept(struct database *db)
{
	struct database_list list;
	sqlite3_stmt *all;
	bool is_row = true;

	if (db->kept)
		return true;
	if (!database_list_find(db, SPAN(LIST_PROTECTED), &list))
		return false;
	db->kept = protected_new();
	all = database_statement(db, SQL_LIST_KEYS);
	if (all)
		sqlite3_bind_int64(all, 1, list.id);
	while (is_row) {
		struct image_item item = {.expires_s = 0};
		int kind;

		if (!database_row(db, all, &is_row)) {
			protected_free(&db->kept);
			return false;
		}
		kind = is_row ? sqlite3_column_int(all, 0) : -1;
		if (kind < 0 || kind >= IMAGE_KINDS ||
			!list_key_read((enum image_kind)kind, database_text(all, 1), &item))
			continue;
		item.item = database_text(all, 2);
		item.expires_s = (uint32_t)sqlite3_column_int64(all, 4);
		protected_add(db->kept, (enum image_kind)kind, &item, database_text(all, 3));
	}
	sqlite3_reset(all);
	return true;
}

static bool is_protected(const struct database *db, enum image_kind kind,
	const struct image_item *item, uint64_t at_s, struct image_item *hit)
{
	return (db->own && protected_hit(db->own, kind, item, (uint32_t)at_s, hit)) ||
	       protected_hit(db->kept, kind, item, (uint32_t)at_s, hit);
}

static void tell_refused(struct tally *t, enum image_kind kind, const struct image_item *item,
	const struct image_item *hit)
{
	char room[IP_TEXT_SIZE + 4];

	if (++t->n_protected > LIST_TOLD_ITEMS_MAX)
		return;
	record_open(&t->r, NULL);
	record_text(&t->r, "item", list_item_show(kind, item, room));
	record_text(&t->r, "protected", list_item_show(kind, hit, room));
	record_text(&t->r, "why", hit->reason);
	record_close(&t->r);
}

static void log_refused(struct database *db, const struct database_list *list,
	const struct tally *t, enum image_kind kind, const struct image_item *item,
	const struct image_item *hit)
{
	char room[IP_TEXT_SIZE + 4], other[IP_TEXT_SIZE + 4];
	struct err err = {{0}};

	err_set(&err, "%.*s wants to add %.*s to %.*s, but %.*s is protected", SPAN_ARGS(t->by),
		SPAN_ARGS(span_first(list_item_show(kind, item, room), 80)), SPAN_ARGS(list->name),
		SPAN_ARGS(span_first(list_item_show(kind, hit, other), 80)));
	db->setup.notice(db->setup.context, LOG_WARNING, "list_protected", err.text);
}

/* --- adding --- */

bool database_list_bind(sqlite3_stmt *statement, const struct database_list *list,
	enum image_kind kind, struct span key)
{
	if (!statement)
		return false;
	sqlite3_bind_int64(statement, 1, list->id);
	sqlite3_bind_int(statement, 2, kind);
	return sqlite3_bind_blob(statement, 3, key.at ? key.at : "", (int)key.len, SQLITE_STATIC) ==
	       SQLITE_OK;
}

/* Statements of the same eight values: insert and update. */
static bool write_item(struct database *db, enum database_statement which,
	const struct database_list *list, enum image_kind kind, const struct image_item *item,
	const struct tally *t)
{
	char room[LIST_KEY_BYTES_MAX];
	struct span key = list_key(kind, item, room);
	sqlite3_stmt *write = database_statement(db, which);

	if (!database_list_bind(write, list, kind, key))
		return false;
	if (kind == IMAGE_TEXT && item->item.len && !span_equal(item->item, key))
		sqlite3_bind_text(write, 4, item->item.at, (int)item->item.len, SQLITE_STATIC);
	sqlite3_bind_text(write, 5, item->reason.at ? item->reason.at : "", (int)item->reason.len,
		SQLITE_STATIC);
	sqlite3_bind_text(write, 6, t->by.at ? t->by.at : "", (int)t->by.len, SQLITE_STATIC);
	sqlite3_bind_int64(write, 7, (sqlite3_int64)t->now_s);
	sqlite3_bind_int64(write, 8, item->expires_s);
	return database_do(db, write);
}

enum standing { NOT_THERE, OVER, THERE_OTHERWISE, THERE_LONGER, THERE_ALIKE };

/* How the item stands in the list now. */
static bool look_up(struct database *db, const struct database_list *list, enum image_kind kind,
	const struct image_item *item, uint64_t at_s, enum standing *out)
{
	char room[LIST_KEY_BYTES_MAX];
	sqlite3_stmt *get = database_statement(db, SQL_ITEM_GET);
	uint64_t expires;
	bool is_row;

	if (!database_list_bind(get, list, kind, list_key(kind, item, room)) ||
		!database_row(db, get, &is_row))
		return false;
	expires = is_row ? (uint64_t)sqlite3_column_int64(get, 1) : 0;
	if (!is_row)
		*out = NOT_THERE;
	else if (expires != IMAGE_FOR_GOOD && expires <= at_s)
		*out = OVER;
	else if (expires == item->expires_s && span_equal(database_text(get, 0), item->reason))
		*out = THERE_ALIKE;
	else
		*out = expires == IMAGE_FOR_GOOD || (item->expires_s && expires >= item->expires_s)
			       ? THERE_LONGER
			       : THERE_OTHERWISE;
	sqlite3_reset(get);
	return true;
}

/* Of a worker: what stands there for longer stays as it is. */
static bool add_item(struct database *db, struct database_list *list, enum image_kind kind,
	const struct image_item *item, struct tally *t)
{
	enum standing standing;

	if (!t->dry) {
		if (!write_item(db, SQL_ITEM_NEW, list, kind, item, t))
			return false;
		if (sqlite3_changes(db->file) > 0) {
			t->added++;
			t->rows++;
			note_change(db, list, kind, item);
			return true;
		}
	}
	if (!look_up(db, list, kind, item, t->now_s, &standing))
		return false;
	if (standing == THERE_ALIKE || (standing == THERE_LONGER && t->job->of_worker)) {
		t->same++;
		return true;
	}
	t->added += standing == NOT_THERE || standing == OVER;
	t->changed += standing == THERE_LONGER || standing == THERE_OTHERWISE;
	if (t->dry)
		return true;
	note_change(db, list, kind, item);
	return write_item(db, SQL_ITEM_SET, list, kind, item, t);
}

static bool add_if_free(struct database *db, struct database_list *list, enum image_kind kind,
	const struct image_item *item, uint64_t room, struct tally *t)
{
	bool protects = span_equal(list->name, SPAN(LIST_PROTECTED));
	struct image_item hit;

	if (!protects && is_protected(db, kind, item, t->now_s, &hit)) {
		if (t->job->of_worker)
			log_refused(db, list, t, kind, item, &hit);
		tell_refused(t, kind, item, &hit);
		return true;
	}
	if (t->added >= room) {
		t->full++;
		return true;
	}
	if (protects && !t->dry)
		protected_add(db->kept, kind, item, item->reason);
	return add_item(db, list, kind, item, t);
}

/* --- requests to add --- */

static void refuse(struct database_job *job, const char *why)
{
	struct record r;

	record_init(&r, true, 4096);
	record_string(&r, "refused", why);
	buffer_clear(&job->answer);
	if (!buffer_add(&job->answer, record_finish(&r)))
		buffer_free(&job->answer);
	record_free(&r);
}

/* A worker may have been taken over: it begins no lists but those that rules have. */
static bool is_declared(const struct database *db, struct span name)
{
	for (struct span rest = buffer_span(&db->declared); rest.len;) {
		struct span line = span_first(rest, span_find_char(rest, '\n'));

		rest = span_from(rest, line.len + 1);
		if (span_equal(span_word(&line), SPAN("list")) &&
			span_equal(span_word(&line), name))
			return true;
	}
	return false;
}

/* The list is there and of that type. *out: 0: it was refused, and the answer says why. */
static bool open_list(struct database *db, struct tally *t, struct span name, struct span type,
	struct database_list *list, uint64_t *room)
{
	uint64_t lists, items, most;
	struct err err = {{0}};

	*room = 0;
	if (!database_list_find(db, name, list) || !count_all(db, &lists, &items) || !load_kept(db))
		return false;
	if (list->id && !span_equal(span_text(list->type), type) && list->items) {
		err_set(&err, "%.*s is a list of type %s", SPAN_ARGS(name), list->type);
		refuse(t->job, err.text);
		return true;
	}
	if (!list->id && t->job->of_worker && !is_declared(db, name)) {
		refuse(t->job, "no rule has that list");
		return true;
	}
	if (!list->id && lists >= DATABASE_LISTS_MAX) {
		refuse(t->job, "there are too many lists");
		return true;
	}
	most = t->job->of_worker ? DATABASE_LIST_RULES_MAX : DATABASE_LIST_ITEMS_MAX;
	if (t->job->of_worker)
		*room = list->items < most ? most - list->items : 0;
	else
		*room = items < most ? most - items : 0;
	if (*room == 0) {
		refuse(t->job, "the list is full");
		if (t->job->of_worker) {
			err_set(&err, "%.*s has %d items: rules add no more", SPAN_ARGS(name),
				DATABASE_LIST_RULES_MAX);
			db->setup.notice(db->setup.context, LOG_WARNING, "list_full", err.text);
		}
		return true;
	}
	if (t->dry)
		return true;
	if (!list->id)
		return new_list(db, type, list);
	return span_equal(span_text(list->type), type) || set_type(db, type, list);
}

static void tally_begin(
	struct tally *t, struct database *db, struct database_job *job, struct span by, bool dry)
{
	*t = (struct tally){.job = job, .dry = dry, .by = by, .now_s = database_now_s(db)};
	record_init(&t->r, true, 256 * 1024);
	record_list(&t->r, "told");
}

static bool tally_end(struct tally *t)
{
	struct database_job *job = t->job;
	bool ok = true;

	record_close(&t->r);
	record_number(&t->r, "added", t->added);
	record_number(&t->r, "changed", t->changed);
	record_number(&t->r, "same", t->same);
	record_number(&t->r, "protected", t->n_protected);
	record_number(&t->r, "full", t->full);
	if (job->answer.len == 0) /* else it says why it was refused */
		ok = buffer_add(&job->answer, record_finish(&t->r));
	record_free(&t->r);
	return ok;
}

static bool are_items(struct span items)
{
	struct image_item item;
	enum image_kind kind;

	while (items.len)
		if (!list_unpack(&items, &kind, &item))
			return false;
	return true;
}

/* items: packed. */
static bool add_all(
	struct database *db, struct tally *t, struct span name, struct span type, struct span items)
{
	struct database_list list;
	struct image_item item;
	enum image_kind kind;
	uint64_t room;

	if (!are_items(items) || !open_list(db, t, name, type, &list, &room))
		return false;
	if (room == 0)
		return true;
	while (items.len) {
		ENSURE(list_unpack(&items, &kind, &item));
		if (!add_if_free(db, &list, kind, &item, room, t))
			return false;
	}
	return t->rows == 0 || with_numbers(db, SQL_LIST_GROW, list.id, t->rows);
}

static bool type_is_good(struct span type)
{
	for (size_t i = 0; i < type.len; i++)
		if (!ascii_is_alpha(type.at[i]))
			return false;
	return type.len > 0 && type.len < LIST_TYPE_MAX;
}

static bool parts_are_good(const struct database_job *job, struct span by)
{
	return list_name_is_good(job->parts[0]) && type_is_good(job->parts[1]) &&
	       by.len <= LIST_BY_MAX &&
	       !(job->of_worker && span_equal(job->parts[0], SPAN(LIST_PROTECTED)));
}

bool database_list_add(struct database *db, struct database_job *job)
{
	struct span by = job->parts[6];
	struct image_item item = {.item = job->parts[4], .reason = job->parts[5]};
	struct buffer packed = BUFFER_INIT(8 * 1024);
	enum image_kind kind;
	uint64_t expires;
	struct tally t;
	bool ok;

	if (!parts_are_good(job, by) || !list_kind_parse(job->parts[2], &kind) ||
		!list_key_read(kind, job->parts[3], &item) ||
		!span_number(job->parts[7], UINT32_MAX, &expires))
		return false;
	item.expires_s = (uint32_t)expires;
	if (!list_pack(kind, &item, &packed)) {
		buffer_free(&packed);
		return false;
	}
	tally_begin(&t, db, job, by, false);
	ok = add_all(db, &t, job->parts[0], job->parts[1], buffer_span(&packed));
	ok = tally_end(&t) && ok;
	buffer_free(&packed);
	return ok;
}

bool database_list_batch(struct database *db, struct database_job *job)
{
	struct span mode = job->parts[3];
	bool dry = span_equal(mode, SPAN("dry")), ok;
	struct database_list list;
	struct tally t;

	if (!parts_are_good(job, job->parts[2]))
		return false;
	tally_begin(&t, db, job, job->parts[2], dry);
	ok = add_all(db, &t, job->parts[0], job->parts[1], job->parts[4]);
	ok = tally_end(&t) && ok;
	if (!ok || (!span_equal(mode, SPAN("more")) && !span_equal(mode, SPAN("last"))))
		return ok;
	list.name = job->parts[0];
	note_import(db, &list, span_equal(mode, SPAN("last")));
	return true;
}

/* --- taking off --- */

bool database_list_del(struct database *db, struct database_job *job)
{
	struct image_item item = {.expires_s = IMAGE_GONE};
	struct database_list list;
	enum image_kind kind;
	struct record r;
	int gone;

	if (!list_kind_parse(job->parts[1], &kind) || !list_key_read(kind, job->parts[2], &item) ||
		!database_list_find(db, job->parts[0], &list) || !load_kept(db))
		return false;
	if (list.id) {
		sqlite3_stmt *delete = database_statement(db, SQL_ITEM_DELETE);

		if (!database_list_bind(delete, &list, kind, job->parts[2]) ||
			!database_do(db, delete))
			return false;
	}
	gone = list.id ? sqlite3_changes(db->file) : 0;
	if (gone) {
		note_change(db, &list, kind, &item);
		if (span_equal(list.name, SPAN(LIST_PROTECTED)))
			protected_remove(db->kept, kind, &item);
		if (!with_numbers(db, SQL_LIST_GROW, list.id, -gone))
			return false;
	}
	record_init(&r, true, 256);
	record_number(&r, "deleted", gone);
	if (!buffer_add(&job->answer, record_finish(&r)))
		gone = -1;
	record_free(&r);
	return gone >= 0;
}

/* --- what the configuration says --- */

void database_declare(struct database *db, struct span text)
{
	struct span rest = text;

	buffer_clear(&db->declared);
	if (!buffer_add(&db->declared, text))
		return;
	protected_free(&db->own);
	db->own = protected_new();
	while (rest.len) {
		struct span line = span_first(rest, span_find_char(rest, '\n'));
		struct image_item item = {.expires_s = IMAGE_FOR_GOOD};

		rest = span_from(rest, line.len + 1);
		if (span_equal(span_word(&line), SPAN("protect")) &&
			cidr_parse(span_word(&line), &item.network, NULL))
			protected_add(db->own,
				item.network.ip.family == IP_V4 ? IMAGE_V4 : IMAGE_V6, &item, line);
	}
}

/* --- age --- */

struct expired {
	int64_t list;
	int kind;
	struct span key;
};

static bool find_expired(struct database *db, struct arena *arena, struct expired *out, size_t *n)
{
	sqlite3_stmt *old = database_statement(db, SQL_ITEMS_OVER);
	uint64_t at_s = database_now_s(db);
	bool is_row = true;

	if (old)
		sqlite3_bind_int64(
			old, 1, (sqlite3_int64)(at_s > EXPIRED_KEPT_S ? at_s - EXPIRED_KEPT_S : 0));
	for (*n = 0; *n < EXPIRE_PIECE; ++*n) {
		if (!database_row(db, old, &is_row))
			return false;
		if (!is_row)
			break;
		out[*n] = (struct expired){sqlite3_column_int64(old, 0), sqlite3_column_int(old, 1),
			arena_span(arena, database_text(old, 2))};
	}
	sqlite3_reset(old);
	return true;
}

/* Images hold them as dead until they are written anew. */
bool database_list_expire(struct database *db, bool *more)
{
	struct arena *arena = arena_new(64 * 1024);
	struct expired *old = arena_alloc(arena, EXPIRE_PIECE * sizeof(*old));
	size_t n = 0;
	bool ok = find_expired(db, arena, old, &n);

	for (size_t i = 0; ok && i < n; i++) {
		struct database_list list = {.id = old[i].list};
		sqlite3_stmt *delete = database_statement(db, SQL_ITEM_DELETE);

		ok = database_list_bind(delete, &list, (enum image_kind)old[i].kind, old[i].key) &&
		     database_do(db, delete) && with_numbers(db, SQL_LIST_GROW, list.id, -1);
	}
	*more = *more || n == EXPIRE_PIECE;
	arena_free(&arena);
	return ok;
}

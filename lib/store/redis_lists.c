#include "lib/store/redis_lists.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fail.h"
#include "lib/store/redis_item.h"
#include "lib/store/redis_keys.h"
#include "lib/store/redis_table.h"

enum {
	LISTS_MAGIC = 0x4ed11575,
	ID_SIZE = 48,
	PATIENCE_MS = 5000,
	NEWS_MEMBERS = 6, /* of a change: id, op, item, value, after, n */
	SWEEP_MAX = 500,  /* expired items that one scan deletes */
	COMPARE_STEP = 20000,
	MEANWHILE_MAX = 64 * 1024, /* changes during a scan; with more it begins anew */
	RETRY_MS = 5000
};

#define ID_LAST "18446744073709551615-18446744073709551615"

enum list_state { LIST_UNREAD, LIST_FOLLOWING, LIST_SCANNING, LIST_SORTING, LIST_COMPARING };

/* A change that came while the list was read anew. */
struct meanwhile {
	struct meanwhile *next;
	struct arena *arena; /* owned: of the item */
	enum image_kind kind;
	struct image_item item;
};

struct list {
	struct list *next;
	struct redis_lists *lists;
	char name[REDIS_LIST_NAME_MAX + 1];
	enum list_state state;
	pthread_mutex_t lock;      /* for table, which other threads walk */
	struct redis_table *table; /* owned; NULL: not known yet */
	struct redis_table *fresh; /* owned: being read anew; the pool's while SORTING */
	struct meanwhile *meanwhile, **last_meanwhile; /* owned */
	unsigned n_meanwhile;
	char last_id[ID_SIZE]; /* of the log */
	int64_t fields;        /* how many Redis should have, as of last_id; -1: not known */
	bool asking;           /* for news */
	bool lost;             /* Redis has lost its data */
	bool forced;           /* it is to be read anew */
	unsigned round;        /* of scans: answers to an earlier one are ignored */
	uint64_t compared_ms, due_ms;
	unsigned unreadable, swept;
	struct redis_table_place place;
	unsigned differences;
	struct err sort_err;
	bool sort_ok;
	uv_work_t work;
	struct timer timer;
};

/* An answer that is waited for. */
struct question {
	struct list *list;
	unsigned round;
};

struct redis_lists {
	uint32_t magic;
	struct redis_lists_setup setup;
	struct redis_client *client;
	struct list *first; /* owned */
	unsigned sorting;   /* lists that the pool has */
	bool closing;
};

static void begin_scan(struct list *list);
static void ask_news(struct list *list);

static uint64_t now_ms(struct list *list)
{
	return loop_now_ms(list->lists->setup.loop);
}

static void tick_in(struct list *list, uint64_t delay_ms)
{
	timer_set(&list->lists->setup.loop->timers, &list->timer, delay_ms);
}

static void tell(struct list *list, enum log_level level, const char *event, const char *text)
{
	struct record *r = log_begin(list->lists->setup.log, level, event);

	record_string(r, "list", list->name);
	record_text(r, "text", span_text(text));
	log_end(list->lists->setup.log);
}

/* --- asking --- */

static bool send_script(struct list *list, enum redis_script script, const struct span *args,
	size_t n, void (*done)(void *context, const redisReply *reply), void *context)
{
	struct redis_command command = {.script = script,
		.n_keys = 2,
		.n_args = n,
		.patience_ms = PATIENCE_MS,
		.done = done,
		.context = context};
	char hash[REDIS_KEY_SIZE], log[REDIS_KEY_SIZE];

	redis_list_keys(span_text(list->name), hash, log);
	command.keys[0] = span_text(hash);
	command.keys[1] = span_text(log);
	memcpy(command.args, args, n * sizeof(*args));
	return redis_client_send(list->lists->client, &command);
}

static struct span text_of(const redisReply *reply)
{
	bool is_text = reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;

	return is_text ? span_make(reply->str, reply->len) : SPAN_NONE;
}

/* --- what is read anew --- */

static void drop_meanwhile(struct list *list)
{
	while (list->meanwhile) {
		struct meanwhile *change = list->meanwhile;

		list->meanwhile = change->next;
		arena_free(&change->arena);
		free(change);
	}
	list->last_meanwhile = &list->meanwhile;
	list->n_meanwhile = 0;
}

/* The list stays as it is known. */
static void give_up_scan(struct list *list)
{
	redis_table_free(&list->fresh);
	drop_meanwhile(list);
	list->round++;
	list->state = list->table ? LIST_FOLLOWING : LIST_UNREAD;
	list->forced = true;
	list->due_ms = now_ms(list) + REDIS_LISTS_AGAIN_MS;
}

static void fail_scan(struct list *list, const char *why)
{
	tell(list, LOG_WARNING, "list_not_read", why);
	give_up_scan(list);
	list->due_ms = now_ms(list) + RETRY_MS;
}

/* --- one item --- */

/* false: no item of such a list. */
static bool read_item(struct list *list, struct span field, struct span value, struct arena *arena,
	enum image_kind *kind, struct image_item *out)
{
	struct redis_lists *lists = list->lists;
	struct redis_item said;

	*out = (struct image_item){.expires_s = IMAGE_FOR_GOOD};
	if (field.len > IMAGE_KEY_MAX ||
		!lists->setup.read(lists->setup.context, list->name, field, arena, kind, out)) {
		list->unreadable++;
		return false;
	}
	redis_item_read(value, arena, &said);
	out->reason = said.reason;
	if (*kind == IMAGE_TEXT && said.item.len)
		out->item = said.item;
	out->expires_s = said.expires_s == IMAGE_GONE ? IMAGE_GONE + 1 : said.expires_s;
	return true;
}

static void on_swept(void *context, const redisReply *reply)
{
	(void)context;
	(void)reply; /* the log tells what came of it */
}

/* Deleted, if it is still as it was read. */
static void sweep(struct list *list, struct span field, struct span value)
{
	struct span args[] = {field, value};

	if (list->swept++ < SWEEP_MAX)
		(void)!send_script(
			list, SCRIPT_LIST_DEL, args, COUNT_OF(args), on_swept, list->lists);
}

/* false: there is no room for it. */
static bool load_item(struct list *list, struct span field, struct span value, struct err *err)
{
	uint32_t now_s = (uint32_t)(clock_wall_ms(&list->lists->setup.loop->clock) / 1000);
	struct arena *arena = arena_new(1024);
	enum image_kind kind;
	struct image_item item;
	bool ok = true;

	if (read_item(list, field, value, arena, &kind, &item)) {
		if (item.expires_s && item.expires_s + REDIS_LISTS_SWEEP_S < now_s)
			sweep(list, field, value);
		else
			ok = redis_table_load(list->fresh, kind, &item, err);
	}
	arena_free(&arena);
	return ok;
}

/* --- comparing --- */

static void on_difference(void *context, enum image_kind kind, const struct image_item *item)
{
	struct list *list = context;
	struct redis_lists *lists = list->lists;

	if (++list->differences <= REDIS_LISTS_DIFFERENCES_MAX)
		lists->setup.on_change(lists->setup.context, list->name, kind, item);
}

static void take_over(struct list *list)
{
	struct redis_lists *lists = list->lists;
	bool all = !list->table || list->differences > REDIS_LISTS_DIFFERENCES_MAX;
	struct redis_table *old = list->table;
	char text[120];

	pthread_mutex_lock(&list->lock);
	list->table = list->fresh;
	pthread_mutex_unlock(&list->lock);
	list->fresh = NULL;
	redis_table_free(&old);
	drop_meanwhile(list);
	list->state = LIST_FOLLOWING;
	list->compared_ms = now_ms(list);
	list->due_ms = list->compared_ms + REDIS_LISTS_AGAIN_MS;
	if (list->unreadable) {
		snprintf(
			text, sizeof(text), "%u items are none that it can hold", list->unreadable);
		tell(list, LOG_WARNING, "list_items_unreadable", text);
	}
	if (all) {
		snprintf(text, sizeof(text), "%llu items",
			(unsigned long long)redis_table_count(list->table));
		tell(list, LOG_INFO, "list_read", text);
		lists->setup.on_loaded(lists->setup.context, list->name);
	}
}

/* A piece of it, so that the loop has time for others. */
static void compare_some(struct list *list)
{
	struct err err = {{0}};

	if (list->table && !redis_table_compare(list->table, list->fresh, &list->place,
				   COMPARE_STEP, on_difference, list, &err)) {
		fail_scan(list, err.text);
		return;
	}
	if (!list->table || list->place.done)
		take_over(list);
}

static void begin_compare(struct list *list)
{
	struct err err = {{0}};

	for (struct meanwhile *change = list->meanwhile; change; change = change->next)
		if (!redis_table_put(list->fresh, change->kind, &change->item, &err)) {
			fail_scan(list, err.text);
			return;
		}
	drop_meanwhile(list);
	memset(&list->place, 0, sizeof(list->place));
	list->differences = 0;
	list->state = LIST_COMPARING;
	compare_some(list);
}

/* --- sorting, in libuv's pool --- */

static void sort(uv_work_t *work)
{
	struct list *list = CONTAINER_OF(work, struct list, work);

	list->sort_ok = redis_table_sort(list->fresh, &list->sort_err);
}

static void lists_free(struct redis_lists *lists);

static void on_sorted(uv_work_t *work, int status)
{
	struct list *list = CONTAINER_OF(work, struct list, work);
	struct redis_lists *lists = list->lists;

	MAGIC_ENSURE(lists, LISTS_MAGIC);
	lists->sorting--;
	if (lists->closing) {
		if (lists->sorting == 0)
			lists_free(lists);
		return;
	}
	if (status || !list->sort_ok)
		fail_scan(list, status ? uv_strerror(status) : list->sort_err.text);
	else if (list->n_meanwhile > MEANWHILE_MAX)
		fail_scan(list, "it changes faster than it can be read");
	else
		begin_compare(list);
}

static void begin_sort(struct list *list)
{
	list->state = LIST_SORTING;
	list->round++;
	list->lists->sorting++;
	if (uv_queue_work(&list->lists->setup.loop->uv, &list->work, sort, on_sorted) == 0)
		return;
	list->lists->sorting--;
	fail_scan(list, "there is no thread to sort it");
}

/* --- scanning --- */

static void on_scanned(void *context, const redisReply *reply);

static void scan(struct list *list, struct span cursor)
{
	struct question *question = memory_new(sizeof(*question));
	struct redis_command command = {.script = SCRIPT_NONE,
		.n_args = 5,
		.patience_ms = PATIENCE_MS,
		.done = on_scanned,
		.context = question};
	char hash[REDIS_KEY_SIZE], log[REDIS_KEY_SIZE];

	*question = (struct question){list, list->round};
	redis_list_keys(span_text(list->name), hash, log);
	command.route = span_text(hash);
	command.args[0] = SPAN("HSCAN");
	command.args[1] = span_text(hash);
	command.args[2] = cursor;
	command.args[3] = SPAN("COUNT");
	command.args[4] = SPAN("1000");
	if (redis_client_send(list->lists->client, &command))
		return;
	free(question);
	give_up_scan(list);
}

static bool load_all(struct list *list, const redisReply *pairs)
{
	struct err err = {{0}};

	for (size_t i = 0; i + 1 < pairs->elements; i += 2) {
		if (load_item(
			    list, text_of(pairs->element[i]), text_of(pairs->element[i + 1]), &err))
			continue;
		fail_scan(list, err.text);
		return false;
	}
	return true;
}

static void on_scanned(void *context, const redisReply *reply)
{
	struct question *question = context;
	struct list *list = question->list;
	bool mine = !list->lists->closing && list->state == LIST_SCANNING &&
		    list->round == question->round;

	free(question);
	if (!mine)
		return;
	if (!reply) {
		give_up_scan(list);
	} else if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
		   reply->element[1]->type != REDIS_REPLY_ARRAY) {
		fail_scan(list, reply->type == REDIS_REPLY_ERROR ? reply->str : "nonsense");
	} else if (load_all(list, reply->element[1])) {
		if (span_equal(text_of(reply->element[0]), SPAN("0")))
			begin_sort(list);
		else
			scan(list, text_of(reply->element[0]));
	}
}

/* All that the log has to say up to here is in what the scan reads. */
static void begin_scan(struct list *list)
{
	struct err err = {{0}};

	list->forced = false;
	list->fresh = redis_table_new(&err);
	if (!list->fresh) {
		fail_scan(list, err.text);
		return;
	}
	list->state = LIST_SCANNING;
	list->unreadable = list->swept = 0;
	list->round++;
	scan(list, SPAN("0"));
}

/* --- following --- */

static void keep_for_fresh(
	struct list *list, enum image_kind kind, const struct image_item *item, struct arena *arena)
{
	struct meanwhile *change;
	struct err err = {{0}};

	if (list->state == LIST_COMPARING) {
		if (!redis_table_put(list->fresh, kind, item, &err))
			fail_scan(list, err.text);
		arena_free(&arena);
		return;
	}
	change = memory_zeroed(sizeof(*change));
	change->arena = arena;
	change->kind = kind;
	change->item = *item;
	*list->last_meanwhile = change;
	list->last_meanwhile = &change->next;
	if (++list->n_meanwhile > MEANWHILE_MAX && list->state == LIST_SCANNING)
		fail_scan(list, "it changes faster than it can be read");
}

static void change(struct list *list, struct span op, struct span field, struct span value)
{
	struct redis_lists *lists = list->lists;
	struct arena *arena = arena_new(1024);
	struct err err = {{0}};
	enum image_kind kind;
	struct image_item item;

	if (!read_item(list, field, value, arena, &kind, &item)) {
		arena_free(&arena);
		return;
	}
	if (!span_equal(op, SPAN("add")))
		item.expires_s = IMAGE_GONE;
	if (list->table) {
		bool ok;

		pthread_mutex_lock(&list->lock);
		ok = redis_table_put(list->table, kind, &item, &err);
		pthread_mutex_unlock(&list->lock);
		if (!ok)
			tell(list, LOG_WARNING, "list_not_kept", err.text);
		lists->setup.on_change(lists->setup.context, list->name, kind, &item);
	}
	if (list->fresh)
		keep_for_fresh(list, kind, &item, arena);
	else
		arena_free(&arena);
}

static void set_id(struct list *list, struct span id)
{
	snprintf(list->last_id, sizeof(list->last_id), "%.*s", SPAN_ARGS(id));
}

/* The list is to be read anew, and from here on in the log. One that is being read is read to its
 * end first: otherwise one that somebody writes to all the time would never be known. */
static void begin_anew(struct list *list, struct span last_id, int64_t fields)
{
	set_id(list, last_id);
	list->fields = fields;
	list->forced = true;
}

/* Neither the list nor its log is there, and there was something. */
static bool is_lost(const struct list *list, struct span last_id, int64_t fields)
{
	return list->table && fields == 0 && span_equal(last_id, SPAN("0-0")) &&
	       (list->fields > 0 || list->lost || strcmp(list->last_id, "0-0") != 0);
}

/* false: something is missing between what is known and what has come. */
static bool take_changes(struct list *list, const redisReply *reply)
{
	for (size_t i = 2; i + NEWS_MEMBERS <= reply->elements; i += NEWS_MEMBERS) {
		redisReply **news = &reply->element[i];
		uint64_t fields;

		if (!span_equal(text_of(news[4]), span_text(list->last_id)))
			return false;
		set_id(list, text_of(news[0]));
		if (span_number(text_of(news[5]), INT64_MAX, &fields))
			list->fields = (int64_t)fields;
		change(list, text_of(news[1]), text_of(news[2]), text_of(news[3]));
	}
	return true;
}

static void take_news(struct list *list, const redisReply *reply)
{
	struct span last_id = text_of(reply->element[0]);
	uint64_t fields = 0;
	bool whole;

	(void)!span_number(text_of(reply->element[1]), INT64_MAX, &fields);
	if (is_lost(list, last_id, (int64_t)fields)) {
		if (!list->lost)
			tell(list, LOG_WARNING, "list_lost",
				"Redis has neither the list nor its log any more: it stays in "
				"force as it was last known");
		list->lost = true;
		list->compared_ms = now_ms(list);
		return;
	}
	list->lost = false;
	if (list->fields < 0) {
		begin_anew(list, last_id, (int64_t)fields);
		return;
	}
	whole = take_changes(list, reply);
	if (whole && reply->elements > 2 && !span_equal(last_id, span_text(list->last_id))) {
		ask_news(list); /* there is more */
		return;
	}
	/* A gap; or a hand has written. */
	if (!whole || !span_equal(last_id, span_text(list->last_id)) ||
		list->fields != (int64_t)fields)
		begin_anew(list, last_id, (int64_t)fields);
}

static void on_news(void *context, const redisReply *reply)
{
	struct list *list = context;

	list->asking = false;
	if (list->lists->closing || !reply)
		return;
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2) {
		take_news(list, reply);
	} else if (reply->type == REDIS_REPLY_ERROR && list->due_ms <= now_ms(list)) {
		tell(list, LOG_WARNING, "list_not_read", reply->str);
		list->due_ms = now_ms(list) + RETRY_MS;
	}
}

static void ask_news(struct list *list)
{
	/* At first only where the log ends is of interest. */
	struct span args[] = {
		list->fields < 0 ? SPAN(ID_LAST) : span_text(list->last_id), SPAN("1000")};

	list->asking = send_script(list, SCRIPT_LIST_NEWS, args, COUNT_OF(args), on_news, list);
}

/* --- ticks --- */

static bool wants_scan(struct list *list)
{
	uint64_t now = now_ms(list);

	if ((list->state != LIST_FOLLOWING && list->state != LIST_UNREAD) || now < list->due_ms ||
		list->fields < 0)
		return false;
	return !list->table || list->forced || now - list->compared_ms >= REDIS_LISTS_COMPARE_MS;
}

static void on_timer(struct timer *timer)
{
	struct list *list = CONTAINER_OF(timer, struct list, timer);

	MAGIC_ENSURE(list->lists, LISTS_MAGIC);
	tick_in(list, list->state == LIST_COMPARING ? 0 : REDIS_LISTS_POLL_MS);
	if (list->state == LIST_COMPARING)
		compare_some(list);
	if (!redis_client_is_there(list->lists->client))
		return;
	if (!list->asking)
		ask_news(list);
	if (wants_scan(list) && !list->lost)
		begin_scan(list);
}

static void on_there(void *context)
{
	(void)context; /* the next tick sees it */
}

static void on_gone(void *context)
{
	(void)context; /* questions are answered with nothing */
}

/* --- life --- */

struct redis_lists *redis_lists_open(const struct redis_lists_setup *setup, struct err *err)
{
	struct redis_lists *lists = memory_zeroed(sizeof(*lists));

	lists->magic = LISTS_MAGIC;
	lists->setup = *setup;
	lists->setup.url = NULL;
	lists->client = redis_client_open(&(struct redis_client_setup){.loop = setup->loop,
						  .log = setup->log,
						  .url = setup->url,
						  .on_there = on_there,
						  .on_gone = on_gone,
						  .context = lists},
		err);
	if (!lists->client) {
		free(lists);
		return NULL;
	}
	return lists;
}

static void lists_free(struct redis_lists *lists)
{
	struct list *next;

	for (struct list *list = lists->first; list; list = next) {
		next = list->next;
		redis_table_free(&list->table);
		redis_table_free(&list->fresh);
		drop_meanwhile(list);
		pthread_mutex_destroy(&list->lock);
		free(list);
	}
	lists->magic = 0;
	free(lists);
}

void redis_lists_close(struct redis_lists **owner)
{
	struct redis_lists *lists = *owner;

	if (!lists)
		return;
	MAGIC_ENSURE(lists, LISTS_MAGIC);
	*owner = NULL;
	lists->closing = true;
	redis_client_close(&lists->client);
	for (struct list *list = lists->first; list; list = list->next)
		timer_clear(&lists->setup.loop->timers, &list->timer);
	if (lists->sorting == 0)
		lists_free(lists);
}

static struct list *find(const struct redis_lists *lists, const char *name)
{
	struct list *list = lists->first;

	while (list && strcmp(list->name, name) != 0)
		list = list->next;
	return list;
}

void redis_lists_follow(struct redis_lists *lists, const char *name)
{
	struct list *list;

	MAGIC_ENSURE(lists, LISTS_MAGIC);
	ENSURE(redis_list_name_is_good(span_text(name)));
	if (find(lists, name))
		return;
	list = memory_zeroed(sizeof(*list));
	list->lists = lists;
	snprintf(list->name, sizeof(list->name), "%s", name);
	strcpy(list->last_id, "0-0");
	list->fields = -1;
	list->last_meanwhile = &list->meanwhile;
	list->timer.fire = on_timer;
	ENSURE(pthread_mutex_init(&list->lock, NULL) == 0);
	list->next = lists->first;
	lists->first = list;
	tick_in(list, 0);
}

bool redis_lists_walk(struct redis_lists *lists, const char *name, enum image_kind kind,
	const struct image_item *from, const struct image_item *until,
	bool (*take)(void *taker, const struct image_item *item), void *taker, struct err *err)
{
	struct list *list = find(lists, name);
	bool ok;

	if (!list)
		return err_set(err, "the list %s is not followed", name);
	pthread_mutex_lock(&list->lock);
	ok = list->table ? redis_table_walk(list->table, kind, from, until, take, taker, err)
			 : err_set(err, "the list %s is not known yet", name);
	pthread_mutex_unlock(&list->lock);
	return ok;
}

void redis_lists_compare(struct redis_lists *lists, const char *name)
{
	struct list *list = find(lists, name);

	if (list)
		list->forced = true;
}

bool redis_lists_is_known(const struct redis_lists *lists, const char *name)
{
	const struct list *list = find(lists, name);

	return list && list->table;
}

void redis_lists_status(struct redis_lists *lists, struct record *r)
{
	static const char *const words[] = {[LIST_UNREAD] = "unread",
		[LIST_FOLLOWING] = "following",
		[LIST_SCANNING] = "reading",
		[LIST_SORTING] = "sorting",
		[LIST_COMPARING] = "comparing"};

	MAGIC_ENSURE(lists, LISTS_MAGIC);
	redis_client_status(lists->client, r);
	record_list(r, "lists");
	for (struct list *list = lists->first; list; list = list->next) {
		record_open(r, NULL);
		record_string(r, "list", list->name);
		record_string(r, "state", list->lost ? "lost" : words[list->state]);
		if (list->table)
			record_number(r, "items", (int64_t)redis_table_count(list->table));
		record_number(r, "unreadable", list->unreadable);
		record_close(r);
	}
	record_close(r);
}

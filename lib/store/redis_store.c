#include "lib/store/redis_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fail.h"
#include "lib/base/ip.h"
#include "lib/net/digest.h"
#include "lib/store/driver.h"
#include "lib/store/redis_client.h"
#include "lib/store/redis_keys.h"
#include "lib/store/wire.h"

enum {
	REDIS_STORE_MAGIC = 0x4ed155e0,
	PIECES_MAX = 64,              /* commands of one request */
	TOLD_PATIENCE_MS = 60 * 1000, /* of what is told while a node of a cluster is away */
	REFUSAL_TOLD_MS = 60 * 1000
};

struct redis_store {
	uint32_t magic;
	struct loop *loop;
	struct log *log;
	struct store *store; /* borrowed: it owns us */
	struct redis_client *client;
	struct want *wants; /* owned list: what is under way */
	uint64_t refusal_told_ms;
	uint64_t refusals;
	char refusal[120]; /* what it said last */
};

/* One command of a request, and what came of it. */
struct piece {
	struct want *want;
	struct buffer text[2];
};

/* A request. */
struct want {
	struct want *next, *prev;
	struct redis_store *rs;
	uint32_t id;
	enum store_kind kind;
	unsigned n, waiting; /* pieces */
	enum store_outcome outcome;
	char list[REDIS_LIST_NAME_MAX + 1]; /* LIST_SHOW, LIST_SEARCH */
	struct deferred deferred;           /* nothing was to be sent */
	struct piece pieces[];
};

/* Kinds that are one script on one key. */
static const struct simple {
	const char *prefix;
	enum redis_script script;
	unsigned key_parts; /* so many of the first parts make the key */
} simple[STORE_KIND_COUNT] = {
	[STORE_GREY_LOOK] = {"postern:grey:", SCRIPT_GREY_LOOK, 1},
	[STORE_GREY_TRIED] = {"postern:grey:", SCRIPT_GREY_TRIED, 1},
	[STORE_GREY_PASSED] = {"postern:grey:", SCRIPT_GREY_PASSED, 1},
	[STORE_GREY_ALLOW] = {"postern:grey:", SCRIPT_GREY_PASSED, 1},
	[STORE_GREY_CLEAR] = {"postern:grey:", SCRIPT_FORGET, 1},
	[STORE_RATE_LOOK] = {"postern:rate:", SCRIPT_RATE_LOOK, 2},
	[STORE_RATE_CHARGE] = {"postern:rate:", SCRIPT_RATE_CHARGE, 2},
	[STORE_REP_ADD] = {"postern:rep:", SCRIPT_REP_ADD, 1},
	[STORE_REP_SHOW] = {"postern:rep:", SCRIPT_REP_SHOW, 1},
	[STORE_REP_RESET] = {"postern:rep:", SCRIPT_FORGET, 1},
};

static bool is_told(enum store_kind kind)
{
	return kind == STORE_GREY_TRIED || kind == STORE_GREY_PASSED || kind == STORE_RATE_CHARGE ||
	       kind == STORE_REP_ADD || kind == STORE_LIST_ADD;
}

/* --- answers --- */

static void want_free(struct want *want)
{
	if (want->prev)
		want->prev->next = want->next;
	else
		want->rs->wants = want->next;
	if (want->next)
		want->next->prev = want->prev;
	loop_undefer(want->rs->loop, &want->deferred);
	for (unsigned i = 0; i < want->n; i++)
		for (unsigned j = 0; j < COUNT_OF(want->pieces[i].text); j++)
			buffer_free(&want->pieces[i].text[j]);
	free(want);
}

/* A number between two blanks of "ADDED CHANGED SAME". */
static bool write_added(struct buffer *out, struct span counts)
{
	struct span added = span_word(&counts), changed = span_word(&counts);

	return buffer_print(out,
		"{\"added\":%.*s,\"changed\":%.*s,\"same\":%.*s,\"protected\":0,\"full\":0,"
		"\"told\":[]}",
		SPAN_ARGS(added), SPAN_ARGS(changed), SPAN_ARGS(span_trim(counts)));
}

static bool write_names(struct buffer *out, const struct piece *piece)
{
	return buffer_print(
		out, "{\"lists\":[%.*s],\"declared\":[]}", SPAN_ARGS(buffer_span(&piece->text[0])));
}

static bool write_items(struct buffer *out, const struct want *want)
{
	struct span type = buffer_span(&want->pieces[0].text[0]);

	if (type.len == 0)
		return true; /* there is no such list */
	return buffer_print(out, "{\"list\":\"%s\",\"type\":\"%.*s\",\"items\":[", want->list,
		       SPAN_ARGS(type)) &&
	       buffer_add(out, buffer_span(&want->pieces[1].text[1])) &&
	       buffer_print(out, "],\"next\":\"%.*s\",\"protected\":[]}",
		       SPAN_ARGS(buffer_span(&want->pieces[1].text[0])));
}

static bool write_lines(struct buffer *out, const struct want *want)
{
	bool ok = true;

	for (unsigned i = 0; i < want->n && ok; i++)
		ok = (i == 0 || buffer_add_char(out, '\n')) &&
		     buffer_add(out, buffer_span(&want->pieces[i].text[0]));
	return ok;
}

static bool write_answer(const struct want *want, struct buffer *out)
{
	const struct piece *first = &want->pieces[0];

	if (want->kind == STORE_PING)
		return true;
	if (want->kind == STORE_LIST_ADD)
		return write_added(out, buffer_span(&want->pieces[1].text[0]));
	if (want->kind == STORE_LIST_DEL)
		return buffer_print(
			out, "{\"deleted\":%.*s}", SPAN_ARGS(buffer_span(&first->text[0])));
	if (want->kind == STORE_LIST_NAMES)
		return write_names(out, first);
	if (want->kind == STORE_LIST_SHOW || want->kind == STORE_LIST_SEARCH)
		return write_items(out, want);
	return write_lines(out, want);
}

static void want_end(struct want *want)
{
	struct buffer answer = BUFFER_INIT(STORE_ANSWER_MAX);
	struct redis_store *rs = want->rs;
	uint32_t id = want->id;
	enum store_outcome outcome = want->outcome;

	if (outcome == STORE_DONE && !write_answer(want, &answer))
		outcome = STORE_FAILED;
	if (outcome != STORE_DONE)
		buffer_clear(&answer);
	want_free(want);
	store_on_answer(rs->store, id, outcome, buffer_span(&answer));
	buffer_free(&answer);
}

static void on_deferred(struct deferred *deferred)
{
	want_end(CONTAINER_OF(deferred, struct want, deferred));
}

/* --- replies --- */

static void note_refusal(struct redis_store *rs, const redisReply *reply)
{
	uint64_t now_ms = loop_now_ms(rs->loop);

	rs->refusals++;
	snprintf(rs->refusal, sizeof(rs->refusal), "%.*s", (int)reply->len, reply->str);
	if (rs->refusal_told_ms && now_ms - rs->refusal_told_ms < REFUSAL_TOLD_MS)
		return;
	rs->refusal_told_ms = now_ms;
	log_event(rs->log, LOG_WARNING, "redis_refuses", SPAN_NONE, "%s", rs->refusal);
}

static bool take_pairs(struct piece *piece, const redisReply *reply)
{
	bool ok = true;

	for (size_t i = 0; i + 1 < reply->elements && ok; i += 2) {
		const redisReply *name = reply->element[i], *type = reply->element[i + 1];

		if (name->type != REDIS_REPLY_STRING || type->type != REDIS_REPLY_STRING ||
			!redis_list_name_is_good(span_make(name->str, name->len)) ||
			!redis_list_name_is_good(span_make(type->str, type->len)))
			continue;
		ok = (piece->text[0].len == 0 || buffer_add_char(&piece->text[0], ',')) &&
		     buffer_print(&piece->text[0], "{\"list\":\"%s\",\"type\":\"%s\"}", name->str,
			     type->str);
	}
	return ok;
}

static bool take_text(struct buffer *out, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_INTEGER)
		return buffer_print(out, "%lld", reply->integer);
	if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS)
		return buffer_add(out, span_make(reply->str, reply->len));
	return reply->type == REDIS_REPLY_NIL;
}

static bool take_reply(struct piece *piece, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ARRAY)
		return take_text(&piece->text[0], reply);
	if (piece->want->kind == STORE_LIST_NAMES)
		return take_pairs(piece, reply);
	return reply->elements == 2 && take_text(&piece->text[0], reply->element[0]) &&
	       take_text(&piece->text[1], reply->element[1]);
}

static void on_reply(void *context, const redisReply *reply)
{
	struct piece *piece = context;
	struct want *want = piece->want;

	if (!reply) {
		want->outcome = STORE_AWAY;
	} else if (reply->type == REDIS_REPLY_ERROR) {
		note_refusal(want->rs, reply);
		want->outcome = STORE_FAILED;
	} else if (!take_reply(piece, reply)) {
		want->outcome = STORE_FAILED;
	}
	if (--want->waiting == 0 && want->rs->store)
		want_end(want);
	else if (want->waiting == 0)
		want_free(want); /* we are being closed */
}

/* --- requests --- */

static struct want *want_new(struct redis_store *rs, uint32_t id, enum store_kind kind, unsigned n)
{
	struct want *want = memory_zeroed(sizeof(*want) + n * sizeof(want->pieces[0]));

	want->rs = rs;
	want->id = id;
	want->kind = kind;
	want->n = n;
	want->outcome = STORE_DONE;
	want->deferred.run = on_deferred;
	for (unsigned i = 0; i < n; i++) {
		want->pieces[i].want = want;
		for (unsigned j = 0; j < COUNT_OF(want->pieces[i].text); j++)
			want->pieces[i].text[j] = BUFFER_INIT(STORE_ANSWER_MAX);
	}
	want->next = rs->wants;
	if (rs->wants)
		rs->wants->prev = want;
	rs->wants = want;
	return want;
}

static void want_send(struct want *want, unsigned piece, struct redis_command *command)
{
	command->patience_ms = is_told(want->kind) ? TOLD_PATIENCE_MS : STORE_TIMEOUT_MS;
	command->done = on_reply;
	command->context = &want->pieces[piece];
	want->waiting++;
	if (redis_client_send(want->rs->client, command))
		return;
	want->waiting--;
	want->outcome = STORE_AWAY;
}

/* Without anything under way it ends from the loop, as whatever it is. */
static void want_sent(struct want *want)
{
	if (want->waiting == 0)
		loop_defer(want->rs->loop, &want->deferred);
}

static void send_simple(struct want *want, const struct span *parts)
{
	const struct simple *how = &simple[want->kind];
	char key[REDIS_KEY_SIZE];
	struct redis_command command = {.script = how->script, .n_keys = 1};

	redis_key(key, how->prefix, parts, how->key_parts);
	command.keys[0] = span_text(key);
	command.n_args = store_kind_parts(want->kind);
	memcpy(command.args, parts, command.n_args * sizeof(*parts));
	want_send(want, 0, &command);
}

static void send_plain(
	struct want *want, unsigned piece, struct span route, const struct span *args, size_t n)
{
	struct redis_command command = {.script = SCRIPT_NONE, .n_args = n, .route = route};

	memcpy(command.args, args, n * sizeof(*args));
	want_send(want, piece, &command);
}

/* "N:CURSOR": primaries are gone through in turn. */
static void send_grey_list(struct want *want, const struct span *parts)
{
	size_t colon = span_find_char(parts[0], ':');
	unsigned nodes = redis_client_nodes(want->rs->client);
	struct redis_command command = {.script = SCRIPT_GREY_SCAN, .n_args = 4};
	char before[16], next[16];
	uint64_t node = 1, limit;

	if ((parts[0].len && (colon == parts[0].len ||
				     !span_number(span_first(parts[0], colon), nodes, &node) ||
				     node == 0)) ||
		!span_number(parts[1], 100 * 1000, &limit)) {
		want->outcome = STORE_FAILED;
		return;
	}
	snprintf(before, sizeof(before), "%u:", (unsigned)node);
	snprintf(next, sizeof(next), "%u:0", (unsigned)node + 1);
	command.node = (unsigned)node;
	command.args[0] = parts[0].len ? span_from(parts[0], colon + 1) : SPAN("0");
	command.args[1] = parts[1];
	command.args[2] = span_text(before);
	command.args[3] = node < nodes ? span_text(next) : SPAN("");
	want_send(want, 0, &command);
}

static void send_rep_look(struct want *want, struct span keys)
{
	for (unsigned i = 0; i < want->n; i++) {
		struct span one = span_first(keys, span_find_char(keys, '\n'));
		struct redis_command command = {.script = SCRIPT_REP_LOOK, .n_keys = 1};
		char key[REDIS_KEY_SIZE];

		keys = span_from(keys, one.len + 1);
		redis_key(key, "postern:rep:", &one, 1);
		command.keys[0] = span_text(key);
		want_send(want, i, &command);
	}
}

/* A script on a list: its hash and its log. */
static void send_list(struct want *want, unsigned piece, enum redis_script script, struct span list,
	const struct span *args, size_t n)
{
	struct redis_command command = {.script = script, .n_keys = 2, .n_args = n};
	char hash[REDIS_KEY_SIZE], log[REDIS_KEY_SIZE];

	redis_list_keys(list, hash, log);
	command.keys[0] = span_text(hash);
	command.keys[1] = span_text(log);
	memcpy(command.args, args, n * sizeof(*args));
	want_send(want, piece, &command);
}

/* false: the parts are nonsense. */
static bool send_list_add(struct want *want, const struct span *parts)
{
	char room[REDIS_FIELD_MAX];
	struct span field, type[] = {SPAN("HSETNX"), SPAN(REDIS_LISTS_KEY), parts[0], parts[1]};

	if (!redis_list_name_is_good(parts[0]) || !redis_list_name_is_good(parts[1]) ||
		!redis_list_field(parts[2], parts[3], room, &field))
		return false;
	send_plain(want, 0, SPAN(REDIS_LISTS_KEY), type, COUNT_OF(type));
	send_list(want, 1, SCRIPT_LIST_ADD, parts[0],
		(struct span[]){parts[6], field,
			span_equal(parts[2], SPAN("text")) && !span_equal(parts[4], field)
				? parts[4]
				: SPAN(""),
			parts[5], parts[7]},
		5);
	return true;
}

static bool send_list_del(struct want *want, const struct span *parts)
{
	char room[REDIS_FIELD_MAX];
	struct span field;

	if (!redis_list_name_is_good(parts[0]) ||
		!redis_list_field(parts[1], parts[2], room, &field))
		return false;
	send_list(want, 0, SCRIPT_LIST_DEL, parts[0], (struct span[]){field, SPAN("")}, 2);
	return true;
}

static bool ask_type(struct want *want, struct span list)
{
	if (!redis_list_name_is_good(list))
		return false;
	snprintf(want->list, sizeof(want->list), "%.*s", SPAN_ARGS(list));
	send_plain(want, 0, SPAN(REDIS_LISTS_KEY),
		(struct span[]){SPAN("HGET"), SPAN(REDIS_LISTS_KEY), list}, 3);
	return true;
}

static bool send_list_show(struct want *want, const struct span *parts)
{
	uint64_t limit;

	if (!span_number(parts[2], 10 * 1000, &limit) || limit == 0 || !ask_type(want, parts[0]))
		return false;
	send_list(want, 1, SCRIPT_LIST_SHOW, parts[0],
		(struct span[]){parts[1].len ? parts[1] : SPAN("0"), parts[2]}, 2);
	return true;
}

static bool send_list_search(struct want *want, const struct span *parts)
{
	char rooms[REDIS_ARGS_MAX][REDIS_FIELD_MAX];
	struct span fields[REDIS_ARGS_MAX], keys = parts[2];
	size_t n = 0;

	while (keys.len && n < REDIS_ARGS_MAX) {
		uint32_t len;

		if (!store_number_take(&keys, &len) || len > keys.len ||
			!redis_list_field(parts[1], span_first(keys, len), rooms[n], &fields[n]))
			return false;
		keys = span_from(keys, len);
		n++;
	}
	if (!ask_type(want, parts[0]))
		return false;
	send_list(want, 1, SCRIPT_LIST_FIND, parts[0], fields, n);
	return true;
}

static bool send_parts(struct want *want, const struct span *parts)
{
	if (simple[want->kind].prefix)
		send_simple(want, parts);
	else if (want->kind == STORE_PING)
		send_plain(want, 0, SPAN_NONE, (struct span[]){SPAN("PING")}, 1);
	else if (want->kind == STORE_GREY_LIST)
		send_grey_list(want, parts);
	else if (want->kind == STORE_REP_LOOK)
		send_rep_look(want, parts[0]);
	else if (want->kind == STORE_LIST_ADD)
		return send_list_add(want, parts);
	else if (want->kind == STORE_LIST_DEL)
		return send_list_del(want, parts);
	else if (want->kind == STORE_LIST_NAMES)
		send_plain(want, 0, SPAN(REDIS_LISTS_KEY),
			(struct span[]){SPAN("HGETALL"), SPAN(REDIS_LISTS_KEY)}, 2);
	else if (want->kind == STORE_LIST_SHOW)
		return send_list_show(want, parts);
	else if (want->kind == STORE_LIST_SEARCH)
		return send_list_search(want, parts);
	else
		return false;
	return true;
}

static unsigned pieces_of(enum store_kind kind, const struct span *parts)
{
	unsigned n = 1;

	if (kind == STORE_LIST_ADD || kind == STORE_LIST_SHOW || kind == STORE_LIST_SEARCH)
		return 2;
	for (size_t i = 0; kind == STORE_REP_LOOK && i < parts[0].len; i++)
		n += parts[0].at[i] == '\n';
	return n;
}

static bool redis_store_send(void *state, uint32_t id, enum store_kind kind, struct span body)
{
	struct redis_store *rs = state;
	struct span parts[STORE_PARTS_MAX];
	struct want *want;
	unsigned n;

	MAGIC_ENSURE(rs, REDIS_STORE_MAGIC);
	if (!redis_client_is_there(rs->client))
		return false;
	if (!store_parts_read(body, parts, store_kind_parts(kind)))
		return false;
	n = pieces_of(kind, parts);
	want = want_new(rs, id, kind, n > PIECES_MAX ? 0 : n);
	if (n > PIECES_MAX || !send_parts(want, parts))
		want->outcome = STORE_FAILED;
	want_sent(want);
	return true;
}

/* --- life --- */

static void on_there(void *context)
{
	struct redis_store *rs = context;

	MAGIC_ENSURE(rs, REDIS_STORE_MAGIC);
	store_on_there(rs->store);
}

static void on_gone(void *context)
{
	struct redis_store *rs = context;

	MAGIC_ENSURE(rs, REDIS_STORE_MAGIC);
	store_on_gone(rs->store);
}

static void redis_store_close(void *state)
{
	struct redis_store *rs = state;

	MAGIC_ENSURE(rs, REDIS_STORE_MAGIC);
	rs->store = NULL;
	redis_client_close(&rs->client);
	while (rs->wants)
		want_free(rs->wants);
	rs->magic = 0;
	free(rs);
}

static void redis_store_status(void *state, struct record *r)
{
	const struct redis_store *rs = state;

	MAGIC_ENSURE(rs, REDIS_STORE_MAGIC);
	redis_client_status(rs->client, r);
	record_number(r, "refusals", (int64_t)rs->refusals);
	if (rs->refusal[0])
		record_string(r, "refusal", rs->refusal);
}

/* What an `other` answers: results of DMARC, which each machine reports by itself; and changes of
 * lists, since the keeper knows what is protected. Without one they are ours, as far as they can
 * be. */
static bool knows(enum store_kind kind)
{
	switch (kind) {
	case STORE_DMARC_ADD:
	case STORE_DMARC_DAY:
	case STORE_DMARC_DOMAIN:
	case STORE_LIST_ADD:
	case STORE_LIST_BATCH:
	case STORE_LIST_DEL:
	case STORE_LIST_NAMES:
	case STORE_LIST_SHOW:
	case STORE_LIST_SEARCH:
		return false;
	case STORE_PING:
	case STORE_GREY_LOOK:
	case STORE_GREY_TRIED:
	case STORE_GREY_PASSED:
	case STORE_GREY_LIST:
	case STORE_GREY_ALLOW:
	case STORE_GREY_CLEAR:
	case STORE_RATE_LOOK:
	case STORE_RATE_CHARGE:
	case STORE_REP_LOOK:
	case STORE_REP_ADD:
	case STORE_REP_SHOW:
	case STORE_REP_RESET:
	case STORE_KIND_COUNT:
		break;
	}
	return true;
}

static const struct store_driver driver = {.send = redis_store_send,
	.close = redis_store_close,
	.knows = knows,
	.status = redis_store_status};

struct store *store_open_redis(struct loop *loop, struct log *log, const struct redis_url *url,
	struct store *other, struct err *err)
{
	struct redis_store *rs = memory_zeroed(sizeof(*rs));

	rs->magic = REDIS_STORE_MAGIC;
	rs->loop = loop;
	rs->log = log;
	rs->client = redis_client_open(&(struct redis_client_setup){.loop = loop,
					       .log = log,
					       .url = url,
					       .on_there = on_there,
					       .on_gone = on_gone,
					       .context = rs},
		err);
	if (!rs->client) {
		free(rs);
		return NULL;
	}
	rs->store = store_open(loop, log, &driver, rs);
	store_set_other(rs->store, other);
	return rs->store;
}

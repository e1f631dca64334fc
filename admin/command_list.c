/*
 * `postern list`: what the lists in the store hold, and changing that, over the control socket. The
 * daemon normalises nothing: items are read here, with the code that rules are read with, so that
 * what is listed is what matches.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/list_import.h"
#include "admin/list_load.h"
#include "admin/table.h"
#include "admin/visible.h"
#include "lib/base/clock.h"
#include "lib/base/fail.h"
#include "lib/base/log.h"
#include "lib/mail/url.h"
#include "lib/net/digest.h"
#include "policy/list_entry.h"

enum {
	PAGE = 2000,          /* items of one request */
	TABLE_MAX = 20000,    /* items that `show` prints as a table */
	KEYS_MAX = 64 * 1024, /* bytes */
	FILE_MAX = 2000       /* MB of a file that comes through a pipe */
};

static const uint64_t TTL_MAX_MS = 100ull * 365 * 24 * 3600 * 1000;

#define HISTORY_NOTE                                                                               \
	"what the sessions of the last days would have met can be said once there is a history "   \
	"of "                                                                                      \
	"them\n"

static bool is_json(const struct list_call *call)
{
	return cli_option(call->invocation, "--json") != NULL;
}

static bool is_dry(const struct list_call *call)
{
	return cli_option(call->invocation, "--dry-run") != NULL;
}

static uint64_t now_s(void)
{
	const struct clock clock = {0};

	return clock_wall_ms(&clock) / 1000;
}

/* When --ttl ends; 0: it is not given. CLI_OK, or usage. */
static int take_ttl(const struct list_call *call, uint64_t *expires_s)
{
	const char *text = cli_option(call->invocation, "--ttl");
	struct err err = {{0}};
	uint64_t ttl_ms;

	*expires_s = 0;
	if (!text)
		return CLI_OK;
	if (!cli_duration(text, TTL_MAX_MS, &ttl_ms, &err) || ttl_ms < 1000)
		return cli_usage(call->invocation, "--ttl: %s",
			err.text[0] ? err.text : "a second is the least");
	*expires_s = now_s() + ttl_ms / 1000;
	if (*expires_s >= UINT32_MAX)
		return cli_usage(call->invocation, "--ttl ends before the year 2106");
	return CLI_OK;
}

static struct span take_reason(const struct list_call *call)
{
	const char *text = cli_option(call->invocation, "--reason");

	return span_first(span_text(text ? text : ""), IMAGE_REASON_MAX);
}

/* --- items for people --- */

static const char *time_text(struct arena *arena, long long at_s)
{
	char text[CLOCK_RFC3339_SIZE];

	if (at_s <= 0)
		return "-";
	clock_rfc3339((uint64_t)at_s * 1000, text);
	return arena_print(arena, "%.10s %.8s", text, text + 11);
}

static void add_row(struct table *table, struct arena *arena, const struct json *item, bool list)
{
	table_row(table);
	if (list)
		table_cell(table, TONE_BOLD, "%s", json_text(item, "list"));
	table_cell(table, list ? TONE_PLAIN : TONE_BOLD, "%s",
		visible_line(arena, span_text(json_text(item, "item"))));
	table_cell(
		table, TONE_PLAIN, "%s", visible_line(arena, span_text(json_text(item, "reason"))));
	table_cell(table, TONE_PLAIN, "%s", visible_line(arena, span_text(json_text(item, "by"))));
	table_cell(table, TONE_DIM, "%s", time_text(arena, json_number(item, "at")));
	table_cell(table, TONE_PLAIN, "%s", time_text(arena, json_number(item, "expires")));
}

/* --- ls --- */

static const char *type_in(const struct json *lists, const char *name)
{
	for (const struct json *l = lists ? lists->first : NULL; l; l = l->next)
		if (strcmp(json_text(l, "list"), name) == 0)
			return json_text(l, "type");
	return NULL;
}

static void add_list(struct table *table, const char *name, const char *type, const char *items,
	const char *declared)
{
	bool odd = declared && strcmp(declared, type) != 0;

	table_row(table);
	table_cell(table, TONE_BOLD, "%s", name);
	table_cell(table, TONE_PLAIN, "%s", strcmp(name, LIST_PROTECTED) == 0 ? "any" : type);
	table_cell(table, TONE_PLAIN, "%s", items);
	if (odd)
		table_cell(table, TONE_WARN, "as %s", declared);
	else
		table_cell(table, TONE_PLAIN, "%s", declared ? "yes" : "no");
}

static int ls(struct list_call *call)
{
	static const char *const heads[] = {"LIST", "TYPE", ">ITEMS", "READ BY RULES", NULL};
	const struct json *json, *lists, *declared;
	struct table table;
	int status;

	json = list_ask_json(call, STORE_LIST_NAMES, NULL, 0, call->arena, &status);
	if (!json)
		return status;
	if (is_json(call)) {
		printf("%.*s\n", SPAN_ARGS(buffer_span(&call->answer)));
		return CLI_OK;
	}
	lists = json_get(json, "lists");
	declared = json_get(json, "declared");
	table_init(&table, call->arena, heads);
	for (const struct json *l = lists ? lists->first : NULL; l; l = l->next)
		add_list(&table, json_text(l, "list"), json_text(l, "type"), json_text(l, "items"),
			type_in(declared, json_text(l, "list")));
	for (const struct json *l = declared ? declared->first : NULL; l; l = l->next)
		if (!type_in(lists, json_text(l, "list")))
			add_list(&table, json_text(l, "list"), json_text(l, "type"), "0",
				json_text(l, "type"));
	if (table.n_rows)
		table_print(&table, stdout, tone_wanted(stdout));
	else
		puts("no lists; a rule file declares one: list blocked : cidr from store "
		     "\"blocked\"");
	return CLI_OK;
}

/* --- show, export --- */

/* Page after page; false from `page`: enough. Of a list that rules read and nobody has filled there
 * is an empty page. */
static int walk(struct list_call *call, const char *list,
	bool (*page)(void *context, const struct json *json, struct arena *arena), void *context)
{
	const char *after = "";
	enum list_type type;
	int status = CLI_OK;

	for (size_t n = 0; after; n++) {
		struct span parts[] = {span_text(list), span_text(after), SPAN("2000")};
		struct arena *arena = arena_new(64 * 1024);
		const struct json *json = list_ask_json(
			call, STORE_LIST_SHOW, parts, COUNT_OF(parts), arena, &status);
		const struct json *next = json_get(json, "next");

		after = NULL;
		if (status == CLI_OK && !json && n == 0)
			status = list_type_of(call, list, &type);
		if (status == CLI_OK && json && page(context, json, arena) && next)
			after = arena_string(call->arena, span_text(next->text));
		arena_free(&arena);
	}
	return status;
}

struct showing {
	struct list_call *call;
	struct table table;
	bool more;
};

static bool show_page(void *context, const struct json *json, struct arena *arena)
{
	struct showing *s = context;
	const struct json *items = json_get(json, "items");

	(void)arena;
	for (const struct json *item = items ? items->first : NULL; item; item = item->next)
		add_row(&s->table, s->call->arena, item, false);
	s->more = json_get(json, "next") && s->table.n_rows >= TABLE_MAX;
	return !s->more;
}

/* Each item an object, on a line of its own. */
static bool show_json(void *context, const struct json *json, struct arena *arena)
{
	const struct json *items = json_get(json, "items");
	struct list_call *call = context;
	struct span text;
	struct record r;

	(void)arena;
	for (const struct json *item = items ? items->first : NULL; item; item = item->next) {
		record_init(&r, true, 64 * 1024);
		record_string(&r, "list", call->invocation->words[1]);
		record_string(&r, "item", json_text(item, "item"));
		record_string(&r, "reason", json_text(item, "reason"));
		record_string(&r, "by", json_text(item, "by"));
		record_number(&r, "at", json_number(item, "at"));
		record_number(&r, "expires", json_number(item, "expires"));
		text = record_finish(&r);
		printf("%.*s\n", SPAN_ARGS(text));
		record_free(&r);
	}
	return true;
}

static int show(struct list_call *call)
{
	static const char *const heads[] = {"ITEM", "REASON", "BY", "SINCE (UTC)", "UNTIL", NULL};
	struct showing s = {.call = call};
	int status;

	if (is_json(call))
		return walk(call, call->invocation->words[1], show_json, call);
	table_init(&s.table, call->arena, heads);
	status = walk(call, call->invocation->words[1], show_page, &s);
	if (status != CLI_OK)
		return status;
	if (s.table.n_rows)
		table_print(&s.table, stdout, tone_wanted(stdout));
	else
		puts("the list is empty");
	if (s.more)
		puts("... and more; `postern list export` writes all of them");
	return CLI_OK;
}

static bool export_page(void *context, const struct json *json, struct arena *arena)
{
	const struct json *items = json_get(json, "items");
	struct buffer line = BUFFER_INIT(64 * 1024);

	(void)context;
	(void)arena;
	for (const struct json *item = items ? items->first : NULL; item; item = item->next) {
		long long expires = json_number(item, "expires");

		buffer_clear(&line);
		if (!list_export_field(span_text(json_text(item, "item")), &line) ||
			!buffer_add_char(&line, ',') ||
			!list_export_field(span_text(json_text(item, "reason")), &line) ||
			!buffer_add_char(&line, ',') ||
			!list_export_field(span_text(json_text(item, "by")), &line) ||
			!buffer_print(&line, ",%lld,", json_number(item, "at")) ||
			(expires && !buffer_print(&line, "%lld", expires)))
			continue;
		printf("%s\n", buffer_string(&line));
	}
	buffer_free(&line);
	return true;
}

static int export(struct list_call *call)
{
	if (is_json(call))
		return show(call);
	puts("item,reason,by,at,expires");
	return walk(call, call->invocation->words[1], export_page, call);
}

/* --- searching --- */

static void add_key(struct buffer *keys, struct span key)
{
	uint32_t len = (uint32_t)key.len;

	if (key.len && key.len <= IMAGE_KEY_MAX && keys->len + sizeof(len) + key.len <= keys->max)
		ENSURE(buffer_add(keys, span_make(&len, sizeof(len))) && buffer_add(keys, key));
}

/* The network, then those around it. */
static void add_networks(struct buffer *keys, const struct cidr *network, bool itself)
{
	enum image_kind kind = network->ip.family == IP_V4 ? IMAGE_V4 : IMAGE_V6;
	char room[LIST_KEY_BYTES_MAX];

	for (int bits = network->prefix_bits - !itself; bits >= 0; bits--) {
		struct image_item item = {.network = cidr_around(&network->ip, (uint8_t)bits)};

		add_key(keys, list_key(kind, &item, room));
	}
}

/* All that a text is found by in a list of any type: itself, its digests, its domain and those that
 * are around it. */
static void add_texts(struct list_call *call, struct buffer *keys, struct span text)
{
	char *small = arena_string(call->arena, text), hex[64], *at;

	for (char *c = small; *c; c++)
		*c = ascii_lower(*c);
	text = span_text(small);
	if (text.len > 1 && text.at[text.len - 1] == '.')
		text.len--;
	add_key(keys, text);
	for (unsigned digits = 32; digits <= 64; digits += digits == 32 ? 8 : 24)
		if (digest_hex(digits, text, hex))
			add_key(keys, span_make(hex, digits));
	at = strrchr(small, '@');
	if (at) {
		add_key(keys, span_from(text, (size_t)(at - small)));
		text = span_from(text, (size_t)(at - small) + 1);
		add_key(keys, text);
	}
	for (size_t i = 0; i < text.len; i++) {
		struct span parent = span_from(text, i);

		if (text.at[i] != '.')
			continue;
		add_key(keys, parent);
		add_key(keys, span_from(parent, 1));
		if (at)
			add_key(keys,
				span_text(arena_print(call->arena, "@%.*s", SPAN_ARGS(parent))));
	}
}

/* Sets the kind; the keys that would find an item. */
static enum image_kind search_keys(struct list_call *call, struct span item, struct buffer *keys)
{
	struct span ascii = item;
	struct cidr network;

	if (cidr_parse(item, &network, NULL)) {
		add_networks(keys, &network, true);
		return network.ip.family == IP_V4 ? IMAGE_V4 : IMAGE_V6;
	}
	if (fact_text_is_wide(TYPE_MAIL, item) &&
		fact_text_ascii(TYPE_MAIL, host_ascii, &ascii, call->arena))
		item = ascii;
	else if (fact_text_is_wide(TYPE_DOMAIN, item) &&
		 fact_text_ascii(TYPE_DOMAIN, host_ascii, &ascii, call->arena))
		item = ascii;
	add_texts(call, keys, item);
	return IMAGE_TEXT;
}

static const struct json *ask_search(struct list_call *call, const char *list, enum image_kind kind,
	struct span keys, int *status)
{
	struct span parts[] = {span_text(list), span_text(list_kind_name(kind)), keys};

	return list_ask_json(call, STORE_LIST_SEARCH, parts, COUNT_OF(parts), call->arena, status);
}

static void print_found(struct list_call *call, const struct json *json)
{
	static const char *const heads[] = {
		"LIST", "ITEM", "REASON", "BY", "SINCE (UTC)", "UNTIL", NULL};
	const struct json *items = json_get(json, "items"), *own = json_get(json, "protected");
	struct table table;

	table_init(&table, call->arena, heads);
	for (const struct json *item = items ? items->first : NULL; item; item = item->next)
		add_row(&table, call->arena, item, true);
	if (table.n_rows)
		table_print(&table, stdout, tone_wanted(stdout));
	for (const struct json *p = own ? own->first : NULL; p; p = p->next)
		printf("protected by the configuration: %s (%s)\n", json_text(p, "item"),
			json_text(p, "why"));
	if (!table.n_rows)
		puts("no list has it");
}

static int search(struct list_call *call)
{
	const struct invocation *invocation = call->invocation;
	bool one = invocation->n_words == 3;
	struct span item = span_text(invocation->words[one ? 2 : 1]);
	struct buffer keys = BUFFER_INIT(KEYS_MAX);
	const struct json *json, *items;
	enum image_kind kind = search_keys(call, item, &keys);
	enum list_type type;
	int status = CLI_OK;

	if (keys.len == 0)
		status = cli_usage(invocation, "that is no item");
	if (status == CLI_OK && one)
		status = list_type_of(call, invocation->words[1], &type);
	json = status == CLI_OK ? ask_search(call, one ? invocation->words[1] : "", kind,
					  buffer_span(&keys), &status)
				: NULL;
	buffer_free(&keys);
	if (!json)
		return status;
	items = json_get(json, "items");
	if (is_json(call))
		printf("%.*s\n", SPAN_ARGS(buffer_span(&call->answer)));
	else
		print_found(call, json);
	return items && items->first ? CLI_OK : CLI_NO;
}

/* --- add, protect --- */

/* Tells of a network of the list that covers the item already. */
static void tell_covering(struct list_call *call, const char *list, enum image_kind kind,
	const struct image_item *item)
{
	struct buffer keys = BUFFER_INIT(KEYS_MAX);
	const struct json *json = NULL, *items;
	char room[IP_TEXT_SIZE + 4];
	int status;

	if (kind == IMAGE_TEXT)
		return;
	add_networks(&keys, &item->network, false);
	if (keys.len)
		json = ask_search(call, list, kind, buffer_span(&keys), &status);
	items = json_get(json, "items");
	if (items && items->first)
		fprintf(stderr, "postern list: %.*s lies in %s, which is in the list already\n",
			SPAN_ARGS(list_item_show(kind, item, room)),
			json_text(items->first, "item"));
	buffer_free(&keys);
}

/* What lists hold of what is protected from now on stays there. */
static void tell_listed(struct list_call *call, struct span text)
{
	struct buffer keys = BUFFER_INIT(KEYS_MAX);
	enum image_kind kind = search_keys(call, text, &keys);
	const struct json *json, *items;
	int status;

	json = ask_search(call, "", kind, buffer_span(&keys), &status);
	items = json_get(json, "items");
	for (const struct json *i = items ? items->first : NULL; i; i = i->next)
		if (strcmp(json_text(i, "list"), LIST_PROTECTED) != 0)
			fprintf(stderr,
				"postern list: the list %s has %s still; `postern list del` takes "
				"it off\n",
				json_text(i, "list"), json_text(i, "item"));
	buffer_free(&keys);
}

/* What is given to add, in its order. */
struct addition {
	const char *list;
	enum list_type type;
	uint64_t expires_s;
	struct span reason, by;
	size_t added, changed, same, refused;
};

static int add_one(struct list_call *call, struct addition *a, const char *text)
{
	struct image_item item = {.expires_s = (uint32_t)a->expires_s, .reason = a->reason};
	struct buffer packed = BUFFER_INIT(8 * 1024);
	struct span parts[] = {span_text(a->list), span_text(list_type_name(a->type)), a->by,
		is_dry(call) ? SPAN("dry") : SPAN("some"), SPAN_NONE};
	const struct json *answer;
	enum image_kind kind;
	struct err err = {{0}};
	int status;

	switch (list_entry_read(
		a->type, span_text(text), host_ascii, call->arena, &kind, &item, &err)) {
	case LIST_REFUSED:
		fprintf(stderr, "postern list: %s\n",
			visible_line(call->arena, span_text(err.text)));
		a->refused++;
		return CLI_OK;
	case LIST_MENDED:
		fprintf(stderr, "postern list: %s\n", err.text);
		break;
	case LIST_ADDED:
		break;
	}
	ENSURE(list_pack(kind, &item, &packed));
	parts[4] = buffer_span(&packed);
	answer =
		list_ask_json(call, STORE_LIST_BATCH, parts, COUNT_OF(parts), call->arena, &status);
	buffer_free(&packed);
	if (!answer)
		return status;
	list_print_protected(call, answer);
	a->added += (size_t)json_number(answer, "added");
	a->changed += (size_t)json_number(answer, "changed");
	a->same += (size_t)json_number(answer, "same");
	a->refused +=
		(size_t)json_number(answer, "protected") + (size_t)json_number(answer, "full");
	if (json_number(answer, "added"))
		tell_covering(call, a->list, kind, &item);
	return CLI_OK;
}

static void print_counts(struct list_call *call, const struct addition *a)
{
	bool dry = is_dry(call);
	struct record r;
	struct span text;

	if (!is_json(call)) {
		printf("%s: %zu %sadded, %zu changed, %zu there already, %zu refused\n", a->list,
			a->added, dry ? "would be " : "", a->changed, a->same, a->refused);
		if (dry)
			printf(HISTORY_NOTE);
		return;
	}
	record_init(&r, true, 4096);
	record_string(&r, "list", a->list);
	record_bool(&r, "dry_run", dry);
	record_number(&r, "added", (int64_t)a->added);
	record_number(&r, "changed", (int64_t)a->changed);
	record_number(&r, "same", (int64_t)a->same);
	record_number(&r, "refused", (int64_t)a->refused);
	text = record_finish(&r);
	printf("%.*s\n", SPAN_ARGS(text));
	record_free(&r);
}

/* The words from there on are items. guess: each has its own type. */
static int add_words(struct list_call *call, struct addition *a, size_t from, bool guess)
{
	const struct invocation *invocation = call->invocation;
	int status = take_ttl(call, &a->expires_s);

	a->reason = take_reason(call);
	a->by = list_by(call);
	for (size_t i = from; status == CLI_OK && i < invocation->n_words; i++) {
		if (guess)
			a->type = list_type_guess(span_text(invocation->words[i]));
		status = add_one(call, a, invocation->words[i]);
		if (status == CLI_OK && guess && !is_dry(call))
			tell_listed(call, span_text(invocation->words[i]));
	}
	if (status != CLI_OK)
		return status;
	print_counts(call, a);
	if (a->refused == 0)
		return CLI_OK;
	return a->added + a->changed + a->same ? CLI_PART : CLI_NO;
}

static int add(struct list_call *call)
{
	struct addition a = {.list = call->invocation->words[1]};
	int status;

	if (strcmp(a.list, LIST_PROTECTED) == 0)
		return cli_usage(call->invocation, "what is protected is told by `list protect`");
	status = list_type_of(call, a.list, &a.type);
	return status == CLI_OK ? add_words(call, &a, 2, false) : status;
}

static int protect(struct list_call *call)
{
	struct addition a = {.list = LIST_PROTECTED};

	return add_words(call, &a, 1, true);
}

/* --- del --- */

static int del_one(struct list_call *call, const char *list, enum list_type type, const char *text,
	size_t *deleted)
{
	struct image_item item = {.expires_s = 0};
	char room[LIST_KEY_BYTES_MAX];
	struct span parts[3];
	const struct json *answer;
	enum image_kind kind;
	struct err err = {{0}};
	int status;

	if (list_entry_read(type, span_text(text), host_ascii, call->arena, &kind, &item, &err) ==
		LIST_REFUSED) {
		fprintf(stderr, "postern list: %s\n",
			visible_line(call->arena, span_text(err.text)));
		return CLI_OK;
	}
	parts[0] = span_text(list);
	parts[1] = span_text(list_kind_name(kind));
	parts[2] = list_key(kind, &item, room);
	if (is_dry(call)) {
		struct buffer keys = BUFFER_INIT(KEYS_MAX);
		const struct json *items;

		add_key(&keys, parts[2]);
		answer = ask_search(call, list, kind, buffer_span(&keys), &status);
		buffer_free(&keys);
		items = json_get(answer, "items");
		*deleted += items && items->first;
		return answer ? CLI_OK : status;
	}
	answer = list_ask_json(call, STORE_LIST_DEL, parts, COUNT_OF(parts), call->arena, &status);
	if (!answer)
		return status;
	*deleted += (size_t)json_number(answer, "deleted");
	if (!json_number(answer, "deleted"))
		tell_covering(call, list, kind, &item);
	return CLI_OK;
}

static int del(struct list_call *call)
{
	const struct invocation *invocation = call->invocation;
	const char *list = invocation->words[1];
	bool protects = strcmp(list, LIST_PROTECTED) == 0;
	size_t deleted = 0, asked = invocation->n_words - 2;
	enum list_type type;
	int status = protects ? CLI_OK : list_type_of(call, list, &type);

	for (size_t i = 2; status == CLI_OK && i < invocation->n_words; i++) {
		if (protects)
			type = list_type_guess(span_text(invocation->words[i]));
		status = del_one(call, list, type, invocation->words[i], &deleted);
	}
	if (status != CLI_OK)
		return status;
	if (is_json(call))
		printf("{\"list\":\"%s\",\"deleted\":%zu,\"not_there\":%zu}\n", list, deleted,
			asked - deleted);
	else
		printf("%s: %zu %staken off, %zu not there\n", list, deleted,
			is_dry(call) ? "would be " : "", asked - deleted);
	if (is_dry(call) && !is_json(call))
		printf(HISTORY_NOTE);
	return deleted == asked ? CLI_OK : deleted ? CLI_PART : CLI_NO;
}

/* --- import --- */

/* Through a pipe. */
static bool read_stream(int fd, struct buffer *out, struct err *err)
{
	for (;;) {
		char *at = buffer_reserve(out, 64 * 1024);
		ssize_t got = at ? read(fd, at, 64 * 1024) : -1;

		if (!at)
			return err_set(err, "the input is longer than %d MB", FILE_MAX);
		if (got < 0)
			return err_errno(err, "the input can't be read");
		if (got == 0)
			return true;
		buffer_added(out, (size_t)got);
	}
}

/* A file that can be mapped is not copied. */
static bool open_source(
	const char *path, struct buffer *copy, struct span *source, void **mapped, struct err *err)
{
	int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	bool ok = true;

	*mapped = MAP_FAILED;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "%s can't be read", path);
	if (S_ISREG(st.st_mode) && st.st_size > 0)
		*mapped = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (*mapped != MAP_FAILED) {
		*source = span_make(*mapped, (size_t)st.st_size);
	} else {
		ok = read_stream(fd, copy, err);
		*source = buffer_span(copy);
	}
	if (fd != STDIN_FILENO)
		close(fd);
	return ok;
}

static void print_load(const struct list_call *call, const struct list_load *load)
{
	const struct {
		const char *name, *text;
		size_t count;
		bool always;
	} rows[] = {{"items", "items read", load->items, true},
		{"added", load->dry ? "would be added" : "added", load->added, true},
		{"changed", load->dry ? "would be changed" : "changed", load->changed, false},
		{"same", "there already", load->same, false},
		{"bad", "bad lines", load->bad, false},
		{"mended", "with bits set behind their prefix, read as the network", load->mended,
			false},
		{"twice", "twice in the file: the last one holds", load->twice, false},
		{"covered", "within another network of the file", load->covered, false},
		{"protected", "protected, and not added", load->protected, false},
		{"full", "not added: the list is full", load->full, false}};
	struct record r;
	struct span text;

	if (!is_json(call)) {
		printf("%s:\n", load->list);
		for (size_t i = 0; i < COUNT_OF(rows); i++)
			if (rows[i].count || rows[i].always)
				printf("%10zu  %s\n", rows[i].count, rows[i].text);
		if (load->dry)
			printf(HISTORY_NOTE);
		return;
	}
	record_init(&r, true, 4096);
	record_string(&r, "list", load->list);
	record_bool(&r, "dry_run", load->dry);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		record_number(&r, rows[i].name, (int64_t)rows[i].count);
	text = record_finish(&r);
	printf("%.*s\n", SPAN_ARGS(text));
	record_free(&r);
}

static int import(struct list_call *call)
{
	struct buffer copy = BUFFER_INIT((size_t)FILE_MAX << 20);
	struct list_load load = {.list = call->invocation->words[1],
		.dry = is_dry(call),
		.by = list_by(call),
		.reason = take_reason(call)};
	void *mapped = MAP_FAILED;
	struct err err = {{0}};
	int status =
		strcmp(load.list, LIST_PROTECTED) == 0
			? cli_usage(call->invocation, "what is protected is told by `list protect`")
			: list_type_of(call, load.list, &load.type);

	if (status == CLI_OK)
		status = take_ttl(call, &load.expires_s);
	if (status == CLI_OK &&
		!open_source(call->invocation->words[2], &copy, &load.source, &mapped, &err)) {
		fprintf(stderr, "postern list: %s\n", err.text);
		status = CLI_NO;
	} else if (status == CLI_OK) {
		status = list_load(call, &load);
		if (status != CLI_UNREACHABLE)
			print_load(call, &load);
	}
	if (mapped != MAP_FAILED)
		munmap(mapped, load.source.len);
	buffer_free(&copy);
	return status;
}

/* --- the table --- */

static const struct list_verb {
	const char *name;
	size_t words_min, words_max; /* with the verb itself */
	const char *wants;
	const char *options; /* that it takes */
	int (*run)(struct list_call *call);
} verbs[] = {
	{"ls", 1, 1, "", "--json", ls},
	{"show", 2, 2, "a list", "--json", show},
	{"add", 3, CLI_WORDS_MAX, "a list and an item",
		"--ttl --reason --by --type --dry-run --json", add},
	{"del", 3, CLI_WORDS_MAX, "a list and an item", "--type --dry-run --json", del},
	{"search", 2, 3, "an item", "--json", search},
	{"import", 3, 3, "a list and a file (- is standard input)",
		"--ttl --reason --by --type --dry-run --json", import},
	{"export", 2, 2, "a list", "--json", export},
	{"protect", 2, CLI_WORDS_MAX, "an item", "--ttl --reason --by --dry-run --json", protect},
};

static const struct list_verb *verb_of(const struct invocation *invocation)
{
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (strcmp(verbs[i].name, invocation->words[0]) == 0)
			return &verbs[i];
	return NULL;
}

static bool takes(const struct list_verb *verb, const char *option)
{
	struct span rest = span_text(verb->options), word;

	while ((word = span_word(&rest)).len)
		if (span_equal(word, span_text(option)))
			return true;
	return false;
}

/* CLI_OK, or says what does not belong together. */
static int judge(const struct invocation *invocation, const struct list_verb *verb)
{
	const struct option *options = invocation->command->options;

	if (!verb)
		return cli_usage(invocation,
			"it is ls, show, add, del, search, import, export or protect, not `%s`",
			invocation->words[0]);
	if (invocation->n_words < verb->words_min)
		return cli_usage(invocation, "%s wants %s", verb->name, verb->wants);
	if (invocation->n_words > verb->words_max)
		return cli_usage(invocation, "`%s` is one argument too many",
			invocation->words[verb->words_max]);
	for (size_t i = 0; i < OPTIONS_MAX && options[i].name; i++)
		if (invocation->values[i] && !takes(verb, options[i].name))
			return cli_usage(
				invocation, "%s does not take %s", verb->name, options[i].name);
	return CLI_OK;
}

int cli_list(const struct invocation *invocation)
{
	const struct list_verb *verb = verb_of(invocation);
	int status = judge(invocation, verb);
	struct list_call call;

	if (status != CLI_OK)
		return status;
	status = list_call_open(&call, invocation);
	if (status == CLI_OK)
		status = verb->run(&call);
	list_call_close(&call);
	return status;
}

#include "admin/list_import.h"

#include <stdlib.h>

#include "admin/json.h"
#include "policy/lex.h"
#include "policy/list_item.h"

enum { COLUMNS_MAX = 64, FIELD_MAX = 2048, JSON_LINE_MAX = 64 * 1024 };

#define BOM "\xef\xbb\xbf"

enum column { COLUMN_OTHER, COLUMN_ITEM, COLUMN_REASON, COLUMN_EXPIRES };

struct reading {
	const struct list_import *import;
	size_t line;
	bool begun;      /* a header comes first or not at all */
	bool has_header; /* of CSV */
	enum column columns[COLUMNS_MAX];
	size_t n_columns;
};

/* What columns and members are called by those who publish such files; earlier ones win. */
static const char *const item_names[] = {"item", "cidr", "network", "ip", "address", "ip_address",
	"domain", "host", "hostname", "email", "mail", "hash", "value", "indicator", "entry", NULL};
static const char *const reason_names[] = {
	"reason", "sblid", "comment", "description", "note", "why", "source", NULL};
static const char *const expires_names[] = {"expires", NULL};

static bool is_one_of(struct span name, const char *const *names)
{
	for (; *names; names++)
		if (span_equal_nocase(name, span_text(*names)))
			return true;
	return false;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_text(struct span text)
{
	while (text.len) {
		uint32_t code;

		text = span_from(text, lex_char(text, &code));
		if (code == LEX_BAD_CHAR || code == 0x7f || (code < 0x20 && code != '\t'))
			return false;
	}
	return true;
}

static void mistake(const struct reading *r, const char *text)
{
	r->import->mistake(r->import->context, r->line, text);
}

static void take(const struct reading *r, struct span item, struct span reason, uint64_t expires_s)
{
	item = span_trim(item);
	reason = span_trim(reason);
	if (item.len == 0)
		mistake(r, "an item is missing");
	else if (!is_text(reason))
		mistake(r, "a reason holds a control character, or bytes that are no UTF-8");
	else
		r->import->take(r->import->context, r->line, item, reason, expires_s);
}

/* --- CSV --- */

/* One field off the front: plain, or in quotes with "" for a quote. In room, or borrowed. false: a
 * quote is not closed, or it is too long. */
static bool take_field(struct span *line, char room[FIELD_MAX], struct span *out)
{
	size_t at = 1, n = 0;

	*line = span_trim(*line);
	if (line->len == 0 || line->at[0] != '"') {
		*out = span_trim(span_first(*line, span_find_char(*line, ',')));
		*line = span_from(*line, span_find_char(*line, ',') + 1);
		return true;
	}
	for (;; at++) {
		if (at >= line->len || n == FIELD_MAX)
			return false;
		if (line->at[at] == '"' && (at + 1 == line->len || line->at[at + 1] != '"'))
			break;
		if (line->at[at] == '"')
			at++;
		room[n++] = line->at[at];
	}
	*out = span_make(room, n);
	*line = span_from(*line, at + 1);
	*line = span_from(*line, span_find_char(*line, ',') + 1);
	return true;
}

/* A header names a column of items and is no item itself. */
static bool take_header(struct reading *r, struct span line)
{
	enum column columns[COLUMNS_MAX];
	char room[FIELD_MAX];
	struct span name;
	bool has_item = false;
	size_t n = 0;

	while (line.len && n < COLUMNS_MAX) {
		if (!take_field(&line, room, &name))
			return false;
		columns[n] = COLUMN_OTHER;
		if (is_one_of(name, item_names) && !has_item)
			columns[n] = COLUMN_ITEM;
		else if (is_one_of(name, reason_names))
			columns[n] = COLUMN_REASON;
		else if (is_one_of(name, expires_names))
			columns[n] = COLUMN_EXPIRES;
		has_item = has_item || columns[n] == COLUMN_ITEM;
		n++;
	}
	if (!has_item || n < 2)
		return false;
	memcpy(r->columns, columns, n * sizeof(*columns));
	r->n_columns = n;
	r->has_header = true;
	return true;
}

static void read_csv(const struct reading *r, struct span line)
{
	char rooms[3][FIELD_MAX], other[FIELD_MAX];
	struct span item = SPAN_NONE, reason = SPAN_NONE, expires = SPAN_NONE, field;
	uint64_t expires_s = 0;

	for (size_t i = 0; line.len; i++) {
		enum column column = !r->has_header     ? (i == 0          ? COLUMN_ITEM
								  : i == 1 ? COLUMN_REASON
									   : COLUMN_OTHER)
				     : i < r->n_columns ? r->columns[i]
							: COLUMN_OTHER;
		char *room = column == COLUMN_OTHER ? other : rooms[column - 1];

		if (!take_field(&line, room, &field)) {
			mistake(r, "a quote is not closed, or a field is too long");
			return;
		}
		if (column == COLUMN_ITEM)
			item = field;
		else if (column == COLUMN_REASON && reason.len == 0)
			reason = field;
		else if (column == COLUMN_EXPIRES)
			expires = field;
	}
	if (expires.len && !span_number(expires, UINT32_MAX, &expires_s)) {
		mistake(r, "expires is no number of seconds since 1970");
		return;
	}
	take(r, item, reason, expires_s);
}

bool list_export_field(struct span text, struct buffer *out)
{
	bool plain = !span_starts(text, SPAN("//")), ok; /* else it were a comment */

	for (size_t i = 0; i < text.len; i++)
		plain = plain && !memchr(",\"\r\n;#", text.at[i], 6);
	plain = plain &&
		(text.len == 0 || (!is_blank(text.at[0]) && !is_blank(text.at[text.len - 1])));
	if (plain)
		return buffer_add(out, text);
	ok = buffer_add_char(out, '"');
	for (size_t i = 0; ok && i < text.len; i++)
		ok = (text.at[i] != '"' || buffer_add_char(out, '"')) &&
		     buffer_add_char(out, text.at[i]);
	return ok && buffer_add_char(out, '"');
}

/* --- hosts files --- */

static bool is_nowhere(struct span word)
{
	return span_equal(word, SPAN("0.0.0.0")) || span_equal(word, SPAN("127.0.0.1")) ||
	       span_equal(word, SPAN("::")) || span_equal(word, SPAN("::1"));
}

/* Names that each hosts file has, and nobody means. */
static bool is_local_name(struct span word)
{
	return span_starts_nocase(word, SPAN("localhost")) ||
	       span_starts_nocase(word, SPAN("ip6-")) ||
	       span_equal_nocase(word, SPAN("broadcasthost")) ||
	       span_equal_nocase(word, SPAN("local")) || is_nowhere(word);
}

/* false: it is no line of a hosts file. */
static bool read_hosts(const struct reading *r, struct span line)
{
	struct span rest = line, reason = SPAN_NONE, word;
	size_t mark = span_find_char(line, '#');

	if (r->import->type != LIST_DOMAIN)
		return false;
	if (!is_nowhere(span_word(&rest)))
		return false;
	if (mark < line.len) {
		reason = span_from(line, mark + 1);
		rest = span_first(rest, (size_t)(line.at + mark - rest.at));
	}
	while ((word = span_word(&rest)).len)
		if (!is_local_name(word))
			take(r, word, reason, 0);
	return true;
}

/* --- plain lines --- */

static struct span without_mark(struct span rest)
{
	rest = span_trim(rest);
	if (rest.len && (rest.at[0] == ';' || rest.at[0] == '#'))
		rest = span_from(rest, 1);
	return rest;
}

static void read_plain(const struct reading *r, struct span line)
{
	size_t len = list_item_length(r->import->type, line);

	take(r, span_first(line, len), without_mark(span_from(line, len)), 0);
}

/* A comma within what would be the item: that holds none, unless it is a text. */
static bool is_csv(const struct reading *r, struct span line)
{
	if (r->has_header)
		return true;
	if (line.at[0] == '"')
		return r->import->type != LIST_MAIL || !memchr(line.at, '@', line.len) ||
		       span_find(line, SPAN("\",")) < line.len;
	return r->import->type != LIST_TEXT &&
	       span_find_char(span_first(line, list_item_length(r->import->type, line)), ',') <
		       line.len &&
	       span_find_char(line, ',') < list_item_length(r->import->type, line);
}

static bool is_comment(struct span line)
{
	return line.len == 0 || line.at[0] == '#' || line.at[0] == ';' ||
	       span_starts(line, SPAN("//"));
}

/* --- JSON --- */

static const struct json *member_of(const struct json *object, const char *const *names)
{
	for (; *names; names++) {
		const struct json *member = json_get(object, *names);

		if (member && (member->kind == JSON_STRING || member->kind == JSON_NUMBER))
			return member;
	}
	return NULL;
}

/* Spamhaus ends its files with an object that tells of the file. */
static bool is_metadata(const struct json *object)
{
	const struct json *type = json_get(object, "type");

	return type && strcmp(type->text, "metadata") == 0;
}

static void read_object(const struct reading *r, const struct json *json)
{
	const struct json *item = member_of(json, item_names), *reason, *expires;
	uint64_t expires_s = 0;

	if (json->kind == JSON_STRING) {
		take(r, span_text(json->text), SPAN_NONE, 0);
		return;
	}
	if (json->kind != JSON_OBJECT || !item) {
		if (json->kind != JSON_OBJECT || !is_metadata(json))
			mistake(r, "this has no item: a text, or an object with `item`, `cidr`, "
				   "`ip`, `domain` or the like");
		return;
	}
	reason = member_of(json, reason_names);
	expires = member_of(json, expires_names);
	if (expires && !span_number(span_text(expires->text), UINT32_MAX, &expires_s)) {
		mistake(r, "expires is no number of seconds since 1970");
		return;
	}
	take(r, span_text(item->text), reason ? span_text(reason->text) : SPAN_NONE, expires_s);
}

static void read_json_line(const struct reading *r, struct span line)
{
	struct arena *arena = arena_new(4096);
	const struct json *json = line.len <= JSON_LINE_MAX ? json_read(arena, line) : NULL;

	if (json)
		read_object(r, json);
	else
		mistake(r, "this is no JSON");
	arena_free(&arena);
}

/* The items stand for lines. An object may hold the array, under whatever name. */
static bool read_json(struct reading *r, struct span source, struct err *err)
{
	struct arena *arena = arena_new(64 * 1024);
	const struct json *json = json_read(arena, source);

	if (json && json->kind == JSON_OBJECT)
		for (json = json->first; json && json->kind != JSON_LIST;)
			json = json->next;
	if (!json || json->kind != JSON_LIST) {
		arena_free(&arena);
		return err_set(err, "this is no JSON array of items");
	}
	r->begun = true;
	for (const struct json *item = json->first; item; item = item->next) {
		r->line++;
		read_object(r, item);
	}
	arena_free(&arena);
	return true;
}

/* --- all of it --- */

static void read_line(struct reading *r, struct span line, bool is_json)
{
	bool first = !r->begun;

	line = span_trim(line);
	if (is_comment(line))
		return;
	r->begun = true;
	if (is_json)
		read_json_line(r, line);
	else if (first && take_header(r, line))
		return;
	else if (is_csv(r, line))
		read_csv(r, line);
	else if (!read_hosts(r, line))
		read_plain(r, line);
}

static struct span next_line(struct span *rest)
{
	size_t end = span_find_char(*rest, '\n');
	struct span line = span_first(*rest, end);

	*rest = span_from(*rest, end + 1);
	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* The first that is neither empty nor a comment. */
static struct span first_line(struct span source)
{
	struct span line = SPAN_NONE;

	while (source.len && is_comment(line))
		line = span_trim(next_line(&source));
	return line;
}

bool list_import_read(const struct list_import *import, struct span source, struct err *err)
{
	struct reading r = {.import = import};
	struct span first;
	bool is_json;

	if (span_starts(source, SPAN("\xff\xfe")) || span_starts(source, SPAN("\xfe\xff")))
		return err_set(err, "the file is UTF-16: write it anew as UTF-8");
	if (span_starts(source, SPAN(BOM)))
		source = span_from(source, sizeof(BOM) - 1);
	first = first_line(source);
	if (first.len &&
		(first.at[0] == '[' || (first.at[0] == '{' && first.at[first.len - 1] != '}')) &&
		(read_json(&r, source, err) || import->type != LIST_TEXT))
		return r.begun;
	is_json = first.len && first.at[0] == '{';
	while (source.len) {
		r.line++;
		read_line(&r, next_line(&source), is_json);
	}
	return true;
}

#include "admin/json.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 32 };

struct reader {
	struct arena *arena;
	struct span rest;
	unsigned depth;
};

static struct json *read_value(struct reader *r);

static void skip_blanks(struct reader *r)
{
	while (r->rest.len && strchr(" \t\r\n", r->rest.at[0]) && r->rest.at[0])
		r->rest = span_from(r->rest, 1);
}

/* Takes this character, blanks before it. */
static bool take(struct reader *r, char c)
{
	skip_blanks(r);
	if (r->rest.len == 0 || r->rest.at[0] != c)
		return false;
	r->rest = span_from(r->rest, 1);
	return true;
}

/* --- strings --- */

static size_t put_utf8(char *out, unsigned code)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | code >> 12);
	out[1] = (char)(0x80 | (code >> 6 & 0x3f));
	out[2] = (char)(0x80 | (code & 0x3f));
	return 3;
}

/* \uXXXX behind the u. Controls and surrogates, which our own log escapes alone, become '?'. */
static bool take_hex(struct reader *r, unsigned *code)
{
	char digits[5] = {0}, *end;

	if (r->rest.len < 4)
		return false;
	memcpy(digits, r->rest.at, 4);
	r->rest = span_from(r->rest, 4);
	*code = (unsigned)strtoul(digits, &end, 16);
	if (*code < 0x20 || (*code >= 0x7f && *code < 0xa0) || (*code >= 0xd800 && *code < 0xe000))
		*code = '?';
	return end == digits + 4;
}

/* An escape behind its backslash: 1 to 3 bytes, 0 when it is none. */
static size_t take_escape(struct reader *r, char *out)
{
	static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/     ";
	const char *at;
	unsigned code;
	char c;

	if (r->rest.len == 0)
		return 0;
	c = r->rest.at[0];
	r->rest = span_from(r->rest, 1);
	if (c == 'u')
		return take_hex(r, &code) ? put_utf8(out, code) : 0;
	at = c ? strchr(letters, c) : NULL;
	if (!at)
		return 0;
	out[0] = meanings[at - letters];
	return 1;
}

/* The rest of a string behind its opening quote; NULL: it has no end. Decoded it is never longer.
 */
static const char *take_string(struct reader *r)
{
	struct span quoted = r->rest;
	size_t len = 0, end = 0;
	char *out;

	while (end < quoted.len && quoted.at[end] != '"')
		end += quoted.at[end] == '\\' ? 2 : 1;
	if (end >= quoted.len)
		return NULL;
	out = arena_alloc(r->arena, end + 1);
	while (r->rest.at[0] != '"') {
		char c = r->rest.at[0];

		r->rest = span_from(r->rest, 1);
		if (c == '\\') {
			size_t size = take_escape(r, out + len);

			if (size == 0)
				return NULL;
			len += size;
		} else {
			out[len++] = (unsigned char)c < 0x20 || c == 0x7f ? '?' : c;
		}
	}
	r->rest = span_from(r->rest, 1);
	return out;
}

/* --- values --- */

static struct json *new_value(struct reader *r, enum json_kind kind, const char *text)
{
	struct json *value = arena_alloc(r->arena, sizeof(*value));

	value->kind = kind;
	value->text = text;
	return value;
}

/* A list or an object behind its opening bracket. */
static struct json *read_members(struct reader *r, enum json_kind kind)
{
	const char close = kind == JSON_LIST ? ']' : '}';
	struct json *all = new_value(r, kind, ""), **last = &all->first;

	if (take(r, close))
		return all;
	do {
		const char *key = NULL;

		if (kind == JSON_OBJECT &&
			(!take(r, '"') || !(key = take_string(r)) || !take(r, ':')))
			return NULL;
		*last = read_value(r);
		if (!*last)
			return NULL;
		(*last)->key = key;
		last = &(*last)->next;
	} while (take(r, ','));
	return take(r, close) ? all : NULL;
}

static struct json *read_word(struct reader *r)
{
	static const struct {
		const char *word;
		enum json_kind kind;
	} words[] = {{"null", JSON_NULL}, {"false", JSON_FALSE}, {"true", JSON_TRUE}};
	size_t len = 0;

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (!span_starts(r->rest, span_text(words[i].word)))
			continue;
		r->rest = span_from(r->rest, strlen(words[i].word));
		return new_value(r, words[i].kind, "");
	}
	while (len < r->rest.len && r->rest.at[len] && strchr("+-.0123456789eE", r->rest.at[len]))
		len++;
	if (len == 0)
		return NULL;
	r->rest = span_from(r->rest, len);
	return new_value(r, JSON_NUMBER, arena_string(r->arena, span_make(r->rest.at - len, len)));
}

static struct json *read_value(struct reader *r)
{
	struct json *value = NULL;
	const char *text;

	if (r->depth >= DEPTH_MAX)
		return NULL;
	r->depth++;
	if (take(r, '{'))
		value = read_members(r, JSON_OBJECT);
	else if (take(r, '['))
		value = read_members(r, JSON_LIST);
	else if (take(r, '"'))
		value = (text = take_string(r)) ? new_value(r, JSON_STRING, text) : NULL;
	else
		value = read_word(r);
	r->depth--;
	return value;
}

struct json *json_read(struct arena *arena, struct span text)
{
	struct reader r = {arena, text, 0};
	struct json *value = read_value(&r);

	skip_blanks(&r);
	return r.rest.len == 0 ? value : NULL;
}

/* --- access --- */

const struct json *json_get(const struct json *object, const char *key)
{
	if (!object || object->kind != JSON_OBJECT)
		return NULL;
	for (const struct json *member = object->first; member; member = member->next)
		if (strcmp(member->key, key) == 0)
			return member;
	return NULL;
}

const char *json_text(const struct json *object, const char *key)
{
	const struct json *member = json_get(object, key);

	if (!member)
		return "-";
	switch (member->kind) {
	case JSON_NUMBER:
	case JSON_STRING:
		return member->text[0] ? member->text : "-";
	case JSON_TRUE:
		return "yes";
	case JSON_FALSE:
		return "no";
	case JSON_NULL:
	case JSON_LIST:
	case JSON_OBJECT:
		break;
	}
	return "-";
}

long long json_number(const struct json *object, const char *key)
{
	const struct json *member = json_get(object, key);

	return member && member->kind == JSON_NUMBER ? strtoll(member->text, NULL, 10) : 0;
}

/* The plain kinds of value: texts, names, numbers with units, and choices between words. */
#include <sched.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/mail/address.h"
#include "lib/store/redis_url.h"
#include "proxy/config/read.h"

enum {
	TEXT_MAX = 1024,
	NAME_MAX_BYTES = 64,
	AUTHSERV_ID_MAX = 255,
	STORE_SHOWN_MAX = 16 * 1024,
	CPUS_MAX = 4096,
	WORKERS_MAX = 64
};

void field_set(void *base, struct field field, uint64_t value)
{
	uint32_t narrow = (uint32_t)value;
	uint8_t byte = (uint8_t)value;
	char *at = (char *)base + field.offset;

	ENSURE(field.width == 1 || field.width == 4 || field.width == 8);
	if (field.width == 8)
		memcpy(at, &value, 8);
	else if (field.width == 4)
		memcpy(at, &narrow, 4);
	else
		memcpy(at, &byte, 1);
}

uint64_t field_get(const void *base, struct field field)
{
	const char *at = (const char *)base + field.offset;
	uint64_t value = 0;
	uint32_t narrow;
	uint8_t byte;

	ENSURE(field.width == 1 || field.width == 4 || field.width == 8);
	if (field.width == 8) {
		memcpy(&value, at, 8);
	} else if (field.width == 4) {
		memcpy(&narrow, at, 4);
		value = narrow;
	} else {
		memcpy(&byte, at, 1);
		value = byte;
	}
	return value;
}

void field_set_string(void *base, struct field field, const char *value)
{
	ENSURE(field.width == sizeof(value));
	memcpy((char *)base + field.offset, &value, sizeof(value));
}

const char *field_string(const void *base, struct field field)
{
	const char *value;

	ENSURE(field.width == sizeof(value));
	memcpy(&value, (const char *)base + field.offset, sizeof(value));
	return value;
}

/* --- texts --- */

/* A printable text of at most the option's length. */
static const char *take_text(struct reader *r, const struct option *o)
{
	size_t max = o->max ? o->max : TEXT_MAX;
	const char *value;
	struct token t;

	if (!reader_take_value(r, o, &t))
		return NULL;
	value = token_value(&t, r->config->arena);
	if (strlen(value) > max)
		reader_mistake(r, &t, NULL, "this is too long: `%s` takes %zu bytes", o->name, max);
	else if (*value == '\0')
		reader_mistake_type(r, o, &t);
	else if (!text_printable(span_text(value)))
		reader_mistake(r, &t, NULL, "`%s` takes no control characters", o->name);
	else
		return value;
	return NULL;
}

static bool read_text(struct reader *r, const struct option *o, void *base)
{
	const char *value = take_text(r, o);

	if (value)
		field_set_string(base, o->at, value);
	return value != NULL;
}

static bool show_text(const struct option *o, const void *base, size_t index, struct text *t)
{
	const char *value = field_string(base, o->at);

	if (index > 0 || !value)
		return false;
	text_quoted(t, value);
	return true;
}

const struct kind kind_text = {
	.syntax = "TEXT",
	.expects = "a text",
	.example = "\"text\"",
	.read = read_text,
	.show = show_text,
};

static bool read_label(struct reader *r, const struct option *o, void *base)
{
	const char *value = take_text(r, o);

	if (!value)
		return false;
	if (strlen(value) > NAME_MAX_BYTES)
		return reader_mistake(
			r, &r->value, NULL, "a name has at most %d bytes", NAME_MAX_BYTES);
	field_set_string(base, o->at, value);
	return true;
}

const struct kind kind_label = {
	.syntax = "NAME",
	.expects = "a name",
	.example = "\"main\"",
	.read = read_label,
	.show = show_text,
};

static bool read_path(struct reader *r, const struct option *o, void *base)
{
	const char *folder = r->config->folder, *value = take_text(r, o);

	if (!value)
		return false;
	if (value[0] != '/' && *folder)
		value = arena_print(
			r->config->arena, "%s/%s", strcmp(folder, "/") ? folder : "", value);
	if (o->max && strlen(value) > o->max)
		return reader_mistake(r, &r->value, NULL,
			"this path is too long: with its folder it has %zu bytes of at most %zu",
			strlen(value), (size_t)o->max);
	field_set_string(base, o->at, value);
	return true;
}

const struct kind kind_path = {
	.syntax = "PATH",
	.expects = "a path",
	.example = "\"/path/to/file\"",
	.read = read_path,
	.show = show_text,
};

static bool read_domain(struct reader *r, const struct option *o, void *base)
{
	const char *value = take_text(r, o);

	if (!value)
		return false;
	if (!domain_valid(span_text(value), false))
		return reader_mistake(r, &r->value,
			"letters, digits and hyphens, in parts with dots between; other scripts "
			"as xn--",
			"`%s` is not a host name", value);
	field_set_string(base, o->at, value);
	return true;
}

const struct kind kind_domain = {
	.syntax = "NAME",
	.expects = "a host name",
	.example = "\"mx.example.net\"",
	.read = read_domain,
	.show = show_text,
};

/* RFC 8601 2.2: a value (RFC 2045 5.1), here a token without quotes, so that it is found again in
 * any header; and one with something between its dots, since some readers ask for that. */
static bool is_authserv_id(const char *value)
{
	size_t len = strlen(value);

	for (const char *c = value; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("()<>@,;:\\\"/[]?=", *c) ||
			(*c == '.' && (c == value || c[1] == '.' || c[1] == '\0')))
			return false;
	return len > 0 && len <= AUTHSERV_ID_MAX;
}

static bool read_authserv_id(struct reader *r, const struct option *o, void *base)
{
	const char *value = take_text(r, o);

	if (!value)
		return false;
	if (!is_authserv_id(value))
		return reader_mistake(r, &r->value,
			"a name without blanks and marks, such as \"example.net\"; other scripts "
			"as xn--",
			"`%s` can't stand in a header as authserv-id", value);
	field_set_string(base, o->at, value);
	return true;
}

const struct kind kind_authserv_id = {
	.syntax = "NAME",
	.expects = "a name",
	.example = "\"example.net\"",
	.read = read_authserv_id,
	.show = show_text,
};

/* For a message. */
static const char *masked(struct reader *r, const char *value)
{
	struct buffer out = BUFFER_INIT(STORE_SHOWN_MAX);
	bool ok = redis_url_mask(span_text(value), &out);
	const char *text = arena_string(r->scratch, ok ? buffer_span(&out) : SPAN("that"));

	buffer_free(&out);
	return text;
}

/* The rest of a value from there on. One that was written with escapes is left whole. */
static struct token part_of(const struct token *whole, const char *value, size_t offset)
{
	struct token part = *whole;
	size_t quote = whole->kind == TOKEN_STRING;

	if (whole->text.len != strlen(value) + 2 * quote)
		return part;
	part.text = span_from(whole->text, offset + quote);
	part.text.len -= part.text.len > quote ? quote : 0;
	for (const char *c = whole->text.at; c < part.text.at; c++)
		part.column += (*c & 0xc0) != 0x80;
	return part;
}

static bool read_store(struct reader *r, const struct option *o, void *base)
{
	static const char help[] = "embedded, redis://host:6379/0, redis+unix:///path, "
				   "redis+sentinel://h1,h2/name/0 or redis+cluster://h1,h2";
	const char *value = take_text(r, o);
	struct redis_url *url;
	struct err err = {{0}};
	size_t offset;
	struct token at;

	if (!value)
		return false;
	url = arena_alloc(r->scratch, sizeof(*url));
	if (strcmp(value, "embedded") != 0 &&
		!redis_url_read(span_text(value), url, &offset, &err)) {
		if (offset == 0)
			return reader_mistake(r, &r->value, help,
				"`%s` is no store that postern knows", masked(r, value));
		at = part_of(&r->value, value, offset);
		return reader_mistake(r, &at, help, "%s", err.text);
	}
	field_set_string(base, o->at, value);
	return true;
}

static bool show_store(const struct option *o, const void *base, size_t index, struct text *t)
{
	struct buffer out = BUFFER_INIT(STORE_SHOWN_MAX);
	const char *value = field_string(base, o->at);

	if (index > 0 || !value)
		return false;
	if (redis_url_mask(span_text(value), &out))
		text_quoted(t, buffer_string(&out));
	else
		t->full = true;
	buffer_free(&out);
	return true;
}

const struct kind kind_store = {
	.syntax = "embedded | URL",
	.expects = "embedded or an address of Redis",
	.example = "\"redis://127.0.0.1:6379/0\"",
	.read = read_store,
	.show = show_store,
};

/* --- numbers --- */

static bool in_range(
	struct reader *r, const struct option *o, const struct token *at, uint64_t value)
{
	struct buffer range = BUFFER_INIT(256);
	struct text t = {&range, false};

	if (value >= o->min && value <= o->max)
		return true;
	text_range(&t, o);
	reader_mistake(r, at, NULL, "`%.*s` is out of range: `%s` takes %s", SPAN_ARGS(at->text),
		o->name, buffer_string(&range));
	buffer_free(&range);
	return false;
}

static bool read_number(struct reader *r, const struct option *o, void *base)
{
	struct token t;

	if (!reader_take_value(r, o, &t))
		return false;
	if (t.kind != TOKEN_NUMBER || span_find_char(t.text, '.') < t.text.len)
		return reader_mistake_type(r, o, &t);
	if (!in_range(r, o, &t, t.whole ? (uint64_t)t.number : UINT64_MAX))
		return false;
	field_set(base, o->at, (uint64_t)t.number);
	return true;
}

static bool show_number(const struct option *o, const void *base, size_t index, struct text *t)
{
	if (index == 0)
		o->kind->limit(t, field_get(base, o->at));
	return index == 0;
}

const struct kind kind_number = {
	.syntax = "NUMBER",
	.expects = "a number",
	.example = "100",
	.read = read_number,
	.show = show_number,
	.limit = text_number,
};

/* The CPUs that this process may run on, which in a container are fewer than the machine has. */
static unsigned cpus_usable(void)
{
	cpu_set_t *set = CPU_ALLOC(CPUS_MAX);
	size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
	int count = 1;

	if (set && sched_getaffinity(0, size, set) == 0)
		count = CPU_COUNT_S(size, set);
	CPU_FREE(set);
	return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : (unsigned)count;
}

static bool read_workers(struct reader *r, const struct option *o, void *base)
{
	bool automatic = token_is(&r->token, "auto");
	struct token t;

	if (!automatic) {
		if (!read_number(r, o, base))
			return false;
	} else if (!reader_take_value(r, o, &t)) {
		return false;
	} else {
		unsigned cpus = cpus_usable();

		field_set(base, o->at, cpus < o->max ? cpus : o->max);
	}
	field_set(base, o->also, automatic);
	return true;
}

static bool show_workers(const struct option *o, const void *base, size_t index, struct text *t)
{
	if (index > 0)
		return false;
	if (field_get(base, o->also))
		text_put(t, "auto");
	else
		text_number(t, field_get(base, o->at));
	return true;
}

const struct kind kind_workers = {
	.syntax = "auto | NUMBER",
	.expects = "auto or a number",
	.example = "4",
	.read = read_workers,
	.show = show_workers,
	.limit = text_number,
};

/* Plain numbers are bytes. */
static bool read_size(struct reader *r, const struct option *o, void *base)
{
	uint64_t bytes;
	struct token t;

	if (!reader_take_value(r, o, &t))
		return false;
	if (t.kind == TOKEN_SIZE)
		bytes = t.size_bytes;
	else if (t.kind == TOKEN_NUMBER && t.whole)
		bytes = (uint64_t)t.number;
	else
		return reader_mistake_type(r, o, &t);
	if (!in_range(r, o, &t, bytes))
		return false;
	field_set(base, o->at, bytes);
	return true;
}

const struct kind kind_size = {
	.syntax = "SIZE",
	.expects = "a size",
	.example = "50MB",
	.read = read_size,
	.show = show_number,
	.limit = text_size,
};

static bool read_duration(struct reader *r, const struct option *o, void *base)
{
	struct token t;

	if (!reader_take_value(r, o, &t))
		return false;
	if (t.kind != TOKEN_DURATION)
		return reader_mistake_type(r, o, &t);
	if (!in_range(r, o, &t, t.duration_ms))
		return false;
	field_set(base, o->at, t.duration_ms);
	return true;
}

const struct kind kind_duration = {
	.syntax = "DURATION",
	.expects = "a duration",
	.example = "5m",
	.read = read_duration,
	.show = show_number,
	.limit = text_duration,
};

/* --- choices --- */

static bool read_choice(struct reader *r, const struct option *o, void *base)
{
	struct token t;

	if (!reader_take_value(r, o, &t))
		return false;
	for (const struct choice *c = o->choices; c->word; c++) {
		if (strcmp(token_value(&t, r->scratch), c->word) == 0) {
			field_set(base, o->at, c->value);
			return true;
		}
	}
	return reader_mistake_type(r, o, &t);
}

static bool show_choice(const struct option *o, const void *base, size_t index, struct text *t)
{
	uint64_t value = field_get(base, o->at);

	if (index > 0)
		return false;
	for (const struct choice *c = o->choices; c->word; c++)
		if (c->value == value)
			text_put(t, "%s", c->word);
	return true;
}

const struct kind kind_choice = {
	.expects = "one of",
	.read = read_choice,
	.show = show_choice,
};

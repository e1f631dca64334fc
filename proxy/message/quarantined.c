/*
 * One table declares the fields; writer and reader walk it. From and To go through the parsers of
 * the SMTP commands, so a file that was tampered with can put nothing into an envelope that a
 * client could not.
 */
#include "proxy/message/quarantined.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/fail.h"

enum { VERSION = 1, LINE_MAX_BYTES = 16 * 1024, READ_FIRST = 64 * 1024 };

static const struct span field_prefix = {"X-Postern-Quarantine-", 21};

bool quarantine_id_valid(struct span id)
{
	if (id.len == 0 || id.len >= QUARANTINE_ID_SIZE || id.at[0] == '.' || id.at[0] == '-')
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (!ascii_is_alpha(id.at[i]) && !ascii_is_digit(id.at[i]) && id.at[i] != '.' &&
			id.at[i] != '-' && id.at[i] != '_')
			return false;
	return true;
}

/* --- values --- */

static bool encode(struct span text, struct buffer *out)
{
	bool ok = true;

	for (size_t i = 0; i < text.len && ok; i++) {
		char c = text.at[i];
		bool plain = c > ' ' && c <= '~' && c != '%';

		if (c == ' ')
			plain = i > 0 && i + 1 < text.len;
		ok = plain ? buffer_add_char(out, c)
			   : buffer_print(out, "%%%02X", (unsigned char)c);
	}
	return ok;
}

static int hex_digit(char c)
{
	c = ascii_lower(c);
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* SPAN_NONE: that is no encoding of ours. */
static struct span decode(struct span text, struct arena *arena)
{
	char *out = arena_alloc(arena, text.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (c < ' ' || c > '~')
			return SPAN_NONE;
		if (c == '%') {
			int high = i + 2 < text.len ? hex_digit(text.at[i + 1]) : -1;
			int low = i + 2 < text.len ? hex_digit(text.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return SPAN_NONE;
			c = (char)(high << 4 | low);
			i += 2;
		}
		out[len++] = c;
	}
	return span_make(out, len);
}

static bool time_parse(struct span text, uint64_t *ms)
{
	char copy[CLOCK_RFC3339_SIZE], again[CLOCK_RFC3339_SIZE];
	struct tm t = {0};
	int milli;
	time_t seconds;

	if (text.len != CLOCK_RFC3339_SIZE - 1)
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	/* NOLINTNEXTLINE(cert-err34-c): widths bound the numbers, and all is compared below */
	if (sscanf(copy, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &t.tm_year, &t.tm_mon, &t.tm_mday,
		    &t.tm_hour, &t.tm_min, &t.tm_sec, &milli) != 7)
		return false;
	t.tm_year -= 1900;
	t.tm_mon--;
	seconds = timegm(&t);
	if (seconds < 0 || milli < 0)
		return false;
	*ms = (uint64_t)seconds * 1000 + (uint64_t)milli;
	clock_rfc3339(*ms, again);
	return strcmp(copy, again) == 0;
}

/* --- the envelope as arguments of MAIL and RCPT --- */

static bool write_from(const struct quarantined *q, struct buffer *out)
{
	static const char *const bodies[] = {"", " BODY=7BIT", " BODY=8BITMIME"};
	static const char *const rets[] = {"", " RET=FULL", " RET=HDRS"};
	const struct envelope *e = &q->envelope;

	return buffer_add_char(out, '<') && encode(e->from.mailbox, out) &&
	       buffer_add_char(out, '>') && buffer_add_text(out, bodies[e->body]) &&
	       (!e->smtputf8 || buffer_add_text(out, " SMTPUTF8")) &&
	       buffer_add_text(out, rets[e->ret]) &&
	       (!e->envid.len || (buffer_add_text(out, " ENVID=") && encode(e->envid, out)));
}

static bool write_to(const struct recipient *r, struct buffer *out)
{
	return buffer_add_char(out, '<') && encode(r->to.mailbox, out) &&
	       buffer_add_char(out, '>') &&
	       (!r->notify.len || (buffer_add_text(out, " NOTIFY=") && encode(r->notify, out))) &&
	       (!r->orcpt.len || (buffer_add_text(out, " ORCPT=") && encode(r->orcpt, out)));
}

static bool read_from(struct quarantined *q, struct span value, struct arena *arena)
{
	struct span argument = span_text(arena_print(arena, "FROM:%.*s", SPAN_ARGS(value)));
	struct mail_command mail;
	struct reply why;

	if (memchr(value.at, '\0', value.len) || !mail_command_parse(argument, &mail, &why))
		return false;
	q->envelope.from = mail.from;
	q->envelope.body = mail.body;
	q->envelope.smtputf8 = mail.smtputf8;
	q->envelope.ret = mail.ret;
	q->envelope.envid = mail.envid;
	return true;
}

/* In a file From comes first, and says whether addresses may be UTF-8. */
static bool read_to(struct quarantined *q, struct span value, struct arena *arena)
{
	struct span argument = span_text(arena_print(arena, "TO:%.*s", SPAN_ARGS(value)));
	struct recipient *recipient = arena_alloc(arena, sizeof(*recipient));
	struct recipient **last = &q->envelope.recipients;
	struct rcpt_command rcpt;
	struct reply why;

	if (memchr(value.at, '\0', value.len) ||
		!rcpt_command_parse(argument, q->envelope.smtputf8, &rcpt, &why))
		return false;
	recipient->to = rcpt.to;
	recipient->notify = rcpt.notify;
	recipient->orcpt = rcpt.orcpt;
	recipient->next = *last;
	*last = recipient;
	q->envelope.n_recipients++;
	return true;
}

/* Recipients were put in front of each other. */
static void restore_order(struct envelope *envelope)
{
	struct recipient *in_order = NULL, *next;

	for (struct recipient *r = envelope->recipients; r; r = next) {
		next = r->next;
		r->next = in_order;
		in_order = r;
	}
	envelope->recipients = in_order;
}

/* --- the fields --- */

enum field_kind {
	FIELD_TEXT,
	FIELD_TIME,
	FIELD_ENDPOINT,
	FIELD_PROTOCOL,
	FIELD_FROM,
	FIELD_TO,
	FIELD_SCORE,
	FIELD_SIZE,
	FIELD_VERSION
};

static const struct field {
	struct span name;
	enum field_kind kind;
	size_t at; /* offset in struct quarantined */
} fields[] = {
#define AT(member) offsetof(struct quarantined, member)
	{SPAN("Version"), FIELD_VERSION, 0},
	{SPAN("ID"), FIELD_TEXT, AT(id)},
	{SPAN("Time"), FIELD_TIME, AT(time_ms)},
	{SPAN("Session"), FIELD_TEXT, AT(sid)},
	{SPAN("Transaction"), FIELD_TEXT, AT(tid)},
	{SPAN("Client"), FIELD_ENDPOINT, AT(client.remote)},
	{SPAN("Client-Name"), FIELD_TEXT, AT(client.name)},
	{SPAN("Local"), FIELD_ENDPOINT, AT(client.local)},
	{SPAN("Helo"), FIELD_TEXT, AT(client.helo)},
	{SPAN("Login"), FIELD_TEXT, AT(client.login)},
	{SPAN("Protocol"), FIELD_PROTOCOL, 0},
	{SPAN("From"), FIELD_FROM, 0},
	{SPAN("To"), FIELD_TO, 0},
	{SPAN("Backend"), FIELD_TEXT, AT(backend)},
	{SPAN("Rule"), FIELD_TEXT, AT(rule)},
	{SPAN("Why"), FIELD_TEXT, AT(why)},
	{SPAN("Score"), FIELD_SCORE, AT(score)},
	{SPAN("Size"), FIELD_SIZE, AT(size_bytes)},
#undef AT
};

static bool begin_line(const struct field *field, struct buffer *out)
{
	return buffer_add(out, field_prefix) && buffer_add(out, field->name) &&
	       buffer_add_text(out, ": ");
}

static bool write_recipients(
	const struct field *field, const struct quarantined *q, struct buffer *out)
{
	bool ok = true;

	for (const struct recipient *r = q->envelope.recipients; r && ok; r = r->next)
		ok = begin_line(field, out) && write_to(r, out) && buffer_add_text(out, "\r\n");
	return ok;
}

static bool write_value(const struct field *field, const struct quarantined *q, struct buffer *out)
{
	const char *at = (const char *)q + field->at;
	char text[IP_TEXT_SIZE];

	switch (field->kind) {
	case FIELD_VERSION:
		return buffer_print(out, "%d", VERSION);
	case FIELD_TEXT:
		return encode(
			span_first(*(const struct span *)(const void *)at, QUARANTINED_TEXT_MAX),
			out);
	case FIELD_TIME:
		clock_rfc3339(*(const uint64_t *)(const void *)at, text);
		return buffer_add_text(out, text);
	case FIELD_ENDPOINT:
		return buffer_add_text(
			out, endpoint_format((const struct endpoint *)(const void *)at, text));
	case FIELD_PROTOCOL:
		return buffer_print(out, "%s%s", q->client.esmtp ? "ESMTP" : "SMTP",
			q->client.tls ? " TLS" : "");
	case FIELD_FROM:
		return write_from(q, out);
	case FIELD_SCORE:
		return buffer_print(out, "%.15g", q->score);
	case FIELD_SIZE:
		return buffer_print(out, "%llu", (unsigned long long)q->size_bytes);
	case FIELD_TO:
		break;
	}
	fail_bug(__FILE__, __LINE__, "a field of one value");
}

/* Empty ones are left out. */
static bool is_there(const struct field *field, const struct quarantined *q)
{
	const char *at = (const char *)q + field->at;

	if (field->kind == FIELD_TEXT)
		return ((const struct span *)(const void *)at)->len > 0;
	if (field->kind == FIELD_ENDPOINT)
		return ((const struct endpoint *)(const void *)at)->ip.family != IP_NONE;
	return true;
}

bool quarantined_write(const struct quarantined *q, struct buffer *out)
{
	bool ok = true;

	for (size_t i = 0; i < COUNT_OF(fields) && ok; i++) {
		const struct field *field = &fields[i];

		if (!is_there(field, q))
			continue;
		if (field->kind == FIELD_TO)
			ok = write_recipients(field, q, out);
		else
			ok = begin_line(field, out) && write_value(field, q, out) &&
			     buffer_add_text(out, "\r\n");
	}
	return ok;
}

/* --- reading --- */

static bool score_parse(struct span value, double *score)
{
	char copy[32], *end;

	if (value.len == 0 || value.len >= sizeof(copy))
		return false;
	memcpy(copy, value.at, value.len);
	copy[value.len] = '\0';
	*score = strtod(copy, &end);
	return *end == '\0' && *score > -1e15 && *score < 1e15;
}

static bool protocol_parse(struct quarantined *q, struct span value)
{
	struct span word = span_word(&value);

	q->client.esmtp = span_equal(word, SPAN("ESMTP"));
	q->client.tls = span_equal(span_trim(value), SPAN("TLS"));
	return q->client.esmtp || span_equal(word, SPAN("SMTP"));
}

static bool read_value(
	const struct field *field, struct quarantined *q, struct span written, struct arena *arena)
{
	char *at = (char *)q + field->at;
	struct span value = decode(written, arena);
	uint64_t number;

	if (!value.at)
		return false;
	switch (field->kind) {
	case FIELD_VERSION:
		return span_number(value, UINT32_MAX, &number) && number == VERSION;
	case FIELD_TEXT:
		*(struct span *)(void *)at = value;
		return true;
	case FIELD_TIME:
		return time_parse(value, (uint64_t *)(void *)at);
	case FIELD_ENDPOINT:
		return endpoint_parse(value, (struct endpoint *)(void *)at);
	case FIELD_PROTOCOL:
		return protocol_parse(q, value);
	case FIELD_FROM:
		return read_from(q, value, arena);
	case FIELD_TO:
		return read_to(q, value, arena);
	case FIELD_SCORE:
		return score_parse(value, &q->score);
	case FIELD_SIZE:
		return span_number(value, UINT64_MAX / 2, &q->size_bytes);
	}
	return false;
}

/* The field that a line holds, and its value; NULL: none of ours. */
static const struct field *field_of(struct span line, struct span *value)
{
	size_t colon;

	if (!span_starts(line, field_prefix))
		return NULL;
	line = span_from(line, field_prefix.len);
	colon = span_find_char(line, ':');
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		if (!span_equal(span_first(line, colon), fields[i].name))
			continue;
		*value = span_trim(span_from(line, colon + 1));
		return &fields[i];
	}
	return NULL;
}

static enum quarantined_status bad(struct err *err, const char *what, unsigned line)
{
	err_set(err, "line %u: %s", line, what);
	return QUARANTINED_BAD;
}

/* What no reader can do without. */
static enum quarantined_status judge(struct quarantined *q, unsigned line, struct err *err)
{
	restore_order(&q->envelope);
	if (!quarantine_id_valid(q->id))
		return bad(err, "there is no ID", line);
	if (q->envelope.n_recipients == 0)
		return bad(err, "there is no recipient", line);
	return QUARANTINED_READ;
}

enum quarantined_status quarantined_read(struct span file, struct arena *arena,
	struct quarantined *out, size_t *head_bytes, struct err *err)
{
	struct span rest = file;
	bool seen[COUNT_OF(fields)] = {false}, from = false;

	*out = (struct quarantined){.time_ms = 0};
	for (unsigned number = 1;; number++) {
		size_t end = span_find_char(rest, '\n');
		struct span line = span_first(rest, end), value;
		const struct field *field;

		if (end >= LINE_MAX_BYTES)
			return bad(err, "it is too long", number);
		if (end == rest.len)
			return QUARANTINED_MORE;
		if (line.len == 0 || line.at[--line.len] != '\r')
			return bad(err, "it does not end in CRLF", number);
		field = field_of(line, &value);
		if (!field || (number == 1) != (field->kind == FIELD_VERSION))
			return bad(err, "this is no message quarantined by this version", number);
		if (seen[field - fields] && field->kind != FIELD_TO)
			return bad(err, "it is there twice", number);
		seen[field - fields] = true;
		from = from || field->kind == FIELD_FROM;
		if ((field->kind == FIELD_TO && !from) || !read_value(field, out, value, arena))
			return bad(err, "the value makes no sense", number);
		rest = span_from(rest, end + 1);
		*head_bytes = (size_t)(rest.at - file.at);
		if (field->kind == FIELD_SIZE)
			return from ? judge(out, number, err)
				    : bad(err, "there is no reverse-path", number);
	}
}

/* Reads up to size bytes from the beginning; -1 with errno. */
static ssize_t read_beginning(int fd, char *at, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t got = pread(fd, at + len, size - len, (off_t)len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	return (ssize_t)len;
}

bool quarantined_load(
	int fd, struct arena *arena, struct quarantined *out, uint64_t *head_bytes, struct err *err)
{
	enum quarantined_status status = QUARANTINED_MORE;
	char *memory = NULL;
	struct stat info;
	unsigned long long expected;
	size_t head = 0;

	if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
		return err_set(err, "it is no file");
	for (size_t size = READ_FIRST; status == QUARANTINED_MORE; size *= 4) {
		ssize_t len;

		memory = memory_resize(memory, size);
		len = read_beginning(fd, memory, size);
		if (len < 0) {
			err_errno(err, "it can't be read");
			break;
		}
		status = quarantined_read(span_make(memory, (size_t)len), arena, out, &head, err);
		if (status == QUARANTINED_MORE &&
			((size_t)len < size || size >= QUARANTINED_HEAD_MAX)) {
			err_set(err, "it ends before our fields do");
			break;
		}
	}
	free(memory);
	*head_bytes = head;
	expected = head + out->size_bytes;
	if (status == QUARANTINED_READ && (uint64_t)info.st_size != expected)
		return err_set(err, "it should have %llu bytes and has %llu", expected,
			(unsigned long long)info.st_size);
	return status == QUARANTINED_READ;
}

/*
 * The line is built in one growing buffer that is kept from line to line. In text form nesting
 * becomes dotted keys: client.ip=192.0.2.1 to.0.addr=a@example.com.
 */
#include "lib/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fail.h"

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static void put(struct record *r, struct span bytes)
{
	/* The last bytes are kept for the closing brackets. */
	if (r->cut || r->line.len + bytes.len + 64 > r->line.max || !buffer_add(&r->line, bytes))
		r->cut = true;
}

/* Bytes of the UTF-8 sequence at the front (RFC 3629), 0 when it is none. */
static size_t utf8_sequence(struct span s)
{
	uint8_t a = (uint8_t)s.at[0], low = 0x80, high = 0xbf;
	size_t len = a < 0x80 ? 1 : a < 0xc2 ? 0 : a < 0xe0 ? 2 : a < 0xf0 ? 3 : a < 0xf5 ? 4 : 0;

	if (len == 0 || len > s.len)
		return 0;
	if (a == 0xe0)
		low = 0xa0;
	else if (a == 0xed)
		high = 0x9f;
	else if (a == 0xf0)
		low = 0x90;
	else if (a == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < len; i++, low = 0x80, high = 0xbf)
		if ((uint8_t)s.at[i] < low || (uint8_t)s.at[i] > high)
			return 0;
	/* C1 controls and the line separators are no better in a log than C0. */
	if (len == 2 && a == 0xc2 && (uint8_t)s.at[1] < 0xa0)
		return 0;
	return len;
}

static void put_escaped(struct record *r, struct span value)
{
	while (value.len) {
		size_t clean = 0, len;
		uint8_t c;
		char escape[8];

		while (clean < value.len) {
			c = (uint8_t)value.at[clean];
			if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f)
				break;
			len = c < 0x80 ? 1 : utf8_sequence(span_from(value, clean));
			if (len == 0)
				break;
			clean += len;
		}
		put(r, span_first(value, clean));
		value = span_from(value, clean);
		if (value.len == 0)
			break;
		c = (uint8_t)value.at[0];
		if (c == '"' || c == '\\')
			snprintf(escape, sizeof(escape), "\\%c", c);
		else
			snprintf(escape, sizeof(escape), "\\u%04x", c);
		put(r, span_text(escape));
		value = span_from(value, 1);
	}
}

static void put_key(struct record *r, const char *key)
{
	unsigned d = r->depth;
	char number[16];

	if (r->json) {
		if (!r->first[d])
			put(r, SPAN(","));
		r->first[d] = false;
		if (!r->list[d]) {
			put(r, SPAN("\""));
			put(r, span_text(key));
			put(r, SPAN("\":"));
		}
		return;
	}
	if (r->line.len)
		put(r, SPAN(" "));
	for (unsigned i = 1; i <= d; i++) {
		if (r->list[i - 1]) {
			snprintf(number, sizeof(number), "%u", r->index[i - 1] - 1);
			put(r, span_text(number));
		} else {
			put(r, span_text(r->key[i]));
		}
		put(r, SPAN("."));
	}
	if (r->list[d]) {
		snprintf(number, sizeof(number), "%u", r->index[d]++);
		key = number;
	}
	put(r, span_text(key));
	put(r, SPAN("="));
}

/* Text values need quotes when a reader that splits at blanks would go wrong. */
static bool is_plain(struct span value)
{
	if (value.len == 0)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = (uint8_t)value.at[i];

		if (c <= 0x20 || c == '"' || c == '\\' || c >= 0x7f || c == '=')
			return false;
	}
	return true;
}

void record_text(struct record *r, const char *key, struct span value)
{
	put_key(r, key);
	if (!r->json && is_plain(value)) {
		put(r, value);
		return;
	}
	put(r, SPAN("\""));
	put_escaped(r, value);
	put(r, SPAN("\""));
}

void record_string(struct record *r, const char *key, const char *value)
{
	record_text(r, key, span_text(value ? value : ""));
}

void record_number(struct record *r, const char *key, int64_t value)
{
	uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
	char text[24];
	size_t at = sizeof(text);

	put_key(r, key);
	do {
		text[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left);
	if (value < 0)
		text[--at] = '-';
	put(r, span_make(text + at, sizeof(text) - at));
}

void record_real(struct record *r, const char *key, double value)
{
	char text[40];

	put_key(r, key);
	snprintf(text, sizeof(text), "%.3f", value);
	put(r, span_text(text));
}

void record_bool(struct record *r, const char *key, bool value)
{
	put_key(r, key);
	put(r, value ? SPAN("true") : SPAN("false"));
}

void record_null(struct record *r, const char *key)
{
	put_key(r, key);
	put(r, r->json ? SPAN("null") : SPAN("-"));
}

static void open_level(struct record *r, const char *key, bool list)
{
	ENSURE(r->depth + 1 < LOG_DEPTH_MAX);
	if (r->json) {
		put_key(r, key);
		put(r, list ? SPAN("[") : SPAN("{"));
	} else if (r->list[r->depth]) {
		r->index[r->depth]++;
	}
	r->depth++;
	r->first[r->depth] = true;
	r->list[r->depth] = list;
	r->key[r->depth] = key;
	r->index[r->depth] = 0;
}

void record_open(struct record *r, const char *key)
{
	open_level(r, key, false);
}

void record_list(struct record *r, const char *key)
{
	open_level(r, key, true);
}

void record_close(struct record *r)
{
	ENSURE(r->depth > 0);
	if (r->json)
		put(r, r->list[r->depth] ? SPAN("]") : SPAN("}"));
	r->depth--;
}

static void record_start(struct record *r)
{
	buffer_clear(&r->line);
	r->cut = false;
	r->depth = 0;
	r->first[0] = true;
	r->list[0] = false;
	if (r->json)
		put(r, SPAN("{"));
}

void record_init(struct record *r, bool json, size_t max_bytes)
{
	memset(r, 0, sizeof(*r));
	r->line = BUFFER_INIT(max_bytes);
	r->json = json;
	record_start(r);
}

/*
 * A line that became too long is cut back to its head: what was added first (times, ids) is kept
 * in a form that still parses.
 */
static void record_mend(struct record *r)
{
	enum { HEAD_MAX = 256 };
	struct buffer line = r->line;
	size_t head = 0;
	int depth = 0;
	bool quoted = false;

	for (size_t i = 0; r->json && i < line.len && i < HEAD_MAX; i++) {
		char c = line.data[line.start + i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '{' || c == '['))
			depth++;
		else if (!quoted && (c == '}' || c == ']'))
			depth--;
		else if (!quoted && c == ',' && depth == 1)
			head = i;
	}
	r->line.len = head;
	r->cut = false;
	r->depth = 0;
	r->first[0] = false;
	if (r->json && head == 0)
		record_start(r);
	record_bool(r, "cut", true);
}

struct span record_finish(struct record *r)
{
	if (r->cut)
		record_mend(r);
	while (r->depth)
		record_close(r);
	if (r->json && !buffer_add_char(&r->line, '}'))
		return SPAN("{}");
	return buffer_span(&r->line);
}

void record_free(struct record *r)
{
	buffer_free(&r->line);
}

void log_init(struct log *log, int fd, bool json, const struct clock *clock, const char *process)
{
	memset(log, 0, sizeof(*log));
	log->fd = fd;
	log->json = json;
	log->clock = clock;
	snprintf(log->process, sizeof(log->process), "%s", process);
	record_init(&log->record, json, LOG_LINE_MAX);
}

void log_close(struct log *log)
{
	record_free(&log->record);
	log->fd = -1;
}

struct record *log_begin(struct log *log, enum log_level level, const char *event)
{
	struct record *r = &log->record;
	char ts[CLOCK_RFC3339_SIZE];

	record_start(r);
	clock_rfc3339(clock_wall_ms(log->clock), ts);
	record_string(r, "ts", ts);
	if (event[0]) {
		record_string(r, "level", level_names[level]);
		record_string(r, "process", log->process);
		record_string(r, "event", event);
	}
	return r;
}

void log_end(struct log *log)
{
	struct span line;
	ssize_t sent;

	record_finish(&log->record);
	if (!buffer_add_char(&log->record.line, '\n'))
		return;
	line = buffer_span(&log->record.line);
	if (log->fd < 0)
		return;
	sent = send(log->fd, line.at, line.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno == ENOTSOCK)
		sent = write(log->fd, line.at, line.len);
	if (sent != (ssize_t)line.len && log->dropped)
		atomic_fetch_add_explicit(log->dropped, 1, memory_order_relaxed);
}

void log_event(struct log *log, enum log_level level, const char *event, struct span sid,
	const char *format, ...)
{
	struct record *r = log_begin(log, level, event);
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (sid.len)
		record_text(r, "sid", sid);
	record_string(r, "text", text);
	log_end(log);
}

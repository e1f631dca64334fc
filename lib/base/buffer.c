#include "lib/base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fail.h"

void buffer_free(struct buffer *b)
{
	free(b->data);
	*b = BUFFER_INIT(b->max);
}

/* Makes room for size bytes and a NUL behind them. */
static void make_room(struct buffer *b, size_t size)
{
	size_t needed = b->len + size + 1, capacity = b->capacity ? b->capacity : 128;

	if (b->start + needed <= b->capacity)
		return;
	if (b->start && needed <= b->capacity) {
		memmove(b->data, b->data + b->start, b->len);
		b->start = 0;
		return;
	}
	while (capacity < needed)
		capacity *= 2;
	if (b->start) {
		char *data = memory_new(capacity);

		memcpy(data, b->data + b->start, b->len);
		free(b->data);
		b->data = data;
		b->start = 0;
	} else {
		b->data = memory_resize(b->data, capacity);
	}
	b->capacity = capacity;
}

char *buffer_reserve(struct buffer *b, size_t size)
{
	if (size > b->max || b->len > b->max - size)
		return NULL;
	make_room(b, size);
	return b->data + b->start + b->len;
}

void buffer_added(struct buffer *b, size_t size)
{
	b->len += size;
	ENSURE(b->len <= b->max && b->start + b->len < b->capacity);
}

bool buffer_add(struct buffer *b, struct span bytes)
{
	char *at = buffer_reserve(b, bytes.len);

	if (!at)
		return false;
	if (bytes.len)
		memcpy(at, bytes.at, bytes.len);
	b->len += bytes.len;
	return true;
}

bool buffer_add_text(struct buffer *b, const char *text)
{
	return buffer_add(b, span_text(text));
}

bool buffer_add_char(struct buffer *b, char c)
{
	return buffer_add(b, span_make(&c, 1));
}

/* Printed straight into the room that is there; once more when it was too small for that. */
bool buffer_print(struct buffer *b, const char *format, ...)
{
	enum { GUESS = 120 };
	char *at = buffer_reserve(b, b->max - b->len < GUESS ? b->max - b->len : GUESS);
	size_t room = b->capacity - b->start - b->len;
	va_list args;
	int len;

	ENSURE(at);
	va_start(args, format);
	len = vsnprintf(at, room, format, args);
	va_end(args);
	ENSURE(len >= 0);
	if ((size_t)len >= room) {
		at = buffer_reserve(b, (size_t)len);
		if (!at)
			return false;
		va_start(args, format);
		vsnprintf(at, (size_t)len + 1, format, args);
		va_end(args);
	} else if ((size_t)len > b->max - b->len) {
		return false;
	}
	b->len += (size_t)len;
	return true;
}

void buffer_consume(struct buffer *b, size_t count)
{
	ENSURE(count <= b->len);
	b->start += count;
	b->len -= count;
	if (b->len == 0)
		b->start = 0;
}

const char *buffer_string(struct buffer *b)
{
	make_room(b, 0);
	b->data[b->start + b->len] = '\0';
	return b->data + b->start;
}

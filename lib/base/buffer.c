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

bool buffer_print(struct buffer *b, const char *format, ...)
{
	va_list args, again;
	bool ok = false;
	char *at;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	ENSURE(len >= 0);
	at = buffer_reserve(b, (size_t)len);
	if (at) {
		vsnprintf(at, (size_t)len + 1, format, again);
		b->len += (size_t)len;
		ok = true;
	}
	va_end(again);
	va_end(args);
	return ok;
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

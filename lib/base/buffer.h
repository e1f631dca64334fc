/*
 * buffer: bytes that grow up to a stated maximum. Adding past it fails and adds nothing, so a
 * caller can always say what happens to input that is too large. Reading takes from the front.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attributes.h"
#include "lib/base/span.h"

struct buffer {
	char *data;      /* owned; NULL while nothing was added */
	size_t start;    /* consumed bytes at the front */
	size_t len;      /* bytes in use behind start */
	size_t capacity; /* of data */
	size_t max;      /* len never exceeds it */
};

/* BUFFER_INIT(max): an empty buffer that costs nothing until something is added. */
#define BUFFER_INIT(max_bytes) ((struct buffer){NULL, 0, 0, 0, (max_bytes)})

/* Frees the memory; the buffer is empty and may be used again. */
void buffer_free(struct buffer *b);

static inline void buffer_clear(struct buffer *b)
{
	b->start = b->len = 0;
}

static inline struct span buffer_span(const struct buffer *b)
{
	return span_make(b->data ? b->data + b->start : "", b->len);
}

/* Room for at least size more bytes; NULL when that would pass the maximum. Follow with
 * buffer_added. */
char *buffer_reserve(struct buffer *b, size_t size) MUST_CHECK;
void buffer_added(struct buffer *b, size_t size);

bool buffer_add(struct buffer *b, struct span bytes) MUST_CHECK;
bool buffer_add_text(struct buffer *b, const char *text) MUST_CHECK;
bool buffer_add_char(struct buffer *b, char c) MUST_CHECK;
bool buffer_print(struct buffer *b, const char *format, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

/* Drops count bytes (at most len) from the front. */
void buffer_consume(struct buffer *b, size_t count);

/* The content as NUL-terminated string, valid until the buffer changes. */
const char *buffer_string(struct buffer *b);

#endif

/*
 * One chain of blocks, filled by bumping an offset. The arena's own head lies in its first
 * block, so that a small arena is one malloc. Under AddressSanitizer the unused rest of a block
 * is poisoned, so that an overrun inside an arena is found like any other.
 */
#include "lib/base/arena.h"

#include <stdarg.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fail.h"

/* gcc defines the macro, clang has the feature. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS
#endif
#endif

#ifdef ARENA_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size)   ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum { ALIGNMENT = alignof(max_align_t), BLOCK_MAX = 64 * 1024 };

struct block {
	struct block *next; /* owned */
	size_t size;        /* of data */
	size_t used;
	alignas(max_align_t) char data[];
};

struct cleanup {
	struct cleanup *next;
	void (*run)(void *);
	void *context;
};

struct arena {
	struct block *blocks; /* owned, newest first */
	struct cleanup *cleanups;
	size_t total;
};

static size_t aligned(size_t size)
{
	return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static struct block *block_new(size_t size)
{
	struct block *block;

	ENSURE(size <= PTRDIFF_MAX); /* so that no sum below wraps */
	block = memory_new(sizeof(*block) + size);
	block->next = NULL;
	block->size = size;
	block->used = 0;
	ASAN_POISON_MEMORY_REGION(block->data, size);
	return block;
}

static void *block_take(struct block *block, size_t size)
{
	void *at = block->data + block->used;

	block->used += aligned(size);
	ASAN_UNPOISON_MEMORY_REGION(at, size);
	return memset(at, 0, size);
}

struct arena *arena_new(size_t first_bytes)
{
	size_t size = aligned(sizeof(struct arena)) + aligned(first_bytes);
	struct block *block = block_new(size);
	struct arena *arena = block_take(block, sizeof(*arena));

	arena->blocks = block;
	arena->total = sizeof(*block) + size;
	return arena;
}

void arena_free(struct arena **arena)
{
	struct block *block, *next;

	if (!*arena)
		return;
	for (struct cleanup *c = (*arena)->cleanups; c; c = c->next)
		c->run(c->context);
	for (block = (*arena)->blocks; block; block = next) {
		next = block->next;
		ASAN_UNPOISON_MEMORY_REGION(block->data, block->size);
		free(block);
	}
	*arena = NULL;
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
	struct block *block = arena->blocks;
	size_t size = aligned(size_bytes ? size_bytes : 1);

	ENSURE(size >= size_bytes);
	if (block->size - block->used < size) {
		size_t next = block->size * 2 > BLOCK_MAX ? BLOCK_MAX : block->size * 2;

		block = block_new(next > size ? next : size);
		block->next = arena->blocks;
		arena->blocks = block;
		arena->total += sizeof(*block) + block->size;
	}
	return block_take(block, size_bytes ? size_bytes : 1);
}

char *arena_string(struct arena *arena, struct span text)
{
	char *copy = arena_alloc(arena, text.len + 1);

	if (text.len)
		memcpy(copy, text.at, text.len);
	return copy;
}

struct span arena_span(struct arena *arena, struct span text)
{
	return span_make(arena_string(arena, text), text.len);
}

char *arena_print(struct arena *arena, const char *format, ...)
{
	char guess[128];
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vsnprintf(guess, sizeof(guess), format, args);
	va_end(args);
	ENSURE(len >= 0);
	if ((size_t)len < sizeof(guess))
		return arena_string(arena, span_make(guess, (size_t)len));
	text = arena_alloc(arena, (size_t)len + 1);
	va_start(args, format);
	vsnprintf(text, (size_t)len + 1, format, args);
	va_end(args);
	return text;
}

void arena_on_free(struct arena *arena, void (*run)(void *), void *context)
{
	struct cleanup *cleanup = arena_alloc(arena, sizeof(*cleanup));

	cleanup->run = run;
	cleanup->context = context;
	cleanup->next = arena->cleanups;
	arena->cleanups = cleanup;
}

size_t arena_size(const struct arena *arena)
{
	return arena->total;
}

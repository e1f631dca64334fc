/*
 * arena: memory that lives as long as a session, a transaction or a configuration, and is given
 * back in one go, with cleanup hooks for what is not memory (descriptors, handles). Hooks run
 * last in, first out.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "lib/base/span.h"

struct arena;

/* first_bytes: the size of the first block; later ones double up to 64 KB. */
struct arena *arena_new(size_t first_bytes);

/* Runs the hooks, frees all, and sets the pointer to NULL; NULL is fine. */
void arena_free(struct arena **arena);

/* Zeroed and aligned for any type; never NULL. */
void *arena_alloc(struct arena *arena, size_t size_bytes);

/* A NUL-terminated copy. */
char *arena_string(struct arena *arena, struct span text);

/* A copy as span (NUL-terminated too). */
struct span arena_span(struct arena *arena, struct span text);

char *arena_print(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

void arena_on_free(struct arena *arena, void (*cleanup)(void *), void *context);

/* Bytes taken from malloc so far. */
size_t arena_size(const struct arena *arena);

#endif

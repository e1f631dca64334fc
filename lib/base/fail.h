/*
 * A bug is an assertion that stays on in release and says what broke; memory that
 * cannot be had in spite of the budgets ends the process, which costs its sessions only.
 */
#ifndef BASE_FAIL_H
#define BASE_FAIL_H

#include <stddef.h>

#include "lib/base/attributes.h"

/* ENSURE(condition): aborts with file, line and the condition when it does not hold. */
#define ENSURE(condition)                                                                          \
	do {                                                                                       \
		if (__builtin_expect(!(condition), 0))                                             \
			fail_bug(__FILE__, __LINE__, #condition);                                  \
	} while (0)

/* MAGIC_ENSURE(ptr, number): the check at each void * border that it carries what it claims. */
#define MAGIC_ENSURE(object, number) ENSURE((object) != NULL && (object)->magic == (number))

_Noreturn void fail_bug(const char *file, int line, const char *condition);
_Noreturn void fail_memory(size_t size_bytes);

/* As malloc, calloc and realloc, but never NULL: out of memory aborts. */
void *memory_new(size_t size_bytes) __attribute__((malloc));
void *memory_zeroed(size_t size_bytes) __attribute__((malloc));
void *memory_resize(void *owned, size_t size_bytes);
char *memory_string(const char *text);

#endif

#include "lib/base/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void fail_bug(const char *file, int line, const char *condition)
{
	fprintf(stderr, "postern: bug at %s:%d: '%s' does not hold\n", file, line, condition);
	abort();
}

_Noreturn void fail_memory(size_t size_bytes)
{
	fprintf(stderr, "postern: out of memory (%zu bytes)\n", size_bytes);
	abort();
}

void *memory_new(size_t size_bytes)
{
	void *memory = malloc(size_bytes ? size_bytes : 1);

	if (!memory)
		fail_memory(size_bytes);
	return memory;
}

void *memory_zeroed(size_t size_bytes)
{
	void *memory = calloc(1, size_bytes ? size_bytes : 1);

	if (!memory)
		fail_memory(size_bytes);
	return memory;
}

void *memory_resize(void *owned, size_t size_bytes)
{
	void *memory = realloc(owned, size_bytes ? size_bytes : 1);

	if (!memory)
		fail_memory(size_bytes);
	return memory;
}

char *memory_string(const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(memory_new(size), text, size);
}

/*
 * identity: what `load` and `sink` agree on. The first line of each body is "bench NUMBER SIZE
 * HASH": the message's number in the run, and the size and hash of the rest of the body as the
 * recipient must get it. A body that is signed can't have it: then it stands in a field above,
 * "X-Bench: bench NUMBER SIZE HASH", and is about all of the body.
 */
#ifndef BENCH_IDENTITY_H
#define BENCH_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITY_FIELD "X-Bench: "

struct identity {
	bool known;
	uint64_t number, size, hash;
};

/* FNV-1a, 64 bits. */
#define BODY_HASH_START 0xcbf29ce484222325ULL

static inline uint64_t body_hash(uint64_t hash, const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)data[i]) * 0x100000001b3ULL;
	return hash;
}

/* Spreads a number over 64 bits (the finalizer of splitmix64), so that sums of different sets
 * differ. */
static inline uint64_t number_hash(uint64_t number)
{
	uint64_t x = (number + 1) * 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static inline int identity_write(const struct identity *id, char *line, size_t size)
{
	return snprintf(line, size, "bench %llu %llu %016llx\r\n", (unsigned long long)id->number,
		(unsigned long long)id->size, (unsigned long long)id->hash);
}

static inline void identity_read(struct identity *id, const char *line)
{
	static const char start[] = "bench ";
	char *at = NULL, *behind = NULL;
	id->known = strncmp(line, start, sizeof(start) - 1) == 0;
	if (!id->known)
		return;
	id->number = strtoull(line + sizeof(start) - 1, &at, 10);
	id->size = strtoull(at, &at, 10);
	id->hash = strtoull(at, &behind, 16);
	id->known = behind != at && behind[0] == '\r';
}

#endif

/*
 * redis_keys: the names of things in Redis. What strangers write never is one: it goes in as a
 * hash, and stands readable in the value.
 */
#ifndef STORE_REDIS_KEYS_H
#define STORE_REDIS_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attributes.h"
#include "lib/base/span.h"

enum {
	REDIS_KEY_SIZE = 160,
	REDIS_LIST_NAME_MAX = 64,
	REDIS_FIELD_MAX = 64 /* bytes of a network as text */
};

/* prefix, and 32 hex digits of the SHA-256 of the parts with a NUL behind each. */
void redis_key(char out[REDIS_KEY_SIZE], const char *prefix, const struct span *parts, size_t n);

/* Letters, digits, `.`, `_`, `-`; at most REDIS_LIST_NAME_MAX: nothing that would be a hash tag. */
bool redis_list_name_is_good(struct span name) MUST_CHECK;

/* Of a good name: "postern:list:{NAME}", and with ":log". The braces keep both in one slot of a
 * cluster. */
void redis_list_keys(struct span name, char hash[REDIS_KEY_SIZE], char log[REDIS_KEY_SIZE]);

/* The field under which an item stands: a network as people write it, any other's key. kind: "v4",
 * "v6" (address and a byte of prefix length), "text". In room, or borrowed from key. */
bool redis_list_field(struct span kind, struct span key, char room[REDIS_FIELD_MAX],
	struct span *field) MUST_CHECK;

#endif

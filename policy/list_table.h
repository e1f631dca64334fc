/*
 * list_table: from a key to the number of its item: open addressing with linear probing, filled
 * once. It holds hashes and numbers alone; what the keys are, its user knows and compares.
 */
#ifndef POLICY_LIST_TABLE_H
#define POLICY_LIST_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/span.h"

struct list_slot; /* in list_table.c */

struct list_table {
	uint8_t hash_key[16];    /* random, since keys that are looked up come from outside */
	struct list_slot *slots; /* owned; NULL while there is no room for any item */
	size_t mask;             /* a power of two, less one */
	size_t count;
};

/* A place in the run of slots where a key's item must stand. */
struct list_probe {
	size_t at;
	uint32_t tag;
	bool begun;
};

/* Room for so many different keys. */
void list_table_init(struct list_table *table, size_t keys);
void list_table_free(struct list_table *table);
size_t list_table_size(const struct list_table *table);

/* Walks the items whose key is probably this one; false: no more, and a new item belongs here. */
struct list_probe list_table_probe(const struct list_table *table, struct span key);
bool list_table_next(const struct list_table *table, struct list_probe *probe, uint32_t *item);

/* The item for the key of the probe: in place of the one that next has just given, or as a new one
 * once next has said that there are no more. */
void list_table_put(struct list_table *table, const struct list_probe *probe, uint32_t item);

#endif

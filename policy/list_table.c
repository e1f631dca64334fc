/*
 * A slot is eight bytes: 32 bits of the hash, so that the text of another item is hardly ever
 * touched, and the item's number. At most three slots in four are taken, so a run ends soon.
 */
#include "policy/list_table.h"

#include <stdlib.h>
#include <sys/random.h>

#include "lib/base/fail.h"

struct list_slot {
	uint32_t tag;
	uint32_t item; /* number + 1; 0: free */
};

void list_table_init(struct list_table *table, size_t keys)
{
	size_t slots = 8;

	ENSURE(keys < UINT32_MAX);
	while (slots / 4 * 3 < keys)
		slots *= 2;
	*table = (struct list_table){.mask = slots - 1};
	ENSURE(getrandom(table->hash_key, sizeof(table->hash_key), 0) == sizeof(table->hash_key));
	table->slots = memory_zeroed(slots * sizeof(*table->slots));
}

void list_table_free(struct list_table *table)
{
	free(table->slots);
	*table = (struct list_table){.slots = NULL};
}

size_t list_table_size(const struct list_table *table)
{
	return table->slots ? (table->mask + 1) * sizeof(*table->slots) : 0;
}

struct list_probe list_table_probe(const struct list_table *table, struct span key)
{
	uint64_t hash = span_hash(key, table->hash_key);

	return (struct list_probe){(size_t)hash & table->mask, (uint32_t)(hash >> 32), false};
}

bool list_table_next(const struct list_table *table, struct list_probe *probe, uint32_t *item)
{
	if (!table->slots)
		return false;
	if (probe->begun)
		probe->at = (probe->at + 1) & table->mask;
	probe->begun = true;
	while (table->slots[probe->at].item) {
		if (table->slots[probe->at].tag == probe->tag) {
			*item = table->slots[probe->at].item - 1;
			return true;
		}
		probe->at = (probe->at + 1) & table->mask;
	}
	return false;
}

void list_table_put(struct list_table *table, const struct list_probe *probe, uint32_t item)
{
	struct list_slot *slot = &table->slots[probe->at];

	ENSURE(probe->begun);
	if (!slot->item)
		table->count++;
	ENSURE(table->count <= table->mask);
	*slot = (struct list_slot){probe->tag, item + 1};
}

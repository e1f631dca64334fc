#include "policy/names.h"

enum { FIRST_CAPACITY = 64 };

/* Names come from rule files, so from an admin: the key need not be secret. */
static const uint8_t hash_key[16] = "rules name names";

static struct name_entry *entry_for(const struct names *names, struct span name, uint64_t hash)
{
	size_t i = hash & (names->capacity - 1);

	while (names->entries[i].name.at &&
		(names->entries[i].hash != hash || !span_equal(names->entries[i].name, name)))
		i = (i + 1) & (names->capacity - 1);
	return &names->entries[i];
}

void *names_find(const struct names *names, struct span name)
{
	if (names->capacity == 0)
		return NULL;
	return entry_for(names, name, span_hash(name, hash_key))->value;
}

static void grow(struct names *names, struct arena *arena)
{
	struct names larger = {.capacity = names->capacity ? names->capacity * 2 : FIRST_CAPACITY};

	larger.entries = arena_alloc(arena, larger.capacity * sizeof(*larger.entries));
	for (size_t i = 0; i < names->capacity; i++) {
		const struct name_entry *entry = &names->entries[i];

		if (entry->name.at)
			*entry_for(&larger, entry->name, entry->hash) = *entry;
	}
	names->entries = larger.entries;
	names->capacity = larger.capacity;
}

void **names_place(struct names *names, struct arena *arena, struct span name)
{
	uint64_t hash = span_hash(name, hash_key);
	struct name_entry *entry;

	if (names->count * 2 >= names->capacity)
		grow(names, arena);
	entry = entry_for(names, name, hash);
	if (!entry->name.at) {
		entry->name = name.at ? name : SPAN("");
		entry->hash = hash;
		names->count++;
	}
	return &entry->value;
}

/*
 * One place for each hash: a key makes room for another that falls there. Of 50 us for a signature
 * 13 are saved: reading the record, and what OpenSSL works out of a key when it is first used.
 */
#include "authn/dkim_keys.h"

#include <stdlib.h>

#include "lib/base/fail.h"

enum { PLACES = 64 };

struct place {
	struct span record; /* owned; empty: nothing is kept here */
	enum dkim_algorithm algorithm;
	struct dkim_key key;
	const char *problem; /* static */
};

struct dkim_keys {
	struct place places[PLACES];
};

struct dkim_keys *dkim_keys_new(void)
{
	return memory_zeroed(sizeof(struct dkim_keys));
}

static void forget(struct place *place)
{
	free((char *)(uintptr_t)place->record.at);
	dkim_key_free(&place->key);
	*place = (struct place){.problem = NULL};
}

void dkim_keys_free(struct dkim_keys **keys)
{
	if (!*keys)
		return;
	for (size_t i = 0; i < PLACES; i++)
		forget(&(*keys)->places[i]);
	free(*keys);
	*keys = NULL;
}

/* Who has his keys fall on those of others slows them down, and himself as much. */
static struct place *place_of(struct dkim_keys *keys, struct span record)
{
	static const uint8_t hash_key[16] = "dkim_keys";

	return &keys->places[span_hash(record, hash_key) % PLACES];
}

const struct dkim_key *dkim_keys_read(struct dkim_keys *keys, struct span record,
	enum dkim_algorithm algorithm, const char **problem)
{
	struct place *place = place_of(keys, record);
	char *copy;

	if (!place->record.len || place->algorithm != algorithm ||
		!span_equal(place->record, record)) {
		forget(place);
		if (dkim_key_read(record, algorithm, &place->key, &place->problem))
			place->problem = NULL;
		place->algorithm = algorithm;
		if (record.len && record.len <= DKIM_KEY_RECORD_MAX) {
			copy = memory_new(record.len);
			memcpy(copy, record.at, record.len);
			place->record = span_make(copy, record.len);
		}
	}
	*problem = place->problem;
	return &place->key;
}

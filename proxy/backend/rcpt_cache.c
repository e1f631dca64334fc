/*
 * A hash table with chains, an LRU list through all entries, both linked by index so that the
 * entries can move when the table doubles. Index 0 is no entry: it is the LRU list's head.
 */
#include "proxy/backend/rcpt_cache.h"

#include <stdlib.h>
#include <sys/random.h>

#include "lib/base/fail.h"

enum { FIRST_CAPACITY = 256 };

/* What a server said, kept behind a refusal. */
struct said {
	uint16_t code;
	char enhanced[12];
	uint16_t len;
	char text[];
};

struct entry {
	uint64_t key;
	struct said *said; /* owned; NULL: welcome */
	uint32_t expires_s;
	uint32_t chain;        /* next in the bucket, or in the list of free entries */
	uint32_t newer, older; /* LRU */
};

struct rcpt_cache {
	uint8_t hash_key[16];
	unsigned max, count, capacity; /* capacity: a power of two, of entries and buckets */
	uint32_t spare;                /* first free entry */
	struct entry *entries;         /* owned; [0] is the head: newer = oldest, older = newest */
	uint32_t *buckets;             /* owned */
	struct said *told;             /* owned: the last RCPT_PUT_OFF, lent to the caller */
};

static uint32_t *bucket_of(struct rcpt_cache *cache, uint64_t key)
{
	return &cache->buckets[key & (cache->capacity - 1)];
}

/* Takes over the tables' new size; all entries stay where they are by index. */
static void resize(struct rcpt_cache *cache, unsigned capacity)
{
	unsigned old = cache->capacity;

	cache->entries = memory_resize(cache->entries, (capacity + 1) * sizeof(struct entry));
	cache->buckets = memory_resize(cache->buckets, capacity * sizeof(uint32_t));
	cache->capacity = capacity;
	memset(cache->buckets, 0, capacity * sizeof(uint32_t));
	for (uint32_t i = cache->entries[0].older; i; i = cache->entries[i].older) {
		uint32_t *bucket = bucket_of(cache, cache->entries[i].key);

		cache->entries[i].chain = *bucket;
		*bucket = i;
	}
	for (uint32_t i = capacity; i > old; i--) {
		cache->entries[i] = (struct entry){.chain = cache->spare};
		cache->spare = i;
	}
}

struct rcpt_cache *rcpt_cache_new(unsigned max_entries)
{
	struct rcpt_cache *cache = memory_zeroed(sizeof(*cache));

	ENSURE(getrandom(cache->hash_key, sizeof(cache->hash_key), 0) == sizeof(cache->hash_key));
	cache->max = max_entries ? max_entries : 1;
	cache->entries = memory_zeroed(sizeof(struct entry));
	resize(cache, FIRST_CAPACITY);
	return cache;
}

void rcpt_cache_free(struct rcpt_cache **cache)
{
	if (!*cache)
		return;
	for (uint32_t i = (*cache)->entries[0].older; i; i = (*cache)->entries[i].older)
		free((*cache)->entries[i].said);
	free((*cache)->told);
	free((*cache)->entries);
	free((*cache)->buckets);
	free(*cache);
	*cache = NULL;
}

static size_t put_part(char *out, size_t at, size_t room, struct span part)
{
	uint32_t len = (uint32_t)part.len;

	ENSURE(part.len <= room && at <= room - part.len && room - part.len - at >= sizeof(len));
	memcpy(out + at, &len, sizeof(len));
	if (part.len)
		memcpy(out + at + sizeof(len), part.at, part.len);
	return at + sizeof(len) + part.len;
}

uint64_t rcpt_cache_key(const struct rcpt_cache *cache, struct span backend, struct span from,
	struct span to, const struct ip *client)
{
	char text[4096];
	size_t len = 0;

	/* Each part with its length, so that no two questions look alike. */
	len = put_part(text, len, sizeof(text), span_first(backend, 255));
	len = put_part(text, len, sizeof(text), from);
	len = put_part(text, len, sizeof(text), to);
	if (client && client->family != IP_NONE)
		len = put_part(text, len, sizeof(text), span_make(client->bytes, 16));
	return span_hash(span_make(text, len), cache->hash_key);
}

static uint32_t find(struct rcpt_cache *cache, uint64_t key)
{
	uint32_t i = *bucket_of(cache, key);

	while (i && cache->entries[i].key != key)
		i = cache->entries[i].chain;
	return i;
}

static void lru_take(struct rcpt_cache *cache, uint32_t i)
{
	struct entry *e = &cache->entries[i];

	cache->entries[e->newer].older = e->older;
	cache->entries[e->older].newer = e->newer;
}

static void lru_put(struct rcpt_cache *cache, uint32_t i)
{
	struct entry *head = &cache->entries[0], *e = &cache->entries[i];

	e->newer = 0;
	e->older = head->older;
	cache->entries[head->older].newer = i;
	head->older = i;
}

/* Takes the entry out and returns what it held, which is the caller's. */
static struct said *drop(struct rcpt_cache *cache, uint32_t i)
{
	struct entry *e = &cache->entries[i];
	uint32_t *link = bucket_of(cache, e->key);
	struct said *said = e->said;

	while (*link != i)
		link = &cache->entries[*link].chain;
	*link = e->chain;
	lru_take(cache, i);
	*e = (struct entry){.chain = cache->spare};
	cache->spare = i;
	cache->count--;
	return said;
}

enum rcpt_answer rcpt_cache_get(
	struct rcpt_cache *cache, uint64_t key, uint64_t now_ms, struct reply *reply)
{
	uint32_t i = find(cache, key);
	struct said *said;

	if (!i)
		return RCPT_UNKNOWN;
	said = cache->entries[i].said;
	if (now_ms / 1000 >= cache->entries[i].expires_s) {
		free(drop(cache, i));
		return RCPT_UNKNOWN;
	}
	if (!said) {
		lru_take(cache, i);
		lru_put(cache, i);
		return RCPT_GOOD;
	}
	*reply = (struct reply){.code = said->code, .text = span_make(said->text, said->len)};
	memcpy(reply->enhanced, said->enhanced, sizeof(reply->enhanced));
	if (said->code < 500) {
		free(cache->told);
		cache->told = drop(cache, i);
		return RCPT_PUT_OFF;
	}
	lru_take(cache, i);
	lru_put(cache, i);
	return RCPT_REFUSED;
}

static struct said *said_new(const struct reply *reply)
{
	struct span text = span_first(reply->text, RCPT_CACHE_TEXT_MAX);
	struct said *said = memory_new(sizeof(*said) + text.len);

	said->code = reply->code;
	memcpy(said->enhanced, reply->enhanced, sizeof(said->enhanced));
	said->len = (uint16_t)text.len;
	if (text.len)
		memcpy(said->text, text.at, text.len);
	return said;
}

static uint32_t entry_new(struct rcpt_cache *cache, uint64_t key)
{
	uint32_t i, *bucket;

	if (cache->count >= cache->max)
		free(drop(cache, cache->entries[0].newer));
	else if (!cache->spare)
		resize(cache, cache->capacity * 2);
	i = cache->spare;
	cache->spare = cache->entries[i].chain;
	bucket = bucket_of(cache, key);
	cache->entries[i] = (struct entry){.key = key, .chain = *bucket};
	*bucket = i;
	lru_put(cache, i);
	cache->count++;
	return i;
}

void rcpt_cache_put(struct rcpt_cache *cache, uint64_t key, uint64_t now_ms, uint64_t ttl_ms,
	enum rcpt_answer answer, const struct reply *reply)
{
	struct said *said = answer == RCPT_GOOD ? NULL : said_new(reply);
	uint32_t i = find(cache, key);

	ENSURE(answer != RCPT_UNKNOWN &&
		(!said || (said->code >= 500) == (answer == RCPT_REFUSED)));
	if (i) {
		free(cache->entries[i].said);
		lru_take(cache, i);
		lru_put(cache, i);
	} else {
		i = entry_new(cache, key);
	}
	cache->entries[i].said = said;
	cache->entries[i].expires_s = (uint32_t)((now_ms + ttl_ms) / 1000);
}

void rcpt_cache_forget(struct rcpt_cache *cache, uint64_t key)
{
	uint32_t i = find(cache, key);

	if (i)
		free(drop(cache, i));
}

unsigned rcpt_cache_count(const struct rcpt_cache *cache)
{
	return cache->count;
}

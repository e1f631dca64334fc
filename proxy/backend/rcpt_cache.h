/*
 * rcpt_cache: what the mail servers said about recipients, so that a busy mailbox is not asked
 * about for each message, and so that a recipient refused too late (when the message was handed
 * over) is refused in time when the client comes again. Of one worker; bounded; the entry least
 * lately used gives way.
 *
 * An entry is a keyed 64-bit hash and 24 bytes beside it; only refusals hold text. Two keys that
 * collide would need 2^32 entries for an even chance, and nobody outside knows the hash key. What
 * was rejected: keeping the addresses, which would make it five times as large for a certainty that
 * is not needed.
 */
#ifndef PROXY_BACKEND_RCPT_CACHE_H
#define PROXY_BACKEND_RCPT_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/ip.h"
#include "lib/base/span.h"
#include "lib/mail/reply.h"

enum { RCPT_CACHE_MAX = 65536, RCPT_CACHE_TEXT_MAX = 480 };

enum rcpt_answer {
	RCPT_UNKNOWN,
	RCPT_GOOD,
	RCPT_REFUSED,
	RCPT_PUT_OFF /* a 4xx, told once: looking it up takes it out */
};

struct rcpt_cache;

struct rcpt_cache *rcpt_cache_new(unsigned max_entries);
void rcpt_cache_free(struct rcpt_cache **cache);

/* client: the address that the server is told (client_info proxy_v2, xclient); NULL: it sees only
 * ours. */
uint64_t rcpt_cache_key(const struct rcpt_cache *cache, struct span backend, struct span from,
	struct span to, const struct ip *client);

/* reply is set for RCPT_REFUSED and RCPT_PUT_OFF; its text is borrowed until the next rcpt_cache_
 * call. */
enum rcpt_answer rcpt_cache_get(
	struct rcpt_cache *cache, uint64_t key, uint64_t now_ms, struct reply *reply);

/* reply: NULL for RCPT_GOOD; its text is copied, at most RCPT_CACHE_TEXT_MAX bytes of it. Replaces
 * what was there. */
void rcpt_cache_put(struct rcpt_cache *cache, uint64_t key, uint64_t now_ms, uint64_t ttl_ms,
	enum rcpt_answer answer, const struct reply *reply);

void rcpt_cache_forget(struct rcpt_cache *cache, uint64_t key);

unsigned rcpt_cache_count(const struct rcpt_cache *cache);

#endif

/*
 * reputation: what is remembered of a client's network, of its AS, of a domain that was proved to
 * be the sender's: how often it was good, how often bad, how often it sent to a trap. The counts
 * halve each week, so that nobody stays good or bad for ever.
 *
 *     keys    net 192.0.2.0/24    net 2001:db8::/64    asn 64500    domain example.com
 */
#ifndef STORE_REPUTATION_H
#define STORE_REPUTATION_H

#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "lib/base/ip.h"

#define REPUTATION_HALF_LIFE_MS (7LL * 24 * 3600 * 1000)

enum { REPUTATION_KEYS_MAX = 8 /* in one REP_LOOK */ };

struct reputation {
	double good, bad, traps;
};

/* From -1 to 1. prior: what is thought of one of whom nothing is known, likewise; it counts as much
 * as ten messages do. */
double reputation_value(const struct reputation *counts, double prior);

/* Whether it belongs into a list of those who are known to be good: much came, next to nothing of
 * it was bad, and no trap was met. */
bool known_good(const struct reputation *counts);

/* So much later. */
void reputation_fade(struct reputation *counts, uint64_t age_ms);

/* A line "GOOD BAD TRAPS", as REP_LOOK answers; and takes one off the front. false: out is full;
 * it is none. */
bool reputation_write(const struct reputation *counts, struct buffer *out) MUST_CHECK;
bool reputation_read(struct span *lines, struct reputation *out) MUST_CHECK;

/* A count of REP_ADD: a decimal number from 0 to 1000. */
bool reputation_read_part(struct span part, double *out) MUST_CHECK;

/* The keys. false: out is full. */
bool reputation_key_of_client(const struct ip *client, struct buffer *out) MUST_CHECK;
bool reputation_key_of_asn(uint64_t asn, struct buffer *out) MUST_CHECK;
bool reputation_key_of_domain(struct span domain, struct buffer *out) MUST_CHECK;

#endif

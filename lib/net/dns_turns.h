/*
 * dns_turns: private to dns.c: whose question goes out next, of those for names that strangers
 * chose.
 *
 * Who sends mail also chooses what is asked about it: the name in HELO, the domain in MAIL, the
 * servers of the zone of its address. Servers that are slow on purpose keep a question under way
 * for seconds, also when nobody wants its answer any more, and only so many go out side by side. So
 * strangers have a part of these places, one stranger a small part of that, and the others wait in
 * line; blocklists and whatever else an admin named find places free whatever strangers do.
 */
#ifndef NET_DNS_TURNS_H
#define NET_DNS_TURNS_H

#include "lib/net/dns.h"

enum {
	TURNS_MAX = 192, /* of the 256 that go out side by side (outgoing-range) */
	TURNS_EACH = 16, /* of one stranger */
	TURNS_BUCKETS = 4096
};

struct dns_turns {
	struct dns_query *first, *last; /* in line; borrowed */
	unsigned n_waiting, n_asking;
	uint8_t asking[TURNS_BUCKETS]; /* of strangers, by hash: some share their places */
	uint8_t key[16];               /* random: nobody finds out who shares with whom */
};

/* Whether the stranger may ask now; then it is counted until turns_give. */
bool turns_take(struct dns_turns *turns, uint64_t stranger) MUST_CHECK;
void turns_give(struct dns_turns *turns, uint64_t stranger);

/* Into the line, and out of it. */
void turns_wait(struct dns_turns *turns, struct dns_query *query);
void turns_leave(struct dns_turns *turns, struct dns_query *query);

/* The next in line who may ask, out of the line and counted; NULL: none. */
struct dns_query *turns_next(struct dns_turns *turns) MUST_CHECK;

#endif

/*
 * grey: how greylisting names whom it puts off, and what the store says of them. The key is text
 * that people can read and write:
 *
 *     192.0.2.0/24 ann@example.com bob@example.net
 *     example.com <> bob@example.net
 *
 * The network stands for the client, since large senders come again from a neighbour; where SPF has
 * passed its domain does, since the largest come again from anywhere.
 */
#ifndef STORE_GREY_H
#define STORE_GREY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "lib/base/ip.h"

struct grey_triplet {
	struct ip client;
	struct span spf_domain; /* of a pass; empty: the network counts */
	struct span from;       /* the reverse-path; empty: the null one */
	struct span to;
};

/* Without case. false: out is full. */
bool grey_key_write(const struct grey_triplet *triplet, struct buffer *out) MUST_CHECK;

/* "192.0.2.0/24", "2001:db8::/64": the network that stands for an address. */
bool network_write(const struct ip *ip, struct buffer *out) MUST_CHECK;

/* What GREY_LOOK answers. */
enum grey_state { GREY_NEVER, GREY_WAITING, GREY_KNOWN };
struct grey {
	enum grey_state state;
	uint64_t age_ms, tries;
};
bool grey_read(struct span answer, struct grey *out) MUST_CHECK;

#endif

/*
 * list_cidr: from an address to the number of the longest prefix that covers it, for IPv4 and IPv6
 * in one. Filled, then sealed; a lookup is a binary search.
 */
#ifndef POLICY_LIST_CIDR_H
#define POLICY_LIST_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/ip.h"

struct list_prefix;   /* in list_cidr.c: one that was added */
struct list_address6; /* and the first address of an interval */

/* The intervals that the prefixes of one family cut its addresses into: each begins at its start
 * and ends before the next. */
struct list_intervals {
	union {
		uint32_t *v4;
		struct list_address6 *v6;
	} starts;        /* owned, ascending */
	uint32_t *items; /* owned; which prefix covers the interval, or none */
	size_t count;
};

struct list_cidr {
	struct list_prefix *added; /* owned; NULL once sealed */
	size_t n_added;
	size_t room;
	struct list_intervals v4, v6;
	size_t count; /* different prefixes, once sealed */
};

/* All zero is an empty one. Numbers stay below UINT32_MAX and rise; of the same prefix added twice
 * the last one holds. */
void list_cidr_add(struct list_cidr *cidr, const struct cidr *network, uint32_t item);
void list_cidr_seal(struct list_cidr *cidr);
void list_cidr_free(struct list_cidr *cidr);
size_t list_cidr_size(const struct list_cidr *cidr);

bool list_cidr_find(const struct list_cidr *cidr, const struct ip *ip, uint32_t *item);

#endif

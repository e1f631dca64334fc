/*
 * dmarc_destinations: where a DMARC aggregate report may go: the addresses in `rua` of the record,
 * those of other organizations only if these have said in DNS that they take reports about the
 * domain (RFC 9990, "Verifying External Destinations"), and only those that take a report of that
 * size.
 */
#ifndef ADMIN_DMARC_DESTINATIONS_H
#define ADMIN_DMARC_DESTINATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/span.h"
#include "lib/net/dns.h"

enum { DMARC_DESTINATIONS_MAX = 10 };

enum dmarc_destination_state {
	DESTINATION_TAKES, /* send it there */
	DESTINATION_NOT,   /* do not: `why` */
	DESTINATION_UNSURE /* DNS has failed, or was not asked: try again later */
};

/* Texts lie in the arena. */
struct dmarc_destination {
	const char *uri; /* as the record has it */
	const char *mailbox;
	const char *host;
	uint64_t limit_bytes; /* 0: none */
	enum dmarc_destination_state state;
	const char *why; /* for people; of TAKES: how that is known */
};

struct dmarc_destinations {
	struct dmarc_destination items[DMARC_DESTINATIONS_MAX];
	size_t n;
	bool more; /* the record has others, which are left out */
};

/* What a DMARC record asks for, nothing of it verified: all are UNSURE or NOT. What is no address
 * is passed over. */
void dmarc_destinations_read(struct span text, struct arena *arena, struct dmarc_destinations *out);

/* Asks DNS, and waits for it on the loop. domain: of the record. size_bytes: of the report as mail
 * carries it. */
void dmarc_destinations_verify(struct dmarc_destinations *all, const char *domain,
	uint64_t size_bytes, struct dns *dns, struct loop *loop, struct arena *arena);

#endif

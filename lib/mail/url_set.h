/*
 * url_set: different addresses and their different hosts, in the order in which they came, up to a
 * stated number.
 */
#ifndef MAIL_URL_SET_H
#define MAIL_URL_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/mail/url.h"

struct url_set {
	struct arena *arena; /* borrowed: texts and hosts are copied there */
	size_t max;
	struct url *urls; /* owned, as the next three; NULL until the first one */
	struct span *domains;
	uint16_t *url_slots, *domain_slots; /* index + 1 by hash; 0: free */
	size_t slot_count;
	size_t url_count, domain_count;
};

/* max < 65535; costs nothing until something is added. */
void url_set_init(struct url_set *set, struct arena *arena, size_t max);
void url_set_free(struct url_set *set);

/* false: the set is full, and this one is not in it. */
bool url_set_add(struct url_set *set, const struct url *url) MUST_CHECK;

/* Bytes owned, without what lies in the arena. */
size_t url_set_memory(const struct url_set *set);

#endif

/*
 * Two open-addressed tables of indexes, at most half full. Their hash has a fixed key: with so few
 * entries, a sender that finds collisions gains little.
 */
#include "lib/mail/url_set.h"

#include <stdlib.h>

#include "lib/base/fail.h"

void url_set_init(struct url_set *set, struct arena *arena, size_t max)
{
	ENSURE(max < UINT16_MAX);
	*set = (struct url_set){.arena = arena, .max = max};
}

void url_set_free(struct url_set *set)
{
	free(set->urls);
	free(set->domains);
	free(set->url_slots);
	free(set->domain_slots);
	url_set_init(set, set->arena, set->max);
}

static void make_tables(struct url_set *set)
{
	set->slot_count = 16;
	while (set->slot_count < 2 * set->max)
		set->slot_count *= 2;
	set->urls = memory_new((set->max + 1) * sizeof(*set->urls));
	set->domains = memory_new((set->max + 1) * sizeof(*set->domains));
	set->url_slots = memory_zeroed(set->slot_count * sizeof(*set->url_slots));
	set->domain_slots = memory_zeroed(set->slot_count * sizeof(*set->domain_slots));
}

static size_t first_slot(const struct url_set *set, struct span key)
{
	static const uint8_t fixed[16];

	return span_hash(key, fixed) & (set->slot_count - 1);
}

/* The slot of an address, or the free one where it belongs. */
static uint16_t *url_slot(const struct url_set *set, struct span text)
{
	size_t i = first_slot(set, text);

	while (set->url_slots[i] && !span_equal(set->urls[set->url_slots[i] - 1].text, text))
		i = (i + 1) & (set->slot_count - 1);
	return &set->url_slots[i];
}

static uint16_t *domain_slot(const struct url_set *set, struct span host)
{
	size_t i = first_slot(set, host);

	while (set->domain_slots[i] && !span_equal(set->domains[set->domain_slots[i] - 1], host))
		i = (i + 1) & (set->slot_count - 1);
	return &set->domain_slots[i];
}

static void add_domain(struct url_set *set, struct span host)
{
	uint16_t *slot = domain_slot(set, host);

	if (*slot)
		return;
	set->domains[set->domain_count++] = host;
	*slot = (uint16_t)set->domain_count;
}

bool url_set_add(struct url_set *set, const struct url *url)
{
	struct url *kept;
	uint16_t *slot;

	if (!set->urls)
		make_tables(set);
	slot = url_slot(set, url->text);
	if (*slot)
		return true;
	if (set->url_count == set->max)
		return false;
	kept = &set->urls[set->url_count++];
	kept->text = arena_span(set->arena, url->text);
	kept->host = arena_span(set->arena, url->host);
	*slot = (uint16_t)set->url_count;
	add_domain(set, kept->host);
	return true;
}

size_t url_set_memory(const struct url_set *set)
{
	if (!set->urls)
		return 0;
	return (set->max + 1) * (sizeof(*set->urls) + sizeof(*set->domains)) +
	       set->slot_count * (sizeof(*set->url_slots) + sizeof(*set->domain_slots));
}

/*
 * Prefixes nest or are apart, so a stack turns them, sorted, into intervals without overlap, each
 * with the longest prefix that covers it: at most two for each prefix. One search then answers,
 * however deep they nest, in 16 bytes a prefix for IPv4 and 40 for IPv6. A lookup among
 * 100,000 prefixes was measured at 110 to 130 ns, so a trie was not tried.
 */
#include "policy/list_cidr.h"

#include <stdlib.h>

#include "lib/base/fail.h"

enum { NO_ITEM = UINT32_MAX, DEPTH_MAX = 129 };

/* An IPv4 address stands in the low 32 bits. */
struct list_address6 {
	uint64_t high, low;
};

struct list_prefix {
	struct list_address6 first;
	uint32_t item;
	uint8_t bits;
	uint8_t family; /* enum ip_family */
};

static uint64_t load_big(const uint8_t *bytes, unsigned count)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < count; i++)
		value = value << 8 | bytes[i];
	return value;
}

static struct list_address6 address_of(const struct ip *ip)
{
	if (ip->family == IP_V4)
		return (struct list_address6){0, load_big(ip->bytes, 4)};
	return (struct list_address6){load_big(ip->bytes, 8), load_big(ip->bytes + 8, 8)};
}

static int address_compare(struct list_address6 a, struct list_address6 b)
{
	if (a.high != b.high)
		return a.high < b.high ? -1 : 1;
	return (a.low > b.low) - (a.low < b.low);
}

/* --- filling --- */

void list_cidr_add(struct list_cidr *cidr, const struct cidr *network, uint32_t item)
{
	ENSURE(item < NO_ITEM);
	if (cidr->n_added == cidr->room) {
		cidr->room = cidr->room ? cidr->room * 2 : 16;
		cidr->added = memory_resize(cidr->added, cidr->room * sizeof(*cidr->added));
	}
	cidr->added[cidr->n_added++] = (struct list_prefix){
		.first = address_of(&network->ip),
		.item = item,
		.bits = network->prefix_bits,
		.family = (uint8_t)network->ip.family,
	};
}

/* By family, then by address; an outer prefix before those inside it, the same one in the order of
 * its items. */
static int prefix_compare(const void *left, const void *right)
{
	const struct list_prefix *a = left, *b = right;
	int order;

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	order = address_compare(a->first, b->first);
	if (order)
		return order;
	if (a->bits != b->bits)
		return a->bits < b->bits ? -1 : 1;
	return a->item < b->item ? -1 : a->item > b->item;
}

static bool prefix_same(const struct list_prefix *a, const struct list_prefix *b)
{
	return a->family == b->family && a->bits == b->bits &&
	       address_compare(a->first, b->first) == 0;
}

/* Sorts, and of the same prefix keeps the last. */
static void sort_and_thin(struct list_cidr *cidr)
{
	size_t kept = 0;

	if (cidr->n_added)
		qsort(cidr->added, cidr->n_added, sizeof(*cidr->added), prefix_compare);
	for (size_t i = 0; i < cidr->n_added; i++) {
		if (kept && prefix_same(&cidr->added[kept - 1], &cidr->added[i]))
			kept--;
		cidr->added[kept++] = cidr->added[i];
	}
	cidr->n_added = cidr->count = kept;
}

/* --- from prefixes to intervals --- */

/* The address behind the last one of a prefix; false: there is none. */
static bool address_behind(const struct list_prefix *prefix, struct list_address6 *out)
{
	unsigned host_bits = (prefix->family == IP_V4 ? 32U : 128U) - prefix->bits;
	struct list_address6 a = prefix->first;

	if (host_bits >= 64) {
		if (host_bits == 128)
			return false;
		a.high += 1ULL << (host_bits - 64);
		*out = a;
		return a.high != 0;
	}
	a.low += 1ULL << host_bits;
	if (prefix->family == IP_V4) {
		*out = a;
		return a.low <= UINT32_MAX;
	}
	if (a.low == 0)
		a.high++;
	*out = a;
	return a.low != 0 || a.high != 0;
}

static struct list_address6 interval_start(
	const struct list_intervals *out, enum ip_family family, size_t i)
{
	if (family == IP_V4)
		return (struct list_address6){0, out->starts.v4[i]};
	return out->starts.v6[i];
}

/* From `start` on it is this item. One that begins at the same address takes its place. */
static void interval_begin(struct list_intervals *out, enum ip_family family,
	struct list_address6 start, uint32_t item)
{
	if (out->count && address_compare(interval_start(out, family, out->count - 1), start) == 0)
		out->count--;
	if (family == IP_V4)
		out->starts.v4[out->count] = (uint32_t)start.low;
	else
		out->starts.v6[out->count] = start;
	out->items[out->count++] = item;
}

/* The prefixes that are open at the place that the sweep has come to, outermost first. */
struct stack {
	const struct list_prefix *open[DEPTH_MAX];
	unsigned depth;
};

/* Closes those that end at `until` or before; NULL: all. */
static void close_prefixes(struct list_intervals *out, enum ip_family family, struct stack *stack,
	const struct list_address6 *until)
{
	while (stack->depth) {
		struct list_address6 behind;
		bool more = address_behind(stack->open[stack->depth - 1], &behind);

		if (until && (!more || address_compare(behind, *until) > 0))
			return;
		stack->depth--;
		if (more)
			interval_begin(out, family, behind,
				stack->depth ? stack->open[stack->depth - 1]->item : NO_ITEM);
	}
}

static size_t start_size(enum ip_family family)
{
	return family == IP_V4 ? sizeof(uint32_t) : sizeof(struct list_address6);
}

/* Gives back what the guess of two intervals for each prefix was too high. */
static void set_room(struct list_intervals *out, enum ip_family family, size_t room)
{
	out->items = memory_resize(out->items, room * sizeof(*out->items));
	if (family == IP_V4)
		out->starts.v4 = memory_resize(out->starts.v4, room * start_size(family));
	else
		out->starts.v6 = memory_resize(out->starts.v6, room * start_size(family));
}

static void make_intervals(struct list_intervals *out, enum ip_family family,
	const struct list_prefix *sorted, size_t count)
{
	struct stack stack = {.depth = 0};

	if (count == 0)
		return;
	set_room(out, family, 2 * count);
	for (const struct list_prefix *p = sorted; p < sorted + count; p++) {
		close_prefixes(out, family, &stack, &p->first);
		ENSURE(stack.depth < DEPTH_MAX);
		stack.open[stack.depth++] = p;
		interval_begin(out, family, p->first, p->item);
	}
	close_prefixes(out, family, &stack, NULL);
	ENSURE(out->count <= 2 * count);
	set_room(out, family, out->count);
}

void list_cidr_seal(struct list_cidr *cidr)
{
	size_t v4 = 0;

	sort_and_thin(cidr);
	while (v4 < cidr->n_added && cidr->added[v4].family == IP_V4)
		v4++;
	make_intervals(&cidr->v4, IP_V4, cidr->added, v4);
	if (v4 < cidr->n_added)
		make_intervals(&cidr->v6, IP_V6, cidr->added + v4, cidr->n_added - v4);
	free(cidr->added);
	cidr->added = NULL;
	cidr->n_added = cidr->room = 0;
}

void list_cidr_free(struct list_cidr *cidr)
{
	free(cidr->added);
	free(cidr->v4.starts.v4);
	free(cidr->v4.items);
	free(cidr->v6.starts.v6);
	free(cidr->v6.items);
	*cidr = (struct list_cidr){.added = NULL};
}

size_t list_cidr_size(const struct list_cidr *cidr)
{
	return cidr->room * sizeof(*cidr->added) +
	       cidr->v4.count * (start_size(IP_V4) + sizeof(uint32_t)) +
	       cidr->v6.count * (start_size(IP_V6) + sizeof(uint32_t));
}

/* --- lookups --- */

/* How many intervals begin at the address or before it. The step halves whatever is found, so that
 * the compiler needs no branch that is guessed wrong every other time. */
static size_t begun_v4(const struct list_intervals *in, uint32_t address)
{
	const uint32_t *base = in->starts.v4;
	size_t left = in->count;

	while (left > 1) {
		size_t half = left / 2;

		base += base[half - 1] <= address ? half : 0;
		left -= half;
	}
	return (size_t)(base - in->starts.v4) + (*base <= address);
}

static bool is_up_to(const struct list_address6 *start, const struct list_address6 *address)
{
	return (start->high < address->high) |
	       ((start->high == address->high) & (start->low <= address->low));
}

static size_t begun_v6(const struct list_intervals *in, struct list_address6 address)
{
	const struct list_address6 *base = in->starts.v6;
	size_t left = in->count;

	while (left > 1) {
		size_t half = left / 2;

		base += is_up_to(&base[half - 1], &address) ? half : 0;
		left -= half;
	}
	return (size_t)(base - in->starts.v6) + is_up_to(base, &address);
}

bool list_cidr_find(const struct list_cidr *cidr, const struct ip *ip, uint32_t *item)
{
	const struct list_intervals *in = ip->family == IP_V4 ? &cidr->v4 : &cidr->v6;
	struct list_address6 address = address_of(ip);
	size_t begun;

	if (ip->family == IP_NONE || in->count == 0)
		return false;
	begun = ip->family == IP_V4 ? begun_v4(in, (uint32_t)address.low) : begun_v6(in, address);
	if (begun == 0 || in->items[begun - 1] == NO_ITEM)
		return false;
	*item = in->items[begun - 1];
	return true;
}

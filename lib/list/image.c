#include "lib/list/image.h"

#include "lib/base/fail.h"
#include "lib/list/image_format.h"

/* --- opening --- */

/* Whether so many things of a size lie at a place within the block. */
static bool lies_within(const struct image_head *head, uint32_t at, size_t size, uint64_t n)
{
	return at % (size < 4 ? size : 4) == 0 && at >= sizeof(*head) && at <= head->size &&
	       n * size <= head->size - at;
}

static bool may_lie_within(const struct image_head *head, uint32_t at, size_t size, uint64_t n)
{
	return at == 0 || lies_within(head, at, size, n);
}

static bool head_fits(const struct image_head *head, size_t len)
{
	return head->magic == IMAGE_MAGIC && head->version == IMAGE_VERSION &&
	       head->kind < IMAGE_KINDS && head->size == len && head->n > 0 &&
	       head->n < IMAGE_NONE &&
	       may_lie_within(head, head->reasons, sizeof(uint32_t), head->n) &&
	       may_lie_within(head, head->expiries, sizeof(uint32_t), head->n) &&
	       lies_within(head, head->pool, 1, head->pool_size);
}

static bool addresses_fit(const struct image_head *head)
{
	return lies_within(head, head->firsts, head->kind == IMAGE_V4 ? 4 : 16, head->n) &&
	       lies_within(head, head->bits, 1, head->n) && head->range_shift < 64 &&
	       head->n_ranges > 0 &&
	       lies_within(head, head->ranges, sizeof(uint32_t), (uint64_t)head->n_ranges + 1) &&
	       may_lie_within(head, head->parents, sizeof(uint32_t), head->n);
}

static bool texts_fit(const struct image_head *head)
{
	uint64_t slots = (uint64_t)head->slot_mask + 1;

	return lies_within(head, head->keys, sizeof(uint32_t), head->n) &&
	       lies_within(head, head->lens, sizeof(uint16_t), 2 * (uint64_t)head->n) &&
	       (slots & head->slot_mask) == 0 && slots > head->n &&
	       lies_within(head, head->slots, sizeof(uint32_t), slots);
}

bool image_open(struct image *out, struct span bytes, struct err *err)
{
	const struct image_head *head = (const void *)bytes.at;
	const char *at = bytes.at;

	if (bytes.len < sizeof(*head) || (uintptr_t)bytes.at % 8 || !head_fits(head, bytes.len))
		return err_set(err, "these %zu bytes are no list", bytes.len);
	if (head->kind == IMAGE_TEXT ? !texts_fit(head) : !addresses_fit(head))
		return err_set(err, "the list in these %zu bytes is torn", bytes.len);
	*out = (struct image){
		.bytes = bytes, .head = head, .kind = (enum image_kind)head->kind, .n = head->n};
	out->reasons = head->reasons ? (const void *)(at + head->reasons) : NULL;
	out->expiries = head->expiries ? (const void *)(at + head->expiries) : NULL;
	out->pool = at + head->pool;
	if (head->kind == IMAGE_TEXT) {
		out->keys = (const void *)(at + head->keys);
		out->lens = (const void *)(at + head->lens);
		out->slots = (const void *)(at + head->slots);
		return true;
	}
	out->v4 = head->kind == IMAGE_V4 ? (const void *)(at + head->firsts) : NULL;
	out->v6 = head->kind == IMAGE_V6 ? (const void *)(at + head->firsts) : NULL;
	out->bits = (const void *)(at + head->bits);
	out->ranges = (const void *)(at + head->ranges);
	out->parents = head->parents ? (const void *)(at + head->parents) : NULL;
	return true;
}

/* --- addresses --- */

static enum image_kind kind_of(const struct ip *ip)
{
	return ip->family == IP_V4 ? IMAGE_V4 : ip->family == IP_V6 ? IMAGE_V6 : IMAGE_KINDS;
}

static struct ip first_of(const struct image *image, uint32_t number)
{
	struct ip ip = {.family = IP_V6};

	if (image->kind == IMAGE_V4)
		return image_network_v4(image->v4[number], 32).ip;
	memcpy(ip.bytes, image->v6[number], 16);
	return ip;
}

/* Among which the last one that begins at the address or before it stands; false: all begin behind
 * it. */
static bool find_range(
	const struct image *image, const struct ip *ip, uint32_t *low, uint32_t *high)
{
	struct ip first = first_of(image, 0);
	uint64_t range;

	if (memcmp(ip->bytes, first.bytes, sizeof(first.bytes)) < 0)
		return false;
	range = (image_high(ip) - image_high(&first)) >> image->head->range_shift;
	if (range >= image->head->n_ranges)
		range = image->head->n_ranges - 1;
	*low = image->ranges[range];
	*high = image->ranges[range + 1];
	if (*high > image->n)
		*high = image->n;
	return *low <= *high;
}

/* How many begin at the address or before it. */
static uint32_t count_v4(const struct image *image, uint32_t address, uint32_t low, uint32_t high)
{
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (image->v4[middle] <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint32_t count_v6(
	const struct image *image, const uint8_t address[16], uint32_t low, uint32_t high)
{
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (memcmp(image->v6[middle], address, 16) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool v6_covers(const uint8_t first[16], unsigned bits, const uint8_t address[16])
{
	unsigned whole = bits / 8, rest = bits % 8;

	return memcmp(first, address, whole) == 0 &&
	       (rest == 0 || ((first[whole] ^ address[whole]) >> (8 - rest)) == 0);
}

static bool covers(const struct image *image, uint32_t number, const struct ip *ip)
{
	unsigned bits = image->bits[number];

	if (image->kind == IMAGE_V4)
		return bits == 0 ||
		       (bits <= 32 && (image->v4[number] ^ image_v4(ip)) >> (32 - bits) == 0);
	return bits <= 128 && v6_covers(image->v6[number], bits, ip->bytes);
}

uint32_t image_parent(const struct image *image, uint32_t number)
{
	uint32_t parent = image->parents ? image->parents[number] : IMAGE_NONE;

	return parent < number ? parent : IMAGE_NONE;
}

/* Prefixes are nested or apart: the last one that begins before the address covers it, or one
 * around that one does, or none. */
uint32_t image_find_ip(const struct image *image, const struct ip *ip)
{
	uint32_t number, low, high;

	if (kind_of(ip) != image->kind || !find_range(image, ip, &low, &high))
		return IMAGE_NONE;
	number = image->kind == IMAGE_V4 ? count_v4(image, image_v4(ip), low, high)
					 : count_v6(image, ip->bytes, low, high);
	if (number-- == 0)
		return IMAGE_NONE;
	while (number != IMAGE_NONE && !covers(image, number, ip))
		number = image_parent(image, number);
	return number;
}

uint32_t image_find_network(const struct image *image, const struct cidr *network)
{
	uint32_t number = image_find_ip(image, &network->ip);

	while (number != IMAGE_NONE && image->bits[number] > network->prefix_bits)
		number = image_parent(image, number);
	return number != IMAGE_NONE && image->bits[number] == network->prefix_bits ? number
										   : IMAGE_NONE;
}

/* --- texts --- */

/* A place and length in the pool; what lies outside of it is empty. */
static struct span pool_text(const struct image *image, uint64_t at, size_t len)
{
	if (at > image->head->pool_size || len > image->head->pool_size - at)
		return SPAN("");
	return span_make(image->pool + at, len);
}

static struct span key_of(const struct image *image, uint32_t number)
{
	return pool_text(image, image->keys[number], image->lens[2 * (size_t)number]);
}

uint32_t image_find_key(const struct image *image, struct span key)
{
	uint32_t mask = image->head->slot_mask, at, number;

	if (image->kind != IMAGE_TEXT)
		return IMAGE_NONE;
	at = (uint32_t)span_hash(key, image->head->hash_key) & mask;
	for (uint32_t steps = 0; steps <= mask; steps++, at = (at + 1) & mask) {
		number = image->slots[at];
		if (number >= image->n)
			return IMAGE_NONE;
		if (span_equal(key_of(image, number), key))
			return number;
	}
	return IMAGE_NONE;
}

/* --- items --- */

uint8_t image_bits(const struct image *image, uint32_t number)
{
	return image->bits[number];
}

static uint32_t expires(const struct image *image, uint32_t number)
{
	return image->expiries ? image->expiries[number] : IMAGE_FOR_GOOD;
}

bool image_is_alive(const struct image *image, uint32_t number, uint32_t now_s)
{
	uint32_t expires_s = expires(image, number);

	return expires_s == IMAGE_FOR_GOOD || expires_s > now_s;
}

static struct cidr network_of(const struct image *image, uint32_t number)
{
	struct cidr network = {.prefix_bits = image->bits[number]};

	if (image->kind == IMAGE_V4)
		return image_network_v4(image->v4[number], network.prefix_bits);
	network.ip.family = IP_V6;
	memcpy(network.ip.bytes, image->v6[number], 16);
	return network;
}

/* Two bytes of length, then the text. */
static struct span reason_of(const struct image *image, uint32_t number)
{
	uint32_t at = image->reasons ? image->reasons[number] : 0;
	struct span head = pool_text(image, at, 2);

	if (at == 0 || head.len < 2)
		return SPAN("");
	return pool_text(
		image, (uint64_t)at + 2, (size_t)((uint8_t)head.at[0] | (uint8_t)head.at[1] << 8));
}

void image_get(const struct image *image, uint32_t number, struct image_item *out)
{
	*out = (struct image_item){
		.reason = reason_of(image, number), .expires_s = expires(image, number)};
	if (image->kind != IMAGE_TEXT) {
		out->network = network_of(image, number);
		return;
	}
	out->key = key_of(image, number);
	out->item = pool_text(image, (uint64_t)image->keys[number] + out->key.len,
		image->lens[2 * (size_t)number + 1]);
	if (out->item.len == 0)
		out->item = out->key;
}

int image_compare(enum image_kind kind, const struct image_item *a, const struct image_item *b)
{
	size_t shorter;
	int order;

	if (kind != IMAGE_TEXT) {
		order = memcmp(a->network.ip.bytes, b->network.ip.bytes, 16);
		return order ? order : a->network.prefix_bits - b->network.prefix_bits;
	}
	shorter = a->key.len < b->key.len ? a->key.len : b->key.len;
	order = shorter ? memcmp(a->key.at, b->key.at, shorter) : 0;
	return order ? order : (a->key.len > b->key.len) - (a->key.len < b->key.len);
}

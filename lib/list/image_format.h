/* image_format: what the one who writes images and the one who reads them share. Private to
 * image.c and image_write.c. */
#ifndef LIST_IMAGE_FORMAT_H
#define LIST_IMAGE_FORMAT_H

#include "lib/list/image.h"

enum { IMAGE_MAGIC = 0x69736c70, IMAGE_VERSION = 1 };

static inline uint32_t image_v4(const struct ip *ip)
{
	return (uint32_t)ip->bytes[0] << 24 | (uint32_t)ip->bytes[1] << 16 |
	       (uint32_t)ip->bytes[2] << 8 | ip->bytes[3];
}

/* The high bits of an address, by which ranges are told apart. */
static inline uint64_t image_high(const struct ip *ip)
{
	uint64_t high = (uint64_t)image_v4(ip) << 32;

	for (unsigned i = 4; i < 8; i++)
		high |= (uint64_t)ip->bytes[i] << (8 * (7 - i));
	return high;
}

static inline struct cidr image_network_v4(uint32_t first, uint8_t bits)
{
	return (struct cidr){.ip = {.family = IP_V4,
				     .bytes = {(uint8_t)(first >> 24), (uint8_t)(first >> 16),
					     (uint8_t)(first >> 8), (uint8_t)first}},
		.prefix_bits = bits};
}

#endif

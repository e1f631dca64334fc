/*
 * ip: an IPv4 or IPv6 address, and networks of them. IPv4-mapped IPv6 addresses (RFC 4291
 * 2.5.5.2) become IPv4 wherever an address enters, so that 192.0.2.1 and ::ffff:192.0.2.1 are one.
 */
#ifndef BASE_IP_H
#define BASE_IP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/span.h"

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

struct ip {
	enum ip_family family;
	uint8_t bytes[16]; /* network order; the first 4 for IPv4, the rest 0 */
};

struct cidr {
	struct ip ip; /* host bits are 0 */
	uint8_t prefix_bits;
};

struct cidr_set {
	struct cidr *items; /* borrowed */
	size_t count;
};

/* An address with port; family IP_NONE: none known (a unix socket, say). */
struct endpoint {
	struct ip ip;
	uint16_t port;
};

/* Room for the longest text: an IPv6 address in brackets with its port. */
enum { IP_TEXT_SIZE = 64 };

/* Dotted quad or RFC 4291 text, no zone, no brackets. */
bool ip_parse(struct span text, struct ip *out) MUST_CHECK;
const char *ip_format(const struct ip *ip, char out[IP_TEXT_SIZE]);
bool ip_equal(const struct ip *a, const struct ip *b);

/* "192.0.2.0/24", or an address alone. host_bits: told whether host bits were set; may be NULL. */
bool cidr_parse(struct span text, struct cidr *out, bool *host_bits) MUST_CHECK;
bool cidr_contains(const struct cidr *net, const struct ip *ip);
bool cidr_set_contains(const struct cidr_set *set, const struct ip *ip);

/* The network of so many bits around an address. */
struct cidr cidr_around(const struct ip *ip, uint8_t prefix_bits);

struct endpoint endpoint_of(const struct sockaddr *address);
socklen_t endpoint_sockaddr(const struct endpoint *e, struct sockaddr_storage *out);

/* "192.0.2.1:25", "[2001:db8::1]:25". */
const char *endpoint_format(const struct endpoint *e, char out[IP_TEXT_SIZE]);
bool endpoint_parse(struct span text, struct endpoint *out) MUST_CHECK;

#endif

#include "lib/base/ip.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static struct ip ip_v4(const void *bytes)
{
	struct ip ip = {.family = IP_V4};

	memcpy(ip.bytes, bytes, 4);
	return ip;
}

static struct ip ip_v6(const void *bytes)
{
	struct ip ip = {.family = IP_V6};

	if (memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0)
		return ip_v4((const char *)bytes + 12);
	memcpy(ip.bytes, bytes, 16);
	return ip;
}

bool ip_parse(struct span text, struct ip *out)
{
	char copy[INET6_ADDRSTRLEN];
	uint8_t bytes[16];

	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.at, '\0', text.len))
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	if (inet_pton(AF_INET, copy, bytes) == 1)
		*out = ip_v4(bytes);
	else if (inet_pton(AF_INET6, copy, bytes) == 1)
		*out = ip_v6(bytes);
	else
		return false;
	return true;
}

const char *ip_format(const struct ip *ip, char out[IP_TEXT_SIZE])
{
	switch (ip->family) {
	case IP_V4:
		return inet_ntop(AF_INET, ip->bytes, out, IP_TEXT_SIZE);
	case IP_V6:
		return inet_ntop(AF_INET6, ip->bytes, out, IP_TEXT_SIZE);
	case IP_NONE:
		break;
	}
	snprintf(out, IP_TEXT_SIZE, "unknown");
	return out;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

struct cidr cidr_around(const struct ip *ip, uint8_t prefix_bits)
{
	struct cidr net = {*ip, prefix_bits};

	for (unsigned i = 0; i < sizeof(net.ip.bytes); i++) {
		unsigned first = i * 8;

		if (first >= prefix_bits)
			net.ip.bytes[i] = 0;
		else if (first + 8 > prefix_bits)
			net.ip.bytes[i] &= (uint8_t)(0xff << (8 - (prefix_bits - first)));
	}
	return net;
}

bool cidr_parse(struct span text, struct cidr *out, bool *host_bits)
{
	size_t slash = span_find_char(text, '/');
	struct ip ip, plain;
	uint64_t bits, width;

	if (!ip_parse(span_first(text, slash), &ip))
		return false;
	plain = ip;
	width = ip.family == IP_V4 ? 32 : 128;
	bits = width;
	if (slash < text.len) {
		/* ::ffff:192.0.2.0/120 speaks of the mapped form: 96 bits are the prefix. */
		bool mapped = ip.family == IP_V4 && memchr(text.at, ':', slash);

		if (!span_number(span_from(text, slash + 1), mapped ? 128 : width, &bits))
			return false;
		if (mapped) {
			if (bits < 96)
				return false;
			bits -= 96;
		}
	}
	*out = cidr_around(&ip, (uint8_t)bits);
	if (host_bits)
		*host_bits = !ip_equal(&plain, &out->ip);
	return true;
}

bool cidr_contains(const struct cidr *net, const struct ip *ip)
{
	struct cidr around;

	if (net->ip.family != ip->family)
		return false;
	around = cidr_around(ip, net->prefix_bits);
	return ip_equal(&around.ip, &net->ip);
}

bool cidr_set_contains(const struct cidr_set *set, const struct ip *ip)
{
	for (size_t i = 0; i < set->count; i++)
		if (cidr_contains(&set->items[i], ip))
			return true;
	return false;
}

struct endpoint endpoint_of(const struct sockaddr *address)
{
	struct endpoint e = {.port = 0};

	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)address;

		e.ip = ip_v4(&in->sin_addr);
		e.port = ntohs(in->sin_port);
	} else if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;

		e.ip = ip_v6(&in6->sin6_addr);
		e.port = ntohs(in6->sin6_port);
	}
	return e;
}

socklen_t endpoint_sockaddr(const struct endpoint *e, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (e->ip.family == IP_V4) {
		struct sockaddr_in *in = (void *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(e->port);
		memcpy(&in->sin_addr, e->ip.bytes, 4);
		return sizeof(*in);
	}
	if (e->ip.family == IP_V6) {
		struct sockaddr_in6 *in6 = (void *)out;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(e->port);
		memcpy(&in6->sin6_addr, e->ip.bytes, 16);
		return sizeof(*in6);
	}
	return 0;
}

const char *endpoint_format(const struct endpoint *e, char out[IP_TEXT_SIZE])
{
	char ip[IP_TEXT_SIZE];

	ip_format(&e->ip, ip);
	if (e->ip.family == IP_V6)
		snprintf(out, IP_TEXT_SIZE, "[%.46s]:%u", ip, e->port);
	else
		snprintf(out, IP_TEXT_SIZE, "%.46s:%u", ip, e->port);
	return out;
}

bool endpoint_parse(struct span text, struct endpoint *out)
{
	struct span host, port;
	uint64_t number;

	if (text.len && text.at[0] == '[') {
		size_t close = span_find_char(text, ']');

		if (close + 1 >= text.len || text.at[close + 1] != ':')
			return false;
		host = span_make(text.at + 1, close - 1);
		port = span_from(text, close + 2);
	} else {
		size_t colon = span_find_char(text, ':');

		host = span_first(text, colon);
		port = span_from(text, colon + 1);
	}
	if (!span_number(port, 65535, &number) || !ip_parse(host, &out->ip))
		return false;
	out->port = (uint16_t)number;
	return true;
}

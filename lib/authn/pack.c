#include "lib/authn/pack.h"

static bool pack_bytes(struct buffer *out, const void *at, size_t size)
{
	return buffer_add(out, span_make(at, size));
}

bool pack_byte(struct buffer *out, uint8_t value)
{
	return pack_bytes(out, &value, sizeof(value));
}

bool pack_number(struct buffer *out, uint32_t value)
{
	return pack_bytes(out, &value, sizeof(value));
}

bool pack_long(struct buffer *out, uint64_t value)
{
	return pack_bytes(out, &value, sizeof(value));
}

bool pack_text(struct buffer *out, struct span text)
{
	return text.len <= UINT32_MAX && pack_number(out, (uint32_t)text.len) &&
	       buffer_add(out, text);
}

static size_t ip_size(enum ip_family family)
{
	return family == IP_V4 ? 4 : family == IP_V6 ? 16 : 0;
}

bool pack_ip(struct buffer *out, const struct ip *ip)
{
	return pack_byte(out, (uint8_t)ip->family) &&
	       pack_bytes(out, ip->bytes, ip_size(ip->family));
}

static bool unpack_bytes(struct span *from, void *out, size_t size)
{
	if (from->len < size)
		return false;
	if (size)
		memcpy(out, from->at, size);
	*from = span_from(*from, size);
	return true;
}

bool unpack_byte(struct span *from, uint8_t most, uint8_t *out)
{
	return unpack_bytes(from, out, sizeof(*out)) && *out <= most;
}

bool unpack_number(struct span *from, uint32_t most, uint32_t *out)
{
	return unpack_bytes(from, out, sizeof(*out)) && *out <= most;
}

bool unpack_long(struct span *from, uint64_t *out)
{
	return unpack_bytes(from, out, sizeof(*out));
}

bool unpack_text(struct span *from, struct span *out)
{
	uint32_t len;

	if (!unpack_number(from, UINT32_MAX, &len) || len > from->len)
		return false;
	*out = span_first(*from, len);
	*from = span_from(*from, len);
	return true;
}

bool unpack_ip(struct span *from, struct ip *out)
{
	uint8_t family;

	*out = (struct ip){0};
	if (!unpack_byte(from, IP_V6, &family) ||
		(family != IP_NONE && family != IP_V4 && family != IP_V6))
		return false;
	out->family = (enum ip_family)family;
	return unpack_bytes(from, out->bytes, ip_size(out->family));
}

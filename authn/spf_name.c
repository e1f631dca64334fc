#include "authn/spf_name.h"

#include <stdio.h>

/* As lib/net/dns.h leaves them. */
static bool is_plain(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (c && strchr("-_*+/=", c));
}

static bool is_name(struct span name)
{
	if (name.len == 0 || name.len > SPF_NAME_MAX)
		return false;
	for (size_t at = 0; at <= name.len;) {
		size_t len = span_find_char(span_from(name, at), '.');

		if (len == 0 || len > SPF_LABEL_MAX)
			return false;
		at += len + 1;
	}
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.at[i] >= 0x80)
			return false;
	return true;
}

bool spf_name_usual(struct span name, struct arena *arena, struct span *usual)
{
	size_t len = 0;
	char *text;

	if (name.len && name.at[name.len - 1] == '.')
		name.len--;
	if (!is_name(name))
		return false;
	text = arena_alloc(arena, 4 * name.len + 1);
	for (size_t i = 0; i < name.len; i++) {
		if (is_plain(name.at[i]) || name.at[i] == '.')
			text[len++] = ascii_lower(name.at[i]);
		else
			len += (size_t)snprintf(
				text + len, 5, "\\%03u", (unsigned)(unsigned char)name.at[i]);
	}
	*usual = span_make(text, len);
	return true;
}

bool spf_name_is_under(struct span name, struct span top)
{
	return span_ends_nocase(name, top) &&
	       (name.len == top.len || name.at[name.len - top.len - 1] == '.');
}

struct span spf_name_of_address(const struct ip *ip, struct arena *arena)
{
	const uint8_t *b = ip->bytes;
	char *text;
	size_t len = 0;

	if (ip->family == IP_V4)
		return span_text(
			arena_print(arena, "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]));
	text = arena_alloc(arena, sizeof(ip->bytes) * 4 + sizeof("ip6.arpa"));
	for (size_t i = sizeof(ip->bytes); i-- > 0;)
		len += (size_t)sprintf(text + len, "%x.%x.", b[i] & 0xfU, b[i] >> 4);
	memcpy(text + len, "ip6.arpa", sizeof("ip6.arpa"));
	return span_make(text, len + sizeof("ip6.arpa") - 1);
}

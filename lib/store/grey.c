#include "lib/store/grey.h"

enum { NETWORK_BITS_V4 = 24, NETWORK_BITS_V6 = 64 };

bool network_write(const struct ip *ip, struct buffer *out)
{
	uint8_t bits = ip->family == IP_V6 ? NETWORK_BITS_V6 : NETWORK_BITS_V4;
	struct cidr net = cidr_around(ip, bits);
	char text[IP_TEXT_SIZE];

	if (ip->family == IP_NONE)
		return buffer_add_text(out, "local");
	return buffer_print(out, "%s/%u", ip_format(&net.ip, text), bits);
}

/* Blanks and controls, which addresses may hold in quotes, would look like the next part. */
static bool write_part(struct span text, struct buffer *out)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)ascii_lower(text.at[i]);
		bool ok = c > ' ' && c != 0x7f && c != '%'
				  ? buffer_add(out, span_make((const char *)&c, 1))
				  : buffer_print(out, "%%%02x", c);

		if (!ok)
			return false;
	}
	return true;
}

bool grey_key_write(const struct grey_triplet *t, struct buffer *out)
{
	if (!(t->spf_domain.len ? write_part(t->spf_domain, out) : network_write(&t->client, out)))
		return false;
	return buffer_add_text(out, " ") &&
	       (t->from.len ? write_part(t->from, out) : buffer_add_text(out, "<>")) &&
	       buffer_add_text(out, " ") && write_part(t->to, out);
}

bool grey_read(struct span answer, struct grey *out)
{
	struct span word = span_word(&answer);

	*out = (struct grey){.state = GREY_NEVER};
	if (word.len == 0)
		return true;
	out->state = span_equal(word, SPAN("known")) ? GREY_KNOWN : GREY_WAITING;
	if (out->state == GREY_WAITING && !span_equal(word, SPAN("waiting")))
		return false;
	if (!span_number(span_word(&answer), UINT64_MAX / 2, &out->age_ms))
		return false;
	return out->state == GREY_KNOWN ||
	       span_number(span_word(&answer), UINT64_MAX / 2, &out->tries);
}

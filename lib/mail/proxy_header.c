/*
 * A header comes only from peers that the configuration lists, but it decides whose address all
 * else is judged by: so each form is read strictly, and what two readers could read differently
 * (leading zeros, odd blanks, a family that does not fit its length) is refused.
 */
#include "lib/mail/proxy_header.h"

enum { V2_HEAD = 16, V2_INET = 12, V2_INET6 = 36, V2_UNIX = 216 };

static const struct span v1_start = SPAN("PROXY ");
static const struct span v2_start = SPAN("\r\n\r\n\0\r\nQUIT\n");

static enum proxy_status bad(struct err *err, const char *text)
{
	err_set(err, "PROXY header: %s", text);
	return PROXY_BAD;
}

/* Whether all that is there of received agrees with start. */
static bool may_start(struct span received, struct span start)
{
	return span_starts(start, span_first(received, start.len));
}

/* --- version 1: one line of text --- */

/* Takes what stands before the next blank; exactly one blank parts the words. */
static struct span v1_word(struct span *rest)
{
	size_t end = span_find_char(*rest, ' ');
	struct span word = span_first(*rest, end);

	*rest = span_from(*rest, end + 1);
	return word;
}

/* Decimal without leading zeros. */
static bool v1_port(struct span word, uint16_t *out)
{
	uint64_t number;

	if ((word.len > 1 && word.at[0] == '0') || !span_number(word, 65535, &number))
		return false;
	*out = (uint16_t)number;
	return true;
}

/* The text's own family counts: TCP6 may carry a mapped IPv4 address. */
static bool v1_address(struct span word, bool v6, struct ip *out)
{
	return (span_find_char(word, ':') < word.len) == v6 && ip_parse(word, out);
}

static enum proxy_status v1_line(struct span line, struct proxy_header *out, struct err *err)
{
	struct span rest = span_from(line, v1_start.len), protocol = v1_word(&rest);
	bool v6 = span_equal(protocol, SPAN("TCP6"));

	if (span_equal(protocol, SPAN("UNKNOWN"))) {
		out->local = true;
		return PROXY_DONE;
	}
	if (!v6 && !span_equal(protocol, SPAN("TCP4")))
		return bad(err, "the protocol is not TCP4, TCP6 or UNKNOWN");
	if (!v1_address(v1_word(&rest), v6, &out->source.ip) ||
		!v1_address(v1_word(&rest), v6, &out->destination.ip))
		return bad(err, "an address does not fit its protocol");
	if (!v1_port(v1_word(&rest), &out->source.port) || !v1_port(rest, &out->destination.port))
		return bad(err, "a port is not a number up to 65535");
	return PROXY_DONE;
}

static enum proxy_status v1_parse(struct span received, struct proxy_header *out, struct err *err)
{
	struct span line = span_first(received, PROXY_V1_MAX);
	size_t end = 0;

	while (end < line.len && line.at[end] != '\r' && line.at[end] != '\n')
		end++;
	if (end == line.len || (line.at[end] == '\r' && end + 1 == line.len))
		return line.len < PROXY_V1_MAX ? PROXY_MORE
					       : bad(err, "version 1 is longer than 107 bytes");
	if (line.at[end] != '\r' || line.at[end + 1] != '\n')
		return bad(err, "version 1 does not end in CRLF");
	out->size = end + 2;
	return v1_line(span_first(line, end), out, err);
}

/* --- version 2: binary --- */

static uint16_t read_u16(const char *at)
{
	return (uint16_t)((unsigned char)at[0] << 8 | (unsigned char)at[1]);
}

static struct ip read_ip(const char *at, bool v6)
{
	struct sockaddr_storage address = {.ss_family = v6 ? AF_INET6 : AF_INET};

	/* By way of a sockaddr, so that mapped addresses become IPv4 in one place only. */
	if (v6)
		memcpy(&((struct sockaddr_in6 *)&address)->sin6_addr, at, 16);
	else
		memcpy(&((struct sockaddr_in *)&address)->sin_addr, at, 4);
	return endpoint_of((const struct sockaddr *)&address).ip;
}

static void v2_endpoints(const char *at, bool v6, struct proxy_header *out)
{
	size_t size = v6 ? 16 : 4;

	out->source.ip = read_ip(at, v6);
	out->destination.ip = read_ip(at + size, v6);
	out->source.port = read_u16(at + 2 * size);
	out->destination.port = read_u16(at + 2 * size + 2);
}

/* Type, two bytes of length, value: each within what is left. */
static bool v2_tlvs_valid(struct span tlvs)
{
	while (tlvs.len) {
		size_t size;

		if (tlvs.len < 3)
			return false;
		size = 3 + (size_t)read_u16(tlvs.at + 1);
		if (size > tlvs.len)
			return false;
		tlvs = span_from(tlvs, size);
	}
	return true;
}

/* What stands behind the 16 bytes of a PROXY command; the protocol byte's valid values are few. */
static enum proxy_status v2_body(
	unsigned char protocol, struct span body, struct proxy_header *out, struct err *err)
{
	size_t size;

	switch (protocol) {
	case 0x00: /* UNSPEC: the whole body is to be passed over */
		out->local = true;
		return PROXY_DONE;
	case 0x11:
		size = V2_INET;
		break;
	case 0x21:
		size = V2_INET6;
		break;
	case 0x31: /* a unix socket: no address that we could use */
		size = V2_UNIX;
		out->local = true;
		break;
	default:
		return bad(err, "version 2 with a family or protocol other than TCP");
	}
	if (body.len < size)
		return bad(err, "version 2 is too short for its family");
	if (!v2_tlvs_valid(span_from(body, size)))
		return bad(err, "version 2 with a TLV past its end");
	if (!out->local)
		v2_endpoints(body.at, size == V2_INET6, out);
	return PROXY_DONE;
}

static enum proxy_status v2_parse(struct span received, struct proxy_header *out, struct err *err)
{
	unsigned char command, protocol;
	size_t len;

	if (received.len > v2_start.len && (unsigned char)received.at[12] >> 4 != 2)
		return bad(err, "neither version 1 nor 2");
	if (received.len < V2_HEAD)
		return PROXY_MORE;
	command = (unsigned char)received.at[12] & 15;
	protocol = (unsigned char)received.at[13];
	len = read_u16(received.at + 14);
	if (command > 1)
		return bad(err, "version 2 with a command other than LOCAL or PROXY");
	if (len > PROXY_V2_MAX - V2_HEAD)
		return bad(err, "version 2 is too long");
	if (received.len < V2_HEAD + len)
		return PROXY_MORE;
	out->size = V2_HEAD + len;
	if (command == 0) {
		out->local = true;
		return PROXY_DONE;
	}
	return v2_body(protocol, span_make(received.at + V2_HEAD, len), out, err);
}

enum proxy_status proxy_header_parse(
	struct span received, struct proxy_header *out, struct err *err)
{
	*out = (struct proxy_header){.local = false};
	if (span_starts(received, v1_start))
		return v1_parse(received, out, err);
	if (span_starts(received, v2_start))
		return v2_parse(received, out, err);
	if (may_start(received, v1_start) || may_start(received, v2_start))
		return PROXY_MORE;
	return bad(err, "none stands at the start of the connection");
}

/* --- sending --- */

static char *put_ip(char *at, const struct ip *ip, bool v6)
{
	static const char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '\xff', '\xff'};

	if (v6 && ip->family == IP_V4) {
		memcpy(at, mapped, sizeof(mapped));
		at += sizeof(mapped);
	}
	memcpy(at, ip->bytes, ip->family == IP_V4 ? 4 : 16);
	return at + (ip->family == IP_V4 ? 4 : 16);
}

static char *put_u16(char *at, uint16_t number)
{
	at[0] = (char)(number >> 8);
	at[1] = (char)(number & 0xff);
	return at + 2;
}

size_t proxy_header_write(const struct endpoint *source, const struct endpoint *destination,
	char out[PROXY_V2_WRITE_MAX])
{
	bool local = source->ip.family == IP_NONE || destination->ip.family == IP_NONE;
	bool v6 = source->ip.family == IP_V6 || destination->ip.family == IP_V6;
	char *at = out;

	memcpy(at, v2_start.at, v2_start.len);
	at += v2_start.len;
	*at++ = local ? 0x20 : 0x21;
	*at++ = local ? 0x00 : v6 ? 0x21 : 0x11;
	at = put_u16(at, local ? 0 : v6 ? V2_INET6 : V2_INET);
	if (!local) {
		at = put_ip(at, &source->ip, v6);
		at = put_ip(at, &destination->ip, v6);
		at = put_u16(at, source->port);
		at = put_u16(at, destination->port);
	}
	return (size_t)(at - out);
}

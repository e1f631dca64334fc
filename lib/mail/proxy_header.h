/*
 * proxy_header: the PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt, 2020), as
 * receiver and as sender of version 2. Lengths are checked by family; TLVs are skipped within
 * bounds.
 */
#ifndef MAIL_PROXY_HEADER_H
#define MAIL_PROXY_HEADER_H

#include "lib/base/error.h"
#include "lib/base/ip.h"
#include "lib/base/span.h"

enum { PROXY_V1_MAX = 107, PROXY_V2_MAX = 16 + 2048, PROXY_V2_WRITE_MAX = 16 + 36 };

enum proxy_status { PROXY_MORE, PROXY_DONE, PROXY_BAD };

struct proxy_header {
	bool local; /* LOCAL or UNKNOWN: the connection's own addresses count */
	struct endpoint source, destination;
	size_t size; /* bytes of the header, to be taken off the input */
};

/* Looks at all bytes received so far (never more than PROXY_V2_MAX are needed). */
enum proxy_status proxy_header_parse(
	struct span received, struct proxy_header *out, struct err *err) MUST_CHECK;

/* Writes a version 2 header; either family unknown, or both of different families with no common
 * form: LOCAL. (An IPv4 address together with an IPv6 one is sent as IPv6 with the IPv4 one
 * mapped.) Returns its size. */
size_t proxy_header_write(const struct endpoint *source, const struct endpoint *destination,
	char out[PROXY_V2_WRITE_MAX]);

#endif

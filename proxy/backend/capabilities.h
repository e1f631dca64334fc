/*
 * backend_capabilities: what a server's answer to EHLO or LHLO offers (RFC 5321 4.1.1.1), as far as
 * we use it.
 */
#ifndef PROXY_BACKEND_CAPABILITIES_H
#define PROXY_BACKEND_CAPABILITIES_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"

enum backend_capability {
	CAN_PIPELINING = 1 << 0,
	CAN_SIZE = 1 << 1,
	CAN_8BITMIME = 1 << 2,
	CAN_SMTPUTF8 = 1 << 3,
	CAN_DSN = 1 << 4,
	CAN_CHUNKING = 1 << 5,
	CAN_STARTTLS = 1 << 6,
	CAN_ENHANCED_CODES = 1 << 7,
	CAN_XCLIENT = 1 << 8,
	CAN_XFORWARD = 1 << 9
};

/* X(NAME): attributes of XCLIENT and XFORWARD (Postfix's XCLIENT_README and XFORWARD_README). */
#define CLIENT_ATTRIBUTES(X)                                                                       \
	X(NAME) X(ADDR) X(PORT) X(PROTO) X(HELO) X(LOGIN) X(DESTADDR) X(DESTPORT) X(SOURCE)

enum client_attribute {
#define X(name) ATTRIBUTE_##name,
	CLIENT_ATTRIBUTES(X)
#undef X
		ATTRIBUTE_COUNT
};

struct backend_capabilities {
	unsigned can;     /* bits of enum backend_capability */
	unsigned xclient; /* bits 1 << enum client_attribute */
	unsigned xforward;
	uint64_t size_max; /* bytes; 0: no limit told */
};

/* text: the reply's lines, separated by '\n'; the first is the server's name. */
struct backend_capabilities backend_capabilities_parse(struct span text);

const char *client_attribute_name(enum client_attribute attribute);

#endif

/*
 * url: addresses of the web as a browser would follow them (WHATWG URL), found in text or given by
 * an attribute: so that http:\\EX%41MPLE.com.\x, //user@example.com:80 and http://３.0x7F.1/ name
 * their hosts.
 */
#ifndef MAIL_URL_H
#define MAIL_URL_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/span.h"

/* A longer one is cut (its host stands at the front). */
enum { URL_MAX = 2048, URL_HOST_MAX = 253 };

struct url {
	struct span text; /* scheme and host in their one form, the rest as written */
	struct span host; /* lower case, IDN as A-labels, no last dot; IPv4 as dotted quad, IPv6
			     without brackets */
};

/* Both spans lie in the arena. false: no address with a host (relative, mailto:, cid:, ...), or
 * one that no browser would follow. "www." without a scheme counts. */
bool url_read(struct span address, struct arena *arena, struct url *out) MUST_CHECK;

/* Calls found for each address in plain text (UTF-8): scheme://... and www.... */
void url_find(struct span text, void (*found)(void *context, struct span address), void *context);

/* The one form of a host as written (percent-encoded, IDN, an odd IPv4 number, a last dot); false:
 * none. */
bool host_read(struct span written, struct arena *arena, struct span *out) MUST_CHECK;

/* A domain of mail, which no percent signs disguise, added to `out` in small letters, its U-labels
 * as A-labels, no last dot. false: it can't be one, or out is full. */
bool host_ascii(struct span domain, struct buffer *out) MUST_CHECK;

#endif

/*
 * address: RFC 5321 paths and mailboxes (4.1.2, 4.1.3), with SMTPUTF8 (RFC 6531 3.3).
 */
#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include <stdbool.h>

#include "lib/base/ip.h"
#include "lib/base/span.h"

enum {
	ADDRESS_LOCAL_MAX = 64,   /* RFC 5321 4.5.3.1.1, in bytes */
	ADDRESS_DOMAIN_MAX = 255, /* 4.5.3.1.2 */
	/* With angle brackets; 4.5.3.1.3 says 256, but source routes and UTF-8 are longer. */
	ADDRESS_PATH_MAX = 512
};

/* A mailbox, borrowed from the text that was parsed. */
struct address {
	/* local@domain as written, without <> and source route; empty: the null reverse-path */
	struct span mailbox;
	/* as written: dot-string, or quoted with its quotes */
	struct span local;
	/* domain, or address literal with its brackets; empty for <> and <postmaster> */
	struct span domain;
	bool quoted;  /* local part is a quoted string */
	bool utf8;    /* some byte is above 127: needs SMTPUTF8 */
	bool literal; /* domain is an address literal */
};

enum address_status {
	ADDRESS_OK,
	ADDRESS_SYNTAX,     /* not RFC 5321: 501 5.1.7 (reverse-path) or 501 5.1.3 (forward-path) */
	ADDRESS_TOO_LONG,   /* a part past its maximum: 501 5.1.7/5.1.3 likewise */
	ADDRESS_NEEDS_UTF8, /* 8-bit without SMTPUTF8: 553 5.6.7 */
	ADDRESS_BAD_UTF8    /* 8-bit that is no valid UTF-8 */
};

/* "<...>" at the front of *text, which is moved behind it. A source route is stripped. `<>` is
 * taken where null_allowed; `<postmaster>` (any case, no domain) where not null_allowed. */
enum address_status address_parse_path(
	struct span *text, bool null_allowed, bool utf8_allowed, struct address *out) MUST_CHECK;

/* A mailbox alone, local@domain, all of text. */
enum address_status address_parse(
	struct span text, bool utf8_allowed, struct address *out) MUST_CHECK;

/* Whether a local part could make a trusting backend route the mail on: %, !, @ inside quotes,
 * a leading | or / (such recipients are refused). */
bool address_local_routes(const struct address *address);

/* RFC 5321 Domain (LDH labels up to 63, underscore taken too since the net is full of them), a
 * trailing dot not taken; with utf8 U-labels as valid UTF-8. */
bool domain_valid(struct span text, bool utf8) MUST_CHECK;

/* "[192.0.2.1]", "[IPv6:2001:db8::1]"; ip may be NULL. */
bool literal_valid(struct span text, struct ip *ip) MUST_CHECK;

/* RFC 3629, no overlong forms, no surrogates. */
bool utf8_valid(struct span text) MUST_CHECK;

/* Printable: no control characters (below 32, 127, and C1 where it is
 * UTF-8). */
bool text_printable(struct span text) MUST_CHECK;

#endif

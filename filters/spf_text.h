/*
 * spf_text: an SPF result in the words of header fields: a resinfo of Authentication-Results (RFC
 * 8601 2.7.2) and Received-SPF (RFC 7208 9.1).
 */
#ifndef FILTERS_SPF_TEXT_H
#define FILTERS_SPF_TEXT_H

#include "lib/authn/result.h"
#include "lib/base/buffer.h"

/* All borrowed. */
struct spf_check {
	struct ip client;
	bool of_helo;         /* the identity is the HELO name */
	struct span mailbox;  /* of MAIL; empty: <> */
	struct span helo;     /* as the client gave it */
	struct span domain;   /* of the identity, as it was asked for */
	struct span receiver; /* this host */
	struct spf_result result;
};

/* In the arena. The first without ';', the second without a line end, not folded. */
struct span spf_authres(const struct spf_check *check, struct arena *arena);
struct span spf_received(const struct spf_check *check, struct arena *arena);

#endif

/*
 * envelope: reverse-path, recipients and their parameters, as accepted from the client and as
 * built anew for a backend. All spans are borrowed from the transaction's arena.
 */
#ifndef PROXY_MESSAGE_ENVELOPE_H
#define PROXY_MESSAGE_ENVELOPE_H

#include "lib/base/ip.h"
#include "lib/mail/address.h"
#include "lib/mail/command.h"

struct recipient {
	struct address to;          /* domain empty only for <postmaster> */
	struct span notify, orcpt;  /* checked, as given (RFC 3461) */
	struct reply backend_reply; /* the last word of a backend on it; code 0: none yet */
	struct recipient *next;
};

struct envelope {
	struct address from; /* mailbox empty: the null reverse-path */
	uint64_t size;       /* SIZE= as declared; 0: not */
	enum mail_body body;
	bool smtputf8;
	enum dsn_ret ret;
	struct span envid;
	struct recipient *recipients; /* in order */
	unsigned n_recipients;
};

/* Who the client is, for client_info (PROXY v2, XCLIENT, XFORWARD), for pool keys and for Received.
 * Spans live as long as the session. */
struct client {
	struct endpoint remote; /* the client's; after PROXY or XCLIENT what these said */
	struct endpoint local;  /* the address it connected to */
	struct span name;       /* reverse name; empty: not known */
	struct span helo;
	struct span login; /* XCLIENT LOGIN; empty: none */
	bool esmtp;
	bool tls;
};

#endif

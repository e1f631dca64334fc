/*
 * backend_exchange: the turns of one transaction with a server.
 *
 *     [XFORWARD, XFORWARD] -> MAIL -> RCPT ... -+-> RSET                 a recipient check
 *                                               +-> DATA -> CONTENT      a delivery
 *                                               +-> CONTENT              a delivery by BDAT
 *                                               +-> RSET                 ... that is undone
 *
 * `next` runs ahead as far as the server's pipelining and safety allow, `due` follows with the replies:
 *
 * - DATA_AT_ONCE, one recipient: MAIL, RCPT and DATA in one write. If the server refuses, DATA is refused too; one that
 *   says 354 all the same is cut off.
 * - DATA_LATER, several recipients, or no PIPELINING: DATA only when every recipient is in, since what was
 *   given to some can't be taken back from them.
 * - BDAT_AT_ONCE and BDAT_LATER save a round trip each. But 354 is also what shows that we and the server count the
 *   same replies, and BDAT has no such mark: a server that said 250 once too often would seem to take a message that it has
 *   not read. So BDAT is used only with servers whose enhanced codes tell an answer to RCPT (2.1.5) from one to the message
 *   (2.0.0, 2.6.0); AT_ONCE moreover only for short messages over a connection on which the server spoke a moment ago, since a
 *   connection that has died unnoticed would leave the message in doubt, where DATA would have found out in time.
 */
#ifndef PROXY_BACKEND_EXCHANGE_H
#define PROXY_BACKEND_EXCHANGE_H

#include "lib/mail/reply.h"
#include "proxy/backend_content.h"
#include "proxy/envelope.h"

struct backend_job;

enum backend_plan { PLAN_CHECK, PLAN_DATA_AT_ONCE, PLAN_DATA_LATER, PLAN_BDAT_AT_ONCE, PLAN_BDAT_LATER };

enum backend_turn {
	TURN_XFORWARD_CONNECTION,
	TURN_XFORWARD_SESSION,
	TURN_MAIL,
	TURN_RCPT,
	TURN_DATA,
	TURN_CONTENT,
	TURN_RSET,
	TURN_OVER
};

struct backend_position {
	enum backend_turn turn;
	struct recipient *recipient; /* of RCPT; of CONTENT with LMTP */
};

enum {
	EXCHANGE_FRESH_MS = 1000,         /* BDAT_AT_ONCE: the server's last word is no older */
	EXCHANGE_AT_ONCE_MAX = 64 * 1024, /* and the message no longer: a refusal would waste it */
	EXCHANGE_WRITE_BYTES = 32 * 1024  /* commands are written out at this length */
};

struct backend_exchange {
	enum backend_plan plan;
	struct backend_position next, due;
	bool lmtp;
	bool mail_accepted;
	bool refused;       /* MAIL or DATA: the reply is kept with the caller */
	bool some_refused;  /* recipients: the first one's reply is kept with the caller */
	bool end_went_out;  /* the message's last byte is with the kernel: the server may have it */
	unsigned n_recipients, accepted;
	unsigned final_2xx, final_4xx, final_5xx; /* LMTP: a reply for each recipient */
	struct backend_content content;
};

/* The job has its connection. */
void backend_exchange_begin(struct backend_job *job);

/* Nothing is said behind the reply that is due next, and it is the last one. */
bool backend_exchange_ends(const struct backend_job *job);

/* A reply that was due. */
void backend_exchange_reply(struct backend_job *job, const struct reply *reply);

/* The kernel takes bytes again. */
void backend_exchange_drained(struct backend_job *job);

const char *backend_exchange_waits_for(const struct backend_exchange *exchange);

#endif

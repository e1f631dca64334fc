/*
 * backend_exchange: the turns of one transaction with a server.
 *
 *     [XFORWARD, XFORWARD] -> MAIL -> RCPT ... -+-> RSET                 a recipient check
 *                                               +-> DATA -> CONTENT      a delivery
 *                                               +-> CONTENT              a delivery by BDAT
 *                                               +-> RSET                 ... that is undone
 *
 * `next` runs ahead as far as the plan (plan.h) and the server's pipelining allow, `due`
 * follows with the replies.
 */
#ifndef PROXY_BACKEND_EXCHANGE_H
#define PROXY_BACKEND_EXCHANGE_H

#include "lib/mail/reply.h"
#include "proxy/backend/content.h"
#include "proxy/backend/plan.h"
#include "proxy/message/envelope.h"

enum { EXCHANGE_WRITE_BYTES = 32 * 1024 }; /* commands are written out at this length */

struct backend_exchange {
	enum backend_plan plan;
	struct backend_position next, due;
	bool lmtp;
	bool mail_accepted;
	bool refused;      /* MAIL or DATA: the reply is kept with the caller */
	bool some_refused; /* recipients: the first one's reply is kept with the caller */
	bool end_went_out; /* the message's last byte is with the kernel: the server may have it */
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

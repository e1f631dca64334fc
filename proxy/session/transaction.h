/*
 * transaction: one mail transaction (RFC 5321 3.3) from MAIL to its end, with all its memory in one
 * arena: envelope, message, and what the audit record tells of it.
 *
 *     MAIL -> RCPT... -> DATA | BDAT...  -> delivery -> ended
 *       any of RSET, EHLO, STARTTLS, QUIT, a lost client ends it before: "abandoned"
 */
#ifndef PROXY_SESSION_TRANSACTION_H
#define PROXY_SESSION_TRANSACTION_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/mail/dotdata.h"
#include "proxy/backend/backend.h"
#include "proxy/message/envelope.h"
#include "proxy/message/message.h"
#include "proxy/message/quarantine.h"
#include "proxy/session/cohort.h"
#include "proxy/session/consequences.h"

struct session;

/* A recipient as the client named it, with our answer: what the audit record lists. */
struct attempt {
	struct span address; /* in the arena */
	uint16_t code;
	char enhanced[12];
	const struct recipient *recipient; /* NULL: refused */
	const struct cohort *cohort;       /* of an accepted one */
	const struct rule *rule;           /* of a refused one: that refused it; NULL: no rule */
	const struct action *final;        /* likewise its action; NULL: `on error defer` too */
	enum blame blame;                  /* likewise, what it says of the client */
	bool unknown;                      /* refused for good by the backend */
	const struct due *dues;            /* what is owed for it, in the arena */
	struct attempt *next;
};

/* Refused recipients of one transaction that are remembered; those beyond get 452. */
enum { REFUSALS_KEPT = 1000 };

/* With PRDR, whatever limits.recipients says: their replies are held in memory together. */
enum { PRDR_RECIPIENTS_MAX = 1000 };

/* Why a message whose bytes still come will be refused at its end. */
enum message_fault {
	FAULT_NONE,
	FAULT_SIZE,    /* limits.message: 552 5.3.4 */
	FAULT_SPOOL,   /* no room in memory or on disk: 452 4.3.1 */
	FAULT_HEADERS, /* limits.headers: 552 5.3.4 */
	FAULT_LINE,    /* limits.line: 550 5.6.0 */
	FAULT_LOOP     /* limits.received, or too often through ourselves: 554 5.4.6 */
};

struct transaction {
	struct arena *arena; /* owned; the transaction itself lies in it */
	struct session *session;
	struct span tid;          /* "SID.n" */
	struct envelope envelope; /* its recipients are in the cohorts; here they are counted */
	bool prdr;                /* each recipient gets an answer of its own after the data */
	struct cohort *cohorts;
	struct evaluation *evaluation; /* what MAIL's facts make of the rules; NULL: none */
	struct attempt *attempts, **last_attempt;
	unsigned n_refused; /* recipients */
	struct message message;
	struct dotdata decoder;
	enum message_fault fault;
	bool has_data; /* DATA or BDAT was begun */
	bool by_bdat;
	uint64_t chunk_size, chunk_left; /* of the BDAT chunk under way */
	bool chunk_is_last;
	size_t header_scan; /* where the search for the section's end goes on */
	size_t header_size; /* bytes of the header section with its empty line; 0: not seen yet */
	unsigned received;  /* Received fields so far, and those of them that are ours */
	unsigned received_by_us;
	unsigned results; /* Authentication-Results */
	struct span message_id;
	bool asking; /* `done` of the check or delivery is still to come: until then its memory
			stays, whatever it says */
	struct recipient *checking;    /* not in a cohort yet */
	struct cohort like;            /* what the rules say of it */
	bool delayed;                  /* the delay that a rule asks for is over */
	struct cohort *carried;        /* under way to the backend or into quarantine */
	const struct rule *refused_by; /* of the whole transaction at MAIL; NULL: no rule */
	enum blame blame;              /* likewise */
	struct check check;
	struct message
		going; /* the message as it is carried: the same spool, a prefix of its own */
	struct delivery delivery;
	struct quarantined kept;
	struct quarantine_write keeping;
	/* For ms{...}; 0: did not come to it. */
	uint64_t begun_us, data_us, judge_us, judged_us, commit_us;
	bool client_gone;
	struct added *added; /* in the arena: what rules have added to lists (adding.h) */
};

struct transaction *transaction_begin(struct session *session);

/* The audit record is written, all is given back. verdict: "accept", "reject", "defer", "in_doubt",
 * "abandoned"; reply: what the client was told at the end; code 0: nothing. */
void transaction_end(
	struct transaction **transaction, const char *verdict, const struct reply *reply);

/* Remembers an answer to RCPT for the record. */
struct attempt *transaction_attempt(
	struct transaction *t, struct span address, const struct reply *reply);

/* Prepares for content; mode as in dotdata.h. */
void transaction_data_begin(struct transaction *t, enum dotdata_mode mode);

/* Decodes input into the spool, moving it on. What is wrong with the message but leaves the stream
 * of commands certain goes into t->fault. */
enum dotdata_status transaction_data(struct transaction *t, struct span *input);

/* The end has come: looks at what can only be judged now. DOTDATA_END, or a violation (BDAT). */
enum dotdata_status transaction_data_end(struct transaction *t);

/* The reply that a fault earns. */
struct reply fault_reply(enum message_fault fault);

/* audit.c */
void audit_write(const struct transaction *t, const char *verdict, const struct reply *reply);

/* A client that a rule turned away before it began a transaction. */
void audit_refusal(const struct session *s, const struct rule *rule, const struct reply *reply);

/* received.c: adds the Received field (RFC 5321 4.4) for these recipients. */
void received_add(struct transaction *t, const struct envelope *envelope, struct buffer *out);

#endif

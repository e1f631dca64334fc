/*
 * backend_plan: in which turns a transaction goes, and how far ahead of the replies.
 *
 * - DATA_AT_ONCE, one recipient: MAIL, RCPT and DATA in one write. If the server refuses, DATA is
 * refused too; one that says 354 all the same is cut off.
 * - DATA_LATER, several recipients, or no PIPELINING: DATA only when every recipient is in, since
 * what was given to some can't be taken back from them.
 * - BDAT_AT_ONCE and BDAT_LATER save a round trip each. But 354 is also what shows that we and the
 * server count the same replies, and BDAT has no such mark: a server that said 250 once too often
 * would seem to take a message that it has not read. So BDAT is used only with servers whose
 * enhanced codes tell an answer to RCPT (2.1.5) from one to the message (2.0.0, 2.6.0); AT_ONCE
 * moreover only for short messages over a connection on which the server spoke a moment ago, since
 * a connection that has died unnoticed would leave the message in doubt, where DATA would have
 * found out in time.
 */
#ifndef PROXY_BACKEND_PLAN_H
#define PROXY_BACKEND_PLAN_H

#include <stdbool.h>

struct backend_job;
struct recipient;

enum backend_plan {
	PLAN_CHECK,
	PLAN_DATA_AT_ONCE,
	PLAN_DATA_LATER,
	PLAN_BDAT_AT_ONCE,
	PLAN_BDAT_LATER
};

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
	PLAN_FRESH_MS = 1000,        /* BDAT_AT_ONCE: the server's last word is no older */
	PLAN_AT_ONCE_MAX = 64 * 1024 /* and the message no longer: a refusal would waste it */
};

/* The job has its connection. */
enum backend_plan backend_plan_choose(const struct backend_job *job);
bool backend_plan_by_bdat(enum backend_plan plan);
bool backend_plan_at_once(enum backend_plan plan);

/* The first turn at or behind this one in which the server has something to be told: XFORWARD only
 * where that is asked for and offered. */
enum backend_turn backend_plan_first(const struct backend_job *job, enum backend_turn turn);

/* On to the next turn or recipient. */
void backend_plan_step(const struct backend_job *job, struct backend_position *at);

#endif

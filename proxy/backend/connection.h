/*
 * backend_connection: one connection to a server, from its address to QUIT, as client of SMTP or
 * LMTP.
 *
 *     LOOKUP -> CONNECT -> GREETING -> EHLO -+------------------------------------------+-> READY
 * <-> BUSY (PROXY v2    |        |    +-> STARTTLS -> HANDSHAKE -> EHLO_TLS ----->|    |         |
 *                  goes first) |        +-> HELO ----------------------------------------+    v v
 *                              |             +-> XCLIENT -> EHLO_XCLIENT ----------------+   QUIT
 * -> CLOSED
 *                              +--> CLOSED (from any state)
 *
 * (XCLIENT stands behind EHLO or EHLO_TLS.) In each state `due` replies are awaited, and not one
 * more: a byte that nobody waits for ends the connection, for a server that is one reply ahead
 * would soon seem to accept what it has not seen. Up to READY one deadline counts for all
 * (timeouts.backend_connect).
 *
 * BUSY: `job` has the turn, and its exchange gets the replies. A job that ends leaves the
 * connection READY but not yet in the pool: it goes there from the loop, when all bytes of the last
 * read were looked at.
 */
#ifndef PROXY_BACKEND_CONNECTION_H
#define PROXY_BACKEND_CONNECTION_H

#include "lib/mail/reply.h"
#include "lib/net/stream.h"
#include "proxy/backend/capabilities.h"

struct backend_bond;
struct backend_job;
struct backend_pool;
struct backend_server;

enum {
	/* For each reply but the last. RFC 5321 4.5.3.2 grants a server 5 minutes for MAIL and RCPT
	 * and 2 for DATA, and our client waits for us just as long: the wait for a connection,
	 * connecting and this must stay below. */
	CONNECTION_REPLY_MS = 120 * 1000,
	CONNECTION_BLOCK_MS = 180 * 1000, /* RFC 5321 4.5.3.2.5: until a block of data is taken */
	CONNECTION_QUIT_MS = 2000         /* for 221; nothing depends on it */
};

enum backend_connection_state {
	CONNECTION_LOOKUP,
	CONNECTION_CONNECT,
	CONNECTION_GREETING,
	CONNECTION_EHLO,
	CONNECTION_HELO,
	CONNECTION_STARTTLS,
	CONNECTION_HANDSHAKE,
	CONNECTION_EHLO_TLS,
	CONNECTION_XCLIENT,
	CONNECTION_EHLO_XCLIENT,
	CONNECTION_READY,
	CONNECTION_BUSY,
	CONNECTION_QUIT,
	CONNECTION_CLOSED
};

enum backend_loss_kind {
	LOSS_CONNECT, /* no connection, or it broke or timed out before READY, or the server did not
			 want it */
	LOSS_TLS,   /* the handshake failed and plain text will do: the next connection goes without
		     */
	LOSS_UNFIT, /* the server lacks what the configuration asks for */
	LOSS_BROKEN, /* EOF, reset */
	LOSS_TIMEOUT,
	LOSS_CLOSING, /* 421 */
	LOSS_GARBAGE
};

/* Why a connection ended under a job. */
struct backend_loss {
	enum backend_loss_kind kind;
	bool reused;               /* it had served another transaction before */
	const struct reply *reply; /* the server's, for LOSS_CLOSING; NULL: none; borrowed */
	const char *why;           /* borrowed */
};

struct backend_connection {
	uint32_t magic;
	enum backend_connection_state state;
	struct backend_server *server;
	struct backend_pool *pool; /* NULL: a probe */
	struct backend_bond *bond; /* the client whose name it carries; NULL: nobody's, or that
				      session is over */
	struct backend_job *job;   /* CONNECT to EHLO_XCLIENT: the one it is made for, may be NULL;
				      BUSY: whose turn it is */
	const struct client *client; /* borrowed until READY; whose name it will carry */
	bool idle;                   /* READY and in the pool's list */
	bool worn;                   /* not to be used again */
	unsigned due;                /* replies that are to come */
	unsigned uses;               /* transactions begun */
	unsigned refusals;
	unsigned address; /* which of the server's */
	uint64_t opened_ms, heard_ms;
	struct backend_capabilities offers;
	struct reply_parser parser;
	struct timer timer;
	struct deferred settle;
	struct stream stream;
	struct backend_connection *newer, *older; /* in the pool's idle list */
	struct backend_connection *next, *prev;   /* of all */
};

/* For a job, or a probe when job and pool are NULL. */
struct backend_connection *backend_connection_open(
	struct backend_server *server, struct backend_pool *pool, struct backend_job *job);

/* The server's lookup is done; why: NULL, or why it failed. */
void backend_connection_resolved(struct backend_connection *connection, const char *why);

/* Sends the lines in the set's command buffer, and expects so many replies to them. */
void backend_connection_send(struct backend_connection *connection, unsigned replies);
void backend_connection_expect(
	struct backend_connection *connection, unsigned replies, uint64_t timeout_ms);

/* The job's exchange is over: READY. */
void backend_connection_release(struct backend_connection *connection);

/* QUIT, and its end. Not while BUSY. */
void backend_connection_quit(struct backend_connection *connection);

/* As quit, but its place is free at once. */
void backend_connection_dismiss(struct backend_connection *connection);

/* Ends it at once; the job, if any, is told. reply: the server's last word, may be NULL. */
void backend_connection_lose(struct backend_connection *connection, enum backend_loss_kind kind,
	const struct reply *reply, const char *why);

/* Ends it at once; its job is let go. */
void backend_connection_drop(struct backend_connection *connection);

const char *backend_connection_waits_for(const struct backend_connection *connection);

#endif

/*
 * backend: the mail servers behind us. A session asks two things: whether a recipient is welcome
 * (before it answers RCPT), and to take a message (before it answers the end of data). Everything
 * about servers, health, pools, TLS, client information and the protocol's turns lies behind this
 * page.
 *
 * A question's memory is the caller's and lives until `done`, which comes exactly once, from the
 * loop (never from within the call that started it), also after a cancel.
 */
#ifndef PROXY_BACKEND_BACKEND_H
#define PROXY_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/mail/reply.h"
#include "lib/net/loop.h"
#include "proxy/config/config.h"
#include "proxy/message/envelope.h"
#include "proxy/message/message.h"
#include "proxy/message/shared.h"

struct backends;     /* of a worker */
struct backend_bond; /* a client's own connections under proxy_v2 and xclient */

struct backends *backends_open(struct loop *loop, const struct config *config, struct log *log,
	struct shared_row *row, struct err *err);

/* No new work; idle connections say QUIT and close. */
void backends_drain(struct backends *backends);

/* Ends everything: questions under way are done as cancelled within this call's next loop turns. */
void backends_close(struct backends **backends);

/* What EHLO may offer, as far as honouring it needs the backends: the common set of all routable
 * ones, all true until the first has answered. */
struct backend_features {
	bool known; /* some backend has answered */
	bool eight_bit, smtputf8, dsn;
	uint64_t size_max; /* 0: no limit told */
	bool lmtp;         /* the default backend speaks LMTP: one recipient a transaction */
};
struct backend_features backends_features(const struct backends *backends);

/* --- is this recipient welcome? --- */

enum check_outcome {
	CHECK_PENDING,  /* until done */
	CHECK_WELCOME,  /* 2xx, or verify_recipients is off */
	CHECK_REFUSED,  /* the server said no for good: reply is its own, made harmless */
	CHECK_DEFERRED, /* a 4xx of the server, or no server could be asked: reply says which */
	CHECK_CANCELLED
};

struct check {
	/* in */
	const char *backend; /* name; NULL: the default */
	const struct client *client;
	struct backend_bond *
		*bond; /* the session's; made when first needed, given back by bond_close */
	const struct envelope *envelope; /* its reverse-path and parameters */
	const struct recipient *recipient;
	struct span sid;
	void (*done)(struct check *check);
	void *context;
	/* out */
	enum check_outcome outcome;
	struct reply reply; /* text in text_memory */
	bool cached;
	char text_memory[1024];
	/* private */
	void *private;
	struct deferred deferred;
};

/* true: the answer is in the cache and in `check` already, `done` will not come. false: `done`
 * will. */
bool check_start(struct backends *backends, struct check *check) MUST_CHECK;
void check_cancel(struct check *check);

/* --- take this message --- */

enum delivery_outcome {
	DELIVERY_PENDING,  /* until done */
	DELIVERY_ACCEPTED, /* the server said 2xx to the whole: reply is its own */
	DELIVERY_REFUSED,  /* 5xx, at whatever stage */
	DELIVERY_DEFERRED, /* 4xx of the server's, or no server, a timeout or a broken connection
			      before the end of data went out */
	DELIVERY_IN_DOUBT, /* the end of data went out (or may have) and no answer came: 451 4.4.2
			    */
	DELIVERY_CANCELLED /* before the end of data went out */
};

struct delivery {
	/* in */
	const char *backend;
	const struct client *client;
	struct backend_bond **bond;
	const struct envelope *envelope;
	const struct message *message;
	struct span sid;
	uint64_t timeout_ms; /* for the answer after the end of data (timeouts.data_end) */
	void (*done)(struct delivery *delivery);
	void *context;
	/* out */
	enum delivery_outcome outcome;
	struct reply reply; /* for the client: the backend's, made harmless, or ours; text in
			       text_memory */
	const char *server; /* which one answered or failed last; NULL: none was reached */
	const char *backend_name;
	unsigned attempts;
	bool reused; /* over a pooled connection */
	uint64_t connect_ms,
		answer_ms; /* time to a connection, time from the first byte sent to the answer */
	char text_memory[2048];
	/* private */
	void *private;
	struct deferred deferred;
};

void delivery_start(struct backends *backends, struct delivery *delivery);

/* The client is gone or the process ends: undone with RSET or a close where that is still certain,
 * otherwise it goes on to its end (done then says how it ended). */
void delivery_cancel(struct delivery *delivery);

/* The session is over: closes connections that carry this client's name. NULL is fine. */
void backend_bond_close(struct backend_bond **bond);

/* Servers, connections and queues, as members of the open object (postern status). */
void backends_status(const struct backends *backends, struct record *r);

/* What a check or delivery waits for, as a word for `postern status`: "backend connect", "backend
 * reply to RCPT", ... */
const char *check_waits_for(const struct check *check);
const char *delivery_waits_for(const struct delivery *delivery);

#endif

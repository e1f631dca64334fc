/*
 * redis_link: one connection to one Redis, made again whenever it ends, at most REDIS_RETRY_MS
 * apart.
 *
 *     WAITING --timer--> RESOLVING --> CONNECTING --> GREETING (AUTH, SELECT) --> READY
 *        ^                   |             |              |                         |
 *        +-------------------+-------------+--------------+---- CLOSING <-----------+
 *
 * Commands are pipelined: each gets its reply, in order, or NULL when the connection ended first.
 * What is sent within one round of the loop leaves in one write. A connection on which a command
 * has waited for REDIS_SILENT_MS is given up; one that idles is asked for a sign of life.
 *
 * Of hiredis only the reader of replies is used. Its own event layer resolves names while the loop
 * stands still, in Debian's version knows no TLS, and tells nobody when a connection is refused;
 * lib/net/stream.h has all that, and the same TLS as for mail.
 */
#ifndef STORE_REDIS_LINK_H
#define STORE_REDIS_LINK_H

#include <hiredis.h>

#include "lib/base/log.h"
#include "lib/net/loop.h"
#include "lib/net/tls.h"
#include "lib/store/redis_url.h"

enum {
	REDIS_RETRY_FIRST_MS = 50,
	REDIS_RETRY_MS = 1000,
	REDIS_CONNECT_MS = 3000, /* from resolving to READY */
	REDIS_SILENT_MS = 5000,
	REDIS_IDLE_MS = 10000,
	REDIS_PENDING_MAX = 64 * 1024, /* commands without their reply */
	REDIS_UNSENT_MAX = 32 * 1024 * 1024,
	REDIS_REPLY_MAX = 64 * 1024 * 1024, /* bytes of one reply */
	REDIS_ELEMENTS_MAX = 1024 * 1024    /* of one array in it */
};

struct redis_link;

struct redis_link_setup {
	struct loop *loop;           /* borrowed */
	struct log *log;             /* borrowed */
	const struct redis_url *url; /* borrowed: user, password, db; path for REDIS_UNIX */
	struct tls_context *tls;     /* borrowed; NULL: plain */
	bool sentinel;               /* a server without databases, maybe without a password */
	/* The connection can be used. From the loop. */
	void (*on_ready)(void *context);
	/* It has ended, or a try has failed; commands get their NULL after that. From the loop. */
	void (*on_down)(void *context, const char *why);
	void *context;
};

/* Begins to connect. The node is copied; it is not looked at for REDIS_UNIX. */
struct redis_link *redis_link_open(
	const struct redis_link_setup *setup, const struct redis_node *node);

/* What waits for a reply gets NULL before this returns. Safe within `done` and
 * on_ready, not within on_down. Sets the pointer to NULL; NULL is fine. */
void redis_link_close(struct redis_link **link);

/* Sends a whole command (redis_command_write). done comes exactly once, from the loop or from
 * redis_link_close; the reply is borrowed. false: it is not READY, or too much waits. */
bool redis_link_send(struct redis_link *link, struct span command,
	void (*done)(void *context, const redisReply *reply), void *context) MUST_CHECK;

/* Ends the connection, and makes it anew. */
void redis_link_drop(struct redis_link *link, const char *why);

bool redis_link_is_ready(const struct redis_link *link);
bool redis_link_is_to(const struct redis_link *link, const struct redis_node *node);

/* "host:port", or the path. */
const char *redis_link_name(const struct redis_link *link);

/* Why it is down; "" when nothing has gone wrong. */
const char *redis_link_why(const struct redis_link *link);

/* Adds a command to what is in out. false: out is full. */
bool redis_command_write(struct buffer *out, const struct span *args, size_t n) MUST_CHECK;

#endif

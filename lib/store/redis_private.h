/*
 * redis_private: what the files of redis_client share.
 *
 *     redis_client.c     commands: sent, parked, sent elsewhere
 *     redis_sentinel.c   who the primary is, by asking sentinels
 *     redis_cluster.c    which node has which slot
 */
#ifndef STORE_REDIS_PRIVATE_H
#define STORE_REDIS_PRIVATE_H

#include "lib/store/redis_client.h"

/* A server. */
struct place {
	struct redis_client *client;
	struct redis_node node;
	struct redis_link *link; /* owned */
	bool primary;            /* of a cluster: slots are there */
};

/* A command that waits for its server, or for its reply. */
struct op {
	struct op *next; /* while it is parked */
	struct redis_client *client;
	struct place *sent_to; /* where it was sent last; borrowed */
	struct redis_node ask; /* it is to be sent there once, with ASKING; port 0: no */
	enum redis_script script;
	unsigned slot, node, redirects;
	uint64_t deadline_ms;
	void (*done)(void *context, const redisReply *reply);
	void *context;
	struct buffer bytes; /* owned: the command */
};

/* Which sentinel is asked. */
struct sentinel {
	struct redis_link *link; /* owned */
	size_t at;               /* its number in the url */
	struct timer timer;
	unsigned unanswered; /* questions in a row */
	bool is_down;        /* it is the next one's turn */
	const char *trouble; /* literal; NULL: none */
};

struct cluster {
	uint8_t slots[REDIS_SLOTS]; /* number of the place, from 1; 0: nobody's */
	bool known;
	bool asking; /* for the map */
	struct timer timer;
	unsigned turn; /* whose turn it is to be asked */
};

struct redis_client {
	uint32_t magic;
	struct redis_client_setup setup;
	struct redis_url url;
	struct tls_context *tls; /* owned; NULL: plain */
	char sha[SCRIPT_COUNT][41];
	struct place *places[REDIS_LINKS_MAX]; /* owned; a server or primary: the first */
	bool there, closing;
	struct op *parked, **last_parked; /* owned */
	unsigned n_parked;
	struct timer parked_timer;
	struct sentinel sentinel;
	struct cluster cluster;
	uint64_t commands, redirected;
};

/* Begins to connect to it, unless that is done already. NULL: there are too many. */
struct place *redis_place(struct redis_client *client, const struct redis_node *node);
/* Ends it; not within on_down. */
void redis_place_close(struct redis_client *client, size_t number);

/* Looks anew whether it is there, and tells. */
void redis_client_settle(struct redis_client *client);

/* A setup for a link of this client. */
struct redis_link_setup redis_link_setup_of(struct redis_client *client);

void redis_sentinel_start(struct redis_client *client);
void redis_sentinel_stop(struct redis_client *client);
/* The primary says that it is none. */
void redis_sentinel_ask(struct redis_client *client);

void redis_cluster_start(struct redis_client *client);
void redis_cluster_stop(struct redis_client *client);
/* A connection is ready, or has ended. */
void redis_cluster_on_link(struct redis_client *client);
/* The map is wrong or has a hole. */
void redis_cluster_doubt(struct redis_client *client);
struct place *redis_cluster_place(struct redis_client *client, const struct op *op);
bool redis_cluster_is_there(const struct redis_client *client);

/* "3999 127.0.0.1:6381", as MOVED and ASK have it. */
bool redis_redirect_read(struct span text, const struct place *from, unsigned *slot,
	struct redis_node *node) MUST_CHECK;

#endif

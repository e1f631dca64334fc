/*
 * redis_client: Redis as one thing, be it a server, a primary that sentinels name, or a cluster.
 * Commands are sent to where their key is; what Redis says about that (MOVED, ASK, a script that it
 * does not know, a primary that has become a replica) is followed, and is no business of the
 * sender.
 *
 * Sentinels are asked once a second who the primary is, one of them at a time: what they would
 * publish (+switch-master) reaches only who is connected at that moment, and so must be asked for
 * anyway. Of a cluster the map of slots is asked for at first, and again when it proves wrong.
 */
#ifndef STORE_REDIS_CLIENT_H
#define STORE_REDIS_CLIENT_H

#include "lib/store/redis_link.h"
#include "lib/store/redis_scripts.h"

enum {
	REDIS_LINKS_MAX = 128,
	REDIS_SLOTS = 16384,
	REDIS_ARGS_MAX = 12,
	REDIS_REDIRECTS_MAX = 16, /* of one command */
	REDIS_PARKED_MS = 100,    /* between tries of a command whose server is not ready */
	REDIS_SENTINEL_MS = 1000  /* between questions to a sentinel */
};

struct redis_client;

struct redis_client_setup {
	struct loop *loop;           /* borrowed */
	struct log *log;             /* borrowed */
	const struct redis_url *url; /* copied */
	/* Commands can be sent; they can't any more. From the loop. Commands under way are answered
	 * NULL after on_gone. */
	void (*on_there)(void *context);
	void (*on_gone)(void *context);
	void *context;
};

struct redis_command {
	enum redis_script script; /* SCRIPT_NONE: args are a command as it is */
	struct span keys[2];      /* of a script; all of one slot */
	size_t n_keys;
	struct span args[REDIS_ARGS_MAX];
	size_t n_args;
	struct span route;    /* without keys: any text that hashes to where it belongs */
	unsigned node;        /* 1..: a primary by its number (redis_client_nodes); 0: by key */
	uint64_t patience_ms; /* how long it may wait for its server to be ready */
	/* Exactly once, from the loop or from redis_client_close. The reply is borrowed; it may be
	 * an error; NULL: no answer. */
	void (*done)(void *context, const redisReply *reply);
	void *context;
};

/* NULL: TLS can't be had, err says why. */
struct redis_client *redis_client_open(const struct redis_client_setup *setup, struct err *err);

/* All under way is answered NULL before this returns. Sets the pointer to NULL; NULL is fine. */
void redis_client_close(struct redis_client **client);

/* All is copied. false: it is not there; done does not come. */
bool redis_client_send(struct redis_client *client, const struct redis_command *command) MUST_CHECK;

bool redis_client_is_there(const struct redis_client *client);

/* How many primaries there are. */
unsigned redis_client_nodes(const struct redis_client *client);

/* Where it is, and what is wrong, as members of the open object. */
void redis_client_status(const struct redis_client *client, struct record *r);

/* The slot of a key: of what stands in its first {...}, if anything does. */
unsigned redis_slot(struct span key);

#endif

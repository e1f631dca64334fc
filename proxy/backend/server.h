/*
 * backend_server: one server of a backend: whether it can be had, where its name points, what it
 * offers.
 *
 *     UNKNOWN --connected--> UP --connect, greeting or EHLO fails--> DOWN --probe or connection
 * succeeds--> UP
 *        +-------------------fails----------------------------------->|
 *
 * UNKNOWN is used like UP. While DOWN nobody is sent here; a probe (connect, EHLO, QUIT) asks after
 * 1, 2, 4 ... 30 s. Only making a connection tells about health: one that breaks in use may be the
 * server's idle timeout or one bad message.
 */
#ifndef PROXY_BACKEND_SERVER_H
#define PROXY_BACKEND_SERVER_H

#include "lib/base/attributes.h"
#include "proxy/backend/capabilities.h"
#include "proxy/backend/connection.h"
#include "proxy/backend/pool.h"
#include "proxy/backend/set.h"

enum {
	SERVER_BACKOFF_FIRST_MS = 1000,
	SERVER_BACKOFF_MAX_MS = 30 * 1000,
	SERVER_ADDRESSES_MAX = 4,
	SERVER_LOOKUP_KEPT_MS = 60 * 1000,
	/* A handshake that failed under `tls opportunistic` is tried again after this: long enough
	 * that a server whose TLS is broken costs nothing, short enough that a passing failure does
	 * not mean plain text for long. */
	SERVER_PLAIN_MS = 10 * 60 * 1000,
	/* How long we keep to the number of connections at which the server said 421 instead of a
	   greeting. */
	SERVER_CROWDED_MS = 30 * 1000
};

/* In a job's `tried`. From the 64th on servers share a bit, and so a fate: no backend has so many.
 */
#define SERVER_BIT(index) (UINT64_C(1) << ((index) < 63 ? (index) : 63))

enum backend_health { SERVER_UNKNOWN, SERVER_UP, SERVER_DOWN };

struct backend_server {
	struct backend *backend; /* borrowed, as config */
	const struct server_config *config;
	unsigned index;
	enum backend_health health;
	uint64_t since_ms; /* of the last change of health */
	uint64_t backoff_ms;
	char why[200]; /* the last failure; empty: none */
	struct timer retry;
	struct backend_connection *probe; /* under way */
	struct backend_pool mail, checks;
	bool known;                         /* it has answered EHLO: `offers` counts */
	struct backend_capabilities offers; /* as last seen */
	bool no_bdat;            /* its answers to BDAT can't be told from those to RCPT */
	bool unfit;              /* lacks XCLIENT that client_info asks for: was logged */
	uint64_t plain_until_ms; /* opportunistic TLS: no handshake before */
	uint64_t crowded_until_ms;
	unsigned crowd; /* connections that it bears until then */
	/* where its name points */
	struct endpoint addresses[SERVER_ADDRESSES_MAX];
	unsigned n_addresses;
	uint64_t looked_up_ms;
	bool looking;
	uv_getaddrinfo_t lookup;
};

void backend_server_init(struct backend_server *server, struct backend *backend, unsigned index);

/* The one to use now among those not in `tried` (bits by index): the first in order, or the one
 * with least to do. NULL: none. */
struct backend_server *backend_server_choose(struct backend *backend, uint64_t tried);

/* All connections that are open or opening, of whatever kind. */
unsigned backend_server_connections(const struct backend_server *server);

/* A connection came as far as EHLO's answer. */
void backend_server_reached(
	struct backend_server *server, const struct backend_capabilities *offers);

/* None could be made. crowded: the server itself said that it takes no more for now. */
void backend_server_failed(struct backend_server *server, bool crowded, const char *why);

/* Begins a probe unless one is under way. */
void backend_server_probe(struct backend_server *server);
void backend_server_probed(struct backend_server *server); /* the probe is over, for good or ill */

/* true: the addresses are there. false: a lookup is under way, backend_connection_resolved follows
 * for each connection that waits for it. */
bool backend_server_resolve(struct backend_server *server) MUST_CHECK;

void backend_server_close(struct backend_server *server);
void backend_server_status(const struct backend_server *server, struct record *r);

#endif

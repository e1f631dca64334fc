#include "proxy/backend/server.h"

#include <stdio.h>

#include "lib/base/fail.h"
#include "proxy/backend/job.h"

static struct backends *set_of(const struct backend_server *server)
{
	return server->backend->set;
}

static uint64_t now_ms(const struct backend_server *server)
{
	return loop_now_ms(set_of(server)->loop);
}

static void on_retry(struct timer *timer)
{
	backend_server_probe(CONTAINER_OF(timer, struct backend_server, retry));
}

/* This worker's share of a limit that holds for all. */
static unsigned share(unsigned limit, unsigned workers)
{
	unsigned part = workers ? (limit + workers - 1) / workers : limit;

	return part ? part : 1;
}

void backend_server_init(struct backend_server *server, struct backend *backend, unsigned index)
{
	unsigned workers = backend->set->config->workers;

	*server = (struct backend_server){
		.backend = backend,
		.config = &backend->config->servers[index],
		.index = index,
		.since_ms = loop_now_ms(backend->set->loop),
		.retry.fire = on_retry,
	};
	server->mail = (struct backend_pool){.server = server,
		.limit = share(backend->config->connections, workers),
		.max_uses = POOL_MAIL_USES};
	server->checks = (struct backend_pool){.server = server,
		.limit = share(POOL_CHECKS, workers),
		.max_uses = POOL_CHECK_USES};
	if (server->config->endpoint.ip.family != IP_NONE) {
		server->addresses[0] = server->config->endpoint;
		server->n_addresses = 1;
	}
}

unsigned backend_server_connections(const struct backend_server *server)
{
	return server->mail.open + server->checks.open;
}

static unsigned load(const struct backend_server *server)
{
	return server->mail.open - server->mail.n_idle + server->mail.n_waiting;
}

struct backend_server *backend_server_choose(struct backend *backend, uint64_t tried)
{
	struct backend_server *best = NULL;

	for (size_t i = 0; i < backend->n_servers; i++) {
		struct backend_server *server = &backend->servers[i];

		if (server->health == SERVER_DOWN || tried & SERVER_BIT(i))
			continue;
		if (backend->config->balance == BALANCE_FIRST)
			return server;
		if (!best || load(server) < load(best))
			best = server;
	}
	return best;
}

/* --- health --- */

static struct record *begin_event(
	struct backend_server *server, enum log_level level, const char *event)
{
	struct record *r = log_begin(set_of(server)->log, level, event);

	record_string(r, "backend", server->backend->config->name);
	record_string(r, "server", server->config->address);
	return r;
}

static void set_health(struct backend_server *server, enum backend_health health)
{
	server->health = health;
	server->since_ms = now_ms(server);
}

void backend_server_reached(
	struct backend_server *server, const struct backend_capabilities *offers)
{
	server->offers = *offers;
	server->known = true;
	if (server->health == SERVER_DOWN) {
		struct record *r = begin_event(server, LOG_INFO, "backend_up");

		record_number(r, "down_ms", (int64_t)(now_ms(server) - server->since_ms));
		log_end(set_of(server)->log);
	}
	if (server->health == SERVER_UP)
		return;
	set_health(server, SERVER_UP);
	server->backoff_ms = 0;
	server->why[0] = '\0';
	timer_clear(&set_of(server)->loop->timers, &server->retry);
}

static void go_down(struct backend_server *server)
{
	struct record *r = begin_event(server, LOG_WARNING, "backend_down");

	record_string(r, "why", server->why);
	record_number(r, "retry_ms", (int64_t)server->backoff_ms);
	log_end(set_of(server)->log);
	set_health(server, SERVER_DOWN);
	backend_pool_scatter(&server->mail);
	backend_pool_scatter(&server->checks);
}

void backend_server_failed(struct backend_server *server, bool crowded, const char *why)
{
	struct timers *timers = &set_of(server)->loop->timers;

	if (set_of(server)->state == BACKENDS_CLOSING)
		return;
	if (crowded && backend_server_connections(server)) {
		server->crowd = backend_server_connections(server);
		server->crowded_until_ms = now_ms(server) + SERVER_CROWDED_MS;
		return;
	}
	/* Of connections that fail side by side the first counts. */
	if (server->health == SERVER_DOWN && timer_is_set(&server->retry))
		return;
	snprintf(server->why, sizeof(server->why), "%s", why);
	server->backoff_ms = server->backoff_ms ? server->backoff_ms * 2 : SERVER_BACKOFF_FIRST_MS;
	if (server->backoff_ms > SERVER_BACKOFF_MAX_MS)
		server->backoff_ms = SERVER_BACKOFF_MAX_MS;
	timer_set(timers, &server->retry, server->backoff_ms);
	if (server->health != SERVER_DOWN)
		go_down(server);
}

void backend_server_probe(struct backend_server *server)
{
	if (!server->probe && set_of(server)->state == BACKENDS_SERVING)
		server->probe = backend_connection_open(server, NULL, NULL);
}

void backend_server_close(struct backend_server *server)
{
	timer_clear(&set_of(server)->loop->timers, &server->retry);
	if (server->looking)
		uv_cancel((uv_req_t *)&server->lookup);
}

/* --- where its name points --- */

static void take_addresses(struct backend_server *server, const struct addrinfo *answer)
{
	server->n_addresses = 0;
	for (; answer && server->n_addresses < SERVER_ADDRESSES_MAX; answer = answer->ai_next) {
		struct endpoint e = endpoint_of(answer->ai_addr);

		if (e.ip.family == IP_NONE)
			continue;
		e.port = server->config->port;
		server->addresses[server->n_addresses++] = e;
	}
	server->looked_up_ms = now_ms(server);
}

static struct backend_connection *waiting_for_lookup(struct backend_server *server)
{
	struct backend_connection *c = set_of(server)->connections;

	while (c && !(c->server == server && c->state == CONNECTION_LOOKUP))
		c = c->next;
	return c;
}

static void on_lookup(uv_getaddrinfo_t *lookup, int status, struct addrinfo *answer)
{
	struct backend_server *server = CONTAINER_OF(lookup, struct backend_server, lookup);
	struct backends *set = set_of(server);
	struct backend_connection *c;
	char why[120] = "";

	server->looking = false;
	if (status == 0)
		take_addresses(server, answer);
	else
		snprintf(why, sizeof(why), "address lookup: %s", uv_strerror(status));
	uv_freeaddrinfo(answer);
	/* Addresses that were good a minute ago are better than none. */
	if (server->n_addresses)
		why[0] = '\0';
	else if (!why[0])
		snprintf(why, sizeof(why), "address lookup: no address");
	while ((c = waiting_for_lookup(server)))
		backend_connection_resolved(c, why[0] ? why : NULL);
	backends_leave(set);
}

bool backend_server_resolve(struct backend_server *server)
{
	static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	bool literal = server->config->unix_path || server->config->endpoint.ip.family != IP_NONE;
	bool kept = server->n_addresses &&
		    now_ms(server) - server->looked_up_ms < SERVER_LOOKUP_KEPT_MS;

	if (literal || kept)
		return true;
	if (server->looking)
		return false;
	/* A failure to begin (no memory for a thread's request) leaves the connection to its
	 * deadline. */
	if (uv_getaddrinfo(&set_of(server)->loop->uv, &server->lookup, on_lookup,
		    server->config->host, NULL, &hints) == 0) {
		server->looking = true;
		backends_enter(set_of(server));
	}
	return false;
}

/* --- status --- */

static void pool_status(const struct backend_pool *pool, const char *key, struct record *r)
{
	record_open(r, key);
	record_number(r, "limit", pool->limit);
	record_number(r, "open", pool->open);
	record_number(r, "idle", pool->n_idle);
	record_number(r, "busy", pool->open - pool->n_idle);
	record_number(r, "waiting", pool->n_waiting);
	record_close(r);
}

void backend_server_status(const struct backend_server *server, struct record *r)
{
	static const char *const words[] = {
		[SERVER_UNKNOWN] = "unknown", [SERVER_UP] = "up", [SERVER_DOWN] = "down"};

	record_open(r, NULL);
	record_string(r, "server", server->config->address);
	record_string(r, "state", words[server->health]);
	record_number(r, "since_s", (int64_t)((now_ms(server) - server->since_ms) / 1000));
	if (server->why[0])
		record_string(r, "why", server->why);
	pool_status(&server->mail, "mail", r);
	pool_status(&server->checks, "checks", r);
	record_close(r);
}

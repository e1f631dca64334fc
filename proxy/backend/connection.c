/*
 * The connection as such: its birth, what the stream tells of it, its use by jobs, its end. The
 * talk that makes it READY is in setup.c, a transaction's in exchange.c.
 */
#include "proxy/backend/connection.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "proxy/backend/bond.h"
#include "proxy/backend/command.h"
#include "proxy/backend/job.h"
#include "proxy/backend/server.h"
#include "proxy/backend/setup.h"

enum { CONNECTION_MAGIC = 0x42636f6e };

static const struct stream_handler stream_handler;
static void on_timer(struct timer *timer);
static void on_settle(struct deferred *settle);

static struct backends *set_of(const struct backend_connection *c)
{
	return c->server->backend->set;
}

static const struct backend_config *config_of(const struct backend_connection *c)
{
	return c->server->backend->config;
}

static uint64_t now_ms(const struct backend_connection *c)
{
	return loop_now_ms(set_of(c)->loop);
}

/* --- birth and death --- */

static void connect_now(struct backend_connection *c)
{
	struct backend_server *server = c->server;
	const struct endpoint *to = server->n_addresses ? &server->addresses[c->address] : NULL;

	c->state = CONNECTION_CONNECT;
	stream_connect(
		&c->stream, set_of(c)->loop, to, server->config->unix_path, &stream_handler, c);
}

struct backend_connection *backend_connection_open(
	struct backend_server *server, struct backend_pool *pool, struct backend_job *job)
{
	struct backends *set = server->backend->set;
	struct backend_connection *c = memory_zeroed(sizeof(*c));

	c->magic = CONNECTION_MAGIC;
	c->server = server;
	c->pool = pool;
	c->job = job;
	c->timer.fire = on_timer;
	c->settle.run = on_settle;
	c->opened_ms = loop_now_ms(set->loop);
	reply_parser_init(&c->parser);
	if (job) {
		job->state = JOB_CONNECTING;
		job->connection = c;
		job->attempts++;
		c->bond = job->bond;
		c->client = job->bond ? backend_job_client(job) : NULL;
		if (c->bond)
			c->bond->connection = c;
	}
	if (pool)
		pool->open++;
	c->next = set->connections;
	if (c->next)
		c->next->prev = c;
	set->connections = c;
	backends_enter(set);
	timer_set(&set->loop->timers, &c->timer, set->config->timeouts.backend_connect);
	if (backend_server_resolve(server))
		connect_now(c);
	return c;
}

void backend_connection_resolved(struct backend_connection *c, const char *why)
{
	ENSURE(c->state == CONNECTION_LOOKUP);
	if (why)
		backend_connection_lose(c, LOSS_CONNECT, NULL, why);
	else
		connect_now(c);
}

static void connection_free(struct backend_connection *c)
{
	struct backends *set = set_of(c);

	reply_parser_free(&c->parser);
	free(c);
	backends_leave(set);
}

static void on_never_opened(struct deferred *settle)
{
	connection_free(CONTAINER_OF(settle, struct backend_connection, settle));
}

static void on_closed(void *context)
{
	struct backend_connection *c = context;

	MAGIC_ENSURE(c, CONNECTION_MAGIC);
	if (c->state == CONNECTION_CONNECT)
		connect_now(c); /* the next address */
	else
		connection_free(c);
}

/* Out of all lists; the memory goes when the stream is closed. */
static void connection_close(struct backend_connection *c)
{
	struct backends *set = set_of(c);

	ENSURE(c->state != CONNECTION_CLOSED);
	c->state = CONNECTION_CLOSED;
	timer_clear(&set->loop->timers, &c->timer);
	loop_undefer(set->loop, &c->settle);
	if (c->idle)
		backend_pool_take_idle(c->pool, c);
	if (c->pool)
		backend_pool_closed(c->pool);
	if (c->bond)
		c->bond->connection = NULL;
	c->bond = NULL;
	if (c->next)
		c->next->prev = c->prev;
	*(c->prev ? &c->prev->next : &set->connections) = c->next;
	if (c->server->probe == c)
		c->server->probe = NULL;
	if (c->stream.state == STREAM_CLOSED) {
		c->settle.run = on_never_opened;
		loop_defer(set->loop, &c->settle);
	} else {
		stream_close(&c->stream);
	}
}

/* Those who waited for this place or this connection. */
static void serve_others(struct backend_server *server, struct backend_bond *bond)
{
	if (bond)
		backend_bond_serve(bond);
	backend_pool_serve(&server->mail);
	backend_pool_serve(&server->checks);
}

void backend_connection_drop(struct backend_connection *c)
{
	struct backend_bond *bond = c->bond;

	if (c->job)
		c->job->connection = NULL;
	c->job = NULL;
	connection_close(c);
	serve_others(c->server, bond);
}

static void log_loss(
	const struct backend_connection *c, const struct backend_job *job, const char *why)
{
	struct log *log = set_of(c)->log;
	/* One that grew old in the pool is no fault. */
	struct record *r =
		log_begin(log, c->uses > 1 ? LOG_INFO : LOG_WARNING, "backend_connection_lost");
	struct span sid = job ? backend_job_sid(job) : SPAN_NONE;

	if (sid.len)
		record_text(r, "sid", sid);
	record_string(r, "backend", config_of(c)->name);
	record_string(r, "server", c->server->config->address);
	record_string(r, "waited_for", backend_connection_waits_for(c));
	record_string(r, "why", why);
	log_end(log);
}

static bool connection_making(const struct backend_connection *c)
{
	return c->state < CONNECTION_READY;
}

/* Health knows of it before the job looks for another server. */
static void tell_server(
	const struct backend_connection *c, bool making, const struct backend_loss *loss)
{
	struct backend_server *server = c->server;

	if (loss->kind == LOSS_TLS) {
		server->plain_until_ms = now_ms(c) + SERVER_PLAIN_MS;
		log_event(set_of(c)->log, LOG_WARNING, "backend_tls_failed", SPAN_NONE,
			"%s: %s; going on without TLS for %d s", server->config->address, loss->why,
			SERVER_PLAIN_MS / 1000);
	} else if (making && loss->kind == LOSS_CONNECT) {
		backend_server_failed(server, loss->reply && loss->reply->code < 500, loss->why);
	}
	if (loss->kind == LOSS_TLS && !c->pool)
		backend_server_probe(server);
}

void backend_connection_lose(struct backend_connection *c, enum backend_loss_kind kind,
	const struct reply *reply, const char *why)
{
	struct backend_loss loss = {kind, c->uses > 1, reply, why};
	struct backend_bond *bond = c->bond;
	struct backend_job *job = c->job;
	bool making = connection_making(c);

	if (c->state == CONNECTION_BUSY || kind == LOSS_GARBAGE)
		log_loss(c, job, why);
	c->job = NULL;
	connection_close(c);
	tell_server(c, making, &loss);
	if (job)
		backend_job_lost(job, &loss);
	serve_others(c->server, bond);
}

/* --- what the stream tells --- */

static void on_connected(void *context)
{
	struct backend_connection *c = context;
	struct backends *set = set_of(c);

	MAGIC_ENSURE(c, CONNECTION_MAGIC);
	shared_add(set->row, COUNT_backend_connects, 1);
	if (c->address) {
		/* The next connection begins with the address that works. */
		struct endpoint good = c->server->addresses[c->address];

		c->server->addresses[c->address] = c->server->addresses[0];
		c->server->addresses[0] = good;
		c->address = 0;
	}
	backend_setup_introduce(c);
	c->state = CONNECTION_GREETING;
	c->due = 1;
	stream_read(&c->stream, true);
}

static void on_tls(void *context)
{
	backend_setup_secured(context);
}

static void lose_to_garbage(struct backend_connection *c, const char *why)
{
	if (connection_making(c))
		backend_connection_lose(c, LOSS_CONNECT, NULL, why);
	else
		backend_connection_lose(c, LOSS_GARBAGE, NULL, why);
}

/* Whether we would speak next, if this reply is the last that is due. What then stands behind it
 * was said before we asked, and must not pass for an answer: put there to be taken for what TLS
 * protects, or by a server that counts otherwise than we. */
static bool our_turn(const struct backend_connection *c)
{
	if (c->due || c->state == CONNECTION_QUIT)
		return false;
	return c->state != CONNECTION_BUSY || !backend_exchange_ends(c->job);
}

static void take_reply(struct backend_connection *c, bool bytes_follow)
{
	const struct reply *reply = &c->parser.reply;

	c->due--;
	c->heard_ms = now_ms(c);
	if (bytes_follow && our_turn(c))
		lose_to_garbage(c, "it said more than it was asked");
	else if (c->state == CONNECTION_QUIT)
		backend_connection_drop(c);
	else if (c->state == CONNECTION_BUSY)
		backend_exchange_reply(c->job, reply);
	else
		backend_setup_reply(c, reply);
}

static void on_data(void *context, struct span bytes)
{
	struct backend_connection *c = context;

	MAGIC_ENSURE(c, CONNECTION_MAGIC);
	while (bytes.len && c->state != CONNECTION_CLOSED) {
		if (c->due == 0) {
			lose_to_garbage(c, "it spoke when nothing was asked");
			return;
		}
		switch (reply_parse(&c->parser, &bytes)) {
		case REPLY_MORE:
			break;
		case REPLY_DONE:
			take_reply(c, bytes.len > 0);
			break;
		case REPLY_BAD:
			lose_to_garbage(c, "its reply is no SMTP");
			return;
		}
	}
}

static void on_end(void *context, enum stream_end end, const char *detail)
{
	struct backend_connection *c = context;
	char why[160];

	MAGIC_ENSURE(c, CONNECTION_MAGIC);
	if (c->state == CONNECTION_CONNECT && c->address + 1 < c->server->n_addresses) {
		c->address++;
		stream_close(&c->stream);
		return;
	}
	snprintf(why, sizeof(why), "%s: %s", backend_connection_waits_for(c), detail);
	if (c->state == CONNECTION_HANDSHAKE && !backend_setup_needs_tls(c))
		backend_connection_lose(c, LOSS_TLS, NULL, why);
	else if (connection_making(c))
		backend_connection_lose(c, LOSS_CONNECT, NULL, why);
	else
		backend_connection_lose(c, LOSS_BROKEN, NULL, why);
	(void)end;
}

static void on_drain(void *context)
{
	struct backend_connection *c = context;

	if (c->state == CONNECTION_BUSY)
		backend_exchange_drained(c->job);
}

static const struct stream_handler stream_handler = {
	.on_connected = on_connected,
	.on_data = on_data,
	.on_end = on_end,
	.on_drain = on_drain,
	.on_tls = on_tls,
	.on_closed = on_closed,
};

static void on_timer(struct timer *timer)
{
	struct backend_connection *c = CONTAINER_OF(timer, struct backend_connection, timer);
	char why[100];

	MAGIC_ENSURE(c, CONNECTION_MAGIC);
	snprintf(why, sizeof(why), "timed out at %s", backend_connection_waits_for(c));
	if (c->state == CONNECTION_READY)
		backend_connection_quit(c);
	else if (c->state == CONNECTION_QUIT)
		backend_connection_drop(c);
	else if (c->state == CONNECTION_HANDSHAKE && !backend_setup_needs_tls(c))
		backend_connection_lose(c, LOSS_TLS, NULL, why);
	else if (connection_making(c))
		backend_connection_lose(c, LOSS_CONNECT, NULL, why);
	else
		backend_connection_lose(c, LOSS_TIMEOUT, NULL, why);
}

/* --- in use --- */

void backend_connection_expect(struct backend_connection *c, unsigned replies, uint64_t timeout_ms)
{
	c->due += replies;
	timer_set(&set_of(c)->loop->timers, &c->timer, timeout_ms);
}

void backend_connection_send(struct backend_connection *c, unsigned replies)
{
	struct buffer *commands = &set_of(c)->commands;

	stream_write(&c->stream, buffer_span(commands));
	buffer_clear(commands);
	backend_connection_expect(c, replies, CONNECTION_REPLY_MS);
}

static void on_settle(struct deferred *settle)
{
	struct backend_connection *c = CONTAINER_OF(settle, struct backend_connection, settle);

	MAGIC_ENSURE(c, CONNECTION_MAGIC);
	if (c->state == CONNECTION_READY && !c->idle)
		backend_pool_put(c->pool, c);
}

void backend_connection_release(struct backend_connection *c)
{
	ENSURE(c->state == CONNECTION_BUSY && c->due == 0);
	c->job = NULL;
	c->state = CONNECTION_READY;
	timer_clear(&set_of(c)->loop->timers, &c->timer);
	loop_defer(set_of(c)->loop, &c->settle);
}

/* No longer its client's: a bond has one connection, and this one is on its way out. */
static void leave_bond(struct backend_connection *c)
{
	struct backend_bond *bond = c->bond;

	if (!bond)
		return;
	c->bond = NULL;
	bond->connection = NULL;
	backend_bond_serve(bond);
}

void backend_connection_quit(struct backend_connection *c)
{
	ENSURE(c->state == CONNECTION_READY && !c->job);
	if (c->idle)
		backend_pool_take_idle(c->pool, c);
	backend_command_text(&set_of(c)->commands, "QUIT");
	backend_connection_send(c, 1);
	timer_set(&set_of(c)->loop->timers, &c->timer, CONNECTION_QUIT_MS);
	c->state = CONNECTION_QUIT;
	leave_bond(c);
}

void backend_connection_dismiss(struct backend_connection *c)
{
	if (c->state == CONNECTION_READY)
		stream_write(&c->stream, SPAN("QUIT\r\n"));
	if (c->job)
		c->job->connection = NULL;
	c->job = NULL;
	connection_close(c);
}

const char *backend_connection_waits_for(const struct backend_connection *c)
{
	static const char *const words[] = {
		[CONNECTION_LOOKUP] = "backend address",
		[CONNECTION_CONNECT] = "backend connect",
		[CONNECTION_GREETING] = "backend greeting",
		[CONNECTION_EHLO] = "backend reply to EHLO",
		[CONNECTION_HELO] = "backend reply to HELO",
		[CONNECTION_STARTTLS] = "backend reply to STARTTLS",
		[CONNECTION_HANDSHAKE] = "backend TLS handshake",
		[CONNECTION_EHLO_TLS] = "backend reply to EHLO",
		[CONNECTION_XCLIENT] = "backend reply to XCLIENT",
		[CONNECTION_EHLO_XCLIENT] = "backend reply to EHLO",
		[CONNECTION_READY] = "nothing",
		[CONNECTION_BUSY] = "backend",
		[CONNECTION_QUIT] = "backend reply to QUIT",
		[CONNECTION_CLOSED] = "nothing",
	};

	if (c->state == CONNECTION_BUSY && c->job)
		return backend_exchange_waits_for(&c->job->exchange);
	return words[c->state];
}

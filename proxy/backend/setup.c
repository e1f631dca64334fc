/* The talk between connect and READY; the states are drawn in connection.h. */
#include "proxy/backend/setup.h"

#include <stdio.h>

#include "lib/base/fail.h"
#include "lib/mail/proxy_header.h"
#include "proxy/backend/command.h"
#include "proxy/backend/job.h"
#include "proxy/backend/server.h"

static struct backends *set_of(const struct backend_connection *c)
{
	return c->server->backend->set;
}

static const struct backend_config *config_of(const struct backend_connection *c)
{
	return c->server->backend->config;
}

static void lose_unready(struct backend_connection *c, const struct reply *reply, const char *what)
{
	char why[200];

	if (reply)
		snprintf(why, sizeof(why), "%s: %u %s %.*s", what, reply->code, reply->enhanced,
			SPAN_ARGS(span_first(reply->text, 120)));
	else
		snprintf(why, sizeof(why), "%s", what);
	backend_connection_lose(c, LOSS_CONNECT, reply, why);
}

/* Sends what stands in the command buffer. */
static void setup_send(struct backend_connection *c, enum backend_connection_state state)
{
	struct buffer *commands = &set_of(c)->commands;

	stream_write(&c->stream, buffer_span(commands));
	buffer_clear(commands);
	c->state = state;
	c->due = 1;
}

/* Under the client's name its own HELO goes on, so that the server's checks see what we saw; only
 * if it is one: a domain or an address literal. */
static struct span hello_name(const struct backend_connection *c, bool as_client)
{
	if (as_client && c->client &&
		(domain_valid(c->client->helo, false) || literal_valid(c->client->helo, NULL)))
		return c->client->helo;
	return span_text(set_of(c)->config->hostname);
}

static void say_hello(struct backend_connection *c, enum backend_connection_state state)
{
	const char *verb = config_of(c)->protocol == BACKEND_LMTP ? "LHLO"
			   : state == CONNECTION_HELO             ? "HELO"
								  : "EHLO";
	bool as_client = config_of(c)->client_info == CLIENT_INFO_PROXY_V2 ||
			 state == CONNECTION_EHLO_XCLIENT;

	backend_command_hello(&set_of(c)->commands, verb, hello_name(c, as_client));
	setup_send(c, state);
}

static void connection_ready(struct backend_connection *c)
{
	struct backend_job *job = c->job;

	timer_clear(&set_of(c)->loop->timers, &c->timer);
	c->state = CONNECTION_READY;
	c->client = NULL;
	backend_server_reached(c->server, &c->offers);
	if (!c->pool) {
		c->server->probe = NULL;
		backend_connection_quit(c);
	} else if (job) {
		c->job = NULL;
		backend_job_run(job, c);
	} else {
		loop_defer(set_of(c)->loop, &c->settle);
	}
}

/* client_info asks for what this server does not have: said once, until it has it. */
static bool fit(struct backend_connection *c)
{
	enum client_info info = config_of(c)->client_info;
	bool lacks_xclient = info == CLIENT_INFO_XCLIENT && !c->offers.xclient;
	bool lacks = lacks_xclient || (info == CLIENT_INFO_XFORWARD && !c->offers.xforward);

	if (lacks && !c->server->unfit)
		log_event(set_of(c)->log, LOG_ERROR, "backend_unfit", SPAN_NONE,
			"%s does not offer us %s, which client_info of backend \"%s\" asks for%s",
			c->server->config->address, lacks_xclient ? "XCLIENT" : "XFORWARD",
			config_of(c)->name,
			lacks_xclient ? ": no mail can be handed to it" : ": mail goes without");
	c->server->unfit = lacks;
	return !lacks_xclient || !c->pool;
}

static void after_tls(struct backend_connection *c)
{
	if (!fit(c)) {
		backend_connection_lose(c, LOSS_UNFIT, NULL, "XCLIENT is not offered");
		return;
	}
	if (config_of(c)->client_info != CLIENT_INFO_XCLIENT || !c->client) {
		connection_ready(c);
		return;
	}
	backend_command_xclient(&set_of(c)->commands, c->client, c->offers.xclient);
	setup_send(c, CONNECTION_XCLIENT);
}

bool backend_setup_needs_tls(const struct backend_connection *c)
{
	return config_of(c)->tls >= BACKEND_TLS_REQUIRED;
}

static void after_hello(struct backend_connection *c)
{
	bool offered = c->offers.can & CAN_STARTTLS;
	/* Nobody listens in on a unix socket. */
	bool wanted =
		backend_setup_needs_tls(c) ||
		(config_of(c)->tls == BACKEND_TLS_OPPORTUNISTIC && !c->server->config->unix_path &&
			loop_now_ms(set_of(c)->loop) >= c->server->plain_until_ms);

	if (wanted && offered) {
		backend_command_text(&set_of(c)->commands, "STARTTLS");
		setup_send(c, CONNECTION_STARTTLS);
	} else if (backend_setup_needs_tls(c)) {
		lose_unready(
			c, NULL, "it does not offer STARTTLS, which the configuration requires");
	} else {
		after_tls(c);
	}
}

static void hello_reply(struct backend_connection *c, const struct reply *reply)
{
	bool first = c->state == CONNECTION_EHLO;

	if (reply->code == 250) {
		c->offers = c->state == CONNECTION_HELO ? (struct backend_capabilities){0}
							: backend_capabilities_parse(reply->text);
		if (c->state == CONNECTION_EHLO || c->state == CONNECTION_HELO)
			after_hello(c);
		else if (c->state == CONNECTION_EHLO_TLS)
			after_tls(c);
		else
			connection_ready(c);
	} else if (first && reply->code >= 500 && config_of(c)->protocol == BACKEND_SMTP) {
		say_hello(c, CONNECTION_HELO); /* RFC 5321 3.2 */
	} else {
		lose_unready(c, reply, "it refused our EHLO");
	}
}

static void starttls_reply(struct backend_connection *c, const struct reply *reply)
{
	struct backend *backend = c->server->backend;

	if (reply->code == 220) {
		c->state = CONNECTION_HANDSHAKE;
		stream_tls(&c->stream, backend->tls, false, c->server->config->host);
	} else if (backend_setup_needs_tls(c)) {
		lose_unready(c, reply, "it refused STARTTLS");
	} else {
		after_tls(c);
	}
}

void backend_setup_reply(struct backend_connection *c, const struct reply *reply)
{
	switch (c->state) {
	case CONNECTION_GREETING:
		if (reply->code == 220)
			say_hello(c, CONNECTION_EHLO);
		else
			lose_unready(c, reply, "it greeted us with");
		break;
	case CONNECTION_EHLO:
	case CONNECTION_HELO:
	case CONNECTION_EHLO_TLS:
	case CONNECTION_EHLO_XCLIENT:
		hello_reply(c, reply);
		break;
	case CONNECTION_STARTTLS:
		starttls_reply(c, reply);
		break;
	case CONNECTION_XCLIENT:
		if (reply->code == 220)
			say_hello(c, CONNECTION_EHLO_XCLIENT);
		else
			backend_connection_lose(c, LOSS_UNFIT, NULL, "it refused XCLIENT");
		break;
	case CONNECTION_LOOKUP:
	case CONNECTION_CONNECT:
	case CONNECTION_HANDSHAKE:
	case CONNECTION_READY:
	case CONNECTION_BUSY:
	case CONNECTION_QUIT:
	case CONNECTION_CLOSED:
		ENSURE(!"a state in which no reply is due");
	}
}

void backend_setup_introduce(struct backend_connection *c)
{
	static const struct endpoint nobody; /* a probe speaks for itself */
	char header[PROXY_V2_WRITE_MAX];
	size_t size;

	if (config_of(c)->client_info != CLIENT_INFO_PROXY_V2)
		return;
	size = proxy_header_write(c->client ? &c->client->remote : &nobody,
		c->client ? &c->client->local : &nobody, header);
	stream_write(&c->stream, span_make(header, size));
}

void backend_setup_secured(struct backend_connection *c)
{
	say_hello(c, CONNECTION_EHLO_TLS);
}

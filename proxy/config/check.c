/* What can only be judged when all of postern.conf is read: keys that are missing or contradict
 * each other. */
#include <string.h>

#include "proxy/config/read.h"

enum { SMTP_PORT = 25, LMTP_PORT = 24 };

static void check_required(struct reader *r, const struct scope *scope)
{
	const char *block = scope->block ? scope->block->name : "";
	size_t count;
	const struct option *rows = option_block(block, &count);

	for (size_t i = 0; i < count; i++) {
		const struct option *o = &rows[i];
		const char *help;

		if (!(o->flags & OPTION_REQUIRED) || scope->given[i].key.kind != TOKEN_END)
			continue;
		help = arena_print(r->scratch, "write: %s %s", o->name,
			o->example ? o->example : o->kind->example);
		if (scope->block)
			reader_mistake(
				r, &scope->opened, help, "this `%s` has no `%s`", block, o->name);
		else
			reader_mistake(r, NULL, help, "`%s` is missing", o->name);
	}
}

static void check_listen(struct reader *r, const struct scope *scope)
{
	const struct listen_config *listen = &r->config->listens[scope->index];
	const struct given *tls = scope_given(scope, "tls");

	for (size_t i = 0; listen->address && i < scope->index; i++) {
		const struct listen_config *other = &r->config->listens[i];

		if (other->address && ip_equal(&other->endpoint.ip, &listen->endpoint.ip) &&
			other->endpoint.port == listen->endpoint.port) {
			reader_mistake(r, &scope_given(scope, "")->value, NULL,
				"`%s` is listened on already", listen->address);
			break;
		}
	}
	if (tls->key.kind != TOKEN_END && !tls->bad && listen->tls != LISTEN_TLS_NONE &&
		r->config->tls.count == 0)
		reader_mistake(r, &tls->value,
			"write: tls { certificate \"mx.pem\" key \"mx.key\" }, or tls none here",
			"TLS needs a certificate, and none is given");
}

static void check_tls(struct reader *r, const struct scope *scope)
{
	const struct tls_config *tls = &r->config->tls;
	const struct given *certificate = scope_given(scope, "certificate");

	if (certificate->key.kind != TOKEN_END && tls->count &&
		!tls->certificates[tls->count - 1].key.name)
		reader_mistake(r, &certificate->value,
			"write: certificate \"mx.pem\" key \"mx.key\"",
			"this certificate has no key");
}

static bool has_unix_server(const struct backend_config *backend)
{
	for (size_t i = 0; i < backend->n_servers; i++)
		if (backend->servers[i].unix_path)
			return true;
	return false;
}

static void set_ports(struct backend_config *backend)
{
	uint16_t port = backend->protocol == BACKEND_LMTP ? LMTP_PORT : SMTP_PORT;

	for (size_t i = 0; i < backend->n_servers; i++) {
		struct server_config *server = &backend->servers[i];

		if (server->unix_path || server->port)
			continue;
		server->port = server->endpoint.port = port;
	}
}

/* The token to tell a mistake of a key at: its value, or the block when the key has its default. */
static const struct token *place_of(const struct scope *scope, const char *name)
{
	const struct given *given = scope_given(scope, name);

	return given->key.kind == TOKEN_END ? &scope->opened : &given->value;
}

static void check_backend(struct reader *r, const struct scope *scope)
{
	struct backend_config *backend = &r->config->backends[scope->index];

	for (size_t i = 0; backend->name && i < scope->index; i++) {
		const struct backend_config *other = &r->config->backends[i];

		if (other->name && strcmp(other->name, backend->name) == 0) {
			reader_mistake(r, &scope_given(scope, "")->value,
				"give each backend a name of its own; several servers may stand in "
				"one",
				"backend `%s` is given twice", backend->name);
			break;
		}
	}
	set_ports(backend);
	if (backend->tls == BACKEND_TLS_VERIFIED && has_unix_server(backend))
		reader_mistake(r, place_of(scope, "tls"), NULL,
			"a unix socket has no name that a certificate could be verified for");
	if (backend->client_info == CLIENT_INFO_PROXY_V2 && has_unix_server(backend))
		reader_warning(r, place_of(scope, "client_info"),
			"write client_info xclient or none, unless the server expects it",
			"mail servers rarely take a PROXY header on a unix socket");
	if (backend->client_info == CLIENT_INFO_XFORWARD && backend->protocol == BACKEND_LMTP)
		reader_warning(r, place_of(scope, "client_info"), NULL,
			"LMTP servers rarely offer XFORWARD; where it is not offered nothing is "
			"told");
}

/* A backend that trusts us and is not told who the client is may relay for everyone. */
static void check_relay(struct reader *r, const struct scope *top)
{
	const struct given *relay = scope_given(top, "relay_domains");

	if (!r->config->relay_any || relay->bad)
		return;
	for (size_t i = 0; i < r->config->n_backends; i++) {
		const struct backend_config *backend = &r->config->backends[i];

		if (backend->client_info != CLIENT_INFO_NONE &&
			backend->client_info != CLIENT_INFO_XFORWARD)
			continue;
		reader_warning(r, &relay->value,
			"list the domains, or write client_info proxy_v2 or xclient and set the "
			"backend up for it",
			"backend `%s` takes every client for postern (client_info %s): it may be "
			"an open relay",
			backend->name ? backend->name : "",
			backend->client_info == CLIENT_INFO_NONE ? "none" : "xforward");
	}
}

static void check_limits(struct reader *r, const struct scope *scope)
{
	const struct limits_config *limits = &r->config->limits;

	if (limits->spool < limits->message && !scope_given(scope, "spool")->bad &&
		!scope_given(scope, "message")->bad)
		reader_warning(r, place_of(scope, "spool"), NULL,
			"the spool is smaller than the largest message, which will get 452");
}

void config_check(struct reader *r)
{
	static const struct {
		const char *block;
		void (*check)(struct reader *r, const struct scope *scope);
	} checks[] = {
		{"listen", check_listen},
		{"tls", check_tls},
		{"backend", check_backend},
		{"limits", check_limits},
	};

	for (const struct scope *s = r->scopes; s && !r->stopped; s = s->next) {
		check_required(r, s);
		for (size_t i = 0; s->block && i < COUNT_OF(checks); i++)
			if (strcmp(s->block->name, checks[i].block) == 0)
				checks[i].check(r, s);
		if (!s->block)
			check_relay(r, s);
	}
}

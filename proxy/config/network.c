/* The kinds of value that name addresses: listeners, networks, servers and resolvers. */
#include <stdio.h>

#include "lib/base/fail.h"
#include "lib/mail/address.h"
#include "proxy/config/read.h"

#define UNIX_PREFIX "unix:"

enum { UNIX_PATH_MAX = 107, DNS_PORT = 53 };

/* --- listen --- */

static bool read_listen(struct reader *r, const struct option *o, void *base)
{
	struct listen_config *listen = base;
	struct endpoint endpoint;
	const char *address;
	struct token t;

	if (!reader_take_value(r, o, &t))
		return false;
	address = token_value(&t, r->config->arena);
	if (!endpoint_parse(span_text(address), &endpoint) || endpoint.port == 0)
		return reader_mistake_type(r, o, &t);
	listen->address = address;
	listen->endpoint = endpoint;
	return true;
}

static bool show_listen(const struct option *o, const void *base, size_t index, struct text *t)
{
	const struct listen_config *listen = base;

	(void)o;
	if (index == 0)
		text_quoted(t, listen->address ? listen->address : "");
	return index == 0;
}

const struct kind kind_listen = {
	.syntax = "ADDRESS:PORT",
	.expects = "an address with a port",
	.example = "\"0.0.0.0:25\" or \"[::]:25\"",
	.read = read_listen,
	.show = show_listen,
};

/* --- networks --- */

static bool add_network(struct reader *r, const struct token *t, void *context)
{
	struct cidr_set *set = context;
	const char *value = token_value(t, r->scratch);
	struct cidr network;
	bool host_bits;

	if (!cidr_parse(span_text(value), &network, &host_bits))
		return reader_mistake(r, t, "write it as 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32",
			"`%s` is no address or network", value);
	if (host_bits) {
		char ip[IP_TEXT_SIZE];
		const char *help = arena_print(r->scratch, "it means %s/%u",
			ip_format(&network.ip, ip), network.prefix_bits);

		reader_warning(r, t, help, "`%s` has bits set behind the network's", value);
	}
	*(struct cidr *)reader_append(r->config->arena, &set->items, &set->count, sizeof(network)) =
		network;
	return true;
}

/* from { 10.0.0.0/8 192.0.2.1 } */
static bool read_networks(struct reader *r, const struct option *o, void *base)
{
	struct cidr_set set = {NULL, 0};
	bool ok;

	if (token_is(&r->token, "from"))
		r->value = reader_take(r);
	else if (r->token.kind == TOKEN_LEFT_BRACE)
		return reader_mistake_type(r, o, &r->token);
	else {
		struct token t;

		if (reader_take_value(r, o, &t))
			reader_mistake_type(r, o, &t);
		return false;
	}
	ok = reader_take_set(r, o, add_network, &set);
	memcpy((char *)base + o->at.offset, &set, sizeof(set));
	return ok;
}

static void show_set(struct text *t, const struct cidr_set *set)
{
	text_put(t, "from {");
	for (size_t i = 0; i < set->count; i++) {
		const struct cidr *network = &set->items[i];
		char ip[IP_TEXT_SIZE];

		text_put(t, " %s", ip_format(&network->ip, ip));
		if (network->prefix_bits < (network->ip.family == IP_V4 ? 32 : 128))
			text_put(t, "/%u", network->prefix_bits);
	}
	text_put(t, " }");
}

static bool show_networks(const struct option *o, const void *base, size_t index, struct text *t)
{
	const struct cidr_set *set = (const void *)((const char *)base + o->at.offset);

	if (index > 0 || set->count == 0)
		return false;
	show_set(t, set);
	return true;
}

const struct kind kind_networks = {
	.syntax = "from { NETWORK ... }",
	.expects = "a set of networks",
	.example = "from { 10.0.0.0/8 }",
	.read = read_networks,
	.show = show_networks,
};

/* --- bare_newline: a choice, and for whom --- */

static bool read_newline(struct reader *r, const struct option *o, void *base)
{
	struct option set = {.name = o->name, .kind = &kind_networks, .at = o->also};

	if (!kind_choice.read(r, o, base))
		return false;
	memset((char *)base + o->also.offset, 0, o->also.width);
	if (!token_is(&r->token, "from"))
		return true;
	if (field_get(base, o->at) != BARE_NEWLINE_NORMALIZE)
		return reader_mistake(
			r, &r->token, "normalize from { ... }", "only normalize says from whom");
	return kind_networks.read(r, &set, base);
}

static bool show_newline(const struct option *o, const void *base, size_t index, struct text *t)
{
	const struct cidr_set *set = (const void *)((const char *)base + o->also.offset);

	if (!kind_choice.show(o, base, index, t))
		return false;
	if (set->count) {
		text_put(t, " ");
		show_set(t, set);
	}
	return true;
}

const struct kind kind_newline = {
	.syntax = "reject | normalize [from { NETWORK ... }]",
	.expects = "one of",
	.example = "reject",
	.read = read_newline,
	.show = show_newline,
};

/* --- server --- */

static bool parse_unix(struct reader *r, const char *path, struct server_config *server)
{
	if (path[0] != '/' || strlen(path) > UNIX_PATH_MAX)
		return false;
	server->unix_path = arena_string(r->config->arena, span_text(path));
	return true;
}

/* A name whose last label is a number is a mistyped address. */
static bool is_host_name(struct span text)
{
	return domain_valid(text, false) && text.len && !ascii_is_digit(text.at[text.len - 1]);
}

/* "10.0.0.5:2525", "[::1]:25", "host.name:25", each also without port. */
static bool parse_host(struct reader *r, struct span address, struct server_config *server)
{
	bool bracket = address.len && address.at[0] == '[';
	size_t close = bracket ? span_find_char(address, ']') : 0;
	struct span host = bracket ? span_make(address.at + 1, close - 1) : address;
	struct span port = span_from(address, bracket ? close + 1 : span_find_char(address, ':'));
	uint64_t number = 0;

	if (bracket && close == address.len)
		return false;
	if (!bracket)
		host = span_first(address, address.len - port.len);
	if (port.len && (port.at[0] != ':' || !span_number(span_from(port, 1), 65535, &number) ||
				number == 0))
		return false;
	if (ip_parse(host, &server->endpoint.ip)) {
		if (bracket != (span_find_char(host, ':') < host.len))
			return false;
	} else if (bracket || !is_host_name(host)) {
		return false;
	}
	server->host = arena_string(r->config->arena, host);
	server->port = server->endpoint.port = (uint16_t)number;
	return true;
}

static bool read_server(struct reader *r, const struct option *o, void *base)
{
	struct backend_config *backend = base;
	struct server_config server = {.port = 0};
	struct token t;
	bool ok;

	if (!reader_take_value(r, o, &t))
		return false;
	server.address = token_value(&t, r->config->arena);
	if (span_starts(span_text(server.address), SPAN(UNIX_PREFIX)))
		ok = parse_unix(r, server.address + strlen(UNIX_PREFIX), &server);
	else
		ok = parse_host(r, span_text(server.address), &server);
	if (!ok)
		return reader_mistake_type(r, o, &t);
	if (backend->n_servers == o->max)
		return reader_mistake(
			r, &t, NULL, "a backend has at most %zu servers", (size_t)o->max);
	for (size_t i = 0; i < backend->n_servers; i++)
		if (strcmp(backend->servers[i].address, server.address) == 0)
			return reader_mistake(
				r, &t, NULL, "server `%s` is given twice", server.address);
	*(struct server_config *)reader_append(
		r->config->arena, &backend->servers, &backend->n_servers, sizeof(server)) = server;
	return true;
}

static bool show_server(const struct option *o, const void *base, size_t index, struct text *t)
{
	const struct backend_config *backend = base;

	(void)o;
	if (index >= backend->n_servers)
		return false;
	text_quoted(t, backend->servers[index].address);
	return true;
}

const struct kind kind_server = {
	.syntax = "HOST[:PORT] | unix:/PATH",
	.expects = "a server",
	.example = "\"10.0.0.5:2525\", \"[2001:db8::5]:25\", \"mail.example.net:25\" or "
		   "\"unix:/run/lmtp\"",
	.read = read_server,
	.show = show_server,
};

/* --- resolvers and the console's address --- */

static bool parse_resolver(struct span text, struct endpoint *out)
{
	if (endpoint_parse(text, out))
		return out->port != 0;
	out->port = DNS_PORT;
	return ip_parse(text, &out->ip);
}

static bool read_resolver(struct reader *r, const struct option *o, void *base)
{
	struct config *config = base;
	struct endpoint server;
	struct token t;

	if (!reader_take_value(r, o, &t))
		return false;
	if (!parse_resolver(span_text(token_value(&t, r->scratch)), &server))
		return reader_mistake_type(r, o, &t);
	if (config->n_dns_servers == o->max)
		return reader_mistake(
			r, &t, NULL, "at most %zu resolvers are asked", (size_t)o->max);
	*(struct endpoint *)reader_append(config->arena, &config->dns_servers,
		&config->n_dns_servers, sizeof(server)) = server;
	return true;
}

static bool show_resolver(const struct option *o, const void *base, size_t index, struct text *t)
{
	const struct config *config = base;
	char text[IP_TEXT_SIZE];

	(void)o;
	if (index >= config->n_dns_servers)
		return false;
	text_quoted(t, endpoint_format(&config->dns_servers[index], text));
	return true;
}

const struct kind kind_resolver = {
	.syntax = "ADDRESS[:PORT]",
	.expects = "the address of a resolver",
	.example = "\"127.0.0.1:53\"",
	.read = read_resolver,
	.show = show_resolver,
};

static bool read_http(struct reader *r, const struct option *o, void *base)
{
	struct endpoint endpoint;
	const char *value;
	struct token t;

	if (!reader_take_value(r, o, &t))
		return false;
	value = token_value(&t, r->config->arena);
	if (*value && (!endpoint_parse(span_text(value), &endpoint) || endpoint.port == 0))
		return reader_mistake_type(r, o, &t);
	field_set_string(base, o->at, value);
	return true;
}

static bool show_http(const struct option *o, const void *base, size_t index, struct text *t)
{
	return kind_text.show(o, base, index, t);
}

const struct kind kind_http = {
	.syntax = "ADDRESS:PORT | \"\"",
	.expects = "an address with a port, or \"\"",
	.example = "\"127.0.0.1:8025\"",
	.read = read_http,
	.show = show_http,
};

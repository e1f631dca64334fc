#include "proxy/process/declared.h"

#include <ifaddrs.h>

#include "policy/policy.h"
#include "proxy/config/config.h"

/* why: what it is, with a name or "" behind it. */
static void protect(
	struct buffer *out, const struct cidr *network, const char *why, const char *name)
{
	char text[IP_TEXT_SIZE];

	if (network->ip.family == IP_NONE)
		return;
	if (!buffer_print(out, "protect %s/%u %s%s%s\n", ip_format(&network->ip, text),
		    network->prefix_bits, why, *name ? " " : "", name))
		return; /* as much as fits */
}

static void protect_ip(struct buffer *out, const struct ip *ip, const char *why, const char *name)
{
	struct cidr network = {.ip = *ip, .prefix_bits = ip->family == IP_V4 ? 32 : 128};

	protect(out, &network, why, name);
}

static void protect_text(struct buffer *out, const char *text, const char *why)
{
	struct cidr network;

	if (cidr_parse(span_text(text), &network, NULL))
		protect(out, &network, why, "");
}

static void protect_set(
	struct buffer *out, const struct cidr_set *set, const char *why, const char *name)
{
	for (size_t i = 0; i < set->count; i++)
		protect(out, &set->items[i], why, name);
}

static bool is_any(const struct ip *ip)
{
	static const uint8_t zeros[sizeof(ip->bytes)];

	return memcmp(ip->bytes, zeros, sizeof(zeros)) == 0;
}

/* Who listens on all addresses has those of the interfaces, as they are now. */
static void protect_interfaces(struct buffer *out)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return;
	for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
		struct endpoint endpoint = {.ip = {.family = IP_NONE}};

		if (one->ifa_addr && (one->ifa_addr->sa_family == AF_INET ||
					     one->ifa_addr->sa_family == AF_INET6))
			endpoint = endpoint_of(one->ifa_addr);
		protect_ip(out, &endpoint.ip, "our own address on", one->ifa_name);
	}
	freeifaddrs(all);
}

static void protect_listens(struct buffer *out, const struct config *config)
{
	bool any = false;

	for (size_t i = 0; i < config->n_listens; i++) {
		const struct listen_config *listen = &config->listens[i];

		if (is_any(&listen->endpoint.ip))
			any = true;
		else
			protect_ip(out, &listen->endpoint.ip, "listen", listen->address);
		protect_set(out, &listen->proxy_protocol_from, "proxy_protocol from of listen",
			listen->address);
		protect_set(out, &listen->xclient_from, "xclient from of listen", listen->address);
	}
	if (any)
		protect_interfaces(out);
}

static void protect_servers(struct buffer *out, const struct config *config)
{
	for (size_t i = 0; i < config->n_backends; i++)
		for (size_t j = 0; j < config->backends[i].n_servers; j++)
			protect_ip(out, &config->backends[i].servers[j].endpoint.ip, "backend",
				config->backends[i].name);
	for (size_t i = 0; i < config->n_dns_servers; i++)
		protect_ip(out, &config->dns_servers[i].ip, "dns server", "");
}

void declared_write(const struct config *config, const struct policy *policy, struct buffer *out)
{
	protect_text(out, "127.0.0.0/8", "loopback");
	protect_text(out, "::1", "loopback");
	protect_servers(out, config);
	protect_listens(out, config);
	for (size_t i = 0; policy && i < policy->rules->n_lists; i++) {
		const struct rule_list *list = policy->rules->lists[i];

		if (list->origin == LIST_STORE &&
			!buffer_print(out, "list %s %s\n", list->from, list_type_name(list->type)))
			return;
	}
}

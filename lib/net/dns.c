/*
 * What libunbound 1.17 does that shapes this file:
 *
 * - It calls back from within ub_resolve_event when the answer is in its cache, and must not be
 *   called again from a callback. So an answer is only copied there; `done` is always deferred, and
 *   a cached answer is given as dns_start's result.
 * - ub_cancel stops the callback, not the work. An `ask` of our own stands between libunbound and
 *   the query instead: giving up cuts it off from the query, and its callback tells when libunbound
 *   is through, so that what is under way there can be counted and bounded.
 * - ub_ctx_delete calls back with an error, or not at all.
 * - A forged answer comes with rcode 0 and may have no packet: security is looked at first.
 * - NXDOMAIN is in the packet; the callback's rcode is for what produced no packet.
 * - It has built-in zones that claim that private networks and test domains do not exist. Here the
 *   admin's resolver knows best.
 * - A server that does not answer is asked again with longer and longer waits, up to 17 s in all,
 *   and then taken for dead for 15 minutes (infra-host-ttl). Here it is asked less often, and what
 *   is known of it is forgotten after 5 s, so that a resolver that was restarted is used at once.
 *   Tried and rejected: lower waits by infra-cache-max-rtt. A server is taken for dead when its
 *   wait has grown to that, which then took three lost packets.
 * - How long it waits follows from how fast the server was: one that answers from its cache gets 50
 *   ms at first, and all tries are over within a second. But it is a resolver, and what it does not
 *   know yet it has to ask of others. So it gets a second at least.
 * - It says what it thinks on stderr, by way of a global: turned off.
 *
 * Questions with the same name and type share one packet to the server and its answer.
 */
#include "lib/net/dns.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "lib/base/fail.h"
#include "lib/net/dns_answer.h"
#include "lib/net/dns_event.h"
#include "lib/net/dns_turns.h"

enum {
	ASK_MAGIC = 0x0dd5eed5,
	CLASS_IN = 1,
	SEC_BOGUS = 1,
	SEC_SECURE = 2,
	SPARE_ASKS_MAX = 256,
	SERVERS_MAX = 16,
};

/* A question in libunbound's hands. */
struct ask {
	unsigned magic;
	struct dns *dns;         /* borrowed */
	struct dns_query *query; /* borrowed; NULL: nobody waits for it any more */
	uint64_t stranger;       /* whose turn it has; 0: it needs none */
	struct ask *next, *prev;
};

struct counters {
	uint64_t queries, cached, outcomes[DNS_CANCELLED + 1];
};

struct dns {
	struct loop *loop;         /* borrowed */
	struct dns_events *events; /* owned */
	struct ub_ctx *ctx;        /* owned */
	uint64_t timeout_ms;
	bool inside;       /* a call into libunbound runs */
	struct ask asks;   /* list head */
	struct ask *spare; /* owned, by next */
	unsigned n_asks, n_spare;
	unsigned n_waiting; /* queries that are asked, or in line */
	struct dns_turns turns;
	struct deferred next_turn;
	struct counters counters;
	struct endpoint servers[SERVERS_MAX];
	size_t n_servers; /* 0: the system's */
};

/* --- asks --- */

static struct ask *ask_new(struct dns *dns, struct dns_query *query)
{
	struct ask *ask = dns->spare;

	if (ask) {
		dns->spare = ask->next;
		dns->n_spare--;
	} else {
		ask = memory_new(sizeof(*ask));
	}
	*ask = (struct ask){ASK_MAGIC, dns, query, query->stranger, &dns->asks, dns->asks.prev};
	ask->prev->next = ask->next->prev = ask;
	dns->n_asks++;
	return ask;
}

static void ask_free(struct ask *ask)
{
	struct dns *dns = ask->dns;

	ask->prev->next = ask->next;
	ask->next->prev = ask->prev;
	ask->magic = 0;
	dns->n_asks--;
	if (ask->stranger) {
		turns_give(&dns->turns, ask->stranger);
		if (dns->turns.first)
			loop_defer(dns->loop, &dns->next_turn);
	}
	if (dns->n_spare == SPARE_ASKS_MAX) {
		free(ask);
		return;
	}
	ask->next = dns->spare;
	dns->spare = ask;
	dns->n_spare++;
}

static void spare_free(struct dns *dns)
{
	while (dns->spare) {
		struct ask *ask = dns->spare;

		dns->spare = ask->next;
		free(ask);
	}
}

/* --- queries --- */

static void on_deferred(struct deferred *deferred)
{
	struct dns_query *query = CONTAINER_OF(deferred, struct dns_query, deferred);

	query->state = DNS_IDLE;
	query->done(query);
}

/* The outcome stands. A query that waits is told soon. */
static void query_answered(struct dns_query *query)
{
	struct dns *dns = query->dns;
	struct loop *loop = dns->loop;

	dns->counters.outcomes[query->outcome]++;
	query->ask = NULL;
	query->dns = NULL;
	if (query->state == DNS_STARTING) {
		query->state = DNS_IDLE;
		return;
	}
	dns->n_waiting--;
	timer_clear(&loop->timers, &query->timer);
	query->state = DNS_ANSWERED;
	loop_defer(loop, &query->deferred);
}

/* Ends the wait for an answer; libunbound may go on for the cache's sake. */
static void query_give_up(struct dns_query *query, enum dns_outcome outcome, const char *why)
{
	if (query->state == DNS_IN_LINE)
		turns_leave(&query->dns->turns, query);
	else
		query->ask->query = NULL;
	query->outcome = outcome;
	query->error = why;
	query_answered(query);
}

static void on_deadline(struct timer *timer)
{
	query_give_up(CONTAINER_OF(timer, struct dns_query, timer), DNS_TIMEOUT,
		"no answer within the time allowed");
}

static void on_answer(void *arg, int rcode, void *packet, int packet_len, int security,
	char *why_bogus, int was_ratelimited)
{
	struct ask *ask = arg;
	struct dns_query *query;

	(void)was_ratelimited;
	MAGIC_ENSURE(ask, ASK_MAGIC);
	query = ask->query;
	ask_free(ask);
	if (!query)
		return;
	query->cached = query->state == DNS_STARTING;
	if (security == SEC_BOGUS) {
		query->outcome = DNS_BOGUS;
		query->error = why_bogus ? arena_string(query->arena, span_text(why_bogus))
					 : "the answer is forged";
	} else if (rcode != 0 || !packet || packet_len <= 0) {
		query->outcome = DNS_FAILED;
		query->error = "no server gave an answer";
	} else if (query->stranger && packet_len > DNS_STRANGER_ANSWER_MAX) {
		query->outcome = DNS_FAILED;
		query->error = "the answer is too long";
	} else {
		dns_answer_read(query, span_make(packet, (size_t)packet_len));
		query->secure = security == SEC_SECURE && query->outcome != DNS_FAILED;
	}
	query_answered(query);
}

/* What is known without asking anyone: true, and the query is answered. */
static bool query_refuse(struct dns_query *query)
{
	const char *mistake = dns_name_mistake(query->name);

	if (mistake) {
		query->outcome = DNS_NXDOMAIN;
		query->error = mistake;
	} else if (query->dns->n_asks >= DNS_UNDER_WAY_MAX ||
		   (query->stranger && query->dns->turns.n_waiting >= DNS_UNDER_WAY_MAX)) {
		query->outcome = DNS_FAILED;
		query->error = "too many questions are under way";
	} else {
		return false;
	}
	query_answered(query);
	return true;
}

static void query_reset(struct dns_query *query, struct dns *dns)
{
	query->outcome = DNS_PENDING;
	query->secure = query->cached = false;
	query->ttl_s = 0;
	query->records = NULL;
	query->n_records = 0;
	query->canonical = SPAN_NONE;
	query->error = NULL;
	query->state = DNS_STARTING;
	query->dns = dns;
	query->timer.fire = on_deadline;
	query->deferred.run = on_deferred;
}

/* Gives the question to libunbound, which may answer it at once. */
static void query_ask(struct dns_query *query)
{
	char name[DNS_NAME_SIZE + 1];
	struct dns *dns = query->dns;
	int status;

	snprintf(name, sizeof(name), "%.*s", SPAN_ARGS(query->name));
	query->ask = ask_new(dns, query);
	ENSURE(!dns->inside);
	dns->inside = true;
	status = ub_resolve_event(
		dns->ctx, name, (int)query->type, CLASS_IN, query->ask, on_answer, NULL);
	dns->inside = false;
	if (status == 0 || !query->ask)
		return;
	ask_free(query->ask);
	query->outcome = DNS_FAILED;
	query->error = ub_strerror(status);
	query_answered(query);
}

static void on_next_turn(struct deferred *deferred)
{
	struct dns *dns = CONTAINER_OF(deferred, struct dns, next_turn);
	struct dns_query *query;

	while ((query = turns_next(&dns->turns))) {
		query->state = DNS_ASKED;
		query_ask(query);
	}
}

bool dns_start(struct dns *dns, struct dns_query *query)
{
	ENSURE(query->state == DNS_IDLE && query->done && query->arena);
	query_reset(query, dns);
	dns->counters.queries++;
	if (query_refuse(query))
		return true;
	if (query->stranger && !turns_take(&dns->turns, query->stranger)) {
		query->state = DNS_IN_LINE;
		turns_wait(&dns->turns, query);
	} else {
		query_ask(query);
		if (query->state == DNS_IDLE) {
			dns->counters.cached += query->cached;
			return true;
		}
		query->state = DNS_ASKED;
	}
	dns->n_waiting++;
	timer_set(&dns->loop->timers, &query->timer,
		query->timeout_ms ? query->timeout_ms : dns->timeout_ms);
	return false;
}

void dns_cancel(struct dns_query *query)
{
	ENSURE(query->state != DNS_STARTING);
	if (query->state == DNS_ASKED || query->state == DNS_IN_LINE) {
		query_give_up(query, DNS_CANCELLED, NULL);
	} else if (query->state == DNS_ANSWERED) {
		query->outcome = DNS_CANCELLED;
		query->records = NULL;
		query->n_records = 0;
		query->error = NULL;
	}
}

/* --- libunbound's context --- */

struct setting {
	const char *name, *value;
};

static const struct setting settings[] = {
	/* What one worker may use: memory when full, descriptors (DNS_DESCRIPTORS_MAX). */
	{"msg-cache-size:", "4m"},
	{"rrset-cache-size:", "4m"},
	{"key-cache-size:", "256k"},
	{"neg-cache-size:", "256k"},
	{"infra-cache-numhosts:", "200"},
	{"outgoing-range:", "256"},
	{"outgoing-num-tcp:", "8"},
	/* Servers: dead ones are noticed soon, and so is that they are back. */
	{"outbound-msg-retry:", "2"},
	{"infra-host-ttl:", "5"},
	{"infra-cache-min-rtt:", "1000"},
	/* The admin's resolver may be here and may know private networks. */
	{"do-not-query-localhost:", "no"},
	{"unblock-lan-zones:", "yes"},
	{"insecure-lan-zones:", "yes"},
	/* Answers as small as can be, in the order in which they came. */
	{"minimal-responses:", "yes"},
	{"rrset-roundrobin:", "no"},
};

/* Zones that libunbound answers by itself, besides localhost. */
static const char *const built_in_zones[] = {"test.", "invalid.", "onion.", "home.arpa."};

static bool ctx_set(struct ub_ctx *ctx, struct err *err)
{
	ub_ctx_debugout(ctx, NULL);
	for (size_t i = 0; i < COUNT_OF(settings); i++)
		if (ub_ctx_set_option(ctx, settings[i].name, settings[i].value) != 0)
			return err_set(err, "libunbound %s does not take %s %s", ub_version(),
				settings[i].name, settings[i].value);
	return true;
}

static bool ctx_add_server(struct ub_ctx *ctx, const struct endpoint *server, struct err *err)
{
	char ip[IP_TEXT_SIZE], text[IP_TEXT_SIZE + 8];
	int status;

	snprintf(text, sizeof(text), "%s@%u", ip_format(&server->ip, ip), server->port);
	status = ub_ctx_set_fwd(ctx, text);
	return status == 0 || err_set(err, "DNS server %s: %s", text, ub_strerror(status));
}

static bool ctx_add_servers(struct ub_ctx *ctx, const struct dns_setup *setup, struct err *err)
{
	int status;

	if (setup->n_servers > SERVERS_MAX)
		return err_set(err, "at most %d DNS servers", SERVERS_MAX);
	for (size_t i = 0; i < setup->n_servers; i++)
		if (!ctx_add_server(ctx, &setup->servers[i], err))
			return false;
	if (setup->n_servers)
		return true;
	status = ub_ctx_resolvconf(ctx, NULL);
	return status == 0 || err_set(err, "/etc/resolv.conf: %s", ub_strerror(status));
}

/* The last step: what it does first makes all that was set before hold. */
static bool ctx_finish(struct ub_ctx *ctx, const struct dns_setup *setup, struct err *err)
{
	int status = 0;

	if (setup->trust_anchor_file)
		status = ub_ctx_add_ta_file(ctx, setup->trust_anchor_file);
	for (size_t i = 0; status == 0 && i < COUNT_OF(built_in_zones); i++)
		status = ub_ctx_zone_remove(ctx, built_in_zones[i]);
	if (status == 0)
		return true;
	if (setup->trust_anchor_file)
		return err_set(err, "DNS trust anchor %s: %s", setup->trust_anchor_file,
			ub_strerror(status));
	return err_set(err, "libunbound: %s", ub_strerror(status));
}

static bool dns_prepare(struct dns *dns, const struct dns_setup *setup, struct err *err)
{
	dns->events = dns_events_open(dns->loop, err);
	if (!dns->events)
		return false;
	dns->ctx = ub_ctx_create_ub_event(dns_events_base(dns->events));
	if (!dns->ctx)
		return err_set(err, "libunbound can't be set up");
	if (!ctx_set(dns->ctx, err) || !ctx_add_servers(dns->ctx, setup, err) ||
		!ctx_finish(dns->ctx, setup, err))
		return false;
	dns->n_servers = setup->n_servers;
	for (size_t i = 0; i < setup->n_servers; i++)
		dns->servers[i] = setup->servers[i];
	return true;
}

struct dns *dns_open(const struct dns_setup *setup, struct err *err)
{
	struct dns *dns = memory_zeroed(sizeof(*dns));

	ENSURE(setup->timeout_ms);
	dns->loop = setup->loop;
	dns->timeout_ms = setup->timeout_ms;
	dns->next_turn.run = on_next_turn;
	ENSURE(getrandom(dns->turns.key, sizeof(dns->turns.key), 0) == sizeof(dns->turns.key));
	dns->asks.next = dns->asks.prev = &dns->asks;
	if (!dns_prepare(dns, setup, err))
		dns_close(&dns);
	return dns;
}

void dns_close(struct dns **owned)
{
	struct dns *dns = *owned;

	*owned = NULL;
	if (!dns)
		return;
	ENSURE(!dns->inside);
	while (dns->turns.first)
		query_give_up(dns->turns.first, DNS_CANCELLED, NULL);
	for (struct ask *ask = dns->asks.next; ask != &dns->asks; ask = ask->next)
		if (ask->query)
			query_give_up(ask->query, DNS_CANCELLED, NULL);
	ub_ctx_delete(dns->ctx);
	for (struct ask *ask = dns->asks.next, *next; ask != &dns->asks; ask = next) {
		next = ask->next; /* those that it did not call back for */
		ask_free(ask);
	}
	loop_undefer(dns->loop, &dns->next_turn);
	spare_free(dns);
	dns_events_close(&dns->events);
	free(dns);
}

/* --- for people --- */

const char *dns_outcome_name(enum dns_outcome outcome)
{
	static const char *const names[] = {
		[DNS_PENDING] = "pending",
		[DNS_FOUND] = "found",
		[DNS_NODATA] = "nodata",
		[DNS_NXDOMAIN] = "nxdomain",
		[DNS_FAILED] = "failed",
		[DNS_TIMEOUT] = "timeout",
		[DNS_BOGUS] = "bogus",
		[DNS_CANCELLED] = "cancelled",
	};

	return names[outcome];
}

void dns_status(const struct dns *dns, struct record *r)
{
	char text[IP_TEXT_SIZE];

	record_list(r, "servers");
	for (size_t i = 0; i < dns->n_servers; i++)
		record_string(r, NULL, endpoint_format(&dns->servers[i], text));
	if (dns->n_servers == 0)
		record_string(r, NULL, "/etc/resolv.conf");
	record_close(r);
	record_number(r, "queries", (int64_t)dns->counters.queries);
	record_number(r, "cached", (int64_t)dns->counters.cached);
	for (int outcome = DNS_FOUND; outcome <= DNS_CANCELLED; outcome++)
		record_number(
			r, dns_outcome_name(outcome), (int64_t)dns->counters.outcomes[outcome]);
	record_number(r, "waiting", dns->n_waiting);
	record_number(r, "under_way", dns->n_asks);
	record_number(r, "in_line", dns->turns.n_waiting);
}

/* --- reverse names --- */

static char hex_digit(unsigned value)
{
	return "0123456789abcdef"[value & 0xf];
}

bool dns_reverse_name(const struct ip *ip, const char *zone, char out[DNS_NAME_SIZE])
{
	char labels[2 * 2 * 16 + 1];
	size_t len = 0;

	if (ip->family == IP_NONE)
		return false;
	if (ip->family == IP_V4) {
		const uint8_t *b = ip->bytes;

		snprintf(labels, sizeof(labels), "%u.%u.%u.%u.", b[3], b[2], b[1], b[0]);
		if (!zone)
			zone = "in-addr.arpa";
	} else {
		for (size_t i = sizeof(ip->bytes); i-- > 0;) {
			labels[len++] = hex_digit(ip->bytes[i]);
			labels[len++] = '.';
			labels[len++] = hex_digit(ip->bytes[i] >> 4);
			labels[len++] = '.';
		}
		labels[len] = '\0';
		if (!zone)
			zone = "ip6.arpa";
	}
	return snprintf(out, DNS_NAME_SIZE, "%s%s", labels, zone) < DNS_NAME_SIZE &&
	       !dns_name_mistake(span_text(out));
}

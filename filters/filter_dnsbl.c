/*
 * dnsbl: blocklists in DNS (RFC 5782): dnsbl("zone", FIELD), and lists `from dnsbl`.
 *
 * A list that is broken does more harm than one that is missed. A zone that was given up often
 * lists everybody from one day to the next, and some tell those who ask too much, or over a public
 * resolver, so in an answer. So a zone is judged before it is believed: its test points (RFC 5782
 * 5) are asked for before its first use and then every `probe`, and at once when it lists nearly
 * all of the last hundred. What is wrong with it is a failed lookup, never a hit.
 *
 * Addresses are asked for reversed, domains as they are, of mail addresses the domain. Domains that
 * are addresses are not asked for: some zones list them reversed, others answer them all.
 */
#include "filters/filter.h"
#include "filters/question.h"
#include "lib/base/fail.h"

#include <stdlib.h>

enum { DNSBL };
enum { OPTION_PROBE };

enum {
	ASKED_MAX = 30,   /* values of a field */
	RECENT = 100,     /* names in a zone's memory */
	LISTED_MAX = 95,  /* of them: more makes it suspect */
	RETRY_MS = 60000, /* when DNS could not tell about the test points */
	SAY_MS = 60000    /* between two log lines about what a zone answers */
};

static const struct fact facts[] = {
	[DNSBL] = {"dnsbl", TYPE_IP, STAGE_CONNECT,
		FACT_MANY | FACT_ANY | FACT_OF_TEXT | FACT_OF_FIELD | FACT_ASKS, NULL,
		"what a blocklist in DNS answers for a field: dnsbl(\"zone\", FIELD)"},
	{.name = NULL},
};

static const struct filter_option options[] = {
	[OPTION_PROBE] = {"probe", FILTER_DURATION, "10m", 0, 24 * 3600 * 1000,
		"how often a zone's test points are asked for; 0s: never"},
	{.name = NULL},
};

enum zone_state {
	ZONE_NEW,  /* nothing is known: those who ask wait for the probe */
	ZONE_GOOD, /* believed; also while it is probed anew */
	ZONE_BAD   /* switched off; why says what is wrong */
};

enum { PROBE_LISTED, PROBE_CLEAN, PROBES };

struct lookup;

/* A zone, as one of addresses or of domains: their test points differ. */
struct zone {
	struct zone *next;
	struct zones *zones;
	char *name; /* owned */
	bool of_domains;
	enum zone_state state;
	const char *why;   /* static */
	uint64_t probe_ms; /* when the next probe is due */
	struct dns_query probes[PROBES];
	struct arena *arena; /* owned, of the probe under way; NULL: none is */
	unsigned under_way;
	struct lookup *waiting;
	uint64_t recent[RECENT]; /* hashes of names; 0: free */
	bool listed[RECENT];
	unsigned next_recent, n_listed;
	uint64_t said_ms, broken; /* answers that make no sense, since the last line */
	uint64_t broken_total;
};

/* All of a worker. */
struct zones {
	struct filter_home home; /* a copy: the filter may close before the last probe is back */
	struct zone *first;
	bool closed;
	uint8_t key[16];
};

/* A call. */
struct lookup {
	struct questions *all;
	struct zone *zone;
	struct lookup *next, **link; /* while it waits for a probe */
	const char *trouble;
	unsigned n;
};

/* --- the state of a zone --- */

static void free_zones(struct zones *zones)
{
	for (struct zone *zone = zones->first, *next; zone; zone = next) {
		next = zone->next;
		arena_free(&zone->arena);
		free(zone->name);
		free(zone);
	}
	free(zones);
}

static uint64_t now_ms(const struct zone *zone)
{
	return loop_now_ms(zone->zones->home.loop);
}

static void forget_recent(struct zone *zone)
{
	memset(zone->recent, 0, sizeof(zone->recent));
	zone->n_listed = 0;
	zone->next_recent = 0;
}

static void say(struct zone *zone, enum log_level level, const char *event, const char *why)
{
	struct record *r = log_begin(zone->zones->home.log, level, event);

	record_string(r, "zone", zone->name);
	record_string(r, "of", zone->of_domains ? "domains" : "addresses");
	if (why)
		record_string(r, "text", why);
	if (zone->broken)
		record_number(r, "answers", (int64_t)zone->broken);
	log_end(zone->zones->home.log);
	zone->broken = 0;
}

static void set_state(struct zone *zone, enum zone_state state, const char *why)
{
	enum zone_state before = zone->state;

	if (state == ZONE_BAD && (before != ZONE_BAD || zone->why != why))
		say(zone, LOG_WARNING, "dnsbl_off", why);
	if (state == ZONE_GOOD && before == ZONE_BAD)
		say(zone, LOG_INFO, "dnsbl_on", NULL);
	zone->state = state;
	zone->why = why;
}

/* --- answers --- */

static bool in_range(const struct ip_range *range, const struct ip *ip)
{
	return ip->family == range->first.family &&
	       memcmp(ip->bytes, range->first.bytes, sizeof(ip->bytes)) >= 0 &&
	       memcmp(ip->bytes, range->last.bytes, sizeof(ip->bytes)) <= 0;
}

/* What an answer of a list can't be (RFC 5782 2.1), or tells us and not of whom we asked:
 * 127.255.255.0/24 is Spamhaus's and others' for errors. */
static const char *broken_answer(const struct ip *ip)
{
	if (ip->family != IP_V4 || ip->bytes[0] != 127)
		return "it answers outside of 127.0.0.0/8: is it still there?";
	if (ip->bytes[1] == 255 && ip->bytes[2] == 255)
		return "it refuses our questions (127.255.255.x)";
	return NULL;
}

static const char *broken_answers(const struct dns_query *query)
{
	const char *why = NULL;

	for (size_t i = 0; query->outcome == DNS_FOUND && i < query->n_records && !why; i++)
		why = broken_answer(&query->records[i].ip);
	return why;
}

static bool counts(const struct call *call, const struct ip *ip)
{
	size_t n;
	const struct ip_range *codes = call_codes(call, &n);

	for (size_t i = 0; i < n; i++)
		if (in_range(&codes[i], ip))
			return true;
	return n == 0;
}

/* --- probes --- */

static void probe(struct zone *zone);
static void ask_all(struct lookup *lookup);

/* What the two test points say. */
static void judge(struct zone *zone)
{
	const struct dns_query *listed = &zone->probes[PROBE_LISTED],
			       *clean = &zone->probes[PROBE_CLEAN];
	const char *broken = broken_answers(listed);

	zone->probe_ms = now_ms(zone) + filter_number(&zone->zones->home, OPTION_PROBE);
	broken = broken ? broken : broken_answers(clean);
	if (broken) {
		set_state(zone, ZONE_BAD, broken);
	} else if (clean->outcome == DNS_FOUND) {
		set_state(zone, ZONE_BAD, "it lists what no list may list: everything?");
	} else if (dns_is_unknown(listed->outcome) || dns_is_unknown(clean->outcome)) {
		zone->probe_ms = now_ms(zone) + RETRY_MS;
		if (zone->state == ZONE_NEW)
			set_state(zone, ZONE_GOOD, NULL);
	} else if (listed->outcome != DNS_FOUND) {
		set_state(zone, ZONE_BAD, "it does not list its own test entry: is it empty?");
	} else {
		forget_recent(zone);
		set_state(zone, ZONE_GOOD, NULL);
	}
}

static void unlink_lookup(struct lookup *lookup)
{
	ENSURE(lookup->link);
	*lookup->link = lookup->next;
	if (lookup->next)
		lookup->next->link = lookup->link;
	lookup->link = NULL;
}

static void release_waiting(struct zone *zone)
{
	while (zone->waiting) {
		struct lookup *lookup = zone->waiting;
		struct call *call = lookup->all->call;

		unlink_lookup(lookup);
		ask_all(lookup);
		if (questions_wait(lookup->all) == CALL_DONE)
			call_done(call);
	}
}

static void on_probed(struct dns_query *query)
{
	struct zone *zone = query->context;
	struct zones *zones = zone->zones;

	if (--zone->under_way)
		return;
	if (zones->closed) {
		for (const struct zone *other = zones->first; other; other = other->next)
			if (other->under_way)
				return;
		free_zones(zones);
		return;
	}
	judge(zone);
	arena_free(&zone->arena);
	release_waiting(zone);
}

static void ask_probe(struct zone *zone, unsigned which, const char *address, const char *word)
{
	struct dns_query *query = &zone->probes[which];
	char name[DNS_NAME_SIZE];
	struct ip ip;

	ENSURE(ip_parse(span_text(address), &ip));
	*query = (struct dns_query){.type = DNS_A,
		.arena = zone->arena,
		.done = on_probed,
		.context = zone,
		.outcome = DNS_NXDOMAIN};
	if (zone->of_domains)
		query->name = span_text(arena_print(zone->arena, "%s.%s", word, zone->name));
	else if (dns_reverse_name(&ip, zone->name, name))
		query->name = arena_span(zone->arena, span_text(name));
	zone->under_way++;
	if (!query->name.len || !zone->zones->home.dns || dns_start(zone->zones->home.dns, query))
		zone->under_way--;
}

static void probe(struct zone *zone)
{
	if (zone->arena)
		return;
	zone->arena = arena_new(1024);
	ask_probe(zone, PROBE_LISTED, "127.0.0.2", "test");
	ask_probe(zone, PROBE_CLEAN, "127.0.0.1", "invalid");
	if (zone->under_way)
		return;
	judge(zone);
	arena_free(&zone->arena);
}

/* --- nearly everybody? --- */

/* Remembers one more name, and whether it was listed. */
static void remember(struct zone *zone, struct span name, bool listed)
{
	uint64_t hash = span_hash(name, zone->zones->key) | 1;
	unsigned at = zone->next_recent;

	for (unsigned i = 0; i < RECENT; i++)
		if (zone->recent[i] == hash)
			return;
	zone->n_listed -= zone->recent[at] && zone->listed[at];
	zone->recent[at] = hash;
	zone->listed[at] = listed;
	zone->n_listed += listed;
	zone->next_recent = (at + 1) % RECENT;
	if (zone->n_listed <= LISTED_MAX || !filter_number(&zone->zones->home, OPTION_PROBE))
		return;
	/* It may be right, in a wave of spam: its test points tell. */
	forget_recent(zone);
	zone->state = ZONE_NEW;
	probe(zone);
}

/* --- a call --- */

static void take_broken(struct lookup *lookup, const char *why)
{
	struct zone *zone = lookup->zone;

	call_fail(lookup->all->call, DNSBL,
		arena_print(call_arena(lookup->all->call), "%s: %s", zone->name, why));
	zone->broken++;
	zone->broken_total++;
	if (zone->said_ms && now_ms(zone) - zone->said_ms < SAY_MS)
		return;
	zone->said_ms = now_ms(zone);
	say(zone, LOG_WARNING, "dnsbl_broken", why);
}

static void on_answer(struct question *question)
{
	struct lookup *lookup = question->all->context;
	struct call *call = question->all->call;
	const struct dns_query *query = &question->query;
	const char *broken = broken_answers(query);

	if (question_failed(question)) {
		lookup->trouble = question_why(question);
		return;
	}
	if (broken) {
		take_broken(lookup, broken);
		return;
	}
	remember(lookup->zone, query->name, question_found(question));
	for (size_t i = 0; question_found(question) && i < query->n_records; i++) {
		if (!counts(call, &query->records[i].ip))
			continue;
		call_add_ip(call, DNSBL, &query->records[i].ip);
		lookup->n++;
	}
}

/* A hit stands whatever became of the other names. */
static void on_end(struct questions *all)
{
	const struct lookup *lookup = all->context;

	if (lookup->trouble && lookup->n == 0)
		call_fail(all->call, DNSBL, lookup->trouble);
}

/* Of a mail address the domain. */
static struct span domain_of(struct span text)
{
	for (size_t i = text.len; i > 0; i--)
		if (text.at[i - 1] == '@')
			return span_from(text, i);
	return text;
}

static void ask_domain(struct lookup *lookup, struct span domain)
{
	struct call *call = lookup->all->call;
	struct ip ip;

	if (domain.len && domain.at[domain.len - 1] == '.')
		domain.len--;
	if (!domain_valid(domain, true) || ip_parse(domain, &ip))
		return;
	domain = question_name(call, domain);
	question_ask(lookup->all,
		span_text(arena_print(
			call_arena(call), "%.*s.%s", SPAN_ARGS(domain), lookup->zone->name)),
		DNS_A, 0);
}

static void ask_all(struct lookup *lookup)
{
	struct call *call = lookup->all->call;
	const struct fact_value *field = call_field(call);
	char name[DNS_NAME_SIZE];

	if (lookup->zone->state == ZONE_BAD) {
		call_fail(call, DNSBL,
			arena_print(call_arena(call), "%s is switched off: %s", lookup->zone->name,
				lookup->zone->why));
		return;
	}
	for (uint32_t i = 0; i < field->count && i < ASKED_MAX; i++) {
		const union fact_datum *datum = &field->items[i];

		if (call_field_fact(call)->type != TYPE_IP)
			ask_domain(lookup, domain_of(datum->text));
		else if (dns_reverse_name(&datum->ip, lookup->zone->name, name))
			question_ask(lookup->all, span_text(name), DNS_A, 0);
	}
}

static struct zone *find_zone(struct zones *zones, const char *name, bool of_domains)
{
	struct zone *zone;

	for (zone = zones->first; zone; zone = zone->next)
		if (zone->of_domains == of_domains && strcmp(zone->name, name) == 0)
			return zone;
	zone = memory_zeroed(sizeof(*zone)); /* names are the rules', so they are few */
	zone->zones = zones;
	zone->name = memory_string(name);
	zone->of_domains = of_domains;
	zone->next = zones->first;
	zones->first = zone;
	return zone;
}

static void wait_for_probe(struct lookup *lookup)
{
	struct zone *zone = lookup->zone;

	lookup->next = zone->waiting;
	lookup->link = &zone->waiting;
	if (lookup->next)
		lookup->next->link = &lookup->next;
	zone->waiting = lookup;
}

static enum call_status run(struct call *call)
{
	struct filter_home *home = call_home(call);
	struct lookup *lookup = call_memory(call, sizeof(*lookup));
	bool of_domains = call_field_fact(call)->type != TYPE_IP;

	if (!home->dns) {
		call_fail(call, DNSBL, "there is no DNS here");
		return CALL_DONE;
	}
	lookup->all = questions_new(call, on_answer, on_end);
	lookup->all->context = lookup;
	lookup->all->of_admin = true;
	lookup->zone = find_zone(home->state, call_text(call), of_domains);
	if (filter_number(home, OPTION_PROBE) == 0)
		lookup->zone->state = ZONE_GOOD;
	else if (now_ms(lookup->zone) >= lookup->zone->probe_ms)
		probe(lookup->zone);
	if (lookup->zone->state == ZONE_NEW) {
		wait_for_probe(lookup);
		return CALL_WAIT;
	}
	ask_all(lookup);
	return questions_wait(lookup->all);
}

static void cancel(struct call *call)
{
	const struct questions *all = call_own(call);
	struct lookup *lookup = all->context;

	if (lookup->link) {
		unlink_lookup(lookup);
		call_done(call);
	} else {
		questions_cancel(call);
	}
}

static bool open_filter(struct filter_home *home, struct err *err)
{
	struct zones *zones = memory_zeroed(sizeof(*zones));

	(void)err;
	for (size_t i = 0; i < sizeof(zones->key); i++) /* no secret: names are the asker's */
		zones->key[i] = (uint8_t)(i * 37);
	zones->home = *home;
	home->state = zones;
	return true;
}

static void close_filter(struct filter_home *home)
{
	struct zones *zones = home->state;
	bool under_way = false;

	zones->closed = true;
	for (struct zone *zone = zones->first; zone; zone = zone->next) {
		under_way |= zone->under_way > 0;
		for (unsigned i = 0; zone->under_way && i < PROBES; i++)
			dns_cancel(&zone->probes[i]);
	}
	if (!under_way)
		free_zones(zones);
}

static void status(const struct filter_home *home, struct record *r)
{
	const struct zones *zones = home->state;

	record_list(r, "zones");
	for (const struct zone *zone = zones->first; zone; zone = zone->next) {
		record_open(r, NULL);
		record_string(r, "zone", zone->name);
		record_string(r, "of", zone->of_domains ? "domains" : "addresses");
		if (zone->state == ZONE_BAD)
			record_string(r, "off", zone->why);
		record_number(r, "broken", (int64_t)zone->broken_total);
		record_close(r);
	}
	record_close(r);
}

const struct filter filter_dnsbl = {.version = FILTER_VERSION,
	.name = "dnsbl",
	.facts = facts,
	.options = options,
	.open = open_filter,
	.close = close_filter,
	.run = run,
	.cancel = cancel,
	.status = status};

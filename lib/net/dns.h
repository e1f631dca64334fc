/*
 * dns: questions to the admin's resolvers, for all filters of a worker. libunbound does the work on
 * the worker's own loop: cache, retries, several servers, TCP for what was cut, DNSSEC. No thread,
 * no child process, no call that waits.
 *
 * A query's memory is the caller's. Its answer lies in the arena that the query names, and lives as
 * long as that.
 *
 *     query = (struct dns_query){.name = domain, .type = DNS_MX, .arena = arena,
 *             .done = on_mx, .context = call};
 *     if (dns_start(dns, &query))
 *             on_mx(&query);
 *
 * A query's states:
 *
 *     idle      nobody knows of it; its memory may go
 *     starting  within dns_start; an answer from the cache leads back to idle
 *     in line   for a name that a stranger chose: others of his, or of all strangers, are asked for
 *               as many as may be; the deadline runs
 *     asked     libunbound works on it, the deadline runs
 *     answered  the outcome stands, `done` follows from the loop; it is idle when `done` is called
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/attributes.h"
#include "lib/base/error.h"
#include "lib/base/ip.h"
#include "lib/base/log.h"
#include "lib/base/span.h"
#include "lib/net/loop.h"

enum {
	DNS_NAME_MAX = 253, /* bytes of a name's usual form, without the dot at its end */
	/* Room for a name with every byte escaped, and a NUL. */
	DNS_NAME_SIZE = 4 * DNS_NAME_MAX + 1,
	DNS_RECORDS_MAX = 256,     /* of an answer; more are left out */
	DNS_UNDER_WAY_MAX = 8192,  /* questions in libunbound, and in line; more are refused */
	DNS_DESCRIPTORS_MAX = 272, /* what one `struct dns` may have open at once */
	/* Bytes of a whole answer about a name that a stranger chose; what is longer has failed. */
	DNS_STRANGER_ANSWER_MAX = 16 * 1024
};

/* IANA's numbers. Others may be asked for with a cast: their records have `rdata` alone. */
enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_TLSA = 52
};

enum dns_outcome {
	DNS_PENDING,
	DNS_FOUND,    /* at least one record */
	DNS_NODATA,   /* the name exists, not with this type */
	DNS_NXDOMAIN, /* the name does not exist, or can't be one: then `error` says why */
	DNS_FAILED,   /* SERVFAIL, no server answered, nonsense */
	DNS_TIMEOUT,
	DNS_BOGUS, /* DNSSEC says that the answer is forged, or the zone is broken */
	DNS_CANCELLED
};

/* One record. Names are lower case and without the dot at the end (the root is "."); any byte that
 * is not a letter, digit, or one of "-_*+/=" stands there as \DDD, so that a name is harmless
 * wherever it goes and may be asked for as it stands. */
struct dns_record {
	uint32_t ttl_s;
	uint16_t preference; /* MX */
	struct ip ip;        /* A, AAAA; IPv4-mapped addresses are IPv4 */
	struct span name;    /* PTR, MX, CNAME, NS; SOA: its first server */
	struct span text;    /* TXT: its strings joined (RFC 7208 3.3); any bytes */
	struct span rdata;   /* TXT: for dns_text_next; types not named above: as it came */
};

enum dns_query_state { DNS_IDLE, DNS_STARTING, DNS_IN_LINE, DNS_ASKED, DNS_ANSWERED };

struct dns_query {
	/* in */
	struct span name; /* borrowed during dns_start; a dot at the end and \DDD are understood */
	enum dns_type type;
	uint64_t timeout_ms; /* 0: the setup's */
	uint64_t stranger;   /* who chose the name, as any number; 0: an admin did */
	struct arena *arena; /* borrowed until done: where the answer goes */
	void (*done)(struct dns_query *query);
	void *context;
	/* out */
	enum dns_outcome outcome;
	bool secure;    /* DNSSEC vouches for it, also for a name's or a type's absence */
	bool cached;    /* no server was asked */
	uint32_t ttl_s; /* how long the answer holds: the lowest of all that led to it */
	struct dns_record *records;
	size_t n_records;
	struct span canonical; /* where aliases led; SPAN_NONE when there was no answer */
	const char *error;     /* why it failed, for people; NULL: it did not */
	/* private */
	enum dns_query_state state;
	struct dns *dns;
	struct ask *ask;
	struct dns_query *next, *prev; /* in line */
	struct timer timer;
	struct deferred deferred;
};

struct dns; /* of a worker: made in the process that uses it, after fork and exec */

struct dns_setup {
	struct loop *loop; /* borrowed until dns_close */
	/* Borrowed during dns_open. None: those of /etc/resolv.conf, read now. */
	const struct endpoint *servers;
	size_t n_servers;
	uint64_t timeout_ms; /* for each query that names none */
	/* DS or DNSKEY records to begin with; NULL: nothing is validated, all is insecure. */
	const char *trust_anchor_file;
};

/* NULL: err says why. Asks nobody anything. */
struct dns *dns_open(const struct dns_setup *setup, struct err *err) MUST_CHECK;

/* Each query that waits is done as cancelled, from the loop. Not from within dns_start; `done` may
 * call it. Sets the pointer to NULL; NULL is fine. */
void dns_close(struct dns **dns);

/* true: the answer (from the cache, or that the name can't be one) is in the query already, and
 * `done` will not come. false: `done` will, exactly once, from the loop. The query must be idle,
 * and zeroed before its first use. */
bool dns_start(struct dns *dns, struct dns_query *query) MUST_CHECK;

/* `done` still comes, from the loop, with DNS_CANCELLED. An idle query is left alone. */
void dns_cancel(struct dns_query *query);

/* The single strings of a TXT record: begin with *rest = record->rdata; false: no more. */
bool dns_text_next(struct span *rest, struct span *string);

/* "4.3.2.1.in-addr.arpa", "f.e. ... .ip6.arpa" (RFC 1035 3.5, RFC 3596 2.5); with a zone that one
 * instead (RFC 5782). false: no address, or longer than a
 * name may be. */
bool dns_reverse_name(const struct ip *ip, const char *zone, char out[DNS_NAME_SIZE]) MUST_CHECK;

/* Nobody knows what the answer is; asking later may help. */
static inline bool dns_is_unknown(enum dns_outcome outcome)
{
	return outcome == DNS_FAILED || outcome == DNS_TIMEOUT || outcome == DNS_BOGUS;
}

/* A word for logs: "found", "nodata", "nxdomain", "failed", "timeout", "bogus", "cancelled". */
const char *dns_outcome_name(enum dns_outcome outcome);

/* What was asked and how it went since dns_open, as members of the open object (postern status). */
void dns_status(const struct dns *dns, struct record *r);

#endif

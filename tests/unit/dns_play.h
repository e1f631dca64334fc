/*
 * dns_play: a DNS server for tests, on the loop of what is tested, over UDP and TCP at one port
 * chosen free. It answers from a table of lines and can be told to misbehave.
 *
 *     play = dns_play_new(&loop, "127.0.0.1");
 *     dns_play_zone(play, "example.org MX 300 10 mx.example.org\n"
 *                         "mx.example.org A 300 192.0.2.1\n");
 *     endpoint = dns_play_endpoint(play);       -> dns_setup.servers
 *     ...
 *     DNS_PLAY_UNTIL(play, answered == 1);
 *
 * A line is "name type ttl rdata": A, AAAA, NS, CNAME, PTR, MX "10 name", TXT "\"a string\" \"and
 * one more\"" with \DDD, and for any type, named or TYPE123, rdata as "\# hex" (RFC 3597 without
 * the length). Aliases are followed, as a resolver does. Names that no line has, or has below
 * them, do not exist.
 */
#ifndef TESTS_DNS_PLAY_H
#define TESTS_DNS_PLAY_H

#include "lib/base/ip.h"
#include "lib/net/loop.h"

enum dns_play_fault {
	DNS_PLAY_ANSWER, /* no fault */
	DNS_PLAY_DROP,
	DNS_PLAY_HOLD,     /* the answer waits for dns_play_release */
	DNS_PLAY_SERVFAIL, /* rcode 2 */
	DNS_PLAY_REFUSED,  /* rcode 5 */
	DNS_PLAY_TRUNCATE, /* over UDP no answer but TC */
	DNS_PLAY_GARBAGE   /* the right id and bytes that mean nothing */
};

struct dns_play;

/* host: "127.0.0.1" or "::1". Fails the test when it can't listen. */
struct dns_play *dns_play_new(struct loop *loop, const char *host);

/* Frees later, from the loop (loop_close sees to it). */
void dns_play_free(struct dns_play **play);

struct endpoint dns_play_endpoint(const struct dns_play *play);

/* Adds lines; a line that can't be read fails the test. dns_play_clear: forgets all lines. */
void dns_play_zone(struct dns_play *play, const char *lines);
void dns_play_clear(struct dns_play *play);

/* For questions about this name (NULL: all) from now on; the name's own goes before NULL's. */
void dns_play_fault(struct dns_play *play, const char *name, enum dns_play_fault fault);
void dns_play_release(struct dns_play *play);

/* Questions that came for this name (NULL: all), over UDP and TCP; over TCP alone. */
unsigned dns_play_count(const struct dns_play *play, const char *name);
unsigned dns_play_count_tcp(const struct dns_play *play);

/* Runs the loop until the condition holds; a test that waits over 20 s fails. */
#define DNS_PLAY_UNTIL(play, condition)                                                            \
	for (uint64_t since_ = 0; !(condition);)                                                   \
	dns_play_turn((play), &since_, __FILE__, __LINE__)
void dns_play_turn(struct dns_play *play, uint64_t *since_ms, const char *file, int line);

/* Lets so much real time pass, with the loop running: for TTLs, which libunbound takes from the
 * kernel's clock. */
void dns_play_pass(struct dns_play *play, uint64_t ms);

#endif

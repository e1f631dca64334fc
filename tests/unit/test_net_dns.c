/*
 * DNS through libunbound against a server that does what it is told: every outcome, every kind of
 * record, the cache and its time limits, deadlines, cancelling, closing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base/fail.h"
#include "lib/net/dns.h"
#include "lib/net/dns_answer.h"
#include "lib/net/dns_turns.h"
#include "tests/unit/dns_play.h"

enum { TIMEOUT_MS = 8000, MANY = 1000 };

struct stage {
	struct loop loop;
	struct dns_play *play;
	struct dns *dns;
	struct arena *arena;
	struct err err;
	unsigned done;       /* how often on_done was called */
	unsigned starts;     /* calls of dns_start that have not returned */
	uint64_t timeout_ms; /* of what start asks; 0: the setup's */
	uint64_t stranger;   /* likewise; 0: none */
	struct dns_query query;
};

static void stage_open(struct stage *s, const struct endpoint *servers, size_t n_servers,
	const char *trust_anchor_file)
{
	struct dns_setup setup = {.loop = &s->loop,
		.servers = servers,
		.n_servers = n_servers,
		.timeout_ms = TIMEOUT_MS,
		.trust_anchor_file = trust_anchor_file};

	s->dns = dns_open(&setup, &s->err);
	if (!s->dns)
		fail_msg("%s", s->err.text);
}

static void stage_init(struct stage *s)
{
	*s = (struct stage){.done = 0};
	loop_init(&s->loop);
	s->arena = arena_new(4096);
}

static void stage_begin(struct stage *s, const char *zone)
{
	struct endpoint server;

	stage_init(s);
	s->play = dns_play_new(&s->loop, "127.0.0.1");
	dns_play_zone(s->play, zone);
	server = dns_play_endpoint(s->play);
	stage_open(s, &server, 1, NULL);
}

static void stage_end(struct stage *s)
{
	dns_close(&s->dns);
	dns_play_free(&s->play);
	for (unsigned i = 0; i < 3; i++)
		loop_turn(&s->loop, false);
	assert_int_equal(s->loop.timers.count, 0);
	loop_close(&s->loop);
	arena_free(&s->arena);
}

static void on_done(struct dns_query *query)
{
	struct stage *s = query->context;

	assert_int_equal(s->starts, 0); /* never from within a start */
	assert_int_equal(query->state, DNS_IDLE);
	assert_int_not_equal(query->outcome, DNS_PENDING);
	s->done++;
}

static bool start(struct stage *s, struct dns_query *query, const char *name, enum dns_type type)
{
	bool at_once;

	*query = (struct dns_query){.name = span_text(name),
		.type = type,
		.arena = s->arena,
		.done = on_done,
		.context = s,
		.timeout_ms = s->timeout_ms,
		.stranger = s->stranger};
	s->starts++;
	at_once = dns_start(s->dns, query);
	s->starts--;
	assert_int_equal(at_once, query->outcome != DNS_PENDING);
	return at_once;
}

/* Asks and waits; true: it was answered at once. */
static bool ask(struct stage *s, const char *name, enum dns_type type)
{
	unsigned before = s->done;

	if (start(s, &s->query, name, type))
		return true;
	DNS_PLAY_UNTIL(s->play, s->done > before);
	assert_int_equal(s->done, before + 1);
	return false;
}

#define assert_outcome(query, expected)                                                            \
	assert_string_equal(dns_outcome_name((query)->outcome), dns_outcome_name(expected))

#define assert_span(actual, text)                                                                  \
	do {                                                                                       \
		struct span span_ = (actual);                                                      \
		if (!span_equal(span_, span_text(text)))                                           \
			fail_msg("\"%.*s\" is not \"%s\"", SPAN_ARGS(span_), (text));              \
	} while (0)

/* The one record that is found. */
static const struct dns_record *found(struct stage *s, const char *name, enum dns_type type)
{
	ask(s, name, type);
	assert_outcome(&s->query, DNS_FOUND);
	assert_int_equal(s->query.n_records, 1);
	assert_null(s->query.error);
	return &s->query.records[0];
}

static void assert_ip(const struct ip *ip, const char *text)
{
	char actual[IP_TEXT_SIZE];

	assert_string_equal(ip_format(ip, actual), text);
}

/* --- records --- */

static void test_each_type(void **state)
{
	const struct dns_record *record;
	struct stage s;

	(void)state;
	stage_begin(&s,
		"a.example A 300 192.0.2.1\n"
		"aaaa.example AAAA 301 2001:db8::1\n"
		"mapped.example AAAA 300 \\# 00000000000000000000ffffc0000207\n"
		"1.2.0.192.in-addr.arpa PTR 300 Mail.Example.ORG\n"
		"mx.example MX 300 10 mx1.example\n"
		"null.example MX 300 0 .\n"
		"ns.example NS 300 ns1.example\n"
		"alias.example CNAME 300 a.example\n"
		"soa.example SOA 300 \\# 026e730000000000010000000200000003000000040000003c\n"
		"_25._tcp.example TLSA 300 \\# 030101aabb\n");
	record = found(&s, "a.example", DNS_A);
	assert_ip(&record->ip, "192.0.2.1");
	assert_int_equal(record->ttl_s, 300);
	assert_int_equal(s.query.ttl_s, 300);
	assert_span(s.query.canonical, "a.example");
	assert_false(s.query.secure);
	record = found(&s, "aaaa.example.", DNS_AAAA);
	assert_ip(&record->ip, "2001:db8::1");
	record = found(&s, "MAPPED.example", DNS_AAAA);
	assert_ip(&record->ip, "192.0.2.7");
	assert_span(found(&s, "1.2.0.192.in-addr.arpa", DNS_PTR)->name, "mail.example.org");
	record = found(&s, "mx.example", DNS_MX);
	assert_span(record->name, "mx1.example");
	assert_int_equal(record->preference, 10);
	assert_span(found(&s, "null.example", DNS_MX)->name, ".");
	assert_span(found(&s, "ns.example", DNS_NS)->name, "ns1.example");
	assert_span(found(&s, "alias.example", DNS_CNAME)->name, "a.example");
	assert_span(s.query.canonical, "alias.example");
	assert_span(found(&s, "soa.example", DNS_SOA)->name, "ns");
	record = found(&s, "_25._tcp.example", DNS_TLSA);
	assert_int_equal(record->rdata.len, 5);
	assert_memory_equal(record->rdata.at, "\x03\x01\x01\xaa\xbb", 5);
	stage_end(&s);
}

static void test_text(void **state)
{
	const struct dns_record *record;
	struct span rest, string;
	struct stage s;

	(void)state;
	stage_begin(&s, "one.example TXT 300 \"v=spf1 -all\"\n"
			"parts.example TXT 300 \"v=spf1 \" \"\" \"a:b \" \"-all\"\n"
			"empty.example TXT 300 \"\"\n"
			"odd.example TXT 300 \"\\000\\255\"\n"
			"two.example TXT 300 \"first\"\n"
			"two.example TXT 300 \"second\"\n");
	assert_span(found(&s, "one.example", DNS_TXT)->text, "v=spf1 -all");
	record = found(&s, "parts.example", DNS_TXT);
	assert_span(record->text, "v=spf1 a:b -all");
	rest = record->rdata;
	assert_true(dns_text_next(&rest, &string));
	assert_span(string, "v=spf1 ");
	assert_true(dns_text_next(&rest, &string));
	assert_span(string, "");
	assert_true(dns_text_next(&rest, &string));
	assert_span(string, "a:b ");
	assert_true(dns_text_next(&rest, &string));
	assert_span(string, "-all");
	assert_false(dns_text_next(&rest, &string));
	assert_span(found(&s, "empty.example", DNS_TXT)->text, "");
	record = found(&s, "odd.example", DNS_TXT);
	assert_int_equal(record->text.len, 2);
	assert_memory_equal(record->text.at, "\0\xff", 2);
	ask(&s, "two.example", DNS_TXT);
	assert_int_equal(s.query.n_records, 2);
	assert_span(s.query.records[0].text, "first");
	assert_span(s.query.records[1].text, "second");
	stage_end(&s);
}

/* A name may hold any byte: none gets through that could mean something elsewhere, and what comes
 * out can be asked for. */
static void test_odd_names(void **state)
{
	static const char odd[] = "a\\032b\\046c\\000.\\195\\164\\092.example";
	struct stage s;

	(void)state;
	stage_begin(&s, "p.example PTR 300 a\\032b\\046c\\000.\\195\\164\\092.Example\n"
			"plain.example PTR 300 -_*+/=.example\n");
	assert_span(found(&s, "p.example", DNS_PTR)->name, odd);
	ask(&s, odd, DNS_A);
	assert_outcome(&s.query, DNS_NXDOMAIN);
	assert_null(s.query.error);
	assert_span(s.query.canonical, odd);
	assert_span(found(&s, "plain.example", DNS_PTR)->name, "-_*+/=.example");
	stage_end(&s);
}

static void test_malformed_records(void **state)
{
	struct stage s;

	(void)state;
	stage_begin(&s, "short.example A 300 \\# c00002\n"
			"long.example AAAA 300 \\# c0000201\n"
			"txt.example TXT 300 \\# 05616263\n"
			"none.example TXT 300 \\#\n"
			"mixed.example A 300 \\# c00002\n"
			"mixed.example A 300 192.0.2.4\n");
	ask(&s, "short.example", DNS_A);
	assert_outcome(&s.query, DNS_FAILED);
	assert_non_null(s.query.error);
	ask(&s, "long.example", DNS_AAAA);
	assert_outcome(&s.query, DNS_FAILED);
	ask(&s, "txt.example", DNS_TXT);
	assert_outcome(&s.query, DNS_FAILED);
	ask(&s, "none.example", DNS_TXT);
	assert_outcome(&s.query, DNS_FAILED);
	ask(&s, "mixed.example", DNS_A);
	assert_outcome(&s.query, DNS_FOUND);
	assert_int_equal(s.query.n_records, 1);
	assert_ip(&s.query.records[0].ip, "192.0.2.4");
	stage_end(&s);
}

static void test_aliases(void **state)
{
	struct stage s;

	(void)state;
	stage_begin(&s, "one.example CNAME 50 Two.example\n"
			"two.example CNAME 40 three.example\n"
			"three.example A 60 192.0.2.3\n"
			"three.example A 60 192.0.2.4\n"
			"nowhere.example CNAME 300 gone.example\n"
			"loop.example CNAME 300 loop.example\n");
	ask(&s, "ONE.example", DNS_A);
	assert_outcome(&s.query, DNS_FOUND);
	assert_int_equal(s.query.n_records, 2);
	assert_span(s.query.canonical, "three.example");
	assert_int_equal(s.query.ttl_s, 40);
	ask(&s, "one.example", DNS_MX);
	assert_outcome(&s.query, DNS_NODATA);
	assert_span(s.query.canonical, "three.example");
	ask(&s, "nowhere.example", DNS_A);
	assert_outcome(&s.query, DNS_NXDOMAIN);
	assert_span(s.query.canonical, "gone.example");
	ask(&s, "loop.example", DNS_A);
	assert_true(s.query.outcome == DNS_FAILED || s.query.outcome == DNS_NODATA);
	stage_end(&s);
}

/* --- outcomes --- */

static void test_absence(void **state)
{
	struct stage s;

	(void)state;
	stage_begin(&s, "a.example A 300 192.0.2.1\n"
			"deep.below.example A 300 192.0.2.1\n");
	ask(&s, "a.example", DNS_MX);
	assert_outcome(&s.query, DNS_NODATA);
	assert_int_equal(s.query.ttl_s, 60);
	assert_null(s.query.error);
	ask(&s, "below.example", DNS_A);
	assert_outcome(&s.query, DNS_NODATA);
	ask(&s, "b.example", DNS_A);
	assert_outcome(&s.query, DNS_NXDOMAIN);
	assert_int_equal(s.query.ttl_s, 60);
	assert_null(s.query.error);
	assert_true(ask(&s, "b.example", DNS_A));
	assert_outcome(&s.query, DNS_NXDOMAIN);
	assert_true(s.query.cached);
	assert_false(dns_is_unknown(s.query.outcome));
	stage_end(&s);
}

static void test_failures(void **state)
{
	struct stage s;

	(void)state;
	stage_begin(&s, "servfail.example A 300 192.0.2.1\n"
			"refused.example A 300 192.0.2.1\n"
			"garbage.example A 300 192.0.2.1\n");
	dns_play_fault(s.play, "servfail.example", DNS_PLAY_SERVFAIL);
	dns_play_fault(s.play, "refused.example", DNS_PLAY_REFUSED);
	dns_play_fault(s.play, "garbage.example", DNS_PLAY_GARBAGE);
	ask(&s, "servfail.example", DNS_A);
	assert_outcome(&s.query, DNS_FAILED);
	assert_non_null(s.query.error);
	assert_int_equal(s.query.n_records, 0);
	assert_true(dns_is_unknown(s.query.outcome));
	ask(&s, "refused.example", DNS_A);
	assert_outcome(&s.query, DNS_FAILED);
	ask(&s, "garbage.example", DNS_A);
	assert_true(dns_is_unknown(s.query.outcome));
	stage_end(&s);
}

static void test_bad_names(void **state)
{
	static char label[] =
		"0123456789012345678901234567890123456789012345678901234567890123.example";
	static const char *const bad[] = {"", "a..b", ".a", "..", "a\\25", "a\\256", "a\\", label};
	char name[4 * 64 + 1];
	struct stage s;

	(void)state;
	stage_begin(&s, "");
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		assert_true(start(&s, &s.query, bad[i], DNS_A));
		assert_outcome(&s.query, DNS_NXDOMAIN);
		assert_non_null(s.query.error);
	}
	memset(name, 'a', sizeof(name));
	name[63] = name[127] = name[191] = '.';
	name[DNS_NAME_MAX + 1] = '\0';
	assert_true(start(&s, &s.query, name, DNS_A));
	assert_non_null(s.query.error);
	assert_int_equal(dns_play_count(s.play, NULL), 0);
	name[DNS_NAME_MAX] = '\0';
	ask(&s, name, DNS_A);
	assert_outcome(&s.query, DNS_NXDOMAIN);
	assert_null(s.query.error);
	assert_int_equal(dns_play_count(s.play, name), 1);
	assert_string_equal(dns_name_mistake(span_make("a\0b", 3)), "the name contains a NUL");
	assert_null(dns_name_mistake(SPAN(".")));
	assert_null(dns_name_mistake(SPAN("a\\.b.")));
	stage_end(&s);
}

/* What libunbound has built in is for the admin's resolver to say. */
static void test_private_zones(void **state)
{
	static const char *const names[] = {"1.0.0.10.in-addr.arpa", "1.1.168.192.in-addr.arpa",
		"1.2.0.192.in-addr.arpa", "1.16.172.in-addr.arpa", "host.test", "host.invalid",
		"host.home.arpa", "1.0.64.100.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa"};
	struct stage s;

	(void)state;
	stage_begin(&s, "");
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		char line[200];

		snprintf(line, sizeof(line), "%s PTR 300 known.example", names[i]);
		dns_play_zone(s.play, line);
		assert_span(found(&s, names[i], DNS_PTR)->name, "known.example");
	}
	assert_true(ask(&s, "localhost", DNS_A));
	assert_ip(&s.query.records[0].ip, "127.0.0.1");
	stage_end(&s);
}

/* --- the cache --- */

static void test_cache(void **state)
{
	struct stage s;

	(void)state;
	stage_begin(&s, "a.example A 300 192.0.2.1\n"
			"zero.example TXT 0 \"v\"\n"
			"brief.example A 1 192.0.2.2\n");
	assert_false(ask(&s, "a.example", DNS_A));
	assert_false(s.query.cached);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(ask(&s, "A.example", DNS_A));
		assert_outcome(&s.query, DNS_FOUND);
		assert_true(s.query.cached);
		assert_ip(&s.query.records[0].ip, "192.0.2.1");
	}
	assert_int_equal(dns_play_count(s.play, "a.example"), 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_false(ask(&s, "zero.example", DNS_TXT));
		assert_int_equal(s.query.ttl_s, 0);
	}
	assert_int_equal(dns_play_count(s.play, "zero.example"), 3);
	ask(&s, "brief.example", DNS_A);
	dns_play_pass(s.play, 2100);
	assert_false(ask(&s, "brief.example", DNS_A));
	assert_int_equal(dns_play_count(s.play, "brief.example"), 2);
	assert_true(ask(&s, "a.example", DNS_A));
	assert_in_range(s.query.ttl_s, 290, 299);
	stage_end(&s);
}

/* --- time --- */

static void test_deadline(void **state)
{
	struct stage s;
	uint64_t began_ms;

	(void)state;
	stage_begin(&s, "slow.example A 300 192.0.2.1\n");
	dns_play_fault(s.play, NULL, DNS_PLAY_HOLD);
	began_ms = loop_now_ms(&s.loop);
	s.query = (struct dns_query){.name = SPAN("slow.example"),
		.type = DNS_A,
		.arena = s.arena,
		.done = on_done,
		.context = &s,
		.timeout_ms = 100};
	assert_false(dns_start(s.dns, &s.query));
	DNS_PLAY_UNTIL(s.play, s.done == 1);
	assert_outcome(&s.query, DNS_TIMEOUT);
	assert_non_null(s.query.error);
	assert_in_range(loop_now_ms(&s.loop) - began_ms, 100, 2000);
	/* What comes later is not lost: the next one finds it. */
	dns_play_fault(s.play, NULL, DNS_PLAY_ANSWER);
	dns_play_release(s.play);
	DNS_PLAY_UNTIL(s.play,
		start(&s, &s.query, "slow.example", DNS_A) || (dns_cancel(&s.query), false));
	assert_outcome(&s.query, DNS_FOUND);
	stage_end(&s);
}

/* Nobody listens, or nobody answers: an end comes, and before the time allowed. */
static void test_dead_server(void **state)
{
	struct endpoint server;
	struct stage s;

	(void)state;
	stage_begin(&s, "");
	dns_play_fault(s.play, NULL, DNS_PLAY_DROP);
	ask(&s, "dropped.example", DNS_A);
	assert_true(dns_is_unknown(s.query.outcome));
	dns_close(&s.dns);
	server = dns_play_endpoint(s.play);
	server.port = 1;
	stage_open(&s, &server, 1, NULL);
	ask(&s, "refused.example", DNS_A);
	assert_true(dns_is_unknown(s.query.outcome));
	stage_end(&s);
}

/* One that comes back is asked again, long before libunbound's own 15 minutes are over. */
static void test_server_comes_back(void **state)
{
	struct stage s;
	char name[40];

	(void)state;
	stage_begin(&s, "back.example A 300 192.0.2.1\n");
	dns_play_fault(s.play, NULL, DNS_PLAY_DROP);
	s.timeout_ms = 1000;
	for (unsigned i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "x%u.example", i);
		ask(&s, name, DNS_A);
		assert_true(dns_is_unknown(s.query.outcome));
	}
	dns_play_fault(s.play, NULL, DNS_PLAY_ANSWER);
	s.timeout_ms = 0;
	ask(&s, "back.example", DNS_A);
	assert_outcome(&s.query, DNS_FOUND);
	stage_end(&s);
}

/* A resolver is fast with what it knows and slow with what it has to find out. */
static void test_slow_answer(void **state)
{
	struct stage s;
	char name[40];

	(void)state;
	stage_begin(&s, "slow.example A 300 192.0.2.1\n");
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "x%u.example", i);
		ask(&s, name, DNS_A);
		assert_outcome(&s.query, DNS_NXDOMAIN);
	}
	dns_play_fault(s.play, "slow.example", DNS_PLAY_HOLD);
	assert_false(start(&s, &s.query, "slow.example", DNS_A));
	dns_play_pass(s.play, 800);
	dns_play_release(s.play);
	DNS_PLAY_UNTIL(s.play, s.query.state == DNS_IDLE);
	assert_outcome(&s.query, DNS_FOUND);
	stage_end(&s);
}

static void test_second_server(void **state)
{
	struct endpoint servers[2];
	struct stage s;
	char name[40];

	(void)state;
	stage_begin(&s, "");
	dns_close(&s.dns);
	servers[0] = dns_play_endpoint(s.play);
	servers[0].port = 1;
	servers[1] = dns_play_endpoint(s.play);
	stage_open(&s, servers, 2, NULL);
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "x%u.example", i);
		ask(&s, name, DNS_A);
		assert_outcome(&s.query, DNS_NXDOMAIN);
	}
	stage_end(&s);
}

static void test_ipv6_server(void **state)
{
	struct endpoint server;
	struct stage s;

	(void)state;
	if (access("/proc/net/if_inet6", R_OK) != 0)
		skip();
	stage_init(&s);
	s.play = dns_play_new(&s.loop, "::1");
	dns_play_zone(s.play, "six.example A 300 192.0.2.6");
	server = dns_play_endpoint(s.play);
	stage_open(&s, &server, 1, NULL);
	assert_ip(&found(&s, "six.example", DNS_A)->ip, "192.0.2.6");
	stage_end(&s);
}

static void test_tcp(void **state)
{
	struct buffer line = BUFFER_INIT(8192);
	struct stage s;

	(void)state;
	stage_begin(&s, "cut.example A 300 192.0.2.1\n");
	dns_play_fault(s.play, "cut.example", DNS_PLAY_TRUNCATE);
	assert_ip(&found(&s, "cut.example", DNS_A)->ip, "192.0.2.1");
	assert_int_equal(dns_play_count_tcp(s.play), 1);
	/* Too large by nature. */
	assert_true(buffer_add_text(&line, "large.example TXT 300"));
	for (unsigned i = 0; i < 16; i++)
		assert_true(buffer_print(&line, " \"%0200u\"", i));
	dns_play_zone(s.play, buffer_string(&line));
	assert_int_equal(found(&s, "large.example", DNS_TXT)->text.len, 16 * 200);
	assert_int_equal(dns_play_count_tcp(s.play), 2);
	buffer_free(&line);
	stage_end(&s);
}

/* --- many, and none --- */

static void test_thousand(void **state)
{
	struct dns_query *queries = memory_zeroed(MANY * sizeof(*queries));
	char names[MANY][20], line[64];
	struct stage s;

	(void)state;
	stage_begin(&s, "");
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "n%u.example", i);
		snprintf(line, sizeof(line), "%s A 300 10.0.%u.%u", names[i], i / 256, i % 256);
		dns_play_zone(s.play, line);
	}
	for (unsigned i = 0; i < MANY; i++)
		assert_false(start(&s, &queries[i], names[i], DNS_A));
	DNS_PLAY_UNTIL(s.play, s.done == MANY);
	for (unsigned i = 0; i < MANY; i++) {
		assert_outcome(&queries[i], DNS_FOUND);
		assert_int_equal(queries[i].records[0].ip.bytes[2], i / 256);
		assert_int_equal(queries[i].records[0].ip.bytes[3], i % 256);
	}
	free(queries);
	stage_end(&s);
}

/* One packet for all that ask the same. */
static void test_shared_question(void **state)
{
	struct dns_query queries[50];
	struct stage s;

	(void)state;
	stage_begin(&s, "same.example A 300 192.0.2.1\n");
	dns_play_fault(s.play, NULL, DNS_PLAY_HOLD);
	for (size_t i = 0; i < COUNT_OF(queries); i++)
		assert_false(start(&s, &queries[i], "same.example", DNS_A));
	dns_cancel(&queries[0]);
	DNS_PLAY_UNTIL(s.play, dns_play_count(s.play, "same.example") == 1);
	dns_play_release(s.play);
	DNS_PLAY_UNTIL(s.play, s.done == COUNT_OF(queries));
	assert_outcome(&queries[0], DNS_CANCELLED);
	for (size_t i = 1; i < COUNT_OF(queries); i++)
		assert_outcome(&queries[i], DNS_FOUND);
	assert_int_equal(dns_play_count(s.play, NULL), 1);
	stage_end(&s);
}

/* More than DNS_UNDER_WAY_MAX are refused, also when nobody waits for those any more. */
static void test_too_many(void **state)
{
	struct stage s;
	char name[40];

	(void)state;
	stage_begin(&s, "");
	dns_play_fault(s.play, NULL, DNS_PLAY_DROP);
	for (unsigned i = 0; i < DNS_UNDER_WAY_MAX; i++) {
		snprintf(name, sizeof(name), "n%u.example", i);
		assert_false(start(&s, &s.query, name, DNS_A));
		dns_cancel(&s.query);
		loop_turn(&s.loop, false);
		assert_int_equal(s.done, i + 1);
	}
	assert_true(start(&s, &s.query, "more.example", DNS_A));
	assert_outcome(&s.query, DNS_FAILED);
	assert_non_null(strstr(s.query.error, "too many"));
	stage_end(&s);
}

/* n questions of strangers, who take turns; each name is another. */
static void start_strangers(struct stage *s, struct dns_query *queries, unsigned n,
	unsigned strangers, const char *word)
{
	for (unsigned i = 0; i < n; i++) {
		s->stranger = 1 + i % strangers;
		assert_false(start(
			s, &queries[i], arena_print(s->arena, "%s%u.example", word, i), DNS_A));
	}
	s->stranger = 0;
}

/* How many of those names the server has heard of: each may be asked for again. */
static unsigned heard(struct stage *s, unsigned n, const char *word)
{
	unsigned names = 0;

	for (unsigned i = 0; i < n; i++) {
		char name[40];

		snprintf(name, sizeof(name), "%s%u.example", word, i);
		names += dns_play_count(s->play, name) > 0;
	}
	return names;
}

/* Names that strangers chose and whose servers are slow hold up neither what an admin named nor,
 * if one stranger chose them all, those of others. */
static void test_strangers(void **state)
{
	struct dns_query *queries = memory_zeroed(MANY * sizeof(*queries)), other;
	struct stage s;

	(void)state;
	stage_begin(&s, "list.example A 300 127.0.0.2\nother.example A 300 192.0.2.1\n");
	dns_play_fault(s.play, NULL, DNS_PLAY_HOLD);
	dns_play_fault(s.play, "list.example", DNS_PLAY_ANSWER);
	dns_play_fault(s.play, "other.example", DNS_PLAY_ANSWER);
	start_strangers(&s, queries, 100, 1, "one");
	s.stranger = 2;
	assert_false(start(&s, &other, "other.example", DNS_A));
	DNS_PLAY_UNTIL(s.play, s.done == 1);
	assert_outcome(&other, DNS_FOUND);
	for (unsigned i = 0; i < 100; i++) /* those in line, too */
		dns_cancel(&queries[i]);
	DNS_PLAY_UNTIL(s.play, s.done == 101);
	assert_int_equal(heard(&s, 100, "one"), TURNS_EACH);
	start_strangers(&s, queries, MANY, MANY, "each");
	found(&s, "list.example", DNS_A);
	assert_int_equal(heard(&s, MANY, "each"), TURNS_MAX - TURNS_EACH);
	dns_play_fault(s.play, NULL, DNS_PLAY_ANSWER);
	dns_play_release(s.play);
	DNS_PLAY_UNTIL(s.play, s.done == 102 + MANY);
	for (unsigned i = 0; i < MANY; i++)
		assert_outcome(&queries[i], DNS_NXDOMAIN);
	free(queries);
	stage_end(&s);
}

/* In line the deadline runs, and closing ends the wait. */
static void test_strangers_in_line(void **state)
{
	struct dns_query queries[TURNS_EACH + 2];
	struct stage s;

	(void)state;
	stage_begin(&s, "");
	dns_play_fault(s.play, NULL, DNS_PLAY_DROP);
	start_strangers(&s, queries, TURNS_EACH, 1, "one");
	s.stranger = 1;
	s.timeout_ms = 50;
	assert_false(start(&s, &queries[TURNS_EACH], "late.example", DNS_A));
	s.timeout_ms = 0;
	assert_false(start(&s, &queries[TURNS_EACH + 1], "closed.example", DNS_A));
	DNS_PLAY_UNTIL(s.play, s.done == 1);
	assert_outcome(&queries[TURNS_EACH], DNS_TIMEOUT);
	dns_close(&s.dns);
	DNS_PLAY_UNTIL(s.play, s.done == TURNS_EACH + 2);
	assert_outcome(&queries[TURNS_EACH + 1], DNS_CANCELLED);
	stage_end(&s);
}

/* No descriptor to be had: an answer all the same, and none of ours is lost when there are again.
 */
static void test_no_descriptors(void **state)
{
	struct rlimit before, none;
	struct stage s;
	int lowest;

	(void)state;
	stage_begin(&s, "a.example A 300 192.0.2.1\nb.example A 300 192.0.2.1\n");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	lowest = dup(0);
	close(lowest);
	none.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	s.timeout_ms = 1000;
	ask(&s, "a.example", DNS_A);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(dns_is_unknown(s.query.outcome));
	ask(&s, "b.example", DNS_A);
	assert_outcome(&s.query, DNS_FOUND);
	stage_end(&s);
}

/* --- cancelling and closing --- */

static void test_cancel(void **state)
{
	struct stage s;

	(void)state;
	stage_begin(&s, "a.example A 300 192.0.2.1\n");
	dns_play_fault(s.play, NULL, DNS_PLAY_HOLD);
	assert_false(start(&s, &s.query, "a.example", DNS_A));
	dns_cancel(&s.query);
	dns_cancel(&s.query);
	assert_int_equal(s.done, 0);
	DNS_PLAY_UNTIL(s.play, s.done == 1);
	assert_outcome(&s.query, DNS_CANCELLED);
	dns_cancel(&s.query); /* idle: nothing */
	dns_play_fault(s.play, NULL, DNS_PLAY_ANSWER);
	dns_play_release(s.play);
	for (unsigned i = 0; i < 20; i++)
		loop_turn(&s.loop, false);
	assert_int_equal(s.done, 1);
	stage_end(&s);
}

struct pair {
	struct stage *stage;
	struct dns_query query;
	struct pair *other;
};

static void on_pair(struct dns_query *query)
{
	struct pair *pair = query->context;

	pair->stage->done++;
	dns_cancel(&pair->other->query);
}

/* Two answers in one go: the first one's done cancels the second, whose done follows. */
static void test_cancel_answered(void **state)
{
	struct pair pairs[2];
	struct stage s;

	(void)state;
	stage_begin(&s, "a.example A 300 192.0.2.1\n");
	for (unsigned i = 0; i < 2; i++) {
		pairs[i] = (struct pair){&s,
			{.name = SPAN("a.example"),
				.type = DNS_A,
				.arena = s.arena,
				.done = on_pair,
				.context = &pairs[i]},
			&pairs[1 - i]};
		assert_false(dns_start(s.dns, &pairs[i].query));
	}
	DNS_PLAY_UNTIL(s.play, s.done);
	assert_int_equal(s.done, 2);
	assert_int_equal(
		(pairs[0].query.outcome == DNS_FOUND) + (pairs[1].query.outcome == DNS_FOUND), 1);
	assert_int_equal((pairs[0].query.outcome == DNS_CANCELLED) +
				 (pairs[1].query.outcome == DNS_CANCELLED),
		1);
	for (unsigned i = 0; i < 2; i++)
		if (pairs[i].query.outcome == DNS_CANCELLED)
			assert_int_equal(pairs[i].query.n_records, 0);
	stage_end(&s);
}

static void test_close_under_way(void **state)
{
	struct dns_query queries[100];
	char names[100][20];
	struct stage s;

	(void)state;
	stage_begin(&s, "");
	dns_play_fault(s.play, NULL, DNS_PLAY_TRUNCATE);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(names[i], sizeof(names[i]), "n%u.example", i);
		assert_false(start(&s, &queries[i], names[i], DNS_A));
	}
	/* Some have only begun, some wait for a server, some talk TCP. */
	DNS_PLAY_UNTIL(s.play, dns_play_count(s.play, NULL) > 20);
	dns_play_fault(s.play, NULL, DNS_PLAY_HOLD);
	DNS_PLAY_UNTIL(s.play, dns_play_count_tcp(s.play) > 2);
	s.starts++; /* no done before the loop runs */
	dns_close(&s.dns);
	s.starts--;
	assert_null(s.dns);
	DNS_PLAY_UNTIL(s.play, s.done == 100);
	for (unsigned i = 0; i < 100; i++)
		assert_true(
			queries[i].outcome == DNS_CANCELLED || queries[i].outcome == DNS_NXDOMAIN);
	assert_outcome(&queries[99], DNS_CANCELLED);
	stage_end(&s);
}

static void on_done_close(struct dns_query *query)
{
	struct stage *s = query->context;

	s->done++;
	dns_close(&s->dns);
}

static void test_close_in_done(void **state)
{
	struct dns_query other;
	struct stage s;

	(void)state;
	stage_begin(&s, "a.example A 300 192.0.2.1\n");
	dns_play_fault(s.play, "b.example", DNS_PLAY_DROP);
	assert_false(start(&s, &other, "b.example", DNS_A));
	s.query = (struct dns_query){.name = SPAN("a.example"),
		.type = DNS_A,
		.arena = s.arena,
		.done = on_done_close,
		.context = &s};
	assert_false(dns_start(s.dns, &s.query));
	DNS_PLAY_UNTIL(s.play, s.done == 2);
	assert_null(s.dns);
	assert_outcome(&other, DNS_CANCELLED);
	stage_end(&s);
}

/* A done() that asks on: what the cache knows, then what it does not, many times over. */
static void on_done_again(struct dns_query *query)
{
	struct stage *s = query->context;
	struct dns_query cached;

	assert_outcome(query, DNS_FOUND);
	assert_true(start(s, &cached, "cached.example", DNS_A));
	assert_outcome(&cached, DNS_FOUND);
	if (++s->done == 20)
		return;
	assert_false(dns_start(s->dns, query)); /* TTL 0 */
}

static void test_ask_in_done(void **state)
{
	struct stage s;

	(void)state;
	stage_begin(&s, "cached.example A 300 192.0.2.1\n"
			"zero.example A 0 192.0.2.2\n");
	ask(&s, "cached.example", DNS_A);
	s.done = 0;
	s.query = (struct dns_query){.name = SPAN("zero.example"),
		.type = DNS_A,
		.arena = s.arena,
		.done = on_done_again,
		.context = &s};
	assert_false(dns_start(s.dns, &s.query));
	DNS_PLAY_UNTIL(s.play, s.done == 20);
	assert_int_equal(dns_play_count(s.play, "zero.example"), 20);
	assert_int_equal(dns_play_count(s.play, "cached.example"), 1);
	stage_end(&s);
}

/* --- DNSSEC --- */

/* Signed until 2090 with a key that was thrown away. */
static const char signed_zone[] =
	"signed.example DNSKEY 3600 \\# "
	"0101030dd97fe9bd62564d001b90a7b8258097b4c3d2529e6deb64a3c90e89236ed4af7ea470c91d"
	"fcca355febf88a150ed7d1cd1ac4af2e7fc314a65afeeaa3157b22b3\n"
	"signed.example RRSIG 3600 \\# "
	"00300d0200000e10e1b7b10065920080233e067369676e6564076578616d706c6500a5010a9a84b0"
	"61ecf4515bf699268919c12b470fb1bd60f6fc3278e1f3850f4b92330f6aea7f8fe276ec8ec2718a"
	"ed114f1d78153e5a1dc2a820877fd8fb636c\n"
	"www.signed.example A 300 \\# "
	"c0000250\n"
	"www.signed.example RRSIG 300 \\# "
	"00010d030000012ce1b7b10065920080233e067369676e6564076578616d706c65000dfdb4f5daea"
	"0372527378f0230507452df33008d715e095f4bbfbeb1af1916a21065697e10df9cfaeb14a956bf3"
	"e55e08c3d13ef11b209d3591e28bf689a865\n"
	"forged.signed.example A 300 \\# "
	"c0000242\n"
	"forged.signed.example RRSIG 300 \\# "
	"00010d030000012ce1b7b10065920080233e067369676e6564076578616d706c6500828e7fa55368"
	"4bb94e2c394e08bbe8d01c235daf3c97902e4aafddf8f7f4c7bfeb6e9a39b2f84734ab57168a8a86"
	"b8d39508b6b4483a6c6ae726dc16884d7f8c\n";

static const char trust_anchor[] =
	"signed.example. IN DS 9022 13 2 "
	"52d92001c657e87492f684f690598908d2d4958717d562b5561ab123a7e2dced\n";

static void test_dnssec(void **state)
{
	char path[] = "/tmp/postern-test-anchor-XXXXXX";
	int fd = mkstemp(path);
	struct endpoint server;
	struct stage s;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, trust_anchor, strlen(trust_anchor)), strlen(trust_anchor));
	close(fd);
	stage_begin(&s, signed_zone);
	dns_play_zone(s.play, "plain.example A 300 192.0.2.1\n"
			      "unsigned.signed.example A 300 192.0.2.1\n");
	ask(&s, "forged.signed.example", DNS_A);
	assert_outcome(&s.query, DNS_FOUND);
	assert_false(s.query.secure); /* nobody was asked to look */
	dns_close(&s.dns);
	server = dns_play_endpoint(s.play);
	stage_open(&s, &server, 1, path);
	assert_ip(&found(&s, "www.signed.example", DNS_A)->ip, "192.0.2.80");
	assert_true(s.query.secure);
	assert_true(ask(&s, "www.signed.example", DNS_A));
	assert_true(s.query.secure);
	assert_ip(&found(&s, "plain.example", DNS_A)->ip, "192.0.2.1");
	assert_false(s.query.secure);
	ask(&s, "forged.signed.example", DNS_A);
	assert_outcome(&s.query, DNS_BOGUS);
	assert_int_equal(s.query.n_records, 0);
	assert_non_null(s.query.error);
	assert_true(dns_is_unknown(s.query.outcome));
	ask(&s, "unsigned.signed.example", DNS_A);
	assert_outcome(&s.query, DNS_BOGUS);
	unlink(path);
	stage_end(&s);
}

/* --- setup --- */

static void test_setup(void **state)
{
	struct dns_setup setup = {.timeout_ms = 1000};
	struct endpoint servers[20] = {{.port = 0}};
	struct dns *dns;
	struct stage s;

	(void)state;
	stage_init(&s);
	setup.loop = &s.loop;
	dns = dns_open(&setup, &s.err); /* the system's */
	if (dns)
		dns_close(&dns);
	else
		assert_non_null(strstr(s.err.text, "/etc/resolv.conf"));
	setup.trust_anchor_file = "/nonexistent/anchor";
	setup.servers = servers;
	setup.n_servers = 1;
	assert_true(endpoint_parse(SPAN("127.0.0.1:53"), &servers[0]));
	assert_null(dns_open(&setup, &s.err));
	assert_non_null(strstr(s.err.text, "/nonexistent/anchor"));
	setup.trust_anchor_file = NULL;
	setup.n_servers = COUNT_OF(servers);
	assert_null(dns_open(&setup, &s.err));
	assert_non_null(strstr(s.err.text, "at most"));
	setup.n_servers = 1;
	setup.servers = &servers[1];
	assert_null(dns_open(&setup, &s.err));
	stage_end(&s);
}

static void test_status(void **state)
{
	struct dns_query held;
	struct record r;
	const char *text;
	struct stage s;

	(void)state;
	stage_begin(&s, "a.example A 300 192.0.2.1\n");
	dns_play_fault(s.play, "held.example", DNS_PLAY_DROP);
	ask(&s, "a.example", DNS_A);
	ask(&s, "a.example", DNS_A);
	ask(&s, "b.example", DNS_A);
	assert_false(start(&s, &held, "held.example", DNS_A));
	record_init(&r, true, 4096);
	dns_status(s.dns, &r);
	record_finish(&r);
	text = buffer_string(&r.line);
	assert_non_null(strstr(text, "\"servers\":[\"127.0.0.1:"));
	assert_non_null(strstr(text, "\"queries\":4,\"cached\":1,\"found\":2,\"nodata\":0,"
				     "\"nxdomain\":1,\"failed\":0,\"timeout\":0,\"bogus\":0,"
				     "\"cancelled\":0,\"waiting\":1,\"under_way\":1"));
	record_free(&r);
	stage_end(&s);
}

static unsigned count_threads(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	unsigned threads = 0;
	char line[200];

	assert_non_null(status);
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "Threads: %u", &threads) == 1)
			break;
	fclose(status);
	assert_int_not_equal(threads, 0);
	return threads;
}

static void test_no_threads(void **state)
{
	unsigned before = count_threads();
	char children[200] = "";
	struct stage s;
	FILE *file;

	(void)state;
	stage_begin(&s, "a.example A 300 192.0.2.1\n");
	ask(&s, "a.example", DNS_A);
	assert_int_equal(count_threads(), before);
	file = fopen("/proc/thread-self/children", "r");
	if (file) {
		assert_null(fgets(children, sizeof(children), file));
		fclose(file);
	}
	stage_end(&s);
}

static void test_reverse_name(void **state)
{
	char out[DNS_NAME_SIZE], zone[300];
	struct ip v4, v6, none = {.family = IP_NONE};

	(void)state;
	assert_true(ip_parse(SPAN("192.0.2.1"), &v4));
	assert_true(ip_parse(SPAN("2001:db8::567:89ab"), &v6));
	assert_true(dns_reverse_name(&v4, NULL, out));
	assert_string_equal(out, "1.2.0.192.in-addr.arpa");
	assert_true(dns_reverse_name(&v4, "zen.example", out));
	assert_string_equal(out, "1.2.0.192.zen.example");
	assert_true(dns_reverse_name(&v6, NULL, out));
	assert_string_equal(
		out, "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
	assert_true(dns_reverse_name(&v6, "zen.example.", out));
	assert_false(dns_reverse_name(&none, NULL, out));
	for (unsigned i = 0; i < sizeof(zone); i++)
		zone[i] = i % 2 ? '.' : 'x';
	zone[239] = '\0';
	assert_true(dns_reverse_name(&v4, zone, out));
	assert_false(dns_reverse_name(&v6, zone, out));
	zone[239] = '.';
	zone[299] = '\0';
	assert_false(dns_reverse_name(&v4, zone, out));
}

/* --- packets that libunbound would not make --- */

static enum dns_outcome read_packet(const char *bytes, size_t len, enum dns_type type)
{
	struct arena *arena = arena_new(1024);
	struct dns_query query = {.type = type, .arena = arena};
	char *copy = memory_new(len ? len : 1); /* so that a read past its end is seen */

	memcpy(copy, bytes, len);
	dns_answer_read(&query, span_make(copy, len));
	free(copy);
	arena_free(&arena);
	return query.outcome;
}

#define HEADER            "\0\0\x81\x80\0\1\0\1\0\0\0\0"
#define READ(bytes, type) read_packet((bytes), sizeof(bytes) - 1, (type))

static void test_hostile_packets(void **state)
{
	static const char good[] = HEADER "\1a\0\0\x0f\0\1"
					  "\xc0\x0c\0\x0f\0\1\0\0\0\x3c\0\5\0\x0a\1b\0";

	(void)state;
	assert_int_equal(READ(good, DNS_MX), DNS_FOUND);
	for (size_t len = 0; len < sizeof(good) - 1; len++)
		assert_int_not_equal(read_packet(good, len, DNS_MX), DNS_FOUND);
	/* A name that points at itself, forward, or at what points at it. */
	assert_int_equal(READ(HEADER "\xc0\x0c\0\1\0\1", DNS_A), DNS_FAILED);
	assert_int_equal(READ(HEADER "\1a\xc0\x0c\0\1\0\1", DNS_A), DNS_FAILED);
	assert_int_equal(READ(HEADER "\1a\xc0\x30\0\1\0\1", DNS_A), DNS_FAILED);
	/* A label type that is none. */
	assert_int_equal(READ(HEADER "\x41"
				     "a\0\0\1\0\1",
				 DNS_A),
		DNS_FAILED);
	/* Bytes behind the name in rdata. */
	assert_int_equal(READ(HEADER "\1a\0\0\x0c\0\1"
				     "\xc0\x0c\0\x0c\0\1\0\0\0\x3c\0\4\1b\0\0",
				 DNS_PTR),
		DNS_FAILED);
	/* A name that runs out of the rdata. */
	assert_int_equal(READ(HEADER "\1a\0\0\x0c\0\1"
				     "\xc0\x0c\0\x0c\0\1\0\0\0\x3c\0\2\1b\0",
				 DNS_PTR),
		DNS_FAILED);
	/* Records of somebody else, and of another class. */
	assert_int_equal(READ(HEADER "\1a\0\0\1\0\1"
				     "\1b\0\0\1\0\1\0\0\0\x3c\0\4\1\2\3\4",
				 DNS_A),
		DNS_NODATA);
	assert_int_equal(READ(HEADER "\1a\0\0\1\0\1"
				     "\xc0\x0c\0\1\0\3\0\0\0\x3c\0\4\1\2\3\4",
				 DNS_A),
		DNS_NODATA);
	/* An alias to itself ends. */
	assert_int_equal(READ(HEADER "\1a\0\0\1\0\1"
				     "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\xc0\x0c",
				 DNS_A),
		DNS_NODATA);
}

/* The longest name, every byte of it escaped. */
static void test_longest_name(void **state)
{
	struct buffer packet = BUFFER_INIT(1024);
	struct arena *arena = arena_new(1024);
	struct dns_query query = {.type = DNS_A, .arena = arena};

	(void)state;
	assert_true(buffer_add(&packet, SPAN("\0\0\x81\x80\0\1\0\0\0\0\0\0")));
	for (unsigned i = 0; i < 4; i++) {
		unsigned len = i < 3 ? 63 : 61;

		assert_true(buffer_add_char(&packet, (char)len));
		while (len--)
			assert_true(buffer_add_char(&packet, '.'));
	}
	assert_true(buffer_add(&packet, SPAN("\0\0\1\0\1")));
	dns_answer_read(&query, buffer_span(&packet));
	assert_outcome(&query, DNS_NODATA);
	assert_int_equal(query.canonical.len, 250 * 4 + 3);
	assert_null(dns_name_mistake(query.canonical));
	buffer_free(&packet);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_type),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_odd_names),
		cmocka_unit_test(test_malformed_records),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_absence),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_bad_names),
		cmocka_unit_test(test_private_zones),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_dead_server),
		cmocka_unit_test(test_server_comes_back),
		cmocka_unit_test(test_slow_answer),
		cmocka_unit_test(test_second_server),
		cmocka_unit_test(test_ipv6_server),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_thousand),
		cmocka_unit_test(test_shared_question),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_strangers_in_line),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_cancel_answered),
		cmocka_unit_test(test_close_under_way),
		cmocka_unit_test(test_close_in_done),
		cmocka_unit_test(test_ask_in_done),
		cmocka_unit_test(test_dnssec),
		cmocka_unit_test(test_setup),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_no_threads),
		cmocka_unit_test(test_reverse_name),
		cmocka_unit_test(test_hostile_packets),
		cmocka_unit_test(test_longest_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What filters ask DNS for: names of clients and HELO, MX, blocklists and their health. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/filter_play.h"

static struct filter_play *play;

static void client(const char *ip)
{
	assert_true(ip_parse(span_text(ip), &play->view.client.ip));
	play->view.client.port = 4711;
}

static int setup(void **state)
{
	(void)state;
	play = filter_play_new("mail.example.org A 0 192.0.2.7\n"
			       "six.example.org AAAA 0 2001:db8::7\n"
			       "7.2.0.192.in-addr.arpa PTR 0 mail.example.org\n");
	client("192.0.2.7");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	filter_play_free(&play);
	return 0;
}

static const char *rdns(const char *ip)
{
	static const char *const facts[] = {"client.rdns", "client.fcrdns"};

	client(ip);
	return filter_play_measure_all(play, facts, 2);
}

/* --- HELO, MX --- */

static void test_helo_resolves(void **state)
{
	(void)state;
	play->view.helo = SPAN("mail.example.org");
	assert_fact(play, "helo.resolves", "yes");
	play->view.helo = SPAN("six.example.org");
	assert_fact(play, "helo.resolves", "yes");
	play->view.helo = SPAN("nowhere.example.org");
	assert_fact(play, "helo.resolves", "no");
	dns_play_fault(play->names, "broken.example.org", DNS_PLAY_SERVFAIL);
	play->view.helo = SPAN("broken.example.org");
	assert_true(strncmp(filter_play_measure(play, "helo.resolves"), "failed: DNS, A", 14) == 0);
	assert_fact(play, "helo.fqdn", "yes");
}

static const char *mx(const char *mailbox)
{
	struct address from = {.quoted = false};

	if (*mailbox)
		assert_int_equal(address_parse(span_text(mailbox), true, &from), ADDRESS_OK);
	play->view.from = &from;
	return filter_play_measure(play, "mail.mx");
}

static void test_mx(void **state)
{
	(void)state;
	dns_play_zone(play->names, "mx.example MX 0 10 mail.example.org\n"
				   "null.example MX 0 0 .\n"
				   "both.example MX 0 0 .\nboth.example MX 0 10 mail.example.org\n"
				   "only-txt.example TXT 0 \"x\"\n"
				   "xn--bcher-kva.example MX 0 10 mail.example.org\n");
	assert_string_equal(mx("a@mx.example"), "yes");
	assert_string_equal(mx("a@null.example"), "no");
	assert_string_equal(mx("a@both.example"), "yes");
	assert_string_equal(mx("a@mail.example.org"), "yes"); /* an address is enough */
	assert_string_equal(mx("a@six.example.org"), "yes");
	assert_string_equal(mx("a@only-txt.example"), "no");
	assert_string_equal(mx("a@nowhere.example"), "no");
	assert_string_equal(mx("a@[192.0.2.1]"), "yes");
	assert_string_equal(mx("a@b\xc3\xbc"
			       "cher.example"),
		"yes");
	assert_string_equal(mx(""), "none");
	dns_play_fault(play->names, "mx2.example", DNS_PLAY_SERVFAIL);
	assert_non_null(strstr(mx("a@mx2.example"), "failed: DNS, MX of mx2.example: "));
}

/* --- the client's name --- */

static void test_rdns(void **state)
{
	(void)state;
	dns_play_zone(play->names,
		"8.2.0.192.in-addr.arpa PTR 0 mail.example.org\n"
		"9.2.0.192.in-addr.arpa PTR 0 nowhere.example.org\n"
		"10.2.0.192.in-addr.arpa TXT 0 \"no PTR\"\n"
		"11.2.0.192.in-addr.arpa PTR 0 z.example\n"
		"11.2.0.192.in-addr.arpa PTR 0 a.example\n"
		"11.2.0.192.in-addr.arpa PTR 0 m.example\n"
		"m.example A 0 192.0.2.11\nz.example A 0 192.0.2.11\na.example A 0 192.0.2.1\n"
		"12.2.0.192.in-addr.arpa PTR 0 z.example\n"
		"12.2.0.192.in-addr.arpa PTR 0 a.example\n"
		"7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR 0 "
		"six.example.org\n");
	assert_string_equal(rdns("192.0.2.7"), "mail.example.org | pass");
	assert_string_equal(rdns("192.0.2.8"), "mail.example.org | fail");
	assert_string_equal(rdns("192.0.2.9"), "nowhere.example.org | fail");
	assert_string_equal(rdns("192.0.2.10"), "none | none");
	assert_string_equal(rdns("192.0.2.99"), "none | none");
	assert_string_equal(rdns("192.0.2.11"), "m.example | pass");
	assert_string_equal(rdns("192.0.2.12"), "a.example | fail");
	assert_string_equal(rdns("2001:db8::7"), "six.example.org | pass");
	client("192.0.2.12");
	assert_fact(play, "client.rdns", "a.example"); /* whatever else is asked for */
	play->view.client.ip.family = IP_NONE;
	assert_fact(play, "client.fcrdns", "none");
}

static void test_rdns_trouble(void **state)
{
	(void)state;
	dns_play_zone(play->names, "8.2.0.192.in-addr.arpa PTR 0 slow.example\n"
				   "9.2.0.192.in-addr.arpa PTR 0 slow.example\n"
				   "9.2.0.192.in-addr.arpa PTR 0 good.example\n"
				   "good.example A 0 192.0.2.9\n");
	dns_play_fault(play->names, "10.2.0.192.in-addr.arpa", DNS_PLAY_SERVFAIL);
	dns_play_fault(play->names, "slow.example", DNS_PLAY_SERVFAIL);
	assert_non_null(strstr(rdns("192.0.2.10"), "failed: DNS, PTR of 10.2.0.192.in-addr.arpa"));
	/* One name is known, whether it leads back is not. */
	assert_non_null(strstr(rdns("192.0.2.8"), "slow.example | failed: DNS, A of slow.example"));
	assert_string_equal(rdns("192.0.2.9"), "good.example | pass");
	dns_play_fault(play->names, "10.2.0.192.in-addr.arpa", DNS_PLAY_DROP);
	filter_play_abandon(play, "client.rdns");
}

/* --- blocklists --- */

#define GOOD_ZONE                                                                                  \
	"2.0.0.127.zen.test A 0 127.0.0.2\n"                                                       \
	"test.dom.test A 0 127.0.0.2\n"

static void test_dnsbl(void **state)
{
	struct address from;

	(void)state;
	dns_play_zone(play->names, GOOD_ZONE
		"7.2.0.192.zen.test A 0 127.0.0.3\n7.2.0.192.zen.test A 0 127.0.0.10\n"
		"bad.example.dom.test A 0 127.0.1.2\n"
		"7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.test "
		"A 0 127.0.0.4\n");
	assert_int_equal(address_parse(SPAN("joe@bad.example"), false, &from), ADDRESS_OK);
	play->view.from = &from;
	filter_play_slot(play, "dnsbl(\"zen.test\", client.ip)");
	assert_string_equal(filter_play_measure(play, "dnsbl(\"zen.test\", client.ip)"),
		"127.0.0.3, 127.0.0.10");
	client("192.0.2.8");
	assert_fact(play, "dnsbl(\"zen.test\", client.ip)", "none");
	client("2001:db8::7");
	assert_fact(play, "dnsbl(\"zen.test\", client.ip)", "127.0.0.4");
	assert_fact(play, "dnsbl(\"dom.test\", mail.domain)", "127.0.1.2");
	assert_fact(play, "dnsbl(\"dom.test\", mail.from)", "127.0.1.2");
	from = (struct address){.quoted = false};
	assert_fact(play, "dnsbl(\"dom.test\", mail.domain)", "none");
	assert_fact(play, "dnsbl(\"dom.test\", mail.from)", "none");
	assert_fact(play, "dnsbl(\"dom.test\", tls.sni)", "none");
	assert_int_equal(dns_play_count(play->names, "2.0.0.127.zen.test"), 1);
}

/* Only the answers that the list names count; others of the zone are no mistake. */
static void test_dnsbl_codes(void **state)
{
	struct ip_range codes[2];
	size_t slot;

	(void)state;
	dns_play_zone(play->names, GOOD_ZONE "7.2.0.192.zen.test A 0 127.0.0.3\n"
					     "7.2.0.192.zen.test A 0 127.0.0.10\n");
	slot = filter_play_slot(play, "dnsbl(\"zen.test\", client.ip)");
	assert_true(ip_parse(SPAN("127.0.0.2"), &codes[0].first));
	assert_true(ip_parse(SPAN("127.0.0.9"), &codes[0].last));
	codes[1] = codes[0];
	play->slots[slot].codes = codes;
	play->slots[slot].n_codes = 1;
	assert_fact(play, "dnsbl(\"zen.test\", client.ip)", "127.0.0.3");
}

static void test_dnsbl_many(void **state)
{
	char links[40 * 40] = "\r\n";

	(void)state;
	dns_play_zone(play->names, GOOD_ZONE "h3.example.dom.test A 0 127.0.0.2\n"
					     "h35.example.dom.test A 0 127.0.0.8\n");
	for (int i = 0; i < 40; i++)
		sprintf(links + strlen(links), "http://h%d.example/\r\n", i);
	strcat(links, "http://192.0.2.1/\r\n");
	play->content = span_text(links);
	assert_fact(play, "dnsbl(\"dom.test\", url.domain)", "127.0.0.2"); /* 30 are asked */
	assert_int_equal(dns_play_count(play->names, "h29.example.dom.test"), 1);
	assert_int_equal(dns_play_count(play->names, "h30.example.dom.test"), 0);
}

static void expect_off(const char *lines, const char *why)
{
	filter_play_free(&play);
	play = filter_play_new(lines);
	client("192.0.2.7");
	assert_non_null(strstr(filter_play_measure(play, "dnsbl(\"zen.test\", client.ip)"), why));
	assert_true(filter_play_logged(play, "dnsbl_off"));
	assert_int_equal(dns_play_count(play->names, "7.2.0.192.zen.test"), 0);
}

static void test_dnsbl_off(void **state)
{
	(void)state;
	expect_off("2.0.0.127.zen.test A 0 127.0.0.2\n1.0.0.127.zen.test A 0 127.0.0.2\n",
		"zen.test is switched off: it lists what no list may list");
	expect_off("3.0.0.127.zen.test A 0 127.0.0.2\n",
		"zen.test is switched off: it does not list its own test entry");
	expect_off("2.0.0.127.zen.test A 0 192.0.2.1\n",
		"zen.test is switched off: it answers outside of 127.0.0.0/8");
	expect_off("2.0.0.127.zen.test A 0 127.255.255.254\n",
		"zen.test is switched off: it refuses our questions");
}

static void pass(uint64_t ms)
{
	play->loop.clock.offset_ms += ms;
}

/* What the filter itself tells `postern status`. */
static const char *zones_said(void)
{
	static char text[4096];
	struct record r;
	struct span all;

	record_init(&r, true, sizeof(text) - 1);
	filters_status(play->filters, &r);
	all = record_finish(&r);
	memcpy(text, all.at, all.len);
	text[all.len] = '\0';
	record_free(&r);
	return text;
}

/* Switched off, and on again once its test points are right; while it is looked at anew the old
 * state holds. */
static void test_dnsbl_on_again(void **state)
{
	const char *const fact = "dnsbl(\"zen.test\", client.ip)";

	(void)state;
	dns_play_zone(play->names, GOOD_ZONE "1.0.0.127.zen.test A 0 127.0.0.2\n");
	assert_non_null(strstr(filter_play_measure(play, fact), "switched off"));
	dns_play_clear(play->names);
	dns_play_zone(play->names, GOOD_ZONE "7.2.0.192.zen.test A 0 127.0.0.2\n");
	assert_non_null(
		strstr(zones_said(), "\"zones\":[{\"zone\":\"zen.test\",\"of\":\"addresses\","
				     "\"off\":\"it lists what no list may list"));
	pass(9 * 60 * 1000);
	assert_non_null(strstr(filter_play_measure(play, fact), "switched off"));
	assert_int_equal(dns_play_count(play->names, "1.0.0.127.zen.test"), 1);
	pass(2 * 60 * 1000);
	assert_non_null(strstr(filter_play_measure(play, fact), "switched off"));
	DNS_PLAY_UNTIL(play->names, dns_play_count(play->names, "1.0.0.127.zen.test") == 2);
	dns_play_pass(play->names, 50);
	assert_fact(play, fact, "127.0.0.2");
	assert_true(filter_play_logged(play, "dnsbl_on"));
	assert_null(strstr(zones_said(), "\"off\""));
}

static void test_dnsbl_trouble(void **state)
{
	(void)state;
	dns_play_zone(play->names, GOOD_ZONE "7.2.0.192.zen.test A 0 127.0.0.2\n"
					     "8.2.0.192.zen.test A 0 127.255.255.254\n"
					     "9.2.0.192.zen.test A 0 203.0.113.1\n");
	dns_play_fault(play->names, "2.0.0.127.zen.test", DNS_PLAY_SERVFAIL);
	dns_play_fault(play->names, "6.2.0.192.zen.test", DNS_PLAY_SERVFAIL);
	/* The probe tells nothing: the list is taken as it is. */
	assert_fact(play, "dnsbl(\"zen.test\", client.ip)", "127.0.0.2");
	client("192.0.2.6");
	assert_non_null(strstr(filter_play_measure(play, "dnsbl(\"zen.test\", client.ip)"),
		"failed: DNS, A of 6.2.0.192.zen.test"));
	client("192.0.2.8");
	assert_string_equal(filter_play_measure(play, "dnsbl(\"zen.test\", client.ip)"),
		"failed: zen.test: it refuses our questions (127.255.255.x)");
	assert_true(filter_play_logged(play, "dnsbl_broken"));
	client("192.0.2.9");
	assert_non_null(strstr(filter_play_measure(play, "dnsbl(\"zen.test\", client.ip)"),
		"failed: zen.test: it answers outside of 127.0.0.0/8"));
	assert_false(filter_play_logged(play, "dnsbl_broken")); /* once a minute */
	assert_non_null(
		strstr(zones_said(), "{\"zone\":\"zen.test\",\"of\":\"addresses\",\"broken\":2}"));
}

/* A list that names nearly everybody is asked at once whether it is sound. */
static void test_dnsbl_everybody(void **state)
{
	char line[80], ip[40];

	(void)state;
	dns_play_zone(play->names, GOOD_ZONE);
	for (int i = 0; i < 100; i++) {
		snprintf(line, sizeof(line), "%d.9.0.10.zen.test A 0 127.0.0.2\n", i);
		dns_play_zone(play->names, line);
	}
	for (int i = 0; i < 98; i++) {
		snprintf(ip, sizeof(ip), "10.0.9.%d", i);
		client(ip);
		assert_fact(play, "dnsbl(\"zen.test\", client.ip)", "127.0.0.2");
	}
	assert_int_equal(dns_play_count(play->names, "2.0.0.127.zen.test"), 2); /* all is well */
	dns_play_zone(play->names, "1.0.0.127.zen.test A 0 127.0.0.2\n");
	for (int i = 0; i < 30; i++) /* known ones don't count again */
		assert_fact(play, "dnsbl(\"zen.test\", client.ip)", "127.0.0.2");
	assert_int_equal(dns_play_count(play->names, "2.0.0.127.zen.test"), 2);
}

static void test_dnsbl_unprobed(void **state)
{
	(void)state;
	assert_null(filter_play_configure(play, "dnsbl", "probe 0s"));
	dns_play_zone(play->names, "7.2.0.192.zen.test A 0 127.0.0.2\n");
	assert_fact(play, "dnsbl(\"zen.test\", client.ip)", "127.0.0.2");
	assert_int_equal(dns_play_count(play->names, "2.0.0.127.zen.test"), 0);
}

/* Dropped while the probe is under way, and closed before it is back. */
static void test_dnsbl_abandon(void **state)
{
	(void)state;
	dns_play_fault(play->names, NULL, DNS_PLAY_DROP);
	filter_play_abandon(play, "dnsbl(\"zen.test\", client.ip)");
	filter_play_abandon(play, "dnsbl(\"zen.test\", client.ip)");
}

static void test_no_dns(void **state)
{
	(void)state;
	filter_play_free(&play);
	play = filter_play_new(NULL);
	client("192.0.2.7");
	assert_string_equal(rdns("192.0.2.7"),
		"failed: DNS, PTR of 7.2.0.192.in-addr.arpa: there is "
		"no DNS here | failed: DNS, PTR of "
		"7.2.0.192.in-addr.arpa: there is no DNS here");
	assert_fact(play, "dnsbl(\"zen.test\", client.ip)", "failed: there is no DNS here");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_helo_resolves),
		CASE(test_mx),
		CASE(test_rdns),
		CASE(test_rdns_trouble),
		CASE(test_dnsbl),
		CASE(test_dnsbl_codes),
		CASE(test_dnsbl_many),
		CASE(test_dnsbl_off),
		CASE(test_dnsbl_on_again),
		CASE(test_dnsbl_trouble),
		CASE(test_dnsbl_everybody),
		CASE(test_dnsbl_unprobed),
		CASE(test_dnsbl_abandon),
		CASE(test_no_dns),
	};

	return cmocka_run_group_tests_name("filters/dns", tests, NULL, NULL);
}

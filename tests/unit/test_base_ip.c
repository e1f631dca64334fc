/*
 * Addresses and networks: one form for IPv4 however it comes, and bits at each border.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/ip.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text, *shown; /* shown NULL: refused */
	} cases[] = {
		{"192.0.2.1", "192.0.2.1"},
		{"2001:DB8::1", "2001:db8::1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"::FFFF:c000:0201", "192.0.2.1"},
		{"::", "::"},
		{"0.0.0.0", "0.0.0.0"},
		{"", NULL},
		{"192.0.2", NULL},
		{"192.0.2.01", NULL},
		{"192.0.2.256", NULL},
		{"192.0.2.1 ", NULL},
		{"[2001:db8::1]", NULL},
		{"fe80::1%eth0", NULL},
		{"1::2::3", NULL},
		{"0x7f.1", NULL},
		{"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char text[IP_TEXT_SIZE];
		struct ip ip;

		if (ip_parse(span_text(cases[i].text), &ip) != (cases[i].shown != NULL))
			fail_msg("'%s'", cases[i].text);
		if (cases[i].shown)
			assert_string_equal(ip_format(&ip, text), cases[i].shown);
	}
	assert_false(ip_parse(SPAN("192.0.2.1\0"), &(struct ip){IP_NONE, {0}}));
	assert_false(ip_parse(SPAN_NONE, &(struct ip){IP_NONE, {0}}));
}

static void test_networks(void **state)
{
	static const struct {
		const char *net, *inside, *outside;
		bool host_bits;
	} cases[] = {
		{"192.0.2.0/24", "192.0.2.255", "192.0.3.0", false},
		{"192.0.2.7/24", "192.0.2.0", "192.0.1.255", true},
		{"192.0.2.128/25", "192.0.2.128", "192.0.2.127", false},
		{"192.0.2.1", "192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1/32", "192.0.2.1", "192.0.2.0", false},
		{"192.0.2.4/31", "192.0.2.5", "192.0.2.6", false},
		{"0.0.0.0/0", "255.1.2.3", "2001:db8::1", false},
		{"128.0.0.0/1", "255.1.2.3", "127.255.255.255", false},
		{"2001:db8::/32", "2001:db8:ffff::1", "2001:db9::", false},
		{"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::", false},
		{"2001:db8::1", "2001:db8::1", "2001:db8::2", false},
		{"::/0", "2001:db8::1", "192.0.2.1", false},
		{"::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.9", false},
		{"::ffff:0.0.0.0/96", "203.0.113.9", "2001:db8::1", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ip inside, outside;
		struct cidr net;
		bool host_bits;

		assert_true(cidr_parse(span_text(cases[i].net), &net, &host_bits));
		assert_int_equal(host_bits, cases[i].host_bits);
		assert_true(ip_parse(span_text(cases[i].inside), &inside));
		assert_true(ip_parse(span_text(cases[i].outside), &outside));
		if (!cidr_contains(&net, &inside) || cidr_contains(&net, &outside))
			fail_msg("%s", cases[i].net);
	}
}

static void test_bad_networks(void **state)
{
	static const char *const bad[] = {"", "/", "/24", "192.0.2.0/", "192.0.2.0/33",
		"192.0.2.0/-1", "192.0.2.0/24/24", "192.0.2.0/ 24", "2001:db8::/129",
		"::ffff:192.0.2.0/95", "::ffff:192.0.2.0/129", "mx.example.net/24"};
	struct cidr net;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (cidr_parse(span_text(bad[i]), &net, NULL))
			fail_msg("'%s' was taken", bad[i]);
}

static void test_sets(void **state)
{
	struct cidr items[2];
	struct cidr_set set = {items, 2}, none = {NULL, 0};
	struct ip ip;

	(void)state;
	assert_true(cidr_parse(SPAN("192.0.2.0/24"), &items[0], NULL));
	assert_true(cidr_parse(SPAN("2001:db8::/32"), &items[1], NULL));
	assert_true(ip_parse(SPAN("2001:db8::1"), &ip));
	assert_true(cidr_set_contains(&set, &ip));
	assert_false(cidr_set_contains(&none, &ip));
	assert_true(ip_parse(SPAN("198.51.100.1"), &ip));
	assert_false(cidr_set_contains(&set, &ip));
}

static void test_around(void **state)
{
	char text[IP_TEXT_SIZE];
	struct cidr net;
	struct ip ip;

	(void)state;
	assert_true(ip_parse(SPAN("2001:db8:1:2:3:4:5:6"), &ip));
	net = cidr_around(&ip, 64);
	assert_string_equal(ip_format(&net.ip, text), "2001:db8:1:2::");
	assert_true(cidr_contains(&net, &ip));
}

static void test_endpoints(void **state)
{
	static const char *const good[] = {
		"192.0.2.1:25", "[2001:db8::1]:25", "0.0.0.0:0", "[::]:65535"};
	static const char *const bad[] = {"", ":", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536",
		"2001:db8::1:25", "[2001:db8::1]", "[2001:db8::1]25", "[2001:db8::1", "[]:25", "[",
		"mx:25"};
	struct endpoint e, again;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct sockaddr_storage address;
		char text[IP_TEXT_SIZE];

		assert_true(endpoint_parse(span_text(good[i]), &e));
		assert_string_equal(endpoint_format(&e, text), good[i]);
		assert_true(endpoint_sockaddr(&e, &address) > 0);
		again = endpoint_of((struct sockaddr *)&address);
		assert_true(ip_equal(&again.ip, &e.ip) && again.port == e.port);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (endpoint_parse(span_text(bad[i]), &e))
			fail_msg("'%s' was taken", bad[i]);
}

static void test_unknown_endpoint(void **state)
{
	struct sockaddr_storage address = {.ss_family = AF_UNIX};
	struct endpoint e = endpoint_of((struct sockaddr *)&address);
	char text[IP_TEXT_SIZE];

	(void)state;
	assert_int_equal(e.ip.family, IP_NONE);
	assert_int_equal(endpoint_sockaddr(&e, &address), 0);
	assert_string_equal(ip_format(&e.ip, text), "unknown");
}

/* An IPv4 client on a dual-stack socket. */
static void test_mapped_sockaddr(void **state)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(25)};
	char text[IP_TEXT_SIZE];
	struct endpoint e;

	(void)state;
	memcpy(&in6.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01", 16);
	e = endpoint_of((struct sockaddr *)&in6);
	assert_string_equal(endpoint_format(&e, text), "192.0.2.1:25");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_bad_networks),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_around),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_unknown_endpoint),
		cmocka_unit_test(test_mapped_sockaddr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

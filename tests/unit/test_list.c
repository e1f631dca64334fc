/* Lists: what each type takes, what matches what, and prefixes against a naive scan. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "policy/list.h"

/* --- helpers --- */

static void add(struct list *list, const char *item, const char *reason)
{
	struct err err = {""};
	enum list_added added = list_add(list, span_text(item), span_text(reason), &err);

	if (added != LIST_ADDED)
		fail_msg("%s: %s", item, err.text);
}

/* A sealed list of items, the reason of each is "N" for the Nth. */
static struct list *list_of(enum list_type type, const char *const *items, size_t count)
{
	struct list *list = list_new(type, NULL, NULL);
	char number[24];

	for (size_t i = 0; i < count; i++) {
		snprintf(number, sizeof(number), "%zu", i + 1);
		add(list, items[i], number);
	}
	list_seal(list);
	return list;
}

#define LIST_OF(type, ...)                                                                         \
	list_of(type, (const char *const[]){__VA_ARGS__},                                          \
		COUNT_OF(((const char *const[]){__VA_ARGS__})))

static void expect_hit(bool matched, const struct list_hit *hit, const char *what, const char *item)
{
	if (!item && matched)
		fail_msg("%s matches `%.*s`", what, SPAN_ARGS(hit->item));
	if (item && !matched)
		fail_msg("%s does not match `%s`", what, item);
	if (item && !span_equal(hit->item, span_text(item)))
		fail_msg("%s matches `%.*s`, not `%s`", what, SPAN_ARGS(hit->item), item);
}

static struct ip ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(span_text(text), &ip));
	return ip;
}

/* item: as written, NULL for no match. */
static void expect_ip(const struct list *list, const char *address, const char *item)
{
	struct ip ip = ip_of(address);
	struct list_hit hit;
	bool matched = list_match_ip(list, &ip, &hit);

	expect_hit(matched, &hit, address, item);
	assert_int_equal(list_match_ip(list, &ip, NULL), matched);
}

static void expect_text(const struct list *list, const char *text, const char *item)
{
	struct list_hit hit;
	bool matched = list_match_text(list, span_text(text), &hit);

	expect_hit(matched, &hit, text, item);
	assert_int_equal(list_match_text(list, span_text(text), NULL), matched);
}

static void expect_under(const struct list *list, const char *domain, const char *item)
{
	struct list_hit hit;
	bool matched = list_match_under(list, span_text(domain), &hit);

	expect_hit(matched, &hit, domain, item);
	assert_int_equal(list_match_under(list, span_text(domain), NULL), matched);
}

static void expect_refused(enum list_type type, const char *item, const char *why)
{
	struct list *list = list_new(type, NULL, NULL);
	struct err err = {""};

	assert_int_equal(list_add(list, span_text(item), SPAN_NONE, &err), LIST_REFUSED);
	assert_string_equal(err.text, why);
	list_seal(list);
	assert_int_equal(list_count(list), 0);
	list_free(&list);
	assert_null(list);
}

/* --- types --- */

static void test_type_names(void **state)
{
	enum list_type type;

	(void)state;
	for (int i = LIST_CIDR; i <= LIST_HASH; i++) {
		const char *name = list_type_name((enum list_type)i);

		assert_true(list_type_parse(span_text(name), &type));
		assert_int_equal(type, i);
	}
	assert_string_equal(list_type_name(LIST_MAIL), "mail");
	assert_false(list_type_parse(SPAN("cidrs"), &type));
	assert_false(list_type_parse(SPAN(""), &type));
}

static void test_empty_lists_match_nothing(void **state)
{
	(void)state;
	for (int i = LIST_CIDR; i <= LIST_TEXT; i++) {
		struct list *list = list_new((enum list_type)i, NULL, NULL);

		list_seal(list);
		assert_int_equal(list_count(list), 0);
		if (i <= LIST_IP)
			expect_ip(list, "192.0.2.1", NULL);
		else
			expect_text(list, "example.com", NULL);
		list_free(&list);
	}
}

/* --- addresses --- */

static void test_longest_prefix_wins(void **state)
{
	struct list *list = LIST_OF(LIST_CIDR, "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24",
		"10.1.2.3", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::1");

	(void)state;
	assert_int_equal(list_count(list), 7);
	expect_ip(list, "10.255.255.255", "10.0.0.0/8");
	expect_ip(list, "10.1.255.1", "10.1.0.0/16");
	expect_ip(list, "10.1.2.2", "10.1.2.0/24");
	expect_ip(list, "10.1.2.3", "10.1.2.3");
	expect_ip(list, "10.1.2.4", "10.1.2.0/24");
	expect_ip(list, "10.1.3.0", "10.1.0.0/16");
	expect_ip(list, "10.2.0.0", "10.0.0.0/8");
	expect_ip(list, "9.255.255.255", NULL);
	expect_ip(list, "11.0.0.0", NULL);
	expect_ip(list, "::ffff:10.1.2.3", "10.1.2.3");
	expect_ip(list, "2001:db8:1::1", "2001:db8:1::1");
	expect_ip(list, "2001:db8:1::2", "2001:db8:1::/48");
	expect_ip(list, "2001:db8:2::", "2001:db8::/32");
	expect_ip(list, "2001:db9::", NULL);
	list_free(&list);
}

static void test_whole_families(void **state)
{
	struct list *four = LIST_OF(LIST_CIDR, "0.0.0.0/0", "255.255.255.255/32");
	struct list *six =
		LIST_OF(LIST_CIDR, "::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff::/16");

	(void)state;
	expect_ip(four, "0.0.0.0", "0.0.0.0/0");
	expect_ip(four, "255.255.255.254", "0.0.0.0/0");
	expect_ip(four, "255.255.255.255", "255.255.255.255/32");
	expect_ip(four, "::", NULL);
	expect_ip(six, "::", "::/0");
	expect_ip(six, "fffe::1", "::/0");
	expect_ip(six, "ffff::1", "ffff::/16");
	expect_ip(six, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	expect_ip(six, "192.0.2.1", NULL);
	list_free(&four);
	list_free(&six);
}

static void test_no_address_matches_nothing(void **state)
{
	struct list *list = LIST_OF(LIST_CIDR, "0.0.0.0/0", "::/0");
	struct ip none = {.family = IP_NONE};

	(void)state;
	assert_false(list_match_ip(list, &none, NULL));
	list_free(&list);
}

static void test_addresses_match_exactly(void **state)
{
	struct list *list = LIST_OF(LIST_IP, "192.0.2.1", "2001:DB8::1", "192.0.2.3/32");

	(void)state;
	expect_ip(list, "192.0.2.1", "192.0.2.1");
	expect_ip(list, "192.0.2.2", NULL);
	expect_ip(list, "192.0.2.3", "192.0.2.3/32");
	expect_ip(list, "2001:db8:0::1", "2001:DB8::1");
	list_free(&list);
}

static void test_host_bits_are_told(void **state)
{
	struct list *list = list_new(LIST_CIDR, NULL, NULL);
	struct err err = {""};

	(void)state;
	assert_int_equal(list_add(list, SPAN("192.0.2.77/24"), SPAN_NONE, &err), LIST_MENDED);
	assert_string_equal(err.text,
		"`192.0.2.77/24` has bits set behind its prefix, it is read as `192.0.2.0/24`");
	list_seal(list);
	expect_ip(list, "192.0.2.1", "192.0.2.77/24");
	list_free(&list);
}

static void test_bad_addresses(void **state)
{
	(void)state;
	expect_refused(LIST_CIDR, "10.0.0.300", "`10.0.0.300` is no address or network");
	expect_refused(LIST_CIDR, "example.com", "`example.com` is no address or network");
	expect_refused(LIST_CIDR, "10.0.0.0/33", "`10.0.0.0/33` has no prefix length of 0 to 32");
	expect_refused(
		LIST_CIDR, "2001:db8::/129", "`2001:db8::/129` has no prefix length of 0 to 128");
	expect_refused(LIST_CIDR, "", "an item is empty");
	expect_refused(LIST_IP, "10.0.0.0/8",
		"`10.0.0.0/8` is a network; a list of networks is of type cidr");
	expect_refused(LIST_IP, "10", "`10` is no address");
}

/* --- prefixes against a naive scan --- */

enum { PREFIXES = 400, PROBES = 4000 };

static uint64_t next_random(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

/* Few different bytes, so that prefixes nest and touch. */
static struct ip random_ip(uint64_t *random, enum ip_family family)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
	struct ip ip = {.family = family};

	for (unsigned i = 0; i < (family == IP_V4 ? 4U : 16U); i++)
		ip.bytes[i] = bytes[next_random(random) % COUNT_OF(bytes)];
	if (family == IP_V6 && next_random(random) % 2)
		memset(ip.bytes, 0xff, next_random(random) % 17);
	else if (family == IP_V6)
		ip.bytes[0] |= 0x20; /* never a mapped IPv4 address */
	return ip;
}

static enum ip_family random_family(uint64_t *random)
{
	return next_random(random) % 2 ? IP_V4 : IP_V6;
}

static const struct cidr *naive_find(const struct cidr *nets, size_t count, const struct ip *ip)
{
	const struct cidr *best = NULL;

	for (size_t i = 0; i < count; i++)
		if (cidr_contains(&nets[i], ip) &&
			(!best || nets[i].prefix_bits >= best->prefix_bits))
			best = &nets[i];
	return best;
}

static struct list *random_list(uint64_t *random, struct cidr *nets, size_t count)
{
	struct list *list = list_new(LIST_CIDR, NULL, NULL);
	char text[IP_TEXT_SIZE], item[IP_TEXT_SIZE + 8], number[24];

	for (size_t i = 0; i < count; i++) {
		struct ip ip = random_ip(random, random_family(random));
		unsigned width = ip.family == IP_V4 ? 32 : 128;

		nets[i] = cidr_around(&ip, (uint8_t)(next_random(random) % (width + 1)));
		snprintf(item, sizeof(item), "%s/%u", ip_format(&nets[i].ip, text),
			nets[i].prefix_bits);
		snprintf(number, sizeof(number), "%zu", i);
		add(list, item, number);
	}
	list_seal(list);
	return list;
}

/* An address at an edge of some prefix, or anywhere. */
static struct ip random_probe(uint64_t *random, const struct cidr *nets, size_t count)
{
	struct ip ip = random_ip(random, random_family(random));

	if (next_random(random) % 2) {
		const struct cidr *net = &nets[next_random(random) % count];
		unsigned last = net->ip.family == IP_V4 ? 3 : 15;

		ip = net->ip;
		if (next_random(random) % 2)
			for (unsigned bit = net->prefix_bits; bit < (last + 1) * 8; bit++)
				ip.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
		ip.bytes[last] = (uint8_t)(ip.bytes[last] + next_random(random) % 3 - 1);
	}
	return ip;
}

static void compare_with_naive(uint64_t seed)
{
	static struct cidr nets[PREFIXES];
	uint64_t random = seed;
	size_t count = 1 + next_random(&random) % PREFIXES, hits = 0;
	struct list *list = random_list(&random, nets, count);

	for (int i = 0; i < PROBES; i++) {
		struct ip ip = random_probe(&random, nets, count);
		const struct cidr *best = naive_find(nets, count, &ip);
		struct list_hit hit;
		uint64_t number;

		assert_int_equal(list_match_ip(list, &ip, &hit), best != NULL);
		if (!best)
			continue;
		hits++;
		assert_true(span_number(hit.reason, count, &number));
		/* Of a prefix that is there twice the last one. */
		assert_ptr_equal(&nets[number], best);
	}
	assert_true(hits > 0);
	list_free(&list);
}

static void test_prefixes_like_a_naive_scan(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++)
		compare_with_naive(seed * 0x9e3779b97f4a7c15ULL);
}

/* Each prefix length of both families, one inside the other. */
static void test_prefixes_of_all_lengths(void **state)
{
	struct list *list = list_new(LIST_CIDR, NULL, NULL);
	char text[IP_TEXT_SIZE], item[IP_TEXT_SIZE + 8];
	struct ip four = ip_of("170.170.170.170"),
		  six = ip_of("aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa");

	(void)state;
	for (unsigned bits = 0; bits <= 160; bits++) {
		struct cidr net = bits <= 128 ? cidr_around(&six, (uint8_t)bits)
					      : cidr_around(&four, (uint8_t)(bits - 128));

		snprintf(item, sizeof(item), "%s/%u", ip_format(&net.ip, text), net.prefix_bits);
		add(list, item, "");
	}
	list_seal(list);
	assert_int_equal(list_count(list), 161);
	for (unsigned bits = 0; bits < 128; bits++) {
		struct ip ip = six;
		struct list_hit hit;

		/* The first bit that differs says how long the prefix is that still covers it. */
		ip.bytes[bits / 8] ^= (uint8_t)(0x80 >> bits % 8);
		assert_true(list_match_ip(list, &ip, &hit));
		snprintf(item, sizeof(item), "/%u", bits);
		assert_true(span_ends_nocase(hit.item, span_text(item)));
	}
	list_free(&list);
}

/* --- domains, mail, text --- */

static void test_domains(void **state)
{
	struct list *list = LIST_OF(LIST_DOMAIN, "Example.COM", ".sub.example", "*.star.example",
		"dot.example.",
		"b\xc3\xbc"
		"cher.example",
		"_dmarc.under.example", "com");

	(void)state;
	expect_text(list, "example.com", "Example.COM");
	expect_text(list, "EXAMPLE.com.", "Example.COM");
	expect_text(list, "www.example.com", NULL);
	expect_text(list, "a.sub.example", ".sub.example");
	expect_text(list, "a.b.Sub.Example", ".sub.example");
	expect_text(list, "sub.example", NULL);
	expect_text(list, ".sub.example", NULL);
	expect_text(list, "xsub.example", NULL);
	expect_text(list, "a.star.example", "*.star.example");
	expect_text(list, "star.example", NULL);
	expect_text(list, "dot.example", "dot.example.");
	expect_text(list,
		"b\xc3\xbc"
		"cher.example",
		"b\xc3\xbc"
		"cher.example");
	expect_text(list, "", NULL);
	expect_text(list, ".", NULL);
	list_free(&list);
}

static void test_domains_under(void **state)
{
	struct list *list =
		LIST_OF(LIST_DOMAIN, "example.com", ".example.com", "com", ".sub.example");

	(void)state;
	expect_under(list, "example.com", "example.com");
	expect_under(list, "Example.com.", "example.com");
	expect_under(list, "a.example.com", ".example.com");
	expect_under(list, "other.com", "com");
	expect_under(list, "com", "com");
	expect_under(list, "xcom", NULL);
	expect_under(list, "sub.example", NULL);
	expect_under(list, "a.b.c.d.e.f.g.sub.example", ".sub.example");
	expect_under(list, "", NULL);
	expect_under(list, "...", NULL);
	list_free(&list);
}

static void test_bad_domains(void **state)
{
	char label[80];

	(void)state;
	expect_refused(LIST_DOMAIN, "a..b", "`a..b` is no domain");
	expect_refused(LIST_DOMAIN, ".", "`.` is no domain");
	expect_refused(LIST_DOMAIN, "*.", "`*.` is no domain");
	expect_refused(LIST_DOMAIN, "a b", "`a b` is no domain");
	expect_refused(LIST_DOMAIN, "a.*.b", "`a.*.b` is no domain");
	expect_refused(LIST_DOMAIN, "user@example.com",
		"`user@example.com` is a mail address, this is a list of domains");
	expect_refused(LIST_DOMAIN, "2001:db8::1",
		"`2001:db8::1` is an address, this is a list of domains");
	memset(label, 'a', 64);
	label[64] = '\0';
	expect_refused(LIST_DOMAIN, label,
		"`aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` is no domain");
}

static void test_mail(void **state)
{
	struct list *list = LIST_OF(LIST_MAIL, "User@Example.com", "@example.com", "@.example.com",
		"<angle@example.net>", "*@star.example", "\"j d\"@quoted.example", "<>",
		"postmaster", "x@[192.0.2.1]", "@[192.0.2.2]", "a#b@hash.example");

	(void)state;
	expect_text(list, "user@example.com", "User@Example.com");
	expect_text(list, "USER@EXAMPLE.COM", "User@Example.com");
	expect_text(list, "other@example.com", "@example.com");
	expect_text(list, "other@a.example.com", "@.example.com");
	expect_text(list, "other@a.b.example.com", "@.example.com");
	expect_text(list, "other@xexample.com", NULL);
	expect_text(list, "a@b@example.com", "@example.com");
	expect_text(list, "angle@example.net", "<angle@example.net>");
	expect_text(list, "angles@example.net", NULL);
	expect_text(list, "any@star.example", "*@star.example");
	expect_text(list, "\"J D\"@quoted.example", "\"j d\"@quoted.example");
	expect_text(list, "", "<>");
	expect_text(list, "<>", "<>");
	expect_text(list, "postmaster", "postmaster");
	expect_text(list, "Postmaster@example.net", NULL);
	expect_text(list, "x@[192.0.2.1]", "x@[192.0.2.1]");
	expect_text(list, "y@[192.0.2.2]", "@[192.0.2.2]");
	expect_text(list, "a#b@hash.example", "a#b@hash.example");
	expect_text(list, "nobody", NULL);
	expect_text(list, "@", NULL);
	expect_text(list, "x@.", NULL);
	list_free(&list);
}

static void test_bad_mail(void **state)
{
	(void)state;
	expect_refused(LIST_MAIL, "example.com",
		"`example.com` is no mail address; `@example.com` stands for all of that domain");
	expect_refused(LIST_MAIL, "*.example.com",
		"`*.example.com` is no mail address; `@.example.com` stands for all of that "
		"domain");
	expect_refused(LIST_MAIL, "@*.example.com",
		"`@*.example.com`: all subdomains are written `@.example.com`");
	expect_refused(LIST_MAIL, "a b@example.com", "`a b@example.com` is no mail address");
	expect_refused(LIST_MAIL, "user@", "`user@` is no mail address");
	expect_refused(LIST_MAIL, "@", "`@` is no mail address");
	expect_refused(LIST_MAIL, "u@.example.com", "`u@.example.com` is no mail address");
	expect_refused(LIST_MAIL, "a@b@example.com", "`a@b@example.com` is no mail address");
}

static void test_text(void **state)
{
	struct list *list = LIST_OF(LIST_TEXT, "exe", "Buy Now", "\xc3\x84");

	(void)state;
	expect_text(list, "EXE", "exe");
	expect_text(list, "buy now", "Buy Now");
	expect_text(list, "buy  now", NULL);
	expect_text(list, "ex", NULL);
	expect_text(list, "exe.", NULL);
	expect_text(list, "", NULL);
	expect_text(list, "\xc3\x84", "\xc3\x84");
	expect_text(list, "\xc3\xa4", NULL); /* ASCII only */
	list_free(&list);
}

static void test_bad_text(void **state)
{
	(void)state;
	expect_refused(
		LIST_TEXT, "a\tb", "an item holds a control character, or bytes that are no UTF-8");
	expect_refused(LIST_TEXT, "a\xff",
		"an item holds a control character, or bytes that are no UTF-8");
}

static void test_lengths(void **state)
{
	struct list *list = list_new(LIST_TEXT, NULL, NULL);
	static char text[LIST_ITEM_MAX + 2], reason[LIST_REASON_MAX + 10];
	struct list_hit hit;
	struct err err;

	(void)state;
	memset(text, 'x', sizeof(text));
	memset(reason, 'r', sizeof(reason));
	memcpy(reason + LIST_REASON_MAX - 1, "\xc3\xa4", 2);
	assert_int_equal(list_add(list, span_make(text, LIST_ITEM_MAX),
				 span_make(reason, sizeof(reason)), &err),
		LIST_ADDED);
	assert_int_equal(
		list_add(list, span_make(text, LIST_ITEM_MAX + 1), SPAN_NONE, &err), LIST_REFUSED);
	assert_string_equal(err.text, "an item has 1025 bytes, at most 1024 are allowed");
	list_seal(list);
	assert_true(list_match_text(list, span_make(text, LIST_ITEM_MAX), &hit));
	assert_int_equal(hit.reason.len, LIST_REASON_MAX - 1);
	assert_false(list_match_text(list, span_make(text, LIST_ITEM_MAX + 1), &hit));
	list_free(&list);
}

/* An item that stands twice is one, and the last one holds. */
static void test_last_of_two_holds(void **state)
{
	static const struct {
		enum list_type type;
		const char *first, *second;
	} cases[] = {
		{LIST_CIDR, "192.0.2.0/24", "192.0.2.0/024"},
		{LIST_IP, "2001:db8::1", "2001:DB8:0::1"},
		{LIST_DOMAIN, "example.com", "Example.com."},
		{LIST_DOMAIN, ".example.com", "*.example.com"},
		{LIST_MAIL, "a@example.com", "<A@example.com>"},
		{LIST_TEXT, "some text", "SOME TEXT"},
	};
	struct list_hit hit;
	struct ip four = ip_of("192.0.2.1"), six = ip_of("2001:db8::1");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct list *list = LIST_OF(cases[i].type, cases[i].first, cases[i].second);
		bool found;

		assert_int_equal(list_count(list), 1);
		if (cases[i].type == LIST_CIDR || cases[i].type == LIST_IP)
			found = list_match_ip(list, &four, &hit) || list_match_ip(list, &six, &hit);
		else if (cases[i].first[0] == '.')
			found = list_match_text(list, SPAN("a.example.com"), &hit);
		else
			found = list_match_text(list, span_text(cases[i].first), &hit);
		expect_hit(found, &hit, cases[i].first, cases[i].second);
		assert_true(span_equal(hit.reason, SPAN("2")));
		list_free(&list);
	}
}

/* --- hashes --- */

/* Stands in for a digest: the text itself, filled up with zeros; SHA-1 "is not there". */
static bool digest_play(unsigned digits, struct span text, char *hex)
{
	if (digits == 40)
		return false;
	memset(hex, '0', digits);
	memcpy(hex, text.at, text.len < digits ? text.len : digits);
	return true;
}

static void test_hashes(void **state)
{
	static const char md5[] = "abc00000000000000000000000000000";
	static const char sha256[] =
		"ABCD000000000000000000000000000000000000000000000000000000000000";
	struct list *list = list_new(LIST_HASH, digest_play, NULL);
	static char text[LIST_HASHED_MAX + 1];
	struct err err;

	(void)state;
	add(list, md5, "short");
	add(list, sha256, "long");
	assert_int_equal(
		list_add(list, SPAN("0123456789012345678901234567890123456789"), SPAN_NONE, &err),
		LIST_REFUSED);
	assert_string_equal(err.text, "hashes of 40 digits can't be computed here");
	assert_int_equal(list_add(list, SPAN("abc"), SPAN_NONE, &err), LIST_REFUSED);
	assert_string_equal(
		err.text, "`abc` has 3 digits; MD5 has 32, SHA-1 has 40, SHA-256 has 64");
	assert_int_equal(list_add(list, SPAN("xyz"), SPAN_NONE, &err), LIST_REFUSED);
	assert_string_equal(err.text, "`xyz` is no hash: those are hex digits");
	list_seal(list);
	assert_int_equal(list_count(list), 2);
	expect_text(list, "ABC", md5);
	expect_text(list, "abcd", sha256);
	expect_text(list, "abcde", NULL);
	memset(text, '0', sizeof(text));
	memcpy(text, "abc", 3);
	assert_true(list_match_text(list, span_make(text, LIST_HASHED_MAX), NULL));
	assert_false(list_match_text(list, span_make(text, LIST_HASHED_MAX + 1), NULL));
	list_free(&list);
}

/* --- domains in ASCII --- */

/* Stands in for IDNA: x for each byte beyond ASCII; a name with ß is none. */
static bool ascii_play(struct span domain, struct buffer *out)
{
	if (span_find(domain, SPAN("ß")) < domain.len)
		return false;
	for (size_t i = 0; i < domain.len; i++)
		if (!buffer_add_char(out, (unsigned char)domain.at[i] > 127 ? 'x' : domain.at[i]))
			return false;
	return true;
}

static void test_domains_are_kept_in_ascii(void **state)
{
	struct list *domains = list_new(LIST_DOMAIN, NULL, ascii_play);
	struct list *mails = list_new(LIST_MAIL, NULL, ascii_play);
	struct list *texts = list_new(LIST_TEXT, NULL, ascii_play);
	struct err err;

	(void)state;
	add(domains, "bü.example", "1");
	add(domains, "*.cü.example", "2");
	assert_int_equal(list_add(domains, SPAN("ß.example"), SPAN_NONE, &err), LIST_REFUSED);
	assert_string_equal(
		err.text, "the domain of `ß.example` can't be written in ASCII (xn--...)");
	list_seal(domains);
	expect_text(domains, "bxx.example", "bxx.example");
	expect_text(domains, "a.cxx.example", "*.cxx.example");
	add(mails, "<ü@bü.example>", "3");
	add(mails, "*@cü.example", "4");
	add(mails, "@.dü.example", "5");
	list_seal(mails);
	expect_text(mails, "ü@bxx.example", "<ü@bxx.example>");
	expect_text(mails, "any@cxx.example", "*@cxx.example");
	expect_text(mails, "any@a.dxx.example", "@.dxx.example");
	add(texts, "bü.example", "6");
	list_seal(texts);
	expect_text(texts, "bü.example", "bü.example");
	list_free(&domains);
	list_free(&mails);
	list_free(&texts);
}

/* --- many --- */

enum { MANY = 100000 };

static void test_many_texts(void **state)
{
	struct list *list = list_new(LIST_DOMAIN, NULL, NULL);
	char text[64];

	(void)state;
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "host%d.example", i);
		add(list, text, "r");
	}
	list_seal(list);
	assert_int_equal(list_count(list), MANY);
	for (int i = 0; i < MANY; i += 7) {
		snprintf(text, sizeof(text), "host%d.example", i);
		expect_text(list, text, text);
		snprintf(text, sizeof(text), "host%d.example", MANY + i);
		expect_text(list, text, NULL);
	}
	/* 19 bytes of text and reason, doubled at worst, the rest at most 35. */
	assert_true(list_size(list) < (size_t)MANY * (2 * 19 + 35));
	list_free(&list);
}

static struct list *many_networks(unsigned prefix_bits)
{
	struct list *list = list_new(LIST_CIDR, NULL, NULL);
	char text[64];

	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "%d.%d.%d.0/%u", 1 + i / 65536, i / 256 % 256, i % 256,
			prefix_bits);
		add(list, text, "");
	}
	list_seal(list);
	assert_int_equal(list_count(list), MANY);
	return list;
}

/* Networks side by side need one interval each, those with gaps between them two: of 8 bytes. */
static void test_many_networks(void **state)
{
	struct list *dense = many_networks(24), *gaps = many_networks(25);

	(void)state;
	expect_ip(dense, "2.1.0.255", "2.1.0.0/24");
	expect_ip(gaps, "2.1.0.127", "2.1.0.0/25");
	expect_ip(gaps, "2.1.0.128", NULL);
	assert_int_equal(list_size(gaps) - list_size(dense), 8 * (MANY - 1));
	list_free(&dense);
	list_free(&gaps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_type_names),
		cmocka_unit_test(test_empty_lists_match_nothing),
		cmocka_unit_test(test_longest_prefix_wins),
		cmocka_unit_test(test_whole_families),
		cmocka_unit_test(test_no_address_matches_nothing),
		cmocka_unit_test(test_addresses_match_exactly),
		cmocka_unit_test(test_host_bits_are_told),
		cmocka_unit_test(test_bad_addresses),
		cmocka_unit_test(test_prefixes_like_a_naive_scan),
		cmocka_unit_test(test_prefixes_of_all_lengths),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_domains_under),
		cmocka_unit_test(test_bad_domains),
		cmocka_unit_test(test_mail),
		cmocka_unit_test(test_bad_mail),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_bad_text),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_last_of_two_holds),
		cmocka_unit_test(test_hashes),
		cmocka_unit_test(test_domains_are_kept_in_ascii),
		cmocka_unit_test(test_many_texts),
		cmocka_unit_test(test_many_networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

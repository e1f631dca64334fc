/*
 * PROXY headers of both versions: taken, incomplete at each length, and refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/mail/proxy_header.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4_BODY   "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x67\x00\x19"
#define V6_BODY                                                                                    \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"     \
	"\x12\x67\x00\x19"
#define MAPPED_BODY                                                                                \
	"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"   \
	"\x12\x67\x00\x19"

struct good {
	struct span header;
	const char *source, *destination; /* NULL: local */
};

static const struct good goods[] = {
	{SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\n"), "192.0.2.1:4711",
		"198.51.100.2:25"},
	{SPAN("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
		"255.255.255.255:65535", "255.255.255.255:65535"},
	{SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 0 25\r\n"), "192.0.2.1:0", "198.51.100.2:25"},
	{SPAN("PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n"), "[2001:db8::1]:4711",
		"[2001:db8::2]:25"},
	{SPAN("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 4711 25\r\n"), "192.0.2.1:4711",
		"[2001:db8::2]:25"},
	{SPAN("PROXY UNKNOWN\r\n"), NULL, NULL},
	{SPAN("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
		NULL, NULL},
	{SPAN(SIGNATURE "\x21\x11\0\x0c" V4_BODY), "192.0.2.1:4711", "198.51.100.2:25"},
	{SPAN(SIGNATURE "\x21\x21\0\x24" V6_BODY), "[2001:db8::1]:4711", "[2001:db8::2]:25"},
	{SPAN(SIGNATURE "\x21\x21\0\x24" MAPPED_BODY), "192.0.2.1:4711", "[2001:db8::2]:25"},
	{SPAN(SIGNATURE "\x21\x11\0\x13" V4_BODY "\x04\0\x01x\x05\0\0"), "192.0.2.1:4711",
		"198.51.100.2:25"},
	{SPAN(SIGNATURE "\x20\x00\0\0"), NULL, NULL},
	{SPAN(SIGNATURE "\x20\x11\0\x0c" V4_BODY), NULL, NULL},
	{SPAN(SIGNATURE "\x20\xff\0\x03xyz"), NULL, NULL},
	{SPAN(SIGNATURE "\x21\x00\0\0"), NULL, NULL},
	{SPAN(SIGNATURE "\x21\x00\0\x05trash"), NULL, NULL},
};

static const struct span bads[] = {
	SPAN("EHLO mx.example.net\r\n"),
	SPAN("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n"),
	SPAN("PROXY\r\n"),
	SPAN("PROXY \r\n"),
	SPAN("PROXY TCP4\r\n"),
	SPAN("PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n"),
	SPAN("PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n"),
	SPAN("PROXY UNKNOWNX\r\n"),
	SPAN("PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n"),
	SPAN("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n"),
	SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n"),
	SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n"),
	SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n"),
	SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n"),
	SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n"),
	SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 1 00\r\n"),
	SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n"),
	SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n"),
	SPAN("PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n"),
	SPAN("PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n"),
	SPAN("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"),
	SPAN("PROXY TCP4 ::ffff:192.0.2.1 198.51.100.2 1 2\r\n"),
	SPAN("PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n"),
	SPAN("PROXY TCP6 ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"),
	SPAN("PROXY TCP6 2001:db8::1%eth0 2001:db8::2 1 2\r\n"),
	SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n"),
	SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\r\n"),
	SPAN("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\rX"),
	SPAN("PROXY TCP4 192.0.2.1\0 198.51.100.2 1 2\r\n"),
	SPAN("PROXY UNKNOWN xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	     "xxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"),
	SPAN("\r\n\r\n\0\r\nQUIT\rxxxxxxxx"),
	SPAN(SIGNATURE "\x11\x11\0\x0c" V4_BODY),
	SPAN(SIGNATURE "\x31\x11\0\x0c" V4_BODY),
	SPAN(SIGNATURE "\x22\x11\0\x0c" V4_BODY),
	SPAN(SIGNATURE "\x21\x11\0\x0b" V4_BODY),
	SPAN(SIGNATURE "\x21\x21\0\x0c" V4_BODY),
	SPAN(SIGNATURE "\x21\x21\0\x23" V6_BODY),
	SPAN(SIGNATURE "\x21\x31\0\x0c" V4_BODY),
	SPAN(SIGNATURE "\x21\x12\0\x0c" V4_BODY),
	SPAN(SIGNATURE "\x21\x10\0\x0c" V4_BODY),
	SPAN(SIGNATURE "\x21\x41\0\x0c" V4_BODY),
	SPAN(SIGNATURE "\x21\x11\0\x0d" V4_BODY "\x04"),
	SPAN(SIGNATURE "\x21\x11\0\x0f" V4_BODY "\x04\0\x01"),
	SPAN(SIGNATURE "\x21\x11\0\x12" V4_BODY "\x04\0\x01x\x04\0"),
	SPAN(SIGNATURE "\x21\x11\x08\x01" V4_BODY),
	SPAN(SIGNATURE "\x20\x00\xff\xff"),
};

static void assert_endpoint(const struct endpoint *e, const char *expected)
{
	char text[IP_TEXT_SIZE];

	assert_string_equal(endpoint_format(e, text), expected);
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(goods); i++) {
		const struct good *good = &goods[i];
		struct proxy_header header;
		struct err err;
		enum proxy_status status = proxy_header_parse(good->header, &header, &err);

		if (status != PROXY_DONE)
			fail_msg("header %zu: %s", i, err.text);
		assert_int_equal(header.size, good->header.len);
		assert_int_equal(header.local, good->source == NULL);
		if (good->source) {
			assert_endpoint(&header.source, good->source);
			assert_endpoint(&header.destination, good->destination);
		} else {
			assert_int_equal(header.source.ip.family, IP_NONE);
		}
	}
}

/* Any shorter piece asks for more, and what follows a header is not looked at. */
static void test_cut_and_followed(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(goods); i++) {
		const struct good *good = &goods[i];
		struct proxy_header header;
		char followed[512];
		struct err err;

		for (size_t len = 0; len < good->header.len; len++)
			assert_int_equal(
				proxy_header_parse(span_first(good->header, len), &header, &err),
				PROXY_MORE);
		memset(followed, '\n', sizeof(followed));
		memcpy(followed, good->header.at, good->header.len);
		assert_int_equal(
			proxy_header_parse(span_make(followed, sizeof(followed)), &header, &err),
			PROXY_DONE);
		assert_int_equal(header.size, good->header.len);
	}
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(bads); i++) {
		struct proxy_header header;
		struct err err = {""};

		if (proxy_header_parse(bads[i], &header, &err) != PROXY_BAD)
			fail_msg("header %zu was taken", i);
		assert_true(strlen(err.text) > 0);
	}
}

static void test_unix_socket(void **state)
{
	char header[16 + 216] = {0};
	struct proxy_header out;
	struct err err;

	(void)state;
	memcpy(header, SIGNATURE "\x21\x31\0\xd8", 16);
	assert_int_equal(
		proxy_header_parse(span_make(header, sizeof(header)), &out, &err), PROXY_DONE);
	assert_true(out.local);
	assert_int_equal(
		proxy_header_parse(span_make(header, sizeof(header) - 1), &out, &err), PROXY_MORE);
}

/* Version 1 without an end, version 2 with the longest body. */
static void test_bounds(void **state)
{
	char long_header[PROXY_V2_MAX] = {0};
	struct proxy_header out;
	struct err err;

	(void)state;
	memset(long_header, 'x', sizeof(long_header));
	memcpy(long_header, "PROXY UNKNOWN ", 14);
	for (size_t len = 0; len <= sizeof(long_header); len++)
		assert_int_equal(proxy_header_parse(span_make(long_header, len), &out, &err),
			len < PROXY_V1_MAX ? PROXY_MORE : PROXY_BAD);
	memcpy(long_header, SIGNATURE "\x20\x00\x08\x00", 16);
	assert_int_equal(
		proxy_header_parse(span_make(long_header, PROXY_V2_MAX), &out, &err), PROXY_DONE);
	assert_int_equal(out.size, PROXY_V2_MAX);
}

/* --- sending --- */

static void test_write(void **state)
{
	static const struct {
		const char *source, *destination; /* NULL: none known */
		size_t size;
	} cases[] = {
		{"192.0.2.1:4711", "198.51.100.2:25", 28},
		{"[2001:db8::1]:4711", "[2001:db8::2]:25", 52},
		{"192.0.2.1:4711", "[2001:db8::2]:25", 52},
		{"[2001:db8::1]:4711", "198.51.100.2:25", 52},
		{NULL, "198.51.100.2:25", 16},
		{"192.0.2.1:4711", NULL, 16},
		{NULL, NULL, 16},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct endpoint source = {.port = 0}, destination = {.port = 0};
		char out[PROXY_V2_WRITE_MAX];
		struct proxy_header header;
		struct err err;
		size_t size;

		if (cases[i].source)
			assert_true(endpoint_parse(span_text(cases[i].source), &source));
		if (cases[i].destination)
			assert_true(endpoint_parse(span_text(cases[i].destination), &destination));
		size = proxy_header_write(&source, &destination, out);
		assert_int_equal(size, cases[i].size);
		assert_int_equal(
			proxy_header_parse(span_make(out, size), &header, &err), PROXY_DONE);
		assert_int_equal(header.size, size);
		assert_int_equal(header.local, !cases[i].source || !cases[i].destination);
		if (!header.local) {
			assert_endpoint(&header.source, cases[i].source);
			assert_endpoint(&header.destination, cases[i].destination);
		}
	}
}

static void test_write_bytes(void **state)
{
	struct endpoint source, destination;
	char out[PROXY_V2_WRITE_MAX];

	(void)state;
	assert_true(endpoint_parse(SPAN("192.0.2.1:4711"), &source));
	assert_true(endpoint_parse(SPAN("198.51.100.2:25"), &destination));
	assert_int_equal(proxy_header_write(&source, &destination, out), 28);
	assert_memory_equal(out, SIGNATURE "\x21\x11\0\x0c" V4_BODY, 28);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_cut_and_followed),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

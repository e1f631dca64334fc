/* canon: RFC 6376 3.4, and that it does not matter how a body is cut; and fields, base64 beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "authn/base64.h"
#include "authn/canon.h"
#include "authn/fields.h"

static void hash(struct span text, uint8_t out[SHA256_SIZE])
{
	struct sha256 sha256;

	sha256_open(&sha256);
	sha256_add(&sha256, text);
	sha256_peek(&sha256, out);
	sha256_close(&sha256);
}

static uint64_t body_hash(
	enum canon canon, struct span body, size_t piece, uint8_t out[SHA256_SIZE])
{
	struct canon_body state;
	uint64_t len;

	canon_body_open(&state, canon);
	for (; body.len; body = span_from(body, piece))
		canon_body_add(&state, span_first(body, piece));
	len = canon_body_end(&state, out);
	canon_body_close(&state);
	return len;
}

/* However it is cut. */
static void assert_body(enum canon canon, struct span body, struct span want)
{
	uint8_t wanted[SHA256_SIZE], got[SHA256_SIZE];

	hash(want, wanted);
	for (size_t piece = 1; piece <= body.len + 1; piece++) {
		assert_int_equal(body_hash(canon, body, piece, got), want.len);
		assert_memory_equal(got, wanted, SHA256_SIZE);
	}
}

static void test_simple_bodies(void **state)
{
	(void)state;
	assert_body(CANON_SIMPLE, SPAN(""), SPAN("\r\n"));
	assert_body(CANON_SIMPLE, SPAN("\r\n\r\n"), SPAN("\r\n"));
	assert_body(CANON_SIMPLE, SPAN("a"), SPAN("a\r\n"));
	assert_body(CANON_SIMPLE, SPAN("a\r\n"), SPAN("a\r\n"));
	assert_body(CANON_SIMPLE, SPAN("a\r\n\r\n\r\n"), SPAN("a\r\n"));
	assert_body(CANON_SIMPLE, SPAN("\r\n a \t \r\n\r\nb\t\r\n\r\n"),
		SPAN("\r\n a \t \r\n\r\nb\t\r\n"));
	assert_body(CANON_SIMPLE, SPAN("a\r\n \r\n"), SPAN("a\r\n \r\n"));
}

static void test_relaxed_bodies(void **state)
{
	(void)state;
	assert_body(CANON_RELAXED, SPAN(""), SPAN(""));
	assert_body(CANON_RELAXED, SPAN("\r\n\r\n"), SPAN(""));
	assert_body(CANON_RELAXED, SPAN(" \t\r\n \r\n"), SPAN(""));
	assert_body(CANON_RELAXED, SPAN(" \t"), SPAN(""));
	assert_body(CANON_RELAXED, SPAN("a"), SPAN("a\r\n"));
	assert_body(CANON_RELAXED, SPAN("a \t"), SPAN("a\r\n"));
	assert_body(CANON_RELAXED, SPAN(" a\t\tb \r\n"), SPAN(" a b\r\n"));
	assert_body(
		CANON_RELAXED, SPAN("a\r\n \t\r\n\r\n b\r\n\t\r\n"), SPAN("a\r\n\r\n\r\n b\r\n"));
	/* RFC 6376 3.4.5 */
	assert_body(CANON_RELAXED, SPAN(" C \r\nD \t E\r\n\r\n\r\n"), SPAN(" C\r\nD E\r\n"));
	assert_body(CANON_SIMPLE, SPAN(" C \r\nD \t E\r\n\r\n\r\n"), SPAN(" C \r\nD \t E\r\n"));
}

static void test_lone_carriage_returns_and_line_feeds_are_bytes(void **state)
{
	(void)state;
	assert_body(CANON_SIMPLE, SPAN("a\r"), SPAN("a\r\r\n"));
	assert_body(CANON_SIMPLE, SPAN("\r\r\n\n\r\n"), SPAN("\r\r\n\n\r\n"));
	assert_body(CANON_RELAXED, SPAN("a \rb\n \n\r\n"), SPAN("a \rb\n \n\r\n"));
	assert_body(CANON_RELAXED, SPAN(" \r"), SPAN(" \r\r\n"));
}

static void test_many_line_ends_in_the_middle_count(void **state)
{
	struct buffer body = BUFFER_INIT(1 << 16);
	uint8_t simple[SHA256_SIZE], relaxed[SHA256_SIZE], wanted[SHA256_SIZE];

	(void)state;
	assert_true(buffer_add_text(&body, "a"));
	for (int i = 0; i < 5000; i++)
		assert_true(buffer_add_text(&body, "\r\n"));
	assert_true(buffer_add_text(&body, "b\r\n"));
	hash(buffer_span(&body), wanted);
	body_hash(CANON_SIMPLE, buffer_span(&body), 7, simple);
	body_hash(CANON_RELAXED, buffer_span(&body), 4096, relaxed);
	assert_memory_equal(simple, wanted, SHA256_SIZE);
	assert_memory_equal(relaxed, wanted, SHA256_SIZE);
	buffer_free(&body);
}

static void assert_field(enum canon canon, struct span raw, const char *cut, struct span want)
{
	uint8_t wanted[SHA256_SIZE], got[SHA256_SIZE];
	struct header_field field;
	struct sha256 sha256;
	struct span left_out = SPAN_NONE;

	assert_true(header_next(&raw, &field));
	if (cut) {
		left_out = span_from(field.raw, span_find(field.raw, span_text(cut)));
		left_out = span_first(left_out, strlen(cut));
	}
	sha256_open(&sha256);
	canon_field(canon, &field, left_out, &sha256);
	sha256_peek(&sha256, got);
	sha256_close(&sha256);
	hash(want, wanted);
	assert_memory_equal(got, wanted, SHA256_SIZE);
}

static void test_fields(void **state)
{
	(void)state;
	/* RFC 6376 3.4.5 */
	assert_field(CANON_RELAXED, SPAN("A: X\r\n"), NULL, SPAN("a:X"));
	assert_field(CANON_RELAXED, SPAN("B : Y\t\r\n\tZ  \r\n"), NULL, SPAN("b:Y Z"));
	assert_field(CANON_SIMPLE, SPAN("B : Y\t\r\n\tZ  \r\n"), NULL, SPAN("B : Y\t\r\n\tZ  "));
	assert_field(CANON_RELAXED, SPAN("Empty:\r\n"), NULL, SPAN("empty:"));
	assert_field(CANON_RELAXED, SPAN("Blank: \t \r\n"), NULL, SPAN("blank:"));
	assert_field(CANON_RELAXED, SPAN("No-End:\r\n\ta\r\n b"), NULL, SPAN("no-end:a b"));
	assert_field(CANON_RELAXED, SPAN("S: a=b; b= x\r\n y ; c=d\r\n"), " x\r\n y ",
		SPAN("s:a=b; b=; c=d"));
	assert_field(CANON_SIMPLE, SPAN("S: a=b; b= x\r\n y ; c=d\r\n"), " x\r\n y ",
		SPAN("S: a=b; b=; c=d"));
	assert_field(CANON_RELAXED, SPAN("S: b=x\r\n"), "x", SPAN("s:b="));
}

static void test_hashes_go_on_from_each_other(void **state)
{
	uint8_t wanted[SHA256_SIZE], got[SHA256_SIZE];
	struct sha256 first, second;

	(void)state;
	sha256_open(&first);
	for (int i = 0; i < 3000; i++)
		sha256_add_char(&first, 'x');
	sha256_fork(&first, &second);
	sha256_add(&second, SPAN("yz"));
	sha256_add(&first, SPAN("yz"));
	assert_int_equal(first.len, 3002);
	assert_int_equal(second.len, 3002);
	sha256_peek(&first, wanted);
	sha256_peek(&second, got);
	assert_memory_equal(got, wanted, SHA256_SIZE);
	sha256_peek(&first, got); /* it changes nothing */
	assert_memory_equal(got, wanted, SHA256_SIZE);
	sha256_close(&first);
	sha256_close(&second);
	hash(SPAN("abc"), got); /* FIPS 180-2 B.1 */
	assert_memory_equal(got, "\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde", 12);
}

static void test_fields_are_taken_from_the_bottom(void **state)
{
	struct arena *arena = arena_new(1024);
	struct fields *fields = fields_new(
		SPAN("A: 1\r\nb: 1\r\na : 2\r\nno field\r\nAB: 1\r\nA: 3\r\n\r\n"), arena);
	const char *const bodies[] = {" 3", " 2", " 1"};

	(void)state;
	for (int round = 0; round < 2; round++) {
		fields_rewind(fields);
		for (size_t i = 0; i < COUNT_OF(bodies); i++)
			assert_true(span_equal(
				fields_take(fields, SPAN("a"))->body, span_text(bodies[i])));
		assert_null(fields_take(fields, SPAN("A")));
		assert_non_null(fields_take(fields, SPAN("B")));
		assert_non_null(fields_take(fields, SPAN("ab")));
		assert_null(fields_take(fields, SPAN("abc")));
	}
	fields = fields_new(SPAN(""), arena);
	fields_rewind(fields);
	assert_null(fields_take(fields, SPAN("a")));
	arena_free(&arena);
}

static void test_base64(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
	} cases[] = {
		{"Zg==", "f"}, {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"Z m\r\n\t9vYg = =\r\n", "foob"},
		{"Zm8", "fo"}, {"Zg", "f"}, {"Zg=", "f"}, {"", NULL}, {" ", NULL}, {"Z", NULL},
		{"Zg===", NULL}, {"Z===", NULL}, {"====", NULL}, {"Zg==Zg==", NULL},
		{"Zm9vZ", NULL}, {"Zm-v", NULL}, {"Zm9vYmFyYg==", NULL}, /* seven bytes */
	};
	uint8_t out[6];
	size_t len;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		bool good = base64_read(span_text(cases[i].text), out, sizeof(out), &len);

		if (good != (cases[i].want != NULL) ||
			(good && !span_equal(span_make(out, len), span_text(cases[i].want))))
			fail_msg("'%s'", cases[i].text);
	}
	assert_true(base64_read(SPAN("+/+/"), out, sizeof(out), &len));
	assert_memory_equal(out, "\xfb\xff\xbf", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_simple_bodies),
		cmocka_unit_test(test_relaxed_bodies),
		cmocka_unit_test(test_lone_carriage_returns_and_line_feeds_are_bytes),
		cmocka_unit_test(test_many_line_ends_in_the_middle_count),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_hashes_go_on_from_each_other),
		cmocka_unit_test(test_fields_are_taken_from_the_bottom),
		cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

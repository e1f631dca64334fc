/*
 * SPF where the suite of RFC 7208 and the oracle (tests/oracle) have nothing to say: bounds, what
 * is hostile, how often DNS is waited for, what is told about an outcome.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "authn/spf.h"
#include "authn/spf_macro.h"
#include "authn/spf_name.h"
#include "authn/spf_record.h"
#include "lib/base/buffer.h"

enum { ZONE_MAX = 200, ROUNDS_MAX = 40 };

/* A world, and what came of a question. Records of one name and type are neighbours. */
static struct {
	struct arena *arena;
	struct spf *spf;
	struct answer zone[ZONE_MAX];
	size_t n;
	struct spf_result result;
	unsigned rounds;
	size_t questions;
} world;

static int set_up(void **state)
{
	struct err err;

	(void)state;
	memset(&world, 0, sizeof(world));
	world.arena = arena_new(4096);
	world.spf = spf_open(&err);
	return world.spf ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	spf_close(&world.spf);
	arena_free(&world.arena);
	return 0;
}

/* --- the world --- */

static struct answer *zone_answer(const char *name, enum answer_type type)
{
	struct answer *last = world.n ? &world.zone[world.n - 1] : NULL;

	if (last && last->type == type && span_equal(last->name, span_text(name)))
		return last;
	assert_true(world.n < ZONE_MAX);
	world.zone[world.n] = (struct answer){.name = arena_span(world.arena, span_text(name)),
		.type = type,
		.outcome = ANSWER_FOUND,
		.records = arena_alloc(
			world.arena, ANSWER_RECORDS_MAX * sizeof(struct answer_record))};
	return &world.zone[world.n++];
}

static void bytes(const char *name, enum answer_type type, struct span value)
{
	struct answer *answer = zone_answer(name, type);
	/* This world's own memory: only answers hold it as const. */
	struct answer_record *record =
		(struct answer_record *)&answer->records[answer->n_records++];

	if (type == ANSWER_A || type == ANSWER_AAAA)
		assert_true(ip_parse(value, &record->ip));
	record->preference = (uint16_t)answer->n_records;
	record->text = arena_span(world.arena, value);
}

static void has(const char *name, enum answer_type type, const char *value)
{
	bytes(name, type, span_text(value));
}

static void txt(const char *name, const char *value)
{
	has(name, ANSWER_TXT, value);
}

static void trouble(const char *name, enum answer_type type)
{
	zone_answer(name, type)->outcome = ANSWER_TROUBLE;
}

static struct answer zone_find(const struct answer *want)
{
	struct answer none = *want;

	none.outcome = ANSWER_NXDOMAIN;
	for (size_t i = 0; i < world.n; i++)
		if (world.zone[i].type == want->type && span_equal(world.zone[i].name, want->name))
			return world.zone[i];
	return none;
}

static void ask(const struct spf_question *question)
{
	struct answers *answers = answers_new(world.arena);

	world.questions = 0;
	for (world.rounds = 0; world.rounds < ROUNDS_MAX; world.rounds++) {
		struct wants wants = {.arena = world.arena};

		if (spf_run(world.spf, question, answers, &wants, &world.result, world.arena))
			return;
		assert_true(wants.n > 0);
		world.questions += wants.n;
		for (size_t i = 0; i < wants.n; i++) {
			struct answer answer = zone_find(&wants.items[i]);

			assert_true(answers_add(answers, &answer));
		}
	}
	fail_msg("no end of questions");
}

static void from(const char *client, const char *local, const char *domain)
{
	struct spf_question question = {.helo = SPAN("mail.a.example"),
		.local = span_text(local),
		.domain = span_text(domain),
		.receiver = SPAN("mx.example.net"),
		.wall_s = 1234567890};

	assert_true(ip_parse(span_text(client), &question.client));
	ask(&question);
}

#define assert_code(want)     assert_int_equal(world.result.code, SPF_IS_##want)
#define assert_field(f, want) assert_string_equal(arena_string(world.arena, world.result.f), (want))

/* "text text text" */
static const char *times(const char *text, size_t n)
{
	char *all = arena_alloc(world.arena, n * strlen(text) + 1);

	for (size_t i = 0; i < n; i++)
		memcpy(all + i * strlen(text), text, strlen(text));
	return all;
}

/* --- rounds --- */

static void test_all_siblings_are_asked_for_at_once(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 a:1.a.example mx:2.a.example include:3.a.example "
			 "exists:4.a.example ptr -all");
	txt("3.a.example", "v=spf1 ?all");
	has("1.a.example", ANSWER_A, "192.0.2.9");
	has("4.a.example", ANSWER_AAAA, "::1");
	has("2.a.example", ANSWER_MX, "h.a.example");
	has("h.a.example", ANSWER_A, "192.0.2.1");
	from("192.0.2.1", "joe", "a.example");
	assert_code(PASS);
	assert_field(mechanism, "mx:2.a.example");
	assert_int_equal(world.rounds, 3); /* the record, the five, the one host */
	assert_int_equal(world.questions, 7);
}

static void test_a_nest_takes_a_round_for_each_storey(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 include:b.example include:c.example -all");
	txt("b.example", "v=spf1 include:d.example include:e.example -all");
	txt("c.example", "v=spf1 include:f.example include:g.example -all");
	txt("d.example", "v=spf1 ?all");
	txt("e.example", "v=spf1 ?all");
	txt("f.example", "v=spf1 ?all");
	txt("g.example", "v=spf1 ip4:192.0.2.1 ?all");
	from("192.0.2.1", "joe", "a.example");
	assert_code(PASS);
	assert_field(mechanism, "include:c.example");
	assert_int_equal(world.rounds, 3);
	assert_int_equal(world.questions, 7);
}

static void test_what_matches_before_is_not_asked_behind(void **state)
{
	(void)state;
	txt("a.example",
		"v=spf1 ip4:192.0.2.0/24 a:x.example include:y.example -all exp=e.example");
	from("192.0.2.1", "joe", "a.example");
	assert_code(PASS);
	assert_field(mechanism, "ip4:192.0.2.0/24");
	assert_int_equal(world.questions, 1);
}

static void test_hosts_are_asked_for_the_client_s_kind_of_address(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 mx -all");
	has("a.example", ANSWER_MX, "h.a.example");
	has("a.example", ANSWER_MX, ".");
	has("h.a.example", ANSWER_A, "192.0.2.1");
	has("h.a.example", ANSWER_AAAA, "2001:db8::1");
	from("2001:db8::1", "joe", "a.example");
	assert_code(PASS);
	assert_int_equal(world.questions, 3);
}

static void test_explanations_are_asked_for_after_a_fail_only(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 a:h.example -all exp=e.example");
	txt("e.example", "go away");
	has("h.example", ANSWER_A, "192.0.2.1");
	from("192.0.2.1", "joe", "a.example");
	assert_code(PASS);
	assert_int_equal(world.questions, 2);
	assert_field(explanation, "");
	from("192.0.2.2", "joe", "a.example");
	assert_code(FAIL);
	assert_int_equal(world.questions, 3);
	assert_field(explanation, "go away");
}

/* --- limits --- */

static void test_more_than_ten_lookups_end_it_wherever_they_are(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 include:b.example include:c.example -all");
	txt("b.example", "v=spf1 a:h.example a:h.example a:h.example a:h.example a:h.example ?all");
	txt("c.example", "v=spf1 a:h.example a:h.example a:h.example a:i.example -all");
	has("h.example", ANSWER_A, "192.0.2.9");
	has("i.example", ANSWER_A, "192.0.2.9");
	from("192.0.2.1", "joe", "a.example");
	assert_code(PERMERROR);
	assert_field(problem, "a:i.example of c.example: more than ten lookups");
	assert_field(mechanism, "");
}

static void test_ten_lookups_are_fine(void **state)
{
	(void)state;
	txt("a.example",
		"v=spf1 a:h.example a:h.example a:h.example a:h.example a:h.example a:h.example "
		"a:h.example a:h.example a:h.example redirect=b.example");
	txt("b.example", "v=spf1 ~all");
	has("h.example", ANSWER_A, "192.0.2.9");
	from("192.0.2.1", "joe", "a.example");
	assert_code(SOFTFAIL);
}

static void test_a_nest_of_thousands_is_left_early(void **state)
{
	char name[32], record[256];

	(void)state;
	for (int i = 0; i < 5; i++) {
		int len = sprintf(record, "v=spf1");

		for (int k = 0; k < 8; k++)
			len += sprintf(record + len, " include:%d.a.example", i + 1);
		sprintf(name, "%d.a.example", i);
		txt(name, record);
	}
	txt("5.a.example", "v=spf1 ?all");
	from("192.0.2.1", "joe", "0.a.example");
	assert_code(PERMERROR);
	assert_true(world.questions < 10);
}

static void test_a_term_that_finds_nothing_counts_once(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 mx a:void.example -all");
	has("a.example", ANSWER_MX, "1.example");
	has("a.example", ANSWER_MX, "2.example");
	has("a.example", ANSWER_MX, "3.example");
	from("192.0.2.1", "joe", "a.example");
	assert_code(FAIL);
	world.n = 0;
	txt("a.example", "v=spf1 a:1.example mx:2.example exists:3.example +all");
	from("192.0.2.1", "joe", "a.example");
	assert_code(PERMERROR);
	assert_field(problem, "exists:3.example: more than two lookups of nothing");
}

static void test_the_eleventh_mx_is_too_many(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 mx -all");
	for (int i = 0; i < SPF_LOOKUPS_MAX; i++)
		has("a.example", ANSWER_MX, "h.example");
	has("h.example", ANSWER_A, "192.0.2.1");
	from("192.0.2.1", "joe", "a.example");
	assert_code(PASS);
	world.n = 0;
	txt("a.example", "v=spf1 mx -all");
	for (int i = 0; i <= SPF_LOOKUPS_MAX; i++)
		has("a.example", ANSWER_MX, "h.example");
	has("h.example", ANSWER_A, "192.0.2.1");
	from("192.0.2.1", "joe", "a.example");
	assert_code(PERMERROR);
	assert_field(problem, "mx: more than ten MX records");
}

static void test_names_of_the_client_beyond_the_tenth_are_not_looked_at(void **state)
{
	char name[32];

	(void)state;
	txt("a.example", "v=spf1 ptr:b.example ~all");
	for (int i = 0; i < 12; i++) {
		sprintf(name, "%d.b.example", i);
		has("1.2.0.192.in-addr.arpa", ANSWER_PTR, name);
	}
	has("10.b.example", ANSWER_A, "192.0.2.1");
	for (int i = 0; i < 10; i++) {
		sprintf(name, "%d.b.example", i);
		has(name, ANSWER_A, "192.0.2.77");
	}
	from("192.0.2.1", "joe", "a.example");
	assert_code(SOFTFAIL);
	assert_int_equal(world.questions, 12);
}

static void test_a_client_s_name_asked_for_by_a_macro_is_a_lookup(void **state)
{
	(void)state;
	has("1.2.0.192.in-addr.arpa", ANSWER_PTR, "h.example");
	has("h.example", ANSWER_A, "192.0.2.1");
	txt("a.example",
		"v=spf1 exists:%{p}.a.example exists:%{p}.x.a.example -a:h.example/32 ?all");
	has("h.example.x.a.example", ANSWER_A, "127.0.0.2");
	from("192.0.2.1", "joe", "a.example");
	assert_code(PASS);
	assert_field(mechanism, "exists:%{p}.x.a.example");
	txt("b.example", times("v=spf1 a:i.example a:i.example a:i.example a:i.example a:i.example "
			       "a:i.example a:i.example a:i.example a:i.example exists:%{p}.y ~all",
				 1));
	has("i.example", ANSWER_A, "192.0.2.99");
	from("192.0.2.1", "joe", "b.example");
	assert_code(PERMERROR);
}

static void test_records_as_long_as_txt_may_be_are_read(void **state)
{
	size_t n = 4000;
	struct buffer record = BUFFER_INIT(100000);

	(void)state;
	assert_true(buffer_add_text(&record, "v=spf1 "));
	assert_true(buffer_add_text(&record, times("ip4:10.11.12.13 ", n)));
	assert_true(buffer_add_text(&record, "ip4:192.0.2.1 -all"));
	bytes("a.example", ANSWER_TXT, buffer_span(&record));
	from("192.0.2.1", "joe", "a.example");
	assert_code(PASS);
	from("192.0.2.2", "joe", "a.example");
	assert_code(FAIL);
	assert_true(buffer_add_text(&record, " moo"));
	bytes("b.example", ANSWER_TXT, buffer_span(&record));
	from("192.0.2.1", "joe", "b.example");
	assert_code(PERMERROR);
	assert_field(problem, "b.example: moo: unknown mechanism");
	buffer_free(&record);
}

static void test_macros_that_grow_are_bounded(void **state)
{
	char local[300];
	struct buffer record = BUFFER_INIT(100000);

	(void)state;
	memset(local, '!', sizeof(local) - 1);
	local[sizeof(local) - 1] = '\0';
	assert_true(buffer_add_text(&record, "v=spf1 exists:"));
	assert_true(buffer_add_text(&record, times("%{S}", SPF_MACROS_MAX - 1)));
	assert_true(buffer_add_text(&record, "%{d} -all exp="));
	assert_true(buffer_add_text(&record, times("%{L}", SPF_MACROS_MAX)));
	assert_true(buffer_add_text(&record, ".e.example"));
	bytes("a.example", ANSWER_TXT, buffer_span(&record));
	from("192.0.2.1", local, "a.example");
	assert_code(FAIL);
	assert_true(buffer_add_text(&record, " exists:"));
	assert_true(buffer_add_text(&record, times("%{h}", SPF_MACROS_MAX + 1)));
	bytes("b.example", ANSWER_TXT, buffer_span(&record));
	from("192.0.2.1", local, "b.example");
	assert_code(PERMERROR);
	assert_non_null(strstr(arena_string(world.arena, world.result.problem), "too many macros"));
	buffer_free(&record);
}

/* --- hostile and odd --- */

static void test_no_byte_of_a_record_may_be_odd(void **state)
{
	static const struct span records[] = {SPAN("v=spf1 a:b.example\0 -all"), SPAN("v=spf1 \0"),
		SPAN("v=spf1 x=\x80"), SPAN("v=spf1 a:\xc3\xbc.example -all"),
		SPAN("v=spf1\t-all "), SPAN("v=spf1 -all\r\n")};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(records); i++) {
		world.n = 0;
		bytes("a.example", ANSWER_TXT, records[i]);
		from("192.0.2.1", "joe", "a.example");
		if (i == 4)
			assert_code(NONE); /* no version is that */
		else
			assert_code(PERMERROR);
		for (size_t k = 0; k < world.result.problem.len; k++)
			assert_in_range(world.result.problem.at[k], 0x20, 0x7e);
	}
}

static void test_domains_that_can_have_no_record_have_none(void **state)
{
	static const char *const domains[] = {"", "single", "single.", "a..example", ".a.example",
		"[192.0.2.1]",
		("b\xc3\xbc"
		 "cher.example"),
		"a123456789012345678901234567890123456789012345678901234567890123.example"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(domains); i++) {
		from("192.0.2.1", "joe", domains[i]);
		assert_code(NONE);
		assert_field(problem, "");
		assert_int_equal(world.questions, 0);
	}
	from("192.0.2.1", "joe", times("abcdefg.", 32));
	assert_code(NONE);
	assert_int_equal(world.questions, 0);
	from("192.0.2.1", "joe", "a.example.");
	assert_int_equal(world.questions, 1);
}

static void test_a_client_without_an_address_has_no_result(void **state)
{
	struct spf_question question = {.domain = SPAN("a.example")};

	(void)state;
	txt("a.example", "v=spf1 +all");
	ask(&question);
	assert_code(NONE);
}

static void test_ipv4_in_ipv6_s_clothes_is_ipv4(void **state)
{
	struct spf_question question = {.domain = SPAN("a.example"),
		.client = {.family = IP_V6,
			.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1}}};

	(void)state;
	txt("a.example", "v=spf1 ip6:::ffff:192.0.2.1 ip6:::/0 -ip4:192.0.2.1 exp=%{v}.e.example");
	txt("in-addr.e.example", "%{c} %{ir}");
	ask(&question);
	assert_code(FAIL);
	assert_field(explanation, "192.0.2.1 1.2.0.192");
}

static void test_the_loopback_is_a_client_like_others(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 a:h.example/8 -all");
	has("h.example", ANSWER_A, "10.0.0.1");
	from("127.0.0.1", "joe", "a.example");
	assert_code(FAIL);
	from("::1", "joe", "a.example");
	assert_code(FAIL);
	world.n = 0;
	txt("a.example", "v=spf1 a:h.example/8 -all");
	has("h.example", ANSWER_A, "127.9.9.9");
	from("127.0.0.1", "joe", "a.example");
	assert_code(PASS);
}

static void test_prefixes_cover_what_they_say(void **state)
{
	static const struct {
		const char *record, *client;
		enum spf_code code;
	} cases[] = {
		{"v=spf1 a/0 -all", "203.0.113.1", SPF_IS_PASS},
		{"v=spf1 a/1 -all", "203.0.113.1", SPF_IS_PASS},
		{"v=spf1 a/1 -all", "10.0.0.1", SPF_IS_FAIL},
		{"v=spf1 a/31 -all", "192.0.2.1", SPF_IS_PASS},
		{"v=spf1 a/31 -all", "192.0.2.2", SPF_IS_FAIL},
		{"v=spf1 a/32 -all", "192.0.2.0", SPF_IS_PASS},
		{"v=spf1 a/32 -all", "192.0.2.1", SPF_IS_FAIL},
		{"v=spf1 a/8 -all", "2001:db8::2", SPF_IS_FAIL},
		{"v=spf1 a//0 -all", "ffff::1", SPF_IS_PASS},
		{"v=spf1 a//127 -all", "2001:db8::1", SPF_IS_PASS},
		{"v=spf1 a//127 -all", "2001:db8::2", SPF_IS_FAIL},
		{"v=spf1 a//1 -all", "7fff::", SPF_IS_PASS},
		{"v=spf1 a//1 -all", "8000::", SPF_IS_FAIL},
		{"v=spf1 ip6:2001:db8:1234:5678:9abc:def0:1234:5678/126 -all",
			"2001:db8:1234:5678:9abc:def0:1234:567b", SPF_IS_PASS},
		{"v=spf1 ip6:1234:5678:9abc:def0:1234:5678:255.255.255.255 -all",
			"1234:5678:9abc:def0:1234:5678:ffff:ffff", SPF_IS_PASS},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		world.n = 0;
		txt("a.example", cases[i].record);
		has("a.example", ANSWER_A, "192.0.2.0");
		has("a.example", ANSWER_AAAA, "2001:db8::");
		from(cases[i].client, "joe", "a.example");
		assert_int_equal(world.result.code, cases[i].code);
	}
}

static void test_a_host_of_many_addresses_matches_by_any(void **state)
{
	char address[32];

	(void)state;
	txt("a.example", "v=spf1 a -all");
	for (int i = 0; i < 200; i++) {
		sprintf(address, "10.0.0.%d", i);
		has("a.example", ANSWER_A, address);
	}
	from("10.0.0.199", "joe", "a.example");
	assert_code(PASS);
	from("10.0.0.200", "joe", "a.example");
	assert_code(FAIL);
}

static void test_a_local_part_in_utf8_matches_no_name(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 exists:%{l}.x.example ?exists:%{L}.x.example -all exp=e.example");
	txt("e.example", "%{l} %{L}");
	from("192.0.2.1", "j\xc3\xb6", "a.example");
	assert_code(FAIL);
	assert_int_equal(world.questions, 3);
	assert_field(explanation, "j?? j%C3%B6");
}

static void test_odd_bytes_in_names_are_asked_for_escaped(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 exists:%{l}.x.example -all");
	has("a\\032b\\034c\\092d.x.example", ANSWER_A, "127.0.0.1");
	from("192.0.2.1", "A b\"c\\d", "a.example");
	assert_code(PASS);
}

/* --- trouble --- */

static void test_trouble_with_dns_is_temporary(void **state)
{
	static const struct {
		const char *record, *problem;
	} cases[] = {
		{"v=spf1 a:t.example +all", "a:t.example: DNS does not answer"},
		{"v=spf1 mx:t.example +all", "mx:t.example: DNS does not answer"},
		{"v=spf1 mx:m.example +all", "mx:m.example: DNS does not answer"},
		{"v=spf1 exists:t.example +all", "exists:t.example: DNS does not answer"},
		{"v=spf1 include:t.example +all", "include:t.example: DNS does not answer"},
		{"v=spf1 redirect=t.example", "redirect=t.example: DNS does not answer"},
		{"v=spf1 include:i.example ?all", "a:t.example of i.example: DNS does not answer"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		world.n = 0;
		txt("a.example", cases[i].record);
		txt("i.example", "v=spf1 a:t.example -all");
		has("m.example", ANSWER_MX, "t.example");
		trouble("t.example", ANSWER_A);
		trouble("t.example", ANSWER_MX);
		trouble("t.example", ANSWER_TXT);
		from("192.0.2.1", "joe", "a.example");
		assert_code(TEMPERROR);
		assert_field(problem, cases[i].problem);
	}
	trouble("b.example", ANSWER_TXT);
	from("192.0.2.1", "joe", "b.example");
	assert_code(TEMPERROR);
	assert_field(problem, "b.example: DNS does not answer");
}

static void test_trouble_that_does_not_matter_is_none(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 ptr a:h.example a:t.example -all exp=t.example");
	has("h.example", ANSWER_A, "192.0.2.1");
	trouble("1.2.0.192.in-addr.arpa", ANSWER_PTR);
	trouble("t.example", ANSWER_A);
	from("192.0.2.1", "joe", "a.example");
	assert_code(PASS);
	txt("b.example", "v=spf1 -all exp=t.example");
	trouble("t.example", ANSWER_TXT);
	from("192.0.2.1", "joe", "b.example");
	assert_code(FAIL);
	assert_field(explanation, "");
}

static void test_hosts_are_looked_at_by_preference(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 mx -all");
	has("a.example", ANSWER_MX, "t.example");
	has("a.example", ANSWER_MX, "h.example");
	/* This world numbers them as they come. */
	((struct answer_record *)&world.zone[1].records[0])->preference = 20;
	has("h.example", ANSWER_A, "192.0.2.1");
	trouble("t.example", ANSWER_A);
	from("192.0.2.1", "joe", "a.example");
	assert_code(PASS);
}

static void test_what_comes_first_decides(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 mx -all");
	has("a.example", ANSWER_MX, "h.example");
	has("a.example", ANSWER_MX, "t.example");
	has("h.example", ANSWER_A, "192.0.2.1");
	trouble("t.example", ANSWER_A);
	from("192.0.2.1", "joe", "a.example");
	assert_code(PASS);
	from("192.0.2.2", "joe", "a.example");
	assert_code(TEMPERROR);
	txt("b.example", "v=spf1 a:t.example include:c.example -all");
	txt("c.example", "v=spf1 moo");
	from("192.0.2.1", "joe", "b.example");
	assert_code(TEMPERROR);
}

/* --- what is told --- */

static void test_problems_name_the_place(void **state)
{
	static const struct {
		const char *record, *problem;
	} cases[] = {
		{"v=spf1 moo", "a.example: moo: unknown mechanism"},
		{"v=spf1 -all:x", "a.example: -all:x: all takes no argument"},
		{"v=spf1 a:foo", "a.example: a:foo: no domain"},
		{"v=spf1 a/33", "a.example: a/33: prefix too long"},
		{"v=spf1 ip4:1.2.3", "a.example: ip4:1.2.3: no address of that kind"},
		{"v=spf1 include:%{x}", "a.example: include:%{x}: unknown macro"},
		{"v=spf1 exists:%{d0}", "a.example: exists:%{d0}: macro keeps 0 parts"},
		{"v=spf1 exists:%{c}.x",
			"a.example: exists:%{c}.x: macro that only explanations may use"},
		{"v=spf1 exists:%a", "a.example: exists:%a: % without a macro"},
		{"v=spf1 exp=a.b exp=a.b", "a.example: exp=a.b: stands there twice"},
		{"v=spf1 include:none.example", "include:none.example: no SPF record"},
		{"v=spf1 redirect=none.example", "redirect=none.example: no SPF record"},
		{"v=spf1 include:a..example", "include:a..example: no such domain"},
		{"v=spf1 include:two.example", "include:two.example: more than one SPF record"},
		{"v=spf1 redirect=bad.example", "bad.example: moo: unknown mechanism"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		world.n = 0;
		txt("a.example", cases[i].record);
		txt("two.example", "v=spf1 a");
		txt("two.example", "v=spf1 mx");
		txt("bad.example", "v=spf1 moo");
		from("192.0.2.1", "joe", "a.example");
		assert_code(PERMERROR);
		assert_field(problem, cases[i].problem);
	}
}

static void test_the_term_that_decides_is_named(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 ?include:b.example redirect=c.example");
	txt("b.example", "v=spf1 ip4:192.0.2.1 -all");
	txt("c.example", "v=spf1 ip6:2001:db8::/32 ip4:192.0.2.2 ~ALL");
	from("192.0.2.1", "joe", "a.example");
	assert_code(NEUTRAL);
	assert_field(mechanism, "?include:b.example");
	from("192.0.2.2", "joe", "a.example");
	assert_field(mechanism, "ip4:192.0.2.2");
	from("2001:db8::1", "joe", "a.example");
	assert_field(mechanism, "ip6:2001:db8::/32");
	from("192.0.2.3", "joe", "a.example");
	assert_code(SOFTFAIL);
	assert_field(mechanism, "~ALL");
	txt("d.example", "v=spf1 include:e.example");
	txt("e.example", "v=spf1 redirect=b.example");
	from("192.0.2.1", "joe", "d.example");
	assert_code(PASS);
	assert_field(mechanism, "include:e.example");
	from("192.0.2.3", "joe", "d.example");
	assert_code(NEUTRAL);
	assert_field(mechanism, "");
}

static void test_explanations_are_those_of_the_record_that_fails(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 include:b.example exp=ea.example redirect=c.example");
	txt("b.example", "v=spf1 -all exp=eb.example");
	txt("c.example", "v=spf1 exp=%{d}.ec.example -all");
	txt("ea.example", "of a");
	txt("eb.example", "of b");
	txt("c.example.ec.example", "%{s} (%{d}, %{o}) from %{c}, helo %{h}, at %{t}, for %{r}%%");
	from("192.0.2.1", "joe", "a.example");
	assert_code(FAIL);
	assert_field(explanation,
		"joe@a.example (c.example, a.example) from 192.0.2.1, helo mail.a.example, "
		"at 1234567890, for mx.example.net%");
}

static void test_explanations_are_cut(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 -all exp=e.example");
	txt("e.example", times("go away, %{l}! ", 100));
	from("192.0.2.1", "joe", "a.example");
	assert_code(FAIL);
	assert_int_equal(world.result.explanation.len, SPF_EXPLANATION_MAX);
}

static void test_a_sender_without_a_local_part_is_postmaster(void **state)
{
	(void)state;
	txt("a.example", "v=spf1 exists:%{s}.%{l}.a.example -all");
	has("postmaster\\064a.example.postmaster.a.example", ANSWER_A, "127.0.0.1");
	from("192.0.2.1", "", "a.example");
	assert_code(PASS);
}

/* --- macros by themselves --- */

static const char *expanded(const char *text)
{
	struct spf_macros macros = {.values = {SPAN_NONE}};

	macros.values[SPF_MACRO_LOCAL] = SPAN("strong-bad+x");
	macros.values[SPF_MACRO_DOMAIN] = SPAN("email.example.com");
	macros.values[SPF_MACRO_ADDRESS] = SPAN("192.0.2.3");
	macros.values[SPF_MACRO_VERSION] = SPAN("in-addr");
	assert_null(spf_macro_mistake(span_text(text), SPF_MACRO_IN_EXPLANATION));
	return arena_string(
		world.arena, spf_macro_expand_name(span_text(text), &macros, world.arena));
}

static void test_macros_are_split_reversed_and_cut(void **state)
{
	(void)state;
	assert_string_equal(expanded("%{d}"), "email.example.com");
	assert_string_equal(expanded("%{d4}"), "email.example.com");
	assert_string_equal(expanded("%{d2}"), "example.com");
	assert_string_equal(expanded("%{d01}"), "com");
	assert_string_equal(expanded("%{dr}"), "com.example.email");
	assert_string_equal(expanded("%{D2R}"), "example.email");
	assert_string_equal(expanded("%{l-}"), "strong.bad+x");
	assert_string_equal(expanded("%{lr-+}"), "x.bad.strong");
	assert_string_equal(expanded("%{l1r-}"), "strong");
	assert_string_equal(expanded("%{l1-+}"), "x");
	assert_string_equal(expanded("%{L}"), "strong-bad%2Bx");
	assert_string_equal(expanded("%{D}~"), "email.example.com~");
	assert_string_equal(
		expanded("%{ir}.%{v}._spf.%{d2}."), "3.2.0.192.in-addr._spf.example.com");
	assert_string_equal(expanded("%{h}%{hr}a"), "a"); /* no HELO */
	assert_string_equal(expanded("%{d99999999999999999999999}"), "email.example.com");
	assert_string_equal(expanded("a%%b%_c%-d"), "a%b c%20d");
}

static void test_long_names_lose_labels_from_the_left(void **state)
{
	const char *name = expanded(times("%{d}.", 40));

	(void)state;
	assert_int_equal(strlen(name), 14 * 18 - 1);
	assert_memory_equal(name, "email.example.com.email", 23);
	assert_int_equal(strlen(expanded(times("a.", 127))), SPF_NAME_MAX);
	assert_int_equal(strlen(expanded(times("b.", 128))), SPF_NAME_MAX);
	name = expanded(times("a", 3000));
	assert_true(strlen(name) > SPF_NAME_MAX);
}

static void test_names_are_put_into_the_usual_form(void **state)
{
	struct span usual;

	(void)state;
	assert_true(spf_name_usual(SPAN("A b.Example."), world.arena, &usual));
	assert_true(span_equal(usual, SPAN("a\\032b.example")));
	assert_false(spf_name_usual(SPAN("."), world.arena, &usual));
	assert_false(spf_name_usual(SPAN(""), world.arena, &usual));
	assert_false(spf_name_usual(SPAN("a..b"), world.arena, &usual));
	assert_false(spf_name_usual(SPAN("a.b.."), world.arena, &usual));
	assert_false(spf_name_usual(SPAN("a.\x80"), world.arena, &usual));
	assert_true(spf_name_usual(span_text(times("a.", 126)), world.arena, &usual));
	assert_false(spf_name_usual(span_text(times("ab.", 85)), world.arena, &usual));
	assert_true(spf_name_is_under(SPAN("a.b"), SPAN("b")));
	assert_false(spf_name_is_under(SPAN("ab"), SPAN("b")));
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_all_siblings_are_asked_for_at_once),
		T(test_a_nest_takes_a_round_for_each_storey),
		T(test_what_matches_before_is_not_asked_behind),
		T(test_hosts_are_asked_for_the_client_s_kind_of_address),
		T(test_explanations_are_asked_for_after_a_fail_only),
		T(test_more_than_ten_lookups_end_it_wherever_they_are),
		T(test_ten_lookups_are_fine),
		T(test_a_nest_of_thousands_is_left_early),
		T(test_a_term_that_finds_nothing_counts_once),
		T(test_the_eleventh_mx_is_too_many),
		T(test_names_of_the_client_beyond_the_tenth_are_not_looked_at),
		T(test_a_client_s_name_asked_for_by_a_macro_is_a_lookup),
		T(test_records_as_long_as_txt_may_be_are_read),
		T(test_macros_that_grow_are_bounded),
		T(test_no_byte_of_a_record_may_be_odd),
		T(test_domains_that_can_have_no_record_have_none),
		T(test_a_client_without_an_address_has_no_result),
		T(test_ipv4_in_ipv6_s_clothes_is_ipv4),
		T(test_the_loopback_is_a_client_like_others),
		T(test_prefixes_cover_what_they_say),
		T(test_a_host_of_many_addresses_matches_by_any),
		T(test_a_local_part_in_utf8_matches_no_name),
		T(test_odd_bytes_in_names_are_asked_for_escaped),
		T(test_trouble_with_dns_is_temporary),
		T(test_trouble_that_does_not_matter_is_none),
		T(test_hosts_are_looked_at_by_preference),
		T(test_what_comes_first_decides),
		T(test_problems_name_the_place),
		T(test_the_term_that_decides_is_named),
		T(test_explanations_are_those_of_the_record_that_fails),
		T(test_explanations_are_cut),
		T(test_a_sender_without_a_local_part_is_postmaster),
		T(test_macros_are_split_reversed_and_cut),
		T(test_long_names_lose_labels_from_the_left),
		T(test_names_are_put_into_the_usual_form),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}

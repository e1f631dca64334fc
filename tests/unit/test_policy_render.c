/* Texts with their fields filled in: what they say, how long they get, and that nothing from
 * outside does harm in them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "lib/base/error.h"
#include "lib/base/fail.h"
#include "policy/evaluate.h"
#include "policy/text.h"
#include "tests/unit/policy_facts.h"
#include "tests/unit/rules_texts.h"

struct scene {
	struct policy *policy;
	struct arena *arena;
	struct fact_value *at[STAGE_COUNT];
	struct subject subject;
	struct evaluation *e;
};

static void scene_of(struct scene *s, struct rules *rules)
{
	memset(s, 0, sizeof(*s));
	s->policy = policy_new(rules);
	s->arena = arena_new(4096);
	for (int i = 0; i < STAGE_COUNT; i++) {
		s->at[i] = arena_alloc(
			s->arena, (s->policy->rules->n_at[i] + 1) * sizeof(struct fact_value));
		s->subject.at[i] = s->at[i];
	}
	s->e = evaluation_new(s->policy, s->arena);
}

static void scene_begin(struct scene *s, const char *rules)
{
	scene_of(s, rules_of(rules));
}

static void scene_end(struct scene *s)
{
	policy_free(&s->policy);
	arena_free(&s->arena);
}

static struct fact_value *value_of(struct scene *s, const char *name)
{
	for (size_t i = 0; i < s->policy->n_slots; i++) {
		const struct slot *slot = s->policy->rules->slots[i];

		if (strcmp(slot->name, name) == 0)
			return &s->at[slot->stage][slot->index];
	}
	fail_msg("no rule reads %s", name);
	return NULL;
}

static void give(struct scene *s, const char *name, const char *value)
{
	const struct fact *fact = NULL;
	struct err why;

	for (size_t i = 0; i < s->policy->n_slots; i++)
		if (strcmp(s->policy->rules->slots[i]->name, name) == 0)
			fact = s->policy->rules->slots[i]->fact;
	assert_non_null(fact);
	if (!fact_value_read(fact, span_text(value), s->arena, value_of(s, name), &why))
		fail_msg("%s", why.text);
}

/* A text as a filter would give it, whatever is in it. */
static void give_bytes(struct scene *s, const char *name, struct span bytes)
{
	union fact_datum *datum = arena_alloc(s->arena, sizeof(*datum));

	datum->text = bytes;
	*value_of(s, name) = (struct fact_value){FACT_KNOWN, 1, datum, NULL};
}

/* The text of the last action of the last rule. */
static bool render(struct scene *s, bool ascii, struct buffer *out)
{
	const struct rule *rule = policy_rule(s->policy, s->policy->n_rules - 1);
	const struct action *a = rule->actions;
	struct render r = {s->e, &s->subject, rule, SPAN("SID123"), ascii};

	evaluation_run(s->e, &s->subject);
	while (a->next)
		a = a->next;
	return text_render(a->text, &r, out);
}

static void expect(struct scene *s, bool ascii, const char *expected)
{
	struct buffer out = BUFFER_INIT(4096);

	assert_true(render(s, ascii, &out));
	assert_string_equal(buffer_string(&out), expected);
	buffer_free(&out);
}

/* --- what fields say --- */

static void test_values(void **state)
{
	struct scene s;

	(void)state;
	scene_begin(&s,
		"rule x { then header add \"X-A\" \"{{{client.ip}} {client.asn} {tls} {spf} "
		"{mail.from} {message.size}: {client.reputation}\" }");
	expect(&s, false, "{?} ? ? ? ? ?: ?");
	give(&s, "client.ip", "2001:db8::1");
	give(&s, "client.asn", "64496");
	give(&s, "tls", "yes");
	give(&s, "spf", "softfail");
	give(&s, "mail.from", "<>");
	give(&s, "message.size", "4KB");
	give(&s, "client.reputation", "-0.25");
	expect(&s, false, "{2001:db8::1} 64496 yes softfail <> 4096: -0.25");
	give(&s, "client.asn", "none");
	*value_of(&s, "tls") = (struct fact_value){FACT_FAILED, 0, NULL, "why"};
	give(&s, "mail.from", "a@example.com");
	expect(&s, false, "{2001:db8::1}  ? softfail a@example.com 4096: -0.25");
	scene_end(&s);
}

static void test_many_values(void **state)
{
	struct scene s;

	(void)state;
	scene_begin(
		&s, "rule x { then header add \"X-A\" \"[{dkim.domains}] [{attachment.size}]\" }");
	give(&s, "dkim.domains", "a.example, b.example");
	give(&s, "attachment.size", "none");
	expect(&s, false, "[a.example, b.example] []");
	scene_end(&s);
}

static void test_score_rule_sid(void **state)
{
	struct scene s;

	(void)state;
	scene_begin(&s, "rule a { when tls then score 4.25 }\n"
			"rule b { when spf == fail then score 10 }\n"
			"rule c { then score -6.5 }\n"
			"rule last { then header add \"X-A\" \"{score} {rule} {sid}\" }");
	give(&s, "tls", "yes");
	expect(&s, false, "-2.25 last SID123"); /* what it is at least, while more may come */
	give(&s, "spf", "fail");
	expect(&s, false, "7.75 last SID123");
	scene_end(&s);
}

static void test_scores_as_people_write_them(void **state)
{
	static const struct {
		int64_t score;
		const char *text;
	} cases[] = {{0, "0"}, {1000, "1"}, {1500, "1.5"}, {-1500, "-1.5"}, {50, "0.05"},
		{-1, "-0.001"}, {120, "0.12"}, {10000000, "10000"},
		{INT64_MIN, "-9223372036854775.808"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buffer out = BUFFER_INIT(100);

		assert_true(score_write(cases[i].score, &out));
		assert_string_equal(buffer_string(&out), cases[i].text);
		buffer_free(&out);
	}
}

/* Those of the rules above that are true; neither a later one nor one that only watches. */
static void test_tags(void **state)
{
	struct scene s;

	(void)state;
	scene_begin(&s, "rule a { when tls then tag \"one\", tag \"two\" }\n"
			"rule b { when not tls then tag \"three\" }\n"
			"rule m monitor { then tag \"four\" }\n"
			"rule x { then tag \"own\", header add \"X-A\" \"[{tags}]\" }");
	give(&s, "tls", "yes");
	expect(&s, false, "[one, two]");
	scene_end(&s);
	scene_begin(&s, "rule a { then tag \"one\", tag \"two\" } rule b { then tag \"One\" }\n"
			"rule c { then tag \"three\" }\n"
			"rule x { then header add \"X-A\" \"[{tags}]\" }");
	expect(&s, false, "[one, two, three]");
	scene_end(&s);
	scene_begin(&s, "rule x { then header add \"X-A\" \"[{tags}]\" }");
	expect(&s, false, "[]");
	scene_end(&s);
}

/* --- {list.reason}, {list.item} --- */

static void test_list_hits(void **state)
{
	struct scene s;

	(void)state;
	scene_begin(&s, "list bad : cidr { 192.0.2.0/24 }\n"
			"list senders : mail { \"Spam@example.com\" }\n"
			"rule x { when client.ip in @bad or mail.from in @senders\n"
			"         then reject \"<{list.reason}> <{list.item}>\" }");
	give(&s, "client.ip", "192.0.2.9");
	expect(&s, false, "<> <192.0.2.0/24>");
	give(&s, "client.ip", "10.0.0.1");
	evaluation_restart(s.e);
	expect(&s, false, "<> <>");
	give(&s, "mail.from", "spam@example.COM");
	expect(&s, false, "<> <Spam@example.com>");
	scene_end(&s);
}

static void test_reasons_from_a_file(void **state)
{
	static const struct text_file files[] = {
		{"lists/bad", "192.0.2.0/24 ; SBL123\n192.0.2.7 ; the one\n198.51.100.1\n"},
		{NULL, NULL}};
	struct buffer report = BUFFER_INIT(4096);
	size_t n_warnings;
	struct scene s;

	(void)state;
	scene_of(&s, rules_of_files("list bad : cidr from file \"lists/bad\"\n"
				    "rule x { when not client.asn == 1 and client.ip in @bad\n"
				    "         then reject \"{list.item}: {list.reason}\" }",
			     files, &report, &n_warnings));
	give(&s, "client.asn", "2");
	give(&s, "client.ip", "192.0.2.8");
	expect(&s, false, "192.0.2.0/24: SBL123");
	give(&s, "client.ip", "192.0.2.7");
	expect(&s, false, "192.0.2.7: the one");
	give(&s, "client.ip", "198.51.100.1");
	expect(&s, false, "198.51.100.1: ");
	scene_end(&s);
	buffer_free(&report);
}

static void test_dnsbl_hit_names_the_zone(void **state)
{
	union fact_datum answer = {.number = 0};
	struct scene s;

	(void)state;
	scene_begin(&s, "list zen : ip from dnsbl \"zen.example\"\n"
			"rule x { when client.ip in @zen then reject \"{list.reason}\" }");
	assert_true(ip_parse(SPAN("127.0.0.2"), &answer.ip));
	for (size_t i = 0; i < s.policy->n_slots; i++) {
		const struct slot *slot = s.policy->rules->slots[i];

		if (slot->list)
			s.at[slot->stage][slot->index] =
				(struct fact_value){FACT_KNOWN, 1, &answer, NULL};
	}
	expect(&s, false, "zen.example");
	scene_end(&s);
}

/* --- harmless --- */

static void test_nothing_ends_a_line_or_speaks_to_a_terminal(void **state)
{
	struct scene s;

	(void)state;
	scene_begin(&s, "rule x { then header add \"X-A\" \"[{subject}]\" }");
	give_bytes(&s, "subject", SPAN("a\r\nBcc: b\tc"));
	expect(&s, false, "[a??Bcc: b c]");
	give_bytes(&s, "subject", SPAN("\x1b[31m\x7f\0x"));
	expect(&s, false, "[?[31m??x]");
	give_bytes(&s, "subject",
		SPAN("\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\xc2\x9b")); /* NEL, LS, PS, CSI */
	expect(&s, false, "[????]");
	give_bytes(&s, "subject", SPAN("\xff\xc3(\xed\xa0\x80")); /* no UTF-8, half of a pair */
	expect(&s, false, "[?\?(???]");
	give_bytes(&s, "subject", SPAN("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"));
	expect(&s, false, "[gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80]");
	expect(&s, true, "[gr?? ? ?]");
	give_bytes(&s, "subject", SPAN("{score}")); /* fields are not filled in twice */
	expect(&s, false, "[{score}]");
	scene_end(&s);
}

static void test_all_bytes_are_harmless(void **state)
{
	struct buffer out = BUFFER_INIT(4096);
	struct scene s;

	(void)state;
	scene_begin(&s, "rule x { then header add \"X-A\" \"{subject}\" }");
	for (unsigned first = 0; first < 256; first++)
		for (unsigned second = 0; second < 256; second++) {
			char bytes[2] = {(char)first, (char)second};

			buffer_clear(&out);
			give_bytes(&s, "subject", span_make(bytes, 2));
			assert_true(render(&s, true, &out));
			for (size_t i = 0; i < out.len; i++)
				assert_in_range((unsigned char)buffer_span(&out).at[i], 0x20, 0x7e);
		}
	buffer_free(&out);
	scene_end(&s);
}

/* --- limits --- */

static void test_long_fields_are_cut(void **state)
{
	char *text = memory_new(100000);
	struct buffer out = BUFFER_INIT(4096);
	struct scene s;

	(void)state;
	memset(text, 'a', 100000);
	scene_begin(&s, "rule x { then header add \"X-A\" \"{subject}\" }");
	for (size_t len = FIELD_TEXT_MAX - 3; len <= FIELD_TEXT_MAX; len++) {
		buffer_clear(&out);
		give_bytes(&s, "subject", span_make(text, len));
		assert_true(render(&s, false, &out));
		assert_int_equal(out.len, len);
	}
	for (size_t len = FIELD_TEXT_MAX + 1; len <= 100000; len = len * 3 / 2) {
		buffer_clear(&out);
		give_bytes(&s, "subject", span_make(text, len));
		assert_true(render(&s, false, &out));
		assert_int_equal(out.len, FIELD_TEXT_MAX);
		assert_memory_equal(buffer_span(&out).at + FIELD_TEXT_MAX - 4, "a...", 4);
	}
	/* Whole characters only. */
	for (size_t i = 0; i + 3 < 100000; i += 3)
		memcpy(text + i, "\xe2\x82\xac", 3);
	buffer_clear(&out);
	give_bytes(&s, "subject", span_make(text, 3 * FIELD_TEXT_MAX));
	assert_true(render(&s, false, &out));
	assert_in_range(out.len, FIELD_TEXT_MAX - 2, FIELD_TEXT_MAX);
	assert_memory_equal(buffer_span(&out).at + out.len - 6, "\xe2\x82\xac...", 6);
	free(text);
	buffer_free(&out);
	scene_end(&s);
}

static void test_many_values_are_cut(void **state)
{
	union fact_datum items[FACT_ITEMS_MAX];
	struct buffer out = BUFFER_INIT(4096);
	struct scene s;

	(void)state;
	scene_begin(&s, "rule x { then header add \"X-A\" \"{dkim.domains}\" }");
	for (size_t i = 0; i < FACT_ITEMS_MAX; i++)
		items[i].text = SPAN("example.com");
	*value_of(&s, "dkim.domains") =
		(struct fact_value){FACT_KNOWN, FACT_ITEMS_MAX, items, NULL};
	assert_true(render(&s, false, &out));
	assert_int_equal(out.len, FIELD_TEXT_MAX);
	assert_memory_equal(buffer_span(&out).at, "example.com, example.com", 24);
	buffer_free(&out);
	scene_end(&s);
}

static void test_a_full_buffer_is_told(void **state)
{
	struct scene s;

	(void)state;
	scene_begin(&s, "rule x { then header add \"X-A\" \"abc{client.asn}{score}{rule}{sid}\" }");
	give(&s, "client.asn", "12345");
	for (size_t max = 0; max <= 16; max++) {
		struct buffer out = BUFFER_INIT(max);

		assert_true(render(&s, false, &out) == (max == 16));
		assert_true(out.len <= max);
		assert_memory_equal(buffer_span(&out).at, "abc123450xSID123", out.len);
		buffer_free(&out);
	}
	scene_end(&s);
}

static void test_no_text(void **state)
{
	struct buffer out = BUFFER_INIT(10);
	struct render r = {.sid = SPAN("x")};

	(void)state;
	assert_true(text_render(NULL, &r, &out));
	assert_int_equal(out.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_many_values),
		cmocka_unit_test(test_score_rule_sid),
		cmocka_unit_test(test_scores_as_people_write_them),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_list_hits),
		cmocka_unit_test(test_reasons_from_a_file),
		cmocka_unit_test(test_dnsbl_hit_names_the_zone),
		cmocka_unit_test(test_nothing_ends_a_line_or_speaks_to_a_terminal),
		cmocka_unit_test(test_all_bytes_are_harmless),
		cmocka_unit_test(test_long_fields_are_cut),
		cmocka_unit_test(test_many_values_are_cut),
		cmocka_unit_test(test_a_full_buffer_is_told),
		cmocka_unit_test(test_no_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

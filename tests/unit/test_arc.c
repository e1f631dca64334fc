/*
 * RFC 8617 5.2, step by step. What the canonicalisations and the seals are is compared with other
 * validators in tests/oracle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/mail/header.h"
#include "tests/unit/arc_play.h"

enum { NOW = 1800000000 };

static const char headers[] =
	"From: joe@example.com\r\nTo: list@example.net\r\nSubject:  Hello\r\n";
static const char body[] = "Hi  there \r\n\r\nbye\r\n\r\n";

static struct arc_play *sealed(const struct arc_play_set *set)
{
	struct arc_play *play = arc_play_new(headers, body);

	arc_play_seal(play, set);
	return play;
}

/* So many usual sets. */
static struct arc_play *chain(unsigned n)
{
	struct arc_play *play = arc_play_new(headers, body);

	for (unsigned i = 1; i <= n; i++)
		arc_play_seal(play, &(struct arc_play_set){.i = i});
	return play;
}

/* Judges and frees. The end of the problem is compared. */
static void assert_code(struct arc_play *play, enum arc_code code, const char *problem)
{
	arc_play_judge(play, NOW);
	if (play->result.code != code ||
		!span_ends_nocase(play->result.problem, span_text(problem)) ||
		(problem[0] == '\0' && play->result.problem.len))
		fail_msg("code %d: %.*s", play->result.code, SPAN_ARGS(play->result.problem));
	if (code != ARC_IS_PASS) {
		assert_int_equal(play->result.n_sealers, 0);
		assert_int_equal(play->result.results.len, 0);
	}
	arc_play_free(&play);
}

static void assert_passes(struct arc_play *play)
{
	assert_code(play, ARC_IS_PASS, "");
}

static void assert_fails(struct arc_play *play, const char *problem)
{
	assert_code(play, ARC_IS_FAIL, problem);
}

/* It is known before any key and any of the body. */
static void assert_fails_early(struct arc_play *play, const char *problem)
{
	arc_play_judge(play, NOW);
	assert_false(play->needed_body);
	assert_int_equal(play->n_wanted, 0);
	assert_fails(play, problem);
}

static void test_a_message_without_sets_has_no_chain(void **state)
{
	struct arc_play *play = arc_play_new(headers, body);

	(void)state;
	arc_play_judge(play, NOW);
	assert_false(play->needed_body);
	assert_code(play, ARC_IS_NONE, "");
	assert_code(arc_play_new("", ""), ARC_IS_NONE, "");
}

static void test_a_chain_tells_who_sealed_and_what_the_last_one_saw(void **state)
{
	struct arc_play *play = arc_play_new(headers, body);

	(void)state;
	arc_play_seal(play, &(struct arc_play_set){.i = 1});
	arc_play_seal(play, &(struct arc_play_set){.i = 2, .domain = "two.example", .key = "c"});
	arc_play_seal(play, &(struct arc_play_set){.i = 3,
				    .domain = "Three.example",
				    .key = "ed25519",
				    .results = "mx3.example;\r\n\tspf=fail"});
	arc_play_judge(play, NOW);
	assert_int_equal(play->result.code, ARC_IS_PASS);
	assert_int_equal(play->result.n_sealers, 3);
	assert_true(span_equal(play->result.sealers[0], SPAN("one.example")));
	assert_true(span_equal(play->result.sealers[1], SPAN("two.example")));
	assert_true(span_equal(play->result.sealers[2], SPAN("Three.example")));
	assert_true(span_equal(play->result.results, SPAN("mx3.example;\tspf=fail")));
	assert_int_equal(play->result.oldest_pass, 0);
	arc_play_free(&play);
}

static void test_keys_are_asked_for_once(void **state)
{
	struct arena *arena = arena_new(1024);
	struct arc_play *play = chain(3);
	struct wants wants = {.arena = arena};
	struct arc *arc = arc_begin(buffer_span(&play->headers), NOW, arena);

	(void)state;
	arc_wants(arc, answers_new(arena), &wants);
	assert_int_equal(wants.n, 1);
	assert_true(span_equal(wants.items[0].name, SPAN("a._domainkey.one.example")));
	assert_int_equal(wants.items[0].type, ANSWER_TXT);
	wants.n = 0;
	arc_wants(arc, play->answers, &wants);
	assert_int_equal(wants.n, 0);
	arc_free(&arc);
	arc_free(&arc);
	arena_free(&arena);
	arc_play_free(&play);
}

static void test_fifty_sets_are_the_most(void **state)
{
	struct arc_play *play = chain(50);

	(void)state;
	assert_passes(play);
	play = arc_play_new(headers, body);
	arc_play_seal(play, &(struct arc_play_set){.i = 51, .cv = "none"});
	assert_fails_early(play, "i= is not a number from 1 to 50");
	play = chain(1);
	arc_play_replace(play, "Results: i=1", "Results: i=100");
	assert_fails_early(play, "it does not begin with i= and a number from 1 to 50");
	play = chain(1);
	arc_play_replace(play, "ARC-Seal: i=1", "ARC-Seal: i=51");
	assert_fails_early(play, "i= is not a number from 1 to 50");
	play = chain(1);
	arc_play_replace(play, "ARC-Message-Signature: i=1", "ARC-Message-Signature: i=0");
	assert_fails_early(play, "i= is not a number from 1 to 50");
}

static void test_each_set_is_there_once_and_whole(void **state)
{
	static const char *const kinds[] = {
		"ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"};

	(void)state;
	for (size_t k = 0; k < COUNT_OF(kinds); k++) {
		struct arc_play *play = chain(2);

		arc_play_replace(play, kinds[k], "X-Other");
		assert_fails_early(play, "i=2: the set is not complete");
	}
	for (size_t k = 0; k < COUNT_OF(kinds); k++) {
		struct arc_play *play = chain(1);
		struct span section = buffer_span(&play->headers);
		struct header_field field = {.raw = SPAN_NONE};

		for (size_t n = 0; n <= k; n++)
			assert_true(header_next(&section, &field));
		arc_play_above(play, arena_string(play->arena, field.raw));
		assert_fails_early(play, "i=1: a field stands there twice");
	}
}

static void test_no_set_may_be_missing_below(void **state)
{
	struct arc_play *play = arc_play_new(headers, body);

	(void)state;
	arc_play_seal(play, &(struct arc_play_set){.i = 2});
	assert_fails_early(play, "i=1: the set is not complete");
	play = chain(1);
	arc_play_seal(play, &(struct arc_play_set){.i = 3});
	assert_fails_early(play, "i=2: the set is not complete");
}

static void test_what_sealers_said_of_the_chain_counts(void **state)
{
	struct arc_play *play = chain(1);

	(void)state;
	arc_play_seal(play, &(struct arc_play_set){.i = 2, .cv = "fail"});
	assert_fails_early(play, "i=2: the sealer found the chain broken");
	assert_fails_early(sealed(&(struct arc_play_set){.i = 1, .cv = "pass"}), "cv= is not none");
	play = chain(1);
	arc_play_seal(play, &(struct arc_play_set){.i = 2, .cv = "none"});
	assert_fails_early(play, "i=2: cv= is not pass");
	play = sealed(&(struct arc_play_set){.i = 1, .cv = "fail"});
	arc_play_seal(play, &(struct arc_play_set){.i = 2});
	assert_fails_early(play, "i=1: cv= is not none");
	assert_fails_early(sealed(&(struct arc_play_set){.i = 1, .cv = "None"}),
		"cv= is none of none, pass and fail");
}

static void test_what_is_signed_may_not_change(void **state)
{
	struct arc_play *play = chain(2);

	(void)state;
	play->body = SPAN("Hi there\r\n\r\nbye\r\n"); /* relaxed */
	assert_passes(play);
	play = chain(2);
	play->body = SPAN("Hi there\r\n\r\nbye!\r\n");
	assert_fails(play, "i=2: the message signature: the body was changed");
	play = chain(2);
	arc_play_replace(play, "Hello", "HELLO");
	assert_fails(play, "i=2: the message signature: the signature is not by this key or for "
			   "other content");
	play = chain(3);
	arc_play_replace(play, "i=1; mx.example; spf=pass", "i=1; mx.example; spf=fail");
	assert_fails(play, "i=3: the seal: the signature is not by this key or for other content");
	play = chain(1);
	arc_play_replace(play, "none;\r\n\tb=", "none;\r\n\tb=!");
	assert_fails(play, "i=1: the seal: b= is not base64, or too long");
}

static void test_only_the_last_message_signature_has_to_be_valid(void **state)
{
	struct arc_play *play = chain(2);

	(void)state;
	arc_play_replace(play, "Hello", "[list] Hello");
	for (unsigned i = 3; i <= 5; i++)
		arc_play_seal(play, &(struct arc_play_set){.i = i});
	arc_play_judge(play, NOW);
	assert_int_equal(play->result.oldest_pass, 3);
	assert_passes(play);

	play = chain(1);
	play->body = SPAN("other\r\n");
	arc_play_seal(play, &(struct arc_play_set){.i = 2});
	arc_play_judge(play, NOW);
	assert_int_equal(play->result.oldest_pass, 2);
	assert_passes(play);

	play = sealed(&(struct arc_play_set){.i = 1, .h = "to"});
	arc_play_seal(play, &(struct arc_play_set){.i = 2});
	arc_play_judge(play, NOW);
	assert_int_equal(play->result.oldest_pass, 2);
	assert_passes(play);
}

static void test_canonicalisations(void **state)
{
	static const char *const ways[] = {"simple", "simple/simple", "simple/relaxed", "relaxed",
		"relaxed/simple", "relaxed/relaxed", ""};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ways); i++)
		assert_passes(sealed(&(struct arc_play_set){.i = 1, .c = ways[i]}));
	assert_fails_early(
		sealed(&(struct arc_play_set){.i = 1, .c = "nowsp"}), "c=, l= or q= is wrong");
	assert_fails_early(
		sealed(&(struct arc_play_set){.i = 1, .c = "relaxed/"}), "c=, l= or q= is wrong");
}

static void test_which_fields_are_signed(void **state)
{
	struct arc_play *play;

	(void)state;
	assert_fails_early(sealed(&(struct arc_play_set){.i = 1, .h = "to:subject"}),
		"h= leaves out From, or names ARC-Seal");
	assert_fails_early(sealed(&(struct arc_play_set){.i = 1, .h = "from:arc-seal"}),
		"h= leaves out From, or names ARC-Seal");
	assert_passes(sealed(&(struct arc_play_set){
		.i = 1, .h = "x-none:FROM:from:from::arc-message-signature"}));
	play = sealed(&(struct arc_play_set){.i = 1, .h = "from:from"});
	arc_play_above(play, "From: eve@example.org\r\n");
	assert_fails(play, "the signature is not by this key or for other content");
	play = sealed(&(struct arc_play_set){.i = 1, .h = "from"});
	arc_play_above(play, "From: eve@example.org\r\n");
	assert_fails(play, "there is a From that it does not sign");
}

static void test_tags(void **state)
{
	static const struct {
		const char *message_tags, *seal_tags, *problem;
	} cases[] = {
		{"v=7; zz=any; z=; ", "zz=any; ", ""},
		{"t=1700000000; ", "t=1700000000; ", ""},
		{"t=9999999999; ", NULL, ""},
		{"x=1800000000; ", "x=1800000000; ", ""},
		{"x=1799999999; ", NULL, "i=1: the message signature: the signature has expired"},
		{NULL, "x=1799999999; ", "i=1: the seal: the signature has expired"},
		{"t=1900000000; x=1900000000; ", NULL, "t= and x= are no times"},
		{"t=; ", NULL, "t= and x= are no times"},
		{NULL, "t=x; ", "t= and x= are no times"},
		{"x=1000000000000; ", NULL, "t= and x= are no times"},
		{NULL, "h=from; ", "h= is there"},
		{NULL, "d=one.example; ", "it is no list of tags"},
		{"h=from; ", NULL, "it is no list of tags"},
		{"q=dns/txt; ", NULL, ""},
		{"q=http : dns/txt; ", NULL, ""},
		{"q=http; ", NULL, "c=, l= or q= is wrong"},
		{"l=17; ", NULL, ""}, /* as long as the canonical body */
		{"l=16; ", NULL, "l= leaves out a part of the body, or is longer"},
		{"l=18; ", NULL, "l= leaves out a part of the body, or is longer"},
		{"l=18446744073709551615; ", NULL,
			"l= leaves out a part of the body, or is longer"},
		{"l=-1; ", NULL, "c=, l= or q= is wrong"},
		{"l=; ", NULL, "c=, l= or q= is wrong"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_code(sealed(&(struct arc_play_set){.i = 1,
				    .message_tags = cases[i].message_tags,
				    .seal_tags = cases[i].seal_tags}),
			cases[i].problem[0] ? ARC_IS_FAIL : ARC_IS_PASS, cases[i].problem);
}

static void test_algorithms_and_keys(void **state)
{
	const char *other = "the key is for another algorithm";

	(void)state;
	assert_fails_early(sealed(&(struct arc_play_set){.i = 1, .algorithm = "rsa-sha1"}),
		"a= is neither rsa-sha256 nor ed25519-sha256");
	assert_passes(sealed(&(struct arc_play_set){.i = 1, .key = "ed25519"}));
	assert_passes(sealed(&(struct arc_play_set){.i = 1, .key = "long"}));
	assert_passes(sealed(&(struct arc_play_set){.i = 1, .bare = true}));
	assert_fails(sealed(&(struct arc_play_set){.i = 1, .key = "longer"}),
		"b= is not base64, or too long");
	assert_fails(sealed(&(struct arc_play_set){.i = 1, .key = "short"}),
		"the key is shorter than 1024 bits");
	assert_fails(sealed(&(struct arc_play_set){.i = 1, .algorithm = "ed25519-sha256"}), other);
	assert_fails(sealed(&(struct arc_play_set){.i = 1, .record = "k=ed25519; p=%s"}), other);
	assert_fails(sealed(&(struct arc_play_set){.i = 1, .record = "h=sha1; p=%s"}),
		"the key is not for SHA-256");
	assert_passes(sealed(&(struct arc_play_set){.i = 1, .record = "h=sha1 : sha256; p=%s"}));
	assert_fails(sealed(&(struct arc_play_set){.i = 1, .record = "s=web; p=%s"}),
		"the key is not for mail");
	assert_passes(sealed(&(struct arc_play_set){.i = 1, .record = "s=web:email; t=y; p=%s"}));
	assert_fails(sealed(&(struct arc_play_set){.i = 1, .record = "p="}), "the key is revoked");
	assert_fails(sealed(&(struct arc_play_set){.i = 1, .record = "p=AAAA"}),
		"the key can't be read");
	assert_fails(
		sealed(&(struct arc_play_set){.i = 1, .record = "p=!%s"}), "the key can't be read");
	/* It should stand first; nothing hangs on it. */
	assert_passes(sealed(&(struct arc_play_set){.i = 1, .record = "p=%s; v=DKIM1"}));
	assert_fails(sealed(&(struct arc_play_set){.i = 1, .record = "p=%s; v=DKIM2"}),
		"the key record can't be read");
	assert_fails(sealed(&(struct arc_play_set){.i = 1, .record = "v=spf1 -all"}),
		"the key record can't be read");
}

static void test_what_dns_says(void **state)
{
	const char *name = "a._domainkey.one.example";
	struct arc_play *play;

	(void)state;
	play = arc_play_new(headers, body);
	arc_play_answer(play, name, ANSWER_NXDOMAIN, "");
	arc_play_seal(play, &(struct arc_play_set){.i = 1});
	arc_play_judge(play, NOW);
	assert_false(play->result.temporary);
	assert_fails(play, "there is no key");

	play = arc_play_new(headers, body);
	arc_play_answer(play, name, ANSWER_TROUBLE, "");
	arc_play_seal(play, &(struct arc_play_set){.i = 1});
	arc_play_judge(play, NOW);
	assert_true(play->result.temporary);
	assert_fails(play, "i=1: the message signature: the key is not known, DNS does not answer");

	/* Broken anyway. */
	play = arc_play_new(headers, body);
	arc_play_answer(play, name, ANSWER_TROUBLE, "");
	arc_play_seal(play, &(struct arc_play_set){.i = 1, .key = "b", .record = "p="});
	arc_play_seal(play, &(struct arc_play_set){.i = 2});
	arc_play_judge(play, NOW);
	assert_false(play->result.temporary);
	assert_fails(play, "i=1: the seal: the key is revoked");
}

/* RFC 6376 6.1.2 step 4 */
static void test_any_key_of_a_selector_will_do(void **state)
{
	struct arc_play *play = chain(1), *again = chain(1);
	const struct answer *known =
		answers_find(play->answers, SPAN("a._domainkey.one.example"), ANSWER_TXT);
	struct answer_record records[] = {
		{.text = SPAN("v=spf1 -all")}, {.text = SPAN("p=")}, known->records[0]};
	struct answer several = *known;

	(void)state;
	several.records = records;
	several.n_records = COUNT_OF(records);
	again->answers = answers_new(again->arena);
	assert_true(answers_add(again->answers, &several));
	assert_passes(again);
	arc_play_free(&play);
}

static void test_results_may_have_comments_before_their_end(void **state)
{
	struct arc_play *play = chain(1);

	(void)state;
	arc_play_replace(play, "Results: i=1;", "Results: (\\) x) i (;)=\r\n 01 (y);");
	arc_play_judge(play, NOW);
	/* The set is known; what was sealed has changed. */
	assert_fails(play, "i=1: the seal: the signature is not by this key or for other content");
	play = chain(1);
	arc_play_replace(play, "Results: i=1;", "Results: mx; i=1;");
	assert_fails_early(play, "it does not begin with i= and a number from 1 to 50");
	play = chain(1);
	arc_play_replace(play, "Results: i=1;", "Results: i=1 ");
	assert_fails_early(play, "it does not begin with i= and a number from 1 to 50");
	play = chain(1);
	arc_play_replace(play, "Results: i=1;", "Results: (i=1;");
	assert_fails_early(play, "it does not begin with i= and a number from 1 to 50");
}

static void test_a_huge_header_with_a_chain_fails(void **state)
{
	struct arc_play *play = chain(1);
	struct buffer many = BUFFER_INIT(1 << 20);

	(void)state;
	for (int i = 0; i < 10000; i++)
		assert_true(buffer_add_text(&many, "a:\r\n"));
	arc_play_above(play, buffer_string(&many));
	buffer_free(&many);
	assert_fails_early(play, "the header is too large");
}

static void test_huge_results_are_left_out(void **state)
{
	struct arc_play *play = arc_play_new(headers, body);
	char *huge = arena_alloc(play->arena, 20001);

	(void)state;
	memset(huge, 'x', 20000);
	arc_play_seal(play, &(struct arc_play_set){.i = 1, .results = huge});
	arc_play_judge(play, NOW);
	assert_int_equal(play->result.results.len, 0);
	assert_passes(play);
	play = arc_play_new(headers, body);
	arc_play_seal(play, &(struct arc_play_set){.i = 1, .results = ""});
	assert_passes(play);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_message_without_sets_has_no_chain),
		cmocka_unit_test(test_a_chain_tells_who_sealed_and_what_the_last_one_saw),
		cmocka_unit_test(test_keys_are_asked_for_once),
		cmocka_unit_test(test_fifty_sets_are_the_most),
		cmocka_unit_test(test_each_set_is_there_once_and_whole),
		cmocka_unit_test(test_no_set_may_be_missing_below),
		cmocka_unit_test(test_what_sealers_said_of_the_chain_counts),
		cmocka_unit_test(test_what_is_signed_may_not_change),
		cmocka_unit_test(test_only_the_last_message_signature_has_to_be_valid),
		cmocka_unit_test(test_canonicalisations),
		cmocka_unit_test(test_which_fields_are_signed),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_algorithms_and_keys),
		cmocka_unit_test(test_what_dns_says),
		cmocka_unit_test(test_any_key_of_a_selector_will_do),
		cmocka_unit_test(test_results_may_have_comments_before_their_end),
		cmocka_unit_test(test_a_huge_header_with_a_chain_fails),
		cmocka_unit_test(test_huge_results_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* dkim: which messages are verified, how their content gets there, and what the results become. The
 * verifier is played (authn_fake). */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/fake/authn_fake.h"
#include "tests/unit/filter_play.h"

#define SIGNED                                                                                     \
	"Subject: one\r\n"                                                                         \
	"DKIM-Signature : v=1; a=rsa-sha256; d=example.org; s=one;\r\n\tb=abcde\r\n\r\n"
#define BODY "Hello,\r\n\r\nthis is a body of some lines.\r\n"

static struct filter_play *play;
static struct authn_script script;
static struct buffer result;

static void message(const char *headers, const char *body)
{
	play->view.headers = span_text(headers);
	play->content = span_text(arena_print(play->arena, "%s%s", headers, body));
}

static void answers(const struct dkim_signature *signatures, size_t n, size_t n_more)
{
	struct dkim_result of = {signatures, n, n_more};

	buffer_clear(&result);
	assert_true(dkim_result_write(&of, &result));
	script.outcome = AUTHN_ANSWERED;
	script.result = buffer_span(&result);
}

static const struct dkim_signature passes = {.code = DKIM_IS_PASS,
	.domain = {"example.org", 11},
	.selector = {"one", 3},
	.identity = {"@example.org", 12},
	.algorithm = {"rsa-sha256", 10},
	.start = {"ab/d+fgh", 8},
	.key_bits = 2048};

static struct dkim_signature with(enum dkim_code code, const char *domain, const char *problem)
{
	struct dkim_signature signature = passes;

	signature.code = code;
	signature.domain = span_text(domain);
	signature.problem = span_text(problem);
	return signature;
}

static int setup(void **state)
{
	(void)state;
	play = filter_play_new("one._domainkey.example.org TXT 300 \"v=DKIM1; p=abcd\"\n");
	play->authn = authn_fake_new(&play->loop);
	result = BUFFER_INIT(64 * 1024);
	script = (struct authn_script){.kind = AUTHN_DKIM, .whole = true};
	answers(&passes, 1, 0);
	authn_fake_add(play->authn, &script);
	assert_true(endpoint_parse(SPAN("192.0.2.7:4711"), &play->view.client));
	message(SIGNED, BODY);
	return 0;
}

static int teardown(void **state)
{
	struct authn *authn = play->authn;

	(void)state;
	filter_play_free(&play);
	authn_fake_free(&authn);
	authn_script_clear(&script);
	buffer_free(&result);
	return 0;
}

static const char *measure(void)
{
	static const char *const facts[] = {"dkim", "dkim.domains", "dkim.authres"};

	return filter_play_measure_all(play, facts, 3);
}

/* --- the message --- */

static void test_unsigned(void **state)
{
	(void)state;
	message("Subject: one\r\nX-DKIM-Signature: no\r\n\r\n", BODY);
	assert_string_equal(measure(), "none | none | dkim=none");
	message("", "\r\n");
	assert_string_equal(measure(), "none | none | dkim=none");
	assert_int_equal(script.started, 0);
}

static void test_content(void **state)
{
	(void)state;
	assert_fact(play, "dkim", "pass");
	assert_true(span_equal(buffer_span(&script.request), SPAN(SIGNED)));
	assert_true(span_equal(buffer_span(&script.body), SPAN(BODY)));
	message(SIGNED, "");
	assert_fact(play, "dkim", "pass");
	assert_int_equal(script.body.len, 0);
}

/* All of it was there before the call began, and what had come is sent again after a death. */
static void test_content_again(void **state)
{
	(void)state;
	script.again = 3;
	assert_fact(play, "dkim", "pass");
	assert_true(span_equal(buffer_span(&script.body), SPAN(BODY)));
	assert_int_equal(script.ended, 1);
}

/* What is read of the body is never more than it was told of, whatever is there already. */
static void test_content_read(void **state)
{
	(void)state;
	script.lazy = true;
	assert_fact(play, "dkim", "pass");
	assert_true(span_equal(buffer_span(&script.body), SPAN(BODY)));
	play->ahead = true;
	assert_fact(play, "dkim", "pass");
	assert_true(span_equal(buffer_span(&script.body), SPAN(BODY)));
}

/* The verifier needs no body, and has answered before it is there. */
static void test_early_answer(void **state)
{
	(void)state;
	script.whole = false;
	assert_fact(play, "dkim", "pass");
}

/* Of what reads like a signature the key is told without being wanted. */
static void test_key_unasked(void **state)
{
	(void)state;
	script.rounds[0] = "TXT one._domainkey.example.org";
	assert_fact(play, "dkim", "pass"); /* the cache has it */
	script.rounds[0] = NULL;
	script.asked = 0;
	buffer_clear(&script.told);
	assert_fact(play, "dkim", "pass");
	assert_int_equal(script.asked, 0);
	assert_string_equal(
		buffer_string(&script.told), "TXT one._domainkey.example.org=v=DKIM1; p=abcd; ");
	buffer_clear(&script.told);
	message("DKIM-Signature: d=example.org\r\n"
		"DKIM-Signature: d=example.org; s=a b\r\n"
		"DKIM-Signature: d=a\xff.example; s=one\r\n"
		"DKIM-Signature: nonsense\r\n\r\n",
		BODY);
	assert_fact(play, "dkim", "pass");
	assert_int_equal(script.told.len, 0);
	assert_int_equal(dns_play_count(play->names, NULL), 1);
}

/* Nobody looks at more signatures than ten. */
static void test_keys_of_many(void **state)
{
	struct buffer section = BUFFER_INIT(64 * 1024);

	(void)state;
	for (int i = 0; i < 50; i++)
		assert_true(buffer_print(&section, "DKIM-Signature: d=example.org; s=s%d\r\n", i));
	assert_true(buffer_add_text(&section, "\r\n"));
	message(buffer_string(&section), BODY);
	assert_fact(play, "dkim", "pass");
	assert_int_equal(dns_play_count(play->names, NULL), DKIM_SIGNATURES_MAX);
	buffer_free(&section);
}

static void test_key(void **state)
{
	(void)state;
	script.rounds[0] = "TXT one._domainkey.example.org, TXT two._domainkey.example.org, "
			   "TXT broken.example";
	dns_play_fault(play->names, "broken.example", DNS_PLAY_SERVFAIL);
	assert_fact(play, "dkim", "pass");
	assert_non_null(strstr(
		buffer_string(&script.told), "TXT one._domainkey.example.org=v=DKIM1; p=abcd; "));
	assert_non_null(
		strstr(buffer_string(&script.told), "TXT two._domainkey.example.org=nxdomain; "));
	assert_non_null(strstr(buffer_string(&script.told), "TXT broken.example=trouble; "));
}

/* --- results --- */

static void test_authres(void **state)
{
	(void)state;
	assert_string_equal(measure(),
		"pass | example.org | dkim=pass (2048-bit key) header.d=example.org "
		"header.i=@example.org header.s=one header.a=rsa-sha256 header.b=\"ab/d+fgh\"");
}

static void test_best_result(void **state)
{
	static const struct {
		enum dkim_code one, other, best;
	} cases[] = {
		{DKIM_IS_FAIL, DKIM_IS_PASS, DKIM_IS_PASS},
		{DKIM_IS_PASS, DKIM_IS_POLICY, DKIM_IS_PASS},
		{DKIM_IS_POLICY, DKIM_IS_TEMPERROR, DKIM_IS_POLICY},
		{DKIM_IS_FAIL, DKIM_IS_TEMPERROR, DKIM_IS_TEMPERROR},
		{DKIM_IS_PERMERROR, DKIM_IS_FAIL, DKIM_IS_FAIL},
		{DKIM_IS_PERMERROR, DKIM_IS_PERMERROR, DKIM_IS_PERMERROR},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct dkim_signature both[2] = {
			with(cases[i].one, "a.example", ""), with(cases[i].other, "b.example", "")};

		answers(both, 2, 0);
		assert_fact(play, "dkim", dkim_code_name(cases[i].best));
	}
}

static void test_several_signatures(void **state)
{
	struct dkim_signature four[4] = {with(DKIM_IS_FAIL, "a.example", "the body was changed"),
		with(DKIM_IS_PASS, "b.example", ""), with(DKIM_IS_PASS, "B.example", ""),
		with(DKIM_IS_PASS, "c.example", "")};

	(void)state;
	answers(four, 4, 3);
	assert_fact(play, "dkim.domains", "b.example, c.example");
	assert_non_null(strstr(filter_play_measure(play, "dkim.authres"),
		"dkim=fail reason=\"the body was changed\" (2048-bit key) header.d=a.example"));
	assert_non_null(strstr(filter_play_measure(play, "dkim.authres"),
		"dkim=policy reason=\"there are more signatures than are looked at\""));
}

/* What comes from the message or its signer's DNS stays where it belongs. */
static void test_hostile_values(void **state)
{
	struct dkim_signature hostile = {.code = DKIM_IS_FAIL,
		.domain = SPAN("exa mple.org; spf=pass"),
		.selector = SPAN("\" X: y"),
		.identity = SPAN("a\"b c@example.org"),
		.algorithm = SPAN("rsa(\xff)"),
		.start = SPAN("\";\\"),
		.problem = SPAN("say \"no\"\t\xc3\xa9")};

	(void)state;
	answers(&hostile, 1, 0);
	assert_fact(play, "dkim.authres",
		"dkim=fail reason=\"say \\\"no\\\"%09%C3%A9\" header.i=\"a\\\"b c\"@example.org "
		"header.b=\"\\\";\\\\\"");
}

static void test_outcomes(void **state)
{
	(void)state;
	script.outcome = AUTHN_POISONOUS;
	assert_string_equal(measure(), "permerror | none | dkim=permerror reason=\"the signatures "
				       "can't be evaluated\"");
	script.outcome = AUTHN_ANSWERED;
	script.result = SPAN("nonsense");
	assert_fact(play, "dkim", "permerror");
	script.outcome = AUTHN_AWAY;
	assert_string_equal(measure(), "failed: there is no process to verify it | "
				       "failed: there is no process to verify it | "
				       "failed: there is no process to verify it");
}

static void test_no_process(void **state)
{
	struct authn *authn = play->authn;

	(void)state;
	play->authn = NULL;
	assert_fact(play, "dkim", "failed: there is no process to verify it");
	message("Subject: one\r\n\r\n", BODY);
	assert_fact(play, "dkim", "none");
	play->authn = authn;
}

/* Nobody knows who has signed it, so that dkim.domains is no list without anybody. */
static void test_deadline(void **state)
{
	(void)state;
	assert_null(filter_play_configure(play, "dkim", "timeout 1ms"));
	script.outcome = AUTHN_PENDING;
	assert_string_equal(measure(), "temperror | failed: timed out | dkim=temperror "
				       "reason=\"no answer in time\"");
	assert_int_equal(script.cancelled, 1);
}

static void test_cancelled(void **state)
{
	(void)state;
	filter_play_abandon(play, "dkim");
	assert_int_equal(script.cancelled, 1);
	script.rounds[0] = "TXT never.example";
	dns_play_fault(play->names, "never.example", DNS_PLAY_DROP);
	filter_play_abandon(play, "dkim.domains");
	assert_int_equal(script.cancelled, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unsigned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_content, setup, teardown),
		cmocka_unit_test_setup_teardown(test_content_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_content_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_early_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_key_unasked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_of_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_authres, setup, teardown),
		cmocka_unit_test_setup_teardown(test_best_result, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_signatures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outcomes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* arc: which messages are verified, and what a chain becomes. The verifier is played (authn_fake).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/fake/authn_fake.h"
#include "tests/unit/filter_play.h"

#define SEALED "Subject: one\r\nARC-Seal: i=1; cv=none; d=example.org; s=one; b=abcd\r\n\r\n"
#define BODY   "Hello,\r\n\r\nthis is a body of some lines.\r\n"

static const struct span sealers[] = {
	{"lists.example", 13}, {"Example.org", 11}, {"LISTS.example", 13}};

static const char *const all[] = {"arc", "arc.sealers", "arc.spf", "arc.dkim", "arc.dmarc"};

static struct filter_play *play;
static struct authn_script script;
static struct buffer result;

static void message(const char *headers, const char *body)
{
	play->view.headers = span_text(headers);
	play->content = span_text(arena_print(play->arena, "%s%s", headers, body));
}

static void answers(const struct arc_result *of)
{
	buffer_clear(&result);
	assert_true(arc_result_write(of, &result));
	script.outcome = AUTHN_ANSWERED;
	script.result = buffer_span(&result);
}

static void passes_since(const char *results, unsigned oldest)
{
	struct arc_result of = {.code = ARC_IS_PASS,
		.sealers = sealers,
		.n_sealers = COUNT_OF(sealers),
		.results = span_text(results),
		.oldest_pass = oldest};

	answers(&of);
}

static void passes(const char *results)
{
	passes_since(results, 0);
}

static int setup(void **state)
{
	(void)state;
	play = filter_play_new("one._domainkey.example.org TXT 300 \"v=DKIM1; p=abcd\"\n");
	play->authn = authn_fake_new(&play->loop);
	result = BUFFER_INIT(64 * 1024);
	script = (struct authn_script){.kind = AUTHN_ARC, .whole = true};
	passes("mx.example.org; spf=softfail smtp.mailfrom=a.example; dkim=pass; dmarc=fail");
	authn_fake_add(play->authn, &script);
	assert_true(endpoint_parse(SPAN("192.0.2.7:4711"), &play->view.client));
	message(SEALED, BODY);
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
	return filter_play_measure_all(play, all, 5);
}

static void test_not_sealed(void **state)
{
	(void)state;
	message("Subject: one\r\nX-ARC-Seal: i=1\r\n\r\n", BODY);
	assert_string_equal(measure(), "none | none | none | none | none");
	assert_fact(play, "arc.authres", "arc=none");
	assert_int_equal(script.started, 0);
}

static void test_chain(void **state)
{
	(void)state;
	script.rounds[0] = "TXT one._domainkey.example.org";
	assert_string_equal(
		measure(), "pass | lists.example, example.org | softfail | pass | fail");
	assert_true(span_equal(buffer_span(&script.request), SPAN(SEALED)));
	assert_true(span_equal(buffer_span(&script.body), SPAN(BODY)));
	assert_int_equal(script.asked, 1);
	assert_fact(play, "arc.authres", "arc=pass header.oldest-pass=0 smtp.remote-ip=192.0.2.7");
	assert_true(endpoint_parse(SPAN("[2001:db8::1]:4711"), &play->view.client));
	assert_fact(play, "arc.authres",
		"arc=pass header.oldest-pass=0 smtp.remote-ip=\"2001:db8::1\"");
}

static void test_words_that_are_no_choice(void **state)
{
	(void)state;
	passes("mx.example.org; spf=hardfail; dkim=PASS; dmarc=bestguesspass");
	assert_string_equal(measure(), "pass | lists.example, example.org | none | pass | none");
	passes("mx.example.org; none");
	assert_string_equal(measure(), "pass | lists.example, example.org | none | none | none");
}

/* Whose message was changed by one who came later did not seal this one. */
static void test_sealers_of_another_message(void **state)
{
	static const char *const since[] = {"lists.example, example.org",
		"lists.example, example.org", "example.org, lists.example", "lists.example"};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(since); i++) {
		passes_since("mx.example.org; none", i);
		assert_fact(play, "arc.sealers", since[i]);
	}
}

/* Nobody's word is taken from a chain that does not hold, whatever the verifier says of it. */
static void test_broken_chain(void **state)
{
	struct arc_result of = {.code = ARC_IS_FAIL,
		.sealers = sealers,
		.n_sealers = COUNT_OF(sealers),
		.results = SPAN("mx.example.org; spf=pass; dkim=pass; dmarc=pass"),
		.problem = SPAN("the seal of i=2 does not hold")};

	(void)state;
	answers(&of);
	assert_string_equal(measure(), "fail | none | none | none | none");
	of.n_sealers = 0;
	of.results = SPAN_NONE;
	answers(&of);
	assert_string_equal(measure(), "fail | none | none | none | none");
	assert_fact(play, "arc.authres", "arc=fail reason=\"the seal of i=2 does not hold\"");
	of.temporary = true;
	answers(&of);
	assert_fact(play, "arc", "fail");
}

/* The sender can bring each of these about: none may leave rules without a fact. */
static void test_outcomes(void **state)
{
	(void)state;
	script.outcome = AUTHN_POISONOUS;
	assert_string_equal(measure(), "fail | none | none | none | none");
	assert_fact(play, "arc.authres", "arc=fail reason=\"the chain can't be evaluated\"");
	script.outcome = AUTHN_ANSWERED;
	script.result = SPAN("nonsense");
	assert_fact(play, "arc", "fail");
	script.outcome = AUTHN_AWAY;
	assert_fact(play, "arc", "failed: there is no process to verify it");
	assert_fact(play, "arc.sealers", "failed: there is no process to verify it");
}

static void test_no_process(void **state)
{
	struct authn *authn = play->authn;

	(void)state;
	play->authn = NULL;
	assert_fact(play, "arc", "failed: there is no process to verify it");
	play->authn = authn;
}

static void test_deadline(void **state)
{
	(void)state;
	assert_null(filter_play_configure(play, "arc", "timeout 1ms"));
	script.outcome = AUTHN_PENDING;
	assert_string_equal(measure(), "fail | none | none | none | none");
	assert_fact(play, "arc.authres", "arc=fail reason=\"no answer in time\"");
	assert_int_equal(script.cancelled, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_not_sealed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_words_that_are_no_choice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sealers_of_another_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outcomes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* spf: which identities are evaluated, what is asked for them in DNS and when, and what the results
 * become. The evaluator is played (authn_fake). */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "filters/verify.h"
#include "tests/unit/fake/authn_fake.h"
#include "tests/unit/filter_play.h"

static const char *const all[] = {"spf", "spf.helo", "spf.domain", "spf.explanation"};

static struct filter_play *play;
static struct authn_script sender, helo;
static struct buffer results[2];
static struct address from;

static void mail_from(const char *mailbox)
{
	from = (struct address){.quoted = false};
	if (*mailbox)
		assert_int_equal(address_parse(span_text(mailbox), true, &from), ADDRESS_OK);
	play->view.from = &from;
}

static struct span result(unsigned number, const struct spf_result *of)
{
	buffer_clear(&results[number]);
	assert_true(spf_result_write(of, &results[number]));
	return buffer_span(&results[number]);
}

static void answers(struct authn_script *script, enum spf_code code)
{
	struct spf_result of = {.code = code, .mechanism = SPAN("-all")};

	script->outcome = AUTHN_ANSWERED;
	script->result = result(script == &helo, &of);
}

static int setup(void **state)
{
	(void)state;
	play = filter_play_new("example.org TXT 300 \"v=spf1 include:_spf.example.org -all\"\n"
			       "_spf.example.org TXT 300 \"v=spf1 a:out.example.org\"\n"
			       "out.example.org A 300 192.0.2.7\n"
			       "mail.example.net TXT 300 \"v=spf1 -all\"\n"
			       "empty.example A 300 192.0.2.9\n");
	play->authn = authn_fake_new(&play->loop);
	for (unsigned i = 0; i < 2; i++)
		results[i] = BUFFER_INIT(64 * 1024);
	sender = (struct authn_script){.kind = AUTHN_SPF, .domain = "example.org"};
	helo = (struct authn_script){.kind = AUTHN_SPF, .domain = "mail.example.net"};
	answers(&sender, SPF_IS_FAIL);
	answers(&helo, SPF_IS_PASS);
	authn_fake_add(play->authn, &sender);
	authn_fake_add(play->authn, &helo);
	assert_true(endpoint_parse(SPAN("192.0.2.7:4711"), &play->view.client));
	play->view.wall_ms = 1764111600000;
	play->view.helo = SPAN("mail.example.net");
	mail_from("Joe@Example.org");
	return 0;
}

static int teardown(void **state)
{
	struct authn *authn = play->authn;

	(void)state;
	filter_play_free(&play);
	authn_fake_free(&authn);
	authn_script_clear(&sender);
	authn_script_clear(&helo);
	buffer_free(&results[0]);
	buffer_free(&results[1]);
	return 0;
}

static const char *measure(void)
{
	return filter_play_measure_all(play, all, 4);
}

static const char *authres(void)
{
	return filter_play_measure(play, "spf.authres");
}

/* --- what is asked --- */

static void test_question(void **state)
{
	struct spf_question question;

	(void)state;
	assert_fact(play, "spf", "fail");
	assert_true(spf_question_read(buffer_span(&sender.request), &question));
	assert_true(ip_equal(&question.client, &play->view.client.ip));
	assert_true(span_equal(question.helo, SPAN("mail.example.net")));
	assert_true(span_equal(question.local, SPAN("Joe")));
	assert_true(span_equal(question.domain, SPAN("Example.org")));
	assert_true(span_equal(question.receiver, SPAN("mx.example.net")));
	assert_int_equal(question.wall_s, 1764111600);
	assert_int_equal(helo.started, 0); /* nobody reads spf.helo */
}

/* A slot that some rule reads is measured with the others, in one call. */
static void test_both_identities_at_once(void **state)
{
	(void)state;
	assert_string_equal(measure(), "fail | pass | example.org | none");
	assert_int_equal(sender.started, 1);
	assert_int_equal(helo.started, 1);
	assert_fact(play, "spf", "fail");
	assert_int_equal(helo.started, 2);
}

static void test_null_sender(void **state)
{
	struct spf_question question;

	(void)state;
	mail_from("");
	assert_string_equal(measure(), "pass | pass | mail.example.net | none");
	assert_int_equal(sender.started, 0);
	assert_int_equal(helo.started, 1);
	assert_true(spf_question_read(buffer_span(&helo.request), &question));
	assert_true(span_equal(question.domain, SPAN("mail.example.net")));
	assert_int_equal(question.local.len, 0); /* that is postmaster */
	assert_string_equal(authres(), "spf=pass (192.0.2.7 by -all) smtp.helo=mail.example.net");
}

static void test_names_that_are_no_domains(void **state)
{
	static const char *const names[] = {"[192.0.2.7]", "[IPv6:2001:db8::1]", "localhost",
		"192.0.2.7", "a..b", "mail.example.net.", "two words"};

	(void)state;
	mail_from("");
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		play->view.helo = span_text(names[i]);
		assert_string_equal(measure(), "none | none | none | none");
	}
	assert_string_equal(authres(), "spf=none smtp.helo=\"two words\"");
	mail_from("joe@[192.0.2.7]");
	assert_string_equal(measure(), "none | none | none | none");
	mail_from("joe@localhost");
	assert_string_equal(measure(), "none | none | none | none");
	assert_int_equal(sender.started + helo.started, 0);
	assert_int_equal(dns_play_count(play->names, NULL), 0);
}

/* RFC 7208 4.3. */
static void test_wide_domain(void **state)
{
	(void)state;
	dns_play_zone(play->names, "xn--bcher-kva.example TXT 300 \"v=spf1 -all\"\n");
	sender.domain = "xn--bcher-kva.example";
	mail_from("joe@b\xc3\xbc"
		  "cher.example");
	assert_fact(play, "spf", "fail");
	assert_string_equal(
		authres(), "spf=fail (192.0.2.7 by -all) smtp.mailfrom=xn--bcher-kva.example");
}

static void test_no_sender_or_client(void **state)
{
	(void)state;
	play->view.from = NULL;
	assert_string_equal(measure(), "none | none | none | none");
	mail_from("joe@example.org");
	play->view.client.ip.family = IP_NONE;
	assert_fact(play, "spf", "failed: the client has no address");
}

/* --- DNS --- */

static void test_no_record(void **state)
{
	(void)state;
	mail_from("joe@empty.example");
	assert_fact(play, "spf", "none");
	mail_from("joe@nowhere.example");
	assert_fact(play, "spf", "none");
	assert_fact(play, "spf.domain", "none");
	assert_string_equal(authres(), "spf=none smtp.mailfrom=nowhere.example");
	assert_int_equal(sender.started, 0);
	dns_play_fault(play->names, "broken.example", DNS_PLAY_SERVFAIL);
	mail_from("joe@broken.example");
	assert_fact(play, "spf", "temperror");
	assert_string_equal(authres(), "spf=temperror reason=\"DNS can't be asked for the record\" "
				       "smtp.mailfrom=broken.example");
	assert_fact(play, "spf.domain", "broken.example");
}

static void test_what_is_wanted(void **state)
{
	(void)state;
	sender.rounds[0] = "TXT example.org, TXT _spf.example.org, TXT nowhere.example";
	sender.rounds[1] = "A out.example.org, AAAA out.example.org, A broken.example";
	dns_play_fault(play->names, "broken.example", DNS_PLAY_SERVFAIL);
	assert_fact(play, "spf", "fail");
	assert_int_equal(sender.asked, 2);
	assert_true(span_starts(buffer_span(&sender.told),
		SPAN("TXT example.org=v=spf1 include:_spf.example.org -all; ")));
	assert_non_null(strstr(buffer_string(&sender.told), "A out.example.org=192.0.2.7; "));
	assert_non_null(strstr(buffer_string(&sender.told), "AAAA out.example.org=nodata; "));
	assert_non_null(strstr(buffer_string(&sender.told), "TXT nowhere.example=nxdomain; "));
	assert_non_null(strstr(buffer_string(&sender.told), "A broken.example=trouble; "));
}

/* The record itself is known before the process is asked. */
static void test_simple_record_is_one_round(void **state)
{
	(void)state;
	sender.rounds[0] = "TXT example.org";
	assert_fact(play, "spf", "fail");
	assert_int_equal(sender.asked, 0);
}

/* What two evaluations have wanted is told the third one unasked. */
static void test_remembered_names_are_one_round(void **state)
{
	(void)state;
	sender.rounds[0] = "TXT _spf.example.org";
	sender.rounds[1] = "A out.example.org";
	for (unsigned i = 0; i < 2; i++)
		assert_fact(play, "spf", "fail");
	assert_int_equal(sender.asked, 4);
	for (unsigned i = 0; i < 5; i++)
		assert_fact(play, "spf", "fail");
	assert_int_equal(sender.asked, 4);
	play->loop.clock.offset_ms += 5 * 60 * 1000 + 1;
	assert_fact(play, "spf", "fail");
	assert_int_equal(sender.asked, 6);
}

/* A name that a macro made of one client is not asked for the next. */
static void test_names_of_one_client_are_not_remembered(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		static const char *const names[] = {
			"A 1.example.org", "A 2.example.org", "A 3.example.org", "A 4.example.org"};

		sender.rounds[0] = names[i];
		assert_fact(play, "spf", "fail");
	}
	assert_int_equal(sender.asked, 4);
	assert_int_equal(dns_play_count(play->names, "1.example.org"), 1);
	assert_null(strstr(strstr(buffer_string(&sender.told), "A 4.example.org"), "A 1."));
}

/* Both identities want one name: it is asked once, and told to both. */
static void test_shared_names(void **state)
{
	(void)state;
	sender.rounds[0] = helo.rounds[0] = "A out.example.org";
	assert_string_equal(measure(), "fail | pass | example.org | none");
	assert_non_null(strstr(buffer_string(&sender.told), "A out.example.org=192.0.2.7; "));
	assert_non_null(strstr(buffer_string(&helo.told), "A out.example.org=192.0.2.7; "));
	assert_int_equal(dns_play_count(play->names, "out.example.org"), 1);
}

static void test_one_domain_for_both(void **state)
{
	(void)state;
	play->view.helo = SPAN("example.org");
	sender.rounds[0] = "TXT example.org";
	assert_string_equal(measure(), "fail | fail | example.org | none");
	assert_int_equal(sender.started, 2);
	assert_int_equal(sender.asked, 0);
	assert_int_equal(dns_play_count(play->names, "example.org"), 1);
}

/* Whoever chooses the names chooses how many there are. */
static void test_too_many_names(void **state)
{
	struct buffer rounds = BUFFER_INIT(256 * 1024);
	unsigned n = 0, refused = 0, told = 0;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		buffer_clear(&rounds);
		for (unsigned j = 0; j < WANTS_MAX; j++)
			assert_true(buffer_print(&rounds, "A n%u.nowhere.example,", n++));
		(i < 4 ? &sender : &helo)->rounds[i % 4] =
			arena_string(play->arena, buffer_span(&rounds));
	}
	buffer_free(&rounds);
	assert_string_equal(measure(), "fail | pass | example.org | none");
	for (unsigned i = 0; i < 2; i++) {
		const char *at = buffer_string(i ? &helo.told : &sender.told);

		for (; (at = strstr(at, ".nowhere.example=")); at++, told++)
			refused += strncmp(at + 17, "trouble", 7) == 0;
	}
	assert_int_equal(told, n);
	assert_int_equal(refused, n + 2 - VERIFY_QUESTIONS_MAX);
}

/* The process died: a new one has forgotten all that the first was told. */
static void test_asked_again(void **state)
{
	(void)state;
	sender.rounds[0] = "TXT example.org, TXT _spf.example.org";
	sender.rounds[1] = "A out.example.org";
	sender.again = 2;
	assert_fact(play, "spf", "fail");
	assert_int_equal(sender.asked, 6);
	assert_int_equal(dns_play_count(play->names, "_spf.example.org"), 1);
}

/* --- what comes of it --- */

static void test_outcomes(void **state)
{
	(void)state;
	sender.outcome = AUTHN_POISONOUS;
	assert_fact(play, "spf", "permerror");
	assert_string_equal(authres(), "spf=permerror reason=\"the record can't be evaluated\" "
				       "smtp.mailfrom=Example.org");
	sender.outcome = AUTHN_AWAY;
	assert_fact(play, "spf", "failed: there is no process to evaluate it");
	assert_fact(play, "spf.domain", "failed: there is no process to evaluate it");
	assert_fact(play, "spf.authres", "failed: there is no process to evaluate it");
	sender.outcome = AUTHN_ANSWERED;
	sender.result = SPAN("nonsense");
	assert_fact(play, "spf", "permerror");
}

static void test_no_process(void **state)
{
	struct authn *authn = play->authn;

	(void)state;
	play->authn = NULL;
	assert_string_equal(measure(), "failed: there is no process to evaluate it | "
				       "failed: there is no process to evaluate it | "
				       "failed: there is no process to evaluate it | "
				       "failed: there is no process to evaluate it");
	mail_from("joe@nowhere.example");
	assert_fact(play, "spf", "none");
	play->authn = authn;
}

static void test_every_code(void **state)
{
	(void)state;
	for (unsigned code = SPF_IS_NONE; code <= SPF_IS_PERMERROR; code++) {
		answers(&sender, (enum spf_code)code);
		assert_fact(play, "spf", spf_code_name((enum spf_code)code));
	}
}

static void test_explanation(void **state)
{
	struct spf_result of = {.code = SPF_IS_FAIL, .explanation = SPAN("192.0.2.7 is not ours")};

	(void)state;
	sender.result = result(0, &of);
	assert_fact(play, "spf.explanation", "192.0.2.7 is not ours");
}

/* Whatever is on its way, the deadline makes it temperror. */
static void test_deadline(void **state)
{
	(void)state;
	assert_null(filter_play_configure(play, "spf", "timeout 1ms"));
	sender.outcome = AUTHN_PENDING;
	assert_fact(play, "spf", "temperror");
	dns_play_fault(play->names, "slow.example", DNS_PLAY_DROP);
	mail_from("joe@slow.example");
	assert_fact(play, "spf", "temperror");
	assert_non_null(strstr(authres(), "spf=temperror reason=\"DNS has not answered in time\" "
					  "smtp.mailfrom=slow.example"));
}

static void test_cancelled(void **state)
{
	(void)state;
	filter_play_abandon(play, "spf");
	sender.outcome = AUTHN_PENDING;
	sender.rounds[0] = "A never.example";
	dns_play_fault(play->names, "never.example", DNS_PLAY_DROP);
	filter_play_abandon(play, "spf");
	assert_int_equal(sender.ended, 0);
}

static void test_received_is_not_asked_for(void **state)
{
	(void)state;
	assert_fact(play, "spf.received", "none");
}

static void test_received(void **state)
{
	(void)state;
	assert_null(filter_play_configure(play, "spf", "received yes"));
	assert_fact(play, "spf.received",
		"Received-SPF: fail (mx.example.net: the client may not send for Example.org) "
		"receiver=mx.example.net; client-ip=192.0.2.7; envelope-from=\"Joe@Example.org\"; "
		"helo=mail.example.net; identity=mailfrom; mechanism=-all;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_question, setup, teardown),
		cmocka_unit_test_setup_teardown(test_both_identities_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_null_sender, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_that_are_no_domains, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wide_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_sender_or_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_record, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_simple_record_is_one_round, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_remembered_names_are_one_round, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_names_of_one_client_are_not_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_domain_for_both, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asked_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outcomes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_process, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_code, setup, teardown),
		cmocka_unit_test_setup_teardown(test_explanation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_received_is_not_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_received, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

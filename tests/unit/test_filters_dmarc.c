/* DMARC as a filter: facts, DNS, several domains in From, and what others could not find out. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/filter_play.h"

#define SUFFIXES "tests/unit/data/dmarc/suffixes.dat"

static struct filter_play *play;
static struct address sender;

static int setup(void **state)
{
	(void)state;
	play = filter_play_new(
		"_dmarc.example.com TXT 60 \"v=DMARC1; p=reject; sp=quarantine; aspf=s\"\n"
		"_dmarc.soft.example TXT 60 \"v=DMARC1; p=none; np=reject\"\n"
		"there.soft.example A 60 192.0.2.1\n"
		"_dmarc.try.example TXT 60 \"v=DMARC1; p=reject; t=y\"\n"
		"_dmarc.two.example TXT 60 \"v=DMARC1; \" \"p=quarantine\"\n"
		"_dmarc.xn--bcher-kva.example TXT 60 \"v=DMARC1; p=reject\"\n"
		"_dmarc.deputy.example.com TXT 60 \"v=DMARC1; p=none; psd=n\"\n"
		"plain.example A 60 192.0.2.2\n");
	dns_play_fault(play->names, "_dmarc.broken.example", DNS_PLAY_SERVFAIL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	filter_play_free(&play);
	return 0;
}

/* Who is in From: whole field bodies, parted by '|' if there are several fields. */
static void from(const char *bodies)
{
	const char *headers = "";

	while (*bodies) {
		size_t len = strcspn(bodies, "|");

		headers = arena_print(play->arena, "%sFrom: %.*s\r\n", headers, (int)len, bodies);
		bodies += len + (bodies[len] == '|');
	}
	headers = arena_print(play->arena, "%sSubject: x\r\n\r\n", headers);
	play->view.headers = span_text(headers);
}

static void mail(const char *mailbox)
{
	sender = (struct address){.quoted = false};
	if (*mailbox)
		assert_int_equal(address_parse(span_text(mailbox), true, &sender), ADDRESS_OK);
	play->view.from = &sender;
}

static void found(const char *spf, const char *spf_domain, const char *dkim, const char *domains)
{
	filter_play_give(play, "spf", spf);
	filter_play_give(play, "spf.domain", spf_domain);
	filter_play_give(play, "dkim", dkim);
	filter_play_give(play, "dkim.domains", domains);
}

static const char *verdict(const char *bodies)
{
	static const char *const all[] = {
		"dmarc", "dmarc.policy", "dmarc.domain", "dmarc.spf_aligned", "dmarc.dkim_aligned"};

	from(bodies);
	return filter_play_measure_all(play, all, COUNT_OF(all));
}

/* --- the envelope sender --- */

static const char *mail_policy(const char *mailbox)
{
	mail(mailbox);
	return filter_play_measure(play, "mail.dmarc_policy");
}

static void test_mail_policy(void **state)
{
	(void)state;
	found("none", "none", "none", "none");
	assert_string_equal(mail_policy("a@example.com"), "reject");
	assert_string_equal(mail_policy("a@b.Example.Com"), "quarantine");
	assert_string_equal(mail_policy("a@soft.example"), "none");
	assert_string_equal(mail_policy("a@gone.soft.example"), "reject");
	assert_string_equal(mail_policy("a@there.soft.example"), "none");
	assert_string_equal(mail_policy("a@try.example"), "quarantine");
	assert_string_equal(mail_policy("a@plain.example"), "absent");
	assert_string_equal(mail_policy("a@b\303\274cher.example"), "reject");
	assert_string_equal(mail_policy("a@[192.0.2.1]"), "absent");
	assert_string_equal(mail_policy(""), "none");
	assert_non_null(strstr(
		mail_policy("a@broken.example"), "failed: DNS, TXT of _dmarc.broken.example: "));
	play->view.from = NULL;
	assert_fact(play, "mail.dmarc_policy", "none");
}

/* --- one domain --- */

static void test_verdicts(void **state)
{
	(void)state;
	found("none", "none", "none", "none");
	assert_string_equal(verdict("a@plain.example"), "none | absent | none | none | none");
	assert_string_equal(verdict("a@example.com"), "fail | reject | example.com | no | no");
	found("pass", "example.com", "pass", "other.example, mail.example.com");
	assert_string_equal(verdict("a@example.com"), "pass | reject | example.com | yes | yes");
	assert_string_equal(
		verdict("a@b.example.com"), "pass | quarantine | example.com | no | yes");
	assert_string_equal(
		verdict("a@deputy.example.com"), "fail | none | deputy.example.com | no | no");
	found("pass", "two.example", "fail", "none");
	assert_string_equal(
		verdict("A <a@TWO.example>"), "pass | quarantine | two.example | yes | no");
	found("softfail", "two.example", "permerror", "none");
	assert_string_equal(verdict("a@two.example"), "fail | quarantine | two.example | no | no");
	found("pass", "xn--bcher-kva.example", "none", "none");
	assert_string_equal(verdict("a@b\303\274cher.example"),
		"pass | reject | xn--bcher-kva.example | yes | no");
}

static void test_no_domain(void **state)
{
	(void)state;
	found("pass", "example.com", "none", "none");
	assert_string_equal(verdict(""), "none | none | none | none | none");
	assert_string_equal(verdict("nobody"), "none | none | none | none | none");
	assert_string_equal(verdict("a@[192.0.2.1]"), "none | absent | none | none | none");
	assert_string_equal(verdict("a@a..b"), "none | absent | none | none | none");
	from("nobody");
	assert_fact(play, "dmarc.authres", "dmarc=none reason=\"no domain in From\"");
}

/* A given from.domain counts without any header, as `explain` does it. */
static void test_given_domain(void **state)
{
	(void)state;
	found("pass", "example.com", "none", "none");
	filter_play_give(play, "from.domain", "example.com");
	assert_fact(play, "dmarc", "pass");
	filter_play_give(play, "from.domain", "failed");
	assert_fact(play, "dmarc", "failed: the test says so");
	assert_fact(play, "dmarc.policy", "failed: the test says so");
}

static void test_trouble(void **state)
{
	(void)state;
	found("pass", "broken.example", "none", "none");
	assert_non_null(strstr(verdict("a@broken.example"), "temperror | failed: DNS, TXT of"));
	from("a@broken.example");
	assert_fact(play, "dmarc.authres", "dmarc=temperror header.from=broken.example");
}

/* --- what SPF and DKIM could not find out --- */

static void test_spf_trouble(void **state)
{
	(void)state;
	mail("a@example.com");
	found("temperror", "none", "none", "none");
	from("a@example.com");
	assert_fact(play, "dmarc", "temperror");
	assert_fact(play, "dmarc.spf_aligned", "failed: SPF or DKIM could not tell");
	found("failed", "failed", "none", "none");
	assert_fact(play, "dmarc", "temperror");
	found("failed", "failed", "pass", "example.com");
	assert_fact(play, "dmarc", "pass");
	/* Trouble in a domain that could not have passed is none. */
	mail("a@forger.example");
	found("failed", "failed", "none", "none");
	assert_fact(play, "dmarc", "fail");
	found("temperror", "forger.example", "none", "none");
	assert_fact(play, "dmarc", "fail");
	/* <>: the name that the client gave. */
	mail("");
	play->view.helo = SPAN("example.com");
	found("temperror", "none", "none", "none");
	assert_fact(play, "dmarc", "temperror");
	play->view.helo = SPAN("mx.forger.example");
	assert_fact(play, "dmarc", "fail");
	play->view.helo = SPAN("[192.0.2.1]");
	assert_fact(play, "dmarc", "fail");
	play->view.from = NULL;
	play->view.helo = SPAN_NONE;
	assert_fact(play, "dmarc", "temperror");
}

#define SIGNED(d)                                                                                  \
	"From: a@example.com\r\nDKIM-Signature: v=1; a=rsa-sha256;\r\n\td=" d "; s=s; b=x\r\n\r\n"

static void test_dkim_trouble(void **state)
{
	(void)state;
	mail("a@forger.example");
	found("fail", "forger.example", "temperror", "none");
	play->view.headers = SPAN(SIGNED("mail.example.com"));
	assert_fact(play, "dmarc", "temperror");
	play->view.headers = SPAN(SIGNED("forger.example"));
	assert_fact(play, "dmarc", "fail");
	found("fail", "forger.example", "failed", "failed");
	play->view.headers = SPAN(SIGNED("example.com"));
	assert_fact(play, "dmarc", "temperror");
	play->view.headers = SPAN(SIGNED("forger.example"));
	assert_fact(play, "dmarc", "fail");
	play->view.headers = SPAN("From: a@example.com\r\nDKIM-Signature: nonsense\r\n\r\n");
	assert_fact(play, "dmarc", "fail");
	/* One that kills its verifier has been looked at. */
	play->view.headers = SPAN(SIGNED("example.com"));
	found("fail", "forger.example", "permerror", "none");
	assert_fact(play, "dmarc", "fail");
	play->view.headers = SPAN_NONE;
	filter_play_give(play, "from.domain", "example.com");
	found("fail", "forger.example", "failed", "failed");
	assert_fact(play, "dmarc", "temperror");
}

/* A signature that holds does not hide one that could not be judged, and would be aligned. */
static void test_dkim_trouble_beside_a_pass(void **state)
{
	(void)state;
	mail("a@forger.example");
	from("a@example.com");
	found("fail", "forger.example", "pass", "list.example");
	filter_play_give(play, "dkim.results", "list.example s pass, example.com s temperror");
	assert_fact(play, "dmarc", "temperror");
	filter_play_give(play, "dkim.results", "list.example s temperror, example.com s fail");
	assert_fact(play, "dmarc", "fail");
	filter_play_give(play, "dkim.results", "list.example s pass, - temperror temperror");
	assert_fact(play, "dmarc", "fail");
}

/* A rule that defers what can't be told sees it, whatever the deadline. */
static void test_deadline(void **state)
{
	(void)state;
	found("none", "none", "none", "none");
	assert_null(filter_play_configure(play, "dmarc", "timeout 1ms"));
	found("none", "none", "none", "none");
	dns_play_fault(play->names, "_dmarc.slow.example", DNS_PLAY_DROP);
	from("a@slow.example");
	assert_fact(play, "dmarc", "temperror");
	assert_fact(play, "dmarc.authres", "dmarc=temperror reason=\"no answer in time\"");
	assert_fact(play, "dmarc.policy", "failed: timed out");
}

/* Adds a TXT record of about so many bytes. */
static void long_text(const char *name, size_t bytes)
{
	char x[201] = {0};
	struct buffer zone = BUFFER_INIT(64 * 1024);

	memset(x, 'x', sizeof(x) - 1);
	assert_true(buffer_print(&zone, "%s TXT 60", name));
	for (size_t size = 0; size < bytes; size += sizeof(x))
		assert_true(buffer_print(&zone, " \"%s\"", x));
	assert_true(buffer_add(&zone, SPAN("\n\0")));
	dns_play_zone(play->names, buffer_span(&zone).at);
	buffer_free(&zone);
}

/* What a message can have us remember of DNS is bounded, however many names it brings along. */
static void test_long_answers(void **state)
{
	(void)state;
	found("none", "none", "none", "none");
	long_text("_dmarc.long.example", 20000);
	from("a@long.example");
	assert_fact(play, "dmarc.policy",
		"failed: DNS, TXT of _dmarc.long.example: the answer is too long");
	assert_fact(play, "dmarc", "temperror");
	for (char of = 'a'; of <= 'd'; of++)
		for (unsigned label = 0; label < 6; label++) {
			const char *name = "example";

			for (unsigned i = 0; i < label; i++)
				name = arena_print(play->arena, "%c.%s", of, name);
			if (label)
				long_text(arena_print(play->arena, "_dmarc.%s", name), 15000);
		}
	from("a@a.a.a.a.a.example, b@b.b.b.b.b.example, c@c.c.c.c.c.example");
	assert_fact(play, "dmarc", "none");
	from("a@a.a.a.a.a.example, b@b.b.b.b.b.example, c@c.c.c.c.c.example, d@d.d.d.d.d.example");
	assert_fact(play, "dmarc", "temperror");
}

/* --- several domains --- */

static void test_several_domains(void **state)
{
	(void)state;
	found("pass", "two.example", "pass", "example.com");
	assert_string_equal(verdict("a@two.example, b@two.example"),
		"pass | quarantine | two.example | yes | no");
	assert_string_equal(
		verdict("a@two.example, b@example.com"), "pass | reject | example.com | no | yes");
	assert_string_equal(verdict("a@two.example, b@soft.example"),
		"fail | quarantine | two.example | yes | no");
	assert_string_equal(verdict("a@two.example|b@try.example|c@example.com"),
		"fail | reject | example.com | no | yes");
	assert_string_equal(verdict("a@two.example, b@plain.example"),
		"none | quarantine | two.example | yes | no");
	assert_string_equal(verdict("a@two.example, b@bad..name"),
		"none | quarantine | two.example | yes | no");
	from("a@two.example, b@soft.example");
	assert_fact(play, "dmarc.authres",
		"dmarc=pass (p=quarantine dis=none) header.from=two.example, "
		"dmarc=fail (p=none dis=none) header.from=soft.example");
}

/* Whoever writes From does not choose not to be judged. */
static void test_what_cannot_be_judged(void **state)
{
	static const char *const fail[] = {("a@a.example, b@b.example, c@example.com, d@d.example, "
					    "e@e.example"),
		"a@*.example.com", "a@\351.example.com", "a@b(x).example.com", "a@example(x).com",
		"<a@example.com@plain.example>", "a@example.com @ plain.example",
		"\"a\"@example.com@plain.example",
		"a@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.com"};
	static const char *const permerror[] = {("a@a.example, b@b.example, c@c.example, "
						 "d@d.example, e@example.com"),
		"a@\"example.com\"", "a@x\\", "x@a.example|||||||||x@example.com"};
	struct buffer text = BUFFER_INIT(64 * 1024);

	(void)state;
	found("pass", "plain.example", "none", "none");
	for (size_t i = 0; i < COUNT_OF(fail); i++) {
		from(fail[i]);
		assert_fact(play, "dmarc", "fail");
	}
	for (size_t i = 0; i < COUNT_OF(permerror); i++) {
		from(permerror[i]);
		assert_fact(play, "dmarc", "permerror");
	}
	while (text.len < 17 * 1024)
		assert_true(buffer_add_text(&text, "x "));
	assert_true(buffer_add(&text, SPAN("<a@example.com>\0")));
	from(buffer_span(&text).at);
	assert_fact(play, "dmarc", "permerror");
	assert_fact(play, "dmarc.authres", "dmarc=permerror reason=\"From is too long\"");
	buffer_free(&text);
	from("a@a.example, b@b.example, c@c.example, d@d.example, e@e.example");
	assert_fact(play, "dmarc.authres",
		"dmarc=none header.from=a.example, dmarc=none header.from=b.example, "
		"dmarc=none header.from=c.example, dmarc=none header.from=d.example, "
		"dmarc=permerror reason=\"too many domains in From\"");
}

/* --- texts --- */

static void test_texts(void **state)
{
	(void)state;
	found("none", "none", "none", "none");
	from("a@b.example.com");
	assert_fact(play, "dmarc.record", "v=DMARC1; p=reject; sp=quarantine; aspf=s");
	assert_fact(play, "dmarc.authres",
		"dmarc=fail (p=reject sp=quarantine dis=quarantine) header.from=b.example.com");
	from("a@plain.example");
	assert_fact(play, "dmarc.record", "none");
	assert_fact(play, "dmarc.authres", "dmarc=none header.from=plain.example");
	from("a@try.example");
	assert_fact(play, "dmarc.authres",
		"dmarc=fail (p=reject dis=quarantine) header.from=try.example");
}

/* python3-authres reads back what was meant. */
static void test_texts_are_valid(void **state)
{
	static const char *const froms[] = {"a@example.com", "a@b.example.com", "a@plain.example",
		"a@broken.example", "", "a@a_b.soft.example", "a@b\303\274cher.example", "a@x\\"};
	static const char *const program =
		"/usr/bin/python3 -c 'import sys, authres\n"
		"for line in sys.stdin:\n"
		"    parsed = authres.AuthenticationResultsHeader.parse(line.strip())\n"
		"    assert len(parsed.results) == 1, line\n"
		"    result = parsed.results[0]\n"
		"    assert result.method == \"dmarc\", line\n"
		"    wanted = line.split(\"header.from=\")[1:]\n"
		"    got = [p.value for p in result.properties if p.name == \"from\"]\n"
		"    assert got == [w.strip() for w in wanted], (line, got)\n"
		"'";
	FILE *pipe = popen(program, "w");

	(void)state;
	assert_non_null(pipe);
	found("none", "none", "none", "none");
	for (size_t i = 0; i < COUNT_OF(froms); i++) {
		from(froms[i]);
		fprintf(pipe, "Authentication-Results: mx.example.net; %s\n",
			filter_play_measure(play, "dmarc.authres"));
	}
	assert_int_equal(pclose(pipe), 0);
}

/* --- DNS --- */

/* Each name once for all that is asked of one message, and the policy before the rest is known. */
static void test_questions(void **state)
{
	(void)state;
	found("pass", "b.example.com", "pass", "c.example.com, other.example");
	assert_string_equal(verdict("a@example.com"), "pass | reject | example.com | no | yes");
	assert_int_equal(dns_play_count(play->names, "_dmarc.example.com"), 1);
	assert_int_equal(dns_play_count(play->names, "_dmarc.com"), 1);
	assert_int_equal(dns_play_count(play->names, "_dmarc.c.example.com"), 1);
	assert_int_equal(dns_play_count(play->names, "_dmarc.other.example"), 0);
}

/* A pass that is certain does not wait for the rest. */
static void test_early(void **state)
{
	(void)state;
	found("none", "none", "pass", "example.com, a.example.com");
	dns_play_fault(play->names, "_dmarc.com", DNS_PLAY_HOLD);
	dns_play_fault(play->names, "_dmarc.a.example.com", DNS_PLAY_HOLD);
	from("a@example.com");
	assert_fact(play, "dmarc", "pass");
	assert_fact(play, "dmarc.policy", "reject");
	dns_play_fault(play->names, "_dmarc.com", DNS_PLAY_ANSWER);
	dns_play_release(play->names);
}

static void test_abandoned(void **state)
{
	(void)state;
	found("none", "none", "pass", "a.example.com");
	dns_play_fault(play->names, NULL, DNS_PLAY_HOLD);
	from("a@example.com");
	filter_play_abandon(play, "dmarc");
	filter_play_abandon(play, "dmarc.policy");
	mail("a@example.com");
	filter_play_abandon(play, "mail.dmarc_policy");
	dns_play_release(play->names);
}

/* --- public suffixes --- */

static void expect_refused(const char *options, const char *text)
{
	const char *why = filter_play_configure(play, "dmarc", options);

	assert_non_null(why);
	if (!strstr(why, text))
		fail_msg("expected \"%s\", not \"%s\"", text, why);
}

static void test_options(void **state)
{
	struct filters_setup filters_setup = {
		.loop = &play->loop, .log = &play->log, .hostname = "x"};
	struct filters *filters;
	struct err err = {""};

	(void)state;
	expect_refused("organizational list", "`organizational` takes tree or psl, not `list`");
	expect_refused("organizational", "`organizational` takes tree or psl");
	expect_refused("organisational psl", "did you mean `organizational`?");
	assert_null(
		filter_play_configure(play, "dmarc", "organizational tree psl_file \"/nowhere\""));
	filter_play_slot(play, "dmarc.policy");
	filters_setup.set = play->set;
	filters_setup.slots = play->slots;
	filters_setup.n_slots = play->n_slots;
	filters = filters_open(&filters_setup, &err);
	assert_non_null(filters); /* the list is not needed */
	filters_close(&filters);
	assert_null(
		filter_play_configure(play, "dmarc", "organizational psl psl_file \"/nowhere\""));
	filter_play_slot(play, "dmarc.policy");
	filters_setup.set = play->set;
	filters_setup.slots = play->slots;
	filters_setup.n_slots = play->n_slots;
	assert_null(filters_open(&filters_setup, &err));
	assert_non_null(strstr(err.text, "/nowhere is no list of public suffixes"));
}

static void test_psl(void **state)
{
	(void)state;
	assert_null(filter_play_configure(
		play, "dmarc", "organizational psl psl_file \"" SUFFIXES "\""));
	dns_play_zone(play->names,
		"_dmarc.a.b.wild.example TXT 60 \"v=DMARC1; p=reject; sp=none\"\n"
		"_dmarc.free.wild.example TXT 60 \"v=DMARC1; p=reject\"\n"
		"_dmarc.shop.co.example TXT 60 \"v=DMARC1; p=reject\"\n"
		"_dmarc.e1.xn--p1ai TXT 60 \"v=DMARC1; p=reject\"\n"
		"_dmarc.org.test TXT 60 \"v=DMARC1; p=reject\"\n"
		"_dmarc.co.example TXT 60 \"v=DMARC1; p=reject\"\n");
	/* A wildcard, and an exception to it. */
	found("pass", "c.a.b.wild.example", "none", "none");
	assert_string_equal(
		verdict("a@d.a.b.wild.example"), "pass | none | a.b.wild.example | yes | no");
	found("pass", "x.b.wild.example", "none", "none");
	assert_string_equal(
		verdict("a@d.a.b.wild.example"), "fail | none | a.b.wild.example | no | no");
	found("pass", "b.free.wild.example", "none", "none");
	assert_string_equal(
		verdict("a@a.free.wild.example"), "pass | reject | free.wild.example | yes | no");
	/* Neither a record in between nor one of the suffix counts. */
	found("pass", "b.co.example", "none", "none");
	assert_string_equal(verdict("a@other.co.example"), "none | absent | none | none | none");
	assert_string_equal(
		verdict("a@mail.shop.co.example"), "fail | reject | shop.co.example | no | no");
	found("pass", "co.example", "none", "none");
	assert_string_equal(verdict("a@co.example"), "pass | reject | co.example | yes | no");
	assert_string_equal(
		verdict("a@mail.shop.co.example"), "fail | reject | shop.co.example | no | no");
	found("pass", "mail.e1.xn--p1ai", "none", "none");
	assert_string_equal(verdict("a@e1.xn--p1ai"), "pass | reject | e1.xn--p1ai | yes | no");
	/* Of a suffix that is not listed, the last label is one. */
	found("pass", "a.org.test", "none", "none");
	assert_string_equal(verdict("a@org.test"), "pass | reject | org.test | yes | no");
	assert_int_equal(dns_play_count(play->names, "_dmarc.example"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mail_policy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_verdicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trouble, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spf_trouble, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dkim_trouble, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dkim_trouble_beside_a_pass, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_domains, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_judged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_texts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_texts_are_valid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_questions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abandoned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_options, setup, teardown),
		cmocka_unit_test_setup_teardown(test_psl, setup, teardown),
	};

	return cmocka_run_group_tests_name("filters/dmarc", tests, NULL, NULL);
}

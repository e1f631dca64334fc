/*
 * DMARC aggregate reports: from what the store has kept to XML that the schema takes, whatever
 * senders have chosen; and where a report may go.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/dmarc_destinations.h"
#include "admin/dmarc_report.h"
#include "dns_play.h"
#include "lib/base/fail.h"
#include "store_play.h"

struct fixture {
	struct store_play play;
	struct arena *arena;
	struct buffer xml;
	struct dmarc_report report;
};

static int set_up(void **state)
{
	struct fixture *f = memory_zeroed(sizeof(*f));

	store_play_open(&f->play);
	store_play_keeper(&f->play, NULL);
	store_play_link(&f->play);
	f->arena = arena_new(4096);
	f->xml = BUFFER_INIT(DMARC_REPORT_MAX);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	buffer_free(&f->xml);
	arena_free(&f->arena);
	store_play_close(&f->play);
	free(f);
	return 0;
}

/* --- XML --- */

static bool write_from(struct fixture *f, struct span answer)
{
	struct dmarc_report_source source = {.answer = json_read(f->arena, answer),
		.domain = "example.com",
		.receiver = "mx.example.net",
		.org_name = "Example & <Sons>",
		.email = "postmaster@mx.example.net",
		.begin_s = 1795478400,
		.end_s = 1795564799,
		.arena = f->arena};

	assert_non_null(source.answer);
	buffer_clear(&f->xml);
	return dmarc_report_write(&source, &f->report, &f->xml);
}

static void tell(struct fixture *f, const struct dmarc_results *results)
{
	dmarc_results_tell(f->play.store, results);
}

/* What was told, as the store has it by now. */
static bool write_report(struct fixture *f)
{
	do
		assert_int_equal(store_play_ask(&f->play, STORE_DMARC_DOMAIN,
					 store_play_today(&f->play), "example.com"),
			STORE_DONE);
	while (f->play.answer.len == 0);
	return write_from(f, buffer_span(&f->play.answer));
}

static int validate(struct fixture *f)
{
	char file[128], command[512];
	int fd, status;

	snprintf(file, sizeof(file), "%s/report.xml", f->play.folder);
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, buffer_span(&f->xml).at, f->xml.len), (ssize_t)f->xml.len);
	close(fd);
	snprintf(command, sizeof(command),
		"xmllint --noout --nonet --schema tests/data/dmarc-report.xsd %s 2>%s.said", file,
		file);
	status = system(command);
	if (status) {
		snprintf(command, sizeof(command), "cat %s.said %s >&2", file, file);
		(void)!system(command);
	}
	return status;
}

static bool says(struct fixture *f, const char *text)
{
	return strstr(buffer_string(&f->xml), text) != NULL;
}

static void a_report_says_all_and_is_valid(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();

	results.record = SPAN("v=DMARC1; p=quarantine; sp=REJECT; adkim=s; t=y; fo=1:d;"
			      " rua=mailto:dmarc@example.com");
	results.reason = "local_policy";
	tell(f, &results);
	tell(f, &results);
	assert_true(write_report(f));
	assert_int_equal(validate(f), 0);
	assert_int_equal(f->report.rows, 1);
	assert_true(says(f, "<org_name>Example &amp; &lt;Sons&gt;</org_name>"));
	assert_true(says(f, "<begin>1795478400</begin>"));
	assert_true(says(f, "<p>quarantine</p>"));
	assert_true(says(f, "<sp>reject</sp>"));
	assert_true(says(f, "<np>reject</np>"));
	assert_true(says(f, "<adkim>s</adkim>"));
	assert_true(says(f, "<aspf>r</aspf>"));
	assert_true(says(f, "<fo>1:d</fo>"));
	assert_true(says(f, "<testing>y</testing>"));
	assert_true(says(f, "<source_ip>192.0.2.1</source_ip>"));
	assert_true(says(f, "<disposition>reject</disposition>"));
	assert_true(says(f, "<type>local_policy</type>"));
	assert_true(says(f, "<header_from>mail.example.com</header_from>"));
	assert_true(says(f, "<envelope_from>bounce.example.net</envelope_from>"));
	assert_true(says(f, "<selector>sel</selector>"));
	assert_true(says(f, "<scope>mfrom</scope>"));
}

/* A record with a mistake in it was judged by something else than it says, and that is told. */
static void the_policy_is_the_one_that_was_judged_by(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();

	results.record = SPAN("v=DMARC1; p=reject; sp=rejct; rua=mailto:dmarc@example.com");
	tell(f, &results);
	assert_true(write_report(f));
	assert_int_equal(validate(f), 0);
	assert_true(says(f, "<p>none</p>"));
	assert_true(says(f, "<sp>none</sp>"));
}

static void the_same_report_has_the_same_name(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();
	char first[256];

	tell(f, &results);
	assert_true(write_report(f));
	assert_true(strncmp(f->report.file, "mx.example.net!example.com!1795478400!1795564799!",
			    49) == 0);
	assert_non_null(strstr(f->report.file, f->report.id));
	assert_string_equal(f->report.file + strlen(f->report.file) - 7, ".xml.gz");
	assert_true(says(f, f->report.id));
	assert_non_null(strstr(f->report.subject, "Report Domain: example.com Submitter: "
						  "mx.example.net Report-ID: <"));
	snprintf(first, sizeof(first), "%s", f->report.file);
	results.spf_result = SPAN("none");
	tell(f, &results);
	assert_true(write_report(f));
	assert_string_equal(f->report.file, first);
}

static void the_null_reverse_path_is_empty(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();

	results.envelope_from = SPAN_NONE;
	results.spf_result = SPAN_NONE; /* not checked */
	results.n_signatures = 0;
	tell(f, &results);
	assert_true(write_report(f));
	assert_int_equal(validate(f), 0);
	assert_true(says(f, "<envelope_from></envelope_from>"));
	assert_true(says(f, "<auth_results>\n    </auth_results>"));
}

static void what_senders_choose_is_escaped(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();
	char all[256];

	for (int i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	results.header_from = SPAN("</header_from><!--]]>&\"'\x01\x7f");
	results.envelope_from = span_make(all, 255);
	results.spf_domain = SPAN("\xef\xbf\xbf\xef\xbf\xbe.\xff\xc3\xa4");
	results.signatures[0].selector = SPAN("a\0\r\n<b/>");
	results.record = SPAN("v=DMARC1; p=<p>; sp=none; fo=<&>; t=maybe");
	tell(f, &results);
	assert_true(write_report(f));
	assert_int_equal(validate(f), 0);
	assert_true(says(f, "<p>none</p>"));
	assert_true(says(f, "<testing>n</testing>"));
	assert_true(says(f, "&lt;/header_from&gt;"));
}

static void rows_that_make_no_sense_are_left_out(void **state)
{
	static const char good[] =
		"{\\\"source_ip\\\":\\\"192.0.2.1\\\",\\\"disposition\\\":\\\"none\\\","
		"\\\"dkim\\\":\\\"pass\\\",\\\"spf\\\":\\\"fail\\\","
		"\\\"header_from\\\":\\\"a.example\\\"}";
	static const char *const bad[] = {"", "{", "[]", "7",
		"{\\\"source_ip\\\":\\\"192.0.2\\\",\\\"disposition\\\":\\\"none\\\",\\\"dkim\\\":"
		"\\\"pass\\\",\\\"spf\\\":\\\"fail\\\",\\\"header_from\\\":\\\"a\\\"}",
		"{\\\"source_ip\\\":\\\"192.0.2.1\\\",\\\"disposition\\\":\\\"none "
		"pass\\\",\\\"dkim\\\":\\\"pass\\\",\\\"spf\\\":\\\"fail\\\","
		"\\\"header_from\\\":\\\"a\\\"}",
		"{\\\"source_ip\\\":\\\"192.0.2.1\\\",\\\"disposition\\\":\\\"none\\\","
		"\\\"dkim\\\":"
		"\\\"\\\",\\\"spf\\\":\\\"fail\\\",\\\"header_from\\\":\\\"a\\\"}",
		"{\\\"source_ip\\\":\\\"192.0.2.1\\\",\\\"disposition\\\":\\\"none\\\","
		"\\\"dkim\\\":"
		"\\\"pass\\\",\\\"spf\\\":\\\"fail\\\",\\\"header_from\\\":7}",
		"{\\\"source_ip\\\":\\\"192.0.2.1\\\",\\\"disposition\\\":\\\"none\\\","
		"\\\"dkim\\\":"
		"\\\"pass\\\",\\\"spf\\\":\\\"fail\\\",\\\"reason\\\":\\\"because\\\","
		"\\\"header_from\\\":\\\"a\\\"}"};
	struct fixture *f = *state;
	struct buffer answer = BUFFER_INIT(64 * 1024);

	assert_true(buffer_print(&answer,
		"{\"record\":\"v=DMARC1; p=none\",\"rows\":[{\"count\":3,\"row\":\"%s\"}", good));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_true(buffer_print(&answer, ",{\"count\":1,\"row\":\"%s\"}", bad[i]));
	assert_true(buffer_print(
		&answer, ",{\"count\":0,\"row\":\"%s\"},{\"row\":\"%s\"}]}", good, good));
	assert_true(write_from(f, buffer_span(&answer)));
	assert_int_equal(validate(f), 0);
	assert_int_equal(f->report.rows, 1);
	assert_int_equal(f->report.messages, 3);
	assert_int_equal(f->report.unfit, COUNT_OF(bad) + 2);
	assert_false(write_from(f, SPAN("{\"record\":\"\",\"rows\":[]}")));
	assert_false(write_from(f, SPAN("{}")));
	buffer_free(&answer);
}

static void days(void **state)
{
	static const char *const none[] = {"", "2026-11-2", "2026-11-240", "2026/11/24",
		"2026-13-01", "2026-00-01", "2026-02-29", "2026-04-31", "2026-01-00", "x026-01-01",
		"1969-12-31", "2026-11- 4"};
	uint64_t begin_s;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(none); i++)
		assert_false(dmarc_day_read(none[i], &begin_s));
	assert_true(dmarc_day_read("1970-01-01", &begin_s));
	assert_int_equal(begin_s, 0);
	assert_true(dmarc_day_read("2026-11-24", &begin_s));
	assert_int_equal(begin_s, 1795478400);
	assert_true(dmarc_day_read("2024-02-29", &begin_s));
	assert_int_equal(begin_s, 1709164800);
}

/* --- where it goes --- */

struct inquiry {
	struct loop loop;
	struct dns_play *play;
	struct dns *dns;
	struct arena *arena;
	struct dmarc_destinations all;
};

static int ask_set_up(void **state)
{
	struct inquiry *q = memory_zeroed(sizeof(*q));
	struct endpoint server;
	struct err err;

	loop_init(&q->loop);
	q->play = dns_play_new(&q->loop, "127.0.0.1");
	server = dns_play_endpoint(q->play);
	q->dns = dns_open(
		&(struct dns_setup){
			.loop = &q->loop, .servers = &server, .n_servers = 1, .timeout_ms = 2000},
		&err);
	assert_non_null(q->dns);
	q->arena = arena_new(4096);
	*state = q;
	return 0;
}

static int ask_tear_down(void **state)
{
	struct inquiry *q = *state;

	dns_close(&q->dns);
	dns_play_free(&q->play);
	loop_close(&q->loop);
	arena_free(&q->arena);
	free(q);
	return 0;
}

static void read_record(struct inquiry *q, const char *record)
{
	dmarc_destinations_read(span_text(record), q->arena, &q->all);
}

static enum dmarc_destination_state verify(
	struct inquiry *q, const char *domain, const char *rua, uint64_t size)
{
	read_record(q, arena_print(q->arena, "v=DMARC1; p=none; rua=%s", rua));
	assert_int_equal(q->all.n, 1);
	dmarc_destinations_verify(&q->all, domain, size, q->dns, &q->loop, q->arena);
	assert_non_null(q->all.items[0].why);
	return q->all.items[0].state;
}

static void addresses_are_read(void **state)
{
	static const struct {
		const char *uri, *mailbox;
		uint64_t limit;
	} good[] = {
		{"mailto:a@example.com", "a@example.com", 0},
		{"MAILTO:a@Example.COM!10m", "a@Example.COM", 10 << 20},
		{"mailto:a@example.com!500K", "a@example.com", 500 << 10},
		{"mailto:a@example.com!4096", "a@example.com", 4096},
		{"mailto:a%21b%2b@example.com!1g", "a!b+@example.com", 1 << 30},
		{"mailto:a@example.com?subject=x", "a@example.com", 0},
	};
	static const char *const bad[] = {"a@example.com", "mailto:", "mailto:a", "mailto:a@",
		"mailto:a@[192.0.2.1]", "mailto:a@example.com!", "mailto:a@example.com!10q",
		"mailto:a%0d%0ab@example.com", "mailto:a@exa%20mple.com", "mailto:%00@example.com"};
	struct inquiry *q = *state;

	for (size_t i = 0; i < COUNT_OF(good); i++) {
		read_record(
			q, arena_print(q->arena, "v=DMARC1;p=none; rua = %s ; x=y", good[i].uri));
		assert_int_equal(q->all.n, 1);
		assert_int_equal(q->all.items[0].state, DESTINATION_UNSURE);
		assert_string_equal(q->all.items[0].mailbox, good[i].mailbox);
		assert_string_equal(q->all.items[0].host, "example.com");
		assert_int_equal(q->all.items[0].limit_bytes, good[i].limit);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		read_record(q, arena_print(q->arena, "v=DMARC1;p=none;rua=%s", bad[i]));
		assert_int_equal(q->all.n, 0);
	}
	read_record(q, "v=DMARC1;p=none;rua=https://example.com/dmarc");
	assert_int_equal(q->all.n, 1);
	assert_int_equal(q->all.items[0].state, DESTINATION_NOT);
	assert_non_null(q->all.items[0].why);
	read_record(q, "v=DMARC1; p=none");
	assert_int_equal(q->all.n, 0);
	read_record(q, "v=DMARC1; rua=mailto:a@a.example,, mailto:b@b.example ,");
	assert_int_equal(q->all.n, 2);
	read_record(q, "v=DMARC1; rua=mailto:a@a.example!1k ,mailto:b@b.example");
	assert_string_equal(q->all.items[0].uri, "mailto:a@a.example!1k");
	assert_string_equal(q->all.items[1].uri, "mailto:b@b.example");
	read_record(q, "v=DMARC1; rua=,x:a,x:a,x:a,x:a,x:a,x:a,x:a,x:a,x:a,x:a,x:a");
	assert_int_equal(q->all.n, DMARC_DESTINATIONS_MAX);
	assert_true(q->all.more);
}

static void those_of_the_same_organization_need_no_leave(void **state)
{
	struct inquiry *q = *state;

	dns_play_zone(q->play, "_dmarc.example.com TXT 300 \"v=DMARC1; p=none\"\n"
			       "_dmarc.bank TXT 300 \"v=DMARC1; p=reject; psd=y\"\n"
			       "_dmarc.co.example TXT 300 \"v=DMARC1; p=reject; psd=y\"\n");
	assert_int_equal(verify(q, "example.com", "mailto:a@example.com", 1), DESTINATION_TAKES);
	assert_int_equal(verify(q, "example.com", "mailto:a@in.example.com", 1), DESTINATION_TAKES);
	assert_int_equal(
		verify(q, "news.example.com", "mailto:a@example.com", 1), DESTINATION_TAKES);
	assert_int_equal(
		verify(q, "news.example.com", "mailto:a@x.y.example.com", 1), DESTINATION_TAKES);
	/* What they share is no organization. */
	assert_int_equal(verify(q, "example.com", "mailto:a@other.com", 1), DESTINATION_NOT);
	assert_int_equal(verify(q, "example.com", "mailto:a@badexample.com", 1), DESTINATION_NOT);
	assert_int_equal(verify(q, "a.co.example", "mailto:a@b.co.example", 1), DESTINATION_NOT);
}

static void others_must_have_said_so(void **state)
{
	struct inquiry *q = *state;

	dns_play_zone(q->play,
		"example.com._report._dmarc.takes.example TXT 300 \"v=DMARC1\"\n"
		"example.com._report._dmarc.semicolon.example TXT 300 \"v=DMARC1;\"\n"
		"example.com._report._dmarc.noise.example TXT 300 \"hello\"\n"
		"example.com._report._dmarc.noise.example TXT 300 \"p=none; v=DMARC1\"\n"
		"example.com._report._dmarc.moves.example TXT 300 "
		"\"v=DMARC1; rua=mailto:new@moves.example!1k\"\n"
		"example.com._report._dmarc.sends.example TXT 300 "
		"\"v=DMARC1; rua=mailto:victim@elsewhere.example\"\n");
	assert_int_equal(verify(q, "example.com", "mailto:a@takes.example", 1), DESTINATION_TAKES);
	assert_int_equal(
		verify(q, "example.com", "mailto:a@semicolon.example", 1), DESTINATION_TAKES);
	assert_int_equal(verify(q, "example.com", "mailto:a@noise.example", 1), DESTINATION_NOT);
	assert_int_equal(verify(q, "example.com", "mailto:a@silent.example", 1), DESTINATION_NOT);
	assert_int_equal(verify(q, "example.com", "mailto:a@moves.example", 1), DESTINATION_TAKES);
	assert_string_equal(q->all.items[0].mailbox, "new@moves.example");
	assert_int_equal(verify(q, "example.com", "mailto:a@moves.example", 1025), DESTINATION_NOT);
	assert_int_equal(verify(q, "example.com", "mailto:a@sends.example", 1), DESTINATION_NOT);
	assert_int_equal(verify(q, "example.org", "mailto:a@takes.example", 1), DESTINATION_NOT);
}

static void what_dns_does_not_tell_is_unsure(void **state)
{
	struct inquiry *q = *state;

	dns_play_zone(q->play, "_dmarc.example.com TXT 300 \"v=DMARC1; p=none\"\n");
	dns_play_fault(q->play, "example.com._report._dmarc.broken.example", DNS_PLAY_SERVFAIL);
	dns_play_fault(q->play, "_dmarc.example.org", DNS_PLAY_SERVFAIL);
	assert_int_equal(
		verify(q, "example.com", "mailto:a@broken.example", 1), DESTINATION_UNSURE);
	assert_int_equal(
		verify(q, "a.example.org", "mailto:a@b.example.org", 1), DESTINATION_UNSURE);
}

static void limits_hold(void **state)
{
	struct inquiry *q = *state;

	assert_int_equal(
		verify(q, "example.com", "mailto:a@example.com!1k", 1024), DESTINATION_TAKES);
	assert_int_equal(
		verify(q, "example.com", "mailto:a@example.com!1k", 1025), DESTINATION_NOT);
}

static void a_name_too_long_for_dns_is_not_asked(void **state)
{
	struct inquiry *q = *state;
	const char *label = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	const char *domain = arena_print(q->arena, "%s.%s.%s.example", label, label, label);

	assert_int_equal(verify(q, domain, arena_print(q->arena, "mailto:a@%s.test", label), 1),
		DESTINATION_NOT);
	assert_non_null(strstr(q->all.items[0].why, "too long"));
}

#define TEST(name)     cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define ASK_TEST(name) cmocka_unit_test_setup_teardown(name, ask_set_up, ask_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_report_says_all_and_is_valid),
		TEST(the_policy_is_the_one_that_was_judged_by),
		TEST(the_same_report_has_the_same_name),
		TEST(the_null_reverse_path_is_empty),
		TEST(what_senders_choose_is_escaped),
		TEST(rows_that_make_no_sense_are_left_out),
		cmocka_unit_test(days),
		ASK_TEST(addresses_are_read),
		ASK_TEST(those_of_the_same_organization_need_no_leave),
		ASK_TEST(others_must_have_said_so),
		ASK_TEST(what_dns_does_not_tell_is_unsure),
		ASK_TEST(limits_hold),
		ASK_TEST(a_name_too_long_for_dns_is_not_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * RFC 9989: records, the tree walk, policies, alignment, and what is certain while answers are
 * missing; and the cases of tests/data/dmarc-cases.json, each by the tree walk and, as they were
 * written, by public suffixes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "admin/json.h"
#include "lib/base/fail.h"
#include "lib/mail/dmarc.h"

static struct arena *arena;

static int setup(void **state)
{
	(void)state;
	arena = arena_new(4096);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

/* --- records --- */

/* "p sp np adkim aspf t psd rua fo" in short; "-": no record; "off": it is one that does not apply.
 */
static const char *record(const char *text)
{
	struct dmarc_record r;

	if (!dmarc_record_read(span_text(text), &r))
		return "-";
	if (!r.applies)
		return "off";
	return arena_print(arena, "%s %s %s %s %s %s %s %.*s %.*s", dmarc_policy_name(r.p),
		dmarc_policy_name(r.sp), dmarc_policy_name(r.np), r.strict_dkim ? "s" : "r",
		r.strict_spf ? "s" : "r", r.testing ? "y" : "n",
		r.psd == DMARC_PSD_YES  ? "y"
		: r.psd == DMARC_PSD_NO ? "n"
					: "u",
		SPAN_ARGS(r.rua), SPAN_ARGS(r.fo));
}

static void test_versions(void **state)
{
	static const char *const others[] = {"", "v", "v=", "v=DMARC1x; p=none", "v=dmarc1; p=none",
		"v=DMARC2; p=none", " v=DMARC1; p=none", "\tv=DMARC1; p=none", "p=none; v=DMARC1",
		"v=spf1 -all", "v=DMARC1 p=none", "=DMARC1", "vv=DMARC1; p=none", ";v=DMARC1",
		"v=DMARC1, p=none", "\"v=DMARC1; p=none\""};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(others); i++)
		assert_string_equal(record(others[i]), "-");
	assert_string_equal(record("v=DMARC1;p=none"), "none absent absent r r n u  0");
	assert_string_equal(record("V = DMARC1 ; p=none"), "none absent absent r r n u  0");
	assert_string_equal(record("v\t=\tDMARC1;p=none"), "none absent absent r r n u  0");
	assert_string_equal(record("v=DMARC1;p=none;"), "none absent absent r r n u  0");
	assert_string_equal(record("v=DMARC1"), "off");
	assert_string_equal(record("v=DMARC1;"), "off");
}

static void test_tags(void **state)
{
	(void)state;
	assert_string_equal(record("v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; "
				   "t=y; psd=n; rua=mailto:a@b.example; fo=1:d"),
		"reject quarantine none s s y n mailto:a@b.example 1:d");
	assert_string_equal(record("v=DMARC1; P = Reject; ADKIM = S; PSD=Y"),
		"reject absent absent s r n y  0");
	/* What is wrong, unknown or gone (RFC 9989 A.6) leaves the default. */
	assert_string_equal(record("v=DMARC1; p=quarantine; adkim=x; aspf=; t=1; psd=maybe; pct=0; "
				   "ri=3600; rf=afrf; x-y=1; nonsense; =; ; p2=reject"),
		"quarantine absent absent r r n u  0");
	assert_string_equal(
		record("v=DMARC1; psd=u; t=n; adkim=r; p=none"), "none absent absent r r n u  0");
	/* A tag that stands there twice has no value (RFC 6376 3.2). */
	assert_string_equal(
		record("v=DMARC1; p=reject; adkim=s; adkim=s"), "reject absent absent r r n u  0");
	assert_string_equal(record("v=DMARC1; p=reject; p=none"), "off");
	assert_string_equal(record("v=DMARC1; p=none; t=y\x80"), "none absent absent r r n u  0");
}

/* RFC 9989 4.10.1. */
static void test_bad_policies(void **state)
{
	(void)state;
	assert_string_equal(record("v=DMARC1; p=rejct"), "off");
	assert_string_equal(record("v=DMARC1; sp=reject"), "off");
	assert_string_equal(record("v=DMARC1; p="), "off");
	assert_string_equal(record("v=DMARC1; p=rej\x80"
				   "ect"),
		"off");
	assert_string_equal(record("v=DMARC1; p=reject; sp=bad"), "off");
	assert_string_equal(record("v=DMARC1; p=reject; np=absent"), "off");
	assert_string_equal(record("v=DMARC1; p=reject; sp=bad; np=reject; rua=mailto:a@b.example"),
		"none absent absent r r n u mailto:a@b.example 0");
	assert_string_equal(record("v=DMARC1; rua=mailto:a@b.example; aspf=s"),
		"none absent absent r s n u mailto:a@b.example 0");
	assert_string_equal(record("v=DMARC1; rua=nobody, https://r.example/"),
		"none absent absent r r n u nobody, https://r.example/ 0");
	assert_string_equal(record("v=DMARC1; rua=nobody"), "off");
	assert_string_equal(record("v=DMARC1; rua=mailto:nobody"), "off");
}

static const char *policies(const char *text)
{
	struct dmarc_record r;

	assert_true(dmarc_record_read(span_text(text), &r));
	return arena_print(arena, "%s %s %s",
		dmarc_policy_name(dmarc_record_policy(&r, false, true)),
		dmarc_policy_name(dmarc_record_policy(&r, true, true)),
		dmarc_policy_name(dmarc_record_policy(&r, true, false)));
}

/* Of the domain itself, of one below it, and of one that does not exist. */
static void test_policies(void **state)
{
	(void)state;
	assert_string_equal(policies("v=DMARC1; p=reject"), "reject reject reject");
	assert_string_equal(
		policies("v=DMARC1; p=none; sp=quarantine"), "none quarantine quarantine");
	assert_string_equal(policies("v=DMARC1; p=none; np=reject"), "none none reject");
	assert_string_equal(
		policies("v=DMARC1; p=reject; sp=none; np=quarantine"), "reject none quarantine");
	assert_string_equal(policies("v=DMARC1; p=reject; sp=none; np=quarantine; t=y"),
		"quarantine none none");
	assert_string_equal(policies("v=DMARC1; p=bad"), "absent absent absent");
}

/* --- addresses --- */

static const char *uris(const char *list)
{
	struct span rest = span_text(list);
	struct dmarc_uri uri;
	char *all = arena_print(arena, "%s", "");

	while (dmarc_uri_next(&rest, &uri))
		all = arena_print(arena, "%s[%.*s %s %.*s %llu]", all, SPAN_ARGS(uri.text),
			uri.mailto ? uri.mailbox : "-", SPAN_ARGS(uri.domain),
			(unsigned long long)uri.limit_bytes);
	return all;
}

static void test_uris(void **state)
{
	(void)state;
	assert_string_equal(
		uris("mailto:a@b.example"), "[mailto:a@b.example a@b.example b.example 0]");
	assert_string_equal(
		uris("MAILTO:a@b.example!10m , mailto:c@d.example!1, mailto:e@f.example!2K"),
		"[MAILTO:a@b.example a@b.example b.example 10485760]"
		"[mailto:c@d.example c@d.example d.example 1]"
		"[mailto:e@f.example e@f.example f.example 2048]");
	assert_string_equal(uris("mailto:a%2bb%2C@b.example?subject=x"), "");
	assert_string_equal(uris("mailto:a%2bb@b.example?subject=x"),
		"[mailto:a%2bb@b.example?subject=x a+b@b.example b.example 0]");
	assert_string_equal(uris("https://r.example/x"), "[https://r.example/x -  0]");
	assert_string_equal(uris(""), "");
	assert_string_equal(uris(",,"), "");
	assert_string_equal(
		uris("mailto:, mailto:a, mailto:a@, mailto:@b, mailto:a@[192.0.2.1]"), "");
	assert_string_equal(
		uris("mailto:a@b.example!, mailto:a@b.example!x, mailto:a!b@c.example"), "");
	assert_string_equal(uris("mailto:a%@b.example, mailto:a%4, mailto:%00@b.example"), "");
	assert_string_equal(uris("mail to:a@b.example, 1x:y, x\"y:z, :x, x:"), "");
	assert_string_equal(uris("mailto:a@b.example!99999999999999999999"), "");
	assert_string_equal(uris("mailto:a@b.example!18446744073709551615t"), "");
	assert_string_equal(
		uris(", bad,mailto:a@b.example"), "[mailto:a@b.example a@b.example b.example 0]");
}

static void test_report_name(void **state)
{
	struct buffer out = BUFFER_INIT(64), small = BUFFER_INIT(16);

	(void)state;
	assert_true(dmarc_report_name(SPAN("a.example"), SPAN("b.example"), &out));
	assert_string_equal(buffer_string(&out), "a.example._report._dmarc.b.example");
	assert_false(dmarc_report_name(SPAN("a.example"), SPAN("b.example"), &small));
	buffer_free(&out);
	buffer_free(&small);
}

/* --- a zone: "name text" in lines; the text may be ! (trouble), - (no text), ? (no answer yet);
 * other names do not exist. Names without _dmarc. are asked for whether they exist. --- */

static unsigned asked;

static enum dmarc_answer look_up(
	const char *zone, const char *name, struct span *texts, size_t *n, bool *open)
{
	enum dmarc_answer answer = DMARC_NO_NAME;

	*n = 0;
	*open = false;
	while (*zone) {
		size_t len = strcspn(zone, "\n"), end = strcspn(zone, " ");
		struct span text = span_make(zone + end + 1, len - end - 1);

		if (end == strlen(name) && strncmp(zone, name, end) == 0) {
			answer = DMARC_TEXTS;
			if (span_equal(text, SPAN("!")))
				return DMARC_TROUBLE;
			if (span_equal(text, SPAN("-")))
				return DMARC_NO_TEXT;
			*open = span_equal(text, SPAN("?"));
			if (*open)
				return answer;
			assert_true(*n < 8);
			texts[(*n)++] = text;
		}
		zone += len + (zone[len] == '\n');
	}
	return answer;
}

/* Answers all that is wished for; false: nothing is. */
static bool resolve(struct dmarc *dmarc, const char *zone)
{
	const struct dmarc_wish *wish;
	bool some = false;

	while ((wish = dmarc_wish(dmarc))) {
		struct span texts[8];
		enum dmarc_answer answer;
		size_t n;
		bool open;

		asked++;
		answer = look_up(zone, arena_string(arena, wish->name), texts, &n, &open);
		if (open)
			continue;
		dmarc_answer(dmarc, wish->number, answer, texts, n);
		some = true;
	}
	return some;
}

static struct dmarc *new_dmarc(void)
{
	asked = 0;
	return dmarc_new(arena, NULL, NULL);
}

static struct dmarc_domain *domain(struct dmarc *dmarc, const char *name)
{
	struct dmarc_domain *d = dmarc_domain(dmarc, span_text(name));

	assert_non_null(d);
	return d;
}

static const char *state_name(enum dmarc_knowledge state)
{
	return state == DMARC_OPEN ? "open" : "trouble";
}

/* "policy at domain", "none" without a record. */
static const char *found(const char *zone, const char *name)
{
	struct dmarc *dmarc = new_dmarc();
	struct dmarc_found f;
	enum dmarc_knowledge state;

	do
		state = dmarc_find(dmarc, domain(dmarc, name), &f);
	while ((state == DMARC_OPEN || f.policy_state == DMARC_OPEN) && resolve(dmarc, zone));
	if (state != DMARC_KNOWN)
		return state_name(state);
	if (!f.record) {
		assert_int_equal(f.policy, DMARC_ABSENT);
		return "none";
	}
	return arena_print(arena, "%s at %.*s",
		f.policy_state == DMARC_KNOWN ? dmarc_policy_name(f.policy)
					      : state_name(f.policy_state),
		SPAN_ARGS(f.domain));
}

static const char *organization(const char *zone, const char *name)
{
	struct dmarc *dmarc = new_dmarc();
	enum dmarc_knowledge state;
	struct span out;

	do
		state = dmarc_organization(dmarc, domain(dmarc, name), &out);
	while (state == DMARC_OPEN && resolve(dmarc, zone));
	return state == DMARC_KNOWN ? arena_string(arena, out) : state_name(state);
}

/* --- the walk --- */

static const char *walk(const char *name)
{
	struct dmarc *dmarc = new_dmarc();
	const struct dmarc_wish *wish;
	char *all = arena_print(arena, "%s", "");
	struct span out;

	assert_int_equal(dmarc_organization(dmarc, domain(dmarc, name), &out), DMARC_OPEN);
	while ((wish = dmarc_wish(dmarc))) {
		assert_false(wish->existence);
		all = arena_print(arena, "%s %.*s", all, SPAN_ARGS(wish->name));
	}
	assert_int_equal(dmarc_organization(dmarc, domain(dmarc, name), &out), DMARC_OPEN);
	assert_null(dmarc_wish(dmarc)); /* each once */
	return all;
}

/* All names at once, eight at most: the RFC's own example. */
static void test_walk(void **state)
{
	(void)state;
	assert_string_equal(walk("com"), " _dmarc.com");
	assert_string_equal(walk("Example.COM."), " _dmarc.example.com _dmarc.com");
	assert_string_equal(walk("a.b.c.d.e.f.com"),
		" _dmarc.a.b.c.d.e.f.com _dmarc.b.c.d.e.f.com _dmarc.c.d.e.f.com _dmarc.d.e.f.com"
		" _dmarc.e.f.com _dmarc.f.com _dmarc.com");
	assert_string_equal(walk("a.b.c.d.e.f.g.com"),
		" _dmarc.a.b.c.d.e.f.g.com _dmarc.b.c.d.e.f.g.com _dmarc.c.d.e.f.g.com"
		" _dmarc.d.e.f.g.com _dmarc.e.f.g.com _dmarc.f.g.com _dmarc.g.com _dmarc.com");
	assert_string_equal(walk("a.b.c.d.e.f.g.h.i.j.mail.example.com"),
		" _dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com _dmarc.g.h.i.j.mail.example.com"
		" _dmarc.h.i.j.mail.example.com _dmarc.i.j.mail.example.com "
		"_dmarc.j.mail.example.com"
		" _dmarc.mail.example.com _dmarc.example.com _dmarc.com");
}

static void test_no_domains(void **state)
{
	static const char *const names[] = {
		"", ".", "a..b", ".a", "a..", "a b", "-", "[192.0.2.1]", "b\xc3\xbc.example"};
	struct dmarc *dmarc = new_dmarc();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		assert_null(dmarc_domain(dmarc, span_text(names[i])));
	assert_ptr_equal(domain(dmarc, "a.example"), domain(dmarc, "A.Example."));
}

#define R "v=DMARC1; p=reject"

static void test_organizations(void **state)
{
	(void)state;
	/* RFC 9989 4.10.2's examples. */
	assert_string_equal(organization("_dmarc.mail.example.com " R "\n_dmarc.example.com " R,
				    "a.mail.example.com"),
		"example.com");
	assert_string_equal(organization("_dmarc.mail.example.com " R "; psd=n\n"
					 "_dmarc.example.com " R,
				    "a.mail.example.com"),
		"mail.example.com");
	assert_string_equal(
		organization("_dmarc.com " R "; psd=y", "a.mail.example.com"), "example.com");
	/* Without any record the domain is its own. */
	assert_string_equal(organization("", "a.mail.example.com"), "a.mail.example.com");
	/* psd=y at the start is not one's own suffix. */
	assert_string_equal(
		organization("_dmarc.a.example " R "; psd=y\n_dmarc.example " R, "a.example"),
		"a.example");
	assert_string_equal(organization("_dmarc.uk.example " R "; psd=y", "mail.shop.uk.example"),
		"shop.uk.example");
	/* Several records are none, and the walk goes on. */
	assert_string_equal(organization("_dmarc.example.com " R "\n_dmarc.example.com " R
					 "; psd=n\n_dmarc.com " R,
				    "a.example.com"),
		"com");
	assert_string_equal(organization("_dmarc.example.com " R "\n_dmarc.example.com v=spf1",
				    "a.example.com"),
		"example.com");
	/* A record that does not apply still tells whose the domain is. */
	assert_string_equal(
		organization("_dmarc.com v=DMARC1; psd=y", "a.example.com"), "example.com");
	/* Below a name that was passed over. */
	assert_string_equal(
		organization("_dmarc.c.d.e.f.g.h.com " R "; psd=y", "1.a.b.c.d.e.f.g.h.com"),
		"b.c.d.e.f.g.h.com");
	assert_string_equal(organization("_dmarc.a.b.c.d.e.f.g.h.com " R, "1.a.b.c.d.e.f.g.h.com"),
		"1.a.b.c.d.e.f.g.h.com");
	/* What failed counts only before the walk ends. */
	assert_string_equal(
		organization("_dmarc.example.com " R "\n_dmarc.com !", "example.com"), "trouble");
	assert_string_equal(
		organization("_dmarc.example.com " R "; psd=n\n_dmarc.com !", "example.com"),
		"example.com");
	assert_string_equal(
		organization("_dmarc.example.com " R "\n_dmarc.com ?", "example.com"), "open");
}

/* --- policies --- */

static void test_found(void **state)
{
	(void)state;
	assert_string_equal(found("", "example.com"), "none");
	assert_string_equal(found("_dmarc.example.com " R, "example.com"), "reject at example.com");
	assert_string_equal(found("_dmarc.example.com " R "; sp=none\n"
				  "_dmarc.mail.example.com v=DMARC1; p=quarantine; sp=reject",
				    "mail.example.com"),
		"quarantine at mail.example.com");
	assert_string_equal(found("_dmarc.example.com " R "; sp=none\n"
				  "_dmarc.mail.example.com v=DMARC1; p=quarantine; sp=reject",
				    "a.mail.example.com"),
		"none at example.com");
	/* PSDs are the last choice, and not for organizations with a record. */
	assert_string_equal(found("_dmarc.com v=DMARC1; p=reject; sp=quarantine; psd=y\n"
				  "_dmarc.example.com v=DMARC1; p=none",
				    "a.example.com"),
		"none at example.com");
	assert_string_equal(found("_dmarc.com v=DMARC1; p=reject; sp=quarantine; psd=y\n"
				  "_dmarc.b.example.com v=DMARC1; p=none",
				    "a.b.example.com"),
		"quarantine at com");
	assert_string_equal(
		found("_dmarc.com v=DMARC1; p=reject; sp=quarantine; psd=y", "example.com"),
		"quarantine at com");
	assert_string_equal(found("_dmarc.com " R "; psd=y", "com"), "reject at com");
	/* p that is wrong. */
	assert_string_equal(found("_dmarc.example.com v=DMARC1; p=x", "example.com"), "none");
	assert_string_equal(
		found("_dmarc.a.example.com v=DMARC1; p=x\n_dmarc.example.com " R, "a.example.com"),
		"none");
	assert_string_equal(
		found("_dmarc.example.com v=DMARC1; p=x; rua=mailto:a@b.example", "a.example.com"),
		"none at example.com");
}

static void test_found_early(void **state)
{
	(void)state;
	assert_string_equal(found("_dmarc.example.com " R "\n_dmarc.com ?", "example.com"),
		"reject at example.com");
	assert_string_equal(found("_dmarc.example.com " R "\n_dmarc.com !", "example.com"),
		"reject at example.com");
	assert_string_equal(
		found("_dmarc.example.com " R "\n_dmarc.com ?", "a.example.com"), "open");
	assert_string_equal(
		found("_dmarc.example.com " R "\n_dmarc.com !", "a.example.com"), "trouble");
	assert_string_equal(found("_dmarc.example.com !\n_dmarc.com " R, "example.com"), "trouble");
	assert_string_equal(found("_dmarc.example.com " R "; psd=n\n_dmarc.com ?", "a.example.com"),
		"reject at example.com");
}

/* np is for names that do not exist, as RFC 8020 has it. */
static void test_existence(void **state)
{
	static const char *const np = "_dmarc.example.com v=DMARC1; p=none; np=reject\n";
	char *zone;

	(void)state;
	assert_string_equal(found(np, "no.example.com"), "reject at example.com");
	assert_int_equal(asked, 4);
	zone = arena_print(arena, "%s%s", np, "yes.example.com -");
	assert_string_equal(found(zone, "yes.example.com"), "none at example.com");
	zone = arena_print(arena, "%s%s", np, "yes.example.com x");
	assert_string_equal(found(zone, "yes.example.com"), "none at example.com");
	/* Something at or below _dmarc: then it is there, and nobody is asked. */
	zone = arena_print(arena, "%s%s", np, "_dmarc.yes.example.com -");
	assert_string_equal(found(zone, "yes.example.com"), "none at example.com");
	assert_int_equal(asked, 3);
	zone = arena_print(arena, "%s%s", np, "a.example.com !");
	assert_string_equal(found(zone, "a.example.com"), "trouble at example.com");
	zone = arena_print(arena, "%s%s", np, "a.example.com ?");
	assert_string_equal(found(zone, "a.example.com"), "open at example.com");
	/* Where it changes nothing. */
	assert_string_equal(
		found("_dmarc.example.com v=DMARC1; p=reject; sp=none; np=none", "no.example.com"),
		"none at example.com");
	assert_int_equal(asked, 3);
	assert_string_equal(found("_dmarc.example.com v=DMARC1; p=none; np=reject", "example.com"),
		"none at example.com");
	assert_int_equal(asked, 2);
}

/* --- verdicts --- */

/* identities: "spf=a dkim=b ?dkim=c ?spf": ? is for those that DNS trouble keeps unsure. */
static size_t read_identities(
	struct dmarc *dmarc, const char *written, struct dmarc_identity *out, size_t max)
{
	size_t n = 0;

	while (*written) {
		size_t len = strcspn(written, " "), equals = strcspn(written, "= ");
		struct dmarc_identity *identity = &out[n++];

		assert_true(n <= max);
		*identity = (struct dmarc_identity){.unsure = *written == '?'};
		identity->by_spf = written[identity->unsure] == 's';
		if (equals < len)
			identity->domain = domain(
				dmarc, arena_string(arena,
					       span_make(written + equals + 1, len - equals - 1)));
		written += len + (written[len] == ' ');
	}
	return n;
}

static const char *aligned_name(enum dmarc_knowledge state, bool aligned)
{
	return state != DMARC_KNOWN ? state_name(state) : aligned ? "yes" : "no";
}

/* "code spf dkim". */
static const char *judged(const char *zone, const char *from, const char *written)
{
	struct dmarc *dmarc = new_dmarc();
	struct dmarc_identity identities[8];
	size_t n = read_identities(dmarc, written, identities, COUNT_OF(identities));
	struct dmarc_verdict v;
	enum dmarc_knowledge state;

	do
		state = dmarc_judge(dmarc, domain(dmarc, from), identities, n, &v);
	while ((state == DMARC_OPEN || v.spf_state == DMARC_OPEN || v.dkim_state == DMARC_OPEN) &&
		resolve(dmarc, zone));
	assert_int_not_equal(state, DMARC_UNKNOWN);
	if (state == DMARC_OPEN)
		return "open";
	if (!v.found.record)
		return dmarc_code_name(v.code);
	return arena_print(arena, "%s %s %s", dmarc_code_name(v.code),
		aligned_name(v.spf_state, v.spf), aligned_name(v.dkim_state, v.dkim));
}

#define EXAMPLE "_dmarc.example.com " R "\n"

static void test_verdicts(void **state)
{
	(void)state;
	assert_string_equal(judged("", "example.com", "spf=example.com"), "none");
	assert_string_equal(judged(EXAMPLE, "example.com", ""), "fail no no");
	assert_string_equal(judged(EXAMPLE, "example.com", "spf=example.com"), "pass yes no");
	assert_string_equal(judged(EXAMPLE, "example.com", "dkim=EXAMPLE.com"), "pass no yes");
	assert_string_equal(judged(EXAMPLE, "a.example.com", "spf=b.example.com dkim=example.com"),
		"pass yes yes");
	assert_string_equal(
		judged(EXAMPLE, "example.com", "dkim=a.example.com dkim=b.example"), "pass no yes");
	assert_string_equal(
		judged(EXAMPLE, "example.com", "spf=badexample.com dkim=com dkim=example.net"),
		"fail no no");
	assert_string_equal(judged("_dmarc.example.com " R "; adkim=s\n", "example.com",
				    "spf=a.example.com dkim=a.example.com"),
		"pass yes no");
	assert_string_equal(judged("_dmarc.example.com " R "; aspf=s\n", "a.example.com",
				    "spf=example.com dkim=a.example.com"),
		"pass no yes");
}

/* Organizations within organizations, and suffixes. */
static void test_verdicts_and_organizations(void **state)
{
	static const char *const psd = EXAMPLE "_dmarc.com " R "; psd=y\n";
	static const char *const inner = EXAMPLE "_dmarc.inner.example.com " R "; psd=n\n";

	(void)state;
	assert_string_equal(judged(psd, "a.com", "spf=b.com"), "fail no no");
	assert_string_equal(judged(psd, "a.example.com", "spf=example.com"), "pass yes no");
	assert_string_equal(judged(psd, "com", "spf=example.com"), "fail no no");
	assert_string_equal(judged(inner, "example.com", "spf=inner.example.com"), "fail no no");
	assert_string_equal(judged(inner, "inner.example.com", "spf=example.com"), "fail no no");
	assert_string_equal(
		judged(inner, "a.inner.example.com", "spf=b.inner.example.com"), "pass yes no");
	/* A registry's record without psd=y makes one organization of all below it. */
	assert_string_equal(judged("_dmarc.com " R "\n", "a.com", "spf=b.com"), "pass yes no");
	/* The deputy's record is no organization's: RFC 9989 4.10.2, the shortest name. */
	assert_string_equal(judged(EXAMPLE "_dmarc.a.example.com " R "\n", "a.example.com",
				    "dkim=b.example.com"),
		"pass no yes");
}

/* Nothing is asked for that can't matter. */
static void test_what_is_asked(void **state)
{
	(void)state;
	judged(EXAMPLE, "example.com", "spf=mail.other.com dkim=a.b.c.d.net dkim=x.y.org");
	assert_int_equal(asked, 2);
	judged(EXAMPLE, "a.example.com", "spf=b.example.com dkim=c.example.com dkim=example.com");
	assert_int_equal(asked, 5);
	judged("", "a.example.com", "spf=b.example.net");
	assert_int_equal(asked, 3);
}

static void test_trouble(void **state)
{
	(void)state;
	assert_string_equal(
		judged("_dmarc.example.com !\n", "example.com", "spf=example.com"), "temperror");
	/* Identical domains need no walk; nor does a strict record. */
	assert_string_equal(
		judged(EXAMPLE "_dmarc.com !\n", "example.com", "spf=example.com"), "pass yes no");
	assert_string_equal(judged("_dmarc.example.com " R "; aspf=s\n_dmarc.com !\n",
				    "example.com", "spf=a.example.com"),
		"fail no no");
	/* Whatever a broken registry would say, these two would meet there or below. */
	assert_string_equal(judged(EXAMPLE "_dmarc.com !\n", "example.com", "spf=a.example.com"),
		"pass yes no");
	assert_string_equal(judged("_dmarc.a.example.com " R "\n" EXAMPLE "_dmarc.com !\n",
				    "a.example.com", "dkim=b.example.com"),
		"pass no yes");
	/* It could be a suffix, and b no relative. */
	assert_string_equal(judged("_dmarc.a.example.com " R "\n_dmarc.example.com !\n",
				    "a.example.com", "dkim=b.example.com"),
		"temperror no trouble");
	assert_string_equal(
		judged("_dmarc.a.example.com " R "\n_dmarc.example.com !\n_dmarc.com " R,
			"a.example.com", "dkim=b.example.com"),
		"temperror no trouble");
	/* An organization of its own could begin there. */
	assert_string_equal(
		judged(EXAMPLE "_dmarc.b.example.com !\n", "example.com", "dkim=a.b.example.com"),
		"temperror no trouble");
	assert_string_equal(
		judged("_dmarc.a.b.example.com " R "\n" EXAMPLE "_dmarc.b.example.com !\n",
			"a.b.example.com", "dkim=example.com"),
		"temperror no trouble");
	/* Where no common suffix is, nothing can be. */
	assert_string_equal(
		judged(EXAMPLE "_dmarc.com !\n", "example.com", "dkim=example.net"), "fail no no");
	/* One way is enough. */
	assert_string_equal(judged(EXAMPLE "_dmarc.b.example.com !\n", "example.com",
				    "dkim=a.b.example.com spf=example.com"),
		"pass yes trouble");
}

static void test_early(void **state)
{
	(void)state;
	assert_string_equal(judged(EXAMPLE "_dmarc.b.example.com ?\n", "example.com",
				    "dkim=a.b.example.com spf=example.com"),
		"pass yes open");
	assert_string_equal(
		judged(EXAMPLE "_dmarc.b.example.com ?\n", "example.com", "dkim=a.b.example.com"),
		"open");
	assert_string_equal(
		judged(EXAMPLE "_dmarc.com ?\n", "example.com", "dkim=example.com"), "pass no yes");
	assert_string_equal(
		judged("_dmarc.example.com ?\n", "example.com", "dkim=example.com"), "open");
}

/* SPF or DKIM that failed for DNS: only where a pass would have counted. */
static void test_unsure(void **state)
{
	(void)state;
	assert_string_equal(
		judged(EXAMPLE, "example.com", "?spf=example.com"), "temperror trouble no");
	assert_string_equal(
		judged(EXAMPLE, "example.com", "?dkim=a.example.com"), "temperror no trouble");
	assert_string_equal(
		judged(EXAMPLE, "example.com", "?spf=example.net ?dkim=other.com"), "fail no no");
	assert_string_equal(judged(EXAMPLE, "example.com", "?spf=example.com dkim=example.com"),
		"pass trouble yes");
	assert_string_equal(judged(EXAMPLE, "example.com", "?spf"), "temperror trouble no");
	assert_string_equal(judged("", "example.com", "?spf"), "none");
}

/* --- tests/data/dmarc-cases.json --- */

/* The last two labels, which is right for every name in there. */
static struct span by_two_labels(void *context, struct span name)
{
	size_t at = name.len, dots = 0;

	(void)context;
	while (at && (name.at[at - 1] != '.' || ++dots < 2))
		at--;
	return span_from(name, at);
}

/* Cases that ask for what RFC 7489 says, where RFC 9989 says otherwise; by their index. */
static const struct ruling {
	size_t number;
	const char *result, *policy;
} rulings[] = {
	/* Two records at mail.example.com, p=none at example.com. RFC 7489 6.6.3 ends there;
	 * RFC 9989 4.10 leaves both out and walks on. */
	{4, "fail", "none"},
};

static const struct ruling *ruling_for(size_t number)
{
	for (size_t i = 0; i < COUNT_OF(rulings); i++)
		if (rulings[i].number == number)
			return &rulings[i];
	return NULL;
}

static const char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = arena_alloc(arena, 128 * 1024);

	if (!file)
		fail_msg("%s can't be read: this runs from the root of the tree", path);
	text[fread(text, 1, 128 * 1024 - 1, file)] = '\0';
	fclose(file);
	return text;
}

/* [["a", "b"], ["c"]] as lines of a zone. */
static char *add_texts(char *zone, const char *name, const struct json *texts)
{
	for (const struct json *text = texts->first; text; text = text->next) {
		zone = arena_print(arena, "%s%s ", zone, name);
		for (const struct json *part = text->first; part; part = part->next)
			zone = arena_print(arena, "%s%s", zone, part->text);
		zone = arena_print(arena, "%s\n", zone);
	}
	return zone;
}

static const char *case_zone(const struct json *c)
{
	const struct json *zone = json_get(c, "zone"), *dns = json_get(c, "dns");
	char *lines = arena_print(arena, "%s", "");

	if (zone->kind == JSON_OBJECT) {
		for (const struct json *name = zone->first; name; name = name->next)
			lines = add_texts(lines, name->key, json_get(name, "TXT"));
		return lines;
	}
	for (const struct json *line = dns->first; line; line = line->next) {
		const char *name = line->first->text;
		const struct json *answer = line->first->next->next;

		assert_string_equal(line->first->next->text, "TXT");
		if (answer->kind == JSON_LIST)
			lines = add_texts(lines, name, answer);
		else if (strcmp(answer->text, "ETIMEOUT") == 0)
			lines = arena_print(arena, "%s%s !\n", lines, name);
		else
			assert_string_equal(answer->text, "ENOTFOUND");
	}
	return lines;
}

/* All addresses of a case are of one domain. */
static const char *case_from(const struct json *c)
{
	const struct json *from = json_get(c, "headerFrom");
	const char *name = from->kind == JSON_LIST ? from->first->text : from->text;

	return strchr(name, '@') ? strchr(name, '@') + 1 : name;
}

static size_t case_identities(
	struct dmarc *dmarc, const struct json *list, bool by_spf, struct dmarc_identity *out)
{
	size_t n = 0;

	for (const struct json *item = list->first; item; item = item->next)
		out[n++] = (struct dmarc_identity){.by_spf = by_spf,
			.domain = domain(dmarc, item->kind == JSON_STRING
							? item->text
							: json_text(item, "domain"))};
	return n;
}

static void compare_case(const struct json *c, size_t number, bool walks, struct dmarc *dmarc,
	const struct dmarc_verdict *v)
{
	const struct json *res = json_get(c, "res"), *align = json_get(res, "align");
	const struct ruling *ruling = walks ? ruling_for(number) : NULL;
	const struct dmarc_record *r = v->found.record;
	struct span organization_of;

	if (ruling) {
		assert_string_equal(dmarc_code_name(v->code), ruling->result);
		assert_string_equal(dmarc_policy_name(v->found.policy), ruling->policy);
		return;
	}
	if (res->kind == JSON_FALSE) {
		assert_int_equal(v->code, DMARC_IS_NONE);
		return;
	}
	if (strcmp(dmarc_code_name(v->code), json_text(res, "result")) != 0)
		fail_msg("case %zu: %s, expected %s", number, dmarc_code_name(v->code),
			json_text(res, "result"));
	assert_int_equal(r != NULL, json_get(res, "policy") != NULL);
	if (!walks) {
		assert_int_equal(
			dmarc_organization(dmarc, domain(dmarc, case_from(c)), &organization_of),
			DMARC_KNOWN);
		assert_string_equal(arena_string(arena, organization_of), json_text(res, "domain"));
	}
	if (!r)
		return;
	assert_string_equal(dmarc_policy_name(v->found.policy), json_text(res, "policy"));
	assert_string_equal(dmarc_policy_name(r->p), json_text(res, "p"));
	assert_string_equal(
		dmarc_policy_name(dmarc_record_policy(r, true, true)), json_text(res, "sp"));
	assert_int_equal(v->spf, json_get(json_get(align, "spf"), "result") != NULL);
	assert_int_equal(v->dkim, json_get(json_get(align, "dkim"), "result") != NULL);
	assert_string_equal(
		r->strict_spf ? "yes" : "no", json_text(json_get(align, "spf"), "strict"));
	assert_string_equal(
		r->strict_dkim ? "yes" : "no", json_text(json_get(align, "dkim"), "strict"));
}

static void play_case(const struct json *c, size_t number, bool walks)
{
	struct dmarc *dmarc = walks ? new_dmarc() : dmarc_new(arena, by_two_labels, NULL);
	struct dmarc_domain *from = domain(dmarc, case_from(c));
	struct dmarc_identity identities[8];
	size_t n = case_identities(dmarc, json_get(c, "spf"), true, identities);
	const char *zone = case_zone(c);
	struct dmarc_verdict v;

	n += case_identities(dmarc, json_get(c, "dkim"), false, identities + n);
	while (dmarc_judge(dmarc, from, identities, n, &v) == DMARC_OPEN ||
		v.spf_state == DMARC_OPEN || v.dkim_state == DMARC_OPEN)
		assert_true(resolve(dmarc, zone));
	compare_case(c, number, walks, dmarc, &v);
}

static void test_cases(void **state)
{
	const struct json *cases =
		json_read(arena, span_text(read_file("tests/data/dmarc-cases.json")));
	size_t n = 0;

	(void)state;
	assert_non_null(cases);
	for (const struct json *c = cases->first; c; c = c->next, n++) {
		play_case(c, n, true);
		play_case(c, n, false);
	}
	assert_int_equal(n, 53);
}

/* --- public suffixes --- */

static void test_listed(void **state)
{
	static const char *const zone = "_dmarc.example.com v=DMARC1; p=reject; sp=none\n"
					"_dmarc.b.example.com v=DMARC1; p=quarantine\n"
					"_dmarc.com " R "\n";
	struct dmarc *dmarc = dmarc_new(arena, by_two_labels, NULL);
	struct dmarc_found f;

	(void)state;
	asked = 0;
	while (dmarc_find(dmarc, domain(dmarc, "a.b.example.com"), &f) == DMARC_OPEN)
		assert_true(resolve(dmarc, zone));
	assert_int_equal(asked, 2); /* neither b.example.com nor com */
	assert_int_equal(f.policy, DMARC_NONE);
	assert_string_equal(arena_string(arena, f.domain), "example.com");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_policies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uris, setup, teardown),
		cmocka_unit_test_setup_teardown(test_report_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_walk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_domains, setup, teardown),
		cmocka_unit_test_setup_teardown(test_organizations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_existence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_verdicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_verdicts_and_organizations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trouble, setup, teardown),
		cmocka_unit_test_setup_teardown(test_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unsure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cases, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listed, setup, teardown),
	};

	return cmocka_run_group_tests_name("dmarc", tests, NULL, NULL);
}

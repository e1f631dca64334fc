/*
 * dmarc_row: from facts and what the rules made of a message to a row of an aggregate report; what
 * makes no row at all.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "lib/base/attributes.h"
#include "proxy/session/dmarc_row.h"

enum { VALUES_MAX = 16 };

static const struct fact_choice results[] = {{"none", NULL}, {"pass", NULL}, {"fail", NULL},
	{"temperror", NULL}, {"permerror", NULL}, {NULL, NULL}};
static const struct fact_choice policies[] = {
	{"none", NULL}, {"quarantine", NULL}, {"reject", NULL}, {"absent", NULL}, {NULL, NULL}};

static const struct fact facts[] = {
	{"dmarc", TYPE_CHOICE, STAGE_MESSAGE, 0, results, ""},
	{"dmarc.policy", TYPE_CHOICE, STAGE_HEADER, 0, policies, ""},
	{"dmarc.domain", TYPE_DOMAIN, STAGE_HEADER, 0, NULL, ""},
	{"dmarc.record", TYPE_TEXT, STAGE_HEADER, 0, NULL, ""},
	{"dmarc.spf_aligned", TYPE_BOOL, STAGE_MESSAGE, 0, NULL, ""},
	{"dmarc.dkim_aligned", TYPE_BOOL, STAGE_MESSAGE, 0, NULL, ""},
	{"from.domain", TYPE_DOMAIN, STAGE_HEADER, FACT_MANY, NULL, ""},
	{"spf", TYPE_CHOICE, STAGE_MAIL, 0, results, ""},
	{"spf.domain", TYPE_DOMAIN, STAGE_MAIL, 0, NULL, ""},
	{"dkim.results", TYPE_TEXT, STAGE_MESSAGE, FACT_MANY | FACT_IN_TEXTS, NULL, ""},
};

struct fixture {
	struct fact_value values[COUNT_OF(facts)];
	union fact_datum items[COUNT_OF(facts)][VALUES_MAX];
	struct dmarc_row_source source;
	struct dmarc_results row;
};

static size_t index_of(const char *name)
{
	size_t i = 0;

	while (strcmp(facts[i].name, name) != 0)
		i++;
	return i;
}

static const struct fact_value *fact(const void *context, const char *name, const struct fact **out)
{
	const struct fixture *f = context;
	size_t i = index_of(name);

	*out = &facts[i];
	return f->values[i].state == FACT_KNOWN ? &f->values[i] : NULL;
}

/* One more value; words of choices, "yes", texts. */
static void add(struct fixture *f, const char *name, const char *text)
{
	size_t i = index_of(name);
	union fact_datum *item = &f->items[i][f->values[i].count++];

	f->values[i].state = FACT_KNOWN;
	f->values[i].items = f->items[i];
	if (facts[i].type == TYPE_CHOICE)
		item->choice = (unsigned)fact_choice_find(&facts[i], span_text(text));
	else if (facts[i].type == TYPE_BOOL)
		item->yes = strcmp(text, "yes") == 0;
	else
		item->text = span_text(text);
}

static void set(struct fixture *f, const char *name, const char *text)
{
	f->values[index_of(name)].count = 0;
	add(f, name, text);
}

static void begin(struct fixture *f)
{
	*f = (struct fixture){.source = {.fact = fact,
				      .envelope_from = SPAN("bounce.example.net"),
				      .sternness = STERN_REJECT}};
	f->source.context = f;
	assert_true(ip_parse(SPAN("2001:db8::7"), &f->source.client));
	set(f, "dmarc", "fail");
	set(f, "dmarc.policy", "reject");
	set(f, "dmarc.domain", "example.com");
	set(f, "dmarc.record", "v=DMARC1; p=reject");
	set(f, "dmarc.spf_aligned", "no");
	set(f, "dmarc.dkim_aligned", "no");
	set(f, "from.domain", "example.com");
	set(f, "spf", "pass");
	set(f, "spf.domain", "bounce.example.net");
	add(f, "dkim.results", "example.org sel fail");
	add(f, "dkim.results", "example.net s2 pass");
}

static bool fill(struct fixture *f)
{
	return dmarc_row_fill(&f->source, &f->row);
}

#define ASSERT_SPAN(span, text) assert_true(span_equal((span), span_text(text)))

static void all_is_taken_over(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	assert_true(fill(&f));
	ASSERT_SPAN(f.row.policy_domain, "example.com");
	ASSERT_SPAN(f.row.record, "v=DMARC1; p=reject");
	assert_true(ip_equal(&f.row.source, &f.source.client));
	assert_int_equal(f.row.disposition, DMARC_DONE_REJECT);
	assert_null(f.row.reason);
	assert_false(f.row.spf_aligned || f.row.dkim_aligned);
	ASSERT_SPAN(f.row.header_from, "example.com");
	ASSERT_SPAN(f.row.envelope_from, "bounce.example.net");
	ASSERT_SPAN(f.row.spf_domain, "bounce.example.net");
	ASSERT_SPAN(f.row.spf_result, "pass");
	ASSERT_SPAN(f.row.spf_scope, "mfrom");
	assert_int_equal(f.row.n_signatures, 2);
	ASSERT_SPAN(f.row.signatures[0].domain, "example.net"); /* those that pass come first */
	ASSERT_SPAN(f.row.signatures[0].selector, "s2");
	ASSERT_SPAN(f.row.signatures[0].result, "pass");
	ASSERT_SPAN(f.row.signatures[1].domain, "example.org");
	add(&f, "dkim.results", "Example.COM s3 pass");
	assert_true(fill(&f));
	ASSERT_SPAN(f.row.signatures[0].selector, "s3");
	set(&f, "dmarc.dkim_aligned", "yes");
	assert_true(fill(&f));
	assert_true(f.row.dkim_aligned);
}

static void what_is_not_evaluated_is_no_row(void **state)
{
	static const char *const other[] = {"none", "temperror", "permerror"};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(other); i++) {
		begin(&f);
		set(&f, "dmarc", other[i]);
		assert_false(fill(&f));
	}
	for (size_t i = 0; dmarc_row_facts[i]; i++) {
		size_t which = index_of(dmarc_row_facts[i]);
		bool needed = i < 7;

		begin(&f);
		f.values[which].state = FACT_FAILED;
		assert_int_equal(fill(&f), !needed);
		begin(&f);
		f.values[which].count = 0;
		assert_int_equal(fill(&f), !needed);
	}
	begin(&f);
	f.source.sternness = STERN_DEFER;
	assert_false(fill(&f));
}

static void what_was_done_is_told_with_its_reason(void **state)
{
	static const struct {
		const char *dmarc, *asked, *record, *from;
		enum sternness sternness;
		enum dmarc_disposition disposition;
		const char *reason;
	} cases[] = {
		{"fail", "reject", "v=DMARC1; p=reject", "example.com", STERN_REJECT,
			DMARC_DONE_REJECT, NULL},
		{"fail", "reject", "v=DMARC1; p=reject", "example.com", STERN_DISCARD,
			DMARC_DONE_REJECT, NULL},
		{"fail", "reject", "v=DMARC1; p=reject", "example.com", STERN_QUARANTINE,
			DMARC_DONE_QUARANTINE, "local_policy"},
		{"fail", "reject", "v=DMARC1; p=reject", "example.com", STERN_ACCEPT,
			DMARC_DONE_NONE, "local_policy"},
		{"fail", "none", "v=DMARC1; p=none", "example.com", STERN_ACCEPT, DMARC_DONE_NONE,
			NULL},
		{"fail", "none", "v=DMARC1; p=none", "example.com", STERN_REJECT, DMARC_DONE_REJECT,
			"local_policy"},
		/* on trial: what is asked for is one step milder */
		{"fail", "quarantine", "v=DMARC1; p=reject; t=y", "example.com", STERN_QUARANTINE,
			DMARC_DONE_QUARANTINE, "policy_test_mode"},
		{"fail", "none", "v=DMARC1; p=quarantine; t=y", "example.com", STERN_ACCEPT,
			DMARC_DONE_NONE, "policy_test_mode"},
		{"fail", "none", "v=DMARC1; p=none; t=y", "example.com", STERN_ACCEPT,
			DMARC_DONE_NONE, NULL},
		{"fail", "none", "v=DMARC1; p=reject; sp=quarantine; t=y", "a.example.com",
			STERN_ACCEPT, DMARC_DONE_NONE, "policy_test_mode"},
		{"fail", "none", "v=DMARC1; p=reject; sp=none; t=y", "a.example.com", STERN_ACCEPT,
			DMARC_DONE_NONE, NULL},
		{"fail", "quarantine", "v=DMARC1; p=reject; t=y", "example.com", STERN_REJECT,
			DMARC_DONE_REJECT, "local_policy"},
		/* who passes is not DMARC's business any more */
		{"pass", "reject", "v=DMARC1; p=reject", "example.com", STERN_ACCEPT,
			DMARC_DONE_PASS, NULL},
		{"pass", "reject", "v=DMARC1; p=reject", "example.com", STERN_REJECT,
			DMARC_DONE_PASS, NULL},
		{"pass", "none", "v=DMARC1; p=none", "example.com", STERN_QUARANTINE,
			DMARC_DONE_NONE, NULL},
	};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		begin(&f);
		set(&f, "dmarc", cases[i].dmarc);
		set(&f, "dmarc.policy", cases[i].asked);
		set(&f, "dmarc.record", cases[i].record);
		set(&f, "from.domain", cases[i].from);
		f.source.sternness = cases[i].sternness;
		assert_true(fill(&f));
		assert_int_equal(f.row.disposition, cases[i].disposition);
		if (cases[i].reason)
			assert_string_equal(f.row.reason, cases[i].reason);
		else
			assert_null(f.row.reason);
	}
}

static void signatures_are_bounded_and_whole(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.values[index_of("dkim.results")].count = 0;
	add(&f, "dkim.results", "example.org");
	add(&f, "dkim.results", "");
	for (int i = 0; i < DMARC_SIGNATURES_MAX + 3; i++)
		add(&f, "dkim.results", "example.org sel pass");
	assert_true(fill(&f));
	assert_int_equal(f.row.n_signatures, DMARC_SIGNATURES_MAX);
	ASSERT_SPAN(f.row.signatures[0].result, "pass");
	begin(&f);
	f.source.envelope_from = SPAN_NONE;
	assert_true(fill(&f));
	assert_int_equal(f.row.envelope_from.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_taken_over),
		cmocka_unit_test(what_is_not_evaluated_is_no_row),
		cmocka_unit_test(what_was_done_is_told_with_its_reason),
		cmocka_unit_test(signatures_are_bounded_and_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

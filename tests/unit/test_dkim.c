/*
 * dkim: what is found in signatures, keys and bodies. The message of most cases has a From and a
 * To, both signed, and a body of one line; a case says what is different.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "authn/dkim.h"
#include "lib/base/buffer.h"
#include "tests/unit/dkim_sign.h"

#define TAGS      "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=k; h=from:to; "
#define ED_TAGS   "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=k; h=from:to; "
#define FIELDS    "From: a@example.com\r\nTo: b@example.com\r\n"
#define CANONICAL "from:a@example.com\r\nto:b@example.com\r\n"
#define BODY      "Hello\r\n"

struct fixture {
	struct arena *arena;
	struct dkim_library *library;
	struct answers *answers;
	uint64_t now_s;
	size_t piece;     /* of the body */
	const char *what; /* is tried, for the case that it fails */
	struct dkim_result result;
};

static int setup(void **state)
{
	static struct fixture f;
	struct err err;

	f = (struct fixture){.arena = arena_new(16 * 1024), .now_s = (uint64_t)time(NULL)};
	f.library = dkim_library_open(&err);
	f.answers = answers_new(f.arena);
	f.piece = SIZE_MAX;
	*state = &f;
	return f.library ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dkim_library_close(&f->library);
	arena_free(&f->arena);
	return 0;
}

/* --- the parts of a case --- */

static void answer(struct fixture *f, const char *name, enum answer_outcome outcome,
	const char *const *records, size_t n)
{
	struct answer_record texts[8] = {{.text = SPAN_NONE}};
	struct answer a = {span_text(name), ANSWER_TXT, outcome, texts, n};

	for (size_t i = 0; i < n; i++)
		texts[i].text = span_text(records[i]);
	assert_true(answers_add(f->answers, &a));
}

static void answer_key(struct fixture *f, const char *record)
{
	answer(f, "k._domainkey.example.com", ANSWER_FOUND, &record, 1);
}

static void verify(struct fixture *f, struct span section, struct span body)
{
	struct dkim_check *check = dkim_check_begin(f->library, section, f->now_s, f->arena);
	size_t piece;

	while (dkim_check_needs_body(check) && body.len) {
		piece = f->piece < body.len ? f->piece : body.len;
		dkim_check_body(check, span_first(body, piece));
		body = span_from(body, piece);
	}
	dkim_check_end(check, f->answers, &f->result);
	dkim_check_free(&check);
	assert_null(check);
}

static void verify_text(struct fixture *f, const char *section, const char *body)
{
	verify(f, span_text(section), span_text(body));
}

static void expect_at(
	const struct fixture *f, size_t number, enum dkim_code code, const char *problem)
{
	const struct dkim_signature *s = &f->result.signatures[number];

	assert_true(number < f->result.n);
	if (s->code != code || !span_equal(s->problem, span_text(problem)))
		fail_msg("%s: signature %zu: %d: '%.*s', not %d: '%s'", f->what ? f->what : "",
			number, s->code, SPAN_ARGS(s->problem), code, problem);
}

static void expect(const struct fixture *f, enum dkim_code code, const char *problem)
{
	assert_int_equal(f->result.n, 1);
	expect_at(f, 0, code, problem);
}

/* The usual message, signed with these tags and a key of 1024 bits. */
static void judge(struct fixture *f, const char *tags)
{
	struct signing how = {
		.key = SIGN_RSA_1024, .tags = tags, .fields = CANONICAL, .body = BODY};

	f->what = tags;
	verify_text(f, arena_print(f->arena, "%s" FIELDS, sign_field(&how, f->arena)), BODY);
}

static void judge_key(struct fixture *f, enum sign_key key, const char *record)
{
	struct signing how = {.key = key,
		.tags = key == SIGN_ED25519 ? ED_TAGS : TAGS,
		.fields = CANONICAL,
		.body = BODY};

	f->what = record;
	f->answers = answers_new(f->arena);
	answer_key(f, record);
	verify_text(f, arena_print(f->arena, "%s" FIELDS, sign_field(&how, f->arena)), BODY);
}

static bool is(struct span s, const char *text)
{
	return span_equal(s, span_text(text));
}

/* --- the whole --- */

static void test_a_good_signature_passes_and_says_whose_it_is(void **state)
{
	struct fixture *f = *state;
	const struct dkim_signature *s;

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	judge(f, TAGS);
	expect(f, DKIM_IS_PASS, "");
	s = f->result.signatures;
	assert_true(is(s->domain, "example.com") && is(s->selector, "k"));
	assert_true(is(s->identity, "@example.com") && is(s->algorithm, "rsa-sha256"));
	assert_int_equal(s->start.len, 8);
	assert_int_equal(s->key_bits, 1024);
	assert_false(s->testing);
	assert_int_equal(f->result.n_more, 0);
}

static void test_without_signature_there_is_none(void **state)
{
	struct fixture *f = *state;

	verify_text(f, FIELDS "\r\n", BODY);
	assert_int_equal(f->result.n, 0);
	verify_text(f, "", "");
	verify_text(f, "\r\n", "");
	verify_text(f, "X-DKIM-Signature: v=1\r\nDKIM-Signatures: v=1\r\nno field\r\n", BODY);
	assert_int_equal(f->result.n, 0);
}

static void test_keys_are_wanted_once_until_they_are_known(void **state)
{
	struct fixture *f = *state;
	struct wants wants = {.arena = f->arena};
	struct signing how = {
		.key = SIGN_RSA_1024, .tags = TAGS, .fields = CANONICAL, .body = BODY};
	const char *one = sign_field(&how, f->arena);
	const char *section = arena_print(f->arena,
		"%s%sDKIM-Signature: v=1; a=rsa-sha256; d=EXAMPLE.org; s=K.x; h=from; bh=%s; "
		"b=AAAA\r\n"
		"DKIM-Signature: v=2; a=rsa-sha256; d=no.example; s=k; h=from; bh=AAAA; "
		"b=AAAA\r\n" FIELDS,
		one, one, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
	struct dkim_check *check =
		dkim_check_begin(f->library, span_text(section), f->now_s, f->arena);

	assert_true(dkim_check_needs_body(check));
	dkim_check_wants(check, f->answers, &wants);
	assert_int_equal(wants.n, 2);
	assert_true(is(wants.items[0].name, "k._domainkey.example.com"));
	assert_true(is(wants.items[1].name, "k.x._domainkey.example.org"));
	assert_int_equal(wants.items[0].type, ANSWER_TXT);
	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	wants.n = 0;
	dkim_check_wants(check, f->answers, &wants);
	assert_int_equal(wants.n, 1);
	dkim_check_free(&check);
}

static void test_the_body_is_not_needed_when_all_is_decided(void **state)
{
	struct fixture *f = *state;
	struct dkim_check *check = dkim_check_begin(
		f->library, SPAN("DKIM-Signature: v=1; a=rsa-sha1\r\n" FIELDS), f->now_s, f->arena);

	assert_false(dkim_check_needs_body(check));
	dkim_check_body(check, SPAN(BODY));
	dkim_check_free(&check);
}

static void test_ten_signatures_are_looked_at(void **state)
{
	struct fixture *f = *state;
	struct buffer section = BUFFER_INIT(4 << 20);
	struct signing how = {
		.key = SIGN_RSA_1024, .tags = TAGS, .fields = CANONICAL, .body = BODY};
	const char *good = sign_field(&how, f->arena);

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	for (int i = 0; i < 9; i++)
		assert_true(buffer_add_text(&section, "DKIM-Signature: v=1\r\n"));
	assert_true(buffer_add_text(&section, good));
	for (int i = 0; i < 5000; i++)
		assert_true(buffer_add_text(&section, good));
	assert_true(buffer_add_text(&section, FIELDS));
	verify(f, buffer_span(&section), SPAN(BODY));
	assert_int_equal(f->result.n, DKIM_SIGNATURES_MAX);
	assert_int_equal(f->result.n_more, 5000);
	expect_at(f, 0, DKIM_IS_PERMERROR, "a= is missing");
	expect_at(f, 9, DKIM_IS_PASS, "");
	buffer_free(&section);
}

/* --- what the field says (RFC 6376 3.5) --- */

static void test_tags_are_judged(void **state)
{
	struct fixture *f = *state;
	char future[200], soon[200], past[200], just_past[200];
	const struct {
		const char *tags;
		enum dkim_code code;
		const char *problem;
	} cases[] = {
#define REST "d=example.com; s=k; h=from:to; "
		{"v=2; a=rsa-sha256; " REST, DKIM_IS_PERMERROR, "v= is not 1"},
		{"v=; a=rsa-sha256; " REST, DKIM_IS_PERMERROR, "v= is not 1"},
		{"a=rsa-sha256; " REST, DKIM_IS_PERMERROR, "v= is missing"},
		{"v=1; a=rsa-md5; " REST, DKIM_IS_PERMERROR, "unknown algorithm"},
		{"v=1; a=rsa-sha1; " REST, DKIM_IS_PERMERROR, "SHA-1 no longer counts"},
		{"v=1; a=RSA-SHA256; c=relaxed/relaxed; " REST, DKIM_IS_PASS, ""},
		{"v=1; " REST, DKIM_IS_PERMERROR, "a= is missing"},
		{"v=1; a=rsa-sha256; a=rsa-sha256; " REST, DKIM_IS_PERMERROR,
			"the field can't be read"},
		{"v=1; a=rsa-sha256; x y=1; " REST, DKIM_IS_PERMERROR, "the field can't be read"},
		{"v=1; a=rsa-sha256; n=\x01; " REST, DKIM_IS_PERMERROR, "the field can't be read"},
		{"v=1; a=rsa-sha256; n=\xc3\xbc; " REST, DKIM_IS_PERMERROR,
			"the field can't be read"},
		{TAGS "i=a@example.com; ", DKIM_IS_PASS, ""},
		{TAGS "i=a@sub.EXAMPLE.com; ", DKIM_IS_PASS, ""},
		{TAGS "i=@xexample.com; ", DKIM_IS_PERMERROR, "i= is not within d="},
		{TAGS "i=@com; ", DKIM_IS_PERMERROR, "i= is not within d="},
		{TAGS "i=example.com; ", DKIM_IS_PERMERROR, "i= is no identity"},
		{TAGS "i=a=@example.com; ", DKIM_IS_PERMERROR, "i= is no identity"},
		{TAGS "i=a=4x@example.com; ", DKIM_IS_PERMERROR, "i= is no identity"},
		{TAGS "i=a=41@example.com; ", DKIM_IS_PASS, ""},
		{TAGS "q=dns/txt; ", DKIM_IS_PASS, ""},
		{TAGS "q=other:dns/txt; ", DKIM_IS_PASS, ""},
		{TAGS "q=dns/other:dns/txt; ", DKIM_IS_PASS, ""},
		{TAGS "q=other; ", DKIM_IS_PERMERROR, "q= has no method that is known"},
		{TAGS "l=x; ", DKIM_IS_PERMERROR, "l= is no length"},
		{TAGS "l=-1; ", DKIM_IS_PERMERROR, "l= is no length"},
		{TAGS "l=18446744073709551616; ", DKIM_IS_PERMERROR, "l= is no length"},
		{TAGS "t=x; ", DKIM_IS_PERMERROR, "t= is no time"},
		{TAGS "t=1; ", DKIM_IS_PERMERROR, "t= is no time"},
		{TAGS "t=9999999999999; ", DKIM_IS_PERMERROR, "t= is no time"},
		{TAGS "x=-1; ", DKIM_IS_PERMERROR, "x= is no time"},
		{TAGS "t=1700000000; x=1700000000; ", DKIM_IS_PERMERROR, "x= is before t="},
		{TAGS "x=999999999999; ", DKIM_IS_PASS, ""},
		{TAGS "unknown=some thing; ", DKIM_IS_PASS, ""},
		{"v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=k; h=to; ",
			DKIM_IS_PERMERROR, "From is not signed"},
		{"v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=k; h=; ",
			DKIM_IS_PERMERROR, "h= is no list of fields, or a very long one"},
		{"v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=k; h=fr om:to; ",
			DKIM_IS_PERMERROR, "h= is no list of fields, or a very long one"},
		{"v=1; a=rsa-sha256; c=nofws; " REST, DKIM_IS_PERMERROR, "c= is unknown"},
		{"v=1; a=rsa-sha256; c=relaxed/; " REST, DKIM_IS_PERMERROR, "c= is unknown"},
		{"v=1; a=rsa-sha256; c=relaxed; " REST, DKIM_IS_PASS, ""},
		{"v=1; a=rsa-sha256; d=-; s=k; h=from:to; ", DKIM_IS_PERMERROR, "there is no key"},
		{"v=1; a=rsa-sha256; d=a..b; s=k; h=from:to; ", DKIM_IS_PERMERROR,
			"d= is no domain"},
		{"v=1; a=rsa-sha256; d=a b; s=k; h=from:to; ", DKIM_IS_PERMERROR,
			"d= is no domain"},
		{"v=1; a=rsa-sha256; s=k; h=from:to; ", DKIM_IS_PERMERROR, "d= is missing"},
		{"v=1; a=rsa-sha256; d=example.com; h=from:to; ", DKIM_IS_PERMERROR,
			"s= is missing"},
		{"v=1; a=rsa-sha256; d=example.com; s=.; h=from:to; ", DKIM_IS_PERMERROR,
			"s= is no selector"},
		{"v=1; a=rsa-sha256; d=example.com; s=k; ", DKIM_IS_PERMERROR, "h= is missing"},
		{future, DKIM_IS_PERMERROR, "the signature is of the future"},
		{soon, DKIM_IS_PASS, ""},
		{past, DKIM_IS_PERMERROR, "the signature has expired"},
		{just_past, DKIM_IS_PASS, ""},
#undef REST
	};

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	answer(f, "k._domainkey.-", ANSWER_NXDOMAIN, NULL, 0);
	snprintf(future, sizeof(future), TAGS "t=%llu; ", (unsigned long long)f->now_s + 90000);
	snprintf(soon, sizeof(soon), TAGS "t=%llu; ", (unsigned long long)f->now_s + 3600);
	snprintf(past, sizeof(past), TAGS "x=%llu; ", (unsigned long long)f->now_s - 1000);
	snprintf(just_past, sizeof(just_past), TAGS "x=%llu; ", (unsigned long long)f->now_s - 100);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		judge(f, cases[i].tags);
		expect(f, cases[i].code, cases[i].problem);
	}
}

static void test_what_can_be_read_of_a_bad_field_is_said(void **state)
{
	struct fixture *f = *state;
	const struct dkim_signature *s;

	judge(f, "v=9; a=rsa-sha1; d=example.com; s=k; h=to; i=@other.example; ");
	expect(f, DKIM_IS_PERMERROR, "v= is not 1");
	s = f->result.signatures;
	assert_true(is(s->domain, "example.com") && is(s->selector, "k"));
	assert_true(is(s->identity, "@other.example") && is(s->algorithm, "rsa-sha1"));
	verify_text(f, "DKIM-Signature: v=1; d=a b; s=\"; a=x y; i=x; b=!\r\n" FIELDS, BODY);
	s = f->result.signatures;
	assert_int_equal(s->domain.len + s->selector.len + s->identity.len + s->start.len, 0);
	assert_int_equal(s->algorithm.len, 0);
}

static void test_b_and_bh_have_to_be_base64(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *b, *bh, *problem;
	} cases[] = {
		{"", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "b= is no signature"},
		{"A", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "b= is no signature"},
		{"A!AA", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "b= is no signature"},
		{"AA=A", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "b= is no signature"},
		{"AAAA", "", "bh= is no hash"},
		{"AAAA", "AAAA", "bh= is no hash"},
		{"AAAA", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUAAAA", "bh= is no hash"},
	};

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		verify_text(f,
			arena_print(f->arena, "DKIM-Signature: " TAGS "bh=%s; b=%s\r\n" FIELDS,
				cases[i].bh, cases[i].b),
			"");
		expect(f, DKIM_IS_PERMERROR, cases[i].problem);
	}
	verify_text(f, "DKIM-Signature: " TAGS "b=AAAA\r\n" FIELDS, "");
	expect(f, DKIM_IS_PERMERROR, "bh= is missing");
	verify_text(f, "DKIM-Signature: " TAGS "bh=AAAA\r\n" FIELDS, "");
	expect(f, DKIM_IS_PERMERROR, "b= is missing");
}

/* --- keys (RFC 6376 3.6, 6.1.2) --- */

static void test_lookups_that_fail(void **state)
{
	struct fixture *f = *state;

	judge(f, TAGS);
	expect(f, DKIM_IS_TEMPERROR, "the key can't be looked up");
	answer(f, "k._domainkey.example.com", ANSWER_TROUBLE, NULL, 0);
	judge(f, TAGS);
	expect(f, DKIM_IS_TEMPERROR, "the key can't be looked up");
	f->answers = answers_new(f->arena);
	answer(f, "k._domainkey.example.com", ANSWER_NXDOMAIN, NULL, 0);
	judge(f, TAGS);
	expect(f, DKIM_IS_PERMERROR, "there is no key");
	f->answers = answers_new(f->arena);
	answer(f, "k._domainkey.example.com", ANSWER_NODATA, NULL, 0);
	judge(f, TAGS);
	expect(f, DKIM_IS_PERMERROR, "there is no key");
}

static void test_key_records_are_judged(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *before; /* of p= and the key */
		enum dkim_code code;
		const char *problem;
		bool testing;
	} cases[] = {
		{"", DKIM_IS_PASS, "", false},
		{"v=DKIM1; ", DKIM_IS_PASS, "", false},
		{"v=DKIM2; ", DKIM_IS_PERMERROR, "the key record can't be read", false},
		{"v=DKIM1\\; ", DKIM_IS_PERMERROR, "the key record can't be read", false},
		{"k=rsa; ", DKIM_IS_PASS, "", false},
		{"k=ed25519; ", DKIM_IS_PERMERROR, "the key is for another algorithm", false},
		{"k=dsa; ", DKIM_IS_PERMERROR, "the key is for another algorithm", false},
		{"h=sha1; ", DKIM_IS_PERMERROR, "the key is not for SHA-256", false},
		{"h=sha1 : sha256; ", DKIM_IS_PASS, "", false},
		{"s=email; ", DKIM_IS_PASS, "", false},
		{"s=*; ", DKIM_IS_PASS, "", false},
		{"s=tlsrpt; ", DKIM_IS_PERMERROR, "the key is not for mail", false},
		{"s=tlsrpt:email; ", DKIM_IS_PASS, "", false},
		{"t=y; ", DKIM_IS_PASS, "", true},
		{"t=y:s; ", DKIM_IS_PASS, "", true},
		{"t=s; ", DKIM_IS_PASS, "", false},
		{"n=notes; g=*; ", DKIM_IS_PASS, "", false},
		{"p=; ", DKIM_IS_PERMERROR, "the key record can't be read", false},
	};
	const char *public = sign_public(SIGN_RSA_1024, false, f->arena);

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		judge_key(
			f, SIGN_RSA_1024, arena_print(f->arena, "%sp=%s", cases[i].before, public));
		expect(f, cases[i].code, cases[i].problem);
		assert_int_equal(f->result.signatures[0].testing, cases[i].testing);
	}
	judge_key(f, SIGN_RSA_1024, "v=DKIM1; t=y; p=");
	expect(f, DKIM_IS_PERMERROR, "the key is revoked");
	assert_true(f->result.signatures[0].testing);
	judge_key(f, SIGN_RSA_1024, "v=DKIM1; p=!");
	expect(f, DKIM_IS_PERMERROR, "the key can't be read");
	judge_key(f, SIGN_RSA_1024, "v=DKIM1; p=AAAA");
	expect(f, DKIM_IS_PERMERROR, "the key can't be read");
	judge_key(f, SIGN_RSA_1024, "v=spf1 -all");
	expect(f, DKIM_IS_PERMERROR, "the key record can't be read");
	judge_key(f, SIGN_RSA_1024, arena_print(f->arena, "p=%.40s \r\n\t%s", public, public + 40));
	expect(f, DKIM_IS_PASS, "");
	judge_key(f, SIGN_RSA_1024,
		arena_print(f->arena, "p=%.*s", (int)strlen(public) - 12, public));
	expect(f, DKIM_IS_PERMERROR, "the key can't be read");
}

static void test_t_s_forbids_subdomains(void **state)
{
	struct fixture *f = *state;

	answer_key(
		f, arena_print(f->arena, "t=s; p=%s", sign_public(SIGN_RSA_1024, false, f->arena)));
	judge(f, TAGS "i=x@EXAMPLE.com; ");
	expect(f, DKIM_IS_PASS, "");
	judge(f, TAGS "i=@sub.example.com; ");
	expect(f, DKIM_IS_PERMERROR, "the key is not for subdomains");
}

static void test_keys_of_all_sizes(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum sign_key key;
		unsigned bits;
		enum dkim_code code;
		const char *problem;
	} cases[] = {
		{SIGN_RSA_768, 768, DKIM_IS_PERMERROR, "the key is shorter than 1024 bits"},
		{SIGN_RSA_1024, 1024, DKIM_IS_PASS, ""},
		{SIGN_RSA_2048, 2048, DKIM_IS_PASS, ""},
		{SIGN_RSA_4096, 4096, DKIM_IS_PASS, ""},
		{SIGN_ED25519, 256, DKIM_IS_PASS, ""},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		judge_key(f, cases[i].key, sign_record(cases[i].key, f->arena));
		expect(f, cases[i].code, cases[i].problem);
		assert_int_equal(f->result.signatures[0].key_bits, cases[i].bits);
	}
	judge_key(f, SIGN_RSA_2048, sign_record_too_long);
	expect(f, DKIM_IS_PERMERROR, "the key is longer than 4096 bits");
	/* RFC 6376 3.6.1 has RSAPublicKey; what is published is SubjectPublicKeyInfo. */
	judge_key(f, SIGN_RSA_2048,
		arena_print(f->arena, "p=%s", sign_public(SIGN_RSA_2048, true, f->arena)));
	expect(f, DKIM_IS_PASS, "");
	/* Another's key. */
	judge_key(f, SIGN_RSA_2048, sign_record(SIGN_RSA_1024, f->arena));
	expect(f, DKIM_IS_FAIL, "the signed fields have changed");
	judge_key(f, SIGN_ED25519, "k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
	expect(f, DKIM_IS_FAIL, "the signed fields have changed");
	judge_key(f, SIGN_ED25519, "k=ed25519; p=AAAA");
	expect(f, DKIM_IS_PERMERROR, "the key can't be read");
}

static void test_of_several_records_one_has_to_fit(void **state)
{
	struct fixture *f = *state;
	const char *right = sign_record(SIGN_RSA_1024, f->arena);
	const char *other = sign_record(SIGN_RSA_2048, f->arena);
	const char *const records[] = {"v=spf1 -all", other, "v=DKIM1; p=", right};
	const char *const wrong[] = {other, other, other, other, right};

	answer(f, "k._domainkey.example.com", ANSWER_FOUND, records, 4);
	judge(f, TAGS);
	expect(f, DKIM_IS_PASS, "");
	f->answers = answers_new(f->arena);
	answer(f, "k._domainkey.example.com", ANSWER_FOUND, wrong, 5);
	judge(f, TAGS);
	expect(f, DKIM_IS_FAIL, "the signed fields have changed");
}

static void test_long_records_are_no_harm(void **state)
{
	struct fixture *f = *state;
	struct buffer record = BUFFER_INIT(1 << 20);

	assert_true(buffer_add_text(&record, "v=DKIM1; n="));
	while (record.len < 3000)
		assert_true(buffer_add_text(&record, "note"));
	assert_true(buffer_print(&record, "; p=%s", sign_public(SIGN_RSA_1024, false, f->arena)));
	judge_key(f, SIGN_RSA_1024, buffer_string(&record));
	expect(f, DKIM_IS_PASS, "");
	while (record.len < 70000)
		assert_true(buffer_add_text(&record, "AAAA"));
	judge_key(f, SIGN_RSA_1024, buffer_string(&record));
	expect(f, DKIM_IS_PERMERROR, "the key record can't be read");
	buffer_free(&record);
}

/* --- what was signed --- */

static void test_changes_fail(void **state)
{
	struct fixture *f = *state;
	struct signing how = {
		.key = SIGN_RSA_1024, .tags = TAGS, .fields = CANONICAL, .body = BODY};
	const char *sign = sign_field(&how, f->arena);

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	verify_text(f, arena_print(f->arena, "%s" FIELDS, sign), "Hellp\r\n");
	expect(f, DKIM_IS_FAIL, "the body has changed");
	verify_text(f,
		arena_print(f->arena, "%sFrom: c@example.com\r\nTo: b@example.com\r\n", sign),
		BODY);
	expect(f, DKIM_IS_FAIL, "the signed fields have changed");
	verify_text(f, arena_print(f->arena, "%s" FIELDS "To: c@example.com\r\n", sign), BODY);
	expect(f, DKIM_IS_FAIL, "the signed fields have changed");
	/* Relaxed means that blanks and case don't count; fields that are not signed never do. */
	verify_text(f,
		arena_print(f->arena,
			"X: y\r\n%sFROM :\t a@example.com \r\nSubject: x\r\nto:\r\n "
			"b@example.com\r\n",
			sign),
		"Hello \t\r\n\r\n\r\n");
	expect(f, DKIM_IS_PASS, "");
}

static void test_simple_takes_all_as_it_stands(void **state)
{
	struct fixture *f = *state;
	struct signing how = {.key = SIGN_RSA_1024,
		.tags = "v=1; a=rsa-sha256; c=simple; d=example.com; s=k; h=From:x-a; ",
		.fields = "From:  a@example.com \r\nX-A :\tb\r\n c\r\n",
		.body = "a \r\n\r\nb\r\n",
		.simple = true};
	const char *section = arena_print(f->arena, "%sFrom:  a@example.com \r\nX-A :\tb\r\n c\r\n",
		sign_field(&how, f->arena));

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	verify_text(f, section, "a \r\n\r\nb\r\n");
	expect(f, DKIM_IS_PASS, "");
	verify_text(f, section, "a \r\n\r\nb\r\n\r\n");
	expect(f, DKIM_IS_PASS, "");
	verify_text(f, section, "a \r\n\r\nb");
	expect(f, DKIM_IS_PASS, "");
	verify_text(f, section, "a\r\n\r\nb\r\n");
	expect(f, DKIM_IS_FAIL, "the body has changed");
}

static void test_bodies_however_they_are_cut(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *body, *simple, *relaxed;
	} cases[] = {
		{"", "\r\n", ""},
		{"\r\n\r\n", "\r\n", ""},
		{" \r\n", " \r\n", ""},
		{"x", "x\r\n", "x\r\n"},
		{"x\r\n \t\r\n", "x\r\n \t\r\n", "x\r\n"},
		{" a\t b \r\n\r\n\r\nc\r\n\r\n", " a\t b \r\n\r\n\r\nc\r\n",
			" a b\r\n\r\n\r\nc\r\n"},
		{"a ", "a \r\n", "a\r\n"},
		{"\r\n\r\na\r\n", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
	};

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct signing how = {.key = SIGN_RSA_1024,
			.tags = TAGS,
			.fields = CANONICAL,
			.body = cases[i].relaxed};
		const char *relaxed = sign_field(&how, f->arena);
		const char *section;

		how.tags = "v=1; a=rsa-sha256; c=relaxed; d=example.com; s=k; h=from:to; ";
		how.body = cases[i].simple;
		section = arena_print(f->arena, "%s%s" FIELDS, relaxed, sign_field(&how, f->arena));
		for (f->piece = 1; f->piece <= strlen(cases[i].body) + 1; f->piece++) {
			verify_text(f, section, cases[i].body);
			expect_at(f, 0, DKIM_IS_PASS, "");
			expect_at(f, 1, DKIM_IS_PASS, "");
		}
	}
}

static void test_a_part_of_a_body_is_policy(void **state)
{
	struct fixture *f = *state;
	struct signing how = {
		.key = SIGN_RSA_1024, .tags = TAGS "l=7; ", .fields = CANONICAL, .body = BODY};
	const char *section = arena_print(f->arena, "%s" FIELDS, sign_field(&how, f->arena));

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	verify_text(f, section, BODY);
	expect(f, DKIM_IS_PASS, "");
	/* What relaxed takes away is no body. */
	verify_text(f, section, "Hello  \r\n\r\n\r\n");
	expect(f, DKIM_IS_PASS, "");
	verify_text(f, section, BODY "More\r\n");
	expect(f, DKIM_IS_POLICY, "a part of the body is not signed");
	verify_text(f, section, "Hell!\r\nMore\r\n");
	expect(f, DKIM_IS_FAIL, "the body has changed");
	how.tags = TAGS "l=8; ";
	section = arena_print(f->arena, "%s" FIELDS, sign_field(&how, f->arena));
	verify_text(f, section, BODY);
	expect(f, DKIM_IS_PERMERROR, "l= is longer than the body");
	how.tags = TAGS "l=0; ";
	how.body = "";
	section = arena_print(f->arena, "%s" FIELDS, sign_field(&how, f->arena));
	verify_text(f, section, "");
	expect(f, DKIM_IS_PASS, "");
	verify_text(f, section, BODY);
	expect(f, DKIM_IS_POLICY, "a part of the body is not signed");
}

static void test_fields_are_taken_from_the_bottom(void **state)
{
	struct fixture *f = *state;
	struct signing how = {.key = SIGN_RSA_1024,
		.tags = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=k; "
			"h=x:from:x:absent:From:x:x; ",
		.fields = "x:3\r\nfrom:a\r\nx:2\r\nx:1\r\n",
		.body = BODY};
	const char *sign = sign_field(&how, f->arena);

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	verify_text(f, arena_print(f->arena, "X: 1\r\n%sx: 2\r\nFrom: a\r\nX: 3\r\n", sign), BODY);
	expect(f, DKIM_IS_PASS, "");
	/* More of a name than there were breaks it, wherever it is put. */
	verify_text(f, arena_print(f->arena, "X: 0\r\nX: 1\r\n%sx: 2\r\nFrom: a\r\nX: 3\r\n", sign),
		BODY);
	expect(f, DKIM_IS_FAIL, "the signed fields have changed");
	verify_text(f,
		arena_print(f->arena, "From: b\r\nX: 1\r\n%sx: 2\r\nFrom: a\r\nX: 3\r\n", sign),
		BODY);
	expect(f, DKIM_IS_FAIL, "the signed fields have changed");
}

static void test_no_from_is_signed_as_none(void **state)
{
	struct fixture *f = *state;
	struct signing how = {
		.key = SIGN_RSA_1024, .tags = TAGS, .fields = "to:b\r\n", .body = BODY};

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	verify_text(f, arena_print(f->arena, "%sTo: b\r\n", sign_field(&how, f->arena)), BODY);
	expect(f, DKIM_IS_PASS, "");
	how.fields = "from:<>\r\nto:b\r\n";
	verify_text(f, arena_print(f->arena, "%sFrom: <>\r\nTo: b\r\n", sign_field(&how, f->arena)),
		BODY);
	expect(f, DKIM_IS_PASS, "");
}

/* --- where the library would go wrong (docs/why/dkim.md) --- */

static void test_h_may_name_all_fields_and_more(void **state)
{
	struct fixture *f = *state;
	struct signing how = {.key = SIGN_RSA_1024,
		.tags = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=k; "
			"h=from:to:from:to:cc; ",
		.fields = CANONICAL,
		.body = BODY};

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	verify_text(f, arena_print(f->arena, "%s" FIELDS, sign_field(&how, f->arena)), BODY);
	expect(f, DKIM_IS_PASS, "");
	/* Its own field as well. */
	how.tags = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=k; "
		   "h=from:to:dkim-signature:x; ";
	verify_text(f, arena_print(f->arena, "%s" FIELDS, sign_field(&how, f->arena)), BODY);
	expect(f, DKIM_IS_FAIL, "the signed fields have changed");
}

static void test_tags_that_it_misreads(void **state)
{
	struct fixture *f = *state;
	static const char *const tags[] = {
		TAGS "ab=value; ",
		TAGS "ab=value; b_b=; ",
		TAGS "C=simple/simple; L=0; H=x; bH=y; ",
		TAGS "l=7; ab=value; ",
	};

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	for (size_t i = 0; i < COUNT_OF(tags); i++) {
		judge(f, tags[i]);
		expect(f, DKIM_IS_PASS, "");
	}
}

/* b= set off from its sign, and blanks and folds in and around the value, which go with it (RFC
 * 6376 3.7). */
static void test_blanks_about_b(void **state)
{
	struct fixture *f = *state;
	struct signing how = {.key = SIGN_RSA_1024,
		.tags = TAGS,
		.fields = CANONICAL,
		.body = BODY,
		.behind = "; z=x"};
	char *sign = sign_field(&how, f->arena);
	size_t at = span_find(span_text(sign), SPAN(" b="));
	struct span head = span_first(span_text(sign), at),
		    value = span_from(span_text(sign), at + 3);
	size_t end = span_find_char(value, ';');

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	verify_text(f,
		arena_print(f->arena, "%.*s b= \r\n\t%.*s\r\n %.*s \r\n %.*s" FIELDS,
			SPAN_ARGS(head), SPAN_ARGS(span_first(value, 5)),
			SPAN_ARGS(span_first(span_from(value, 5), end - 5)),
			SPAN_ARGS(span_from(value, end))),
		BODY);
	expect(f, DKIM_IS_PASS, "");
	/* Of a field that says "b =" so much stays: it is not the field that was signed. */
	verify_text(f,
		arena_print(f->arena, "%.*s b =%.*s" FIELDS, SPAN_ARGS(head), SPAN_ARGS(value)),
		BODY);
	expect(f, DKIM_IS_FAIL, "the signed fields have changed");
}

static void test_b_apart_from_its_sign(void **state)
{
	struct fixture *f = *state;
	struct signing how = {
		.key = SIGN_RSA_1024, .tags = TAGS, .fields = CANONICAL, .body = BODY, .b = "b ="};
	struct span field = span_text(sign_field(&how, f->arena));
	size_t at = span_find(field, SPAN("b =")) + 3;

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	verify_text(f, arena_print(f->arena, "%.*s" FIELDS, SPAN_ARGS(field)), BODY);
	expect(f, DKIM_IS_PASS, "");
	verify_text(f,
		arena_print(f->arena, "%.*s \r\n\t%.*s \r\n \r\n" FIELDS,
			SPAN_ARGS(span_first(field, at)),
			SPAN_ARGS(span_first(span_from(field, at), field.len - at - 2))),
		BODY);
	expect(f, DKIM_IS_PASS, "");
}

static void test_odd_space_counts(void **state)
{
	struct fixture *f = *state;
	struct signing how = {.key = SIGN_RSA_1024,
		.tags = TAGS,
		.fields = "from:a\vb \f c\r\nto:b@example.com\r\n",
		.body = BODY};
	const char *sign = sign_field(&how, f->arena);

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	verify_text(f, arena_print(f->arena, "%sFrom: a\vb  \f c\r\nTo: b@example.com\r\n", sign),
		BODY);
	expect(f, DKIM_IS_PASS, "");
	verify_text(
		f, arena_print(f->arena, "%sFrom: a b \f c\r\nTo: b@example.com\r\n", sign), BODY);
	expect(f, DKIM_IS_FAIL, "the signed fields have changed");
}

static void test_names_set_off_by_tabs(void **state)
{
	struct fixture *f = *state;
	struct signing how = {
		.key = SIGN_RSA_1024, .tags = TAGS, .fields = CANONICAL, .body = BODY};
	struct span sign = span_text(sign_field(&how, f->arena));

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	verify_text(f,
		arena_print(f->arena, "DKIM-Signature\t %.*s" FIELDS,
			SPAN_ARGS(span_from(sign, strlen("DKIM-Signature")))),
		BODY);
	expect(f, DKIM_IS_PASS, "");
	verify_text(f,
		arena_print(f->arena, "%.*sFrom\t: a@example.com\r\nTo: b@example.com\r\n",
			SPAN_ARGS(sign)),
		BODY);
	expect(f, DKIM_IS_PASS, "");
}

static void test_signatures_that_sign_signatures(void **state)
{
	struct fixture *f = *state;
	struct signing how = {.key = SIGN_RSA_1024,
		.tags = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=k; "
			"h=from:dkim-signature; ",
		.fields = "from:a@example.com\r\ndkim-signature:v=9; l=\r\n",
		.body = BODY};

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	verify_text(f,
		arena_print(f->arena, "%sDKIM-Signature: v=9; l=\r\n" FIELDS,
			sign_field(&how, f->arena)),
		BODY);
	assert_int_equal(f->result.n, 2);
	expect_at(f, 0, DKIM_IS_PASS, "");
	expect_at(f, 1, DKIM_IS_PERMERROR, "v= is not 1");
}

static void test_long_values_are_refused(void **state)
{
	struct fixture *f = *state;
	struct buffer tags = BUFFER_INIT(1 << 20);

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	assert_true(buffer_add_text(&tags, TAGS "i="));
	for (int i = 0; i < 300; i++)
		assert_true(buffer_add_char(&tags, 'x'));
	assert_true(buffer_add_text(&tags, "@example.com; "));
	judge(f, buffer_string(&tags));
	expect(f, DKIM_IS_PERMERROR, "i= is no identity");
	buffer_clear(&tags);
	assert_true(buffer_add_text(&tags, "v=1; a=rsa-sha256; d=example.com; s=k; h=from"));
	for (int i = 0; i < 200; i++)
		assert_true(buffer_add_text(&tags, ":to"));
	assert_true(buffer_add_text(&tags, "; "));
	judge(f, buffer_string(&tags));
	expect(f, DKIM_IS_PERMERROR, "h= is no list of fields, or a very long one");
	buffer_clear(&tags);
	assert_true(buffer_add_text(&tags, TAGS "z="));
	while (tags.len < 40000)
		assert_true(buffer_add_char(&tags, 'x'));
	assert_true(buffer_add_text(&tags, "; "));
	judge(f, buffer_string(&tags));
	expect(f, DKIM_IS_PERMERROR, "the field can't be read");
	buffer_free(&tags);
}

static void test_any_bytes_are_survived(void **state)
{
	struct fixture *f = *state;
	struct signing how = {
		.key = SIGN_RSA_1024, .tags = TAGS, .fields = CANONICAL, .body = BODY};
	struct buffer section = BUFFER_INIT(1 << 20);
	const char body[] = "a\0b\r\rc\n\n\r\n\0";

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	assert_true(buffer_add_text(&section, sign_field(&how, f->arena)));
	assert_true(buffer_add(&section, SPAN("From: a\0b\r\nTo: x\ny\rz\r\n \r\n\0: "
					      "x\r\nFrom:\r\nto\r\n : x\r\nTo;x: y\r\nto")));
	for (f->piece = 1; f->piece < sizeof(body); f->piece++) {
		verify(f, buffer_span(&section), span_make(body, sizeof(body) - 1));
		expect(f, DKIM_IS_FAIL, "the body has changed");
	}
	verify(f, buffer_span(&section), SPAN(BODY));
	expect(f, DKIM_IS_FAIL, "the signed fields have changed");
	buffer_free(&section);
}

static void test_many_and_large_fields(void **state)
{
	struct fixture *f = *state;
	struct signing how = {
		.key = SIGN_RSA_1024, .tags = TAGS, .fields = CANONICAL, .body = BODY};
	struct buffer section = BUFFER_INIT(1 << 20);

	answer_key(f, sign_record(SIGN_RSA_1024, f->arena));
	assert_true(buffer_add_text(&section, sign_field(&how, f->arena)));
	for (int i = 0; i < 30000; i++)
		assert_true(buffer_add_text(&section, "a:\r\nTo:\r\n"));
	assert_true(buffer_add_text(&section, FIELDS));
	verify(f, buffer_span(&section), SPAN(BODY));
	expect(f, DKIM_IS_PASS, "");
	buffer_clear(&section);
	assert_true(buffer_add_text(&section, "From:"));
	while (section.len < 250000)
		assert_true(buffer_add_text(&section, " word"));
	assert_true(buffer_add_text(&section, "\r\n"));
	how.fields = arena_print(f->arena, "from:%s", buffer_string(&section) + 6);
	assert_true(buffer_add_text(&section, sign_field(&how, f->arena)));
	verify(f, buffer_span(&section), SPAN(BODY));
	expect(f, DKIM_IS_PASS, "");
	buffer_free(&section);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_good_signature_passes_and_says_whose_it_is),
		TEST(test_without_signature_there_is_none),
		TEST(test_keys_are_wanted_once_until_they_are_known),
		TEST(test_the_body_is_not_needed_when_all_is_decided),
		TEST(test_ten_signatures_are_looked_at),
		TEST(test_tags_are_judged),
		TEST(test_what_can_be_read_of_a_bad_field_is_said),
		TEST(test_b_and_bh_have_to_be_base64),
		TEST(test_lookups_that_fail),
		TEST(test_key_records_are_judged),
		TEST(test_t_s_forbids_subdomains),
		TEST(test_keys_of_all_sizes),
		TEST(test_of_several_records_one_has_to_fit),
		TEST(test_long_records_are_no_harm),
		TEST(test_changes_fail),
		TEST(test_simple_takes_all_as_it_stands),
		TEST(test_bodies_however_they_are_cut),
		TEST(test_a_part_of_a_body_is_policy),
		TEST(test_fields_are_taken_from_the_bottom),
		TEST(test_no_from_is_signed_as_none),
		TEST(test_h_may_name_all_fields_and_more),
		TEST(test_tags_that_it_misreads),
		TEST(test_blanks_about_b),
		TEST(test_b_apart_from_its_sign),
		TEST(test_odd_space_counts),
		TEST(test_names_set_off_by_tabs),
		TEST(test_signatures_that_sign_signatures),
		TEST(test_long_values_are_refused),
		TEST(test_any_bytes_are_survived),
		TEST(test_many_and_large_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

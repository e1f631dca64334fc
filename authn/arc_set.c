/*
 * Tags mean what they mean in DKIM-Signature, apart from i= and cv= (RFC 8617 4.1.2, 4.1.3); v=
 * means nothing here. c= may be missing: the drafts that went before the RFC had relaxed
 * canonicalisation then, sealers of that time are in use, and whoever signs simple says so.
 *
 * l= is read as DKIM has it, and what it leaves out of the body is for arc.c to judge.
 */
#include "authn/arc_set.h"

#include "authn/base64.h"
#include "lib/authn/result.h"
#include "lib/mail/address.h"
#include "lib/mail/tag_list.h"

enum { DNS_NAME_MAX = 253 };

bool arc_kind_of(const struct header_field *field, enum arc_kind *kind)
{
	static const struct span names[] = {
		[ARC_RESULTS] = SPAN("ARC-Authentication-Results"),
		[ARC_MESSAGE] = SPAN("ARC-Message-Signature"),
		[ARC_SEAL] = SPAN("ARC-Seal"),
	};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (!header_is(field, names[i]))
			continue;
		*kind = (enum arc_kind)i;
		return true;
	}
	return false;
}

/* position = 1*2DIGIT, from 1 to 50 */
static bool read_instance(struct span text, unsigned *instance)
{
	uint64_t number;

	if (text.len > 2 || !span_number(text, ARC_SETS_MAX, &number) || number == 0)
		return false;
	*instance = (unsigned)number;
	return true;
}

/* --- ARC-Authentication-Results --- */

/* Behind blanks, folds and comments; an unclosed comment takes all. */
static struct span skip_gaps(struct span s)
{
	size_t depth = 0, i = 0;

	for (; i < s.len && (depth || is_fws(s.at[i]) || s.at[i] == '('); i++) {
		if (s.at[i] == '(')
			depth++;
		else if (s.at[i] == ')')
			depth--;
		else if (s.at[i] == '\\' && depth)
			i++;
	}
	return span_from(s, i);
}

static bool take_char(struct span *s, char c)
{
	*s = skip_gaps(*s);
	if (s->len == 0 || s->at[0] != c)
		return false;
	*s = span_from(*s, 1);
	return true;
}

bool arc_results_read(
	struct span body, unsigned *instance, struct span *payload, const char **problem)
{
	struct span rest = body;
	size_t digits = 0;

	*problem = "it does not begin with i= and a number from 1 to 50";
	if (!take_char(&rest, 'i') || !take_char(&rest, '='))
		return false;
	rest = skip_gaps(rest);
	while (digits < rest.len && ascii_is_digit(rest.at[digits]))
		digits++;
	if (!read_instance(span_first(rest, digits), instance))
		return false;
	rest = span_from(rest, digits);
	if (!take_char(&rest, ';'))
		return false;
	*payload = rest;
	return true;
}

/* --- tags --- */

/* A number of up to 12 digits (RFC 6376 3.5: t=, x=). false: the tag is there and none. */
static bool read_time(const struct tag_list *tags, struct span name, uint64_t *out)
{
	struct span value = tag_list_find(tags, name);

	*out = 0;
	return !value.at || (value.len <= 12 && span_number(value, UINT64_MAX, out));
}

static bool read_times(const struct tag_list *tags, uint64_t *expires_s)
{
	uint64_t signed_s;

	return read_time(tags, SPAN("t"), &signed_s) && read_time(tags, SPAN("x"), expires_s) &&
	       (*expires_s == 0 || *expires_s > signed_s);
}

static bool read_algorithm(struct span value, enum dkim_algorithm *algorithm)
{
	*algorithm =
		span_equal(value, SPAN("ed25519-sha256")) ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256;
	return *algorithm == DKIM_ED25519_SHA256 || span_equal(value, SPAN("rsa-sha256"));
}

/* From behind "b=" to the next tag: what is left out when b= is hashed (RFC 6376 3.7). */
static struct span value_of_b(const struct tag_list *tags, struct span body)
{
	for (size_t i = 0; i < tags->n; i++) {
		struct span name = tags->items[i].name, rest;

		if (!span_equal(name, SPAN("b")))
			continue;
		rest = span_from(body, (size_t)(name.at - body.at));
		rest = span_from(rest, span_find_char(rest, '=') + 1);
		return span_first(rest, span_find_char(rest, ';'));
	}
	return SPAN_NONE;
}

static bool read_key_name(
	const struct tag_list *tags, struct arena *arena, struct arc_signature *out)
{
	struct span selector = tag_list_find(tags, SPAN("s"));

	out->domain = tag_list_find(tags, SPAN("d"));
	if (!domain_valid(selector, false) || !domain_valid(out->domain, false))
		return false;
	out->key = span_text(arena_print(
		arena, "%.*s._domainkey.%.*s", SPAN_ARGS(selector), SPAN_ARGS(out->domain)));
	return out->key.len <= DNS_NAME_MAX;
}

static bool read_signature(const struct tag_list *tags, struct span body, struct arena *arena,
	struct arc_signature *out, const char **problem)
{
	*problem = "a= is neither rsa-sha256 nor ed25519-sha256";
	if (!read_algorithm(tag_list_find(tags, SPAN("a")), &out->algorithm))
		return false;
	*problem = "b= is missing";
	out->value = value_of_b(tags, body);
	if (tag_list_find(tags, SPAN("b")).len == 0)
		return false;
	*problem = "d= and s= name no key";
	if (!read_key_name(tags, arena, out))
		return false;
	*problem = "t= and x= are no times";
	return read_times(tags, &out->expires_s);
}

/* A list of tags of this set. */
static bool read_tags(
	struct span body, struct tag_list *tags, unsigned *instance, const char **problem)
{
	*problem = "it is no list of tags";
	if (!tag_list_read(body, tags))
		return false;
	*problem = "i= is not a number from 1 to 50";
	return read_instance(tag_list_find(tags, SPAN("i")), instance);
}

/* --- ARC-Message-Signature --- */

static bool canon_named(struct span name, enum canon *out)
{
	*out = span_equal(name, SPAN("simple")) ? CANON_SIMPLE : CANON_RELAXED;
	return *out == CANON_SIMPLE || span_equal(name, SPAN("relaxed"));
}

/* One name alone is that for headers (RFC 6376 3.5). */
static bool read_canon(struct span value, struct arc_message *out)
{
	size_t slash = span_find_char(value, '/');

	out->headers = out->body = CANON_RELAXED;
	if (!value.at)
		return true;
	return canon_named(span_first(value, slash), &out->headers) &&
	       canon_named(slash < value.len ? span_from(value, slash + 1) : SPAN("simple"),
		       &out->body);
}

/* From is signed (RFC 6376 5.4), no seal is (RFC 8617 4.1.2). */
static bool names_valid(struct span names)
{
	bool from = false;

	while (names.len) {
		struct span name = tag_word_next(&names);

		if (span_equal_nocase(name, SPAN("ARC-Seal")))
			return false;
		from = from || span_equal_nocase(name, SPAN("From"));
	}
	return from;
}

/* Keys are asked of DNS; that must be among the ways that q= offers. */
static bool read_query(struct span value)
{
	return !value.at || tag_words_have(value, SPAN("dns/txt"));
}

/* RFC 6376 3.5: up to 76 digits. One that does not fit is longer than any body. */
static bool read_length(struct span value, uint64_t *out)
{
	*out = UINT64_MAX;
	if (!value.at)
		return true;
	if (value.len == 0 || value.len > 76)
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (!ascii_is_digit(value.at[i]))
			return false;
	if (!span_number(value, UINT64_MAX - 2, out))
		*out = UINT64_MAX - 1;
	return true;
}

static bool read_message(
	const struct tag_list *tags, struct span body, struct arena *arena, struct arc_message *out)
{
	size_t len;

	if (!read_signature(tags, body, arena, &out->signature, &out->problem))
		return false;
	out->problem = "bh= is no SHA-256";
	if (!base64_read(tag_list_find(tags, SPAN("bh")), out->body_hash, SHA256_SIZE, &len) ||
		len != SHA256_SIZE)
		return false;
	out->problem = "h= leaves out From, or names ARC-Seal";
	out->names = tag_list_find(tags, SPAN("h"));
	if (!names_valid(out->names))
		return false;
	out->problem = "c=, l= or q= is wrong";
	return read_canon(tag_list_find(tags, SPAN("c")), out) &&
	       read_length(tag_list_find(tags, SPAN("l")), &out->body_len) &&
	       read_query(tag_list_find(tags, SPAN("q")));
}

bool arc_message_read(struct span body, struct arena *arena, unsigned *instance,
	struct arc_message *out, const char **problem)
{
	struct tag_list tags;

	if (!read_tags(body, &tags, instance, problem))
		return false;
	if (read_message(&tags, body, arena, out))
		out->problem = NULL;
	return true;
}

/* --- ARC-Seal --- */

static bool read_cv(struct span value, enum arc_cv *out)
{
	static const struct span names[] = {
		[ARC_CV_NONE] = SPAN("none"),
		[ARC_CV_PASS] = SPAN("pass"),
		[ARC_CV_FAIL] = SPAN("fail"),
	};

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (span_equal(value, names[i])) {
			*out = (enum arc_cv)i;
			return true;
		}
	return false;
}

bool arc_seal_read(struct span body, struct arena *arena, unsigned *instance, struct arc_seal *out,
	const char **problem)
{
	struct tag_list tags;

	if (!read_tags(body, &tags, instance, problem) ||
		!read_signature(&tags, body, arena, &out->signature, problem))
		return false;
	*problem = "h= is there";
	if (tag_list_find(&tags, SPAN("h")).at)
		return false;
	*problem = "cv= is none of none, pass and fail";
	return read_cv(tag_list_find(&tags, SPAN("cv")), &out->cv);
}

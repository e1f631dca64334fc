/*
 * Tags are read by a table, in the grammar's words; only of what they say together is judged
 * behind it. The grammar is RFC 6376's, a little widened where signers are found to be loose and
 * nothing hangs on it: a= and c= in any case, padding left out of base64, empty names in h=, a
 * domain of one label.
 */
#include "authn/dkim_guard.h"

#include "authn/base64.h"
#include "lib/mail/tag_list.h"

/* --- parts of values --- */

/* Without any blank, in the arena. */
static struct span squeezed(struct span value, struct arena *arena)
{
	char *out = arena_alloc(arena, value.len + 1);
	size_t len;

	/* It never grows. */
	return tag_value_squeeze(value, out, value.len, &len) ? span_make(out, len) : SPAN_NONE;
}

static bool is_label(struct span label)
{
	if (label.len == 0 || label.len > 63)
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!ascii_is_alpha(label.at[i]) && !ascii_is_digit(label.at[i]) &&
			label.at[i] != '-' && label.at[i] != '_')
			return false;
	return true;
}

/* Letters, digits, hyphens, and underscores, which some have in selectors. */
static bool is_domain(struct span name)
{
	if (name.len == 0 || name.len > DKIM_DOMAIN_MAX)
		return false;
	for (;;) {
		size_t dot = span_find_char(name, '.');

		if (!is_label(span_first(name, dot)))
			return false;
		if (dot == name.len)
			return true;
		name = span_from(name, dot + 1);
	}
}

static bool is_hex(char c)
{
	return ascii_is_digit(c) || (c >= 'A' && c <= 'F');
}

/* dkim-quoted-printable without its blanks (RFC 6376 2.11): an '=' has two digits behind it, which
 * the library takes on trust. */
static bool is_quoted_printable(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] != '=')
			continue;
		if (text.len - i < 3 || !is_hex(text.at[i + 1]) || !is_hex(text.at[i + 2]))
			return false;
		i += 2;
	}
	return true;
}

/* The domain or one below it. */
static bool is_within(struct span name, struct span domain)
{
	return span_equal_nocase(name, domain) ||
	       (name.len > domain.len && span_ends_nocase(name, domain) &&
		       name.at[name.len - domain.len - 1] == '.');
}

/* Behind the last '@'; its `at` is NULL when there is none. */
static struct span domain_of(struct span identity)
{
	for (size_t i = identity.len; i > 0; i--)
		if (identity.at[i - 1] == '@')
			return span_from(identity, i);
	return SPAN_NONE;
}

/* --- tags: each says whether the value is well-formed --- */

typedef bool tag_reader(struct span value, struct dkim_claim *claim, struct arena *arena);

static bool read_version(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	(void)arena;
	if (!span_equal(value, SPAN("1")))
		dkim_claim_refuse(claim, DKIM_IS_PERMERROR, "v= is not 1");
	return value.len > 0;
}

static bool read_algorithm(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	(void)arena;
	if (is_label(value))
		claim->said.algorithm = value;
	if (span_equal_nocase(value, SPAN("ed25519-sha256")))
		claim->algorithm = DKIM_ED25519_SHA256;
	else if (span_equal_nocase(value, SPAN("rsa-sha1")))
		/* RFC 8301 3.1: it has failed for good, whatever it would say. */
		dkim_claim_refuse(claim, DKIM_IS_PERMERROR, "SHA-1 no longer counts");
	else if (!span_equal_nocase(value, SPAN("rsa-sha256")))
		dkim_claim_refuse(claim, DKIM_IS_PERMERROR, "unknown algorithm");
	return value.len > 0;
}

static bool read_signature(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	size_t size = sizeof(claim->signature);

	if (!base64_read(value, claim->signature, size, &claim->signature_len))
		return false;
	claim->said.start = span_first(squeezed(value, arena), 8);
	return true;
}

static bool read_body_hash(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	size_t len;

	(void)arena;
	/* Of the other lengths SHA-1's is one. */
	return base64_read(value, claim->body_hash, sizeof(claim->body_hash), &len) &&
	       (len == DKIM_HASH_SIZE || len == 20);
}

/* RFC 6376 3.5: one of two words, or two with a slash between them; "simple" is what is not said.
 */
static bool read_canonicalization(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	size_t slash = span_find_char(value, '/');
	struct span header = span_first(value, slash);
	struct span body = slash < value.len ? span_from(value, slash + 1) : SPAN("simple");

	(void)arena;
	claim->relaxed_header = span_equal_nocase(header, SPAN("relaxed"));
	claim->relaxed_body = span_equal_nocase(body, SPAN("relaxed"));
	return (claim->relaxed_header || span_equal_nocase(header, SPAN("simple"))) &&
	       (claim->relaxed_body || span_equal_nocase(body, SPAN("simple")));
}

static bool read_domain(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	(void)arena;
	if (!is_domain(value))
		return false;
	claim->said.domain = value;
	return true;
}

static bool read_selector(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	(void)arena;
	if (!is_domain(value))
		return false;
	claim->said.selector = value;
	return true;
}

/* A field name of h=: printable, without colon (RFC 5322 2.2) and semicolon. */
static bool is_name(struct span name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] < 33 || name.at[i] > 126)
			return false;
	return true;
}

static bool read_names(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	if (value.len > DKIM_LIST_MAX)
		return false;
	claim->names = arena_alloc(arena, DKIM_NAMES_MAX * sizeof(*claim->names));
	while (value.len) {
		struct span name = tag_word_next(&value);

		if (name.len == 0)
			continue;
		if (!is_name(name) || claim->n_names == DKIM_NAMES_MAX)
			return false;
		claim->names[claim->n_names++] = name;
	}
	return claim->n_names > 0;
}

static bool read_identity(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	struct span identity = squeezed(value, arena);

	if (identity.len > DKIM_IDENTITY_MAX || !is_quoted_printable(identity) ||
		!is_domain(domain_of(identity)))
		return false;
	claim->said.identity = identity;
	return true;
}

static bool read_limit(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	(void)arena;
	claim->limited = true;
	return span_number(value, INT64_MAX, &claim->limit);
}

/* RFC 6376 3.5: one of the methods has to be known; DNS is the only one. */
static bool read_queries(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	(void)arena;
	if (!tag_words_have(value, SPAN("dns/txt")))
		dkim_claim_refuse(claim, DKIM_IS_PERMERROR, "q= has no method that is known");
	return true;
}

/* Seconds; the year 30,000 is enough and leaves room to calculate. */
enum { DIGITS_OF_TIME = 12 };

static bool read_signed(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	(void)arena;
	/* The library subtracts the drift, and takes what is less for the far future. */
	return value.len <= DIGITS_OF_TIME && span_number(value, UINT64_MAX, &claim->signed_s) &&
	       claim->signed_s >= DKIM_FUTURE_S;
}

static bool read_expires(struct span value, struct dkim_claim *claim, struct arena *arena)
{
	(void)arena;
	return value.len <= DIGITS_OF_TIME && span_number(value, UINT64_MAX, &claim->expires_s);
}

static const struct tag_rule {
	const char *name;
	bool required;
	tag_reader *read;
	const char *malformed, *missing;
} rules[] = {
	{"v", true, read_version, "v= is not 1", "v= is missing"},
	{"a", true, read_algorithm, "unknown algorithm", "a= is missing"},
	{"b", true, read_signature, "b= is no signature", "b= is missing"},
	{"bh", true, read_body_hash, "bh= is no hash", "bh= is missing"},
	{"d", true, read_domain, "d= is no domain", "d= is missing"},
	{"h", true, read_names, "h= is no list of fields, or a very long one", "h= is missing"},
	{"s", true, read_selector, "s= is no selector", "s= is missing"},
	{"c", false, read_canonicalization, "c= is unknown", NULL},
	{"i", false, read_identity, "i= is no identity", NULL},
	{"l", false, read_limit, "l= is no length", NULL},
	{"q", false, read_queries, "q= can't be read", NULL},
	{"t", false, read_signed, "t= is no time", NULL},
	{"x", false, read_expires, "x= is no time", NULL},
};

/* --- the field --- */

void dkim_claim_refuse(struct dkim_claim *claim, enum dkim_code code, const char *problem)
{
	if (!dkim_claim_is_open(claim))
		return;
	claim->said.code = code;
	claim->said.problem = span_text(problem);
}

/* Reads what can be read, so that people see whose signature it was, whatever is wrong. */
static void tags_read(const struct tag_list *tags, struct dkim_claim *claim, struct arena *arena)
{
	for (size_t i = 0; i < COUNT_OF(rules); i++) {
		struct span value = tag_list_find(tags, span_text(rules[i].name));

		if (value.at && !rules[i].read(value, claim, arena))
			dkim_claim_refuse(claim, DKIM_IS_PERMERROR, rules[i].malformed);
		else if (!value.at && rules[i].required)
			dkim_claim_refuse(claim, DKIM_IS_PERMERROR, rules[i].missing);
	}
}

/* What of the field is b='s value (RFC 6376 3.7): all between its sign and the end of the tag. */
static struct span own_value(struct span field, struct span value)
{
	size_t from = (size_t)(value.at - field.at), to = from + value.len;

	while (field.at[from - 1] != '=')
		from--;
	return span_make(field.at + from, to - from + span_find_char(span_from(field, to), ';'));
}

/* The library cuts out what follows "b=" before it hashes a field, and knows that by the one letter
 * before the sign: so a b= that is set off from its sign stays in, and the value of a tag "ab="
 * goes. */
static bool tag_is_misread(const struct tag *tag)
{
	bool is_b = span_equal(tag->name, SPAN("b"));
	bool looks_so =
		tag->name.at[tag->name.len - 1] == 'b' && tag->name.at[tag->name.len] == '=';

	/* Of names of more than one letter it takes only the first as it stands. */
	return is_b != looks_so ||
	       (span_equal_nocase(tag->name, SPAN("bh")) && !span_equal(tag->name, SPAN("bh")));
}

/* It takes nothing but blanks between a name and its colon. */
static bool name_is_misread(const struct header_field *field)
{
	size_t at = field->name.len;

	while (at < field->raw.len && field->raw.at[at] == ' ')
		at++;
	return at == field->raw.len || field->raw.at[at] != ':';
}

static bool is_misread(const struct header_field *field, const struct tag_list *tags)
{
	if (name_is_misread(field))
		return true;
	for (size_t i = 0; i < tags->n; i++)
		if (tag_is_misread(&tags->items[i]))
			return true;
	return false;
}

/* RFC 6376 3.5, 6.1.1: what the tags say together. */
static void claim_judge(struct dkim_claim *claim, uint64_t now_s)
{
	struct dkim_signature *said = &claim->said;

	claim->in_subdomain = !span_equal_nocase(domain_of(said->identity), said->domain);
	if (!is_within(domain_of(said->identity), said->domain))
		dkim_claim_refuse(claim, DKIM_IS_PERMERROR, "i= is not within d=");
	if (!dkim_claim_names(claim, SPAN("from")))
		dkim_claim_refuse(claim, DKIM_IS_PERMERROR, "From is not signed");
	if (claim->expires_s <= claim->signed_s)
		dkim_claim_refuse(claim, DKIM_IS_PERMERROR, "x= is before t=");
	if (claim->expires_s < now_s && now_s - claim->expires_s > DKIM_DRIFT_S)
		dkim_claim_refuse(claim, DKIM_IS_PERMERROR, "the signature has expired");
	if (claim->signed_s > now_s + DKIM_FUTURE_S)
		dkim_claim_refuse(claim, DKIM_IS_PERMERROR, "the signature is of the future");
	if (said->selector.len + sizeof("._domainkey.") - 1 + said->domain.len > DKIM_DOMAIN_MAX)
		dkim_claim_refuse(claim, DKIM_IS_PERMERROR, "the key's name is too long");
}

void dkim_claim_read(const struct header_field *field, uint64_t now_s, struct arena *arena,
	struct dkim_claim *out)
{
	struct tag_list tags;

	*out = (struct dkim_claim){.field = *field, .expires_s = UINT64_MAX};
	if (field->raw.len > DKIM_FIELD_MAX || !tag_list_read(field->body, &tags)) {
		dkim_claim_refuse(out, DKIM_IS_PERMERROR, "the field can't be read");
		return;
	}
	tags_read(&tags, out, arena);
	if (!out->said.identity.len && out->said.domain.len)
		out->said.identity =
			span_text(arena_print(arena, "@%.*s", SPAN_ARGS(out->said.domain)));
	claim_judge(out, now_s);
	if (!dkim_claim_is_open(out))
		return;
	out->misread = is_misread(field, &tags);
	out->own_value = own_value(field->body, tag_list_find(&tags, SPAN("b")));
}

bool dkim_claim_names(const struct dkim_claim *claim, struct span name)
{
	for (size_t i = 0; i < claim->n_names; i++)
		if (span_equal_nocase(claim->names[i], name))
			return true;
	return false;
}

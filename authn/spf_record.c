#include "authn/spf_record.h"

#include <arpa/inet.h>

#include "authn/spf_macro.h"

static const struct span version = SPAN("v=spf1");

bool spf_record_is_one(struct span text)
{
	return span_starts_nocase(text, version) &&
	       (text.len == version.len || text.at[version.len] == ' ');
}

/* --- a record as it grows --- */

struct reader {
	const struct ip *client;
	struct spf_record *out;
	size_t lookups; /* terms kept that ask DNS */
	bool ended;     /* what follows can't be reached, only be wrong */
	bool has_redirect, has_exp;
	struct err *err;
};

static bool asks(enum spf_term_kind kind)
{
	return kind != SPF_TERM_ALWAYS;
}

static void term_keep(struct reader *r, const struct spf_term *term)
{
	if (r->ended)
		return;
	r->out->terms[r->out->n++] = *term;
	if (asks(term->kind))
		r->lookups++;
	r->ended = !asks(term->kind) || r->lookups > SPF_LOOKUPS_MAX;
}

static bool mistake(struct reader *r, struct span term, const char *why)
{
	return err_set(r->err, "%.*s: %s", SPAN_ARGS(span_first(term, 80)), why);
}

/* --- the pieces of a term --- */

static bool domain_spec_check(struct reader *r, struct span term, struct span spec)
{
	const char *why = spec.len ? spf_macro_mistake(spec, SPF_MACRO_IN_DOMAIN) : "no domain";

	return why ? mistake(r, term, why) : true;
}

/* Cuts "/24" off the end: "0", or digits that don't begin with 0. false: there is none, and *rest
 * is as it was. More than four digits are no length at all. */
static bool length_cut(struct span *rest, uint64_t *bits)
{
	size_t start = rest->len;
	struct span digits;

	while (start > 0 && ascii_is_digit(rest->at[start - 1]))
		start--;
	digits = span_from(*rest, start);
	if (start == 0 || rest->at[start - 1] != '/' || (digits.len > 1 && digits.at[0] == '0') ||
		!span_number(digits, 9999, bits))
		return false;
	rest->len = start - 1;
	return true;
}

/* dual-cidr-length: [ "/" ip4 ] [ "//" ip6 ], off the end of a or mx. */
static bool dual_length_cut(struct reader *r, struct span term, struct span *rest, uint8_t *bits)
{
	uint64_t v4 = 32, v6 = 128, length;

	if (length_cut(rest, &length)) {
		if (rest->len && rest->at[rest->len - 1] == '/') {
			rest->len--;
			v6 = length;
			length_cut(rest, &v4);
		} else {
			v4 = length;
		}
	}
	if (v4 > 32 || v6 > 128)
		return mistake(r, term, "prefix too long");
	*bits = (uint8_t)(r->client->family == IP_V4 ? v4 : v6);
	return true;
}

/* --- mechanisms --- */

/* `arguments` is what stands behind the name: nothing, or ':' or '/' and more. */

static bool all_read(struct reader *r, struct span arguments, struct spf_term *term)
{
	if (arguments.len)
		return mistake(r, term->text, "all takes no argument");
	term_keep(r, term);
	return true;
}

/* An IPv6 network in IPv4's range stays one of IPv6, and matches nobody (RFC 7208 5). */
static bool network_read(struct span text, struct cidr *network)
{
	char copy[INET6_ADDRSTRLEN];
	int family = network->ip.family == IP_V4 ? AF_INET : AF_INET6;

	if (text.len >= sizeof(copy) || span_find_char(text, '\0') < text.len)
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	if (inet_pton(family, copy, network->ip.bytes) != 1)
		return false;
	*network = cidr_around(&network->ip, network->prefix_bits);
	return true;
}

static bool address_read(
	struct reader *r, struct span arguments, enum ip_family family, struct spf_term *term)
{
	uint64_t width = family == IP_V4 ? 32 : 128, bits = width;
	struct cidr network = {.ip = {.family = family}};
	struct span text = span_from(arguments, 1);

	length_cut(&text, &bits);
	if (bits > width)
		return mistake(r, term->text, "prefix too long");
	network.prefix_bits = (uint8_t)bits;
	if (arguments.len == 0 || arguments.at[0] != ':' || !network_read(text, &network))
		return mistake(r, term->text, "no address of that kind");
	if (cidr_contains(&network, r->client))
		term_keep(r, term);
	return true;
}

static bool ip4_read(struct reader *r, struct span arguments, struct spf_term *term)
{
	return address_read(r, arguments, IP_V4, term);
}

static bool ip6_read(struct reader *r, struct span arguments, struct spf_term *term)
{
	return address_read(r, arguments, IP_V6, term);
}

/* include, exists: ":" domain-spec */
static bool domain_read(struct reader *r, struct span arguments, struct spf_term *term)
{
	if (arguments.len == 0 || arguments.at[0] != ':')
		return mistake(r, term->text, "no domain");
	term->target = span_from(arguments, 1);
	if (!domain_spec_check(r, term->text, term->target))
		return false;
	term_keep(r, term);
	return true;
}

/* ptr: [ ":" domain-spec ] */
static bool ptr_read(struct reader *r, struct span arguments, struct spf_term *term)
{
	if (arguments.len)
		return domain_read(r, arguments, term);
	term_keep(r, term);
	return true;
}

/* a, mx: [ ":" domain-spec ] [ dual-cidr-length ] */
static bool host_read(struct reader *r, struct span arguments, struct spf_term *term)
{
	return dual_length_cut(r, term->text, &arguments, &term->prefix_bits) &&
	       ptr_read(r, arguments, term);
}

static const struct mechanism {
	const char *name;
	enum spf_term_kind kind;
	bool (*read)(struct reader *r, struct span arguments, struct spf_term *term);
} mechanisms[] = {
	{"all", SPF_TERM_ALWAYS, all_read},
	{"include", SPF_TERM_INCLUDE, domain_read},
	{"a", SPF_TERM_A, host_read},
	{"mx", SPF_TERM_MX, host_read},
	{"ptr", SPF_TERM_PTR, ptr_read},
	{"ip4", SPF_TERM_ALWAYS, ip4_read},
	{"ip6", SPF_TERM_ALWAYS, ip6_read},
	{"exists", SPF_TERM_EXISTS, domain_read},
};

/* [ qualifier ] mechanism */
static bool directive_read(struct reader *r, struct span text)
{
	struct spf_term term = {.qualifier = '+', .text = text};
	struct span name = text, arguments;
	size_t len = 0;

	if (memchr("+-?~", name.at[0], 4)) {
		term.qualifier = name.at[0];
		name = span_from(name, 1);
	}
	while (len < name.len && name.at[len] != ':' && name.at[len] != '/')
		len++;
	arguments = span_from(name, len);
	name = span_first(name, len);
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
		if (span_equal_nocase(name, span_text(mechanisms[i].name))) {
			term.kind = mechanisms[i].kind;
			return mechanisms[i].read(r, arguments, &term);
		}
	return mistake(r, text, "unknown mechanism");
}

/* --- modifiers --- */

/* The length of a name with "=" behind it: ALPHA *( ALPHA / DIGIT / "-" / "_" / "." ); 0: it is not
 * a modifier. */
static size_t modifier_name(struct span text)
{
	size_t len = 0;

	while (len < text.len &&
		(ascii_is_alpha(text.at[len]) ||
			(len && (ascii_is_digit(text.at[len]) ||
					(text.at[len] && strchr("-_.", text.at[len]))))))
		len++;
	return len < text.len && text.at[len] == '=' ? len : 0;
}

/* redirect and exp may stand there once each (RFC 7208 6). */
static bool known_read(struct reader *r, struct span text, size_t name_len, enum spf_term_kind kind,
	bool *seen, struct spf_term *out)
{
	struct spf_term term = {.kind = kind, .qualifier = '+', .text = text};

	if (*seen)
		return mistake(r, text, "stands there twice");
	*seen = true;
	term.target = span_from(text, name_len + 1);
	*out = term;
	return domain_spec_check(r, text, term.target);
}

static bool modifier_read(struct reader *r, struct span text, size_t name_len)
{
	struct span name = span_first(text, name_len);
	const char *why;

	if (span_equal_nocase(name, SPAN("redirect")))
		return known_read(
			r, text, name_len, SPF_TERM_REDIRECT, &r->has_redirect, &r->out->redirect);
	if (span_equal_nocase(name, SPAN("exp")))
		return known_read(r, text, name_len, SPF_TERM_EXP, &r->has_exp, &r->out->exp);
	why = spf_macro_mistake(span_from(text, name_len + 1), SPF_MACRO_IN_MODIFIER);
	return why ? mistake(r, text, why) : true;
}

bool spf_record_read(
	struct span text, const struct ip *client, struct spf_record *out, struct err *err)
{
	struct reader r = {.client = client, .out = out, .err = err};

	out->n = 0;
	out->redirect = out->exp = (struct spf_term){.kind = SPF_TERM_REDIRECT};
	for (text = span_from(text, version.len); text.len;) {
		struct span term = span_first(text, span_find_char(text, ' '));
		size_t name_len = modifier_name(term);

		text = span_from(text, term.len + 1);
		if (term.len == 0)
			continue;
		if (name_len ? !modifier_read(&r, term, name_len) : !directive_read(&r, term))
			return false;
	}
	if (r.ended)
		out->redirect = (struct spf_term){.kind = SPF_TERM_REDIRECT};
	return true;
}

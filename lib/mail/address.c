/*
 * One scanner over the bytes, left to right, without a copy: what is taken is what stands in the
 * text. It is strict where leniency would let two servers read one address differently (dots at
 * the ends of a dot-string, blanks inside the brackets, an unknown literal tag), and takes beyond
 * RFC 5321 only the underscore in domains. 8-bit bytes are taken as letters first and judged at
 * the end, so that a missing SMTPUTF8 is told apart from a broken address.
 *
 * Rejected: taking all up to '>' and splitting at the last '@'. It is shorter, but quoted local
 * parts may hold both.
 */
#include "lib/mail/address.h"

enum { LABEL_MAX = 63 };

struct scanner {
	struct span text;
	size_t at;
};

static int peek(const struct scanner *s)
{
	return s->at < s->text.len ? (unsigned char)s->text.at[s->at] : -1;
}

static bool take(struct scanner *s, char c)
{
	if (peek(s) != c)
		return false;
	s->at++;
	return true;
}

static struct span taken(const struct scanner *s, size_t start)
{
	return span_make(s->text.at + start, s->at - start);
}

/* RFC 5322 3.2.3 atext, with what RFC 6531 3.3 adds. */
static bool is_atext(int c)
{
	if (c > 127)
		return true;
	return c > 0 && (ascii_is_alpha((char)c) || ascii_is_digit((char)c) ||
				strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* RFC 5321 4.1.2 Dot-string: atoms with single dots between. */
static bool scan_dot_string(struct scanner *s)
{
	do {
		size_t start = s->at;

		while (is_atext(peek(s)))
			s->at++;
		if (s->at == start)
			return false;
	} while (take(s, '.'));
	return true;
}

/* RFC 5321 4.1.2 Quoted-string; behind the first quote. */
static bool scan_quoted(struct scanner *s)
{
	for (;;) {
		int c = peek(s);

		if (c == '\\') {
			s->at++;
			c = peek(s);
			if (c > 126)
				return false;
		} else if (c == '"') {
			s->at++;
			return true;
		}
		if (c < 32 || c == 127)
			return false;
		s->at++;
	}
}

static bool is_domain_byte(int c)
{
	return c > 127 || (c > 0 && (ascii_is_alpha((char)c) || ascii_is_digit((char)c) ||
					    c == '-' || c == '_' || c == '.'));
}

/* Takes the bytes of a domain or of a literal; the caller judges them. */
static struct span scan_domain(struct scanner *s)
{
	size_t start = s->at;

	if (take(s, '[')) {
		while (peek(s) > 32 && peek(s) != ']' && peek(s) != '[')
			s->at++;
		take(s, ']');
	} else {
		while (is_domain_byte(peek(s)))
			s->at++;
	}
	return taken(s, start);
}

static bool has_high(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] > 127)
			return true;
	return false;
}

static enum address_status judge_domain(struct address *out)
{
	out->literal = out->domain.len && out->domain.at[0] == '[';
	if (out->domain.len > ADDRESS_DOMAIN_MAX)
		return ADDRESS_TOO_LONG;
	if (out->literal)
		return literal_valid(out->domain, NULL) ? ADDRESS_OK : ADDRESS_SYNTAX;
	/* As UTF-8 here already when it is: what is not is the next question, not this one. */
	if (!utf8_valid(out->domain))
		return ADDRESS_OK;
	return domain_valid(out->domain, true) ? ADDRESS_OK : ADDRESS_SYNTAX;
}

/* local@domain at the scanner. */
static enum address_status scan_mailbox(struct scanner *s, struct address *out)
{
	size_t start = s->at;

	out->quoted = take(s, '"');
	if (!(out->quoted ? scan_quoted(s) : scan_dot_string(s)))
		return ADDRESS_SYNTAX;
	out->local = taken(s, start);
	if (!take(s, '@'))
		return ADDRESS_SYNTAX;
	out->domain = scan_domain(s);
	out->mailbox = taken(s, start);
	if (out->local.len > ADDRESS_LOCAL_MAX)
		return ADDRESS_TOO_LONG;
	return judge_domain(out);
}

/* RFC 5321 4.1.2 A-d-l ":" in front of the mailbox, which must be taken and should be ignored
 * (appendix C). */
static bool scan_source_route(struct scanner *s)
{
	if (peek(s) != '@')
		return true;
	do {
		struct span domain;

		if (!take(s, '@'))
			return false;
		domain = scan_domain(s);
		if (domain.len > ADDRESS_DOMAIN_MAX)
			return false;
		if (utf8_valid(domain) && !domain_valid(domain, true) &&
			!literal_valid(domain, NULL))
			return false;
	} while (take(s, ','));
	return take(s, ':');
}

/* The last question: whether 8-bit bytes may be there, and are UTF-8 that can be shown. */
static enum address_status judge_utf8(struct span text, bool utf8_allowed)
{
	if (!has_high(text))
		return ADDRESS_OK;
	if (!utf8_allowed)
		return ADDRESS_NEEDS_UTF8;
	return utf8_valid(text) && text_printable(text) ? ADDRESS_OK : ADDRESS_BAD_UTF8;
}

/* `<>` or `<postmaster>` behind the bracket; false: something else stands there. */
static bool scan_special(struct scanner *s, bool null_allowed, struct address *out)
{
	struct span postmaster = SPAN("postmaster>"), rest = span_from(s->text, s->at);

	if (null_allowed && take(s, '>')) {
		out->mailbox = out->local = out->domain = span_first(rest, 0);
		return true;
	}
	if (null_allowed || !span_starts_nocase(rest, postmaster))
		return false;
	s->at += postmaster.len;
	out->mailbox = out->local = span_first(rest, postmaster.len - 1);
	out->domain = span_first(rest, 0);
	return true;
}

enum address_status address_parse_path(
	struct span *text, bool null_allowed, bool utf8_allowed, struct address *out)
{
	struct scanner s = {*text, 0};
	enum address_status status;

	*out = (struct address){.quoted = false};
	if (!take(&s, '<'))
		return ADDRESS_SYNTAX;
	if (!scan_special(&s, null_allowed, out)) {
		if (!scan_source_route(&s))
			return ADDRESS_SYNTAX;
		status = scan_mailbox(&s, out);
		if (status != ADDRESS_OK)
			return status;
		if (!take(&s, '>'))
			return ADDRESS_SYNTAX;
		if (s.at > ADDRESS_PATH_MAX)
			return ADDRESS_TOO_LONG;
		status = judge_utf8(taken(&s, 0), utf8_allowed);
		if (status != ADDRESS_OK)
			return status;
		out->utf8 = has_high(out->mailbox);
	}
	*text = span_from(*text, s.at);
	return ADDRESS_OK;
}

enum address_status address_parse(struct span text, bool utf8_allowed, struct address *out)
{
	struct scanner s = {text, 0};
	enum address_status status;

	*out = (struct address){.quoted = false};
	status = scan_mailbox(&s, out);
	if (status != ADDRESS_OK)
		return status;
	if (s.at != text.len)
		return ADDRESS_SYNTAX;
	out->utf8 = has_high(text);
	return judge_utf8(text, utf8_allowed);
}

bool address_local_routes(const struct address *address)
{
	struct span local = address->local;
	size_t first;

	if (address->quoted && local.len >= 2)
		local = span_make(local.at + 1, local.len - 2);
	for (size_t i = 0; i < local.len; i++)
		if (local.at[i] == '%' || local.at[i] == '!' || local.at[i] == '@')
			return true;
	first = address->quoted && local.len && local.at[0] == '\\' ? 1 : 0;
	return first < local.len && (local.at[first] == '|' || local.at[first] == '/');
}

/* --- domains and literals --- */

/* What IDNA reads as a dot (RFC 3490 3.1): in a label it would make other labels of it later. */
static bool is_other_dot(struct span s)
{
	return span_starts(s, SPAN("\xe3\x80\x82")) || span_starts(s, SPAN("\xef\xbc\x8e")) ||
	       span_starts(s, SPAN("\xef\xbd\xa1"));
}

/* A label: letters, digits, '_' and inner hyphens; U-labels count characters, of which an
 * A-label has at most 63. */
static bool label_valid(struct span label, bool utf8)
{
	size_t characters = 0;

	for (size_t i = 0; i < label.len; i++) {
		unsigned char c = (unsigned char)label.at[i];

		if (c > 127 ? !utf8 || is_other_dot(span_from(label, i))
			    : c == '.' || !is_domain_byte(c))
			return false;
		if ((c & 0xc0) != 0x80)
			characters++;
	}
	return characters > 0 && characters <= LABEL_MAX && label.at[0] != '-' &&
	       label.at[label.len - 1] != '-';
}

bool domain_valid(struct span text, bool utf8)
{
	size_t dot;

	if (text.len == 0 || text.len > ADDRESS_DOMAIN_MAX)
		return false;
	if (utf8 && has_high(text) && (!utf8_valid(text) || !text_printable(text)))
		return false;
	for (;;) {
		dot = span_find_char(text, '.');
		if (!label_valid(span_first(text, dot), utf8))
			return false;
		if (dot == text.len)
			return true;
		text = span_from(text, dot + 1);
	}
}

bool literal_valid(struct span text, struct ip *ip)
{
	const struct span tag = SPAN("IPv6:");
	bool tagged, colons;
	struct ip found;

	if (text.len < 2 || text.at[0] != '[' || text.at[text.len - 1] != ']')
		return false;
	text = span_make(text.at + 1, text.len - 2);
	tagged = span_starts_nocase(text, tag);
	if (tagged)
		text = span_from(text, tag.len);
	colons = span_find_char(text, ':') < text.len;
	if (tagged != colons || !ip_parse(text, &found))
		return false;
	if (ip)
		*ip = found;
	return true;
}

/* --- UTF-8 --- */

/* Length of the character at the front by RFC 3629 4's table, 0: none. */
static size_t utf8_length(struct span s)
{
	const unsigned char *c = (const unsigned char *)s.at;
	size_t len = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

	if (c[0] > 0xf4 || len == 0 || len > s.len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
		(c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return len;
}

bool utf8_valid(struct span text)
{
	while (text.len) {
		size_t len = utf8_length(text);

		if (len == 0)
			return false;
		text = span_from(text, len);
	}
	return true;
}

bool text_printable(struct span text)
{
	bool utf8 = utf8_valid(text);

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c < 32 || c == 127)
			return false;
		/* U+0080 to U+009F are controls too, and some terminals obey them. */
		if (utf8 && c == 0xc2 && (unsigned char)text.at[i + 1] < 0xa0)
			return false;
	}
	return true;
}

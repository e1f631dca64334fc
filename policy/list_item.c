/*
 * The syntax is that of the values that mail brings, kept a little wider than RFC 5321 and IDNA
 * are: an item that can never match does no harm, one that is refused without need does. What is
 * refused are mistakes of type (an address among domains, a network among addresses) and of
 * writing.
 */
#include "policy/list_item.h"

#include "policy/lex.h"

enum { DOMAIN_MAX = 255, LABEL_MAX = 63, SHOWN_MAX = 80 };

/* An item in a message: cut when it is long. */
#define SHOWN(item) SPAN_ARGS(span_first(item, SHOWN_MAX))

static bool is_printable(struct span text)
{
	size_t bytes;

	for (; text.len; text = span_from(text, bytes)) {
		uint32_t code = (uint8_t)text.at[0];

		bytes = 1;
		if (code < 0x20 || code == 0x7f)
			return false;
		if (code > 0x7f)
			bytes = lex_char(text, &code);
		if (code == LEX_BAD_CHAR)
			return false;
	}
	return true;
}

static bool is_domain_char(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_' || (uint8_t)c > 0x7f;
}

/* Labels with single dots between; no dot at the ends. */
static bool is_domain(struct span text)
{
	size_t label = 0;

	if (text.len == 0 || text.len > DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] != '.') {
			if (!is_domain_char(text.at[i]) || ++label > LABEL_MAX)
				return false;
		} else if (label == 0) {
			return false;
		} else {
			label = 0;
		}
	}
	return label > 0;
}

/* [192.0.2.1], [IPv6:2001:db8::1] */
static bool is_literal(struct span text)
{
	struct span inner;
	struct ip ip;

	if (text.len < 2 || text.at[0] != '[' || text.at[text.len - 1] != ']')
		return false;
	inner = span_make(text.at + 1, text.len - 2);
	if (span_starts_nocase(inner, SPAN("IPv6:")))
		inner = span_from(inner, 5);
	return ip_parse(inner, &ip);
}

static struct span without_front(struct span text, char c)
{
	return text.len && text.at[0] == c ? span_from(text, 1) : text;
}

/* Index of the @ between the local part and the domain, or the length. */
static size_t find_at(struct span text)
{
	const char *at = text.len ? memrchr(text.at, '@', text.len) : NULL;

	return at ? (size_t)(at - text.at) : text.len;
}

/* A dot-string, or anything in quotes. */
static bool is_local(struct span text)
{
	bool quoted = text.len >= 2 && text.at[0] == '"' && text.at[text.len - 1] == '"';

	for (size_t i = 0; i < text.len; i++)
		if (!quoted && memchr(" \t\"<>()[],:;@\\", text.at[i], 14))
			return false;
	return text.len > 0;
}

static bool check_domain(struct span item, struct err *err)
{
	struct ip ip;

	if (is_domain(without_front(list_item_key(LIST_DOMAIN, item), '.')))
		return true;
	if (span_find_char(item, '@') < item.len)
		return err_set(
			err, "`%.*s` is a mail address, this is a list of domains", SHOWN(item));
	if (ip_parse(item, &ip))
		return err_set(err, "`%.*s` is an address, this is a list of domains", SHOWN(item));
	return err_set(err, "`%.*s` is no domain", SHOWN(item));
}

static bool check_mail(struct span item, struct err *err)
{
	struct span key = list_item_key(LIST_MAIL, item), domain;
	size_t at = find_at(key);

	if (span_equal(key, SPAN("<>")) || span_equal_nocase(key, SPAN("postmaster")))
		return true;
	if (at == key.len) {
		domain = list_item_key(LIST_DOMAIN, key);
		if (is_domain(without_front(domain, '.')))
			return err_set(err,
				"`%.*s` is no mail address; `@%.*s` stands for all of that domain",
				SHOWN(item), SHOWN(domain));
		return err_set(err, "`%.*s` is no mail address", SHOWN(item));
	}
	domain = span_from(key, at + 1);
	if (is_literal(domain) || is_domain(at == 0 ? without_front(domain, '.') : domain)) {
		if (at == 0 || is_local(span_first(key, at)))
			return true;
	} else if (at == 0 && span_starts(domain, SPAN("*."))) {
		return err_set(err, "`%.*s`: all subdomains are written `@%.*s`", SHOWN(item),
			SHOWN(span_from(domain, 1)));
	}
	return err_set(err, "`%.*s` is no mail address", SHOWN(item));
}

static bool check_hash(struct span item, struct err *err)
{
	for (size_t i = 0; i < item.len; i++) {
		char c = ascii_lower(item.at[i]);

		if (!ascii_is_digit(c) && !(c >= 'a' && c <= 'f'))
			return err_set(err, "`%.*s` is no hash: those are hex digits", SHOWN(item));
	}
	if (item.len != 32 && item.len != 40 && item.len != 64)
		return err_set(err,
			"`%.*s` has %zu digits; MD5 has 32, SHA-1 has 40, SHA-256 has 64",
			SHOWN(item), item.len);
	return true;
}

bool list_item_check(enum list_type type, struct span item, struct err *err)
{
	if (item.len == 0)
		return err_set(err, "an item is empty");
	if (item.len > LIST_ITEM_MAX)
		return err_set(err, "an item has %zu bytes, at most %d are allowed", item.len,
			LIST_ITEM_MAX);
	if (!is_printable(item))
		return err_set(
			err, "an item holds a control character, or bytes that are no UTF-8");
	switch (type) {
	case LIST_CIDR:
	case LIST_IP:
	case LIST_TEXT:
		return true;
	case LIST_DOMAIN:
		return check_domain(item, err);
	case LIST_MAIL:
		return check_mail(item, err);
	case LIST_HASH:
		return check_hash(item, err);
	}
	return false;
}

bool list_item_network(
	enum list_type type, struct span item, struct cidr *network, bool *mended, struct err *err)
{
	char text[IP_TEXT_SIZE];
	bool host_bits;

	*mended = false;
	if (!cidr_parse(item, network, &host_bits)) {
		struct ip ip;

		if (type == LIST_IP)
			return err_set(err, "`%.*s` is no address", SHOWN(item));
		if (ip_parse(span_first(item, span_find_char(item, '/')), &ip))
			return err_set(err, "`%.*s` has no prefix length of 0 to %d", SHOWN(item),
				ip.family == IP_V4 ? 32 : 128);
		return err_set(err, "`%.*s` is no address or network", SHOWN(item));
	}
	if (type == LIST_IP && network->prefix_bits != (network->ip.family == IP_V4 ? 32 : 128))
		return err_set(err, "`%.*s` is a network; a list of networks is of type cidr",
			SHOWN(item));
	if (host_bits) {
		*mended = true;
		err_set(err, "`%.*s` has bits set behind its prefix, it is read as `%s/%u`",
			SHOWN(item), ip_format(&network->ip, text), network->prefix_bits);
	}
	return true;
}

struct span list_item_key(enum list_type type, struct span item)
{
	switch (type) {
	case LIST_DOMAIN:
		if (span_starts(item, SPAN("*.")))
			item = span_from(item, 1);
		if (item.len > 1 && item.at[item.len - 1] == '.')
			item.len--;
		return item;
	case LIST_MAIL:
		if (item.len > 2 && item.at[0] == '<' && item.at[item.len - 1] == '>')
			item = span_make(item.at + 1, item.len - 2);
		if (span_starts(item, SPAN("*@")))
			item = span_from(item, 1);
		return item;
	case LIST_CIDR:
	case LIST_IP:
	case LIST_TEXT:
	case LIST_HASH:
		break;
	}
	return item;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

size_t list_item_length(enum list_type type, struct span line)
{
	bool quoted = false;

	for (size_t i = 0; i < line.len; i++) {
		char c = line.at[i];

		if (type == LIST_MAIL && c == '"')
			quoted = !quoted;
		else if (quoted && c == '\\')
			i++;
		else if (quoted)
			continue;
		else if (c == ';' || (is_blank(c) && type != LIST_TEXT))
			return i;
		else if (c == '#' && type == LIST_TEXT && i > 0 && is_blank(line.at[i - 1]))
			return i;
		else if (c == '#' && type != LIST_TEXT && type != LIST_MAIL)
			return i;
	}
	return line.len;
}

unsigned list_item_labels(struct span domain)
{
	unsigned labels = 1;

	domain = without_front(domain, '.');
	for (size_t i = 0; i < domain.len; i++)
		labels += domain.at[i] == '.';
	return labels;
}

/*
 * XCLIENT (Postfix's XCLIENT_README): a trusted proxy says whose session this really is. Values
 * are judged as strictly as if the client itself had sent them, for they end in logs, in Received
 * and in what the backend is told.
 */
#include "lib/mail/command.h"

enum { VALUE_MAX = 255 };
_Static_assert(sizeof(((struct xclient_command *)0)->decoded) >= 3 * VALUE_MAX,
	"NAME, HELO and LOGIN fit");

/* Where decoded text goes. */
struct decoder {
	char *at;
};

static bool decode(struct span value, struct decoder *d, struct span *out)
{
	char text[3 * VALUE_MAX];
	size_t len;

	if (value.len > sizeof(text) || !xtext_decode(value, text, &len) || len > VALUE_MAX)
		return false;
	memcpy(d->at, text, len);
	*out = span_make(d->at, len);
	d->at += len;
	return true;
}

/* "[UNAVAILABLE]" and "[TEMPUNAVAIL]" stand for no value. */
static bool is_unavailable(struct span value)
{
	return span_equal_nocase(value, SPAN("[UNAVAILABLE]")) ||
	       span_equal_nocase(value, SPAN("[TEMPUNAVAIL]"));
}

static bool parse_ip(struct span text, struct ip *out)
{
	const struct span tag = SPAN("IPV6:");
	bool tagged = span_starts_nocase(text, tag);

	if (tagged)
		text = span_from(text, tag.len);
	if (tagged && span_find_char(text, ':') == text.len)
		return false;
	return ip_parse(text, out);
}

static bool parse_port(struct span text, uint16_t *out)
{
	uint64_t number;

	if (!span_number(text, 65535, &number))
		return false;
	*out = (uint16_t)number;
	return true;
}

static bool set_name(struct span text, struct xclient_command *out)
{
	out->name = text;
	return domain_valid(text, true);
}

static bool set_addr(struct span text, struct xclient_command *out)
{
	return parse_ip(text, &out->addr);
}

static bool set_port(struct span text, struct xclient_command *out)
{
	return parse_port(text, &out->port);
}

static bool set_proto(struct span text, struct xclient_command *out)
{
	out->esmtp = span_equal_nocase(text, SPAN("ESMTP"));
	return out->esmtp || span_equal_nocase(text, SPAN("SMTP"));
}

static bool set_helo(struct span text, struct xclient_command *out)
{
	out->helo = text;
	return text.len > 0 && text_printable(text);
}

static bool set_login(struct span text, struct xclient_command *out)
{
	out->login = text;
	return text.len > 0 && text_printable(text);
}

static bool set_destaddr(struct span text, struct xclient_command *out)
{
	return parse_ip(text, &out->destaddr);
}

static bool set_destport(struct span text, struct xclient_command *out)
{
	return parse_port(text, &out->destport);
}

static const struct attribute {
	const char *name;
	size_t given; /* offset of its has_... */
	bool (*set)(struct span text, struct xclient_command *out);
} attributes[] = {
#define GIVEN(field) offsetof(struct xclient_command, has_##field)
	{"NAME", GIVEN(name), set_name},
	{"ADDR", GIVEN(addr), set_addr},
	{"PORT", GIVEN(port), set_port},
	{"PROTO", GIVEN(proto), set_proto},
	{"HELO", GIVEN(helo), set_helo},
	{"LOGIN", GIVEN(login), set_login},
	{"DESTADDR", GIVEN(destaddr), set_destaddr},
	{"DESTPORT", GIVEN(destport), set_destport},
#undef GIVEN
};

/* One NAME=value; NULL, or what is wrong with it. */
static const char *attribute_set(struct span word, struct decoder *d, struct xclient_command *out)
{
	size_t equals = span_find_char(word, '=');
	struct span name = span_first(word, equals), value = span_from(word, equals + 1), text;

	if (equals == word.len || value.len == 0)
		return "Syntax: XCLIENT attribute=value ...";
	for (size_t i = 0; i < COUNT_OF(attributes); i++) {
		const struct attribute *known = &attributes[i];
		bool *given = (bool *)(void *)((char *)out + known->given);

		if (!span_equal_nocase(name, span_text(known->name)))
			continue;
		if (*given)
			return "XCLIENT attribute given twice";
		*given = true;
		if (is_unavailable(value))
			return NULL;
		return decode(value, d, &text) && known->set(text, out)
			       ? NULL
			       : "Bad value of an XCLIENT attribute";
	}
	return "XCLIENT attribute not recognized";
}

bool xclient_command_parse(struct span argument, struct xclient_command *out, struct reply *why)
{
	struct decoder d = {out->decoded};
	const char *mistake = NULL;

	*out = (struct xclient_command){.has_name = false};
	if (argument.len == 0)
		mistake = "Syntax: XCLIENT attribute=value ...";
	while (!mistake && argument.len)
		mistake = attribute_set(span_word(&argument), &d, out);
	if (!mistake)
		return true;
	*why = (struct reply){501, "5.5.4", span_text(mistake)};
	return false;
}

/*
 * Tables for the verbs and for the parameters of MAIL and RCPT; the code walks them. A parameter
 * that no table knows, or that stands twice, is refused rather than passed over: what we tell the
 * backend has to be what the client asked for.
 */
#include "lib/mail/command.h"

#include <stdio.h>

enum {
	ENVID_MAX = 100, /* RFC 3461 4.4, decoded */
	ORCPT_MAX = 500  /* 4.2, decoded */
};

static const struct {
	const char *name;
	enum verb verb;
} verbs[] = {
#define X(name) {#name, VERB_##name},
	COMMAND_VERBS(X)
#undef X
	/* A web client that was tricked into talking to us (cross-protocol requests). */
	{"GET", VERB_FOREIGN},
	{"POST", VERB_FOREIGN},
	{"PUT", VERB_FOREIGN},
	{"HEAD", VERB_FOREIGN},
	{"OPTIONS", VERB_FOREIGN},
	{"CONNECT", VERB_FOREIGN},
	{"PRI", VERB_FOREIGN},
	{"TRACE", VERB_FOREIGN},
	{"DELETE", VERB_FOREIGN},
	{"PATCH", VERB_FOREIGN},
	{"PROPFIND", VERB_FOREIGN},
	/* A PROXY header from a peer that is not listed to send one. */
	{"PROXY", VERB_FOREIGN},
};

const char *verb_name(enum verb verb)
{
	if (verb == VERB_FOREIGN)
		return "HTTP";
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (verbs[i].verb == verb)
			return verbs[i].name;
	return "unknown";
}

struct command command_parse(struct span line)
{
	struct command command = {VERB_UNKNOWN, span_first(line, 0)};
	struct span word;

	/* A blank in front is no verb, and span_word would skip it. */
	if (line.len == 0 || line.at[0] == ' ' || line.at[0] == '\t')
		return command;
	word = span_word(&line);
	command.argument = span_trim(line);
	for (size_t i = 0; i < COUNT_OF(verbs); i++) {
		if (span_equal_nocase(word, span_text(verbs[i].name))) {
			command.verb = verbs[i].verb;
			break;
		}
	}
	return command;
}

bool command_line_clean(struct span line)
{
	for (size_t i = 0; i < line.len; i++) {
		unsigned char c = (unsigned char)line.at[i];

		if ((c < 32 && c != '\t') || c == 127)
			return false;
	}
	return true;
}

static bool refuse(struct reply *why, uint16_t code, const char *enhanced, const char *text)
{
	*why = (struct reply){.code = code, .text = span_text(text)};
	snprintf(why->enhanced, sizeof(why->enhanced), "%s", enhanced);
	return false;
}

/* --- values of parameters --- */

static bool is_one_of(struct span value, struct span a, struct span b)
{
	return span_equal_nocase(value, a) || span_equal_nocase(value, b);
}

/* xtext that stands for printable ASCII, so that no line end hides in what is passed on. With
 * utf8, 8-bit bytes may stand as they are (RFC 6533 3, utf-8-addr-unitext). */
static bool xtext_harmless(struct span value, size_t max, bool utf8)
{
	size_t characters = 0;

	while (value.len) {
		size_t take = value.at[0] == '+' ? 3 : 1, len;
		char decoded[3];

		if (!(utf8 && (unsigned char)value.at[0] > 127) &&
			(!xtext_decode(span_first(value, take), decoded, &len) || decoded[0] < 32 ||
				decoded[0] == 127))
			return false;
		value = span_from(value, take);
		characters++;
	}
	return characters > 0 && characters <= max;
}

static bool mail_size(struct span value, struct mail_command *out)
{
	/* RFC 1870 4: up to 20 digits; what no number here holds is past any limit. */
	if (value.len == 0 || value.len > 20)
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (!ascii_is_digit(value.at[i]))
			return false;
	if (!span_number(value, UINT64_MAX, &out->size))
		out->size = UINT64_MAX;
	return true;
}

static bool mail_body(struct span value, struct mail_command *out)
{
	if (!is_one_of(value, SPAN("7BIT"), SPAN("8BITMIME")))
		return false;
	out->body = value.at[0] == '7' ? MAIL_BODY_7BIT : MAIL_BODY_8BITMIME;
	return true;
}

static bool mail_smtputf8(struct span value, struct mail_command *out)
{
	(void)value;
	out->smtputf8 = true;
	return true;
}

static bool mail_ret(struct span value, struct mail_command *out)
{
	if (!is_one_of(value, SPAN("FULL"), SPAN("HDRS")))
		return false;
	out->ret = ascii_lower(value.at[0]) == 'f' ? DSN_RET_FULL : DSN_RET_HDRS;
	return true;
}

static bool mail_envid(struct span value, struct mail_command *out)
{
	out->envid = value;
	return xtext_harmless(value, ENVID_MAX, false);
}

/* RFC 3461 4.1: NEVER, or each of the others once at most. */
static bool rcpt_notify(struct span value, bool smtputf8, struct rcpt_command *out)
{
	static const char *const events[] = {"SUCCESS", "FAILURE", "DELAY"};
	unsigned seen = 0;
	struct span rest = value;

	(void)smtputf8;
	out->notify = value;
	if (span_equal_nocase(value, SPAN("NEVER")))
		return true;
	for (;;) {
		size_t comma = span_find_char(rest, ','), i = 0;
		struct span word = span_first(rest, comma);

		while (i < COUNT_OF(events) && !span_equal_nocase(word, span_text(events[i])))
			i++;
		if (i == COUNT_OF(events) || (seen & 1u << i))
			return false;
		seen |= 1u << i;
		if (comma == rest.len)
			return true;
		rest = span_from(rest, comma + 1);
	}
}

/* RFC 3461 4.2: addr-type ";" xtext, where the type is an atom. */
static bool rcpt_orcpt(struct span value, bool smtputf8, struct rcpt_command *out)
{
	size_t semicolon = span_find_char(value, ';');
	struct span type = span_first(value, semicolon);
	bool utf8;

	out->orcpt = value;
	if (semicolon == 0 || semicolon == value.len || semicolon > 32)
		return false;
	for (size_t i = 0; i < type.len; i++)
		if (!ascii_is_alpha(type.at[i]) && !ascii_is_digit(type.at[i]) && type.at[i] != '-')
			return false;
	utf8 = smtputf8 && span_equal_nocase(type, SPAN("utf-8"));
	if (utf8 && (!utf8_valid(value) || !text_printable(value)))
		return false;
	return xtext_harmless(span_from(value, semicolon + 1), ORCPT_MAX, utf8);
}

static bool mail_prdr(struct span value, struct mail_command *out)
{
	(void)value;
	out->prdr = true;
	return true;
}

struct mail_parameter {
	const char *name;
	bool has_value;
	bool (*set)(struct span value, struct mail_command *out);
	const char *mistake; /* the text of 501 5.5.4 */
};

static const struct mail_parameter mail_parameters[] = {
	{"SIZE", true, mail_size, "Syntax: SIZE=bytes"},
	{"BODY", true, mail_body, "Syntax: BODY=7BIT or BODY=8BITMIME"},
	{"SMTPUTF8", false, mail_smtputf8, "SMTPUTF8 takes no value"},
	{"PRDR", false, mail_prdr, "PRDR takes no value"},
	{"RET", true, mail_ret, "Syntax: RET=FULL or RET=HDRS"},
	{"ENVID", true, mail_envid, "Syntax: ENVID=xtext, up to 100 characters"},
};

struct rcpt_parameter {
	const char *name;
	bool (*set)(struct span value, bool smtputf8, struct rcpt_command *out);
	const char *mistake; /* the text of 501 5.5.4 */
};

static const struct rcpt_parameter rcpt_parameters[] = {
	{"NOTIFY", rcpt_notify, "Syntax: NOTIFY=NEVER or a list of SUCCESS, FAILURE, DELAY"},
	{"ORCPT", rcpt_orcpt, "Syntax: ORCPT=type;address in xtext"},
};

/* --- MAIL and RCPT --- */

/* One "keyword[=value]" (RFC 5321 4.1.2 esmtp-param). */
struct parameter {
	struct span name, value;
	bool has_value;
};

/* Takes the next one off the front; false: none is left. */
static bool next_parameter(struct span *rest, struct parameter *out)
{
	struct span word = span_word(rest);
	size_t equals = span_find_char(word, '=');

	out->name = span_first(word, equals);
	out->has_value = equals < word.len;
	out->value = span_from(word, equals + 1);
	return word.len > 0;
}

static bool refuse_unknown(struct reply *why)
{
	return refuse(why, 555, "5.5.4", "Parameter not recognized");
}

static bool refuse_parameter(struct reply *why, const char *text)
{
	return refuse(why, 501, "5.5.4", text);
}

static bool mail_parameter_set(
	struct parameter given, unsigned *seen, struct mail_command *out, struct reply *why)
{
	for (size_t i = 0; i < COUNT_OF(mail_parameters); i++) {
		const struct mail_parameter *known = &mail_parameters[i];

		if (!span_equal_nocase(given.name, span_text(known->name)))
			continue;
		if (*seen & 1u << i)
			return refuse_parameter(why, "Parameter given twice");
		*seen |= 1u << i;
		if (given.has_value != known->has_value || !known->set(given.value, out))
			return refuse_parameter(why, known->mistake);
		return true;
	}
	return refuse_unknown(why);
}

static bool rcpt_parameter_set(struct parameter given, bool smtputf8, unsigned *seen,
	struct rcpt_command *out, struct reply *why)
{
	for (size_t i = 0; i < COUNT_OF(rcpt_parameters); i++) {
		const struct rcpt_parameter *known = &rcpt_parameters[i];

		if (!span_equal_nocase(given.name, span_text(known->name)))
			continue;
		if (*seen & 1u << i)
			return refuse_parameter(why, "Parameter given twice");
		*seen |= 1u << i;
		if (!given.has_value || !known->set(given.value, smtputf8, out))
			return refuse_parameter(why, known->mistake);
		return true;
	}
	return refuse_unknown(why);
}

/* What MAIL and RCPT say differently about the same mistakes. */
struct path_texts {
	struct span keyword;
	const char *syntax;   /* 501 5.5.4 */
	const char *enhanced; /* of those below, with 501 */
	const char *no_brackets, *bad, *too_long, *bad_utf8;
	const char *needs_utf8; /* 553 5.6.7 */
};

static const struct path_texts mail_texts = {
	.keyword = SPAN("FROM:"),
	.syntax = "Syntax: MAIL FROM:<address> parameters",
	.enhanced = "5.1.7",
	.no_brackets = "Address needs angle brackets: MAIL FROM:<address>",
	.bad = "Bad sender address syntax",
	.too_long = "Sender address too long",
	.bad_utf8 = "Sender address is not valid UTF-8",
	.needs_utf8 = "Sender address needs SMTPUTF8",
};

static const struct path_texts rcpt_texts = {
	.keyword = SPAN("TO:"),
	.syntax = "Syntax: RCPT TO:<address> parameters",
	.enhanced = "5.1.3",
	.no_brackets = "Address needs angle brackets: RCPT TO:<address>",
	.bad = "Bad recipient address syntax",
	.too_long = "Recipient address too long",
	.bad_utf8 = "Recipient address is not valid UTF-8",
	.needs_utf8 = "Recipient address needs SMTPUTF8",
};

/* "FROM:<...>" or "TO:<...>" off the front; the parameters stay in *argument. */
static bool path_parse(struct span *argument, const struct path_texts *texts, bool null_allowed,
	struct address *out, struct reply *why)
{
	struct span rest = *argument;

	if (!span_starts_nocase(rest, texts->keyword))
		return refuse(why, 501, "5.5.4", texts->syntax);
	/* RFC 5321 3.3 has no blank here, but many clients do. */
	rest = span_trim(span_from(rest, texts->keyword.len));
	if (rest.len == 0)
		return refuse(why, 501, "5.5.4", texts->syntax);
	if (rest.at[0] != '<')
		return refuse(why, 501, texts->enhanced, texts->no_brackets);
	switch (address_parse_path(&rest, null_allowed, true, out)) {
	case ADDRESS_OK:
		break;
	case ADDRESS_SYNTAX:
		return refuse(why, 501, texts->enhanced, texts->bad);
	case ADDRESS_TOO_LONG:
		return refuse(why, 501, texts->enhanced, texts->too_long);
	case ADDRESS_NEEDS_UTF8:
	case ADDRESS_BAD_UTF8:
		return refuse(why, 501, texts->enhanced, texts->bad_utf8);
	}
	if (rest.len && rest.at[0] != ' ' && rest.at[0] != '\t')
		return refuse(why, 501, "5.5.4", texts->syntax);
	*argument = span_trim(rest);
	return true;
}

bool mail_command_parse(struct span argument, struct mail_command *out, struct reply *why)
{
	struct parameter parameter;
	unsigned seen = 0;

	*out = (struct mail_command){.size = 0};
	if (!path_parse(&argument, &mail_texts, true, &out->from, why))
		return false;
	while (next_parameter(&argument, &parameter))
		if (!mail_parameter_set(parameter, &seen, out, why))
			return false;
	/* Only now, since SMTPUTF8 stands behind the address that needs it (RFC 6531 3.4). */
	if (out->from.utf8 && !out->smtputf8)
		return refuse(why, 553, "5.6.7", mail_texts.needs_utf8);
	return true;
}

bool rcpt_command_parse(
	struct span argument, bool smtputf8, struct rcpt_command *out, struct reply *why)
{
	struct parameter parameter;
	unsigned seen = 0;

	*out = (struct rcpt_command){.notify = SPAN_NONE};
	if (!path_parse(&argument, &rcpt_texts, false, &out->to, why))
		return false;
	if (out->to.utf8 && !smtputf8)
		return refuse(why, 553, "5.6.7", rcpt_texts.needs_utf8);
	while (next_parameter(&argument, &parameter))
		if (!rcpt_parameter_set(parameter, smtputf8, &seen, out, why))
			return false;
	return true;
}

bool bdat_command_parse(struct span argument, uint64_t *size, bool *last, struct reply *why)
{
	struct span number = span_word(&argument);

	*last = argument.len > 0;
	if (!span_number(number, (uint64_t)1 << 62, size) ||
		(*last && !span_equal_nocase(argument, SPAN("LAST"))))
		return refuse(why, 501, "5.5.4", "Syntax: BDAT bytes [LAST]");
	return true;
}

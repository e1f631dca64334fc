#include "filters/spf_text.h"

#include "lib/mail/authres_write.h"

enum { RECEIVED_MAX = 4096 };

static bool is_error(enum spf_code code)
{
	return code == SPF_IS_TEMPERROR || code == SPF_IS_PERMERROR;
}

/* Which client, and which term decided. */
static struct span evidence(const struct spf_check *check, struct arena *arena)
{
	char ip[IP_TEXT_SIZE];

	if (check->result.code == SPF_IS_NONE || is_error(check->result.code))
		return SPAN_NONE;
	ip_format(&check->client, ip);
	if (!check->result.mechanism.len)
		return span_text(arena_string(arena, span_text(ip)));
	return span_text(arena_print(
		arena, "%s by %.*s", ip, SPAN_ARGS(span_first(check->result.mechanism, 100))));
}

static bool add_identity(const struct spf_check *check, struct buffer *out)
{
	if (check->of_helo)
		return authres_last_property(
			out, "smtp", "helo", check->domain.len ? check->domain : check->helo);
	return authres_last_property(out, "smtp", "mailfrom", check->domain);
}

struct span spf_authres(const struct spf_check *check, struct arena *arena)
{
	struct buffer out = BUFFER_INIT(AUTHRES_MAX);
	struct span text = SPAN_NONE;

	if (authres_add(&out, "spf", spf_code_name(check->result.code), check->result.problem) &&
		authres_comment(&out, evidence(check, arena)) && add_identity(check, &out))
		text = arena_span(arena, buffer_span(&out));
	buffer_free(&out);
	return text;
}

/* --- Received-SPF --- */

static const char *meaning(enum spf_code code)
{
	switch (code) {
	case SPF_IS_NONE:
		return "no SPF record of";
	case SPF_IS_NEUTRAL:
		return "nothing is said about the client by";
	case SPF_IS_PASS:
		return "the client may send for";
	case SPF_IS_FAIL:
		return "the client may not send for";
	case SPF_IS_SOFTFAIL:
		return "the client should not send for";
	case SPF_IS_TEMPERROR:
	case SPF_IS_PERMERROR:
		break;
	}
	return "error in the SPF record of";
}

/* Words with dots between (dot-atom, RFC 5322 3.2.3) need no quotes. */
static bool is_plain(struct span value)
{
	bool word = false;

	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];

		if (c == '.' && !word)
			return false;
		word = c != '.';
		if (word && !ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-' && c != '_')
			return false;
	}
	return word;
}

static bool add_pair(struct buffer *out, const char *key, struct span value)
{
	if (!value.len)
		return true;
	return buffer_print(out, " %s=", key) &&
	       (is_plain(value) ? buffer_add(out, value) : authres_quote(out, value)) &&
	       buffer_add_char(out, ';');
}

static bool add_pairs(const struct spf_check *check, struct buffer *out)
{
	char ip[IP_TEXT_SIZE];

	ip_format(&check->client, ip);
	return add_pair(out, "receiver", check->receiver) &&
	       add_pair(out, "client-ip", span_text(ip)) &&
	       add_pair(out, "envelope-from", check->mailbox) &&
	       add_pair(out, "helo", check->helo) &&
	       add_pair(out, "identity", check->of_helo ? SPAN("helo") : SPAN("mailfrom")) &&
	       add_pair(out, "mechanism", check->result.mechanism) &&
	       add_pair(out, "problem", check->result.problem);
}

struct span spf_received(const struct spf_check *check, struct arena *arena)
{
	struct buffer out = BUFFER_INIT(RECEIVED_MAX);
	struct span text = SPAN_NONE;
	struct span about = check->domain.len ? check->domain : check->helo;
	const char *comment = arena_print(arena, "%.*s: %s %.*s", SPAN_ARGS(check->receiver),
		meaning(check->result.code), SPAN_ARGS(about));

	if (buffer_print(&out, "Received-SPF: %s", spf_code_name(check->result.code)) &&
		authres_comment(&out, span_text(comment)) && add_pairs(check, &out))
		text = arena_span(arena, buffer_span(&out));
	buffer_free(&out);
	return text;
}

/*
 * Two levels: a field is cut at each ';' outside of comments and quotes, and each piece is read by
 * itself, so that nothing unreadable hides what stands behind it.
 *
 * Within a piece tokens are taken up to the bytes that end them. Those of MIME (RFC 2045) forbid
 * '/' and '=' in a value, and header.b has both, unquoted, nearly everywhere; so a value goes on to
 * the next blank, comment or ';', with the quoted strings in it.
 */
#include "lib/mail/authres_read.h"

static bool is_gap(char c)
{
	return (unsigned char)c <= ' ' || c == 127;
}

/* Bytes of the comment at the front; an unclosed one takes all. */
static size_t comment_length(struct span s)
{
	size_t depth = 0, i = 0;

	while (i < s.len) {
		char c = s.at[i++];

		if (c == '\\' && i < s.len)
			i++;
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0)
			break;
	}
	return i;
}

/* Bytes of the quoted string at the front; an unclosed one takes all. */
static size_t quoted_length(struct span s)
{
	size_t i = 1;

	while (i < s.len && s.at[i] != '"')
		i += s.at[i] == '\\' && i + 1 < s.len ? 2 : 1;
	return i < s.len ? i + 1 : s.len;
}

/* CFWS */
static struct span skip_gaps(struct span s)
{
	while (s.len && (is_gap(s.at[0]) || s.at[0] == '('))
		s = span_from(s, s.at[0] == '(' ? comment_length(s) : 1);
	return s;
}

/* Takes what stands before the next ';' off *rest. */
static struct span take_piece(struct span *rest)
{
	struct span s = *rest, piece;

	while (s.len && s.at[0] != ';') {
		if (s.at[0] == '(')
			s = span_from(s, comment_length(s));
		else if (s.at[0] == '"')
			s = span_from(s, quoted_length(s));
		else
			s = span_from(s, 1);
	}
	piece = span_first(*rest, rest->len - s.len);
	*rest = span_from(s, 1);
	return piece;
}

/* Takes a word without any of the bytes in `ends` off *s, and the gap behind it. */
static struct span take_word(struct span *s, const char *ends)
{
	size_t len = 0;
	struct span word;

	while (len < s->len && !is_gap(s->at[len]) && !strchr(ends, s->at[len]))
		len++;
	word = span_first(*s, len);
	*s = skip_gaps(span_from(*s, len));
	return word;
}

/* value, or a local part in quotes with "@domain" behind it. */
static struct span take_value(struct span *s)
{
	size_t len = 0;
	struct span value;

	while (len < s->len && !is_gap(s->at[len]) && s->at[len] != '(')
		len += s->at[len] == '"' ? quoted_length(span_from(*s, len)) : 1;
	value = span_first(*s, len);
	*s = skip_gaps(span_from(*s, len));
	return value;
}

static bool take_char(struct span *s, char c)
{
	if (s->len == 0 || s->at[0] != c)
		return false;
	*s = skip_gaps(span_from(*s, 1));
	return true;
}

/* methodspec: Keyword [/ version] = Keyword */
static bool read_method(struct span *s, struct authres_info *out)
{
	out->method = take_word(s, "=/.();\"");
	out->version = SPAN_NONE;
	if (take_char(s, '/'))
		out->version = take_word(s, "=();\"");
	if (out->method.len == 0 || !take_char(s, '='))
		return false;
	out->result = take_word(s, "=();\"");
	return out->result.len > 0;
}

/* propspec or reasonspec; the word alone where it is neither. */
static void read_property(struct span *s, struct authres_info *out)
{
	struct authres_property property = {.type = SPAN_NONE};

	property.name = take_word(s, "=.(\"");
	if (take_char(s, '.')) {
		property.type = property.name;
		property.name = take_word(s, "=(\"");
	}
	if (!take_char(s, '=')) {
		if (property.name.len == 0 && property.type.len == 0)
			take_value(s); /* no word: something that begins with a quote */
		return;
	}
	property.value = take_value(s);
	if (property.type.len == 0 && span_equal_nocase(property.name, SPAN("reason")))
		out->reason = property.value;
	else if (out->n < AUTHRES_PROPERTIES_MAX)
		out->properties[out->n++] = property;
}

static bool read_info(struct span piece, struct authres_info *out)
{
	struct span s = skip_gaps(piece);

	out->reason = SPAN_NONE;
	out->n = 0;
	if (!read_method(&s, out))
		return false;
	while (s.len)
		read_property(&s, out);
	return true;
}

void authres_begin(struct span *body, struct span *id, struct span *version)
{
	struct span rest = *body, piece = take_piece(&rest), words = skip_gaps(piece);
	struct authres_info info;

	*id = *version = SPAN_NONE;
	if (read_info(piece, &info))
		return;
	*id = take_value(&words);
	*version = take_value(&words);
	*body = rest;
}

bool authres_next(struct span *rest, struct authres_info *out)
{
	while (rest->len)
		if (read_info(take_piece(rest), out))
			return true;
	return false;
}

struct span authres_info_find(const struct authres_info *info, struct span type, struct span name)
{
	for (size_t i = 0; i < info->n; i++)
		if (span_equal_nocase(info->properties[i].type, type) &&
			span_equal_nocase(info->properties[i].name, name))
			return info->properties[i].value;
	return SPAN_NONE;
}

bool authres_unquote(struct span value, struct buffer *out)
{
	bool quoted = false;

	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] == '"') {
			quoted = !quoted;
			continue;
		}
		if (quoted && value.at[i] == '\\' && i + 1 < value.len)
			i++;
		if (!buffer_add_char(out, value.at[i]))
			return false;
	}
	return true;
}

/* Whether a result counts more than the one that was chosen before it. */
static bool is_better(const struct authres_info *info, struct span chosen)
{
	bool passes = span_equal_nocase(info->result, SPAN("pass"));

	if (chosen.len == 0)
		return true;
	if (span_equal_nocase(info->method, SPAN("dkim")))
		return passes && !span_equal_nocase(chosen, SPAN("pass"));
	return !passes && span_equal_nocase(chosen, SPAN("pass"));
}

struct span authres_result(struct span body, struct span method)
{
	struct span chosen = SPAN_NONE, id, version;
	struct authres_info info;
	bool spf = span_equal_nocase(method, SPAN("spf"));

	authres_begin(&body, &id, &version);
	for (size_t n = 0; n < AUTHRES_RESULTS_MAX && authres_next(&body, &info); n++) {
		if (!span_equal_nocase(info.method, method))
			continue;
		if (spf && authres_info_find(&info, SPAN("smtp"), SPAN("mailfrom")).at)
			return info.result;
		if (spf ? chosen.len == 0 : is_better(&info, chosen))
			chosen = info.result;
	}
	return chosen;
}

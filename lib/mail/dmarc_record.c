/*
 * The grammar of RFC 9989 4.8, kindly: only the version must be right. tag_list.h does not serve,
 * since it refuses the whole for one bad tag, and here each stands for itself.
 */
#include "lib/mail/dmarc_record.h"

enum tag { TAG_P, TAG_SP, TAG_NP, TAG_PSD, TAG_T, TAG_ADKIM, TAG_ASPF, TAG_RUA, TAG_RUF, TAG_FO };

static const struct span tag_names[] = {
	[TAG_P] = SPAN("p"),
	[TAG_SP] = SPAN("sp"),
	[TAG_NP] = SPAN("np"),
	[TAG_PSD] = SPAN("psd"),
	[TAG_T] = SPAN("t"),
	[TAG_ADKIM] = SPAN("adkim"),
	[TAG_ASPF] = SPAN("aspf"),
	[TAG_RUA] = SPAN("rua"),
	[TAG_RUF] = SPAN("ruf"),
	[TAG_FO] = SPAN("fo"),
};

enum { TAGS = COUNT_OF(tag_names) };

/* What stands there more than once (RFC 6376 3.2 forbids it) or with odd bytes has no value. */
struct tags {
	bool seen[TAGS];
	struct span values[TAGS];
};

const char *dmarc_policy_name(enum dmarc_policy policy)
{
	static const char *const names[] = {
#define X(name, word) [DMARC_##name] = (word),
		DMARC_POLICIES(X)
#undef X
	};

	return names[policy];
}

/* --- tags --- */

/* Cuts off what stands before the next semicolon. */
static struct span next_piece(struct span *text)
{
	size_t end = span_find_char(*text, ';');
	struct span piece = span_first(*text, end);

	*text = span_from(*text, end + 1);
	return piece;
}

static bool is_version(struct span piece)
{
	size_t equals = span_find_char(piece, '=');
	struct span name = span_first(piece, equals);

	/* Nothing stands before the v, blanks may stand around the sign. */
	return equals < piece.len && name.at[0] != ' ' && name.at[0] != '\t' &&
	       span_equal_nocase(span_trim(name), SPAN("v")) &&
	       span_equal(span_trim(span_from(piece, equals + 1)), SPAN("DMARC1"));
}

static bool is_value(struct span value)
{
	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] < 0x20 || value.at[i] > 0x7e)
			return false;
	return true;
}

static void take_tag(struct tags *tags, struct span piece)
{
	size_t equals = span_find_char(piece, '=');
	struct span name = span_trim(span_first(piece, equals));
	struct span value = span_trim(span_from(piece, equals + 1));

	for (unsigned i = 0; i < TAGS; i++) {
		if (!span_equal_nocase(name, tag_names[i]))
			continue;
		tags->values[i] = !tags->seen[i] && is_value(value) ? value : SPAN_NONE;
		tags->seen[i] = true;
	}
}

/* false: it is there, and no policy. */
static bool read_policy(const struct tags *tags, enum tag tag, enum dmarc_policy *out)
{
	*out = DMARC_ABSENT;
	if (!tags->seen[tag])
		return true;
	for (unsigned policy = DMARC_NONE; policy < DMARC_ABSENT; policy++) {
		const char *word = dmarc_policy_name((enum dmarc_policy)policy);

		if (span_equal_nocase(tags->values[tag], span_text(word)))
			*out = (enum dmarc_policy)policy;
	}
	return *out != DMARC_ABSENT;
}

static bool is_word(const struct tags *tags, enum tag tag, struct span word)
{
	return span_equal_nocase(tags->values[tag], word);
}

static bool has_uri(struct span list)
{
	struct dmarc_uri uri;

	return dmarc_uri_next(&list, &uri);
}

/* RFC 9989 4.10.1: a p that is missing or wrong, or another policy that is wrong, makes p=none of
 * the record if somebody wants reports, and else takes DMARC away. */
static void read_policies(const struct tags *tags, struct dmarc_record *out)
{
	bool sp = read_policy(tags, TAG_SP, &out->sp), np = read_policy(tags, TAG_NP, &out->np);
	bool p = read_policy(tags, TAG_P, &out->p) && out->p != DMARC_ABSENT;

	out->applies = true;
	if (p && sp && np)
		return;
	out->applies = has_uri(out->rua);
	out->p = out->applies ? DMARC_NONE : DMARC_ABSENT;
	out->sp = out->np = DMARC_ABSENT;
}

bool dmarc_record_read(struct span text, struct dmarc_record *out)
{
	struct tags tags = {.seen = {false}};
	struct span rest = text;

	if (!is_version(next_piece(&rest)))
		return false;
	while (rest.len)
		take_tag(&tags, next_piece(&rest));
	*out = (struct dmarc_record){.text = text,
		.strict_dkim = is_word(&tags, TAG_ADKIM, SPAN("s")),
		.strict_spf = is_word(&tags, TAG_ASPF, SPAN("s")),
		.testing = is_word(&tags, TAG_T, SPAN("y")),
		.psd = is_word(&tags, TAG_PSD, SPAN("y"))   ? DMARC_PSD_YES
		       : is_word(&tags, TAG_PSD, SPAN("n")) ? DMARC_PSD_NO
							    : DMARC_PSD_UNSAID,
		.rua = tags.values[TAG_RUA],
		.ruf = tags.values[TAG_RUF],
		.fo = tags.values[TAG_FO].len ? tags.values[TAG_FO] : SPAN("0")};
	read_policies(&tags, out);
	return true;
}

enum dmarc_policy dmarc_record_policy(const struct dmarc_record *record, bool below, bool exists)
{
	enum dmarc_policy policy = DMARC_ABSENT;

	if (!record->applies)
		return DMARC_ABSENT;
	if (below && !exists)
		policy = record->np;
	if (below && policy == DMARC_ABSENT)
		policy = record->sp;
	if (policy == DMARC_ABSENT)
		policy = record->p;
	if (record->testing && policy != DMARC_NONE) /* RFC 9989 4.7, t */
		policy--;
	return policy;
}

/* --- addresses --- */

/* RFC 3986 2: what may stand in a URI, without comma and exclamation mark (RFC 9989 4.8). */
static bool is_uri_char(char c)
{
	static const char others[] = "-._~:/?#[]@$&'()*+;=%";

	return ascii_is_alpha(c) || ascii_is_digit(c) || (c && strchr(others, c));
}

static int hex_digit(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_uri(struct span text)
{
	size_t colon = span_find_char(text, ':');

	if (colon == 0 || colon + 1 >= text.len || !ascii_is_alpha(text.at[0]))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (!is_uri_char(text.at[i]))
			return false;
		if (text.at[i] == '%' && (i + 2 >= text.len || hex_digit(text.at[i + 1]) < 0 ||
						 hex_digit(text.at[i + 2]) < 0))
			return false;
	}
	for (size_t i = 0; i < colon; i++) /* RFC 3986 3.1 */
		if (!ascii_is_alpha(text.at[i]) && !ascii_is_digit(text.at[i]) &&
			!strchr("+-.", text.at[i]))
			return false;
	return true;
}

/* "10m" (RFC 7489 6.4); false: no size. */
static bool read_size(struct span text, uint64_t *out)
{
	static const char units[] = "kmgt";
	const char *unit = text.len ? strchr(units, ascii_lower(text.at[text.len - 1])) : NULL;
	unsigned shift = unit && *unit ? 10 * (unsigned)(unit - units + 1) : 0;

	if (shift)
		text.len--;
	if (!span_number(text, UINT64_MAX >> shift, out))
		return false;
	*out <<= shift;
	return true;
}

/* Takes "!10m" off the end. false: an exclamation mark stands there for something else. */
static bool take_size(struct span *text, uint64_t *out)
{
	size_t mark = span_find_char(*text, '!');

	*out = 0;
	if (mark == text->len)
		return true;
	if (!read_size(span_from(*text, mark + 1), out))
		return false;
	*text = span_first(*text, mark);
	return true;
}

/* The mailbox of "mailto:a@b?subject=..." (RFC 6068); its commas and all else may be encoded. */
static bool read_mailbox(struct span written, struct dmarc_uri *out)
{
	struct address address;
	size_t len = 0;

	written = span_first(written, span_find_char(written, '?'));
	for (size_t i = 0; i < written.len; i++) {
		char c = written.at[i];

		if (c == '%') {
			c = (char)(hex_digit(written.at[i + 1]) * 16 +
				   hex_digit(written.at[i + 2]));
			i += 2;
		}
		if (len == sizeof(out->mailbox) - 1 || c == '\0')
			return false;
		out->mailbox[len++] = c;
	}
	out->mailbox[len] = '\0';
	if (address_parse(span_make(out->mailbox, len), true, &address) != ADDRESS_OK)
		return false;
	out->domain = address.domain;
	return !address.literal;
}

static bool read_uri(struct span text, struct dmarc_uri *out)
{
	static const struct span scheme = SPAN("mailto:");

	out->domain = SPAN_NONE;
	out->mailbox[0] = '\0';
	if (!take_size(&text, &out->limit_bytes) || !is_uri(text))
		return false;
	out->text = text;
	out->mailto = span_starts_nocase(text, scheme);
	return !out->mailto || read_mailbox(span_from(text, scheme.len), out);
}

bool dmarc_uri_next(struct span *list, struct dmarc_uri *out)
{
	while (list->len) {
		size_t end = span_find_char(*list, ',');
		struct span text = span_trim(span_first(*list, end));

		*list = span_from(*list, end + 1);
		if (read_uri(text, out))
			return true;
	}
	return false;
}

bool dmarc_report_name(struct span domain, struct span destination, struct buffer *out)
{
	return buffer_print(
		out, "%.*s._report._dmarc.%.*s", SPAN_ARGS(domain), SPAN_ARGS(destination));
}

#include "lib/mail/authres_write.h"

/* Room for any value with every byte escaped, its quotes, and the words around it. */
enum { PIECE_SIZE = 3 * AUTHRES_VALUE_MAX + 128 };

/* Built up whole before it is added. */
struct piece {
	char text[PIECE_SIZE];
	size_t len;
	bool full;
};

static void put(struct piece *piece, char c)
{
	if (piece->len == PIECE_SIZE)
		piece->full = true;
	else
		piece->text[piece->len++] = c;
}

static void put_text(struct piece *piece, const char *text)
{
	for (; *text; text++)
		put(piece, *text);
}

/* A byte of outside text; `special` ones are quoted pairs (RFC 5322 3.2.1). */
static void put_escaped(struct piece *piece, char c, const char *special)
{
	static const char digits[] = "0123456789ABCDEF";
	unsigned char byte = (unsigned char)c;

	if (byte < 32 || byte > 126) {
		put(piece, '%');
		put(piece, digits[byte >> 4]);
		put(piece, digits[byte & 15]);
		return;
	}
	if (strchr(special, c))
		put(piece, '\\');
	put(piece, c);
}

static void put_quoted(struct piece *piece, struct span text)
{
	put(piece, '"');
	for (size_t i = 0; i < text.len; i++)
		put_escaped(piece, text.at[i], "\"\\");
	put(piece, '"');
}

/* Once escaped. */
static void put_plain(struct piece *piece, struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		put_escaped(piece, text.at[i], "");
}

static bool add(struct buffer *out, const struct piece *piece)
{
	return !piece->full && buffer_add(out, span_make(piece->text, piece->len));
}

/* --- what may stand without quotes --- */

/* RFC 2045 5.1: no blank, control or tspecial. 8-bit bytes are tokens once they are %XX. */
static bool is_token_char(char c)
{
	unsigned char byte = (unsigned char)c;

	return byte > 127 || (byte > 32 && byte < 127 && !strchr("()<>@,;:\\\"/[]?=", c));
}

static bool is_token(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_token_char(text.at[i]))
			return false;
	return text.len > 0;
}

/* Dots between words of such characters (RFC 5322 3.2.3). */
static bool is_dotted(struct span text, bool (*is_char)(char c))
{
	bool word = false;

	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '.' && !word)
			return false;
		word = text.at[i] != '.';
		if (word && !is_char(text.at[i]))
			return false;
	}
	return word;
}

static bool is_domain_char(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_';
}

static bool is_atext(char c)
{
	unsigned char byte = (unsigned char)c;

	return byte > 127 || (byte > 32 && byte < 127 && !strchr("()<>@,;:\\\".[]", c));
}

/* The last @ of a text that ends in a domain; text.len: there is none. */
static size_t find_at(struct span text)
{
	for (size_t i = text.len; i-- > 0;)
		if (text.at[i] == '@')
			return is_dotted(span_from(text, i + 1), is_domain_char) ? i : text.len;
	return text.len;
}

/* Without quotes and backslashes, if they are there. */
static void put_local(struct piece *piece, struct span local)
{
	bool quoted = local.len > 2 && local.at[0] == '"' && local.at[local.len - 1] == '"';

	if (local.len == 0 || is_dotted(local, is_atext)) {
		put_plain(piece, local);
		return;
	}
	if (!quoted) {
		put_quoted(piece, local);
		return;
	}
	put(piece, '"');
	for (size_t i = 1; i + 1 < local.len; i++) {
		if (local.at[i] == '\\' && i + 2 < local.len)
			i++;
		put_escaped(piece, local.at[i], "\"\\");
	}
	put(piece, '"');
}

/* false: it can't stand there without quotes. */
static bool put_unquoted(struct piece *piece, struct span value)
{
	size_t at = find_at(value);

	if (is_token(value)) {
		put_plain(piece, value);
		return true;
	}
	if (at == value.len)
		return false;
	put_local(piece, span_first(value, at));
	put_plain(piece, span_from(value, at));
	return true;
}

/* --- resinfo --- */

static struct span cut(struct span text)
{
	return span_first(text, AUTHRES_TEXT_MAX);
}

bool authres_add(struct buffer *out, const char *method, const char *result, struct span reason)
{
	struct piece piece = {.len = 0};

	put_text(&piece, method);
	put(&piece, '=');
	put_text(&piece, result);
	if (reason.len) {
		put_text(&piece, " reason=");
		put_quoted(&piece, cut(reason));
	}
	return add(out, &piece);
}

bool authres_comment(struct buffer *out, struct span text)
{
	struct piece piece = {.len = 0};

	if (!text.len)
		return true;
	text = cut(text);
	put_text(&piece, " (");
	for (size_t i = 0; i < text.len; i++)
		put_escaped(&piece, text.at[i], "()\\");
	put(&piece, ')');
	return add(out, &piece);
}

bool authres_quote(struct buffer *out, struct span text)
{
	struct piece piece = {.len = 0};

	put_quoted(&piece, span_first(text, AUTHRES_VALUE_MAX));
	return add(out, &piece);
}

static bool add_property(struct buffer *out, const char *ptype, const char *property,
	struct span value, bool quotable)
{
	struct piece piece = {.len = 0};

	if (value.len == 0 || value.len > AUTHRES_VALUE_MAX)
		return true;
	put(&piece, ' ');
	put_text(&piece, ptype);
	put(&piece, '.');
	put_text(&piece, property);
	put(&piece, '=');
	if (!put_unquoted(&piece, value)) {
		if (!quotable)
			return true;
		put_quoted(&piece, value);
	}
	return add(out, &piece);
}

bool authres_property(
	struct buffer *out, const char *ptype, const char *property, struct span value)
{
	return add_property(out, ptype, property, value, false);
}

bool authres_last_property(
	struct buffer *out, const char *ptype, const char *property, struct span value)
{
	return add_property(out, ptype, property, value, true);
}

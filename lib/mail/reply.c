/*
 * Writing: one pass over the text, each line built on the stack; whatever the text holds, no
 * control byte but the line ends leaves here, so that no text of anyone's can become a second
 * reply.
 *
 * Parsing: line by line. A line that lies whole in the input is judged where it lies; only one that
 * came in pieces is copied together first, so the judgement cannot depend on the pieces.
 */
#include "lib/mail/reply.h"

#include <stdio.h>

#include "lib/mail/address.h"

enum {
	WRITE_LINE_MAX = 512, /* RFC 5321 4.5.3.1.5, with its CRLF */
	CLEAN_LINE_MAX = 400,
	CLEAN_LINES_MAX = 16
};

static bool is_control(char c)
{
	return (unsigned char)c < 32 || c == 127;
}

/* At most max bytes of text, and no character of UTF-8 cut in two. */
static struct span cut(struct span text, size_t max)
{
	for (size_t back = 0; text.len > max && back < 4 && back <= max; back++)
		if (((unsigned char)text.at[max - back] & 0xc0) != 0x80)
			return span_first(text, max - back);
	return span_first(text, max);
}

/* Takes a line off *text; *last: it was the last. */
static struct span next_line(struct span *text, bool *last)
{
	size_t end = span_find_char(*text, '\n');
	struct span line = span_first(*text, end);

	*last = end == text->len;
	*text = span_from(*text, end + 1);
	return line;
}

static char *put(char *at, struct span bytes)
{
	if (bytes.len)
		memcpy(at, bytes.at, bytes.len);
	return at + bytes.len;
}

/* One line of ours; id only behind the last. */
static bool write_line(
	const struct reply *reply, struct span line, struct span id, bool last, struct buffer *out)
{
	char start[WRITE_LINE_MAX], *at = start;
	size_t tail = 2 + (id.len ? strlen(" (id )") + id.len : 0);

	*at++ = (char)('0' + reply->code / 100 % 10);
	*at++ = (char)('0' + reply->code / 10 % 10);
	*at++ = (char)('0' + reply->code % 10);
	*at++ = last ? ' ' : '-';
	if (reply->enhanced[0]) {
		at = put(at, span_text(reply->enhanced));
		*at++ = ' ';
	}
	line = cut(line, WRITE_LINE_MAX - tail - (size_t)(at - start));
	for (size_t i = 0; i < line.len; i++)
		*at++ = is_control(line.at[i]) ? '?' : line.at[i];
	if (id.len) {
		at = put(at, line.len ? SPAN(" (id ") : SPAN("(id "));
		at = put(at, id);
		*at++ = ')';
	}
	at = put(at, SPAN("\r\n"));
	return buffer_add(out, span_make(start, (size_t)(at - start)));
}

bool reply_write(const struct reply *reply, struct span id, struct buffer *out)
{
	struct span rest = reply->text;
	size_t before = out->len;
	bool last = false;

	id = span_first(id, 64);
	while (!last) {
		struct span line = next_line(&rest, &last);

		if (!write_line(reply, line, last ? id : SPAN_NONE, last, out)) {
			out->len = before;
			return false;
		}
	}
	return true;
}

/* --- a server's replies --- */

void reply_parser_init(struct reply_parser *parser)
{
	*parser = (struct reply_parser){
		.text = BUFFER_INIT(REPLY_TEXT_MAX), .line = BUFFER_INIT(REPLY_LINE_MAX)};
}

void reply_parser_free(struct reply_parser *parser)
{
	buffer_free(&parser->text);
	buffer_free(&parser->line);
	reply_parser_init(parser);
}

/* Three digits and their separator; 0: not a reply line. *more: further lines follow. */
static uint16_t parse_code(struct span *line, bool *more)
{
	const char *at = line->at;

	if (line->len < 3 || at[0] < '2' || at[0] > '5' || !ascii_is_digit(at[1]) ||
		!ascii_is_digit(at[2]))
		return 0;
	*more = line->len > 3 && at[3] == '-';
	if (line->len > 3 && at[3] != ' ' && !*more)
		return 0;
	*line = span_from(*line, 4);
	return (uint16_t)((at[0] - '0') * 100 + (at[1] - '0') * 10 + (at[2] - '0'));
}

/* Bytes of "class.subject.detail" (RFC 3463 2) at the front of line, of this class; 0: none. */
static size_t enhanced_length(struct span line, char class)
{
	size_t at = 2;

	if (line.len < 5 || line.at[0] != class || line.at[1] != '.')
		return 0;
	for (int part = 0; part < 2; part++) {
		size_t start = at;

		while (at < line.len && ascii_is_digit(line.at[at]))
			at++;
		if (at == start || at - start > 3)
			return 0;
		if (part == 0 && (at == line.len || line.at[at++] != '.'))
			return 0;
	}
	return at == line.len || line.at[at] == ' ' ? at : 0;
}

/* Cuts the enhanced code off: the first line's, and again where it is repeated. */
static struct span take_enhanced(struct reply_parser *parser, struct span line)
{
	struct reply *reply = &parser->reply;
	size_t len = enhanced_length(line, (char)('0' + reply->code / 100));

	if (len == 0)
		return line;
	if (parser->lines == 0)
		put(reply->enhanced, span_first(line, len)); /* 9 bytes at most, zeroed before */
	else if (!span_equal(span_first(line, len), span_text(reply->enhanced)))
		return line;
	return span_from(line, len + 1);
}

static enum reply_status parse_line(struct reply_parser *parser, struct span line)
{
	struct reply *reply = &parser->reply;
	uint16_t code;
	bool more;

	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	/* Other controls are for reply_text_clean: a refusal is one, even in colour. */
	for (size_t i = 0; i < line.len; i++)
		if (line.at[i] == '\0' || line.at[i] == '\r')
			return REPLY_BAD;
	code = parse_code(&line, &more);
	if (code == 0 || (parser->lines && code != reply->code))
		return REPLY_BAD;
	reply->code = code;
	line = take_enhanced(parser, line);
	if (parser->lines && !buffer_add_char(&parser->text, '\n'))
		return REPLY_BAD;
	if (!buffer_add(&parser->text, line) || ++parser->lines > REPLY_LINES_MAX)
		return REPLY_BAD;
	if (more)
		return REPLY_MORE;
	reply->text = buffer_span(&parser->text);
	parser->lines = 0;
	return REPLY_DONE;
}

enum reply_status reply_parse(struct reply_parser *parser, struct span *input)
{
	enum reply_status status = REPLY_MORE;

	if (parser->lines == 0) {
		buffer_clear(&parser->text);
		parser->reply = (struct reply){.code = 0};
	}
	while (status == REPLY_MORE && input->len) {
		size_t end = span_find_char(*input, '\n');
		struct span line = span_first(*input, end);

		if (end == input->len || parser->line.len) {
			if (!buffer_add(&parser->line, line))
				return REPLY_BAD;
			if (end == input->len) {
				*input = span_from(*input, end);
				return REPLY_MORE;
			}
			line = buffer_span(&parser->line);
		}
		if (line.len > REPLY_LINE_MAX)
			return REPLY_BAD;
		status = parse_line(parser, line);
		buffer_clear(&parser->line);
		*input = span_from(*input, end + 1);
	}
	return status;
}

/* --- made harmless --- */

/* Bytes of the printable character at the front of text, 0: none that may be shown. */
static size_t shown_length(struct span text, bool utf8)
{
	unsigned char c = (unsigned char)text.at[0];

	if (c < 128)
		return is_control(text.at[0]) ? 0 : 1;
	for (size_t len = 2; utf8 && len <= 4 && len <= text.len; len++)
		if (utf8_valid(span_first(text, len)))
			return text_printable(span_first(text, len)) ? len : 0;
	return 0;
}

static bool clean_line(struct span line, bool utf8, struct buffer *out)
{
	line = cut(line, CLEAN_LINE_MAX);
	while (line.len) {
		size_t len = shown_length(line, utf8);
		struct span shown = len ? span_first(line, len) : SPAN("?");

		if (!buffer_add(out, shown))
			return false;
		line = span_from(line, shown.len);
	}
	return true;
}

bool reply_text_clean(struct span text, bool utf8, struct buffer *out)
{
	size_t before = out->len;
	bool last = false;

	for (int lines = 0; !last && lines < CLEAN_LINES_MAX; lines++) {
		struct span line = next_line(&text, &last);

		if ((lines && !buffer_add_char(out, '\n')) || !clean_line(line, utf8, out)) {
			out->len = before;
			return false;
		}
	}
	return true;
}

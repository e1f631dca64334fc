/*
 * reply: what a server says (RFC 5321 4.2), with its enhanced status code (RFC 3463). Ours are
 * made here; a backend's are parsed here, strictly, and made harmless before they go on.
 */
#ifndef MAIL_REPLY_H
#define MAIL_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/span.h"

/* A reply of ours, or one taken over. Text lines are separated by '\n'. */
struct reply {
	uint16_t code;     /* 200 to 599; 0: none yet */
	char enhanced[12]; /* "5.7.1"; empty: none */
	struct span text;  /* borrowed */
};

/* A literal as reply: REPLY(550, "5.7.1", "Relaying denied"). */
#define REPLY(code_, enhanced_, text_) ((struct reply){(code_), enhanced_, SPAN(text_)})

/* Writes it as one or several lines, `CODE-`/`CODE ENHANCED text` CRLF, each at most 512 bytes (RFC
 * 5321 4.5.3.1.5). An id that is not empty is put behind the last line's text as " (id SID)". A
 * 220, 221 greeting, a 354 and replies to EHLO carry no enhanced code: leave it empty there. Text
 * that is too long is cut, control bytes become '?'. false: out is full, nothing was added. */
bool reply_write(const struct reply *reply, struct span id, struct buffer *out) MUST_CHECK;

/* --- a server's replies, as a client reads them --- */

enum {
	REPLY_LINE_MAX = 2048, /* bytes of one line; RFC 5321 says 512, real servers exceed it */
	REPLY_LINES_MAX = 128,
	REPLY_TEXT_MAX = 8192
};

enum reply_status {
	REPLY_MORE, /* the input ended inside a reply: go on with more bytes */
	REPLY_DONE, /* parser->reply is whole; the input may hold further replies */
	REPLY_BAD   /* not SMTP: code, separator, differing codes, NUL or a bare CR, too long */
};

struct reply_parser {
	struct buffer text; /* owned: the lines' text, joined by '\n' */
	struct buffer line; /* owned: a line that came in pieces */
	unsigned lines;
	struct reply reply; /* after REPLY_DONE; borrowed from `text` until the next reply_parse */
};

void reply_parser_init(struct reply_parser *parser);
void reply_parser_free(struct reply_parser *parser);

/* Takes bytes off *input until a reply is whole. Line ends: CRLF; a bare LF is taken too, a bare CR
 * is not. The enhanced code is cut off the text into reply.enhanced where its class fits the code's
 * first digit. The same for any segmentation of the input. */
enum reply_status reply_parse(struct reply_parser *parser, struct span *input) MUST_CHECK;

/* A copy that can be shown to a client: controls and 8-bit bytes (unless valid UTF-8 and utf8)
 * become '?', lines are cut at 400 bytes and 16 lines; no CR, no LF but the separators. */
bool reply_text_clean(struct span text, bool utf8, struct buffer *out) MUST_CHECK;

#endif

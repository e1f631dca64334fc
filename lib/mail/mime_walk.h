/*
 * mime_walk: private to mime*.c: a walk under way, and what its pieces are to each other.
 *
 *     mime.c             lines and boundaries: which part a byte belongs to
 *     mime_part.c        a part's header fields: what opens behind them
 *     mime_leaf.c        the bytes of a part that holds no others: decoding, text and links
 *     mime_attachment.c  whether a part is an attachment, and what it is called
 */
#ifndef MAIL_MIME_WALK_H
#define MAIL_MIME_WALK_H

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/mail/mime.h"
#include "lib/mail/mime_sealed.h"
#include "lib/mail/url_set.h"

enum {
	BOUNDARY_MAX = 1000, /* RFC 2046 allows 70 */
	LINE_MAX = 2048,     /* a boundary line with its blanks */
	TYPE_MAX = 255
};

enum walk_state {
	WALK_LINE,      /* a line begins; up to START_MAX bytes of it may be in `line` */
	WALK_CANDIDATE, /* it begins with "--": gathered in `line` */
	WALK_REST,      /* the rest of a line that is none */
	WALK_OVER       /* too many parts: nothing more is looked at */
};

enum text_kind { TEXT_NONE, TEXT_PLAIN, TEXT_HTML };

/* An open multipart. */
struct level {
	struct span boundary; /* in the arena; at NULL: none given, the first candidate is taken */
	unsigned depth;
	bool digest;    /* RFC 2046 5.1.5: parts are messages by default */
	bool encrypted; /* multipart/encrypted */
	bool closed;    /* the last boundary was there */
};

/* The part whose bytes are passing. */
struct leaf {
	bool open;
	struct mime_decoder decoder;
	enum text_kind text;
	bool in_body;        /* its text belongs to the body */
	size_t attachment;   /* index behind the one that it is; 0: it is none */
	bool sealed_open;    /* `sealed` still wants bytes */
	struct span charset; /* in the arena */
	struct buffer raw;   /* the text's bytes, decoded from transfer, up to part_bytes */
};

struct mime {
	const struct charsets *charsets; /* borrowed */
	struct mime_limits limits;
	unsigned wanted;
	struct arena *arena; /* owned: names, urls */

	enum walk_state state;
	bool in_header;     /* else in a body */
	bool keep;          /* the header line under way is of a Content- field */
	bool keep_previous; /* so was the one before, which a blank continues */
	char line[LINE_MAX];
	size_t line_len;
	char tail[2]; /* line end held back */
	size_t tail_len;

	struct buffer header; /* Content- fields of the part */
	bool default_message; /* a part without Content-Type is a message */
	struct level *levels; /* owned; limits.depth of them */
	size_t level_count;
	unsigned depth; /* of the part under way */
	struct leaf leaf;
	struct sealed sealed;

	struct mime_attachment *attachments; /* owned */
	size_t attachment_room;
	struct url_set urls;
	struct buffer body;
	size_t text_left; /* of text_bytes */
	struct mime_result result;
};

enum { FURTHER_MAX = 4 };

/* The fields that say what a part is, as far as they are there. */
struct part_header {
	struct mime_field type, disposition;
	struct mime_field further[FURTHER_MAX]; /* seconds of these: asked for names only */
	size_t further_count;
	enum mime_encoding encoding;
	bool has_type, has_disposition, has_encoding;
};

void mime_add_flaw(struct mime *m, enum mime_flaw flaw);

/* --- mime_part.c --- */

/* Takes a piece of a header line: kept if it is a Content- field's, as far as there is room. */
void mime_part_header_bytes(struct mime *m, struct span bytes);

/* The header section is over: a leaf, a multipart or a message begins. */
void mime_part_begin(struct mime *m);

bool mime_type_is_message(struct span type);

static inline bool mime_type_is(struct span type, const char *whole)
{
	return span_equal(type, span_text(whole));
}

/* --- mime_leaf.c --- */

void mime_leaf_begin(struct mime *m, const struct part_header *h, struct span type);

/* Bytes of a body, of which a line end at the end is held back. */
void mime_leaf_feed(struct mime *m, struct span bytes);

/* The part is over; at a boundary the line end before it was not its own. */
void mime_leaf_end(struct mime *m, bool at_boundary);

/* --- mime_attachment.c --- */

/* Begins an attachment if the part is one: it has a name, or says so, or is of a type that is not
 * shown in the message. */
void mime_attachment_begin(struct mime *m, const struct part_header *h, struct span type);

#endif

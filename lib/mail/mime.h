/*
 * mime: what rules ask of a message's body (RFC 2045 to 2049), told while it streams past:
 * attachments, addresses of the web, the text.
 *
 *     struct mime *m = mime_new(charsets, &MIME_LIMITS_DEFAULT, MIME_ATTACHMENTS | MIME_URLS);
 *     mime_feed(m, piece); ...                   header section first, cut anywhere
 *     mime_end(m);
 *     for (size_t i = 0; i < mime_result(m)->attachment_count; i++) ...
 *     mime_free(&m);
 *
 * Whatever the message is, there is a result: what is malformed is read as mail programs read it,
 * and `flaws` tells. Attackers hide attachments where readers differ; then each reading is told.
 *
 * Memory: 10 KB, and what the results take (for a message made to take much: 0.5 MB of names, 1.2
 * MB of links, and the body, with the limits below). While a text part passes, and only if its text
 * is wanted, up to limits.part_bytes more; about five times that for the moment of its end.
 */
#ifndef MAIL_MIME_H
#define MAIL_MIME_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"
#include "lib/mail/mime_decode.h"
#include "lib/mail/mime_words.h"
#include "lib/mail/url.h"

/* What is wanted; the rest costs nothing. */
enum { MIME_ATTACHMENTS = 1, MIME_TEXT = 2, MIME_URLS = 4 };

enum { MIME_NAMES_MAX = 4 }; /* different names of one attachment */

struct mime_limits {
	unsigned parts;      /* leaves and containers; the message itself counts */
	unsigned depth;      /* multiparts and messages in each other */
	size_t header_bytes; /* of one part's Content- fields */
	size_t name_bytes;   /* of an attachment's name, at most 1024 */
	size_t part_bytes;   /* of one text part, decoded: what is behind is not read */
	size_t text_bytes;   /* of all of them together */
	size_t body_bytes;   /* of the result's body, UTF-8 */
	size_t urls;         /* different ones */
};

#define MIME_LIMITS_DEFAULT                                                                        \
	((struct mime_limits){.parts = 200,                                                        \
		.depth = 10,                                                                       \
		.header_bytes = 32 * 1024,                                                         \
		.name_bytes = 255,                                                                 \
		.part_bytes = 512 * 1024,                                                          \
		.text_bytes = 2 * 1024 * 1024,                                                     \
		.body_bytes = 512 * 1024,                                                          \
		.urls = 500})

/* What is wrong with a message, or was too much of it. */
enum mime_flaw {
	MIME_TOO_MANY_PARTS = 1, /* those behind were not looked at */
	MIME_TOO_DEEP = 2,       /* nor what lies deeper */
	MIME_HEADER_CUT = 4,     /* Content- fields past header_bytes */
	MIME_TEXT_CUT = 8,       /* text past part_bytes, text_bytes or body_bytes */
	MIME_TOO_MANY_URLS = 16, /* those behind were dropped */
	MIME_BAD_BOUNDARY = 32,  /* missing, empty or too long; or a line that nearly is one */
	MIME_UNCLOSED = 64,      /* a multipart without its last boundary, or going on behind it */
	MIME_BAD_ENCODING = 128, /* an unknown transfer encoding, or one that a container may
				    not have (then it is not looked into) */
	MIME_AMBIGUOUS = 256,    /* a Content- field or parameter given twice, or an odd one */
	MIME_BAD_TYPE = 512      /* a Content-Type without type and subtype */
};

/* The flaw's name for logs and facts ("too-many-parts"); NULL for none. */
const char *mime_flaw_name(enum mime_flaw flaw);

struct mime_name {
	struct span text;      /* UTF-8, harmless, without folders */
	struct span extension; /* behind the last dot, lower case; empty: none */
};

struct mime_attachment {
	struct mime_name names[MIME_NAMES_MAX]; /* first what most readers show */
	size_t name_count;                      /* 0: it has none */
	struct span type;                       /* "application/pdf", lower case */
	uint64_t size;                          /* decoded bytes; 0: a message, walked into */
	bool encrypted;                         /* see mime_sealed.h; or the part says so */
};

struct mime_result {
	const struct mime_attachment *attachments;
	size_t attachment_count;
	const struct url *urls; /* each once, in order */
	size_t url_count;
	const struct span *domains; /* their hosts, each once, in order */
	size_t domain_count;
	struct span body; /* the text of all text parts that are no attachments */
	unsigned flaws;   /* of enum mime_flaw */
	unsigned parts;   /* that were there, up to limits.parts */
};

struct mime;

/* charsets is borrowed until mime_free; limits are copied; wanted: of MIME_ATTACHMENTS... */
struct mime *mime_new(
	const struct charsets *charsets, const struct mime_limits *limits, unsigned wanted);
void mime_free(struct mime **mime);

/* The next bytes of the message. The result is the same however they are cut. */
void mime_feed(struct mime *mime, struct span bytes);

/* The message is over; no more mime_feed. */
void mime_end(struct mime *mime);

/* What is known so far (all, after mime_end); borrowed until the next call. */
const struct mime_result *mime_result(struct mime *mime);

/* Bytes of memory in use. */
size_t mime_memory(const struct mime *mime);

#endif

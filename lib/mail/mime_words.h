/*
 * mime_words: header fields as people read them. Encoded words (RFC 2047), values with parameters
 * (RFC 2045 5.1, RFC 2183) and their continuations (RFC 2231), mailboxes (RFC 5322 3.4).
 *
 * All read kindly, as mail programs do: what stands before a mistake and behind it still counts.
 * All take a field's body with folds, of which no more than MIME_FIELD_MAX bytes are looked at.
 * What comes out lies in the arena given, is valid UTF-8 and harmless: no control characters (they
 * become blanks), nothing invisible.
 */
#ifndef MAIL_MIME_WORDS_H
#define MAIL_MIME_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/span.h"
#include "lib/mail/mime_decode.h"

enum {
	MIME_FIELD_MAX = 16 * 1024,
	MIME_PARAMETERS_MAX = 64, /* further ones are passed over */
	MIME_MAILBOXES_MAX = 100  /* kept; all are counted */
};

/* A body unfolded (RFC 5322 2.2.3) and trimmed; not yet harmless. */
struct span header_text(struct span body, struct arena *arena);

/* Encoded words decoded, unfolded, trimmed: Subject, Comments, a display name. */
struct span header_decode_text(
	const struct charsets *charsets, struct span body, struct arena *arena);

/* What stands between the last < and > (List-Id, Message-ID), else all of it, trimmed. */
struct span header_angle(struct span body, struct arena *arena);

/* How a parameter was written, from the form that readers prefer on. */
enum mime_form {
	MIME_EXTENDED,      /* name*=utf-8''... */
	MIME_CONTINUED,     /* name*0=, name*1*=... put together */
	MIME_PLAIN,         /* name=..., encoded words decoded */
	MIME_OTHER_READING, /* what another reader makes of the same bytes */
	MIME_UNESCAPED      /* "a\b" without the backslash (RFC 5322 3.2.4): often a folder's */
};

struct mime_parameter {
	struct span name;  /* lower case, without asterisks */
	struct span value; /* decoded; not yet harmless: may hold controls, and NUL */
	enum mime_form form;
};

/* A field like Content-Type or Content-Disposition. */
struct mime_field {
	struct span value; /* "text/html", "attachment": lower case, no comments or blanks */
	struct mime_parameter *parameters;
	size_t count;
	bool odd; /* cut, too many parameters, unclosed quotes, or a parameter given twice */
};

void mime_field_parse(const struct charsets *charsets, struct span body, struct arena *arena,
	struct mime_field *out);

/* The parameter's preferred form, SPAN_NONE where it is not given. */
struct span mime_field_get(const struct mime_field *field, const char *name);

/* From and its like (RFC 5322 3.6.2). */
struct mime_mailbox {
	struct span name;    /* display name, else the comment; may be empty */
	struct span address; /* local@domain, the domain in lower case */
	struct span domain;  /* behind the last '@'; empty: there is none */
};

struct mime_mailboxes {
	struct mime_mailbox *items;
	size_t kept;  /* in items */
	size_t count; /* all that were there */
};

/* Groups are seen through; routes are left out; two addresses where a comma is missing are two. */
void mailboxes_parse(const struct charsets *charsets, struct span body, struct arena *arena,
	struct mime_mailboxes *out);

/* Adds text that may be anything as harmless UTF-8, trimmed of blanks at both ends. */
struct span text_harmless(struct span text, struct arena *arena);

#endif

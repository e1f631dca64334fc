/*
 * authres_write: one resinfo of an Authentication-Results field (RFC 8601 2.2), without the ';' in
 * front of it:
 *
 *     dkim=fail (2048-bit key) reason="the body was changed" header.d=example.org header.b="a/b+"
 *
 * What comes from outside can't break out of its place: bytes that are not printable ASCII become
 * %XX, what is no token is quoted, and what is longer than such a value may be is left out whole.
 *
 *     text = BUFFER_INIT(AUTHRES_MAX);
 *     fits = authres_add(&text, "spf", "fail", reason) &&
 *            authres_property(&text, "smtp", "mailfrom", domain);
 *
 * Each adds all that it stands for, or nothing and returns false: out is full. What was added
 * before is a resinfo in any case.
 */
#ifndef MAIL_AUTHRES_WRITE_H
#define MAIL_AUTHRES_WRITE_H

#include "lib/base/buffer.h"

enum {
	AUTHRES_MAX = 900,       /* of one resinfo: it fits into a line (RFC 5322 2.1.1) */
	AUTHRES_VALUE_MAX = 320, /* bytes of a value as it came: a mail address has no more */
	AUTHRES_TEXT_MAX = 160   /* bytes of a reason or comment as it came; the rest is cut */
};

/* method, result: words of ours. reason: for people; empty: none. */
bool authres_add(
	struct buffer *out, const char *method, const char *result, struct span reason) MUST_CHECK;

/* " (text)"; empty: nothing. */
bool authres_comment(struct buffer *out, struct span text) MUST_CHECK;

/* " ptype.property=value" of a token, a domain, or [local]@domain. What is none of these, too long
 * or empty is left out (true). */
bool authres_property(
	struct buffer *out, const char *ptype, const char *property, struct span value) MUST_CHECK;

/* The same for a value that may be anything and is quoted if need be. It has to be the last of its
 * resinfo: readers are known that take no other property behind a quoted one. */
bool authres_last_property(
	struct buffer *out, const char *ptype, const char *property, struct span value) MUST_CHECK;

/* A quoted-string alone, for other fields; the text is cut to AUTHRES_VALUE_MAX bytes. */
bool authres_quote(struct buffer *out, struct span text) MUST_CHECK;

#endif

/*
 * unstructured: any text as the body of a header field (RFC 5322 2.2.1): folded at its blanks, and
 * as encoded words (RFC 2047) where it can't stand there as it is.
 */
#ifndef MAIL_UNSTRUCTURED_H
#define MAIL_UNSTRUCTURED_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"

/* A copy that can't break out of a line: control characters (C1 in UTF-8 too) are blanks, bytes
 * that are not UTF-8 are '?', blanks at both ends are gone. At most max bytes, cut at a character.
 */
struct span unstructured_clean(struct arena *arena, struct span text, size_t max);

/* Whether cleaned text has to be encoded: it holds 8-bit characters that may not stand there, or a
 * word that no fold could keep under 998 bytes a line (RFC 5322 2.1.1). */
bool unstructured_needs_encoding(struct span text, bool utf8);

/* Adds cleaned text for a line that has `column` bytes already. Lines reach at most 78 bytes where
 * a blank lets them. No line end behind the last. */
bool unstructured_write(struct span text, size_t column, bool utf8, struct buffer *out) MUST_CHECK;

/* The same as encoded words, whatever it holds. */
bool unstructured_encode(struct span text, size_t column, struct buffer *out) MUST_CHECK;

#endif

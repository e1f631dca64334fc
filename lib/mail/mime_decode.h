/*
 * mime_decode: the two ways in which a MIME part's bytes are not what they say: transfer encodings
 * (RFC 2045 6), decoded as they arrive, and charsets, turned into UTF-8 at once.
 *
 * Both take anything: junk is passed over as mail readers do, broken characters become U+FFFD.
 */
#ifndef MAIL_MIME_DECODE_H
#define MAIL_MIME_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/span.h"

enum mime_encoding { MIME_IDENTITY, MIME_BASE64, MIME_QUOTED, MIME_UU };

struct mime_decoder {
	enum mime_encoding encoding;
	uint8_t state; /* private: where in the encoding's grammar we are */
	uint8_t phase; /* private: characters of the unfinished group */
	uint8_t left;  /* private: bytes that the uuencoded line still owes */
	uint32_t bits; /* private: of the unfinished group */
	char held;     /* private: the first digit behind '=' */
	uint64_t size; /* decoded bytes so far */
};

/* The least room for one step of mime_decode. */
enum { MIME_DECODE_ROOM = 16 };

void mime_decoder_init(struct mime_decoder *d, enum mime_encoding encoding);

/* Reads a Content-Transfer-Encoding's body; false: not one of RFC 2045's (nor uuencode), and
 * identity is what readers make of it. */
bool mime_encoding_parse(struct span body, enum mime_encoding *out) MUST_CHECK;

/* Decodes from the front of *input, which is moved on, until it is empty or `out` is full; returns
 * the bytes written. room >= MIME_DECODE_ROOM. However the input is cut, the sum is the same. */
size_t mime_decode(struct mime_decoder *d, struct span *input, char *out, size_t room);

/* Counts into d->size what mime_decode would write, at the speed of memory for base64. */
void mime_decode_count(struct mime_decoder *d, struct span input);

/* The charsets that are decoded: a fixed table, for glibc loads a module of its choice for any name
 * it is asked for (and the name is the sender's), from a file that a sandbox forbids. Made once for
 * each loop, before the sandbox; about 700 KB. Not shared between threads. */
struct charsets;
struct charsets *charsets_new(void);
void charsets_free(struct charsets **charsets);

/* Adds bytes in the named charset to `out` as UTF-8, as far as there is room; false: something
 * did not fit. Empty, unknown and us-ascii: UTF-8 if it is that, windows-1252 if not. */
bool charset_decode(
	const struct charsets *charsets, struct span name, struct span bytes, struct buffer *out);

/* Two hexadecimal digits as a byte; false: they are none. */
bool hex_byte(char high, char low, char *out);

/* The value of a hexadecimal digit; 16 and more: it is none. */
unsigned hex_digit(char c);

/* Adds a code point as UTF-8; what is none (surrogates, above 10FFFF) as U+FFFD. */
bool utf8_put(struct buffer *out, uint32_t point);

/* Adds as many bytes of the text as there is room for, whole characters only; false: not all. */
bool text_add(struct buffer *out, struct span text);

/* Takes the character at the front of *text (not empty) off it; U+FFFD and at least one byte where
 * it is broken (the longest prefix of a character counts as one, as browsers do it). */
uint32_t utf8_next(struct span *text);

/* Cut to at most max bytes, not inside of a character. */
struct span utf8_first(struct span text, size_t max);

/* What shows nothing and only hides what does: bidirectional overrides, zero-width characters, soft
 * hyphens, variation selectors and the like. */
bool point_invisible(uint32_t point);

/* C0, DEL, C1, line and paragraph separators. */
bool point_control(uint32_t point);

#endif

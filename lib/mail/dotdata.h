/*
 * dotdata: the bytes behind DATA (and inside BDAT) into message content. Only CRLF.CRLF ends a
 * message; a bare CR, a bare LF or a NUL is a violation that ends the session,
 * for what follows could be read as commands by one side only. The outcome is the same however
 * the bytes are cut. Written for speed: 64 bytes a step, with AVX2 or SSE2 where there is (portable
 * otherwise); lines cost nothing by themselves.
 */
#ifndef MAIL_DOTDATA_H
#define MAIL_DOTDATA_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"

enum dotdata_mode {
	DOTDATA_DATA, /* dot-stuffed, ends at CRLF.CRLF (or .CRLF at the very start) */
	DOTDATA_BDAT  /* counted by the caller; no dots are touched, dotdata_finish at the end */
};

enum dotdata_status {
	DOTDATA_MORE, /* all input taken, the message goes on */
	DOTDATA_END,  /* the end was read; the input holds what follows it */
	DOTDATA_BARE_CR,
	DOTDATA_BARE_LF,
	DOTDATA_NUL
};

struct dotdata {
	enum dotdata_mode mode;
	bool normalize; /* a bare LF becomes CRLF instead of a violation */
	uint8_t state;  /* private: where in CRLF.CRLF we are */
	uint64_t size;  /* bytes of content so far (dots taken out, line ends counted as CRLF) */
	uint64_t line;  /* bytes of the unfinished line so far */
	uint64_t longest_line; /* without its CRLF; the unfinished one counts */
	bool leading_dot;      /* some content line begins with a dot: to be stuffed behind DATA */
	bool eight_bit;        /* some byte is above 127 */
};

void dotdata_init(struct dotdata *d, enum dotdata_mode mode, bool normalize);

/* Decodes from *input (which is moved on) to out, which has room for dotdata_room(input->len) bytes
 * and does not overlap the input; *written: bytes of content put there. A CR whose LF has not come
 * yet is held back and written with it, so that out always ends at a byte that is certain. After a
 * violation the decoder must not be used again. */
enum dotdata_status dotdata_decode(
	struct dotdata *d, struct span *input, char *out, size_t *written) MUST_CHECK;

static inline size_t dotdata_room(size_t input_len)
{
	return 2 * input_len + 4;
}

/* BDAT LAST: content that does not end in CRLF gets one (out has room for 2 bytes); a CR held back
 * is DOTDATA_BARE_CR. DOTDATA_END when all is well. */
enum dotdata_status dotdata_finish(struct dotdata *d, char out[2], size_t *written) MUST_CHECK;

/* Content on its way to a backend's DATA: puts a dot before each that begins a line. *at_line_start
 * is true before the first byte and carried from piece to piece. Calls emit with spans of the
 * content and with "." in order. */
void dotdata_stuff(
	struct span content, bool *at_line_start, void (*emit)(void *, struct span), void *context);

#endif

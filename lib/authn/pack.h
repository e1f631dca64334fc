/*
 * pack: numbers and texts as bytes between a worker and its authn process. Both are one program on
 * one machine, so numbers lie there in the machine's order; yet the process may have been taken
 * over, so reading checks each length and each range.
 *
 * Writing fails when the buffer is full, reading when the bytes end too early: then nothing of what
 * was read counts.
 */
#ifndef AUTHN_PACK_H
#define AUTHN_PACK_H

#include "lib/base/buffer.h"
#include "lib/base/ip.h"

bool pack_byte(struct buffer *out, uint8_t value) MUST_CHECK;
bool pack_number(struct buffer *out, uint32_t value) MUST_CHECK;
bool pack_long(struct buffer *out, uint64_t value) MUST_CHECK;
bool pack_text(struct buffer *out, struct span text) MUST_CHECK;
bool pack_ip(struct buffer *out, const struct ip *ip) MUST_CHECK;

/* They take from the front. most: a larger value is nonsense. Texts borrow from the bytes. */
bool unpack_byte(struct span *from, uint8_t most, uint8_t *out) MUST_CHECK;
bool unpack_number(struct span *from, uint32_t most, uint32_t *out) MUST_CHECK;
bool unpack_long(struct span *from, uint64_t *out) MUST_CHECK;
bool unpack_text(struct span *from, struct span *out) MUST_CHECK;
bool unpack_ip(struct span *from, struct ip *out) MUST_CHECK;

#endif

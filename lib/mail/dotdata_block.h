/*
 * Private to dotdata.c and its tests: the bit masks of a 64-byte block, bit i for byte i, made by
 * SSE2 or by plain 64-bit words. Both exist wherever SSE2 does, so that tests compare them.
 */
#ifndef MAIL_DOTDATA_BLOCK_H
#define MAIL_DOTDATA_BLOCK_H

#include <stdint.h>

#include "lib/mail/dotdata.h"

enum { BLOCK_SIZE = 64 };

struct block_masks {
	uint64_t cr, lf, nul, dot, high;
};

/* As dotdata_decode, without SSE2. */
enum dotdata_status dotdata_decode_portable(
	struct dotdata *d, struct span *input, char *out, size_t *written) MUST_CHECK;

void block_masks_portable(const char *at, struct block_masks *out);

#ifdef __SSE2__
/* As dotdata_decode, without AVX2. */
enum dotdata_status dotdata_decode_sse2(
	struct dotdata *d, struct span *input, char *out, size_t *written) MUST_CHECK;
void block_masks_sse2(const char *at, struct block_masks *out);
#endif

#endif

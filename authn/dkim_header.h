/*
 * dkim_header: the hash of what a signature signs of a header section (RFC 6376 3.7), for those few
 * that the library would hash otherwise than the RFC has it (docs/why/dkim.md).
 */
#ifndef AUTHN_DKIM_HEADER_H
#define AUTHN_DKIM_HEADER_H

#include "authn/dkim_guard.h"

/* The claim is open. */
void dkim_header_hash(struct span section, const struct dkim_claim *claim, struct arena *arena,
	uint8_t out[DKIM_HASH_SIZE]);

#endif

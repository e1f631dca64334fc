/*
 * base64: as signatures and keys have it (RFC 6376 2.10): blanks and folds are passed over, and the
 * padding may be missing; all else is strict.
 */
#ifndef AUTHN_BASE64_H
#define AUTHN_BASE64_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/span.h"

/* false: it is not base64, it is empty, or it is longer than size. */
bool base64_read(struct span text, uint8_t *out, size_t size, size_t *len) MUST_CHECK;

#endif

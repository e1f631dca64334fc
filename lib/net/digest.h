/*
 * digest: of short texts, as hex digits. MD5 and SHA-1 serve lists that others publish in them;
 * nothing is signed or kept secret with these.
 */
#ifndef NET_DIGEST_H
#define NET_DIGEST_H

#include <stdbool.h>

#include "lib/base/span.h"

/* So many hex digits in small letters, without a NUL: 32 for MD5, 40 for SHA-1, 64 for SHA-256.
 * false: there is no such digest, or the library refuses it (MD5 where FIPS rules). */
bool digest_hex(unsigned digits, struct span text, char *hex);

#endif

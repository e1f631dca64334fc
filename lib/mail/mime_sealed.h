/*
 * mime_sealed: whether an attachment's content is encrypted, told from its bytes as they pass:
 * ZIP, RAR 4 and 5, 7z, PDF, Office (an OLE file that holds an EncryptedPackage), PGP messages and
 * enveloped CMS. Nothing is opened; the first 4 KB are looked at as a whole, behind them only
 * signatures are looked for, and only in the kinds where they can stand.
 */
#ifndef MAIL_MIME_SEALED_H
#define MAIL_MIME_SEALED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"

enum { SEALED_HEAD = 4096, SEALED_CARRY = 32 };

enum sealed_kind {
	SEALED_UNKNOWN, /* the head is not yet whole */
	SEALED_OTHER,   /* its bytes need not be looked at any more */
	SEALED_ZIP,
	SEALED_7Z,
	SEALED_PDF,
	SEALED_OLE
};

struct sealed {
	enum sealed_kind kind;
	bool encrypted;
	uint64_t seen;    /* bytes so far */
	uint64_t trailer; /* 7z: where its header begins, which stands at the end */
	size_t head_len;  /* bytes in head; behind it, in the carry at its front */
	char head[SEALED_HEAD + SEALED_CARRY];
};

void sealed_init(struct sealed *s);

/* Takes the next decoded bytes; false: none behind them can tell more. */
bool sealed_feed(struct sealed *s, struct span bytes);

/* The content is over: a head that is shorter than SEALED_HEAD is looked at now. */
void sealed_end(struct sealed *s);

#endif

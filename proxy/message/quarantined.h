/*
 * quarantined: a message held back, as it lies in its file: header fields of ours that tell all
 * that is needed to judge it and to hand it on later, then the message as it would have gone on. So
 * any mail reader opens the file.
 *
 *     X-Postern-Quarantine-Version: 1
 *     X-Postern-Quarantine-ID: K7Q2M4T6A9ZC.1
 *     ...
 *     X-Postern-Quarantine-From: <a@client.example> BODY=8BITMIME
 *     X-Postern-Quarantine-To: <b@example.com> NOTIFY=NEVER
 *     X-Postern-Quarantine-Size: 1234                              always the last: bytes behind it
 *     Received: ...
 *
 * Values are printable ASCII; control characters, 8-bit bytes, `%` and blanks at either end are
 * written as %HH. From and To are the arguments of MAIL and RCPT. Lines end in CRLF.
 *
 * Whoever reads a file trusts nothing in it: the account that workers run as may have written it.
 */
#ifndef PROXY_MESSAGE_QUARANTINED_H
#define PROXY_MESSAGE_QUARANTINED_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "proxy/message/envelope.h"

enum {
	QUARANTINED_HEAD_MAX = 16 * 1024 * 1024, /* bytes of our fields */
	QUARANTINED_TEXT_MAX = 1000,             /* of rule, why and the like; cut beyond */
	QUARANTINE_ID_SIZE = 64                  /* with its NUL */
};

/* All spans are borrowed: by the writer from the transaction, by a reader from the arena. */
struct quarantined {
	struct span id;   /* the file's name */
	uint64_t time_ms; /* since 1970 */
	struct span sid, tid;
	struct client client;
	struct envelope envelope; /* size and backend_reply are not kept */
	struct span backend;      /* that a rule routes it to; empty: the default */
	struct span rule, why;
	double score;
	uint64_t size_bytes; /* of the message */
};

/* Letters, digits, '.', '-' and '_', not a dot first: a name that leads nowhere else. */
bool quarantine_id_valid(struct span id) MUST_CHECK;

/* Our fields. false: out is full. */
bool quarantined_write(const struct quarantined *q, struct buffer *out) MUST_CHECK;

/* Reads them back from the beginning of a file, as much of it as is there. *head_bytes: where the
 * message begins. */
enum quarantined_status { QUARANTINED_READ, QUARANTINED_MORE, QUARANTINED_BAD };
enum quarantined_status quarantined_read(struct span file, struct arena *arena,
	struct quarantined *out, size_t *head_bytes, struct err *err) MUST_CHECK;

/* The same from an open file, which must hold the message whole. */
bool quarantined_load(int fd, struct arena *arena, struct quarantined *out, uint64_t *head_bytes,
	struct err *err) MUST_CHECK;

#endif

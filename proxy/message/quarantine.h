/*
 * quarantine: the folder of messages held back, as workers see it. One file for each
 * (quarantined.h), written in tmp/, synced, moved into new/, and the folders synced: what is in
 * new/ is whole and stays, whatever happens to the machine, and only then is the writer told. (It
 * looks like a Maildir, but has no cur/: a mail reader that moves files about would take them from
 * under `postern quarantine`.)
 *
 * All work on disk is done in libuv's threads. How much lies there is known from a scan, at most
 * every QUARANTINE_SCAN_MS while something is written, and from what this worker wrote since; so
 * several workers together may pass the size by what they write within that time. The scan also
 * deletes what is older than `keep` (by the file's time) and what a dead writer left in tmp/.
 * Nothing is deleted to make room: a full quarantine refuses.
 *
 * Someone must delete old mail when none comes: every worker scans once an hour. Several that do so
 * at once do no harm, and no process has to be told that it is the one.
 */
#ifndef PROXY_MESSAGE_QUARANTINE_H
#define PROXY_MESSAGE_QUARANTINE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/net/loop.h"
#include "proxy/message/message.h"
#include "proxy/message/quarantined.h"

enum { QUARANTINE_SCAN_MS = 10 * 1000, QUARANTINE_EXPIRY_MS = 3600 * 1000 };

struct quarantine; /* of a worker */

struct quarantine_setup {
	struct loop *loop; /* borrowed until quarantine_close, like the log */
	struct log *log;
	int dir;           /* borrowed: the folder with tmp/ and new/; -1: none, all writes fail */
	uint64_t keep_ms;  /* what is older goes */
	uint64_t size_max; /* bytes of all files */
};

struct quarantine *quarantine_open(const struct quarantine_setup *setup);

/* Lets writes under way come to their end (their `done` comes within). */
void quarantine_close(struct quarantine **quarantine);

enum quarantine_outcome {
	QUARANTINE_PENDING, /* until done */
	QUARANTINE_KEPT,    /* it is safe: say 250 */
	QUARANTINE_FULL,    /* the size or the disk is used up: 452 4.3.1 */
	QUARANTINE_FAILED   /* the disk or the folder is at fault, the log says how: 451 4.3.0 */
};

struct quarantine_write {
	/* in; what they point to is borrowed, and stays as it is, until done */
	const struct quarantined *about; /* id and size_bytes are found here and not read */
	const struct message *message;
	void (*done)(
		struct quarantine_write *write); /* once, from the loop, never within the call */
	void *context;
	/* out */
	enum quarantine_outcome outcome;
	char id[QUARANTINE_ID_SIZE]; /* KEPT: the tid, with "-2" and on behind it when that is there
				      */
	struct err err;              /* FULL, FAILED */
	/* private */
	struct quarantine *quarantine;
	uv_work_t work;
};

void quarantine_write(struct quarantine *quarantine, struct quarantine_write *write);

/* What the client is told; that the message is held back is not its business. */
struct reply quarantine_reply(const struct quarantine_write *write);

#endif

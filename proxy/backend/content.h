/*
 * backend_content: a message on its way to a server, from piece to piece, so that never more of it
 * waits in memory than the spool holds there anyway: a file goes on only when the kernel has taken
 * what went before.
 */
#ifndef PROXY_BACKEND_CONTENT_H
#define PROXY_BACKEND_CONTENT_H

#include "lib/net/stream.h"
#include "proxy/message/message.h"

enum backend_content_status {
	CONTENT_WAIT,  /* on_drain, then go on */
	CONTENT_SENT,  /* all of it, end and all, was given to the stream (which may still keep a
			  part) */
	CONTENT_FAILED /* the spool can't be read */
};

struct backend_content {
	const struct message *message; /* borrowed */
	struct message_cursor cursor;
	struct message_piece piece; /* of the file, under way */
	uint64_t done;              /* bytes of it that went out */
	bool stuff;                 /* DATA, and some line begins with a dot */
	bool at_line_start;
	bool sent;
	struct span end; /* ".\r\n" for DATA, empty for BDAT */
};

enum backend_content_form { CONTENT_DATA, CONTENT_BDAT };

void backend_content_begin(struct backend_content *content, const struct message *message,
	enum backend_content_form form);

/* Writes as much as can go. head: commands to go first, in the same write. */
enum backend_content_status backend_content_send(
	struct backend_content *content, struct stream *stream, struct span head);

#endif

/*
 * message: what is handed to a backend: the fields that we put before it, then the spooled content
 * byte for byte but for changes in its header section.
 */
#ifndef PROXY_MESSAGE_MESSAGE_H
#define PROXY_MESSAGE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "proxy/message/spool.h"

/* A range of the header section (so of the spool's memory) with what goes on in its place: with
 * nothing there it is a cut, with len 0 an insertion. Ordered by start, not overlapping. */
struct message_change {
	size_t start, len;
	struct span with; /* borrowed from the transaction's arena */
};

struct message {
	struct buffer prefix;           /* owned: whole header fields, CRLF line ends */
	struct spool spool;             /* owned */
	struct message_change *changes; /* borrowed from the transaction's arena */
	size_t n_changes;
	bool leading_dot; /* some line of prefix, content or changes begins with a dot */
	bool eight_bit;   /* some byte of prefix, content or changes is above 127 */
};

/* Whether content begins with a blank. Its first line would then continue our last field, so an
 * empty line is inserted at its front (a change at 0 that cuts nothing), and none of it is header.
 */
static inline bool message_begins_folded(struct span content)
{
	return content.len && (content.at[0] == ' ' || content.at[0] == '\t');
}

uint64_t message_size(const struct message *message); /* bytes that go on */

/* A stretch of it: memory, or a range of the spool's file. */
struct message_piece {
	struct span memory; /* borrowed; empty when it is of the file */
	int fd;             /* -1: memory */
	uint64_t offset, len;
};

/* Walks the message; start with a zeroed cursor. */
struct message_cursor {
	unsigned stage;
	size_t change;
	uint64_t offset;
};
bool message_next(const struct message *message, struct message_cursor *cursor,
	struct message_piece *out) MUST_CHECK;

#endif

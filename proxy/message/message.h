/*
 * message: what is handed to a backend: the fields that we put before it, then the spooled content
 * byte for byte but for fields cut out of its header section.
 */
#ifndef PROXY_MESSAGE_MESSAGE_H
#define PROXY_MESSAGE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "proxy/message/spool.h"

/* A range of the header section (so of the spool's memory) that does not go on; ordered, not
 * overlapping. */
struct message_cut {
	size_t start, len;
};

struct message {
	struct buffer prefix;     /* owned: whole header fields, CRLF line ends */
	struct spool spool;       /* owned */
	struct message_cut *cuts; /* borrowed from the transaction's arena */
	size_t n_cuts;
	bool leading_dot; /* some line of prefix or content begins with a dot */
	bool eight_bit;   /* some byte of the content is above 127 */
};

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
	size_t cut;
	uint64_t offset;
};
bool message_next(const struct message *message, struct message_cursor *cursor,
	struct message_piece *out) MUST_CHECK;

#endif

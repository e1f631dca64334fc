/*
 * mime_print: the whole result of a message's walk as text, so that tests compare it at a glance
 * and any two ways of cutting the message with each other.
 */
#ifndef TESTS_UNIT_MIME_PRINT_H
#define TESTS_UNIT_MIME_PRINT_H

#include "lib/base/buffer.h"
#include "lib/mail/mime.h"

/* Adds to out, a line each:
 *     attachment: NAME(EXTENSION)/NAME(EXTENSION) TYPE SIZE [encrypted]
 *     url: TEXT HOST
 *     body: TEXT
 *     flaw: NAME */
void mime_print(struct mime *mime, struct buffer *out);

/* Walks the message whole, byte by byte and in pieces of many sizes, fails the test where two
 * differ, and sets out to the result. */
void mime_walk(
	struct span message, const struct mime_limits *limits, unsigned wanted, struct buffer *out);

#endif

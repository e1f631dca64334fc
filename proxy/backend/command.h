/*
 * backend_command: the lines that we send to a server, each built from parsed addresses and checked
 * parameters only: no byte of the client's goes through unfiltered. All append to a buffer that has
 * COMMAND_ROOM bytes left.
 */
#ifndef PROXY_BACKEND_COMMAND_H
#define PROXY_BACKEND_COMMAND_H

#include "lib/base/buffer.h"
#include "proxy/backend/capabilities.h"
#include "proxy/config/config.h"
#include "proxy/message/envelope.h"
#include "proxy/message/message.h"

/* The longest is RCPT: a path and an ORCPT of at most a command line of the client's
 * (limits.command). */
enum { COMMAND_ROOM = 16 * 1024 };

void backend_command_text(struct buffer *out, const char *line);
void backend_command_hello(struct buffer *out, const char *verb, struct span name);

/* message: NULL for a recipient check, which says nothing of size and body. */
void backend_command_mail(struct buffer *out, const struct envelope *envelope,
	const struct message *message, const struct backend_capabilities *can);
void backend_command_rcpt(struct buffer *out, const struct recipient *recipient,
	const struct backend_capabilities *can);
void backend_command_bdat(struct buffer *out, uint64_t size_bytes);
void backend_command_xclient(struct buffer *out, const struct client *client, unsigned attributes);

/* XFORWARD in two lines, as Postfix's own client sends them, so that neither grows long: who
 * connected, and what it said. */
enum xforward_part {
	XFORWARD_CONNECTION = 1 << ATTRIBUTE_NAME | 1 << ATTRIBUTE_ADDR | 1 << ATTRIBUTE_PORT,
	XFORWARD_SESSION = 1 << ATTRIBUTE_PROTO | 1 << ATTRIBUTE_HELO | 1 << ATTRIBUTE_SOURCE
};
void backend_command_xforward(struct buffer *out, const struct client *client, unsigned attributes,
	enum xforward_part part);

#endif

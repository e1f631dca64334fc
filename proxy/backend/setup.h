/* backend_setup: the talk that makes a connection READY: greeting, EHLO, STARTTLS, and who the
 * client is. */
#ifndef PROXY_BACKEND_SETUP_H
#define PROXY_BACKEND_SETUP_H

#include <stdbool.h>

#include "lib/mail/reply.h"
#include "proxy/backend/connection.h"

/* It is connected: the PROXY header goes before all else. */
void backend_setup_introduce(struct backend_connection *connection);

/* The handshake is done. */
void backend_setup_secured(struct backend_connection *connection);

/* A reply that was due before READY. The connection may be lost, or its job have begun, on return.
 */
void backend_setup_reply(struct backend_connection *connection, const struct reply *reply);

/* Plain text will not do. */
bool backend_setup_needs_tls(const struct backend_connection *connection);

#endif

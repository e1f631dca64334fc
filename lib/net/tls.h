/*
 * tls: OpenSSL's contexts and connections. What goes over the wire is the stream's business: a
 * connection reads from and writes to memory that the stream lends it (a BIO of our own over the
 * loop's buffers, so that an idle TLS connection holds no buffers at all).
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/error.h"
#include "lib/base/span.h"

enum { TLS_TICKET_KEYS_SIZE = 80 };

struct tls_identity {
	const char *name;       /* for messages: the certificate's file */
	struct span chain, key; /* PEM, borrowed during the call */
};

/* Of a listener or of a backend; reference-counted by the connections made from it. */
struct tls_context;

/* Server side. SNI chooses among the identities by the names in their certificates, the first being
 * the default. minimum_version: TLS1_2_VERSION or TLS1_3_VERSION. ticket_keys (TLS_TICKET_KEYS_SIZE
 * bytes, shared by all workers so that a session resumes on any of them) may be NULL. No
 * renegotiation, no compression. */
struct tls_context *tls_context_server(const struct tls_identity *identities, size_t count,
	int minimum_version, const uint8_t *ticket_keys, struct err *err);

/* Client side. verify: the system's trust store; the name is given to each connection. */
struct tls_context *tls_context_client(bool verify, struct err *err);
void tls_context_free(struct tls_context **context);

/* For stream.c: a connection whose BIO calls these with `wire`. read takes bytes that have come (0:
 * none left), write takes all that it is given. server_name: SNI and the name to verify; may be
 * NULL. NULL when OpenSSL refuses. */
struct ssl_st;
struct tls_wire {
	size_t (*read)(void *wire, char *out, size_t size);
	void (*write)(void *wire, struct span bytes);
};
struct ssl_st *tls_connection_new(
	struct tls_context *context, bool accepting, const char *server_name, void *wire);
void tls_context_set_wire(struct tls_context *context, const struct tls_wire *wire);

/* The newest of OpenSSL's errors as text, and the queue emptied. */
void tls_error_text(struct err *err, const char *what);

#endif

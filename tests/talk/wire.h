/*
 * wire: the scripted ends of the conversation: clients that connect to the house, and connections
 * that it makes to scripted backends. Plain blocking-free sockets with OpenSSL on them, nothing of
 * postern's own network code, so that an error there is not mirrored here.
 */
#ifndef TALK_WIRE_H
#define TALK_WIRE_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "lib/base/buffer.h"
#include "tests/talk/house.h"

enum { WIRE_NAME_SIZE = 32, WIRE_SERVERS = 10 };

struct end {
	char name[WIRE_NAME_SIZE]; /* "c1", "b1", "b1.check" */
	int fd;                    /* -1: closed here */
	SSL *ssl;
	bool eof, reset, tls_failed; /* what the other side did */
	bool stalled;                /* does not read */
	struct buffer in;            /* came, and no statement has had it */
	struct buffer out;           /* said, and the kernel has no room for it yet */
	struct end *next;
};

/* A scripted backend's listening socket. */
struct server {
	int fd; /* -1: down, or not used */
	uint16_t port;
};

struct wire {
	struct house *house;
	struct end *ends;                    /* newest first */
	struct server servers[WIRE_SERVERS]; /* b0 to b9 */
	SSL_CTX *client_tls, *server_tls;
	struct buffer transcript;
	int guard_ms; /* real time that a wait may take */
};

void wire_open(struct wire *wire, struct house *house);
void wire_close(struct wire *wire);

/* A line of the transcript. */
void wire_note(struct wire *wire, const char *name, const char *arrow, struct span bytes);

/* The port of backend bN; the socket is made when first asked for. */
uint16_t wire_server_port(struct wire *wire, unsigned number);
void wire_server_down(struct wire *wire, unsigned number);
void wire_server_up(struct wire *wire, unsigned number);
bool wire_server_waiting(
	const struct wire *wire, unsigned number); /* a connection nobody accepted */

struct end *wire_find(struct wire *wire, struct span name); /* NULL: none */

/* from: an address to bind to first; family IP_NONE: any. receive_bytes: room for what it has not
 * read; 0: the system's. */
struct end *wire_connect(struct wire *wire, struct span name, const struct endpoint *to,
	const struct ip *from, int receive_bytes);

/* NULL: none came in time. */
struct end *wire_accept(struct wire *wire, struct span name, unsigned number);

/* Said, and on its way as fast as the other side takes it (not waited for). cut: byte by byte, the
 * loop turning between. When the other side is gone the rest is lost. */
void wire_send(struct wire *wire, struct end *end, struct span bytes, bool cut);

/* false: the handshake failed. sni: may be NULL. */
bool wire_tls(struct wire *wire, struct end *end, bool accepting, const char *sni);

void wire_half_close(struct wire *wire, struct end *end);
void wire_drop(struct wire *wire, struct end *end, bool reset);

/* One turn: what the house has to do, what has come for all ends, or a short sleep until there is
 * something. Deadline on the real clock (clock_now_ms); false: it has passed. */
bool wire_turn(struct wire *wire, uint64_t deadline_ms);
uint64_t wire_deadline(const struct wire *wire);

/* Turns until nothing has happened for so long. */
void wire_settle(struct wire *wire, int quiet_ms);

#endif

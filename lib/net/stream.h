/*
 * stream: a connection, plain or TLS, on a loop. The one type through which bytes enter and leave.
 *
 *     CONNECTING --connected--> OPEN --stream_tls--> HANDSHAKE --done--> OPEN
 *          |                     |                       |
 *          +---------------------+-----------------------+--> ENDED --> (stream_close) CLOSING -->
 * on_closed
 *
 * Reads go into the loop's shared buffer and are handed to on_data at once: what the handler does
 * not consume it must copy. Writes go to the kernel at once; what it does not take is kept here
 * (bounded by the callers, who wait for on_drain before they send more of something large).
 *
 * Callbacks never run inside a stream_ call: they come from the loop. on_end comes once; after
 * STREAM_END_EOF writing may go on, and a second on_end tells when that fails. After any other
 * on_end only on_closed comes. stream_close may be called at any time, also inside a callback; the
 * memory must live until on_closed.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <uv.h>

#include "lib/base/buffer.h"
#include "lib/base/ip.h"
#include "lib/base/span.h"
#include "lib/net/loop.h"
#include "lib/net/tls.h"

enum stream_state {
	STREAM_CLOSED, /* not in use: before init, after on_closed */
	STREAM_CONNECTING,
	STREAM_OPEN,
	STREAM_HANDSHAKE,
	STREAM_ENDED, /* nothing more can be read or written */
	STREAM_CLOSING
};

enum stream_end {
	STREAM_END_EOF,     /* the peer closed its side; writing may still work */
	STREAM_END_RESET,   /* reset, broken pipe, timed out by the kernel */
	STREAM_END_CONNECT, /* the connection could not be made */
	STREAM_END_TLS      /* handshake or record failure */
};

struct stream_handler {
	void (*on_connected)(void *context); /* stream_connect only */
	void (*on_data)(void *context, struct span bytes);
	void (*on_end)(void *context, enum stream_end end, const char *detail);
	void (*on_drain)(void *context);  /* all that was kept has been written; may be NULL */
	void (*on_tls)(void *context);    /* the handshake is done */
	void (*on_closed)(void *context); /* the memory may go */
};

struct stream {
	uint32_t magic;
	enum stream_state state;
	bool reading; /* the handler wants data */
	bool polling; /* the poll handle is active, for `events` */
	bool at_end;  /* EOF was read and told */
	bool shut;    /* stream_shutdown was called */
	uint8_t events;
	int fd;                               /* owned */
	struct loop *loop;                    /* borrowed */
	const struct stream_handler *handler; /* borrowed, static */
	void *context;                        /* borrowed: the handler's */
	struct ssl_st *ssl;                   /* owned; NULL: plain */
	struct span
		cipher; /* TLS: bytes just read, not yet taken by OpenSSL; borrowed from the loop */
	struct buffer kept; /* owned. TLS: such bytes while reading is paused */
	struct buffer out;  /* owned: bytes that the kernel did not take yet */
	int failure;        /* errno of a failed write, told by on_end later */
	struct deferred deferred;
	uv_poll_t poll;
};

/* Takes over a connected descriptor (non-blocking). Reading is off until stream_read. */
void stream_open(struct stream *s, struct loop *loop, int fd, const struct stream_handler *handler,
	void *context);

/* Begins to connect; on_connected or on_end follows. A unix socket when unix_path is not NULL. The
 * deadline is the caller's. */
void stream_connect(struct stream *s, struct loop *loop, const struct endpoint *to,
	const char *unix_path, const struct stream_handler *handler, void *context);

/* Turns reading on or off. */
void stream_read(struct stream *s, bool on);

/* Writes or keeps all of it; nothing is borrowed after the return. After a failure bytes are
 * dropped (on_end comes). */
void stream_write(struct stream *s, struct span bytes);
void stream_writev(struct stream *s, const struct iovec *pieces, int count);

/* Sends up to size bytes of a file and returns how many were taken: fewer when the kernel's buffer
 * is full (on_drain follows), -1 when the file can't be read. Only with nothing kept
 * (stream_pending() == 0). */
int64_t stream_send_file(struct stream *s, int fd, uint64_t offset, uint64_t size);

/* Bytes kept for the kernel. */
static inline size_t stream_pending(const struct stream *s)
{
	return s->out.len;
}

/* Starts TLS now: server side (accepting) or client side (server_name for SNI, and to be verified
 * if the context verifies; may be NULL). Whatever plain text was received before is the caller's to
 * throw away. on_tls or on_end follows. */
void stream_tls(
	struct stream *s, struct tls_context *context, bool accepting, const char *server_name);

/* Gives back bytes that were read before stream_tls is called and belong to the handshake. */
void stream_unread(struct stream *s, struct span bytes);

/* No more writes: sends what is kept, then close_notify and FIN. Reading goes on. */
void stream_shutdown(struct stream *s);

/* Ends it: what is kept is lost. on_closed follows, never from within. Safe in any state but CLOSED
 * and CLOSING. */
void stream_close(struct stream *s);

struct stream_tls_info {
	const char *version; /* "TLSv1.3"; NULL: plain */
	const char *cipher;
	int bits;
	const char *sni; /* NULL: none */
	bool resumed;
};
struct stream_tls_info stream_tls_info(const struct stream *s);

#endif

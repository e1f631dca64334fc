/*
 * A poll handle over a descriptor of ours rather than libuv's own streams: writes go out at once
 * and in one vector, files go by sendfile, half-close and bounded discard are plain calls, and a
 * waiting connection needs no request memory.
 */
#include "lib/net/stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/fail.h"

enum {
	STREAM_MAGIC = 0x53747265,
	TLS_RECORD = 16 * 1024,
	READS_PER_EVENT = 4,
	STREAM_KEPT_MAX = 2 * LOOP_READ_SIZE,
	TLS_OUT_PAUSE = 128 * 1024 /* OpenSSL answers some records (KeyUpdate) by itself */
};

static void on_poll(uv_poll_t *poll, int status, int events);
static void on_deferred(struct deferred *deferred);
static void stream_update(struct stream *s);

static void stream_init(
	struct stream *s, struct loop *loop, const struct stream_handler *handler, void *context)
{
	*s = (struct stream){
		.magic = STREAM_MAGIC,
		.fd = -1,
		.loop = loop,
		.handler = handler,
		.context = context,
		.kept = BUFFER_INIT(STREAM_KEPT_MAX),
		.out = BUFFER_INIT(SIZE_MAX / 2),
		.deferred.run = on_deferred,
	};
}

static void stream_poll_init(struct stream *s)
{
	ENSURE(uv_poll_init(&s->loop->uv, &s->poll, s->fd) == 0);
	s->poll.data = s;
}

void stream_open(struct stream *s, struct loop *loop, int fd, const struct stream_handler *handler,
	void *context)
{
	stream_init(s, loop, handler, context);
	s->fd = fd;
	s->state = STREAM_OPEN;
	stream_poll_init(s);
}

void stream_connect(struct stream *s, struct loop *loop, const struct endpoint *to,
	const char *unix_path, const struct stream_handler *handler, void *context)
{
	struct sockaddr_storage address;
	socklen_t size;
	int one = 1;

	stream_init(s, loop, handler, context);
	s->state = STREAM_CONNECTING;
	if (unix_path) {
		struct sockaddr_un *un = (void *)&address;

		memset(un, 0, sizeof(*un));
		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof(un->sun_path), "%s", unix_path);
		size = sizeof(*un);
	} else {
		size = endpoint_sockaddr(to, &address);
	}
	s->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0) {
		s->failure = errno;
		loop_defer(loop, &s->deferred);
		return;
	}
	stream_poll_init(s);
	if (!unix_path)
		setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(s->fd, (struct sockaddr *)&address, size) == 0 || errno == EINPROGRESS) {
		stream_update(s);
		return;
	}
	s->failure = errno;
	loop_defer(loop, &s->deferred);
}

/* --- polling for what is wanted now --- */

/* A peer that makes OpenSSL answer and does not read the answers is not read either. */
static bool takes_more(const struct stream *s)
{
	return !s->ssl || s->out.len <= TLS_OUT_PAUSE;
}

static void stream_update(struct stream *s)
{
	int events = 0;

	if (s->state == STREAM_CONNECTING) {
		events = UV_WRITABLE;
	} else if (s->state == STREAM_OPEN || s->state == STREAM_HANDSHAKE) {
		if (!s->at_end && takes_more(s) && (s->reading || s->state == STREAM_HANDSHAKE))
			events |= UV_READABLE;
		if (s->out.len)
			events |= UV_WRITABLE;
	}
	if (events == s->events)
		return;
	s->events = (uint8_t)events;
	if (events)
		uv_poll_start(&s->poll, events, on_poll);
	else
		uv_poll_stop(&s->poll);
}

static void stream_end(struct stream *s, enum stream_end end, const char *detail)
{
	s->state = STREAM_ENDED;
	stream_update(s);
	s->handler->on_end(s->context, end, detail);
}

/* A write failed inside a stream_ call: told from the loop. */
static void stream_fail(struct stream *s, int number)
{
	if (s->failure || s->state == STREAM_CLOSING)
		return;
	s->failure = number;
	buffer_free(&s->out);
	loop_defer(s->loop, &s->deferred);
}

static void stream_eof(struct stream *s)
{
	if (s->at_end)
		return;
	s->at_end = true;
	stream_update(s);
	s->handler->on_end(s->context, STREAM_END_EOF, "closed by the other side");
}

/* --- writing --- */

static void keep(struct stream *s, struct span bytes)
{
	ENSURE(buffer_add(&s->out, bytes));
}

static bool blocked(int number)
{
	return number == EAGAIN || number == EWOULDBLOCK || number == EINTR || number == ENOBUFS;
}

/* Plain bytes, or encrypted ones, to the kernel. */
static void send_now(struct stream *s, struct span bytes)
{
	if (s->failure)
		return;
	if (s->out.len == 0) {
		ssize_t sent = send(s->fd, bytes.at, bytes.len, MSG_NOSIGNAL);

		if (sent == (ssize_t)bytes.len)
			return;
		if (sent < 0 && !blocked(errno)) {
			stream_fail(s, errno);
			return;
		}
		bytes = span_from(bytes, sent > 0 ? (size_t)sent : 0);
	}
	keep(s, bytes);
}

static void finish_shutdown(struct stream *s)
{
	if (s->shut && s->out.len == 0 && !s->failure)
		shutdown(s->fd, SHUT_WR);
}

/* The kernel takes bytes again. */
static void flush_kept(struct stream *s)
{
	struct span bytes = buffer_span(&s->out);
	ssize_t sent = send(s->fd, bytes.at, bytes.len, MSG_NOSIGNAL);

	if (sent < 0 && !blocked(errno)) {
		stream_fail(s, errno);
		return;
	}
	if (sent > 0)
		buffer_consume(&s->out, (size_t)sent);
	if (s->out.len)
		return;
	buffer_free(&s->out);
	stream_update(s);
	finish_shutdown(s);
	if (s->reading && s->kept.len)
		loop_defer(s->loop, &s->deferred);
	if (s->handler->on_drain && s->state == STREAM_OPEN)
		s->handler->on_drain(s->context);
}

static bool writable(const struct stream *s)
{
	return (s->state == STREAM_OPEN || s->state == STREAM_HANDSHAKE) && !s->failure;
}

/* --- TLS --- */

static size_t wire_take(void *wire, char *out, size_t size)
{
	struct stream *s = wire;
	struct span bytes = span_first(s->cipher, size);

	if (bytes.len)
		memcpy(out, bytes.at, bytes.len);
	s->cipher = span_from(s->cipher, bytes.len);
	return bytes.len;
}

static void wire_send(void *wire, struct span bytes)
{
	send_now(wire, bytes);
}

static const struct tls_wire stream_wire = {wire_take, wire_send};

static void tls_failed(struct stream *s)
{
	struct err err;

	tls_error_text(&err, s->state == STREAM_HANDSHAKE ? "TLS handshake" : "TLS");
	/* OpenSSL has put its alert on the wire already. */
	stream_end(s, STREAM_END_TLS, err.text);
}

static void tls_write(struct stream *s, struct span bytes)
{
	while (bytes.len && !s->failure) {
		struct span record = span_first(bytes, TLS_RECORD);
		int taken = SSL_write(s->ssl, record.at, (int)record.len);

		if (taken <= 0) {
			ERR_clear_error();
			stream_fail(s, EPROTO);
			return;
		}
		bytes = span_from(bytes, (size_t)taken);
	}
}

/* One handshake step. false: wait for more bytes, or it is over with this stream. */
static bool tls_handshake(struct stream *s)
{
	int result = SSL_do_handshake(s->ssl);

	stream_update(s);
	if (result == 1) {
		s->state = STREAM_OPEN;
		stream_update(s);
		s->handler->on_tls(s->context);
		return s->state == STREAM_OPEN;
	}
	if (SSL_get_error(s->ssl, result) != SSL_ERROR_WANT_READ)
		tls_failed(s);
	return false;
}

static bool tls_read(struct stream *s)
{
	int size = SSL_read(s->ssl, s->loop->plain_buffer, LOOP_PLAIN_SIZE);

	if (size > 0) {
		s->handler->on_data(s->context, span_make(s->loop->plain_buffer, (size_t)size));
		return s->state == STREAM_OPEN;
	}
	switch (SSL_get_error(s->ssl, size)) {
	case SSL_ERROR_WANT_READ:
		stream_update(s); /* a post-handshake message may have been answered */
		return false;
	case SSL_ERROR_ZERO_RETURN:
		stream_eof(s);
		return false;
	default:
		tls_failed(s);
		return false;
	}
}

/* Feeds what came in to OpenSSL for as long as the handler takes it; the rest is kept. */
static void tls_pump(struct stream *s)
{
	bool more = true;

	while (more) {
		if (s->state == STREAM_HANDSHAKE)
			more = tls_handshake(s);
		else if (s->state == STREAM_OPEN && s->reading && !s->at_end && takes_more(s))
			more = tls_read(s);
		else
			more = false;
	}
	if (s->state != STREAM_OPEN && s->state != STREAM_HANDSHAKE)
		s->cipher = SPAN_NONE;
	if (s->cipher.len)
		ENSURE(buffer_add(&s->kept, s->cipher));
	s->cipher = SPAN_NONE;
}

/* Bytes kept while reading was paused come before any from the kernel. */
static void tls_resume(struct stream *s)
{
	struct buffer kept = s->kept;

	s->kept = BUFFER_INIT(STREAM_KEPT_MAX);
	s->cipher = buffer_span(&kept);
	tls_pump(s);
	buffer_free(&kept);
}

void stream_tls(
	struct stream *s, struct tls_context *context, bool accepting, const char *server_name)
{
	ENSURE(s->state == STREAM_OPEN && !s->ssl);
	tls_context_set_wire(context, &stream_wire);
	s->ssl = tls_connection_new(context, accepting, server_name, s);
	s->state = STREAM_HANDSHAKE;
	stream_update(s);
	if (!accepting || s->kept.len)
		loop_defer(s->loop, &s->deferred);
}

void stream_unread(struct stream *s, struct span bytes)
{
	ENSURE(buffer_add(&s->kept, bytes));
}

/* --- reading --- */

static void read_event(struct stream *s)
{
	/* A second read only when the first filled the buffer: most events then cost one call. */
	for (int i = 0; i < READS_PER_EVENT; i++) {
		ssize_t size = recv(s->fd, s->loop->read_buffer, LOOP_READ_SIZE, 0);
		struct span bytes;

		if (size < 0 && blocked(errno))
			return;
		if (size < 0) {
			stream_end(s, STREAM_END_RESET, strerror(errno));
			return;
		}
		if (size == 0) {
			stream_eof(s);
			return;
		}
		bytes = span_make(s->loop->read_buffer, (size_t)size);
		if (s->ssl) {
			s->cipher = bytes;
			tls_pump(s);
		} else {
			s->handler->on_data(s->context, bytes);
		}
		if (size < LOOP_READ_SIZE || s->at_end || !(s->events & UV_READABLE))
			return;
	}
}

static int socket_error(const struct stream *s)
{
	int number = 0;
	socklen_t size = sizeof(number);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &number, &size) < 0)
		return errno;
	return number;
}

static void connect_event(struct stream *s)
{
	int number = socket_error(s);

	if (number) {
		stream_end(s, STREAM_END_CONNECT, strerror(number));
		return;
	}
	s->state = STREAM_OPEN;
	stream_update(s);
	s->handler->on_connected(s->context);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct stream *s = poll->data;

	MAGIC_ENSURE(s, STREAM_MAGIC);
	if (s->state == STREAM_CONNECTING) {
		connect_event(s);
		return;
	}
	/* libuv reports EPOLLERR as a status and stops the poll: the socket knows better what it
	 * was. */
	if (status < 0) {
		int number = socket_error(s);

		s->events = 0;
		stream_end(s, STREAM_END_RESET, strerror(number ? number : ECONNRESET));
		return;
	}
	if (events & UV_WRITABLE && s->out.len)
		flush_kept(s);
	if (!(events & UV_READABLE) || !(s->events & UV_READABLE))
		return;
	if (s->kept.len) {
		tls_resume(s);
		if (s->kept.len || !(s->events & UV_READABLE))
			return;
	}
	read_event(s);
}

static void on_deferred(struct deferred *deferred)
{
	struct stream *s = CONTAINER_OF(deferred, struct stream, deferred);

	MAGIC_ENSURE(s, STREAM_MAGIC);
	if (s->state == STREAM_CLOSING) {
		s->state = STREAM_CLOSED;
		s->handler->on_closed(s->context);
	} else if (s->state == STREAM_CONNECTING) {
		stream_end(s, STREAM_END_CONNECT, strerror(s->failure));
	} else if (s->failure && s->state != STREAM_ENDED) {
		/* The other side may have said why before it went. */
		if (s->reading && !s->at_end && s->state == STREAM_OPEN)
			read_event(s);
		if (s->state == STREAM_OPEN || s->state == STREAM_HANDSHAKE)
			stream_end(s, STREAM_END_RESET, strerror(s->failure));
	} else if (s->state == STREAM_HANDSHAKE ||
		   (s->state == STREAM_OPEN && s->reading && s->ssl)) {
		tls_resume(s);
	}
}

/* --- the calls --- */

void stream_read(struct stream *s, bool on)
{
	if (s->reading == on)
		return;
	s->reading = on;
	if (s->state != STREAM_OPEN)
		return;
	stream_update(s);
	/* OpenSSL may hold a part of a record that was read already. */
	if (on && s->ssl && (s->kept.len || SSL_has_pending(s->ssl)))
		loop_defer(s->loop, &s->deferred);
}

void stream_write(struct stream *s, struct span bytes)
{
	if (!writable(s) || s->shut || bytes.len == 0)
		return;
	if (s->ssl)
		tls_write(s, bytes);
	else
		send_now(s, bytes);
	stream_update(s);
}

static size_t iov_total(const struct iovec *pieces, int count)
{
	size_t total = 0;

	for (int i = 0; i < count; i++)
		total += pieces[i].iov_len;
	return total;
}

/* Short pieces become one record: each has 22 bytes and a pass of the cipher's overhead. */
static void tls_writev(struct stream *s, const struct iovec *pieces, int count)
{
	char *record = s->loop->write_buffer;
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		struct span piece = span_make(pieces[i].iov_base, pieces[i].iov_len);

		while (piece.len) {
			struct span part = span_first(piece, TLS_RECORD - len);

			memcpy(record + len, part.at, part.len);
			len += part.len;
			piece = span_from(piece, part.len);
			if (len == TLS_RECORD) {
				tls_write(s, span_make(record, len));
				len = 0;
			}
		}
	}
	tls_write(s, span_make(record, len));
}

void stream_writev(struct stream *s, const struct iovec *pieces, int count)
{
	size_t skip = 0;

	if (!writable(s) || s->shut)
		return;
	if (s->ssl) {
		tls_writev(s, pieces, count);
		stream_update(s);
		return;
	}
	if (s->out.len == 0) {
		struct msghdr message = {
			.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
		ssize_t sent = sendmsg(s->fd, &message, MSG_NOSIGNAL);

		if (sent < 0 && !blocked(errno)) {
			stream_fail(s, errno);
			return;
		}
		skip = sent > 0 ? (size_t)sent : 0;
		if (skip == iov_total(pieces, count))
			return;
	}
	for (int i = 0; i < count; i++) {
		struct span piece = span_make(pieces[i].iov_base, pieces[i].iov_len);

		keep(s, span_from(piece, skip));
		skip -= skip < piece.len ? skip : piece.len;
	}
	stream_update(s);
}

int64_t stream_send_file(struct stream *s, int fd, uint64_t offset, uint64_t size)
{
	off_t at = (off_t)offset;
	ssize_t sent;

	ENSURE(s->out.len == 0);
	if (!writable(s) || s->shut)
		return 0;
	if (s->ssl) {
		size_t part = size < LOOP_READ_SIZE ? (size_t)size : LOOP_READ_SIZE;

		sent = pread(fd, s->loop->write_buffer, part, at);
		if (sent <= 0)
			return -1;
		tls_write(s, span_make(s->loop->write_buffer, (size_t)sent));
		stream_update(s);
		return sent;
	}
	sent = sendfile(s->fd, fd, &at, size);
	if (sent > 0)
		return sent;
	if (sent == 0)
		return -1;
	if (blocked(errno)) {
		/* Something must wait for the kernel, so that on_drain comes. */
		char first;

		if (pread(fd, &first, 1, (off_t)offset) != 1)
			return -1;
		keep(s, span_make(&first, 1));
		stream_update(s);
		return 1;
	}
	stream_fail(s, errno);
	return 0;
}

void stream_shutdown(struct stream *s)
{
	if (!writable(s) || s->shut)
		return;
	if (s->ssl && s->state == STREAM_OPEN) {
		SSL_shutdown(s->ssl);
		ERR_clear_error();
	}
	s->shut = true;
	stream_update(s);
	finish_shutdown(s);
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct stream *s = handle->data;

	MAGIC_ENSURE(s, STREAM_MAGIC);
	s->state = STREAM_CLOSED;
	s->handler->on_closed(s->context);
}

void stream_close(struct stream *s)
{
	MAGIC_ENSURE(s, STREAM_MAGIC);
	if (s->state == STREAM_CLOSED || s->state == STREAM_CLOSING)
		return;
	s->state = STREAM_CLOSING;
	s->events = 0; /* read_event, which may be below us, ends there */
	loop_undefer(s->loop, &s->deferred);
	buffer_free(&s->out);
	buffer_free(&s->kept);
	s->cipher = SPAN_NONE;
	if (s->fd < 0) {
		loop_defer(s->loop, &s->deferred);
		return;
	}
	uv_close((uv_handle_t *)&s->poll, on_poll_closed);
	close(s->fd);
	s->fd = -1;
	/* Freed here, not in a callback of OpenSSL's: stream_close may run inside on_data, below
	 * SSL_read's return. */
	SSL_free(s->ssl);
	s->ssl = NULL;
}

struct stream_tls_info stream_tls_info(const struct stream *s)
{
	struct stream_tls_info info = {0};

	if (!s->ssl || s->state == STREAM_HANDSHAKE)
		return info;
	info.version = SSL_get_version(s->ssl);
	info.cipher = SSL_get_cipher_name(s->ssl);
	info.bits = SSL_get_cipher_bits(s->ssl, NULL);
	info.sni = SSL_get_servername(s->ssl, TLSEXT_NAMETYPE_host_name);
	info.resumed = SSL_session_reused(s->ssl) == 1;
	return info;
}

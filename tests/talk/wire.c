#include "tests/talk/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fail.h"

enum {
	SHOWN_MAX = 300,
	TRANSCRIPT_MAX = 256 * 1024,
	INPUT_MAX = 256 * 1024 * 1024,
	POLLED_MAX = 2048
};

static const struct clock real_clock = {0};

/* --- transcript --- */

static void add_shown(struct buffer *out, struct span bytes)
{
	size_t shown = bytes.len < SHOWN_MAX ? bytes.len : SHOWN_MAX;
	bool ok = true;

	for (size_t i = 0; i < shown && ok; i++) {
		unsigned char c = (unsigned char)bytes.at[i];

		if (c == '\r' || c == '\n')
			ok = buffer_add_text(out, c == '\r' ? "\\r" : "\\n");
		else if (c < 32 || c > 126)
			ok = buffer_print(out, "\\x%02x", c);
		else
			ok = buffer_add_char(out, (char)c);
	}
	if (shown < bytes.len)
		ok = ok && buffer_print(out, "... (%zu bytes)", bytes.len);
	(void)ok; /* a transcript that is full is long enough */
}

void wire_note(struct wire *wire, const char *name, const char *arrow, struct span bytes)
{
	struct buffer *out = &wire->transcript;

	if (!buffer_print(out, "\t%-9s %s ", name, arrow))
		return;
	add_shown(out, bytes);
	if (!buffer_add_char(out, '\n'))
		return;
}

/* --- beginning and end --- */

static SSL_CTX *server_context(struct house *house)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct span chain = certificate_pem(house->mx.chain), key = certificate_pem(house->mx.key);
	BIO *chain_bio = BIO_new_mem_buf(chain.at, (int)chain.len);
	BIO *key_bio = BIO_new_mem_buf(key.at, (int)key.len);
	X509 *x = PEM_read_bio_X509(chain_bio, NULL, NULL, NULL);
	EVP_PKEY *pkey = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);

	ENSURE(ctx && x && pkey && SSL_CTX_use_certificate(ctx, x) == 1 &&
		SSL_CTX_use_PrivateKey(ctx, pkey) == 1);
	X509_free(x);
	EVP_PKEY_free(pkey);
	BIO_free(chain_bio);
	BIO_free(key_bio);
	return ctx;
}

void wire_open(struct wire *wire, struct house *house)
{
	struct server servers[WIRE_SERVERS];

	/* The servers' ports stand in the configuration and so are older than the house. */
	memcpy(servers, wire->servers, sizeof(servers));
	wire->house = house;
	wire->client_tls = SSL_CTX_new(TLS_client_method());
	wire->server_tls = server_context(house);
	ENSURE(wire->client_tls);
	SSL_CTX_set_verify(wire->client_tls, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(wire->client_tls, SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_CTX_set_mode(wire->server_tls, SSL_MODE_ENABLE_PARTIAL_WRITE);
	memcpy(wire->servers, servers, sizeof(servers));
}

static void close_fd(struct end *end)
{
	SSL_free(end->ssl);
	end->ssl = NULL;
	if (end->fd >= 0)
		close(end->fd);
	end->fd = -1;
}

void wire_close(struct wire *wire)
{
	while (wire->ends) {
		struct end *end = wire->ends;

		wire->ends = end->next;
		close_fd(end);
		buffer_free(&end->in);
		buffer_free(&end->out);
		free(end);
	}
	for (unsigned i = 0; i < WIRE_SERVERS; i++)
		wire_server_down(wire, i);
	SSL_CTX_free(wire->client_tls);
	SSL_CTX_free(wire->server_tls);
	buffer_free(&wire->transcript);
}

/* --- scripted backends --- */

static void server_listen(struct server *server)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(server->port)};
	socklen_t size = sizeof(address);
	int one = 1;

	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ENSURE(server->fd >= 0);
	setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	ENSURE(bind(server->fd, (struct sockaddr *)&address, size) == 0);
	ENSURE(listen(server->fd, 64) == 0);
	ENSURE(getsockname(server->fd, (struct sockaddr *)&address, &size) == 0);
	server->port = ntohs(address.sin_port);
}

uint16_t wire_server_port(struct wire *wire, unsigned number)
{
	struct server *server = &wire->servers[number];

	if (server->port == 0)
		server_listen(server);
	return server->port;
}

void wire_server_down(struct wire *wire, unsigned number)
{
	struct server *server = &wire->servers[number];

	if (server->port && server->fd >= 0) {
		close(server->fd);
		server->fd = -1;
	}
}

void wire_server_up(struct wire *wire, unsigned number)
{
	if (wire->servers[number].fd < 0)
		server_listen(&wire->servers[number]);
}

bool wire_server_waiting(const struct wire *wire, unsigned number)
{
	const struct server *server = &wire->servers[number];
	struct pollfd polled = {.fd = server->fd, .events = POLLIN};

	return server->port && server->fd >= 0 && poll(&polled, 1, 0) == 1;
}

/* --- ends --- */

struct end *wire_find(struct wire *wire, struct span name)
{
	for (struct end *end = wire->ends; end; end = end->next)
		if (span_equal(span_text(end->name), name))
			return end;
	return NULL;
}

/* A name may be given anew: what was under it is closed. */
static struct end *end_new(struct wire *wire, struct span name, int fd)
{
	struct end *end = wire_find(wire, name);
	int one = 1;

	if (!end) {
		end = memory_zeroed(sizeof(*end));
		snprintf(end->name, sizeof(end->name), "%.*s", SPAN_ARGS(name));
		end->next = wire->ends;
		wire->ends = end;
		end->in = BUFFER_INIT(INPUT_MAX);
		end->out = BUFFER_INIT(INPUT_MAX);
		end->fd = -1;
	}
	close_fd(end);
	buffer_clear(&end->in);
	buffer_clear(&end->out);
	end->eof = end->reset = end->tls_failed = end->stalled = false;
	end->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return end;
}

struct end *wire_connect(struct wire *wire, struct span name, const struct endpoint *to,
	const struct ip *from, int receive_bytes)
{
	struct sockaddr_storage address;
	socklen_t size = endpoint_sockaddr(to, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ENSURE(fd >= 0);
	if (from->family != IP_NONE) {
		struct endpoint local = {*from, 0};
		struct sockaddr_storage source;
		socklen_t source_size = endpoint_sockaddr(&local, &source);

		ENSURE(bind(fd, (struct sockaddr *)&source, source_size) == 0);
	}
	if (receive_bytes)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
	ENSURE(connect(fd, (struct sockaddr *)&address, size) == 0 || errno == EINPROGRESS);
	return end_new(wire, name, fd);
}

struct end *wire_accept(struct wire *wire, struct span name, unsigned number)
{
	uint64_t deadline_ms = wire_deadline(wire);
	struct server *server = &wire->servers[number];

	do {
		int fd = server->port && server->fd >= 0
				 ? accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
				 : -1;

		if (fd >= 0)
			return end_new(wire, name, fd);
	} while (wire_turn(wire, deadline_ms));
	return NULL;
}

static void end_lost(struct wire *wire, struct end *end)
{
	end->reset = true;
	wire_note(wire, end->name, "!", SPAN("connection reset"));
}

/* Bytes taken; 0: not now; -1: never again. */
static ssize_t end_write(struct wire *wire, struct end *end, struct span bytes)
{
	ssize_t sent;

	if (end->fd < 0 || end->reset || end->tls_failed)
		return -1;
	if (end->ssl) {
		size_t part = bytes.len < 16 * 1024 ? bytes.len : 16 * 1024;
		int error;

		sent = SSL_write(end->ssl, bytes.at, (int)part);
		if (sent > 0)
			return sent;
		error = SSL_get_error(end->ssl, (int)sent);
		ERR_clear_error();
		return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? 0 : -1;
	}
	sent = send(end->fd, bytes.at, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent >= 0)
		return sent;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return 0;
	if (errno == ECONNRESET)
		end_lost(wire, end);
	return -1;
}

static void flush(struct wire *wire, struct end *end)
{
	while (end->out.len) {
		ssize_t sent = end_write(wire, end, buffer_span(&end->out));

		if (sent < 0) {
			wire_note(wire, end->name, "!", SPAN("can't send any more"));
			buffer_clear(&end->out);
			return;
		}
		if (sent == 0)
			return;
		buffer_consume(&end->out, (size_t)sent);
	}
}

/* false: it does not get rid of it. */
static bool flush_all(struct wire *wire, struct end *end)
{
	uint64_t deadline_ms = wire_deadline(wire);

	while (end->out.len)
		if (!wire_turn(wire, deadline_ms))
			return false;
	return true;
}

void wire_send(struct wire *wire, struct end *end, struct span bytes, bool cut)
{
	wire_note(wire, end->name, cut ? ">>cut" : ">", bytes);
	if (!cut) {
		ENSURE(buffer_add(&end->out, bytes));
		flush(wire, end);
		return;
	}
	for (size_t i = 0; i < bytes.len && flush_all(wire, end); i++) {
		ENSURE(buffer_add(&end->out, span_make(bytes.at + i, 1)));
		flush(wire, end);
		wire_settle(wire, 0);
	}
}

/* Takes up what has come. true: something has. */
static bool end_read(struct wire *wire, struct end *end)
{
	static char bytes[64 * 1024];
	size_t before = end->in.len;
	bool some = false;

	while (end->fd >= 0 && !end->stalled && !end->eof && !end->reset && !end->tls_failed) {
		ssize_t len;
		int error = SSL_ERROR_NONE;

		errno = 0;
		len = end->ssl ? SSL_read(end->ssl, bytes, sizeof(bytes))
			       : recv(end->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (len > 0) {
			ENSURE(buffer_add(&end->in, span_make(bytes, (size_t)len)));
			some = true;
			continue;
		}
		if (end->ssl) {
			error = SSL_get_error(end->ssl, (int)len);
			ERR_clear_error();
			if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
				break;
		} else if (len < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOTCONN)) {
			break;
		}
		if (errno == ECONNRESET || errno == EPIPE)
			end_lost(wire, end);
		else if (error == SSL_ERROR_SSL)
			end->tls_failed = true;
		else
			end->eof = true;
		if (end->eof)
			wire_note(wire, end->name, "!", SPAN("closed by postern"));
		some = true;
	}
	if (end->in.len > before)
		wire_note(wire, end->name, "<", span_from(buffer_span(&end->in), before));
	return some;
}

bool wire_tls(struct wire *wire, struct end *end, bool accepting, const char *sni)
{
	uint64_t deadline_ms = wire_deadline(wire);

	end->ssl = SSL_new(accepting ? wire->server_tls : wire->client_tls);
	ENSURE(end->ssl && SSL_set_fd(end->ssl, end->fd) == 1);
	if (accepting)
		SSL_set_accept_state(end->ssl);
	else
		SSL_set_connect_state(end->ssl);
	if (sni)
		SSL_set_tlsext_host_name(end->ssl, sni);
	do {
		end_read(wire, end);
		if (end->tls_failed || end->eof || end->reset)
			return false;
		if (SSL_is_init_finished(end->ssl)) {
			wire_note(wire, end->name, "=", span_text(SSL_get_version(end->ssl)));
			return true;
		}
	} while (wire_turn(wire, deadline_ms));
	return false;
}

void wire_half_close(struct wire *wire, struct end *end)
{
	flush_all(wire, end);
	wire_note(wire, end->name, ">", SPAN("(half-close)"));
	if (end->ssl)
		SSL_shutdown(end->ssl);
	shutdown(end->fd, SHUT_WR);
}

void wire_drop(struct wire *wire, struct end *end, bool reset)
{
	struct linger linger = {1, 0};

	wire_note(wire, end->name, ">", reset ? SPAN("(reset)") : SPAN("(close)"));
	if (reset)
		setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close_fd(end);
	buffer_clear(&end->in);
	buffer_clear(&end->out);
}

/* --- time --- */

uint64_t wire_deadline(const struct wire *wire)
{
	return clock_now_ms(&real_clock) + (uint64_t)wire->guard_ms;
}

/* The house's turn, without waiting. true: something happened that a script can see. */
static bool turn_once(struct wire *wire)
{
	bool some;

	loop_turn(&wire->house->loop, false);
	some = house_read_log(wire->house);
	for (struct end *end = wire->ends; end; end = end->next) {
		flush(wire, end);
		some |= end_read(wire, end);
	}
	return some;
}

/* Sleeps until the house or an end has something to do. false: nothing in that time. */
static bool sleep_until_something(struct wire *wire, int most_ms)
{
	static struct pollfd polled[POLLED_MAX];
	const uv_loop_t *uv = &wire->house->loop.uv;
	int loop_ms = uv_loop_alive(uv) ? uv_backend_timeout(uv) : -1;
	nfds_t n = 0;
	int ready;

	polled[n++] = (struct pollfd){.fd = uv_backend_fd(&wire->house->loop.uv), .events = POLLIN};
	for (struct end *end = wire->ends; end && n < POLLED_MAX; end = end->next) {
		bool reads = !end->stalled && !end->eof;
		short events = (short)((reads ? POLLIN : 0) | (end->out.len ? POLLOUT : 0));

		if (end->fd >= 0 && events && !end->reset && !end->tls_failed)
			polled[n++] = (struct pollfd){.fd = end->fd, .events = events};
	}
	if (loop_ms == 0)
		return true;
	ready = poll(polled, n, loop_ms > 0 && loop_ms < most_ms ? loop_ms : most_ms);
	return ready > 0 || (loop_ms > 0 && loop_ms < most_ms);
}

bool wire_turn(struct wire *wire, uint64_t deadline_ms)
{
	uint64_t now_ms = clock_now_ms(&real_clock);

	if (turn_once(wire))
		return true;
	if (now_ms >= deadline_ms)
		return false;
	/* A sleep that ends without anything is no reason to give up before the deadline. */
	sleep_until_something(wire, deadline_ms - now_ms < 20 ? (int)(deadline_ms - now_ms) : 20);
	return true;
}

void wire_settle(struct wire *wire, int quiet_ms)
{
	uint64_t deadline_ms = wire_deadline(wire);

	while (clock_now_ms(&real_clock) < deadline_ms) {
		if (turn_once(wire))
			continue;
		if (!sleep_until_something(wire, quiet_ms))
			return;
	}
}

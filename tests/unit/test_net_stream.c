/*
 * The stream, plain and under TLS, against an end of plain sockets (plain), or another stream
 * (TLS): what comes arrives once and in order, what is told is told once, and nothing is called
 * from within a call.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/ssl.h>

#include "lib/base/fail.h"
#include "lib/net/stream.h"
#include "tests/data/certificate.h"

enum { LARGE = 4 * 1024 * 1024, GUARD_MS = 10000 };

/* A stream and what it told. */
struct side {
	struct stream stream;
	struct buffer got;
	unsigned connected, tls, ended, drained, closed;
	enum stream_end end; /* the last */
	char detail[200];
	size_t pause_at; /* reading is turned off once so much has come; 0: never */
	bool close_on_data, close_on_tls, close_on_end;
	bool inside;   /* a stream_ call is under way: no callback may come */
	uint64_t left; /* of a file, sent on drain */
	int file;
	uint64_t file_size;
};

static void on_connected(void *context)
{
	struct side *s = context;

	assert_false(s->inside);
	s->connected++;
}

static void on_data(void *context, struct span bytes)
{
	struct side *s = context;

	assert_false(s->inside);
	assert_true(s->stream.reading);
	assert_true(bytes.len > 0);
	assert_true(buffer_add(&s->got, bytes));
	if (s->pause_at && s->got.len >= s->pause_at)
		stream_read(&s->stream, false);
	if (s->close_on_data)
		stream_close(&s->stream);
}

static void on_end(void *context, enum stream_end end, const char *detail)
{
	struct side *s = context;

	assert_false(s->inside);
	assert_int_equal(s->closed, 0);
	s->ended++;
	s->end = end;
	snprintf(s->detail, sizeof(s->detail), "%s", detail);
	if (s->close_on_end)
		stream_close(&s->stream);
}

static void send_file(struct side *s)
{
	while (s->left && stream_pending(&s->stream) == 0) {
		int64_t sent =
			stream_send_file(&s->stream, s->file, s->file_size - s->left, s->left);

		assert_true(sent >= 0);
		if (sent == 0)
			return;
		s->left -= (uint64_t)sent;
	}
}

static void on_drain(void *context)
{
	struct side *s = context;

	assert_false(s->inside);
	s->drained++;
	send_file(s);
}

static void on_tls(void *context)
{
	struct side *s = context;

	assert_false(s->inside);
	s->tls++;
	if (s->close_on_tls)
		stream_close(&s->stream);
}

static void on_closed(void *context)
{
	struct side *s = context;

	assert_false(s->inside);
	s->closed++;
}

static const struct stream_handler handler = {
	on_connected, on_data, on_end, on_drain, on_tls, on_closed};

#define INSIDE(side, call)                                                                         \
	do {                                                                                       \
		(side)->inside = true;                                                             \
		call;                                                                              \
		(side)->inside = false;                                                            \
	} while (0)

struct fixture {
	struct loop loop;
	struct side a, b; /* b is in use where both ends are streams */
	int peer;         /* a plain socket otherwise; -1: closed */
	struct tls_context *server, *client;
};

static void tcp_pair(int out[2])
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&address, &size);
	out[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(out[0], (struct sockaddr *)&address, size), 0);
	out[1] = accept(listener, NULL, NULL);
	assert_true(out[1] >= 0);
	for (int i = 0; i < 2; i++)
		fcntl(out[i], F_SETFL, O_NONBLOCK);
	close(listener);
}

static void side_init(struct side *s)
{
	s->got = BUFFER_INIT(64 * LARGE);
	s->file = -1;
}

static struct fixture *fixture_new(bool both)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int pair[2];

	loop_init(&f->loop);
	side_init(&f->a);
	side_init(&f->b);
	tcp_pair(pair);
	stream_open(&f->a.stream, &f->loop, pair[0], &handler, &f->a);
	f->peer = pair[1];
	if (both) {
		stream_open(&f->b.stream, &f->loop, pair[1], &handler, &f->b);
		f->peer = -1;
	}
	return f;
}

static void turn(struct fixture *f)
{
	loop_turn(&f->loop, false);
}

/* Turns until nothing more happens at once. */
static void settle(struct fixture *f)
{
	for (int i = 0; i < 30; i++)
		turn(f);
}

/* The guard is in real time: a busy machine may take a while to carry a byte over the loopback. */
#define TURN_UNTIL(f, condition)                                                                   \
	do {                                                                                       \
		uint64_t begun_ms_ = clock_now_ms(&(f)->loop.clock);                               \
		while (!(condition)) {                                                             \
			assert_true(clock_now_ms(&(f)->loop.clock) < begun_ms_ + GUARD_MS);        \
			turn(f);                                                                   \
		}                                                                                  \
	} while (0)

static void side_close(struct fixture *f, struct side *s)
{
	if (s->stream.state != STREAM_CLOSED && s->stream.state != STREAM_CLOSING)
		INSIDE(s, stream_close(&s->stream));
	if (s->stream.magic) {
		TURN_UNTIL(f, s->stream.state == STREAM_CLOSED);
		assert_int_equal(s->closed, 1);
	}
	buffer_free(&s->got);
	if (s->file >= 0)
		close(s->file);
}

static void fixture_free(struct fixture *f)
{
	side_close(f, &f->a);
	side_close(f, &f->b);
	if (f->peer >= 0)
		close(f->peer);
	tls_context_free(&f->server);
	tls_context_free(&f->client);
	loop_close(&f->loop);
	free(f);
}

static void peer_send(struct fixture *f, const char *text)
{
	assert_int_equal(send(f->peer, text, strlen(text), 0), (ssize_t)strlen(text));
}

static char *pattern_new(size_t size)
{
	char *bytes = malloc(size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(i * 31 + (i >> 12) * 7);
	return bytes;
}

/* Reads all that the peer has been sent. */
static size_t peer_receive(struct fixture *f, char *out, size_t size)
{
	size_t total = 0;
	ssize_t len;

	while (total < size && (len = recv(f->peer, out + total, size - total, 0)) > 0)
		total += (size_t)len;
	return total;
}

/* --- plain --- */

static void test_reading(void **state)
{
	struct fixture *f = fixture_new(false);

	(void)state;
	peer_send(f, "early");
	settle(f);
	assert_int_equal(f->a.got.len, 0); /* reading is off at first */
	INSIDE(&f->a, stream_read(&f->a.stream, true));
	TURN_UNTIL(f, f->a.got.len == 5);
	stream_read(&f->a.stream, false);
	peer_send(f, "later");
	settle(f);
	assert_int_equal(f->a.got.len, 5);
	stream_read(&f->a.stream, true);
	TURN_UNTIL(f, f->a.got.len == 10);
	assert_string_equal(buffer_string(&f->a.got), "earlylater");
	fixture_free(f);
}

static void test_paused_from_within(void **state)
{
	struct fixture *f = fixture_new(false);
	char *bytes = pattern_new(LARGE);
	size_t sent = 0;

	(void)state;
	f->a.pause_at = 1;
	stream_read(&f->a.stream, true);
	while (sent < LARGE || f->a.got.len < LARGE) {
		ssize_t len = send(f->peer, bytes + sent, LARGE - sent, 0);
		size_t before = f->a.got.len;

		sent += len > 0 ? (size_t)len : 0;
		turn(f);
		assert_true(
			f->a.got.len - before <= LOOP_READ_SIZE); /* one read, then it was off */
		stream_read(&f->a.stream, true);
	}
	assert_memory_equal(buffer_span(&f->a.got).at, bytes, LARGE);
	free(bytes);
	fixture_free(f);
}

/* What the kernel does not take is kept and goes on by itself; on_drain tells when. */
static void test_slow_reader(void **state)
{
	struct fixture *f = fixture_new(false);
	char *bytes = pattern_new(4 * LARGE), *got = malloc(4 * LARGE);
	struct iovec pieces[3] = {
		{bytes, 7}, {bytes + 7, 3 * LARGE}, {bytes + 7 + 3 * LARGE, LARGE - 100}};
	size_t received = 0;

	(void)state;
	INSIDE(&f->a, stream_writev(&f->a.stream, pieces, 3));
	assert_true(stream_pending(&f->a.stream) > 0);
	INSIDE(&f->a, stream_write(&f->a.stream, span_make(bytes + 4 * LARGE - 93, 93)));
	assert_int_equal(f->a.drained, 0);
	while (received < 4 * LARGE) {
		received += peer_receive(f, got + received, 4 * LARGE - received);
		turn(f);
	}
	TURN_UNTIL(f, f->a.drained);
	assert_int_equal(f->a.drained, 1);
	assert_int_equal(stream_pending(&f->a.stream), 0);
	assert_memory_equal(got, bytes, 4 * LARGE);
	free(bytes);
	free(got);
	fixture_free(f);
}

static int file_of(const char *bytes, size_t size)
{
	char name[] = "/tmp/test_net_stream.XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	return fd;
}

static void test_send_file_to_slow_reader(void **state)
{
	struct fixture *f = fixture_new(false);
	char *bytes = pattern_new(4 * LARGE), *got = malloc(4 * LARGE);
	size_t received = 0;

	(void)state;
	f->a.file = file_of(bytes, 4 * LARGE);
	f->a.file_size = f->a.left = 4 * LARGE;
	send_file(&f->a);
	assert_true(f->a.left > 0);
	while (received < 4 * LARGE) {
		received += peer_receive(f, got + received, 4 * LARGE - received);
		turn(f);
	}
	assert_memory_equal(got, bytes, 4 * LARGE);
	/* A file that is shorter than it was said to be. */
	assert_int_equal(stream_send_file(&f->a.stream, f->a.file, 4 * LARGE, 10), -1);
	free(bytes);
	free(got);
	fixture_free(f);
}

/* The other side closes its half: told once; writing goes on. */
static void test_half_close(void **state)
{
	struct fixture *f = fixture_new(false);
	char got[20] = "";

	(void)state;
	stream_read(&f->a.stream, true);
	peer_send(f, "bye");
	shutdown(f->peer, SHUT_WR);
	TURN_UNTIL(f, f->a.ended);
	settle(f);
	assert_int_equal(f->a.ended, 1);
	assert_int_equal(f->a.end, STREAM_END_EOF);
	assert_string_equal(buffer_string(&f->a.got), "bye");
	INSIDE(&f->a, stream_write(&f->a.stream, SPAN("heard")));
	assert_int_equal(peer_receive(f, got, 5), 5);
	assert_string_equal(got, "heard");
	fixture_free(f);
}

/* Our half: what is kept goes first; reading goes on. */
static void test_shutdown_with_kept(void **state)
{
	struct fixture *f = fixture_new(false);
	char *bytes = pattern_new(4 * LARGE), *got = malloc(4 * LARGE + 1);
	size_t received = 0;

	(void)state;
	stream_read(&f->a.stream, true);
	stream_write(&f->a.stream, span_make(bytes, 4 * LARGE));
	INSIDE(&f->a, stream_shutdown(&f->a.stream));
	stream_write(&f->a.stream, SPAN("too late"));
	while (received < 4 * LARGE) {
		received += peer_receive(f, got + received, 4 * LARGE + 1 - received);
		turn(f);
	}
	settle(f);
	assert_int_equal(recv(f->peer, got, 1, 0), 0); /* the FIN */
	assert_memory_equal(got + 1, bytes + 1, 4 * LARGE - 1);
	peer_send(f, "still");
	TURN_UNTIL(f, f->a.got.len == 5);
	free(bytes);
	free(got);
	fixture_free(f);
}

static void peer_reset(struct fixture *f)
{
	struct linger linger = {1, 0};

	setsockopt(f->peer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(f->peer);
	f->peer = -1;
}

static void test_reset(void **state)
{
	struct fixture *f = fixture_new(false);

	(void)state;
	stream_read(&f->a.stream, true);
	peer_reset(f);
	TURN_UNTIL(f, f->a.ended);
	settle(f);
	assert_int_equal(f->a.ended, 1);
	assert_int_equal(f->a.end, STREAM_END_RESET);
	assert_int_equal(f->a.stream.state, STREAM_ENDED);
	INSIDE(&f->a, stream_write(&f->a.stream, SPAN("nobody there")));
	INSIDE(&f->a, stream_read(&f->a.stream, false));
	INSIDE(&f->a, stream_shutdown(&f->a.stream));
	settle(f);
	assert_int_equal(f->a.ended, 1);
	fixture_free(f);
}

/* A write that fails is told later, once, also while reading is off; what the other side had said
 * is read first. */
static void test_write_after_reset(void **state)
{
	struct fixture *f = fixture_new(false);

	(void)state;
	stream_read(&f->a.stream, true);
	stream_read(&f->a.stream, false);
	peer_reset(f);
	settle(f);
	INSIDE(&f->a, stream_write(&f->a.stream, SPAN("one")));
	INSIDE(&f->a, stream_write(&f->a.stream, SPAN("two")));
	TURN_UNTIL(f, f->a.ended);
	settle(f);
	assert_int_equal(f->a.ended, 1);
	assert_int_equal(f->a.end, STREAM_END_RESET);
	assert_int_equal(stream_pending(&f->a.stream), 0);
	fixture_free(f);
}

/* After EOF writing may go on, and its failure has an on_end of its own. */
static void test_write_failure_after_eof(void **state)
{
	struct fixture *f = fixture_new(false);

	(void)state;
	stream_read(&f->a.stream, true);
	close(f->peer);
	f->peer = -1;
	TURN_UNTIL(f, f->a.ended);
	assert_int_equal(f->a.end, STREAM_END_EOF);
	stream_write(&f->a.stream, SPAN("answered by a reset"));
	settle(f);
	stream_write(&f->a.stream, SPAN("fails"));
	TURN_UNTIL(f, f->a.ended == 2);
	assert_int_equal(f->a.end, STREAM_END_RESET);
	fixture_free(f);
}

/* From within on_data, with a full buffer read and more behind it. */
static void test_close_from_within(void **state)
{
	struct fixture *f = fixture_new(false);
	char *bytes = pattern_new(LARGE);

	(void)state;
	assert_true(send(f->peer, bytes, LARGE, 0) > 2 * LOOP_READ_SIZE);
	f->a.close_on_data = true;
	stream_read(&f->a.stream, true);
	TURN_UNTIL(f, f->a.closed);
	settle(f);
	assert_int_equal(f->a.got.len, LOOP_READ_SIZE);
	assert_int_equal(f->a.ended, 0);
	assert_int_equal(f->a.closed, 1);
	free(bytes);
	fixture_free(f);
}

static void test_close_on_end(void **state)
{
	struct fixture *f = fixture_new(false);

	(void)state;
	f->a.close_on_end = true;
	stream_read(&f->a.stream, true);
	peer_reset(f);
	TURN_UNTIL(f, f->a.closed);
	assert_int_equal(f->a.ended, 1);
	fixture_free(f);
}

/* --- connecting --- */

static struct fixture *fixture_bare(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	loop_init(&f->loop);
	side_init(&f->a);
	side_init(&f->b);
	f->peer = -1;
	return f;
}

static int listen_somewhere(struct endpoint *out)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&address, &size);
	*out = endpoint_of((struct sockaddr *)&address);
	return listener;
}

static void test_connect(void **state)
{
	struct fixture *f = fixture_bare();
	struct endpoint to;
	int listener = listen_somewhere(&to);

	(void)state;
	INSIDE(&f->a, stream_connect(&f->a.stream, &f->loop, &to, NULL, &handler, &f->a));
	INSIDE(&f->a, stream_read(&f->a.stream, true));
	TURN_UNTIL(f, f->a.connected);
	f->peer = accept(listener, NULL, NULL);
	peer_send(f, "hello");
	TURN_UNTIL(f, f->a.got.len == 5);
	assert_int_equal(f->a.connected, 1);
	close(listener);
	fixture_free(f);
}

static void test_connect_refused(void **state)
{
	struct fixture *f = fixture_bare();
	struct endpoint to;

	(void)state;
	close(listen_somewhere(&to));
	INSIDE(&f->a, stream_connect(&f->a.stream, &f->loop, &to, NULL, &handler, &f->a));
	TURN_UNTIL(f, f->a.ended);
	settle(f);
	assert_int_equal(f->a.connected, 0);
	assert_int_equal(f->a.ended, 1);
	assert_int_equal(f->a.end, STREAM_END_CONNECT);
	assert_string_equal(f->a.detail, strerror(ECONNREFUSED));
	fixture_free(f);
}

static void test_connect_unix(void **state)
{
	struct fixture *f = fixture_bare();
	char folder[] = "/tmp/test_net_stream.XXXXXX";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", folder);
	/* Nothing there yet. */
	stream_connect(&f->a.stream, &f->loop, NULL, address.sun_path, &handler, &f->a);
	TURN_UNTIL(f, f->a.ended);
	assert_int_equal(f->a.end, STREAM_END_CONNECT);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	stream_connect(&f->b.stream, &f->loop, NULL, address.sun_path, &handler, &f->b);
	TURN_UNTIL(f, f->b.connected);
	close(listener);
	unlink(address.sun_path);
	rmdir(folder);
	fixture_free(f);
}

/* Closed while it connects, and after no descriptor could be had. */
static void test_connect_abandoned(void **state)
{
	struct fixture *f = fixture_bare();
	struct endpoint to;
	int listener = listen_somewhere(&to);

	(void)state;
	stream_connect(&f->a.stream, &f->loop, &to, NULL, &handler, &f->a);
	INSIDE(&f->a, stream_close(&f->a.stream));
	TURN_UNTIL(f, f->a.closed);
	to.ip.family = IP_NONE; /* an address of no family: no socket */
	stream_connect(&f->b.stream, &f->loop, &to, NULL, &handler, &f->b);
	INSIDE(&f->b, stream_close(&f->b.stream));
	TURN_UNTIL(f, f->b.closed);
	settle(f);
	assert_int_equal(f->a.ended + f->b.ended, 0);
	close(listener);
	fixture_free(f);
}

/* --- TLS --- */

static struct fixture *fixture_tls(int minimum_version)
{
	struct fixture *f = fixture_new(true);
	struct certificate certificate = certificate_new("mx.example.net", "DNS:mx.example.net");
	struct tls_identity identity = {
		"mx.pem", certificate_pem(certificate.chain), certificate_pem(certificate.key)};
	struct err err;

	f->server = tls_context_server(&identity, 1, minimum_version, NULL, &err);
	f->client = tls_context_client(false, &err);
	assert_non_null(f->server);
	assert_non_null(f->client);
	certificate_free(&certificate);
	return f;
}

static void handshake(struct fixture *f)
{
	stream_read(&f->a.stream, true);
	stream_read(&f->b.stream, true);
	INSIDE(&f->b, stream_tls(&f->b.stream, f->server, true, NULL));
	INSIDE(&f->a, stream_tls(&f->a.stream, f->client, false, "mx.example.net"));
	TURN_UNTIL(f, f->a.tls && f->b.tls);
	assert_int_equal(f->a.tls + f->b.tls, 2);
}

static void test_tls(void **state)
{
	struct fixture *f = fixture_tls(TLS1_2_VERSION);
	struct stream_tls_info info;

	(void)state;
	assert_null(stream_tls_info(&f->b.stream).version);
	handshake(f);
	info = stream_tls_info(&f->b.stream);
	assert_string_equal(info.version, "TLSv1.3");
	assert_string_equal(info.sni, "mx.example.net");
	assert_true(info.bits >= 128);
	INSIDE(&f->a, stream_write(&f->a.stream, SPAN("question")));
	INSIDE(&f->b, stream_write(&f->b.stream, SPAN("answer")));
	TURN_UNTIL(f, f->b.got.len == 8 && f->a.got.len == 6);
	assert_string_equal(buffer_string(&f->b.got), "question");
	assert_string_equal(buffer_string(&f->a.got), "answer");
	fixture_free(f);
}

/* Both ways at once, by write, writev and file, with pauses of the reader: nothing is lost or
 * doubled. */
static void test_tls_large(void **state)
{
	struct fixture *f = fixture_tls(TLS1_2_VERSION);
	char *bytes = pattern_new(LARGE);
	struct iovec pieces[3] = {
		{bytes, 5}, {bytes + 5, 100000}, {bytes + 100005, LARGE - 100005}};
	size_t before;

	(void)state;
	handshake(f);
	f->b.pause_at = 1;
	INSIDE(&f->a, stream_writev(&f->a.stream, pieces, 3));
	f->b.file = file_of(bytes, LARGE);
	f->b.file_size = f->b.left = LARGE;
	send_file(&f->b);
	while (f->b.got.len < LARGE || f->a.got.len < LARGE) {
		before = f->b.got.len;
		turn(f);
		assert_true(f->b.got.len - before <= LOOP_PLAIN_SIZE);
		INSIDE(&f->b, stream_read(&f->b.stream, true));
	}
	assert_memory_equal(buffer_span(&f->b.got).at, bytes, LARGE);
	assert_memory_equal(buffer_span(&f->a.got).at, bytes, LARGE);
	free(bytes);
	fixture_free(f);
}

/* Reading is off while records come: they are kept, and come when it is on again although the
 * kernel has nothing new. */
static void test_tls_paused(void **state)
{
	struct fixture *f = fixture_tls(TLS1_2_VERSION);

	(void)state;
	handshake(f);
	f->b.pause_at = 1;
	for (int i = 0; i < 10; i++)
		stream_write(&f->a.stream, SPAN("record"));
	TURN_UNTIL(f, f->b.got.len);
	settle(f);
	assert_int_equal(f->b.got.len, 6);
	for (size_t i = 2; i <= 10; i++) {
		INSIDE(&f->b, stream_read(&f->b.stream, true));
		TURN_UNTIL(f, f->b.got.len == i * 6);
		settle(f);
		assert_int_equal(f->b.got.len, i * 6);
	}
	fixture_free(f);
}

/* close_notify is an EOF, told once; the other direction goes on. */
static void test_tls_half_close(void **state)
{
	struct fixture *f = fixture_tls(TLS1_2_VERSION);

	(void)state;
	handshake(f);
	stream_write(&f->a.stream, SPAN("last words"));
	INSIDE(&f->a, stream_shutdown(&f->a.stream));
	TURN_UNTIL(f, f->b.ended);
	settle(f);
	assert_int_equal(f->b.ended, 1);
	assert_int_equal(f->b.end, STREAM_END_EOF);
	assert_string_equal(buffer_string(&f->b.got), "last words");
	stream_write(&f->b.stream, SPAN("heard"));
	TURN_UNTIL(f, f->a.got.len == 5);
	fixture_free(f);
}

static void test_tls_close_from_within(void **state)
{
	struct fixture *f = fixture_tls(TLS1_2_VERSION);

	(void)state;
	f->b.close_on_tls = true;
	stream_read(&f->a.stream, true);
	stream_read(&f->b.stream, true);
	stream_tls(&f->b.stream, f->server, true, NULL);
	stream_tls(&f->a.stream, f->client, false, NULL);
	TURN_UNTIL(f, f->b.closed);
	TURN_UNTIL(f, f->a.ended);
	fixture_free(f);
	f = fixture_tls(TLS1_2_VERSION);
	handshake(f);
	f->b.close_on_data = true;
	stream_write(&f->a.stream, SPAN("one"));
	stream_write(&f->a.stream, SPAN("two"));
	TURN_UNTIL(f, f->b.closed);
	assert_string_equal(buffer_string(&f->b.got), "one");
	fixture_free(f);
}

/* Bytes of the handshake that were read before it was known to be one. */
static void test_tls_unread(void **state)
{
	struct fixture *f = fixture_tls(TLS1_2_VERSION);
	struct buffer hello = BUFFER_INIT(LARGE);

	(void)state;
	stream_read(&f->a.stream, true);
	stream_read(&f->b.stream, true);
	stream_tls(&f->a.stream, f->client, false, NULL);
	TURN_UNTIL(f, f->b.got.len);
	assert_true(buffer_add(&hello, buffer_span(&f->b.got)));
	INSIDE(&f->b, stream_unread(&f->b.stream, buffer_span(&hello)));
	INSIDE(&f->b, stream_tls(&f->b.stream, f->server, true, NULL));
	TURN_UNTIL(f, f->a.tls && f->b.tls);
	buffer_free(&hello);
	fixture_free(f);
}

/* Plain text instead of a handshake, and garbage behind one. */
static void test_tls_garbage(void **state)
{
	struct fixture *f = fixture_tls(TLS1_2_VERSION);

	(void)state;
	stream_read(&f->b.stream, true);
	stream_tls(&f->b.stream, f->server, true, NULL);
	stream_write(&f->a.stream, SPAN("EHLO client.example\r\n"));
	TURN_UNTIL(f, f->b.ended);
	settle(f);
	assert_int_equal(f->b.ended, 1);
	assert_int_equal(f->b.end, STREAM_END_TLS);
	assert_true(strlen(f->b.detail) > 5);
	assert_int_equal(f->b.tls, 0);
	fixture_free(f);
	f = fixture_tls(TLS1_2_VERSION);
	handshake(f);
	assert_int_equal(send(f->a.stream.fd, "garbage garbage garbage", 23, 0), 23);
	TURN_UNTIL(f, f->b.ended);
	assert_int_equal(f->b.end, STREAM_END_TLS);
	assert_int_equal(f->b.got.len, 0);
	fixture_free(f);
}

/* The other side goes in the midst of the handshake. */
static void test_tls_eof_in_handshake(void **state)
{
	struct fixture *f = fixture_tls(TLS1_2_VERSION);

	(void)state;
	stream_tls(&f->b.stream, f->server, true, NULL);
	stream_close(&f->a.stream);
	TURN_UNTIL(f, f->b.ended);
	settle(f);
	assert_int_equal(f->b.ended, 1);
	assert_int_equal(f->b.tls, 0);
	fixture_free(f);
}

static void test_tls_verified(void **state)
{
	struct fixture *f = fixture_tls(TLS1_2_VERSION);
	struct tls_context *strict;
	struct err err;

	(void)state;
	strict = tls_context_client(true, &err);
	assert_non_null(strict);
	stream_tls(&f->b.stream, f->server, true, NULL);
	stream_tls(&f->a.stream, strict, false, "mx.example.net");
	TURN_UNTIL(f, f->a.ended);
	assert_int_equal(f->a.end, STREAM_END_TLS);
	assert_int_equal(f->a.tls, 0);
	side_close(f, &f->a);
	side_init(&f->a);
	f->a.stream.magic = 0;
	f->a.closed = 0;
	fixture_free(f);
	tls_context_free(&strict);
}

static void test_tls_bad_identity(void **state)
{
	struct certificate one = certificate_new("one.example", "DNS:one.example");
	struct certificate two = certificate_new("two.example", "DNS:two.example");
	struct tls_identity mixed = {
		"mixed.pem", certificate_pem(one.chain), certificate_pem(two.key)};
	struct tls_identity empty = {"empty.pem", SPAN(""), SPAN("")};
	struct err err;

	(void)state;
	assert_null(tls_context_server(&mixed, 1, TLS1_2_VERSION, NULL, &err));
	assert_non_null(strstr(err.text, "mixed.pem"));
	assert_null(tls_context_server(&empty, 1, TLS1_2_VERSION, NULL, &err));
	assert_non_null(strstr(err.text, "empty.pem"));
	certificate_free(&one);
	certificate_free(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_paused_from_within),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_send_file_to_slow_reader),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_shutdown_with_kept),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_write_after_reset),
		cmocka_unit_test(test_write_failure_after_eof),
		cmocka_unit_test(test_close_from_within),
		cmocka_unit_test(test_close_on_end),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_connect_refused),
		cmocka_unit_test(test_connect_unix),
		cmocka_unit_test(test_connect_abandoned),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_tls_large),
		cmocka_unit_test(test_tls_paused),
		cmocka_unit_test(test_tls_half_close),
		cmocka_unit_test(test_tls_close_from_within),
		cmocka_unit_test(test_tls_unread),
		cmocka_unit_test(test_tls_garbage),
		cmocka_unit_test(test_tls_eof_in_handshake),
		cmocka_unit_test(test_tls_verified),
		cmocka_unit_test(test_tls_bad_identity),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

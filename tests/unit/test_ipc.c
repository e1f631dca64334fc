/*
 * ipc: frames and their descriptors arrive whole and in order however the bytes are cut; nonsense
 * ends the connection once; no descriptor is ever left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/net/ipc.h"

/* What goes over the wire: lib/net/ipc.c says why it is no part of the interface. */
struct header {
	uint32_t len, type, id, n_fds;
};

enum { CLOSE_NEVER, CLOSE_ON_FRAME, CLOSE_ON_END };

/* One end under test. */
struct side {
	struct ipc *ipc;
	unsigned frames, ends;
	int close_when;
	struct buffer payloads; /* of all frames, in a row */
	uint32_t last_type, last_id;
	int fds[1000];
	size_t n_fds;
};

struct fixture {
	struct loop loop;
	struct side a, b;
	int raw; /* the other end of a's socket, when b is not used */
	size_t fds_before;
};

static size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void on_frame(void *context, const struct ipc_frame *frame)
{
	struct side *side = context;

	side->frames++;
	side->last_type = frame->type;
	side->last_id = frame->id;
	assert_true(buffer_add(&side->payloads, frame->payload));
	assert_true(side->n_fds + frame->n_fds <= 1000);
	for (size_t i = 0; i < frame->n_fds; i++)
		side->fds[side->n_fds++] = frame->fds[i];
	if (side->close_when == CLOSE_ON_FRAME)
		ipc_close(&side->ipc);
}

static void on_end(void *context)
{
	struct side *side = context;

	side->ends++;
	if (side->close_when == CLOSE_ON_END)
		ipc_close(&side->ipc);
}

static const struct ipc_handler handler = {on_frame, on_end};

static void side_init(struct fixture *f, struct side *side, int fd)
{
	*side = (struct side){.payloads = BUFFER_INIT(256 * 1024 * 1024)};
	side->ipc = ipc_open(&f->loop, fd, &handler, side);
}

static void side_close(struct side *side)
{
	ipc_close(&side->ipc);
	for (size_t i = 0; i < side->n_fds; i++)
		close(side->fds[i]);
	buffer_free(&side->payloads);
}

static struct fixture *setup(bool both)
{
	struct fixture *f = memory_zeroed(sizeof(*f));
	int pair[2];

	f->fds_before = count_fds();
	loop_init(&f->loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	side_init(f, &f->a, pair[0]);
	f->raw = -1;
	if (both)
		side_init(f, &f->b, pair[1]);
	else
		f->raw = pair[1];
	return f;
}

static void teardown(struct fixture *f)
{
	side_close(&f->a);
	side_close(&f->b);
	if (f->raw >= 0)
		close(f->raw);
	loop_close(&f->loop);
	assert_int_equal(count_fds(), f->fds_before);
	free(f);
}

/* Turns the loop until nothing happens any more. */
static void settle(struct fixture *f)
{
	for (int i = 0; i < 20; i++)
		loop_turn(&f->loop, false);
}

static void turn_until(struct fixture *f, const unsigned *what, unsigned value)
{
	for (int i = 0; i < 100000 && *what != value; i++)
		loop_turn(&f->loop, false);
	assert_int_equal(*what, value);
}

static struct ipc_frame frame_of(uint32_t type, uint32_t id, struct span payload)
{
	return (struct ipc_frame){.type = type, .id = id, .payload = payload};
}

/* Sends raw bytes, with descriptors on the first of them. */
static void send_raw(int fd, const void *bytes, size_t len, const int *fds, size_t n_fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 253)];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec piece = {(void *)bytes, len};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

	if (n_fds) {
		struct cmsghdr *c;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), len);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	assert_int_equal(fstat(a, &x), 0);
	assert_int_equal(fstat(b, &y), 0);
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void test_round_trip(void **state)
{
	struct fixture *f = setup(true);
	struct ipc_frame frame = frame_of(7, 42, SPAN("hello"));

	(void)state;
	assert_true(ipc_send(f->a.ipc, &frame));
	frame = frame_of(8, UINT32_MAX, SPAN_NONE);
	assert_true(ipc_send(f->a.ipc, &frame));
	frame = frame_of(9, 0, SPAN("back"));
	assert_true(ipc_send(f->b.ipc, &frame));
	turn_until(f, &f->b.frames, 2);
	assert_string_equal(buffer_string(&f->b.payloads), "hello");
	assert_int_equal(f->b.last_type, 8);
	assert_int_equal(f->b.last_id, UINT32_MAX);
	turn_until(f, &f->a.frames, 1);
	assert_string_equal(buffer_string(&f->a.payloads), "back");
	assert_int_equal(f->a.ends + f->b.ends, 0);
	teardown(f);
}

static void test_large(void **state)
{
	enum { SIZE = 20 * 1024 * 1024 };
	struct fixture *f = setup(true);
	char *bytes = memory_new(SIZE);
	struct ipc_frame frame;

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (char)(i * 31 + i / 4096);
	frame = frame_of(1, 1, span_make(bytes, SIZE));
	assert_true(ipc_send(f->a.ipc, &frame));
	assert_true(ipc_send(f->b.ipc, &frame));
	turn_until(f, &f->b.frames, 1);
	turn_until(f, &f->a.frames, 1);
	assert_true(span_equal(buffer_span(&f->a.payloads), frame.payload));
	assert_true(span_equal(buffer_span(&f->b.payloads), frame.payload));
	free(bytes);
	teardown(f);
}

static void test_most_descriptors(void **state)
{
	struct fixture *f = setup(true);
	int fds[IPC_FDS_MAX], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ipc_frame frame = frame_of(1, 1, SPAN("many"));

	(void)state;
	for (size_t i = 0; i < IPC_FDS_MAX; i++)
		fds[i] = i % 2 ? null : root;
	frame.fds = fds;
	frame.n_fds = IPC_FDS_MAX;
	assert_true(ipc_send(f->a.ipc, &frame));
	assert_true(ipc_send(f->a.ipc, &frame));
	turn_until(f, &f->b.frames, 2);
	assert_int_equal(f->b.n_fds, 2 * IPC_FDS_MAX);
	for (size_t i = 0; i < f->b.n_fds; i++) {
		assert_true(same_file(f->b.fds[i], fds[i % IPC_FDS_MAX]));
		assert_true(fcntl(f->b.fds[i], F_GETFD) & FD_CLOEXEC);
	}
	close(null);
	close(root);
	teardown(f);
}

/* The kernel takes no more, so frames wait here: with copies of descriptors whose owner closes
 * them. */
static void test_waiting_descriptors(void **state)
{
	enum { COUNT = 500, SIZE = 9000 };
	struct fixture *f = setup(true);
	static char bytes[SIZE];

	(void)state;
	for (unsigned i = 0; i < COUNT; i++) {
		int fd = i % 3 == 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
		struct ipc_frame frame = frame_of(1, i, span_make(bytes, SIZE));

		memset(bytes, (int)i, SIZE);
		frame.fds = &fd;
		frame.n_fds = fd >= 0;
		assert_true(ipc_send(f->a.ipc, &frame));
		if (fd >= 0)
			close(fd);
	}
	turn_until(f, &f->b.frames, COUNT);
	assert_int_equal(f->b.last_id, COUNT - 1);
	assert_int_equal(f->b.n_fds, (COUNT + 2) / 3);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal((unsigned char)buffer_span(&f->b.payloads).at[i * SIZE + SIZE - 1],
			(unsigned char)i);
	teardown(f);
}

/* Sent in many pieces, the descriptor goes with the first and only once. */
static void test_pieces_with_descriptors(void **state)
{
	enum { COUNT = 5, SIZE = 1024 * 1024 };
	struct fixture *f = setup(true);
	char *bytes = memory_zeroed(SIZE);

	(void)state;
	for (unsigned i = 0; i < COUNT; i++) {
		int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct ipc_frame frame = frame_of(1, i, span_make(bytes, SIZE));

		frame.fds = &fd;
		frame.n_fds = 1;
		assert_true(ipc_send(f->a.ipc, &frame));
		close(fd);
	}
	turn_until(f, &f->b.frames, COUNT);
	assert_int_equal(f->b.n_fds, COUNT);
	free(bytes);
	teardown(f);
}

static void test_too_much_waits(void **state)
{
	enum { SIZE = 30 * 1024 * 1024 };
	struct fixture *f = setup(false);
	char *bytes = memory_zeroed(SIZE);
	struct ipc_frame frame = frame_of(1, 1, span_make(bytes, SIZE));

	(void)state;
	assert_true(ipc_send(f->a.ipc, &frame));
	assert_true(ipc_send(f->a.ipc, &frame));
	assert_false(ipc_send(f->a.ipc, &frame));
	settle(f);
	assert_int_equal(f->a.ends, 0);
	free(bytes);
	teardown(f);
}

static void test_byte_by_byte(void **state)
{
	struct fixture *f = setup(false);
	struct header header = {5, 3, 9, 1};
	char wire[sizeof(header) + 5];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	memcpy(wire, &header, sizeof(header));
	memcpy(wire + sizeof(header), "bytes", 5);
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(wire); i++) {
			send_raw(f->raw, wire + i, 1, &null, i == 0);
			assert_int_equal(f->a.frames, round);
			loop_turn(&f->loop, false);
		}
		turn_until(f, &f->a.frames, round + 1);
	}
	assert_string_equal(buffer_string(&f->a.payloads), "bytesbytesbytes");
	assert_int_equal(f->a.n_fds, 3);
	close(null);
	teardown(f);
}

/* What stands in the header, how many descriptors come with it, and with the payload. */
static void try_nonsense(struct header header, size_t with_header, size_t with_payload)
{
	struct fixture *f = setup(false);
	int fds[253];

	for (size_t i = 0; i < 253; i++)
		fds[i] = STDIN_FILENO;
	send_raw(f->raw, &header, sizeof(header), fds, with_header);
	if (with_payload)
		send_raw(f->raw, "x", 1, fds, with_payload);
	turn_until(f, &f->a.ends, 1);
	settle(f);
	assert_int_equal(f->a.ends, 1);
	assert_int_equal(f->a.frames, 0);
	assert_false(ipc_send(f->a.ipc, &(struct ipc_frame){.type = 1}));
	teardown(f);
}

static void test_nonsense(void **state)
{
	(void)state;
	try_nonsense((struct header){IPC_FRAME_MAX + 1, 1, 1, 0}, 0, 0);
	try_nonsense((struct header){UINT32_MAX, 1, 1, 0}, 0, 0);
	try_nonsense((struct header){0, 1, 1, 1}, 0, 0);
	try_nonsense((struct header){0, 1, 1, 0}, 1, 0);
	try_nonsense((struct header){0, 1, 1, 2}, 1, 0);
	try_nonsense((struct header){0, 1, 1, UINT32_MAX}, 1, 0);
	try_nonsense((struct header){0, 1, 1, 253}, 253, 0);
	try_nonsense((struct header){10, 1, 1, 0}, 0, 1);
	try_nonsense((struct header){10, 1, 1, 1}, 1, 1);
	try_nonsense((struct header){10, 1, 1, 250}, 250, 250);
}

static void test_random(void **state)
{
	uint64_t x = 88172645463325252ULL;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct fixture *f = setup(false);
		uint32_t words[64];

		for (int i = 0; i < 64; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			words[i] = (uint32_t)(x >> (x % 61));
		}
		words[0] %= 100;
		words[3] %= 3;
		send_raw(f->raw, words, sizeof(words), (int[]){0, 1}, x % 3);
		settle(f);
		close(f->raw);
		f->raw = -1;
		turn_until(f, &f->a.ends, 1);
		teardown(f);
	}
}

static void test_end(void **state)
{
	struct fixture *f = setup(true);
	struct ipc_frame frame = frame_of(1, 1, SPAN("last words"));

	(void)state;
	f->b.close_when = CLOSE_ON_END;
	assert_true(ipc_send(f->a.ipc, &frame));
	ipc_close(&f->a.ipc);
	assert_null(f->a.ipc);
	turn_until(f, &f->b.ends, 1);
	assert_string_equal(buffer_string(&f->b.payloads), "last words");
	assert_null(f->b.ipc);
	settle(f);
	teardown(f);
}

/* The end in the middle of a frame: its descriptors go. */
static void test_end_within_frame(void **state)
{
	struct fixture *f = setup(false);
	struct header header = {100, 1, 1, 2};

	(void)state;
	send_raw(f->raw, &header, sizeof(header), (int[]){0, 0}, 2);
	settle(f);
	close(f->raw);
	f->raw = -1;
	turn_until(f, &f->a.ends, 1);
	assert_int_equal(f->a.frames, 0);
	teardown(f);
}

static void test_close_in_callback(void **state)
{
	struct fixture *f = setup(true);
	struct ipc_frame frame = frame_of(1, 1, SPAN("one"));

	(void)state;
	f->b.close_when = CLOSE_ON_FRAME;
	for (int i = 0; i < 5; i++)
		assert_true(ipc_send(f->a.ipc, &frame));
	turn_until(f, &f->b.frames, 1);
	turn_until(f, &f->a.ends, 1);
	assert_int_equal(f->b.frames, 1);
	assert_int_equal(f->b.ends, 0);
	teardown(f);
}

/* A peer that died while much was waiting for it. */
static void test_peer_gone(void **state)
{
	enum { SIZE = 4 * 1024 * 1024 };
	struct fixture *f = setup(false);
	char *bytes = memory_zeroed(SIZE);
	struct ipc_frame frame = frame_of(1, 1, span_make(bytes, SIZE));
	int fd = STDIN_FILENO;

	(void)state;
	frame.fds = &fd;
	frame.n_fds = 1;
	for (int i = 0; i < 4; i++)
		assert_true(ipc_send(f->a.ipc, &frame));
	close(f->raw);
	f->raw = -1;
	turn_until(f, &f->a.ends, 1);
	assert_false(ipc_send(f->a.ipc, &frame));
	free(bytes);
	teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_most_descriptors),
		cmocka_unit_test(test_waiting_descriptors),
		cmocka_unit_test(test_pieces_with_descriptors),
		cmocka_unit_test(test_too_much_waits),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_end_within_frame),
		cmocka_unit_test(test_close_in_callback),
		cmocka_unit_test(test_peer_gone),
	};

	struct loop first;

	loop_init(&first); /* libuv keeps descriptors for all loops from the first one on */
	loop_close(&first);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

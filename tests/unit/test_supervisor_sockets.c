/*
 * sockets: who serves which listening socket while workers come and go, and what a reload adds,
 * keeps and closes. The "workers" are process structs whose frames arrive at the other end of their
 * socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "proxy/process/sockets.h"

enum { WORKERS = 4, IDS = 64 };

/* A worker as the sockets see it, and what it was told. */
struct fake {
	struct process process;
	struct ipc *end;
	bool serves[IDS];
	size_t listen_index[IDS];
	unsigned served;
};

struct fixture {
	struct loop loop;
	struct sockets sockets;
	struct fake fakes[WORKERS];
	struct process *processes[WORKERS];
	struct listen_config listens[2];
	struct config config;
};

static void on_frame(void *context, const struct ipc_frame *frame)
{
	struct fake *fake = context;
	struct listen_frame listen;
	struct span payload = frame->payload;

	assert_true(frame->id < IDS);
	if (frame->type == FRAME_LISTEN) {
		assert_int_equal(frame->n_fds, 1);
		assert_true(frame_take(&payload, &listen, sizeof(listen)));
		assert_false(fake->serves[frame->id]);
		fake->serves[frame->id] = true;
		fake->listen_index[frame->id] = listen.listen_index;
		fake->served++;
		close(frame->fds[0]);
		return;
	}
	assert_int_equal(frame->type, FRAME_UNLISTEN);
	assert_true(fake->serves[frame->id]);
	fake->serves[frame->id] = false;
	fake->served--;
}

static void on_end(void *context)
{
	(void)context;
}

static const struct ipc_handler handler = {on_frame, on_end};

/* A port that is free now. */
static uint16_t free_port(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static struct fixture *setup(unsigned workers, size_t listens)
{
	struct fixture *f = memory_zeroed(sizeof(*f));

	loop_init(&f->loop);
	for (int i = 0; i < WORKERS; i++) {
		struct fake *fake = &f->fakes[i];
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		process_init(
			&fake->process, "worker", (unsigned)i + 1, 1, &f->loop, NULL, NULL, NULL);
		fake->process.ipc = ipc_open(&f->loop, pair[0], &handler, fake);
		fake->process.state = PROCESS_READY;
		fake->end = ipc_open(&f->loop, pair[1], &handler, fake);
		f->processes[i] = &fake->process;
	}
	for (int i = 0; i < 2; i++) {
		assert_true(ip_parse(SPAN("127.0.0.1"), &f->listens[i].endpoint.ip));
		f->listens[i].endpoint.port = free_port();
	}
	f->config =
		(struct config){.workers = workers, .listens = f->listens, .n_listens = listens};
	return f;
}

static void teardown(struct fixture *f)
{
	sockets_close(&f->sockets);
	for (int i = 0; i < WORKERS; i++) {
		ipc_close(&f->fakes[i].process.ipc);
		ipc_close(&f->fakes[i].end);
	}
	loop_close(&f->loop);
	free(f);
}

static void apply(struct fixture *f)
{
	struct err err;

	assert_true(sockets_bind(&f->sockets, &f->config, &err));
	assert_true(sockets_listen(&f->sockets, &f->config, &err));
}

static void assign(struct fixture *f, size_t first, size_t count)
{
	sockets_assign(&f->sockets, f->processes + first, count);
	for (int i = 0; i < 10; i++)
		loop_turn(&f->loop, false);
}

static void expect(const struct fixture *f, unsigned a, unsigned b, unsigned c, unsigned d)
{
	assert_int_equal(f->fakes[0].served, a);
	assert_int_equal(f->fakes[1].served, b);
	assert_int_equal(f->fakes[2].served, c);
	assert_int_equal(f->fakes[3].served, d);
}

static void lose(struct fixture *f, int worker)
{
	f->fakes[worker].process.state = PROCESS_GONE;
	memset(f->fakes[worker].serves, 0, sizeof(f->fakes[worker].serves));
	f->fakes[worker].served = 0;
	sockets_forget(&f->sockets, &f->fakes[worker].process);
}

static int try_connect(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), result;

	result = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
	close(fd);
	return result;
}

static void test_each_its_own(void **state)
{
	struct fixture *f = setup(4, 2);

	(void)state;
	apply(f);
	assign(f, 0, 4);
	expect(f, 2, 2, 2, 2);
	assign(f, 0, 4);
	expect(f, 2, 2, 2, 2);
	teardown(f);
}

static void test_dead_and_back(void **state)
{
	struct fixture *f = setup(4, 1);

	(void)state;
	apply(f);
	assign(f, 0, 4);
	lose(f, 1);
	assign(f, 0, 4);
	expect(f, 1, 0, 2, 1);
	lose(f, 2);
	assign(f, 0, 4);
	expect(f, 1, 0, 0, 3);
	f->fakes[1].process.state = PROCESS_READY;
	assign(f, 0, 4);
	expect(f, 1, 1, 0, 2);
	for (int i = 0; i < 4; i++)
		lose(f, i);
	assign(f, 0, 4);
	expect(f, 0, 0, 0, 0);
	f->fakes[2].process.state = PROCESS_READY;
	assign(f, 0, 4);
	expect(f, 0, 0, 4, 0);
	teardown(f);
}

/* From two workers to one: both sockets stay, and one serves both. */
static void test_never_fewer(void **state)
{
	struct fixture *f = setup(2, 1);

	(void)state;
	apply(f);
	assign(f, 0, 2);
	expect(f, 1, 1, 0, 0);
	f->config.workers = 1;
	apply(f);
	assign(f, 2, 1); /* another generation */
	expect(f, 0, 0, 2, 0);
	f->config.workers = 3;
	apply(f);
	assign(f, 0, 3);
	expect(f, 1, 1, 1, 0);
	teardown(f);
}

static void test_only_bound_until_wanted(void **state)
{
	struct fixture *f = setup(2, 1);
	struct err err;

	(void)state;
	apply(f);
	f->config.n_listens = 2;
	f->config.workers = 3;
	assert_true(sockets_bind(&f->sockets, &f->config, &err));
	assert_int_equal(try_connect(f->listens[0].endpoint.port), 0);
	assert_int_equal(try_connect(f->listens[1].endpoint.port), ECONNREFUSED);
	assign(f, 0, 4);
	expect(f, 1, 1, 0, 0);
	sockets_unbind(&f->sockets);
	assert_null(f->sockets.first->next);
	assert_int_equal(f->sockets.first->count, 2);
	apply(f);
	assert_int_equal(try_connect(f->listens[1].endpoint.port), 0);
	teardown(f);
}

static void test_removed(void **state)
{
	struct fixture *f = setup(2, 2);

	(void)state;
	apply(f);
	assign(f, 0, 2);
	f->config.listens = &f->listens[1]; /* the other one stays, with another index */
	f->config.n_listens = 1;
	apply(f);
	assign(f, 2, 2);
	expect(f, 1, 1, 1, 1); /* the old ones keep what is theirs alone until they leave */
	for (uint32_t id = 0; id < IDS; id++)
		if (f->fakes[2].serves[id])
			assert_int_equal(f->fakes[2].listen_index[id], 0);
	assert_int_equal(try_connect(f->listens[0].endpoint.port), ECONNREFUSED);
	assert_int_equal(try_connect(f->listens[1].endpoint.port), 0);
	teardown(f);
}

static void test_in_use(void **state)
{
	struct fixture *f = setup(1, 2);
	struct sockets other = {0};
	struct config taken = {.workers = 1, .listens = &f->listens[1], .n_listens = 1};
	struct err err = {{0}};

	(void)state;
	assert_true(sockets_bind(&other, &taken, &err));
	assert_true(sockets_listen(&other, &taken, &err));
	assert_false(sockets_bind(&f->sockets, &f->config, &err));
	assert_non_null(strstr(err.text, "in use"));
	assert_null(f->sockets.first);
	sockets_close(&other);
	apply(f);
	teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_its_own),
		cmocka_unit_test(test_dead_and_back),
		cmocka_unit_test(test_never_fewer),
		cmocka_unit_test(test_only_bound_until_wanted),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "proxy/session/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "proxy/session/session.h"

enum {
	ACCEPTS_PER_EVENT = 32, /* then others have their turn */
	PAUSE_MS = 100          /* when the kernel has nothing left to give */
};

static void on_poll(uv_poll_t *poll, int status, int events);

/* A connection for which there is no room. */
static void refuse(struct worker *worker, int fd, const char *text)
{
	shared_add(worker->row, COUNT_sessions_refused, 1);
	if (send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		errno = 0; /* it learns it from the close */
	close(fd);
}

static bool has_room(const struct worker *worker)
{
	return worker->n_sessions < worker->sessions_max &&
	       shared_sessions(worker->shared) < worker->config->limits.connections;
}

static void take(struct listener *l, int fd, const struct sockaddr *remote)
{
	struct endpoint from = endpoint_of(remote), to = l->config->endpoint;

	if (!has_room(l->worker)) {
		refuse(l->worker, fd, "421 4.3.2 Too many connections, try again later\r\n");
		return;
	}
	/* The address that was connected to is asked for only where the socket is bound to all. */
	if (l->any_address) {
		struct sockaddr_storage local;
		socklen_t size = sizeof(local);

		if (getsockname(fd, (struct sockaddr *)&local, &size) == 0)
			to = endpoint_of((struct sockaddr *)&local);
	}
	session_start(l->worker, l->config, fd, &from, &to);
}

/* Descriptors are out: the reserve takes one connection, says why, and is had again. */
static bool use_reserve(struct listener *l)
{
	struct worker *worker = l->worker;
	int fd;

	if (worker->reserve_fd < 0)
		return false;
	close(worker->reserve_fd);
	fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		refuse(worker, fd, "421 4.3.2 Too many connections, try again later\r\n");
	worker->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd >= 0;
}

static void pause_listener(struct listener *l)
{
	uv_poll_stop(&l->poll);
	timer_set(&l->worker->loop->timers, &l->pause, PAUSE_MS);
}

static void on_pause_over(struct timer *timer)
{
	struct listener *l = CONTAINER_OF(timer, struct listener, pause);

	uv_poll_start(&l->poll, UV_READABLE, on_poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
		struct sockaddr_storage remote;
		socklen_t size = sizeof(remote);
		int fd = accept4(
			l->fd, (struct sockaddr *)&remote, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			take(l, fd, (struct sockaddr *)&remote);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			if (use_reserve(l))
				continue;
			pause_listener(l);
			return;
		}
		/* ECONNABORTED and its like: that one is gone, the next may be fine. */
	}
}

struct listener *listener_open(
	struct worker *worker, unsigned id, const struct listen_config *config, int fd)
{
	static const struct ip nowhere;
	struct listener *l = memory_zeroed(sizeof(*l));

	l->worker = worker;
	l->id = id;
	l->config = config;
	l->fd = fd;
	l->any_address =
		memcmp(config->endpoint.ip.bytes, nowhere.bytes, sizeof(nowhere.bytes)) == 0;
	l->pause.fire = on_pause_over;
	ENSURE(uv_poll_init(&worker->loop->uv, &l->poll, fd) == 0);
	l->poll.data = l;
	uv_poll_start(&l->poll, UV_READABLE, on_poll);
	return l;
}

void listener_sweep(struct listener *l)
{
	on_poll(&l->poll, 0, UV_READABLE);
	timer_clear(&l->worker->loop->timers, &l->pause);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void listener_close(struct listener *l)
{
	timer_clear(&l->worker->loop->timers, &l->pause);
	uv_close((uv_handle_t *)&l->poll, on_closed);
	close(l->fd);
}

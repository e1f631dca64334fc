#include "proxy/process/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/base/ip.h"

enum {
	BACKLOG = 4096,
	IN_USE_TRIES = 10, /* an instance that was killed needs a moment to let go of its port */
	IN_USE_PAUSE_MS = 100
};

static bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && ip_equal(&a->ip, &b->ip);
}

static struct address_sockets *find(const struct sockets *sockets, const struct endpoint *endpoint)
{
	for (struct address_sockets *at = sockets->first; at; at = at->next)
		if (endpoint_equal(&at->endpoint, endpoint))
			return at;
	return NULL;
}

/* --- one socket --- */

static bool set_option(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) == 0;
}

/* Connections inherit TCP_NODELAY from the socket that they came in by. */
static int bind_one(const struct endpoint *endpoint, bool share, struct err *err)
{
	struct sockaddr_storage address;
	socklen_t size = endpoint_sockaddr(endpoint, &address);
	char text[IP_TEXT_SIZE];
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int why;

	if (fd >= 0 && set_option(fd, SOL_SOCKET, SO_REUSEADDR) &&
		(!share || set_option(fd, SOL_SOCKET, SO_REUSEPORT)) &&
		(endpoint->ip.family != IP_V6 || set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY)) &&
		set_option(fd, IPPROTO_TCP, TCP_NODELAY) &&
		bind(fd, (struct sockaddr *)&address, size) == 0)
		return fd;
	why = errno;
	if (fd >= 0)
		close(fd);
	errno = why;
	err_errno(err, "can't listen on %s", endpoint_format(endpoint, text));
	errno = why;
	return -1;
}

/* SO_REUSEPORT would let us share the port with another instance of ours, and each would get half
 * of the mail. */
static bool is_free(const struct endpoint *endpoint, struct err *err)
{
	const struct timespec pause = {.tv_nsec = IN_USE_PAUSE_MS * 1000000L};

	for (int i = 0; i < IN_USE_TRIES; i++) {
		int fd = bind_one(endpoint, false, err);

		if (fd >= 0) {
			close(fd);
			return true;
		}
		if (errno != EADDRINUSE)
			return false;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* --- all of an address --- */

static bool is_any(const struct ip *ip)
{
	static const struct ip nowhere;

	return memcmp(ip->bytes, nowhere.bytes, sizeof(nowhere.bytes)) == 0;
}

/* The port is taken, by ourselves: an address on which we listen covers this one, or this one
 * covers it. */
static bool overlaps(const struct sockets *sockets, const struct endpoint *endpoint)
{
	for (const struct address_sockets *at = sockets->first; at; at = at->next)
		if (at->count && at->items[0].listening && at->endpoint.port == endpoint->port &&
			at->endpoint.ip.family == endpoint->ip.family &&
			(is_any(&at->endpoint.ip) || is_any(&endpoint->ip)))
			return true;
	return false;
}

/* Grows to `count` sockets. */
static bool bind_more(
	struct sockets *sockets, struct address_sockets *at, size_t count, struct err *err)
{
	if (at->count == 0 && !overlaps(sockets, &at->endpoint) && !is_free(&at->endpoint, err))
		return false;
	at->items = memory_resize(at->items, count * sizeof(*at->items));
	while (at->count < count) {
		int fd = bind_one(&at->endpoint, true, err);

		if (fd < 0)
			return false;
		at->items[at->count++] = (struct socket){.id = ++sockets->last_id, .fd = fd};
	}
	return true;
}

/* Closes those from index `from` on. */
static void close_from(struct address_sockets *at, size_t from)
{
	while (at->count > from)
		close(at->items[--at->count].fd);
}

static void remove_at(struct address_sockets **link)
{
	struct address_sockets *at = *link;

	*link = at->next;
	close_from(at, 0);
	free(at->items);
	free(at);
}

/* --- the configuration --- */

bool sockets_bind(struct sockets *sockets, const struct config *config, struct err *err)
{
	for (size_t i = 0; i < config->n_listens; i++) {
		const struct endpoint *endpoint = &config->listens[i].endpoint;
		struct address_sockets *at = find(sockets, endpoint);

		if (!at) {
			at = memory_zeroed(sizeof(*at));
			at->endpoint = *endpoint;
			at->listen_index = i;
			at->next = sockets->first;
			sockets->first = at;
		}
		if (at->count < config->workers && !bind_more(sockets, at, config->workers, err)) {
			sockets_unbind(sockets);
			return false;
		}
	}
	return true;
}

void sockets_unbind(struct sockets *sockets)
{
	struct address_sockets **link = &sockets->first;

	while (*link) {
		struct address_sockets *at = *link;
		size_t listening = 0;

		while (listening < at->count && at->items[listening].listening)
			listening++;
		close_from(at, listening);
		if (at->count == 0)
			remove_at(link);
		else
			link = &at->next;
	}
}

/* Where an address stands in the configuration; n_listens: nowhere. */
static size_t index_in(const struct config *config, const struct endpoint *endpoint)
{
	size_t i = 0;

	while (i < config->n_listens && !endpoint_equal(&config->listens[i].endpoint, endpoint))
		i++;
	return i;
}

static bool listen_all(struct address_sockets *at, struct err *err)
{
	char text[IP_TEXT_SIZE];

	for (size_t i = 0; i < at->count; i++) {
		if (at->items[i].listening)
			continue;
		if (listen(at->items[i].fd, BACKLOG) < 0)
			return err_errno(
				err, "can't listen on %s", endpoint_format(&at->endpoint, text));
		at->items[i].listening = true;
	}
	return true;
}

bool sockets_listen(struct sockets *sockets, const struct config *config, struct err *err)
{
	struct address_sockets **link = &sockets->first;
	bool ok = true;

	while (*link) {
		struct address_sockets *at = *link;

		at->listen_index = index_in(config, &at->endpoint);
		if (at->listen_index == config->n_listens) {
			remove_at(link);
			continue;
		}
		ok = listen_all(at, err) && ok;
		link = &at->next;
	}
	return ok;
}

/* --- who serves --- */

static void tell(const struct socket *socket, struct process *process, size_t listen_index)
{
	struct listen_frame frame = {(uint32_t)listen_index};

	process_send(process, &(struct ipc_frame){.type = FRAME_LISTEN,
				      .id = socket->id,
				      .payload = span_make(&frame, sizeof(frame)),
				      .fds = &socket->fd,
				      .n_fds = 1});
}

static void untell(const struct socket *socket, struct process *process)
{
	process_send(process, &(struct ipc_frame){.type = FRAME_UNLISTEN, .id = socket->id});
}

static struct process *choose(struct process *const *processes, size_t count, size_t j)
{
	for (size_t i = 0; i < count; i++) {
		struct process *process = processes[(j + i) % count];

		if (process->state == PROCESS_READY)
			return process;
	}
	return NULL;
}

void sockets_assign(struct sockets *sockets, struct process *const *processes, size_t count)
{
	for (struct address_sockets *at = sockets->first; at; at = at->next) {
		for (size_t j = 0; j < at->count; j++) {
			struct socket *socket = &at->items[j];
			struct process *server = choose(processes, count, j), *before;

			before = socket->server;
			if (!socket->listening || before == server || !server)
				continue;
			/* In this order nobody is without a server in between. */
			tell(socket, server, at->listen_index);
			socket->server = server;
			if (before)
				untell(socket, before);
		}
	}
}

void sockets_forget(struct sockets *sockets, const struct process *process)
{
	for (struct address_sockets *at = sockets->first; at; at = at->next)
		for (size_t j = 0; j < at->count; j++)
			if (at->items[j].server == process)
				at->items[j].server = NULL;
}

void sockets_close(struct sockets *sockets)
{
	while (sockets->first)
		remove_at(&sockets->first);
}

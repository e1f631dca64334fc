#include "admin/reception.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "lib/base/fail.h"
#include "lib/net/stream.h"

enum {
	RECEPTION_MAGIC = 0x4ece9710,
	CALLER_MAGIC = 0x0ca11e40,
	CALLERS_MAX = 64,
	GROUPS_MAX = 256,
	REQUEST_MS = 10000, /* for the request line to come */
	ANSWER_MS = 30000   /* for the answer to be taken */
};

enum caller_state { CALLER_READING, CALLER_ASKING, CALLER_ANSWERED };

/* A connection. */
struct caller {
	uint32_t magic;
	enum caller_state state;
	struct caller *next;
	struct reception *reception;
	struct stream stream;
	struct timer timer;
	struct buffer request;
	uint32_t id;
};

struct reception {
	uint32_t magic;
	struct loop *loop;
	int fd; /* owned; -1: deaf */
	uv_poll_t poll;
	gid_t group;
	reception_on_request *on_request;
	void *context;
	struct caller *callers; /* owned list */
	unsigned count;
	uint32_t last_id;
};

/* --- who may speak --- */

static bool is_in_group(int fd, const struct ucred *peer, gid_t group)
{
	gid_t groups[GROUPS_MAX];
	socklen_t size = sizeof(groups);

	if (peer->gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof(*groups); i++)
		if (groups[i] == group)
			return true;
	return false;
}

static bool may_speak(const struct reception *reception, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid() || is_in_group(fd, &peer, reception->group);
}

/* --- a caller --- */

static void caller_end(struct caller *caller)
{
	timer_clear(&caller->reception->loop->timers, &caller->timer);
	if (caller->stream.state != STREAM_CLOSING && caller->stream.state != STREAM_CLOSED)
		stream_close(&caller->stream);
}

static void on_closed(void *context)
{
	struct caller *caller = context;
	struct reception *reception = caller->reception;

	MAGIC_ENSURE(caller, CALLER_MAGIC);
	for (struct caller **at = &reception->callers; *at; at = &(*at)->next) {
		if (*at != caller)
			continue;
		*at = caller->next;
		break;
	}
	reception->count--;
	buffer_free(&caller->request);
	caller->magic = 0;
	free(caller);
}

/* Else the peer closes first, so that nothing is lost on a connection that it still writes to. */
static void end_if_sent(struct caller *caller)
{
	if (caller->state == CALLER_ANSWERED && caller->stream.at_end &&
		stream_pending(&caller->stream) == 0)
		caller_end(caller);
}

static void on_drain(void *context)
{
	struct caller *caller = context;

	MAGIC_ENSURE(caller, CALLER_MAGIC);
	end_if_sent(caller);
}

static void answer(struct caller *caller, int status, struct span text)
{
	char first[16];

	snprintf(first, sizeof(first), "%d\n", status);
	caller->state = CALLER_ANSWERED;
	timer_set(&caller->reception->loop->timers, &caller->timer, ANSWER_MS);
	stream_write(&caller->stream, span_text(first));
	stream_write(&caller->stream, text);
	stream_shutdown(&caller->stream);
	end_if_sent(caller);
}

/* body: what has come behind the line. */
static void on_line(struct caller *caller, struct span line, struct span body)
{
	struct reception *reception = caller->reception;
	struct control_request request;
	struct err err = {{0}};

	if (!control_parse(line, &request, &err)) {
		timer_clear(&reception->loop->timers, &caller->timer);
		answer(caller, 2, span_text(err.text));
		return;
	}
	if (body.len < request.body_size)
		return; /* the rest comes */
	timer_clear(&reception->loop->timers, &caller->timer);
	request.body = span_first(body, request.body_size);
	caller->state = CALLER_ASKING;
	reception->on_request(reception->context, caller->id, &request);
}

static void on_data(void *context, struct span bytes)
{
	struct caller *caller = context;
	struct span all;
	size_t end;

	MAGIC_ENSURE(caller, CALLER_MAGIC);
	if (caller->state != CALLER_READING)
		return;
	if (!buffer_add(&caller->request, bytes)) {
		answer(caller, 2, SPAN("the request is too long\n"));
		return;
	}
	all = buffer_span(&caller->request);
	end = span_find_char(all, '\n');
	if (end < all.len)
		on_line(caller, span_first(all, end), span_from(all, end + 1));
	else if (all.len >= CONTROL_REQUEST_MAX)
		answer(caller, 2, SPAN("the request is too long\n"));
}

/* One that only closed its sending side (`echo status | nc -U`) still wants its answer. */
static void on_end(void *context, enum stream_end end, const char *detail)
{
	struct caller *caller = context;

	MAGIC_ENSURE(caller, CALLER_MAGIC);
	(void)detail;
	if (end != STREAM_END_EOF || caller->state != CALLER_ASKING)
		caller_end(caller);
}

static void on_timer(struct timer *timer)
{
	struct caller *caller = CONTAINER_OF(timer, struct caller, timer);

	MAGIC_ENSURE(caller, CALLER_MAGIC);
	caller_end(caller);
}

static const struct stream_handler stream_handler = {
	.on_data = on_data, .on_end = on_end, .on_drain = on_drain, .on_closed = on_closed};

/* --- the door --- */

static void welcome(struct reception *reception, int fd)
{
	struct caller *caller;

	if (reception->count >= CALLERS_MAX || !may_speak(reception, fd)) {
		static const char refusal[] = "1\nYou may not speak to postern, or too many do.\n";

		send(fd, refusal, sizeof(refusal) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		close(fd);
		return;
	}
	caller = memory_zeroed(sizeof(*caller));
	caller->magic = CALLER_MAGIC;
	caller->state = CALLER_READING;
	caller->reception = reception;
	caller->request = BUFFER_INIT(CONTROL_REQUEST_MAX + CONTROL_BODY_MAX);
	caller->timer.fire = on_timer;
	caller->id = ++reception->last_id ? reception->last_id : ++reception->last_id;
	caller->next = reception->callers;
	reception->callers = caller;
	reception->count++;
	timer_set(&reception->loop->timers, &caller->timer, REQUEST_MS);
	stream_open(&caller->stream, reception->loop, fd, &stream_handler, caller);
	stream_read(&caller->stream, true);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct reception *reception = poll->data;

	MAGIC_ENSURE(reception, RECEPTION_MAGIC);
	(void)events;
	if (status < 0)
		return;
	for (int i = 0; i < CALLERS_MAX; i++) {
		int fd = accept4(reception->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		welcome(reception, fd);
	}
}

struct reception *reception_open(
	struct loop *loop, int fd, gid_t group, reception_on_request *on_request, void *context)
{
	struct reception *reception = memory_zeroed(sizeof(*reception));

	reception->magic = RECEPTION_MAGIC;
	reception->loop = loop;
	reception->fd = fd;
	reception->group = group;
	reception->on_request = on_request;
	reception->context = context;
	reception->poll.data = reception;
	ENSURE(uv_poll_init(&loop->uv, &reception->poll, fd) == 0);
	ENSURE(uv_poll_start(&reception->poll, UV_READABLE, on_poll) == 0);
	return reception;
}

void reception_answer(struct reception *reception, uint32_t id, int status, struct span text)
{
	for (struct caller *caller = reception->callers; caller; caller = caller->next)
		if (caller->id == id && caller->state == CALLER_ASKING &&
			caller->stream.state != STREAM_CLOSING)
			answer(caller, status, text);
}

void reception_deafen(struct reception *reception)
{
	if (reception->fd < 0)
		return;
	uv_close((uv_handle_t *)&reception->poll, NULL);
	close(reception->fd);
	reception->fd = -1;
}

bool reception_idle(const struct reception *reception)
{
	for (const struct caller *caller = reception->callers; caller; caller = caller->next)
		if (caller->state != CALLER_READING)
			return false;
	return true;
}

void reception_close(struct reception *reception)
{
	MAGIC_ENSURE(reception, RECEPTION_MAGIC);
	reception_deafen(reception);
	for (struct caller *caller = reception->callers; caller; caller = caller->next)
		caller_end(caller);
}

void reception_free(struct reception **owner)
{
	struct reception *reception = *owner;

	*owner = NULL;
	if (!reception)
		return;
	ENSURE(!reception->callers && reception->fd < 0);
	free(reception);
}

/*
 * One runner's socket. What is small is gathered and goes out in one write at the end of the loop's
 * round: a message of a few KB is BEGIN, content and END in one. What is large goes from where it
 * lies to the kernel. When the kernel has no room, nothing more is gathered: bodies wait in their
 * spools.
 *
 * Whether a runner hangs is told by SYNC alone: one is behind all that was sent, and the answer
 * comes when all of that is done. So a runner that has nothing to do is never suspected, and one
 * that can't even read is. A SYNC of its own would wake the runner, and its answer us, for nothing
 * else: so it goes along with what is sent anyway, and by itself only when nothing was for a while.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/authn/client.h"
#include "lib/base/fail.h"

enum {
	LINK_MAGIC = 0x11a6c001,
	LINK_QUIET_MS = 100,      /* silent with something to do: new tasks go elsewhere */
	LARGE_BYTES = 8 * 1024,   /* is not copied */
	GATHER_BYTES = 64 * 1024, /* then they are sent */
	TALK_BYTES = 256 * 1024,  /* of one body before others have their turn */
	PUMP_BYTES = 1024 * 1024, /* in a round of the loop */
	KEEP_BYTES = 256 * 1024,  /* a buffer that has grown beyond is given back */
	READS_PER_TURN = 16,
	STRAYS_MAX = 16,      /* frames for no task of the link, */
	STRAYS_OF_CANCEL = 4, /* and such that were on their way when it was cancelled */
	REQUEST_BYTES_MAX = 32 * 1024 * 1024 /* header sections in one runner */
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct link *link)
{
	int events = link->state == LINK_LOST ? 0 : UV_READABLE | (link->blocked ? UV_WRITABLE : 0);

	if (link->fd < 0 || events == link->events)
		return;
	link->events = events;
	if (events)
		ENSURE(uv_poll_start(&link->poll, events, on_poll) == 0);
	else
		uv_poll_stop(&link->poll);
}

/* --- writing --- */

static bool is_busy(const struct link *link)
{
	return link->sync_owed || link->unsynced || link->blocked;
}

/* out, then more; what the kernel has no room for stays in out. When the socket is broken all is
 * thrown away: reading comes to its end in a moment, and tells. */
static void send_now(struct link *link, struct span more)
{
	struct iovec pieces[2] = {
		{(void *)buffer_span(&link->out).at, link->out.len}, {(void *)more.at, more.len}};
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
	size_t taken, from_out;
	ssize_t sent;

	do
		sent = sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM) {
		buffer_clear(&link->out);
		link->blocked = true;
		return;
	}
	taken = sent > 0 ? (size_t)sent : 0;
	from_out = taken < link->out.len ? taken : link->out.len;
	buffer_consume(&link->out, from_out);
	more = span_from(more, taken - from_out);
	ENSURE(buffer_add(&link->out, more));
	link->blocked = link->out.len > 0;
	if (taken && link->full) /* it has read: before, there was no room */
		link->progress_ms = loop_now_ms(link->authn->loop);
	link->full = link->blocked;
	if (!link->blocked && link->out.capacity > KEEP_BYTES)
		buffer_free(&link->out);
}

static void put(struct link *link, struct span bytes)
{
	if (!is_busy(link))
		link->progress_ms = loop_now_ms(link->authn->loop);
	link->unsynced = true;
	if (bytes.len < LARGE_BYTES || link->blocked)
		ENSURE(buffer_add(&link->out, bytes));
	else
		send_now(link, bytes);
}

static void put_head(struct link *link, enum wire_type type, uint32_t task, size_t len)
{
	struct wire_head head = wire_head(type, task, len);

	put(link, span_make(&head, sizeof(head)));
}

/* --- what asks have to say --- */

void link_talk(struct authn_ask *ask)
{
	struct link *link = ask->link;

	if (!ask->talks) {
		ask->talks = true;
		ask->next_talker = NULL;
		*link->last_talker = ask;
		link->last_talker = &ask->next_talker;
	}
	if (!link->blocked)
		crew_work_soon(link->authn);
}

static void stop_talking(struct authn_ask *ask)
{
	struct link *link = ask->link;

	if (!ask->talks)
		return;
	for (struct authn_ask **at = &link->first_talker; *at; at = &(*at)->next_talker) {
		if (*at != ask)
			continue;
		*at = ask->next_talker;
		if (!*at)
			link->last_talker = at;
		break;
	}
	ask->talks = false;
}

static void begin(struct authn_ask *ask)
{
	struct link *link = ask->link;
	struct span request = ask->task->request;
	char kind = (char)ask->task->kind;

	put_head(link, WIRE_BEGIN, ask->id, 1 + request.len);
	put(link, span_make(&kind, 1));
	put(link, request);
	ask->begun = true;
}

static void put_content(struct authn_ask *ask, struct span piece)
{
	ask->sent += piece.len;
	while (piece.len) {
		struct span part = span_first(piece, WIRE_PIECE_MAX);

		put_head(ask->link, WIRE_CONTENT, ask->id, part.len);
		put(ask->link, part);
		piece = span_from(piece, part.len);
	}
}

static void take_content(void *context, struct span piece)
{
	put_content(context, span_first(piece, TALK_BYTES));
}

/* true: there is more to say. */
static bool talk(struct authn_ask *ask)
{
	struct link *link = ask->link;
	struct authn_task *task = ask->task;
	uint64_t sent = ask->sent;
	bool first = !ask->begun;

	if (first)
		begin(ask);
	if (ask->answers.len)
		put(link, buffer_span(&ask->answers));
	buffer_free(&ask->answers);
	if (first)
		put_head(link, WIRE_STEP, ask->id, 0);
	if (!task->read || ask->ended)
		return false;
	if (sent < ask->size && task->read(task, sent, take_content, ask) == 0)
		return false;
	if (ask->whole && ask->sent >= ask->size) {
		put_head(link, WIRE_END, ask->id, 0);
		ask->ended = true;
	}
	return ask->sent > sent && ask->sent < ask->size;
}

/* Busy links are looked at now and then; see on_timer. One that owes no SYNC is busy, too: it may
 * hang with what came behind the last one. */
static void watch_silence(struct link *link)
{
	if (is_busy(link) && !timer_is_set(&link->timer))
		timer_set(&link->authn->loop->timers, &link->timer, LINK_QUIET_MS);
}

static void put_sync(struct link *link)
{
	if (!link->unsynced || link->sync_owed)
		return;
	put_head(link, WIRE_SYNC, 0, 0);
	link->unsynced = false;
	link->sync_owed = true;
}

static void let_talk(struct link *link)
{
	size_t said = 0;

	while (link->first_talker && !link->blocked && said < PUMP_BYTES) {
		struct authn_ask *ask = link->first_talker;
		uint64_t sent = ask->sent;

		stop_talking(ask);
		if (talk(ask))
			link_talk(ask);
		said += (size_t)(ask->sent - sent) + 1;
		if (link->out.len >= GATHER_BYTES && !link->blocked)
			send_now(link, SPAN_NONE);
	}
	if (link->blocked)
		return;
	if (link->out.len) {
		put_sync(link);
		send_now(link, SPAN_NONE);
	}
	if (link->first_talker)
		link->blocked = true; /* for this round: others on the loop have their turn */
}

void link_pump(struct link *link)
{
	if (link->state == LINK_LOST)
		return;
	if (!link->blocked)
		let_talk(link);
	watch(link);
	watch_silence(link);
}

void link_content(struct authn_ask *ask, struct span piece)
{
	struct link *link = ask->link;

	if (piece.len < LARGE_BYTES || link->blocked || ask->talks || link->state == LINK_LOST)
		return;
	put_content(ask, piece);
	crew_work_soon(link->authn); /* what the kernel did not take, and the timer */
}

void link_cancel(struct authn_ask *ask)
{
	struct link *link = ask->link;

	if (!ask->begun || link->state == LINK_LOST)
		return;
	link->n_cancelled++;
	put_head(link, WIRE_CANCEL, ask->id, 0);
	crew_work_soon(link->authn);
}

/* --- which asks it has --- */

bool link_is_full(const struct link *link)
{
	return link->asks.n >= WIRE_TASKS_MAX || link->request_bytes >= REQUEST_BYTES_MAX;
}

void link_take(struct link *link, struct authn_ask *ask)
{
	ask_list_take(ask);
	ask->state = link->state == LINK_ALONE ? ASK_ALONE : ASK_UNDER_WAY;
	ask->link = link;
	ask_list_add(&link->asks, ask);
	link->request_bytes += ask->task->request.len;
	link->n_taken++;
	link_talk(ask);
}

void link_leave(struct authn_ask *ask)
{
	struct link *link = ask->link;

	stop_talking(ask);
	ask_list_take(ask);
	link->request_bytes -= ask->task->request.len;
	ask->link = NULL;
}

static struct authn_ask *ask_of(struct link *link, uint32_t id)
{
	for (struct authn_ask *ask = link->asks.first; ask; ask = ask->next)
		if (ask->id == id && ask->begun)
			return ask;
	return NULL; /* cancelled meanwhile */
}

/* --- reading --- */

/* Each costs a look at all tasks, so one that speaks of nothing but others' would keep us busy. */
static bool may_stray(struct link *link)
{
	return ++link->n_strays <= STRAYS_MAX + (uint64_t)STRAYS_OF_CANCEL * link->n_cancelled;
}

static bool on_wants(struct link *link, const struct wire_frame *frame)
{
	struct authn_ask *ask = ask_of(link, frame->task);
	struct answer wants[WANTS_MAX];
	size_t n;

	if (!wire_wants_read(frame->payload, wants, &n))
		return false;
	if (!ask)
		return may_stray(link);
	ask->n_wanted += n;
	if (ask->n_wanted > ANSWERS_MAX)
		return false;
	ask->task->wants(ask->task, wants, n);
	return true;
}

static bool on_frame(struct link *link, const struct wire_frame *frame)
{
	struct authn_ask *ask;

	switch (frame->type) {
	case WIRE_WANTS:
		return on_wants(link, frame);
	case WIRE_RESULT:
		ask = ask_of(link, frame->task);
		if (!ask)
			return may_stray(link);
		ask_done(ask, AUTHN_ANSWERED, frame->payload);
		crew_on_idle(link);
		return true;
	case WIRE_SYNCED:
		if (!link->sync_owed)
			return false;
		link->sync_owed = false;
		return true;
	case WIRE_TIRED:
		if (link->tired)
			return false;
		link->tired = true;
		if (link->state == LINK_OPEN)
			link->state = LINK_LEAVING;
		crew_on_idle(link);
		return true;
	case WIRE_BEGIN:
	case WIRE_ANSWER:
	case WIRE_STEP:
	case WIRE_CONTENT:
	case WIRE_END:
	case WIRE_CANCEL:
	case WIRE_SYNC:
		break;
	}
	return false;
}

/* false: the link is closed, or must be. */
static bool take_frames(struct link *link, struct span *bytes)
{
	while (link->fd >= 0) {
		struct wire_frame frame;
		size_t needed;
		enum wire_progress progress = wire_take(bytes, WIRE_TO_WORKER, &frame, &needed);

		if (progress == WIRE_MORE)
			return true;
		if (progress == WIRE_NONSENSE || !on_frame(link, &frame)) {
			if (link->fd >= 0)
				crew_kill(link, false);
			return false;
		}
	}
	return false;
}

static bool take_bytes(struct link *link, struct span bytes)
{
	size_t before;
	bool ok;

	if (!link->in.len) {
		ok = take_frames(link, &bytes);
		ENSURE(!ok || buffer_add(&link->in, bytes));
		return ok;
	}
	ENSURE(buffer_add(&link->in, bytes));
	bytes = buffer_span(&link->in);
	before = bytes.len;
	ok = take_frames(link, &bytes);
	if (ok)
		buffer_consume(&link->in, before - bytes.len);
	if (ok && !link->in.len && link->in.capacity > KEEP_BYTES)
		buffer_free(&link->in);
	return ok;
}

void link_read(struct link *link)
{
	char *at = link->authn->read_buffer;

	for (int i = 0; i < READS_PER_TURN && link->fd >= 0 && link->state != LINK_LOST; i++) {
		ssize_t got;

		do
			got = recv(link->fd, at, LOOP_READ_SIZE, MSG_DONTWAIT);
		while (got < 0 && errno == EINTR);
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			crew_on_end(link);
			return;
		}
		link->progress_ms = loop_now_ms(link->authn->loop);
		link->quiet = false;
		if (!take_bytes(link, span_make(at, (size_t)got)) || got < LOOP_READ_SIZE)
			return;
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct link *link = poll->data;

	MAGIC_ENSURE(link, LINK_MAGIC);
	if (status < 0 || (events & UV_READABLE))
		link_read(link);
	if (link->fd < 0 || link->state == LINK_LOST)
		return;
	if (status == 0 && (events & UV_WRITABLE)) {
		link->blocked = false;
		if (link->out.len)
			send_now(link, SPAN_NONE);
		link_pump(link);
	}
}

/* --- silence --- */

/* Before a runner is called silent, what it said while we were not looking is heard. */
static void on_timer(struct timer *timer)
{
	struct link *link = CONTAINER_OF(timer, struct link, timer);
	struct timers *timers = &link->authn->loop->timers;
	uint64_t silent_ms;

	MAGIC_ENSURE(link, LINK_MAGIC);
	if (link->state == LINK_LOST) {
		crew_forget(link);
		return;
	}
	link_read(link);
	if (link->fd < 0 || link->state == LINK_LOST || !is_busy(link))
		return;
	if (!link->sync_owed && !link->blocked) {
		put_sync(link);
		send_now(link, SPAN_NONE);
		watch(link);
		timer_set(timers, timer, LINK_QUIET_MS);
		return;
	}
	silent_ms = loop_now_ms(link->authn->loop) - link->progress_ms;
	if (silent_ms >= AUTHN_STALL_MS) {
		crew_kill(link, true);
		return;
	}
	if (silent_ms >= LINK_QUIET_MS && !link->quiet) {
		link->quiet = true;
		crew_work_soon(link->authn);
	}
	timer_set(timers, timer,
		link->quiet ? AUTHN_STALL_MS - silent_ms : LINK_QUIET_MS - silent_ms);
}

/* --- life --- */

void link_open(struct authn *authn, uint32_t runner, int fd)
{
	struct link *link = memory_zeroed(sizeof(*link)), **at = &authn->links;

	link->magic = LINK_MAGIC;
	link->authn = authn;
	link->state = LINK_FRESH;
	link->runner = runner;
	link->fd = fd;
	link->last_talker = &link->first_talker;
	link->out = BUFFER_INIT(WIRE_TO_RUNNER_MAX + 16 * 1024 * 1024);
	link->in = BUFFER_INIT(WIRE_TO_WORKER_MAX + LOOP_READ_SIZE);
	link->timer.fire = on_timer;
	link->poll.data = link;
	while (*at)
		at = &(*at)->next;
	*at = link;
	ENSURE(uv_poll_init(&authn->loop->uv, &link->poll, fd) == 0); /* makes it non-blocking */
	watch(link);
}

static void on_closed(uv_handle_t *handle)
{
	struct link *link = handle->data;

	MAGIC_ENSURE(link, LINK_MAGIC);
	link->magic = 0;
	buffer_free(&link->in);
	buffer_free(&link->out);
	free(link);
}

void link_close(struct link *link)
{
	struct link **at = &link->authn->links;

	MAGIC_ENSURE(link, LINK_MAGIC);
	ENSURE(link->asks.n == 0 && link->fd >= 0);
	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	timer_clear(&link->authn->loop->timers, &link->timer);
	uv_close((uv_handle_t *)&link->poll, on_closed);
	close(link->fd);
	link->fd = -1;
}

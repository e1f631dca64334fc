/*
 * On the wire a frame is a header of 16 bytes in host order and its payload. Descriptors travel
 * with the header's first byte. The receiver never reads past the frame at hand, so the
 * descriptors that have arrived when it is complete are exactly the frame's: a count that differs
 * is nonsense and ends the connection, as a length or a count beyond the bounds does. Memory for a
 * payload grows with what has arrived, not with what the header promises.
 *
 * Descriptors that were received and not handed on are closed here, as are the duplicates kept for
 * a frame that the kernel did not take yet.
 *
 * Tried and rejected: SOCK_SEQPACKET, which would keep the borders for us, but the configuration
 * with its certificates is larger than a packet may be.
 */
#include "lib/net/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/net/ipc_header.h"

enum {
	IPC_MAGIC = 0x1bc0ffe5,
	READ_PIECE = 64 * 1024,
	FRAMES_PER_TURN = 32 /* then others on the loop have their turn */
};

/* A frame, or the rest of one, that the kernel did not take yet. */
struct outgoing {
	struct outgoing *next;
	size_t size, sent;
	size_t n_fds; /* still to be sent: duplicates, owned */
	int *fds;
	char *bytes;
};

struct ipc {
	uint32_t magic;
	int fd;                            /* owned; -1 when closed */
	const struct ipc_handler *handler; /* borrowed; NULL once closed or ended */
	void *context;
	uv_poll_t poll;
	int events;

	struct ipc_header header;
	size_t header_bytes; /* received of it */
	struct buffer payload;
	int fds[IPC_FDS_MAX]; /* received for the frame at hand */
	size_t n_fds;

	struct outgoing *first, **last;
	size_t waiting_bytes;
};

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct ipc *ipc)
{
	int events = (ipc->handler ? UV_READABLE : 0) | (ipc->first ? UV_WRITABLE : 0);

	if (ipc->fd < 0 || events == ipc->events)
		return;
	ipc->events = events;
	if (events)
		ENSURE(uv_poll_start(&ipc->poll, events, on_poll) == 0);
	else
		uv_poll_stop(&ipc->poll);
}

/* --- sending --- */

static void outgoing_free(struct outgoing *frame)
{
	close_all(frame->fds, frame->n_fds);
	free(frame->fds);
	free(frame->bytes);
	free(frame);
}

static void forget_outgoing(struct ipc *ipc)
{
	while (ipc->first) {
		struct outgoing *frame = ipc->first;

		ipc->first = frame->next;
		outgoing_free(frame);
	}
	ipc->last = &ipc->first;
	ipc->waiting_bytes = 0;
}

/* One sendmsg; the number of bytes taken, 0 when the kernel has no room, -1 when it never will. */
static ssize_t send_some(
	int fd, const struct iovec *pieces, size_t n_pieces, const int *fds, size_t n_fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = n_pieces};
	ssize_t sent;

	if (n_fds) {
		struct cmsghdr *cmsg;

		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		cmsg = CMSG_FIRSTHDR(&message);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
	}
	do
		sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	/* Too many descriptors in flight passes, as a full buffer does. */
	if (sent < 0 &&
		(errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS))
		return 0;
	return sent;
}

static void send_waiting(struct ipc *ipc)
{
	while (ipc->first) {
		struct outgoing *frame = ipc->first;
		struct iovec piece = {frame->bytes + frame->sent, frame->size - frame->sent};
		ssize_t sent = send_some(ipc->fd, &piece, 1, frame->fds, frame->n_fds);

		if (sent < 0) {
			/* Reading goes on to the end, which then tells the owner. */
			forget_outgoing(ipc);
			break;
		}
		if (sent == 0)
			break;
		close_all(frame->fds, frame->n_fds);
		frame->n_fds = 0;
		frame->sent += (size_t)sent;
		ipc->waiting_bytes -= (size_t)sent;
		if (frame->sent < frame->size)
			break;
		ipc->first = frame->next;
		if (!ipc->first)
			ipc->last = &ipc->first;
		outgoing_free(frame);
	}
	watch(ipc);
}

/* Keeps the frame from byte `sent` on; its descriptors only while nothing of it was sent. */
static bool keep(
	struct ipc *ipc, const struct iovec *pieces, size_t sent, const int *fds, size_t n_fds)
{
	struct outgoing *frame = memory_zeroed(sizeof(*frame));

	frame->size = pieces[0].iov_len + pieces[1].iov_len;
	frame->sent = sent;
	frame->bytes = memory_new(frame->size);
	memcpy(frame->bytes, pieces[0].iov_base, pieces[0].iov_len);
	if (pieces[1].iov_len)
		memcpy(frame->bytes + pieces[0].iov_len, pieces[1].iov_base, pieces[1].iov_len);
	if (sent == 0 && n_fds) {
		frame->fds = memory_new(sizeof(int) * n_fds);
		for (; frame->n_fds < n_fds; frame->n_fds++) {
			int copy = fcntl(fds[frame->n_fds], F_DUPFD_CLOEXEC, 3);

			if (copy < 0) {
				outgoing_free(frame);
				return false;
			}
			frame->fds[frame->n_fds] = copy;
		}
	}
	*ipc->last = frame;
	ipc->last = &frame->next;
	ipc->waiting_bytes += frame->size - sent;
	watch(ipc);
	return true;
}

bool ipc_send(struct ipc *ipc, const struct ipc_frame *frame)
{
	struct ipc_header header = {
		(uint32_t)frame->payload.len, frame->type, frame->id, (uint32_t)frame->n_fds};
	struct iovec pieces[2] = {
		{&header, sizeof(header)}, {(void *)frame->payload.at, frame->payload.len}};
	size_t size = sizeof(header) + frame->payload.len;
	ssize_t sent = 0;

	MAGIC_ENSURE(ipc, IPC_MAGIC);
	ENSURE(frame->payload.len <= IPC_FRAME_MAX && frame->n_fds <= IPC_FDS_MAX);
	if (ipc->fd < 0 || !ipc->handler)
		return false;
	if (!ipc->first)
		sent = send_some(ipc->fd, pieces, 2, frame->fds, frame->n_fds);
	if (sent < 0)
		return false;
	if ((size_t)sent == size)
		return true;
	if (ipc->waiting_bytes && ipc->waiting_bytes + size > IPC_FRAME_MAX)
		return false;
	return keep(ipc, pieces, (size_t)sent, frame->fds, frame->n_fds);
}

/* --- receiving --- */

/* Takes the descriptors out of a message; false: more than a frame may have. */
static bool take_fds(struct ipc *ipc, struct msghdr *message)
{
	bool ok = !(message->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (ipc->n_fds < IPC_FDS_MAX) {
				ipc->fds[ipc->n_fds++] = fd;
			} else {
				close(fd);
				ok = false;
			}
		}
	}
	return ok;
}

/* Like recv, with descriptors; -1 with errno EAGAIN: nothing now; 0: the end, nonsense included. */
static ssize_t receive_some(struct ipc *ipc, void *to, size_t size)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * (IPC_FDS_MAX + 3))];
		struct cmsghdr align;
	} control;
	struct iovec piece = {to, size};
	struct msghdr message = {.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	ssize_t got;

	do
		got = recvmsg(ipc->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? -1 : 0;
	if (!take_fds(ipc, &message))
		return 0;
	return got;
}

enum progress { PROGRESS_FRAME, PROGRESS_WAIT, PROGRESS_END };

/* Reads on towards one whole frame. */
static enum progress read_frame(struct ipc *ipc)
{
	ssize_t got;

	while (ipc->header_bytes < sizeof(ipc->header)) {
		got = receive_some(ipc, (char *)&ipc->header + ipc->header_bytes,
			sizeof(ipc->header) - ipc->header_bytes);
		if (got <= 0)
			return got < 0 ? PROGRESS_WAIT : PROGRESS_END;
		ipc->header_bytes += (size_t)got;
	}
	if (ipc->header.len > IPC_FRAME_MAX || ipc->header.n_fds != ipc->n_fds)
		return PROGRESS_END;
	while (ipc->payload.len < ipc->header.len) {
		size_t left = ipc->header.len - ipc->payload.len;
		size_t size = left < READ_PIECE ? left : READ_PIECE;
		char *at = buffer_reserve(&ipc->payload, size);

		ENSURE(at);
		got = receive_some(ipc, at, size);
		if (got <= 0)
			return got < 0 ? PROGRESS_WAIT : PROGRESS_END;
		buffer_added(&ipc->payload, (size_t)got);
		if (ipc->n_fds != ipc->header.n_fds)
			return PROGRESS_END;
	}
	return PROGRESS_FRAME;
}

static void drop_received(struct ipc *ipc)
{
	close_all(ipc->fds, ipc->n_fds);
	ipc->n_fds = 0;
	ipc->header_bytes = 0;
	buffer_free(&ipc->payload);
}

static void end(struct ipc *ipc)
{
	const struct ipc_handler *handler = ipc->handler;

	drop_received(ipc);
	forget_outgoing(ipc);
	ipc->handler = NULL;
	watch(ipc);
	handler->on_end(ipc->context);
}

static void hand_over(struct ipc *ipc)
{
	int fds[IPC_FDS_MAX];
	struct buffer payload = ipc->payload;
	struct ipc_frame frame = {.type = ipc->header.type,
		.id = ipc->header.id,
		.payload = buffer_span(&payload),
		.fds = fds,
		.n_fds = ipc->n_fds};

	/* The handler may close us: all that it borrows is ours alone. */
	memcpy(fds, ipc->fds, ipc->n_fds * sizeof(int));
	ipc->n_fds = 0;
	ipc->header_bytes = 0;
	ipc->payload = BUFFER_INIT(IPC_FRAME_MAX);
	ipc->handler->on_frame(ipc->context, &frame);
	buffer_free(&payload);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct ipc *ipc = poll->data;

	MAGIC_ENSURE(ipc, IPC_MAGIC);
	if (status == 0 && (events & UV_WRITABLE))
		send_waiting(ipc);
	for (int i = 0; ipc->handler && i < FRAMES_PER_TURN; i++) {
		enum progress progress = read_frame(ipc);

		if (progress == PROGRESS_WAIT)
			break;
		if (progress == PROGRESS_END)
			end(ipc);
		else
			hand_over(ipc);
	}
}

/* --- life --- */

struct ipc *ipc_open(struct loop *loop, int fd, const struct ipc_handler *handler, void *context)
{
	struct ipc *ipc = memory_zeroed(sizeof(*ipc));
	int flags = fcntl(fd, F_GETFD);

	ipc->magic = IPC_MAGIC;
	ipc->fd = fd;
	ipc->handler = handler;
	ipc->context = context;
	ipc->payload = BUFFER_INIT(IPC_FRAME_MAX);
	ipc->last = &ipc->first;
	ipc->poll.data = ipc;
	ENSURE(flags >= 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0);
	ENSURE(uv_poll_init(&loop->uv, &ipc->poll, fd) == 0); /* makes it non-blocking */
	watch(ipc);
	return ipc;
}

static void on_closed(uv_handle_t *handle)
{
	struct ipc *ipc = handle->data;

	MAGIC_ENSURE(ipc, IPC_MAGIC);
	ipc->magic = 0;
	free(ipc);
}

void ipc_close(struct ipc **owner)
{
	struct ipc *ipc = *owner;

	if (!ipc)
		return;
	MAGIC_ENSURE(ipc, IPC_MAGIC);
	*owner = NULL;
	ipc->handler = NULL;
	drop_received(ipc);
	forget_outgoing(ipc);
	uv_close((uv_handle_t *)&ipc->poll, on_closed);
	close(ipc->fd);
	ipc->fd = -1;
}

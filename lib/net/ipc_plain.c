#include "lib/net/ipc_plain.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/net/ipc_header.h"

union rights {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/* Exactly so many bytes, and the descriptor that came with them. */
static bool receive(int socket, void *to, size_t size, int *fd)
{
	char *at = to;

	while (size) {
		struct iovec piece = {at, size};
		union rights rights;
		struct msghdr message = {.msg_iov = &piece,
			.msg_iovlen = 1,
			.msg_control = rights.bytes,
			.msg_controllen = sizeof(rights.bytes)};
		struct cmsghdr *cmsg;
		ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		cmsg = CMSG_FIRSTHDR(&message);
		if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS) {
			if (*fd >= 0 || cmsg->cmsg_len != CMSG_LEN(sizeof(int)))
				return false;
			memcpy(fd, CMSG_DATA(cmsg), sizeof(int));
		}
		at += got;
		size -= (size_t)got;
	}
	return true;
}

bool ipc_plain_receive(int socket, struct ipc_plain *frame)
{
	struct ipc_header header;
	char *at = NULL;

	frame->fd = -1;
	if (receive(socket, &header, sizeof(header), &frame->fd))
		at = buffer_reserve(&frame->payload, header.len);
	if (at && receive(socket, at, header.len, &frame->fd) && header.n_fds == (frame->fd >= 0)) {
		buffer_added(&frame->payload, header.len);
		frame->type = header.type;
		frame->id = header.id;
		return true;
	}
	if (frame->fd >= 0)
		close(frame->fd);
	frame->fd = -1;
	return false;
}

bool ipc_plain_send(int socket, uint32_t type, struct span payload)
{
	struct ipc_header header = {.len = (uint32_t)payload.len, .type = type};
	struct iovec pieces[2] = {{&header, sizeof(header)}, {(void *)payload.at, payload.len}};
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};

	/* A few bytes on a socket that is read: they go whole. */
	return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)(sizeof(header) + payload.len);
}

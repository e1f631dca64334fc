#include "lib/authn/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union rights {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

bool control_pair(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0;
}

enum control_outcome control_send(int control, const struct control_message *message, int fd)
{
	struct iovec piece = {(void *)message, sizeof(*message)};
	struct msghdr packet = {.msg_iov = &piece, .msg_iovlen = 1};
	union rights rights;
	ssize_t sent;

	if (fd >= 0) {
		struct cmsghdr *cmsg;

		memset(&rights, 0, sizeof(rights));
		packet.msg_control = rights.bytes;
		packet.msg_controllen = sizeof(rights.bytes);
		cmsg = CMSG_FIRSTHDR(&packet);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	do
		sent = sendmsg(control, &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent == (ssize_t)sizeof(*message))
		return CONTROL_DONE;
	return sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ||
				   errno == ETOOMANYREFS)
		       ? CONTROL_AGAIN
		       : CONTROL_LOST;
}

enum control_outcome control_receive(int control, struct control_message *message, int *fd)
{
	struct iovec piece = {message, sizeof(*message)};
	union rights rights;
	struct msghdr packet = {.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = rights.bytes,
		.msg_controllen = sizeof(rights.bytes)};
	struct cmsghdr *cmsg;
	ssize_t got;

	*fd = -1;
	do
		got = recvmsg(control, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? CONTROL_AGAIN : CONTROL_LOST;
	cmsg = CMSG_FIRSTHDR(&packet);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
		cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(cmsg), sizeof(int));
	if (got == (ssize_t)sizeof(*message) && !(packet.msg_flags & MSG_TRUNC) &&
		(*fd < 0 || message->type == CONTROL_RUNNER))
		return CONTROL_DONE;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return CONTROL_LOST;
}

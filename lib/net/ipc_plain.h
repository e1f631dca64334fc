/*
 * ipc_plain: the frames of lib/net/ipc.h for a process without a loop: one at a time, and waiting.
 * For the socket to a supervisor alone, who is trusted; no frame with more than one descriptor.
 */
#ifndef NET_IPC_PLAIN_H
#define NET_IPC_PLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"

struct ipc_plain {
	uint32_t type, id;
	struct buffer payload; /* owned: its maximum is what a frame may have; free it */
	int fd;                /* owned; -1: none */
};

/* The next frame; its payload must be empty before. false: the other side is gone, or the frame is
 * none. */
bool ipc_plain_receive(int socket, struct ipc_plain *frame) MUST_CHECK;

bool ipc_plain_send(int socket, uint32_t type, struct span payload) MUST_CHECK;

#endif

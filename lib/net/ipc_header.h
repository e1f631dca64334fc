/* What stands before each frame on the wire (lib/net/ipc.c): for those who write or read it. */
#ifndef NET_IPC_HEADER_H
#define NET_IPC_HEADER_H

#include <stdint.h>

struct ipc_header {
	uint32_t len; /* of the payload */
	uint32_t type;
	uint32_t id;
	uint32_t n_fds; /* they travel with its first byte */
};

#endif

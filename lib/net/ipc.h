/*
 * ipc: framed messages with descriptors between postern's own processes, over a SOCK_STREAM unix
 * socket pair on a loop. Both ends run the same binary, yet a worker may have been taken over:
 * lengths and types are checked as if they came from outside.
 */
#ifndef NET_IPC_H
#define NET_IPC_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/span.h"
#include "lib/net/loop.h"

enum { IPC_FRAME_MAX = 64 * 1024 * 1024, IPC_FDS_MAX = 250 };

struct ipc_frame {
	uint32_t type;       /* the caller's enum */
	uint32_t id;         /* the caller's: matches answers to questions */
	struct span payload; /* borrowed */
	const int *fds; /* borrowed when sending (duplicated by the kernel); owned by the receiver
			   of on_frame */
	size_t n_fds;
};

struct ipc_handler {
	void (*on_frame)(void *context, const struct ipc_frame *frame);
	void (*on_end)(void *context); /* the other side is gone or spoke nonsense; once; ipc_close
					  follows from the owner */
};

struct ipc; /* opaque */

/* Takes over fd (non-blocking, close-on-exec are set). */
struct ipc *ipc_open(struct loop *loop, int fd, const struct ipc_handler *handler, void *context);

/* Queues a frame. false: the other side is gone, or more than IPC_FRAME_MAX bytes wait for it. */
bool ipc_send(struct ipc *ipc, const struct ipc_frame *frame);

/* Stops callbacks at once, frees later. */
void ipc_close(struct ipc **ipc);

#endif

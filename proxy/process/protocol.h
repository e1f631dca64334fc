/*
 * protocol: the frames between the supervisor and its children (lib/net/ipc.h carries them). All
 * run the same binary (the supervisor starts /proc/self/exe), so structs travel as they lie in
 * memory; a worker may have been taken over, so whoever reads a frame still checks its size and its
 * descriptors.
 *
 *     supervisor                     worker / keeper                      keeper <-> worker
 *         |--- START + descriptors ------->|
 *         |<-- READY (or FAILED text) -----|
 *         |--- LISTEN, UNLISTEN ---------->| worker
 *         |--- LINK + ends of pairs ------>| both                    STATUS -->, <-- STATUS_IS,
 *         |                                |                         and the store's own frames
 *         |--- LINK_AUTHN, likewise ------>| worker and its authn (lib/authn/control.h)
 *         |--- LOG_TARGET, DECLARED ------>| keeper
 *         |<-- ASK_RELOAD, ASK_DRAIN, -----| keeper
 *         |    ASK_STATE                   |
 *         |--- ANSWER, STATE_IS ---------->| keeper
 *         |<-- LEAVING --------------------| worker
 *         |--- DRAIN --------------------->| worker; keeper, authn: end
 *         |<-- (socket closes) ------------| and the process ends with status 0
 */
#ifndef PROXY_PROCESS_PROTOCOL_H
#define PROXY_PROCESS_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/span.h"
#include "lib/net/tls.h"
#include "proxy/process/privileges.h"

/* Where a child finds its socket to the supervisor. */
enum { CHILD_FD = 3 };

enum frame_type {
	FRAME_START = 1,  /* struct start_frame, then the bundle (worker) or the value of
			  `store` (keeper); descriptors: enum start_fd */
	FRAME_READY,      /* nothing */
	FRAME_FAILED,     /* text: why it can't start */
	FRAME_LISTEN,     /* struct listen_frame; one listening socket. id: the socket's */
	FRAME_UNLISTEN,   /* nothing. id: the socket's */
	FRAME_DRAIN,      /* uint32_t: enum worker_drain */
	FRAME_LEAVING,    /* nothing: the worker takes no new sessions any more */
	FRAME_LINK,       /* struct link_frame; ends of socket pairs to the keeper or worker: enum
			     link_fd */
	FRAME_LOG_TARGET, /* uint32_t: enum log_target; one descriptor unless it is the syslog */
	FRAME_ASK_RELOAD, /* struct ask_reload_frame. id: the asker's, returned by ANSWER */
	FRAME_ASK_DRAIN,  /* nothing */
	FRAME_ASK_STATE,  /* nothing */
	FRAME_ANSWER,     /* to ASK_RELOAD, ASK_DRAIN. uint32_t: exit status; then text */
	FRAME_STATE_IS,   /* to ASK_STATE. JSON object */
	FRAME_STATUS,     /* uint32_t: so many sessions at most */
	FRAME_LINK_AUTHN, /* nothing; one end of a socket pair to the worker's authn, or its worker
			   */
	FRAME_DECLARED,   /* text: what the configuration in force says of lists (declared.h) */
	FRAME_STATUS_IS   /* JSON object. id: of STATUS; 0: the worker's last word, unasked */
};

enum start_fd {
	START_FD_LOG,                           /* lines go in here */
	START_FD_SHARED,                        /* struct shared */
	START_FD_SPOOL,                         /* worker: the folder for large messages */
	START_FD_QUARANTINE,                    /* worker: the folder of messages held back */
	START_FD_LOG_READ = START_FD_SPOOL,     /* keeper: lines come out here */
	START_FD_CONTROL = START_FD_QUARANTINE, /* keeper: the listening control socket */
	START_FD_STATE,                         /* keeper: the folder of the embedded store */
	START_FDS_WORKER = START_FD_QUARANTINE + 1,
	START_FDS_KEEPER = START_FD_STATE + 1,
	START_FDS_AUTHN = 0
};

/* Apart, so that a store that is busy holds up no answer to `postern status`. */
enum link_fd {
	LINK_FD_STATUS, /* STATUS, STATUS_IS */
	LINK_FD_STORE,  /* lib/store/wire.h */
	LINK_FDS
};

struct start_frame {
	struct privileges privileges;
	uint32_t number; /* worker or authn 1 and up; 0: the keeper */
	uint32_t generation;
	int32_t row; /* in struct shared */
	uint32_t log_json;
	uint8_t ticket_keys[TLS_TICKET_KEYS_SIZE]; /* worker */
};

struct listen_frame {
	uint32_t listen_index; /* of the listen block */
};

struct link_frame {
	uint32_t number, generation;
	int32_t pid;
};

struct ask_reload_frame {
	uint32_t wait_ms; /* 0: answer as soon as the new workers serve */
};

/* Copies a struct from the front of a payload and moves on behind it; false: too short. */
static inline bool frame_take(struct span *payload, void *out, size_t size)
{
	if (payload->len < size)
		return false;
	memcpy(out, payload->at, size);
	*payload = span_from(*payload, size);
	return true;
}

#endif

/*
 * control: the few words between a worker and its authn process (authn/parent.h), which starts
 * runners for it. Each is one packet on a SOCK_SEQPACKET socket, of one size, with at most one
 * descriptor.
 *
 *     worker                              authn process
 *       |--- FORK --------------------------->|
 *       |<-- RUNNER + its socket (REFUSED) ---|
 *       |--- KILL --------------------------->|  it hangs, or speaks nonsense
 *       |<-- GONE, why -----------------------|  for each runner, once
 */
#ifndef AUTHN_CONTROL_H
#define AUTHN_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attributes.h"

enum control_type {
	CONTROL_FORK = 1,
	CONTROL_KILL,
	CONTROL_RUNNER,  /* with a descriptor */
	CONTROL_REFUSED, /* the system can't, or there are CONTROL_RUNNERS_MAX */
	CONTROL_GONE
};

enum { CONTROL_RUNNERS_MAX = 48 }; /* of a worker at a time */

struct control_message {
	uint32_t type;
	uint32_t runner; /* its number, never used twice; FORK, REFUSED: 0 */
	int32_t status;  /* GONE: as waitpid has it; others: 0 */
};

enum control_outcome { CONTROL_DONE, CONTROL_AGAIN, CONTROL_LOST };

/* A socket pair for it. false: errno. */
bool control_pair(int pair[2]) MUST_CHECK;

/* Never block. fd: handed over with the message (the caller still closes its own); -1: none. AGAIN:
 * the other side does not read. */
enum control_outcome control_send(int control, const struct control_message *message, int fd);

/* *fd: owned; -1: none came, or we had no
 * room for it. AGAIN: nothing there. LOST: the other side is gone, or sent something
 * else than messages. */
enum control_outcome control_receive(int control, struct control_message *message, int *fd);

#endif

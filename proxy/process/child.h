/*
 * child: the process side of a worker: `postern worker`, started by the supervisor only. What it
 * gets over its socket (protocol.h) it turns into calls of worker.h; it opens no file and runs no
 * program.
 *
 *     AWAITING --START--> SERVING --DRAIN, SIGTERM, supervisor gone--> LEAVING --last session
 * gone--> (exit) |                                                                |
 *        +--supervisor gone--> (exit)                      (out of time: exit all the same)
 */
#ifndef PROXY_PROCESS_CHILD_H
#define PROXY_PROCESS_CHILD_H

#include "proxy/process/title.h"

/* The exit status of the process. */
int child_run(const struct title *title);

#endif

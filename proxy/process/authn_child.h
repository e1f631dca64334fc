/*
 * authn_child: the process side of `postern authn`, started by the supervisor only: it becomes the
 * daemon's account, takes its name, gives away all that it could be robbed of, and then is the
 * parent of runners (authn/parent.h).
 *
 *     AWAITING --START--> SEALED --DRAIN, supervisor gone--> (exit)
 *        |                   +-----worn out, LEAVING-------> (exit)
 *        +--can't: FAILED--> (exit)
 */
#ifndef PROXY_PROCESS_AUTHN_CHILD_H
#define PROXY_PROCESS_AUTHN_CHILD_H

#include "proxy/process/title.h"

/* The exit status of the process. */
int authn_child_run(const struct title *title);

#endif

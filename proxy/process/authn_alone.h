/*
 * authn_alone: an authn process without a daemon around it, for a command that measures what a
 * worker would (`postern explain`).
 */
#ifndef PROXY_PROCESS_AUTHN_ALONE_H
#define PROXY_PROCESS_AUTHN_ALONE_H

#include "lib/authn/authn.h"

struct authn_alone;

/* Starts it, on this loop; tasks wait until it is there. One that can't be started leaves them
 * AUTHN_AWAY. */
struct authn_alone *authn_alone_open(struct loop *loop, struct log *log);

/* Borrowed until authn_alone_close. */
struct authn *authn_alone_client(struct authn_alone *alone);

/* No task is left. Turns the loop until the process has ended. Sets the pointer to NULL. */
void authn_alone_close(struct authn_alone **alone);

#endif

/* backend_trouble: what a client is told when it is not the server's own word: never more than it
 * needs. */
#ifndef PROXY_BACKEND_TROUBLE_H
#define PROXY_BACKEND_TROUBLE_H

#include "lib/mail/reply.h"

enum backend_trouble {
	TROUBLE_NO_SERVER,
	TROUBLE_UNFIT,
	TROUBLE_BUSY,
	TROUBLE_LOST,
	TROUBLE_SLOW,
	TROUBLE_GARBAGE,
	TROUBLE_IN_DOUBT,
	TROUBLE_NO_SMTPUTF8,
	TROUBLE_SOME_REFUSED,
	TROUBLE_SOME_DELIVERED,
	TROUBLE_SPOOL
};

const struct reply *backend_trouble_reply(enum backend_trouble trouble);

#endif

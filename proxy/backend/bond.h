/*
 * backend_bond: the one connection that carries a client's name (client_info proxy_v2, xclient),
 * for its recipient checks and then its messages, and the client's jobs that wait for it. It is the
 * session's and ends with it.
 */
#ifndef PROXY_BACKEND_BOND_H
#define PROXY_BACKEND_BOND_H

#include "proxy/backend/set.h"

struct backend_bond {
	struct backends *set;
	struct backend_connection *connection; /* NULL: none now */
	struct backend_job *first, *last;      /* wait until it is free */
};

/* Makes the session's bond unless it has one. */
struct backend_bond *backend_bond_of(struct backends *set, struct backend_bond **bond);

void backend_bond_wait(struct backend_bond *bond, struct backend_job *job);
void backend_bond_forget(struct backend_bond *bond, struct backend_job *job);

/* The connection is free or gone: the first that waits starts anew. */
void backend_bond_serve(struct backend_bond *bond);

#endif

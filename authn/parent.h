/*
 * parent: `postern authn` once it is set up, one beside each worker. It opens the libraries, and
 * forks runners (runner.h) whenever its worker asks: fork alone, so that a new one is there within
 * a millisecond. No byte of mail or DNS reaches it. From the worker come a few words
 * (lib/authn/control.h), to it go the runners' sockets, and why each runner is gone.
 *
 *     parent_open --> parent_seal --> parent_run
 *
 * It ends when the supervisor says so or is gone, and when it is worn out; all runners end with it,
 * whatever becomes of it. A worker that is gone, or replaced by another, takes its runners along.
 */
#ifndef AUTHN_PARENT_H
#define AUTHN_PARENT_H

#include "authn/task.h"

struct parent;

/* Opens the libraries. kinds: borrowed. NULL: err says why. */
struct parent *parent_open(const struct kinds *kinds, struct err *err) MUST_CHECK;

/* No way back: what the process may do from here on is what parent_run needs (sandbox.h). Signals
 * that ask a process to end are ignored. */
bool parent_seal(struct parent *parent, struct err *err) MUST_CHECK;

/* The worker behind this socket, taken over; the one before it is gone. */
void parent_serve(struct parent *parent, int control);

struct parent_orders {
	int fd;                      /* when it can be read, */
	bool (*take)(void *context); /* is called. false: it is the end */
	void *context;
};

enum parent_end {
	PARENT_ORDERED, /* the orders said so */
	PARENT_WORN     /* so many runners have crashed that their addresses may be known */
};

enum parent_end parent_run(struct parent *parent, const struct parent_orders *orders);

/* Kills what runs. Sets the pointer to NULL. */
void parent_close(struct parent **parent);

#endif

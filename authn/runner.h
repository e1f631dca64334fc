/*
 * runner: the process in which mail meets libspf2 and libopendkim. It is forked by the parent
 * (parent.h) with the libraries open, and has one socket, to the worker; from it come frames
 * (lib/authn/wire.h), into it go frames, and nothing else can be done here (sandbox.h).
 *
 * `struct runner` is all of it but the socket: bytes in, bytes out.
 */
#ifndef AUTHN_RUNNER_H
#define AUTHN_RUNNER_H

#include "authn/task.h"

struct runner;

/* libraries: KINDS of them, as the kinds opened them; borrowed. */
struct runner *runner_new(const struct kinds *kinds, void *const *libraries);
void runner_free(struct runner **runner);

/* Frames from the worker, cut anywhere. What is to be sent is added to `out`. false: nonsense. */
bool runner_take(struct runner *runner, struct span bytes, struct buffer *out) MUST_CHECK;

/* Tasks that are not done. */
unsigned runner_tasks(const struct runner *runner);

/* The process: reads and writes until the socket ends. Never returns. */
_Noreturn void runner_run(struct runner *runner, int fd);

#endif

/*
 * verifying: the supervisor's side of the authn processes, one beside each worker: starting it with
 * its worker, linking the two, starting it again, and ending it when its worker is gone for good.
 * It may die at any time: the worker asks all that it had of the next one.
 */
#ifndef PROXY_PROCESS_VERIFYING_H
#define PROXY_PROCESS_VERIFYING_H

struct slot;

void verifying_init(struct slot *slot);
void verifying_start(struct slot *slot);

/* Joins the worker and its authn process by a socket pair, if both are ready. */
void verifying_link(struct slot *slot);

/* The worker is gone and stays so. */
void verifying_end(struct slot *slot);

#endif

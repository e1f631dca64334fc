#include "proxy/backend/bond.h"

#include <stdlib.h>

#include "lib/base/fail.h"
#include "proxy/backend/connection.h"
#include "proxy/backend/job.h"

struct backend_bond *backend_bond_of(struct backends *set, struct backend_bond **bond)
{
	if (!*bond) {
		*bond = memory_zeroed(sizeof(**bond));
		(*bond)->set = set;
	}
	return *bond;
}

void backend_bond_wait(struct backend_bond *bond, struct backend_job *job)
{
	job->queue_next = NULL;
	*(bond->last ? &bond->last->queue_next : &bond->first) = job;
	bond->last = job;
	job->waits_in = bond;
	/* Its own turns are what it waits for, so as long as they may take. */
	backend_job_wait(job, CONNECTION_REPLY_MS);
}

void backend_bond_forget(struct backend_bond *bond, struct backend_job *job)
{
	struct backend_job *before = NULL;

	for (struct backend_job *at = bond->first; at != job; at = at->queue_next)
		before = at;
	*(before ? &before->queue_next : &bond->first) = job->queue_next;
	if (bond->last == job)
		bond->last = before;
	job->queue_next = NULL;
	job->waits_in = NULL;
}

void backend_bond_serve(struct backend_bond *bond)
{
	struct backend_job *job = bond->first;

	if (!job)
		return;
	backend_bond_forget(bond, job);
	backend_job_waited(job);
	backend_job_seek(job);
}

void backend_bond_close(struct backend_bond **bond_address)
{
	struct backend_bond *bond = *bond_address;
	struct backend_connection *c;

	if (!bond)
		return;
	*bond_address = NULL;
	while (bond->first)
		backend_job_cancel(bond->first);
	c = bond->connection;
	if (c) {
		/* Detached first: what it does from now on is no longer the session's. */
		bond->connection = NULL;
		c->bond = NULL;
		if (c->job)
			c->job->bond = NULL;
		if (c->state == CONNECTION_READY)
			backend_connection_quit(c);
		else if (c->state < CONNECTION_READY && c->job)
			backend_job_cancel(c->job);
		if (c->state < CONNECTION_READY)
			backend_connection_drop(c);
	}
	free(bond);
}

#include "proxy/backend/pool.h"

#include "lib/base/fail.h"
#include "proxy/backend/bond.h"
#include "proxy/backend/connection.h"
#include "proxy/backend/job.h"
#include "proxy/backend/server.h"

static struct backends *set_of(const struct backend_pool *pool)
{
	return pool->server->backend->set;
}

static bool bonded(const struct backend_pool *pool)
{
	enum client_info info = pool->server->backend->config->client_info;

	return info == CLIENT_INFO_PROXY_V2 || info == CLIENT_INFO_XCLIENT;
}

static bool has_place(const struct backend_pool *pool)
{
	const struct backend_server *server = pool->server;

	if (pool->open >= pool->limit)
		return false;
	return loop_now_ms(set_of(pool)->loop) >= server->crowded_until_ms ||
	       backend_server_connections(server) < server->crowd;
}

/* --- the idle list --- */

void backend_pool_take_idle(struct backend_pool *pool, struct backend_connection *c)
{
	ENSURE(c->idle);
	*(c->newer ? &c->newer->older : &pool->newest) = c->older;
	*(c->older ? &c->older->newer : &pool->oldest) = c->newer;
	c->newer = c->older = NULL;
	c->idle = false;
	pool->n_idle--;
	timer_clear(&set_of(pool)->loop->timers, &c->timer);
}

static void put_idle(struct backend_pool *pool, struct backend_connection *c)
{
	c->older = pool->newest;
	*(c->older ? &c->older->newer : &pool->oldest) = c;
	pool->newest = c;
	c->idle = true;
	pool->n_idle++;
	timer_set(&set_of(pool)->loop->timers, &c->timer, POOL_IDLE_MS);
}

/* --- those who wait --- */

static void wait_in_line(struct backend_pool *pool, struct backend_job *job)
{
	job->queue_next = NULL;
	*(pool->last ? &pool->last->queue_next : &pool->first) = job;
	pool->last = job;
	pool->n_waiting++;
	backend_job_wait(job, set_of(pool)->config->timeouts.backend_connect);
}

void backend_pool_forget(struct backend_pool *pool, struct backend_job *job)
{
	struct backend_job *before = NULL;

	for (struct backend_job *at = pool->first; at != job; at = at->queue_next)
		before = at;
	*(before ? &before->queue_next : &pool->first) = job->queue_next;
	if (pool->last == job)
		pool->last = before;
	job->queue_next = NULL;
	pool->n_waiting--;
}

static struct backend_job *first_in_line(struct backend_pool *pool)
{
	struct backend_job *job = pool->first;

	backend_pool_forget(pool, job);
	backend_job_waited(job);
	return job;
}

static void run_idle(struct backend_pool *pool, struct backend_job *job)
{
	struct backend_connection *c = pool->newest;

	backend_pool_take_idle(pool, c);
	backend_job_run(job, c);
}

static struct backend_pool *sibling_of(const struct backend_pool *pool)
{
	struct backend_server *server = pool->server;

	return pool == &server->mail ? &server->checks : &server->mail;
}

/* instead_of_idle: an idle connection is of no use to who asks, but its place is. So is, on a
 * crowded server, that of an idle one of the other kind: if it is the only one that the server
 * bears, nobody else could go on before it grows old. */
static bool make_place(struct backend_pool *pool, bool instead_of_idle)
{
	const struct backend_pool *sibling = sibling_of(pool);

	if (!has_place(pool) && instead_of_idle && pool->oldest)
		backend_connection_dismiss(pool->oldest);
	if (!has_place(pool) && pool->open < pool->limit && sibling->oldest)
		backend_connection_dismiss(sibling->oldest);
	return has_place(pool);
}

void backend_pool_ask(struct backend_pool *pool, struct backend_job *job, bool fresh)
{
	bool any_idle = !fresh && !bonded(pool);

	if (any_idle && pool->newest) {
		run_idle(pool, job);
		return;
	}
	if (!pool->first && make_place(pool, !any_idle))
		backend_connection_open(pool->server, pool, job);
	else
		wait_in_line(pool, job);
}

void backend_pool_serve(struct backend_pool *pool)
{
	while (pool->first && set_of(pool)->state != BACKENDS_CLOSING) {
		if (!bonded(pool) && pool->newest) {
			run_idle(pool, first_in_line(pool));
			continue;
		}
		if (pool->server->health == SERVER_DOWN || !make_place(pool, bonded(pool)))
			return;
		backend_connection_open(pool->server, pool, first_in_line(pool));
	}
}

void backend_pool_scatter(struct backend_pool *pool)
{
	for (unsigned left = pool->n_waiting; left; left--)
		backend_job_seek(first_in_line(pool));
}

/* --- connections that come and go --- */

static bool worn(const struct backend_pool *pool, const struct backend_connection *c)
{
	const struct backends *set = set_of(pool);

	return c->worn || c->uses >= pool->max_uses || c->refusals >= POOL_REFUSALS ||
	       set->state != BACKENDS_SERVING || (bonded(pool) && !c->bond) ||
	       loop_now_ms(set->loop) - c->opened_ms >= POOL_LIFETIME_MS;
}

void backend_pool_put(struct backend_pool *pool, struct backend_connection *c)
{
	if (worn(pool, c)) {
		backend_connection_quit(c);
		return;
	}
	put_idle(pool, c);
	if (c->bond)
		backend_bond_serve(c->bond);
	backend_pool_serve(pool);
	if (c->idle)
		backend_pool_serve(sibling_of(pool));
}

void backend_pool_closed(struct backend_pool *pool)
{
	ENSURE(pool->open);
	pool->open--;
}

void backend_pool_retire(struct backend_pool *pool)
{
	while (pool->oldest)
		backend_connection_quit(pool->oldest);
}

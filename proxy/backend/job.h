/*
 * backend_job: a check or a delivery on its way to a connection, and what is tried next when that
 * fails.
 *
 *     SEEKING --pool has one--> RUNNING --answered--> FINISHING --turns are over--> (free)
 *        |  ^                    |  |
 *        v  +--connection lost---+  +--turns are over--> (free)
 *     WAITING (in a pool's or a bond's queue)
 *     CONNECTING (a connection is being made for it)
 *
 * The caller's question is answered once (backend_job_answer_...), from then on `check` or
 * `delivery` is NULL: what is left (the reply to RSET) is between us and the server. All that a job
 * borrows from the caller ends there too.
 */
#ifndef PROXY_BACKEND_JOB_H
#define PROXY_BACKEND_JOB_H

#include "proxy/backend/connection.h"
#include "proxy/backend/exchange.h"
#include "proxy/backend/set.h"

enum backend_job_state { JOB_SEEKING, JOB_WAITING, JOB_CONNECTING, JOB_RUNNING, JOB_FINISHING };

struct backend_job {
	uint32_t magic;
	enum backend_job_state state;
	struct backends *set;
	struct backend *backend;
	struct backend_server
		*server; /* the one waited for or asked, or that failed last; NULL at first */
	struct backend_pool *pool;             /* of that server: for mail or for checks */
	struct backend_connection *connection; /* CONNECTING, RUNNING, FINISHING */
	struct check *check; /* the caller's question, one of the two, until it is answered */
	struct delivery *delivery;
	struct backend_bond *bond; /* NULL: connections are shared */
	struct backend_bond
		*waits_in; /* WAITING in this bond's queue; NULL: in its server's pool */
	struct backend_job *next, *prev; /* of all jobs */
	struct backend_job *queue_next;
	struct timer deadline; /* of waiting */
	uint64_t tried;        /* servers that failed, bits by index */
	bool replaced;         /* a stale connection was replaced: that happens once */
	struct reply failure; /* what the last failure means for the client, text a literal; code 0:
				 the server's own word was kept */
	unsigned attempts;
	uint64_t key; /* of a check, in the recipient cache */
	uint64_t started_ms, sent_ms;
	uint64_t wait_until_ms; /* at this server; 0: did not wait yet */
	struct backend_exchange exchange;
};

struct backend_job *backend_job_new(struct backends *set, const char *backend,
	const struct client *client, struct backend_bond **bond);
void backend_job_free(struct backend_job *job);

/* Looks for a server and a connection. */
void backend_job_seek(struct backend_job *job);

/* It stands in a queue now, for so long at most; and no longer does. */
void backend_job_wait(struct backend_job *job, uint64_t timeout_ms);
void backend_job_waited(struct backend_job *job);

/* The connection is ready, and this job's: the exchange begins. */
void backend_job_run(struct backend_job *job, struct backend_connection *connection);

/* The connection is gone. */
void backend_job_lost(struct backend_job *job, const struct backend_loss *loss);

/* The exchange is over, and the caller was answered before; the connection goes on without the job.
 */
void backend_job_over(struct backend_job *job);

/* The caller is answered, and all is over: the connection, if there is one, goes on. reply NULL:
 * what was kept. */
void backend_job_end(struct backend_job *job, const struct reply *reply);

/* Takes the server's reply, made harmless, into the caller's answer (421 becomes 451: our own
 * session goes on). */
void backend_job_keep_reply(struct backend_job *job, const struct reply *reply);

/* The caller is answered; reply NULL: with what was kept. */
void backend_job_answer_delivery(
	struct backend_job *job, enum delivery_outcome outcome, const struct reply *reply);
void backend_job_answer_check(
	struct backend_job *job, enum check_outcome outcome, const struct reply *reply);

/* The same for either: by the reply's class. */
void backend_job_answer(struct backend_job *job, const struct reply *reply);

const struct envelope *backend_job_envelope(const struct backend_job *job);
const struct client *backend_job_client(const struct backend_job *job);
struct span backend_job_sid(const struct backend_job *job);
const char *backend_job_waits_for(const struct backend_job *job);

/* Ends the question as cancelled, or as it stands when the end of data went out. */
void backend_job_cancel(struct backend_job *job);

/* Ends it whatever its state: the process ends. */
void backend_job_abandon(struct backend_job *job);

/* check.c: the key of a recipient's entry in the cache, and what a check adds to it. */
uint64_t backend_check_key(const struct backend_job *job, const struct recipient *recipient);
void backend_check_learn(struct backend_job *job, const struct reply *reply);

#endif

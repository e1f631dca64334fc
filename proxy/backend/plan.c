#include "proxy/backend/plan.h"

#include "proxy/backend/command.h"
#include "proxy/backend/job.h"
#include "proxy/backend/server.h"

static bool can(const struct backend_job *job, enum backend_capability capability)
{
	return job->connection->offers.can & (unsigned)capability;
}

static bool bdat_usable(const struct backend_job *job)
{
	return can(job, CAN_CHUNKING) && can(job, CAN_ENHANCED_CODES) && can(job, CAN_PIPELINING) &&
	       !job->server->no_bdat;
}

enum backend_plan backend_plan_choose(const struct backend_job *job)
{
	const struct backend_connection *c = job->connection;
	const struct message *message;
	uint64_t heard_ago_ms = loop_now_ms(job->set->loop) - c->heard_ms;

	if (job->check)
		return PLAN_CHECK;
	if (job->delivery->envelope->n_recipients > 1)
		return bdat_usable(job) ? PLAN_BDAT_LATER : PLAN_DATA_LATER;
	if (!can(job, CAN_PIPELINING))
		return PLAN_DATA_LATER;
	message = job->delivery->message;
	if (bdat_usable(job) && heard_ago_ms < PLAN_FRESH_MS && message->spool.fd < 0 &&
		message_size(message) <= PLAN_AT_ONCE_MAX)
		return PLAN_BDAT_AT_ONCE;
	return PLAN_DATA_AT_ONCE;
}

bool backend_plan_by_bdat(enum backend_plan plan)
{
	return plan == PLAN_BDAT_AT_ONCE || plan == PLAN_BDAT_LATER;
}

bool backend_plan_at_once(enum backend_plan plan)
{
	return plan == PLAN_BDAT_AT_ONCE || plan == PLAN_DATA_AT_ONCE;
}

enum backend_turn backend_plan_first(const struct backend_job *job, enum backend_turn turn)
{
	unsigned offered = job->connection->offers.xforward;

	if (job->backend->config->client_info != CLIENT_INFO_XFORWARD)
		return TURN_MAIL;
	if (turn == TURN_XFORWARD_CONNECTION && !(offered & XFORWARD_CONNECTION))
		turn = TURN_XFORWARD_SESSION;
	if (turn == TURN_XFORWARD_SESSION && !(offered & XFORWARD_SESSION))
		turn = TURN_MAIL;
	return turn;
}

void backend_plan_step(const struct backend_job *job, struct backend_position *at)
{
	const struct backend_exchange *x = &job->exchange;

	switch (at->turn) {
	case TURN_XFORWARD_CONNECTION:
		at->turn = backend_plan_first(job, TURN_XFORWARD_SESSION);
		break;
	case TURN_XFORWARD_SESSION:
		at->turn = TURN_MAIL;
		break;
	case TURN_MAIL:
		at->turn = TURN_RCPT;
		break;
	case TURN_RCPT:
		/* Behind a check's one recipient nothing of the caller's is looked at: it may be
		 * answered already. */
		if (x->plan == PLAN_CHECK) {
			at->turn = TURN_RSET;
		} else if (at->recipient->next) {
			at->recipient = at->recipient->next;
		} else {
			at->recipient = job->delivery->envelope->recipients;
			at->turn = backend_plan_by_bdat(x->plan) ? TURN_CONTENT : TURN_DATA;
		}
		break;
	case TURN_DATA:
		at->turn = TURN_CONTENT;
		break;
	case TURN_CONTENT:
	case TURN_RSET:
	case TURN_OVER:
		at->turn = TURN_OVER;
		break;
	}
}

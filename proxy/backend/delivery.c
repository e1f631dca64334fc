/* delivery: a message handed over; the way it goes is in job.h and exchange.h. */
#include "lib/base/fail.h"
#include "proxy/backend/job.h"

void delivery_start(struct backends *set, struct delivery *delivery)
{
	struct backend_job *job =
		backend_job_new(set, delivery->backend, delivery->client, delivery->bond);

	ENSURE(delivery->envelope->n_recipients > 0);
	job->delivery = delivery;
	delivery->private = job;
	delivery->outcome = DELIVERY_PENDING;
	delivery->reply = (struct reply){.code = 0};
	delivery->server = NULL;
	delivery->backend_name = job->backend->config->name;
	delivery->attempts = 0;
	delivery->reused = false;
	delivery->connect_ms = delivery->answer_ms = 0;
	delivery->deferred = (struct deferred){.next = NULL};
	backend_job_seek(job);
}

void delivery_cancel(struct delivery *delivery)
{
	if (delivery->private)
		backend_job_cancel(delivery->private);
}

const char *delivery_waits_for(const struct delivery *delivery)
{
	return backend_job_waits_for(delivery->private);
}

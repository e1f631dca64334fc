/*
 * check: a recipient asked about before we answer RCPT. The cache speaks first; it also holds those
 * that were refused too late, when the message was handed over, so it is asked even where
 * verify_recipients is off.
 */
#include "lib/base/fail.h"
#include "proxy/backend/job.h"

enum { CHECK_GOOD_MS = 3600 * 1000, CHECK_BAD_MS = 5 * 60 * 1000 };

uint64_t backend_check_key(const struct backend_job *job, const struct recipient *recipient)
{
	const struct client *client = job->bond ? backend_job_client(job) : NULL;

	return rcpt_cache_key(job->set->recipients, span_text(job->backend->config->name),
		backend_job_envelope(job)->from.mailbox, recipient->to.mailbox,
		client ? &client->remote.ip : NULL);
}

/* Text into the caller's memory. */
static void take_cached(struct check *check, enum check_outcome outcome, const struct reply *reply)
{
	struct span text = span_first(reply->text, sizeof(check->text_memory));

	check->outcome = outcome;
	check->cached = true;
	check->reply = *reply;
	if (text.len)
		memcpy(check->text_memory, text.at, text.len);
	check->reply.text = span_make(check->text_memory, text.len);
}

static bool cached(struct backend_job *job)
{
	struct reply reply;

	switch (rcpt_cache_get(
		job->set->recipients, job->key, loop_now_ms(job->set->loop), &reply)) {
	case RCPT_GOOD:
		job->check->outcome = CHECK_WELCOME;
		job->check->cached = true;
		return true;
	case RCPT_REFUSED:
		take_cached(job->check, CHECK_REFUSED, &reply);
		return true;
	case RCPT_PUT_OFF:
		take_cached(job->check, CHECK_DEFERRED, &reply);
		return true;
	case RCPT_UNKNOWN:
		break;
	}
	job->check->outcome = CHECK_WELCOME;
	return !job->backend->config->verify_recipients;
}

bool check_start(struct backends *set, struct check *check)
{
	struct backend_job *job = backend_job_new(set, check->backend, check->client, check->bond);

	job->check = check;
	check->cached = false;
	check->reply = (struct reply){.code = 0};
	check->deferred = (struct deferred){.next = NULL};
	job->key = backend_check_key(job, check->recipient);
	if (cached(job)) {
		check->private = NULL;
		job->check = NULL;
		backend_job_free(job);
		return true;
	}
	check->private = job;
	check->outcome = CHECK_PENDING;
	backend_job_seek(job);
	return false;
}

void backend_check_learn(struct backend_job *job, const struct reply *reply)
{
	uint64_t now_ms = loop_now_ms(job->set->loop);
	bool good = reply->code < 300;
	struct reply clean = *reply;

	if (!good)
		clean.text = backends_clean(
			job->set, reply->text, job->check && job->check->envelope->smtputf8);
	if (good || reply->code >= 500)
		rcpt_cache_put(job->set->recipients, job->key, now_ms,
			good ? CHECK_GOOD_MS : CHECK_BAD_MS, good ? RCPT_GOOD : RCPT_REFUSED,
			good ? NULL : &clean);
}

void check_cancel(struct check *check)
{
	if (check->private)
		backend_job_cancel(check->private);
}

const char *check_waits_for(const struct check *check)
{
	return backend_job_waits_for(check->private);
}

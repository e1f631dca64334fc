#include "proxy/backend/backend.h"

#include <stdlib.h>

#include "lib/base/fail.h"
#include "proxy/backend/job.h"
#include "proxy/backend/server.h"

/* COMMANDS_MAX: what is written out at EXCHANGE_WRITE_BYTES, with a command more and room to spare.
 */
enum { BACKENDS_MAGIC = 0x42736574, COMMANDS_MAX = 256 * 1024, CLEAN_MAX = 64 * 1024 };

void backends_enter(struct backends *set)
{
	set->users++;
}

void backends_leave(struct backends *set)
{
	MAGIC_ENSURE(set, BACKENDS_MAGIC);
	if (--set->users)
		return;
	ENSURE(set->state == BACKENDS_CLOSING && !set->jobs && !set->connections);
	while (set->spare) {
		struct backend_job *job = set->spare;

		set->spare = job->next;
		free(job);
	}
	for (size_t i = 0; i < set->n; i++)
		free(set->list[i].servers);
	free(set->list);
	tls_context_free(&set->tls_trusting);
	tls_context_free(&set->tls_verifying);
	rcpt_cache_free(&set->recipients);
	buffer_free(&set->commands);
	buffer_free(&set->clean);
	set->magic = 0;
	free(set);
}

struct backend *backends_find(struct backends *set, const char *name)
{
	if (!name)
		return &set->list[0];
	for (size_t i = 0; i < set->n; i++)
		if (strcmp(set->list[i].config->name, name) == 0)
			return &set->list[i];
	fail_bug(__FILE__, __LINE__, "the backend is configured");
}

struct span backends_clean(struct backends *set, struct span text, bool utf8)
{
	buffer_clear(&set->clean);
	if (!reply_text_clean(text, utf8, &set->clean))
		buffer_clear(&set->clean);
	return buffer_span(&set->clean);
}

static bool open_tls(struct backends *set, struct backend *backend, struct err *err)
{
	bool verify = backend->config->tls == BACKEND_TLS_VERIFIED;
	struct tls_context **context = verify ? &set->tls_verifying : &set->tls_trusting;

	if (backend->config->tls == BACKEND_TLS_NEVER)
		return true;
	if (!*context)
		*context = tls_context_client(verify, err);
	backend->tls = *context;
	return backend->tls != NULL;
}

static bool open_backend(struct backends *set, size_t index, struct err *err)
{
	struct backend *backend = &set->list[index];

	backend->config = &set->config->backends[index];
	backend->set = set;
	backend->n_servers = backend->config->n_servers;
	backend->servers = memory_zeroed(backend->n_servers * sizeof(*backend->servers));
	for (size_t i = 0; i < backend->n_servers; i++)
		backend_server_init(&backend->servers[i], backend, (unsigned)i);
	return open_tls(set, backend, err);
}

static void for_each_server(struct backends *set, void (*act)(struct backend_server *))
{
	for (size_t i = 0; i < set->n; i++)
		for (size_t j = 0; j < set->list[i].n_servers; j++)
			act(&set->list[i].servers[j]);
}

struct backends *backends_open(struct loop *loop, const struct config *config, struct log *log,
	struct shared_row *row, struct err *err)
{
	struct backends *set = memory_zeroed(sizeof(*set));

	*set = (struct backends){
		.magic = BACKENDS_MAGIC,
		.loop = loop,
		.config = config,
		.log = log,
		.row = row,
		.list = memory_zeroed(config->n_backends * sizeof(struct backend)),
		.n = config->n_backends,
		.recipients = rcpt_cache_new(RCPT_CACHE_MAX),
		.commands = BUFFER_INIT(COMMANDS_MAX),
		.clean = BUFFER_INIT(CLEAN_MAX),
		.users = 1,
	};
	for (size_t i = 0; i < set->n; i++) {
		if (!open_backend(set, i, err)) {
			set->state = BACKENDS_CLOSING;
			backends_leave(set);
			return NULL;
		}
	}
	/* So that EHLO knows soon what to offer, and an outage is known before the first message
	 * comes. */
	for_each_server(set, backend_server_probe);
	return set;
}

static void retire(struct backend_server *server)
{
	backend_pool_retire(&server->mail);
	backend_pool_retire(&server->checks);
}

void backends_drain(struct backends *set)
{
	if (set->state != BACKENDS_SERVING)
		return;
	set->state = BACKENDS_DRAINING;
	for_each_server(set, retire);
}

void backends_close(struct backends **backends)
{
	struct backends *set = *backends;

	if (!set)
		return;
	MAGIC_ENSURE(set, BACKENDS_MAGIC);
	*backends = NULL;
	set->state = BACKENDS_CLOSING;
	while (set->jobs)
		backend_job_abandon(set->jobs);
	while (set->connections)
		backend_connection_dismiss(set->connections);
	for_each_server(set, backend_server_close);
	backends_leave(set);
}

/* --- what EHLO may offer --- */

static void narrow(struct backend_features *features, const struct backend_server *server)
{
	unsigned can = server->offers.can;
	uint64_t size_max = server->offers.size_max;

	features->known = true;
	features->eight_bit = features->eight_bit && can & CAN_8BITMIME;
	features->smtputf8 = features->smtputf8 && can & CAN_SMTPUTF8;
	features->dsn = features->dsn && can & CAN_DSN;
	if (size_max && (!features->size_max || size_max < features->size_max))
		features->size_max = size_max;
}

struct backend_features backends_features(const struct backends *set)
{
	struct backend_features features = {.eight_bit = true,
		.smtputf8 = true,
		.dsn = true,
		.lmtp = set->list[0].config->protocol == BACKEND_LMTP};

	for (size_t i = 0; i < set->n; i++)
		for (size_t j = 0; j < set->list[i].n_servers; j++)
			if (set->list[i].servers[j].known)
				narrow(&features, &set->list[i].servers[j]);
	return features;
}

void backends_status(const struct backends *set, struct record *r)
{
	record_list(r, "backends");
	for (size_t i = 0; i < set->n; i++) {
		record_open(r, NULL);
		record_string(r, "backend", set->list[i].config->name);
		record_list(r, "servers");
		for (size_t j = 0; j < set->list[i].n_servers; j++)
			backend_server_status(&set->list[i].servers[j], r);
		record_close(r);
		record_close(r);
	}
	record_close(r);
	record_number(r, "recipients_cached", rcpt_cache_count(set->recipients));
}

#include "admin/release.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "admin/visible.h"
#include "proxy/backend/backend.h"
#include "proxy/process/loaded.h"

enum { PART_SIZE = 64 * 1024 };

/* What one run of the command hands over with. */
struct courier {
	struct loop loop;
	struct log log;
	struct loaded loaded;
	struct shared *shared;
	struct backends *backends;
};

/* --- opening --- */

static bool open_backends(struct courier *courier, struct err *err)
{
	int fd = shared_create(err);

	if (fd < 0)
		return false;
	courier->shared = shared_map(fd, err);
	close(fd);
	if (!courier->shared)
		return false;
	courier->backends = backends_open(&courier->loop, courier->loaded.config, &courier->log,
		&courier->shared->rows[0], err);
	return courier->backends != NULL;
}

static void courier_close(struct courier *courier)
{
	if (courier->backends)
		backends_close(&courier->backends);
	loop_close(&courier->loop);
	if (courier->shared)
		shared_unmap(&courier->shared);
	log_close(&courier->log);
	loaded_free(&courier->loaded);
}

/* The exit status; CLI_OK: it is to be closed. */
static int courier_open(struct courier *courier, const char *config_path)
{
	struct err err = {{0}};

	*courier = (struct courier){.shared = NULL};
	if (!loaded_read_config(&courier->loaded, config_path)) {
		struct span report = buffer_span(&courier->loaded.report);

		fwrite(report.at, 1, report.len, stderr);
		loaded_free(&courier->loaded);
		return CLI_CONFIGURATION;
	}
	signal(SIGPIPE, SIG_IGN);
	loop_init(&courier->loop);
	log_init(&courier->log, -1, true, &courier->loop.clock, "release");
	if (open_backends(courier, &err))
		return CLI_OK;
	fprintf(stderr, "postern quarantine: %s\n", err.text);
	courier_close(courier);
	return CLI_CONFIGURATION;
}

/* --- one delivery --- */

static void on_done(struct delivery *delivery)
{
	*(bool *)delivery->context = true;
}

static void deliver(struct courier *courier, const char *backend, const struct quarantined *q,
	const struct envelope *envelope, const struct message *message, struct delivery *delivery)
{
	struct backend_bond *bond = NULL;
	bool done = false;

	*delivery = (struct delivery){
		.backend = backend,
		.client = &q->client,
		.bond = &bond,
		.envelope = envelope,
		.message = message,
		.sid = q->sid,
		.timeout_ms = courier->loaded.config->timeouts.data_end,
		.done = on_done,
		.context = &done,
	};
	delivery_start(courier->backends, delivery);
	while (!done)
		loop_turn(&courier->loop, true);
	backend_bond_close(&bond);
}

static bool says(const struct delivery *delivery, const char *enhanced)
{
	return strncmp(delivery->reply.enhanced, enhanced, strlen(enhanced)) == 0;
}

static int status_of(const struct delivery *delivery)
{
	/* The backend's own words lie in the delivery; others are ours. */
	bool ours = delivery->reply.text.at != delivery->text_memory;

	switch (delivery->outcome) {
	case DELIVERY_ACCEPTED:
		return CLI_OK;
	case DELIVERY_IN_DOUBT:
		return CLI_PART;
	case DELIVERY_DEFERRED:
		return ours && says(delivery, "4.4.") ? CLI_UNREACHABLE : CLI_NO;
	case DELIVERY_REFUSED:
	case DELIVERY_CANCELLED:
	case DELIVERY_PENDING:
		break;
	}
	return CLI_NO;
}

static void tell_reply(FILE *out, const char *id, const char *what, const struct reply *reply)
{
	fprintf(out, "%s: %s: %u%s%s %.*s\n", id, what, reply->code, reply->enhanced[0] ? " " : "",
		reply->enhanced, SPAN_ARGS(reply->text));
}

/* Of several recipients, which were refused. */
static void tell_recipients(const char *id, const struct envelope *envelope)
{
	struct arena *arena = arena_new(1024);

	for (const struct recipient *r = envelope->recipients; r; r = r->next)
		if (r->backend_reply.code >= 400)
			fprintf(stderr, "%s: <%s>: %u %s\n", id, visible_line(arena, r->to.mailbox),
				r->backend_reply.code, r->backend_reply.enhanced);
	arena_free(&arena);
}

static int tell(const char *id, const struct envelope *envelope, const struct delivery *delivery)
{
	int status = status_of(delivery);
	const char *what = status == CLI_OK            ? "released"
			   : status == CLI_UNREACHABLE ? "kept, the backend is not reachable"
			   : status == CLI_PART        ? "kept, but it may have arrived"
						       : "kept, the backend refuses it";

	tell_reply(status == CLI_OK ? stdout : stderr, id, what, &delivery->reply);
	if (status != CLI_OK)
		tell_recipients(id, envelope);
	return status;
}

/* --- one message --- */

/* The message's bytes are read once: what a delivery must know of them, the file does not tell. */
static bool read_through(int fd, struct message *message)
{
	char part[PART_SIZE];
	uint64_t done = 0;
	bool at_line_start = true;

	while (done < message->spool.file_len) {
		uint64_t left = message->spool.file_len - done;
		ssize_t got = pread(fd, part, left < sizeof(part) ? (size_t)left : sizeof(part),
			(off_t)(message->spool.file_start + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		for (ssize_t i = 0; i < got; i++) {
			message->leading_dot |= at_line_start && part[i] == '.';
			message->eight_bit |= (unsigned char)part[i] > 127;
			at_line_start = part[i] == '\n';
		}
		done += (uint64_t)got;
	}
	return true;
}

static const struct backend_config *backend_of(
	const struct config *config, const struct quarantined *q)
{
	for (size_t i = 0; i < config->n_backends; i++)
		if (!q->backend.len || span_equal(q->backend, span_text(config->backends[i].name)))
			return &config->backends[i];
	return NULL;
}

/* Only to the address that the admin names. */
static bool redirect(struct envelope *envelope, const char *to, struct recipient *only)
{
	*only = (struct recipient){.next = NULL};
	if (address_parse(span_text(to), true, &only->to) != ADDRESS_OK)
		return false;
	envelope->smtputf8 |= only->to.utf8;
	envelope->recipients = only;
	envelope->n_recipients = 1;
	return true;
}

/* LMTP answers for each recipient, so each has a delivery of its own: then a refusal of one leaves
 * no doubt about the others. */
static int deliver_each(struct courier *courier, const char *backend, const struct quarantined *q,
	const struct envelope *envelope, const struct message *message, const char *id)
{
	struct arena *arena = arena_new(1024);
	unsigned taken = 0;
	int status = CLI_OK;

	for (const struct recipient *r = envelope->recipients; r; r = r->next) {
		struct recipient only = *r;
		struct envelope one = *envelope;
		struct delivery delivery;
		int this;

		only.next = NULL;
		one.recipients = &only;
		one.n_recipients = 1;
		deliver(courier, backend, q, &one, message, &delivery);
		this = tell(
			arena_print(arena, "%s to <%s>", id, visible_line(arena, r->to.mailbox)),
			&one, &delivery);
		taken += this == CLI_OK;
		status = this == CLI_OK ? status : this;
	}
	arena_free(&arena);
	if (status != CLI_OK && taken) {
		fprintf(stderr,
			"%s: kept; %u of %u recipients have it, the others can be given "
			"it with --to\n",
			id, taken, envelope->n_recipients);
		return CLI_PART;
	}
	return status;
}

static int hand_over(struct courier *courier, const struct release *release, const char *id,
	struct quarantined *q, const struct message *message)
{
	const struct backend_config *backend = backend_of(courier->loaded.config, q);
	struct envelope envelope = q->envelope;
	struct recipient only;
	struct delivery delivery;

	if (!backend) {
		fprintf(stderr,
			"%s: kept, its rule routes it to a backend that is not configured "
			"any more\n",
			id);
		return CLI_NO;
	}
	if (release->to && !redirect(&envelope, release->to, &only)) {
		fprintf(stderr, "postern quarantine: `%s` is no mail address\n", release->to);
		return CLI_USAGE;
	}
	envelope.size = 0;
	if (backend->protocol == BACKEND_LMTP && envelope.n_recipients > 1)
		return deliver_each(courier, backend->name, q, &envelope, message, id);
	deliver(courier, backend->name, q, &envelope, message, &delivery);
	return tell(id, &envelope, &delivery);
}

static int release_file(struct courier *courier, const struct release *release, const char *id,
	struct quarantine_file *file)
{
	struct arena *arena = arena_new(4096);
	struct message message = {.prefix = BUFFER_INIT(1), .spool = {.fd = file->fd}};
	struct quarantined q;
	struct err err = {{0}};
	int status = CLI_NO;

	if (!quarantined_load(file->fd, arena, &q, &message.spool.file_start, &err)) {
		fprintf(stderr, "%s: kept, its file is damaged: %s\n", id, err.text);
		arena_free(&arena);
		return CLI_NO;
	}
	message.spool.file_len = q.size_bytes;
	if (!read_through(file->fd, &message))
		fprintf(stderr, "%s: kept, its file can't be read\n", id);
	else
		status = hand_over(courier, release, id, &q, &message);
	if (status == CLI_OK && !release->keep &&
		!quarantine_file_delete(release->folder, id, &err)) {
		fprintf(stderr, "%s: the backend has it, but it is still in the quarantine: %s\n",
			id, err.text);
		status = CLI_PART;
	}
	arena_free(&arena);
	return status;
}

static int release_one(struct courier *courier, const struct release *release, const char *id)
{
	struct quarantine_file file = {.fd = -1};
	struct err err = {{0}};
	enum quarantine_find found = quarantine_file_open(release->folder, id, &file, &err);
	int status = CLI_NO;

	if (found == QUARANTINE_FOUND)
		found = quarantine_file_lock(&file, id, &err);
	if (found == QUARANTINE_FOUND)
		status = release_file(courier, release, id, &file);
	else
		fprintf(stderr, "postern quarantine: %s\n", err.text);
	quarantine_file_close(&file);
	return status;
}

int release_all(const struct invocation *invocation, const struct release *release,
	const char *const *ids, size_t n_ids)
{
	struct courier courier;
	int status = courier_open(&courier, invocation->config_path);

	if (status != CLI_OK)
		return status;
	for (size_t i = 0; i < n_ids; i++) {
		int this = release_one(&courier, release, ids[i]);

		status = i == 0 || this == status ? this : CLI_PART;
	}
	courier_close(&courier);
	return status;
}

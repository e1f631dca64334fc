#include "filters/verify_message.h"

#include "lib/base/fail.h"
#include "lib/mail/header.h"

/* In the call's memory. */
struct verify_message {
	struct call *call;
	const struct verify_method *method;
	struct verify_task task;
	uint64_t body; /* where it begins in the content */
	uint64_t seen; /* of the content */
};

static bool has_field(struct span section, const struct span *names)
{
	struct header_field field;

	while (header_next(&section, &field))
		for (const struct span *name = names; name->len; name++)
			if (header_is(&field, *name))
				return true;
	return false;
}

/* A piece on its way, cut where the call has been fed to: what it has not seen yet is told to the
 * process when it is. */
struct piece {
	void (*take)(void *context, struct span piece);
	void *context;
	uint64_t most;
	size_t len;
};

static void take_piece(void *taker, struct span content)
{
	struct piece *piece = taker;

	if (content.len > piece->most)
		content.len = (size_t)piece->most;
	piece->len = content.len;
	piece->take(piece->context, content);
}

static size_t read_body(struct authn_task *authn, uint64_t from,
	void (*take)(void *context, struct span piece), void *context)
{
	struct verify_task *task = CONTAINER_OF(authn, struct verify_task, authn);
	struct verify_message *message = CONTAINER_OF(task, struct verify_message, task);
	struct piece piece = {.take = take, .context = context};

	if (message->body + from >= message->seen)
		return 0;
	piece.most = message->seen - message->body - from;
	if (call_content(message->call, message->body + from, take_piece, &piece) == 0)
		return 0;
	return piece.len;
}

static void no_process(struct call *call)
{
	call_fail_all(call, "there is no process to verify it");
}

static void on_ended(struct verify_task *task)
{
	struct verify_message *message = CONTAINER_OF(task, struct verify_message, task);

	if (task->authn.outcome == AUTHN_AWAY)
		no_process(message->call);
	else if (task->authn.outcome != AUTHN_ANSWERED ||
		 !message->method->answered(message->call, task->authn.result))
		message->method->broken(message->call);
}

static enum call_status start(struct call *call, const struct verify_method *method)
{
	struct verify_message *message = call_memory(call, sizeof(*message));
	struct span section = call_copy(call, call_view(call)->headers);
	struct verify *verify = verify_new(call, NULL);
	bool started;

	message->call = call;
	message->method = method;
	message->body = section.len;
	message->task.authn.request = section;
	message->task.authn.read = read_body;
	verify->context = message;
	verify_add(verify, &message->task, method->kind, on_ended);
	started = verify_start(&message->task);
	ENSURE(started);
	if (method->asks)
		method->asks(&message->task);
	return verify_wait(verify);
}

enum call_status verify_message_run(struct call *call, const struct verify_method *method)
{
	if (!has_field(call_view(call)->headers, method->fields))
		method->nothing(call);
	else if (!call_home(call)->authn)
		no_process(call);
	else
		return start(call, method);
	return CALL_DONE;
}

void verify_message_feed(struct call *call, struct span content)
{
	struct verify_message *message = verify_of(call)->context;
	uint64_t before = message->seen;

	if (message->task.state != VERIFY_STARTED) /* it needed no more */
		return;
	message->seen += content.len;
	if (content.len == 0) {
		authn_end(&message->task.authn);
		return;
	}
	if (before < message->body)
		content = span_from(content, (size_t)(message->body - before));
	if (content.len)
		authn_content(&message->task.authn, content, message->seen - message->body);
}

/*
 * verify_message: a verification that reads the message (verify.h): its header section goes with
 * the question, its body as it comes.
 *
 *     struct work { struct verify_message message; ... };
 *     return verify_message_run(call, &work->message, AUTHN_DKIM, ended);
 *
 * The filter's `feed` is verify_message_feed, its `cancel` verify_cancel; verify_of(call)->context
 * is the struct verify_message.
 */
#ifndef FILTERS_VERIFY_MESSAGE_H
#define FILTERS_VERIFY_MESSAGE_H

#include "filters/verify.h"

/* In the call's memory, zeroed. */
struct verify_message {
	struct call *call;
	struct verify_task task;
	/* private */
	uint64_t body; /* where it begins in the content */
	uint64_t seen; /* of the content */
};

/* Whether the section holds a field of one of these names, which end with an empty one. */
bool verify_has_field(struct span section, const struct span *names);

/* What `run` returns. There is a process (call_home(call)->authn). */
enum call_status verify_message_run(struct call *call, struct verify_message *message,
	enum authn_kind kind, void (*ended)(struct verify_task *task));

void verify_message_feed(struct call *call, struct span content);

#endif

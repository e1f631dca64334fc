/*
 * verify_message: a verification that reads the message (verify.h): its header section goes with
 * the question, its body as it comes. A filter says what is verified and what it makes of that:
 *
 *     static enum call_status run(struct call *call)
 *     {
 *             return verify_message_run(call, &method);
 *     }
 *
 * Its `feed` is verify_message_feed, its `cancel` verify_cancel.
 */
#ifndef FILTERS_VERIFY_MESSAGE_H
#define FILTERS_VERIFY_MESSAGE_H

#include "filters/verify.h"

/* Static. Each of its functions but `asks` records the call's facts. */
struct verify_method {
	enum authn_kind kind;
	/* Names of header fields, ending with an empty one: without any of them there is nothing to
	 * verify, and nobody is asked. */
	const struct span *fields;
	void (*nothing)(struct call *call);
	void (*asks)(struct verify_task *task); /* verify_ask what it will want; or NULL */
	bool (*answered)(struct call *call, struct span result); /* false: it is nonsense */
	void (*broken)(struct call *call); /* it can't be verified: it ends whoever tries */
};

/* What `run` returns. Without a process the call fails. */
enum call_status verify_message_run(struct call *call, const struct verify_method *method);

void verify_message_feed(struct call *call, struct span content);

#endif

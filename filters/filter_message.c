/* message: what is known at a message's end without looking into it. It waits to be fed that end:
 * the stage may be entered before. */
#include "filters/filter.h"

enum { MESSAGE_SIZE };

static const struct fact facts[] = {
	[MESSAGE_SIZE] = {"message.size", TYPE_SIZE, STAGE_MESSAGE, 0, NULL,
		"the message's size, as it came"},
	{.name = NULL},
};

static enum call_status run(struct call *call)
{
	(void)call;
	return CALL_WAIT;
}

static void feed(struct call *call, struct span content)
{
	if (content.len)
		return;
	call_add_number(call, MESSAGE_SIZE, (double)call_view(call)->message_size);
	call_done(call);
}

const struct filter filter_message = {.version = FILTER_VERSION,
	.name = "message",
	.facts = facts,
	.run = run,
	.feed = feed,
	.cancel = call_done};

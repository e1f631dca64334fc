#include "proxy/process/authn_alone.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/authn/control.h"
#include "lib/base/fail.h"
#include "proxy/process/process.h"

enum { END_MS = 3000 };

struct authn_alone {
	struct loop *loop;   /* borrowed */
	struct authn *authn; /* owned */
	struct process process;
};

static struct authn_alone *alone_of(struct process *process)
{
	return CONTAINER_OF(process, struct authn_alone, process);
}

static void on_ready(struct process *process)
{
	int pair[2];

	if (!control_pair(pair))
		return; /* then nobody is there to answer */
	process_send(process,
		&(struct ipc_frame){.type = FRAME_LINK_AUTHN, .fds = &pair[0], .n_fds = 1});
	close(pair[0]);
	authn_link(alone_of(process)->authn, pair[1]);
}

static void on_failed(struct process *process, struct span why)
{
	log_event(process->log, LOG_ERROR, "authn_failed", SPAN_NONE, "%.*s", SPAN_ARGS(why));
}

static void on_leaving(struct process *process)
{
	(void)process;
}

static void on_frame(struct process *process, const struct ipc_frame *frame)
{
	for (size_t i = 0; i < frame->n_fds; i++)
		close(frame->fds[i]);
	process_kill(process, "it sent a frame that no authn sends");
}

static void on_gone(struct process *process)
{
	(void)process; /* what crashes a command's processes 250 times is explained by then */
}

static const struct process_handler handler = {
	on_ready, on_failed, on_leaving, on_frame, on_gone, on_gone};

struct authn_alone *authn_alone_open(struct loop *loop, struct log *log)
{
	struct authn_alone *alone = memory_zeroed(sizeof(*alone));
	struct start_frame start = {.row = -1}; /* it stays who we are */

	alone->loop = loop;
	alone->authn = authn_open(loop, log);
	process_init(&alone->process, "authn", 0, 0, loop, log, &handler, alone);
	process_start(&alone->process);
	process_send(&alone->process, &(struct ipc_frame){.type = FRAME_START,
					      .payload = span_make(&start, sizeof(start))});
	return alone;
}

struct authn *authn_alone_client(struct authn_alone *alone)
{
	return alone->authn;
}

void authn_alone_close(struct authn_alone **owner)
{
	struct authn_alone *alone = *owner;

	if (!alone)
		return;
	*owner = NULL;
	authn_close(&alone->authn);
	process_stay_gone(&alone->process);
	if (alone->process.state == PROCESS_STARTING)
		process_kill(&alone->process, "nobody needs it any more");
	else if (process_send(&alone->process, &(struct ipc_frame){.type = FRAME_DRAIN}))
		process_leave(&alone->process, END_MS);
	while (alone->process.state != PROCESS_NONE)
		loop_turn(alone->loop, true);
	free(alone);
}

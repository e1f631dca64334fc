/*
 * Without a loop: one that is forked over and over should hold as little as it can. What the
 * supervisor says is read with waiting; it says things whole.
 */
#include "proxy/process/authn_child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authn/parent.h"
#include "lib/net/ipc_plain.h"
#include "proxy/process/privileges.h"
#include "proxy/process/protocol.h"

static bool take_start(struct start_frame *start)
{
	struct ipc_plain frame = {.payload = BUFFER_INIT(sizeof(*start))};
	struct span payload;
	bool ok;

	if (!ipc_plain_receive(CHILD_FD, &frame))
		return false;
	payload = buffer_span(&frame.payload);
	ok = frame.type == FRAME_START && frame.fd < 0 &&
	     frame_take(&payload, start, sizeof(*start));
	buffer_free(&frame.payload);
	return ok;
}

/* The supervisor's other frames; false: the end. */
static bool take_order(void *context)
{
	struct parent *parent = context;
	struct ipc_plain frame = {.payload = BUFFER_INIT(1024)};
	bool go_on = ipc_plain_receive(CHILD_FD, &frame) && frame.type == FRAME_LINK_AUTHN &&
		     frame.fd >= 0;

	if (go_on)
		parent_serve(parent, frame.fd);
	buffer_free(&frame.payload);
	return go_on;
}

/* Its texts, too: runners would inherit them. */
static void forget_environment(void)
{
	for (char **at = environ; at && *at; at++)
		memset(*at, 0, strlen(*at));
	clearenv();
}

static struct parent *begin(
	const struct title *title, const struct start_frame *start, struct err *err)
{
	struct parent *parent;
	char role[24];

	if (!privileges_drop(&start->privileges, err))
		return NULL;
	if (start->number)
		snprintf(role, sizeof(role), "authn %u", start->number);
	else
		snprintf(role, sizeof(role), "authn");
	title_set(title, role);
	umask(077);
	forget_environment();
	parent = parent_open(&authn_kinds, err);
	if (parent && !parent_seal(parent, err))
		parent_close(&parent);
	return parent;
}

/* From the seal on only what the sandbox allows; what others do at the exit of a process is not
 * among that. */
static _Noreturn void serve(struct parent *parent)
{
	struct parent_orders orders = {.fd = CHILD_FD, .take = take_order, .context = parent};

	if (!ipc_plain_send(CHILD_FD, FRAME_READY, SPAN_NONE))
		_exit(EXIT_FAILURE);
	if (parent_run(parent, &orders) == PARENT_WORN &&
		!ipc_plain_send(CHILD_FD, FRAME_LEAVING, SPAN_NONE))
		_exit(EXIT_FAILURE);
	_exit(EXIT_SUCCESS);
}

int authn_child_run(const struct title *title)
{
	struct start_frame start;
	struct parent *parent;
	struct err err = {{0}};
	int type;
	socklen_t size = sizeof(type);

	if (getsockopt(CHILD_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
		fputs("postern: authn is started by `postern run` only\n", stderr);
		return 2;
	}
	close_range(CHILD_FD + 1, ~0U, 0);
	if (!take_start(&start))
		return EXIT_FAILURE;
	parent = begin(title, &start, &err);
	if (parent)
		serve(parent);
	if (!ipc_plain_send(CHILD_FD, FRAME_FAILED, span_text(err.text)))
		return EXIT_FAILURE;
	return EXIT_FAILURE;
}

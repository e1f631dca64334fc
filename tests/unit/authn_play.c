#include "tests/unit/authn_play.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "authn/parent.h"
#include "lib/authn/control.h"
#include "lib/base/fail.h"

enum { HIGH_FD = 200 };

/* The only order is the end of the socket. */
static bool take_order(void *context)
{
	(void)context;
	return false;
}

/* --- the fork --- */

static _Noreturn void be_parent(const struct kinds *kinds, int orders, int control)
{
	struct parent_orders all = {.fd = 3, .take = take_order};
	struct parent *parent;
	struct err err = {{0}};

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL); /* cmocka's handlers would go on with the tests in here */
	/* The test's own descriptors are not ours to keep open. */
	orders = fcntl(orders, F_DUPFD, HIGH_FD);
	control = fcntl(control, F_DUPFD, HIGH_FD);
	if (orders < 0 || dup2(orders, 3) < 0 || dup2(control, 4) < 0)
		_exit(9);
	close_range(5, ~0U, 0);
	parent = parent_open(kinds, &err);
	if (!parent || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || !parent_seal(parent, &err)) {
		fprintf(stderr, "authn_play: %s\n", err.text);
		_exit(9);
	}
	parent_serve(parent, 4);
	parent_run(parent, &all);
	_exit(0);
}

void authn_play_start(struct authn_play *play)
{
	int orders[2], control[2];

	ENSURE(!play->pid);
	ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, orders) == 0);
	ENSURE(control_pair(control));
	fflush(NULL);
	play->pid = fork();
	ENSURE(play->pid >= 0);
	if (play->pid == 0)
		be_parent(play->kinds, orders[1], control[1]);
	close(orders[1]);
	close(control[1]);
	play->orders = orders[0];
	authn_link(play->authn, control[0]);
}

void authn_play_kill(struct authn_play *play)
{
	int status;

	ENSURE(play->pid && kill(play->pid, SIGKILL) == 0);
	ENSURE(waitpid(play->pid, &status, 0) == play->pid);
	close(play->orders);
	play->pid = 0;
}

size_t authn_play_runners(const struct authn_play *play, pid_t *pids, size_t most)
{
	char path[64];
	size_t n = 0;
	FILE *file;
	int pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", play->pid, play->pid);
	file = fopen(path, "r");
	ENSURE(file);
	while (n < most && fscanf(file, "%d", &pid) == 1)
		pids[n++] = pid;
	fclose(file);
	return n;
}

struct authn_play *authn_play_new(struct loop *loop, struct log *log, const struct kinds *kinds)
{
	struct authn_play *play = memory_zeroed(sizeof(*play));

	play->kinds = kinds;
	play->loop = loop;
	play->authn = authn_open(loop, log);
	authn_play_start(play);
	return play;
}

void authn_play_free(struct authn_play **owner)
{
	struct authn_play *play = *owner;
	int status;

	if (!play)
		return;
	*owner = NULL;
	authn_close(&play->authn);
	if (play->pid) {
		close(play->orders);
		ENSURE(waitpid(play->pid, &status, 0) == play->pid);
		ENSURE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	free(play);
}

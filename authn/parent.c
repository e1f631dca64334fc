/*
 * A loop around ppoll, blocking, with SIGCHLD open only while it waits. A word to the worker that
 * finds no room waits in the runner's place: the worker learns of each end, once.
 *
 * Since runners are forks, all of one parent lie at the same addresses, with the same canary on the
 * stack, and who can crash them at will could find these out try by try. So after some crashes,
 * fewer than that takes, the parent ends, and the supervisor starts it anew, by exec, elsewhere.
 */
#include "authn/parent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "authn/runner.h"
#include "authn/sandbox.h"
#include "lib/authn/control.h"
#include "lib/base/fail.h"

enum {
	RUNNER_FD = 3,    /* the one descriptor of a runner besides 0, 1 and 2 */
	CRASHES_MAX = 250 /* a canary alone takes about 900, at one byte after the other */
};

enum place_state { PLACE_FREE, PLACE_RUNS, PLACE_TO_BE_TOLD };

struct place {
	enum place_state state;
	pid_t pid; /* RUNS */
	uint32_t number;
	int status; /* TO_BE_TOLD */
};

struct parent {
	const struct kinds *kinds;
	void *libraries[KINDS];
	unsigned n_open; /* of the libraries */
	struct sandbox *sandbox;
	int nowhere; /* owned: /dev/null; -1: runners keep our standard descriptors */
	int control; /* owned: to the worker; -1: none */
	struct place places[CONTROL_RUNNERS_MAX];
	uint32_t last_number;
	unsigned n_refused; /* to be told */
	unsigned n_crashes;
	sigset_t waiting; /* the signals blocked while it waits */
};

/* --- runners --- */

static _Noreturn void be_runner(struct parent *parent, int fd, pid_t father)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != father)
		_exit(EXIT_FAILURE);
	if (dup2(fd, RUNNER_FD) < 0)
		_exit(EXIT_FAILURE);
	for (int i = 0; parent->nowhere >= 0 && i < RUNNER_FD; i++)
		if (dup2(parent->nowhere, i) < 0)
			_exit(EXIT_FAILURE);
	if (close_range(RUNNER_FD + 1, ~0U, 0) < 0)
		_exit(EXIT_FAILURE);
	if (!sandbox_enter_runner(parent->sandbox))
		_exit(EXIT_FAILURE);
	runner_run(runner_new(parent->kinds, parent->libraries), RUNNER_FD);
}

static struct place *find_place(struct parent *parent, enum place_state state)
{
	for (size_t i = 0; i < CONTROL_RUNNERS_MAX; i++)
		if (parent->places[i].state == state)
			return &parent->places[i];
	return NULL;
}

/* The socket's other end; -1: it can't be done now. */
static int start_runner(struct parent *parent, struct place *place)
{
	pid_t father = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	place->pid = _Fork(); /* without the handlers that libraries have set up for forks */
	if (place->pid == 0)
		be_runner(parent, pair[0], father);
	close(pair[0]);
	if (place->pid > 0) {
		place->state = PLACE_RUNS;
		place->number = ++parent->last_number;
		return pair[1];
	}
	close(pair[1]);
	return -1;
}

/* --- the worker --- */

/* With its worker, all that ran for it is void. */
static void hang_up(struct parent *parent)
{
	if (parent->control >= 0)
		close(parent->control);
	parent->control = -1;
	parent->n_refused = 0;
	for (size_t i = 0; i < CONTROL_RUNNERS_MAX; i++) {
		struct place *place = &parent->places[i];

		if (place->state == PLACE_RUNS)
			kill(place->pid, SIGKILL);
		else
			place->state = PLACE_FREE;
	}
}

/* false: not now, or never. */
static bool tell(struct parent *parent, const struct control_message *message, int fd)
{
	enum control_outcome outcome = control_send(parent->control, message, fd);

	if (outcome == CONTROL_LOST)
		hang_up(parent);
	return outcome == CONTROL_DONE;
}

static void tell_what_waits(struct parent *parent)
{
	struct place *place;

	while (parent->control >= 0 && (place = find_place(parent, PLACE_TO_BE_TOLD))) {
		struct control_message gone = {
			.type = CONTROL_GONE, .runner = place->number, .status = place->status};

		if (!tell(parent, &gone, -1))
			return;
		place->state = PLACE_FREE;
	}
	while (parent->control >= 0 && parent->n_refused) {
		struct control_message refused = {.type = CONTROL_REFUSED};

		if (!tell(parent, &refused, -1))
			return;
		parent->n_refused--;
	}
}

static void on_fork(struct parent *parent)
{
	struct place *place = find_place(parent, PLACE_FREE);
	int fd = place ? start_runner(parent, place) : -1;
	struct control_message runner = {.type = CONTROL_RUNNER};

	if (fd < 0) {
		parent->n_refused++;
		return;
	}
	runner.runner = place->number;
	/* One that could not be handed over sees the end of its socket. */
	if (!tell(parent, &runner, fd) && parent->control >= 0)
		parent->n_refused++;
	close(fd);
}

static void on_kill(struct parent *parent, uint32_t number)
{
	for (size_t i = 0; i < CONTROL_RUNNERS_MAX; i++)
		if (parent->places[i].state == PLACE_RUNS && parent->places[i].number == number)
			kill(parent->places[i].pid, SIGKILL);
}

static void on_control(struct parent *parent)
{
	struct control_message message;
	int fd;

	while (parent->control >= 0) {
		enum control_outcome outcome = control_receive(parent->control, &message, &fd);

		if (outcome == CONTROL_AGAIN)
			return;
		if (fd >= 0)
			close(fd);
		if (outcome == CONTROL_LOST)
			hang_up(parent);
		else if (message.type == CONTROL_FORK)
			on_fork(parent);
		else if (message.type == CONTROL_KILL)
			on_kill(parent, message.runner);
		else
			hang_up(parent);
	}
}

/* --- ends --- */

static void on_end(struct parent *parent, pid_t pid, int status)
{
	for (size_t i = 0; i < CONTROL_RUNNERS_MAX; i++) {
		struct place *place = &parent->places[i];

		if (place->state != PLACE_RUNS || place->pid != pid)
			continue;
		place->state = parent->control >= 0 ? PLACE_TO_BE_TOLD : PLACE_FREE;
		place->pid = 0;
		place->status = status;
		parent->n_crashes += WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL;
	}
}

static void reap(struct parent *parent)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		on_end(parent, pid, status);
}

/* --- life --- */

struct parent *parent_open(const struct kinds *kinds, struct err *err)
{
	struct parent *parent = memory_zeroed(sizeof(*parent));

	parent->kinds = kinds;
	parent->control = parent->nowhere = -1;
	for (; parent->n_open < KINDS; parent->n_open++) {
		const struct kind *kind = kinds->items[parent->n_open];

		if (kind && kind->open && !kind->open(&parent->libraries[parent->n_open], err)) {
			parent_close(&parent);
			return NULL;
		}
	}
	parent->sandbox = sandbox_new(err);
	if (!parent->sandbox)
		parent_close(&parent);
	return parent;
}

/* It wakes ppoll; there is nothing to do here. */
static void on_child(int number)
{
	(void)number;
}

/* Who ends a process tree politely means the supervisor, and that one tells us. */
static void set_signals(struct parent *parent)
{
	struct sigaction child = {.sa_handler = on_child};
	sigset_t blocked;

	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	ENSURE(sigaction(SIGCHLD, &child, NULL) == 0);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	ENSURE(sigprocmask(SIG_BLOCK, &blocked, &parent->waiting) == 0);
	sigdelset(&parent->waiting, SIGCHLD);
}

/* What a runner writes to its standard error is the sender's: it goes nowhere. Sanitizers' reports
 * are for us. */
bool parent_seal(struct parent *parent, struct err *err)
{
	if (!sandbox_has_reports()) {
		parent->nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (parent->nowhere < 0)
			return err_errno(err, "can't open /dev/null");
	}
	tzset();
	set_signals(parent);
	return sandbox_enter_parent(parent->sandbox, err);
}

void parent_serve(struct parent *parent, int control)
{
	hang_up(parent);
	parent->control = control;
}

enum parent_end parent_run(struct parent *parent, const struct parent_orders *orders)
{
	while (parent->n_crashes < CRASHES_MAX || find_place(parent, PLACE_TO_BE_TOLD)) {
		bool tells = parent->n_refused || find_place(parent, PLACE_TO_BE_TOLD);
		struct pollfd fds[2] = {{.fd = orders->fd, .events = POLLIN},
			{.fd = parent->control, .events = (short)(POLLIN | (tells ? POLLOUT : 0))}};

		if (ppoll(fds, COUNT_OF(fds), NULL, &parent->waiting) < 0) {
			ENSURE(errno == EINTR);
			fds[0].revents = fds[1].revents = 0;
		}
		if (fds[0].revents && !orders->take(orders->context))
			return PARENT_ORDERED;
		reap(parent);
		if (fds[1].revents & (POLLIN | POLLHUP | POLLERR))
			on_control(parent);
		tell_what_waits(parent);
	}
	return PARENT_WORN;
}

void parent_close(struct parent **owner)
{
	struct parent *parent = *owner;

	if (!parent)
		return;
	*owner = NULL;
	hang_up(parent);
	while (parent->n_open--) {
		const struct kind *kind = parent->kinds->items[parent->n_open];

		if (kind && kind->close)
			kind->close(&parent->libraries[parent->n_open]);
	}
	sandbox_free(&parent->sandbox);
	if (parent->nowhere >= 0)
		close(parent->nowhere);
	free(parent);
}

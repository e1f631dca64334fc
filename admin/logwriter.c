#include "admin/logwriter.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fail.h"
#include "lib/base/log.h"
#include "lib/base/span.h"

enum {
	TARGET_NONE = -3, /* not known yet; and as news: none */
	TARGET_SYSLOG = -1,
	SYSLOG_RETRY_MS = 1000,
	SYSLOG_LINE_MAX = 8000,
	FACILITY_MAIL = 2 << 3,
	NAP_MS = 5, /* between two batches */
	BATCH_SIZE =
		2 * LOG_LINE_MAX /* bytes; lines are taken while there is room for the longest */
};

struct logwriter {
	pthread_t thread;
	int lines;           /* owned */
	int wake;            /* owned: an eventfd */
	_Atomic int news;    /* a new target, or TARGET_NONE */
	_Atomic bool ending; /* stop when nothing waits */
	_Atomic bool ended;
	_Atomic uint64_t *lost; /* borrowed */

	/* the thread's own */
	int target; /* owned when it is a descriptor */
	int syslog; /* owned; -1: not connected */
	uint64_t syslog_tried_ms;
	bool torn; /* the last line was cut short: a line end comes first */
	char batch[BATCH_SIZE];
};

/* --- a descriptor --- */

static bool wait_writable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	return poll(&poll_fd, 1, -1) >= 0 || errno == EINTR;
}

/* All of it; how much was written when that fails. */
static size_t write_whole(int fd, struct span bytes)
{
	size_t done = 0;

	while (done < bytes.len) {
		ssize_t n = write(fd, bytes.at + done, bytes.len - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN && !wait_writable(fd))
			break;
		else if (errno != EINTR && errno != EAGAIN)
			break;
	}
	return done;
}

/* Whole lines in one write. Tells how many of them were not written. */
static unsigned write_lines(struct logwriter *w, struct span lines)
{
	size_t done = 0;
	unsigned lost = 0;

	if (!w->torn || write_whole(w->target, SPAN("\n")) == 1)
		done = write_whole(w->target, lines);
	w->torn = done > 0 ? lines.at[done - 1] != '\n' : w->torn;
	for (size_t i = done; i < lines.len; i++)
		lost += lines.at[i] == '\n';
	return lost;
}

/* --- the syslog --- */

/* RFC 3164 severities; lines without a level are records: informational. */
static int severity_of(struct span line)
{
	struct span head = span_first(line, 96);

	if (span_find(head, SPAN("\"level\":\"error\"")) < head.len ||
		span_find(head, SPAN(" level=error ")) < head.len)
		return 3;
	if (span_find(head, SPAN("\"level\":\"warning\"")) < head.len ||
		span_find(head, SPAN(" level=warning ")) < head.len)
		return 4;
	return 6;
}

static bool syslog_connect(struct logwriter *w)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
	const struct clock clock = {0};
	uint64_t now_ms = clock_now_ms(&clock);

	if (w->syslog >= 0)
		return true;
	if (w->syslog_tried_ms && now_ms - w->syslog_tried_ms < SYSLOG_RETRY_MS)
		return false;
	w->syslog_tried_ms = now_ms;
	w->syslog = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (w->syslog >= 0 &&
		connect(w->syslog, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return true;
	if (w->syslog >= 0)
		close(w->syslog);
	w->syslog = -1;
	return false;
}

static bool syslog_send(struct logwriter *w, struct span line)
{
	char head[64], stamp[24];
	time_t now = time(NULL);
	struct tm local;
	struct iovec pieces[2];
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};

	localtime_r(&now, &local);
	strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &local);
	snprintf(head, sizeof(head), "<%d>%s postern[%d]: ", FACILITY_MAIL | severity_of(line),
		stamp, (int)getpid());
	if (line.len && line.at[line.len - 1] == '\n')
		line.len--;
	line = span_first(line, SYSLOG_LINE_MAX);
	pieces[0] = (struct iovec){head, strlen(head)};
	pieces[1] = (struct iovec){(void *)line.at, line.len};
	/* A syslog that was started anew has a new socket: the second try finds it. */
	for (int i = 0; i < 2 && syslog_connect(w); i++) {
		if (sendmsg(w->syslog, &message, MSG_NOSIGNAL) >= 0)
			return true;
		close(w->syslog);
		w->syslog = -1;
		w->syslog_tried_ms = 0;
	}
	return false;
}

/* --- the thread --- */

static void take_news(struct logwriter *w)
{
	int news = atomic_exchange(&w->news, TARGET_NONE);

	if (news == TARGET_NONE)
		return;
	if (w->target >= 0)
		close(w->target);
	w->target = news;
	w->torn = false;
}

/* Waits for a line, a target or the end; or, for a moment, only for the latter two. */
static void wait_for_something(struct logwriter *w, bool nap)
{
	bool deaf = nap || w->target == TARGET_NONE;
	struct pollfd fds[2] = {
		{.fd = w->wake, .events = POLLIN}, {.fd = deaf ? -1 : w->lines, .events = POLLIN}};
	uint64_t count;

	if (poll(fds, 2, nap ? NAP_MS : -1) > 0 && (fds[0].revents & POLLIN) &&
		read(w->wake, &count, sizeof(count)) < 0)
		return;
}

/* Takes the lines that wait, as many as fit. Empty: none does. */
static struct span take_lines(struct logwriter *w)
{
	struct span lines = span_make(w->batch, 0);

	while (w->target != TARGET_NONE && sizeof(w->batch) - lines.len > LOG_LINE_MAX) {
		ssize_t len = recv(
			w->lines, w->batch + lines.len, sizeof(w->batch) - lines.len, MSG_DONTWAIT);

		if (len <= 0)
			break;
		lines.len += (size_t)len;
		if (w->target == TARGET_SYSLOG)
			break; /* a datagram for each */
	}
	return lines;
}

/*
 * Lines are written in batches with a nap in between: a sender whose reader is asleep does not pay
 * for waking it, and under load one write carries dozens of lines. That is a third of what a
 * message costs.
 */
static void *run(void *context)
{
	struct logwriter *w = context;

	for (;;) {
		struct span lines;
		unsigned lost;

		take_news(w);
		lines = take_lines(w);
		if (lines.len == 0 && atomic_load(&w->ending))
			break;
		if (lines.len == 0) {
			wait_for_something(w, false);
			continue;
		}
		lost = w->target == TARGET_SYSLOG ? !syslog_send(w, lines) : write_lines(w, lines);
		atomic_fetch_add_explicit(w->lost, lost, memory_order_relaxed);
		if (w->target != TARGET_SYSLOG && !atomic_load(&w->ending))
			wait_for_something(w, true);
	}
	atomic_store(&w->ended, true);
	return NULL;
}

static void wake(struct logwriter *w)
{
	uint64_t one = 1;

	if (write(w->wake, &one, sizeof(one)) < 0)
		return; /* it is awake already */
}

/* --- the owner's side --- */

struct logwriter *logwriter_start(int lines, _Atomic uint64_t *lost)
{
	struct logwriter *w = memory_zeroed(sizeof(*w));

	w->lines = lines;
	w->lost = lost;
	w->target = TARGET_NONE;
	w->syslog = -1;
	atomic_store(&w->news, TARGET_NONE);
	w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ENSURE(w->wake >= 0);
	ENSURE(pthread_create(&w->thread, NULL, run, w) == 0);
	return w;
}

void logwriter_target(struct logwriter *w, int fd)
{
	int before = atomic_exchange(&w->news, fd >= 0 ? fd : TARGET_SYSLOG);

	if (before >= 0)
		close(before); /* it never came to be used */
	wake(w);
}

void logwriter_end(struct logwriter **owner, unsigned within_ms)
{
	const struct timespec pause = {.tv_nsec = 5 * 1000000L};
	struct logwriter *w = *owner;

	*owner = NULL;
	if (!w)
		return;
	atomic_store(&w->ending, true);
	wake(w);
	for (unsigned waited_ms = 0; !atomic_load(&w->ended); waited_ms += 5) {
		if (waited_ms >= within_ms) {
			pthread_detach(w->thread);
			return;
		}
		nanosleep(&pause, NULL);
	}
	pthread_join(w->thread, NULL);
	take_news(w);
	if (w->target >= 0)
		close(w->target);
	if (w->syslog >= 0)
		close(w->syslog);
	close(w->lines);
	close(w->wake);
	free(w);
}

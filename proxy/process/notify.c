#include "proxy/process/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/span.h"

/* As long as systemd wants it: half of the time that it allows. */
static uint64_t watchdog_ms(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t value;

	if (!usec || !span_number(span_text(usec), UINT64_MAX, &value))
		return 0;
	if (pid && strtol(pid, NULL, 10) != (long)getpid())
		return 0;
	return value / 2000;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	int fd;

	if (len < 2 || len >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return -1;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, size) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void notify_open(struct notify *notify)
{
	notify->fd = connect_to(getenv("NOTIFY_SOCKET"));
	notify->watchdog_ms = notify->fd >= 0 ? watchdog_ms() : 0;
}

void notify_close(struct notify *notify)
{
	if (notify->fd >= 0)
		close(notify->fd);
	notify->fd = -1;
}

static void tell(const struct notify *notify, const char *text)
{
	if (notify->fd >= 0 && send(notify->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return; /* nobody to tell it to */
}

static void tell_with_status(const struct notify *notify, const char *what, const char *status)
{
	char text[512];

	snprintf(text, sizeof(text), "%s=1\nSTATUS=%s", what, status);
	tell(notify, text);
}

void notify_ready(const struct notify *notify, const char *status)
{
	tell_with_status(notify, "READY", status);
}

void notify_stopping(const struct notify *notify, const char *status)
{
	tell_with_status(notify, "STOPPING", status);
}

void notify_reloading(const struct notify *notify)
{
	struct timespec now;
	char text[80];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
	tell(notify, text);
}

void notify_alive(const struct notify *notify)
{
	tell(notify, "WATCHDOG=1");
}

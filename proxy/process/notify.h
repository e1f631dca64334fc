/*
 * notify: tells systemd how the service is (sd_notify(3), Type=notify), without its library: a
 * datagram of NAME=value lines to the socket that $NOTIFY_SOCKET names, abstract ones (@...)
 * included.
 */
#ifndef PROXY_PROCESS_NOTIFY_H
#define PROXY_PROCESS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attributes.h"

struct notify {
	int fd;               /* owned; -1: nobody listens */
	uint64_t watchdog_ms; /* a sign of life is wanted so often; 0: no watchdog */
};

/* Reads the environment; process.c keeps these variables from the children. */
void notify_open(struct notify *notify);
void notify_close(struct notify *notify);

void notify_ready(const struct notify *notify, const char *status);
void notify_reloading(const struct notify *notify);
void notify_stopping(const struct notify *notify, const char *status);
void notify_alive(const struct notify *notify);

#endif

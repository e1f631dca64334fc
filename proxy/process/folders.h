/*
 * folders: what the supervisor opens on disk before it starts anyone: the state folder (locked, so
 * that two instances never share one), the folders for spooled and for quarantined messages, the
 * control socket, the log file. The children get descriptors and open nothing by a path themselves:
 * files of the embedded store lie below the state folder's descriptor.
 */
#ifndef PROXY_PROCESS_FOLDERS_H
#define PROXY_PROCESS_FOLDERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/attributes.h"
#include "lib/base/error.h"
#include "proxy/config/config.h"
#include "proxy/process/privileges.h"

struct folders {
	int state;            /* owned; holds the lock */
	int spool;            /* owned */
	int quarantine;       /* owned; tmp/ and new/ are in it */
	int control;          /* owned: the listening control socket */
	char *control_path;   /* owned */
	dev_t control_device; /* the socket that we made, so that we never remove another's */
	ino_t control_inode;
};

/* Creates what is missing, for the account that the children run as. */
bool folders_open(struct folders *folders, const struct config *config,
	const struct privileges *privileges, struct err *err) MUST_CHECK;

/* Removes the control socket. */
void folders_close(struct folders *folders);

/* Where log lines go to: a descriptor (owned by the caller), -1 for the syslog; -2 and err when the
 * file can't be opened. */
enum { LOG_FD_SYSLOG = -1, LOG_FD_FAILED = -2 };
int folders_open_log(
	const struct log_config *log, const struct privileges *privileges, struct err *err);

#endif

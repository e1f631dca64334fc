/*
 * logwriter: the one writer of log lines. A thread of its own takes them from the socket into which
 * all processes send and writes each to its target, blocking as long as that wants: a stuck
 * terminal or a full disk stops this thread only. Lines then wait in the socket, and when that is
 * full their senders drop and count.
 *
 * Targets are descriptors that the supervisor opened, or the syslog (RFC 3164 datagrams to
 * /dev/log).
 */
#ifndef ADMIN_LOGWRITER_H
#define ADMIN_LOGWRITER_H

#include <stdatomic.h>
#include <stdint.h>

struct logwriter;

/* lines: the socket's reading end, taken over. lost: counts lines that could not be written;
 * borrowed. Nothing is read before a target is known. */
struct logwriter *logwriter_start(int lines, _Atomic uint64_t *lost);

/* Takes a descriptor over and writes to it from the next line on; a negative one: to the syslog. */
void logwriter_target(struct logwriter *writer, int fd);

/* Writes what waits, for so long at most, and frees. A writer that is stuck then is left behind:
 * the process is about to end. */
void logwriter_end(struct logwriter **writer, unsigned within_ms);

#endif

/*
 * keeping: the supervisor's side of the keeper: starting it, what it asks, and the log that it
 * writes. The keeper may die at any time: log lines wait in their socket, control connections in
 * their backlog, and mail flows on.
 */
#ifndef PROXY_PROCESS_KEEPING_H
#define PROXY_PROCESS_KEEPING_H

#include <stdint.h>

#include "proxy/process/process.h"

struct supervisor;

void keeping_start(struct supervisor *s);

/* Joins a ready worker and the keeper, if that one is ready too, by a socket pair. */
void keeping_link(struct supervisor *s, struct process *worker);

/* Tells it what the configuration in force says of lists. */
void keeping_declare(struct supervisor *s);

/* Where lines are written from now on; takes the descriptor over (LOG_FD_SYSLOG: to the syslog). */
void keeping_set_log_target(struct supervisor *s, int fd);

/* Answers the one of the keeper's questions with this id; 0: nobody asked. */
void keeping_answer(struct supervisor *s, uint32_t id, int status, const char *text);

/* Lets it write the last lines and go; s->loop stops when it has. */
void keeping_end(struct supervisor *s);

#endif

/*
 * tool: what the tools for measuring share. They listen and connect in 127.0.0.0/8 and nowhere
 * else.
 */
#ifndef BENCH_TOOL_H
#define BENCH_TOOL_H

#include <netinet/in.h>

/* Reads "127.x.y.z:port"; ends the program with a line on standard error for anything else. */
struct sockaddr_in loopback_address(const char *text);

/* Says what failed and why, and ends the program. */
_Noreturn void tool_die(const char *what);

/* As many open files as the machine lets us have. */
void descriptors_raise(void);

/* CPU time of this process so far, user and system. */
double cpu_seconds(void);

#endif

/*
 * names: a DNS server for measurements: TXT records from a table, over UDP on loopback. A resolver
 * asks it once for each name and has the rest from its cache, so it is small rather than fast.
 */
#ifndef BENCH_NAMES_H
#define BENCH_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct name_text {
	const char *name; /* lower case, without a dot at its end */
	const char *text; /* at most 1,000 bytes; cut into strings as needed */
};

/* A socket on 127.0.0.1, at a port chosen free. Ends the program if there is none. */
int names_socket(uint16_t *port);

/* Answers as long as the process lives. A name of the table has one TXT record; a name above one
 * exists and has none; all others do not exist. Answers hold for an hour, those too. */
_Noreturn void names_serve(int fd, const struct name_text *names, size_t n);

#endif

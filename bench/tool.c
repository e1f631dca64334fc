#include "bench/tool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

void tool_die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

struct sockaddr_in loopback_address(const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	char host[64];
	const char *colon = strrchr(text, ':');
	char *end = NULL;
	unsigned long port = colon == NULL ? 0 : strtoul(colon + 1, &end, 10);
	if (colon != NULL && (size_t)(colon - text) < sizeof(host) && *end == '\0' && port > 0 &&
		port < 65536) {
		memcpy(host, text, (size_t)(colon - text));
		host[colon - text] = '\0';
		address.sin_port = htons((uint16_t)port);
		if (inet_pton(AF_INET, host, &address.sin_addr) == 1 &&
			ntohl(address.sin_addr.s_addr) >> 24 == 127)
			return address;
	}
	fprintf(stderr, "%s: not a loopback address with a port (127.0.0.1:2525)\n", text);
	exit(2);
}

void descriptors_raise(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static double seconds_of(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

double cpu_seconds(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

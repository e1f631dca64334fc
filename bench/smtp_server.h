/*
 * smtp_server: the receiving end of SMTP for tools, one thread on epoll, on loopback only. What
 * happens to a message is its caller's business: the sink counts and checks it, maildir writes it
 * to a file.
 *
 * Why not the product's own parsers: what measures postern must not share its mistakes. And why not
 * smtp-sink of Postfix: it neither checks what it gets nor can it keep it.
 */
#ifndef BENCH_SMTP_SERVER_H
#define BENCH_SMTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

enum { ADDRESS_MAX = 1024, RECIPIENTS_MAX = 1000 };

struct smtp_envelope {
	char sender[ADDRESS_MAX]; /* without the angle brackets */
	char **recipients;
	size_t n_recipients;
};

/* What the caller does with messages. `message` is its own handle, from begin to end or abandon. */
struct smtp_sink {
	void *context;
	void *(*begin)(void *context, const struct smtp_envelope *envelope); /* NULL: 451 */
	void (*bytes)(void *message, const char *data,
		size_t size);              /* dots unstuffed, lines end with CRLF */
	const char *(*end)(void *message); /* the reply without CRLF, valid until the next call; the
					      handle is over */
	void (*abandon)(void *message);    /* the client went away before the end */
};

struct smtp_server_options {
	const char *listen;     /* "127.0.0.1:2526" */
	const char *name;       /* in the greeting */
	const char *extensions; /* keywords of EHLO, a line each ("PIPELINING\n8BITMIME\n") */
	unsigned long size_max; /* bytes of a message; offered as SIZE */
};

struct smtp_server;

/* Ends the program with a line on standard error when it can't listen. `options` and `sink` are
 * borrowed. */
struct smtp_server *smtp_server_open(
	const struct smtp_server_options *options, const struct smtp_sink *sink);

/* Calls back from the loop whenever the descriptor is readable. At most four. */
void smtp_server_watch(struct smtp_server *server, int fd,
	void (*callback)(struct smtp_server *, int fd, void *), void *context);

void smtp_server_run(struct smtp_server *server); /* until smtp_server_stop */
void smtp_server_stop(struct smtp_server *server);
void smtp_server_close(struct smtp_server **server);

#endif

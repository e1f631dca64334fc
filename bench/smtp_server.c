/*
 * Each connection is a buffer of what came and one of what goes out. Input is taken by its state:
 * command lines, message lines after DATA, or counted bytes after BDAT. Replies to all that one
 * read brought go out in one write; while some are still waiting for the client to read them,
 * nothing more is read from it.
 */
#include "bench/smtp_server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/tool.h"

enum {
	COMMAND_MAX = 4096,
	BUFFER_SIZE = 64 << 10,
	EVENTS = 256,
	WATCHES_MAX = 4,
};

enum state { COMMANDS, DATA, CHUNK, CLOSING };

struct connection {
	int fd; /* -1: closed, to be freed after this round of events */
	enum state state;
	struct connection *next, **link; /* in the server's list of open ones, or of dead ones */
	char *in;                        /* owned, BUFFER_SIZE */
	size_t in_size;
	char *out; /* owned */
	size_t out_size, out_sent, out_capacity;
	bool writing; /* the socket is full: EPOLLOUT is asked for, EPOLLIN not */
	bool greeted, has_sender, has_message;
	struct smtp_envelope envelope; /* recipients owned */
	void *message;                 /* the caller's; NULL: none, or thrown away */
	unsigned long message_size;
	bool line_start, after_cr; /* DATA: where in a line the next byte stands */
	unsigned long chunk_left;
	bool chunk_last;
};

struct watch {
	int fd;
	void (*callback)(struct smtp_server *, int, void *);
	void *context;
};

struct smtp_server {
	const struct smtp_server_options *options;
	const struct smtp_sink *sink;
	int epoll, listener;
	bool stopped;
	struct connection *open, *dead;
	struct watch watches[WATCHES_MAX];
	size_t n_watches;
	char hello[1024];
};

static void *must(void *memory)
{
	if (memory == NULL)
		tool_die("memory");
	return memory;
}

/* --- replies --- */

__attribute__((format(printf, 2, 3))) static void reply(
	struct connection *c, const char *format, ...)
{
	char line[2048];
	va_list args;
	va_start(args, format);
	int size = vsnprintf(line, sizeof(line) - 2, format, args);
	va_end(args);
	size = size < (int)sizeof(line) - 2 ? size : (int)sizeof(line) - 3;
	memcpy(line + size, "\r\n", 2);
	size_t need = c->out_size + (size_t)size + 2;
	if (need > c->out_capacity) {
		c->out_capacity = need * 2;
		c->out = must(realloc(c->out, c->out_capacity));
	}
	memcpy(c->out + c->out_size, line, (size_t)size + 2);
	c->out_size = need;
}

static void listen_for(struct smtp_server *server, struct connection *c, bool writing)
{
	struct epoll_event event = {.events = writing ? EPOLLOUT : EPOLLIN, .data.ptr = c};
	if (c->writing != writing && epoll_ctl(server->epoll, EPOLL_CTL_MOD, c->fd, &event) < 0)
		tool_die("epoll_ctl");
	c->writing = writing;
}

/* false: the client is gone. */
static bool flush(struct smtp_server *server, struct connection *c)
{
	while (c->out_sent < c->out_size) {
		ssize_t n =
			send(c->fd, c->out + c->out_sent, c->out_size - c->out_sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0) {
			listen_for(server, c, true);
			return true;
		}
		c->out_sent += (size_t)n;
	}
	c->out_sent = c->out_size = 0;
	listen_for(server, c, false);
	return true;
}

/* --- the transaction --- */

static void transaction_reset(struct smtp_server *server, struct connection *c)
{
	if (c->message != NULL)
		server->sink->abandon(c->message);
	c->message = NULL;
	for (size_t i = 0; i < c->envelope.n_recipients; i++)
		free(c->envelope.recipients[i]);
	free(c->envelope.recipients);
	memset(&c->envelope, 0, sizeof(c->envelope));
	c->has_sender = c->has_message = false;
}

static void connection_close(struct smtp_server *server, struct connection *c)
{
	if (c->fd < 0)
		return;
	transaction_reset(server, c);
	close(c->fd);
	c->fd = -1;
	*c->link = c->next;
	if (c->next != NULL)
		c->next->link = c->link;
	c->next = server->dead;
	server->dead = c;
}

static void message_bytes(
	struct smtp_server *server, struct connection *c, const char *data, size_t size)
{
	c->message_size += size;
	if (c->message != NULL && c->message_size > server->options->size_max) {
		server->sink->abandon(c->message);
		c->message = NULL;
	}
	if (c->message != NULL && size > 0)
		server->sink->bytes(c->message, data, size);
}

static void message_end(struct smtp_server *server, struct connection *c)
{
	if (c->message != NULL)
		reply(c, "%s", server->sink->end(c->message));
	else if (c->message_size > server->options->size_max)
		reply(c, "552 5.3.4 Message too large");
	else
		reply(c, "451 4.3.0 Not stored");
	c->message = NULL;
	transaction_reset(server, c);
	c->state = COMMANDS;
}

/* --- commands --- */

/* Takes the path out of "FROM:<a@b> SIZE=1"; a quoted local part may hold a ">". false: there is
 * none. */
static bool path_read(const char *text, const char *keyword, char *path)
{
	size_t length = strlen(keyword);
	if (strncasecmp(text, keyword, length) != 0)
		return false;
	text += length;
	text += strspn(text, " ");
	if (*text++ != '<')
		return false;
	bool quoted = false;
	for (size_t i = 0; i < ADDRESS_MAX && text[i] != '\0'; i++) {
		path[i] = text[i];
		if (text[i] == '"' && (i == 0 || text[i - 1] != '\\'))
			quoted = !quoted;
		if (text[i] == '>' && !quoted) {
			path[i] = '\0';
			return true;
		}
	}
	return false;
}

static void command_mail(struct connection *c, const char *text)
{
	if (c->has_sender) {
		reply(c, "503 5.5.1 One sender is enough");
		return;
	}
	if (!path_read(text, "FROM:", c->envelope.sender)) {
		reply(c, "501 5.5.4 MAIL FROM:<address>");
		return;
	}
	c->has_sender = true;
	reply(c, "250 2.1.0 Sender ok");
}

static void command_rcpt(struct connection *c, const char *text)
{
	char path[ADDRESS_MAX];
	if (!c->has_sender)
		reply(c, "503 5.5.1 MAIL first");
	else if (c->envelope.n_recipients == RECIPIENTS_MAX)
		reply(c, "452 4.5.3 Too many recipients");
	else if (!path_read(text, "TO:", path) || path[0] == '\0')
		reply(c, "501 5.5.4 RCPT TO:<address>");
	else {
		if (c->envelope.recipients == NULL)
			c->envelope.recipients = must(calloc(RECIPIENTS_MAX, sizeof(char *)));
		c->envelope.recipients[c->envelope.n_recipients++] = must(strdup(path));
		reply(c, "250 2.1.5 Recipient ok");
	}
}

static void message_begin(struct smtp_server *server, struct connection *c)
{
	c->has_message = true;
	c->message = server->sink->begin(server->sink->context, &c->envelope);
	c->message_size = 0;
	c->line_start = true;
	c->after_cr = false;
}

static void command_data(struct smtp_server *server, struct connection *c)
{
	if (c->envelope.n_recipients == 0 || c->has_message) {
		reply(c, "503 5.5.1 RCPT first");
		return;
	}
	message_begin(server, c);
	c->state = DATA;
	reply(c, "354 End with a dot");
}

static void command_bdat(struct smtp_server *server, struct connection *c, const char *text)
{
	char *end;
	c->chunk_left = strtoul(text, &end, 10);
	c->chunk_last = strcasecmp(end, " LAST") == 0;
	if (end == text || (*end != '\0' && !c->chunk_last)) {
		reply(c, "501 5.5.4 BDAT size [LAST]");
		c->state = CLOSING; /* where the next command begins is unknown */
		return;
	}
	if (c->envelope.n_recipients > 0 && !c->has_message)
		message_begin(server, c);
	c->state = CHUNK;
}

static void chunk_end(struct smtp_server *server, struct connection *c)
{
	bool last = c->chunk_last;
	c->chunk_last = false;
	c->state = COMMANDS;
	if (c->envelope.n_recipients == 0)
		reply(c, "503 5.5.1 RCPT first");
	else if (last)
		message_end(server, c);
	else
		reply(c, "250 2.0.0 Chunk ok");
}

static void command_hello(struct smtp_server *server, struct connection *c, bool extended)
{
	transaction_reset(server, c);
	c->greeted = true;
	if (extended)
		reply(c, "%s", server->hello);
	else
		reply(c, "250 %s", server->options->name);
}

static void command(struct smtp_server *server, struct connection *c, char *line)
{
	char *argument = line + strcspn(line, " ");
	size_t verb = (size_t)(argument - line);
	argument += strspn(argument, " ");
#define IS(name) (verb == sizeof(name) - 1 && strncasecmp(line, name, verb) == 0)
	if (IS("EHLO") || IS("HELO"))
		command_hello(server, c, IS("EHLO"));
	else if (IS("QUIT")) {
		reply(c, "221 2.0.0 Bye");
		c->state = CLOSING;
	} else if (IS("RSET")) {
		transaction_reset(server, c);
		reply(c, "250 2.0.0 Ok");
	} else if (IS("NOOP"))
		reply(c, "250 2.0.0 Ok");
	else if (IS("VRFY"))
		reply(c, "252 2.1.5 Try it");
	else if (!c->greeted)
		reply(c, "503 5.5.1 EHLO first");
	else if (IS("MAIL"))
		command_mail(c, argument);
	else if (IS("RCPT"))
		command_rcpt(c, argument);
	else if (IS("DATA"))
		command_data(server, c);
	else if (IS("BDAT"))
		command_bdat(server, c, argument);
	else
		reply(c, "500 5.5.2 Unknown command");
#undef IS
}

/* --- input; each takes what it can and returns how much that was --- */

static size_t take_command(
	struct smtp_server *server, struct connection *c, char *from, size_t size)
{
	char *end = memchr(from, '\n', size);
	if (end == NULL && size >= COMMAND_MAX) {
		reply(c, "500 5.5.2 Line too long");
		c->state = CLOSING;
	}
	if (end == NULL)
		return 0;
	*end = '\0';
	if (end > from && end[-1] == '\r')
		end[-1] = '\0';
	command(server, c, from);
	return (size_t)(end - from) + 1;
}

/* Only CRLF.CRLF ends a message (RFC 5321 4.1.1.4). Passes runs on that are as long as stuffed dots
 * let them be. */
static size_t take_data(struct smtp_server *server, struct connection *c, char *from, size_t size)
{
	char *run = from, *p = from, *end = from + size;
	while (p < end) {
		if (c->line_start && *p == '.') {
			size_t left = (size_t)(end - p);
			if (left < 3 && memcmp(p, ".\r\n", left) == 0)
				break; /* the next read tells */
			message_bytes(server, c, run, (size_t)(p - run));
			if (left >= 3 && memcmp(p, ".\r\n", 3) == 0) {
				message_end(server, c);
				return (size_t)(p - from) + 3;
			}
			run = ++p;
			c->line_start = false;
			continue;
		}
		char *newline = memchr(p, '\n', (size_t)(end - p));
		char *last = newline == NULL ? end - 1 : newline;
		bool crlf = newline != NULL && (newline > p ? newline[-1] == '\r' : c->after_cr);
		c->line_start = crlf;
		c->after_cr = *last == '\r';
		p = last + 1;
	}
	message_bytes(server, c, run, (size_t)(p - run));
	return (size_t)(p - from);
}

static size_t take_chunk(struct smtp_server *server, struct connection *c, char *from, size_t size)
{
	size_t n = size < c->chunk_left ? size : (size_t)c->chunk_left;
	message_bytes(server, c, from, n);
	c->chunk_left -= n;
	if (c->chunk_left == 0)
		chunk_end(server, c);
	return n;
}

static void take(struct smtp_server *server, struct connection *c)
{
	size_t at = 0;
	for (;;) {
		size_t left = c->in_size - at, n = 0;
		enum state before = c->state;
		if (before == CHUNK)
			n = take_chunk(server, c, c->in + at, left);
		else if (before == DATA)
			n = take_data(server, c, c->in + at, left);
		else if (before == COMMANDS)
			n = take_command(server, c, c->in + at, left);
		at += n;
		if (n == 0 && c->state == before)
			break;
	}
	memmove(c->in, c->in + at, c->in_size - at);
	c->in_size -= at;
}

static void on_readable(struct smtp_server *server, struct connection *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_size, BUFFER_SIZE - c->in_size, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		connection_close(server, c);
		return;
	}
	c->in_size += (size_t)n;
	take(server, c);
	if (!flush(server, c) || (c->state == CLOSING && !c->writing))
		connection_close(server, c);
}

static void on_writable(struct smtp_server *server, struct connection *c)
{
	if (!flush(server, c) || (c->state == CLOSING && !c->writing))
		connection_close(server, c);
}

/* --- the server --- */

static void on_connection(struct smtp_server *server)
{
	for (;;) {
		int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
			return;
		if (fd < 0)
			tool_die("accept");
		struct connection *c = must(calloc(1, sizeof(*c)));
		c->fd = fd;
		c->in = must(malloc(BUFFER_SIZE));
		c->next = server->open;
		c->link = &server->open;
		if (c->next != NULL)
			c->next->link = &c->next;
		server->open = c;
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
		if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
			tool_die("epoll_ctl");
		reply(c, "220 %s ESMTP", server->options->name);
		if (!flush(server, c))
			connection_close(server, c);
	}
}

static void hello_build(struct smtp_server *server)
{
	const struct smtp_server_options *o = server->options;
	char *to = server->hello, *end = server->hello + sizeof(server->hello);
	to += snprintf(to, (size_t)(end - to), "250-%s\r\n", o->name);
	for (const char *line = o->extensions; *line != '\0'; line += strcspn(line, "\n") + 1)
		to += snprintf(
			to, (size_t)(end - to), "250-%.*s\r\n", (int)strcspn(line, "\n"), line);
	snprintf(to, (size_t)(end - to), "250 SIZE %lu", o->size_max);
}

struct smtp_server *smtp_server_open(
	const struct smtp_server_options *options, const struct smtp_sink *sink)
{
	struct smtp_server *server = must(calloc(1, sizeof(*server)));
	server->options = options;
	server->sink = sink;
	hello_build(server);
	struct sockaddr_in address = loopback_address(options->listen);
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(server->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(server->listener, 4096) < 0)
		tool_die(options->listen);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = server};
	if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener, &event) < 0)
		tool_die("epoll_ctl");
	return server;
}

void smtp_server_watch(struct smtp_server *server, int fd,
	void (*callback)(struct smtp_server *, int, void *), void *context)
{
	if (server->n_watches == WATCHES_MAX)
		abort();
	struct watch *watch = &server->watches[server->n_watches++];
	*watch = (struct watch){fd, callback, context};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
	if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		tool_die("epoll_ctl");
}

static bool is_watch(const struct smtp_server *server, const void *pointer)
{
	for (size_t i = 0; i < server->n_watches; i++)
		if (pointer == &server->watches[i])
			return true;
	return false;
}

static void dispatch(struct smtp_server *server, const struct epoll_event *event)
{
	if (event->data.ptr == server) {
		on_connection(server);
		return;
	}
	if (is_watch(server, event->data.ptr)) {
		struct watch *watch = event->data.ptr;
		watch->callback(server, watch->fd, watch->context);
		return;
	}
	struct connection *c = event->data.ptr;
	if (c->fd >= 0 && c->writing)
		on_writable(server, c);
	else if (c->fd >= 0)
		on_readable(server, c);
}

static void bury(struct smtp_server *server)
{
	while (server->dead != NULL) {
		struct connection *c = server->dead;
		server->dead = c->next;
		free(c->in);
		free(c->out);
		free(c);
	}
}

void smtp_server_run(struct smtp_server *server)
{
	struct epoll_event events[EVENTS];
	while (!server->stopped) {
		int n = epoll_wait(server->epoll, events, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			tool_die("epoll_wait");
		for (int i = 0; i < n; i++)
			dispatch(server, &events[i]);
		bury(server);
	}
}

void smtp_server_stop(struct smtp_server *server)
{
	server->stopped = true;
}

void smtp_server_close(struct smtp_server **server)
{
	while ((*server)->open != NULL)
		connection_close(*server, (*server)->open);
	bury(*server);
	close((*server)->listener);
	close((*server)->epoll);
	free(*server);
	*server = NULL;
}

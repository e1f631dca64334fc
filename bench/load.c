/*
 * load -t HOST:PORT [option...]: sends messages to an SMTP server on loopback and prints a line of
 * JSON about how that went. One thread on epoll; always bounded: by -d, by -n, and by 30 s for what
 * is still open then.
 *
 *   -c N    sessions at once (20)            -p N    messages for each connection (1)
 *   -s N    bytes of a message's body (4096) -d S    seconds in which messages are begun (2)
 *   -n N    at most so many messages         -f N    number of the first message (0)
 *   -m FILE instead of -s: the message in this file (CRLF at line ends), its identity in a field
 * above it -P      MAIL, RCPT and DATA in one write, if the server offers PIPELINING -r N instead
 * of -c: N connections each second, whatever became of those before. Each time is then counted from
 * the moment that was planned, so that a server which falls behind can't hide it. -i N    instead
 * of sending: holds N connections after EHLO, prints the line and waits for the end of standard
 * input
 */
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "bench/identity.h"
#include "bench/tool.h"

enum {
	IN_SIZE = 2048,
	HEAD_SIZE = 1024,
	SESSIONS_MAX = 20000,
	MESSAGES_MAX = 10000000,
	OPENING_MAX =
		200,  /* -i: connections that are not yet ready, so that no backlog overflows */
	SOURCES = 16, /* client addresses, 127.0.1.1 and up: one has only 28,000 ports */
	GRACE_S = 30,
	FILE_SIZE_MAX = 16 << 20,
};

/*
 * A session waits for one reply at a time: each state is named after what was sent last.
 *
 *   CONNECT -> GREETING -> EHLO -> MAIL -> RCPT -> DATA -> BODY -+-> QUIT -> closed
 *                            |      ^----------------------------+
 *                            +-> IDLE
 * With -P the writes of RCPT and DATA are left out, since MAIL's brought them.
 */
enum state { FREE, CONNECT, GREETING, EHLO, IDLE, MAIL, RCPT, DATA, BODY, QUIT };

struct session {
	enum state state;
	int fd;
	bool pipelining; /* the server offers it and -P wants it */
	unsigned sent_here;
	double begun; /* of the message in hand: when its time began to count */
	double planned;
	uint64_t number;
	char in[IN_SIZE];
	size_t in_size;
	char head[HEAD_SIZE]; /* a command, or the header of a message with its body's first line */
	size_t head_size;
	size_t body_size; /* of the shared body, end of data included; 0: only the head is to be
			     written */
	size_t written;   /* of head and body together */
};

struct options {
	struct sockaddr_in target;
	unsigned sessions, per_connection, idle;
	double rate, duration_s;
	uint64_t messages, first;
	size_t size;
	const char *file; /* NULL: none */
	bool pipelining;
};

struct load {
	struct options options;
	int epoll;
	struct session *sessions;
	unsigned n_sessions, n_open, n_opening, n_idle, next_free;
	uint64_t begun, acked, refused, failed, connections;
	uint64_t digest;
	double start, end, last_ack;
	char *body; /* as it goes over the wire: dots stuffed, with the end of data; of a file, with
		       the header above it */
	size_t body_size;
	struct identity identity;
	uint32_t *latencies_us;
	size_t n_latencies, latencies_capacity;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- the message --- */

/* Lines of 72 characters, each eighth beginning with a dot. */
static void body_build(struct load *load)
{
	static const char text[] =
		"The quick brown fox jumps over the lazy dog while the band plays on. 0123";
	size_t size = load->options.size;
	char *wire = malloc(size * 2 + 16), *to = wire;
	if (wire == NULL)
		tool_die("memory");
	load->identity = (struct identity){.known = true, .hash = BODY_HASH_START};
	for (unsigned line = 0; load->identity.size < size; line++) {
		char plain[80];
		int n = snprintf(
			plain, sizeof(plain), "%s%.*s\r\n", line % 8 == 7 ? "." : "", 72, text);
		load->identity.hash = body_hash(load->identity.hash, plain, (size_t)n);
		load->identity.size += (size_t)n;
		if (plain[0] == '.')
			*to++ = '.';
		memcpy(to, plain, (size_t)n);
		to += n;
	}
	memcpy(to, ".\r\n", 3);
	load->body = wire;
	load->body_size = (size_t)(to - wire) + 3;
}

/* Dots are only stuffed in the body: no field's name begins with one. */
static void file_build(struct load *load, char *text, size_t size)
{
	char *end = memmem(text, size, "\r\n\r\n", 4), *to, *wire = malloc(size * 2 + 16);
	if (wire == NULL)
		tool_die("memory");
	if (end == NULL || memcmp(text + size - 2, "\r\n", 2) != 0) {
		fprintf(stderr, "load: %s is no message\n", load->options.file);
		exit(2);
	}
	char *body = end + 4;
	load->identity = (struct identity){.known = true,
		.size = size - (size_t)(body - text),
		.hash = body_hash(BODY_HASH_START, body, size - (size_t)(body - text))};
	memcpy(wire, text, (size_t)(body - text));
	to = wire + (body - text);
	for (char *at = body; at < text + size; at++) {
		if (*at == '.' && at[-1] == '\n')
			*to++ = '.';
		*to++ = *at;
	}
	memcpy(to, ".\r\n", 3);
	load->body = wire;
	load->body_size = (size_t)(to - wire) + 3;
}

static void file_read(struct load *load)
{
	FILE *file = fopen(load->options.file, "r");
	char *text = malloc(FILE_SIZE_MAX);
	if (file == NULL || text == NULL)
		tool_die(load->options.file);
	file_build(load, text, fread(text, 1, FILE_SIZE_MAX, file));
	fclose(file);
	free(text);
}

static void message_head(struct load *load, struct session *s)
{
	struct identity id = load->identity;
	id.number = s->number;
	s->body_size = load->body_size;
	if (load->options.file != NULL) {
		memcpy(s->head, IDENTITY_FIELD, sizeof(IDENTITY_FIELD) - 1);
		s->head_size = sizeof(IDENTITY_FIELD) - 1;
		s->head_size += (size_t)identity_write(
			&id, s->head + s->head_size, HEAD_SIZE - s->head_size);
		return;
	}
	int n = snprintf(s->head, HEAD_SIZE,
		"From: Sender <sender@client.example>\r\nTo: Recipient "
		"<alice@example.com>\r\nSubject: Message %llu\r\n"
		"Date: Mon, 2 Nov 2026 12:00:00 +0000\r\nMessage-ID: "
		"<%llu.bench@client.example>\r\nMIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\n\r\n",
		(unsigned long long)s->number, (unsigned long long)s->number);
	n += identity_write(&id, s->head + n, HEAD_SIZE - (size_t)n);
	s->head_size = (size_t)n;
}

static void latency_add(struct load *load, double seconds)
{
	if (load->n_latencies == load->latencies_capacity) {
		load->latencies_capacity =
			load->latencies_capacity == 0 ? 4096 : load->latencies_capacity * 2;
		load->latencies_us =
			realloc(load->latencies_us, load->latencies_capacity * sizeof(uint32_t));
		if (load->latencies_us == NULL)
			tool_die("memory");
	}
	load->latencies_us[load->n_latencies++] = (uint32_t)(seconds * 1e6);
}

/* --- sessions --- */

static void session_close(struct load *load, struct session *s)
{
	bool opening = s->state == CONNECT || s->state == GREETING || s->state == EHLO;
	if (opening)
		load->n_opening--;
	if (s->state == IDLE)
		load->n_idle--;
	/* A connection that never came to its first message has failed one all the same. */
	if (s->state >= MAIL && s->state <= BODY)
		load->failed++;
	else if (opening && load->options.idle == 0)
		load->failed++;
	close(s->fd);
	s->state = FREE;
	load->n_open--;
	load->next_free = (unsigned)(s - load->sessions);
}

static void watch(struct load *load, struct session *s, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = s};
	if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, s->fd, &event) < 0)
		tool_die("epoll_ctl");
}

/* Writes what is left of head and body. false: the server is gone. */
static bool session_write(struct load *load, struct session *s)
{
	size_t total = s->head_size + s->body_size;
	while (s->written < total) {
		size_t head_left = s->written < s->head_size ? s->head_size - s->written : 0;
		size_t body_done = s->written > s->head_size ? s->written - s->head_size : 0;
		struct iovec parts[2] = {
			{s->head + (s->head_size - head_left), head_left},
			{load->body + body_done, s->body_size - body_done},
		};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
		ssize_t n = sendmsg(s->fd, &message, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0) {
			watch(load, s, EPOLLIN | EPOLLOUT);
			return true;
		}
		s->written += (size_t)n;
	}
	return true;
}

static bool session_send(
	struct load *load, struct session *s, enum state state, const char *command)
{
	s->state = state;
	s->written = s->body_size = 0;
	s->head_size = strlen(command);
	memcpy(s->head, command, s->head_size);
	return session_write(load, s);
}

static bool may_begin(const struct load *load)
{
	return now() < load->end && load->begun < load->options.messages;
}

static bool transaction_begin(struct load *load, struct session *s)
{
	bool first = s->sent_here == 0;
	if (!first && !may_begin(load))
		return session_send(load, s, QUIT, "QUIT\r\n");
	if (!first) {
		s->begun = now();
		s->number = load->options.first + load->begun++;
	}
	return session_send(load, s, MAIL,
		s->pipelining ? "MAIL FROM:<sender@client.example>\r\nRCPT "
				"TO:<alice@example.com>\r\nDATA\r\n"
			      : "MAIL FROM:<sender@client.example>\r\n");
}

static bool transaction_end(struct load *load, struct session *s, bool good)
{
	double t = now();
	if (good) {
		load->acked++;
		load->digest += number_hash(s->number);
		load->last_ack = t;
		latency_add(load, t - s->begun);
	} else {
		load->refused++;
	}
	if (!good || ++s->sent_here == load->options.per_connection)
		return session_send(load, s, QUIT, "QUIT\r\n");
	return transaction_begin(load, s);
}

static bool go_on(struct load *load, struct session *s, enum state state, const char *command)
{
	s->state = state;
	return s->pipelining || session_send(load, s, state, command);
}

static bool body_send(struct load *load, struct session *s)
{
	s->state = BODY;
	s->written = 0;
	message_head(load, s);
	return session_write(load, s);
}

static bool hello_done(struct load *load, struct session *s)
{
	load->n_opening--;
	if (load->options.idle > 0) {
		s->state = IDLE;
		load->n_idle++;
		return true;
	}
	return transaction_begin(load, s);
}

/* The last line of a reply. false: the session is to be closed. */
static bool on_reply(struct load *load, struct session *s, const char *line)
{
	bool good = line[0] == '2';
	switch (s->state) {
	case GREETING:
		return good && session_send(load, s, EHLO, "EHLO client.example\r\n");
	case EHLO:
		return good && hello_done(load, s);
	case MAIL:
		return good ? go_on(load, s, RCPT, "RCPT TO:<alice@example.com>\r\n")
			    : transaction_end(load, s, false);
	case RCPT:
		return good ? go_on(load, s, DATA, "DATA\r\n") : transaction_end(load, s, false);
	case DATA:
		return line[0] == '3' ? body_send(load, s) : transaction_end(load, s, false);
	case BODY:
		return transaction_end(load, s, good);
	case FREE:
	case CONNECT:
	case IDLE: /* nobody asked: a 421 */
	case QUIT:
		return false;
	}
	return false;
}

/* false: the session is to be closed. */
static bool on_input(struct load *load, struct session *s)
{
	ssize_t n = recv(s->fd, s->in + s->in_size, IN_SIZE - s->in_size, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	s->in_size += (size_t)n;
	char *from = s->in, *end = s->in + s->in_size, *newline;
	while ((newline = memchr(from, '\n', (size_t)(end - from))) != NULL) {
		*newline = '\0';
		if (s->state == EHLO && load->options.pipelining && newline - from > 13 &&
			memcmp(from + 4, "PIPELINING", 10) == 0)
			s->pipelining = true;
		bool last = newline - from > 3 && from[3] != '-';
		if (last && !on_reply(load, s, from))
			return false;
		from = newline + 1;
	}
	s->in_size = (size_t)(end - from);
	memmove(s->in, from, s->in_size);
	return s->in_size < IN_SIZE;
}

static void on_event(struct load *load, struct session *s, uint32_t events)
{
	if (s->state == CONNECT) {
		s->state = GREETING;
		watch(load, s, EPOLLIN);
	}
	if ((events & EPOLLOUT) != 0 && s->state != GREETING) {
		watch(load, s, EPOLLIN);
		if (!session_write(load, s)) {
			session_close(load, s);
			return;
		}
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !on_input(load, s))
		session_close(load, s);
}

static struct session *session_free(struct load *load)
{
	for (unsigned i = 0; i < load->n_sessions; i++) {
		struct session *s = &load->sessions[(load->next_free + i) % load->n_sessions];
		if (s->state == FREE) {
			load->next_free = (load->next_free + i + 1) % load->n_sessions;
			return s;
		}
	}
	return NULL;
}

static int socket_open(struct load *load)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		tool_die("socket");
	struct sockaddr_in source = {.sin_family = AF_INET};
	source.sin_addr.s_addr = htonl(0x7f000101 + (uint32_t)(load->connections++ % SOURCES));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&source, sizeof(source)) < 0)
		tool_die("bind");
	if (connect(fd, (struct sockaddr *)&load->options.target, sizeof(load->options.target)) <
			0 &&
		errno != EINPROGRESS)
		tool_die("connect");
	return fd;
}

/* false: there is no room for another now. */
static bool session_open(struct load *load, double planned)
{
	struct session *s = session_free(load);
	if (s == NULL)
		return false;
	*s = (struct session){.state = CONNECT, .fd = socket_open(load), .begun = planned};
	if (load->options.idle == 0)
		s->number = load->options.first + load->begun++;
	load->n_open++;
	load->n_opening++;
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = s};
	if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, s->fd, &event) < 0)
		tool_die("epoll_ctl");
	return true;
}

/* --- runs --- */

static void events_take(struct load *load, double wait_s)
{
	struct epoll_event events[256];
	int wait_ms = wait_s <= 0 ? 0 : (int)ceil(wait_s * 1000);
	int n = epoll_wait(load->epoll, events, 256, wait_ms);
	for (int i = 0; i < n; i++)
		on_event(load, events[i].data.ptr, events[i].events);
}

/* Closed loop: as many sessions as wanted, always; a new one for each that ends. */
static void run_sessions(struct load *load)
{
	while (may_begin(load)) {
		while (load->n_open < load->options.sessions && may_begin(load))
			session_open(load, now());
		events_take(load, 0.1);
	}
}

/* Open loop: connections by the clock. A clock's tick without a free session is a failure, not a
 * pause. */
static void run_rate(struct load *load)
{
	double step = 1 / load->options.rate, planned = load->start + step;
	while (planned < load->end && load->begun < load->options.messages) {
		while (planned <= now() && planned < load->end &&
			load->begun < load->options.messages) {
			if (!session_open(load, planned))
				load->failed++;
			planned += step;
		}
		events_take(load, planned - now());
	}
}

static void drain(struct load *load)
{
	double limit = now() + GRACE_S;
	while (load->n_open > 0 && now() < limit)
		events_take(load, 0.1);
	for (unsigned i = 0; i < load->n_sessions; i++)
		if (load->sessions[i].state != FREE)
			session_close(load, &load->sessions[i]);
}

static void run_idle(struct load *load)
{
	double limit = now() + GRACE_S;
	unsigned wanted = load->options.idle;
	uint64_t opened = 0;
	while (load->n_idle < wanted && now() < limit && (opened < wanted || load->n_opening > 0)) {
		while (opened < wanted && load->n_opening < OPENING_MAX &&
			session_open(load, now()))
			opened++;
		events_take(load, 0.1);
	}
	printf("{\"idle\": %u}\n", load->n_idle);
	fflush(stdout);
	while (getchar() != EOF)
		;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static double percentile_ms(const struct load *load, double share)
{
	if (load->n_latencies == 0)
		return 0;
	return load->latencies_us[(size_t)((double)(load->n_latencies - 1) * share)] / 1e3;
}

static void report(struct load *load)
{
	if (load->n_latencies > 0)
		qsort(load->latencies_us, load->n_latencies, sizeof(uint32_t), by_value);
	printf("{\"acked\": %llu, \"refused\": %llu, \"failed\": %llu, \"connections\": %llu, "
	       "\"seconds\": %.6f, "
	       "\"digest\": \"%016llx\", \"p50_ms\": %.3f, \"p90_ms\": %.3f, \"p99_ms\": %.3f, "
	       "\"max_ms\": %.3f, "
	       "\"cpu_s\": %.3f}\n",
		(unsigned long long)load->acked, (unsigned long long)load->refused,
		(unsigned long long)load->failed, (unsigned long long)load->connections,
		load->acked == 0 ? 0 : load->last_ack - load->start,
		(unsigned long long)load->digest, percentile_ms(load, 0.5),
		percentile_ms(load, 0.9), percentile_ms(load, 0.99), percentile_ms(load, 1),
		cpu_seconds());
}

/* --- the command line --- */

static double number(const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);
	if (end == text || *end != '\0' || !(value >= least && value <= most)) {
		fprintf(stderr, "load: %s: a number from %g to %g is wanted\n", text, least, most);
		exit(2);
	}
	return value;
}

static struct options options_read(int argc, char **argv)
{
	struct options o = {.sessions = 20,
		.per_connection = 1,
		.duration_s = 2,
		.size = 4096,
		.messages = MESSAGES_MAX};
	int option;
	while ((option = getopt(argc, argv, "t:c:p:s:d:n:f:r:i:m:P")) != -1) {
		switch (option) {
		case 't':
			o.target = loopback_address(optarg);
			break;
		case 'c':
			o.sessions = (unsigned)number(optarg, 1, SESSIONS_MAX);
			break;
		case 'p':
			o.per_connection = (unsigned)number(optarg, 1, MESSAGES_MAX);
			break;
		case 's':
			o.size = (size_t)number(optarg, 0, 50 << 20);
			break;
		case 'd':
			o.duration_s = number(optarg, 0.01, 600);
			break;
		case 'n':
			o.messages = (uint64_t)number(optarg, 1, MESSAGES_MAX);
			break;
		case 'f':
			o.first = (uint64_t)number(optarg, 0, 1e15);
			break;
		case 'r':
			o.rate = number(optarg, 0.1, 100000);
			break;
		case 'i':
			o.idle = (unsigned)number(optarg, 1, SESSIONS_MAX);
			break;
		case 'm':
			o.file = optarg;
			break;
		case 'P':
			o.pipelining = true;
			break;
		default:
			exit(2);
		}
	}
	if (o.target.sin_port == 0 || optind < argc) {
		fprintf(stderr, "usage: load -t HOST:PORT [-c N] [-p N] [-s N] [-d S] [-n N] [-f "
				"N] [-m FILE] [-P] [-r N] [-i N]\n");
		exit(2);
	}
	return o;
}

int main(int argc, char **argv)
{
	struct load load = {.options = options_read(argc, argv)};
	descriptors_raise();
	bool many = load.options.rate > 0 || load.options.idle > 0;
	load.n_sessions = many ? SESSIONS_MAX : load.options.sessions;
	load.sessions = calloc(load.n_sessions, sizeof(*load.sessions));
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load.sessions == NULL || load.epoll < 0)
		tool_die("start");
	if (load.options.file != NULL)
		file_read(&load);
	else
		body_build(&load);
	load.start = now();
	load.end = load.start + load.options.duration_s;
	if (load.options.idle > 0) {
		run_idle(&load);
	} else {
		if (load.options.rate > 0)
			run_rate(&load);
		else
			run_sessions(&load);
		drain(&load);
		report(&load);
	}
	free(load.sessions);
	free(load.latencies_us);
	free(load.body);
	close(load.epoll);
	return 0;
}

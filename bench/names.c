#include "bench/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "bench/tool.h"

enum {
	MESSAGE_MAX = 2048,
	HEADER_BYTES = 12,
	NAME_MAX_BYTES = 256,
	STRING_MAX = 255,
	TTL_S = 3600,
	TYPE_SOA = 6,
	TYPE_TXT = 16,
	CLASS_IN = 1,
	NXDOMAIN = 3
};

int names_socket(uint16_t *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 ||
		getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		tool_die("names: a port");
	*port = ntohs(address.sin_port);
	return fd;
}

/* --- questions --- */

struct question {
	char name[NAME_MAX_BYTES];
	unsigned type;
	size_t end; /* of the question in the message */
};

static unsigned number_at(const unsigned char *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* One question, without compression, as resolvers ask. */
static bool question_read(const unsigned char *message, size_t size, struct question *out)
{
	size_t at = HEADER_BYTES, len = 0;

	if (size < HEADER_BYTES || number_at(message + 4) != 1)
		return false;
	while (at < size && message[at] != 0) {
		size_t label = message[at++];

		if (label > 63 || at + label > size || len + label + 2 > sizeof(out->name))
			return false;
		if (len)
			out->name[len++] = '.';
		memcpy(out->name + len, message + at, label);
		len += label;
		at += label;
	}
	out->name[len] = '\0';
	if (at + 5 > size)
		return false;
	out->type = number_at(message + at + 1);
	out->end = at + 5;
	return true;
}

/* --- answers --- */

static size_t put_number(unsigned char *at, unsigned value)
{
	at[0] = (unsigned char)(value >> 8);
	at[1] = (unsigned char)value;
	return 2;
}

/* A record up to its data; its name is the question's. */
static size_t put_record(unsigned char *at, unsigned type, size_t data)
{
	size_t n = put_number(at, 0xc000 | HEADER_BYTES);

	n += put_number(at + n, type);
	n += put_number(at + n, CLASS_IN);
	n += put_number(at + n, 0);
	n += put_number(at + n, TTL_S);
	return n + put_number(at + n, (unsigned)data);
}

static size_t put_text(unsigned char *at, const char *text)
{
	size_t len = strlen(text), strings = (len + STRING_MAX - 1) / STRING_MAX;
	size_t n = put_record(at, TYPE_TXT, len + strings);

	while (len) {
		size_t part = len < STRING_MAX ? len : STRING_MAX;

		at[n++] = (unsigned char)part;
		memcpy(at + n, text, part);
		n += part;
		text += part;
		len -= part;
	}
	return n;
}

/* How long it holds that there is nothing (RFC 2308 5). */
static size_t put_nothing(unsigned char *at)
{
	size_t n = put_record(at, TYPE_SOA, 22);

	memset(at + n, 0, 22); /* two names, the root; five numbers */
	put_number(at + n + 20, TTL_S);
	return n + 22;
}

static bool is_above(const char *name, const char *other)
{
	size_t len = strlen(name), whole = strlen(other);

	return whole > len && other[whole - len - 1] == '.' &&
	       strcasecmp(other + whole - len, name) == 0;
}

static size_t answer(
	unsigned char *message, const struct question *q, const struct name_text *names, size_t n)
{
	const char *text = NULL;
	bool exists = false;

	for (size_t i = 0; i < n; i++) {
		if (strcasecmp(q->name, names[i].name) == 0)
			text = names[i].text;
		exists = exists || text || is_above(q->name, names[i].name);
	}
	message[2] = 0x84 | (message[2] & 1); /* an answer, from who knows */
	message[3] = exists ? 0x80 : 0x80 | NXDOMAIN;
	memset(message + 6, 0, 6);
	if (text && q->type == TYPE_TXT) {
		message[7] = 1;
		return q->end + put_text(message + q->end, text);
	}
	message[9] = 1;
	return q->end + put_nothing(message + q->end);
}

_Noreturn void names_serve(int fd, const struct name_text *names, size_t n)
{
	unsigned char message[MESSAGE_MAX];

	for (;;) {
		struct sockaddr_in from;
		socklen_t from_size = sizeof(from);
		struct question q;
		ssize_t got = recvfrom(
			fd, message, sizeof(message), 0, (struct sockaddr *)&from, &from_size);

		if (got < 0 && errno != EINTR)
			tool_die("names: recvfrom");
		if (got < 0 || !question_read(message, (size_t)got, &q))
			continue;
		(void)!sendto(fd, message, answer(message, &q, names, n), 0,
			(struct sockaddr *)&from, from_size);
	}
}

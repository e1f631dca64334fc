/*
 * sink HOST:PORT [chunking]: takes messages from `load` by way of whatever is measured, and checks
 * each: the body must be, byte for byte, the one that its first line announces. Standard input
 * controls it: a line `report` prints a line of JSON about all since the last one, and its end ends
 * the sink.
 *
 * Which messages came is told as a sum over hashes of their numbers: it is equal to the sum that
 * `load` keeps of what was acknowledged exactly when nothing was lost and nothing doubled, without
 * either side keeping lists.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/identity.h"
#include "bench/tool.h"
#include "bench/smtp_server.h"

enum { SIZE_MAX_BYTES = 100 << 20, FIRST_LINE_MAX = 128 };

/* A message as it comes: header, then the line that announces the body unless a field has done
 * that, then the body. */
enum part { HEADER, FIRST_LINE, BODY };

struct message {
	struct totals *totals;
	enum part part;
	unsigned newlines;         /* HEADER: how much of CRLF CRLF was just seen, in bytes */
	char line[FIRST_LINE_MAX]; /* the one that comes; longer ones are cut */
	size_t line_size;
	struct identity announced;
	uint64_t size, hash;
};

struct totals {
	uint64_t messages, digest, damaged, unknown, abandoned;
};

static void *on_begin(void *context, const struct smtp_envelope *envelope)
{
	(void)envelope;
	struct message *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->totals = context;
	m->newlines = 2; /* a message without a header begins with the empty line */
	m->hash = BODY_HASH_START;
	return m;
}

/* A line of the header has come. */
static void take_field(struct message *m)
{
	static const char field[] = IDENTITY_FIELD;
	m->line[m->line_size] = '\0';
	if (strncmp(m->line, field, sizeof(field) - 1) == 0)
		identity_read(&m->announced, m->line + sizeof(field) - 1);
	m->line_size = 0;
}

/* How many bytes belong to the header, the empty line behind it included. */
static size_t take_header(struct message *m, const char *data, size_t size)
{
	static const char end[] = "\r\n\r\n";
	for (size_t i = 0; i < size; i++) {
		if (data[i] == end[m->newlines])
			m->newlines++;
		else
			m->newlines = data[i] == '\r';
		if (data[i] != '\n' && m->line_size + 1 < sizeof(m->line))
			m->line[m->line_size++] = data[i];
		else if (data[i] == '\n')
			take_field(m);
		if (m->newlines == 4) {
			m->part = m->announced.known ? BODY : FIRST_LINE;
			return i + 1;
		}
	}
	return size;
}

static size_t take_first_line(struct message *m, const char *data, size_t size)
{
	const char *newline = memchr(data, '\n', size);
	size_t n = newline == NULL ? size : (size_t)(newline - data) + 1;
	if (m->line_size + n < sizeof(m->line)) {
		memcpy(m->line + m->line_size, data, n);
		m->line_size += n;
	}
	if (newline != NULL) {
		m->line[m->line_size] = '\0';
		identity_read(&m->announced, m->line);
		m->part = BODY;
	}
	return n;
}

static void on_bytes(void *message, const char *data, size_t size)
{
	struct message *m = message;
	while (size > 0 && m->part != BODY) {
		size_t n = m->part == HEADER ? take_header(m, data, size)
					     : take_first_line(m, data, size);
		data += n;
		size -= n;
	}
	m->hash = body_hash(m->hash, data, size);
	m->size += size;
}

static const char *on_end(void *message)
{
	struct message *m = message;
	struct totals *t = m->totals;
	if (!m->announced.known)
		t->unknown++;
	else if (m->announced.size != m->size || m->announced.hash != m->hash)
		t->damaged++;
	else
		t->digest += number_hash(m->announced.number);
	t->messages++;
	free(m);
	return "250 2.0.0 Taken";
}

static void on_abandon(void *message)
{
	struct message *m = message;
	m->totals->abandoned++;
	free(m);
}

static void report(struct totals *t)
{
	printf("{\"messages\": %llu, \"digest\": \"%016llx\", \"damaged\": %llu, \"unknown\": "
	       "%llu, \"abandoned\": %llu, "
	       "\"cpu_s\": %.3f}\n",
		(unsigned long long)t->messages, (unsigned long long)t->digest,
		(unsigned long long)t->damaged, (unsigned long long)t->unknown,
		(unsigned long long)t->abandoned, cpu_seconds());
	fflush(stdout);
	memset(t, 0, sizeof(*t));
}

static void on_control(struct smtp_server *server, int fd, void *context)
{
	char line[64];
	ssize_t n = read(fd, line, sizeof(line) - 1);
	if (n <= 0) {
		smtp_server_stop(server);
		return;
	}
	line[n] = '\0';
	if (strcmp(line, "report\n") == 0)
		report(context);
}

int main(int argc, char **argv)
{
	bool chunking = argc == 3 && strcmp(argv[2], "chunking") == 0;
	if (argc != 2 && !chunking) {
		fprintf(stderr, "usage: sink HOST:PORT [chunking]\n");
		return 2;
	}
	descriptors_raise();
	struct totals totals = {0};
	struct smtp_server_options options = {
		.listen = argv[1],
		.name = "sink.localhost",
		.extensions =
			chunking ? "PIPELINING\n8BITMIME\nSMTPUTF8\nDSN\nENHANCEDSTATUSCODES\nCHUNK"
				   "ING\n"
				 : "PIPELINING\n8BITMIME\nSMTPUTF8\nDSN\nENHANCEDSTATUSCODES\n",
		.size_max = SIZE_MAX_BYTES,
	};
	struct smtp_sink sink = {&totals, on_begin, on_bytes, on_end, on_abandon};
	struct smtp_server *server = smtp_server_open(&options, &sink);
	smtp_server_watch(server, STDIN_FILENO, on_control, &totals);
	puts("ready");
	fflush(stdout);
	smtp_server_run(server);
	smtp_server_close(&server);
	return 0;
}

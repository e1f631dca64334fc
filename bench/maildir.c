/*
 * maildir HOST:PORT FOLDER: a small mail server for development. It takes every message and writes
 * it as one file, with the envelope on top, into a Maildir: tmp/ first, synced, then renamed into
 * new/, and only then says 250. It runs until SIGTERM or SIGINT, on loopback only.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/tool.h"
#include "bench/smtp_server.h"

enum { PATH_SIZE = 4096, SIZE_MAX_BYTES = 100 << 20 };

struct maildir {
	const char *folder;
	unsigned long count; /* numbers the files */
	char reply[PATH_SIZE];
};

struct delivery {
	struct maildir *maildir;
	FILE *file;
	bool after_cr; /* a CR is held back until it's known what follows */
	char temporary[PATH_SIZE], final[PATH_SIZE];
};

static FILE *file_begin(struct delivery *d)
{
	struct maildir *maildir = d->maildir;
	char name[64];
	snprintf(name, sizeof(name), "%lld.%d_%06lu.localhost", (long long)time(NULL),
		(int)getpid(), ++maildir->count);
	snprintf(d->temporary, PATH_SIZE, "%s/tmp/%s", maildir->folder, name);
	snprintf(d->final, PATH_SIZE, "%s/new/%s", maildir->folder, name);
	return fopen(d->temporary, "wxe");
}

static void *on_begin(void *context, const struct smtp_envelope *envelope)
{
	struct delivery *d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	d->maildir = context;
	d->file = file_begin(d);
	if (d->file == NULL) {
		free(d);
		return NULL;
	}
	fprintf(d->file, "Return-Path: <%s>\n", envelope->sender);
	for (size_t i = 0; i < envelope->n_recipients; i++)
		fprintf(d->file, "Delivered-To: %s\n", envelope->recipients[i]);
	return d;
}

/* CRLF becomes LF, as the programs that read a Maildir expect it; any other CR stays. */
static void on_bytes(void *message, const char *data, size_t size)
{
	struct delivery *d = message;
	for (size_t i = 0; i < size; i++) {
		if (d->after_cr && data[i] != '\n')
			putc_unlocked('\r', d->file);
		d->after_cr = data[i] == '\r';
		if (!d->after_cr)
			putc_unlocked(data[i], d->file);
	}
}

static void on_abandon(void *message)
{
	struct delivery *d = message;
	fclose(d->file);
	unlink(d->temporary);
	free(d);
}

static const char *on_end(void *message)
{
	struct delivery *d = message;
	struct maildir *maildir = d->maildir;
	bool good = fflush(d->file) == 0 && !ferror(d->file) && fsync(fileno(d->file)) == 0 &&
		    rename(d->temporary, d->final) == 0;
	if (good) {
		snprintf(maildir->reply, sizeof(maildir->reply), "250 2.0.0 Stored as %s",
			strrchr(d->final, '/') + 1);
		printf("maildir: %s\n", d->final);
	} else {
		snprintf(maildir->reply, sizeof(maildir->reply), "451 4.3.0 Not stored: %s",
			strerror(errno));
	}
	on_abandon(d);
	return maildir->reply;
}

static void on_signal(struct smtp_server *server, int fd, void *context)
{
	struct signalfd_siginfo info;
	(void)context;
	if (read(fd, &info, sizeof(info)) == sizeof(info))
		smtp_server_stop(server);
}

static int signals_open(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void folder_make(const char *folder, const char *part)
{
	char path[PATH_SIZE];
	snprintf(path, sizeof(path), "%s%s", folder, part);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		tool_die(path);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: maildir HOST:PORT FOLDER\n");
		return 2;
	}
	struct maildir maildir = {.folder = argv[2]};
	static const char *const parts[] = {"", "/tmp", "/new", "/cur"};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		folder_make(maildir.folder, parts[i]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct smtp_server_options options = {
		.listen = argv[1],
		.name = "maildir.localhost",
		.extensions =
			"PIPELINING\n8BITMIME\nSMTPUTF8\nDSN\nENHANCEDSTATUSCODES\nCHUNKING\n",
		.size_max = SIZE_MAX_BYTES,
	};
	struct smtp_sink sink = {&maildir, on_begin, on_bytes, on_end, on_abandon};
	struct smtp_server *server = smtp_server_open(&options, &sink);
	smtp_server_watch(server, signals_open(), on_signal, NULL);
	smtp_server_run(server);
	smtp_server_close(&server);
	return 0;
}

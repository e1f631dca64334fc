/* `postern fmt`: rule files in their one layout. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/command.h"
#include "lib/base/descriptor.h"
#include "lib/base/fail.h"
#include "policy/format.h"

enum { FILE_MAX = 16 * 1024 * 1024, REPORT_MAX = 256 * 1024 };

enum outcome { FORMAT_SAME, FORMAT_CHANGED, FORMAT_FAILED };

static enum outcome trouble(const char *path, const char *what)
{
	fprintf(stderr, "postern fmt: %s: %s\n", path, what);
	return FORMAT_FAILED;
}

static bool read_all(int fd, struct buffer *out)
{
	for (;;) {
		char *at = buffer_reserve(out, 16384);
		ssize_t got;

		if (!at) {
			errno = EFBIG;
			return false;
		}
		got = read(fd, at, 16384);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0;
		buffer_added(out, (size_t)got);
	}
}

static bool lay_out(const char *name, const struct buffer *source, struct buffer *out)
{
	struct buffer report = BUFFER_INIT(REPORT_MAX);
	bool ok = rules_format(name, buffer_span(source), out, &report);

	if (!ok)
		fputs(buffer_string(&report), stderr);
	buffer_free(&report);
	return ok;
}

/* --- a file --- */

/* Written beside it, with its mode and owner, then put in its place: whoever reads it meanwhile
 * gets the one or the other. */
static bool replace(const char *path, const struct stat *st, struct span text)
{
	size_t size = strlen(path) + sizeof(".XXXXXX");
	char *beside = memory_new(size);
	bool ok;
	int fd;

	snprintf(beside, size, "%s.XXXXXX", path);
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0) {
		free(beside);
		return false;
	}
	/* Who is not root keeps their own name on it. */
	ok = fchown(fd, st->st_uid, st->st_gid) == 0 || errno == EPERM;
	ok = ok && fchmod(fd, st->st_mode & 07777) == 0 && descriptor_write(fd, text) &&
	     fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	ok = ok && rename(beside, path) == 0;
	if (!ok) {
		int why = errno;

		unlink(beside);
		errno = why;
	}
	free(beside);
	return ok;
}

/* The file itself where the path is a symbolic link, which stays one. */
static enum outcome format_open(const char *path, int fd, bool check)
{
	struct buffer source = BUFFER_INIT(FILE_MAX), out = BUFFER_INIT(2 * FILE_MAX);
	enum outcome outcome = FORMAT_FAILED;
	char *real = realpath(path, NULL);
	struct stat st;

	if (!real || fstat(fd, &st) != 0) {
		trouble(path, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		trouble(path, "it is not a regular file");
	} else if (!read_all(fd, &source)) {
		trouble(path, strerror(errno));
	} else if (lay_out(path, &source, &out)) {
		outcome = span_equal(buffer_span(&source), buffer_span(&out)) ? FORMAT_SAME
									      : FORMAT_CHANGED;
		if (outcome == FORMAT_CHANGED && !check && !replace(real, &st, buffer_span(&out)))
			outcome = trouble(path, strerror(errno));
	}
	free(real);
	buffer_free(&source);
	buffer_free(&out);
	return outcome;
}

static enum outcome format_file(const char *path, bool check)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	enum outcome outcome;

	if (fd < 0)
		return trouble(path, strerror(errno));
	outcome = format_open(path, fd, check);
	close(fd);
	if (outcome == FORMAT_CHANGED)
		printf("%s%s\n", path, check ? ": would be laid out anew" : ": laid out anew");
	return outcome;
}

/* --- standard input --- */

static int format_input(bool check)
{
	struct buffer source = BUFFER_INIT(FILE_MAX), out = BUFFER_INIT(2 * FILE_MAX);
	int status = CLI_CONFIGURATION;

	if (!read_all(STDIN_FILENO, &source)) {
		trouble("standard input", strerror(errno));
	} else if (lay_out("(standard input)", &source, &out)) {
		bool same = span_equal(buffer_span(&source), buffer_span(&out));

		status = check && !same ? CLI_NO : CLI_OK;
		if (!check && !descriptor_write(STDOUT_FILENO, buffer_span(&out))) {
			trouble("standard output", strerror(errno));
			status = CLI_NO;
		}
	}
	buffer_free(&source);
	buffer_free(&out);
	return status;
}

int cli_fmt(const struct invocation *invocation)
{
	bool check = cli_option(invocation, "--check") != NULL;
	size_t changed = 0, failed = 0;

	if (invocation->n_words == 0)
		return format_input(check);
	for (size_t i = 0; i < invocation->n_words; i++) {
		switch (format_file(invocation->words[i], check)) {
		case FORMAT_SAME:
			break;
		case FORMAT_CHANGED:
			changed++;
			break;
		case FORMAT_FAILED:
			failed++;
			break;
		}
	}
	if (failed)
		return CLI_CONFIGURATION;
	return check && changed ? CLI_NO : CLI_OK;
}

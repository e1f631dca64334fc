#include "proxy/message/quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/descriptor.h"
#include "lib/base/fail.h"

enum {
	QUARANTINE_MAGIC = 0x71756172,
	FIRST_EXPIRY_MS = 60 * 1000, /* so that restarts every hour still expire */
	TMP_MAX_S = 3600,            /* no write takes so long */
	COPY_SIZE = 64 * 1024,
	NAMES_TRIED = 99
};

struct quarantine {
	uint32_t magic;
	struct quarantine_setup setup;
	int tmp, new;       /* owned; -1: setup.dir has none */
	struct err trouble; /* why not */
	unsigned at_work;   /* writes and scans in threads */
	bool expiring;
	uv_work_t expiry;
	struct timer timer;
	_Atomic uint64_t expired; /* files deleted since that was last told */
	/* below: of the threads, under the lock, which a scan holds for long: never of the loop */
	uv_mutex_t lock;
	bool scanned;
	uint64_t scanned_ms;   /* monotonic */
	uint64_t used_bytes;   /* in new/ at the scan, and what was written since */
	uint64_t coming_bytes; /* being written */
};

/* --- in a thread: the scan --- */

static int open_folder(int dir, const char *name)
{
	return openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static bool is_old(const struct stat *info, time_t now, uint64_t age_s)
{
	return now > info->st_mtime && (uint64_t)(now - info->st_mtime) > age_s;
}

/* Deletes the files of a folder that are older, and adds up the others. false: errno. */
static bool scan_folder(int folder, uint64_t age_s, uint64_t *bytes, uint64_t *deleted)
{
	/* A descriptor of its own, for it has a position. */
	int fd = open_folder(folder, ".");
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	const time_t now = time(NULL);
	const struct dirent *entry;

	if (!list) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while ((entry = readdir(list))) {
		struct stat info;

		if (fstatat(folder, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(info.st_mode))
			continue;
		if (is_old(&info, now, age_s) && unlinkat(folder, entry->d_name, 0) == 0)
			++*deleted;
		else
			*bytes += (uint64_t)info.st_size;
	}
	closedir(list);
	return true;
}

/* Under the lock. false: errno. */
static bool scan(struct quarantine *q)
{
	uint64_t bytes = 0, deleted = 0, left_over = 0, unused = 0;
	bool ok = scan_folder(q->new, q->setup.keep_ms / 1000, &bytes, &deleted) &&
		  scan_folder(q->tmp, TMP_MAX_S, &unused, &left_over);

	atomic_fetch_add(&q->expired, deleted);
	if (!ok)
		return false;
	q->used_bytes = bytes;
	q->scanned = true;
	q->scanned_ms = clock_now_ms(&q->setup.loop->clock);
	return true;
}

static void expire_in_thread(uv_work_t *work)
{
	struct quarantine *q = CONTAINER_OF(work, struct quarantine, expiry);

	MAGIC_ENSURE(q, QUARANTINE_MAGIC);
	uv_mutex_lock(&q->lock);
	(void)!scan(q); /* a write will tell what is wrong */
	uv_mutex_unlock(&q->lock);
}

/* --- in a thread: one write --- */

static enum quarantine_outcome refuse(
	struct quarantine_write *write, enum quarantine_outcome outcome, const char *what)
{
	write->outcome = outcome;
	err_set(&write->err, "%s", what);
	return outcome;
}

/* By errno. */
static enum quarantine_outcome refuse_errno(struct quarantine_write *write, const char *what)
{
	bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;

	write->outcome = full ? QUARANTINE_FULL : QUARANTINE_FAILED;
	err_errno(&write->err, "%s", what);
	return write->outcome;
}

/* Sets bytes aside for a file. */
static bool reserve(struct quarantine_write *write, uint64_t bytes)
{
	struct quarantine *q = write->quarantine;
	uint64_t now_ms = clock_now_ms(&q->setup.loop->clock);
	bool ok = true;

	uv_mutex_lock(&q->lock);
	if (!q->scanned || now_ms - q->scanned_ms >= QUARANTINE_SCAN_MS)
		ok = scan(q);
	if (!ok)
		refuse_errno(write, "can't look into the quarantine");
	else if (q->used_bytes + q->coming_bytes + bytes > q->setup.size_max)
		refuse(write, QUARANTINE_FULL, "the quarantine is full (quarantine.size)");
	else
		q->coming_bytes += bytes;
	uv_mutex_unlock(&q->lock);
	return write->outcome == QUARANTINE_PENDING;
}

static void settle(struct quarantine_write *write, uint64_t bytes)
{
	struct quarantine *q = write->quarantine;

	uv_mutex_lock(&q->lock);
	q->coming_bytes -= bytes;
	if (write->outcome == QUARANTINE_KEPT)
		q->used_bytes += bytes;
	uv_mutex_unlock(&q->lock);
}

static bool copy_range(int fd, const struct message_piece *piece)
{
	char *part = memory_new(COPY_SIZE);
	uint64_t done = 0;
	bool ok = true;

	while (done < piece->len && ok) {
		uint64_t left = piece->len - done;
		ssize_t got = pread(piece->fd, part, left < COPY_SIZE ? (size_t)left : COPY_SIZE,
			(off_t)(piece->offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = EIO;
		ok = got > 0 && descriptor_write(fd, span_make(part, (size_t)got));
		done += ok ? (uint64_t)got : 0;
	}
	free(part);
	return ok;
}

static bool write_message(int fd, const struct message *message)
{
	struct message_cursor cursor = {0};
	struct message_piece piece;

	while (message_next(message, &cursor, &piece)) {
		bool ok =
			piece.fd < 0 ? descriptor_write(fd, piece.memory) : copy_range(fd, &piece);

		if (!ok)
			return false;
	}
	return true;
}

/* A file in tmp/ under a name that neither folder has; -1: errno. The name is the transaction's, so
 * nobody else tries the same at this moment. */
static int make_file(struct quarantine_write *write)
{
	struct quarantine *q = write->quarantine;
	struct span tid = write->about->tid;

	for (unsigned i = 1; i <= NAMES_TRIED; i++) {
		struct stat info;
		int fd;

		snprintf(write->id, sizeof(write->id), i == 1 ? "%.*s" : "%.*s-%u",
			SPAN_ARGS(span_first(tid, sizeof(write->id) - 4)), i);
		if (fstatat(q->new, write->id, &info, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		fd = openat(q->tmp, write->id, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	errno = EEXIST;
	return -1;
}

/* The file's content, safe on disk; then its name, safe too. */
static enum quarantine_outcome put(
	struct quarantine_write *write, int fd, const struct buffer *head)
{
	struct quarantine *q = write->quarantine;

	if (!descriptor_write(fd, buffer_span(head)) || !write_message(fd, write->message))
		return refuse_errno(write, "can't write into the quarantine");
	if (fdatasync(fd) < 0)
		return refuse_errno(write, "can't sync a file of the quarantine");
	if (renameat(q->tmp, write->id, q->new, write->id) < 0)
		return refuse_errno(write, "can't move a file of the quarantine to its place");
	if (fsync(q->new) < 0 || fsync(q->tmp) < 0) {
		refuse_errno(write, "can't sync the folder of the quarantine");
		unlinkat(q->new, write->id, 0); /* the client will bring it again */
		return write->outcome;
	}
	write->outcome = QUARANTINE_KEPT;
	return write->outcome;
}

static void put_file(struct quarantine_write *write)
{
	struct buffer head = BUFFER_INIT(QUARANTINED_HEAD_MAX);
	struct quarantined about = *write->about;
	uint64_t bytes;
	int fd = make_file(write);

	if (fd < 0) {
		refuse_errno(write, "can't make a file in the quarantine");
		return;
	}
	about.id = span_text(write->id);
	about.size_bytes = message_size(write->message);
	if (!quarantined_write(&about, &head))
		refuse(write, QUARANTINE_FAILED, "the envelope is too large for the quarantine");
	bytes = head.len + about.size_bytes;
	if (write->outcome == QUARANTINE_PENDING && reserve(write, bytes)) {
		put(write, fd, &head);
		settle(write, bytes);
	}
	if (write->outcome != QUARANTINE_KEPT)
		unlinkat(write->quarantine->tmp, write->id, 0);
	close(fd);
	buffer_free(&head);
}

static void write_in_thread(uv_work_t *work)
{
	struct quarantine_write *write = CONTAINER_OF(work, struct quarantine_write, work);
	const struct quarantine *q = write->quarantine;

	MAGIC_ENSURE(q, QUARANTINE_MAGIC);
	if (q->new < 0)
		refuse(write, QUARANTINE_FAILED, q->trouble.text);
	else if (!quarantine_id_valid(span_first(write->about->tid, QUARANTINE_ID_SIZE - 4)))
		refuse(write, QUARANTINE_FAILED, "the transaction's id is no name for a file");
	else
		put_file(write);
}

/* --- on the loop --- */

static void tell_expired(struct quarantine *q)
{
	uint64_t expired = atomic_exchange(&q->expired, 0);

	if (expired)
		log_event(q->setup.log, LOG_INFO, "quarantine_expired", SPAN_NONE,
			"%llu message%s older than quarantine.keep deleted",
			(unsigned long long)expired, expired == 1 ? "" : "s");
}

static void on_written(uv_work_t *work, int status)
{
	struct quarantine_write *write = CONTAINER_OF(work, struct quarantine_write, work);
	struct quarantine *q = write->quarantine;

	MAGIC_ENSURE(q, QUARANTINE_MAGIC);
	ENSURE(status == 0 && write->outcome != QUARANTINE_PENDING);
	q->at_work--;
	tell_expired(q);
	if (write->outcome != QUARANTINE_KEPT)
		log_event(q->setup.log, write->outcome == QUARANTINE_FULL ? LOG_WARNING : LOG_ERROR,
			"quarantine_failed", write->about->sid, "%s", write->err.text);
	write->done(write);
}

void quarantine_write(struct quarantine *q, struct quarantine_write *write)
{
	write->quarantine = q;
	write->outcome = QUARANTINE_PENDING;
	write->id[0] = '\0';
	write->err.text[0] = '\0';
	q->at_work++;
	ENSURE(uv_queue_work(&q->setup.loop->uv, &write->work, write_in_thread, on_written) == 0);
}

static void on_expired(uv_work_t *work, int status)
{
	struct quarantine *q = CONTAINER_OF(work, struct quarantine, expiry);

	MAGIC_ENSURE(q, QUARANTINE_MAGIC);
	(void)status;
	q->at_work--;
	q->expiring = false;
	tell_expired(q);
}

static void on_timer(struct timer *timer)
{
	struct quarantine *q = CONTAINER_OF(timer, struct quarantine, timer);

	MAGIC_ENSURE(q, QUARANTINE_MAGIC);
	timer_set(&q->setup.loop->timers, &q->timer, QUARANTINE_EXPIRY_MS);
	if (q->expiring)
		return;
	q->expiring = true;
	q->at_work++;
	ENSURE(uv_queue_work(&q->setup.loop->uv, &q->expiry, expire_in_thread, on_expired) == 0);
}

struct quarantine *quarantine_open(const struct quarantine_setup *setup)
{
	struct quarantine *q = memory_zeroed(sizeof(*q));

	q->magic = QUARANTINE_MAGIC;
	q->setup = *setup;
	q->tmp = q->new = -1;
	q->timer.fire = on_timer;
	ENSURE(uv_mutex_init(&q->lock) == 0);
	if (setup->dir < 0)
		err_set(&q->trouble, "there is no folder for the quarantine");
	else if ((q->tmp = open_folder(setup->dir, "tmp")) < 0)
		err_errno(&q->trouble, "can't open the quarantine's folder tmp");
	else if ((q->new = open_folder(setup->dir, "new")) < 0)
		err_errno(&q->trouble, "can't open the quarantine's folder new");
	else
		timer_set(&setup->loop->timers, &q->timer, FIRST_EXPIRY_MS);
	return q;
}

void quarantine_close(struct quarantine **quarantine)
{
	struct quarantine *q = *quarantine;

	if (!q)
		return;
	timer_clear(&q->setup.loop->timers, &q->timer);
	while (q->at_work)
		loop_turn(q->setup.loop, true);
	if (q->tmp >= 0)
		close(q->tmp);
	if (q->new >= 0)
		close(q->new);
	uv_mutex_destroy(&q->lock);
	q->magic = 0;
	free(q);
	*quarantine = NULL;
}

struct reply quarantine_reply(const struct quarantine_write *write)
{
	switch (write->outcome) {
	case QUARANTINE_KEPT:
		return REPLY(250, "2.0.0", "Message accepted");
	case QUARANTINE_FULL:
		return REPLY(452, "4.3.1", "No room for the message now, try again later");
	case QUARANTINE_FAILED:
		return REPLY(451, "4.3.0", "The message can't be taken now, try again later");
	case QUARANTINE_PENDING:
		break;
	}
	fail_bug(__FILE__, __LINE__, "a write that is done has an outcome");
}

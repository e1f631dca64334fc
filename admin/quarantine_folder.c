#include "admin/quarantine_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/diagnostic.h"

static bool tell_errno(struct err *err, const char *what, const char *name)
{
	if (errno != EACCES && errno != EPERM)
		return err_errno(err, "can't %s %s", what, name);
	return err_set(err,
		"may not %s %s: run this as root, or as the account that postern runs as "
		"(`user` in its configuration)",
		what, name);
}

static int open_step(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int kept = errno;

	close(parent);
	errno = kept;
	return fd;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names that are no id (of other programs, hidden) are not listed. */
static bool list(struct quarantine_folder *folder, struct arena *arena)
{
	int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	size_t room = 0;

	if (!entries)
		return false;
	while ((entry = readdir(entries))) {
		if (!quarantine_id_valid(span_text(entry->d_name)))
			continue;
		if (folder->n_ids == room) {
			const char **more;

			room = room ? room * 2 : 64;
			more = arena_alloc(arena, room * sizeof(*more));
			if (folder->n_ids)
				memcpy(more, folder->ids, folder->n_ids * sizeof(*more));
			folder->ids = more;
		}
		folder->ids[folder->n_ids++] = arena_string(arena, span_text(entry->d_name));
	}
	closedir(entries);
	if (folder->n_ids)
		qsort(folder->ids, folder->n_ids, sizeof(*folder->ids), by_name);
	return true;
}

bool quarantine_folder_open(
	struct quarantine_folder *folder, const char *state, struct arena *arena, struct err *err)
{
	*folder = (struct quarantine_folder){
		.fd = -1, .path = arena_print(arena, "%s/quarantine/new", state)};
	folder->fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->fd >= 0)
		folder->fd = open_step(folder->fd, "quarantine");
	if (folder->fd >= 0)
		folder->fd = open_step(folder->fd, "new");
	if (folder->fd < 0)
		return errno == ENOENT || tell_errno(err, "open the folder", folder->path);
	if (list(folder, arena))
		return true;
	tell_errno(err, "read the folder", folder->path);
	quarantine_folder_close(folder);
	return false;
}

void quarantine_folder_close(struct quarantine_folder *folder)
{
	if (folder->fd >= 0)
		close(folder->fd);
	folder->fd = -1;
}

static enum quarantine_find unknown(
	const struct quarantine_folder *folder, const char *id, struct err *err)
{
	struct nearest nearest = nearest_to(span_text(id));

	for (size_t i = 0; i < folder->n_ids; i++)
		nearest_offer(&nearest, folder->ids[i]);
	if (nearest.best)
		err_set(err, "there is no message `%.80s` in the quarantine; did you mean `%s`?",
			id, nearest.best);
	else
		err_set(err, "there is no message `%.80s` in the quarantine", id);
	return QUARANTINE_UNKNOWN;
}

enum quarantine_find quarantine_file_open(const struct quarantine_folder *folder, const char *id,
	struct quarantine_file *file, struct err *err)
{
	struct stat info;

	if (folder->fd < 0 || !quarantine_id_valid(span_text(id)))
		return unknown(folder, id, err);
	file->fd = openat(folder->fd, id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (file->fd < 0 && errno == ENOENT)
		return unknown(folder, id, err);
	if (file->fd < 0) {
		tell_errno(err, "open", id);
		return QUARANTINE_TROUBLE;
	}
	if (fstat(file->fd, &info) < 0 || !S_ISREG(info.st_mode)) {
		quarantine_file_close(file);
		err_set(err, "%s is no file", id);
		return QUARANTINE_TROUBLE;
	}
	file->time = info.st_mtime;
	return QUARANTINE_FOUND;
}

void quarantine_file_close(struct quarantine_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

enum quarantine_find quarantine_file_lock(
	struct quarantine_file *file, const char *id, struct err *err)
{
	struct stat info;

	if (flock(file->fd, LOCK_EX | LOCK_NB) < 0) {
		err_set(err, "%s is being released or deleted by another command now", id);
		return QUARANTINE_TROUBLE;
	}
	/* Another command had it before, and has deleted it since we opened it. */
	if (fstat(file->fd, &info) == 0 && info.st_nlink > 0)
		return QUARANTINE_FOUND;
	err_set(err, "there is no message `%s` in the quarantine any more", id);
	return QUARANTINE_UNKNOWN;
}

bool quarantine_file_delete(const struct quarantine_folder *folder, const char *id, struct err *err)
{
	if (unlinkat(folder->fd, id, 0) < 0 && errno != ENOENT)
		return tell_errno(err, "delete", id);
	/* What was handed on does not come back after a crash. */
	if (fsync(folder->fd) < 0)
		return err_errno(err, "%s is deleted, but can't sync the folder", id);
	return true;
}

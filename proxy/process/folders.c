#include "proxy/process/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/fail.h"

enum { CONTROL_BACKLOG = 64, LOCK_TRIES = 10, LOCK_PAUSE_MS = 100 };

/* As mkdir -p; what is there stays as it is. */
static bool make_folders(const char *path, mode_t mode, struct err *err)
{
	char *copy = memory_string(path);
	bool ok = true;

	for (char *slash = strchr(copy + 1, '/'); slash && ok; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			ok = err_errno(err, "can't create the folder %s", copy);
		*slash = '/';
	}
	if (ok && mkdir(path, mode) < 0 && errno != EEXIST)
		ok = err_errno(err, "can't create the folder %s", path);
	free(copy);
	return ok;
}

/* A folder that belongs to root, as it does when systemd, a package or we made it, is handed over
 * to the children's account: by descriptor, for the path may lie in a folder that is theirs. Takes
 * the descriptor; it, or -1 and err. */
static int hand_over(int fd, const char *path, const struct privileges *privileges, struct err *err)
{
	struct stat info;

	if (fd < 0) {
		err_errno(err, "can't open the folder %s", path);
		return -1;
	}
	if (privileges->drop && fstat(fd, &info) == 0 && info.st_uid == 0 &&
		fchown(fd, privileges->uid, privileges->gid) < 0) {
		err_errno(err, "can't hand the folder %s to the workers' account", path);
		close(fd);
		return -1;
	}
	return fd;
}

/* Opens a folder, made if it is missing. */
static int open_folder(
	const char *path, mode_t mode, const struct privileges *privileges, struct err *err)
{
	if (!make_folders(path, mode, err))
		return -1;
	return hand_over(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path, privileges, err);
}

/* The same in a folder that is open, and may be the account's: so no link there leads us to
 * something of root's. */
static int open_below(
	int parent, const char *name, const struct privileges *privileges, struct err *err)
{
	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST) {
		err_errno(err, "can't create the folder %s in the state folder", name);
		return -1;
	}
	return hand_over(openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW),
		name, privileges, err);
}

/* An instance that has just ended needs a moment to let go. */
static bool lock(int fd)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EWOULDBLOCK)
			return false;
		nanosleep(&pause, NULL);
	}
	errno = EWOULDBLOCK;
	return false;
}

/* Workers open what is in the quarantine themselves. */
static bool make_below(
	int parent, const char *name, const struct privileges *privileges, struct err *err)
{
	int fd = open_below(parent, name, privileges, err);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool open_state(struct folders *folders, const char *state,
	const struct privileges *privileges, struct err *err)
{
	folders->state = open_folder(state, 0700, privileges, err);
	if (folders->state < 0)
		return false;
	if (!lock(folders->state))
		return errno == EWOULDBLOCK
			       ? err_set(err, "another postern is running with the state folder %s",
					 state)
			       : err_errno(err, "can't lock the state folder %s", state);
	folders->spool = open_below(folders->state, "spool", privileges, err);
	if (folders->spool < 0)
		return false;
	folders->quarantine = open_below(folders->state, "quarantine", privileges, err);
	return folders->quarantine >= 0 &&
	       make_below(folders->quarantine, "tmp", privileges, err) &&
	       make_below(folders->quarantine, "new", privileges, err);
}

/* --- the control socket --- */

static int unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* A socket file that nobody listens on is left from an instance that was killed. */
static bool remove_stale(const struct sockaddr_un *address, struct err *err)
{
	struct stat info;
	int fd;
	bool live;

	if (lstat(address->sun_path, &info) < 0)
		return errno == ENOENT || err_errno(err, "can't look at %s", address->sun_path);
	if (!S_ISSOCK(info.st_mode))
		return err_set(err, "%s is there and is not a socket; it was left alone",
			address->sun_path);
	fd = unix_socket();
	if (fd < 0)
		return err_errno(err, "no socket");
	live = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	       errno == EAGAIN;
	close(fd);
	if (live)
		return err_set(
			err, "another postern is running: it answers on %s", address->sun_path);
	if (unlink(address->sun_path) < 0)
		return err_errno(err, "can't remove the old %s", address->sun_path);
	return true;
}

static bool bind_control(struct folders *folders, const struct sockaddr_un *address,
	const struct privileges *privileges, struct err *err)
{
	mode_t mask = umask(0117);
	bool bound =
		bind(folders->control, (const struct sockaddr *)address, sizeof(*address)) == 0;
	struct stat info;

	umask(mask);
	if (!bound || listen(folders->control, CONTROL_BACKLOG) < 0)
		return err_errno(err, "can't make the control socket %s", address->sun_path);
	if (privileges->drop && lchown(address->sun_path, privileges->uid, privileges->gid) < 0)
		return err_errno(err, "can't hand over the control socket %s", address->sun_path);
	if (stat(address->sun_path, &info) == 0) {
		folders->control_device = info.st_dev;
		folders->control_inode = info.st_ino;
	}
	return true;
}

/* The folder that the socket goes into; it stays root's when we make it as root. */
static bool make_parent(const char *path, struct err *err)
{
	char *folder = memory_string(path);
	char *slash = strrchr(folder, '/');
	bool ok = true;

	if (slash && slash != folder) {
		*slash = '\0';
		ok = make_folders(folder, 0755, err);
	}
	free(folder);
	return ok;
}

static bool open_control(struct folders *folders, const char *path,
	const struct privileges *privileges, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, "the control socket's path %s is longer than %zu bytes", path,
			sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	if (!make_parent(path, err) || !remove_stale(&address, err))
		return false;
	folders->control = unix_socket();
	if (folders->control < 0)
		return err_errno(err, "no control socket");
	folders->control_path = memory_string(path);
	return bind_control(folders, &address, privileges, err);
}

bool folders_open(struct folders *folders, const struct config *config,
	const struct privileges *privileges, struct err *err)
{
	*folders = (struct folders){.state = -1, .spool = -1, .quarantine = -1, .control = -1};
	if (open_state(folders, config->state, privileges, err) &&
		open_control(folders, config->admin.socket, privileges, err))
		return true;
	folders_close(folders);
	return false;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void folders_close(struct folders *folders)
{
	struct stat info;

	if (folders->control_inode && lstat(folders->control_path, &info) == 0 &&
		info.st_dev == folders->control_device && info.st_ino == folders->control_inode)
		unlink(folders->control_path);
	folders->control_inode = 0;
	free(folders->control_path);
	folders->control_path = NULL;
	close_fd(&folders->control);
	close_fd(&folders->spool);
	close_fd(&folders->quarantine);
	close_fd(&folders->state);
}

/* --- the log --- */

/* A file that we create goes to the account, one that logrotate or an admin made keeps its owner.
 */
static int open_log_file(const char *path, const struct privileges *privileges, struct err *err)
{
	const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY;
	int fd = open(path, flags | O_CREAT | O_EXCL, 0640);

	if (fd >= 0 && privileges->drop && fchown(fd, privileges->uid, privileges->gid) < 0) {
		err_errno(err, "can't hand over the log file %s", path);
		close(fd);
		return LOG_FD_FAILED;
	}
	if (fd < 0 && errno == EEXIST)
		fd = open(path, flags);
	if (fd < 0) {
		err_errno(err, "can't open the log file %s", path);
		return LOG_FD_FAILED;
	}
	return fd;
}

int folders_open_log(
	const struct log_config *log, const struct privileges *privileges, struct err *err)
{
	int fd;

	switch (log->target) {
	case LOG_TO_SYSLOG:
		return LOG_FD_SYSLOG;
	case LOG_TO_FILE:
		return open_log_file(log->file, privileges, err);
	case LOG_TO_STDERR:
		break;
	}
	fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0) {
		err_errno(err, "can't log to stderr");
		return LOG_FD_FAILED;
	}
	return fd;
}

/*
 * quarantine_folder: the folder of messages held back as the command line sees it, without the
 * daemon. The account that workers run as owns it and these commands often run as root, so nothing
 * there is followed that is a link, and nothing in a file is believed.
 */
#ifndef ADMIN_QUARANTINE_FOLDER_H
#define ADMIN_QUARANTINE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "proxy/message/quarantined.h"

struct quarantine_folder {
	int fd;           /* owned; -1: there is none yet */
	const char *path; /* in the arena */
	const char **ids; /* in the arena, by name */
	size_t n_ids;
};

/* Opens STATE/quarantine/new and lists it. A folder that is not there is an empty one. */
bool quarantine_folder_open(struct quarantine_folder *folder, const char *state,
	struct arena *arena, struct err *err) MUST_CHECK;
void quarantine_folder_close(struct quarantine_folder *folder);

/* A message's file, open to be read. */
struct quarantine_file {
	int fd;      /* owned */
	time_t time; /* of the file: what its age is counted from */
};

enum quarantine_find { QUARANTINE_FOUND, QUARANTINE_UNKNOWN, QUARANTINE_TROUBLE };

/* UNKNOWN and TROUBLE set err; UNKNOWN names the nearest id that there is. */
enum quarantine_find quarantine_file_open(const struct quarantine_folder *folder, const char *id,
	struct quarantine_file *file, struct err *err) MUST_CHECK;
void quarantine_file_close(struct quarantine_file *file);

/* Keeps other commands off until the file is closed: one that is handed on is not deleted or handed
 * on again. */
enum quarantine_find quarantine_file_lock(
	struct quarantine_file *file, const char *id, struct err *err) MUST_CHECK;

/* Deletes it, and syncs the folder. */
bool quarantine_file_delete(
	const struct quarantine_folder *folder, const char *id, struct err *err) MUST_CHECK;

#endif

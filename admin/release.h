/*
 * release: a message held back, handed to the backend from the command line, with the same code
 * that workers hand mail over with, in a loop of its own. The backend sees the client that brought
 * it. Its file goes only after the backend has said 2xx to all of it; in every other case it stays.
 */
#ifndef ADMIN_RELEASE_H
#define ADMIN_RELEASE_H

#include "admin/command.h"
#include "admin/quarantine_folder.h"

struct release {
	const struct quarantine_folder *folder;
	const char *to; /* only to this address; NULL: to those that the client named */
	bool keep;      /* leave the file */
};

/* Releases each of the ids in turn, and says what became of it. The exit status: OK all, NO refused
 * or not found, UNREACHABLE, PART in doubt or not the same for all. */
int release_all(const struct invocation *invocation, const struct release *release,
	const char *const *ids, size_t n_ids);

#endif

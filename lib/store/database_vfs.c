/*
 * SQLite's own way to files, but for one thing: it makes names absolute, and to do so it looks at
 * every folder from the root on. The keeper may not be allowed to: it has the state folder as a
 * descriptor, and /proc/self/fd/N/postern.db is the name that always works. So that name is left
 * alone.
 *
 * Tried and rejected: fchdir into the folder and a bare name, which SQLite makes absolute too.
 */
#include <pthread.h>
#include <string.h>

#include "lib/base/fail.h"
#include "lib/store/database_private.h"

static sqlite3_vfs as_it_is;

static int full_pathname(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	size_t len = strlen(name);

	(void)vfs;
	if (size < 0 || len >= (size_t)size)
		return SQLITE_CANTOPEN;
	memcpy(out, name, len + 1);
	return SQLITE_OK;
}

static void register_once(void)
{
	const sqlite3_vfs *usual = sqlite3_vfs_find("unix");

	ENSURE(usual);
	as_it_is = *usual;
	as_it_is.pNext = NULL;
	as_it_is.zName = "postern";
	as_it_is.xFullPathname = full_pathname;
	ENSURE(sqlite3_vfs_register(&as_it_is, 0) == SQLITE_OK);
}

const char *database_vfs(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	ENSURE(pthread_once(&once, register_once) == 0);
	return as_it_is.zName;
}

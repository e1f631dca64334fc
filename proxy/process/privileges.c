#include "proxy/process/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/fail.h"

static bool find_groups(struct privileges *out, const struct passwd *account, struct err *err)
{
	gid_t groups[PRIVILEGES_GROUPS_MAX];
	int count = PRIVILEGES_GROUPS_MAX;

	if (getgrouplist(account->pw_name, account->pw_gid, groups, &count) < 0)
		return err_set(err, "user \"%s\" is in more than %d groups", account->pw_name,
			PRIVILEGES_GROUPS_MAX);
	for (int i = 0; i < count; i++)
		out->groups[i] = groups[i];
	out->n_groups = (uint32_t)count;
	return true;
}

bool privileges_find(struct privileges *out, const char *user, struct err *err)
{
	const struct passwd *account;

	*out = (struct privileges){.uid = geteuid(), .gid = getegid()};
	if (geteuid() != 0)
		return true;
	errno = 0;
	account = getpwnam(user);
	if (!account)
		return err_set(err,
			"started as root, but there is no user \"%s\" to run the workers as: "
			"create it (useradd --system --user-group --no-create-home "
			"--shell /usr/sbin/nologin %s) or name another with `user`",
			user, user);
	if (account->pw_uid == 0)
		return true;
	out->drop = 1;
	out->uid = account->pw_uid;
	out->gid = account->pw_gid;
	return find_groups(out, account, err);
}

static bool become(const struct privileges *p, struct err *err)
{
	gid_t groups[PRIVILEGES_GROUPS_MAX], gid[3];
	uid_t uid[3];

	if (p->uid == 0 || p->n_groups > PRIVILEGES_GROUPS_MAX)
		return err_set(err, "no account to drop privileges to");
	for (uint32_t i = 0; i < p->n_groups; i++)
		groups[i] = p->groups[i];
	if (setgroups(p->n_groups, groups) < 0 || setresgid(p->gid, p->gid, p->gid) < 0 ||
		setresuid(p->uid, p->uid, p->uid) < 0)
		return err_errno(err, "can't become user %u", p->uid);
	if (getresuid(&uid[0], &uid[1], &uid[2]) < 0 || getresgid(&gid[0], &gid[1], &gid[2]) < 0)
		return err_errno(err, "can't tell who we are");
	for (int i = 0; i < 3; i++)
		if (uid[i] != p->uid || gid[i] != p->gid)
			return err_set(err, "privileges were not dropped");
	if (setuid(0) == 0)
		return err_set(err, "privileges could be taken back");
	return true;
}

bool privileges_drop(const struct privileges *privileges, struct err *err)
{
	const char *dumpable = getenv("POSTERN_DUMPABLE");

	if (privileges->drop && !become(privileges, err))
		return false;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, "can't set no_new_privs");
	if (prctl(PR_SET_DUMPABLE, dumpable && strcmp(dumpable, "1") == 0, 0, 0, 0) < 0)
		return err_errno(err, "can't protect the process's memory");
	return true;
}

void privileges_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return; /* the workers then cap their connections at what there is */
}

/*
 * privileges: whom the processes that touch outside bytes run as. The supervisor looks the account
 * up once and sends the numbers along, so that its children need no name service. Started by
 * another user than root, everything runs as that user.
 */
#ifndef PROXY_PROCESS_PRIVILEGES_H
#define PROXY_PROCESS_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/error.h"

enum { PRIVILEGES_GROUPS_MAX = 64 };

/* Plain data: travels to the children as it is. */
struct privileges {
	uint32_t drop; /* 1: become this account; 0: stay who we are */
	uint32_t uid, gid;
	uint32_t n_groups;
	uint32_t groups[PRIVILEGES_GROUPS_MAX];
};

/* The account `user`, which must exist when we are root; drop stays 0 when we are not, or when it
 * is root itself. */
bool privileges_find(struct privileges *out, const char *user, struct err *err) MUST_CHECK;

/* Becomes the account for good and makes sure of it; from here on no exec can gain anything
 * (no_new_privs), and nobody can read our memory (not dumpable, unless POSTERN_DUMPABLE=1 is in the
 * environment). */
bool privileges_drop(const struct privileges *privileges, struct err *err) MUST_CHECK;

/* Descriptors up to the hard limit. */
void privileges_raise_descriptors(void);

#endif

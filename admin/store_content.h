/* store_content: lists from the store for a session that is explained: fetched from the daemon, if
 * it runs and they are not too long. */
#ifndef ADMIN_STORE_CONTENT_H
#define ADMIN_STORE_CONTENT_H

#include "admin/command.h"

struct rules;

enum { STORE_CONTENT_MAX = 100 * 1000 /* items of a list; longer ones are not fetched */ };

/* Fills the rules' lists from the store; what they hold lives as long as the arena, which must
 * outlive the rules' last use. Says on standard error which are not at hand, and why. socket NULL:
 * there is no configuration that names one. */
void store_content_fetch(struct rules *rules, const char *socket, struct arena *arena);

#endif

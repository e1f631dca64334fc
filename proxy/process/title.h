/*
 * title: what `ps` shows for this process. The kernel reads it out of the memory in which it once
 * laid down argv and, behind it, the environment; so both are moved away and that memory is written
 * over.
 */
#ifndef PROXY_PROCESS_TITLE_H
#define PROXY_PROCESS_TITLE_H

#include <stddef.h>

struct title {
	char *start; /* borrowed from the kernel's layout; NULL: this process can't be renamed */
	size_t arguments_size; /* of argv alone */
	size_t size;           /* with the environment */
	char **argv;           /* owned: the copy */
};

/* Call first thing in main: copies argv, and moves the environment. From here on read title->argv.
 */
void title_init(struct title *title, int argc, char **argv);
void title_free(struct title *title);

/* "postern: worker 1"; the thread's name (PR_SET_NAME) is the role without "postern: ". */
void title_set(const struct title *title, const char *role);

#endif

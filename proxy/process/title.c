#include "proxy/process/title.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/base/fail.h"

/* Copies a NULL-terminated vector of strings. *end is moved on over those that stand in one piece.
 */
static char **copy_vector(char **vector, size_t count, char **end)
{
	char **copy = memory_new((count + 1) * sizeof(*copy));

	for (size_t i = 0; i < count; i++) {
		if (vector[i] == *end)
			*end = vector[i] + strlen(vector[i]) + 1;
		copy[i] = memory_string(vector[i]);
	}
	copy[count] = NULL;
	return copy;
}

void title_init(struct title *title, int argc, char **argv)
{
	size_t count = argc > 0 ? (size_t)argc : 0, n_environment = 0;
	char *end = count ? argv[0] : NULL;

	*title = (struct title){.start = end};
	title->argv = copy_vector(argv, count, &end);
	title->arguments_size = (size_t)(end - title->start);
	while (environ[n_environment])
		n_environment++;
	environ = copy_vector(environ, n_environment, &end);
	title->size = (size_t)(end - title->start);
}

void title_free(struct title *title)
{
	for (char **at = title->argv; *at; at++)
		free(*at);
	free(title->argv);
	title->argv = NULL;
}

void title_set(const struct title *title, const char *role)
{
	int len;

	prctl(PR_SET_NAME, role, 0, 0, 0);
	if (!title->start)
		return;
	memset(title->start, 0, title->size);
	len = snprintf(title->start, title->size, "postern: %s", role);
	/* Where argv no longer ends in a NUL the kernel takes it for a title and shows it up to its
	 * first NUL; otherwise it would show all of argv's memory. */
	if (len >= 0 && (size_t)len + 1 < title->arguments_size)
		title->start[title->arguments_size - 1] = '.';
}

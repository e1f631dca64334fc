#include "admin/sharing.h"

#include <string.h>

static bool is_lmtp(const struct config *config, const char *backend)
{
	return config && config_backend(config, backend)->protocol == BACKEND_LMTP;
}

static bool same_backend(const struct sharer *a, const struct sharer *b)
{
	const char *one = evaluation_route(a->e), *two = evaluation_route(b->e);

	return one == two || (one && two && strcmp(one, two) == 0);
}

/* What was learned since one was named is known of it too: it is taken in first. */
static bool is_alike(const struct sharer *a, const struct sharer *b)
{
	evaluation_run(a->e, &a->subject);
	return same_backend(a, b) &&
	       evaluation_residue(a->e, &a->subject) == evaluation_residue(b->e, &b->subject);
}

const char *sharing_refusal(const struct config *config, const struct sharer *before, size_t n,
	const struct sharer *one)
{
	if (n == 0)
		return NULL;
	if (is_lmtp(config, evaluation_route(one->e)))
		return "452 4.5.3 One recipient at a time, send the others in another transaction";
	for (size_t i = 0; i < n; i++)
		if (is_alike(&before[i], one))
			return NULL;
	if (config && config->conflict == CONFLICT_STRICTEST && same_backend(&before[0], one))
		return NULL;
	return "452 4.5.3 Other rules apply to this one, send it in another transaction";
}

/*
 * nearest: "did you mean": the nearest of several words to one that nobody knows.
 * Damerau-Levenshtein without case, at most a third of the letters wrong. Offer each candidate,
 * then read `best`.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include "lib/base/span.h"

struct nearest {
	struct span word; /* borrowed */
	const char *best; /* NULL while none is near */
	size_t distance;
};

struct nearest nearest_to(struct span word);
void nearest_offer(struct nearest *nearest, const char *candidate);

#endif

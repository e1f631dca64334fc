/* arc_results: what an Authentication-Results body says of one method (RFC 8601 2.2). */
#ifndef FILTERS_ARC_RESULTS_H
#define FILTERS_ARC_RESULTS_H

#include <stdbool.h>

#include "lib/base/span.h"

/* results: authserv-id and resinfos, unfolded. The result's word, in any case; of several the
 * first, but "pass" before others. false: it says nothing of the method. */
bool authres_method(struct span results, struct span method, struct span *result) MUST_CHECK;

#endif

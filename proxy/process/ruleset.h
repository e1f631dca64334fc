/*
 * ruleset: the rules of a bundle, ready to be evaluated, and the filters that measure what they
 * read. The supervisor, each worker and the command line read them with this same code.
 */
#ifndef PROXY_PROCESS_RULESET_H
#define PROXY_PROCESS_RULESET_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "proxy/config/config.h"

struct filter_set;
struct policy;

struct ruleset {
	struct filter_set *filters; /* owned; outlives the policy, which speaks of its facts */
	struct policy *policy;      /* owned; without rules it has none, but it is there */
};

struct ruleset_told {
	struct buffer *report; /* borrowed; mistakes and warnings, as lines for people */
	size_t n_mistakes, n_warnings;
};

enum ruleset_care {
	RULESET_READ, /* what a worker does: all has been judged before */
	RULESET_JUDGE /* the tests that stand in them are run, and advice is given */
};

/* config NULL: no options of filters, and `route` may name any backend. false: mistakes; the
 * ruleset is empty. */
bool ruleset_read(struct ruleset *out, const struct bundle *bundle, const struct config *config,
	enum ruleset_care care, struct ruleset_told *told) MUST_CHECK;
void ruleset_free(struct ruleset *set);

/* The filters alone, those that the configuration loads too; NULL: postern's own. Owned by the
 * caller (filter_set_free). NULL: err says why. */
struct filter_set *ruleset_filters(const struct config *config, struct err *err) MUST_CHECK;

#endif

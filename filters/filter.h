/*
 * filter: the whole contract between postern and a filter. filters/filter_NAME.c holds one `const
 * struct filter filter_NAME`; that the file is there is all it takes. docs/FILTERS.md writes one
 * from nothing, also as a shared object.
 *
 * A filter measures and never decides. It is run when an undecided rule reads one of its facts, it
 * records what it finds, and says that it is done: by returning CALL_DONE, or, after CALL_WAIT, by
 * calling call_done() exactly once, also after `cancel`. A fact that it has not recorded by then is
 * known to be none. Deadlines, order, and what comes too late are the pipeline's business.
 */
#ifndef FILTERS_FILTER_H
#define FILTERS_FILTER_H

#include "filters/call.h"

enum { FILTER_VERSION = 3 };

/* What may be NULL says so. Tables end with a NULL name. */
struct filter {
	unsigned version; /* FILTER_VERSION */
	const char *name;
	const struct fact *facts;
	const struct filter_option *options; /* of `filter NAME { }`; or NULL */
	const char *const *after;            /* facts to be known first; or NULL */

	/* In a worker whose rules read one of the facts; or NULL. */
	bool (*open)(struct filter_home *home, struct err *err);
	void (*close)(struct filter_home *home);

	enum call_status (*run)(struct call *call);

	/* After CALL_WAIT: the message as it comes, headers first; empty: its end. Or NULL. */
	void (*feed)(struct call *call, struct span content);

	/* Stop waiting: call_done() soon. NULL if it never waits. */
	void (*cancel)(struct call *call);

	/* The deadline is there: what it can say now it may record; its other facts then fail, and
	 * `cancel` follows. Or NULL. */
	void (*expired)(struct call *call);

	/* Members for `postern status` about what it keeps from call to call. Or NULL. */
	void (*status)(const struct filter_home *home, struct record *r);

	uint64_t timeout_ms; /* of a call, unless postern.conf says otherwise; 0: timeouts.filter */
	bool all_at_once;    /* one call measures all its facts that any rule reads, wanted yet or
				not: finding out one of them is finding out all */
};

#endif

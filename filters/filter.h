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

enum { FILTER_VERSION = 1 };

struct filter {
	unsigned version; /* FILTER_VERSION */
	const char *name;
	const struct fact *facts; /* ends with a NULL name */
	const struct filter_option
		*options;         /* of `filter NAME { }`, ends with a NULL name; or NULL */
	const char *const *after; /* facts of others to be known first; or NULL */
	bool (*open)(struct filter_home *home, struct err *err); /* in a worker whose rules read
								    it; or NULL */
	void (*close)(struct filter_home *home);                 /* or NULL */
	enum call_status (*run)(struct call *call);
	void (*feed)(struct call *call, struct span content); /* the message as it comes, headers
								 first; empty: its end. or NULL */
	void (*cancel)(
		struct call *call); /* stop waiting: call_done() soon; NULL if it never waits */
};

#endif

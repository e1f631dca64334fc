/*
 * list_load: `postern list import`: a file's items, gathered, put into the order in which the store
 * has them (so that ten million go in quickly), and sent in batches.
 */
#ifndef ADMIN_LIST_LOAD_H
#define ADMIN_LIST_LOAD_H

#include "admin/list_call.h"

struct list_load {
	const char *list;
	enum list_type type;
	struct span source; /* the file */
	struct span reason; /* of items that bring none */
	uint64_t expires_s; /* likewise; 0: never */
	struct span by;
	bool dry;
	/* out */
	size_t items, bad, mended, twice, covered;
	size_t added, changed, same, protected, full;
};

/* The first mistakes are told on standard error. The exit status. */
int list_load(struct list_call *call, struct list_load *load);

#endif

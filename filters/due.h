/*
 * due: what is to be told to the store once the reply to a message is spoken. To measure is to
 * change nothing: a filter that has looked a rate up says here what its transaction shall be
 * charged, and the session tells it, or does not, when it knows what became of the message.
 */
#ifndef FILTERS_DUE_H
#define FILTERS_DUE_H

#include "lib/store/store.h"

struct call;

/* Of the transaction, or the recipient where the call was for one. */
enum due_when {
	DUE_ACCEPTED = 1,  /* the backend has taken it */
	DUE_HELD = 2,      /* answered 250, and quarantined or discarded */
	DUE_GREYLISTED = 4 /* put off by a rule that greylists */
};

enum { DUE_PARTS_MAX = 3 };

/* Equal ones are told once for a transaction. */
struct due {
	const struct due *next;
	unsigned when; /* enum due_when */
	enum store_kind kind;
	struct span parts[DUE_PARTS_MAX];
	size_t n_parts;
	bool counted; /* a last part says how many: 1, or with `each` recipients */
	bool each;
};

/* All is copied. */
void call_owe(struct call *call, const struct due *due);

#endif

/*
 * adding: `add FIELD to @LIST for TIME "why"`, carried out when the reply is spoken, whatever it
 * says: the store is told, once for each value in a transaction. Of a fact with many values the
 * first ADDING_VALUES_MAX are added; one that is not known adds nothing.
 */
#ifndef PROXY_SESSION_ADDING_H
#define PROXY_SESSION_ADDING_H

#include "proxy/session/judge.h"

struct evaluation;
struct subject;

enum { ADDING_VALUES_MAX = 10 };

/* What a transaction has added. */
struct added {
	struct added *next;
	const struct action *action;
	struct span value;
};

/* The rules that apply in `e`, whose outcome is certain, are carried out. */
void adding_tell(struct session *s, const struct evaluation *e, const struct subject *subject);

#endif

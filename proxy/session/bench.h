/*
 * bench: what a worker's sessions are judged with: its rules, the filters that measure for them,
 * the resolver, and what all sessions use in their turn.
 */
#ifndef PROXY_SESSION_BENCH_H
#define PROXY_SESSION_BENCH_H

#include <stdbool.h>

#include "filters/pipeline.h"
#include "policy/evaluate.h"

struct worker;

struct bench {
	const struct policy *policy;                  /* borrowed */
	struct loop *loop;                            /* borrowed */
	struct filters *filters;                      /* owned */
	struct dns *dns;                              /* owned */
	struct arena *arena;                          /* owned */
	struct evaluation *evaluation;                /* for looks before there is a transaction */
	bool *wanted, *waits;                         /* by slot, scratch */
	const struct slot *early_talker, *rcpt_valid; /* NULL: no rule reads it */
	const struct slot *const *results;            /* of results_slots */
	size_t n_results;
	bool always; /* they are measured of each message that goes on, whatever rules read */
	bool *told;  /* by slot, scratch: what is wanted with them */
	struct lists *lists; /* borrowed; NULL: none from the store are at hand */
	struct list **live;  /* owned: of the rules' lists, in their order; NULL: not bound */
	uint64_t *hits;      /* by rule: transactions in which it was true */
};

/* NULL in *out when there is nothing to measure; false: a filter or the resolver can't be opened.
 */
bool bench_open(struct bench **out, struct worker *worker, const struct policy *policy,
	struct filter_set *filters, struct err *err) MUST_CHECK;
void bench_close(struct bench **bench);

/* The resolver, filters, and rules with how often each was true, as members of the open object. */
void bench_status(const struct bench *bench, struct record *r);

/* The slots of a policy as filters see them; in the arena. always: as in struct bench. */
struct filter_slot *bench_slots(const struct policy *policy, bool always, struct arena *arena);

/* The slot of a fact without parameters; NULL: no rule reads it. */
const struct slot *bench_slot(const struct bench *bench, const char *fact);

/* Marks what is known of a recipient at once: it is kept with it, since a text that is written much
 * later may quote it. */
void bench_want_own(const struct policy *policy, const struct subject *subject, bool *wanted);

/* A verdict is spoken: the rules that were true are counted. */
void bench_count(struct bench *bench, const struct evaluation *evaluation);

#endif

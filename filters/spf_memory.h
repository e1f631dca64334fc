/*
 * spf_memory: which names the evaluation of a domain's SPF record needs, from one message to the
 * next, so that they are asked for side by side before the record is looked at: the answers are
 * mostly in the resolver's cache, and one round through the process is enough.
 *
 * Names that a macro made of one client are of no use to the next: only what two evaluations wanted
 * is told. What was learnt is forgotten after SPF_MEMORY_MS, since nobody says whether a name is
 * still needed once it is told unasked.
 */
#ifndef FILTERS_SPF_MEMORY_H
#define FILTERS_SPF_MEMORY_H

#include "lib/authn/answer.h"

enum {
	SPF_MEMORY_DOMAINS = 256, /* the ones used longest ago make room */
	SPF_MEMORY_NAMES = 24,    /* of a domain; more are not kept */
	SPF_MEMORY_MS = 5 * 60 * 1000
};

struct spf_memory;

struct spf_memory *spf_memory_new(void);
void spf_memory_free(struct spf_memory **memory);

/* An evaluation has wanted this name, once. Names in small letters, here and below. */
void spf_memory_note(struct spf_memory *memory, struct span domain, uint64_t now_ms,
	struct span name, enum answer_type type);

/* Calls found for each name that is likely to be wanted. */
void spf_memory_each(struct spf_memory *memory, struct span domain, uint64_t now_ms,
	void (*found)(void *context, struct span name, enum answer_type type), void *context);

#endif

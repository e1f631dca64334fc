/*
 * sharing: which recipients can share a transaction, for explanations: by the rules of
 * proxy/session/cohort.c, for a client without PRDR.
 */
#ifndef ADMIN_SHARING_H
#define ADMIN_SHARING_H

#include "policy/evaluate.h"
#include "proxy/config/config.h"

/* A recipient whom the rules have not refused, and what is known of it; its own facts are settled.
 */
struct sharer {
	struct evaluation *e;
	struct subject subject;
};

/* The 452 that one more recipient gets who can't join those that the transaction has; NULL: it can.
 * config NULL: an SMTP backend, and `conflict split`. */
const char *sharing_refusal(const struct config *config, const struct sharer *before, size_t n,
	const struct sharer *one);

#endif

/*
 * offline: one session before the rules without a client and without a mail server: the filters
 * measure as they would, stage by stage, and what the rules make of it is written down.
 */
#ifndef ADMIN_OFFLINE_H
#define ADMIN_OFFLINE_H

#include "admin/explanation.h"
#include "lib/base/error.h"
#include "lib/base/ip.h"
#include "lib/mail/address.h"
#include "proxy/process/ruleset.h"

/* `--fact NAME=VALUE`, taken apart. */
struct offline_fact {
	const char *name, *value;
};

/* All borrowed until offline_run returns. */
struct offline_session {
	const struct ruleset *rules;
	const struct config *config; /* NULL: defaults, and any domain is relayed */
	bool without_dns;            /* what needs it is unknown */
	struct endpoint client;
	const char *helo; /* NULL: not said */
	const struct address *from;
	const struct address *to;
	size_t n_to;
	const struct offline_fact *facts;
	size_t n_facts;
	struct span
		message; /* with CRLF; at NULL: there is none, and the session ends behind RCPT */
};

/* In the arena. NULL: err says which given fact is none, or what can't be opened. */
struct explanation *offline_run(
	const struct offline_session *session, struct arena *arena, struct err *err);

/* Whether the filters that the rules need can open what they are given: databases and the like. */
bool offline_try(
	const struct ruleset *rules, const struct config *config, struct err *err) MUST_CHECK;

#endif

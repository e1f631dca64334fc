/*
 * explanation: one session before the rules, as people read it: every fact, every rule, the verdict
 * on each recipient. All of it is text, so that a session that runs now and one that was recorded
 * look the same.
 */
#ifndef ADMIN_EXPLANATION_H
#define ADMIN_EXPLANATION_H

#include <stdbool.h>
#include <stdio.h>

#include "lib/base/arena.h"

/* Texts are borrowed from the arena of whoever fills it in. */
struct explained_fact {
	struct explained_fact *next;
	const char *name;
	const char *value;  /* NULL: unknown */
	const char *why;    /* it is unknown; NULL */
	const char *source; /* the filter; "given" */
	double ms;          /* below 0: it was not measured */
};

struct explained_rule {
	struct explained_rule *next;
	const char *name;
	const char *mode;  /* "on", "monitor", "off" */
	const char *truth; /* "yes", "no", "unknown", "skipped" (a fact failed), "off" */
	const char *open;  /* what it is not decided for; NULL */
};

struct explained_points {
	struct explained_points *next;
	const char *rule, *points, *why; /* why: "" where none was written */
};

struct explained_text {
	struct explained_text *next;
	const char *text, *rule;
};

struct explained_recipient {
	struct explained_recipient *next;
	const char *to;
	struct explained_fact *facts; /* its own */
	struct explained_rule *rules;
	struct explained_points *points;
	const char *score;   /* "4.5", or "4 to 9" */
	const char *verdict; /* "accept", "reject", ...; "undecided" */
	const char *rule;    /* that decided; NULL: none */
	const char *reply;   /* NULL: the mail server's own */
	const char *put_off; /* the reply that sends it into a transaction of its own, for which the
				rest is said; NULL */
	const char *certain; /* the stage at which it could not change any more; NULL: it can */
	const char *route;   /* NULL: the first backend */
	struct explained_text *effects;
	bool accepted; /* or may be yet */
};

struct explanation {
	struct explained_fact *facts; /* of the session and message */
	struct explained_recipient *recipients;
	const char *header; /* what stands above a message that goes on, with CRLF line ends, but
			       for our Received; NULL: it does not */
	bool with_message;
};

void explanation_print(const struct explanation *explanation, FILE *out);
void explanation_print_json(const struct explanation *explanation, FILE *out);

#endif

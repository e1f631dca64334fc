/*
 * authn_fake: the functions of lib/authn/authn.h played by a script, for tests of filters: what a
 * task wants to know, in which rounds, and what comes of it.
 *
 *     authn = authn_fake_new(&play->loop);
 *     script = (struct authn_script){.kind = AUTHN_SPF, .domain = "example.org",
 *             .rounds = {"TXT _spf.example.org", "A mx.example.org, AAAA mx.example.org"},
 *             .outcome = AUTHN_ANSWERED, .result = result};
 *     authn_fake_add(authn, &script);
 *     play->authn = authn;
 *
 * A program that is linked with it has it in the place of the real ones; others must not be.
 */
#ifndef TESTS_AUTHN_FAKE_H
#define TESTS_AUTHN_FAKE_H

#include "lib/authn/authn.h"

enum { AUTHN_FAKE_ROUNDS = 4 };

/* Of the tasks of a kind, the first that fits. Borrowed. */
struct authn_script {
	enum authn_kind kind;
	const char *domain; /* SPF: whose record; NULL: any */
	/* "TXT name, A name": wanted together, and waited for. What was told before is not. */
	const char *rounds[AUTHN_FAKE_ROUNDS];
	bool lazy;                  /* it reads what has come instead of taking it */
	bool whole;                 /* it waits for the end of the body before its outcome */
	unsigned again;             /* it dies so often once it is told all, and is asked anew */
	enum authn_outcome outcome; /* AUTHN_PENDING: there is none, ever */
	struct span result;
	/* what came of it */
	unsigned started, ended, cancelled;
	unsigned asked;     /* times that something was wanted */
	struct buffer told; /* "TXT a.example=v=spf1 -all; A b.example=nxdomain; " in order */
	struct buffer request, body;
	struct authn_script *next; /* private */
};

struct authn *authn_fake_new(struct loop *loop);
void authn_fake_free(struct authn **authn); /* no task is left */

void authn_fake_add(struct authn *authn, struct authn_script *script);

/* Frees what has come. */
void authn_script_clear(struct authn_script *script);

#endif

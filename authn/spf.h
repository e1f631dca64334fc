/*
 * spf: RFC 7208's check_host() on libspf2, which parses records to bytecode, matches addresses and
 * walks the terms. What of a record the sender wrote never reaches it: records are checked against
 * the whole grammar and rewritten first, macros are expanded here, and so are the limits of RFC
 * 7208 4.6.4 counted here (docs/why/spf.md says why).
 *
 * An evaluation is a pure function of the question and the answers: it is run again from the start
 * when what it wanted is known.
 */
#ifndef AUTHN_SPF_H
#define AUTHN_SPF_H

#include "lib/authn/answer.h"
#include "lib/authn/result.h"
#include "lib/base/error.h"

struct spf; /* of a process */

/* NULL: err says why. */
struct spf *spf_open(struct err *err) MUST_CHECK;
void spf_close(struct spf **spf);

/* true: *result is the verdict; its texts lie in the arena. false: `wants` names what must be known
 * first, and *result means nothing. As many as possible are named at a time: all siblings of a
 * record are wanted together. */
bool spf_run(struct spf *spf, const struct spf_question *question, const struct answers *answers,
	struct wants *wants, struct spf_result *result, struct arena *arena) MUST_CHECK;

#endif

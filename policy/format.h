/*
 * format: a rule file in the one layout that all rule files have, so that nobody argues about it
 * and differences show what changed. Tokens and comments stay as they are and where they are;
 * white space alone changes. What was formatted once stays as it is.
 *
 *     rule short { when client.ip in @blocked then reject now 554 5.7.1 "Blocked: {list.reason}" }
 *     rule long {
 *         when   spf == fail and mail.dmarc_policy == reject
 *         unless client.ip in @forwarders
 *         then   reject 550 5.7.23 "SPF fails and {mail.domain} asks for rejection"
 *     }
 */
#ifndef POLICY_FORMAT_H
#define POLICY_FORMAT_H

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "lib/base/span.h"

enum { FORMAT_COLUMNS = 100 };

/* Adds the file in its layout to out. false: it can't be taken apart, and each reason why is in the
 * report; nothing was added. A file whose names or types are wrong has a layout all the same. */
bool rules_format(
	const char *file, struct span source, struct buffer *out, struct buffer *report) MUST_CHECK;

#endif

/*
 * judge: a session before the rules. It keeps the filters' view of the session up to date, asks the
 * evaluator what is wanted, has the pipeline measure it, and says what the rules say. It speaks no
 * SMTP: the verbs and commit.c do.
 *
 *     judge_connect -> judge_helo -> judge_mail -> judge_recipient... -> judge_header ->
 * judge_content
 *     -> judge_message
 *
 * Each of these brings facts of a stage; none waits but by returning JUDGE_WAIT, upon which the
 * session is run again when something has become known. Facts that a later stage may need are asked
 * for as early as they can be measured.
 *
 * Without rules a worker has no judge, and sessions have none.
 */
#ifndef PROXY_SESSION_JUDGE_H
#define PROXY_SESSION_JUDGE_H

#include <stdbool.h>

#include "lib/mail/reply.h"
#include "policy/evaluate.h"
#include "proxy/session/consequences.h"
#include "proxy/session/results.h"

struct cohort;
struct recipient;
struct session;
struct transaction;

enum judge_status {
	JUDGE_OPEN, /* go on: what the rules say is not certain, or not to be said yet */
	JUDGE_WAIT, /* a fact that is worth waiting for is on its way; session_run follows */
	JUDGE_CERTAIN
};

struct judge; /* of a session */

/* The client is known, or known anew (XCLIENT). JUDGE_CERTAIN: `reject now`. */
enum judge_status judge_connect(struct session *s);
enum judge_status judge_helo(struct session *s);
enum judge_status judge_mail(struct session *s);

/* Whether a rule wants to know of clients that talk before the greeting. */
bool judge_minds_talk(const struct session *s);
void judge_note_talk(struct session *s);

/* The reply of the `reject now` that one of these found, with its rule. */
struct reply judge_refusal(struct session *s, const struct rule **rule);

enum blame judge_refusal_blame(const struct session *s);

/* What calls of a stage owe (filters/due.h); those of a recipient until judge_recipient_end. NULL:
 * nothing. */
const struct due *judge_dues(const struct session *s, enum stage stage);

/* How long the rules have it held back, in milliseconds. */
uint64_t judge_refusal_delay(const struct session *s);

/* A recipient that passed our own checks; called again after each JUDGE_WAIT. JUDGE_OPEN and
 * JUDGE_CERTAIN: `out` is what the rules say of it so far. */
enum judge_status judge_recipient(
	struct transaction *t, struct recipient *recipient, struct cohort *out);

/* The recipient is answered: its cohort's facts are kept, or all of it forgotten. */
void judge_recipient_end(struct transaction *t, struct cohort *kept);

/* The header section is there, and perhaps more; then what comes behind that. In the spool already.
 */
void judge_header(struct transaction *t);
void judge_content(struct transaction *t, struct span content);

/* The message is whole. JUDGE_CERTAIN: the outcome of every cohort is in it. */
enum judge_status judge_message(struct transaction *t);

/* A question to the backend is under way: until it is answered neither the recipient nor the
 * transaction may end. */
bool judge_is_asking(const struct session *s);
void judge_stop_asking(struct session *s);

/* The client's address, HELO, the transaction, the session are over. */
void judge_forget_client(struct session *s);
void judge_forget_helo(struct session *s);
void judge_forget_transaction(struct session *s);
void judge_free(struct judge **judge);

/* The longest delay that the rules ask for, in milliseconds. */
uint64_t judge_delay(const struct cohort *cohort);

/* The outcome is spoken: its rules are counted. */
void judge_count(struct transaction *t, const struct cohort *cohort);

/* Likewise: what its rules add to lists is told to the store. */
void judge_add(struct transaction *t, const struct cohort *cohort);

/* The reply of a refusing outcome; text in the arena. */
struct reply judge_reply(struct transaction *t, const struct cohort *cohort, struct arena *arena);

/* A text of a rule about the cohort's message, made harmless; in the arena. */
struct span judge_text(struct transaction *t, const struct cohort *cohort, const struct rule *rule,
	const struct text *text, struct arena *arena);

/* What is to be said above the message of who sent it (results.h). *subject is borrowed by it. */
struct results judge_results(const struct transaction *t, struct subject *subject);

/* The slots with their values, for the audit record: of a fact by its name, NULL when no rule reads
 * it or it is not known. */
const struct fact_value *judge_fact(
	const struct session *s, const char *name, const struct fact **fact);

/* What is waited for, for `postern status`. */
const char *judge_waits_for(const struct session *s);

#endif

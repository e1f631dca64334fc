/*
 * consequences: what is told to the store of a transaction, once, when all its replies are spoken:
 * what its filters owe (filters/due.h: greylisting, rates), and what it says of those whom it came
 * from (lib/store/reputation.h). Until then nothing that was measured has changed anything.
 *
 * Reputation, of one transaction:
 *
 *     accepted by the rules and by the backend, and its score is below 5           1 good
 *     refused, quarantined or discarded by a rule                                  1 bad
 *     likewise or not, and a rule that applies puts something into a list (`add`)  1 trap
 *     the backend refuses recipients or the message for good, for each, ten at most  0.25 bad
 *     put off, given up, faulty, in doubt; accepted with a higher score            nothing
 *
 * The worst counts alone (besides what the backend refuses). A rule that reads a reputation blames
 * nobody, nor does one that reads a score to which such a rule has added, or a rate: or who was
 * once thought bad would stay so by being refused for it. All but the backend's word counts for the
 * client's network, its AS if that was measured, and each domain that SPF or DMARC proves; the
 * backend's, which may be about a mere slip, for network and AS.
 */
#ifndef PROXY_SESSION_CONSEQUENCES_H
#define PROXY_SESSION_CONSEQUENCES_H

#include "policy/evaluate.h"

struct due;
struct session;
struct transaction;

/* What a rule's word says of who sent it. */
enum blame { BLAME_NONE, BLAME_BAD, BLAME_TRAP };
enum blame consequences_blame(const struct evaluation *e, const struct outcome *outcome);

/* The transaction is over; its facts are still there. */
void consequences_tell(const struct transaction *t);

/* A client was turned away before it began a transaction. */
void consequences_of_refusal(const struct session *s, enum blame blame);

/* Facts that it reads if they are measured; ends with NULL. */
extern const char *const consequences_facts[];

#endif

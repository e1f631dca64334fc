/*
 * evaluate: the rules against what is known so far, for one recipient. Rules are read as if
 * everything were known already, and the first final action wins; evaluation says what that outcome
 * is as soon as it can no longer change, whatever becomes of the facts that are still to come.
 *
 *     OPEN --evaluation_run, as facts come--> CERTAIN (and stays so, whatever comes then)
 *
 * `reject now` is certain as soon as its rule is true and none above certainly acts finally.
 *
 * A fact that is known stays as it is for the evaluation's life. The caller asks what is wanted,
 * measures that, runs again; nothing here knows a filter by name. Nothing is allocated after
 * evaluation_new; a rule is looked at only when a slot that it reads has changed. Why it is done as
 * it is: docs/why/evaluation.md.
 */
#ifndef POLICY_EVALUATE_H
#define POLICY_EVALUATE_H

#include "policy/policy.h"
#include "policy/truth.h"

struct evaluation;

/* In the arena, with nothing known. */
struct evaluation *evaluation_new(const struct policy *policy, struct arena *arena);

/* As evaluation_new in memory that is used again. */
void evaluation_restart(struct evaluation *e);

/* A recipient's evaluation goes on from what its transaction knows. Both of one policy. */
void evaluation_copy(struct evaluation *to, const struct evaluation *from);

/* Takes in what has become known since the last run. */
void evaluation_run(struct evaluation *e, const struct subject *subject);

struct outcome {
	bool certain;
	/* When certain. NULL: no rule matched, which is an accept. */
	const struct rule *rule;
	const struct action *final; /* NULL: accept, or `on error defer` of the rule */
};

struct outcome outcome_of(const struct evaluation *e);

/* How stern it is: accept < quarantine < defer, greylist < discard < reject. */
enum sternness { STERN_ACCEPT, STERN_QUARANTINE, STERN_DEFER, STERN_DISCARD, STERN_REJECT };
enum sternness outcome_sternness(const struct outcome *outcome);
enum sternness action_sternness(const struct action *final); /* of a rule that is true */

/* Whether all is known that carrying the outcome out needs: of a message that goes on (accept,
 * quarantine) every rule above that does something or is monitored, its route, and what their texts
 * quote; of others what the winner's texts quote, of whatever stage that is. False while the
 * outcome is open. */
bool evaluation_ready(const struct evaluation *e, const struct subject *subject);

/* Marks the slots (by number; cleared first) that could still matter, of those whose stage has been
 * reached. */
void evaluation_wants(const struct evaluation *e, const struct subject *subject, enum stage reached,
	bool *wanted);

/* Marks those of them that are worth waiting for now, since with what later stages bring still
 * unknown they could settle the outcome (as anything but an accept) or the route, or are the
 * recipient's own, or a certain refusal quotes them. true: there are some. */
bool evaluation_waits(
	const struct evaluation *e, const struct subject *subject, enum stage reached, bool *waits);

/* What may differ between two recipients whose outcome is still open: undecided rules with what is
 * left of their conditions, the score, what has been done so far, the route, and what their texts
 * would say of the recipient. Equal residues: equal outcomes and edits, whatever comes. The
 * recipient's own facts are settled (evaluation_waits), all others are shared. Means something
 * within one policy of one process only. */
uint64_t evaluation_residue(const struct evaluation *e, const struct subject *subject);

/* In SCORE_UNITs; equal when nothing that could change it is open. */
void evaluation_score(const struct evaluation *e, int64_t *low, int64_t *high);

/* The backend by `route`, of the first rule that has one and is true; NULL: none. */
const char *evaluation_route(const struct evaluation *e);

/* Whether a rule above may still route it elsewhere. */
bool evaluation_route_is_open(const struct evaluation *e);

/* Walks the accumulating actions that apply with a certain outcome, in order (score left out);
 * start with a zeroed cursor. */
struct effect_cursor {
	const struct action *action; /* out */
	size_t rule;                 /* private, as `next` */
	const struct action *next;
};
bool evaluation_next_effect(const struct evaluation *e, struct effect_cursor *cursor,
	const struct rule **rule) MUST_CHECK;

/* Walks rules whose condition is true: monitored ones above the outcome, or all of them (hits). A
 * rule that defers on error is none; outcome_of names it. */
bool evaluation_next_monitored(
	const struct evaluation *e, size_t *cursor, const struct rule **rule) MUST_CHECK;
bool evaluation_next_hit(
	const struct evaluation *e, size_t *cursor, const struct rule **rule) MUST_CHECK;

/* What a rule's condition can still be; for explanations. */
truth_set evaluation_truth(
	const struct evaluation *e, const struct subject *subject, const struct rule *rule);

/* What a test of its condition can still be; likewise. */
truth_set evaluation_test_truth(const struct evaluation *e, const struct subject *subject,
	const struct rule *rule, const struct test *test);

/* --- texts (render.c) --- */

enum { FIELD_TEXT_MAX = 200 /* bytes of one {field} */ };

/* A text with its fields filled in, made harmless: no control characters, no line ends, each field
 * at most FIELD_TEXT_MAX bytes. ascii: other bytes become '?'. What is none is empty, what is not
 * known "?". false: out is full; what fits is there. */
struct render {
	const struct evaluation *e;
	const struct subject *subject;
	const struct rule *rule;
	struct span sid;
	bool ascii;
};
bool text_render(
	const struct text *text, const struct render *render, struct buffer *out) MUST_CHECK;

/* "4.5": a score as people write it. */
bool score_write(int64_t score, struct buffer *out) MUST_CHECK;

#endif

/*
 * Each part of a condition proves something, claims something, or neither. `and` proves what one of
 * its parts proves, `or` only what all do; under `not` it is the other way round, and a fact that
 * is denied proves nothing.
 */
#include "policy/claim.h"

/* What a condition says of who the sender is. */
struct claim {
	bool proved;    /* it takes more than saying so */
	bool claimed;   /* it reads what the sender says of itself */
	bool named;     /* it asks for a reverse name, */
	bool confirmed; /* and for one that leads back: together they prove */
};

static bool is_fact(const struct slot *slot, const char *name)
{
	return strcmp(slot->fact->name, name) == 0;
}

/* The connection's facts are seen, not told; but a reverse name is what the address's owner likes,
 * that it leads back is so for most of the world, and the time of day proves nothing. */
static bool is_proof(const struct slot *slot)
{
	const struct slot *of = slot->field ? slot->field : slot;

	if (slot->fact->flags & FACT_ASSURES || of->fact->flags & FACT_ASSURES)
		return true;
	return of->fact->stage == STAGE_CONNECT &&
	       (strncmp(of->fact->name, "client.", 7) == 0 || is_fact(of, "listener")) &&
	       !is_fact(of, "client.rdns") && !is_fact(of, "client.fcrdns") &&
	       !is_fact(of, "client.early_talker");
}

/* client.fcrdns == pass */
static bool says_pass(const struct test *t)
{
	return t->op == OP_EQUAL &&
	       t->datum.choice == (unsigned)fact_choice_find(t->slot->fact, SPAN("pass"));
}

static struct claim claim_of_test(const struct test *t, bool negated)
{
	struct claim claim = {.proved = false};
	const struct slot *of;
	bool denies =
		t->op == OP_NOT_EQUAL || t->op == OP_IS_NONE || t->quantifier == QUANTIFIER_NO;

	if (t->verdict != VERDICT_NO)
		return claim;
	if (t->op == OP_EQUAL && t->type == TYPE_BOOL && !t->datum.yes)
		denies = !denies;
	of = t->slot->field ? t->slot->field : t->slot;
	if (is_proof(t->slot))
		claim.proved = denies == negated;
	else if (is_fact(of, "client.rdns"))
		claim.claimed = claim.named = denies == negated;
	else if (is_fact(of, "client.fcrdns"))
		claim.confirmed = says_pass(t) && !negated;
	else
		claim.claimed = of->stage != STAGE_CONNECT && of->stage != STAGE_RCPT;
	return claim;
}

static struct claim claim_of(const struct expr *e, bool negated)
{
	bool any_proves = (e->kind == EXPR_AND) != negated;
	struct claim all = {!any_proves, false, !any_proves, !any_proves}, one;

	switch (e->kind) {
	case EXPR_TRUE:
		return (struct claim){.proved = false};
	case EXPR_TEST:
		return claim_of_test(e->test, negated);
	case EXPR_NOT:
		return claim_of(e->first, !negated);
	case EXPR_AND:
	case EXPR_OR:
		break;
	}
	for (const struct expr *child = e->first; child; child = child->next) {
		one = claim_of(child, negated);
		all.proved = any_proves ? all.proved || one.proved : all.proved && one.proved;
		all.named = any_proves ? all.named || one.named : all.named && one.named;
		all.confirmed = any_proves ? all.confirmed || one.confirmed
					   : all.confirmed && one.confirmed;
		all.claimed = all.claimed || (one.claimed && !one.proved);
	}
	all.proved = all.proved || (all.named && all.confirmed);
	return all;
}

bool condition_only_claims(const struct expr *when)
{
	struct claim claim = claim_of(when, false);

	return claim.claimed && !claim.proved;
}

/* What rules come to: the outcome, how stern it is, and what goes with it. */
#include "policy/evaluation.h"

/* --- the outcome --- */

/* Rules up to here have a say in what becomes of the message. */
static size_t rules_that_count(const struct evaluation *e)
{
	return e->winner < e->policy->n_rules ? e->winner + 1 : e->winner;
}

struct outcome outcome_of(const struct evaluation *e)
{
	struct outcome out = {.certain = e->certain};

	if (!e->certain || e->winner == e->policy->n_rules)
		return out;
	out.rule = policy_rule(e->policy, e->winner);
	out.final = rule_is_in(e, SET_TRUE, e->winner) ? out.rule->final : NULL;
	return out;
}

enum sternness outcome_sternness(const struct outcome *outcome)
{
	if (!outcome->rule)
		return STERN_ACCEPT;
	if (!outcome->final)
		return STERN_DEFER;
	return action_sternness(outcome->final);
}

enum sternness action_sternness(const struct action *final)
{
	if (final->kind == ACTION_REJECT)
		return STERN_REJECT;
	if (final->kind == ACTION_DISCARD)
		return STERN_DISCARD;
	if (final->kind == ACTION_DEFER || final->kind == ACTION_GREYLIST)
		return STERN_DEFER;
	return final->kind == ACTION_QUARANTINE ? STERN_QUARANTINE : STERN_ACCEPT;
}

bool evaluation_goes_on(const struct evaluation *e)
{
	struct outcome outcome = outcome_of(e);

	return !outcome.certain || outcome_sternness(&outcome) <= STERN_QUARANTINE;
}

/* --- what goes with it --- */

void evaluation_score(const struct evaluation *e, int64_t *low, int64_t *high)
{
	*low = e->low;
	*high = e->high;
}

const char *evaluation_route(const struct evaluation *e)
{
	size_t i = rule_next(e, SET_TRUE, RULES_ROUTE, 0);
	const struct action *a;

	if (i == e->policy->n_rules)
		return NULL;
	for (a = policy_rule(e->policy, i)->actions; a->kind != ACTION_ROUTE;)
		a = a->next;
	return a->name;
}

bool evaluation_route_is_open(const struct evaluation *e)
{
	return rule_next(e, SET_MAY, RULES_ROUTE, 0) < rule_next(e, SET_TRUE, RULES_ROUTE, 0);
}

static const struct action *next_accumulating(const struct action *a)
{
	while (a &&
		(action_is_final(a->kind) || a->kind == ACTION_SCORE || a->kind == ACTION_ROUTE))
		a = a->next;
	return a;
}

bool evaluation_next_effect(
	const struct evaluation *e, struct effect_cursor *cursor, const struct rule **rule)
{
	size_t end = rules_that_count(e);
	const struct action *a = next_accumulating(cursor->next);

	while (!a) {
		size_t i = rule_next(e, SET_TRUE, RULES_EFFECT, cursor->rule);

		if (i >= end)
			return false;
		cursor->rule = i + 1;
		a = next_accumulating(policy_rule(e->policy, i)->actions);
	}
	cursor->action = a;
	cursor->next = a->next;
	*rule = policy_rule(e->policy, cursor->rule - 1);
	return true;
}

/* --- rules that are true --- */

static bool next_true(const struct evaluation *e, enum rules_that that, size_t end, size_t *cursor,
	const struct rule **rule)
{
	size_t i = rule_next(e, SET_TRUE, that, *cursor);

	if (i >= end)
		return false;
	*cursor = i + 1;
	*rule = policy_rule(e->policy, i);
	return true;
}

bool evaluation_next_monitored(const struct evaluation *e, size_t *cursor, const struct rule **rule)
{
	return next_true(e, RULES_MONITOR, e->winner, cursor, rule);
}

bool evaluation_next_hit(const struct evaluation *e, size_t *cursor, const struct rule **rule)
{
	return next_true(e, RULES_LIVE, e->policy->n_rules, cursor, rule);
}

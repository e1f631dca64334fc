/* What a condition can still be. Kleene's logic over sets (truth.h); what a rule may read besides
 * facts is an interval (the score) or the rules above it (tags). */
#include "policy/evaluation.h"

#include "lib/base/fail.h"
#include "policy/text.h"

/* --- the score --- */

static truth_set either(bool can_be_true, bool can_be_false)
{
	return (truth_set)((can_be_true ? TRUTH_TRUE : 0) | (can_be_false ? TRUTH_FALSE : 0));
}

static truth_set score_truth(const struct evaluation *e, const struct test *t)
{
	int64_t at = t->score, low = e->low, high = e->high;
	bool within = low <= at && at <= high, only = low == at && high == at;

	switch (t->op) {
	case OP_LESS:
		return either(low < at, high >= at);
	case OP_LESS_EQUAL:
		return either(low <= at, high > at);
	case OP_GREATER:
		return either(high > at, low <= at);
	case OP_GREATER_EQUAL:
		return either(high >= at, low < at);
	case OP_EQUAL:
		return either(within, !only);
	case OP_NOT_EQUAL:
		return either(!only, within);
	case OP_IS_NONE:
		return TRUTH_FALSE;
	case OP_IS_NOT_NONE:
		return TRUTH_TRUE;
	case OP_TRUE:
	case OP_IN:
	case OP_UNDER:
	case OP_CONTAINS:
	case OP_MATCHES:
		break;
	}
	fail_bug(__FILE__, __LINE__, "a score is compared with a number");
}

/* --- tags --- */

/* One tag against the test, as a fact of many values with this one only. */
static truth_set tag_truth(
	const struct evaluation *e, const struct test *t, const struct action *action)
{
	struct test one = *t;
	union fact_datum datum = {.text = action->text->source};
	struct fact_value value = {FACT_KNOWN, 1, &datum, NULL};

	if (t->op == OP_IS_NONE || t->op == OP_IS_NOT_NONE)
		return TRUTH_TRUE; /* it is there */
	one.quantifier = QUANTIFIER_ANY;
	return test_of_value(&one, &value, e->policy->scratch);
}

/* `tags` are those of the rules above `rule` that are true. A tag that may be missing also counts
 * as what makes no difference. */
static truth_set tags_truth(const struct evaluation *e, const struct test *t, size_t rule)
{
	bool every =
		t->quantifier == QUANTIFIER_ALL && t->op != OP_IS_NONE && t->op != OP_IS_NOT_NONE;
	truth_set out = every ? TRUTH_TRUE : TRUTH_FALSE;
	const truth_set missing = out;
	const uint64_t *taggers = e->policy->of[RULES_TAG];

	for (size_t i = bits_next(taggers, taggers, 0, rule); i < rule;
		i = bits_next(taggers, taggers, i + 1, rule)) {
		bool may = rule_is_in(e, SET_MAY, i);

		if (!may && !rule_is_in(e, SET_TRUE, i))
			continue;
		for (const struct action *a = policy_rule(e->policy, i)->actions; a; a = a->next) {
			truth_set one;

			if (a->kind != ACTION_TAG)
				continue;
			one = (truth_set)(tag_truth(e, t, a) | (may ? missing : 0));
			out = every ? truth_and(out, one) : truth_or(out, one);
		}
	}
	/* "is none" asks for the opposite of what was sought, and so does "no". */
	return (t->op == OP_IS_NONE) != (t->quantifier == QUANTIFIER_NO) ? truth_not(out) : out;
}

/* --- facts --- */

/* A known fact stays as it is, so what is costly to find out is found out once. */
static truth_set known_truth(
	const struct evaluation *e, const struct test *t, const struct fact_value *value)
{
	truth_set *memo;

	if (t->memo == 0)
		return test_of_value(t, value, e->policy->scratch);
	memo = &e->memo[t->memo];
	if (*memo == 0)
		*memo = test_of_value(t, value, e->policy->scratch);
	return *memo;
}

truth_set condition_test_truth(
	const struct evaluation *e, const struct subject *s, const struct test *t, size_t rule)
{
	const struct fact_value *value;

	if (t->verdict == VERDICT_SCORE)
		return score_truth(e, t);
	if (t->verdict == VERDICT_TAGS)
		return tags_truth(e, t, rule);
	value = subject_value(s, t->slot);
	if (value->state == FACT_PENDING)
		return TRUTH_OPEN;
	if (value->state == FACT_FAILED)
		return TRUTH_ERROR;
	return known_truth(e, t, value);
}

/* --- expressions --- */

truth_set condition_truth(
	const struct evaluation *e, const struct subject *s, const struct expr *expr, size_t rule)
{
	bool all = expr->kind == EXPR_AND;
	truth_set out = all ? TRUTH_TRUE : TRUTH_FALSE;
	const truth_set settled = all ? TRUTH_FALSE : TRUTH_TRUE;

	switch (expr->kind) {
	case EXPR_TRUE:
		return TRUTH_TRUE;
	case EXPR_TEST:
		return condition_test_truth(e, s, expr->test, rule);
	case EXPR_NOT:
		return truth_not(condition_truth(e, s, expr->first, rule));
	case EXPR_AND:
	case EXPR_OR:
		break;
	}
	for (const struct expr *child = expr->first; child && out != settled; child = child->next) {
		truth_set one = condition_truth(e, s, child, rule);

		out = all ? truth_and(out, one) : truth_or(out, one);
	}
	return out;
}

static bool any_open(const struct open_tests *o, const struct expr *expr, truth_set goal)
{
	truth_set truth = condition_truth(o->e, o->s, expr, o->rule);

	if (truth_is_certain(truth) || !(truth & goal))
		return false;
	if (expr->kind == EXPR_TEST)
		return o->pass(expr->test, o->context);
	for (const struct expr *child = expr->first; child; child = child->next)
		if (any_open(o, child, expr->kind == EXPR_NOT ? truth_not(goal) : goal))
			return true;
	return false;
}

bool condition_any_open(const struct open_tests *o, truth_set goal)
{
	const struct expr *when = policy_rule(o->e->policy, o->rule)->when;

	return when && any_open(o, when, goal);
}

/* --- for explanations --- */

truth_set evaluation_truth(
	const struct evaluation *e, const struct subject *s, const struct rule *rule)
{
	return rule->when ? condition_truth(e, s, rule->when, rule->index) : TRUTH_TRUE;
}

truth_set evaluation_test_truth(const struct evaluation *e, const struct subject *s,
	const struct rule *rule, const struct test *test)
{
	return condition_test_truth(e, s, test, rule->index);
}

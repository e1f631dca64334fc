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

/* Of the tags that rules set: whether it is any or all of them that the test asks for, and what it
 * is so far. */
struct tags {
	const struct evaluation *e;
	const struct test *test;
	bool every;
	truth_set truth;
};

/* Those of one rule. A tag that may be missing counts also as what makes no difference. */
static void join_tags(struct tags *tags, size_t rule, bool may_be_missing)
{
	const truth_set missing = tags->every ? TRUTH_TRUE : TRUTH_FALSE;

	for (const struct action *a = policy_rule(tags->e->policy, rule)->actions; a; a = a->next) {
		truth_set one;

		if (a->kind != ACTION_TAG)
			continue;
		one = (truth_set)(tag_truth(tags->e, tags->test, a) |
				  (may_be_missing ? missing : 0));
		tags->truth =
			tags->every ? truth_and(tags->truth, one) : truth_or(tags->truth, one);
	}
}

/* Whether no more tags that may be missing can change it; only a pattern can be in error. */
static bool tags_are_settled(const struct tags *tags)
{
	const truth_set both = TRUTH_FALSE | TRUTH_TRUE;

	return tags->truth == (tags->every ? TRUTH_FALSE : TRUTH_TRUE) ||
	       (tags->truth == both && tags->test->op != OP_MATCHES);
}

static void join_tags_of(struct tags *tags, enum rule_set set, size_t above)
{
	const struct evaluation *e = tags->e;
	const uint64_t *taggers = e->policy->of[RULES_TAG];
	bool may_be_missing = set == SET_MAY;

	for (size_t i = bits_next(e->set[set], taggers, 0, above);
		i < above && !tags_are_settled(tags);
		i = bits_next(e->set[set], taggers, i + 1, above))
		join_tags(tags, i, may_be_missing);
}

/* `tags` are those of the rules above `rule` that are true. */
static truth_set tags_truth(const struct evaluation *e, const struct test *t, size_t rule)
{
	bool none = t->op == OP_IS_NONE, some = t->op == OP_IS_NOT_NONE;
	bool every = t->quantifier == QUANTIFIER_ALL && !none && !some;
	struct tags tags = {e, t, every, every ? TRUTH_TRUE : TRUTH_FALSE};

	join_tags_of(&tags, SET_TRUE, rule);
	join_tags_of(&tags, SET_MAY, rule);
	/* "is none" asks for the opposite of what was sought, and so does "no". */
	return none || t->quantifier == QUANTIFIER_NO ? truth_not(tags.truth) : tags.truth;
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

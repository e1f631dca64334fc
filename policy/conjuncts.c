/*
 * Where a test leaves only a few values (`==`, a set, `is none`), each is tried on the others of
 * the same fact; comparisons of numbers are cut down to the interval that all leave. More is not
 * tried: what is found is certain, and what is not found may be a contradiction all the same.
 */
#include "policy/conjuncts.h"

#include <math.h>

#include "policy/text.h"
#include "policy/truth.h"

static void gather(struct conjuncts *c, const struct expr *e, bool negated)
{
	if (e->kind == EXPR_TEST && c->n < CONJUNCTS_MAX)
		c->items[c->n++] = (struct conjunct){e->test, negated, &e->place};
	if (e->kind == EXPR_NOT)
		gather(c, e->first, !negated);
	if (e->kind != (negated ? EXPR_OR : EXPR_AND))
		return;
	for (const struct expr *child = e->first; child; child = child->next)
		gather(c, child, negated);
}

void conjuncts_gather(struct conjuncts *c, const struct expr *when)
{
	if (when)
		gather(c, when, false);
}

static bool on_same_slot(const struct test *a, const struct test *b)
{
	return a->verdict == VERDICT_NO && b->verdict == VERDICT_NO && a->slot == b->slot &&
	       a->quantifier == QUANTIFIER_ONE && b->quantifier == QUANTIFIER_ONE;
}

static bool may_pass(
	const struct policy *p, const struct conjunct *c, const struct fact_value *value)
{
	const struct test *t = c->test;

	if (t->op == OP_MATCHES || t->operand == OPERAND_LISTED ||
		(t->operand == OPERAND_LIST && !t->list->content))
		return true;
	return test_of_value(t, value, p->scratch) == (c->negated ? TRUTH_FALSE : TRUTH_TRUE);
}

static bool all_may_pass(const struct policy *p, const struct conjuncts *c, const struct test *t,
	const struct fact_value *value)
{
	for (size_t i = 0; i < c->n; i++)
		if (on_same_slot(c->items[i].test, t) && !may_pass(p, &c->items[i], value))
			return false;
	return true;
}

/* Whether none of the few values that pass one test passes all. */
static bool leaves_nothing(
	const struct policy *p, const struct conjuncts *c, const struct conjunct *one)
{
	const struct test *t = one->test;
	const union fact_datum *data = t->operand == OPERAND_DATA ? t->data : &t->datum;
	union fact_datum truth = {.yes = !one->negated};
	size_t n = t->operand == OPERAND_DATA ? t->n : 1;

	if (t->verdict != VERDICT_NO || t->quantifier != QUANTIFIER_ONE)
		return false;
	if (t->op == OP_TRUE)
		data = &truth;
	else if (t->op == OP_IS_NONE && !one->negated)
		n = 0;
	else if (one->negated ||
		 (t->op != OP_EQUAL && (t->op != OP_IN || t->operand != OPERAND_DATA)))
		return false;
	if (t->op == OP_IS_NONE)
		return !all_may_pass(p, c, t, &(struct fact_value){FACT_KNOWN, 0, NULL, NULL});
	for (size_t i = 0; i < n; i++)
		if (all_may_pass(p, c, t, &(struct fact_value){FACT_KNOWN, 1, &data[i], NULL}))
			return false;
	return true;
}

/* The numbers that tests with < and > leave. */
struct bounds {
	double low, high;
	bool open_low, open_high; /* without the bound itself */
};

static enum operator opposite(enum operator op)
{
	switch (op) {
	case OP_LESS:
		return OP_GREATER_EQUAL;
	case OP_LESS_EQUAL:
		return OP_GREATER;
	case OP_GREATER:
		return OP_LESS_EQUAL;
	case OP_GREATER_EQUAL:
		return OP_LESS;
	case OP_TRUE:
	case OP_EQUAL:
	case OP_NOT_EQUAL:
	case OP_IN:
	case OP_UNDER:
	case OP_CONTAINS:
	case OP_MATCHES:
	case OP_IS_NONE:
	case OP_IS_NOT_NONE:
		break;
	}
	return OP_TRUE;
}

static double number_of(const struct test *t)
{
	if (t->verdict == VERDICT_SCORE)
		return (double)t->score;
	return t->type == TYPE_CHOICE ? t->datum.choice : t->datum.number;
}

static void narrow(struct bounds *b, const struct conjunct *c)
{
	enum operator op = c->negated ? opposite(c->test->op) : c->test->op;
	double at;

	if (opposite(op) == OP_TRUE)
		return;
	at = number_of(c->test);
	if (op == OP_LESS || op == OP_LESS_EQUAL) {
		if (at < b->high || (at == b->high && op == OP_LESS)) {
			b->high = at;
			b->open_high = op == OP_LESS;
		}
	} else if (at > b->low || (at == b->low && op == OP_GREATER)) {
		b->low = at;
		b->open_low = op == OP_GREATER;
	}
}

static bool bounds_cross(const struct conjuncts *c, const struct test *t)
{
	struct bounds b = {-INFINITY, INFINITY, false, false};

	if (opposite(t->op) == OP_TRUE)
		return false;
	for (size_t i = 0; i < c->n; i++) {
		const struct test *other = c->items[i].test;

		if (on_same_slot(other, t) ||
			(t->verdict == VERDICT_SCORE && other->verdict == VERDICT_SCORE))
			narrow(&b, &c->items[i]);
	}
	return b.low > b.high || (b.low == b.high && (b.open_low || b.open_high));
}

bool conjunct_list_is_empty(const struct conjunct *c)
{
	const struct test *t = c->test;

	return t->operand == OPERAND_LIST && t->list->origin == LIST_LITERAL && t->list->name &&
	       list_count(t->list->content) == 0 && !c->negated &&
	       (t->quantifier == QUANTIFIER_ONE || t->quantifier == QUANTIFIER_ANY);
}

bool conjunct_is_out_of_reach(const struct conjunct *c, int64_t score_low, int64_t score_high)
{
	bool equal = c->test->op == (c->negated ? OP_NOT_EQUAL : OP_EQUAL);
	struct bounds b = {(double)score_low, (double)score_high, false, false};

	if (c->test->verdict != VERDICT_SCORE)
		return false;
	if (equal)
		return c->test->score < score_low || c->test->score > score_high;
	narrow(&b, c);
	return b.low > b.high || (b.low == b.high && (b.open_low || b.open_high));
}

static bool sets_tag(const struct policy *p, const struct rule *rule, const struct test *t)
{
	for (const struct action *a = rule->actions; a; a = a->next) {
		union fact_datum datum;
		struct fact_value value = {FACT_KNOWN, 1, &datum, NULL};

		if (a->kind != ACTION_TAG)
			continue;
		datum.text = a->text->source;
		if (test_of_value(t, &value, p->scratch) != TRUTH_FALSE)
			return true;
	}
	return false;
}

bool conjunct_is_never_tagged(
	const struct policy *p, const struct rule *rule, const struct conjunct *c)
{
	const struct test *t = c->test;

	if (t->verdict != VERDICT_TAGS || t->quantifier != QUANTIFIER_ANY || c->negated)
		return false;
	for (size_t i = 0; i < rule->index; i++)
		if (bits_has(p->of[RULES_TAG], i) && sets_tag(p, policy_rule(p, i), t))
			return false;
	return true;
}

const struct conjunct *conjuncts_contradiction(
	const struct policy *policy, const struct conjuncts *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (leaves_nothing(policy, c, &c->items[i]) || bounds_cross(c, c->items[i].test))
			return &c->items[i];
	return NULL;
}

/* What recipients must have in common to share a transaction: a hash of all in which what is still
 * to come of them, and what their texts would say, may differ. */
#include "policy/evaluation.h"

#include "policy/text.h"

static uint64_t fold(uint64_t h, uint64_t more)
{
	h = (h ^ more) * UINT64_C(0xff51afd7ed558ccd);
	return h ^ h >> 32;
}

/* What comes from outside is hashed with a key: nobody finds two that look alike. */
static uint64_t fold_bytes(const struct policy *p, uint64_t h, const void *bytes, size_t len)
{
	return fold(fold(h, len), span_hash(span_make(bytes, len), p->hash_key));
}

/* --- conditions --- */

/* What is left of an expression: open tests by their place, joined as they are. */
static uint64_t residue_of(
	const struct evaluation *e, const struct subject *s, const struct expr *expr, size_t rule)
{
	truth_set truth = condition_truth(e, s, expr, rule);
	uint64_t h = fold(expr->kind, truth);

	if (truth_is_certain(truth))
		return fold(1, truth);
	if (expr->kind == EXPR_TEST)
		return fold(h, (uint64_t)(uintptr_t)expr->test);
	for (const struct expr *child = expr->first; child; child = child->next)
		h = fold(h, residue_of(e, s, child, rule));
	return h;
}

/* --- texts --- */

static uint64_t fold_datum(
	const struct policy *p, uint64_t h, enum fact_type type, const union fact_datum *datum)
{
	if (type == TYPE_TEXT || type == TYPE_DOMAIN || type == TYPE_MAIL)
		return fold_bytes(p, h, datum->text.at ? datum->text.at : "", datum->text.len);
	return fold(h, datum_hash(type, datum));
}

/* The recipient's own facts among these. */
static uint64_t fold_slots(const struct evaluation *e, const struct subject *s, uint64_t h,
	const struct slot *const *slots, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct fact_value *value = subject_value(s, slots[i]);

		if (slots[i]->stage != STAGE_RCPT)
			continue;
		h = fold(fold(fold(h, slots[i]->number), value->state), value->count);
		for (uint32_t k = 0; value->state == FACT_KNOWN && k < value->count; k++)
			h = fold_datum(e->policy, h, slots[i]->fact->type, &value->items[k]);
	}
	return h;
}

static uint64_t fold_texts(
	const struct evaluation *e, const struct subject *s, uint64_t h, size_t i)
{
	const struct rule *rule = policy_rule(e->policy, i);

	h = fold_slots(e, s, h, rule->text_slots, rule->n_text_slots);
	if (rule_does(e, RULES_QUOTE_LIST, i)) /* which item it was hangs on the value */
		h = fold_slots(e, s, h, rule->slots, rule->n_slots);
	return h;
}

/* --- rules --- */

/* Whether what becomes of an open rule can make recipients differ, now or through others. */
static bool open_counts(const struct evaluation *e, size_t i, size_t winner)
{
	if (!rule_is_in(e, SET_OPEN, i))
		return false;
	return rule_does(e, RULES_SCORE, i) || rule_does(e, RULES_TAG, i) ||
	       rule_does(e, RULES_ROUTE, i) || (i <= winner && !rule_does(e, RULES_MONITOR, i));
}

/* Whether a rule that is certain leaves something to do. */
static bool certain_counts(const struct evaluation *e, size_t i, size_t winner)
{
	return i == winner ||
	       (i < winner && rule_is_in(e, SET_TRUE, i) && rule_does(e, RULES_EFFECT, i));
}

uint64_t evaluation_residue(const struct evaluation *e, const struct subject *s)
{
	const struct policy *p = e->policy;
	size_t winner = e->winner;
	const char *route = evaluation_route(e);
	uint64_t h = fold(fold(3, (uint64_t)e->low), (uint64_t)e->high);

	for_rules (i, e, SET_OPEN, RULES_LIVE) {
		const struct expr *when = policy_rule(p, i)->when;

		if (open_counts(e, i, winner) && when)
			h = fold_texts(e, s, fold(fold(h, i), residue_of(e, s, when, i)), i);
	}
	for_rules (i, e, SET_TRUE, RULES_LIVE)
		if (certain_counts(e, i, winner))
			h = fold_texts(e, s, fold(fold(h, i), 4), i);
	if (winner < p->n_rules && !rule_is_in(e, SET_TRUE, winner))
		h = fold(fold(h, winner), 5);
	return route ? fold_bytes(p, h, route, strlen(route)) : h;
}

/*
 * What is wanted: facts that an open test of a rule reads that can still make a difference, and
 * what texts quote that will be written. Asked from the facts' side: of a pending slot its readers
 * are tried until one has a use for it, since at first nearly all rules are open and few slots are
 * at hand, and in the end few rules are open.
 */
#include "policy/evaluation.h"

/* Which rules still matter, and for what. */
struct relevance {
	const struct evaluation *e;
	const struct subject *s;
	size_t winner; /* rules below this one act no more */
	bool finals;   /* the outcome is open */
	bool goes_on;  /* the message may */
	bool last;     /* asked for what can't be had later */
	size_t spoken; /* the rule whose text will be said; SIZE_MAX: none */
	size_t tags;   /* tags of rules above this one matter */
	size_t routes; /* routes of rules up to this one do */
	bool score;    /* matters */
};

/* --- which rules --- */

/* Whether what becomes of an open rule matters by itself, be it that no other reads its score or
 * tags. */
static bool acts(const struct relevance *r, size_t i)
{
	const struct evaluation *e = r->e;

	if (r->finals && i < r->winner && rule_is_in(e, SET_END, i))
		return true;
	if (!r->goes_on || !rule_is_in(e, SET_MAY, i))
		return false;
	if (i < r->routes && rule_does(e, RULES_ROUTE, i))
		return true;
	return i < r->winner && (rule_does(e, RULES_EFFECT, i) || rule_does(e, RULES_MONITOR, i) ||
					rule_does(e, RULES_SCORE, i));
}

static bool matters(const struct relevance *r, size_t i)
{
	const struct evaluation *e = r->e;

	if (acts(r, i))
		return true;
	if (!rule_is_in(e, SET_MAY, i))
		return false;
	return (r->score && rule_does(e, RULES_SCORE, i)) ||
	       (i < r->tags && rule_does(e, RULES_TAG, i));
}

/* Whether the rule's texts will be written, or may be. Those of a final action only once it is
 * certain, unless they must be had now or never. */
static bool will_quote(const struct relevance *r, size_t i)
{
	const struct evaluation *e = r->e;

	if (i == r->spoken)
		return true;
	if (!rule_is_in(e, SET_MAY, i) && !rule_is_in(e, SET_TRUE, i))
		return false;
	if (r->goes_on && i < r->winner && rule_does(e, RULES_EFFECT, i))
		return true;
	return r->last && r->finals && i <= r->winner && policy_rule(e->policy, i)->final;
}

static bool any_quotes(const struct relevance *r, enum rules_that that)
{
	const uint64_t *quoters = r->e->policy->of[that];

	for (size_t i = bits_next(quoters, quoters, 0, r->e->policy->n_rules);
		i < r->e->policy->n_rules;
		i = bits_next(quoters, quoters, i + 1, r->e->policy->n_rules))
		if (will_quote(r, i))
			return true;
	return false;
}

/* What of its condition makes a difference (rule_goal), as long as its acting finally does. */
static truth_set goal_of(const struct relevance *r, size_t i)
{
	bool may_end = r->finals && rule_is_in(r->e, SET_END, i);

	return may_end ? rule_goal(policy_rule(r->e->policy, i)) : TRUTH_TRUE;
}

/* --- score and tags --- */

static bool reads_verdict(const struct test *test, void *verdict)
{
	return test->verdict == *(enum verdict_fact *)verdict;
}

static bool any_open_reads(const struct relevance *r, size_t i, enum verdict_fact verdict)
{
	struct open_tests open = {r->e, r->s, i, reads_verdict, &verdict};

	return condition_any_open(&open, goal_of(r, i));
}

/* The last rule that matters and whose condition hangs on tags, or whose text will say them. */
static size_t last_that_needs_tags(const struct relevance *r)
{
	const size_t n = r->e->policy->n_rules;
	const uint64_t *quoters = r->e->policy->of[RULES_QUOTE_TAGS];
	size_t last = 0;

	for_rules (i, r->e, SET_OPEN, RULES_READ_TAGS)
		if (matters(r, i) && any_open_reads(r, i, VERDICT_TAGS))
			last = i;
	for (size_t i = bits_next(quoters, quoters, last, n); i < n;
		i = bits_next(quoters, quoters, i + 1, n))
		if (will_quote(r, i))
			last = i;
	return last;
}

static bool needs_score(const struct relevance *r)
{
	if (r->e->low == r->e->high)
		return false;
	for_rules (i, r->e, SET_OPEN, RULES_READ_SCORE)
		if (matters(r, i) && any_open_reads(r, i, VERDICT_SCORE))
			return true;
	return any_quotes(r, RULES_QUOTE_SCORE);
}

static struct relevance relevance_of(const struct evaluation *e, const struct subject *s, bool last)
{
	struct outcome outcome = outcome_of(e);
	struct relevance r = {.e = e, .s = s, .last = last, .spoken = SIZE_MAX};

	r.winner = e->winner;
	r.finals = !outcome.certain;
	r.goes_on = evaluation_goes_on(e);
	if (outcome.certain && outcome.final)
		r.spoken = outcome.rule->index;
	r.routes = rule_next(e, SET_TRUE, RULES_ROUTE, 0);
	r.tags = last_that_needs_tags(&r);
	r.score = needs_score(&r);
	if (r.score) /* rules that change it may read tags; these don't hang on the score again */
		r.tags = last_that_needs_tags(&r);
	return r;
}

/* --- which slots --- */

static bool reads_slot(const struct test *test, void *slot)
{
	return test->verdict == VERDICT_NO && test->slot == slot;
}

static bool rule_needs(const struct relevance *r, size_t i, const struct slot *slot)
{
	struct open_tests open = {r->e, r->s, i, reads_slot, (void *)(uintptr_t)slot};

	return rule_is_in(r->e, SET_OPEN, i) && matters(r, i) &&
	       condition_any_open(&open, goal_of(r, i));
}

static bool any_needs(const struct relevance *r, const struct slot *slot)
{
	const struct policy *p = r->e->policy;
	const struct rule_group *readers = &p->readers[slot->number];
	const uint64_t *open = r->e->set[SET_OPEN];

	if (readers->set)
		for (size_t i = bits_next(open, readers->set, 0, p->n_rules); i < p->n_rules;
			i = bits_next(open, readers->set, i + 1, p->n_rules))
			if (rule_needs(r, i, slot))
				return true;
	for (size_t k = 0; k < readers->n; k++)
		if (rule_needs(r, readers->list[k], slot))
			return true;
	return false;
}

static bool any_will_quote(const struct relevance *r, const struct slot *slot)
{
	const struct policy *p = r->e->policy;
	const struct rule_group *quoters = &p->quoters[slot->number];

	if (quoters->set)
		for (size_t i = bits_next(quoters->set, quoters->set, 0, p->n_rules);
			i < p->n_rules;
			i = bits_next(quoters->set, quoters->set, i + 1, p->n_rules))
			if (will_quote(r, i))
				return true;
	for (size_t k = 0; k < quoters->n; k++)
		if (will_quote(r, quoters->list[k]))
			return true;
	return false;
}

static bool slot_matters(const struct relevance *r, const struct slot *slot)
{
	return subject_value(r->s, slot)->state == FACT_PENDING &&
	       (any_needs(r, slot) || any_will_quote(r, slot));
}

void slot_mark(const struct subject *s, const struct slot *slot, bool *marks)
{
	for (; slot; slot = slot->field)
		if (subject_value(s, slot)->state == FACT_PENDING)
			marks[slot->number] = true;
}

void evaluation_wants(
	const struct evaluation *e, const struct subject *s, enum stage reached, bool *wanted)
{
	const struct policy *p = e->policy;
	struct relevance relevance = relevance_of(e, s, false), own = relevance;

	/* A recipient's facts can't be measured once the next one is named. */
	if (reached >= STAGE_RCPT && p->rules->n_at[STAGE_RCPT])
		own = relevance_of(e, s, true);
	memset(wanted, 0, p->n_slots * sizeof(*wanted));
	for (size_t i = 0; i < p->n_slots; i++) {
		const struct slot *slot = p->rules->slots[i];
		const struct relevance *r = slot->stage == STAGE_RCPT ? &own : &relevance;

		if (slot->stage <= reached && !wanted[i] && slot_matters(r, slot))
			slot_mark(s, slot, wanted);
	}
}

bool evaluation_ready(const struct evaluation *e, const struct subject *s)
{
	struct relevance r = relevance_of(e, s, false);

	if (r.finals)
		return false;
	for (size_t i = 0; i < e->policy->n_slots; i++)
		if (slot_matters(&r, e->policy->rules->slots[i]))
			return false;
	return true;
}

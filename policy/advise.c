/* What is said about rules: the judgement of their conditions is stages.c's, claim.c's and
 * conjuncts.c's. */
#include "policy/advise.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "policy/claim.h"
#include "policy/conjuncts.h"
#include "policy/stages.h"

enum { PAIRS_MAX = 100000 /* of rules that are held against each other */ };

struct advice {
	const struct policy *policy;
	struct remarks *remarks;
	enum stage *stages; /* by rule */
	int64_t score_low, score_high;
	size_t always; /* the first rule that decides whatever comes; n_rules: none */
};

/* --- saying it --- */

/* " and 3 more"; "" for none. */
static const char *and_more(char text[32], size_t n)
{
	text[0] = '\0';
	if (n)
		snprintf(text, 32, " and %zu more", n);
	return text;
}

static bool is_on(const struct rule *rule)
{
	return rule->mode == RULE_ON;
}

/* --- accepts that prove nothing --- */

static void advise_on_accept(struct advice *a, const struct rule *rule)
{
	if (!rule->final || rule->final->kind != ACTION_ACCEPT || !rule->when || !is_on(rule))
		return;
	if (condition_only_claims(rule->when))
		remark(a->remarks, SEVERITY_WARNING, &rule->place,
			"anybody can write such an address or field: ask for spf == pass, dmarc == "
			"pass or client.ip too",
			"rule `%s` accepts without authentication what anybody can claim to be",
			rule->name);
}

/* --- conditions that can't be true --- */

/* Least and most that all `score` actions can come to. */
static void find_reach(const struct policy *p, int64_t *low, int64_t *high)
{
	*low = *high = 0;
	for (size_t i = 0; i < p->n_rules; i++) {
		int64_t points = 0;

		if (!bits_has(p->of[RULES_SCORE], i))
			continue;
		for (const struct action *a = policy_rule(p, i)->actions; a; a = a->next)
			points += a->kind == ACTION_SCORE ? a->score : 0;
		*low += points < 0 ? points : 0;
		*high += points > 0 ? points : 0;
	}
}

static bool advise_on_verdict_fact(
	struct advice *a, const struct rule *rule, const struct conjunct *c)
{
	if (conjunct_is_out_of_reach(c, a->score_low, a->score_high))
		remark(a->remarks, SEVERITY_WARNING, c->place, NULL,
			"rule `%s` never acts: rules can bring the score from %g to %g, no further",
			rule->name, (double)a->score_low / SCORE_UNIT,
			(double)a->score_high / SCORE_UNIT);
	else if (conjunct_is_never_tagged(a->policy, rule, c))
		remark(a->remarks, SEVERITY_WARNING, c->place, NULL,
			"rule `%s` never acts: no rule above it sets such a tag", rule->name);
	else
		return false;
	return true;
}

/* Tells of the first reason why the condition can't be true. */
static void advise_on_condition(struct advice *a, const struct rule *rule)
{
	struct conjuncts c = {.n = 0};
	const struct conjunct *one;

	if (!rule->when || rule->mode == RULE_OFF)
		return;
	conjuncts_gather(&c, rule->when);
	for (size_t i = 0; i < c.n; i++) {
		if (advise_on_verdict_fact(a, rule, &c.items[i]))
			return;
		if (conjunct_list_is_empty(&c.items[i])) {
			remark(a->remarks, SEVERITY_WARNING, c.items[i].place, NULL,
				"rule `%s` never acts: @%s is empty", rule->name,
				c.items[i].test->list->name);
			return;
		}
	}
	one = conjuncts_contradiction(a->policy, &c);
	if (one)
		remark(a->remarks, SEVERITY_WARNING, one->place,
			"one value can't pass all its tests; several values are joined by `or`, or "
			"stand in { }",
			"rule `%s` never acts: its condition contradicts itself on `%s`",
			rule->name,
			one->test->verdict == VERDICT_SCORE ? "score" : one->test->slot->name);
}

/* --- late above early --- */

/* A verdict that is certain before RCPT is spoken there, so only the message is late. */
static bool is_late(enum stage stage)
{
	return stage != STAGE_NEVER && stage > STAGE_RCPT;
}

static bool could_refuse_early(const struct advice *a, size_t i)
{
	const struct rule *rule = policy_rule(a->policy, i);

	if (!is_on(rule) || !rule->final || rule->final->now || a->stages[i] > STAGE_RCPT)
		return false;
	return rule->final->kind == ACTION_REJECT || rule->final->kind == ACTION_DEFER ||
	       rule->final->kind == ACTION_GREYLIST;
}

/* Whether both rules can be true of one recipient, as far as their conditions tell. */
static bool go_together(const struct advice *a, size_t one, size_t two)
{
	struct conjuncts c = {.n = 0};

	conjuncts_gather(&c, policy_rule(a->policy, one)->when);
	conjuncts_gather(&c, policy_rule(a->policy, two)->when);
	return !conjuncts_contradiction(a->policy, &c);
}

/* Tells of the first late rule that holds others back; those of another `for` it does not. */
static void advise_on_order(struct advice *a)
{
	const struct policy *p = a->policy;
	size_t budget = PAIRS_MAX, first = 0, n = 0, late;
	const struct rule *held;
	char more[32];
	bool rejects;

	for (late = 0; late < a->always; late++) {
		if (!bits_has(p->of[RULES_FINAL], late) || !is_late(a->stages[late]))
			continue;
		for (size_t i = late + 1; i < a->always && budget; i++) {
			if (!could_refuse_early(a, i))
				continue;
			budget--;
			if (go_together(a, late, i))
				first = n++ ? first : i;
		}
		if (n || !budget)
			break;
	}
	if (n == 0)
		return;
	held = policy_rule(p, first);
	rejects = held->final->kind == ACTION_REJECT;
	remark(a->remarks, SEVERITY_WARNING, &policy_rule(p, late)->place,
		rejects ? "move it further down, or let them say `reject now`, which waits for no "
			  "rule above"
			: "move it further down",
		"rule `%s` is decided at %s and holds back `%s`%s below it, known at %s already",
		policy_rule(p, late)->name, policy_stage_name(a->stages[late]), held->name,
		and_more(more, n - 1), policy_stage_name(a->stages[first]));
}

/* --- rules below the last word --- */

static bool always_holds(const struct expr *e)
{
	return !e || e->kind == EXPR_TRUE;
}

static void find_last_word(struct advice *a)
{
	const struct policy *p = a->policy;

	for (a->always = 0; a->always < p->n_rules; a->always++) {
		const struct rule *rule = policy_rule(p, a->always);

		if (is_on(rule) && rule->final && always_holds(rule->when))
			return;
	}
}

/* `reject now` is spoken whatever stands above, and scores and routes count wherever they stand. */
static bool acts_anywhere(const struct rule *rule)
{
	for (const struct action *action = rule->actions; action; action = action->next)
		if (action->kind == ACTION_SCORE || action->kind == ACTION_ROUTE || action->now)
			return true;
	return false;
}

static void advise_on_last_word(struct advice *a)
{
	const struct policy *p = a->policy;
	const struct rule *first = NULL;
	size_t n = 0;
	char more[32];

	for (size_t i = a->always + 1; i < p->n_rules; i++) {
		const struct rule *rule = policy_rule(p, i);

		if (rule->mode == RULE_OFF || acts_anywhere(rule))
			continue;
		first = n++ ? first : rule;
	}
	if (first)
		remark(a->remarks, SEVERITY_WARNING, &first->place, NULL,
			"rule `%s`%s never act%s: `%s` above decides always", first->name,
			and_more(more, n - 1), n > 1 ? "" : "s", policy_rule(p, a->always)->name);
}

/* --- what this version has not --- */

/* The name of the first fact among slots that nobody measures; NULL: none. */
static const char *absent_fact(const struct slot *const *slots, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (slot_is_absent(slots[i]))
			return slots[i]->name;
	return NULL;
}

static void advise_on_absent(struct advice *a, const struct rule *rule)
{
	const char *name = absent_fact(rule->slots, rule->n_slots);
	bool defers = rule->on_error == ON_ERROR_DEFER && is_on(rule);

	if (name && a->stages[rule->index] != STAGE_NEVER)
		remark(a->remarks, SEVERITY_WARNING, &rule->place, NULL,
			"no filter of this version measures `%s`: rule `%s` acts only where the "
			"rest of its condition suffices",
			name, rule->name);
	else if (name)
		remark(a->remarks, SEVERITY_WARNING, &rule->place,
			defers ? "take `on error defer` away until then" : NULL,
			"no filter of this version measures `%s`: rule `%s` %s", name, rule->name,
			defers ? "defers whatever the rest of its condition lets through"
			       : "is skipped");
	name = absent_fact(rule->text_slots, rule->n_text_slots);
	if (name)
		remark(a->remarks, SEVERITY_WARNING, &rule->place, NULL,
			"no filter of this version measures `%s`: texts of rule `%s` show ? for it",
			name, rule->name);
}

static void advise_on_list(struct advice *a, const struct rule_list *list)
{
	if (!list->used)
		remark(a->remarks, SEVERITY_WARNING, &list->place, NULL,
			"no rule reads the list `%s`", list->name);
	else if (list->origin == LIST_DNSBL && list->n_codes == 0)
		remark(a->remarks, SEVERITY_WARNING, &list->place,
			"name the answers that mean listed, as the zone's operator documents them: "
			"{ 127.0.0.2-127.0.0.11 }",
			"@%s takes any answer of `%s` for listed", list->name, list->from);
}

static bool looks_in_list(const struct expr *e)
{
	if (e->test && (e->test->operand == OPERAND_LIST || e->test->operand == OPERAND_LISTED))
		return true;
	for (const struct expr *child = e->first; child; child = child->next)
		if (looks_in_list(child))
			return true;
	return false;
}

static void advise_on_quotes(struct advice *a, const struct rule *rule)
{
	if (bits_has(a->policy->of[RULES_QUOTE_LIST], rule->index) &&
		!(rule->when && looks_in_list(rule->when)))
		remark(a->remarks, SEVERITY_WARNING, &rule->place, NULL,
			"rule `%s` looks nothing up in a list: {list.reason} and {list.item} are "
			"empty in its texts",
			rule->name);
}

/* --- all of it --- */

void policy_advise(const struct policy *policy, struct remarks *remarks)
{
	struct advice a = {.policy = policy, .remarks = remarks};

	a.stages = memory_zeroed((policy->n_rules + 1) * sizeof(*a.stages));
	policy_stages(policy, a.stages);
	find_last_word(&a);
	find_reach(policy, &a.score_low, &a.score_high);
	for (size_t i = 0; i < policy->rules->n_lists; i++)
		advise_on_list(&a, policy->rules->lists[i]);
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = policy_rule(policy, i);

		if (rule->mode == RULE_OFF)
			continue;
		advise_on_absent(&a, rule);
		advise_on_accept(&a, rule);
		advise_on_condition(&a, rule);
		advise_on_quotes(&a, rule);
	}
	advise_on_order(&a);
	advise_on_last_word(&a);
	free(a.stages);
}

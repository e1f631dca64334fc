/*
 * A fact has a stage, so a condition has two: the first at which it can be true, and the first at
 * which it can be false. They are found as Kleene's logic would find them, for all values at once:
 * `and` is true when its last part is, and false as soon as its first part is.
 */
#include "policy/advise.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "policy/text.h"
#include "policy/truth.h"

enum {
	CONJUNCTS_MAX = 64,
	PAIRS_MAX = 100000 /* of rules that are held against each other */
};

#define NEVER STAGE_COUNT

struct advice {
	const struct policy *policy;
	struct remarks *remarks;
	enum stage *stages; /* by rule */
	enum stage score;   /* when no rule can change it any more */
	int64_t score_low, score_high;
	size_t always; /* the first rule that decides whatever comes; n_rules: none */
};

/* When a condition can be true, and false, at the earliest. */
struct moments {
	enum stage yes, no;
};

static enum stage earlier(enum stage a, enum stage b)
{
	return a < b ? a : b;
}

static enum stage later(enum stage a, enum stage b)
{
	return a > b ? a : b;
}

/* --- stages --- */

static bool is_absent(const struct slot *slot)
{
	for (; slot; slot = slot->field)
		if (slot->fact->flags & FACT_ABSENT)
			return true;
	return false;
}

static bool is_in_store(const struct test *t)
{
	return t->operand == OPERAND_LIST && t->list->origin == LIST_STORE;
}

/* tags: when the last rule above that sets one is decided. */
static struct moments moments_of_test(const struct advice *a, const struct test *t, enum stage tags)
{
	if (t->verdict == VERDICT_SCORE)
		return (struct moments){a->score, a->score};
	if (t->verdict == VERDICT_TAGS)
		return (struct moments){tags, tags};
	if (is_absent(t->slot) || is_in_store(t))
		return (struct moments){NEVER, NEVER};
	return (struct moments){t->slot->stage, t->slot->stage};
}

static struct moments moments_of(const struct advice *a, const struct expr *e, enum stage tags)
{
	struct moments all, one;

	switch (e->kind) {
	case EXPR_TRUE:
		return (struct moments){STAGE_CONNECT, NEVER};
	case EXPR_TEST:
		return moments_of_test(a, e->test, tags);
	case EXPR_NOT:
		one = moments_of(a, e->first, tags);
		return (struct moments){one.no, one.yes};
	case EXPR_AND:
	case EXPR_OR:
		break;
	}
	all = e->kind == EXPR_AND ? (struct moments){STAGE_CONNECT, NEVER}
				  : (struct moments){NEVER, STAGE_CONNECT};
	for (const struct expr *child = e->first; child; child = child->next) {
		one = moments_of(a, child, tags);
		if (e->kind == EXPR_AND)
			all = (struct moments){later(all.yes, one.yes), earlier(all.no, one.no)};
		else
			all = (struct moments){earlier(all.yes, one.yes), later(all.no, one.no)};
	}
	return all;
}

static void find_stages(struct advice *a)
{
	const struct policy *p = a->policy;
	enum stage tags = STAGE_CONNECT;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct expr *when = policy_rule(p, i)->when;

		a->stages[i] = when ? moments_of(a, when, tags).yes : STAGE_CONNECT;
		if (bits_has(p->of[RULES_TAG], i) && a->stages[i] != NEVER)
			tags = later(tags, a->stages[i]);
	}
}

static void find_all_stages(struct advice *a)
{
	const struct policy *p = a->policy;

	/* A rule that changes the score does not read it. */
	find_stages(a);
	for (size_t i = 0; i < p->n_rules; i++)
		if (bits_has(p->of[RULES_SCORE], i) && a->stages[i] != NEVER)
			a->score = later(a->score, a->stages[i]);
	find_stages(a);
}

void policy_stages(const struct policy *policy, enum stage *stages)
{
	struct advice a = {.policy = policy, .stages = stages};

	find_all_stages(&a);
}

const char *policy_stage_name(enum stage stage)
{
	if (stage == NEVER)
		return "never";
	return stage_name(stage == STAGE_HEADER ? STAGE_MESSAGE : stage);
}

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

static void advise_on_accept(struct advice *a, const struct rule *rule)
{
	struct claim claim;

	if (!rule->final || rule->final->kind != ACTION_ACCEPT || !rule->when || !is_on(rule))
		return;
	claim = claim_of(rule->when, false);
	if (claim.claimed && !claim.proved)
		remark(a->remarks, SEVERITY_WARNING, &rule->place,
			"anybody can write such an address or field: ask for spf == pass, dmarc == "
			"pass or client.ip too",
			"rule `%s` accepts without authentication what anybody can claim to be",
			rule->name);
}

/* --- conditions that contradict themselves --- */

/* Tests that must all hold, or not hold, for the whole condition to be true. */
struct conjuncts {
	struct conjunct {
		const struct test *test;
		bool negated;
		const struct place *place;
	} items[CONJUNCTS_MAX];
	size_t n;
};

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

static bool is_empty_list(const struct conjunct *c)
{
	const struct test *t = c->test;

	return t->operand == OPERAND_LIST && t->list->origin == LIST_LITERAL && t->list->name &&
	       list_count(t->list->content) == 0 && !c->negated &&
	       (t->quantifier == QUANTIFIER_ONE || t->quantifier == QUANTIFIER_ANY);
}

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

/* Whether no score there can be passes the test. */
static bool is_out_of_reach(const struct advice *a, const struct conjunct *c)
{
	bool equal = c->test->op == (c->negated ? OP_NOT_EQUAL : OP_EQUAL);
	struct bounds b = {(double)a->score_low, (double)a->score_high, false, false};

	if (c->test->verdict != VERDICT_SCORE)
		return false;
	if (equal)
		return c->test->score < a->score_low || c->test->score > a->score_high;
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

/* `any tags ...` with no rule above that sets such a tag. */
static bool is_never_tagged(
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

static bool advise_on_verdict_fact(
	struct advice *a, const struct rule *rule, const struct conjunct *c)
{
	if (is_out_of_reach(a, c))
		remark(a->remarks, SEVERITY_WARNING, c->place, NULL,
			"rule `%s` never acts: rules can bring the score from %g to %g, no further",
			rule->name, (double)a->score_low / SCORE_UNIT,
			(double)a->score_high / SCORE_UNIT);
	else if (is_never_tagged(a->policy, rule, c))
		remark(a->remarks, SEVERITY_WARNING, c->place, NULL,
			"rule `%s` never acts: no rule above it sets such a tag", rule->name);
	else
		return false;
	return true;
}

/* The first of the tests that the others leave no value for; NULL: none. */
static const struct conjunct *contradiction(const struct advice *a, const struct conjuncts *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (leaves_nothing(a->policy, c, &c->items[i]) || bounds_cross(c, c->items[i].test))
			return &c->items[i];
	return NULL;
}

/* Tells of the first reason why the condition can't be true. */
static void advise_on_condition(struct advice *a, const struct rule *rule)
{
	struct conjuncts c = {.n = 0};
	const struct conjunct *one;

	if (!rule->when || rule->mode == RULE_OFF)
		return;
	gather(&c, rule->when, false);
	for (size_t i = 0; i < c.n; i++) {
		if (advise_on_verdict_fact(a, rule, &c.items[i]))
			return;
		if (is_empty_list(&c.items[i])) {
			remark(a->remarks, SEVERITY_WARNING, c.items[i].place, NULL,
				"rule `%s` never acts: @%s is empty", rule->name,
				c.items[i].test->list->name);
			return;
		}
	}
	one = contradiction(a, &c);
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
	return stage != NEVER && stage > STAGE_RCPT;
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

	for (size_t i = 0; i < 2; i++) {
		const struct expr *when = policy_rule(a->policy, i ? two : one)->when;

		if (when)
			gather(&c, when, false);
	}
	return !contradiction(a, &c);
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

/* The name of the first fact among slots that nobody measures; NULL: none. A rule that greylists
 * reads `greylist` without having written so. */
static const char *absent_fact(const struct rule *rule, const struct slot *const *slots, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (rule->final && rule->final->kind == ACTION_GREYLIST &&
			strcmp(slots[i]->fact->name, "greylist") == 0)
			continue;
		if (is_absent(slots[i]))
			return slots[i]->name;
	}
	return NULL;
}

static void advise_on_store(struct advice *a, const struct rule *rule)
{
	static const char help[] = "greylisting and lists from the store come with a later release";

	for (const struct action *action = rule->actions; action; action = action->next) {
		if (action->kind == ACTION_GREYLIST)
			remark(a->remarks, SEVERITY_WARNING, &action->place, help,
				"`greylist` needs the store, which this version has not: rule `%s` "
				"is skipped",
				rule->name);
		if (action->kind == ACTION_ADD)
			remark(a->remarks, SEVERITY_WARNING, &action->place, help,
				"`add` needs the store, which this version has not: nothing is "
				"added to @%s",
				action->list->name);
	}
}

static void advise_on_absent(struct advice *a, const struct rule *rule)
{
	const char *name = absent_fact(rule, rule->slots, rule->n_slots);
	bool defers = rule->on_error == ON_ERROR_DEFER && is_on(rule);

	if (name && a->stages[rule->index] != NEVER)
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
	name = absent_fact(rule, rule->text_slots, rule->n_text_slots);
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
	else if (list->origin == LIST_STORE)
		remark(a->remarks, SEVERITY_WARNING, &list->place,
			"until it does, `from file` takes a list that is read at each reload",
			"the store comes with a later release: rules that read @%s are skipped",
			list->name);
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
	find_all_stages(&a);
	find_last_word(&a);
	find_reach(policy, &a.score_low, &a.score_high);
	for (size_t i = 0; i < policy->rules->n_lists; i++)
		advise_on_list(&a, policy->rules->lists[i]);
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = policy_rule(policy, i);

		if (rule->mode == RULE_OFF)
			continue;
		advise_on_store(&a, rule);
		advise_on_absent(&a, rule);
		advise_on_accept(&a, rule);
		advise_on_condition(&a, rule);
		advise_on_quotes(&a, rule);
	}
	advise_on_order(&a);
	advise_on_last_word(&a);
	free(a.stages);
}

#include "tests/unit/policy_reference.h"

#include <string.h>

#include "lib/base/fail.h"
#include "policy/text.h"

/* --- Kleene, by tables --- */

static const enum truth members[] = {TRUTH_FALSE, TRUTH_TRUE, TRUTH_ERROR};

static enum truth and_of(enum truth a, enum truth b)
{
	if (a == TRUTH_FALSE || b == TRUTH_FALSE)
		return TRUTH_FALSE;
	return a == TRUTH_TRUE && b == TRUTH_TRUE ? TRUTH_TRUE : TRUTH_ERROR;
}

static enum truth or_of(enum truth a, enum truth b)
{
	if (a == TRUTH_TRUE || b == TRUTH_TRUE)
		return TRUTH_TRUE;
	return a == TRUTH_FALSE && b == TRUTH_FALSE ? TRUTH_FALSE : TRUTH_ERROR;
}

static enum truth not_of(enum truth a)
{
	if (a == TRUTH_ERROR)
		return TRUTH_ERROR;
	return a == TRUTH_TRUE ? TRUTH_FALSE : TRUTH_TRUE;
}

/* All that can come of any of these with any of those. */
static truth_set each_pair(truth_set a, truth_set b, enum truth (*join)(enum truth, enum truth))
{
	truth_set out = 0;

	for (size_t i = 0; i < COUNT_OF(members); i++)
		for (size_t k = 0; k < COUNT_OF(members); k++)
			if (a & members[i] && b & members[k])
				out |= join(members[i], members[k]);
	return out;
}

static truth_set each_not(truth_set a)
{
	truth_set out = 0;

	for (size_t i = 0; i < COUNT_OF(members); i++)
		if (a & members[i])
			out |= not_of(members[i]);
	return out;
}

static enum truth truth_of(bool yes)
{
	return yes ? TRUTH_TRUE : TRUTH_FALSE;
}

/* --- one test --- */

static bool same_text(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (ascii_lower(a.at[i]) != ascii_lower(b.at[i]))
			return false;
	return true;
}

static bool text_contains(struct span text, struct span part)
{
	for (size_t i = 0; i + part.len <= text.len; i++)
		if (same_text(span_make(text.at + i, part.len), part))
			return true;
	return false;
}

static double number_of(enum fact_type type, const union fact_datum *datum)
{
	if (type == TYPE_BOOL)
		return datum->yes;
	return type == TYPE_CHOICE ? datum->choice : datum->number;
}

static bool same(enum fact_type type, const union fact_datum *a, const union fact_datum *b)
{
	if (type == TYPE_TEXT)
		return same_text(a->text, b->text);
	return number_of(type, a) == number_of(type, b);
}

static bool in_set(const struct test *t, const union fact_datum *datum)
{
	for (size_t i = 0; i < t->n; i++)
		if (same(t->type, datum, &t->data[i]))
			return true;
	return false;
}

static bool passes(const struct test *t, const union fact_datum *datum)
{
	double left = number_of(t->type, datum), right = number_of(t->type, &t->datum);

	switch (t->op) {
	case OP_TRUE:
		return datum->yes;
	case OP_EQUAL:
		return same(t->type, datum, &t->datum);
	case OP_NOT_EQUAL:
		return !same(t->type, datum, &t->datum);
	case OP_LESS:
		return left < right;
	case OP_LESS_EQUAL:
		return left <= right;
	case OP_GREATER:
		return left > right;
	case OP_GREATER_EQUAL:
		return left >= right;
	case OP_IN:
		return in_set(t, datum);
	case OP_CONTAINS:
		return text_contains(datum->text, t->datum.text);
	case OP_UNDER:
	case OP_MATCHES:
	case OP_IS_NONE:
	case OP_IS_NOT_NONE:
		break;
	}
	fail_bug(__FILE__, __LINE__, "the reference knows this operator");
}

/* "none" where it is a word of the fact; otherwise NULL. */
static const union fact_datum *word_none(const struct test *t)
{
	static union fact_datum word;
	const struct fact_choice *c = t->slot ? t->slot->fact->choices : NULL;

	for (unsigned i = 0; c && c[i].word; i++) {
		word.choice = i;
		if (strcmp(c[i].word, "none") == 0)
			return &word;
	}
	return NULL;
}

static bool is_none(const struct test *t, const struct fact_value *v)
{
	const union fact_datum *none = word_none(t);

	return v->count == 0 || (none && v->items[0].choice == none->choice);
}

/* A known fact. */
static bool holds(const struct test *t, const struct fact_value *v)
{
	size_t n_passing = 0;

	if (t->op == OP_IS_NONE)
		return is_none(t, v);
	if (t->op == OP_IS_NOT_NONE)
		return !is_none(t, v);
	if (v->count == 0 && word_none(t))
		return passes(t, word_none(t));
	for (uint32_t i = 0; i < v->count; i++)
		n_passing += passes(t, &v->items[i]);
	switch (t->quantifier) {
	case QUANTIFIER_ONE: /* none equals nothing */
		return v->count ? n_passing : t->op == OP_NOT_EQUAL;
	case QUANTIFIER_ANY:
		return n_passing > 0;
	case QUANTIFIER_ALL:
		return n_passing == v->count;
	case QUANTIFIER_NO:
		break;
	}
	return n_passing == 0;
}

/* --- a look at all rules --- */

struct look {
	const struct rules *rules;
	const struct subject *subject;
	truth_set truth[REFERENCE_RULES_MAX]; /* of those looked at so far */
	int64_t low, high;
};

static truth_set truth_of_slot(const struct look *look, const struct test *t)
{
	const struct fact_value *v = subject_value(look->subject, t->slot);

	if (v->state == FACT_PENDING)
		return TRUTH_OPEN;
	return v->state == FACT_FAILED ? TRUTH_ERROR : truth_of(holds(t, v));
}

/* The set of tags with one more or less is what any, all and no are about: each tag that may be
 * there is there or not. */
static truth_set truth_of_tags(const struct look *look, const struct test *t, size_t rule)
{
	bool all = t->quantifier == QUANTIFIER_ALL,
	     is = t->op == OP_IS_NONE || t->op == OP_IS_NOT_NONE;
	truth_set some_pass = TRUTH_FALSE, all_pass = TRUTH_TRUE;

	for (size_t i = 0; i < rule; i++) {
		const struct rule *r = look->rules->items[i];
		bool may_not = look->truth[i] & (TRUTH_FALSE | TRUTH_ERROR);

		if (r->mode != RULE_ON || !(look->truth[i] & TRUTH_TRUE))
			continue;
		for (const struct action *a = r->actions; a; a = a->next) {
			union fact_datum datum;
			bool pass;

			if (a->kind != ACTION_TAG)
				continue;
			datum.text = a->text->source;
			pass = is || passes(t, &datum);
			some_pass = each_pair(some_pass,
				(truth_set)(truth_of(pass) | (may_not ? TRUTH_FALSE : 0)), or_of);
			all_pass = each_pair(all_pass,
				(truth_set)(truth_of(pass) | (may_not ? TRUTH_TRUE : 0)), and_of);
		}
	}
	if (is)
		return t->op == OP_IS_NONE ? each_not(some_pass) : some_pass;
	if (t->quantifier == QUANTIFIER_NO)
		return each_not(some_pass);
	return all ? all_pass : some_pass;
}

static bool score_holds(const struct test *t, int64_t score)
{
	bool below = t->op == OP_LESS || t->op == OP_LESS_EQUAL || t->op == OP_NOT_EQUAL;
	bool above = t->op == OP_GREATER || t->op == OP_GREATER_EQUAL || t->op == OP_NOT_EQUAL;
	bool at = t->op == OP_EQUAL || t->op == OP_LESS_EQUAL || t->op == OP_GREATER_EQUAL;

	if (score == t->score)
		return at;
	return score < t->score ? below : above;
}

/* Any score from low to high; those that a test tells apart lie at the ends and about its number.
 */
static truth_set truth_of_score(const struct look *look, const struct test *t)
{
	const int64_t tries[] = {look->low, look->high, t->score - 1, t->score, t->score + 1};
	truth_set out = 0;

	for (size_t i = 0; i < COUNT_OF(tries); i++)
		if (look->low <= tries[i] && tries[i] <= look->high)
			out |= truth_of(score_holds(t, tries[i]));
	return out;
}

static truth_set truth_of_expr(const struct look *look, const struct expr *e, size_t rule)
{
	truth_set out = e->kind == EXPR_AND ? TRUTH_TRUE : TRUTH_FALSE;

	switch (e->kind) {
	case EXPR_TRUE:
		return TRUTH_TRUE;
	case EXPR_NOT:
		return each_not(truth_of_expr(look, e->first, rule));
	case EXPR_TEST:
		if (e->test->verdict == VERDICT_SCORE)
			return truth_of_score(look, e->test);
		if (e->test->verdict == VERDICT_TAGS)
			return truth_of_tags(look, e->test, rule);
		return truth_of_slot(look, e->test);
	case EXPR_AND:
	case EXPR_OR:
		break;
	}
	for (const struct expr *child = e->first; child; child = child->next)
		out = each_pair(out, truth_of_expr(look, child, rule),
			e->kind == EXPR_AND ? and_of : or_of);
	return out;
}

static truth_set truth_of_rule(const struct look *look, size_t i)
{
	const struct rule *r = look->rules->items[i];

	if (r->mode == RULE_OFF)
		return TRUTH_FALSE;
	return r->when ? truth_of_expr(look, r->when, i) : TRUTH_TRUE;
}

static int64_t score_of(const struct rule *r)
{
	int64_t sum = 0;

	for (const struct action *a = r->actions; a && r->mode == RULE_ON; a = a->next)
		if (a->kind == ACTION_SCORE)
			sum += a->score;
	return sum;
}

/* The score that rules can bring which are not in the way of themselves: none of them reads it. */
static void add_up(struct look *look)
{
	look->low = look->high = 0;
	for (size_t i = 0; i < look->rules->n; i++) {
		int64_t score = score_of(look->rules->items[i]);
		bool may = look->truth[i] & TRUTH_TRUE, may_not = look->truth[i] & ~TRUTH_TRUE;

		look->low += may && (score < 0 || !may_not) ? score : 0;
		look->high += may && (score > 0 || !may_not) ? score : 0;
	}
}

/* First with any score at all, for what changes it; then with what that has come to. */
static void look_at(struct look *look)
{
	ENSURE(look->rules->n <= REFERENCE_RULES_MAX);
	look->low = -1000000000;
	look->high = 1000000000;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < look->rules->n; i++)
			look->truth[i] = truth_of_rule(look, i);
		if (round == 0)
			add_up(look);
	}
}

/* --- what rules come to --- */

/* Whether a rule acts finally when this is its truth. */
static bool ends(const struct rule *r, enum truth truth)
{
	if (r->mode != RULE_ON)
		return false;
	if (truth == TRUTH_ERROR)
		return r->on_error == ON_ERROR_DEFER;
	return truth == TRUTH_TRUE && r->final;
}

static bool can_end(const struct rule *r, truth_set truth)
{
	for (size_t k = 0; k < COUNT_OF(members); k++)
		if (truth & members[k] && ends(r, members[k]))
			return true;
	return false;
}

static bool is_single(truth_set truth)
{
	return truth == TRUTH_FALSE || truth == TRUTH_TRUE || truth == TRUTH_ERROR;
}

static void apply_effects(const struct rule *r, struct reference *out)
{
	for (const struct action *a = r->actions; a; a = a->next)
		if (!action_is_final(a->kind) && a->kind != ACTION_SCORE && a->kind != ACTION_ROUTE)
			out->effects[out->n_effects++] = a;
}

static const char *route_of(const struct rule *r)
{
	for (const struct action *a = r->actions; a; a = a->next)
		if (a->kind == ACTION_ROUTE)
			return a->name;
	return NULL;
}

void reference_all_known(
	const struct rules *rules, const struct subject *subject, struct reference *out)
{
	struct look look = {.rules = rules, .subject = subject};

	look_at(&look);
	memset(out, 0, sizeof(*out));
	ENSURE(look.low == look.high);
	out->score = look.low;
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = rules->items[i];

		ENSURE(is_single(look.truth[i]));
		out->truth[i] = look.truth[i];
		if (out->truth[i] == TRUTH_TRUE && r->mode == RULE_ON) {
			if (!out->route)
				out->route = route_of(r);
			if (!out->rule)
				apply_effects(r, out);
		}
		if (!out->rule && ends(r, out->truth[i])) {
			out->rule = r;
			out->final = out->truth[i] == TRUTH_TRUE ? r->final : NULL;
		}
	}
}

void reference_partly_known(
	const struct rules *rules, const struct subject *subject, struct reference_partly *out)
{
	struct look look = {.rules = rules, .subject = subject};
	bool in_doubt = false;

	look_at(&look);
	memset(out, 0, sizeof(*out));
	memcpy(out->truth, look.truth, sizeof(out->truth));
	out->low = look.low;
	out->high = look.high;
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = rules->items[i];

		if (!can_end(r, look.truth[i]))
			continue;
		if (!is_single(look.truth[i])) {
			in_doubt = true;
			continue;
		}
		/* This one certainly ends, and nothing below it counts any more. */
		if (look.truth[i] == TRUTH_TRUE && r->final->now)
			out->now = r;
		out->certain = !in_doubt;
		out->rule = in_doubt ? NULL : r;
		out->final = in_doubt || look.truth[i] != TRUTH_TRUE ? NULL : r->final;
		return;
	}
	out->certain = !in_doubt;
}

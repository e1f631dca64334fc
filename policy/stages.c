/*
 * A fact has a stage, so a condition has two: the first at which it can be true, and the first at
 * which it can be false. They are found as Kleene's logic would find them, for all values at once:
 * `and` is true when its last part is, and false as soon as its first part is.
 */
#include "policy/stages.h"

struct timing {
	const struct policy *policy;
	enum stage *stages; /* by rule */
	enum stage score;   /* when no rule can change it any more */
	bool all_measured;  /* as if every fact were, and every list at hand */
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

bool slot_is_absent(const struct slot *slot)
{
	for (; slot; slot = slot->field)
		if (slot->fact->flags & FACT_ABSENT)
			return true;
	return false;
}

/* tags: when the last rule above that sets one is decided. */
static struct moments moments_of_test(
	const struct timing *timing, const struct test *t, enum stage tags)
{
	if (t->verdict == VERDICT_SCORE)
		return (struct moments){timing->score, timing->score};
	if (t->verdict == VERDICT_TAGS)
		return (struct moments){tags, tags};
	if (!timing->all_measured && slot_is_absent(t->slot))
		return (struct moments){STAGE_NEVER, STAGE_NEVER};
	return (struct moments){t->slot->stage, t->slot->stage};
}

/* Under `or` what is said of true and false changes places. */
static struct moments turned(struct moments m)
{
	return (struct moments){m.no, m.yes};
}

static struct moments moments_of(const struct timing *timing, const struct expr *e, enum stage tags)
{
	struct moments all = {STAGE_CONNECT, STAGE_NEVER}, one;

	switch (e->kind) {
	case EXPR_TRUE:
		return all;
	case EXPR_TEST:
		return moments_of_test(timing, e->test, tags);
	case EXPR_NOT:
		return turned(moments_of(timing, e->first, tags));
	case EXPR_AND:
	case EXPR_OR:
		break;
	}
	for (const struct expr *child = e->first; child; child = child->next) {
		one = moments_of(timing, child, tags);
		one = e->kind == EXPR_AND ? one : turned(one);
		all = (struct moments){later(all.yes, one.yes), earlier(all.no, one.no)};
	}
	return e->kind == EXPR_AND ? all : turned(all);
}

static void find_stages(struct timing *timing)
{
	const struct policy *p = timing->policy;
	enum stage tags = STAGE_CONNECT;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct expr *when = policy_rule(p, i)->when;

		timing->stages[i] = when ? moments_of(timing, when, tags).yes : STAGE_CONNECT;
		if (bits_has(p->of[RULES_TAG], i) && timing->stages[i] != STAGE_NEVER)
			tags = later(tags, timing->stages[i]);
	}
}

static void find_all_stages(struct timing *timing)
{
	const struct policy *p = timing->policy;

	/* A rule that changes the score does not read it. */
	find_stages(timing);
	for (size_t i = 0; i < p->n_rules; i++)
		if (bits_has(p->of[RULES_SCORE], i) && timing->stages[i] != STAGE_NEVER)
			timing->score = later(timing->score, timing->stages[i]);
	find_stages(timing);
}

void policy_stages(const struct policy *policy, enum stage *stages)
{
	struct timing timing = {.policy = policy, .stages = stages};

	find_all_stages(&timing);
}

void policy_stages_as_written(const struct policy *policy, enum stage *stages)
{
	struct timing timing = {.policy = policy, .stages = stages, .all_measured = true};

	find_all_stages(&timing);
}

const char *policy_stage_name(enum stage stage)
{
	if (stage == STAGE_NEVER)
		return "never";
	return stage_name(stage == STAGE_HEADER ? STAGE_MESSAGE : stage);
}

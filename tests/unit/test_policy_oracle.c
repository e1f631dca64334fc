/*
 * Evaluation against the reference, over many random rule sets: whatever facts come in whatever
 * order, what it says is what the rules mean, it says so as early as can be told, and it asks for
 * what it needs and for no more. A failure prints the seed, the rules and the facts; SEEDS=N tries
 * more of them, SEED=N one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "tests/unit/policy_generate.h"
#include "tests/unit/policy_reference.h"
#include "policy/evaluate.h"
#include "policy/read.h"

enum { COMPLETIONS_MAX = 150 };

/* --- a case: rules from a seed, and the facts as they stand --- */

struct trial {
	uint64_t seed;
	struct choices choices;
	struct arena *arena;
	struct policy *policy;
	struct evaluation *e;
	struct world world;
	const char *property;
};

/* Of the trial in hand, for what is told when a check fails. */
static void tell(const struct trial *t, const char *condition, int line)
{
	printf("line %d: %s: not %s\nseed %llu\n", line, t->property, condition,
		(unsigned long long)t->seed);
	rules_print(t->policy->rules);
	world_print(&t->world);
	fflush(stdout);
}

#define HOLDS(t, condition)                                                                        \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			tell((t), #condition, __LINE__);                                           \
			assert_true(condition);                                                    \
		}                                                                                  \
	} while (0)

static void trial_begin(
	struct trial *t, const char *property, uint64_t seed, const struct generate *how)
{
	memset(t, 0, sizeof(*t));
	t->property = property;
	t->seed = seed;
	t->choices = choices_of_seed(seed);
	t->arena = arena_new(4096);
	t->policy = policy_new(generate_rules(&t->choices, how));
	t->e = evaluation_new(t->policy, t->arena);
	world_pending(&t->world);
}

static void trial_end(struct trial *t)
{
	policy_free(&t->policy);
	arena_free(&t->arena);
}

/* Runs a property over seeds: SEED=N alone, or as many as SEEDS=N says. */
static void each_seed(
	const char *property, unsigned n, const struct generate *how, void (*check)(struct trial *))
{
	const char *one = getenv("SEED"), *many = getenv("SEEDS");
	uint64_t first = one ? strtoull(one, NULL, 10) : 0;
	uint64_t count = one ? 1 : many ? strtoull(many, NULL, 10) : n;

	for (uint64_t seed = first; seed < first + count; seed++) {
		struct trial t;

		trial_begin(&t, property, seed, how);
		check(&t);
		trial_end(&t);
	}
}

static void shuffle(struct choices *c, unsigned *order)
{
	for (unsigned i = 0; i < SLOTS; i++)
		order[i] = i;
	for (unsigned i = SLOTS; i > 1; i--) {
		unsigned k = choose(c, i), kept = order[i - 1];

		order[i - 1] = order[k];
		order[k] = kept;
	}
}

/* --- completions: what can still become of pending facts --- */

/* Those of stages from `first` to `last`. All of them in turn if they are few, otherwise some. */
struct completions {
	const struct world *from;
	struct choices *choices;
	enum stage first, last;
	unsigned n, total;
	bool all;
};

static bool is_open(const struct completions *c, unsigned slot)
{
	return c->from->state[slot] == STATE_PENDING && slot_stage(slot) >= c->first &&
	       slot_stage(slot) <= c->last;
}

static struct completions completions_of(
	const struct world *from, struct choices *choices, enum stage first, enum stage last)
{
	struct completions c = {
		.from = from, .choices = choices, .first = first, .last = last, .total = 1};

	c.all = true;
	for (unsigned i = 0; i < SLOTS; i++) {
		if (is_open(&c, i) && c.all)
			c.total *= slot_states(i);
		c.all = c.total <= COMPLETIONS_MAX;
	}
	if (!c.all)
		c.total = COMPLETIONS_MAX / 2;
	return c;
}

static bool completions_next(struct completions *c, struct world *out)
{
	unsigned number = c->n++;

	if (number == c->total)
		return false;
	world_pending(out);
	for (unsigned i = 0; i < SLOTS; i++) {
		uint8_t state = c->from->state[i];

		if (is_open(c, i)) {
			state = (uint8_t)(c->all ? number % slot_states(i)
						 : choose(c->choices, slot_states(i)));
			number /= c->all ? slot_states(i) : 1;
		}
		world_set(out, i, state);
	}
	return true;
}

#define for_completions(out, t, first, last)                                                       \
	for (struct completions each_ =                                                            \
			completions_of(&(t)->world, &(t)->choices, (first), (last));               \
		completions_next(&each_, (out));)

/* Whether for_completions goes through all of them. */
static bool are_few(struct trial *t, enum stage first, enum stage last)
{
	return completions_of(&t->world, &t->choices, first, last).all;
}

static bool same_outcome(const struct outcome *o, const struct reference *r)
{
	return o->rule == r->rule && o->final == r->final;
}

/* --- a, b: certain when it is, and not before --- */

static void check_against_all_completions(struct trial *t, const struct outcome *outcome)
{
	struct world world;

	for_completions (&world, t, STAGE_CONNECT, STAGE_MESSAGE) {
		struct reference r;

		reference_all_known(t->policy->rules, &world.subject, &r);
		HOLDS(t, same_outcome(outcome, &r));
	}
}

/* What `now` adds: its rule is true whatever comes, and nothing above it certainly acts. */
static void check_now(struct trial *t, const struct outcome *outcome)
{
	struct world world;

	HOLDS(t, outcome->final && outcome->final->now);
	for_completions (&world, t, STAGE_CONNECT, STAGE_MESSAGE) {
		struct reference r;

		reference_all_known(t->policy->rules, &world.subject, &r);
		HOLDS(t, r.truth[outcome->rule->index] == TRUTH_TRUE);
	}
}

static void check_truths(struct trial *t, const struct reference_partly *r)
{
	int64_t low, high;

	evaluation_score(t->e, &low, &high);
	HOLDS(t, low == r->low && high == r->high);
	for (size_t i = 0; i < t->policy->n_rules; i++) {
		const struct rule *rule = policy_rule(t->policy, i);

		if (rule->mode != RULE_OFF)
			HOLDS(t, evaluation_truth(t->e, &t->world.subject, rule) == r->truth[i]);
	}
}

/* Facts come one by one; at each step the outcome is certain exactly if it can be told. */
static void check_prefixes(struct trial *t)
{
	unsigned order[SLOTS];
	struct outcome before = {.certain = false};
	struct world all;

	shuffle(&t->choices, order);
	world_choose(&all, &t->choices);
	for (unsigned n = 0; n <= SLOTS; n++) {
		struct reference_partly r;
		struct outcome now;

		if (n)
			world_set(&t->world, order[n - 1], all.state[order[n - 1]]);
		evaluation_run(t->e, &t->world.subject);
		reference_partly_known(t->policy->rules, &t->world.subject, &r);
		now = outcome_of(t->e);
		check_truths(t, &r);
		if (before.certain) {
			HOLDS(t, now.certain && now.rule == before.rule &&
					 now.final == before.final);
			continue;
		}
		HOLDS(t, now.certain == (r.certain || r.now));
		if (now.certain && r.certain)
			check_against_all_completions(t, &now);
		else if (now.certain)
			check_now(t, &now);
		if (r.now)
			HOLDS(t, now.rule == r.now);
		before = now;
	}
	HOLDS(t, before.certain);
}

static const struct generate without_now = {.rules_min = 1,
	.rules_max = 12,
	.depth_max = 4,
	.score = true,
	.tags = true,
	.guarded = 10};

/* Small sets that hang on score and tags more than on anything else. */
static const struct generate verdicts = {.rules_min = 2,
	.rules_max = 6,
	.depth_max = 1,
	.score = true,
	.tags = true,
	.verdicts = true};

static void test_certain_when_it_can_be_told(void **state)
{
	(void)state;
	each_seed("prefixes", 1500, &generate_anything, check_prefixes);
}

/* Where no fact stands twice and no score is in play, Kleene logic leaves nothing out: the outcome
 * is certain as soon as all completions agree. */
static void check_earliest(struct trial *t)
{
	unsigned order[SLOTS];
	struct world all, world;

	shuffle(&t->choices, order);
	world_choose(&all, &t->choices);
	for (unsigned n = SLOTS - 4; n < SLOTS; n++) {
		bool agree = true, first = true;
		struct reference seen, r;
		struct outcome outcome;

		for (unsigned i = 0; i < n; i++)
			world_set(&t->world, order[i], all.state[order[i]]);
		evaluation_run(t->e, &t->world.subject);
		outcome = outcome_of(t->e);
		if (!are_few(t, STAGE_CONNECT, STAGE_MESSAGE))
			continue;
		for_completions (&world, t, STAGE_CONNECT, STAGE_MESSAGE) {
			reference_all_known(t->policy->rules, &world.subject, &r);
			agree = agree && (first || (r.rule == seen.rule && r.final == seen.final));
			seen = r;
			first = false;
		}
		HOLDS(t, outcome.certain == agree);
	}
}

static void test_certain_as_soon_as_all_agree(void **state)
{
	const struct generate how = {.rules_min = 1, .rules_max = 1, .depth_max = 3, .once = true};

	(void)state;
	each_seed("earliest", 700, &how, check_earliest);
}

/* --- c: the order in which facts come --- */

struct account {
	struct outcome outcome;
	int64_t low, high;
	const char *route;
	const struct action *effects[REFERENCE_EFFECTS_MAX];
	size_t n_effects;
};

static void account_of(const struct evaluation *e, struct account *out)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;

	out->outcome = outcome_of(e);
	evaluation_score(e, &out->low, &out->high);
	out->route = evaluation_route(e);
	out->n_effects = 0;
	while (evaluation_next_effect(e, &cursor, &rule))
		out->effects[out->n_effects++] = cursor.action;
}

static void check_account(struct trial *t, const struct account *a, const struct reference *r)
{
	HOLDS(t, a->outcome.certain);
	HOLDS(t, same_outcome(&a->outcome, r));
	HOLDS(t, a->low == r->score && a->high == r->score);
	HOLDS(t, a->route == r->route);
	HOLDS(t, a->n_effects == r->n_effects);
	for (size_t i = 0; i < r->n_effects; i++)
		HOLDS(t, a->effects[i] == r->effects[i]);
}

static void check_walks(struct trial *t, const struct reference *r)
{
	size_t monitored = 0, hit = 0, n_hits = 0;
	const struct rule *rule;

	while (evaluation_next_hit(t->e, &hit, &rule)) {
		HOLDS(t, r->truth[rule->index] == TRUTH_TRUE);
		n_hits++;
	}
	for (size_t i = 0; i < t->policy->n_rules; i++)
		n_hits -= r->truth[i] == TRUTH_TRUE;
	HOLDS(t, n_hits == 0);
	for (size_t i = 0; i < t->policy->n_rules; i++) {
		const struct rule *expected = policy_rule(t->policy, i);

		if (r->rule && i >= r->rule->index)
			break;
		if (expected->mode != RULE_MONITOR || r->truth[i] != TRUTH_TRUE)
			continue;
		HOLDS(t, evaluation_next_monitored(t->e, &monitored, &rule));
		HOLDS(t, rule == expected);
	}
	HOLDS(t, !evaluation_next_monitored(t->e, &monitored, &rule));
}

static void check_order(struct trial *t)
{
	unsigned order[SLOTS];
	struct reference r;
	struct account a;
	struct world all;

	world_choose(&all, &t->choices);
	reference_all_known(t->policy->rules, &all.subject, &r);
	for (int round = 0; round < 3; round++) {
		shuffle(&t->choices, order);
		world_pending(&t->world);
		evaluation_restart(t->e);
		for (unsigned i = 0; i < SLOTS; i++) {
			world_set(&t->world, order[i], all.state[order[i]]);
			if (round || choose(&t->choices, 2))
				evaluation_run(t->e, &t->world.subject);
		}
		evaluation_run(t->e, &t->world.subject);
		account_of(t->e, &a);
		check_account(t, &a, &r);
		check_walks(t, &r);
	}
}

static void test_order_changes_nothing(void **state)
{
	(void)state;
	each_seed("order", 2500, &without_now, check_order);
}

/* --- d: what is wanted is enough, and no more --- */

/* Whether an open rule that could still matter reads the slot, as far as a glance tells. */
static bool is_read(const struct trial *t, const struct reference_partly *r, unsigned slot)
{
	for (size_t i = 0; i < t->policy->n_rules; i++) {
		const struct rule *rule = policy_rule(t->policy, i);
		bool open = r->truth[i] & (r->truth[i] - 1) && rule->mode != RULE_OFF;

		for (unsigned k = 0; open && k < rule->n_slots; k++)
			if (rule->slots[k]->number == slot ||
				(rule->slots[k]->field && rule->slots[k]->field->number == slot))
				return true;
		open = open || r->truth[i] == TRUTH_TRUE;
		for (unsigned k = 0; open && k < rule->n_text_slots; k++)
			if (rule->text_slots[k]->number == slot ||
				(rule->text_slots[k]->field &&
					rule->text_slots[k]->field->number == slot))
				return true;
	}
	return false;
}

static void check_frugal(struct trial *t, const bool *wanted, enum stage reached)
{
	struct reference_partly r;

	reference_partly_known(t->policy->rules, &t->world.subject, &r);
	for (unsigned i = 0; i < SLOTS; i++) {
		if (!wanted[i])
			continue;
		HOLDS(t, t->world.state[i] == STATE_PENDING && slot_stage(i) <= reached);
		HOLDS(t, is_read(t, &r, i));
	}
}

/* Measures what is wanted until nothing is. */
static unsigned measure(struct trial *t, const struct world *all, enum stage reached)
{
	bool wanted[SLOTS];
	unsigned n = 0, before;

	do {
		before = n;
		evaluation_run(t->e, &t->world.subject);
		evaluation_wants(t->e, &t->world.subject, reached, wanted);
		check_frugal(t, wanted, reached);
		for (unsigned i = 0; i < SLOTS; i++) {
			if (!wanted[i] || (n > before && choose(&t->choices, 2)))
				continue;
			world_set(&t->world, i, all->state[i]);
			n++;
		}
	} while (n > before);
	return n;
}

/* A rule with neither slots nor texts pending that has decided wants nothing more. */
static void check_nothing_wanted(struct trial *t)
{
	struct outcome outcome = outcome_of(t->e);
	bool wanted[SLOTS];

	if (!outcome.certain || outcome_sternness(&outcome) <= STERN_QUARANTINE ||
		(outcome.final && outcome.final->text) ||
		(outcome.rule && outcome.rule->n_text_slots) || outcome.rule->text_reads_score ||
		outcome.rule->text_reads_tags)
		return;
	evaluation_wants(t->e, &t->world.subject, STAGE_MESSAGE, wanted);
	for (unsigned i = 0; i < SLOTS; i++)
		HOLDS(t, !wanted[i]);
	HOLDS(t, evaluation_ready(t->e, &t->world.subject));
}

/* All that a rule's texts quote has been measured. */
static void check_quotes(struct trial *t, size_t i)
{
	const struct rule *rule = policy_rule(t->policy, i);
	int64_t low, high;

	for (unsigned k = 0; k < rule->n_text_slots; k++)
		HOLDS(t, t->world.state[rule->text_slots[k]->number] != STATE_PENDING);
	evaluation_score(t->e, &low, &high);
	HOLDS(t, !rule->text_reads_score || low == high);
	for (size_t k = 0; rule->text_reads_tags && k < i; k++) {
		truth_set truth =
			evaluation_truth(t->e, &t->world.subject, policy_rule(t->policy, k));

		HOLDS(t, !bits_has(t->policy->of[RULES_TAG], k) || truth == TRUTH_TRUE ||
				 !(truth & TRUTH_TRUE));
	}
}

static void check_all_quotes(struct trial *t, const struct reference *r, bool goes_on)
{
	for (size_t i = 0; goes_on && i < t->policy->n_rules; i++)
		if ((!r->rule || i < r->rule->index) && r->truth[i] == TRUTH_TRUE &&
			bits_has(t->policy->of[RULES_EFFECT], i))
			check_quotes(t, i);
	if (r->final)
		check_quotes(t, r->rule->index);
}

static size_t measured, measurable;

static void check_wants(struct trial *t)
{
	struct account a;
	struct reference r;
	struct world all;

	world_choose(&all, &t->choices);
	for (enum stage stage = STAGE_CONNECT; stage < STAGE_COUNT; stage++) {
		measured += measure(t, &all, stage);
		check_nothing_wanted(t);
	}
	measurable += SLOTS;
	HOLDS(t, evaluation_ready(t->e, &t->world.subject));
	reference_all_known(t->policy->rules, &all.subject, &r);
	account_of(t->e, &a);
	HOLDS(t, a.outcome.certain);
	HOLDS(t, same_outcome(&a.outcome, &r));
	check_all_quotes(t, &r, outcome_sternness(&a.outcome) <= STERN_QUARANTINE);
	if (outcome_sternness(&a.outcome) > STERN_QUARANTINE)
		return;
	HOLDS(t, a.route == r.route);
	HOLDS(t, a.n_effects == r.n_effects);
	for (size_t i = 0; i < r.n_effects; i++)
		HOLDS(t, a.effects[i] == r.effects[i]);
}

static void test_what_is_wanted_suffices(void **state)
{
	(void)state;
	measured = measurable = 0;
	each_seed("wants", 3000, &without_now, check_wants);
	each_seed("wants of verdicts", 3000, &verdicts, check_wants);
	if (!getenv("SEED")) /* measuring everything would be 100 */
		assert_in_range(measured * 100 / measurable, 20, 60);
}

/* Whether some completion comes out otherwise when this one slot does. */
static bool makes_a_difference(struct trial *t, unsigned slot)
{
	struct world world;

	for_completions (&world, t, STAGE_CONNECT, STAGE_MESSAGE) {
		struct reference a, b;
		uint8_t state = world.state[slot];

		reference_all_known(t->policy->rules, &world.subject, &a);
		for (unsigned i = 0; i < slot_states(slot); i++) {
			world_set(&world, slot, (uint8_t)i);
			reference_all_known(t->policy->rules, &world.subject, &b);
			if (a.rule != b.rule || a.final != b.final || a.route != b.route ||
				a.n_effects != b.n_effects ||
				(a.truth[0] == TRUTH_TRUE) != (b.truth[0] == TRUTH_TRUE))
				return true;
		}
		world_set(&world, slot, state);
	}
	return false;
}

static bool is_quoted_or_field(const struct rule *rule, unsigned slot)
{
	for (unsigned i = 0; i < rule->n_text_slots; i++)
		for (const struct slot *s = rule->text_slots[i]; s; s = s->field)
			if (s->number == slot)
				return true;
	for (unsigned i = 0; i < rule->n_slots; i++)
		if (rule->slots[i]->field && rule->slots[i]->field->number == slot)
			return true;
	return false;
}

static void check_wanted_differs(struct trial *t)
{
	bool wanted[SLOTS];
	struct world all;

	world_choose(&all, &t->choices);
	for (unsigned i = 0; i < SLOTS; i++)
		if (choose_often(&t->choices, 65))
			world_set(&t->world, i, all.state[i]);
	evaluation_run(t->e, &t->world.subject);
	evaluation_wants(t->e, &t->world.subject, STAGE_MESSAGE, wanted);
	if (!are_few(t, STAGE_CONNECT, STAGE_MESSAGE))
		return;
	for (unsigned i = 0; i < SLOTS; i++)
		HOLDS(t, !wanted[i] || is_quoted_or_field(policy_rule(t->policy, 0), i) ||
				 makes_a_difference(t, i));
}

static void test_what_is_wanted_makes_a_difference(void **state)
{
	const struct generate how = {.rules_min = 1, .rules_max = 1, .depth_max = 3, .once = true};

	(void)state;
	each_seed("differs", 2000, &how, check_wanted_differs);
}

/* --- e: what is waited for could settle it --- */

/* A certain outcome that RCPT would be answered with, or that splits recipients. */
static bool is_settled(const struct evaluation *e)
{
	struct outcome o = outcome_of(e);

	return o.certain && o.rule && !(o.final && o.final->kind == ACTION_ACCEPT);
}

/* Measures what is worth waiting for until nothing is. true: something was, but settled nothing. */
static void wait_for_all(struct trial *t, const struct world *all, enum stage reached)
{
	bool wanted[SLOTS], waits[SLOTS], some = true;

	while (some) {
		bool marked = false;

		evaluation_run(t->e, &t->world.subject);
		evaluation_wants(t->e, &t->world.subject, reached, wanted);
		some = evaluation_waits(t->e, &t->world.subject, reached, waits);
		for (unsigned i = 0; i < SLOTS; i++) {
			HOLDS(t, !waits[i] || wanted[i]);
			marked = marked || waits[i];
			if (waits[i])
				world_set(&t->world, i, all->state[i]);
		}
		HOLDS(t, marked == some);
	}
}

static void check_waits(struct trial *t)
{
	enum stage reached = choose_often(&t->choices, 70) ? STAGE_RCPT : STAGE_MAIL;
	struct evaluation *later = evaluation_new(t->policy, t->arena);
	struct world all, world;

	world_choose(&all, &t->choices);
	for (unsigned i = 0; i < SLOTS; i++)
		if (slot_stage(i) <= reached && choose_often(&t->choices, 25))
			world_set(&t->world, i, all.state[i]);
	wait_for_all(t, &all, reached);
	if (outcome_of(t->e).certain)
		return;
	for_completions (&world, t, STAGE_CONNECT, reached) {
		evaluation_copy(later, t->e);
		evaluation_run(later, &world.subject);
		HOLDS(t, !is_settled(later));
		HOLDS(t, evaluation_route(later) == evaluation_route(t->e));
	}
}

static void test_nothing_left_to_wait_for(void **state)
{
	(void)state;
	each_seed("waits", 2500, &generate_anything, check_waits);
	each_seed("waits for verdicts", 2500, &verdicts, check_waits);
}

/* Where no fact stands twice, and neither score nor tags are in play, whatever is waited for might
 * indeed have settled it. */
static void check_waits_are_worth_it(struct trial *t)
{
	struct evaluation *later = evaluation_new(t->policy, t->arena);
	bool waits[SLOTS], early = false, may_settle = false;
	struct world all, world;

	world_choose(&all, &t->choices);
	for (unsigned i = 0; i < SLOTS; i++)
		if (choose_often(&t->choices, 30) || slot_stage(i) == STAGE_RCPT)
			world_set(&t->world, i, all.state[i]);
	for (unsigned i = 0; i < SLOTS; i++)
		if (slot_stage(i) > STAGE_RCPT)
			world_set(&t->world, i, STATE_PENDING);
	evaluation_run(t->e, &t->world.subject);
	if (outcome_of(t->e).certain ||
		!evaluation_waits(t->e, &t->world.subject, STAGE_RCPT, waits))
		return;
	for (unsigned i = 0; i < SLOTS; i++)
		early = early || waits[i];
	for_completions (&world, t, STAGE_CONNECT, STAGE_RCPT) {
		evaluation_copy(later, t->e);
		evaluation_run(later, &world.subject);
		may_settle = may_settle || is_settled(later) ||
			     evaluation_route(later) != evaluation_route(t->e);
	}
	HOLDS(t, !early || may_settle);
}

static void test_waiting_is_worth_it(void **state)
{
	const struct generate how = {.rules_min = 1, .rules_max = 3, .depth_max = 2, .once = true};

	(void)state;
	each_seed("worth", 2500, &how, check_waits_are_worth_it);
}

/* --- f: recipients --- */

struct recipient {
	struct world world;
	struct evaluation *e;
	uint64_t residue;
};

/* What texts of these actions say of the recipient must be the same too. */
static bool same_recipient_facts(
	const struct rule *rule, const struct world *a, const struct world *b)
{
	for (unsigned i = 0; i < rule->n_text_slots; i++) {
		unsigned slot = rule->text_slots[i]->number;

		if (slot_stage(slot) == STAGE_RCPT && a->state[slot] != b->state[slot])
			return false;
	}
	return true;
}

static void complete(struct recipient *r, const struct world *with)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (slot_stage(i) != STAGE_RCPT)
			world_set(&r->world, i, with->state[i]);
}

static void check_same_fate(struct trial *t, struct recipient *one, struct recipient *two)
{
	struct world all;

	for (int i = 0; i < 25; i++) {
		struct reference a, b;

		world_choose(&all, &t->choices);
		for (unsigned k = 0; k < SLOTS; k++)
			if (t->world.state[k] != STATE_PENDING)
				world_set(&all, k, t->world.state[k]);
		complete(one, &all);
		complete(two, &all);
		reference_all_known(t->policy->rules, &one->world.subject, &a);
		reference_all_known(t->policy->rules, &two->world.subject, &b);
		HOLDS(t, a.rule == b.rule && a.final == b.final);
		HOLDS(t, a.score == b.score && a.n_effects == b.n_effects);
		HOLDS(t, (!a.route && !b.route) ||
				 (a.route && b.route && !strcmp(a.route, b.route)));
		for (size_t k = 0; k < a.n_effects; k++)
			HOLDS(t, a.effects[k] == b.effects[k]);
		HOLDS(t, !a.final || same_recipient_facts(a.rule, &one->world, &two->world));
		for (size_t k = 0; k < t->policy->n_rules && (!a.rule || k < a.rule->index); k++)
			HOLDS(t, a.truth[k] != TRUTH_TRUE ||
					 !bits_has(t->policy->of[RULES_EFFECT], k) ||
					 same_recipient_facts(policy_rule(t->policy, k),
						 &one->world, &two->world));
	}
}

static void recipient_begin(struct trial *t, struct recipient *r)
{
	r->world = t->world;
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		r->world.subject.at[i] = r->world.by_stage[i];
	for (unsigned i = 0; i < SLOTS; i++)
		if (slot_stage(i) == STAGE_RCPT)
			world_set(&r->world, i, (uint8_t)choose(&t->choices, slot_states(i)));
	r->e = evaluation_new(t->policy, t->arena);
	evaluation_copy(r->e, t->e);
	evaluation_run(r->e, &r->world.subject);
	r->residue = evaluation_residue(r->e, &r->world.subject);
}

static size_t residues, equal_residues;

static void check_residue(struct trial *t)
{
	struct recipient r[3];

	for (unsigned i = 0; i < SLOTS; i++)
		if (slot_stage(i) < STAGE_RCPT && choose_often(&t->choices, 60))
			world_set(&t->world, i, (uint8_t)choose(&t->choices, slot_states(i)));
	evaluation_run(t->e, &t->world.subject);
	for (unsigned i = 0; i < 3; i++)
		recipient_begin(t, &r[i]);
	for (unsigned i = 0; i < 3; i++) {
		struct recipient *one = &r[i], *two = &r[(i + 1) % 3];
		struct outcome o = outcome_of(one->e);

		residues++;
		if (one->residue != two->residue || (o.certain && o.final && o.final->now))
			continue;
		equal_residues++;
		check_same_fate(t, one, two);
	}
}

static void test_equal_residues_share_a_fate(void **state)
{
	(void)state;
	residues = equal_residues = 0;
	each_seed("residue", 1500, &without_now, check_residue);
	each_seed("residue of verdicts", 12000, &verdicts, check_residue);
	if (!getenv("SEED")) /* telling all apart would be easy */
		assert_in_range(equal_residues * 100 / residues, 40, 99);
}

static int sternness_by_hand(const struct reference *r)
{
	static const int by_hand[] = {
		[ACTION_ACCEPT] = 0,
		[ACTION_QUARANTINE] = 1,
		[ACTION_DEFER] = 2,
		[ACTION_GREYLIST] = 2,
		[ACTION_DISCARD] = 3,
		[ACTION_REJECT] = 4,
	};

	if (!r->rule)
		return 0;
	if (!r->final)
		return 2;
	return by_hand[r->final->kind];
}

/* The sternest of a group is milder than none of its members would have had alone. */
static void check_strictest(struct trial *t)
{
	enum sternness sternest = STERN_ACCEPT;
	struct reference r[4];
	struct world all;

	world_choose(&all, &t->choices);
	for (unsigned i = 0; i < COUNT_OF(r); i++) {
		struct outcome outcome;

		for (unsigned k = 0; k < SLOTS; k++)
			world_set(&t->world, k,
				slot_stage(k) == STAGE_RCPT
					? (uint8_t)choose(&t->choices, slot_states(k))
					: all.state[k]);
		evaluation_restart(t->e);
		evaluation_run(t->e, &t->world.subject);
		outcome = outcome_of(t->e);
		if (outcome_sternness(&outcome) > sternest)
			sternest = outcome_sternness(&outcome);
		reference_all_known(t->policy->rules, &t->world.subject, &r[i]);
		HOLDS(t, (int)outcome_sternness(&outcome) == sternness_by_hand(&r[i]));
	}
	for (unsigned i = 0; i < COUNT_OF(r); i++)
		HOLDS(t, sternness_by_hand(&r[i]) <= (int)sternest);
}

static void test_strictest_is_never_milder(void **state)
{
	(void)state;
	each_seed("strictest", 800, &without_now, check_strictest);
}

/* --- g: guards --- */

static void test_guards_change_nothing(void **state)
{
	const struct generate how = {.rules_min = 50,
		.rules_max = 60,
		.depth_max = 1,
		.now = true,
		.score = true,
		.tags = true,
		.guarded = 85};

	(void)state;
	each_seed("guards", 120, &how, check_prefixes);
}

static void test_guards_are_there(void **state)
{
	const struct generate how = {
		.rules_min = 60, .rules_max = 60, .depth_max = 1, .guarded = 100};
	struct trial t;
	unsigned n = 0;

	(void)state;
	trial_begin(&t, "guards", 1, &how);
	for (unsigned i = 0; i < SLOTS; i++)
		n += t.policy->guards[i] != NULL;
	assert_int_equal(n, 4);
	trial_end(&t);
}

/* --- h: memory that is used again --- */

static void check_same_account(struct trial *t, const struct evaluation *a,
	const struct evaluation *b, const struct subject *s)
{
	struct account one, two;
	bool want_one[SLOTS], want_two[SLOTS];

	account_of(a, &one);
	account_of(b, &two);
	HOLDS(t, one.outcome.certain == two.outcome.certain);
	HOLDS(t, one.outcome.rule == two.outcome.rule && one.outcome.final == two.outcome.final);
	HOLDS(t, one.low == two.low && one.high == two.high && one.route == two.route);
	HOLDS(t, one.n_effects == two.n_effects);
	HOLDS(t, evaluation_residue(a, s) == evaluation_residue(b, s));
	HOLDS(t, evaluation_ready(a, s) == evaluation_ready(b, s));
	evaluation_wants(a, s, STAGE_MESSAGE, want_one);
	evaluation_wants(b, s, STAGE_MESSAGE, want_two);
	HOLDS(t, memcmp(want_one, want_two, sizeof(want_one)) == 0);
}

static void check_reuse(struct trial *t)
{
	struct evaluation *fresh = evaluation_new(t->policy, t->arena);
	struct evaluation *copy = evaluation_new(t->policy, t->arena);
	struct world all, other;

	world_choose(&other, &t->choices);
	evaluation_run(t->e, &other.subject);
	evaluation_restart(t->e);
	evaluation_run(copy, &other.subject);

	world_choose(&all, &t->choices);
	for (unsigned i = 0; i < SLOTS; i++)
		if (choose(&t->choices, 2))
			world_set(&t->world, i, all.state[i]);
	evaluation_run(t->e, &t->world.subject);
	evaluation_run(fresh, &t->world.subject);
	check_same_account(t, t->e, fresh, &t->world.subject);
	evaluation_copy(copy, t->e);
	check_same_account(t, copy, fresh, &t->world.subject);

	for (unsigned i = 0; i < SLOTS; i++)
		world_set(&t->world, i, all.state[i]);
	evaluation_run(copy, &t->world.subject);
	evaluation_run(fresh, &t->world.subject);
	check_same_account(t, copy, fresh, &t->world.subject);
}

static void test_used_again_as_if_fresh(void **state)
{
	(void)state;
	each_seed("reuse", 1500, &generate_anything, check_reuse);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certain_when_it_can_be_told),
		cmocka_unit_test(test_certain_as_soon_as_all_agree),
		cmocka_unit_test(test_order_changes_nothing),
		cmocka_unit_test(test_what_is_wanted_suffices),
		cmocka_unit_test(test_what_is_wanted_makes_a_difference),
		cmocka_unit_test(test_nothing_left_to_wait_for),
		cmocka_unit_test(test_waiting_is_worth_it),
		cmocka_unit_test(test_equal_residues_share_a_fate),
		cmocka_unit_test(test_strictest_is_never_milder),
		cmocka_unit_test(test_guards_change_nothing),
		cmocka_unit_test(test_guards_are_there),
		cmocka_unit_test(test_used_again_as_if_fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

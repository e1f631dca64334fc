/*
 * The bytes choose a rule set, the facts that a session brings, and in which order; evaluation must
 * agree with the reference (tests/unit/policy_reference.h) at each step, in what it finds certain,
 * in what it asks for, and in the end.
 */
#include "lib/base/fail.h"
#include "policy/evaluate.h"
#include "tests/unit/policy_generate.h"
#include "tests/unit/policy_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	struct policy *policy;
	struct arena *arena;
	struct evaluation *e;
	struct world world, all;
};

static void try_step(struct run *r, struct outcome *before)
{
	struct outcome now = outcome_of(r->e);
	struct reference_partly partly;
	int64_t low, high;

	reference_partly_known(r->policy->rules, &r->world.subject, &partly);
	evaluation_score(r->e, &low, &high);
	ENSURE(low == partly.low && high == partly.high);
	for (size_t i = 0; i < r->policy->n_rules; i++)
		if (policy_rule(r->policy, i)->mode != RULE_OFF)
			ENSURE(evaluation_truth(r->e, &r->world.subject,
				       policy_rule(r->policy, i)) == partly.truth[i]);
	if (before->certain) {
		ENSURE(now.certain && now.rule == before->rule && now.final == before->final);
		return;
	}
	ENSURE(now.certain == (partly.certain || partly.now));
	if (partly.now)
		ENSURE(now.rule == partly.now && now.final->now);
	else if (now.certain)
		ENSURE(now.rule == partly.rule && now.final == partly.final);
	*before = now;
}

static void try_end(const struct run *r, const struct outcome *outcome)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;
	struct reference all;
	size_t n = 0;

	reference_all_known(r->policy->rules, &r->all.subject, &all);
	ENSURE(outcome->certain);
	ENSURE(evaluation_ready(r->e, &r->world.subject));
	ENSURE(evaluation_route(r->e) == all.route);
	if (outcome->rule != all.rule) {
		ENSURE(outcome->final && outcome->final->now);
		return;
	}
	ENSURE(outcome->final == all.final);
	while (evaluation_next_effect(r->e, &cursor, &rule))
		ENSURE(n < all.n_effects && cursor.action == all.effects[n++]);
	ENSURE(n == all.n_effects);
}

/* What is wanted is pending and at hand; what is waited for is wanted. */
static void try_wants(const struct run *r, enum stage reached)
{
	bool wanted[SLOTS], waits[SLOTS];

	evaluation_wants(r->e, &r->world.subject, reached, wanted);
	evaluation_waits(r->e, &r->world.subject, reached, waits);
	for (unsigned i = 0; i < SLOTS; i++) {
		ENSURE(!wanted[i] ||
			(r->world.state[i] == STATE_PENDING && slot_stage(i) <= reached));
		ENSURE(!waits[i] || wanted[i]);
	}
	(void)evaluation_residue(r->e, &r->world.subject);
}

static void try_in_order(struct run *r, struct choices *c)
{
	struct outcome before = {.certain = false};
	unsigned left = SLOTS;

	while (left) {
		unsigned slot = choose(c, SLOTS);

		while (r->world.state[slot] != STATE_PENDING)
			slot = (slot + 1) % SLOTS;
		evaluation_run(r->e, &r->world.subject);
		try_step(r, &before);
		try_wants(r, (enum stage)choose(c, STAGE_COUNT));
		world_set(&r->world, slot, r->all.state[slot]);
		left--;
	}
	evaluation_run(r->e, &r->world.subject);
	try_step(r, &before);
	try_end(r, &before);
}

/* As a session does: measures what is wanted, stage by stage, and nothing else. */
static void try_on_demand(struct run *r)
{
	bool wanted[SLOTS], some;
	struct outcome outcome;
	struct reference all;

	world_pending(&r->world);
	evaluation_restart(r->e);
	for (enum stage stage = STAGE_CONNECT; stage < STAGE_COUNT; stage++) {
		do {
			some = false;
			evaluation_run(r->e, &r->world.subject);
			evaluation_wants(r->e, &r->world.subject, stage, wanted);
			for (unsigned i = 0; i < SLOTS; i++) {
				if (wanted[i])
					world_set(&r->world, i, r->all.state[i]);
				some = some || wanted[i];
			}
		} while (some);
	}
	outcome = outcome_of(r->e);
	reference_all_known(r->policy->rules, &r->all.subject, &all);
	ENSURE(outcome.certain && evaluation_ready(r->e, &r->world.subject));
	if (!outcome.final || !outcome.final->now)
		ENSURE(outcome.rule == all.rule && outcome.final == all.final);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct choices c = {.bytes = data, .n_bytes = size};
	struct run r = {.arena = arena_new(4096)};

	world_choose(&r.all, &c);
	world_pending(&r.world);
	r.policy = policy_new(generate_rules(&c, &generate_anything));
	r.e = evaluation_new(r.policy, r.arena);
	try_in_order(&r, &c);
	try_on_demand(&r);
	policy_free(&r.policy);
	arena_free(&r.arena);
	return 0;
}

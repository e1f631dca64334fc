/*
 * policy_generate: random rule sets over a small universe of facts, built in memory as the reader
 * would build them, and random states of these facts. The choices come from a seed, or from bytes
 * (a fuzzer's), so that each set can be had again.
 */
#ifndef TESTS_UNIT_POLICY_GENERATE_H
#define TESTS_UNIT_POLICY_GENERATE_H

#include "policy/policy.h"
#include "policy/truth.h"

/* Where choices come from: the bytes as long as there are any, then the state (0: always the
 * first choice). */
struct choices {
	const uint8_t *bytes;
	size_t n_bytes;
	uint64_t state;
};

struct choices choices_of_seed(uint64_t seed);
unsigned choose(struct choices *c, unsigned n); /* 0 to n - 1 */
bool choose_often(struct choices *c, unsigned percent);

enum {
	SLOTS = 9,
	STATES_MAX = 8, /* of a slot */
	STATE_PENDING = 255
};

struct generate {
	unsigned rules_min, rules_max;
	unsigned depth_max; /* of conditions */
	bool once;          /* no fact stands in two tests of all rules */
	bool now;           /* some rules say `reject now` */
	bool score, tags;   /* read and written */
	bool verdicts;      /* and much so */
	unsigned guarded;   /* percent of the rules that compare one slot with a literal */
};

extern const struct generate generate_anything;

/* Free with rules_free, or by way of policy_new. */
struct rules *generate_rules(struct choices *c, const struct generate *how);

/* As a rule file, roughly: for people who look at a failure. */
void rules_print(const struct rules *rules);

/* States of a slot, one of which is that it is none, and one (the last) that it has failed. */
unsigned slot_states(unsigned slot);

/* States of all slots, and how evaluation sees them. */
struct world {
	uint8_t state[SLOTS];
	struct fact_value values[SLOTS];
	struct fact_value by_stage[STAGE_COUNT][SLOTS];
	struct subject subject;
};
void world_pending(struct world *w);
void world_set(struct world *w, unsigned slot, uint8_t state);
void world_choose(struct world *w, struct choices *c); /* all of them */
void world_print(const struct world *w);
enum stage slot_stage(unsigned slot);

#endif

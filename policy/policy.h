/*
 * policy: rules made ready to be evaluated many times: for each slot the rules that read it, sets
 * of rules by what they do, and guards that rule out at once all rules that need a slot to be
 * something else. Immutable and shared by all sessions of a worker; a reload makes a new one.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "policy/bits.h"
#include "policy/guard.h"
#include "policy/rules.h"

/* Rules by number, as a list where they are few, as a set where they are many. */
struct rule_group {
	const uint32_t *list; /* NULL: `set` */
	size_t n;             /* of the list */
	const uint64_t *set;
};

/* Sets of rules by what they do; monitored ones do nothing, and are in MONITOR only. */
enum rules_that {
	RULES_FINAL,  /* have a final action, or `on error defer` */
	RULES_NOW,    /* reject now */
	RULES_SCORE,  /* change the score */
	RULES_TAG,    /* set tags */
	RULES_EFFECT, /* have accumulating actions besides score and route */
	RULES_ROUTE,
	RULES_MONITOR,
	/* of all, monitored ones too */
	RULES_READ_SCORE, /* in their condition, themselves or through tags */
	RULES_READ_TAGS,
	RULES_QUOTE_SCORE, /* in a text */
	RULES_QUOTE_TAGS,
	RULES_QUOTE_LIST, /* {list.reason} or {list.item} */
	RULES_LIVE,       /* all but `off` */
	RULES_FIXED,      /* conditions without any slot */
	RULES_COUNT
};

struct policy {
	struct arena *arena; /* owned; holds this struct too */
	struct rules *rules; /* owned */
	size_t n_rules, n_slots;
	size_t words;                /* of a set of rules */
	struct rule_group *readers;  /* by slot: rules whose condition reads it */
	struct rule_group *quoters;  /* by slot: rules whose texts read it */
	const struct guard **guards; /* by slot; NULL: none */
	uint64_t *of[RULES_COUNT];   /* sets of rules */
	int64_t *scores;             /* by rule: what it adds, in SCORE_UNITs */
	size_t n_memos;              /* tests whose truth is remembered (struct test), and one */
	struct pattern_scratch *scratch; /* owned: for matching; one user at a time */
	int64_t score_low, score_high;   /* while nothing is known */
	uint8_t hash_key[16];            /* random: for what comes from outside */
};

/* Takes the rules over. */
struct policy *policy_new(struct rules *rules);
void policy_free(struct policy **policy);

/* Bytes that it holds, rules included. */
size_t policy_size(const struct policy *policy);

static inline const struct rule *policy_rule(const struct policy *policy, size_t index)
{
	return policy->rules->items[index];
}

/* Whether some rule reads this fact, in its condition or a text. */
bool policy_reads(const struct policy *policy, struct span fact);

#endif

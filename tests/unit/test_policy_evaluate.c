/*
 * Evaluation by hand: what the design says of single rules and of what they do to each other.
 * test_policy_oracle.c has the same over many random sets.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/error.h"
#include "policy/evaluate.h"
#include "tests/unit/policy_facts.h"
#include "tests/unit/rules_texts.h"

struct session {
	struct policy *policy;
	struct arena *arena;
	struct fact_value *at[STAGE_COUNT];
	struct subject subject;
	struct evaluation *e;
	bool *marks; /* by slot */
};

static void session_begin(struct session *s, const char *rules)
{
	memset(s, 0, sizeof(*s));
	s->policy = policy_new(rules_of(rules));
	s->arena = arena_new(4096);
	for (int i = 0; i < STAGE_COUNT; i++) {
		s->at[i] = arena_alloc(
			s->arena, (s->policy->rules->n_at[i] + 1) * sizeof(struct fact_value));
		s->subject.at[i] = s->at[i];
	}
	s->e = evaluation_new(s->policy, s->arena);
	s->marks = arena_alloc(s->arena, s->policy->n_slots + 1);
	evaluation_run(s->e, &s->subject);
}

static void session_end(struct session *s)
{
	policy_free(&s->policy);
	arena_free(&s->arena);
}

static const struct slot *slot_named(const struct session *s, const char *name)
{
	for (size_t i = 0; i < s->policy->n_slots; i++)
		if (strcmp(s->policy->rules->slots[i]->name, name) == 0)
			return s->policy->rules->slots[i];
	fail_msg("no rule reads %s", name);
	return NULL;
}

/* "failed" is one that can't be known. */
static void know(struct session *s, const char *name, const char *text)
{
	const struct slot *slot = slot_named(s, name);
	struct fact_value value = {.state = FACT_FAILED};
	struct err why;

	if (strcmp(text, "failed") != 0 &&
		!fact_value_read(slot->fact, span_text(text), s->arena, &value, &why))
		fail_msg("%s", why.text);
	s->at[slot->stage][slot->index] = value;
	evaluation_run(s->e, &s->subject);
}

/* The rule that wins; "accept": none. NULL: it is still open. */
static void expect_outcome(const struct session *s, const char *rule)
{
	struct outcome outcome = outcome_of(s->e);

	assert_true(outcome.certain == (rule != NULL));
	if (rule)
		assert_string_equal(outcome.rule ? outcome.rule->name : "accept", rule);
}

static bool is_wanted(struct session *s, const char *name, enum stage reached)
{
	evaluation_wants(s->e, &s->subject, reached, s->marks);
	return s->marks[slot_named(s, name)->number];
}

static bool is_waited_for(struct session *s, const char *name)
{
	(void)evaluation_waits(s->e, &s->subject, STAGE_RCPT, s->marks);
	return s->marks[slot_named(s, name)->number];
}

static bool is_ready(const struct session *s)
{
	return evaluation_ready(s->e, &s->subject);
}

/* --- the outcome --- */

static void test_first_final_action_wins(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule late { when dkim == fail then quarantine \"x\" }\n"
			  "rule early { when tls then reject }\n"
			  "rule last { then defer }\n");
	expect_outcome(&s, NULL);
	know(&s, "tls", "yes"); /* held back by the rule above */
	expect_outcome(&s, NULL);
	know(&s, "dkim", "pass");
	expect_outcome(&s, "early");
	session_end(&s);
}

static void test_no_rule_is_an_accept(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule a { when tls then reject }");
	know(&s, "tls", "failed");
	expect_outcome(&s, "accept");
	assert_int_equal(outcome_sternness(&(struct outcome){.certain = true}), STERN_ACCEPT);
	session_end(&s);
}

static void test_known_false_and_unknown_is_false(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule a { when spf == fail and dkim == fail then reject }");
	know(&s, "spf", "pass");
	expect_outcome(&s, "accept");
	assert_false(is_wanted(&s, "dkim", STAGE_MESSAGE));
	assert_true(is_ready(&s));
	session_end(&s);
}

static void test_now_waits_for_nobody_above(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule white { when spf == pass then accept }\n"
			  "rule now { when tls then reject now }\n"
			  "rule slow { when helo.fqdn then reject }\n");
	know(&s, "helo.fqdn", "yes");
	expect_outcome(&s, NULL);
	know(&s, "tls", "yes");
	expect_outcome(&s, "now");
	know(&s, "spf", "pass"); /* too late: it may have been spoken */
	expect_outcome(&s, "now");
	evaluation_restart(s.e);
	evaluation_run(s.e, &s.subject); /* all known at once: read from top to bottom */
	expect_outcome(&s, "white");
	session_end(&s);
}

static void test_now_loses_to_a_certain_rule_above(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule top { when dkim == pass then accept }\n"
			  "rule white { when spf == pass then accept }\n"
			  "rule now { when tls then reject now }\n");
	know(&s, "spf", "pass");
	know(&s, "tls", "yes");
	expect_outcome(&s, NULL);
	know(&s, "dkim", "fail");
	expect_outcome(&s, "white");
	session_end(&s);
}

static void test_a_now_that_fails_is_not_now(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule white { when spf == pass then accept }\n"
			  "rule now { when tls on error defer then reject now }\n");
	know(&s, "tls", "failed");
	expect_outcome(&s, NULL);
	know(&s, "spf", "pass");
	expect_outcome(&s, "white");
	session_end(&s);
}

/* --- failed lookups --- */

static void test_on_error_defer(void **state)
{
	struct session s;
	struct outcome outcome;

	(void)state;
	session_begin(&s, "rule a { when spf == fail on error defer then reject }\n"
			  "rule b { then discard \"x\" }");
	know(&s, "spf", "failed");
	expect_outcome(&s, "a");
	outcome = outcome_of(s.e);
	assert_null(outcome.final);
	assert_int_equal(outcome_sternness(&outcome), STERN_DEFER);
	session_end(&s);
}

/* It defers in error; when it is true it does what it says, which here ends nothing. */
static void test_on_error_defer_without_a_final_action(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule a { when spf == fail on error defer then score 4 }\n"
			  "rule b { when score >= 4 then reject }");
	know(&s, "spf", "fail");
	expect_outcome(&s, "b");
	session_end(&s);
}

static void test_monitor_and_off(void **state)
{
	struct session s;
	const struct rule *rule = NULL;
	size_t cursor = 0;

	(void)state;
	session_begin(&s, "rule a monitor { when tls on error defer then reject, score 100 }\n"
			  "rule b off { then reject }\n"
			  "rule c { when score > 0 then reject }\n");
	expect_outcome(&s, "accept");
	assert_true(is_wanted(&s, "tls", STAGE_HELO));
	assert_false(is_ready(&s)); /* it is counted */
	know(&s, "tls", "yes");
	expect_outcome(&s, "accept");
	assert_true(evaluation_next_monitored(s.e, &cursor, &rule));
	assert_string_equal(rule->name, "a");
	assert_false(evaluation_next_monitored(s.e, &cursor, &rule));
	session_end(&s);
}

/* --- the score --- */

static void test_score_by_its_interval(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule spam { when score >= 6 then reject \"{score}\" }\n"
			  "rule a { when tls then score 7 }\n"
			  "rule b { when spf == fail then score 3 }\n"
			  "rule c { when dkim == pass then score -1 }\n");
	know(&s, "tls", "yes");
	expect_outcome(&s, "spam"); /* 7 - 1 at least, wherever the rules stand */
	assert_false(is_ready(&s)); /* its text says how much it was in the end */
	assert_true(is_waited_for(&s, "spf"));
	assert_false(is_waited_for(&s, "dkim"));
	know(&s, "spf", "pass");
	know(&s, "dkim", "pass");
	assert_true(is_ready(&s));
	session_end(&s);
}

/* It stands in the log, as tags do, if the message goes on; below the winner nobody asks. */
static void test_a_score_that_decides_nothing_is_measured_above_the_winner(void **state)
{
	static const char rules[] = "rule a { when tls then score 7 }\n"
				    "rule b { when spf == fail then reject }\n"
				    "rule c { when spf == pass then accept }\n"
				    "rule d { when subject == \"x\" then score 1 }\n";
	int64_t low, high;
	struct session s;

	(void)state;
	session_begin(&s, rules);
	assert_true(is_wanted(&s, "tls", STAGE_MESSAGE));
	assert_true(is_wanted(&s, "subject", STAGE_MESSAGE));
	assert_true(is_wanted(&s, "spf", STAGE_MESSAGE));
	assert_false(is_wanted(&s, "spf", STAGE_HELO));
	know(&s, "spf", "pass");
	expect_outcome(&s, "c");
	assert_false(is_wanted(&s, "subject", STAGE_MESSAGE));
	assert_false(is_ready(&s));
	know(&s, "tls", "yes");
	assert_true(is_ready(&s));
	evaluation_score(s.e, &low, &high);
	assert_int_equal(low, 7 * SCORE_UNIT);
	session_end(&s);

	session_begin(&s, rules);
	know(&s, "spf", "fail");
	expect_outcome(&s, "b");
	assert_false(is_wanted(&s, "tls", STAGE_MESSAGE));
	assert_true(is_ready(&s));
	session_end(&s);
}

/* --- what goes with the outcome --- */

static void test_effects_of_the_winner_and_above(void **state)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;
	struct session s;

	(void)state;
	session_begin(&s, "rule a { when tls then delay 1s, score 2 }\n"
			  "rule b { then quarantine \"x\", tag \"t\" }\n"
			  "rule c { then header add \"X-C\" \"c\" }\n");
	expect_outcome(&s, "b");
	assert_false(is_ready(&s)); /* it goes on, so what is above counts */
	assert_true(is_wanted(&s, "tls", STAGE_HELO));
	know(&s, "tls", "yes");
	assert_true(is_ready(&s));
	assert_true(evaluation_next_effect(s.e, &cursor, &rule));
	assert_int_equal(cursor.action->kind, ACTION_DELAY);
	assert_true(evaluation_next_effect(s.e, &cursor, &rule));
	assert_int_equal(cursor.action->kind, ACTION_TAG);
	assert_string_equal(rule->name, "b");
	assert_false(evaluation_next_effect(s.e, &cursor, &rule));
	session_end(&s);
}

static void test_a_refusal_needs_nothing_more(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule a { when dkim == fail then header add \"X-D\" \"fail\" }\n"
			  "rule r { when rcpt.domain == \"x.example\" then route other }\n"
			  "rule b { when tls then reject \"{client.rdns}\" }\n");
	know(&s, "tls", "yes");
	expect_outcome(&s, "b");
	assert_false(is_wanted(&s, "dkim", STAGE_MESSAGE));
	assert_false(is_wanted(&s, "rcpt.domain", STAGE_MESSAGE));
	assert_true(is_waited_for(&s, "client.rdns"));
	know(&s, "client.rdns", "none");
	assert_true(is_ready(&s));
	session_end(&s);
}

static void test_route(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule a { when client.asn == 1 then accept }\n"
			  "rule b { when tls then route other }\n"
			  "rule c { when spf == pass then route main }\n");
	assert_null(evaluation_route(s.e));
	know(&s, "client.asn", "1"); /* it applies wherever it stands */
	expect_outcome(&s, "a");
	assert_true(is_waited_for(&s, "tls"));
	know(&s, "tls", "yes");
	assert_string_equal(evaluation_route(s.e), "other");
	assert_false(is_wanted(&s, "spf", STAGE_MESSAGE)); /* the first one is known */
	assert_true(is_ready(&s));
	session_end(&s);
}

/* --- what is worth waiting for at RCPT --- */

static void test_waits_for_what_alone_could_settle_it(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule a { when spf == fail then reject }\n"
			  "rule b { when client.asn == 1 and dkim == fail then reject }\n"
			  "rule c { when tls then reject }\n");
	assert_true(is_waited_for(&s, "spf"));        /* alone it settles it */
	assert_true(is_waited_for(&s, "client.asn")); /* it may take b out of c's way */
	assert_true(is_waited_for(&s, "tls"));
	assert_false(is_waited_for(&s, "dkim"));
	know(&s, "client.asn", "1"); /* b stays open until the message */
	assert_true(is_waited_for(&s, "spf"));
	assert_false(is_waited_for(&s, "tls"));
	assert_true(is_wanted(&s, "tls", STAGE_RCPT));
	session_end(&s);
}

static void test_an_accept_is_not_waited_for(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule a { when spf == fail and dkim == fail then reject }\n"
			  "rule b { when tls then accept }\n"
			  "rule c { then accept }\n");
	assert_false(is_waited_for(&s, "spf"));
	assert_false(is_waited_for(&s, "tls"));
	session_end(&s);
}

static void test_the_recipients_own_is_always_waited_for(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule a { when rcpt.valid and dkim == fail then reject }\n"
			  "rule b { when dkim == none then reject \"{greylist}\" }\n"
			  "rule c { when rcpt.count > 5 then score 1 }\n"
			  "rule d { when dkim == policy then reject \"{score}\" }\n");
	assert_true(is_waited_for(&s, "rcpt.valid"));
	/* Quoted only if b wins, but later there is no asking any more. */
	assert_true(is_waited_for(&s, "greylist"));
	assert_true(is_waited_for(&s, "rcpt.count"));
	session_end(&s);
}

/* --- recipients --- */

static uint64_t residue_with(struct session *s, const char *const *facts)
{
	evaluation_restart(s->e);
	for (; *facts; facts += 2)
		know(s, facts[0], facts[1]);
	return evaluation_residue(s->e, &s->subject);
}

#define RESIDUE(s, ...) residue_with((s), (const char *const[]){__VA_ARGS__, NULL})

static void test_residues_tell_what_is_left(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s,
		"rule a { when (rcpt.valid and dkim == fail) or (not rcpt.valid and arc == fail) "
		"then reject }");
	assert_true(RESIDUE(&s, "rcpt.valid", "yes") != RESIDUE(&s, "rcpt.valid", "no"));
	assert_true(RESIDUE(&s, "rcpt.valid", "none") == RESIDUE(&s, "rcpt.valid", "no"));
	session_end(&s);
}

/* Behind a certain rule nothing acts, but what changes the score still does. */
static void test_residues_see_scores_and_tags_below(void **state)
{
	static const char below[] =
		"rule a { when score >= 5 then reject }\n"
		"rule win { then quarantine \"x\" }\n"
		"rule b { when (rcpt.valid and dkim == fail) or (not rcpt.valid and arc == fail) "
		"then score 5 }\n";
	static const char through_tags[] =
		"rule a { when score >= 5 then reject }\n"
		"rule win { then quarantine \"x\" }\n"
		"rule b { when (rcpt.valid and dkim == fail) or (not rcpt.valid and arc == fail) "
		"then tag \"t\" }\n"
		"rule c { when any tags == \"t\" then score 5 }\n";
	struct session s;

	(void)state;
	session_begin(&s, below);
	assert_true(RESIDUE(&s, "rcpt.valid", "yes") != RESIDUE(&s, "rcpt.valid", "no"));
	session_end(&s);
	session_begin(&s, through_tags);
	assert_true(RESIDUE(&s, "rcpt.valid", "yes") != RESIDUE(&s, "rcpt.valid", "no"));
	session_end(&s);
}

static void test_residues_see_what_texts_say(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "rule a { then header add \"X-To\" \"{rcpt.to}\" }\n"
			  "rule b { when dkim == fail then reject }");
	assert_true(
		RESIDUE(&s, "rcpt.to", "a@example.com") != RESIDUE(&s, "rcpt.to", "b@example.com"));
	assert_true(
		RESIDUE(&s, "rcpt.to", "a@example.com") != RESIDUE(&s, "rcpt.to", "A@example.com"));
	assert_true(RESIDUE(&s, "rcpt.to", "failed") != RESIDUE(&s, "rcpt.to", "none"));
	assert_true(
		RESIDUE(&s, "rcpt.to", "a@example.com") == RESIDUE(&s, "rcpt.to", "a@example.com"));
	session_end(&s);

	session_begin(&s,
		"list known : mail { \"a@example.com\", \"b@example.com\" }\n"
		"rule a { when rcpt.to in @known then header add \"X-L\" \"{list.item}\" }\n"
		"rule b { when dkim == fail then reject }");
	assert_true(
		RESIDUE(&s, "rcpt.to", "a@example.com") != RESIDUE(&s, "rcpt.to", "b@example.com"));
	session_end(&s);

	session_begin(&s, "list known : mail { \"a@example.com\", \"b@example.com\" }\n"
			  "rule a { when rcpt.to in @known then header add \"X-L\" \"yes\" }\n"
			  "rule b { when dkim == fail then reject }");
	assert_true(
		RESIDUE(&s, "rcpt.to", "a@example.com") == RESIDUE(&s, "rcpt.to", "b@example.com"));
	session_end(&s);
}

static void test_no_rules(void **state)
{
	struct session s;

	(void)state;
	session_begin(&s, "");
	expect_outcome(&s, "accept");
	assert_true(is_ready(&s));
	assert_false(evaluation_waits(s.e, &s.subject, STAGE_RCPT, s.marks));
	session_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_final_action_wins),
		cmocka_unit_test(test_no_rule_is_an_accept),
		cmocka_unit_test(test_known_false_and_unknown_is_false),
		cmocka_unit_test(test_now_waits_for_nobody_above),
		cmocka_unit_test(test_now_loses_to_a_certain_rule_above),
		cmocka_unit_test(test_a_now_that_fails_is_not_now),
		cmocka_unit_test(test_on_error_defer),
		cmocka_unit_test(test_on_error_defer_without_a_final_action),
		cmocka_unit_test(test_monitor_and_off),
		cmocka_unit_test(test_score_by_its_interval),
		cmocka_unit_test(test_a_score_that_decides_nothing_is_measured_above_the_winner),
		cmocka_unit_test(test_effects_of_the_winner_and_above),
		cmocka_unit_test(test_a_refusal_needs_nothing_more),
		cmocka_unit_test(test_route),
		cmocka_unit_test(test_waits_for_what_alone_could_settle_it),
		cmocka_unit_test(test_an_accept_is_not_waited_for),
		cmocka_unit_test(test_the_recipients_own_is_always_waited_for),
		cmocka_unit_test(test_residues_tell_what_is_left),
		cmocka_unit_test(test_residues_see_scores_and_tags_below),
		cmocka_unit_test(test_residues_see_what_texts_say),
		cmocka_unit_test(test_no_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

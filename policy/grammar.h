/*
 * grammar: the words of the rule language with what they mean, for its manual: the same tables that
 * the reader walks.
 */
#ifndef POLICY_GRAMMAR_H
#define POLICY_GRAMMAR_H

#include "policy/rules.h"

struct action_grammar {
	const char *syntax; /* as an admin writes it */
	const char *help;   /* one line */
	/* What is said where nothing is written; 0 and NULL: it says nothing to the client. */
	unsigned code;
	const char *enhanced;
	const char *text;
};

struct action_grammar action_grammar(enum action_kind kind);

/* The operators for values of a fact, in words: "== != in". */
const char *operators_of(const struct fact *fact);

/* What only texts know, {list.reason} and the like; NULL behind the last. help: one line. */
const char *text_own_field_name(size_t index, const char **help);

#endif

/*
 * rules_texts: rule files for tests, from texts instead of the disk, over the facts of
 * policy_facts.h and the backends `main` and `other`.
 */
#ifndef TESTS_UNIT_RULES_TEXTS_H
#define TESTS_UNIT_RULES_TEXTS_H

#include "policy/read.h"

struct text_file {
	const char *path, *text; /* the last one has a NULL path */
};

/* The files that can be read besides t.rules; NULL: none. */
struct rules *rules_of_files(const char *text, const struct text_file *others,
	struct buffer *report, size_t *n_warnings);

/* Rules that are right; fails the test with the report when they are not. */
struct rules *rules_of(const char *text);

/* The same with slots for facts that no rule reads (rule_setup.keeps). */
struct rules *rules_of_keeping(const char *text, bool (*keeps)(const struct fact *fact));

/* The report is exactly this. */
void expect_rules_report(const char *text, const char *expected);

/* The one mistake, or the first, begins with this ("3:9: error: ...", of t.rules) and its report
 * holds this help (NULL: none is looked for); n mistakes in all. */
void expect_mistakes(const char *text, size_t n, const char *first, const char *help);

#endif

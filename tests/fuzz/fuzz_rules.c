/*
 * Anything as rule files: the text up to a NUL is t.rules, what follows is every other file that it
 * names. What is read without mistakes must hold together, and each mistake must be in the report.
 */
#include "lib/base/fail.h"
#include "policy/read.h"
#include "policy/text.h"
#include "tests/unit/policy_facts.h"

enum { REPORT_MAX = 1 << 20, FILES_MAX = 30 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct files {
	struct span first, others;
	int n; /* read so far; "a/a/a" names a new one each time */
};

static bool read_text(void *context, const char *path, struct span *content, const char **problem)
{
	struct files *files = context;

	*problem = "no such file";
	*content = strcmp(path, "t.rules") == 0 ? files->first : files->others;
	return files->n++ < FILES_MAX;
}

static bool digest(unsigned digits, struct span text, char *hex)
{
	memset(hex, text.len % 2 ? 'a' : '0', digits);
	return true;
}

static void check_slot(const struct rules *rules, const struct slot *slot)
{
	ENSURE(slot->number < rules->n_slots && rules->slots[slot->number] == slot);
	ENSURE(slot->index < rules->n_at[slot->stage]);
	ENSURE(slot->stage >= slot->fact->stage);
	ENSURE(!slot->field || slot->stage >= slot->field->stage);
	ENSURE(slot->name && *slot->name);
}

static bool has_slot(const struct slot *const *slots, unsigned n, const struct slot *slot)
{
	for (unsigned i = 0; i < n; i++)
		if (slots[i] == slot)
			return true;
	return false;
}

static void check_test(const struct rule *rule, const struct test *t)
{
	ENSURE((t->slot != NULL) == (t->verdict == VERDICT_NO));
	ENSURE(!t->slot || has_slot(rule->slots, rule->n_slots, t->slot));
	ENSURE(t->operand != OPERAND_LIST ||
		(t->list && (t->list->content || t->list->origin == LIST_STORE)));
	ENSURE(t->operand != OPERAND_LISTED || t->slot->list);
	for (size_t i = 0; t->operand == OPERAND_PATTERN && i < t->n; i++)
		ENSURE(t->patterns[i] != NULL);
}

static void check_expr(const struct rule *rule, const struct expr *e)
{
	ENSURE((e->kind == EXPR_TEST) == (e->test != NULL) && e->kind != EXPR_TRUE);
	ENSURE((e->kind == EXPR_TEST) == (e->first == NULL));
	ENSURE((e->kind != EXPR_AND && e->kind != EXPR_OR) || e->first->next);
	if (e->test)
		check_test(rule, e->test);
	for (const struct expr *inner = e->first; inner; inner = inner->next) {
		ENSURE(inner->kind != e->kind || e->kind == EXPR_NOT);
		check_expr(rule, inner);
	}
}

static void check_text(const struct rule *rule, const struct text *text)
{
	for (const struct text_part *part = text->first; part; part = part->next)
		ENSURE(part->field != TEXT_SLOT ||
			has_slot(rule->text_slots, rule->n_text_slots, part->slot));
}

static void check_rule(const struct rules *rules, const struct rule *rule)
{
	ENSURE(rule->name && rule->actions && rules->items[rule->index] == rule);
	if (rule->when)
		check_expr(rule, rule->when);
	for (unsigned i = 0; i < rule->n_slots; i++)
		check_slot(rules, rule->slots[i]);
	for (const struct action *a = rule->actions; a; a = a->next) {
		ENSURE(!action_is_final(a->kind) || a == rule->final);
		ENSURE(a->kind != ACTION_SCORE || !rule->reads_score);
		ENSURE(a->kind != ACTION_ADD || (a->field && a->list && a->time_ms));
		ENSURE(a->kind != ACTION_REJECT || (a->code / 100 == 5 && a->text));
		if (a->text)
			check_text(rule, a->text);
	}
}

static void check(const struct rules *rules)
{
	for (size_t i = 0; i < rules->n_slots; i++)
		check_slot(rules, rules->slots[i]);
	for (size_t i = 0; i < rules->n; i++)
		check_rule(rules, rules->items[i]);
	for (const struct rule_test *t = rules->tests; t; t = t->next)
		ENSURE(t->name && t->expect);
}

static void count_file(void *context, const char *name, bool rules)
{
	(void)rules;
	*(size_t *)context += strlen(name) < 1 << 24;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"t.rules"};
	struct span all = span_make(data, size);
	size_t nul = span_find_char(all, '\0'), mistakes, warnings, named = 0;
	struct files files = {span_first(all, nul), span_from(all, nul + 1), 0};
	struct rule_source source = {read_text, &files};
	struct rule_setup setup = {&policy_facts, NULL, 0, digest, NULL, NULL};
	struct buffer report = BUFFER_INIT(REPORT_MAX);
	struct rules *rules = rules_read(&setup, paths, 1, &source, &report, &mistakes, &warnings);

	ENSURE((rules != NULL) == (mistakes == 0));
	ENSURE((report.len > 0) == (mistakes + warnings > 0));
	if (rules)
		check(rules);
	rules_files(files.first, count_file, &named);
	rules_free(&rules);
	buffer_free(&report);
	return 0;
}

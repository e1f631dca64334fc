#include "admin/tables.h"

#include <string.h>

#include "admin/table.h"
#include "lib/base/log.h"
#include "policy/grammar.h"

enum { JSON_MAX = 1 << 20 };

/* --- facts --- */

/* header("NAME"), rate(FIELD), milter.NAME: how a fact is written in a rule. */
static const char *written(const struct fact *fact, struct arena *arena)
{
	bool text = fact->flags & FACT_OF_TEXT, field = fact->flags & FACT_OF_FIELD;

	if (fact->flags & FACT_FAMILY)
		return arena_print(arena, "%sNAME", fact->name);
	if (!text && !field)
		return fact->name;
	if (fact->flags & FACT_COUNTS)
		return arena_print(arena, "%s(FIELD[, recipients])", fact->name);
	return arena_print(arena, "%s(%s%s%s)", fact->name, text ? "\"NAME\"" : "",
		text && field ? ", " : "", field ? "FIELD" : "");
}

static const char *type_of(const struct fact *fact, struct arena *arena)
{
	return arena_print(
		arena, "%s%s", fact_type_name(fact->type), fact->flags & FACT_MANY ? ", many" : "");
}

static const char *meaning_of(const struct fact *fact, struct arena *arena)
{
	const char *values = fact_choices(fact, arena);

	return arena_print(arena, "%s%s%s%s%s%s", fact->help, *values ? " (" : "", values,
		*values ? ")" : "", fact->flags & FACT_IN_TEXTS ? "; only in texts" : "",
		fact->flags & FACT_ABSENT ? " [not yet]" : "");
}

/* Rules see no difference between the header section and the message's end. */
static const char *moment_of(const struct fact *fact)
{
	return stage_name(fact->stage == STAGE_HEADER ? STAGE_MESSAGE : fact->stage);
}

static const char *measurer_of(const struct fact *fact, const struct fact_source *source)
{
	return fact->flags & FACT_ABSENT ? "-" : source ? source->name : "rules";
}

/* Calls found for every fact, by the stage at which it is known. */
static void each_fact(const struct fact_registry *registry,
	void (*found)(void *context, const struct fact *fact, const struct fact_source *source),
	void *context)
{
	for (unsigned stage = 0; stage < STAGE_COUNT; stage++)
		for (size_t i = 0; i < registry->n_sources; i++)
			for (const struct fact *f = registry->sources[i].facts; f->name; f++)
				if (f->stage == stage)
					found(context, f, &registry->sources[i]);
	for (const struct fact *f = verdict_facts; f->name; f++)
		found(context, f, NULL);
}

static void add_fact_row(void *context, const struct fact *fact, const struct fact_source *source)
{
	struct table *table = context;

	table_row(table);
	table_cell(table, TONE_BOLD, "%s", written(fact, table->arena));
	table_cell(table, TONE_PLAIN, "%s", type_of(fact, table->arena));
	table_cell(table, TONE_PLAIN, "%s", moment_of(fact));
	table_cell(table, TONE_PLAIN, "%s", measurer_of(fact, source));
	table_cell(table, TONE_PLAIN, "%s", meaning_of(fact, table->arena));
}

static void print_facts(FILE *out, const struct filter_set *set)
{
	static const char *const heads[] = {"FACT", "TYPE", "KNOWN AT", "FILTER", "MEANING", NULL};
	struct arena *arena = arena_new(4096);
	struct table table;

	table_init(&table, arena, heads);
	each_fact(filter_set_registry(set), add_fact_row, &table);
	table_print(&table, out, tone_wanted(out));
	arena_free(&arena);
}

static void add_fact_record(
	void *context, const struct fact *fact, const struct fact_source *source)
{
	struct record *r = context;

	record_open(r, NULL);
	record_string(r, "name", fact->name);
	record_string(r, "type", fact_type_name(fact->type));
	record_bool(r, "many", fact->flags & FACT_MANY);
	record_string(r, "known_at", moment_of(fact));
	record_bool(r, "measured", !(fact->flags & FACT_ABSENT));
	record_string(r, "filter", measurer_of(fact, source));
	if (fact->type == TYPE_CHOICE) {
		record_list(r, "values");
		for (const struct fact_choice *c = fact->choices; c->word; c++)
			record_string(r, NULL, c->word);
		record_close(r);
	}
	record_string(r, "help", fact->help);
	record_close(r);
}

static void print_facts_json(FILE *out, const struct filter_set *set)
{
	struct record r;
	struct span all;

	record_init(&r, true, JSON_MAX);
	record_list(&r, "facts");
	each_fact(filter_set_registry(set), add_fact_record, &r);
	record_close(&r);
	all = record_finish(&r);
	fprintf(out, "%.*s\n", SPAN_ARGS(all));
	record_free(&r);
}

/* --- the language --- */

static void print_actions(FILE *out, struct arena *arena)
{
	static const char *const heads[] = {"ACTION", "KIND", "SAYS", "MEANING", NULL};
	struct table table;

	table_init(&table, arena, heads);
	for (int kind = 0; kind < ACTION_COUNT; kind++) {
		struct action_grammar g = action_grammar((enum action_kind)kind);

		table_row(&table);
		table_cell(&table, TONE_BOLD, "%s", g.syntax);
		table_cell(&table, TONE_PLAIN, "%s",
			action_is_final((enum action_kind)kind) ? "final" : "adds");
		if (g.code)
			table_cell(&table, TONE_PLAIN, "%u %s \"%s\"", g.code, g.enhanced, g.text);
		else
			table_cell(&table, TONE_PLAIN, "-");
		table_cell(&table, TONE_PLAIN, "%s", g.help);
	}
	table_print(&table, out, tone_wanted(out));
}

static void add_operators(struct table *table, const struct fact *like, const char *name)
{
	table_row(table);
	table_cell(table, TONE_BOLD, "%s", name);
	table_cell(table, TONE_PLAIN, "%s", operators_of(like));
	table_cell(table, TONE_PLAIN, "%s",
		like->type == TYPE_CHOICE ? "one of its words" : fact_expects(like, table->arena));
}

static void print_operators(FILE *out, struct arena *arena)
{
	static const char *const heads[] = {"TYPE", "OPERATORS", "VALUE", NULL};
	static const struct fact_choice words[] = {{"none", NULL}, {NULL, NULL}};
	struct table table;

	table_init(&table, arena, heads);
	for (int type = 0; type < TYPE_COUNT; type++) {
		struct fact like = {.type = (enum fact_type)type, .choices = words};

		add_operators(&table, &like, fact_type_name(like.type));
		like.flags = FACT_ORDERED;
		if (like.type == TYPE_CHOICE)
			add_operators(&table, &like, "choice, in order");
	}
	add_operators(&table, &verdict_facts[0], verdict_facts[0].name);
	table_print(&table, out, tone_wanted(out));
}

static void print_text_fields(FILE *out, struct arena *arena)
{
	static const char *const heads[] = {"IN TEXTS", "MEANING", NULL};
	const char *name, *help;
	struct table table;

	table_init(&table, arena, heads);
	table_row(&table);
	table_cell(&table, TONE_BOLD, "{FACT}");
	table_cell(&table, TONE_PLAIN, "any fact; several values are joined by commas");
	for (size_t i = 0; (name = text_own_field_name(i, &help)); i++) {
		table_row(&table);
		table_cell(&table, TONE_BOLD, "{%s}", name);
		table_cell(&table, TONE_PLAIN, "%s", help);
	}
	table_print(&table, out, tone_wanted(out));
}

static void print_language(FILE *out, const struct filter_set *set)
{
	struct arena *arena = arena_new(4096);

	(void)set;
	print_actions(out, arena);
	fputs("\n", out);
	print_operators(out, arena);
	fputs("\n", out);
	print_text_fields(out, arena);
	arena_free(&arena);
}

/* --- filters --- */

static void add_options(struct table *table, const char *filter,
	const struct filter_option *options, struct arena *arena)
{
	for (const struct filter_option *o = options; o && o->name; o++) {
		table_row(table);
		table_cell(table, TONE_BOLD, "%s", filter);
		table_cell(table, TONE_BOLD, "%s", o->name);
		table_cell(table, TONE_PLAIN, "%s", filter_option_expects(o));
		table_cell(table, TONE_PLAIN, "%s",
			o->fallback ? filter_option_fallback(o, arena) : "-");
		table_cell(table, TONE_PLAIN, "%s", o->help);
	}
}

/* A filter's own default for an option that all have. */
static void add_timeout(struct table *table, const struct filter *filter)
{
	if (!filter->timeout_ms)
		return;
	table_row(table);
	table_cell(table, TONE_BOLD, "%s", filter->name);
	table_cell(table, TONE_BOLD, "timeout");
	table_cell(table, TONE_PLAIN, "%s", filter_option_expects(&filter_common_options[0]));
	table_cell(table, TONE_PLAIN, "%llus", (unsigned long long)filter->timeout_ms / 1000);
	table_cell(table, TONE_PLAIN, "how long one call may take");
}

static void print_filters(FILE *out, const struct filter_set *set)
{
	static const char *const heads[] = {
		"FILTER", "OPTION", "VALUE", "DEFAULT", "MEANING", NULL};
	struct arena *arena = arena_new(4096);
	const struct filter *filter;
	struct table table;

	table_init(&table, arena, heads);
	add_options(&table, "any", filter_common_options, arena);
	for (size_t i = 0; (filter = filter_set_filter(set, i)); i++) {
		add_timeout(&table, filter);
		add_options(&table, filter->name, filter->options, arena);
	}
	table_print(&table, out, tone_wanted(out));
	arena_free(&arena);
}

/* --- topics --- */

static const struct tables_topic topics[] = {
	{"facts", print_facts, print_facts_json},
	{"language", print_language, NULL},
	{"filters", print_filters, NULL},
};

const struct tables_topic *tables_find(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(topics); i++)
		if (strcmp(topics[i].name, name) == 0)
			return &topics[i];
	return NULL;
}

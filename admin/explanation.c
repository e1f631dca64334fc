#include "admin/explanation.h"

#include <string.h>

#include "admin/table.h"
#include "admin/visible.h"
#include "lib/base/log.h"

enum { JSON_MAX = 16 * 1024 * 1024, VALUE_SHOWN = 60 /* bytes of a value in the table */ };

/* --- for people --- */

struct paper {
	FILE *out;
	struct arena *arena;
	bool colour;
};

static const char *shown(const struct paper *p, const char *text)
{
	struct span all = span_text(text);

	if (all.len <= VALUE_SHOWN)
		return visible_line(p->arena, all);
	return arena_print(p->arena, "%s...", visible_line(p->arena, span_first(all, VALUE_SHOWN)));
}

static void heading(const struct paper *p, const char *text)
{
	fprintf(p->out, "\n%s%s%s\n", tone_on(TONE_BOLD, p->colour), text,
		tone_off(TONE_BOLD, p->colour));
}

static void print_facts(const struct paper *p, const struct explained_fact *facts)
{
	static const char *const heads[] = {"FACT", "VALUE", "SOURCE", ">MS", NULL};
	struct table table;

	table_init(&table, p->arena, heads);
	for (const struct explained_fact *f = facts; f; f = f->next) {
		table_row(&table);
		table_cell(&table, TONE_PLAIN, "%s", shown(p, f->name));
		if (f->value)
			table_cell(&table, TONE_BOLD, "%s", shown(p, f->value));
		else
			table_cell(&table, TONE_WARN, "unknown: %s", shown(p, f->why));
		table_cell(&table, TONE_DIM, "%s", f->source);
		if (f->ms >= 0)
			table_cell(&table, TONE_DIM, "%.1f", f->ms);
		else
			table_cell(&table, TONE_DIM, "-");
	}
	if (facts)
		table_print(&table, p->out, p->colour);
}

static enum tone tone_of_truth(const char *truth)
{
	if (strcmp(truth, "yes") == 0)
		return TONE_GOOD;
	if (strcmp(truth, "skipped") == 0 || strcmp(truth, "unknown") == 0)
		return TONE_WARN;
	return TONE_DIM;
}

static void print_rules(const struct paper *p, const struct explained_rule *rules)
{
	static const char *const heads[] = {"RULE", "MODE", "TRUE", "", NULL};
	struct table table;

	table_init(&table, p->arena, heads);
	for (const struct explained_rule *r = rules; r; r = r->next) {
		table_row(&table);
		table_cell(&table, TONE_PLAIN, "%s", r->name);
		table_cell(&table, TONE_DIM, "%s", r->mode);
		table_cell(&table, tone_of_truth(r->truth), "%s", r->truth);
		table_cell(&table, TONE_DIM, "%s",
			r->open ? visible_line(p->arena, span_text(r->open)) : "");
	}
	if (rules)
		table_print(&table, p->out, p->colour);
}

static void print_score(const struct paper *p, const struct explained_recipient *r)
{
	fprintf(p->out, "\nscore %s", r->score);
	for (const struct explained_points *points = r->points; points; points = points->next)
		fprintf(p->out, "%s %s %s%s%s", points == r->points ? ":" : ",", points->points,
			points->rule, points->why[0] ? " " : "",
			visible_line(p->arena, span_text(points->why)));
	fputc('\n', p->out);
}

static void print_verdict(
	const struct paper *p, const struct explained_recipient *r, bool with_message)
{
	enum tone tone = !r->certain ? TONE_WARN : r->accepted ? TONE_GOOD : TONE_BAD;

	if (r->put_off)
		fprintf(p->out, "%s%s%s\nthen, in a transaction of its own: ",
			tone_on(TONE_WARN, p->colour), r->put_off, tone_off(TONE_WARN, p->colour));
	fprintf(p->out, "%s%s%s", tone_on(tone, p->colour), r->verdict, tone_off(tone, p->colour));
	if (!r->certain)
		fprintf(p->out, "%s", with_message ? "" : " until the message");
	else if (r->rule)
		fprintf(p->out, " by rule %s, certain at %s", r->rule, r->certain);
	else
		fprintf(p->out, ", since no rule says otherwise, certain at %s", r->certain);
	fputc('\n', p->out);
	if (r->reply)
		fprintf(p->out, "  reply: %s\n", visible_line(p->arena, span_text(r->reply)));
	if (r->route)
		fprintf(p->out, "  to the backend %s\n", r->route);
	for (const struct explained_text *e = r->effects; e; e = e->next)
		fprintf(p->out, "  %s (rule %s)\n", visible_line(p->arena, span_text(e->text)),
			e->rule);
}

static void print_recipient(
	const struct paper *p, const struct explained_recipient *r, bool with_message)
{
	heading(p, arena_print(p->arena, "To %s", visible_line(p->arena, span_text(r->to))));
	print_facts(p, r->facts);
	if (r->facts)
		fputc('\n', p->out);
	print_rules(p, r->rules);
	print_score(p, r);
	print_verdict(p, r, with_message);
}

/* Line by line, since their folds are part of them. */
static void print_header(const struct paper *p, const char *header)
{
	struct span rest = span_text(header);

	if (rest.len)
		heading(p, "Header");
	while (rest.len) {
		size_t end = span_find(rest, SPAN("\r\n"));
		struct span line = span_first(rest, end);
		bool folded = line.len && line.at[0] == '\t';

		fprintf(p->out, "%s%s\n", folded ? "    " : "",
			visible_line(p->arena, span_from(line, folded)));
		rest = span_from(rest, end + 2);
	}
}

void explanation_print(const struct explanation *explanation, FILE *out)
{
	struct paper p = {.out = out, .arena = arena_new(4096), .colour = tone_wanted(out)};

	print_facts(&p, explanation->facts);
	for (const struct explained_recipient *r = explanation->recipients; r; r = r->next)
		print_recipient(&p, r, explanation->with_message);
	if (explanation->header)
		print_header(&p, explanation->header);
	arena_free(&p.arena);
}

/* --- for programs --- */

static void record_or_null(struct record *r, const char *key, const char *value)
{
	if (value)
		record_string(r, key, value);
	else
		record_null(r, key);
}

static void record_facts(struct record *r, const struct explained_fact *facts)
{
	record_list(r, "facts");
	for (const struct explained_fact *f = facts; f; f = f->next) {
		record_open(r, NULL);
		record_string(r, "fact", f->name);
		record_or_null(r, "value", f->value);
		if (!f->value)
			record_or_null(r, "why", f->why);
		record_string(r, "source", f->source);
		if (f->ms >= 0)
			record_real(r, "ms", f->ms);
		record_close(r);
	}
	record_close(r);
}

static void record_recipient(struct record *r, const struct explained_recipient *to)
{
	record_open(r, NULL);
	record_string(r, "to", to->to);
	record_facts(r, to->facts);
	record_list(r, "rules");
	for (const struct explained_rule *rule = to->rules; rule; rule = rule->next) {
		record_open(r, NULL);
		record_string(r, "rule", rule->name);
		record_string(r, "mode", rule->mode);
		record_string(r, "true", rule->truth);
		if (rule->open)
			record_string(r, "open", rule->open);
		record_close(r);
	}
	record_close(r);
	record_string(r, "score", to->score);
	record_list(r, "points");
	for (const struct explained_points *p = to->points; p; p = p->next) {
		record_open(r, NULL);
		record_string(r, "rule", p->rule);
		record_string(r, "points", p->points);
		record_string(r, "why", p->why);
		record_close(r);
	}
	record_close(r);
	record_string(r, "verdict", to->verdict);
	record_or_null(r, "rule", to->rule);
	record_or_null(r, "certain", to->certain);
	record_or_null(r, "reply", to->reply);
	record_or_null(r, "put_off", to->put_off);
	record_or_null(r, "route", to->route);
	record_list(r, "effects");
	for (const struct explained_text *e = to->effects; e; e = e->next) {
		record_open(r, NULL);
		record_string(r, "effect", e->text);
		record_string(r, "rule", e->rule);
		record_close(r);
	}
	record_close(r);
	record_close(r);
}

void explanation_print_json(const struct explanation *explanation, FILE *out)
{
	struct record r;
	struct span all;

	record_init(&r, true, JSON_MAX);
	record_facts(&r, explanation->facts);
	record_list(&r, "recipients");
	for (const struct explained_recipient *to = explanation->recipients; to; to = to->next)
		record_recipient(&r, to);
	record_close(&r);
	record_or_null(&r, "header", explanation->header);
	all = record_finish(&r);
	fprintf(out, "%.*s\n", SPAN_ARGS(all));
	record_free(&r);
}

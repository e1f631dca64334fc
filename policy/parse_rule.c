/*
 * Rules and `for`. A rule's condition is all that stands in it and around it, joined by and; what a
 * greylisted client waits for is part of its rule's condition too, so that a client that has waited
 * is let through by the rule being false.
 */
#include "lib/base/fail.h"
#include "policy/parse.h"

#define RULE_EXAMPLE "rule spam { when score >= 15 then reject }"

/* Actions whose meaning hangs on the rest of the rule; kind TOKEN_END: the rule has none. */
struct rule_parts {
	struct token name;
	struct token final;
	struct token score;
	struct token route;
	struct token greylist;
	struct expr *when; /* an EXPR_AND */
	struct expr **when_end;
	struct action **end;
};

/* --- what a rule reads --- */

static void collect(struct parser *p, const struct expr *e)
{
	if (e->test && e->test->slot)
		slots_add_when(p, e->test->slot);
	if (e->test && e->test->verdict == VERDICT_SCORE)
		p->rule->reads_score = true;
	if (e->test && e->test->verdict == VERDICT_TAGS)
		p->rule->reads_tags = true;
	for (const struct expr *inner = e->first; inner; inner = inner->next)
		collect(p, inner);
}

static const struct slot **copy_slots(struct parser *p, const struct slot_array *from, unsigned *n)
{
	const struct slot **copy;

	*n = (unsigned)from->n;
	if (from->n == 0)
		return NULL;
	copy = arena_alloc(p->arena, from->n * sizeof(const struct slot *));
	memcpy(copy, from->items, from->n * sizeof(const struct slot *));
	return copy;
}

/* --- checks that need the whole rule --- */

static bool is_of_backend(const struct slot *slot)
{
	for (; slot; slot = slot->field)
		if (slot->fact->flags & FACT_OF_BACKEND)
			return true;
	return false;
}

static void judge_route(struct parser *p, const struct token *at)
{
	const struct rule *rule = p->rule;

	if (rule->reads_score || rule->reads_tags) {
		parser_mistake(p, at, NULL,
			"a rule with `route` reads only what is known at RCPT, and so no %s",
			rule->reads_score ? "score" : "tags");
		return;
	}
	for (size_t i = 0; i < p->when_slots.n; i++) {
		const struct slot *slot = p->when_slots.items[i];

		if (slot->stage > STAGE_RCPT)
			parser_mistake(p, at,
				"the backend is chosen when a recipient is named, and checked "
				"there",
				"a rule with `route` reads only what is known at RCPT; `%s` comes "
				"later",
				slot->name);
		else if (is_of_backend(slot))
			parser_mistake(p, at, NULL,
				"a rule with `route` chooses the backend, and `%s` is what that "
				"backend says",
				slot->name);
		else
			continue;
		return;
	}
}

static void judge_score(struct parser *p, const struct token *at)
{
	const struct rule *rule = p->rule;

	if (rule->reads_score && !rule->reads_tags)
		parser_mistake(p, at, NULL, "a rule that reads the score can't change it");
	else if (rule->reads_score)
		parser_mistake(p, at, "tags above come from a rule that reads the score",
			"a rule that reads the score, be it through tags, can't change it");
}

/* What later rules must know of the tags of this one. */
static void note_tags(struct parser *p)
{
	const struct rule *rule = p->rule;

	for (const struct action *a = rule->actions; a; a = a->next)
		if (a->kind == ACTION_TAG && rule->mode == RULE_ON && rule->reads_score)
			p->tags_read_score = true;
}

/* greylist TIME: the rule holds only while the client has not waited. */
static void join_greylist(struct parser *p, struct rule_parts *parts, const struct action *action)
{
	struct field field = {.at = parts->greylist};
	struct test *test;
	struct expr *e;
	union fact_datum *data;
	int fresh, waiting;

	if (!field_find(p, &parts->greylist, SPAN("greylist"), &field))
		return;
	fresh = fact_choice_find(field.fact, SPAN("new"));
	waiting = fact_choice_find(field.fact, SPAN("waiting"));
	if (fresh < 0 || waiting < 0) {
		parser_mistake(p, &parts->greylist, NULL, "there is no greylisting here");
		return;
	}
	data = arena_alloc(p->arena, 2 * sizeof(*data));
	data[0].choice = (unsigned)fresh;
	data[1].choice = (unsigned)waiting;
	test = arena_alloc(p->arena, sizeof(*test));
	test->slot = slot_of(p, &field, action->time_ms);
	test->type = TYPE_CHOICE;
	test->op = OP_IN;
	test->operand = OPERAND_DATA;
	test->data = data;
	test->n = 2;
	e = expr_new(p, EXPR_TEST, action->place);
	e->test = test;
	parts->when_end = expr_join(p, parts->when_end, e);
}

/* --- clauses --- */

static bool parse_when(struct parser *p, struct rule_parts *parts, bool negated)
{
	struct expr *e;

	parser_take(p);
	p->nesting = 0;
	e = parse_expr(p);
	if (!e)
		return false;
	parts->when_end = expr_join(p, parts->when_end, negated ? expr_not(p, e) : e);
	return true;
}

/* on error defer|skip */
static bool parse_on_error(struct parser *p)
{
	static const char help[] = "write: on error defer, or on error skip";
	struct token at;

	parser_take(p);
	if (!parser_accept(p, "error"))
		return parser_missing(p, help, "`on` is followed by error");
	at = p->token;
	if (at.kind != TOKEN_WORD || token_is(&at, "then"))
		return parser_missing(p, help, "`on error` needs defer or skip");
	parser_take(p);
	if (token_is(&at, "defer"))
		p->rule->on_error = ON_ERROR_DEFER;
	else if (!token_is(&at, "skip"))
		parser_mistake(p, &at, help, "`on error` takes defer or skip, not `%.*s`",
			SPAN_ARGS(at.text));
	return true;
}

static void note_action(
	struct parser *p, struct rule_parts *parts, const struct token *at, struct action *action)
{
	*parts->end = action;
	parts->end = &action->next;
	if (action_is_final(action->kind)) {
		if (p->rule->final)
			parser_mistake(p, at,
				HELP(p, "`%s` stands in line %u", action_name(p->rule->final->kind),
					p->rule->final->place.line),
				"a rule has one final action, and this is the second");
		else
			p->rule->final = action;
	}
	if (action->kind == ACTION_SCORE)
		parts->score = *at;
	else if (action->kind == ACTION_ROUTE)
		parts->route = *at;
	else if (action->kind == ACTION_GREYLIST)
		parts->greylist = *at;
}

static bool parse_actions(struct parser *p, struct rule_parts *parts)
{
	parser_take(p); /* then */
	do {
		struct token at = p->token;
		struct action *action = parse_action(p);

		if (!action)
			return false;
		note_action(p, parts, &at, action);
	} while (parser_accept_mark(p, TOKEN_COMMA));
	return true;
}

static bool unknown_clause(struct parser *p)
{
	static const char *const words[] = {"when", "unless", "on", "then"};
	struct nearest nearest = nearest_to(p->token.text);

	for (size_t i = 0; p->token.kind == TOKEN_WORD && i < COUNT_OF(words); i++)
		nearest_offer(&nearest, words[i]);
	return parser_misplaced(p, parser_suggest(p, nearest.best),
		"when, unless, on error or then is expected here, not `%.*s`",
		SPAN_ARGS(p->token.text));
}

static bool parse_clauses(struct parser *p, struct rule_parts *parts)
{
	bool ok = true;

	while (ok && !parser_at(p, "then")) {
		if (parser_at(p, "when") || parser_at(p, "unless"))
			ok = parse_when(p, parts, parser_at(p, "unless"));
		else if (parser_at(p, "on"))
			ok = parse_on_error(p);
		else if (p->token.kind == TOKEN_RIGHT_BRACE)
			return parser_mistake(p, &parts->name, "write: " RULE_EXAMPLE,
				"the rule `%s` does nothing: `then` is missing", p->rule->name);
		else if (p->token.kind == TOKEN_END || parser_at_item(p))
			return parser_mistake(p, &parts->name, NULL,
				"the rule `%s` is never closed: a } is missing", p->rule->name);
		else
			return unknown_clause(p);
	}
	return ok && parse_actions(p, parts);
}

static bool parse_end(struct parser *p, const struct rule_parts *parts)
{
	if (parser_accept_mark(p, TOKEN_RIGHT_BRACE))
		return true;
	if (p->token.kind == TOKEN_END || parser_at_item(p))
		return parser_mistake(p, &parts->name, NULL,
			"the rule `%s` is never closed: a } is missing", p->rule->name);
	if (parser_at(p, "when") || parser_at(p, "unless") || parser_at(p, "on"))
		return parser_mistake(p, &p->token, NULL, "conditions stand before `then`");
	if (p->token.kind == TOKEN_WORD)
		return parser_mistake(p, &p->token, "several actions stand between commas",
			"a , or a } is missing before this");
	return parser_misplaced(
		p, NULL, "`%.*s` has no place behind this action", SPAN_ARGS(p->token.text));
}

/* --- rules --- */

/* rule NAME [monitor|off] { */
static bool parse_head(struct parser *p, struct rule_parts *parts)
{
	struct rule *rule = p->rule;
	struct declared_rule *declared;

	parser_take(p);
	parts->name = p->token;
	rule->name = parser_take_id(p, "rule", RULE_EXAMPLE);
	if (!rule->name)
		return false;
	rule->place = parser_place(p, &parts->name);
	declared = names_find(&p->rule_names, parts->name.text);
	ENSURE(declared != NULL); /* the scan saw the same tokens */
	if (declared->read)
		parser_mistake(p, &parts->name, parser_first_at(p, &declared->place),
			"there are two rules `%s`", rule->name);
	else
		*declared = (struct declared_rule){true, rule->place};
	if (parser_accept(p, "monitor"))
		rule->mode = RULE_MONITOR;
	else if (parser_accept(p, "off"))
		rule->mode = RULE_OFF;
	else if (p->token.kind == TOKEN_WORD && !parser_at_item(p)) {
		parser_mistake(
			p, &p->token, NULL, "behind the name of a rule stands monitor, off or {");
		parser_take(p);
	}
	return parser_take_open(p, "what a rule says");
}

static void join_around(struct parser *p, struct rule_parts *parts, const struct around *around)
{
	if (!around)
		return;
	join_around(p, parts, around->outer);
	if (around->when)
		parts->when_end = expr_join(p, parts->when_end, around->when);
}

/* The condition as the evaluator wants it: no AND of one term, NULL for none. */
static struct expr *settled(struct expr *all)
{
	if (!all->first)
		return NULL;
	return all->first->next ? all : all->first;
}

static void finish(struct parser *p, struct rule_parts *parts)
{
	struct rule *rule = p->rule;

	if (parts->greylist.kind != TOKEN_END && rule->final->kind == ACTION_GREYLIST)
		join_greylist(p, parts, rule->final);
	rule->when = settled(parts->when);
	if (rule->when)
		collect(p, rule->when);
	rule->reads_score = rule->reads_score || (rule->reads_tags && p->tags_read_score);
	if (parts->score.kind != TOKEN_END) {
		rule->scores = rule->mode == RULE_ON;
		judge_score(p, &parts->score);
	}
	if (parts->route.kind != TOKEN_END)
		judge_route(p, &parts->route);
	note_tags(p);
	rule->slots = copy_slots(p, &p->when_slots, &rule->n_slots);
	rule->text_slots = copy_slots(p, &p->text_slots, &rule->n_text_slots);
}

bool parse_rule(struct parser *p)
{
	unsigned depth = p->depth;
	struct rule *rule = arena_alloc(p->arena, sizeof(*rule)), **place;
	struct rule_parts parts = {.end = &rule->actions};
	bool ok;

	rule->index = (unsigned)p->rules->n;
	place = parser_append(p->arena, &p->rules->items, &p->rules->n, sizeof(p->rules->items[0]));
	*place = p->rule = rule;
	p->when_slots.n = p->text_slots.n = 0;
	parts.when = expr_new(p, EXPR_AND, parser_place(p, &p->token));
	parts.when_end = &parts.when->first;
	ok = parse_head(p, &parts);
	join_around(p, &parts, p->around);
	ok = ok && parse_clauses(p, &parts) && parse_end(p, &parts);
	if (ok)
		finish(p, &parts);
	else
		parser_recover(p, depth);
	p->rule = NULL;
	return true;
}

/* --- for --- */

/* Over what is neither a rule nor a `for`, to the next of them or the end of the block. */
static void skip_misplaced(struct parser *p)
{
	unsigned depth = p->depth;

	parser_misplaced(
		p, NULL, "`for` holds rules and other `for`, not `%.*s`", SPAN_ARGS(p->token.text));
	do {
		parser_take(p);
		parser_recover(p, depth);
	} while (p->token.kind != TOKEN_RIGHT_BRACE && p->token.kind != TOKEN_END &&
		 !parser_at(p, "rule") && !parser_at(p, "for") && !parser_at_item(p));
}

/* The rules in the braces of a `for`, and its }. */
static void parse_body(struct parser *p, const struct token *opened)
{
	while (p->token.kind != TOKEN_RIGHT_BRACE && p->token.kind != TOKEN_END && !p->stopped) {
		if (parser_at(p, "rule")) {
			parse_rule(p);
		} else if (parser_at(p, "for")) {
			parse_for(p);
		} else if (parser_at_item(p)) {
			parser_mistake(p, opened,
				HELP(p, "a `%.*s` begins in line %u", SPAN_ARGS(p->token.text),
					p->token.line),
				"this `for` is never closed, or holds more than rules");
			return;
		} else {
			skip_misplaced(p);
		}
	}
	if (!parser_accept_mark(p, TOKEN_RIGHT_BRACE))
		parser_mistake(p, opened, "add a } behind its rules", "this `for` is never closed");
}

/* The condition and the {; what is wrong with them is told. false: no body follows. */
static bool parse_for_head(struct parser *p, struct around *around)
{
	p->nesting = 0;
	around->when = parse_expr(p);
	if (around->when && p->token.kind != TOKEN_LEFT_BRACE)
		parser_missing(p, "write: for rcpt.domain == \"example.com\" { rule ... }",
			"a { is missing: the rules of `for` stand in braces");
	while (p->token.kind != TOKEN_LEFT_BRACE && p->token.kind != TOKEN_END &&
		!parser_at(p, "rule") && !parser_at_item(p))
		parser_take(p);
	return parser_accept_mark(p, TOKEN_LEFT_BRACE);
}

bool parse_for(struct parser *p)
{
	struct around around = {.outer = p->around, .depth = p->around ? p->around->depth + 1 : 1};
	unsigned depth = p->depth;
	struct token opened = parser_take(p);

	if (around.depth > NESTING_MAX) {
		parser_mistake(p, &opened, NULL, "`for` is nested more than %d deep", NESTING_MAX);
		parser_recover(p, depth);
		return true;
	}
	if (!parse_for_head(p, &around))
		return true;
	p->around = &around;
	parse_body(p, &opened);
	p->around = around.outer;
	p->depth = depth;
	return true;
}

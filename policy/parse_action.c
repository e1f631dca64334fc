/*
 * Actions: a table from words to what reads the rest of each. A test's `expect` uses the same,
 * where what is left out is not compared (p->expecting).
 */
#include "policy/grammar.h"
#include "policy/header_name.h"
#include "policy/parse.h"

#define MINUTE 60000ULL
#define DAY    (24 * 60 * MINUTE)

enum { SCORE_MAX = 1000 };

static const char *const action_names[] = {
#define X(name, word) [ACTION_##name] = (word),
	ACTIONS(X)
#undef X
};

/* For the manual. */
static const struct {
	const char *syntax, *help;
} action_helps[] = {
	[ACTION_ACCEPT] = {"accept", "the message goes on to the backend"},
	[ACTION_REJECT] = {"reject [now] [CODE [ENHANCED]] [\"TEXT\"]",
		"refused for good; `now`: without waiting for the rules above"},
	[ACTION_DEFER] = {"defer [CODE [ENHANCED]] [\"TEXT\"]", "refused for now"},
	[ACTION_GREYLIST] = {"greylist TIME",
		"refused for now, until the client has come back after this time"},
	[ACTION_QUARANTINE] = {"quarantine [\"WHY\"]", "answered 250 and kept on disk, with why"},
	[ACTION_DISCARD] = {"discard [\"WHY\"]",
		"answered 250 and thrown away; only the log tells of it"},
	[ACTION_SCORE] = {"score N [\"WHY\"]",
		"adds to the score, from -1000 to 1000, three decimals at most"},
	[ACTION_TAG] = {"tag \"TEXT\"", "a fixed word for logs, texts and rules below"},
	[ACTION_HEADER_ADD] = {"header add \"NAME\" \"VALUE\"",
		"a header field on top of the message's own"},
	[ACTION_HEADER_SET] = {"header set \"NAME\" \"VALUE\"",
		"in the place of all fields of this name"},
	[ACTION_HEADER_REMOVE] = {"header remove \"NAME\"", "takes all fields of this name away"},
	[ACTION_SUBJECT_PREFIX] = {"subject prefix \"TEXT\"", "before the subject"},
	[ACTION_DELAY] = {"delay TIME",
		"waits before the answer, 5m at most; of several the longest"},
	[ACTION_ROUTE] = {"route BACKEND",
		"to this backend; reads only what is known at rcpt, and holds wherever it stands"},
	[ACTION_ADD] = {"add FIELD to @LIST [for TIME] [\"WHY\"]",
		"puts a value into a list of the store; without a time for good"},
};

const char *action_name(enum action_kind kind)
{
	return action_names[kind];
}

/* --- parts --- */

/* A text in quotes, if one stands here. */
static struct text *take_text(struct parser *p, const char *owner, size_t max_bytes)
{
	struct token at = p->token;

	if (at.kind != TOKEN_STRING)
		return NULL;
	parser_take(p);
	return parse_text(p, &at, owner, max_bytes);
}

/* A time between two bounds; false: the form is broken. */
static bool parse_time(struct parser *p, const char *owner, uint64_t min_ms, uint64_t max_ms,
	const char *range, uint64_t *out)
{
	struct token at = p->token;

	if (at.kind == TOKEN_NUMBER) {
		parser_mistake(p, &at, HELP(p, "write a unit, such as %.*sm", SPAN_ARGS(at.text)),
			"`%s` needs a time", owner);
		parser_take(p);
		return true;
	}
	if (at.kind != TOKEN_DURATION)
		return p->expecting || parser_missing(p, HELP(p, "for example: %s 5m", owner),
					       "`%s` needs a time", owner);
	parser_take(p);
	*out = at.duration_ms;
	if (at.duration_ms < min_ms || at.duration_ms > max_ms)
		parser_mistake(p, &at, NULL, "`%.*s` is out of range: `%s` takes %s",
			SPAN_ARGS(at.text), owner, range);
	return true;
}

/* --- replies --- */

/* What a reply of a kind may be. */
struct reply_rule {
	unsigned class; /* 4 or 5 */
	uint16_t code;  /* the default */
	const char *enhanced;
	const char *text;
};

static const struct reply_rule reject_rule = {5, 550, "5.7.1", "Message refused"};
static const struct reply_rule defer_rule = {4, 451, "4.7.1", "Please try again later"};
static const struct reply_rule greylist_rule = {
	4, 451, "4.7.1", "Greylisted, please try again later"};

static const struct reply_rule *reply_rule(enum action_kind kind)
{
	return kind == ACTION_REJECT  ? &reject_rule
	       : kind == ACTION_DEFER ? &defer_rule
				      : &greylist_rule;
}

static void judge_code(struct parser *p, const struct token *at, struct action *action)
{
	const struct reply_rule *rule = reply_rule(action->kind);
	const char *name = action_name(action->kind);
	unsigned code = at->whole && at->number < 1000 ? (unsigned)at->number : 0;

	action->code_given = true;
	action->code = (uint16_t)code;
	if (code == 421)
		parser_mistake(p, at, "write 451 or 450",
			"421 is what postern says when it closes a connection");
	else if (code / 100 != rule->class)
		parser_mistake(p, at,
			code / 100 == 9 - rule->class && code
				? HELP(p, "write %s %u", rule->class == 5 ? "defer" : "reject",
					  code)
				: NULL,
			"`%s` takes a code from %u00 to %u99", name, rule->class, rule->class);
}

static void judge_enhanced(struct parser *p, const struct token *at, struct action *action)
{
	const struct reply_rule *rule = reply_rule(action->kind);

	action->enhanced_given = true;
	if (action->code_given && action->code / 100 != rule->class)
		return; /* told of the code already */
	if (at->text.len >= sizeof(action->enhanced) || at->text.at[0] != (char)('0' + rule->class))
		parser_mistake(p, at, HELP(p, "for example %s", rule->enhanced),
			"an enhanced status code of `%s` begins with %u (RFC 3463)",
			action_name(action->kind), rule->class);
	else
		memcpy(action->enhanced, at->text.at, at->text.len);
}

static bool has_reply(enum action_kind kind)
{
	return kind == ACTION_REJECT || kind == ACTION_DEFER || kind == ACTION_GREYLIST;
}

struct action_grammar action_grammar(enum action_kind kind)
{
	const struct reply_rule *rule = reply_rule(kind);
	struct action_grammar g = {
		.syntax = action_helps[kind].syntax, .help = action_helps[kind].help};

	if (has_reply(kind)) {
		g.code = rule->code;
		g.enhanced = rule->enhanced;
		g.text = rule->text;
	}
	return g;
}

/* [CODE [ENHANCED]] ["text"] */
static bool parse_reply(struct parser *p, struct action *action)
{
	const struct reply_rule *rule = reply_rule(action->kind);
	struct token at;

	if (p->token.kind == TOKEN_NUMBER) {
		at = parser_take(p);
		judge_code(p, &at, action);
	} else if (p->token.kind == TOKEN_CODE) {
		parser_mistake(p, &p->token,
			HELP(p, "write %u %.*s", rule->code, SPAN_ARGS(p->token.text)),
			"a reply's code stands before its enhanced status code");
	}
	if (p->token.kind == TOKEN_CODE) {
		at = parser_take(p);
		judge_enhanced(p, &at, action);
	}
	action->text = take_text(p, action_name(action->kind), REPLY_MAX);
	return true;
}

static bool parse_reject(struct parser *p, struct action *action)
{
	action->now = parser_accept(p, "now");
	return parse_reply(p, action);
}

static bool parse_greylist(struct parser *p, struct action *action)
{
	return parse_time(p, "greylist", 1000, 30 * DAY, "1s to 30d", &action->time_ms);
}

/* Says how long it takes, where there is somebody who knows. */
static struct text *greylist_text(struct parser *p, uint64_t time_ms)
{
	struct field wait = {.name = "greylist.wait"};

	wait.fact = fact_find(p->setup->registry, span_text(wait.name), &wait.source);
	return wait.fact ? text_before(p, "Greylisted, please try again in ",
				   slot_of(p, &wait, time_ms))
			 : NULL;
}

static void set_defaults(struct parser *p, struct action *action)
{
	const struct reply_rule *rule = reply_rule(action->kind);

	if (!has_reply(action->kind))
		return;
	if (!action->code)
		action->code = rule->code;
	if (!action->enhanced[0])
		memcpy(action->enhanced, rule->enhanced, strlen(rule->enhanced));
	if (p->expecting || action->text)
		return;
	if (action->kind == ACTION_GREYLIST)
		action->text = greylist_text(p, action->time_ms);
	if (!action->text)
		action->text = text_plain(p, rule->text);
}

/* --- the other final ones --- */

static bool parse_accept(struct parser *p, struct action *action)
{
	(void)p;
	(void)action;
	return true;
}

static bool parse_why(struct parser *p, struct action *action)
{
	action->text = take_text(p, action_name(action->kind), WHY_MAX);
	return true;
}

/* --- accumulating ones --- */

static bool parse_score(struct parser *p, struct action *action)
{
	struct token at = p->token;

	if (at.kind != TOKEN_NUMBER)
		return parser_missing(p, "for example: score 4 \"why\"", "`score` needs a number");
	parser_take(p);
	value_score(p, &at, SCORE_MAX, &action->score);
	action->text = take_text(p, "score", WHY_MAX);
	return true;
}

static bool parse_tag(struct parser *p, struct action *action)
{
	struct token at = p->token;

	action->text = take_text(p, "tag", TAG_MAX);
	if (!action->text)
		return parser_missing(
			p, "for example: tag \"spam\"", "`tag` needs a text in quotes");
	if (action->text->source.len == 0)
		parser_mistake(p, &at, NULL, "this tag is empty");
	if (span_find_char(action->text->source, '{') < action->text->source.len)
		parser_mistake(p, &at, "texts with fields stand in `header`, `score` or a reply",
			"a tag is a fixed word, and has no {fields}");
	return true;
}

/* A text that must be there, but in a test. */
static bool parse_needed_text(
	struct parser *p, struct action *action, const char *example, size_t max_bytes)
{
	action->text = take_text(p, action_name(action->kind), max_bytes);
	return action->text || p->expecting ||
	       parser_missing(p, HELP(p, "for example: %s", example), "`%s` needs a text in quotes",
		       action_name(action->kind));
}

static bool parse_header(struct parser *p, struct action *action)
{
	static const struct {
		const char *word;
		enum action_kind kind;
		enum header_verb verb;
	} verbs[] = {
		{"add", ACTION_HEADER_ADD, HEADER_ADD},
		{"set", ACTION_HEADER_SET, HEADER_SET},
		{"remove", ACTION_HEADER_REMOVE, HEADER_REMOVE},
	};
	size_t i = 0;
	struct token at;
	const char *problem;

	while (i < COUNT_OF(verbs) && !parser_accept(p, verbs[i].word))
		i++;
	if (i == COUNT_OF(verbs))
		return parser_missing(p, "for example: header add \"X-Spam\" \"yes\"",
			"`header` is followed by add, set or remove");
	action->kind = verbs[i].kind;
	at = p->token;
	if (at.kind != TOKEN_STRING && at.kind != TOKEN_WORD)
		return parser_missing(p, "for example: header add \"X-Spam\" \"yes\"",
			"`header %s` needs the name of a field", verbs[i].word);
	parser_take(p);
	action->name = token_value(&at, p->arena);
	problem = header_name_problem(verbs[i].verb, span_text(action->name));
	if (problem)
		parser_mistake(p, &at, NULL, "the field `%s` %s", action->name, problem);
	return action->kind == ACTION_HEADER_REMOVE ||
	       parse_needed_text(p, action, "header add \"X-Spam\" \"yes\"", HEADER_VALUE_MAX);
}

static bool parse_subject(struct parser *p, struct action *action)
{
	if (!parser_accept(p, "prefix"))
		return parser_missing(p, "for example: subject prefix \"[spam] \"",
			"`subject` is followed by prefix");
	return parse_needed_text(p, action, "subject prefix \"[spam] \"", PREFIX_MAX);
}

static bool parse_delay(struct parser *p, struct action *action)
{
	return parse_time(p, "delay", 1, 5 * MINUTE, "1ms to 5m", &action->time_ms);
}

static bool parse_route(struct parser *p, struct action *action)
{
	const struct rule_setup *setup = p->setup;
	struct token at = p->token;
	struct nearest nearest;

	if (at.kind != TOKEN_STRING && at.kind != TOKEN_WORD)
		return parser_missing(
			p, "for example: route main", "`route` needs the name of a backend");
	parser_take(p);
	action->name = token_value(&at, p->arena);
	if (!setup->backends)
		return true;
	nearest = nearest_to(span_text(action->name));
	for (size_t i = 0; i < setup->n_backends; i++) {
		if (strcmp(setup->backends[i], action->name) == 0)
			return true;
		nearest_offer(&nearest, setup->backends[i]);
	}
	parser_mistake(p, &at,
		nearest.best ? parser_suggest(p, nearest.best) : "backends stand in postern.conf",
		"there is no backend `%s`", action->name);
	return true;
}

static void judge_add(
	struct parser *p, const struct token *at, const struct field *field, struct action *action)
{
	struct declared_list *declared = list_named(p, at, field->fact);
	struct rule_list *list = declared ? declared->list : NULL;

	if (!declared || declared->unknown || !field->fact)
		return;
	action->list = list;
	if (list->origin != LIST_STORE)
		parser_mistake(p, at,
			HELP(p, "declare it: list %s : %s from store \"%s\"", list->name,
				list_type_name(list->type), list->name),
			"`add` needs a list from the store; @%s is not", list->name);
	else if (list->type == LIST_HASH)
		parser_mistake(p, at, NULL, "`add` has no digests for @%s, a list of type hash",
			list->name);
	else if (list_fits(p, at, field, list)) {
		action->field = slot_of(p, field, 0);
		slots_add_text(p, action->field);
	}
}

/* add FIELD to @LIST [for TIME] ["why"] */
static bool parse_add(struct parser *p, struct action *action)
{
	static const char help[] = "for example: add client.ip to @blocked for 7d \"why\"";
	struct field field;
	struct token at;

	if (!parse_plain_field(p, "`add`", &field))
		return false;
	if (!parser_accept(p, "to"))
		return parser_missing(p, help, "`to` and a list are missing");
	at = p->token;
	if (!parser_accept_mark(p, TOKEN_LIST))
		return parser_missing(p, help, "`add` needs a list, such as @blocked");
	judge_add(p, &at, &field, action);
	if (parser_accept(p, "for") &&
		!parse_time(p, "for", 1000, 3660 * DAY, "1s to 3660d", &action->time_ms))
		return false;
	action->text = take_text(p, "add", WHY_MAX);
	return true;
}

/* --- the table --- */

static const struct {
	const char *word;
	enum action_kind kind;
	bool (*parse)(struct parser *p, struct action *action);
} actions[] = {
	{"accept", ACTION_ACCEPT, parse_accept},
	{"reject", ACTION_REJECT, parse_reject},
	{"defer", ACTION_DEFER, parse_reply},
	{"greylist", ACTION_GREYLIST, parse_greylist},
	{"quarantine", ACTION_QUARANTINE, parse_why},
	{"discard", ACTION_DISCARD, parse_why},
	{"score", ACTION_SCORE, parse_score},
	{"tag", ACTION_TAG, parse_tag},
	{"header", ACTION_HEADER_ADD, parse_header},
	{"subject", ACTION_SUBJECT_PREFIX, parse_subject},
	{"delay", ACTION_DELAY, parse_delay},
	{"route", ACTION_ROUTE, parse_route},
	{"add", ACTION_ADD, parse_add},
};

static void tell_no_action(struct parser *p, const struct token *at)
{
	struct nearest nearest = nearest_to(at->text);

	if (at->kind != TOKEN_WORD || parser_at_item(p)) {
		parser_missing(p, "for example: reject 550 5.7.1 \"why\"", "an action is missing");
		return;
	}
	for (size_t i = 0; i < COUNT_OF(actions); i++)
		nearest_offer(&nearest, actions[i].word);
	parser_mistake(p, at,
		nearest.best ? parser_suggest(p, nearest.best)
			     : "actions are accept, reject, defer, greylist, quarantine, discard, "
			       "score, tag, header, subject, delay, route and add",
		"`%.*s` is no action", SPAN_ARGS(at->text));
}

struct action *parse_action(struct parser *p)
{
	struct token at = p->token;
	struct action *action;

	for (size_t i = 0; i < COUNT_OF(actions); i++) {
		if (!parser_accept(p, actions[i].word))
			continue;
		action = arena_alloc(p->arena, sizeof(*action));
		action->kind = actions[i].kind;
		action->place = parser_place(p, &at);
		if (!actions[i].parse(p, action))
			return NULL;
		set_defaults(p, action);
		return action;
	}
	tell_no_action(p, &at);
	return NULL;
}

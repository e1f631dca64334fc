#include "policy/expect.h"

#include "lib/base/fail.h"
#include "policy/action_text.h"
#include "policy/text.h"

enum { SAID_MAX = 2048, NAMES_TOLD = 8 };

/* What a list holds outside of the test. */
struct kept_list {
	struct rule_list *list;
	struct list *content;
};

/* One test under way. */
struct trial {
	const struct policy *policy;
	const struct rule_test *test;
	struct fact_value *values[STAGE_COUNT]; /* owned by the arena; by index */
	bool *given;                            /* by slot */
	struct subject subject;
	struct evaluation *e;
	struct arena *arena;
	struct kept_list *kept;
	size_t n_kept;
	struct outcome outcome;
};

/* --- what is known --- */

static struct fact_value *value_of(const struct trial *t, const struct slot *slot)
{
	return &t->values[slot->stage][slot->index];
}

static void fail_all(struct trial *t)
{
	static const struct fact_value not_given = {FACT_FAILED, 0, NULL, "not given in this test"};

	for (size_t i = 0; i < t->policy->n_slots; i++)
		*value_of(t, t->policy->rules->slots[i]) = not_given;
}

/* A client that nothing is said of has not been here before. */
static void make_new_to_greylist(struct trial *t)
{
	for (size_t i = 0; i < t->policy->n_slots; i++) {
		const struct slot *slot = t->policy->rules->slots[i];
		union fact_datum *datum;
		int fresh;

		if (strcmp(slot->fact->name, "greylist") != 0)
			continue;
		fresh = fact_choice_find(slot->fact, SPAN("new"));
		if (fresh < 0)
			continue;
		datum = arena_alloc(t->arena, sizeof(*datum));
		datum->choice = (unsigned)fresh;
		*value_of(t, slot) = (struct fact_value){FACT_KNOWN, 1, datum, NULL};
		t->given[i] = true;
	}
}

static void give_facts(struct trial *t)
{
	for (const struct rule_test_value *v = t->test->values; v; v = v->next) {
		if (!v->slot)
			continue;
		*value_of(t, v->slot) = v->value;
		t->given[v->slot->number] = true;
	}
}

static bool is_listed(
	const struct list *content, const struct slot *field, const union fact_datum *datum)
{
	if (field->fact->type == TYPE_IP)
		return list_match_ip(content, &datum->ip, NULL);
	return list_match_text(content, datum->text, NULL);
}

/* A dnsbl whose items are given answers for them. */
static void answer_lookup(struct trial *t, const struct slot *slot, const struct list *content)
{
	const struct fact_value *field = value_of(t, slot->field);
	struct fact_value *value = value_of(t, slot);
	union fact_datum *answer = arena_alloc(t->arena, sizeof(*answer));

	if (field->state != FACT_KNOWN)
		return;
	*value = (struct fact_value){FACT_KNOWN, 0, NULL, NULL};
	t->given[slot->number] = true;
	for (uint32_t i = 0; i < field->count; i++) {
		if (!is_listed(content, slot->field, &field->items[i]))
			continue;
		ENSURE(ip_parse(SPAN("127.0.0.2"), &answer->ip));
		*value = (struct fact_value){FACT_KNOWN, 1, answer, NULL};
	}
}

static void answer_lookups(struct trial *t)
{
	for (const struct rule_test_value *v = t->test->values; v; v = v->next)
		for (size_t i = 0; v->list && v->content && i < t->policy->n_slots; i++)
			if (t->policy->rules->slots[i]->list == v->list)
				answer_lookup(t, t->policy->rules->slots[i], v->content);
}

/* Puts the contents that the test gives in the place of the lists' own, which are kept. */
static void swap_lists(struct trial *t)
{
	size_t n = 0;

	for (const struct rule_test_value *v = t->test->values; v; v = v->next)
		n++;
	t->kept = arena_alloc(t->arena, (n + 1) * sizeof(*t->kept));
	for (const struct rule_test_value *v = t->test->values; v; v = v->next) {
		if (!v->list || !v->content)
			continue;
		t->kept[t->n_kept++] = (struct kept_list){v->list, v->list->content};
		v->list->content = v->content;
	}
}

static void swap_lists_back(struct trial *t)
{
	while (t->n_kept) {
		const struct kept_list *kept = &t->kept[--t->n_kept];

		kept->list->content = kept->content;
	}
}

/* --- what came --- */

static struct render render_of(const struct trial *t, const struct rule *rule)
{
	return (struct render){.e = t->e, .subject = &t->subject, .rule = rule, .sid = SPAN("SID")};
}

/* The text that a test expects is the rule's own, or what comes of it. */
static bool text_agrees(const struct trial *t, const struct rule *rule, const struct text *text,
	const struct text *expected)
{
	struct render render = render_of(t, rule);
	struct buffer got = BUFFER_INIT(SAID_MAX);
	bool same;

	if (!expected)
		return true;
	if (!text)
		return expected->source.len == 0;
	same = span_equal(text->source, expected->source);
	if (!same && text_render(text, &render, &got))
		same = span_equal(buffer_span(&got), expected->source);
	buffer_free(&got);
	return same;
}

static bool name_agrees(const char *name, const char *expected)
{
	return !expected || (name && span_equal_nocase(span_text(name), span_text(expected)));
}

/* Whether an action is what is expected, as far as that says. */
static bool action_agrees(const struct trial *t, const struct rule *rule, const struct action *a,
	const struct action *expected)
{
	if (a->kind != expected->kind || (expected->now && !a->now))
		return false;
	if (expected->code_given && a->code != expected->code)
		return false;
	if (expected->enhanced_given && strcmp(a->enhanced, expected->enhanced) != 0)
		return false;
	if (expected->time_ms && a->time_ms != expected->time_ms)
		return false;
	if ((expected->list && a->list != expected->list) ||
		(expected->field && a->field != expected->field))
		return false;
	return name_agrees(a->name, expected->name) &&
	       text_agrees(t, rule, a->text, expected->text);
}

static bool by_agrees(const struct trial *t, const struct rule *rule)
{
	return !t->test->by || (rule && strcmp(rule->name, t->test->by) == 0);
}

static bool final_agrees(const struct trial *t, const struct action *expected)
{
	static const struct action accept = {.kind = ACTION_ACCEPT};
	/* What `on error defer` says. */
	static const struct action defer = {.kind = ACTION_DEFER, .code = 451, .enhanced = "4.4.3"};
	const struct rule *rule = t->outcome.rule;
	const struct action *final = t->outcome.final;

	if (!final)
		final = rule ? &defer : &accept;
	return by_agrees(t, rule) && action_agrees(t, rule, final, expected);
}

/* Whether the rule that a test names, if any, is true and has an action of this kind and name. */
static bool has_hit(const struct trial *t, const struct action *expected)
{
	const struct rule *rule;
	size_t cursor = 0;

	while (evaluation_next_hit(t->e, &cursor, &rule)) {
		if (!by_agrees(t, rule) || rule->mode != RULE_ON)
			continue;
		for (const struct action *a = rule->actions; a; a = a->next)
			if (a->kind == expected->kind && name_agrees(a->name, expected->name))
				return true;
	}
	return false;
}

static int64_t score_of(const struct trial *t)
{
	int64_t low, high;

	evaluation_score(t->e, &low, &high);
	return low;
}

static bool effect_agrees(const struct trial *t, const struct action *expected)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;

	while (evaluation_next_effect(t->e, &cursor, &rule))
		if (by_agrees(t, rule) && action_agrees(t, rule, cursor.action, expected))
			return true;
	return false;
}

static bool agrees(const struct trial *t, const struct action *expected)
{
	const char *route;

	if (action_is_final(expected->kind))
		return final_agrees(t, expected);
	if (expected->kind == ACTION_SCORE)
		return score_of(t) == expected->score && (!t->test->by || has_hit(t, expected));
	if (expected->kind != ACTION_ROUTE)
		return effect_agrees(t, expected);
	route = evaluation_route(t->e);
	return route && name_agrees(route, expected->name) && has_hit(t, expected);
}

/* --- saying it --- */

/* What is written past the end of what fits is not missed. */
static void say(bool fits)
{
	(void)fits;
}

static void say_expected(const struct trial *t, const struct action *expected, struct buffer *out)
{
	say(action_write(expected, NULL, out));
	if (t->test->by)
		say(buffer_print(out, " by `%s`", t->test->by));
}

static void say_final(const struct trial *t, struct buffer *out)
{
	const struct rule *rule = t->outcome.rule;
	struct render render = render_of(t, rule);

	if (!rule) {
		say(buffer_add_text(out, "accept, since no rule says otherwise"));
		return;
	}
	if (t->outcome.final)
		say(action_write(t->outcome.final, &render, out));
	else
		say(buffer_add_text(out, "defer, `on error`,"));
	say(buffer_print(out, " by `%s`", rule->name));
}

/* All effects of the kind that is expected. */
static void say_effects(const struct trial *t, enum action_kind kind, struct buffer *out)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;
	size_t n = 0;

	while (evaluation_next_effect(t->e, &cursor, &rule)) {
		struct render render = render_of(t, rule);

		if (cursor.action->kind != kind)
			continue;
		say(n++ == 0 || buffer_add_text(out, ", "));
		say(action_write(cursor.action, &render, out));
		say(buffer_print(out, " by `%s`", rule->name));
	}
	if (n == 0)
		say(buffer_print(out, "no %s", action_name(kind)));
}

static void say_got(const struct trial *t, const struct action *expected, struct buffer *out)
{
	const char *route = evaluation_route(t->e);

	if (action_is_final(expected->kind)) {
		say_final(t, out);
	} else if (expected->kind == ACTION_SCORE) {
		say(buffer_add_text(out, "score "));
		say(score_write(score_of(t), out));
		if (score_of(t) == expected->score)
			say(buffer_print(out, ", to which `%s` adds nothing", t->test->by));
	} else if (expected->kind == ACTION_ROUTE) {
		say(route ? buffer_print(out, "route \"%s\"", route)
			  : buffer_add_text(out, "no route"));
	} else {
		say_effects(t, expected->kind, out);
	}
}

/* Marks the slots that keep rules from being decided. */
static bool *slots_missed(const struct trial *t)
{
	bool *missed = arena_alloc(t->arena, t->policy->n_slots + 1);

	for (size_t i = 0; i < t->policy->n_rules; i++) {
		const struct rule *rule = policy_rule(t->policy, i);

		if (evaluation_truth(t->e, &t->subject, rule) != TRUTH_ERROR)
			continue;
		for (unsigned k = 0; k < rule->n_slots; k++)
			missed[rule->slots[k]->number] = !t->given[rule->slots[k]->number];
	}
	return missed;
}

static void say_missing(const struct trial *t, struct buffer *out)
{
	const bool *missed = slots_missed(t);
	size_t n = 0;

	for (size_t i = 0; i < t->policy->n_slots; i++)
		if (missed[i] && n++ < NAMES_TOLD)
			say(buffer_print(out, "%s%s",
				n == 1 ? "rules are skipped for facts that are not given: " : ", ",
				t->policy->rules->slots[i]->name));
	if (n > NAMES_TOLD)
		say(buffer_print(out, " and %zu more", n - NAMES_TOLD));
}

static void tell_failure(
	const struct trial *t, const struct action *expected, struct remarks *remarks)
{
	struct buffer wanted = BUFFER_INIT(SAID_MAX), got = BUFFER_INIT(SAID_MAX);
	struct buffer missing = BUFFER_INIT(SAID_MAX);

	say_expected(t, expected, &wanted);
	say_got(t, expected, &got);
	say_missing(t, &missing);
	remark(remarks, SEVERITY_ERROR, &t->test->place,
		missing.len ? buffer_string(&missing) : NULL,
		"the test `%s` fails: expected is %s; what comes is %s", t->test->name,
		buffer_string(&wanted), buffer_string(&got));
	buffer_free(&wanted);
	buffer_free(&got);
	buffer_free(&missing);
}

/* --- all tests --- */

static bool judge(const struct trial *t, struct remarks *remarks)
{
	for (const struct action *a = t->test->expect; a; a = a->next) {
		if (agrees(t, a))
			continue;
		tell_failure(t, a, remarks);
		return false;
	}
	return true;
}

static struct expect_result try(struct trial *t, struct remarks *remarks)
{
	struct expect_result result = {.test = t->test};

	fail_all(t);
	memset(t->given, 0, t->policy->n_slots * sizeof(*t->given));
	make_new_to_greylist(t);
	give_facts(t);
	answer_lookups(t);
	swap_lists(t);
	evaluation_restart(t->e);
	evaluation_run(t->e, &t->subject);
	t->outcome = outcome_of(t->e);
	ENSURE(t->outcome.certain);
	result.rule = t->outcome.rule;
	result.passed = judge(t, remarks);
	swap_lists_back(t);
	return result;
}

bool policy_expect(const struct policy *policy, struct remarks *remarks,
	void (*told)(void *context, const struct expect_result *result), void *context)
{
	struct arena *arena = arena_new(4096);
	struct trial t = {.policy = policy, .arena = arena};
	bool ok = true;

	for (int i = 0; i < STAGE_COUNT; i++) {
		t.values[i] = arena_alloc(
			arena, (policy->rules->n_at[i] + 1) * sizeof(struct fact_value));
		t.subject.at[i] = t.values[i];
	}
	t.given = arena_alloc(arena, policy->n_slots + 1);
	t.e = evaluation_new(policy, arena);
	for (t.test = policy->rules->tests; t.test; t.test = t.test->next) {
		struct expect_result result = try(&t, remarks);

		ok = ok && result.passed;
		if (told)
			told(context, &result);
	}
	arena_free(&arena);
	return ok;
}

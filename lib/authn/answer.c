#include "lib/authn/answer.h"

/* Question by question; a few dozen at most, so they are walked, newest first. */
struct held {
	struct answer answer;
	struct held *next;
};

struct answers {
	struct arena *arena; /* borrowed */
	struct held *first;
	size_t n;
};

struct answers *answers_new(struct arena *arena)
{
	struct answers *answers = arena_alloc(arena, sizeof(*answers));

	answers->arena = arena;
	return answers;
}

static struct span without_dot(struct span name)
{
	if (name.len && name.at[name.len - 1] == '.')
		name.len--;
	return name;
}

static struct span usual(struct arena *arena, struct span name)
{
	char *copy = arena_string(arena, without_dot(name));

	for (char *c = copy; *c; c++)
		*c = ascii_lower(*c);
	return span_text(copy);
}

const struct answer *answers_find(
	const struct answers *answers, struct span name, enum answer_type type)
{
	name = without_dot(name);
	for (const struct held *held = answers->first; held; held = held->next)
		if (held->answer.type == type && span_equal_nocase(held->answer.name, name))
			return &held->answer;
	return NULL;
}

bool answers_add(struct answers *answers, const struct answer *answer)
{
	size_t n = answer->n_records < ANSWER_RECORDS_MAX ? answer->n_records : ANSWER_RECORDS_MAX;
	struct answer_record *records;
	struct held *held;

	if (answers_find(answers, answer->name, answer->type))
		return true;
	if (answers->n == ANSWERS_MAX)
		return false;
	held = arena_alloc(answers->arena, sizeof(*held));
	held->answer = *answer;
	held->answer.name = usual(answers->arena, answer->name);
	records = arena_alloc(answers->arena, (n + 1) * sizeof(*records));
	for (size_t i = 0; i < n; i++) {
		records[i] = answer->records[i];
		records[i].text = arena_span(answers->arena, records[i].text);
	}
	held->answer.records = records;
	held->answer.n_records = n;
	held->next = answers->first;
	answers->first = held;
	answers->n++;
	return true;
}

void wants_add(struct wants *wants, struct span name, enum answer_type type)
{
	name = without_dot(name);
	for (size_t i = 0; i < wants->n; i++)
		if (wants->items[i].type == type && span_equal_nocase(wants->items[i].name, name))
			return;
	if (wants->n < WANTS_MAX)
		wants->items[wants->n++] =
			(struct answer){.name = usual(wants->arena, name), .type = type};
}

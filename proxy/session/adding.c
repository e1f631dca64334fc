#include "proxy/session/adding.h"

#include <stdio.h>

#include "lib/mail/url.h"
#include "lib/store/list_request.h"
#include "lib/store/store.h"
#include "policy/list_entry.h"
#include "policy/text.h"
#include "proxy/session/judging.h"

/* What all values of an action share. */
struct adding {
	struct session *s;
	const struct action *action;
	const struct rule *rule;
	struct span reason;
	struct arena *arena;
};

static struct span value_text(
	enum fact_type type, const union fact_datum *datum, char room[IP_TEXT_SIZE])
{
	if (type == TYPE_IP)
		return span_text(ip_format(&datum->ip, room));
	/* The null reverse-path stands in lists as people write it. */
	if (type == TYPE_MAIL && datum->text.len == 0)
		return SPAN("<>");
	return datum->text;
}

/* Once in a transaction: recipients that are refused would add the client again and again. */
static bool is_news(const struct adding *a, struct span value)
{
	struct transaction *t = a->s->transaction;
	struct added *added = t ? t->added : NULL;

	for (; added; added = added->next)
		if (added->action == a->action && span_equal(added->value, value))
			return false;
	if (!t)
		return true;
	added = arena_alloc(t->arena, sizeof(*added));
	added->action = a->action;
	added->value = arena_span(t->arena, value);
	added->next = t->added;
	t->added = added;
	return true;
}

static void tell(const struct adding *a, enum image_kind kind, const struct image_item *item)
{
	const struct rule_list *list = a->action->list;
	struct worker *worker = a->s->worker;
	char room[LIST_KEY_BYTES_MAX], expires[24], by[LIST_BY_MAX + 1];
	uint64_t now_s = clock_wall_ms(&worker->loop->clock) / 1000;
	struct span parts[] = {span_text(list->from), span_text(list_type_name(list->type)),
		span_text(list_kind_name(kind)), list_key(kind, item, room),
		kind == IMAGE_TEXT ? item->item : SPAN_NONE, a->reason, SPAN_NONE, SPAN_NONE};

	snprintf(by, sizeof(by), "rule %s", a->rule->name);
	snprintf(expires, sizeof(expires), "%llu",
		a->action->time_ms ? (unsigned long long)(now_s + a->action->time_ms / 1000) : 0);
	parts[6] = span_text(by);
	parts[7] = span_text(expires);
	store_tell(worker->store, STORE_LIST_ADD, parts, COUNT_OF(parts));
}

static void add_value(const struct adding *a, const union fact_datum *datum)
{
	struct image_item item = {.expires_s = 0};
	char room[IP_TEXT_SIZE];
	struct span text = value_text(a->action->field->fact->type, datum, room);
	enum image_kind kind;
	struct err err;

	if (text.len == 0 || !is_news(a, text))
		return;
	/* What no list can hold (a mailbox that is none) was in none before either. */
	if (list_entry_read(a->action->list->type, text, host_ascii, a->arena, &kind, &item,
		    &err) != LIST_REFUSED)
		tell(a, kind, &item);
}

/* The most that fits, without half a character at its end. */
static struct span cut(struct span text)
{
	size_t len = text.len;

	if (len <= IMAGE_REASON_MAX)
		return text;
	for (len = IMAGE_REASON_MAX; len && ((uint8_t)text.at[len] & 0xc0) == 0x80;)
		len--;
	return span_first(text, len);
}

static void carry_out(struct adding *a, const struct evaluation *e, const struct subject *subject)
{
	const struct fact_value *value = subject_value(subject, a->action->field);
	struct buffer reason = BUFFER_INIT(JUDGE_TEXT_MAX);
	struct render render = {
		.e = e, .subject = subject, .rule = a->rule, .sid = session_id(a->s)};

	if (value->state != FACT_KNOWN)
		return;
	if (a->action->text && !text_render(a->action->text, &render, &reason)) {
		/* What fits will do. */
	}
	a->reason = cut(buffer_span(&reason));
	for (uint32_t i = 0; i < value->count && i < ADDING_VALUES_MAX; i++)
		add_value(a, &value->items[i]);
	buffer_free(&reason);
}

void adding_tell(struct session *s, const struct evaluation *e, const struct subject *subject)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;

	while (s->worker->store && evaluation_next_effect(e, &cursor, &rule)) {
		struct adding a = {.s = s, .action = cursor.action, .rule = rule};

		if (cursor.action->kind != ACTION_ADD)
			continue;
		a.arena = arena_new(1024);
		carry_out(&a, e, subject);
		arena_free(&a.arena);
	}
}

/* Texts with their fields filled in. What comes from outside is made harmless here, and only here:
 * whatever a text is used for, nothing in it ends a line or speaks to a terminal. */
#include "policy/evaluate.h"
#include "policy/lex.h"
#include "policy/text.h"

enum { VALUES_MAX = 3 * FIELD_TEXT_MAX /* as much as can be shown, and one value more */ };

static const char cut_off[] = "...";

static bool is_harmless(uint32_t code)
{
	return code != LEX_BAD_CHAR && code >= 0x20 && !(code >= 0x7f && code < 0xa0) &&
	       code != 0x2028 && code != 0x2029;
}

/* What is no text becomes '?'. */
static bool add_harmless(struct buffer *out, struct span text, bool ascii)
{
	bool ok = true;

	while (ok && text.len) {
		uint32_t code;
		size_t len = lex_char(text, &code);

		if (code == '\t')
			ok = buffer_add_char(out, ' ');
		else if (is_harmless(code) && (len == 1 || !ascii))
			ok = buffer_add(out, span_first(text, len));
		else
			ok = buffer_add_char(out, '?');
		text = span_from(text, len);
	}
	return ok;
}

/* Whole characters of it, up to so many bytes. */
static struct span cut(struct span text, size_t max)
{
	size_t len = 0;

	while (len < text.len) {
		uint32_t code;
		size_t next = len + lex_char(span_from(text, len), &code);

		if (next > max)
			break;
		len = next;
	}
	return span_first(text, len);
}

static bool add_field(struct buffer *out, const struct render *r, struct span text)
{
	if (text.len <= FIELD_TEXT_MAX)
		return add_harmless(out, text, r->ascii);
	return add_harmless(out, cut(text, FIELD_TEXT_MAX - (sizeof(cut_off) - 1)), r->ascii) &&
	       buffer_add_text(out, cut_off);
}

/* --- facts --- */

static bool is_text(enum fact_type type)
{
	return type == TYPE_TEXT || type == TYPE_DOMAIN || type == TYPE_MAIL;
}

/* One value; of a long text no more than can be shown. */
static bool gather_value(struct buffer *out, const struct fact *fact, const union fact_datum *datum)
{
	struct fact_value one = {FACT_KNOWN, 1, datum, NULL};

	if (is_text(fact->type) && datum->text.len)
		return buffer_add(out, span_first(datum->text, FIELD_TEXT_MAX + 1));
	return fact_value_write(fact, &one, out);
}

/* All values, or as many as can be shown. */
static void gather(struct buffer *out, const struct fact *fact, const struct fact_value *value)
{
	for (uint32_t i = 0; i < value->count && out->len <= FIELD_TEXT_MAX; i++)
		if ((i && !buffer_add_text(out, ", ")) ||
			!gather_value(out, fact, &value->items[i]))
			return;
}

static bool add_slot(struct buffer *out, const struct render *r, const struct slot *slot)
{
	const struct fact_value *value = subject_value(r->subject, slot);
	struct buffer text = BUFFER_INIT(VALUES_MAX);
	bool ok;

	if (value->state != FACT_KNOWN)
		return buffer_add_char(out, '?');
	gather(&text, slot->fact, value);
	ok = add_field(out, r, buffer_span(&text));
	buffer_free(&text);
	return ok;
}

/* --- the rules' own --- */

bool score_write(int64_t score, struct buffer *out)
{
	uint64_t whole = score < 0 ? 0 - (uint64_t)score : (uint64_t)score;
	unsigned rest = (unsigned)(whole % SCORE_UNIT);
	int digits = 3;

	if (!buffer_print(
		    out, "%s%llu", score < 0 ? "-" : "", (unsigned long long)(whole / SCORE_UNIT)))
		return false;
	if (rest == 0)
		return true;
	for (; rest % 10 == 0; digits--)
		rest /= 10;
	return buffer_print(out, ".%0*u", digits, rest);
}

/* Whether a rule further up has set the same tag. */
static bool tag_is_known(const struct render *r, const struct effect_cursor *upto)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;

	while (evaluation_next_effect(r->e, &cursor, &rule) && cursor.action != upto->action)
		if (cursor.action->kind == ACTION_TAG &&
			span_equal_nocase(cursor.action->text->source, upto->action->text->source))
			return true;
	return false;
}

/* `tags` are those of the rules above, each once. */
static bool add_tags(struct buffer *out, const struct render *r)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;
	bool first = true, ok = true;

	while (ok && evaluation_next_effect(r->e, &cursor, &rule)) {
		if (cursor.action->kind != ACTION_TAG || rule->index >= r->rule->index ||
			tag_is_known(r, &cursor))
			continue;
		ok = (first || buffer_add_text(out, ", ")) &&
		     add_field(out, r, cursor.action->text->source);
		first = false;
	}
	return ok;
}

/* --- which item of which list made the rule true --- */

static bool hit_of_datum(const struct test *t, const union fact_datum *datum, struct list_hit *hit)
{
	if (t->operand == OPERAND_LISTED || !t->list->content)
		return false;
	if (t->op == OP_UNDER)
		return list_match_under(t->list->content, datum->text, hit);
	if (t->type == TYPE_IP)
		return list_match_ip(t->list->content, &datum->ip, hit);
	return list_match_text(t->list->content, datum->text, hit);
}

static bool hit_of_test(const struct render *r, const struct test *t, struct list_hit *hit)
{
	const struct fact_value *value;

	if (t->verdict != VERDICT_NO ||
		(t->operand != OPERAND_LIST && t->operand != OPERAND_LISTED))
		return false;
	value = subject_value(r->subject, t->slot);
	if (value->state != FACT_KNOWN)
		return false;
	for (uint32_t i = 0; t->operand == OPERAND_LIST && i < value->count; i++)
		if (hit_of_datum(t, &value->items[i], hit))
			return true;
	if (t->operand == OPERAND_LIST || value->count == 0)
		return false;
	hit->item = SPAN_NONE;
	hit->reason = span_text(t->slot->list ? t->slot->list->from : t->slot->text);
	return true;
}

static bool hit_of_expr(const struct render *r, const struct expr *e, struct list_hit *hit)
{
	if (e->kind == EXPR_TEST)
		return hit_of_test(r, e->test, hit);
	for (const struct expr *child = e->first; child && e->kind != EXPR_NOT; child = child->next)
		if (hit_of_expr(r, child, hit))
			return true;
	return false;
}

static bool add_hit(struct buffer *out, const struct render *r, bool reason)
{
	struct list_hit hit = {.item = SPAN_NONE};
	struct span text;

	if (!r->rule->when || !hit_of_expr(r, r->rule->when, &hit))
		return true;
	text = reason ? hit.reason : hit.item;
	return add_field(out, r, text);
}

static bool add_part(struct buffer *out, const struct render *r, const struct text_part *part)
{
	int64_t low, high;

	switch (part->field) {
	case TEXT_LITERAL:
		return add_harmless(out, part->literal, r->ascii);
	case TEXT_SLOT:
		return add_slot(out, r, part->slot);
	case TEXT_SCORE:
		evaluation_score(r->e, &low, &high);
		return score_write(low, out);
	case TEXT_TAGS:
		return add_tags(out, r);
	case TEXT_LIST_REASON:
		return add_hit(out, r, true);
	case TEXT_LIST_ITEM:
		return add_hit(out, r, false);
	case TEXT_RULE:
		return buffer_add_text(out, r->rule->name);
	case TEXT_SID:
		return buffer_add(out, r->sid);
	}
	return true;
}

bool text_render(const struct text *text, const struct render *render, struct buffer *out)
{
	for (const struct text_part *part = text ? text->first : NULL; part; part = part->next)
		if (!add_part(out, render, part))
			return false;
	return true;
}

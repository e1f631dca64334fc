/*
 * The section is taken apart into a list of its fields; edits change that list, field by field;
 * what is then different from the section becomes changes. So edits see what earlier ones left, and
 * a field that no edit names is never copied.
 */
#include "proxy/message/edit.h"

#include "lib/base/fail.h"
#include "lib/mail/header.h"
#include "lib/mail/unstructured.h"
#include "policy/header_name.h"

enum edit_kind { EDIT_ADD, EDIT_SET, EDIT_REMOVE, EDIT_PREFIX };

struct edit {
	struct edit *next;
	enum edit_kind kind;
	struct span name, value; /* in the arena */
};

/* --- collecting --- */

static void append(struct edits *edits, enum edit_kind kind, struct span name, struct span value)
{
	struct edit *edit = arena_alloc(edits->arena, sizeof(*edit));

	edit->kind = kind;
	edit->name = arena_span(edits->arena, name);
	edit->value = value;
	if (edits->last)
		edits->last->next = edit;
	else
		edits->first = edit;
	edits->last = edit;
}

void edits_header_add(struct edits *edits, struct span name, struct span value)
{
	ENSURE(!header_name_problem(HEADER_ADD, name));
	append(edits, EDIT_ADD, name, unstructured_clean(edits->arena, value, EDIT_VALUE_MAX));
}

void edits_header_set(struct edits *edits, struct span name, struct span value)
{
	ENSURE(!header_name_problem(HEADER_SET, name));
	append(edits, EDIT_SET, name, unstructured_clean(edits->arena, value, EDIT_VALUE_MAX));
}

void edits_header_remove(struct edits *edits, struct span name)
{
	ENSURE(!header_name_problem(HEADER_REMOVE, name));
	append(edits, EDIT_REMOVE, name, SPAN(""));
}

void edits_subject_prefix(struct edits *edits, struct span prefix)
{
	prefix = unstructured_clean(edits->arena, prefix, EDIT_PREFIX_MAX);
	if (prefix.len)
		append(edits, EDIT_PREFIX, SPAN("Subject"), prefix);
}

bool edits_equal(const struct edits *a, const struct edits *b)
{
	const struct edit *x = a->first, *y = b->first;

	while (x && y && x->kind == y->kind && span_equal(x->name, y->name) &&
		span_equal(x->value, y->value)) {
		x = x->next;
		y = y->next;
	}
	return !x && !y;
}

/* --- the section as a list of fields --- */

struct item {
	struct item *next;
	struct header_field field; /* as it now is */
	size_t start, len;         /* its place in the section; len 0: it is new */
	bool edited;               /* the field is not what stands in the section */
	bool gone;
};

struct sheet {
	struct arena *arena;
	bool utf8;
	struct item *first;
	struct item **own;   /* where the message's own fields begin: what is added goes before */
	struct item **below; /* behind the last line that is a field */
	size_t below_at;     /* and where that is in the section */
	size_t n_items;
};

static struct item *insert(struct sheet *sheet, struct item **at)
{
	struct item *item = arena_alloc(sheet->arena, sizeof(*item));

	item->next = *at;
	*at = item;
	sheet->n_items++;
	return item;
}

/* Lists the fields, those that earlier changes cut out as gone. */
static void read_section(struct sheet *sheet, const struct message *message, struct span section)
{
	const char *begin = section.at;
	struct item **end = &sheet->first;
	struct header_field field;
	bool fields_only = true;
	size_t cut = 0;

	while (header_next(&section, &field)) {
		struct item *item = insert(sheet, end);

		item->field = field;
		item->start = (size_t)(field.raw.at - begin);
		item->len = field.raw.len;
		while (cut < message->n_changes && message->changes[cut].start < item->start)
			cut++;
		item->gone = cut < message->n_changes &&
			     message->changes[cut].start == item->start &&
			     message->changes[cut].len == item->len;
		end = &item->next;
		fields_only = fields_only && field.name.len;
		if (fields_only) {
			sheet->below = end;
			sheet->below_at = item->start + item->len;
		}
	}
}

/* --- writing fields --- */

/* What is written is bounded: an encoded value is at most five times as long, with its folds. */
enum { FIELD_MAX = 8 * EDIT_VALUE_MAX };

/* The text becomes the item's field. */
static void become(struct sheet *sheet, struct item *item, const struct buffer *text)
{
	struct span raw = arena_span(sheet->arena, buffer_span(text));

	ENSURE(header_next(&raw, &item->field) && raw.len == 0 && item->field.name.len);
	item->edited = true;
	item->gone = false;
}

static void write_field(struct sheet *sheet, struct item *item, struct span name, struct span value)
{
	struct buffer text = BUFFER_INIT(FIELD_MAX);

	ENSURE(buffer_print(&text, "%.*s:%s", SPAN_ARGS(name), value.len ? " " : ""));
	ENSURE(unstructured_write(value, text.len, sheet->utf8, &text));
	ENSURE(buffer_add_text(&text, "\r\n"));
	become(sheet, item, &text);
	buffer_free(&text);
}

static struct item *insert_below(struct sheet *sheet)
{
	struct item *item = insert(sheet, sheet->below);

	item->start = sheet->below_at;
	sheet->below = &item->next;
	return item;
}

/* --- the edits --- */

static void add_field(struct sheet *sheet, const struct edit *edit)
{
	struct item *item = insert(sheet, sheet->own);

	if (sheet->below == sheet->own)
		sheet->below = &item->next;
	sheet->own = &item->next;
	write_field(sheet, item, edit->name, edit->value);
}

/* The first field of the name that is there; the others go. */
static struct item *keep_first(struct sheet *sheet, struct span name)
{
	struct item *first = NULL;

	for (struct item *item = sheet->first; item; item = item->next) {
		if (item->gone || !header_is(&item->field, name))
			continue;
		if (first)
			item->gone = true;
		else
			first = item;
	}
	return first;
}

static void set_field(struct sheet *sheet, const struct edit *edit)
{
	struct item *item = keep_first(sheet, edit->name);

	write_field(sheet, item ? item : insert_below(sheet), edit->name, edit->value);
}

static void remove_field(struct sheet *sheet, const struct edit *edit)
{
	struct item *item = keep_first(sheet, edit->name);

	if (item)
		item->gone = true;
}

/* The subject's text where it stands, without the blanks and folds before it; SPAN_NONE when there
 * is none. */
static struct span subject_text(struct span body)
{
	size_t at = 0;

	while (at < body.len && (body.at[at] == ' ' || body.at[at] == '\t' || body.at[at] == '\r' ||
					body.at[at] == '\n'))
		at++;
	return span_from(body, at);
}

/* Bytes of the last line of a text that is being written. */
static size_t column_of(const struct buffer *text)
{
	struct span s = buffer_span(text);
	size_t column = 0;

	while (column < s.len && s.at[s.len - 1 - column] != '\n')
		column++;
	return column;
}

static bool begins_with_encoded(struct span text, struct span prefix, size_t column)
{
	struct buffer word = BUFFER_INIT(FIELD_MAX);
	bool begins;

	/* Whether a blank is encoded with it depends on what came behind. */
	ENSURE(unstructured_encode(prefix, column, &word));
	begins = span_starts(text, span_first(buffer_span(&word), word.len - 2));
	buffer_free(&word);
	return begins;
}

/* The prefix, and what parts it from the subject: a fold where the line would get too long. */
static void write_prefix(
	struct buffer *text, const struct sheet *sheet, struct span prefix, struct span subject)
{
	struct span line = span_first(subject, span_find_char(subject, '\r'));
	bool encode = unstructured_needs_encoding(prefix, sheet->utf8);

	/* A blank between two encoded words is not shown (RFC 2047 6.2): it must be in one. */
	if (encode && span_starts(subject, SPAN("=?")))
		prefix = arena_span(sheet->arena,
			span_text(arena_print(sheet->arena, "%.*s ", SPAN_ARGS(prefix))));
	ENSURE(encode ? unstructured_encode(prefix, column_of(text), text)
		      : unstructured_write(prefix, column_of(text), sheet->utf8, text));
	if (subject.len)
		ENSURE(buffer_add_text(text, column_of(text) + 1 + line.len > 78 ? "\r\n " : " "));
}

static void prefix_subject(struct sheet *sheet, struct item *item, struct span prefix)
{
	struct span raw = item->field.raw, subject = subject_text(item->field.body);
	struct buffer text = BUFFER_INIT(raw.len + FIELD_MAX);
	size_t before = (size_t)(subject.at - raw.at);

	ENSURE(buffer_add(&text, span_first(raw, before)));
	if (before && raw.at[before - 1] == ':')
		ENSURE(buffer_add_char(&text, ' '));
	if (!span_starts(subject, prefix) &&
		!begins_with_encoded(subject, prefix, column_of(&text))) {
		write_prefix(&text, sheet, prefix, subject);
		ENSURE(buffer_add(&text, span_from(raw, before)));
		become(sheet, item, &text);
	}
	buffer_free(&text);
}

static void prefix_subjects(struct sheet *sheet, const struct edit *edit)
{
	bool any = false;

	for (struct item *item = sheet->first; item; item = item->next) {
		if (item->gone || !header_is(&item->field, edit->name))
			continue;
		prefix_subject(sheet, item, edit->value);
		any = true;
	}
	if (!any)
		write_field(sheet, insert_below(sheet), edit->name, edit->value);
}

static void edit_one(struct sheet *sheet, const struct edit *edit)
{
	switch (edit->kind) {
	case EDIT_ADD:
		add_field(sheet, edit);
		break;
	case EDIT_SET:
		set_field(sheet, edit);
		break;
	case EDIT_REMOVE:
		remove_field(sheet, edit);
		break;
	case EDIT_PREFIX:
		prefix_subjects(sheet, edit);
		break;
	}
}

/* --- changes --- */

static void note_bytes(struct message *message, struct span text)
{
	if (span_starts(text, SPAN(".")))
		message->leading_dot = true;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] > 127)
			message->eight_bit = true;
}

/* What is different now, and behind it `rest`: changes that are no business of the fields. */
static void make_changes(const struct sheet *sheet, struct message *message,
	const struct message_change *rest, size_t n_rest)
{
	struct message_change *changes =
		arena_alloc(sheet->arena, (sheet->n_items + n_rest + 1) * sizeof(*changes));
	size_t count = 0;

	for (const struct item *item = sheet->first; item; item = item->next) {
		struct span with = item->gone ? SPAN("") : item->field.raw;

		if (item->gone ? !item->len : !item->edited)
			continue;
		changes[count++] = (struct message_change){item->start, item->len, with};
		note_bytes(message, with);
	}
	if (n_rest)
		memcpy(changes + count, rest, n_rest * sizeof(*rest));
	message->changes = changes;
	message->n_changes = count + n_rest;
}

void edits_apply(const struct edits *edits, struct message *message, struct arena *arena,
	struct span section, bool utf8)
{
	struct sheet sheet = {.arena = arena, .utf8 = utf8};
	/* None of it is header then, and the empty line before it is a change already. */
	bool none = message_begins_folded(section);

	if (edits_empty(edits))
		return;
	sheet.own = sheet.below = &sheet.first;
	if (!none)
		read_section(&sheet, message, section);
	for (const struct edit *edit = edits->first; edit; edit = edit->next)
		edit_one(&sheet, edit);
	make_changes(&sheet, message, message->changes, none ? message->n_changes : 0);
}

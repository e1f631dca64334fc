/*
 * Names of attachments. What counts is the name under which a file would be saved and opened, on
 * Windows above all: folders go, dots and blanks at the end go, and nothing invisible stays that
 * could show an extension other than the one that is there.
 */
#include "lib/mail/mime_name.h"

enum { EXTENSION_MAX = 64 };

/* What Windows makes of a name: no folders, no dots or blanks at the end. */
static struct span file_name(struct span text)
{
	for (size_t i = text.len; i > 0; i--) {
		if (text.at[i - 1] == '/' || text.at[i - 1] == '\\') {
			if (i == text.len) /* "a.exe/" */
				text.len = i - 1;
			else
				return file_name(span_from(text, i));
		}
	}
	while (text.len && (text.at[text.len - 1] == '.' || text.at[text.len - 1] == ' '))
		text.len--;
	return text;
}

static struct span extension_of(struct span name, struct arena *arena)
{
	size_t dot = name.len;
	char *copy;

	while (dot && name.at[dot - 1] != '.')
		dot--;
	if (dot == 0)
		return SPAN("");
	name = utf8_first(span_trim(span_from(name, dot)), EXTENSION_MAX);
	copy = arena_string(arena, name);
	for (size_t i = 0; i < name.len; i++)
		copy[i] = ascii_lower(copy[i]);
	return span_make(copy, name.len);
}

/* Adds a name that the attachment does not have yet; false: it differs, or has no room. */
static bool add_name(
	struct mime_attachment *a, struct span value, size_t max_bytes, struct arena *arena)
{
	struct arena *scratch = arena_new(1024);
	struct span whole = file_name(text_harmless(value, scratch));
	struct span text = utf8_first(whole, max_bytes);
	bool known = text.len == 0, room = a->name_count < MIME_NAMES_MAX;

	for (size_t i = 0; i < a->name_count; i++)
		known = known || span_equal(a->names[i].text, text);
	if (!known && room)
		a->names[a->name_count++] = (struct mime_name){
			.text = arena_span(arena, text), .extension = extension_of(whole, arena)};
	arena_free(&scratch);
	return known || (room && a->name_count == 1);
}

bool mime_name_add(struct mime_attachment *a, const struct mime_field *field, size_t max_bytes,
	struct arena *arena)
{
	bool alike = true, plain;

	for (int form = MIME_EXTENDED; form <= MIME_UNESCAPED; form++) {
		for (size_t i = 0; i < field->count; i++) {
			const struct mime_parameter *p = &field->parameters[i];
			/* A reader in C stops at a NUL. */
			struct span first = span_first(p->value, span_find_char(p->value, '\0'));

			if ((int)p->form != form || (!span_equal(p->name, SPAN("filename")) &&
							    !span_equal(p->name, SPAN("name"))))
				continue;
			/* "C:\new.exe" is common, and no trick: told, but no flaw. */
			plain = form == MIME_UNESCAPED && a->name_count < MIME_NAMES_MAX;
			alike = (add_name(a, p->value, max_bytes, arena) || plain) && alike;
			alike = (add_name(a, first, max_bytes, arena) || plain) && alike;
		}
	}
	return alike;
}

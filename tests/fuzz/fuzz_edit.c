/*
 * Edits of any header section: the first bytes choose them and are their text, the rest is the
 * content. What goes on is as long as the message says, its added lines are fields, and what is
 * behind the section is untouched.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/mail/header.h"
#include "proxy/message/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_edits(struct edits *edits, struct span text)
{
	static const char *const names[] = {"Subject", "A", "X-Spam", "From"};

	for (unsigned i = 0; text.len && i < 8; i++) {
		struct span value = span_first(text, span_find_char(text, '|'));
		unsigned char choice = (unsigned char)text.at[0];
		struct span name = span_text(names[choice / 4 % COUNT_OF(names)]);

		if (choice % 4 == 0)
			edits_header_add(edits, name, value);
		else if (choice % 4 == 1)
			edits_header_set(edits, name, value);
		else if (choice % 4 == 2)
			edits_header_remove(edits, name);
		else
			edits_subject_prefix(edits, value);
		text = span_from(text, value.len + 1);
	}
}

static void walk(const struct message *message, struct buffer *out)
{
	struct message_cursor cursor = {0};
	struct message_piece piece;

	while (message_next(message, &cursor, &piece)) {
		ENSURE(piece.fd < 0 && piece.len > 0);
		ENSURE(buffer_add(out, piece.memory));
	}
	ENSURE(out->len == message_size(message));
}

static void check_changes(const struct message *message, struct span section)
{
	size_t end = 0;

	for (size_t i = 0; i < message->n_changes; i++) {
		const struct message_change *change = &message->changes[i];
		struct span with = change->with;
		struct header_field field;

		ENSURE(change->start >= end);
		end = change->start + change->len;
		ENSURE(end <= section.len);
		if (with.len == 0)
			continue;
		ENSURE(header_next(&with, &field) && field.name.len > 0 && with.len == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = span_make(data, size), choice = span_first(all, span_find_char(all, 0)),
		    content = span_from(all, choice.len + 1);
	struct arena *arena = arena_new(4096);
	struct edits edits = edits_none(arena);
	struct message message = {.spool = {.fd = -1}};
	struct buffer out = BUFFER_INIT(16 << 20);
	size_t from = 0, end = header_end(content, &from);
	struct span section = end ? span_first(content, end) : content, rest;

	message.spool.memory = (char *)(uintptr_t)content.at;
	message.spool.memory_len = content.len;
	/* As dotdata leaves it. */
	if (end == 0 && content.len && content.at[content.len - 1] != '\n')
		section = content = span_first(content, 0);
	message.spool.memory_len = content.len;
	make_edits(&edits, choice);
	edits_apply(&edits, &message, arena, section, size % 2);
	check_changes(&message, section);
	walk(&message, &out);
	rest = span_from(content, section.len);
	ENSURE(out.len >= rest.len);
	ENSURE(span_equal(span_from(buffer_span(&out), out.len - rest.len), rest));
	buffer_free(&out);
	arena_free(&arena);
	return 0;
}

/*
 * edit: what rules do to the header section of a message: add, set and remove fields, prefix the
 * subject. Edits are collected in the order in which the rules made them and become changes of the
 * message once, each applied to what the earlier ones left. No byte outside of the fields that they
 * name is touched: DKIM signs the others.
 *
 * Where things go:
 *   add     above the message's own fields, below ours (RFC 5321 4.4 wants the trace on top);
 * several in the order of their rules set     in the place of the first field of that name, the
 * others go; below the last field where there was none prefix  before the text of every Subject
 * field, for readers differ in which of two they show; where there is none one is added, as by set
 *
 * A line of the section that is no field is left alone, and nothing is put below it: many servers
 * take it for the beginning of the body.
 */
#ifndef PROXY_MESSAGE_EDIT_H
#define PROXY_MESSAGE_EDIT_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "proxy/message/message.h"

/* Bytes of a value or prefix; what is longer is cut at a character. */
enum { EDIT_VALUE_MAX = 4096, EDIT_PREFIX_MAX = 256 };

struct edit;

struct edits {
	struct arena *arena; /* borrowed: where they lie */
	struct edit *first, *last;
};

static inline struct edits edits_none(struct arena *arena)
{
	return (struct edits){.arena = arena};
}

/* Names are ones without a header_name_problem; all texts are copied. Values may hold anything:
 * control characters become blanks, so that no value begins a line or a field of its own. */
void edits_header_add(struct edits *edits, struct span name, struct span value);
void edits_header_set(struct edits *edits, struct span name, struct span value);
void edits_header_remove(struct edits *edits, struct span name);

/* A blank is put between the prefix and the subject. A subject that begins with it stays as it is.
 * An empty prefix is no edit. */
void edits_subject_prefix(struct edits *edits, struct span prefix);

static inline bool edits_empty(const struct edits *edits)
{
	return !edits->first;
}

/* Whether both lead to the same bytes whatever the message: recipients share a delivery only then.
 */
bool edits_equal(const struct edits *a, const struct edits *b);

/* Makes them changes of the message, which lie in the arena. Changes that it has (cuts of whole
 * fields; the empty line before content that begins with a blank) stay; fields that are cut are not
 * there for edits.
 * section: the header section (header_end), all of the content where no empty line ends it; it is
 * the front of the spool's memory. utf8: the message is SMTPUTF8, so values may hold UTF-8 as it
 * is; otherwise they are encoded (RFC 2047).
 *
 * message->changes is replaced, never written to: a copy of the struct may get other edits. */
void edits_apply(const struct edits *edits, struct message *message, struct arena *arena,
	struct span section, bool utf8);

#endif

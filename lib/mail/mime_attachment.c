/*
 * Whether a part is an attachment, what it is called, and whether it says that it is encrypted.
 * What its bytes say is mime_sealed.c's.
 */
#include "lib/base/fail.h"
#include "lib/mail/mime_name.h"
#include "lib/mail/mime_walk.h"

static void add_names(struct mime *m, struct mime_attachment *a, const struct mime_field *field)
{
	if (!mime_name_add(a, field, m->limits.name_bytes, m->arena))
		mime_add_flaw(m, MIME_AMBIGUOUS);
}

/* Reports of mail programs, which are shown and not saved. */
static bool is_notice(struct span type)
{
	return mime_type_is(type, "message/delivery-status") ||
	       mime_type_is(type, "message/global-delivery-status") ||
	       mime_type_is(type, "message/disposition-notification") ||
	       mime_type_is(type, "message/feedback-report") ||
	       mime_type_is(type, "message/global-headers");
}

static bool says_encrypted(struct span type, const struct mime_field *field)
{
	struct span kind = mime_field_get(field, "smime-type");

	return (mime_type_is(type, "application/pkcs7-mime") ||
		       mime_type_is(type, "application/x-pkcs7-mime")) &&
	       (span_equal_nocase(kind, SPAN("enveloped-data")) ||
		       span_equal_nocase(kind, SPAN("authenveloped-data")));
}

/* Room for one more; limits.parts bounds them. */
static struct mime_attachment *next_attachment(struct mime *m)
{
	if (m->result.attachment_count == m->attachment_room) {
		m->attachment_room = m->attachment_room ? 2 * m->attachment_room : 4;
		m->attachments =
			memory_resize(m->attachments, m->attachment_room * sizeof(*m->attachments));
	}
	m->attachments[m->result.attachment_count] = (struct mime_attachment){0};
	return &m->attachments[m->result.attachment_count];
}

void mime_attachment_begin(struct mime *m, const struct part_header *h, struct span type)
{
	struct mime_attachment *a = next_attachment(m);
	bool shown =
		span_starts(type, SPAN("text/")) || mime_type_is_message(type) || is_notice(type);

	add_names(m, a, &h->disposition);
	add_names(m, a, &h->type);
	for (size_t i = 0; i < h->further_count; i++)
		add_names(m, a, &h->further[i]);
	if (shown && a->name_count == 0 && !mime_type_is(h->disposition.value, "attachment"))
		return;
	a->type = arena_span(m->arena, type);
	a->encrypted = says_encrypted(type, &h->type);
	for (size_t i = 0; i < m->level_count; i++)
		a->encrypted = a->encrypted || m->levels[i].encrypted;
	m->leaf.attachment = ++m->result.attachment_count;
	m->leaf.sealed_open = true;
	sealed_init(&m->sealed);
}
